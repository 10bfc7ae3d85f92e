"""Keep questions back while there is no network, in the hope that there is another in a moment.

When a laptop goes from one network to the next there is none for a second or so. A client that is
told so at once gives up; one that waits that long for its answer does not notice. One that has to
wait for longer is told after all, and whoever asks later is told at once. When there is another, what
fails before its resolvers are known is kept back until they are: it may be for them.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from secdns.cache import Entry
from secdns.errors import TransportError
from secdns.network.watch import Outlook

HOLD_S: Final = 1.2  # from the moment when the network went; a client hears of it within 2 s (fault F11)


class Question(Protocol):
    """What is kept back: a question that is being asked."""

    @property
    def deadline(self) -> float:
        """When its answer is due, in the event loop's seconds."""

    @property
    def is_over(self) -> bool:
        """Nobody waits for it any more."""

    def ask_again(self, now: float) -> None:
        """Ask, once more."""

    def land(self, entry: Entry | None, error: TransportError | None) -> None:
        """Take what came of it; may come here again."""


class Hold:
    """The questions on hold. Belongs to the event loop.

    ``clock`` gives the cache's seconds. ``tell`` is called when the time is over: all that is being
    asked then has no prospect.
    """

    def __init__(self, outlook: Outlook, clock: Callable[[], float], tell: Callable[[], None]) -> None:
        self._outlook = outlook
        self._clock = clock
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._held: list[Question] = []
        self._doubtful: list[tuple[Question, Entry | None, TransportError | None]] = []
        self._changes = 0
        self._has_looked = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_hopeless(self) -> bool:
        """There is no network, and has not been for so long that nobody should wait for it."""
        return bool(self._outlook.gone) and self._left_s() <= 0.0

    def take(self, question: Question, entry: Entry | None, error: TransportError | None) -> bool:
        """Keep a question that failed, if that was for want of a network; tell whether it is kept.

        Where it is time to look, that is found out in the next turn: here somebody may be in the
        middle of a connection that the outcome would drop.
        """
        if self._clock() >= self._outlook.look_at and not self._has_looked:
            if not self._doubtful:
                self._loop.call_soon(self._look)
            self._doubtful.append((question, entry, error))
            return True
        if not self._outlook.gone:
            if self._outlook.is_new:
                self._held.append(question)
            return self._outlook.is_new
        left_s = self._left_s()
        if left_s <= 0.0 or self._loop.time() + left_s >= question.deadline:
            return False
        self._held.append(question)
        self._set_timer()
        return True

    def network_changed(self) -> None:
        """Ask again what is on hold, if there is a network now, or more is known of it."""
        self._changes += 1
        if self._outlook.gone:
            if self._left_s() > 0.0:
                self._set_timer()
            return
        self.close()
        held, self._held = self._held, []
        now = self._loop.time()
        for question in held:
            if not question.is_over:
                question.ask_again(now)

    def close(self) -> None:
        """Set no timer off any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _left_s(self) -> float:
        return HOLD_S - (self._clock() - self._outlook.gone_since)

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._left_s(), self._time_is_over)

    def _time_is_over(self) -> None:
        self._timer = None
        self._held.clear()
        if self._outlook.gone:
            self._tell()

    def _look(self) -> None:
        """Find out whether what failed a moment ago failed for want of a network."""
        doubtful, self._doubtful = self._doubtful, []
        changes = self._changes
        if self._clock() >= self._outlook.look_at:
            self._outlook.look()
        now = self._loop.time()
        self._has_looked = True
        try:
            for question, entry, error in doubtful:
                if question.is_over:
                    continue
                if self._changes != changes and not self._outlook.gone:  # it was asked on another network
                    question.ask_again(now)
                else:
                    question.land(entry, error)
        finally:
            self._has_looked = False
