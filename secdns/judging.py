"""Judge one answer by itself, with every step on show: the pure validator, driven by whoever can ask."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from secdns.dns.message import Message, Question
from secdns.dnssec.chain import Link, Trust
from secdns.dnssec.limits import Budget
from secdns.dnssec.validator import validate
from secdns.dnssec.verdict import Verdict

Ask = Callable[[Question], Awaitable[Message | None]]  # None: there was no usable answer


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, the steps that led to it, and the time it was given, in seconds since 1970."""

    verdict: Verdict
    trail: tuple[Link, ...]
    wall: int


async def judge(question: Question, response: Message, ask: Ask, trust: Trust) -> Judged:
    """Judge ``response``, asking for the links of the chain with ``ask``, a batch at a time."""
    trail: list[Link] = []
    wall = int(time.time())
    steps = validate(question, response, trust, wall, time.monotonic(), Budget(), trail)
    try:
        batch = next(steps)
        while True:
            asked = [ask(Question(wanted.name, wanted.rrtype)) for wanted in batch]
            if not asked:  # a turn for others
                await asyncio.sleep(0)
            batch = steps.send(tuple(await asyncio.gather(*asked)))
    except StopIteration as end:
        return Judged(end.value, tuple(trail), wall)
