"""A FakeUpstream over TLS, TCP and UDP: its answers, its records and its life."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from secdns.dns import name
from secdns.dns.edns import EDNS, pad
from secdns.dns.framing import frame
from secdns.dns.message import Message, make_query
from secdns.dns.peek import reply_matches
from secdns.endpoint import Endpoint
from secdns.iana import RRType
from secdns.testing import FakeUpstream, Faults, Handshake, Seen, spki_pin
from tests.testing.clients import (
    LARGE,
    OTHER,
    QUERY,
    TEN_S,
    V4,
    addresses,
    connect,
    datagrams,
    receive,
    streams,
    trusting,
)


@streams
async def test_a_query_over_a_stream_is_answered(up: FakeUpstream, scheme: str) -> None:
    async with connect(up, scheme) as client:
        reply = await client.ask()
    assert reply_matches(QUERY, reply)
    assert (reply[:2], addresses(reply)) == (QUERY[:2], V4)


async def test_a_query_over_udp_is_answered(up: FakeUpstream) -> None:
    with datagrams(up) as sock:
        sock.send(QUERY)
        assert addresses(await receive(sock)) == V4


@streams
async def test_pipelined_queries_are_answered_in_order(up: FakeUpstream, scheme: str) -> None:
    async with connect(up, scheme) as client:
        client.send(QUERY, OTHER, QUERY)
        ids = [(await client.receive())[:2] for _ in range(3)]
    assert ids == [QUERY[:2], OTHER[:2], QUERY[:2]]


async def test_a_large_answer_is_truncated_over_udp_and_whole_over_tcp(up: FakeUpstream) -> None:
    with datagrams(up) as sock:
        sock.send(LARGE)
        short = Message.parse(await receive(sock))
    async with connect(up, "tcp") as client:
        whole = Message.parse(await client.ask(LARGE))
    assert (short.truncated, len(short.answer)) == (True, 0)
    assert (whole.truncated, len(whole.answer)) == (False, 20)


async def test_an_own_answer_replaces_the_zones(up: FakeUpstream) -> None:
    up.answer = lambda query: query[:2] + b"own answer, not a message"
    async with connect(up) as client:
        assert await client.ask() == QUERY[:2] + b"own answer, not a message"


@pytest.mark.parametrize("padding", [False, True])
async def test_replies_to_padded_queries_are_padded_if_wanted_8467_4(padding: bool) -> None:
    query = pad(make_query(name.from_text("www.example.test"), RRType.A, id=1, edns=EDNS()))
    async with FakeUpstream(padding=padding) as up, connect(up) as client:
        assert (len(await client.ask(query)) % 468 == 0) is padding
        assert len(await client.ask()) % 468 != 0


async def test_queries_and_connections_are_recorded_in_order(up: FakeUpstream) -> None:
    async with connect(up) as first, connect(up) as second, connect(up, "tcp") as plain:
        await second.ask()
        await first.ask(OTHER)
        await plain.ask()
    assert up.queries == [Seen("tls", QUERY, 2), Seen("tls", OTHER, 1), Seen("tcp", QUERY, 1)]
    assert up.connections == {"tls": 2, "https": 0, "tcp": 1}


async def test_waiting_for_queries_ends_when_they_came(up: FakeUpstream) -> None:
    up.faults.silent = True
    async with connect(up, "tcp") as client:
        client.send(QUERY, OTHER)
        await up.wait_queries(2)
        assert len(up.queries) == 2


async def test_a_handshake_is_recorded(up: FakeUpstream) -> None:
    async with connect(up) as client:
        await client.ask()
    assert up.handshakes == [Handshake("tls", 1, "TLSv1.3", None, "dns.test", resumed=False)]


async def test_an_address_sends_no_server_name_E2() -> None:
    async with FakeUpstream(cert="ip") as up:
        async with connect(up, host="127.0.0.1") as client:
            await client.ask()
        assert up.handshakes[0].server_name is None


def resume(up: FakeUpstream) -> bool:
    """Connect twice with one session and say whether the second time was a resumption."""
    context = trusting(up)
    session: ssl.SSLSession | None = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", up.port("tls")), timeout=TEN_S) as plain,
            context.wrap_socket(plain, server_hostname=up.hostname, session=session) as tls,
        ):
            tls.sendall(frame(QUERY))
            tls.recv(65535)  # the tickets come before the answer
            session = tls.session
            resumed = bool(tls.session_reused)
    return resumed


async def test_a_session_can_be_resumed(up: FakeUpstream) -> None:
    assert await asyncio.to_thread(resume, up) is True
    assert [handshake.resumed for handshake in up.handshakes] == [False, True]


async def test_urls_and_endpoints_say_where_it_is(up: FakeUpstream) -> None:
    tls, https, udp, tcp = (up.port(scheme) for scheme in ("tls", "https", "udp", "tcp"))
    assert (up.tls_url, up.udp_url, up.tcp_url) == (
        f"tls://dns.test:{tls}",
        f"udp://127.0.0.1:{udp}",
        f"tcp://127.0.0.1:{tcp}",
    )
    assert up.endpoint("https") == Endpoint(
        "https", "dns.test", https, "/dns-query", ("127.0.0.1",), ca_file=up.ca_file
    )
    assert up.endpoint("udp") == Endpoint("udp", "127.0.0.1", udp, addresses=("127.0.0.1",))
    assert up.endpoint("tls", "127.0.0.1").host == "127.0.0.1"
    assert (udp, len({tls, https, udp})) == (tcp, 3)


async def test_the_pin_is_that_of_the_certificate_in_use(up: FakeUpstream) -> None:
    def served() -> str:
        return ssl.get_server_certificate(("127.0.0.1", up.port("tls")), timeout=TEN_S)

    before = up.pin_sha256
    assert spki_pin((await asyncio.to_thread(served)).encode()) == before
    up.use_certificate("good")
    assert spki_pin((await asyncio.to_thread(served)).encode()) == up.pin_sha256 != before


@streams
async def test_open_connections_can_be_killed(up: FakeUpstream, scheme: str) -> None:
    async with connect(up, scheme) as client:
        await client.ask()
        assert up.open_connections == 1
        up.drop_connections(reset=True)
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
    assert up.open_connections == 0


async def test_it_goes_away_and_comes_back_on_the_same_ports(up: FakeUpstream) -> None:
    urls = (up.tls_url, up.https_url, up.udp_url, up.tcp_url)
    async with connect(up) as client:
        await client.ask()
        await up.stop()
        with contextlib.suppress(ConnectionResetError):
            assert await client.reader.read() == b""
    for scheme in ("tls", "https", "tcp"):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", up.port(scheme))
    await up.start()
    async with connect(up) as client:
        assert addresses(await client.ask()) == V4
    with datagrams(up) as sock:
        sock.send(QUERY)
        assert addresses(await receive(sock)) == V4
    assert (up.tls_url, up.https_url, up.udp_url, up.tcp_url) == urls
    assert (up.connections["tls"], len(up.queries)) == (2, 3)


async def test_starting_and_stopping_twice_is_as_good_as_once(up: FakeUpstream) -> None:
    await up.start()
    await up.stop()
    await up.stop()
    await up.start()
    async with connect(up, "tcp") as client:
        assert addresses(await client.ask()) == V4


async def test_nothing_is_left_after_a_failure_inside() -> None:
    up = FakeUpstream(faults=Faults(hold=True))
    with contextlib.suppress(ZeroDivisionError):
        async with up, connect(up, "tcp") as client:
            client.send(QUERY)
            await up.wait_queries(1)
            directory = Path(up.ca_file).parent
            port = up.port("tcp")
            raise ZeroDivisionError
    assert directory.name not in os.listdir(directory.parent)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("turns", range(6))
async def test_stopping_within_a_handshake_leaves_nothing(turns: int) -> None:
    """However far the event loop has come with an accepted connection; a leak would be a ResourceWarning."""
    with socket.socket() as sock:
        async with FakeUpstream() as up:
            sock.connect(("127.0.0.1", up.port("tls")))
            for _ in range(turns):
                await asyncio.sleep(0)
        sock.settimeout(TEN_S)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nothing_is_left_when_the_start_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="needs a host name with more labels"):
        await FakeUpstream(cert="wildcard").start()
    assert os.listdir(tmp_path) == []


def up_file(up: FakeUpstream) -> bytes:
    return Path(up.ca_file).read_bytes()


async def test_no_private_key_stays_on_disk(up: FakeUpstream) -> None:
    async with connect(up) as client:
        await client.ask()
    assert os.listdir(Path(up.ca_file).parent) == ["ca.pem"]
    assert b"PRIVATE" not in up_file(up)


async def test_two_upstreams_do_not_know_each_other(up: FakeUpstream) -> None:
    async with FakeUpstream() as other:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with asyncio.timeout(TEN_S):
                await asyncio.open_connection(
                    "127.0.0.1",
                    other.port("tls"),
                    ssl=trusting(up),
                    server_hostname="dns.test",
                )
        assert up.connections["tls"] == 0


async def test_before_its_start_it_has_no_ca_file() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        _ = FakeUpstream().ca_file


def test_quic_is_loaded_by_its_first_datagram_only() -> None:
    code = (
        "import asyncio, sys\n"
        "from secdns.testing import FakeUpstream\n"
        "async def main():\n"
        "    async with FakeUpstream() as up:\n"
        "        up.endpoint('quic'), up.endpoint('h3')\n"
        "asyncio.run(main())\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"aioquic", "pylsqpack"} & set(loaded.stdout.split()) == set()
