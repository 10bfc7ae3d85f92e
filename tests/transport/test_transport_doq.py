"""DNS over QUIC as such: RFC 9250, and servers that break it (fault F29) or have had enough."""

import asyncio
import dataclasses
from collections.abc import Awaitable

import pytest

from secdns.errors import ConnectionLost, DeadlineExceeded, ProtocolError, TransportError
from secdns.testing import FakeUpstream
from secdns.testing.faults import Oddity
from secdns.transport.doq import PROTOCOL_ERROR, REQUEST_CANCELLED, DoQConversation
from tests.transport.conftest import Reach
from tests.transport.support import ask, deadline_in, query_for, right_answer, wait_until

AT_ONCE = DoQConversation.AT_ONCE


async def failure_of(asking: Awaitable[object]) -> type[TransportError] | None:
    try:
        await asking
    except TransportError as error:
        return type(error)
    return None


async def test_queries_have_the_id_0_a_length_and_an_end_9250_1_9250_2(
    up: FakeUpstream, reach: Reach
) -> None:
    """The fake hangs up on a query without all three, so the answer proves two of them."""
    transport = reach(up.endpoint("quic"))
    assert [await ask(transport, number) for number in range(3)] == [right_answer(n) for n in range(3)]
    assert [seen.wire[:2] for seen in up.queries] == [b"\0\0"] * 3


