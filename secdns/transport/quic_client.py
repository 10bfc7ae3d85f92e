"""Keep `aioquic` within bounds of our own, and make sure who is at the other end (threats E1, E6, E13).

`aioquic` reads and writes every packet. What differs from its defaults:

* no window of a stream ever grows, so a hole in one costs 70 KB at most (fact M12);
* the server may open as few streams as its protocol needs;
* a certificate is checked as in every other transport, by ``certificate``;
* nothing is sent before the handshake is over (no 0-RTT).

A few private names of `aioquic` are used, all of them in ``Client``; a test looks after them.
"""

import logging
import ssl
import time
from typing import Final

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    QuicConnection,
    QuicReceiveContext,
)
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import AlertDescription, SessionTicket
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from secdns.endpoint import Endpoint
from secdns.errors import ConnectError, ProtocolError, TransportError
from secdns.transport.certificate import check_chain, trust_store
from secdns.transport.tls import HANDSHAKE_WORDS, check_pin

STREAM_WINDOW: Final = (
    70 * 1024
)  # octets of a stream in all: the longest message and what HTTP puts around it
CONNECTION_WINDOW: Final = 1024 * 1024
MAX_TICKET: Final = 8192  # octets of a session ticket
IDLE_TIMEOUT_S: Final = 30.0  # after which the peer may forget us; we close earlier

_ALERTS: Final[dict[int, str]] = {
    AlertDescription.handshake_failure: "SSLV3_ALERT_HANDSHAKE_FAILURE",
    AlertDescription.protocol_version: "TLSV1_ALERT_PROTOCOL_VERSION",
    AlertDescription.internal_error: "INTERNAL_ERROR",
    AlertDescription.unrecognized_name: "TLSV1_UNRECOGNIZED_NAME",
}
"""TLS alert -> OpenSSL's name for it, which ``tls`` has words for."""

# `aioquic` warns of what a server does wrong; that is our user's to be told, in our words
logging.getLogger("quic").setLevel(logging.CRITICAL)


class Client(QuicConnection):
    """`aioquic`'s connection for a client that asks much and is told little."""

    def __init__(self, configuration: QuicConfiguration, streams: int, both_ways: int) -> None:
        """Let the server open ``streams`` in one direction and ``both_ways`` in both, at a time."""
        self.ticket: SessionTicket | None = None  # the last that came
        self.packets = 0  # that were truly the peer's
        self.was_closed_here = False
        super().__init__(
            configuration=configuration,
            session_ticket_handler=self._take_ticket,
        )
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = streams
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = both_ways

    @property
    def credit(self) -> int:
        """How many streams may be opened still."""
        return self._remote_max_streams_bidi - self._local_next_stream_id_bidi // 4

    @property
    def kept(self) -> int:
        """How many streams are not over yet, for the peer or for us."""
        return len(self._streams)

    @property
    def probes(self) -> int:
        """How often the peer was asked for a sign of life since its last one (RFC 9002 §6.2)."""
        return self._loss._pto_count

    @property
    def idle_limit_s(self) -> float | None:
        """How long the peer lets a connection idle, where it said so."""
        return self._remote_max_idle_timeout

    @property
    def is_unacknowledged(self) -> bool:
        """Tell whether the peer has yet to acknowledge something."""
        return any(space.ack_eliciting_in_flight for space in self._loss.spaces)

    @property
    def ending(self) -> ConnectionTerminated | None:
        """Why the connection is coming to its end, as soon as that is known."""
        return self._close_event

    @property
    def cipher(self) -> str | None:
        schedule = self.tls.key_schedule
        return f"TLS_{schedule.cipher_suite.name}" if schedule is not None else None

    @property
    def certificates(self) -> tuple[x509.Certificate | None, list[x509.Certificate]]:
        """The peer's certificate and what came along; none after a resumption."""
        return self.tls._peer_certificate, self.tls._peer_certificate_chain

    def close(
        self, error_code: int = QuicErrorCode.NO_ERROR, frame_type: int | None = None, reason_phrase: str = ""
    ) -> None:
        """Close, and say nothing but the code: a reason phrase would tell what program we are."""
        self.was_closed_here |= self._close_event is None
        super().close(error_code, frame_type)

    def cancel(self, stream: int, code: int) -> None:
        """Ask the peer to send no more on a stream; its end may be known already, which is fine."""
        kept = self._streams.get(stream)
        if kept is not None and not kept.receiver.is_finished:
            self.stop_stream(stream, code)

    def _take_ticket(self, ticket: SessionTicket) -> None:
        if len(ticket.ticket) <= MAX_TICKET:
            ticket.max_early_data_size = None  # what is sent as 0-RTT can be replayed (threat E13)
            self.ticket = ticket

    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        self.packets += 1
        return super()._payload_received(context, plain, crypto_frame_required)

    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        """Never give a stream more than it began with: `aioquic` would double it, consumed or not."""

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        """Move the connection's window on; `aioquic` would double it."""
        limit = self._local_max_data
        if limit.value - limit.used < CONNECTION_WINDOW // 2:
            limit.value = limit.used + CONNECTION_WINDOW
        if limit.value != limit.sent:
            buffer = builder.start_frame(
                limit.frame_type,
                capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
                handler=self._on_connection_limit_delivery,
                handler_args=(limit,),
            )
            buffer.push_uint_var(limit.value)
            limit.sent = limit.value


