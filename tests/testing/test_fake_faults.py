"""What a FakeUpstream does wrong over TLS, TCP and UDP when it is told to."""

import asyncio
import contextlib

import pytest

from secdns.dns.message import Message
from secdns.dns.peek import reply_matches
from secdns.errors import FormatError
from secdns.iana import RCode
from secdns.testing import FakeUpstream, Faults
from tests.testing.clients import OTHER, QUERY, V4, addresses, connect, datagrams, receive, streams


@streams
async def test_held_answers_leave_when_released_in_either_order(up: FakeUpstream, scheme: str) -> None:
    up.faults.hold = True
    async with connect(up, scheme) as client:
        client.send(QUERY, OTHER)
        await up.wait_queries(2)
        up.release(last_first=True)
        ids = [(await client.receive())[:2] for _ in range(2)]
    assert ids == [OTHER[:2], QUERY[:2]]


async def test_a_delay_lets_a_later_answer_pass(up: FakeUpstream) -> None:
    up.faults = Faults(delay_s=0.02, times=1)
    async with connect(up) as client:
        client.send(QUERY, OTHER)
        ids = [(await client.receive())[:2] for _ in range(2)]
    assert ids == [OTHER[:2], QUERY[:2]]


@streams
async def test_silence_swallows_a_query(up: FakeUpstream, scheme: str) -> None:
    up.faults = Faults(silent=True, times=1)
    async with connect(up, scheme) as client:
        client.send(QUERY, OTHER)
        assert (await client.receive())[:2] == OTHER[:2]


async def test_faults_can_be_meant_for_some_queries_only(up: FakeUpstream) -> None:
    up.faults = Faults(rcode=RCode.SERVFAIL, only=lambda seen: seen.wire == OTHER)
    async with connect(up) as client:
        rcodes = [Message.parse(await client.ask(query)).rcode for query in (QUERY, OTHER, QUERY)]
    assert rcodes == [RCode.NOERROR, RCode.SERVFAIL, RCode.NOERROR]


@pytest.mark.parametrize("scheme", ["tls", "tcp", "udp"])
@pytest.mark.parametrize(
    ("faults", "keeps_id", "matches"),
    [
        pytest.param(Faults(), True, True, id="none"),
        pytest.param(Faults(wrong_id=True), False, True, id="wrong id"),
        pytest.param(Faults(wrong_question=True), True, False, id="wrong question"),
        pytest.param(Faults(garbage=True), True, False, id="garbage"),
        pytest.param(Faults(rcode=RCode.REFUSED), True, True, id="rcode"),
    ],
)
async def test_an_answer_is_wrong_the_way_it_was_told_F27(
    up: FakeUpstream, scheme: str, faults: Faults, keeps_id: bool, matches: bool
) -> None:
    up.faults = faults
    if scheme == "udp":
        with datagrams(up) as sock:
            sock.send(QUERY)
            reply = await receive(sock)
    else:
        async with connect(up, scheme) as client:
            reply = await client.ask()
    assert (reply[:2] == QUERY[:2], reply_matches(QUERY, reply)) == (keeps_id, matches)
    if faults.garbage:
        with pytest.raises(FormatError):
            Message.parse(reply)
    elif faults.rcode is not None:
        assert Message.parse(reply).rcode == faults.rcode


async def test_a_doubled_answer_comes_twice_F27(up: FakeUpstream) -> None:
    up.faults.duplicate = True
    async with connect(up) as client:
        assert await client.ask() == await client.receive()
    with datagrams(up) as sock:
        sock.send(QUERY)
        assert await receive(sock) == await receive(sock)


async def test_udp_answers_can_be_delayed_held_swallowed_and_truncated(up: FakeUpstream) -> None:
    with datagrams(up) as sock:
        up.faults = Faults(silent=True, times=1)
        sock.send(QUERY)
        await up.wait_queries(1)
        up.faults = Faults(delay_s=0.01)
        sock.send(OTHER)
        assert (await receive(sock))[:2] == OTHER[:2]
        up.faults = Faults(hold=True)
        sock.send(QUERY)
        await up.wait_queries(3)
        up.release()
        assert (await receive(sock))[:2] == QUERY[:2]
        up.faults = Faults(truncate=True)
        sock.send(QUERY)
        assert Message.parse(await receive(sock)).truncated is True


@streams
async def test_an_answer_can_drip(up: FakeUpstream, scheme: str) -> None:
    up.faults = Faults(drip_s=0.0001, close_after=1)
    async with connect(up, scheme) as client:
        assert addresses(await client.ask()) == V4
        assert await client.reader.read() == b""


async def test_octets_can_be_put_ahead_of_the_answer(up: FakeUpstream) -> None:
    up.faults = Faults(inject=b"\0\0")
    async with connect(up) as client:
        assert await client.ask() == b""
        assert addresses(await client.receive()) == V4


@streams
async def test_a_connection_can_end_after_some_answers_F28(up: FakeUpstream, scheme: str) -> None:
    up.faults.close_after = 2
    async with connect(up, scheme) as client:
        client.send(QUERY, OTHER, QUERY)
        assert [(await client.receive())[:2] for _ in range(2)] == [QUERY[:2], OTHER[:2]]
        assert await client.reader.read() == b""


@streams
async def test_a_connection_can_end_instead_of_an_answer(up: FakeUpstream, scheme: str) -> None:
    up.faults.close_mid = "fin"
    async with connect(up, scheme) as client:
        client.send(QUERY)
        assert await client.reader.read() == b""


@streams
async def test_a_connection_can_be_reset_instead_of_an_answer_F1(up: FakeUpstream, scheme: str) -> None:
    up.faults.close_mid = "rst"
    async with connect(up, scheme) as client:
        client.send(QUERY)
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_a_connection_can_end_within_an_answer(up: FakeUpstream) -> None:
    up.faults = Faults(close_mid="fin", close_mid_octets=5)
    async with connect(up) as client:
        client.send(QUERY)
        assert (await client.reader.read())[2:] == QUERY[:2] + b"\x81"


async def test_connections_can_be_dropped_when_accepted(up: FakeUpstream) -> None:
    up.faults = Faults(drop_connections=True, times=1)
    async with connect(up, "tcp") as client:
        with contextlib.suppress(ConnectionResetError):
            assert await client.reader.read() == b""
    async with connect(up, "tcp") as client:
        assert addresses(await client.ask()) == V4
    assert up.connections["tcp"] == 2


async def test_connections_can_stall_before_the_handshake_F2() -> None:
    async with FakeUpstream(faults=Faults(stall_connections=True)) as up:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), connect(up):
                pass
        assert (up.connections["tls"], up.handshakes) == (1, [])
