"""Lengths of time as people give them."""

import pytest

from secdns.control import durations


@pytest.mark.parametrize(("text", "want"), [("30s", 30), ("5m", 300), ("1h", 3600), (" 2d ", 172_800)])
def test_length_of_time_is_a_number_and_a_unit(text: str, want: int) -> None:
    assert durations.parse(text) == want


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "-5m", "5 m", "5M", "1h30m", "1.5h", "9999999s", "٣m"])
def test_anything_else_is_refused_with_what_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match="such as 5m"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        (0, "0 s"), (59.6, "1 min"), (270, "4 min 30 s"), (3600, "1 h"), (3605, "1 h"), (3660, "1 h 1 min"),
        (90_000, "1 d 1 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_length_of_time_is_shown_in_the_two_largest_units(seconds: float, want: str) -> None:
    assert durations.shown(seconds) == want