class Identity:
    """What all connections to one endpoint share: whom to trust, whom to expect, the last ticket.

    The same promises as ``tls.Identity``. Tickets are used once (RFC 8446 §C.4). Address validation
    tokens are not kept: they spare a round trip where a server asks everybody to come again, they
    tell a server that we are the same, and Knot DNS 3.4 fails whoever brings one that it gave.
    """

    def __init__(self, endpoint: Endpoint, alpn: str) -> None:
        self.endpoint = endpoint
        self.alpn = alpn
        self._ticket: SessionTicket | None = None
        self._leaf: x509.Certificate | None = None  # whom the ticket stands for

    def start(self, streams: int, both_ways: int) -> tuple[Client, x509.Certificate | None]:
        """Give a client that has said nothing yet, and the certificate that its ticket stands for.

        An IP literal as host is never sent as SNI (RFC 6066 §3); `aioquic` sees to that.
        """
        leaf, ticket = self._leaf, self._ticket
        self._ticket = None
        if leaf is None or time.time() >= leaf.not_valid_after_utc.timestamp():
            leaf = ticket = None
        configuration = QuicConfiguration(
            alpn_protocols=[self.alpn],
            idle_timeout=IDLE_TIMEOUT_S,
            max_data=CONNECTION_WINDOW,
            max_stream_data=STREAM_WINDOW,
            server_name=self.endpoint.host,
            session_ticket=ticket,
            supported_versions=[QuicProtocolVersion.VERSION_1],
            verify_mode=ssl.CERT_NONE,  # ``check`` does it, before anything else is sent or believed
        )
        return Client(configuration, streams, both_ways), leaf if ticket is not None else None

    def check(self, client: Client, known: x509.Certificate | None, peer: str) -> x509.Certificate:
        """Check who the peer of a finished handshake is, and give its certificate.

        ``known`` is what the ticket stood for that the handshake resumed from, else None.

        Raises:
            AuthenticationError: it is not who it should be.
            ConnectError: the trust store cannot be read.
        """
        leaf, sent = client.certificates
        if leaf is None:
            leaf = known
        else:
            check_chain(trust_store(self.endpoint.ca_file), self.endpoint, peer, leaf, sent)
        if leaf is None:  # `aioquic` lets nobody through without; it costs nothing to be sure
            raise ConnectError(f"cannot connect to {self.endpoint.url} at {peer}: it showed no certificate")
        if self.endpoint.pin_sha256:
            check_pin(self.endpoint, leaf.public_bytes(Encoding.DER))
        return leaf

    def keep(self, client: Client, leaf: x509.Certificate) -> None:
        """Keep the ticket of a connection that has answered, for the next one."""
        if client.ticket is not None:
            self._ticket, self._leaf, client.ticket = client.ticket, leaf, None

    def forget(self) -> None:
        """Drop the ticket: on another network it would tell that we are the same (RFC 9250 §5.5)."""
        self._ticket = None

    def explain(self, ending: ConnectionTerminated, peer: str) -> TransportError:
        """Give the error of ours for the end of a connection that was never open."""
        url, code = self.endpoint.url, ending.error_code
        alert = code - QuicErrorCode.CRYPTO_ERROR
        if alert == AlertDescription.no_application_protocol:
            return ProtocolError(f"{url} at {peer} did not agree on ALPN {self.alpn!r}")
        if 0 <= alert < 256:
            words = HANDSHAKE_WORDS.get(_ALERTS.get(alert, ""), f"TLS handshake failed, alert {alert}")
            return ConnectError(f"cannot connect to {url} at {peer}: {words}")
        return ConnectError(f"cannot connect to {url} at {peer}: {code_words(code)}")


def code_words(code: int) -> str:
    """Say what an error code of QUIC means."""
    try:
        return QuicErrorCode(code).name.replace("_", " ").lower()
    except ValueError:
        return f"code {code:#x}"
