"""Which HTTP carries the queries of an upstream that offers both, and what a lost race costs."""

import asyncio
import logging

import pytest

from secdns import proxies
from secdns.errors import AuthenticationError, ConnectError, ConnectionLost, DeadlineExceeded, Overloaded
from secdns.racing import ALONE_S, HEAD_START_S, MAX_ALONE_S
from secdns.testing import FakeUpstream
from secdns.transport.doh2 import DoH2
from secdns.transport.link import MAX_WAITING
from tests.loop import Warp, turns
from tests.racing.conftest import Way
from tests.racing.support import ask_well, schemes, time_of
from tests.transport.support import ask, deadline_in, right_answer


def penalties(caplog: pytest.LogCaptureFixture) -> list[float]:
    """Give the minutes that HTTP/3 was left alone, each time."""
    return [record.args[0] for record in caplog.records if record.name == "secdns.racing" and record.args]  # type: ignore[index,misc]


@pytest.fixture
def minutes(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "secdns.racing")
    return caplog


async def test_http_3_wins_the_race_where_it_is_offered(up: FakeUpstream, way: Way) -> None:
    transport = way(up, offers_h3=True)
    for number in range(5):
        assert await ask(transport, number) == right_answer(number)
    assert schemes(up) == ["h3"] * 5
    assert (up.connections["h3"], up.connections["https"]) == (1, 0)
    facts = transport.facts()
    assert (facts.alpn, facts.handshakes, facts.exchanges) == ("h3", 1, 5)


@pytest.mark.parametrize("offers_h3", [None, False])
async def test_http_3_is_not_tried_where_it_is_not_offered(
    offers_h3: bool | None, up: FakeUpstream, way: Way
) -> None:
    up.faults.http_headers = {} if offers_h3 is None else {"alt-svc": f'h3=":{up.port("h3")}"'}
    transport = way(up, offers_h3=offers_h3)
    for number in range(5):
        assert await ask(transport, number) == right_answer(number)
    await turns()
    assert (schemes(up), up.connections["h3"]) == (["https"] * 5, 0)


async def test_through_a_proxy_there_is_no_http_3(up: FakeUpstream, way: Way) -> None:
    assert isinstance(way(up, offers_h3=True, proxy=proxies.parse("socks5://127.0.0.1:9")), DoH2)


async def test_blocked_udp_costs_one_race_and_then_nothing_for_10_minutes_F10(
    up: FakeUpstream, way: Way, warp: Warp
) -> None:
    transport = way(up, offers_h3=True)
    up.faults.drop_datagrams = True
    assert HEAD_START_S <= await time_of(warp, transport) < 1.0
    lost = up.dropped_datagrams
    assert lost > 0
    for number in range(2, 20):
        began = warp.time()
        assert await ask(transport, number) == right_answer(number)  # the clock stands still meanwhile
        assert warp.time() == began
        await warp.advance(30.0)  # HTTP/2 is idle for so long that it has to connect again
    assert up.connections["https"] > 10
    assert warp.time() < began + ALONE_S
    assert (up.dropped_datagrams, up.connections["h3"]) == (lost, 0)
    assert set(schemes(up)) == {"https"}


async def test_refused_udp_does_not_even_cost_the_head_start_F10(
    up: FakeUpstream, way: Way, warp: Warp
) -> None:
    transport = way(up, offers_h3=True)
    up.vanish()
    assert await ask(transport) == right_answer()  # the clock stands still
    assert schemes(up) == ["https"]


async def test_http_3_that_loses_is_left_alone_for_10_minutes_doubling_to_2_hours_F10(
    up: FakeUpstream, way: Way, warp: Warp, minutes: pytest.LogCaptureFixture
) -> None:
    transport = way(up, offers_h3=True)
    up.faults.drop_datagrams = True
    for alone_s in (600.0, 1200.0, 2400.0, 4800.0, 7200.0, 7200.0):
        assert ALONE_S <= alone_s <= MAX_ALONE_S
        await time_of(warp, transport)
        lost = up.dropped_datagrams
        await warp.advance(alone_s - 30.0)
        await time_of(warp, transport)
        assert up.dropped_datagrams == lost
        await warp.advance(31.0)
    assert penalties(minutes) == [10, 20, 40, 80, 120, 120]


