"""Plain DNS for routes: nothing forged ends the wait, and nothing is predictable (threats C1, C2)."""

import asyncio
import collections
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import cast

import pytest

from secdns.dns.message import Message
from secdns.endpoint import parse
from secdns.errors import ConnectError, DeadlineExceeded, Overloaded
from secdns.testing import FakeUpstream
from secdns.transport.do53 import MAX_IN_FLIGHT
from tests.transport.conftest import Reach
from tests.transport.support import ask, deadline_in, query_for, right_answer, wait_until

Datagrams = Callable[[bytes], list[tuple[float, bytes]]]
"""A query -> what is sent back, each with the seconds to wait first."""


class Resolver(asyncio.DatagramProtocol):
    """Sends whatever it is told to, and remembers who asked what."""

    def __init__(self) -> None:
        self.answers: Datagrams = lambda query: []
        self.seen: list[tuple[int, bytes]] = []  # source port, query
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.seen.append((addr[1], data))
        for delay_s, datagram in self.answers(data):
            asyncio.get_running_loop().call_later(delay_s, self.send, datagram, addr)

    def send(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(datagram, addr)

    @property
    def url(self) -> str:
        assert self.transport is not None
        return f"udp://127.0.0.1:{self.transport.get_extra_info('sockname')[1]}"


@pytest.fixture
async def resolver(nothing_is_left: None) -> AsyncIterator[Resolver]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Resolver, local_addr=("127.0.0.1", 0)
    )
    yield protocol
    transport.close()


def right(query: bytes) -> bytes:
    return query[:2] + b"\x81\x80" + query[4:]


def flipped(octet: int) -> int:
    return octet ^ 0xFF


FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda query: b"",
    "one octet": lambda query: query[:1],
    "garbage": lambda query: query[:2] + b"\xff" * 40,
    "QR=0": lambda query: query,
    "wrong ID": lambda query: bytes([flipped(query[0])]) + right(query)[1:],
    "other opcode": lambda query: query[:2] + b"\xa1\x80" + query[4:],
    "no question": lambda query: query[:2] + b"\x81\x82" + bytes(8),
    "another name": lambda query: right(query).replace(b"example", b"exbmple"),
    "another type": lambda query: right(query).replace(b"\x00\x00\x01\x00\x01", b"\x00\x00\x1c\x00\x01"),
    "another class": lambda query: right(query).replace(b"\x00\x00\x01\x00\x01", b"\x00\x00\x01\x00\x03"),
    "question cut off": lambda query: right(query)[:20],
    "SERVFAIL with a wrong ID": lambda query: (
        bytes([flipped(query[0])]) + query[1:2] + b"\x81\x82" + query[4:]
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_what_does_not_fit_is_dropped_and_the_wait_goes_on_C2(
    forgery: Callable[[bytes], bytes], resolver: Resolver, reach: Reach
) -> None:
    resolver.answers = lambda query: [(0.0, forgery(query)), (0.05, right(query))]
    query = query_for()
    got = await reach(parse(resolver.url)).exchange(query, deadline_in())
    assert got == right(query)
    assert len(resolver.seen) == 1


async def test_only_forgeries_end_at_the_deadline_C2(resolver: Resolver, reach: Reach) -> None:
    resolver.answers = lambda query: [(0.0, forgery(query)) for forgery in FORGERIES.values()]
    with pytest.raises(DeadlineExceeded):
        await reach(parse(resolver.url)).exchange(query_for(), deadline_in(0.3))


async def test_flood_that_never_stops_ends_at_the_deadline_C2_R8_F33(
    resolver: Resolver, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if somebody filled the socket faster than we read it: then reading it never waits."""
    forged = right(query_for())[:2] + b"\x81\x82" + bytes(8)
    loop = asyncio.get_running_loop()

    async def always_something(opened: socket.socket, size: int) -> bytes:
        return forged

    monkeypatch.setattr(loop, "sock_recv", always_something)
    with pytest.raises(DeadlineExceeded):
        await reach(parse(resolver.url)).exchange(query_for(), deadline_in(0.05))


@pytest.mark.parametrize("dead", ["255.255.255.255", "::1"])
async def test_address_that_cannot_be_asked_is_passed_over_for_the_next_F35(
    dead: str, resolver: Resolver, reach: Reach
) -> None:
    """A broadcast address is not permitted; at ::1 nobody listens, if this machine has it."""
    resolver.answers = lambda query: [(0.0, right(query))]
    query = query_for()
    endpoint = replace(parse(resolver.url), addresses=(dead, "127.0.0.1"))
    assert await reach(endpoint).exchange(query, deadline_in()) == right(query)


async def test_datagram_from_another_port_is_not_let_in_C1(resolver: Resolver, reach: Reach) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def answers(query: bytes) -> list[tuple[float, bytes]]:
            stranger.sendto(right(query)[:-1] + b"\x07", ("127.0.0.1", resolver.seen[-1][0]))
            return [(0.05, right(query))]

        resolver.answers = answers
        query = query_for()
        assert await reach(parse(resolver.url)).exchange(query, deadline_in()) == right(query)


async def test_ids_and_ports_are_fresh_and_spread_out_C1(resolver: Resolver, reach: Reach) -> None:
    resolver.answers = lambda query: [(0.0, right(query))]
    transport = reach(parse(resolver.url))
    for _ in range(512):
        await transport.exchange(query_for(1, id=7), deadline_in())
    ids = [int.from_bytes(query[:2]) for _, query in resolver.seen]
    buckets = collections.Counter(number >> 12 for number in ids)
    chi_square = sum((buckets[bucket] - 32) ** 2 / 32 for bucket in range(16))
    assert chi_square < 60  # 15 degrees of freedom: once in ten million runs
    assert len(set(ids)) > 480
    assert len({port for port, _ in resolver.seen}) > 400


async def test_too_many_queries_in_flight_are_refused_R7(resolver: Resolver, reach: Reach) -> None:
    """Each holds a descriptor."""
    transport = reach(parse(resolver.url))
    exchanges = [transport.exchange(query_for(), deadline_in(60)) for _ in range(MAX_IN_FLIGHT)]
    waiting = [asyncio.ensure_future(exchange) for exchange in exchanges]
    await wait_until(lambda: len({port for port, _ in resolver.seen}) == MAX_IN_FLIGHT)
    with pytest.raises(Overloaded):
        await transport.exchange(query_for(), deadline_in())
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_lost_query_is_sent_again(
    resolver: Resolver, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.transport.do53.RETRANSMIT_S", (0.05, 0.05))
    resolver.answers = lambda query: [(0.0, right(query))] if len(resolver.seen) == 3 else []
    query = query_for()
    assert await reach(parse(resolver.url)).exchange(query, deadline_in()) == right(query)
    assert len({query for _, query in resolver.seen}) == 1


async def test_answer_to_the_first_of_two_sends_is_taken(
    resolver: Resolver, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.transport.do53.RETRANSMIT_S", (0.05, 0.05))
    resolver.answers = lambda query: [(0.07, right(query))] if len(resolver.seen) == 1 else []
    query = query_for()
    assert await reach(parse(resolver.url)).exchange(query, deadline_in()) == right(query)


async def test_truncated_answer_is_asked_for_over_tcp_T11(up: FakeUpstream, reach: Reach) -> None:
    up.faults.truncate = True
    assert await ask(reach(up.endpoint("udp"))) == right_answer()
    assert [seen.scheme for seen in up.queries] == ["udp", "tcp"]


async def test_answer_larger_than_asked_for_is_taken_whole(resolver: Resolver, reach: Reach) -> None:
    resolver.answers = lambda query: [(0.0, right(query) + bytes(8000))]
    got = await reach(parse(resolver.url)).exchange(query_for(), deadline_in())
    assert len(got) == len(query_for()) + 8000


async def test_closed_port_is_a_connect_error(up: FakeUpstream, reach: Reach) -> None:
    endpoint = up.endpoint("udp")
    await up.stop()
    with pytest.raises(ConnectError, match="nobody answers"):
        await ask(reach(endpoint))


async def test_letter_case_of_the_question_may_differ(resolver: Resolver, reach: Reach) -> None:
    resolver.answers = lambda query: [(0.0, right(query).replace(b"example", b"ExAmPlE"))]
    got = await reach(parse(resolver.url)).exchange(query_for(), deadline_in())
    assert Message.parse(got).question[0].name == b"\x02h1\x07ExAmPlE\x04test\x00"
