"""Measure one upstream: cold and warm latency, and failures. Bounded in every direction."""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from itertools import cycle, islice

from secdns.cli.asking import ask_one, build_query
from secdns.cli.lookup import Lookup
from secdns.dns.message import Message, Question
from secdns.endpoint import Endpoint
from secdns.errors import FormatError, TransportError
from secdns.iana import RCode, rcode_text
from secdns.transport import Transport, open_transport

GIVE_UP_AFTER = 5  # warm failures in a row: a dead upstream is not asked hundreds of times


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask of each upstream; ``concurrency`` is the number of queries outstanding."""

    questions: tuple[Question, ...]
    cold: int
    warm: int
    concurrency: int
    timeout_s: float


@dataclass(slots=True)
class Result:
    """What was measured of one endpoint; times in seconds, in order of arrival."""

    endpoint: Endpoint
    cold_s: list[float] = field(default_factory=list)
    warm_s: list[float] = field(default_factory=list)
    failures: int = 0
    skipped: int = 0
    why: str | None = None

    @property
    def answered(self) -> int:
        """How many queries were answered."""
        return len(self.cold_s) + len(self.warm_s)

    def to_json(self) -> dict[str, object]:
        """Give the object that secdns(1) documents."""
        return {
            "upstream": self.endpoint.url,
            "transport": self.endpoint.scheme,
            "encrypted": self.endpoint.is_encrypted,
            "cold_p50_ms": _milliseconds(percentile(self.cold_s, 50)),
            "warm_p50_ms": _milliseconds(percentile(self.warm_s, 50)),
            "warm_p95_ms": _milliseconds(percentile(self.warm_s, 95)),
            "answered": self.answered,
            "failures": self.failures,
            "skipped": self.skipped,
            "error": self.why,
        }


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Give the smallest value that ``percent`` per cent of the values do not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


async def measure(endpoint: Endpoint, plan: Plan) -> Result:
    """Ask one endpoint as planned; an upstream that fails when cold is not asked again."""
    result = Result(endpoint)
    loop = asyncio.get_running_loop()
    for question in islice(cycle(plan.questions), plan.cold):
        try:
            answer = await ask_one(question, endpoint, deadline=loop.time() + plan.timeout_s, dnssec=False)
        except TransportError as failure:
            _count(result, str(failure))
        else:
            if _is_answer(result, answer.response.rcode):
                result.cold_s.append(answer.elapsed_s)
    if result.cold_s:
        await _warm(result, plan)
    else:
        result.skipped = plan.warm
    return result


async def _warm(result: Result, plan: Plan) -> None:
    endpoint = result.endpoint
    async with AsyncExitStack() as stack, aclosing(open_transport(endpoint, Lookup(stack))) as transport:
        await _timed(transport, plan.questions[0], result, plan)  # the handshake, measured as cold already
        result.warm_s.clear()
        left = iter(islice(cycle(plan.questions), plan.warm))
        in_a_row = 0

        async def worker() -> None:
            nonlocal in_a_row
            for question in left:
                if in_a_row >= GIVE_UP_AFTER:
                    result.skipped += 1
                elif await _timed(transport, question, result, plan):
                    in_a_row = 0
                else:
                    in_a_row += 1

        await asyncio.gather(*(worker() for _ in range(plan.concurrency)))


async def _timed(transport: Transport, question: Question, result: Result, plan: Plan) -> bool:
    """Ask once and count the outcome; True if there was an answer."""
    deadline = asyncio.get_running_loop().time() + plan.timeout_s
    started = time.perf_counter()
    try:
        wire = await transport.exchange(build_query(question, result.endpoint), deadline)
        rcode = Message.parse(wire).rcode
    except (TransportError, FormatError) as failure:
        _count(result, str(failure))
        return False
    elapsed_s = time.perf_counter() - started
    if not _is_answer(result, rcode):
        return False
    result.warm_s.append(elapsed_s)
    return True


def _is_answer(result: Result, rcode: int) -> bool:
    """Tell whether an upstream did its work; count it as a failure if not."""
    if rcode in (RCode.NOERROR, RCode.NXDOMAIN):
        return True
    _count(result, f"answered {rcode_text(rcode)}")
    return False


def _count(result: Result, why: str) -> None:
    result.failures += 1
    result.why = result.why or why


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
