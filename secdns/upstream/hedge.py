"""Ask the later upstreams of a query when the first is slow."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol

from secdns.upstream.attempt import T


class Startable(Protocol):
    """A query that waits for its first upstream."""

    due: float  # when the later ones are asked, in seconds of the event loop's clock

    def start(self) -> None:
        """Ask the later ones."""


class Queue:
    """The queries that wait for one upstream, under one timer.

    They fall due in the order in which they came: one that came later is not due earlier, though
    the upstream's answers may have told meanwhile that less patience would do.
    """

    def __init__(self) -> None:
        self._waiting: dict[Startable, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last_due = 0.0

    def add(self, hedged: Startable) -> None:
        """Start ``hedged`` when it is due, unless ``drop`` comes first."""
        if not self._waiting:
            if self._timer is not None and self._timer.when() > hedged.due:
                self._timer.cancel()
                self._timer = None
        elif hedged.due < self._last_due:
            hedged.due = self._last_due
        self._last_due = hedged.due
        self._waiting[hedged] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(hedged.due, self._start_due)

    def drop(self, hedged: Startable) -> None:
        """Start it no more."""
        self._waiting.pop(hedged, None)

    def clear(self) -> None:
        """Start none of them."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_due(self) -> None:
        """Start all whose time has come; the timer follows the oldest that is left."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        due = []
        for hedged in self._waiting:
            if hedged.due > now:
                self._timer = loop.call_at(hedged.due, self._start_due)
                break
            due.append(hedged)
        for hedged in due:
            del self._waiting[hedged]
            hedged.start()


class Hedge(Generic[T]):
    """The later upstreams of a query whose first is asked in the task that makes this.

    They are asked when the first is slow, or when it failed.
    """

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
