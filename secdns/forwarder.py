"""Answer a query: from the cache, by policy, or by asking an upstream. The miss path, top to bottom.

``cached`` is what the listener calls first and inline; ``answer`` is for all that it leaves.
Nobody is ever left without a reply: what goes wrong becomes SERVFAIL with an Extended DNS
Error in words, inside the time a stub resolver waits (glibc asks again after 5 s).
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial

from secdns.cache import Cache, Entry, Missed, from_message, from_plain_response, from_response, shorten
from secdns.clock import boottime
from secdns.dns.edns import EDNS, errors_of, extended_error, options_to_wire
from secdns.dns.intake import read_any_query
from secdns.dns.message import Message, Question, Record
from secdns.dns.peek import Query, read_query
from secdns.dns.wire import HEADER_SIZE, MAX_MESSAGE
from secdns.errors import TransportError
from secdns.hold import Hold
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.network.watch import Outlook
from secdns.policy import Answer, Refuse, RouteTo
from secdns.routing import Asked, Routing
from secdns.stats import Stats
from secdns.troubles import Trouble, Troubles
from secdns.upstream import Upstream

PATIENCE_S = 4.4  # for one client query, everything included; the reply is to be there inside 4.5 s
STALE_AFTER_S = 0.8  # a stale answer is given when the refresh takes longer
FAILURE_TTL_S = 5  # a failure is kept this long (RFC 9520 §3.2: 1 s to 5 min)
UNSETTLED_TTL_S = 1  # … or this long, just after the network changed …
UNSETTLED_S = 10.0  # … for which this counts
LOCAL_TTL_S = 60  # an answer made here is kept this long; a reload makes it anew at once
MAX_IN_FLIGHT = 2000  # questions being asked at once; then the oldest gives way
GIVES_WAY_S = 0.5  # … if it is at least this old, else the newcomer is turned away

_LOG = logging.getLogger(__name__)
_ANSWERED_HERE = frozenset(
    {
        RRType.OPT,
        RRType.NXNAME,
        RRType.TKEY,
        RRType.TSIG,
        RRType.IXFR,
        RRType.AXFR,
        RRType.MAILB,
        RRType.MAILA,
        RRType.ANY,
    }
)
_HINFO = b"\x07RFC8482\x00"


Deliver = Callable[[bytes | None], None]  # takes a whole reply, or None for silence
Waiting = Callable[[Entry, float], None]  # takes what came of a flight, and the cache's now
_FlightKey = tuple[bytes, int]  # the cache's key and generation: after a reload other rules may hold


class _Flight:
    """A question that is being asked; everyone who has the same one waits for it."""

    __slots__ = ("_cd", "_forwarder", "_question", "deadline", "give_up", "group", "is_over", "key",
                 "started", "waiters")  # fmt: skip

    def __init__(
        self,
        forwarder: "Forwarder",
        key: "_FlightKey",
        query: Query,
        group: Asked,
        started: float,
        waiter: Waiting,
    ) -> None:
        self._forwarder = forwarder
        self.group = group
        self._question = query.name + query.question[-4:]
        self._cd = query.cd
        self.key = key
        self.started = started
        self.deadline = started + PATIENCE_S  # when those who wait lose patience
        self.waiters = [waiter]
        self.give_up: Callable[[], None] | None = None
        self.is_over = False

    def ask(self, now: float) -> None:
        """Ask the group, with the patience that is left."""
        give_up = self.group.submit(self._question, self._cd, now, self.deadline, self.read, self.land)
        if not self.is_over:
            self.give_up = give_up

    def ask_again(self, now: float) -> None:
        """Ask whoever is to be asked by now."""
        self.group = self._forwarder.group_of(self)
        self.ask(now)

    @property
    def question(self) -> Question:
        """What is asked, in lower case."""
        return Question(self._question[:-4], int.from_bytes(self._question[-4:-2]))

    def trouble(self, entry: Entry, at: float) -> Trouble:
        """Give what is worth remembering of a failure; ``at`` is in the cache's seconds."""
        return Trouble(at, self.question.name, self.question.rrtype, entry.options)

    def read(self, response: bytes, member: Upstream) -> Entry:
        """Give the entry of an upstream's response; see ``UpstreamGroup.submit``."""
        return from_plain_response(response, HEADER_SIZE + len(self._question)) or _read(response)

    def land(self, entry: Entry | None, error: TransportError | None) -> None:
        """Take what the group gave: an entry, or the reason why there is none."""
        if (entry is None or entry.is_failure) and self._forwarder.hold.take(self, entry, error):
            self.give_up = None
            return
        self._forwarder.landed(entry is not None and not entry.is_failure)
        if entry is None:
            error = error or TransportError("no answer")
            self._forwarder.stats.failed(error.__cause__ or error)
            entry = _failure(error.ede, str(error))
        elif entry.is_failure:
            entry.ttl_s = entry.ttl_s or FAILURE_TTL_S
        self._forwarder.land(self, entry)


