"""Let queries wait in line for a stream of any connection to one upstream, first come first served.

A connection over QUIC takes few queries at a time. One that has no stream to give goes on with what
it has; when the first in line has waited for a while, another connection is opened beside it. How
many there may be is bounded by ``Link``.
"""

import asyncio
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from secdns.errors import DeadlineExceeded, Overloaded
from secdns.transport import Waiter

MAX_WAITING: Final = 256  # queries in line (threat R7)
SPILL_S: Final = 0.05  # that the first in line waits before another connection is opened

P = TypeVar("P")  # a query on its way
P_co = TypeVar("P_co", covariant=True)


class Taker(Protocol[P_co]):
    """A connection that takes queries while it has streams."""

    @property
    def has_room(self) -> bool:
        """Tell whether ``send`` may be called."""

    def send(self, query: bytes, deadline: float, waiter: Waiter) -> P_co:
        """Send a query on a stream of its own."""


class _Place(Generic[P]):
    """A query in line. ``taken`` is the query on its way, or None for who has to look again."""

    __slots__ = ("deadline", "query", "since", "taken", "waiter")

    def __init__(self, query: bytes, deadline: float, waiter: Waiter, since: float) -> None:
        self.query = query
        self.deadline = deadline
        self.waiter = waiter
        self.since = since
        self.taken: asyncio.Future[P | None] = asyncio.get_running_loop().create_future()


class Line(Generic[P]):
    """The queries in line. ``who`` is whom they wait for, in words."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._places: deque[_Place[P]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._places)

    async def wait(self, query: bytes, deadline: float, waiter: Waiter) -> P | None:
        """Give the query on its way once a connection took it; None: look which there are.

        Raises:
            Overloaded: too many wait already.
            DeadlineExceeded: no stream was free in time.
        """
        now = asyncio.get_running_loop().time()
        if len(self._places) >= MAX_WAITING:
            raise Overloaded(f"{len(self._places)} queries wait for {self._who} already")
        if now >= deadline:
            raise DeadlineExceeded(f"{self._who} had no stream free in time")
        place: _Place[P] = _Place(query, deadline, waiter, now)
        self._places.append(place)
        try:
            await asyncio.wait((place.taken,), timeout=deadline - now)
        finally:
            if not place.taken.done():
                self._places.remove(place)
        if not place.taken.done():
            raise DeadlineExceeded(f"{self._who} had no stream free in time")
        return place.taken.result()

    def first_waits_s(self) -> float:
        """Give how long the first in line has waited, in seconds; 0 if nobody is."""
        return asyncio.get_running_loop().time() - self._places[0].since if self._places else 0.0

    def serve(self, connection: Taker[P]) -> None:
        """Hand over to ``connection`` as many as it takes."""
        while self._places and connection.has_room:
            place = self._places.popleft()
            if not place.taken.done() and not place.waiter.done():
                place.taken.set_result(connection.send(place.query, place.deadline, place.waiter))

    def send_away(self) -> None:
        """Have everybody look again: no connection is left to wait for."""
        while self._places:
            place = self._places.popleft()
            if not place.taken.done():
                place.taken.set_result(None)
