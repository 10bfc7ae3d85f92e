"""Keep the one connection to an upstream: who may open it, when again, and for how many queries.

At most one connect is in flight, and all who need it wait for it together. An upstream that
fails is left alone for a while (threat R9); one that closes after each answer is not a failure,
but is given no more queries at a time than it answers (fault F28).
"""

import asyncio
import secrets
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Final, Generic, Protocol, TypeVar

from secdns.endpoint import Endpoint
from secdns.errors import ConnectError, ConnectionLost, DeadlineExceeded, Overloaded, TransportError
from secdns.transport import Facts, Lookup, Waiter
from secdns.transport.conversation import QUIET_S, Conversation, Owner, again

CONNECT_LIMIT_S: Final = 5.0  # one connect in all; nobody waits longer than his own deadline
MIN_INTERVAL_S: Final = 0.05  # between two connects: 20 a second at most (fault F28)
BACK_OFF_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # after 1, 2, ... failures (threat R9)
JITTER: Final = 0.2  # of the back-off, either way
MAX_WAITING: Final = 1000  # queries that wait for a connection (threat R7)
MAX_BESIDE: Final = 8  # connections, those included that only finish what they have, to open another …
BESIDE_S: Final = 0.25  # … and how long that one has to shorten the line before there is a third
MAX_RETIRED: Final = 16  # connections that only finish what they have
MAX_QUOTA: Final = 8  # answers before a close that are few enough to be a habit of the upstream
QUOTA_LIFE_S: Final = 60.0
MIN_HABIT_S: Final = 0.5  # of quiet before a close; less has other reasons
ALIKE: Final = 0.5  # of the shorter of two such times, by which they may differ: servers look now and then
HABIT_LIFE_S: Final = 600.0  # then an upstream may show anew how long it bears a quiet connection

C = TypeVar("C", bound=Conversation)
Connect = Callable[[Owner, float], Awaitable[C]]


