"""Keep the deadlines of what was asked on one connection, and end it for everybody at once.

What octets travel on, TLS over TCP or QUIC, is for subclasses.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Final

from secdns.errors import AuthenticationError, ConnectError, ConnectionLost, DeadlineExceeded, TransportError
from secdns.transport import Facts, Waiter

IDLE_S: Final = 10.0  # then we close: keepalives wake radios, and a ticket makes reconnecting cheap
IDLE_SHARE: Final = 0.8  # of the peer's own idle limit; we close before it does
QUIET_S: Final = 1.0  # after such a pause the peer, or a NAT on the way, may have forgotten us (fault F2)
DOUBT_S: Final = 0.5  # without a sign of life after it; then a fresh connection is the better bet
DOUBT_ROUNDS: Final = 3.0  # of a handshake are doubted at least: the peer may be far away …
MAX_DOUBT_S: Final = 1.2  # … but not so long that no time is left to ask again
PATIENT: Final = 3.0  # times the doubt, where only one of both speaks for it: the pause or the missing echo
MAX_MISSES: Final = 2  # deadlines missed in a row with nothing received: the peer is gone (threat R8) …
MISS_S: Final = 0.5  # … since the last answer at least: a query may come with little time left
OVERDUE_S: Final = 5.0  # a timer this late was stopped with the whole program, no busy machine explains it
NEVER: Final = float("inf")


class Owner:
    """What a connection tells whoever opened it, and hears of the connections before it."""

    @property
    def idle_limit_s(self) -> float | None:
        """How long the upstream was seen to bear a quiet connection; None if that is not known."""
        return None

    def forgotten(self, quiet_s: float) -> None:
        """Take note that a pause was long enough for a connection to vanish without a word."""

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
        self.told_limit_s: float | None = None  # how long the peer said that we may be quiet
        self.unused_s = 0.0  # from the last answer to the end
        self.quiet_s = 0.0  # the same, if nothing was owed
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = NEVER
        self._misses = 0
        self._heard_at = self.loop.time()  # a sign of life, whatever it said
        self._used_at = self._heard_at  # an answer; before the first, when the connection opened or was begun
        self._doubt_s = DOUBT_S
        self._doubt_timer: asyncio.TimerHandle | None = None
        self._doubted_at = 0.0
        self._pause_s = 0.0  # how quiet it had been then

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

    @abstractmethod
    def is_unacknowledged(self) -> bool:
        """Tell whether the other end has yet to say that it received what we sent; False if unknown."""

    @property
    def idle_limit_s(self) -> float | None:
        """How long the peer bears a quiet connection, as it said or as was seen; None if unknown."""
        known = [limit for limit in (self.told_limit_s, self._owner.idle_limit_s) if limit is not None]
        return min(known, default=None)

    @property
    def idle_s(self) -> float:
        """How long we let the connection be quiet before we close it."""
        limit_s = self.idle_limit_s
        return IDLE_S if limit_s is None else min(IDLE_S, IDLE_SHARE * limit_s)

    # what a subclass uses

    def watch(self, deadline: float) -> None:
        """Wake up at ``deadline`` at the latest. Call it only if ``deadline < alarm_at``."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = deadline
        self._alarm = self.loop.call_at(deadline, self._on_alarm)

    def told(self, limit_s: float) -> None:
        """Take note how long the peer says that we may be quiet; 0 asks us to go (RFC 7828 §3.2.2)."""
        if limit_s > 0.0:
            self.told_limit_s = limit_s
            if (close_at := self.loop.time() + self.idle_s) < self._alarm_at:
                self.watch(close_at)
        else:
            self.was_sent_away = True
            self.retire()

    def doubt(self) -> None:
        """Look soon whether the peer is still there. Call it with each query unless that is under way."""
        self._doubted_at = self.loop.time()
        self._pause_s = self._doubted_at - self._heard_at
        self._doubt_timer = self.loop.call_at(self._doubted_at + self._doubt_s, self._on_doubt)

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
        now = self.loop.time()
        self._doubt_s = min(max(DOUBT_S, DOUBT_ROUNDS * (now - self._used_at)), MAX_DOUBT_S)
        self._heard_at = self._used_at = now
        self.watch(now + self.idle_s)
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
        if self.answered:
            self.unused_s = self.loop.time() - self._used_at
            self.quiet_s = self.unused_s if self.is_drained() else 0.0
        for timer in (self._alarm, self._doubt_timer):
            if timer is not None:
                timer.cancel()
        self._alarm = self._doubt_timer = None
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
                self._misses += now >= self._used_at + MISS_S
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
        elif not self.accepting or now >= self._used_at + self.idle_s:
            self.close()
        else:
            self.watch(self._used_at + self.idle_s)

    def _on_doubt(self) -> None:
        """End a connection that has vanished, so that its queries can be sent again in time (fault F2).

        A pause before the query and no echo to it are two signs of that. With both the doubt is
        short; with one of them it is long, for names are slow and octets get lost; with neither
        there is none.
        """
        self._doubt_timer = None
        now = self.loop.time()
        is_unheard, is_awaited = self.is_unacknowledged(), not self.is_drained()
        if self._heard_at > self._doubted_at:
            if is_awaited or is_unheard:
                self.doubt()
                self._pause_s = 0.0
            return
        is_paused = self._pause_s >= QUIET_S
        if not is_unheard and not (is_paused and is_awaited):
            return
        until = self._doubted_at + self._doubt_s * (1.0 if is_paused and is_unheard else PATIENT)
        if now < until:
            self._doubt_timer = self.loop.call_at(until, self._on_doubt)
            return
        if is_paused and is_unheard:
            self._owner.forgotten(self._pause_s)
        self._used_at = now  # that we end it ourselves says nothing of what the peer bears
        self.fail(ConnectionLost(f"{self.peer} fell silent"))


def again(error: TransportError) -> TransportError:
    """Give a copy to raise: one exception object raised in many tasks would collect their tracebacks."""
    copy = type(error)(str(error), hint=error.hint, retry_after_s=error.retry_after_s, brief=error.brief)
    if isinstance(error, AuthenticationError) and isinstance(copy, AuthenticationError):
        copy.untimely = error.untimely
    copy.__cause__ = error
    return copy
