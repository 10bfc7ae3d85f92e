"""Ask one upstream in a task, and say what came of it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from secdns.dns.peek import scan
from secdns.errors import (
    AuthenticationError,
    DeadlineExceeded,
    FormatError,
    ProtocolError,
    TransportError,
)
from secdns.iana import EDE, RCode
from secdns.upstream.member import Upstream


class Readable(Protocol):
    """What is made of a response."""

    @property
    def is_failure(self) -> bool:
        """Its RCODE, extended by EDNS, is no answer: another upstream may have a better one."""


T = TypeVar("T", bound=Readable)
Done = Callable[[T | None, TransportError | None], None]  # an answer, or the reason why there is none
Read = Callable[[bytes, Upstream], T]  # a response and whose it is -> what is wanted of it
Reasons = list[tuple[Upstream, TransportError]]

_LOG = logging.getLogger(__name__)
_RCODES = frozenset(RCode)


class Ask(Generic[T]):
    """What one query of a group carries along its attempts."""

    __slots__ = ("cd", "deadline", "lost", "question", "read")

    def __init__(self, question: bytes, cd: bool, deadline: float, read: Read[T]) -> None:
        self.question = question
        self.cd = cd
        self.deadline = deadline
        self.read = read
        self.lost: Upstream | None = None  # whose connection died once already under this query


class Failure(Exception, Generic[T]):
    """Why some upstreams gave no usable answer; ``refusal`` is the best of the unusable ones."""

    def __init__(self, reasons: Reasons, refusal: T | None = None) -> None:
        super().__init__()
        self.reasons = reasons
        self.refusal = refusal

    def and_then(self, later: "Failure[T]") -> "Failure[T]":
        """Give both as one."""
        return Failure(self.reasons + later.reasons, later.refusal if self.refusal is None else self.refusal)


async def ask_one(member: Upstream, ask: Ask[T]) -> T:
    """Give the answer of one upstream.

    Raises:
        Failure: it gave no usable one.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    handshakes = member.transport.facts().handshakes
    try:
        query = member.query(ask.question, ask.cd)
        response = await member.exchange(query, ask.deadline, is_retry=ask.lost is member)
        value = ask.read(response, member)
    except TransportError as error:
        raise Failure([(member, error)]) from error
    except Exception as error:  # FormatError, or a bug
        raise unusable(member, error, began) from error
    now = loop.time()
    member.answered(now)
    if member.transport.facts().handshakes == handshakes:
        member.trip.took(now - began, now)
    else:
        member.trip.connected(now - began, now)
    if value.is_failure:
        raise refused(member, response, value)
    return value


def unusable(member: Upstream, error: Exception, since: float) -> Failure[Any]:
    """Hold against an upstream that its response cannot be read, and give the failure."""
    if isinstance(error, FormatError):
        reason = ProtocolError(f"unusable answer: {error}")
    else:
        _LOG.error("asking upstream %s went wrong", member.name, exc_info=error)
        reason = ProtocolError(f"internal error: {error!r}")
    member.failed(reason, since)
    return Failure([(member, reason)])


def refused(member: Upstream, response: bytes, value: T) -> Failure[T]:
    """Give the failure of a response whose RCODE is no answer."""
    rcode = response[3] & 15
    if (opt := scan(response).opt) is not None:
        rcode |= opt.ttl >> 24 << 4
    name = RCode(rcode).name if rcode in _RCODES else f"RCODE {rcode}"
    return Failure([(member, ProtocolError(f"answered {name}"))], value)


def exhausted(reasons: Sequence[tuple[Upstream, TransportError]]) -> TransportError:
    """Give one error for all: each upstream and its reason, in the order they were asked."""
    texts = [f"{member.name}: {error.brief}" for member, error in reasons]  # an EDE has 128 octets for all
    failure = TransportError("; ".join(texts) or "no upstream answers at present")
    if reasons:
        failure.__cause__ = reasons[0][1]  # the kind of failure that is counted
    if any(isinstance(error, AuthenticationError) for _, error in reasons):
        failure.hint = "`secdns upstreams test` says more, and what to do about it"
    if reasons and all(isinstance(error, DeadlineExceeded) for _, error in reasons):
        failure.ede = EDE.NO_REACHABLE_AUTHORITY
    return failure