class Link(Owner, Generic[C]):
    """The one connection of a transport.

    ``current`` is the connection that takes new queries, or None; then ``wait`` gives the next.
    """

    def __init__(self, connect: Connect[C]) -> None:
        self.current: C | None = None
        self.latest: C | None = None  # for facts; may be closed
        self.handshakes = 0
        self.handshake_s: float | None = None  # of ``latest``
        self.alt_svc: str | None = None  # what the upstream last offered (RFC 7838) …
        self.on_alt_svc: Callable[[str], None] | None = None  # … and who wants to know of each time it does
        self.quota: int | None = None  # queries one connection is given, None for any number
        self._connect = connect
        self._alive: dict[C, None] = {}  # accepting or retired; in order of age
        self._opening: asyncio.Task[None] | None = None
        self._answered = 0  # on connections that have ended
        self._waiting = 0
        self._failures = 0
        self._last_error: TransportError | None = None
        self._next_at = 0.0  # event-loop time before which nothing is dialled …
        self._beside_at = 0.0  # … and nothing beside what there is
        self._quota_until = 0.0
        self._closed_after_s = 0.0  # of quiet, the last time that the upstream closed
        self._idle_limit_s: float | None = None
        self._idle_limit_until = 0.0
        self._is_closed = False

    async def wait(self, deadline: float) -> C:
        """Give a connection that takes queries, opening one if nobody does already.

        It may have stopped taking them by the time the caller runs: ask it, and come back.

        Raises:
            DeadlineExceeded: not ready in time; others may go on waiting.
            Overloaded: too many wait already.
            TransportError: why the connect failed, or the last one if it is too early for another.
        """
        loop = asyncio.get_running_loop()
        while self.current is None:
            if self._is_closed:
                raise ConnectionLost("the transport is closed")
            if self._waiting >= MAX_WAITING:
                raise Overloaded(f"{self._waiting} queries wait for a connection already")
            if deadline <= loop.time():
                raise DeadlineExceeded("no connection in time")
            if self._opening is None:
                self._refuse_if_too_early(loop.time())
                self._opening = loop.create_task(self._open())
                self._opening.add_done_callback(_note)
            opening = self._opening
            self._waiting += 1
            try:
                await asyncio.wait((opening,), timeout=deadline - loop.time())
            finally:
                self._waiting -= 1
            if opening.done() and not opening.cancelled() and (error := opening.exception()) is not None:
                raise again(error) if isinstance(error, TransportError) else error
        return self.current

    @property
    def accepting(self) -> Iterator[C]:
        """Give the connections that take queries, the newest first; it is one but for ``open_beside``."""
        return (alive for alive in reversed(self._alive) if alive.accepting)

    def open_beside(self) -> None:
        """Open another connection beside those that take queries, unless there are enough or one is new."""
        loop = asyncio.get_running_loop()
        next_at = max(self._next_at, self._beside_at)
        if self._opening is None and next_at <= loop.time() and len(self._alive) < MAX_BESIDE:
            self._beside_at = loop.time() + BESIDE_S
            self._opening = loop.create_task(self._open())
            self._opening.add_done_callback(_note)

    def opened(self, connection: C) -> None:
        """A connection takes queries from now on."""

    def retired(self, connection: Conversation) -> None:
        if self.current is connection:
            self.current = next(self.accepting, None)

    def ended(self, connection: Conversation, error: TransportError) -> None:
        """Draw the lesson from how a connection ended."""
        if connection in self._alive:
            del self._alive[connection]
            self._answered += connection.answered
        if connection.was_dropped:
            return
        if connection.answered == 0:  # even if nothing was asked yet: who waits would dial it again at once
            self._failed(error)
        elif connection.was_cut_short and connection.answered <= MAX_QUOTA:
            if connection.unused_s < QUIET_S:  # after a pause it was the pause, or a restart
                self.quota = connection.answered
                self._quota_until = connection.loop.time() + QUOTA_LIFE_S
        elif connection.quiet_s >= MIN_HABIT_S:
            last_s, self._closed_after_s = self._closed_after_s, connection.quiet_s
            shorter_s = min(connection.quiet_s, last_s)
            if abs(connection.quiet_s - last_s) <= ALIKE * shorter_s:  # once may be chance, twice is a habit
                self.forgotten(shorter_s)

    @property
    def idle_limit_s(self) -> float | None:
        if self._idle_limit_until <= asyncio.get_running_loop().time():
            self._idle_limit_s = None
        return self._idle_limit_s

    def forgotten(self, quiet_s: float) -> None:
        known_s = self.idle_limit_s
        self._idle_limit_s = quiet_s if known_s is None else min(known_s, quiet_s)
        self._idle_limit_until = asyncio.get_running_loop().time() + HABIT_LIFE_S

    def answers(self) -> None:
        """Take note that the upstream answers: it has no failures any more."""
        self._failures = 0
        self._last_error = None

    def heard_alt_svc(self, value: str) -> None:
        """Take note of what the upstream offers beside this connection."""
        self.alt_svc = value
        if self.on_alt_svc is not None:
            self.on_alt_svc(value)

    def blame(self, error: TransportError) -> None:
        """Take note of an upstream that answers, but so badly that it should be left alone."""
        self._failures = max(self._failures, 1)
        self._failed(error)

    def forgive(self) -> None:
        """Drop every grudge, and the connections that should have ended long ago."""
        self._failures = 0
        self._last_error = None
        self._next_at = 0.0
        now = asyncio.get_running_loop().time()
        for connection in list(self._alive):
            if connection.is_overdue(now):
                connection.abort()

    def hang_up(self) -> None:
        """End every connection as one that fell silent; grudges stay."""
        for connection in list(self._alive):
            connection.was_owing = True
            connection.fail(ConnectionLost(f"{connection.peer} fell silent"))

    def reset(self) -> None:
        """Drop every connection and every grudge; who waits for a connect waits for a new one."""
        self.forgive()
        self.quota = None
        self.alt_svc = None  # an offer holds on the network where it was made (RFC 7838 §2.2)
        self._closed_after_s = self._idle_limit_until = 0.0
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        for connection in list(self._alive):
            connection.abort()

    def retire(self) -> None:
        """Take no new queries to the open connections, and give up the connect under way."""
        if self._opening is not None:
            self._opening.cancel()  # who waits for it finds that out, and that there is another
        for connection in list(self.accepting):
            connection.retire()

    def facts(self) -> Facts:
        """Tell what is known about the newest connection, and the counts over all."""
        connection = self.latest
        if connection is None:
            return Facts()
        return replace(
            connection.facts(),
            handshakes=self.handshakes,
            exchanges=self._answered + sum(alive.answered for alive in self._alive),
            alt_svc=self.alt_svc,
            handshake_s=self.handshake_s,
            is_open=connection.error is None,
            idle_limit_s=connection.idle_limit_s,
        )

    async def aclose(self) -> None:
        """Close every connection and wait until the sockets are closed."""
        self._is_closed = True
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait((opening,))
        alive = list(self._alive)
        for connection in alive:
            connection.close()
        if alive:
            await asyncio.wait([connection.closed for connection in alive])

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        me = asyncio.current_task()
        try:
            self._refuse_if_too_early(loop.time())  # once more: how the last one ended may be known only now
            if (early := self._next_at - loop.time()) > 0:
                await asyncio.sleep(early)
            began = loop.time()
            self._next_at = began + MIN_INTERVAL_S
            try:
                connection = await self._connect(self, began + CONNECT_LIMIT_S)
            except TransportError as error:
                self._failed(error)
                raise
        finally:
            if self._opening is me:
                self._opening = None
        self.handshakes += 1
        self.handshake_s = loop.time() - began
        self.latest = connection
        if connection.error is not None:  # open for a moment only
            self._failed(connection.error)
            raise ConnectError(str(connection.error))
        self._alive[connection] = None
        while len(self._alive) > MAX_RETIRED:
            next(iter(self._alive)).abort()
        self.current = connection
        self.opened(connection)

    def _failed(self, error: TransportError) -> None:
        self._last_error = error
        delay_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        delay_s *= 1 + JITTER * (secrets.randbelow(2001) / 1000 - 1)
        self._next_at = max(self._next_at, asyncio.get_running_loop().time() + delay_s)

    def _refuse_if_too_early(self, now: float) -> None:
        if self._quota_until <= now:
            self.quota = None
        early_s = self._next_at - now
        error = self._last_error
        if error is not None and early_s > MIN_INTERVAL_S:
            refusal = again(error)
            refusal.retry_after_s = early_s
            refusal.args = (f"{error} (not tried again for {early_s:.1f} s)",)
            raise refusal


