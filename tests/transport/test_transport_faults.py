"""Faults of an upstream that concern every encrypted transport alike (F8, F27, F28)."""

import asyncio

import pytest

from secdns.errors import ConnectionLost, DeadlineExceeded
from secdns.testing import FakeUpstream
from secdns.transport.link import MIN_INTERVAL_S
from tests.fixtures import warp
from tests.loop import Warp
from tests.transport.conftest import Reach
from tests.transport.support import ENCRYPTED, ask, right_answer

__all__ = ["warp"]  # a fixture

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)


@every_encrypted
async def test_trickling_answer_is_cut_at_the_deadline_F8_E10(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.drip_s = 0.02
    transport = reach(up.endpoint(scheme))
    with pytest.raises(DeadlineExceeded):
        await ask(transport, within_s=0.3)
    up.faults.drip_s = 0.0
    if scheme != "tls":  # where what trickles stands in the way of everything behind it
        assert await ask(transport, 2) == right_answer(2)


@every_encrypted
async def test_late_answer_reaches_nobody_C3_F27(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    transport = reach(up.endpoint(scheme))
    await warp.passing(ask(transport))
    up.faults.hold, up.faults.times = True, 1
    asking = asyncio.ensure_future(ask(transport, 1, within_s=0.3))
    await warp.pass_until(lambda: len(up.queries) == 2)
    with pytest.raises(DeadlineExceeded):
        await warp.passing(asking)
    up.release()
    for number in range(2, 10):
        assert await warp.passing(ask(transport, number)) == right_answer(number)
    assert up.connections[scheme] == 1


@pytest.mark.parametrize("scheme", ["https", "quic", "h3"])
async def test_max_concurrent_streams_of_one_is_obeyed_F28_R7(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    up.faults.max_concurrent_streams = 1
    transport = reach(up.endpoint(scheme))
    began = warp.time()
    asking = asyncio.gather(*(ask(transport, number) for number in range(100)))
    await warp.pass_until(asking.done)
    assert await asking == [right_answer(number) for number in range(100)]
    assert up.connections[scheme] <= (warp.time() - began) / MIN_INTERVAL_S + 1


@every_encrypted
async def test_one_query_a_connection_makes_20_connections_a_second_and_every_answer_comes_F28(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    """A second of 20 queries at once and 20 more one after the other, as ``Upstream`` would ask them."""
    up.faults.close_after = 1
    transport = reach(up.endpoint(scheme))

    async def ask_again(number: int) -> tuple[int, str]:
        for _ in range(2):
            try:
                return await ask(transport, number)
            except ConnectionLost:
                continue
        raise AssertionError("lost twice")

    for number in range(3):  # which teaches us
        asking = asyncio.ensure_future(ask_again(number))
        await warp.pass_until(asking.done)
        assert await asking == right_answer(number)
    began, before = warp.time(), up.connections[scheme]
    together = asyncio.gather(*(ask_again(number) for number in range(20)))
    await warp.pass_until(together.done)
    assert await together == [right_answer(number) for number in range(20)]
    for number in range(20):
        asking = asyncio.ensure_future(ask_again(number))
        await warp.pass_until(asking.done)
        assert await asking == right_answer(number)
    assert up.connections[scheme] - before <= (warp.time() - began) / MIN_INTERVAL_S + 1
