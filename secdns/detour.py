"""Hand questions to the network's own resolver, in plain: for a while because somebody asked for that, or
the few that find out whether this network wants people to sign in. Or to nobody, while it does.

What that resolver answers is told as such and not kept: neither here nor for long by the programs that
asked. It is never judged, so AD is never set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from secdns.cache import Entry
from secdns.dns.edns import extended_error, options_to_wire
from secdns.endpoint import Endpoint
from secdns.iana import EDE, RCode
from secdns.upstream import Done, Read, Upstream, UpstreamGroup

NOT_KEPT: Final = -1  # as a TTL; 0 would be for the forwarder to fill in where it is a failure


class Asked(Protocol):
    """Whoever can be asked instead."""

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Whom to ask in plain, and how.

    ``words`` go with every reply; ``most_ttl_s`` is the longest TTL in it: programs have caches, too.
    ``is_on`` is asked for each question, so that none goes out in plain after the end, whatever timers do
    while a machine sleeps; ``count`` is told of each that does. Without ``has_edns`` no query has an OPT
    record: sign-in pages answer NXDOMAIN to that (DVE-2018-0001).
    """

    resolvers: tuple[Endpoint, ...]
    words: str
    most_ttl_s: int
    is_on: Callable[[], bool]
    has_edns: bool = True
    count: Callable[[], object] = bool


class Detour:
    """Asks ``group`` while ``plain`` says so, and ``otherwise`` from then on."""

    def __init__(self, group: UpstreamGroup, plain: Plain, otherwise: Asked) -> None:
        self._group = group
        self._plain = plain
        self._otherwise = otherwise
        self._note = _ede(EDE.OTHER, plain.words)

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``; what comes of it on the detour is not kept."""
        if not self._plain.is_on():
            return self._otherwise.submit(question, cd, now, deadline, read, done)

        def read_noted(response: bytes, member: Upstream) -> Entry:
            entry = read(response, member)
            entry.cap_ttl(self._plain.most_ttl_s)
            entry.ttl_s = NOT_KEPT
            entry.options += self._note
            return entry

        self._plain.count()
        return self._group.submit(question, cd, now, deadline, read_noted, done)


class Barrier:
    """Asks nobody, and says why in ``words``: no question could get through, in plain or encrypted."""

    def __init__(self, words: str) -> None:
        self._options = _ede(EDE.NETWORK_ERROR, words)

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``; ``done`` gets a failure at once, that is not kept."""
        done(Entry(RCode.SERVFAIL, ttl_s=NOT_KEPT, options=self._options, is_failure=True), None)
        return _nothing


def _ede(code: int, text: str) -> bytes:
    return options_to_wire((extended_error(code, text),))


def _nothing() -> None:
    """There is nothing to give up."""
