"""Ask the upstreams in order of preference until one gives a usable answer.

An ``Upstream`` is one way to reach one resolver and what is known of its health; an
``UpstreamGroup`` is the list that answers for a set of names. Nobody waits for a failure to
become certain: when the first upstream has not answered after ``HEDGE_S`` the second is asked
too, and whoever is first with a usable answer wins. The slower one is not punished for it.

A query whose first upstream is connected and well takes no task and no timer of its own: it
stands in the transport as an ``_Express`` and, for its hedge, in a list that one timer per group
walks. A task runs only from the moment when something is not as usual.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from secdns.dns.edns import EDNS, options_from_wire, padding_for
from secdns.dns.peek import scan
from secdns.dns.wire import HEADER_SIZE
from secdns.endpoint import Endpoint
from secdns.errors import (
    AuthenticationError,
    ConnectionLost,
    DeadlineExceeded,
    FormatError,
    Overloaded,
    ProtocolError,
    StatusError,
    TransportError,
)
from secdns.iana import EDE, RCode
from secdns.transport import Lookup, Transport, open_transport


class Readable(Protocol):
    """What is made of a response."""

    @property
    def is_failure(self) -> bool:
        """Its RCODE, extended by EDNS, is no answer: another upstream may have a better one."""


T = TypeVar("T", bound=Readable)
Done = Callable[[T | None, TransportError | None], None]  # an answer, or the reason why there is none
Read = Callable[[bytes, "Upstream"], T]  # a response and whose it is -> what is wanted of it

HEDGE_S = 0.4  # design: 50 to 400 ms; without a history of round trips the patient end is right
FIRST_BACKOFF_S = 0.5  # after one failure, doubling (RFC 9520 §3.2)
MAX_BACKOFF_S = 60.0
LONE_RETRY_S = 0.5  # with every upstream in back-off, one query in this time tries all the same
BELIEVED = 0.25  # of a lie is made good by one answer that validates: four of them to a lie keep the balance
MAX_SILENT = 2  # times overtaken with nothing heard before the connection is given up

_LOG = logging.getLogger(__name__)


class Upstream:
    """One way to reach one resolver: its transport and its health.

    ``name`` is what a person calls it. Times are seconds of the event loop's clock.
    """

    def __init__(self, name: str, endpoint: Endpoint, lookup: Lookup) -> None:
        self.name = name
        self.endpoint = endpoint
        self.transport: Transport = open_transport(endpoint, lookup)
        self.is_encrypted = endpoint.scheme not in {"udp", "tcp"}
        self.failures = 0  # in a row
        self.back_at = 0.0  # before this time others are preferred
        self.not_before = 0.0  # before this time it wants no query at all (Retry-After)
        self.lies = 0.0  # bogus answers where another upstream's was good, less what made up for them
        self._distrusted_until = 0.0
        self.answered_at = 0.0
        self._silent = 0
        self._silent_at = 0.0  # when that was last counted …
        self._exchanges = 0  # … and how many answers there had been

    def query(self, question: bytes, cd: bool) -> bytes:
        """Give the query to send: ID 0, RD, an OPT of our own, nothing of the client's but the question.

        Encrypted upstreams get DO, so that one answer serves every client, and padding to a
        multiple of 128 octets (RFC 8467 §4.1). A resolver of the local network gets neither.
        """
        head = b"\0\0\1\x10\0\1\0\0\0\0\0\1" if cd else b"\0\0\1\0\0\1\0\0\0\0\0\1"
        return head + question + _opt(len(question), self.is_encrypted)

    async def exchange(self, query: bytes, deadline: float, *, is_retry: bool = False) -> bytes:
        """Give the response; a connection that died first is replaced and asked once more.

        ``is_retry`` says that this is that second time. Whether the response can be used is for
        the caller to find out, who says ``answered`` then.

        Raises:
            TransportError: no usable connection or no answer.
        """
        began = asyncio.get_running_loop().time()
        try:
            try:
                return await self.transport.exchange(query, deadline)
            except ConnectionLost:
                if is_retry:
                    raise
                return await self.transport.exchange(query, deadline)
        except TransportError as error:
            self.failed(error, began)
            raise

    def answered(self, now: float) -> None:
        """Take an answer into account: whatever was held against the upstream is over."""
        self._silent = 0
        self.answered_at = now
        if self.failures:
            _LOG.info("upstream %s answers again", self.name)
            self.failures = 0
            self.back_at = max(self.not_before, self._distrusted_until)

    def lied(self, now: float) -> None:
        """Hold an answer that failed validation against it, where another upstream had a good one.

        Others are preferred for a while that grows as long as over a fifth of its answers are such
        (fault F23). It is still asked when they fail.
        """
        spread = random.uniform(0.8, 1.2)  # noqa: S311  spreads retries, guards nothing
        pause_s = spread * min(FIRST_BACKOFF_S * 2.0 ** min(self.lies, 7.0), MAX_BACKOFF_S)
        self.lies = min(self.lies + 1.0, 8.0)
        self._distrusted_until = now + pause_s
        self.back_at = max(self.back_at, self._distrusted_until)
        level = logging.WARNING if self.lies == 1.0 else logging.DEBUG
        _LOG.log(level, "upstream %s gave an answer that fails validation, another's is good", self.name)

    def believed(self) -> None:
        """Take into account that an answer of its was validated."""
        if self.lies:
            self.lies = max(self.lies - BELIEVED, 0.0)

    def failed(self, error: TransportError, since: float) -> None:
        """Take a failure into account: others are preferred for a while that grows.

        ``since`` is when the query was sent. What fails all queries of the moment counts once, and
        one that was not answered in time does not count while others are: that name is slow.
        """
        if isinstance(error, Overloaded):  # our own queue, not its fault
            return
        if isinstance(error, DeadlineExceeded) and self.answered_at >= since:
            return
        now = asyncio.get_running_loop().time()
        spread = random.uniform(0.8, 1.2)  # noqa: S311  spreads retries, guards nothing
        if isinstance(error, StatusError) and error.retry_after_s:
            self.not_before = max(self.not_before, now + error.retry_after_s * (spread + 0.2))
        if now >= self.back_at:
            self.failures += 1
            backoff_s = FIRST_BACKOFF_S * 2.0 ** min(self.failures - 1, 7)
            self.back_at = now + spread * min(backoff_s, MAX_BACKOFF_S)
            level = logging.WARNING if self.failures == 1 else logging.DEBUG
            _LOG.log(level, "upstream %s failed: %s", self.name, error)
        self.back_at = max(self.back_at, self.not_before)

    def overtaken(self, since: float) -> None:
        """Note that another upstream answered first; total silence since then makes this one suspect.

        A slow name costs an upstream nothing. A connection on which nothing at all arrived while
        others answered, twice in a row, is half open and is dropped. However many queries fall into
        one silence, it counts once.
        """
        if since <= self.answered_at or since < self._silent_at:
            return
        self._silent_at = asyncio.get_running_loop().time()
        exchanges = self.transport.facts().exchanges
        if exchanges != self._exchanges:  # answers that came too late to be wanted are a sign of life
            self._silent = 0
            self._exchanges = exchanges
        self._silent += 1
        if self._silent >= MAX_SILENT:
            self._silent = 0
            self.failed(DeadlineExceeded(f"silent for {HEDGE_S:g} s, {MAX_SILENT} times in a row"), since)
            self.transport.reset()

    def reset(self) -> None:
        """Forget connections and failures: the network changed."""
        self.transport.reset()
        self.failures = 0
        self.back_at = 0.0
        self.not_before = 0.0
        self.lies = 0.0
        self._distrusted_until = 0.0
        self._silent = 0


@cache
def _opt(question_size: int, is_encrypted: bool) -> bytes:
    """Give the OPT record for a query whose question has this many octets; at most 510 differ."""
    if not is_encrypted:
        return EDNS().to_wire()
    bare = EDNS(do=True).to_wire()
    padding = padding_for(HEADER_SIZE + question_size + len(bare))
    return EDNS(do=True, options=options_from_wire(padding)).to_wire()


class _Ask(Generic[T]):
    """What one query of a group carries along its attempts."""

    __slots__ = ("cd", "deadline", "lost", "question", "read")

    def __init__(self, question: bytes, cd: bool, deadline: float, read: Read[T]) -> None:
        self.question = question
        self.cd = cd
        self.deadline = deadline
        self.read = read
        self.lost: Upstream | None = None  # whose connection died once already under this query


class _Failure(Exception, Generic[T]):
    """Why some upstreams gave no usable answer; ``refusal`` is the best of the unusable ones."""

    def __init__(self, reasons: list[tuple[Upstream, TransportError]], refusal: T | None = None) -> None:
        super().__init__()
        self.reasons = reasons
        self.refusal = refusal

    def and_then(self, later: "_Failure[T]") -> "_Failure[T]":
        """Give both as one."""
        return _Failure(self.reasons + later.reasons, later.refusal if self.refusal is None else self.refusal)


class _Hedge(Generic[T]):
    """The later upstreams of one query: asked when the first is slow, or when it failed."""

    __slots__ = ("_begin", "_later", "_waiter", "due", "won")

    def __init__(self, begin: Callable[[], Awaitable[T]], due: float) -> None:
        self._begin = begin
        self._later: asyncio.Future[T] | None = None
        self._waiter = asyncio.current_task()
        self.due = due
        self.won = False

    def start(self) -> None:
        """Ask the later upstreams beside the first; their answer interrupts the wait for it."""
        self._later = asyncio.ensure_future(self._begin())
        self._later.add_done_callback(self._done)

    def _done(self, later: "asyncio.Future[T]") -> None:
        if not later.cancelled() and later.exception() is None and self._waiter is not None:
            self.won = True
            self._waiter.cancel()

    def stop(self) -> None:
        """Forget the later upstreams: the first has answered, or nobody waits any more."""
        self._waiter = None
        if self._later is not None:
            self._later.cancel()

    async def result(self) -> T:
        """Give the answer of the later upstreams, asking them now if they were not asked yet."""
        if self.won and self._waiter is not None:
            self._waiter.uncancel()
        self._waiter = None
        return await (self._begin() if self._later is None else self._later)


class _Express(Generic[T]):
    """A query that waits for its first upstream without a task; a ``Waiter`` of the transport.

    Hedged or fallen back on, it has one task besides, and the first usable answer wins.
    """

    __slots__ = ("_ask", "_cancel", "_done", "_failure", "_group", "_is_over", "_later", "_members", "due")

    def __init__(
        self, group: "UpstreamGroup", members: Sequence[Upstream], ask: _Ask[T], done: Done[T], due: float
    ) -> None:
        self._group = group
        self._members = members
        self._ask = ask
        self._done = done
        self._cancel: Callable[[], None] | None = None
        self._later: asyncio.Task[T] | None = None
        self._failure: _Failure[T] | None = None  # of the first, while the later ones are asked
        self._is_over = False
        self.due = due

    def begin(self) -> bool:
        """Hand the query to the first upstream if it is connected; tell whether that was so."""
        ask = self._ask
        first = self._members[0]
        self._cancel = first.transport.begin(first.query(ask.question, ask.cd), ask.deadline, self)
        return self._cancel is not None

    def start(self) -> None:
        """Ask the later upstreams beside the first."""
        self.fall_back(self._members[1:])

    def fall_back(self, members: Sequence[Upstream]) -> None:
        """Ask ``members`` in a task."""
        self._later = asyncio.create_task(self._group.ask(members, self._ask))
        self._later.add_done_callback(self._later_done)

    def finish(self, value: T | None, error: TransportError | None) -> None:
        """Tell whoever asked, once."""
        if not self._is_over:
            self.stop()
            self._done(value, error)

    def stop(self) -> None:
        """Give up whatever is under way."""
        self._is_over = True
        if len(self._members) > 1:
            self._group.unwatch(self)
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if self._later is not None and not self._later.done():
            self._later.cancel()

    def done(self) -> bool:
        return self._is_over or self._failure is not None

    def set_result(self, response: bytes) -> None:
        first = self._members[0]
        self._cancel = None
        try:
            value = self._ask.read(response, first)
        except Exception as error:  # FormatError, or a bug: that must not end in silence
            self._failed(_unusable(first, error, self.due - HEDGE_S))
            return
        first.answered(asyncio.get_running_loop().time())
        if value.is_failure:
            self._failed(_refused(first, response, value))
        else:
            self.finish(value, None)

    def set_exception(self, error: TransportError) -> None:
        self._cancel = None
        first = self._members[0]
        if isinstance(error, ConnectionLost) and self._later is None:
            self._group.unwatch(self)
            self._ask.lost = first
            self.fall_back(self._members)  # once more, on a fresh connection
            return
        first.failed(error, self.due - HEDGE_S)
        self._failed(_Failure([(first, error)]))

    def _failed(self, failure: _Failure[T]) -> None:
        """Go on with the later upstreams, which may be asked already."""
        self._failure = failure
        self._group.unwatch(self)
        if self._later is not None:
            if self._later.done():  # and without success, else all would be over
                self._later_done(self._later)
        elif len(self._members) > 1:
            self.start()
        else:
            self._give_up(failure)

    def _later_done(self, later: "asyncio.Task[T]") -> None:
        if later.cancelled():
            return
        error = later.exception()  # looked at in any case, else asyncio reports that nobody did
        if self._is_over:
            return
        if error is None:
            if self._cancel is not None:
                self._members[0].overtaken(self.due - HEDGE_S)
            self.finish(later.result(), None)
        elif not isinstance(error, _Failure):  # a bug: it must not end in silence
            self.finish(None, TransportError(f"internal error: {error!r}"))
        elif self._cancel is None:  # the first has failed too, or was not asked apart
            self._give_up(error if self._failure is None else self._failure.and_then(error))

    def _give_up(self, failure: _Failure[T]) -> None:
        if failure.refusal is not None:
            self.finish(failure.refusal, None)
        else:
            self.finish(None, self._group.exhausted(failure.reasons))


class UpstreamGroup:
    """Upstreams that answer for the same names, in order of preference.

    ``number`` is the cache partition. Closing the group closes its transports. Belongs to the
    event loop that runs when it is made.
    """

    def __init__(self, members: Sequence[Upstream], number: int = 0) -> None:
        if not members:
            raise ValueError("a group needs an upstream")
        self.members = tuple(members)
        self.number = number
        self._loop = asyncio.get_running_loop()
        self._hedges: dict[_Hedge[Any] | _Express[Any], None] = {}  # by due time: the delay is constant
        self._timer: asyncio.TimerHandle | None = None
        self._lone_retry_at = 0.0
        self._last_reasons: list[tuple[Upstream, TransportError]] = []

    def submit(
        self,
        question: bytes,
        cd: bool,
        now: float,
        deadline: float,
        read: Read[T],
        done: Done[T],
        avoid: frozenset[Upstream] = frozenset(),
    ) -> Callable[[], None]:
        """Ask, and call ``done`` once, perhaps at once, with what ``read`` makes of the answer.

        ``read`` raises FormatError for a response that cannot be used; that counts as a failure
        of the upstream that sent it. A response that is a failure (FORMERR, SERVFAIL, REFUSED …)
        is taken only if no upstream has a better one. If there is no usable response ``done`` gets
        a TransportError whose message has each upstream's reason. The members in ``avoid`` are
        not asked. ``now`` and the absolute ``deadline`` are seconds of the event loop's clock.
        ``done`` must not raise.

        Gives what to call to give up; ``done`` is then called no more.
        """
        members: Sequence[Upstream] = self.members
        for member in members:
            if member.back_at:
                members = self._candidates(now)
                break
        if avoid:
            members = [member for member in members if member not in avoid]
        express = _Express(self, members, _Ask(question, cd, deadline, read), done, now + HEDGE_S)
        if not members:
            express.finish(None, _exhausted(self._last_reasons))
        elif not express.begin():
            express.fall_back(members)
        elif len(members) > 1:
            self._watch(express)
        return express.stop

    def exhausted(self, reasons: list[tuple[Upstream, TransportError]]) -> TransportError:
        """Give one error for all reasons, and remember them for who may not even try."""
        self._last_reasons = reasons
        return _exhausted(reasons)

    def unwatch(self, hedged: "_Hedge[Any] | _Express[Any]") -> None:
        """Start no hedge for this one any more."""
        self._hedges.pop(hedged, None)

    def _candidates(self, now: float) -> Sequence[Upstream]:
        """Give the members to try, in order: those that are well, then those that may be."""

        def doubt(member: Upstream) -> tuple[int, float]:
            if member.back_at <= now:
                return 0, 0.0
            if member.failures <= 1:  # too little to be certain
                return 1, 0.0
            return 2, member.back_at

        willing = sorted((member for member in self.members if member.not_before <= now), key=doubt)
        if willing and doubt(willing[0])[0] < 2:
            return willing
        if now < self._lone_retry_at:
            return ()
        self._lone_retry_at = now + LONE_RETRY_S
        return willing

    async def ask(self, members: Sequence[Upstream], ask: _Ask[T]) -> T:
        """Ask the first member, hedged by the others; ask the others if it fails.

        Raises:
            _Failure: no member gave a usable answer.
        """
        first = members[0]
        if len(members) == 1:
            return await _ask_one(first, ask)
        hedge = _Hedge(lambda: self.ask(members[1:], ask), self._loop.time() + HEDGE_S)
        self._watch(hedge)
        try:
            answer = await _ask_one(first, ask)
        except asyncio.CancelledError:
            if not hedge.won:
                hedge.stop()
                raise
            first.overtaken(hedge.due - HEDGE_S)
            return await hedge.result()
        except _Failure as failure:
            self._hedges.pop(hedge, None)
            try:
                return await hedge.result()
            except _Failure as later:
                raise failure.and_then(later) from None
        else:
            hedge.stop()
            return answer
        finally:
            self._hedges.pop(hedge, None)

    def _watch(self, hedged: "_Hedge[Any] | _Express[Any]") -> None:
        self._hedges[hedged] = None
        if self._timer is None:
            self._timer = self._loop.call_at(hedged.due, self._start_due)

    def _start_due(self) -> None:
        """Start every hedge whose time has come; the timer follows the oldest that is left."""
        now = self._loop.time()
        self._timer = None
        due = []
        for hedged in self._hedges:
            if hedged.due > now:
                self._timer = self._loop.call_at(hedged.due, self._start_due)
                break
            due.append(hedged)
        for hedged in due:
            del self._hedges[hedged]
            hedged.start()

    def reset(self) -> None:
        """Drop every connection and back-off."""
        for member in self.members:
            member.reset()
        self._lone_retry_at = 0.0

    async def aclose(self) -> None:
        """Close the transports; exchanges under way fail."""
        await asyncio.gather(*(member.transport.aclose() for member in self.members))
        self._hedges.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _ask_one(member: Upstream, ask: _Ask[T]) -> T:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        query = member.query(ask.question, ask.cd)
        response = await member.exchange(query, ask.deadline, is_retry=ask.lost is member)
        value = ask.read(response, member)
    except TransportError as error:
        raise _Failure([(member, error)]) from error
    except Exception as error:  # FormatError, or a bug
        raise _unusable(member, error, began) from error
    member.answered(loop.time())
    if value.is_failure:
        raise _refused(member, response, value)
    return value


def _unusable(member: Upstream, error: Exception, since: float) -> _Failure[Any]:
    if isinstance(error, FormatError):
        unusable = ProtocolError(f"unusable answer: {error}")
    else:
        _LOG.error("asking upstream %s went wrong", member.name, exc_info=error)
        unusable = ProtocolError(f"internal error: {error!r}")
    member.failed(unusable, since)
    return _Failure([(member, unusable)])


def _refused(member: Upstream, response: bytes, value: T) -> _Failure[T]:
    rcode = response[3] & 15
    if (opt := scan(response).opt) is not None:
        rcode |= opt.ttl >> 24 << 4
    name = RCode(rcode).name if rcode in _RCODES else f"RCODE {rcode}"
    return _Failure([(member, ProtocolError(f"answered {name}"))], value)


_RCODES = frozenset(RCode)


def _exhausted(reasons: Sequence[tuple[Upstream, TransportError]]) -> TransportError:
    """Give one error for all: each upstream and its reason, in the order they were asked."""
    texts = [f"{member.name}: {error}" for member, error in reasons]
    failure = TransportError("; ".join(texts) or "no upstream answers at present")
    if reasons:
        failure.__cause__ = reasons[0][1]  # the kind of failure that is counted
    if any(isinstance(error, AuthenticationError) for _, error in reasons):
        failure.hint = "see `secdns query NAME @UPSTREAM` for each upstream's reason"
    if reasons and all(isinstance(error, DeadlineExceeded) for _, error in reasons):
        failure.ede = EDE.NO_REACHABLE_AUTHORITY
    return failure
