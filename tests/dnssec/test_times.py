"""Serial numbers, skew, and times as text."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dnssec.times import ahead, shown, skew, span


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        pytest.param(5, 3, 2, id="later"),
        pytest.param(3, 5, -2, id="earlier"),
        pytest.param(7, 7, 0, id="equal"),
        pytest.param(1, 2**32 - 1, 2, id="across the wrap"),
        pytest.param(2**32 - 1, 1, -2, id="back across the wrap"),
        pytest.param(2**33 + 5, 3, 2, id="more than 32 bits"),
        pytest.param(2**31 - 1, 0, 2**31 - 1, id="farthest ahead"),
        pytest.param(2**31, 0, -(2**31), id="exactly 2**31 apart"),
        pytest.param(0, 2**31, -(2**31), id="exactly 2**31 apart, the other way"),
        pytest.param(2**32, 0, 0, id="exactly 2**32 apart"),
    ],
)
def test_times_compare_as_serial_numbers_M6(one: int, other: int, want: int) -> None:
    assert ahead(one, other) == want


@pytest.mark.parametrize(
    ("validity_s", "want"),
    [
        pytest.param(60, 3600, id="never under an hour"),
        pytest.param(36_000, 3600, id="ten hours"),
        pytest.param(100_000, 10_000, id="a tenth"),
        pytest.param(864_000, 86_400, id="ten days"),
        pytest.param(10**9, 86_400, id="never over a day"),
    ],
)
def test_skew_is_a_tenth_within_an_hour_and_a_day_D17(validity_s: int, want: int) -> None:
    assert skew(validity_s) == want


@given(st.integers(0, 2**33))
def test_times_are_shown_as_the_calendar_says(seconds: int) -> None:
    assert shown(seconds) == datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def test_every_month_of_400_years_begins_and_ends_as_the_calendar_says() -> None:
    epoch = date(1970, 1, 1)
    for number in range(1, 400 * 12):
        first = date(1970 + number // 12, number % 12 + 1, 1)
        for day in (first - timedelta(days=1), first):
            assert shown((day - epoch).days * 86400) == f"{day} 00:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "want"),
    [(0, "0 s"), (59, "59 s"), (60, "1 minute"), (3599, "59 minutes"), (3600, "1 hour"), (172_799, "1 day")],
)
def test_spans_are_shown_in_the_largest_unit(seconds: int, want: str) -> None:
    assert span(seconds) == want
