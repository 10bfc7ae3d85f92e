"""Ask an ``https://`` upstream over HTTP/3 where it offers that, and over HTTP/2 where that is better.

Two ways to learn of an offer: the endpoint says so, or an answer over HTTP/2 brought an Alt-Svc
(RFC 7838). If it is known when a connection is needed, both handshakes race and HTTP/3 has a head
start; if it comes while HTTP/2 is connected, HTTP/3 is tried beside it and nobody waits. The first
queries on HTTP/3 are a trial, asked again over HTTP/2 if they fail. An HTTP/3 that loses, fails or
breaks is left alone for a while that grows, so that a network which blocks it costs one race
(fault F10).
"""

import asyncio
import importlib
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol, cast

from secdns.endpoint import Endpoint
from secdns.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    Overloaded,
    StatusError,
    TransportError,
)
from secdns.transport import SCHEMES, Facts, Lookup, Transport, Waiter, open_transport
from secdns.transport.alt_svc import Offer
from secdns.transport.conversation import again
from secdns.transport.link import CONNECT_LIMIT_S, MAX_WAITING

HEAD_START_S: Final = 0.25  # of HTTP/3 over HTTP/2; more than most round trips, less than people notice
ALONE_S: Final = (
    600.0  # an HTTP/3 that failed is left alone, doubling; it is the network's habit, seldom a whim
)
MAX_ALONE_S: Final = 7200.0
TRIAL_S: Final = 1.0  # for the first answer over HTTP/3; then HTTP/2 is asked too
RACE_S: Final = CONNECT_LIMIT_S + 0.5  # the transports give up first, and say why

_LOG = logging.getLogger(__name__)


def open_way(endpoint: Endpoint, lookup: Lookup) -> Transport:
    """Give the transport of an endpoint, which may use HTTP/3 where the endpoint lets it. No I/O.

    Through a proxy there is no HTTP/3: QUIC cannot go through it.

    Raises:
        EndpointError: this version does not speak the scheme.
    """
    if endpoint.scheme != "https" or endpoint.offers_h3 is False or endpoint.proxy is not None:
        return open_transport(endpoint, lookup)
    return Racer(endpoint, lookup)


class _Way(Transport, Protocol):
    """A transport that keeps one connection; see ``transport.link.Linked``."""

    @property
    def is_open(self) -> bool: ...

    @property
    def broke(self) -> TransportError | None: ...

    def when_alt_svc(self, heard: Callable[[str], None]) -> None: ...

    def retire(self) -> None: ...


class _Nobody:
    """Who takes queries while HTTP/3 is on trial: all of them go through ``exchange``."""

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> None:
        return None