async def test_success_forgives(
    up: FakeUpstream, way: Way, warp: Warp, minutes: pytest.LogCaptureFixture
) -> None:
    transport = way(up, offers_h3=True)
    for drop, advance_s in ((True, 601.0), (True, 1201.0), (False, 30.0), (True, 0.0)):
        up.faults.drop_datagrams = drop
        await time_of(warp, transport)
        await warp.advance(advance_s)
    assert penalties(minutes) == [10, 20, 10]
    assert schemes(up) == ["https", "https", "h3", "https"]


async def test_busy_http_2_does_not_wait_for_its_end_to_try_http_3_again(
    up: FakeUpstream, way: Way, warp: Warp
) -> None:
    transport = way(up, offers_h3=True)
    up.faults.drop_datagrams = True
    began = warp.time()
    await time_of(warp, transport)
    up.faults.drop_datagrams = False
    for _ in range(98):
        await warp.advance(6.1)
        await ask_well(transport)
    assert warp.time() < began + ALONE_S
    assert up.connections == {"https": 1, "tls": 0, "tcp": 0}
    await warp.pass_until(lambda: len(up.handshakes) > 1, step_s=0.01)
    await time_of(warp, transport)
    assert (up.connections["https"], up.connections["h3"], schemes(up)[-1]) == (1, 1, "h3")


async def test_http_2_that_takes_over_is_not_interrupted_by_a_late_http_3(
    up: FakeUpstream, way: Way, warp: Warp
) -> None:
    transport = way(up, offers_h3=True)
    up.faults.drop_datagrams = True
    await time_of(warp, transport)
    up.faults.drop_datagrams = False
    await warp.advance(3.0)  # a handshake under way would go on now
    await ask_well(transport)
    assert (up.connections["h3"], schemes(up)) == (0, ["https"] * 2)


@pytest.mark.parametrize("is_blocked", [False, True], ids=["free", "blocked"])
async def test_fifty_queries_into_a_cold_pool_share_one_race_R9(
    is_blocked: bool, up: FakeUpstream, way: Way, warp: Warp
) -> None:
    up.faults.drop_datagrams = is_blocked
    transport = way(up, offers_h3=True)
    asked = asyncio.gather(*(ask_well(transport, number) for number in range(50)))
    await warp.pass_until(asked.done)
    await asked
    assert (up.connections["h3"], up.connections["https"]) == ((0, 1) if is_blocked else (1, 0))
    assert len(up.queries) == 50


async def test_who_gives_up_takes_the_race_from_nobody(up: FakeUpstream, way: Way, warp: Warp) -> None:
    up.faults.drop_datagrams = True
    transport = way(up, offers_h3=True)
    asked = [asyncio.ensure_future(ask(transport, number)) for number in range(10)]
    await turns()
    for task in asked[:9]:
        task.cancel()
    await warp.pass_until(asked[9].done, step_s=0.01)
    assert await asked[9] == right_answer(9)
    assert (up.connections["https"], len(up.queries)) == (1, 1)


async def test_race_that_nobody_waits_for_is_there_for_who_comes_later(
    up: FakeUpstream, way: Way, warp: Warp
) -> None:
    up.faults.drop_datagrams = True
    transport = way(up, offers_h3=True)
    asked = asyncio.ensure_future(ask(transport))
    await turns()
    asked.cancel()
    await warp.pass_until(lambda: up.handshakes, step_s=0.01)
    lost = up.dropped_datagrams
    assert await ask(transport, 2) == right_answer(2)
    assert (up.connections["https"], up.dropped_datagrams, len(up.queries)) == (1, lost, 1)


