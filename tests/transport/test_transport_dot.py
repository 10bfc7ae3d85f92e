"""DNS over TLS: framing, IDs, and what a connection may owe (RFC 7858, RFC 7766, threats C3, R7, R8)."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from secdns.dns.framing import frame
from secdns.dns.message import make_query
from secdns.dns.name import from_text
from secdns.errors import ConnectionLost, DeadlineExceeded, Overloaded, ProtocolError
from secdns.testing import FakeUpstream, Seen
from secdns.transport.dot import MAX_OUTSTANDING, DoTConnection
from tests.transport.conftest import Reach
from tests.transport.support import ask, deadline_in, query_for, right_answer, wait_until


def id_of(seen: Seen) -> int:
    return int.from_bytes(seen.wire[:2])


def echo(query: bytes) -> bytes:
    """Answer with the question alone: NODATA without an SOA, but quick to make."""
    return query[:2] + b"\x81\x80" + query[4:]


@pytest.fixture
async def quick(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(answer=echo) as upstream:
        yield upstream


async def test_queries_of_one_turn_leave_in_one_write_and_a_record_each(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = reach(up.endpoint("tls"))
    await ask(transport)
    writes: list[list[int]] = []
    send = DoTConnection.send

    def counted(connection: DoTConnection, *records: bytes) -> None:
        writes.append([len(record) for record in records])
        send(connection, *records)

    monkeypatch.setattr(DoTConnection, "send", counted)
    await asyncio.gather(*(ask(transport, number) for number in range(50)))
    assert writes == [[2 + 128] * 50]


async def test_answer_octet_by_octet_is_put_together(up: FakeUpstream, reach: Reach) -> None:
    up.faults.drip_s = 0.001
    assert await ask(reach(up.endpoint("tls"))) == right_answer()


async def test_answer_of_65535_octets_is_taken(quick: FakeUpstream, reach: Reach) -> None:
    quick.answer = lambda query: echo(query) + bytes(65535 - len(query))
    got = await reach(quick.endpoint("tls")).exchange(query_for(), deadline_in())
    assert len(got) == 65535


@pytest.mark.parametrize("size", [0, 1, 11])
async def test_prefix_that_promises_less_than_a_header_ends_the_connection(
    size: int, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.inject = struct.pack("!H", size) + bytes(12)
    with pytest.raises(ProtocolError, match="header"):
        await ask(reach(up.endpoint("tls")))


@pytest.mark.parametrize("size", [0, 1, 11])
async def test_message_shorter_than_a_header_ends_the_connection_though_nothing_follows(
    size: int, quick: FakeUpstream, reach: Reach
) -> None:
    quick.answer = lambda query: bytes(size)
    with pytest.raises(ProtocolError, match="header"):
        await ask(reach(quick.endpoint("tls")))


async def test_endless_prefix_zero_does_not_spin_F33(up: FakeUpstream, reach: Reach) -> None:
    up.faults.inject = bytes(60_000)
    with pytest.raises(ProtocolError):
        await ask(reach(up.endpoint("tls")))


async def test_ids_of_outstanding_queries_are_all_different_C3(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("tls"))
    up.faults.hold = True
    asked = [asyncio.ensure_future(transport.exchange(query_for(n, id=7), deadline_in())) for n in range(300)]
    await up.wait_queries(300)
    assert len({id_of(seen) for seen in up.queries}) == 300
    up.release()
    assert {answer[:2] for answer in await asyncio.gather(*asked)} == {b"\0\x07"}


ASKED = len(make_query(from_text("h1.example.test"), 1, id=0))  # octets without the OPT


@pytest.mark.parametrize("every", [10, 100])
async def test_id_of_an_unanswered_query_is_not_used_again_C3(
    every: int, quick: FakeUpstream, reach: Reach
) -> None:
    """70,000 queries wrap the 16 bits of an ID; some are never answered.

    Of every tenth, a connection soon owes too much and is replaced; of every hundredth, one lives through.
    """
    silent = 200 // every
    never = query_for(0)[12:ASKED]
    quick.faults.silent = True
    quick.faults.only = lambda seen: never in seen.wire
    transport = reach(quick.endpoint("tls"))
    batch = [query_for(1, id=number) for number in range(200 - silent)]
    for _ in range(350):
        unanswered = [
            asyncio.ensure_future(transport.exchange(query_for(0), deadline_in())) for _ in range(silent)
        ]
        got = await asyncio.gather(*(transport.exchange(query, deadline_in()) for query in batch))
        # a query that asked for keepalive is echoed with it, so the header and the question have to do
        assert [answer[:ASKED] for answer in got] == [echo(query)[:ASKED] for query in batch]
        for task in unanswered:
            task.cancel()
        await asyncio.wait(unanswered)
    taken: dict[int, set[int]] = {}  # connection -> IDs that were never answered
    for seen in quick.queries:
        used = taken.setdefault(seen.connection, set())
        assert id_of(seen) not in used
        if never in seen.wire:
            used.add(id_of(seen))
    assert sum(map(len, taken.values())) == 350 * silent
    assert (len(taken) > 1) is (every == 10)


async def test_answer_to_one_query_under_the_id_of_another_reaches_nobody_C3(
    quick: FakeUpstream, reach: Reach
) -> None:
    transport = reach(quick.endpoint("tls"))
    quick.faults.silent, quick.faults.times = True, 1
    quick.answer = lambda query: quick.queries[0].wire[:2] + echo(query)[2:]
    got = await asyncio.gather(
        *(transport.exchange(query_for(number), deadline_in()) for number in (2, 3)), return_exceptions=True
    )
    assert [type(result) for result in got] == [ProtocolError, ConnectionLost]


async def test_id_that_was_never_sent_ends_the_connection_C3(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("tls"))
    await ask(transport)
    up.faults.hold = True
    asked = [asyncio.ensure_future(ask(transport, number)) for number in range(5)]
    await up.wait_queries(6)
    up.faults.hold = False
    used = {id_of(seen) for seen in up.queries}
    foreign = next(number for number in range(0x10000) if number not in used)
    up.faults.inject = frame(struct.pack("!H", foreign) + echo(query_for())[2:])
    got = await asyncio.gather(*asked, ask(transport, 6), return_exceptions=True)
    assert {type(result) for result in got} == {ConnectionLost}


async def test_too_many_unanswered_queries_are_refused_R7(up: FakeUpstream, reach: Reach) -> None:
    up.faults.silent = True
    transport = reach(up.endpoint("tls"))
    waiting = [asyncio.ensure_future(ask(transport, 1, within_s=60)) for _ in range(MAX_OUTSTANDING)]
    await up.wait_queries(MAX_OUTSTANDING)
    with pytest.raises(Overloaded):
        await ask(transport)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_silent_connection_is_killed_after_two_misses_R8_F2(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.transport.conversation.MISS_S", 0.0)
    transport = reach(up.endpoint("tls"))
    await ask(transport)
    up.faults.silent = True
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await ask(transport, within_s=0.05)
    up.faults.silent = False
    assert await ask(transport) == right_answer()
    assert up.connections["tls"] == 2


async def test_one_miss_or_a_cancelled_exchange_leaves_the_connection_R8(
    up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("tls"))
    await ask(transport)
    up.faults.silent = True
    with pytest.raises(DeadlineExceeded):
        await ask(transport, within_s=0.05)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(transport, within_s=0.1), 0.01)
    up.faults.silent = False
    assert await ask(transport) == right_answer()
    assert up.connections["tls"] == 1


async def test_idle_connection_is_closed_by_us(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.transport.conversation.IDLE_S", 0.05)
    transport = reach(up.endpoint("tls"))
    await ask(transport)
    await wait_until(lambda: up.open_connections == 0)
    assert await ask(transport) == right_answer()
    assert up.connections["tls"] == 2
