"""Queries that wait in line for a stream, and the connections that are opened beside for them."""

import asyncio

import pytest

from secdns.errors import DeadlineExceeded, Overloaded
from secdns.testing import FakeUpstream
from secdns.transport.doq import DoQConversation
from secdns.transport.line import MAX_WAITING, SPILL_S, Line
from secdns.transport.link import MAX_BESIDE
from tests.loop import Warp
from tests.transport.conftest import Reach
from tests.transport.support import ask, deadline_in, query_for, right_answer, wait_until


class Counter:
    """A connection that takes a few."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent: list[bytes] = []

    @property
    def has_room(self) -> bool:
        return len(self.sent) < self.room

    def send(self, query: bytes, deadline: float, waiter: object) -> bytes:
        self.sent.append(query)
        return query


def in_line(line: Line[bytes], number: int, within_s: float = 4.0) -> asyncio.Task[bytes | None]:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    return asyncio.ensure_future(line.wait(b"%d" % number, deadline_in(within_s), future))


async def test_first_come_first_served() -> None:
    line: Line[bytes] = Line("it")
    tasks = [in_line(line, number) for number in range(5)]
    await asyncio.sleep(0)
    one, other = Counter(2), Counter(9)
    line.serve(one)
    line.serve(other)
    assert [await task for task in tasks] == [b"0", b"1", b"2", b"3", b"4"]
    assert (one.sent, other.sent) == ([b"0", b"1"], [b"2", b"3", b"4"])
    assert not line


async def test_who_leaves_is_not_served() -> None:
    line: Line[bytes] = Line("it")
    first, second = in_line(line, 1), in_line(line, 2)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    connection = Counter(1)
    line.serve(connection)
    assert await second == b"2"
    assert connection.sent == [b"2"]


async def test_line_is_bounded_and_nobody_stands_in_it_beyond_his_deadline_R7(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warp = Warp(monkeypatch)
    line: Line[bytes] = Line("dns.test")
    tasks = [in_line(line, number, 1.0) for number in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match=r"256 queries wait for dns\.test already"):
        await in_line(line, 999)
    await warp.advance(1.01)
    for task in tasks:
        with pytest.raises(DeadlineExceeded, match="had no stream free in time"):
            await task
    assert not line


async def test_everybody_looks_again_when_no_connection_is_left() -> None:
    line: Line[bytes] = Line("it")
    tasks = [in_line(line, number) for number in range(3)]
    await asyncio.sleep(0)
    line.send_away()
    assert [await task for task in tasks] == [None] * 3


# over DNS over QUIC, whose connections take three


async def test_slow_names_get_a_connection_beside_and_both_go_on(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    warp = Warp(monkeypatch)
    transport = reach(up.endpoint("quic"))
    up.faults.hold = True
    at_once = DoQConversation.AT_ONCE
    slow = [asyncio.ensure_future(ask(transport, number)) for number in range(2 * at_once)]
    await warp.pass_until(lambda: len(up.queries) == at_once)
    await warp.advance(SPILL_S + 0.001)
    await warp.pass_until(lambda: len(up.queries) == 2 * at_once)
    assert up.connections["quic"] == 2
    up.faults.hold = False
    up.release()
    assert [await answer for answer in slow] == [right_answer(number) for number in range(2 * at_once)]
    more = [asyncio.ensure_future(ask(transport, number)) for number in range(10, 10 + 2 * at_once)]
    await warp.pass_until(lambda: all(task.done() for task in more))
    assert up.connections["quic"] == 2
    assert {seen.connection for seen in up.queries[2 * at_once :]} == {1, 2}


async def test_connections_beside_are_bounded_R9(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    warp = Warp(monkeypatch)
    transport = reach(up.endpoint("quic"))
    up.faults.hold = True
    tasks = [asyncio.ensure_future(ask(transport, number)) for number in range(100)]
    full = MAX_BESIDE * DoQConversation.AT_ONCE
    await warp.pass_until(lambda: len(up.queries) == full)
    await warp.advance(0.5)
    assert (up.connections["quic"], len(up.queries)) == (MAX_BESIDE, full)
    up.faults.hold = False
    up.release()
    await warp.pass_until(lambda: all(task.done() for task in tasks))
    assert [task.result() for task in tasks] == [right_answer(number) for number in range(100)]


async def test_who_waits_goes_on_when_the_last_connection_dies(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    up.faults.hold = True
    tasks = [asyncio.ensure_future(transport.exchange(query_for(n), deadline_in())) for n in range(6)]
    await wait_until(lambda: len(up.queries) == DoQConversation.AT_ONCE)
    up.faults.hold = False
    up.drop_connections(reset=True)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, bytes) for each in done) >= 3  # the others were sent, and may be asked again
