"""Keep the deadlines of what was asked on one connection, and end it for everybody at once.

What octets travel on, TLS over TCP or QUIC, is for subclasses.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Final

from secdns.errors import ConnectError, ConnectionLost, DeadlineExceeded, TransportError
from secdns.transport import Facts, Waiter

IDLE_S: Final = 10.0  # then we close: keepalives wake radios, and a ticket makes reconnecting cheap
MAX_MISSES: Final = 2  # deadlines missed in a row with nothing received: the peer is gone (threat R8)
OVERDUE_S: Final = 5.0  # a timer this late was stopped with the whole program, no busy machine explains it
NEVER: Final = float("inf")


class Owner:
    """What a connection tells whoever opened it."""

    def retired(self, connection: "Conversation") -> None:
        """Take no new queries to this connection."""

    def ended(self, connection: "Conversation", error: TransportError) -> None:
        """Forget this connection: its socket is closed."""


class Conversation:
    """One connection; a subclass says how its octets travel and what they mean.

    From ``opened`` on it is in one of three states: accepting, retired (answers are awaited, new
    queries go elsewhere), ended. The subclass calls ``watch`` with each new deadline and gives
    what is unanswered in ``unanswered``.
    """

    HANDSHAKE: ClassVar = "TLS"

    def __init__(self, owner: Owner, peer: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.peer = peer
        self.accepting = False
        self.asked = 0
        self.answered = 0
        self.error: TransportError | None = None  # why it ended
        self.was_dropped = False  # by our own will
        self.was_sent_away = False  # the peer asked us to go
        self.was_ended_well = False  # the peer closed in good order …
        self.was_cut_short = False  # … but owed answers
        self.was_owing = False  # it ended, in whatever order, and answers were owed
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self._owner = owner
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = NEVER
        self._misses = 0
        self._heard_at = 0.0

    # what a subclass says

    def opened(self) -> None:
        """The handshake is over and the peer is who it should be."""

    @abstractmethod
    def unanswered(self) -> Iterable[tuple[int, Waiter, float]]:
        """Give a key, the future and the deadline of each query that waits; done futures too."""

    def expired(self, key: int) -> None:
        """Take note that this query's deadline has passed or that nobody waits for it any more."""

    def is_drained(self) -> bool:
        """Tell whether a retired connection has nothing left to wait for."""
        return all(future.done() for _, future, _ in self.unanswered())

    def is_overdue(self, now: float) -> bool:
        """Tell whether it should have ended long ago, and did not because the program was stopped."""
        return now > self._alarm_at + OVERDUE_S

    @abstractmethod
    def facts(self) -> Facts:
        """Tell what the handshake agreed on."""

    @abstractmethod
    def fail(self, error: TransportError) -> None:
        """End at once; what is unanswered ends with ``error``."""

    @abstractmethod
    def close(self) -> None:
        """End politely: say so to the peer, then close."""

    @property
    def idle_s(self) -> float:
        return IDLE_S

    # what a subclass uses

    def watch(self, deadline: float) -> None:
        """Wake up at ``deadline`` at the latest. Call it only if ``deadline < alarm_at``."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = deadline
        self._alarm = self.loop.call_at(deadline, self._on_alarm)

    def retire(self) -> None:
        """Take no new queries; end as soon as nothing is unanswered."""
        if self.accepting:
            self.accepting = False
            self._owner.retired(self)
        if self.error is None and self.is_drained():
            self.close()

    def abort(self) -> None:
        """End at once, by our own will."""
        self.was_dropped |= self.error is None
        self.fail(ConnectionLost(f"connection to {self.peer} was dropped"))

    def _open(self) -> None:
        """Begin: the peer is who it should be."""
        self.accepting = True
        self._heard_at = self.loop.time()
        self.watch(self._heard_at + self.idle_s)
        self.opened()
        if not self.ready.done():
            self.ready.set_result(None)

    def _heard(self) -> None:
        """Note that the peer is alive."""
        self._misses = 0
        self._heard_at = self.loop.time()

    def _end(self, error: TransportError) -> TransportError:
        """Stop: no new query, no timer, an end for everyone who waits. Give the first reason."""
        if self.error is not None:
            return self.error
        self.error = error
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = NEVER
        if not self.ready.done():
            cannot: TransportError = error
            if isinstance(error, ConnectionLost):
                cannot = ConnectError(f"no {self.HANDSHAKE} handshake: {error}")
            self.ready.set_exception(cannot)
            self.ready.exception()  # whoever dialled may have been cancelled
        if self.accepting:
            self.accepting = False
            self._owner.retired(self)
        for _, future, _ in list(self.unanswered()):
            if not future.done():
                self.was_owing = True
                future.set_exception(again(error))
        return error

    def _on_alarm(self) -> None:
        """End what is overdue, then sleep until the next deadline or the end of patience."""
        now = self.loop.time()
        self._alarm = None
        self._alarm_at = next_at = NEVER
        for key, future, deadline in list(self.unanswered()):
            if future.done():
                self.expired(key)
            elif deadline > now:
                next_at = min(next_at, deadline)
            else:
                self._misses += 1
                future.set_exception(DeadlineExceeded(f"{self.peer} did not answer in time"))
                self.expired(key)
        if self.error is not None:
            return
        if self._misses >= MAX_MISSES:
            self.was_owing = True
            self.fail(ConnectionLost(f"{self.peer} fell silent"))
        elif next_at < self._alarm_at:
            self.watch(next_at)
        elif self._alarm_at < NEVER:
            pass  # who heard of a failure has asked again
        elif not self.accepting or now >= self._heard_at + self.idle_s:
            self.close()
        else:
            self.watch(self._heard_at + self.idle_s)


def again(error: TransportError) -> TransportError:
    """Give a copy to raise: one exception object raised in many tasks would collect their tracebacks."""
    copy = type(error)(str(error), hint=error.hint, retry_after_s=error.retry_after_s, brief=error.brief)
    copy.__cause__ = error
    return copy
