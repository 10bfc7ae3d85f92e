"""How long a quiet connection is kept: as its upstream says or was seen to bear it (F1)."""

import asyncio
from typing import Any

import pytest

from secdns.testing import FakeUpstream
from secdns.transport import Transport
from secdns.transport.conversation import IDLE_S, IDLE_SHARE
from secdns.transport.link import HABIT_LIFE_S, Linked
from tests.fixtures import warp
from tests.loop import Warp, turns
from tests.transport.conftest import Reach
from tests.transport.support import ENCRYPTED, ask, is_open, right_answer

__all__ = ["warp"]  # a fixture

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)
every_ending = pytest.mark.parametrize(
    ("scheme", "end"),
    [(scheme, end) for scheme in ENCRYPTED for end in ("fin", "rst")]
    + [("https", "goaway"), ("h3", "goaway")],
)
TOLD_S = {"tls": None, "https": None, "quic": 60.0, "h3": 60.0}
"""Scheme -> the limit that the testing upstream speaks of itself."""


async def asked(transport: Transport, warp: Warp, number: int = 1) -> None:
    """Ask and see that the answer is right; QUIC has timers of its own, so time has to pass for that."""
    asking = asyncio.ensure_future(ask(transport, number))
    await warp.pass_until(asking.done)
    assert await asking == right_answer(number)


async def closed_by_upstream(transport: Transport, up: FakeUpstream, warp: Warp, after_s: float) -> None:
    """Ask, and let the upstream close the connection when it was quiet for so long."""
    up.faults.idle_s = after_s
    await asked(transport, warp)
    await warp.rest(after_s - 0.05)
    assert isinstance(transport, Linked)
    connection = transport._link.current
    assert connection is not None
    await warp.rest(0.06)
    await warp.pass_until(connection.closed.done)
    await turns()


async def closed_by_us(transport: Transport, warp: Warp, after_s: float) -> None:
    """Ask, and see that we close the connection when it was quiet for so long."""
    await asked(transport, warp)
    await warp.rest(after_s - 0.05)
    assert is_open(transport)
    await warp.rest(0.1)
    assert not is_open(transport)


@every_ending
async def test_upstream_that_closes_quiet_connections_twice_alike_does_not_get_to_it_again_F1(
    scheme: str, end: Any, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.idle_end = end
    await closed_by_upstream(transport, up, warp, 4.0)
    assert transport.facts().idle_limit_s == TOLD_S[scheme]  # that may have been chance
    await closed_by_upstream(transport, up, warp, 5.0)
    limit_s = transport.facts().idle_limit_s
    assert limit_s is not None
    assert 3.9 < limit_s < 4.2  # the smaller of both
    for _ in range(3):
        await closed_by_us(transport, warp, IDLE_SHARE * limit_s)
    assert up.connections[scheme] == 5


@every_encrypted
async def test_one_close_is_no_habit_nor_are_two_unlike_or_at_once_F1(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    transport = reach(up.endpoint(scheme))
    for after_s in (3.0, 6.0, 2.0, 0.3, 0.3, 5.0):
        await closed_by_upstream(transport, up, warp, after_s)
    assert transport.facts().idle_limit_s == TOLD_S[scheme]


@every_encrypted
async def test_what_an_upstream_bears_is_learnt_anew_after_a_while_or_on_another_network_F12(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    transport = reach(up.endpoint(scheme))
    for _ in range(2):
        await closed_by_upstream(transport, up, warp, 4.0)
    await warp.advance(HABIT_LIFE_S - 10)
    assert transport.facts().idle_limit_s == pytest.approx(4.0, abs=0.1)
    await warp.advance(20)
    assert transport.facts().idle_limit_s == TOLD_S[scheme]
    await closed_by_upstream(transport, up, warp, 4.0)  # once is enough for what was known before
    assert transport.facts().idle_limit_s == pytest.approx(4.0, abs=0.1)
    transport.reset()
    await closed_by_upstream(transport, up, warp, 4.0)
    assert transport.facts().idle_limit_s == TOLD_S[scheme]
    up.faults.idle_s = None
    await closed_by_us(transport, warp, IDLE_S)


@every_encrypted
async def test_connection_is_quiet_from_its_last_answer_on_whatever_comes_besides(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    transport = reach(up.endpoint(scheme))
    for _ in range(3):
        await asked(transport, warp)
        await warp.rest(IDLE_S - 0.1)
    assert up.connections[scheme] == 1
    await warp.rest(0.2)
    assert not is_open(transport)
