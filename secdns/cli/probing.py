"""Try the ways to reach an upstream: every check of ``checks`` on one connection of each way.

Bounded in every direction: a few ways at a time, each query under a deadline, a way that stays
silent given up.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from secdns.cli.asking import build_query
from secdns.cli.certificate import Certificate
from secdns.cli.checks import (
    CHECKS,
    Ask,
    Check,
    Idle,
    Names,
    Outcome,
    Result,
    Seen,
    failed,
    opening,
    passed,
    skipped,
)
from secdns.cli.lookup import Lookup
from secdns.dns.message import Message
from secdns.endpoint import Endpoint
from secdns.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    FormatError,
    ProtocolError,
    TransportError,
)
from secdns.transport import Transport, open_transport
from secdns.transport.alt_svc import read_alt_svc
from secdns.transport.dial import open_socket

AT_ONCE: Final = 4  # ways: more would slow each other down, and measure that
MAX_MISSES: Final = 2  # deadlines in a row; then nothing more is asked
IDLE_S: Final = 9.0  # how long a connection is left alone: secdns itself closes it after 10 s
IDLE_STEP_S: Final = 0.1

TRANSPORTS: Final = {"https": "doh", "h3": "doh3", "tls": "dot", "quic": "doq"}
"""Scheme -> what ``transport`` of the configuration calls it; plain ones have their own names."""


@dataclass(frozen=True, slots=True)
class Way:
    """One transport over one address family to one upstream; ``error`` says why there is no address.

    ``addresses`` of ``endpoint`` are of the one family. ``upstream`` is what a person calls it.
    Without an address, and through a proxy, there is no ``family``.
    """

    upstream: str
    endpoint: Endpoint
    family: str | None
    error: TransportError | None = None

    @property
    def transport(self) -> str:
        """The transport as the configuration calls it."""
        return TRANSPORTS.get(self.endpoint.scheme, self.endpoint.scheme)


@dataclass(slots=True)
class Report:
    """What came of one way: an outcome of every check, and what was seen beside."""

    way: Way
    outcomes: list[tuple[Check, Outcome]] = field(default_factory=list)
    seen: Seen | None = None
    query_s: float | None = None

    def has(self, result: Result) -> bool:
        """Tell whether any check ended like this."""
        return any(outcome.result is result for _, outcome in self.outcomes)

    @property
    def works(self) -> bool:
        """Tell whether queries are answered this way, encrypted, by who it should be."""
        wanted = {"reachable", "encrypted"}
        return {c.name for c, outcome in self.outcomes if outcome.result is Result.PASS} >= wanted

    @property
    def is_good(self) -> bool:
        """Tell whether it works and nothing failed."""
        return self.works and not self.has(Result.FAIL)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask, for how long to wait for each answer, and whether to see how long it may idle.

    ``names`` makes the names of one way, so that no way learns from the cache of another.
    """

    names: Callable[[], Names]
    timeout_s: float
    idle_s: float | None = None


async def ways_of(upstream: str, endpoints: Sequence[Endpoint], timeout_s: float) -> list[Way]:
    """Give a way for each endpoint and address family, looking hosts up where they have no address.

    Through a proxy there is one way, and nothing is looked up.
    """
    found = []
    async with AsyncExitStack() as stack:
        lookup = Lookup(stack)
        for endpoint in endpoints:
            addresses = endpoint.addresses
            if endpoint.proxy is not None:
                found.append(Way(upstream, endpoint, None))
                continue
            if not addresses:
                try:
                    addresses = await lookup(endpoint.host, asyncio.get_running_loop().time() + timeout_s)
                except TransportError as error:
                    found.append(Way(upstream, endpoint, None, error))
                    continue
            for family, is_of in (("IPv4", _is_ipv4), ("IPv6", _is_ipv6)):
                some = tuple(address for address in addresses if is_of(address))
                if some:
                    found.append(Way(upstream, replace(endpoint, addresses=some), family))
    return found


async def probe_all(
    ways: Sequence[Way], plan: Plan, done: Callable[[Report], None] = lambda _: None
) -> list[Report]:
    """Try every way, a few at a time, and tell ``done`` of each; HTTP/3 too where HTTP/2 offers it."""
    room = asyncio.Semaphore(AT_ONCE)
    known = {(way.upstream, way.endpoint.scheme, way.family) for way in ways}

    async def one(way: Way) -> list[Report]:
        async with room:
            reports = [await probe(way, plan)]
            done(reports[0])
            offered = _offered(reports[0])
            if offered is not None and (way.upstream, "h3", way.family) not in known:
                reports.append(await probe(offered, plan))
                done(reports[1])
        return reports

    return [report for reports in await asyncio.gather(*map(one, ways)) for report in reports]


async def probe(way: Way, plan: Plan) -> Report:
    """Try one way."""
    if way.error is not None:
        return _unreachable(way, way.error)
    if way.family == "IPv6" and not _has_route(way.endpoint):
        return Report(way, [(check, skipped("this machine has no IPv6")) for check in CHECKS])
    async with aclosing(open_transport(way.endpoint, _no_lookup)) as transport:
        return await _Probe(way, plan, transport).run()


