"""The shell of QUIC: its bounds against hostile servers (E1, E6, E12, E13, M12), tickets and tokens."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from aioquic.quic.connection import Limit, QuicConnection
from aioquic.quic.stream import QuicStream
from aioquic.tls import CipherSuite, SessionTicket
from cryptography import x509

from secdns.endpoint import parse
from secdns.errors import ConnectError, ConnectionLost, DeadlineExceeded, ProtocolError, TransportError
from secdns.testing import Authority, FakeUpstream
from secdns.transport import Transport
from secdns.transport.doq import DoQConversation
from secdns.transport.quic import MAX_DATAGRAM
from secdns.transport.quic_client import MAX_TICKET, STREAM_WINDOW, Client, Identity
from secdns.transport.quic_transport import QUICTransport
from tests.transport.conftest import Reach
from tests.transport.support import ask, right_answer, wait_until

every_quic = pytest.mark.parametrize("scheme", ["quic", "h3"])
QUIC = parse("quic://dns.test")
V2 = 0x6B3343CF
LIMIT_S = 0.020
SLOW_MACHINE = 3


def resident_octets() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def ask_twice(transport: Transport, up: FakeUpstream) -> None:
    """Ask on one connection and then on another."""
    await ask(transport)
    up.drop_connections()
    while transport.facts().handshakes < 2:
        try:
            await ask(transport)
        except TransportError:
            continue


def test_private_names_of_aioquic_are_what_they_were() -> None:
    """``Client`` leans on them: if one is gone, the bounds are gone with it."""
    client, _ = Identity(QUIC, "doq").start(3, 0)
    for name in ("_write_stream_limits", "_write_connection_limits", "_payload_received", "_close_event",
                 "_streams", "_remote_max_streams_bidi", "_remote_max_idle_timeout",
                 "_local_next_stream_id_bidi"):  # fmt: skip
        assert hasattr(client, name)
    overridden = {"_write_stream_limits", "_write_connection_limits", "_payload_received", "close"}
    assert overridden <= set(vars(QuicConnection))
    assert isinstance(client._local_max_data, Limit)
    assert client._loss._pto_count == 0
    assert (client._local_max_streams_uni.value, client._local_max_streams_bidi.value) == (3, 0)
    stream = QuicStream(0)
    assert stream.receiver.is_finished is False
    assert client._local_max_stream_data_bidi_local == STREAM_WINDOW


def test_server_name_is_always_set_E1() -> None:
    for url, want in [("quic://dns.test", "dns.test"), ("quic://192.0.2.1", "192.0.2.1")]:
        client, _ = Identity(parse(url), "doq").start(1, 1)
        assert client.configuration.server_name == want
        assert client.configuration.alpn_protocols == ["doq"]


def ticket_of(size: int = 32) -> SessionTicket:
    now = datetime.now(UTC)
    return SessionTicket(
        age_add=0,
        cipher_suite=CipherSuite.AES_128_GCM_SHA256,
        not_valid_after=now + timedelta(1),
        not_valid_before=now,
        resumption_secret=bytes(32),
        server_name="dns.test",
        ticket=bytes(size),
        max_early_data_size=0xFFFFFFFF,
    )


LEAF = x509.load_pem_x509_certificate(Authority().issue().certificate_pem)


def kept(client: Client) -> SessionTicket | None:
    """Give the ticket that the next connection has of this one, which brings no token in any case."""
    identity = Identity(QUIC, "doq")
    identity.keep(client, LEAF)
    after, _ = identity.start(1, 1)
    assert after.configuration.token == b""
    return after.configuration.session_ticket


def test_ticket_goes_to_the_next_connection_without_early_data_E13() -> None:
    client, _ = Identity(QUIC, "doq").start(1, 1)
    client._take_ticket(ticket_of())
    ticket = kept(client)
    assert ticket is not None
    assert ticket.max_early_data_size is None


def test_ticket_beyond_reason_is_not_kept_E6() -> None:
    client, _ = Identity(QUIC, "doq").start(1, 1)
    client._take_ticket(ticket_of(MAX_TICKET + 1))
    assert kept(client) is None


def test_forgetting_drops_the_ticket_9250_6_E13() -> None:
    identity = Identity(QUIC, "doq")
    client, _ = identity.start(1, 1)
    client._take_ticket(ticket_of())
    identity.keep(client, LEAF)
    identity.forget()
    after, known = identity.start(1, 1)
    assert (after.configuration.session_ticket, known) == (None, None)


async def test_resumption_sends_nothing_early_9250_5_E13(up: FakeUpstream, reach: Reach) -> None:
    await ask_twice(reach(up.endpoint("quic")), up)
    assert [(seen.resumed, seen.asks_early) for seen in up.handshakes] == [(False, False), (True, False)]


async def test_hole_in_a_stream_costs_no_more_than_its_window_E6_M12(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    before = resident_octets()
    up.faults.oddity, up.faults.times = "hole", 3
    asked = [asyncio.ensure_future(ask(transport, number, within_s=0.4)) for number in range(3)]
    got = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in got} <= {DeadlineExceeded, ConnectionLost}
    assert resident_octets() - before < 20_000_000
    assert await ask(transport, 9) == right_answer(9)


async def test_octet_beyond_the_window_ends_the_connection_E6_M12(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    up.faults.oddity = "chasm"
    with pytest.raises(ProtocolError, match="flow control"):
        await ask(transport)
    up.faults.oddity = None
    assert await ask(transport, 2) == right_answer(2)


async def test_flood_of_packets_that_say_nothing_ends_the_connection_E6(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.transport.quic.MAX_WORDLESS", 100)
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.oddity = "chatter"
    with pytest.raises(ConnectionLost, match="floods"):
        await ask(transport, 2)


async def test_one_turn_reads_for_a_few_milliseconds_F33(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 0.0
    read = DoQConversation._on_readable

    def measured(self: DoQConversation) -> None:
        nonlocal longest
        began = time.thread_time()
        read(self)
        longest = max(longest, time.thread_time() - began)

    monkeypatch.setattr(DoQConversation, "_on_readable", measured)
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.faults.oddity = "chatter"
    assert await ask(transport, 2) == right_answer(2)
    assert 0.0 < longest < SLOW_MACHINE * LIMIT_S


async def test_junk_from_the_address_of_the_server_does_no_harm_E12(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    connection = transport._link.current if isinstance(transport, QUICTransport) else None
    assert connection is not None
    for junk in (
        b"",
        b"\x40",
        bytes(1200),
        b"\xc0\0\0\0\1" + bytes(1200),
        os.urandom(1200),
        bytes(MAX_DATAGRAM),
    ):
        connection._take_datagram(junk, time.monotonic())
    assert await ask(transport, 2) == right_answer(2)
    assert up.connections["quic"] == 1


async def test_retry_is_followed_once_E12(up: FakeUpstream, reach: Reach) -> None:
    up.faults.retry = "once"
    assert await ask(reach(up.endpoint("quic"))) == right_answer()


async def test_retry_without_end_is_given_up_at_the_deadline_E12(up: FakeUpstream, reach: Reach) -> None:
    up.faults.retry = "always"
    with pytest.raises(DeadlineExceeded):
        await ask(reach(up.endpoint("quic")), within_s=0.3)
    assert up.queries == []


async def test_server_that_speaks_another_version_of_quic_is_a_failure_at_once_E12(
    up: FakeUpstream, reach: Reach
) -> None:
    up.faults.only_version = V2
    with pytest.raises(ConnectError, match="common protocol version"):
        await ask(reach(up.endpoint("quic")))


async def test_server_that_went_away_is_noticed_F1_F5(up: FakeUpstream, reach: Reach) -> None:
    """Its port is closed, which the kernel tells us; one ICMP error proves nothing, two do."""
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    up.vanish()
    with pytest.raises(ConnectionLost, match="refused"):
        await ask(transport, 2)


async def test_reset_says_nothing_to_the_server_9250_6(up: FakeUpstream, reach: Reach) -> None:
    """A CONNECTION_CLOSE from a new address would tell that it is us."""
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    transport.reset()
    assert await ask(transport, 2) == right_answer(2)
    assert up.goodbyes == []


async def test_idle_connection_is_closed_before_the_server_does(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.transport.conversation.IDLE_S", 0.05)
    transport = reach(up.endpoint("quic"))
    await ask(transport)
    await wait_until(lambda: up.goodbyes != [])
    assert up.goodbyes == [("quic", 0)]
    assert transport.facts().idle_limit_s == 60.0


@every_quic
async def test_path_that_falls_silent_is_given_up_long_before_the_deadline_F2(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    up.faults.drop_datagrams = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(ConnectionLost, match="silent"):
        await ask(transport, 2, within_s=20.0)
    assert 1.0 <= loop.time() - began < 5.0
    assert up.dropped_datagrams > 2


@every_quic
async def test_upstream_that_only_takes_its_time_is_waited_for(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    up.faults.delay_s = 2.5
    assert await ask(transport, 2) == right_answer(2)
    assert up.connections[scheme] == 1
