"""Ask an upstream that is connected and well, without a task."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol

from secdns.errors import ConnectionLost, TransportError
from secdns.upstream.attempt import Ask, Done, Failure, Read, Reasons, T, refused, unusable
from secdns.upstream.hedge import Queue
from secdns.upstream.member import Upstream


class Group(Protocol):
    """Whoever asks the later upstreams."""

    async def ask(self, members: Sequence[Upstream], ask: Ask[T]) -> T:
        """As ``UpstreamGroup.ask``."""

    def exhausted(self, reasons: Reasons) -> TransportError:
        """As ``UpstreamGroup.exhausted``."""


class Express(Generic[T]):
    """A query that waits for its first upstream without a task; a ``Waiter`` of the transport.

    Hedged or fallen back on, it has one task besides, and the first usable answer wins.
    """

    __slots__ = ("_began", "_cancel", "_cd", "_deadline", "_done", "_failure", "_group", "_is_over", "_later",
                 "_loop", "_members", "_question", "_queue", "_read", "due")  # fmt: skip

    def __init__(
        self,
        group: Group,
        loop: asyncio.AbstractEventLoop,
        members: Sequence[Upstream],
        question: bytes,
        cd: bool,
        now: float,
        deadline: float,
        read: Read[T],
        done: Done[T],
    ) -> None:
        self._group = group
        self._loop = loop
        self._members = members
        self._question = question
        self._cd = cd
        self._began = now
        self._deadline = deadline
        self._read = read
        self._done = done
        self._cancel: Callable[[], None] | None = None
        self._queue: Queue | None = None
        self._later: asyncio.Task[T] | None = None
        self._failure: Failure[T] | None = None  # of the first, while the later ones are asked
        self._is_over = False
        self.due = 0.0

    def begin(self, first: Upstream) -> bool:
        """Hand the query to the first upstream if it is connected; tell whether that was so."""
        cancel = first.transport.begin(first.query(self._question, self._cd), self._deadline, self)
        self._cancel = cancel
        return cancel is not None

    def wait(self, queue: Queue, patience_s: float) -> None:
        """Be hedged after ``patience_s`` seconds."""
        self.due = self._began + patience_s
        self._queue = queue
        queue.add(self)

    def start(self) -> None:
        """Ask the later upstreams beside the first."""
        self.fall_back(self._members[1:])

    def fall_back(self, members: Sequence[Upstream], lost: Upstream | None = None) -> None:
        """Ask ``members`` in a task; the connection of ``lost`` has died once already under the query."""
        ask = Ask(self._question, self._cd, self._deadline, self._read)
        ask.lost = lost
        self._later = self._loop.create_task(self._group.ask(members, ask))
        self._later.add_done_callback(self._later_done)

    def finish(self, value: T | None, error: TransportError | None) -> None:
        """Tell whoever asked, once."""
        if not self._is_over:
            done = self._done
            self.stop()
            done(value, error)

    def stop(self) -> None:
        """Give up whatever is under way."""
        self._is_over = True
        self._done = _nobody  # who asked may hold this very method: a cycle
        if self._queue is not None:
            self._queue.drop(self)
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
            value = self._read(response, first)
        except Exception as error:  # FormatError, or a bug: that must not end in silence
            self._failed(unusable(first, error, self._began))
            return
        now = self._loop.time()
        first.answered(now)
        first.trip.took(now - self._began, now)
        if value.is_failure:
            self._failed(refused(first, response, value))
        else:
            done = self._done
            self.stop()
            done(value, None)

    def set_exception(self, error: TransportError) -> None:
        self._cancel = None
        first = self._members[0]
        if isinstance(error, ConnectionLost) and self._later is None:
            self._unwatch()
            was_reset = first.reset_at >= self._began > 0.0  # by us: that is no loss to be counted
            self.fall_back(self._members, None if was_reset else first)  # once more, on a fresh connection
            return
        first.failed(error, self._began)
        self._failed(Failure([(first, error)]))

    def _unwatch(self) -> None:
        if self._queue is not None:
            self._queue.drop(self)

    def _failed(self, failure: Failure[T]) -> None:
        """Go on with the later upstreams, which may be asked already."""
        self._failure = failure
        self._unwatch()
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
                self._members[0].overtaken(self._began, self._loop.time())
            self.finish(later.result(), None)
        elif not isinstance(error, Failure):  # a bug: it must not end in silence
            self.finish(None, TransportError(f"internal error: {error!r}"))
        elif self._cancel is None:  # the first has failed too, or was not asked apart
            self._give_up(error if self._failure is None else self._failure.and_then(error))

    def _give_up(self, failure: Failure[T]) -> None:
        if failure.refusal is not None:
            self.finish(failure.refusal, None)
        else:
            self.finish(None, self._group.exhausted(failure.reasons))


def _nobody(value: object, error: TransportError | None) -> None:
    """Whoever asked has been told, or has left."""
