"""Hand questions to the network's own resolver for a while, in plain, because somebody asked for that.

What it answers is told as such and not kept: neither here nor for long by the programs that asked.
"""

from collections.abc import Callable
from typing import Final, Protocol

from secdns.cache import Entry
from secdns.dns.edns import extended_error, options_to_wire
from secdns.iana import EDE
from secdns.upstream import Done, Read, Upstream, UpstreamGroup

MOST_TTL_S: Final = 10  # in the replies: programs have caches, too
_NOTE: Final = options_to_wire(
    (extended_error(EDE.OTHER, "secdns is paused: the network's own resolver said this, unencrypted"),)
)


class Asked(Protocol):
    """Whoever is asked when the detour is over."""

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``."""


class Detour:
    """Asks ``group`` while ``is_on`` says so, and ``otherwise`` from then on.

    ``is_on`` is asked for each question, so that none goes out in plain after the end, whatever timers
    do while a machine sleeps.
    """

    def __init__(self, group: UpstreamGroup, otherwise: Asked, is_on: Callable[[], bool]) -> None:
        self._group = group
        self._otherwise = otherwise
        self._is_on = is_on

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``; what comes of it on the detour is not kept."""
        if not self._is_on():
            return self._otherwise.submit(question, cd, now, deadline, read, done)

        def read_noted(response: bytes, member: Upstream) -> Entry:
            entry = read(response, member)
            entry.cap_ttl(MOST_TTL_S)
            entry.ttl_s = 0
            entry.options += _NOTE
            return entry

        return self._group.submit(question, cd, now, deadline, read_noted, done)