class Racer:
    """The transport of ``https://`` over either HTTP."""

    def __init__(self, endpoint: Endpoint, lookup: Lookup) -> None:
        self._endpoint = endpoint
        self._lookup = lookup
        self._doh2 = self._open(endpoint)
        self._doh3: _Way | None = None  # not before it is wanted: `aioquic` takes 8 MB
        self._doh3_port = 0
        self._active: _Way = self._doh2  # what is in use …
        self._taking: _Way | _Nobody = self._doh2  # … and takes queries without a trial
        self._offer = Offer(endpoint)
        self._race: asyncio.Task[None] | None = None
        self._upgrade: asyncio.Task[None] | None = None
        self._connects: list[asyncio.Task[None]] = []  # of the race
        self._waiting = 0
        self._lost = 0  # times HTTP/3 was found wanting, in a row
        self._alone_until = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._grudge: TransportError | None = None  # what HTTP/3 is left alone for
        self._past = Facts()  # counts of HTTP/3 at a port that is not offered any more
        self._is_closed = False

    # what a transport does

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        if not self._active.is_open:
            await self._choose(deadline)
        if self._active is self._doh2:
            return await self._ask_doh2(query, deadline)
        if self._active is self._taking:
            return await self._active.exchange(query, deadline)
        return await self._try(self._active, query, deadline)

    async def connect(self, deadline: float) -> None:
        await self._choose(deadline)
        if self._active is self._doh2:
            await self._doh2.connect(deadline)

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        return self._taking.begin(query, deadline, waiter)

    def hang_up(self) -> None:
        self._active.hang_up()

    def reset(self) -> None:
        self._stop()
        self._doh2.reset()
        if self._doh3 is not None:
            self._doh3.reset()
        self._use(self._doh2)
        self._offer = Offer(self._endpoint)
        self._lost = 0
        self._alone_until = 0.0
        self._grudge = None

    def forgive(self) -> None:
        """HTTP/3 stays alone all the same: that nobody asked opens no firewall."""
        self._doh2.forgive()
        if self._doh3 is not None:
            self._doh3.forgive()

    def facts(self) -> Facts:
        counts = [self._past, self._doh2.facts()]
        if self._doh3 is not None:
            counts.append(self._doh3.facts())
        return replace(
            self._active.facts(),
            handshakes=sum(one.handshakes for one in counts),
            exchanges=sum(one.exchanges for one in counts),
            alt_svc=self._offer.said,
        )

    async def aclose(self) -> None:
        self._is_closed = True
        if stopped := self._stop():
            await asyncio.wait(stopped)
        await self._doh2.aclose()
        if self._doh3 is not None:
            await self._doh3.aclose()

    # asking

    async def _ask_doh2(self, query: bytes, deadline: float) -> bytes:
        try:
            return await self._doh2.exchange(query, deadline)
        except ConnectError as error:
            if isinstance(self._grudge, AuthenticationError):  # says more, and nobody was told yet
                raise again(self._grudge) from error
            raise

    async def _try(self, doh3: _Way, query: bytes, deadline: float) -> bytes:
        """Ask an HTTP/3 that has answered nothing yet, and HTTP/2 if that fails."""
        loop = asyncio.get_running_loop()
        try:
            answer = await doh3.exchange(query, min(deadline, loop.time() + TRIAL_S))
        except Overloaded:
            raise
        except DeadlineExceeded:  # the name may be slow; of two in a row the connection dies
            if loop.time() >= deadline:
                raise
            failure = None
        except TransportError as error:
            if isinstance(error, StatusError) and error.retry_after_s:
                raise  # it wants to be asked less, not more
            failure = error
        else:
            self._passed(doh3)
            return answer
        answer = await self._ask_doh2(query, deadline)
        if failure is not None and doh3 is self._active and not isinstance(failure, ConnectionLost):
            self._leave_alone(failure)  # alone it is to blame; of lost connections it is known how they ended
        return answer

    def _passed(self, doh3: _Way) -> None:
        """Take note that HTTP/3 answers: the way is free, and HTTP/2 finishes what it has."""
        if doh3 is self._active and self._taking is not doh3:
            self._taking = doh3
            self._lost = 0
            self._grudge = None
            self._doh2.retire()

    # choosing

    async def _choose(self, deadline: float) -> None:
        """See that what is in use is connected, or is HTTP/2, which connects by itself.

        All who need it wait for one race, which goes on if they give up.
        """
        loop = asyncio.get_running_loop()
        while not self._active.is_open:
            if self._is_closed:
                raise ConnectionLost("the transport is closed")
            if self._race is None:
                self._look_back()
                if self._upgrade is not None or self._doh2.is_open or self._port(loop.time()) is None:
                    return
                if deadline <= loop.time():
                    raise DeadlineExceeded("no connection in time")
                self._race = loop.create_task(self._run_race())
                self._race.add_done_callback(_note)
            if self._waiting >= MAX_WAITING:
                raise Overloaded(f"{self._waiting} queries wait for a connection already")
            race = self._race
            self._waiting += 1
            try:
                await asyncio.wait((race,), timeout=deadline - loop.time())
            finally:
                self._waiting -= 1
            if not race.done():
                raise DeadlineExceeded("no connection in time")
            if not race.cancelled() and (error := race.exception()) is not None:
                raise again(error) if isinstance(error, TransportError) else error

    def _look_back(self) -> None:
        """Go back to HTTP/2 if HTTP/3 has no connection any more; one that broke is left alone."""
        doh3, self._active, self._taking = self._active, self._doh2, self._doh2
        if doh3 is not self._doh2 and doh3.broke is not None:
            self._leave_alone(doh3.broke)

    def _port(self, now: float) -> int | None:
        """Give the port at which HTTP/3 may be tried now."""
        return None if now < self._alone_until else self._offer.port(now)

    async def _run_race(self) -> None:
        """Connect over both, HTTP/3 first, and use the first that is ready.

        Raises:
            TransportError: neither is; the more telling reason.
        """
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        try:
            doh3 = await self._load()
            until = loop.time() + RACE_S
            quic = loop.create_task(doh3.connect(until))
            connects = self._connects = [quic]
            try:
                await asyncio.wait((quic,), timeout=HEAD_START_S)
                if not _is_won(quic):
                    connects.append(loop.create_task(self._doh2.connect(until)))
                    await _first_won(connects)
            finally:
                await _end(connects)
            self._judge(doh3, *connects)
        finally:
            if self._race is me:
                self._race = None

    def _judge(self, doh3: _Way, quic: asyncio.Task[None], tcp: asyncio.Task[None] | None = None) -> None:
        """Draw the lesson from a race. Where neither could connect nothing is held against HTTP/3."""
        if _is_won(quic):
            self._use(doh3)
            self._doh2.retire()
            return
        failure = None if quic.cancelled() else quic.exception()
        lost = failure if isinstance(failure, TransportError) else None
        if tcp is not None and _is_won(tcp):
            url = self._endpoint.url
            self._leave_alone(lost or DeadlineExceeded(f"{url} is slower over HTTP/3 than over HTTP/2"))
            return
        doh3.retire()
        error = None if tcp is None or tcp.cancelled() else tcp.exception()
        if error is None or (
            isinstance(lost, AuthenticationError) and not isinstance(error, AuthenticationError)
        ):
            raise again(lost or ConnectError(f"cannot connect to {self._endpoint.url}")) from error
        raise error

    async def _run_upgrade(self) -> None:
        """Connect over HTTP/3 while HTTP/2 carries the queries."""
        me = asyncio.current_task()
        try:
            doh3 = await self._load()
            await doh3.connect(asyncio.get_running_loop().time() + RACE_S)
        except TransportError as error:
            self._leave_alone(error)
        else:
            self._use(doh3)
        finally:
            if self._upgrade is me:
                self._upgrade = None

    def _upgrade_soon(self) -> None:
        """Try HTTP/3 beside a connection over HTTP/2, unless there is a reason not to."""
        loop = asyncio.get_running_loop()
        is_busy = self._is_closed or self._race is not None or self._upgrade is not None
        if is_busy or self._active is not self._doh2 or not self._doh2.is_open:
            return  # when a connection is needed next, there will be a race
        if self._port(loop.time()) is not None:
            self._upgrade = loop.create_task(self._run_upgrade())

    def _leave_alone(self, error: TransportError) -> None:
        """Use HTTP/2 for a while that grows with each time."""
        loop = asyncio.get_running_loop()
        alone_s = min(ALONE_S * 2.0 ** min(self._lost, 8), MAX_ALONE_S)
        self._lost += 1
        self._grudge = error
        self._alone_until = loop.time() + alone_s
        if self._retry is not None:
            self._retry.cancel()
        self._retry = loop.call_at(self._alone_until, self._try_again)
        self._use(self._doh2)
        if self._doh3 is not None:
            self._doh3.retire()
        level = logging.WARNING if isinstance(error, AuthenticationError) else logging.INFO
        _LOG.log(level, "no HTTP/3 for %.0f minutes: %s", alone_s / 60, error)

    def _try_again(self) -> None:
        """Forgive: the time is over."""
        self._alone_until = 0.0
        self._upgrade_soon()

    def _heard(self, value: str) -> None:
        """Take an Alt-Svc that came with an answer, whichever way it took."""
        now = asyncio.get_running_loop().time()
        self._offer.heard(value, now)
        if self._active is self._doh2:
            self._upgrade_soon()
        elif self._offer.port(now) is None:  # withdrawn; what was asked is still answered
            doh3 = self._active
            self._use(self._doh2)
            doh3.retire()

    # the two

    def _use(self, way: _Way) -> None:
        """Use one of the two from now on; HTTP/3 on trial."""
        self._active = way
        self._taking = self._doh2 if way is self._doh2 else _NOBODY

    async def _load(self) -> _Way:
        """Give HTTP/3 at the port that is offered."""
        if SCHEMES["h3"] not in sys.modules:  # a tenth of a second, in which others want to be served
            await asyncio.to_thread(importlib.import_module, SCHEMES["h3"])
        port = self._offer.port(asyncio.get_running_loop().time()) or self._endpoint.port
        if self._doh3 is None or self._doh3_port != port:
            if self._doh3 is not None:
                counts = (self._past, self._doh3.facts())
                self._past = Facts(
                    handshakes=sum(one.handshakes for one in counts),
                    exchanges=sum(one.exchanges for one in counts),
                )
                self._doh3.reset()
            self._doh3 = self._open(
                replace(self._endpoint, scheme="h3", port=port, origin_port=self._endpoint.port)
            )
            self._doh3_port = port
        return self._doh3

    def _open(self, endpoint: Endpoint) -> _Way:
        way = cast(_Way, open_transport(endpoint, self._lookup))
        way.when_alt_svc(self._heard)
        return way

    def _stop(self) -> list[asyncio.Task[None]]:
        """Give up the race and the upgrade; give what is ending."""
        ending = [*self._connects, *(task for task in (self._race, self._upgrade) if task is not None)]
        self._race = self._upgrade = None
        for task in ending:
            task.cancel()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        return ending


_NOBODY: Final = _Nobody()


def _is_won(connect: asyncio.Task[None]) -> bool:
    return connect.done() and not connect.cancelled() and connect.exception() is None


async def _first_won(connects: list[asyncio.Task[None]]) -> None:
    """Wait until one of them is connected or none can be."""
    while not any(_is_won(connect) for connect in connects):
        running = [connect for connect in connects if not connect.done()]
        if not running:
            return
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)


async def _end(connects: list[asyncio.Task[None]]) -> None:
    """Cancel what is not done, and look at the outcome of all, so that nobody is told that nobody did."""
    running = [connect for connect in connects if not connect.done()]
    for connect in running:
        connect.cancel()
    if running:
        await asyncio.wait(running)
    for connect in connects:
        _note(connect)


def _note(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
