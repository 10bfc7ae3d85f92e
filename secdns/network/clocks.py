"""Find out from three clocks that the machine slept, or that somebody set the clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from secdns.clock import boottime

SLEEP_S: Final = 30.0  # fault F12; after less, the other end and what lies between still know us
JUMP_S: Final = 5.0  # need 1; a clock that is only corrected moves by milliseconds
_UNITS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


@dataclass(frozen=True, slots=True)
class Clocks:
    """Each gives seconds: ``boot`` never steps and counts sleep, ``awake`` does not, ``wall`` is since 1970.

    On a system whose steady clocks are all alike in this, sleep shows as a jump of ``wall``.
    """

    boot: Callable[[], float] = boottime
    awake: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Comparison:
    """What the clocks said when they were last looked at, against each other."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._sleep_s, self._offset_s = self._look()

    def _look(self) -> tuple[float, float]:
        boot = self._clocks.boot()
        return boot - self._clocks.awake(), self._clocks.wall() - boot

    def since_last(self) -> tuple[float, float]:
        """Give the seconds slept since the last look, and by how many the clock was set forward.

        0 for each that is too little to matter. What was too little stays counted for sleep, so that many
        short ones add up, and not for the clock, which may drift as it likes.
        """
        sleep_s, offset_s = self._look()
        slept_s, jumped_s = sleep_s - self._sleep_s, offset_s - self._offset_s
        self._offset_s = offset_s
        if slept_s > SLEEP_S:
            self._sleep_s = sleep_s
        else:
            slept_s = 0.0
        return slept_s, jumped_s if abs(jumped_s) > JUMP_S else 0.0


def duration_text(seconds: float) -> str:
    """Give a length of time for a person: the largest unit of which there are two."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
