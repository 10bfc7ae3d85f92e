"""TLS from a hostile server below what DNS or HTTP sees, and sockets that go silent (F2, F33, M14)."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from secdns.endpoint import Endpoint, parse
from secdns.errors import AuthenticationError, ConnectError, ConnectionLost, TransportError
from secdns.testing import FakeUpstream
from secdns.transport import dial
from secdns.transport.connection import MAX_UNSENT, MAX_WORDLESS
from secdns.transport.conversation import IDLE_S
from tests.transport.conftest import Reach
from tests.transport.support import ask, right_answer

every_encrypted = pytest.mark.parametrize("scheme", ["tls", "https"])  # what is TLS over TCP
Behaviour = Callable[["Server"], None]


class Server(asyncio.Protocol):
    """A TLS 1.3 server on memory buffers that can also write records of its own making."""

    def __init__(self, context: ssl.SSLContext, secrets: Path, then: Behaviour) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._secrets = secrets
        self._then = then
        self._is_open = False
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self._is_open:
            return
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self._is_open = True
        except ssl.SSLError:  # it wants more, or the client did not like us
            pass
        self.transport.write(self._outgoing.read())
        if self._is_open:
            self._then(self)

    def key_updates(self, count: int) -> bytes:
        """Give this many records that change our key and ask for another of the peer (RFC 8446 §4.6.3)."""
        lines = self._secrets.read_text().splitlines()
        secret = bytes.fromhex(
            [line.split()[2] for line in lines if line.startswith("SERVER_TRAFFIC_SECRET_0")][-1]
        )
        records = []
        for _ in range(count):
            key, iv = expand(secret, b"key", 32), expand(secret, b"iv", 12)
            head = b"\x17\x03\x03" + (6 + 16).to_bytes(2)
            # the first record under each key, so its nonce is the IV itself
            records.append(head + AESGCM(key).encrypt(iv, b"\x18\0\0\1\1" + b"\x16", head))
            secret = expand(secret, b"traffic upd", 48)
        return b"".join(records)


def expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 §7.1), for TLS_AES_256_GCM_SHA384."""
    label = b"tls13 " + label
    info = size.to_bytes(2) + bytes((len(label),)) + label + b"\0"
    return HKDFExpand(hashes.SHA384(), size, info).derive(secret)


