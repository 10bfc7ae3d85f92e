"""Asking a group, and a transport whose answers a test gives by hand."""

import asyncio
from collections.abc import Callable

from secdns.dns import name as names
from secdns.dns.message import Message
from secdns.dns.peek import scan
from secdns.errors import TransportError
from secdns.iana import RCode, RRType
from secdns.transport import Facts, Waiter
from secdns.upstream import UpstreamGroup
from tests.loop import wait_until

PATIENCE_S = 4.4


class Answer:
    """What the tests make of a response; a failure is what the forwarder takes for one."""

    def __init__(self, response: bytes) -> None:
        found = scan(response)
        rcode = found.flags & 15 | (found.opt.ttl >> 24 << 4 if found.opt else 0)
        self.message = Message.parse(response)
        self.is_failure = rcode not in (RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN)


Outcome = Answer | TransportError


class Asking:
    """One query of a group and what came of it."""

    def __init__(
        self,
        group: UpstreamGroup,
        number: int = 1,
        *,
        patience_s: float = PATIENCE_S,
        read: Callable[[bytes], Answer] = Answer,
    ) -> None:
        self.outcomes: list[Outcome] = []
        question = names.from_text(f"h{number}.example.test") + RRType.A.to_bytes(2) + b"\0\1"
        now = asyncio.get_running_loop().time()
        self.give_up = group.submit(
            question, False, now, now + patience_s, lambda wire, member: read(wire), self._done
        )

    def _done(self, answer: Answer | None, error: TransportError | None) -> None:
        outcome = error if answer is None else answer
        assert outcome is not None
        self.outcomes.append(outcome)

    @property
    def is_over(self) -> bool:
        return bool(self.outcomes)

    async def outcome(self) -> Outcome:
        """Give what came of it, of which there is one."""
        await wait_until(lambda: self.outcomes)
        (outcome,) = self.outcomes
        return outcome

    async def address(self) -> int:
        """Give the last octet of the address in the answer."""
        outcome = await self.outcome()
        assert isinstance(outcome, Answer), outcome
        assert not outcome.is_failure
        return outcome.message.answer[0].rdata[-1]

    async def error(self) -> TransportError:
        outcome = await self.outcome()
        assert isinstance(outcome, TransportError), outcome
        return outcome


class PlayedTransport:
    """A transport without a wire: a test looks at what was asked and says what comes of it.

    ``is_open`` tells whether ``begin`` finds a connection. ``waiting`` holds who waits, the oldest
    first, on either way in.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.queries: list[bytes] = []
        self.waiting: list[Waiter] = []
        self.exchanges = 0
        self.resets = 0
        self.hang_ups = 0

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        if not self.is_open:
            return None
        self.queries.append(query)
        self.waiting.append(waiter)
        return lambda: None

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        self.queries.append(query)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return await future

    def answer(self, rcode: int = RCode.NOERROR) -> None:
        """Answer the oldest."""
        number = len(self.queries) - len(self.waiting)
        question = Message.parse(self.queries[number]).question
        self.exchanges += 1
        waiter = self.waiting.pop(0)
        if not waiter.done():
            waiter.set_result(Message(0, 0x8180 | rcode, question).to_wire())

    def fail(self, error: TransportError) -> None:
        """Fail the oldest."""
        self.waiting.pop(0).set_exception(error)

    async def connect(self, deadline: float) -> None: ...

    def forgive(self) -> None: ...

    def hang_up(self) -> None:
        self.hang_ups += 1

    def reset(self) -> None:
        self.resets += 1

    def facts(self) -> Facts:
        return Facts(exchanges=self.exchanges)

    async def aclose(self) -> None: ...


async def no_lookup(host: str, deadline: float) -> tuple[str, ...]:
    raise AssertionError(f"{host} was looked up")