class Forwarder:
    """Answers queries. Belongs to one event loop.

    ``clock`` gives the cache's seconds (``secdns.clock.boottime``); it is not the event loop's
    clock. ``landed`` is told of each question that an upstream had to be asked, whether there was an answer.
    Nothing here awaits: a query on its way costs no task unless an upstream is in trouble.
    """

    def __init__(
        self,
        cache: Cache,
        routing: Routing,
        *,
        stats: Stats | None = None,
        clock: Callable[[], float] = boottime,
        outlook: Outlook | None = None,
    ) -> None:
        self.cache = cache
        self.cached = cache.reply  # the listener's first question, with no call between
        self.routing = routing
        self.stats = stats or Stats()
        self.troubles = Troubles()
        self.clock = clock
        self._loop = asyncio.get_running_loop()
        self._flights: dict[_FlightKey, _Flight] = {}
        self._outlook = outlook or Outlook()
        self.hold = Hold(self._outlook, clock, self._tell_that_it_is_gone)
        self._settled_at = 0.0  # the cache's seconds
        self.landed: Callable[[bool], object] = bool

    async def answer(self, query: bytes, *, stream: bool) -> bytes | None:
        """Give the reply to any octets, or None for silence; see ``submit``."""
        future: asyncio.Future[bytes | None] = self._loop.create_future()

        def deliver(reply: bytes | None) -> None:
            if not future.done():
                future.set_result(reply)

        self.submit(query, stream=stream, deliver=deliver)
        return await future

    def submit(self, query: bytes, *, stream: bool, deliver: Deliver, asked: Missed | None = None) -> None:
        """Answer any octets: ``deliver`` is called once, perhaps at once, inside 4.5 s.

        The reply has at most as many octets as the client takes: over UDP at most 1232. Nobody
        is left without one: trouble of any kind becomes SERVFAIL with words. ``asked`` is what
        ``cached`` gave just before.
        """
        entry = None
        if asked is None:
            read = read_query(query) or read_any_query(query)
            if not isinstance(read, Query):
                if read is None:
                    self.stats.drops += 1
                else:
                    self.stats.local += 1
                deliver(read)
                return
            asked = read, self.cache.key(read), self.clock()
            entry = self.cache.find(*asked[1:])
        question, key, now = asked
        reply = _Reply(self, question, stream, deliver)
        try:
            if entry is not None:
                self.stats.hits += 1
                reply.give(entry, now)
            else:
                self._resolve(question, key, now, reply)
        except Exception:  # a bug of ours must cost one answer, not the program
            _LOG.exception("cannot answer")
            reply.give(_failure(EDE.OTHER, "internal error, see the log"), now)

    def _resolve(self, query: Query, key: bytes, now: float, reply: "_Reply") -> None:
        """Answer what is not held fresh: by policy, from an older generation, or by asking."""
        entry, group = None, self.routing.default
        rrtype = query.rrtype
        if rrtype in _ANSWERED_HERE or self.routing.policies.may_decide(query.name, rrtype):
            entry, group = self._decide(query, key, now)
        older = self.cache.older(key)
        if entry is None and older and (entry := self.cache.revive(older, now)) is not None:
            self.stats.hits += 1
            reply.give(entry, now)
            return
        if entry is None and not query.rd:
            entry = _refused(EDE.NOT_AUTHORITATIVE, "recursion was not desired and no answer is held")
        if entry is not None:
            self.stats.local += 1
            entry.stored = now
            reply.give(entry, now)
            return
        self.stats.misses += 1
        if now >= self._outlook.look_at:
            self._outlook.look()
        if older and (stale := self.cache.stale(older, now)) is not None:
            reply.stale = stale
            if stale.retry_at > now:
                reply.give(_LATE, now)
                return
            reply.timer = self._loop.call_later(STALE_AFTER_S, reply.give, _LATE, now)
        self._fetch(query, key, group, reply.give)

    def _decide(self, query: Query, key: bytes, now: float) -> tuple[Entry | None, Asked]:
        """Give the answer that policy makes, or the group to ask."""
        routing = self.routing
        group = routing.default
        rrtype = query.rrtype
        question = Question(query.question[:-4], rrtype)
        if rrtype == RRType.ANY:
            hinfo = Record(question.name, RRType.HINFO, RRClass.IN, 3600, _HINFO)  # RFC 8482 §4.2
            return from_message(Message(question=(question,), answer=(hinfo,)), ttl_s=0), group
        if rrtype == RRType.OPT:
            return Entry(RCode.FORMERR, ttl_s=0), group
        if rrtype == RRType.NXNAME:  # RFC 9824
            options = _ede(EDE.INVALID_QUERY_TYPE, "NXNAME is no type to ask for")
            return Entry(RCode.FORMERR, ttl_s=0, options=options), group
        if rrtype in _ANSWERED_HERE:
            return _refused(EDE.NOT_SUPPORTED, "this type is not served"), group
        match routing.policies.decide(question, now):
            case None:
                return None, group
            case RouteTo(number):
                return None, routing.groups[number]
            case Refuse(rcode, ede, text):
                entry = Entry(rcode, ttl_s=LOCAL_TTL_S, options=_ede(ede, text), is_local=True)
            case Answer() as decision:
                entry = _local(question, decision)
        self.cache.store(key, entry, now)
        return entry, group

    def _fetch(self, query: Query, key: bytes, group: Asked, waiter: Waiting) -> None:
        """Ask the group, or wait for whoever is asking the same already."""
        flight_key = (key, self.cache.generation)
        flight = self._flights.get(flight_key)
        if flight is not None:
            flight.waiters.append(waiter)
            return
        now = self._loop.time()
        if self._outlook.gone and group is self.routing.default and self.hold.is_hopeless:
            waiter(self._gone(), self.clock())
            return
        if len(self._flights) >= MAX_IN_FLIGHT and not self._make_way(now):
            busy = f"over {MAX_IN_FLIGHT} questions are being asked already"
            waiter(_failure(EDE.OTHER, busy), self.clock())
            return
        flight = _Flight(self, flight_key, query, group, now, waiter)
        self._flights[flight_key] = flight
        try:
            flight.ask(now)
        except BaseException:  # a bug; who asks the same later must not wait for what will never land
            self._flights.pop(flight_key, None)
            raise

    def land(self, flight: _Flight, entry: Entry) -> None:
        """Store what came of a flight and hand it to everyone who waits."""
        now = self.clock()
        key, generation = flight.key
        if entry.is_failure:
            self.troubles.add(flight.trouble(entry, now))
        if entry.is_failure and now < self._settled_at:
            entry.ttl_s = min(entry.ttl_s, UNSETTLED_TTL_S)
        if generation == self.cache.generation:
            self.cache.store(key, entry, now)
        else:  # a reload came between: right for who asked, perhaps not for the next
            entry.stored = now
        self._finish(flight, entry, now)

    def _finish(self, flight: _Flight, entry: Entry, now: float) -> None:
        self._flights.pop(flight.key, None)
        flight.give_up = None  # it leads back here: a cycle
        flight.is_over = True
        for waiter in flight.waiters:
            waiter(entry, now)

    def network_changed(self) -> None:
        """Ask again what waits for a network; failures of the next seconds are not kept for long."""
        self._settled_at = self.clock() + UNSETTLED_S
        self.hold.network_changed()

    def group_of(self, flight: _Flight) -> Asked:
        """Give the group to ask, which may be another than when the question came."""
        if flight.key[1] == self.cache.generation:
            return flight.group
        match self.routing.policies.decide(flight.question, self.clock()):
            case None:
                return self.routing.default
            case RouteTo(number):
                return self.routing.groups[number]
            case _:
                return flight.group

    def reconsider(self, names: Collection[bytes]) -> None:
        """Ask for ``names`` whom they are for by now, also if another is being asked already."""
        now = self._loop.time()
        for flight in tuple(self._flights.values()):
            if flight.give_up is None or flight.question.name not in names:
                continue
            if self.group_of(flight) is not flight.group:
                flight.give_up()
                flight.ask_again(now)
        self.hold.network_changed()

    def refuse(self, words: str) -> None:
        """Give up what is asked of the upstreams by default; who is near may be reached all the same."""
        for flight in tuple(self._flights.values()):
            if flight.group is self.routing.default:
                entry = _failure(EDE.NETWORK_ERROR, words)
                entry.ttl_s = 0  # it is not kept: to find it out costs nothing
                self._give_up(flight, entry)

    def _tell_that_it_is_gone(self) -> None:
        self.refuse(self._outlook.gone)

    def _gone(self) -> Entry:
        """Give the failure while there is no network. It is not kept: to find it out costs nothing."""
        entry = _failure(EDE.NETWORK_ERROR, self._outlook.gone)
        entry.ttl_s = 0
        return entry

    def _make_way(self, now: float) -> bool:
        """Let the oldest question fail if it has had time enough; tell whether there is room now."""
        oldest = next(iter(self._flights.values()))
        if now - oldest.started < GIVES_WAY_S:
            return False
        self._give_up(oldest, _failure(EDE.OTHER, "gave way to newer questions, too many are being asked"))
        return True

    def _give_up(self, flight: _Flight, entry: Entry) -> None:
        if flight.give_up is not None:
            flight.give_up()
        self._finish(flight, entry, self.clock())

    async def settle(self, timeout_s: float) -> None:
        """Wait until all that is being asked now has ended, at most ``timeout_s`` seconds."""
        landed = []
        for flight in self._flights.values():
            future: asyncio.Future[None] = self._loop.create_future()
            flight.waiters.append(partial(_set_done, future))
            landed.append(future)
        if landed:
            await asyncio.wait(landed, timeout=timeout_s)

    def abandon(self) -> None:
        """Give up all that is being asked; whoever waits gets SERVFAIL."""
        for flight in tuple(self._flights.values()):
            self._give_up(flight, _failure(EDE.NOT_READY, "the program is stopping"))
        self.hold.close()