class Forgetful(Protocol):
    """Whom an upstream has to be; see ``tls.Identity`` and ``quic_client.Identity``."""

    def forget(self) -> None:
        """Forget what would resume a session."""


Who = TypeVar("Who", bound=Forgetful)


class Linked(Generic[C, Who]):
    """What the transports that keep one connection have in common.

    A subclass opens a connection in ``_connect`` and asks it in ``exchange`` and ``begin``, which
    do as ``Transport`` says. The rest is for who chooses between two transports (``racing``).
    """

    def __init__(self, endpoint: Endpoint, lookup: Lookup, identity: Who) -> None:
        self._endpoint = endpoint
        self._lookup = lookup
        self._identity = identity
        self._link = self._make_link()

    def _make_link(self) -> Link[C]:
        return Link(self._connect)

    @abstractmethod
    async def _connect(self, owner: Owner, deadline: float) -> C:
        """Give a new connection that has said who it is."""

    @abstractmethod
    async def exchange(self, query: bytes, deadline: float) -> bytes: ...

    @abstractmethod
    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None: ...

    async def connect(self, deadline: float) -> None:
        if self._link.current is None:
            await self._link.wait(deadline)

    @property
    def is_open(self) -> bool:
        """Tell whether a connection takes queries."""
        return self._link.current is not None

    @property
    def broke(self) -> TransportError | None:
        """Why the newest connection ended, if it left queries unanswered and not in good order."""
        last = self._link.latest
        if last is None or last.was_dropped or last.was_sent_away or last.was_ended_well:
            return None
        return last.error if last.was_owing else None

    def when_alt_svc(self, heard: Callable[[str], None]) -> None:
        """Have ``heard`` called with the Alt-Svc of each answer that has one."""
        self._link.on_alt_svc = heard

    def retire(self) -> None:
        """Take no new queries to the open connection, and give up the connect under way.

        The connection ends when what was asked on it is answered. Who waits for a connection goes
        on waiting, for a new one.
        """
        self._link.retire()

    def hang_up(self) -> None:
        self._link.hang_up()

    def reset(self) -> None:
        self._identity.forget()
        self._link.reset()

    def forgive(self) -> None:
        self._link.forgive()

    def facts(self) -> Facts:
        return self._link.facts()

    async def aclose(self) -> None:
        await self._link.aclose()


def _note(opening: asyncio.Task[None]) -> None:
    """Look at the outcome of a connect, so that nobody is told that nobody did: who waited may be gone."""
    if not opening.cancelled():
        opening.exception()