class Servers:
    """Starts servers with one CA; what they accepted is in ``made``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(directory / "ca.pem"))
        self._listening: list[asyncio.Server] = []
        self._contexts: list[ssl.SSLContext] = []
        self.made: list[Server] = []

    async def start(
        self, scheme: str, then: Behaviour, *, tickets: int = 0, names: str = "dns.test"
    ) -> Endpoint:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(names).configure_cert(context)
        context.set_alpn_protocols(["h2", "dot"])
        context.num_tickets = tickets
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.keylog_filename = str(self._directory / "secrets")
        self._contexts.append(context)
        (self._directory / "secrets").write_text("")

        def accept() -> Server:
            self.made.append(Server(context, self._directory / "secrets", then))
            return self.made[-1]

        listening = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        self._listening.append(listening)
        port = listening.sockets[0].getsockname()[1]
        endpoint = parse(f"{scheme}://dns.test:{port}")
        return replace(endpoint, addresses=("127.0.0.1",), ca_file=str(self._directory / "ca.pem"))

    async def stop(self) -> None:
        for listening in self._listening:
            listening.close()
            await listening.wait_closed()
        for server in self.made:
            server.transport.abort()
        for context in self._contexts:
            setattr(context, "keylog_filename", None)  # noqa: B010  closes it; mypy does not know that it may


@pytest.fixture
async def servers(nothing_is_left: None, tmp_path: Path) -> AsyncIterator[Servers]:
    started = Servers(tmp_path)
    yield started
    await started.stop()


@every_encrypted
async def test_flood_of_key_updates_ends_the_connection_F33(
    scheme: str, servers: Servers, reach: Reach
) -> None:
    """Each wants another of us; OpenSSL answers with the next query, once for all."""

    def flood(server: Server) -> None:
        server.transport.pause_reading()
        server.transport.write(server.key_updates(MAX_WORDLESS // 27 + 50))

    endpoint = await servers.start(scheme, flood)
    with pytest.raises(ConnectionLost, match="says nothing"):
        await ask(reach(endpoint))


AFTERMATHS: dict[str, Behaviour] = {
    "closed": lambda server: server.transport.close(),
    "reset": lambda server: server.transport.abort(),
    "no TLS": lambda server: server.transport.write(bytes(100)),
    "key updates": lambda server: server.transport.write(server.key_updates(3000)),
}


@pytest.mark.parametrize("then", AFTERMATHS.values(), ids=AFTERMATHS)
@every_encrypted
async def test_connection_that_dies_right_after_its_handshake_is_not_dialled_for_ever_R9(
    scheme: str, then: Behaviour, servers: Servers, reach: Reach
) -> None:
    """Whether a query was on it already or not: one query costs few connects."""
    endpoint = await servers.start(scheme, then)
    transport = reach(endpoint)
    for _ in range(20):
        with pytest.raises(TransportError):
            await ask(transport)
    assert len(servers.made) <= 4


@every_encrypted
async def test_flood_of_tickets_ends_the_connection_F33(scheme: str, servers: Servers, reach: Reach) -> None:
    endpoint = await servers.start(scheme, lambda server: None, tickets=400)
    with pytest.raises(TransportError, match="says nothing"):
        await ask(reach(endpoint))
    assert MAX_WORDLESS < MAX_UNSENT


async def test_tcp_gives_up_what_is_not_acknowledged_for_5_seconds_F2() -> None:
    with dial.open_socket("127.0.0.1", socket.SOCK_STREAM) as opened:
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000


async def test_tcp_looks_after_a_quiet_connection_only_when_we_should_have_closed_it_F2() -> None:
    with dial.open_socket("127.0.0.1", socket.SOCK_STREAM) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [opened.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [15, 5, 3]
    assert IDLE_S < 15  # so that it wakes no radio


@every_encrypted
async def test_nothing_is_said_before_tls_and_nothing_in_plain_after_it_failed_E3_7858_1_8310_3(
    scheme: str, nothing_is_left: None, reach: Reach
) -> None:
    heard = bytearray()

    class Plain(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            heard.extend(data)
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(b"\0\x0c" + bytes(12))  # as DNS over TCP would begin
            self.transport.close()

    listening = await asyncio.get_running_loop().create_server(Plain, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    endpoint = replace(parse(f"{scheme}://dns.test:{port}"), addresses=("127.0.0.1",))
    with pytest.raises(ConnectError):
        await ask(reach(endpoint))
    listening.close()
    await listening.wait_closed()
    assert heard[:2] == b"\x16\x03"  # a handshake record (RFC 8446 §5.1)
    assert int.from_bytes(heard[3:5]) + 5 == len(heard)  # and that alone
    assert b"example" not in heard


@every_encrypted
async def test_hijacked_address_is_passed_over_for_the_next_E4(
    scheme: str, up: FakeUpstream, servers: Servers, reach: Reach
) -> None:
    """Bootstrap was lied to for the first address: the certificate tells, and nothing is asked there."""
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("dns.test").configure_cert(context)
    context.set_alpn_protocols(["h2", "dot"])
    endpoint = up.endpoint(scheme)
    liar = await loop.create_server(asyncio.Protocol, "127.0.0.7", endpoint.port, ssl=context)
    transport = reach(replace(endpoint, addresses=("127.0.0.7", "127.0.0.1")))
    assert await ask(transport) == right_answer()
    liar.close()
    await liar.wait_closed()
    assert transport.facts().peer == "127.0.0.1"


@every_encrypted
async def test_only_hijacked_addresses_are_said_to_be_so_E4(
    scheme: str, up: FakeUpstream, servers: Servers, reach: Reach
) -> None:
    endpoint = await servers.start(scheme, lambda server: None, names="other.test")
    with pytest.raises(AuthenticationError, match="another name"):
        await ask(reach(endpoint))