class _Probe:
    """One way being tried."""

    def __init__(self, way: Way, plan: Plan, transport: Transport) -> None:
        self._way = way
        self._plan = plan
        self._transport = transport
        self._names = plan.names()
        self._answers: dict[Ask, tuple[Message, int, float]] = {}
        self._misses = 0

    async def run(self) -> Report:
        """Connect, then make every check in its order."""
        deadline = asyncio.get_running_loop().time() + self._plan.timeout_s
        try:
            await self._transport.connect(deadline)
        except TransportError as error:
            return _unreachable(self._way, error)
        report = Report(self._way)
        for check in CHECKS:
            if self._misses >= MAX_MISSES:
                outcome = skipped("it fell silent before")
            else:
                outcome = await self._make(check)
            report.outcomes.append((check, outcome))
            if check is CHECKS[0] and (answer := self._answers.get(opening(self._names))):
                report.query_s = answer[2]
        report.seen = self._seen()
        return report

    async def _make(self, check: Check) -> Outcome:
        outcome = None
        if check.waits:
            return check.judge(replace(self._seen(), idle=await self._idle()))
        if check.asks is None:
            return check.judge(self._seen())
        for ask in check.asks(self._names):
            try:
                response, size, elapsed_s = await self._ask(ask)
            except TransportError as error:
                self._misses += isinstance(error, DeadlineExceeded)
                return failed(f"no answer: {error}", error.hint or _advice(self._way.endpoint, error))
            self._misses = 0
            seen = replace(self._seen(), response=response, size_octets=size, elapsed_s=elapsed_s)
            outcome = check.judge(seen)
            if outcome.result is not Result.SKIPPED:
                break
        return outcome or skipped("nothing to ask")

    async def _ask(self, ask: Ask) -> tuple[Message, int, float]:
        """Give the response, its size and how long it took; what was asked already is not asked again.

        Raises:
            TransportError: there is none, on a second connection either if the first one died.
        """
        if ask not in self._answers:
            question, dnssec = ask
            wire = build_query(question, self._way.endpoint, dnssec=dnssec, cd=dnssec)
            started = time.perf_counter()
            deadline = asyncio.get_running_loop().time() + self._plan.timeout_s
            try:
                answer = await self._transport.exchange(wire, deadline)
            except ConnectionLost:
                answer = await self._transport.exchange(wire, deadline)
            try:
                response = Message.parse(answer)
            except FormatError as error:
                raise ProtocolError(f"the response is not a DNS message: {error}") from error
            self._answers[ask] = response, len(answer), time.perf_counter() - started
        return self._answers[ask]

    async def _idle(self) -> Idle | None:
        """Leave the connection alone and see what becomes of it; None if that is not wanted."""
        facts = self._transport.facts()
        if self._plan.idle_s is None or facts.idle_limit_s:
            return None
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (seconds := loop.time() - began) < self._plan.idle_s:
            if not self._transport.facts().is_open:
                return Idle(seconds, ended=True)
            await asyncio.sleep(IDLE_STEP_S)
        self._answers.clear()
        try:
            await self._ask(opening(self._names))
        except TransportError:
            return Idle(seconds, ended=True, was_silent=True)
        is_same = self._transport.facts().handshakes == facts.handshakes
        return Idle(seconds, ended=not is_same, was_silent=not is_same)

    def _seen(self) -> Seen:
        facts = self._transport.facts()
        certificate = None if facts.certificate is None else Certificate(facts.certificate)
        return Seen(self._way.endpoint, facts, certificate, now=time.time())


def _unreachable(way: Way, error: TransportError) -> Report:
    """Give the report of a way that could not even be begun: the check fails that says why."""
    why = failed(str(error), error.hint or _advice(way.endpoint, error))
    outcomes = {"reachable": why}
    if isinstance(error, AuthenticationError):
        outcomes = {"reachable": passed("somebody answers there, and was asked nothing"), "certificate": why}
    rest = skipped("it could not be asked")
    return Report(way, [(check, outcomes.get(check.name, rest)) for check in CHECKS])


def _advice(endpoint: Endpoint, error: TransportError) -> str:
    """Say what a person can do about a failure that has no advice of its own."""
    if endpoint.proxy is None and endpoint.addresses and not _has_route(endpoint):
        return "this machine has no route there: is it online?"
    if isinstance(error, ConnectError | DeadlineExceeded):
        if endpoint.proxy is not None:
            return "does the proxy run, and may it connect to that port?"
        if endpoint.scheme in ("quic", "h3"):
            return "QUIC needs UDP, which some networks block: use dot or doh there"
        if endpoint.scheme == "tls":
            return "are the address and the port right? Some networks block port 853: use doh there"
        return "are the address and the port right? If they are, it is down: take another upstream meanwhile"
    if isinstance(error, ConnectionLost):
        return "it hangs up: take another upstream, or look into the log of your own"
    return "it does not keep to the protocol: are the port and the path right?"


def _offered(report: Report) -> Way | None:
    """Give the way over HTTP/3 that an answer over HTTP/2 offered on the same host, if it did."""
    way, seen = report.way, report.seen
    if way.endpoint.scheme != "https" or way.endpoint.proxy is not None or seen is None:
        return None
    try:
        offer = read_alt_svc(seen.facts.alt_svc or "", way.endpoint.host)
    except FormatError:
        return None
    if offer is None:
        return None
    return replace(
        way, endpoint=replace(way.endpoint, scheme="h3", port=offer[0], origin_port=way.endpoint.port)
    )


def _has_route(endpoint: Endpoint) -> bool:
    """Tell whether this machine knows a way to any of the addresses; connecting UDP sends nothing."""
    for address in endpoint.addresses:
        try:
            with open_socket(address, socket.SOCK_DGRAM) as opened:
                opened.connect((address, endpoint.port))
        except OSError:
            continue
        return True
    return False


def _is_ipv6(address: str) -> bool:
    return ":" in address


def _is_ipv4(address: str) -> bool:
    return ":" not in address


async def _no_lookup(host: str, deadline: float) -> tuple[str, ...]:
    raise ConnectError(f"no address is known for {host}")
