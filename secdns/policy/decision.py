"""What a policy can decide, and how one is asked."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from secdns.dns.message import Message, Question, Record
from secdns.iana import RCode, RRClass, RRType


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer here; nothing is sent anywhere.

    The caller makes the header: never AA, never AD, since nothing local is signed. ``ede`` holds
    (code, text) pairs of Extended DNS Errors (RFC 8914 §2); ``reason`` is one sentence for a
    person, without a final period, and never holds the name.
    """

    rcode: int
    records: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    ede: tuple[tuple[int, str], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RouteTo:
    """Ask this upstream group, and keep the answer in its own cache partition (threat C4)."""

    group: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Give no answer but this RCODE, with one Extended DNS Error and its text."""

    rcode: int
    ede: int
    text: str


Decision = Answer | RouteTo | Refuse


class QueryPolicy(Protocol):
    """Decides on a question before it leaves. Pure."""

    def decide(self, question: Question, now: float) -> Decision | None:
        """Give a decision, or None for no opinion. The class is IN; names keep their letter case."""
        ...


class ResponsePolicy(Protocol):
    """Decides on a response before it is kept. Pure."""

    def inspect(self, question: Question, response: Message) -> Decision | None:
        """Give a decision, or None for no opinion."""
        ...


@dataclass(frozen=True, slots=True)
class Watch:
    """Which questions a policy can have an opinion on; it is never asked about another.

    ``names`` are exact owner names, ``suffixes`` cover a name and all below it; both lower case.
    ``otherwise`` is its opinion on every question that no policy watches.
    """

    names: Collection[bytes] = ()
    suffixes: tuple[bytes, ...] = ()
    rrtypes: frozenset[int] = frozenset()
    single_labels: bool = False
    otherwise: Decision | None = None


class WatchingPolicy(QueryPolicy, Protocol):
    """A query policy that says beforehand what it looks at, so that other names cost nothing."""

    def watch(self) -> Watch:
        """Give what it looks at; asked once, when the policies are put together."""
        ...


_NOBODY = b"\x06nobody\x07invalid\x00"
_TIMERS = b"".join(seconds.to_bytes(4) for seconds in (1, 3600, 1200, 604800))


def start_of_authority(owner: bytes, ttl_s: int) -> Record:
    """Give the SOA of an empty zone served here (RFC 6303 §3), so that clients cache the absence.

    TTL and MINIMUM are both ``ttl_s``: the negative TTL is the smaller of them (RFC 2308 §5).
    """
    return Record(owner, RRType.SOA, RRClass.IN, ttl_s, owner + _NOBODY + _TIMERS + ttl_s.to_bytes(4))


def nothing_here(owner: bytes, ttl_s: int, rcode: int, ede: int, text: str) -> Answer:
    """Give a negative answer from an empty zone whose apex is ``owner``."""
    shown = ((ede, text),) if text else ()
    absence = "no such name" if rcode == RCode.NXDOMAIN else "no record of this type"
    return Answer(rcode, (), (start_of_authority(owner, ttl_s),), shown, text or absence)
