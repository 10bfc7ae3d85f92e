"""Give the clock that ages what is kept.

It is the one module that reads it, so that everything else takes ``now`` or a callable.
"""

import time


def boottime() -> float:
    """Give seconds of a clock that never steps and also runs while the machine sleeps.

    Linux's monotonic clock stands still in sleep: by it, yesterday's answers would look fresh.
    """
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
