"""Sleep and jumps, from three clocks."""

import pytest

from secdns.network.clocks import Comparison, duration_text
from tests.network.clocks import HandClocks

HOUR = 3600.0


@pytest.mark.parametrize(
    ("boot", "awake", "wall", "want"),
    [
        pytest.param(600, 600, 600, (0, 0), id="ten minutes of work"),
        pytest.param(31, 0, 31, (31, 0), id="asleep for just over half a minute"),
        pytest.param(30, 0, 30, (0, 0), id="asleep for half a minute"),
        pytest.param(8 * HOUR, 1, 8 * HOUR, (8 * HOUR - 1, 0), id="asleep over night"),
        pytest.param(1, 1, 1 + 6 * HOUR, (0, 6 * HOUR), id="six hours forward"),
        pytest.param(1, 1, 1 - 6 * HOUR, (0, -6 * HOUR), id="six hours back"),
        pytest.param(1, 1, 6, (0, 0), id="corrected by five seconds"),
        pytest.param(8 * HOUR, 0, 9 * HOUR, (8 * HOUR, HOUR), id="asleep, and the clock is wrong after it"),
    ],
)
def test_sleep_and_jumps_are_told_apart_F12_F15(
    boot: float, awake: float, wall: float, want: tuple[float, float]
) -> None:
    clocks = HandClocks()
    comparison = Comparison(clocks.clocks)
    clocks.pass_by(boot=boot, awake=awake, wall=wall)
    assert comparison.since_last() == want
    assert comparison.since_last() == (0, 0), "told once"


def test_short_sleeps_add_up_F12() -> None:
    clocks = HandClocks()
    comparison = Comparison(clocks.clocks)
    clocks.pass_by(boot=20, awake=0, wall=20)
    assert comparison.since_last() == (0, 0)
    clocks.pass_by(boot=20, awake=0, wall=20)
    assert comparison.since_last() == (40, 0)


def test_clock_that_drifts_slowly_never_jumps_F15() -> None:
    clocks = HandClocks()
    comparison = Comparison(clocks.clocks)
    for _ in range(10):
        clocks.pass_by(boot=HOUR, awake=HOUR, wall=HOUR + 2)
        assert comparison.since_last() == (0, 0)


@pytest.mark.parametrize(
    ("seconds", "want"),
    [(31, "31 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (28_800, "8 h"), (200_000, "2 d")],
)
def test_length_of_time_is_told_in_the_unit_that_fits(seconds: float, want: str) -> None:
    assert duration_text(seconds) == want
