"""Estimate how long an upstream takes, from what each of its answers took."""

import math
from collections import deque
from typing import Final

MIN_PATIENCE_S: Final = 0.05  # before another upstream is asked too (design, "Settled") …
MAX_PATIENCE_S: Final = 0.4  # … and as long as nothing is known: the patient end costs the least
FIRST_ANSWERS: Final = 20  # with fewer, "nineteen of twenty" means nothing
WEIGHT: Final = 1 / 8  # of a new answer in the mean (RFC 6298 §2.3)
DECAY_S: Final = 180.0  # a mean that nobody renews shrinks to a third in this time
HANDSHAKE_SHARE: Final = 1 / 3  # of the time that connecting and asking took: TCP, TLS, and the query
RECENT: Final = 64  # answers that ``percentile_s`` looks at
_UP: Final = 1.095  # 0.095 : 0.005 is 19 : 1, so the tail comes to rest where one of twenty is above it
_DOWN: Final = 0.995


class RoundTrip:
    """How long one upstream takes, in seconds.

    ``patience_s`` is when it is later than nineteen of twenty of its answers, from 50 to 400 ms: a
    second upstream asked then costs it one query in twenty, and a client whose query was lost waits
    little longer than for a slow answer. The tail moves up by a tenth or down by a two-hundredth
    with each answer, which needs no memory of the others and follows a change within a few dozen.
    """

    __slots__ = ("_at", "_count", "_mean_s", "_recent", "_tail_s", "patience_s")

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self.forget()

    def forget(self) -> None:
        """Begin anew: on another network everything takes another time."""
        self._recent.clear()
        self._count = 0
        self._mean_s = 0.0
        self._tail_s = MIN_PATIENCE_S
        self._at = 0.0
        self.patience_s = MAX_PATIENCE_S

    def took(self, rtt_s: float, now: float) -> None:
        """Take one answer into account."""
        self._at = now
        self._recent.append(rtt_s)
        tail_s = self._tail_s
        if self._count < FIRST_ANSWERS:
            self._first(rtt_s)
            return
        self._mean_s += (rtt_s - self._mean_s) * WEIGHT
        tail_s *= _UP if rtt_s > tail_s else _DOWN
        if tail_s < MIN_PATIENCE_S:
            tail_s = MIN_PATIENCE_S
        elif tail_s > MAX_PATIENCE_S:
            tail_s = MAX_PATIENCE_S
        self._tail_s = self.patience_s = tail_s

    def connected(self, took_s: float, now: float) -> None:
        """Take into account what connecting and the first answer took, where nothing better is known."""
        if not self._count:
            self._mean_s = took_s * HANDSHAKE_SHARE
            self._at = now

    def estimate_s(self, now: float) -> float:
        """Give what the next answer takes on average; 0 for an upstream of which nothing is known.

        What has not been renewed shrinks: an upstream that was slow once is worth a try in the end.
        """
        return self._mean_s * math.exp((self._at - now) / DECAY_S)

    def percentile_s(self, share: float) -> float | None:
        """Give what this share of the last answers took at most, None as long as there are none.

        An answer that another upstream overtook counts with the time that it had had.
        """
        ranked = sorted(self._recent)
        return ranked[min(int(len(ranked) * share), len(ranked) - 1)] if ranked else None

    def _first(self, rtt_s: float) -> None:
        """Take one of the first answers, of which the slowest stands for the slowest of twenty."""
        self._count += 1
        self._mean_s += (rtt_s - self._mean_s) * max(WEIGHT, 1 / self._count)
        self._tail_s = min(max(self._tail_s, rtt_s), MAX_PATIENCE_S)
        if self._count == FIRST_ANSWERS:
            self.patience_s = self._tail_s
