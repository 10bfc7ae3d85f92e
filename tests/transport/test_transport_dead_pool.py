"""Fifty queries at once into dead connections: all answered, over hardly any new one (F1, F2)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from secdns.dns.message import Message
from secdns.testing import FakeUpstream
from secdns.upstream import Upstream
from tests.fixtures import warp
from tests.loop import Warp
from tests.transport.support import ENCRYPTED, deadline_in, no_lookup, query_for, right_answer

__all__ = ["warp"]  # a fixture

QUERIES = 50
WARM = (1, 50)
"""What the connections have answered: so few that it might be all that the upstream takes on one, or many."""
PATIENCE_S = 4.4  # of a client
STEP_S = 0.005
PAUSE_S = 5.0
NEW = 2  # the most handshakes that fifty queries may cost


@pytest.fixture(params=WARM)
def warm(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture(params=ENCRYPTED)
async def member(
    warm: int, request: pytest.FixtureRequest, up: FakeUpstream, warp: Warp
) -> AsyncIterator[Upstream]:
    """An upstream with open connections."""
    made = Upstream("lone", up.endpoint(request.param), no_lookup)
    await ask_many(made, warp, warm)
    yield made
    await made.transport.aclose()


async def ask_many(member: Upstream, warp: Warp, count: int = QUERIES) -> None:
    """Ask in one turn, and see that every answer is right."""
    asking = asyncio.gather(
        *(member.exchange(query_for(number), deadline_in(PATIENCE_S)) for number in range(count))
    )
    await warp.pass_until(asking.done, step_s=STEP_S)
    for number, response in enumerate(await asking):
        message = Message.parse(response)
        assert (message.id, ".".join(map(str, message.answer[0].rdata))) == right_answer(number)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_fifty_queries_into_connections_that_ended_are_answered_over_two_new_ones_at_most_F1(
    reset: bool, member: Upstream, up: FakeUpstream, warp: Warp
) -> None:
    await warp.rest(PAUSE_S)
    before = len(up.handshakes)
    up.drop_connections(reset=reset)
    await ask_many(member, warp)
    assert 1 <= len(up.handshakes) - before <= NEW
    assert member.failures == 0


@pytest.mark.parametrize("pause_s", [PAUSE_S, 0.0], ids=["idle", "busy"])
async def test_fifty_queries_into_forgotten_connections_are_answered_over_two_new_ones_at_most_F2(
    pause_s: float, member: Upstream, up: FakeUpstream, warp: Warp
) -> None:
    await warp.rest(pause_s)
    before = len(up.handshakes)
    up.forget_connections()
    await ask_many(member, warp)
    assert 1 <= len(up.handshakes) - before <= NEW
    assert member.failures == 0
