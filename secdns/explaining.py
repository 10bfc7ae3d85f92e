"""Ask for a name and check it anew, for somebody who wants to see every step."""

import asyncio
from typing import Final

from secdns.control.schema import Explained, Step
from secdns.dns.message import Message, Question
from secdns.dns.name import to_text
from secdns.dnssec.explain import explain as explain_verdict
from secdns.errors import ControlError, TransportError
from secdns.fetching import Response, read_response
from secdns.iana import type_text
from secdns.judging import judge
from secdns.validation import ValidatingGroup

PATIENCE_S: Final = 8.0  # for all of it


async def explain(question: Question, validating: ValidatingGroup) -> Explained:
    """Show the chain of signatures down to the answer; nothing is taken from a cache, nothing is kept.

    Raises:
        ControlError: no upstream gave a usable answer.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S

    async def ask(wanted: Question) -> Message | None:
        future: asyncio.Future[Message | None] = loop.create_future()

        def done(response: Response | None, error: TransportError | None) -> None:
            if not future.done():
                future.set_result(None if response is None else response.message)

        octets = wanted.name + wanted.rrtype.to_bytes(2) + b"\0\1"
        give_up = validating.group.submit(octets, True, loop.time(), deadline, read_response, done)
        try:
            return await future
        except asyncio.CancelledError:
            give_up()
            raise

    response = await ask(question)
    if response is None:
        raise ControlError(
            f"no upstream gives a usable answer for {to_text(question.name)}", code="not-possible"
        )
    judged = await judge(question, response, ask, validating.keeper.trust())
    told = explain_verdict(question, judged.verdict, judged.trail, judged.wall)
    steps = tuple(
        Step(step.title, step.status.value, step.reason, step.details, step.depth) for step in told.steps
    )
    kind = type_text(question.rrtype)
    return Explained(to_text(question.name), kind, told.status.value, told.summary, told.remedy, steps)
