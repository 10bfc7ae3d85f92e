"""When an upstream is dialled, and when it is left alone (threats R7-R9, fault F28)."""

import asyncio

import pytest

from secdns.errors import ConnectError, Overloaded, TransportError
from secdns.testing import FakeUpstream
from secdns.transport.conversation import IDLE_S
from secdns.transport.link import MAX_WAITING, MIN_INTERVAL_S
from tests.loop import Warp
from tests.transport.conftest import Reach
from tests.transport.support import ENCRYPTED, ask, right_answer, wait_until

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)


@every_encrypted
@pytest.mark.usefixtures("one_will_do")
async def test_many_queries_wait_for_one_connect_R9(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    await asyncio.gather(*(ask(transport, number) for number in range(100)))
    assert up.connections[scheme] == 1


@every_encrypted
async def test_upstream_that_accepts_and_closes_is_not_stormed_R9(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.drop_connections = True
    transport = reach(up.endpoint(scheme))
    errors = []
    for _ in range(100):
        try:
            await ask(transport)
        except TransportError as error:
            errors.append(error)
    assert len(errors) == 100
    assert up.connections[scheme] <= 3  # 0, 0 and 0.5 s after the failures
    assert {type(error) for error in errors} == {ConnectError}
    assert 0.0 < (errors[-1].retry_after_s or 0.0) <= 1.2


@every_encrypted
async def test_upstream_that_answers_none_of_its_connections_is_left_alone_R9(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.close_mid = "rst"
    transport = reach(up.endpoint(scheme))
    for _ in range(50):
        with pytest.raises(TransportError):
            await ask(transport)
    assert up.connections[scheme] <= 3


async def test_upstream_that_sends_everybody_away_is_left_alone_R9_F4(up: FakeUpstream, reach: Reach) -> None:
    up.faults.goaway = "zero"
    transport = reach(up.endpoint("https"))
    for _ in range(50):
        with pytest.raises(TransportError):
            await ask(transport)
    assert up.connections["https"] <= 3


@pytest.mark.parametrize("how", ["reset", "forgive"])
@every_encrypted
async def test_reset_and_forgiveness_end_back_off_at_once_F11(
    scheme: str, how: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.drop_connections = True
    transport = reach(up.endpoint(scheme))
    for _ in range(5):
        with pytest.raises(ConnectError):
            await ask(transport)
    up.faults.drop_connections = False
    getattr(transport, how)()
    assert await ask(transport) == right_answer()


@every_encrypted
async def test_forgiveness_leaves_connections_alone_that_are_not_overdue_F12(
    scheme: str, up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    warp = Warp(monkeypatch)
    transport = reach(up.endpoint(scheme))
    first = asyncio.ensure_future(ask(transport))
    await warp.pass_until(first.done)
    for _ in range(int(IDLE_S) - 1):  # in steps, so that acknowledgements arrive in their time
        await warp.advance(1.0)
    transport.forgive()
    second = asyncio.ensure_future(ask(transport, 2))
    await warp.pass_until(second.done)
    assert (await first, await second) == (right_answer(), right_answer(2))
    assert len(up.handshakes) == 1


@every_encrypted
async def test_reset_while_connecting_connects_anew(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    up.faults.stall_connections = True
    transport = reach(up.endpoint(scheme))
    waiting = asyncio.ensure_future(ask(transport))
    await wait_until(lambda: up.connections[scheme] > 0)
    up.faults.stall_connections = False
    transport.reset()
    assert await waiting == right_answer()


@every_encrypted
async def test_upstream_that_closes_after_each_answer_is_dialled_20_times_a_second_at_most_F28(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.close_after = 1
    transport = reach(up.endpoint(scheme))
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(6):
        try:
            await ask(transport, number)
        except TransportError:
            continue
    assert up.connections[scheme] <= (loop.time() - start) / MIN_INTERVAL_S + 1


@every_encrypted
async def test_too_many_that_wait_for_a_connection_are_refused_R7(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.stall_connections = True
    transport = reach(up.endpoint(scheme))
    waiting = [asyncio.ensure_future(ask(transport, within_s=0.3)) for _ in range(MAX_WAITING + 1)]
    with pytest.raises(Overloaded):
        await waiting[-1]
    await asyncio.gather(*waiting, return_exceptions=True)
