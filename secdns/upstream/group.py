"""Upstreams that answer for the same names."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from secdns.config import Strategy
from secdns.errors import TransportError
from secdns.upstream.attempt import Ask, Done, Failure, Read, Reasons, T, ask_one, exhausted
from secdns.upstream.express import Express
from secdns.upstream.hedge import Hedge, Queue
from secdns.upstream.member import Upstream
from secdns.upstream.order import ORDERS, Order

LONE_RETRY_S: Final = 0.5  # with every upstream in back-off, one query in this time tries all the same


class UpstreamGroup:
    """Upstreams that answer for the same names, in order of preference.

    ``number`` is the cache partition. Closing the group closes its transports. Belongs to the event
    loop that runs when it is made.
    """

    def __init__(self, members: Sequence[Upstream], number: int = 0) -> None:
        if not members:
            raise ValueError("a group needs an upstream")
        self.members = self._listed = tuple(members)
        self.number = number
        self._strategy: Strategy = "ordered"
        self._first: str | None = None
        self._order: Order | None = None
        self._loop = asyncio.get_running_loop()
        self._queues = {member: Queue() for member in members}
        self._lone_retry_at = 0.0
        self._last_reasons: Reasons = []

    def follow(self, strategy: Strategy, first: str | None = None) -> None:
        """Let ``strategy`` say who is asked first from now on; see ``order``.

        With ``first``, the name of an upstream, it is that one, and the others in their order when it
        fails. What is being asked goes on where it is.
        """
        if (strategy, first) == (self._strategy, self._first):
            return
        self._strategy, self._first = strategy, first
        make_order = ORDERS[strategy] if first is None else None
        self._order = make_order() if make_order is not None and len(self._listed) > 1 else None
        self.members = tuple(sorted(self._listed, key=lambda member: first not in (None, member.name)))

    def submit(
        self,
        question: bytes,
        cd: bool,
        now: float,
        deadline: float,
        read: Read[T],
        done: Done[T],
        avoid: frozenset[Upstream] = frozenset(),
    ) -> Callable[[], None]:
        """Ask, and call ``done`` once, perhaps at once, with what ``read`` makes of the answer.

        ``read`` raises FormatError for a response that cannot be used; that counts as a failure
        of the upstream that sent it. A response that is a failure (FORMERR, SERVFAIL, REFUSED …)
        is taken only if no upstream has a better one. If there is no usable response ``done`` gets
        a TransportError whose message has each upstream's reason. The members in ``avoid`` are
        not asked. ``now`` and the absolute ``deadline`` are seconds of the event loop's clock.
        ``done`` must not raise.

        Gives what to call to give up; ``done`` is then called no more.
        """
        members: Sequence[Upstream] = self.members
        patience_s = 0.0
        if self._order is not None:
            members, patience_s = self._order(members, question, now)
        for member in members:
            if member.back_at:
                members = self._candidates(members, now)
                break
        if avoid:
            members = [member for member in members if member not in avoid]
        express = Express(self, self._loop, members, question, cd, now, deadline, read, done)
        if not members:
            express.finish(None, exhausted(self._last_reasons))
        elif not express.begin(members[0]):
            express.fall_back(members)
        elif len(members) > 1:
            first = members[0]
            express.wait(self._queues[first], patience_s or first.trip.patience_s)
        return express.stop

    def exhausted(self, reasons: Reasons) -> TransportError:
        """Give one error for all reasons, and remember them for who may not even try."""
        self._last_reasons = reasons
        return exhausted(reasons)

    async def ask(self, members: Sequence[Upstream], ask: Ask[T]) -> T:
        """Ask the first member, hedged by the others; ask the others if it fails.

        Raises:
            Failure: no member gave a usable answer.
        """
        first = members[0]
        if len(members) == 1:
            return await ask_one(first, ask)
        began = self._loop.time()
        patience_s = 0.0 if first.failures else first.trip.patience_s  # nobody waits to see it fail again
        hedge = Hedge(lambda: self.ask(members[1:], ask), began + patience_s)
        queue = self._queues[first]
        queue.add(hedge)
        try:
            answer = await ask_one(first, ask)
        except asyncio.CancelledError:
            if not hedge.won:
                hedge.stop()
                raise
            first.overtaken(began, self._loop.time())
            return await hedge.result()
        except Failure as failure:
            queue.drop(hedge)
            try:
                return await hedge.result()
            except Failure as later:
                raise failure.and_then(later) from None
        else:
            hedge.stop()
            return answer
        finally:
            queue.drop(hedge)

    def forgive(self) -> None:
        """Forget what upstreams failed at: nobody has asked for so long that it proves nothing."""
        for member in self.members:
            member.forgive()
        self._lone_retry_at = 0.0

    def reset(self) -> None:
        """Drop every connection, and all that is held against anybody: the network changed."""
        for member in self.members:
            member.reset()
        self._lone_retry_at = 0.0

    async def aclose(self) -> None:
        """Close the transports; exchanges under way fail."""
        await asyncio.gather(*(member.transport.aclose() for member in self.members))
        for queue in self._queues.values():
            queue.clear()

    def _candidates(self, members: Sequence[Upstream], now: float) -> Sequence[Upstream]:
        """Give the members to try, in order: those that are well, then those that may be."""

        def doubt(member: Upstream) -> tuple[int, float]:
            if member.back_at <= now:
                return 0, 0.0
            if member.quarantine_until > now:
                return 3, member.back_at
            if member.failures <= 1 and member.broken_until <= now:  # too little to be certain
                return 1, 0.0
            return 2, member.back_at

        willing = sorted((member for member in members if member.not_before <= now), key=doubt)
        if willing and doubt(willing[0])[0] < 2:
            return willing
        if now < self._lone_retry_at:
            return ()
        self._lone_retry_at = now + LONE_RETRY_S
        return willing