async def test_ends_with_no_error(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    await transport.aclose()
    await wait_until(lambda: up.goodbyes != [])
    assert up.goodbyes == [("quic", 0)]


@pytest.mark.parametrize(
    ("oddity", "words"),
    [
        ("fin", "without a whole message"),
        ("two", "more than one message"),
        ("zero", "0 octets"),
        ("short", "without a whole message"),
        ("keepalive", "keepalive"),
    ],
)
async def test_broken_stream_ends_the_connection_9250_3_F29(
    oddity: Oddity, words: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.hold = True
    other = asyncio.ensure_future(failure_of(ask(transport, 2)))
    await up.wait_queries(2)
    up.faults = dataclasses.replace(up.faults, hold=False, oddity=oddity)
    with pytest.raises(ProtocolError, match=words):
        await ask(transport, 3)
    assert await other is ConnectionLost  # it may be asked again, nothing is wrong with it
    await wait_until(lambda: up.goodbyes != [])
    assert up.goodbyes == [("quic", PROTOCOL_ERROR)]
    up.faults.oddity = None
    assert await ask(transport, 4) == right_answer(4)


async def test_id_other_than_0_ends_the_connection_9250_2(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    up.faults.wrong_id = True
    with pytest.raises(ProtocolError, match="ID other than 0"):
        await ask(transport)
    await wait_until(lambda: up.goodbyes != [])
    assert up.goodbyes == [("quic", PROTOCOL_ERROR)]


@pytest.mark.parametrize("oddity", ["uni", "both-ways"])
async def test_stream_of_the_server_ends_the_connection_9250_3_F29(
    oddity: Oddity, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("quic"))
    up.faults.oddity = oddity
    with pytest.raises(ConnectionLost, match="stream of its own"):
        await ask(transport)
    await wait_until(lambda: up.goodbyes != [])
    assert up.goodbyes == [("quic", PROTOCOL_ERROR)]
    up.faults.oddity = None
    assert await ask(transport, 2) == right_answer(2)


@pytest.mark.usefixtures("one_will_do")
async def test_answer_to_another_question_costs_its_own_stream_only_C3(
    up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.wrong_question, up.faults.times = True, 1
    failures = await asyncio.gather(*(failure_of(ask(transport, number)) for number in range(5)))
    assert sorted(failures, key=str) == [ProtocolError, None, None, None, None]
    assert up.connections["quic"] == 1


async def test_stream_that_is_reset_fails_its_query_only(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    up.faults.refuse_streams, up.faults.reset_code, up.faults.times = True, 4, 1
    with pytest.raises(ProtocolError, match="0x4"):
        await ask(transport)
    assert await ask(transport, 2) == right_answer(2)
    assert up.connections["quic"] == 1


async def test_cancelled_query_is_called_off_9250_7(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.hold = True
    task = asyncio.ensure_future(ask(transport, 2))
    await up.wait_queries(2)
    task.cancel()
    await wait_until(lambda: up.cancelled != [])
    assert up.cancelled == [("quic", REQUEST_CANCELLED)]


async def test_query_that_missed_its_deadline_is_called_off_9250_7(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.silent, up.faults.times = True, 1
    with pytest.raises(DeadlineExceeded):
        await ask(transport, 2, within_s=0.05)
    await wait_until(lambda: up.cancelled != [])
    assert up.cancelled == [("quic", REQUEST_CANCELLED)]
    assert await ask(transport, 3) == right_answer(3)
    assert up.connections["quic"] == 1


async def test_server_that_ends_no_cancelled_stream_gets_a_new_connection(
    up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.silent = up.faults.keeps_streams = True
    for number in range(80):
        task = asyncio.ensure_future(ask(transport, number))
        await up.wait_queries(number + 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    up.faults.silent = False
    assert await ask(transport, 3) == right_answer(3)
    assert up.connections["quic"] == 2


async def test_no_more_are_outstanding_than_a_weak_server_bears(up: FakeUpstream, reach: Reach) -> None:
    """Knot DNS falls silent on a connection with more, and so does this one."""
    up.faults.max_outstanding = AT_ONCE
    up.faults.delay_s = 0.01
    transport = reach(up.endpoint("quic"))
    got = await asyncio.gather(*(ask(transport, number) for number in range(100)))
    assert got == [right_answer(number) for number in range(100)]


async def test_queries_that_nobody_answers_do_not_hold_up_the_others(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.silent = True
    stuck = [asyncio.ensure_future(ask(transport, number)) for number in range(AT_ONCE)]
    await up.wait_queries(AT_ONCE + 1)
    up.faults.silent = False
    assert await ask(transport, 20, within_s=1.0) == right_answer(20)
    assert up.connections["quic"] == 2
    for task in stuck:
        task.cancel()


async def test_connection_is_replaced_before_its_streams_run_out(up: FakeUpstream, reach: Reach) -> None:
    """Knot DNS allows 1,024 streams and never another; this one stops at 200."""
    up.faults.stream_credit = 200
    transport = reach(up.endpoint("quic"))
    loop = asyncio.get_running_loop()
    slowest = 0.0
    for number in range(450):
        began = loop.time()
        assert await ask(transport, number % 250) == right_answer(number % 250)
        slowest = max(slowest, loop.time() - began)
    assert up.connections["quic"] == 3
    assert slowest < 0.5


async def test_server_with_few_streams_answers_all_the_same(up: FakeUpstream, reach: Reach) -> None:
    up.faults.stream_credit = 3
    transport = reach(up.endpoint("quic"))
    got = await asyncio.gather(*(ask(transport, number) for number in range(7)))
    assert got == [right_answer(number) for number in range(7)]


async def test_server_that_gives_no_stream_is_a_failure_R9(up: FakeUpstream, reach: Reach) -> None:
    up.faults.stream_credit = 0
    transport = reach(up.endpoint("quic"))
    for _ in range(20):
        with pytest.raises(TransportError, match="no stream"):
            await ask(transport)
    assert up.connections["quic"] <= 3


@pytest.mark.parametrize("size", [12, 60_000, 65_535])
async def test_message_of_any_length_comes_whole(size: int, up: FakeUpstream, reach: Reach) -> None:
    """65,535 octets are the most that the prefix can say (RFC 9250 §4.2)."""
    query = query_for()

    def answer(asked: bytes) -> bytes:
        head = asked[:2] + b"\x84\0\0\1\0\0\0\0\0\0"
        question = asked[12 : asked.index(b"\0", 12) + 5]
        return (head + question).ljust(size, b"x")

    up.answer = answer
    response = await reach(up.endpoint("quic")).exchange(query, deadline_in())
    assert len(response) == max(size, 12 + 21)
    assert response[:2] == query[:2]


async def test_long_query_leaves_whole(up: FakeUpstream, reach: Reach) -> None:
    query = query_for(block=65_535)
    await reach(up.endpoint("quic")).exchange(query, deadline_in())
    assert [len(seen.wire) for seen in up.queries] == [65_535]


async def test_answer_that_comes_by_the_octet_is_taken(up: FakeUpstream, reach: Reach) -> None:
    up.faults.drip_s = 0.0005
    assert await ask(reach(up.endpoint("quic"))) == right_answer()
