"""FakeUpstream: an upstream on loopback that does as it is told."""

import asyncio
import dataclasses
import importlib
import logging
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast

from secdns.endpoint import Endpoint, parse
from secdns.testing.authority import CertificateKind, Leaf
from secdns.testing.connection import Connection, linger_not
from secdns.testing.core import Answer, Core, Handshake
from secdns.testing.datagram import UDPServer
from secdns.testing.demo import DEMO_ZONES
from secdns.testing.doh import PATH
from secdns.testing.doh2 import HTTPConnection
from secdns.testing.faults import Faults, Seen
from secdns.testing.stream import TCPConnection, TLSConnection
from secdns.testing.tls import Contexts
from secdns.testing.zones import ZoneData, Zones

ADDRESS = "127.0.0.1"
HANDSHAKE_TIMEOUT_S = 10.0
BIND_ATTEMPTS = 20  # a port that is free for TCP may be taken for UDP

STREAMS: dict[str, type[Connection]] = {"tls": TLSConnection, "https": HTTPConnection, "tcp": TCPConnection}
"""Scheme -> what speaks it."""
COMPANIONS = {"tls": "quic", "https": "h3", "tcp": "udp"}
"""Scheme over TCP -> the one over UDP on the same port."""
QUIC = {"quic": "secdns.testing.doq", "h3": "secdns.testing.doh3"}
"""Scheme -> the module that serves it, loaded when the first datagram comes: `aioquic` takes 8 MB."""
ENCRYPTED = frozenset({"tls", "https", "quic", "h3"})
HTTP = frozenset({"https", "h3"})

log = logging.getLogger(__name__)


class _Stoppable(Protocol):
    def stop(self) -> None: ...


class _Module(Protocol):
    def serve(
        self, core: Core, scheme: str, opened: socket.socket, leaf: Callable[[], Leaf]
    ) -> _Stoppable: ...


