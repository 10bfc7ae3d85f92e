"""An HTTP/3 that was fine and is not any more, or connects and then does not answer."""

import asyncio
from dataclasses import replace

import pytest

from secdns.errors import ConnectionLost, DeadlineExceeded, StatusError
from secdns.testing import FakeUpstream
from secdns.testing.faults import Seen
from secdns.transport import Transport
from secdns.upstream import Upstream, UpstreamGroup
from tests.loop import Warp, turns
from tests.racing.conftest import Way
from tests.racing.support import ask_well, schemes, time_of
from tests.transport.support import ask, deadline_in, no_lookup, query_for, right_answer
from tests.upstream.asking import Asking


def over_h3(seen: Seen) -> bool:
    return seen.scheme == "h3"


async def begun(transport: Transport, number: int) -> bytes:
    """Ask on the open connection without a task, and again in one if it dies, as Upstream does."""
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    assert transport.begin(query_for(number), deadline_in(), future) is not None
    try:
        return await future
    except ConnectionLost:
        return await transport.exchange(query_for(number), deadline_in())


@pytest.mark.parametrize("how", ["rst", "vanish", "silence"])
async def test_no_query_fails_when_http_3_dies_under_it_F1_F2(how: str, up: FakeUpstream, way: Way) -> None:
    transport = way(up, offers_h3=True)
    await ask_well(transport)
    up.faults.hold = True
    asked = [asyncio.ensure_future(ask_well(transport, number)) for number in range(20)]
    await up.wait_queries(21)
    up.faults.hold = False
    if how == "rst":
        up.drop_connections(reset=True)
    elif how == "vanish":
        up.vanish()
    else:
        up.faults.drop_datagrams = True
    asked += [asyncio.ensure_future(ask_well(transport, number)) for number in range(20, 30)]
    await asyncio.gather(*asked)
    connects = up.connections["h3"]
    assert set(schemes(up)[21:]) == {"https"}
    lost = up.dropped_datagrams
    up.drop_connections()
    await turns(20)
    for number in range(5):
        await ask_well(transport, number)
    assert (up.connections["h3"], up.dropped_datagrams) == (connects, lost)  # it is left alone


@pytest.mark.parametrize("how", ["rst", "vanish", "silence"])
async def test_clients_of_a_lone_upstream_are_all_answered_when_its_http_3_dies_F1_F2(
    how: str, up: FakeUpstream, warp: Warp
) -> None:
    endpoint = replace(up.endpoint("https"), offers_h3=True)
    group = UpstreamGroup([Upstream("a", endpoint, no_lookup)])
    first = Asking(group, 0)
    await warp.pass_until(lambda: first.is_over)
    up.faults.hold = True
    asked = [Asking(group, number) for number in range(50)]
    await warp.pass_until(lambda: len(up.queries) == 51)
    up.faults.hold = False
    if how == "rst":
        up.drop_connections(reset=True)
    elif how == "vanish":
        up.vanish()
    else:
        up.faults.drop_datagrams = True
    asked += [Asking(group, number) for number in range(50, 60)]
    took_s = await warp.pass_until(lambda: all(asking.is_over for asking in asked))
    assert [await asking.address() for asking in asked] == [number + 1 for number in range(60)]
    assert took_s < 4.0
    assert schemes(up) == ["h3"] * 51 + ["https"] * 60
    await group.aclose()


async def test_http_3_that_breaks_again_and_again_without_an_answer_is_left_alone_for_longer(
    up: FakeUpstream, way: Way, warp: Warp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "secdns.racing")
    transport = way(up, offers_h3=True)
    up.faults.only, up.faults.close_mid = over_h3, "rst"
    for advance_s in (601.0, 1201.0, 0.0):
        await time_of(warp, transport)  # over HTTP/2 in the end
        await time_of(warp, transport)
        await warp.advance(advance_s)
    assert [record.getMessage()[:23] for record in caplog.records if record.name == "secdns.racing"] == [
        "no HTTP/3 for 10 minute", "no HTTP/3 for 20 minute", "no HTTP/3 for 40 minute"]  # fmt: skip


async def test_server_that_closes_in_good_order_is_asked_over_http_3_again(
    up: FakeUpstream, way: Way
) -> None:
    transport = way(up, offers_h3=True)
    for number in range(3):
        await ask_well(transport, number)
        up.drop_connections()
        await turns(20)
    assert set(schemes(up)) == {"h3"}


@pytest.mark.parametrize("fault", ["http_status", "wrong_question", "close_mid"])
async def test_http_3_that_connects_and_answers_badly_costs_no_query(
    fault: str, up: FakeUpstream, way: Way
) -> None:
    setattr(up.faults, fault, {"http_status": 421, "wrong_question": True, "close_mid": "rst"}[fault])
    up.faults.only = over_h3
    transport = way(up, offers_h3=True)
    for number in range(5):
        assert await ask(transport, number) == right_answer(number)
    assert schemes(up) == ["h3"] + ["https"] * 5


async def test_http_3_that_connects_and_does_not_answer_costs_a_second_twice(
    up: FakeUpstream, way: Way, warp: Warp
) -> None:
    up.faults.only, up.faults.silent = over_h3, True
    transport = way(up, offers_h3=True)
    took = [await time_of(warp, transport, number) for number in range(5)]
    assert [round(seconds) for seconds in took] == [1, 1, 0, 0, 0]
    assert schemes(up) == ["h3", "https", "h3", "https", "https", "https", "https"]


async def test_slow_first_answer_is_not_held_against_http_3(up: FakeUpstream, way: Way, warp: Warp) -> None:
    up.faults.only, up.faults.silent, up.faults.times = over_h3, True, 1
    transport = way(up, offers_h3=True)
    for number in range(3):
        await time_of(warp, transport, number)
    assert schemes(up) == ["h3", "https", "h3", "h3"]


async def test_deadline_in_the_trial_is_kept(up: FakeUpstream, way: Way, warp: Warp) -> None:
    up.faults.silent = True
    transport = way(up, offers_h3=True)
    asked = asyncio.ensure_future(ask(transport, within_s=0.5))
    took_s = await warp.pass_until(asked.done, step_s=0.01)
    with pytest.raises(DeadlineExceeded):
        await asked
    assert took_s < 0.6


async def test_server_that_wants_to_be_asked_less_is_not_asked_twice_F6(up: FakeUpstream, way: Way) -> None:
    up.faults.http_status, up.faults.http_headers = 429, {"retry-after": "30"}
    with pytest.raises(StatusError):
        await ask(way(up, offers_h3=True))
    assert schemes(up) == ["h3"]


async def test_queries_without_a_task_wait_for_the_trial_and_then_use_http_3(
    up: FakeUpstream, way: Way
) -> None:
    transport = way(up, offers_h3=True)
    waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    assert transport.begin(query_for(), deadline_in(), waiter) is None  # nothing is open
    await transport.connect(deadline_in())
    assert transport.begin(query_for(), deadline_in(), waiter) is None  # not known to answer yet
    await ask_well(transport)
    assert transport.begin(query_for(), deadline_in(), waiter) is not None
    assert (await waiter)[:2] == query_for()[:2]
    assert schemes(up) == ["h3", "h3"]


async def test_begun_query_that_http_3_drops_is_answered_over_http_2(up: FakeUpstream, way: Way) -> None:
    transport = way(up, offers_h3=True)
    await ask_well(transport)
    up.faults.only, up.faults.close_mid = over_h3, "rst"
    assert (await begun(transport, 2))[:2] == query_for(2)[:2]
    assert schemes(up) == ["h3", "h3", "https"]
