"""Read and write lengths of time as people give them: 30s, 5m, 1h, 2d."""

import re
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FORM: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")


def parse(text: str) -> int:
    """Give the seconds of a length of time.

    Raises:
        ValueError: it is not a number and one of s, m, h, d.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:20]!r} is no length of time, want a number and s, m, h or d, such as 5m")
    return int(match[1]) * _UNITS[match[2]]


def shown(seconds: float) -> str:
    """Give a length of time for a person, in the two largest units: 4 min 30 s."""
    left = max(round(seconds), 0)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"
