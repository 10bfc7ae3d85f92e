"""Serve over QUIC (RFC 9000) with `aioquic`: what DNS over QUIC and HTTP/3 share."""

import asyncio
import contextlib
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, cast

from aioquic._buffer import Buffer
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import Limit, NetworkAddress, QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
)
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler
from aioquic.tls import Context, SessionTicket, pull_client_hello
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from secdns.testing.authority import Leaf
from secdns.testing.connection import Served
from secdns.testing.core import Core, Handshake

MAX_DATAGRAM = 65535


class QUICConnection(Served, QuicConnectionProtocol, ABC):
    """One connection; subclasses speak the protocol inside."""

    NO_ERROR: ClassVar[int] = 0

    def __init__(self, core: Core, scheme: str, number: int, quic: QuicConnection) -> None:
        Served.__init__(self, core, scheme, number)
        QuicConnectionProtocol.__init__(self, quic)
        self._server_name: str | None = None
        self._is_finished = False  # the handshake
        faults = core.faults
        self._fate = faults.take_connection()
        self._asks_early = False
        self._closes = False  # by our will
        limit = quic._local_max_streams_bidi
        limit.value = limit.sent = faults.max_concurrent_streams
        if faults.stream_credit is not None:
            quic._local_max_streams_bidi = _FixedLimit(limit.frame_type, limit.name, faults.stream_credit)
        self._initialize = quic._initialize
        setattr(quic, "_initialize", self._initialize_and_listen)  # noqa: B010

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        if self._fate == "serve":
            super().datagram_received(data, addr)
        elif self._fate == "drop" and not self.closed.is_set():
            self._quic.receive_datagram(cast(bytes, data), addr, now=asyncio.get_running_loop().time())
            self._quic.close(QuicErrorCode.CONNECTION_REFUSED, QuicFrameType.PADDING)
            self.transmit()

    @abstractmethod
    def received(self, stream: int, data: bytes, is_end: bool) -> None:
        """Take what came on a stream."""

    def stopped(self, stream: int, code: int) -> None:
        """Take note that the client wants nothing more of a stream."""

    @property
    def is_open(self) -> bool:
        return not self.closed.is_set() and self._quic._close_event is None

    def abort(self, *, reset: bool = False) -> None:
        self.close(QuicErrorCode.INTERNAL_ERROR if reset else self.NO_ERROR)

    def forget(self) -> None:
        self._fate = "stall"
        self.finish()

    def close(self, error_code: int = QuicErrorCode.NO_ERROR, reason_phrase: str = "") -> None:
        """Close with CONNECTION_CLOSE; nothing of the connection is left then."""
        self._closes = True
        QuicConnectionProtocol.close(self, error_code, reason_phrase)
        self.finish()

    def write(self, stream: int, octets: bytes, *, is_end: bool = False) -> None:
        """Send octets on a stream, unless it or the connection is closed."""
        kept = self._quic._streams.get(stream)
        if self.is_open and kept is not None and kept.sender._reset_error_code is None:
            self._quic.send_stream_data(stream, octets, end_stream=is_end)
            self._transmit_soon()

    def keep(self, stream: int) -> None:
        """Do not end a stream when the client calls it off."""
        setattr(self._quic._streams[stream].sender, "reset", lambda error_code: None)  # noqa: B010

    def chatter(self, datagrams: int) -> None:
        """Send many datagrams that say nothing."""
        for number in range(datagrams):
            self._quic.send_ping(number)
            self.transmit()

    def punch_hole(self, stream: int, at: int | None = None) -> None:
        """Send one octet at ``at``, else as far behind a hole as the client lets us, and again."""
        kept = self._quic._streams.get(stream)
        if kept is None or not self.is_open:
            return
        if at is not None:
            kept.max_stream_data_remote = self._quic._remote_max_data = at + 1
        sender, at = kept.sender, kept.max_stream_data_remote - 1
        if at >= sender._buffer_stop:
            sender._buffer += bytes(at + 1 - sender._buffer_stop)
            sender._buffer_stop = at + 1
            sender._pending.add(at, at + 1)
            sender.buffer_is_empty = False
            self._transmit_soon()
        self.later(0.01, lambda: self.punch_hole(stream))

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self._is_finished = True
            self.core.open.add(self)
            self.used()
            self.core.handshakes.append(
                Handshake(
                    self.scheme,
                    self.number,
                    "TLSv1.3",
                    event.alpn_protocol,
                    self._server_name,
                    event.session_resumed,
                    self._asks_early,
                )
            )
        elif isinstance(event, StreamDataReceived):
            if self.is_open:
                self.received(event.stream_id, event.data, event.end_stream)
        elif isinstance(event, StopSendingReceived):
            self.stopped(event.stream_id, event.error_code)
        elif isinstance(event, ConnectionTerminated):
            self.finish()

    def transmit(self) -> None:
        super().transmit()
        if self._quic._close_event is not None:
            self.finish()

    def finish(self) -> None:
        """Do nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transmit_task is not None:
            self._transmit_task.cancel()
            self._transmit_task = None
        if not self.closed.is_set():
            ending = self._quic._close_event
            if ending is not None and not self._closes:
                self.core.goodbyes.append((self.scheme, ending.error_code))
            self.core.failed_handshakes += not self._is_finished
            self.is_gone()

    def _initialize_and_listen(self, peer_cid: bytes) -> None:
        """Listen to the ClientHello, of which `aioquic` does not tell the name asked for."""
        self._initialize(peer_cid)
        tls = self._quic.tls
        take_hello = tls._server_handle_hello

        def listen(hello: Buffer, *outgoing: Buffer) -> None:
            self._server_name = pull_client_hello(
                Buffer(data=hello.data_slice(0, hello.capacity))
            ).server_name
            take_hello(hello, *outgoing)

        setattr(tls, Context._server_handle_hello.__name__, listen)


class _FixedLimit(Limit):
    """A limit that is never raised."""

    def __setattr__(self, name: str, value: object) -> None:
        if name != "value" or "value" not in self.__dict__:
            super().__setattr__(name, value)


class _Port:
    """What a server of `aioquic` sends through."""

    def __init__(self, core: Core, opened: socket.socket) -> None:
        self._core = core
        self._socket = opened

    def sendto(self, datagram: bytes, address: NetworkAddress) -> None:
        """Send a datagram, or lose it: QUIC sends again."""
        if self._core.faults.drop_datagrams:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto(datagram, address)

    def close(self) -> None:
        """The socket is closed by who opened it."""


class QUICServer(QuicServer):
    """Serves on a bound UDP socket, which stays with who opened it.

    ``leaf`` gives the certificate to present.
    """

    def __init__(
        self,
        core: Core,
        scheme: str,
        kind: type[QUICConnection],
        opened: socket.socket,
        leaf: Callable[[], Leaf],
    ) -> None:
        self._core = core
        self._scheme = scheme
        self._alpn = kind.ALPN
        self._socket = opened
        self._leaf = leaf
        self._used: Leaf | None = None
        self._tickets: dict[bytes, SessionTicket] = {}
        self._tokens = QuicRetryTokenHandler()

        def accept(quic: QuicConnection, **_: object) -> QUICConnection:
            core.connections[scheme] += 1
            return kind(core, scheme, core.connections[scheme], quic)

        super().__init__(
            configuration=QuicConfiguration(is_client=False),
            create_protocol=accept,
            session_ticket_fetcher=self._tickets.get,
            session_ticket_handler=self._keep,
        )
        self.connection_made(cast(asyncio.DatagramTransport, _Port(core, opened)))
        asyncio.get_running_loop().add_reader(opened, self._on_readable)

    def stop(self) -> None:
        """Serve no more, and forget those who were about to connect."""
        asyncio.get_running_loop().remove_reader(self._socket)
        for connection in set(self._protocols.values()):
            if isinstance(connection, QUICConnection):
                connection.finish()

    def _keep(self, ticket: SessionTicket) -> None:
        self._tickets[ticket.ticket] = ticket

    def _on_readable(self) -> None:
        try:
            datagram, address = self._socket.recvfrom(MAX_DATAGRAM)
        except OSError:
            return
        faults = self._core.faults
        if faults.drop_datagrams:
            self._core.dropped_datagrams += 1
            return
        self._configure()
        setattr(self, "_retry", None if faults.retry is None else self._tokens)  # noqa: B010
        if faults.retry == "always":
            self._send_retry(datagram, address)
        else:
            self.datagram_received(datagram, address)

    def _send_retry(self, datagram: bytes, address: NetworkAddress) -> None:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
        if header.packet_type == QuicPacketType.INITIAL and header.version is not None:
            retry = encode_quic_retry(
                version=header.version,
                source_cid=os.urandom(8),
                destination_cid=header.source_cid,
                original_destination_cid=header.destination_cid,
                retry_token=os.urandom(32),
            )
            _Port(self._core, self._socket).sendto(retry, address)

    def _configure(self) -> None:
        """Take up what may have changed since the last datagram, for connections that are new."""
        leaf, faults = self._leaf(), self._core.faults
        if leaf is not self._used:
            self._tickets.clear()
            self._used = leaf
            self._certificate = x509.load_pem_x509_certificate(leaf.certificate_pem)
            self._key = load_pem_private_key(leaf.key_pem, None)
        version = faults.only_version or QuicProtocolVersion.VERSION_1
        self._configuration = QuicConfiguration(
            alpn_protocols=list(self._alpn if faults.alpn is None else faults.alpn) or ["none"],
            certificate=self._certificate,
            is_client=False,
            max_data=16 * 1024 * 1024,
            private_key=self._key,
            supported_versions=[version],
        )
