"""Compare the 32-bit times of RRSIGs, and show a point in time to a person."""

from typing import Final

MIN_SKEW: Final = 3600  # seconds; Unbound's bounds (val-sig-skew-min, val-sig-skew-max)
MAX_SKEW: Final = 86400


def ahead(one: int, other: int) -> int:
    """Give the seconds by which ``one`` is later than ``other``, negative if it is earlier.

    Both count seconds since 1970 and are known modulo 2**32 only; they lie less than 2**31
    apart (RFC 4034 §3.1.5, RFC 1982 §3.2). Exactly 2**31 apart counts as earlier.
    """
    return (one - other + 2**31) % 2**32 - 2**31


def skew(validity_s: int) -> int:
    """Give the seconds by which our clock may be wrong about a signature valid for so long."""
    return min(max(validity_s // 10, MIN_SKEW), MAX_SKEW)


def shown(seconds: int) -> str:
    """Give seconds since 1970 as ``2026-11-20 12:00 UTC``."""
    days, rest = divmod(seconds, 86400)
    # A year that begins in March has its leap day last, and months of 153 days in every five.
    era, day = divmod(days + 719468, 146097)  # since March 1 of the year 0; 400 years
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += 400 * era + (month >= 10)
    return f"{year:04}-{(month + 2) % 12 + 1:02}-{day + 1:02} {rest // 3600:02}:{rest // 60 % 60:02} UTC"


def span(seconds: int) -> str:
    """Give a length of time in the largest unit that fits, rounded down: ``6 days``, ``1 hour``."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} s"