def _set_done(future: "asyncio.Future[None]", entry: Entry, now: float) -> None:
    if not future.done():
        future.set_result(None)


class _Reply:
    """One client's reply in the making: given once, from whatever comes first."""

    __slots__ = ("_deliver", "_forwarder", "_query", "_stream", "stale", "timer")

    def __init__(self, forwarder: Forwarder, query: Query, stream: bool, deliver: Deliver) -> None:
        self._forwarder = forwarder
        self._query = query
        self._stream = stream
        self._deliver: Deliver | None = deliver
        self.stale: Entry | None = None
        self.timer: asyncio.TimerHandle | None = None

    def give(self, entry: Entry, now: float) -> None:
        """Reply with ``entry``, or with the stale answer that is better than a failure (RFC 8767 §5)."""
        deliver = self._deliver
        if deliver is None:
            return
        if self.timer is not None:
            self.timer.cancel()
        if self.stale is None or not entry.is_failure:
            octets = entry.reply(self._query, now)
        else:
            octets = self.stale.stale_reply(self._query)
            self._forwarder.stats.stale += 1
        self._deliver = None
        limit = MAX_MESSAGE if self._stream else self._query.limit
        try:
            deliver(octets if len(octets) <= limit else shorten(octets, limit))
        except Exception:  # one client's trouble must not reach the others or the upstream
            _LOG.exception("cannot deliver a reply")