class FakeUpstream:
    """An upstream on 127.0.0.1: DNS over TLS, HTTPS (HTTP/2 and HTTP/3), QUIC, UDP and TCP.

    It has a certificate authority of its own, answers from ``zones`` and misbehaves as ``faults``
    say. Ports are ephemeral, chosen at the first start and kept until the end; each pair of
    protocols over TCP and UDP shares one: TLS and QUIC, HTTP/2 and HTTP/3, plain TCP and UDP.

        async with FakeUpstream({"example.test": {"www": {"A": "192.0.2.1"}}}) as up:
            ...ask up.endpoint("tls")...
            up.faults.delay_s = 1.0
            assert up.connections["tls"] == 1

    As a pytest fixture:

        @pytest.fixture
        async def up() -> AsyncIterator[FakeUpstream]:
            async with FakeUpstream() as upstream:
                yield upstream

    ``zones`` is a ``Zones``, the text that ``Zones.parse`` takes, or its data; None means DEMO_ZONES.
    ``answer``, if given, replaces the zones: any callable from query to reply, both whole messages.
    ``hostname`` is the name (or IP literal) in the URLs and in a good certificate; ``cert`` says what is
    right or wrong about the certificate. With ``padding``, encrypted replies to padded queries are padded.

    Everything lives in the event loop that started it. Leaving the context closes every socket and
    removes the temporary directory, whatever went wrong inside.
    """

    addresses = (ADDRESS,)

    def __init__(
        self,
        zones: Zones | str | Mapping[str, ZoneData] | None = None,
        *,
        faults: Faults | None = None,
        cert: CertificateKind = "good",
        hostname: str = "dns.test",
        answer: Answer | None = None,
        padding: bool = False,
    ) -> None:
        self.hostname = hostname
        self._core = Core(answer or _zones(zones).answer, faults or Faults(), padding=padding)
        self._cert = cert
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._contexts: Contexts | None = None
        self._ports: dict[str, int] = {}
        self._sockets: list[socket.socket] = []
        self._stalled: list[socket.socket] = []
        self._handshaking: dict[asyncio.Task[None], socket.socket] = {}
        self._udp: UDPServer | None = None
        self._quic: list[_Stoppable] = []

    # what a test turns

    @property
    def faults(self) -> Faults:
        """The knobs; turn them, or put others in their place."""
        return self._core.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._core.faults = faults

    @property
    def answer(self) -> Answer:
        """What makes a reply of a query, before any fault."""
        return self._core.answer

    @answer.setter
    def answer(self, answer: Answer) -> None:
        self._core.answer = answer

    def use_certificate(self, kind: CertificateKind) -> None:
        """Present another certificate from the next connection on; open connections live on."""
        self._running().use(kind)
        self._cert = kind

    def release(self, *, last_first: bool = False) -> None:
        """Send the answers that ``faults.hold`` kept back, in order of arrival or the other way round."""
        held, self._core.held = self._core.held, []
        for send in reversed(held) if last_first else held:
            send()

    def drop_connections(self, *, reset: bool = False) -> None:
        """Close every connection now, without a TLS or HTTP/2 goodbye; with RST if ``reset``."""
        for connection in list(self._core.open):
            connection.abort(reset=reset)
        for sock in self._stalled:
            if reset:
                linger_not(sock)
            sock.close()
        self._stalled.clear()

    def vanish(self) -> None:
        """Close the sockets of QUIC without a word, as a machine does that lost its power."""
        for server in self._quic:
            server.stop()
        self._quic.clear()
        for sock in [sock for sock in self._sockets if sock.type == socket.SOCK_DGRAM]:
            self._close(sock)

    def forget_connections(self) -> None:
        """Be deaf and dumb on every connection of now, as if a NAT on the way had lost them (Linux only)."""
        for connection in list(self._core.open):
            connection.forget()

    # what a test looks at

    @property
    def queries(self) -> list[Seen]:
        """Every query, in order of arrival over all schemes."""
        return self._core.queries

    @property
    def connections(self) -> Mapping[str, int]:
        """How many connections were accepted, by scheme: those that failed or were dropped too."""
        return self._core.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open, TLS handshake done."""
        return len(self._core.open)

    @property
    def handshakes(self) -> list[Handshake]:
        """Every TLS handshake that was finished, with what it agreed on."""
        return self._core.handshakes

    @property
    def failed_handshakes(self) -> int:
        """How many TLS handshakes came to nothing."""
        return self._core.failed_handshakes

    @property
    def cancelled(self) -> list[tuple[str, int]]:
        """Scheme and error code of each stream over QUIC that a client wanted no more of."""
        return self._core.cancelled

    @property
    def goodbyes(self) -> list[tuple[str, int]]:
        """Scheme and error code of each connection over QUIC that its client closed."""
        return self._core.goodbyes

    @property
    def dropped_datagrams(self) -> int:
        """How many datagrams ``faults.drop_datagrams`` kept from QUIC."""
        return self._core.dropped_datagrams

    @property
    def http_requests(self) -> list[tuple[tuple[str, str], ...]]:
        """The header fields of every HTTP request, pseudo-header fields included, in their order."""
        return self._core.http_requests

    async def wait_queries(self, count: int) -> None:
        """Return when ``count`` queries have arrived since the beginning."""
        await self._core.wait_queries(count)

    # where it is

    @property
    def ca_file(self) -> str:
        """The path of the CA's certificate, PEM."""
        return str(self._running().ca_file)

    @property
    def pin_sha256(self) -> str:
        """The base64 SPKI pin of the certificate in use."""
        return self._running().pin_sha256

    def port(self, scheme: str) -> int:
        """The port of a scheme: "tls", "https", "quic", "h3", "udp" or "tcp"."""
        return self._ports[scheme]

    def url(self, scheme: str, host: str | None = None) -> str:
        """The URL of a scheme; plain DNS has the address as host, the others ``hostname``, unless given."""
        host = host or (self.hostname if scheme in ENCRYPTED else ADDRESS)
        return f"{scheme}://{host}:{self.port(scheme)}" + (PATH if scheme in HTTP else "")

    @property
    def tls_url(self) -> str:
        """``url("tls")``."""
        return self.url("tls")

    @property
    def https_url(self) -> str:
        """``url("https")``."""
        return self.url("https")

    @property
    def udp_url(self) -> str:
        """``url("udp")``."""
        return self.url("udp")

    @property
    def tcp_url(self) -> str:
        """``url("tcp")``."""
        return self.url("tcp")

    def endpoint(self, scheme: str, host: str | None = None) -> Endpoint:
        """Give the endpoint of a scheme, ready to use: address and CA file are in it."""
        endpoint = dataclasses.replace(parse(self.url(scheme, host)), addresses=self.addresses)
        return dataclasses.replace(endpoint, ca_file=self.ca_file) if scheme in ENCRYPTED else endpoint

    # life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Serve; after ``stop`` on the same ports, with the same certificate and the same counters.

        Raises:
            OSError: a port of before was taken by someone else meanwhile.
        """
        if self._sockets:
            return
        try:
            if self._contexts is None:
                self._directory = tempfile.TemporaryDirectory(prefix="secdns-testing-")
                self._contexts = Contexts(Path(self._directory.name), self.hostname, self._core.server_names)
                self._contexts.use(self._cert)
            await self._listen()
        except BaseException:
            await self.aclose()
            raise

    async def stop(self) -> None:
        """Go away: refuse connections, kill the open ones. Returns when all sockets are closed."""
        for listening in [sock for sock in self._sockets if sock.type == socket.SOCK_STREAM]:
            self._close(listening)
        await self._stop_handshakes()
        connections = list(self._core.open)
        self.drop_connections()
        for connection in connections:
            await connection.closed.wait()
        self.vanish()
        if self._udp is not None:
            self._udp.close()
            await self._udp.closed.wait()
            self._udp = None
        self._core.held.clear()

    def _close(self, sock: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()
        self._sockets.remove(sock)

    async def _stop_handshakes(self) -> None:
        handshaking = dict(self._handshaking)
        for task in handshaking:
            task.cancel()
        await asyncio.gather(*handshaking, return_exceptions=True)
        await asyncio.sleep(0)  # asyncio closes the transport of a cancelled handshake in the next turn
        for task, sock in handshaking.items():
            if task.cancelled():  # perhaps before it had begun, when nobody else knew of the socket
                sock.close()

    async def aclose(self) -> None:
        """Stop for good and remove the temporary directory."""
        await self.stop()
        self._contexts = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _running(self) -> Contexts:
        if self._contexts is None:
            raise RuntimeError("this upstream is not started")
        return self._contexts

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for scheme, kind in STREAMS.items():
            listening, datagrams = _bind(self._ports.get(scheme, 0))
            self._sockets.append(listening)
            companion = COMPANIONS[scheme]
            self._ports[scheme] = self._ports[companion] = listening.getsockname()[1]
            if companion in QUIC:
                self._sockets.append(datagrams)
                loop.add_reader(datagrams, self._serve_quic, companion, datagrams)
            else:
                _, self._udp = await loop.create_datagram_endpoint(
                    lambda: UDPServer(self._core), sock=datagrams
                )
            listening.listen(128)
            self._core.connections.setdefault(scheme, 0)
            loop.add_reader(listening, self._accept, scheme, kind, listening)

    def _serve_quic(self, scheme: str, datagrams: socket.socket) -> None:
        """Load what speaks QUIC and leave the socket to it."""
        asyncio.get_running_loop().remove_reader(datagrams)
        module = cast(_Module, importlib.import_module(QUIC[scheme]))
        self._quic.append(module.serve(self._core, scheme, datagrams, lambda: self._running().leaf))

    def _accept(self, scheme: str, kind: type[Connection], listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client was gone again
            return
        sock.setblocking(False)
        self._core.connections[scheme] += 1
        match self._core.faults.take_connection():
            case "drop":
                sock.close()
            case "stall":
                self._stalled.append(sock)
            case "serve":
                connection = kind(self._core, scheme, self._core.connections[scheme])
                task = asyncio.get_running_loop().create_task(self._serve(connection, sock))
                self._handshaking[task] = sock
                task.add_done_callback(self._handshaking.pop)

    async def _serve(self, connection: Connection, sock: socket.socket) -> None:
        context = None
        if connection.scheme in ENCRYPTED:
            faults = self._core.faults
            alpn = connection.ALPN if faults.alpn is None else faults.alpn
            context = self._running().get(alpn, faults.tls_maximum)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=context,
                ssl_handshake_timeout=None if context is None else HANDSHAKE_TIMEOUT_S,
            )
        except OSError as error:  # most often a client that does not like our certificate, as intended
            self._core.failed_handshakes += 1
            log.debug("connection %d over %s: %s", connection.number, connection.scheme, error)


def _zones(zones: Zones | str | Mapping[str, ZoneData] | None) -> Zones:
    if isinstance(zones, Zones):
        return zones
    return Zones(DEMO_ZONES if zones is None else zones)


def _bind(port: int) -> tuple[socket.socket, socket.socket]:
    """Bind a TCP socket and a UDP socket to the same port; 0 means any that is free for both."""
    for attempt in range(BIND_ATTEMPTS):
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            stream.setblocking(False)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT
            stream.bind((ADDRESS, port))
            datagrams.setblocking(False)
            datagrams.bind(stream.getsockname())
        except OSError:
            stream.close()
            datagrams.close()
            if port or attempt == BIND_ATTEMPTS - 1:
                raise
        else:
            return stream, datagrams
    raise AssertionError("unreachable")
