"""Say in which order the upstreams of a group are asked, as far as they are well.

    ordered   as the configuration lists them: a person has a favourite
    fastest   the one whose answers take least, the others when it fails
    spread    each name goes to the same upstream, names over all of them, so that none sees everything

A measure of speed goes stale where nobody looks. So ``fastest`` asks another one first in one query
of twenty (as Knot Resolver does), with the patience that the favourite deserves: it costs that
client 50 to 400 ms at most, and in the usual case nothing. What is not renewed shrinks besides, so
an upstream that was slow once comes back even where few queries are asked. A favourite stays until
another is clearly better: each has a connection of its own to keep warm.

``spread`` ranks the upstreams by name anew for each zone (the last two labels), by a keyed hash: the
names of a site go together, another upstream takes over if one is ill, and nobody outside can tell
whose turn a name is. One that takes four times as long as the best, and 0.2 s longer, stands behind.
"""

import random
import secrets
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from secdns.config import Strategy
from secdns.upstream.member import Upstream

EXPLORE_ONE_OF: Final = 20  # queries
CLEARLY: Final = 0.9  # of the favourite's time, less a millisecond, is clearly better
CLEARLY_S: Final = 0.001
MUCH_SLOWER: Final = 4.0
MUCH_SLOWER_S: Final = 0.2

Members = Sequence[Upstream]
Order = Callable[[Members, bytes, float], tuple[Members, float]]
"""Members, question and now -> the same in the order to ask them, and the patience with the first."""


class Fastest:
    """The order of ``fastest``."""

    def __init__(self) -> None:
        self._favourite: Upstream | None = None

    def __call__(self, members: Members, question: bytes, now: float) -> tuple[Members, float]:
        ranked = sorted(members, key=lambda member: member.trip.estimate_s(now))
        best, favourite = ranked[0], self._favourite
        if favourite is not None and favourite is not best and not favourite.back_at:
            limit_s = favourite.trip.estimate_s(now) * CLEARLY - CLEARLY_S
            if best.trip.estimate_s(now) >= limit_s:
                ranked.remove(favourite)
                ranked.insert(0, favourite)
        self._favourite = ranked[0]
        patience_s = ranked[0].trip.patience_s
        if len(ranked) > 1 and not random.randrange(EXPLORE_ONE_OF):  # noqa: S311  guards nothing
            ranked.insert(0, ranked.pop(random.randrange(1, len(ranked))))  # noqa: S311
        return ranked, patience_s


class Spread:
    """The order of ``spread``."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)

    def __call__(self, members: Members, question: bytes, now: float) -> tuple[Members, float]:
        zone = _zone(question)
        limit_s = MUCH_SLOWER_S + MUCH_SLOWER * min(member.trip.estimate_s(now) for member in members)

        def rank(member: Upstream) -> tuple[bool, bytes]:
            turn = blake2b(zone + member.name.encode(), digest_size=8, key=self._key).digest()
            return member.trip.estimate_s(now) > limit_s, turn

        ranked = sorted(members, key=rank)  # two ways to the same upstream stay in their order
        return ranked, ranked[0].trip.patience_s


def _zone(question: bytes) -> bytes:
    """Give the last two labels of the name in a question, in wire form; all that it has if it has fewer."""
    starts = []
    at = 0
    while question[at]:
        starts.append(at)
        at += question[at] + 1
    return question[starts[-2] if len(starts) > 1 else 0 : at]


ORDERS: Final[dict[Strategy, Callable[[], Order] | None]] = {
    "ordered": None,  # as they stand
    "fastest": Fastest,
    "spread": Spread,
}