async def test_nobody_waits_beyond_the_deadline(up: FakeUpstream, way: Way, warp: Warp) -> None:
    up.faults.drop_datagrams = up.faults.stall_connections = True
    transport = way(up, offers_h3=True)
    asked = asyncio.ensure_future(ask(transport, within_s=0.5))
    took_s = await warp.pass_until(asked.done, step_s=0.01)
    with pytest.raises(DeadlineExceeded):
        await asked
    assert 0.49 <= took_s < 0.6
    with pytest.raises(DeadlineExceeded):
        await ask(transport, within_s=-1.0)


async def test_too_many_that_wait_for_the_race_are_refused_R7(up: FakeUpstream, way: Way, warp: Warp) -> None:
    up.faults.drop_datagrams = up.faults.stall_connections = True
    transport = way(up, offers_h3=True)
    asked = [asyncio.ensure_future(ask(transport)) for _ in range(MAX_WAITING + 1)]
    with pytest.raises(Overloaded):
        await asked[-1]
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_where_neither_connects_nothing_is_held_against_http_3(up: FakeUpstream, way: Way) -> None:
    transport = way(up, offers_h3=True)
    await up.stop()
    with pytest.raises(ConnectError, match="refused"):
        await ask(transport)
    await up.start()
    transport.reset()  # of the back-off, which each has of its own
    await ask_well(transport)
    assert schemes(up) == ["h3"]


async def test_wrong_certificate_on_both_gets_no_query_E1(up: FakeUpstream, way: Way) -> None:
    up.use_certificate("wrong-name")
    with pytest.raises(AuthenticationError):
        await ask(way(up, offers_h3=True))
    assert (up.queries, up.failed_handshakes) == ([], 2)


async def test_reset_during_the_race_starts_another_F12(up: FakeUpstream, way: Way, warp: Warp) -> None:
    up.faults.drop_datagrams = up.faults.stall_connections = True
    transport = way(up, offers_h3=True)
    asked = asyncio.ensure_future(ask(transport))
    await warp.pass_until(lambda: up.connections["https"], step_s=0.05)
    up.faults.drop_datagrams = up.faults.stall_connections = False
    transport.reset()
    await warp.pass_until(asked.done)
    assert await asked == right_answer()
    assert schemes(up) == ["h3"]


async def test_reset_forgives_F11(up: FakeUpstream, way: Way, warp: Warp) -> None:
    up.faults.drop_datagrams = True
    transport = way(up, offers_h3=True)
    await time_of(warp, transport)
    up.faults.drop_datagrams = False
    transport.reset()
    await time_of(warp, transport)
    assert schemes(up) == ["https", "h3"]


@pytest.mark.parametrize("moment", ["before", "head start", "both", "h2", "h3"])
async def test_close_leaves_nothing_whenever_it_comes(
    moment: str, up: FakeUpstream, way: Way, warp: Warp
) -> None:
    """No task, no socket: a fixture looks."""
    transport = way(up, offers_h3=True)
    if moment in ("head start", "both", "h2"):
        up.faults.drop_datagrams, up.faults.stall_connections = True, moment != "h2"
    if moment == "before":
        await transport.aclose()
    asked = asyncio.ensure_future(ask(transport))
    if moment == "both":
        await warp.pass_until(lambda: up.connections["https"], step_s=0.05)
    elif moment in ("h2", "h3"):
        await warp.pass_until(asked.done, step_s=0.05)
        await asked
    else:
        await turns()
    await transport.aclose()
    await transport.aclose()
    if moment not in ("h2", "h3"):
        with pytest.raises(ConnectionLost):
            await asked
    with pytest.raises(ConnectionLost):
        await ask(transport)


async def test_connect_opens_what_wins_and_asks_nothing(up: FakeUpstream, way: Way) -> None:
    transport = way(up, offers_h3=True)
    await asyncio.gather(*(transport.connect(deadline_in()) for _ in range(5)))
    assert (up.connections["h3"], up.connections["https"], up.queries) == (1, 0, [])
    plain = way(up)
    await plain.connect(deadline_in())
    assert (up.connections["https"], up.queries) == (1, [])