def _read(response: bytes) -> Entry:
    """Give the entry of an upstream's response; a failure gets words."""
    entry = from_response(response)
    if entry.is_failure:
        name = RCode(entry.rcode).name if entry.rcode in _RCODES else f"RCODE {entry.rcode}"
        theirs = errors_of(Message.parse(response).edns)
        told = "; ".join(f"{text or 'EDE'} ({code})" for code, text in theirs)
        code = theirs[0][0] if theirs else EDE.OTHER
        entry.options = _ede(code, f"the upstream answered {name}" + (f": {told}" if told else ""))
        entry.rcode = RCode.SERVFAIL if entry.rcode in _OURS else entry.rcode
    return entry


_RCODES = frozenset(RCode)
# An upstream's complaint about our query is no word about the client's: that one was well formed.
_OURS = frozenset({RCode.FORMERR, RCode.NOTIMP, RCode.BADVERS, RCode.BADCOOKIE})


def _ede(code: int, text: str) -> bytes:
    return options_to_wire((extended_error(code, text),))


def _failure(code: int, text: str) -> Entry:
    return Entry(RCode.SERVFAIL, ttl_s=FAILURE_TTL_S, options=_ede(code, text), is_failure=True)


_LATE = _failure(EDE.NO_REACHABLE_AUTHORITY, "the upstream takes too long")  # for who holds something stale


def _refused(code: int, text: str) -> Entry:
    return Entry(RCode.REFUSED, ttl_s=0, options=_ede(code, text))


def _local(question: Question, decision: Answer) -> Entry:
    options = tuple(extended_error(code, text) for code, text in decision.ede)
    message = Message(
        flags=decision.rcode & 15,
        question=(question,),
        answer=decision.records,
        authority=decision.authority,
        edns=EDNS(options=options),
    )
    ttl = min((record.ttl for record in (*message.answer, *message.authority)), default=LOCAL_TTL_S)
    return from_message(message, ttl_s=min(ttl, LOCAL_TTL_S))
