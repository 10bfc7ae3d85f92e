"""Carry queries over QUIC (RFC 9000): a UDP socket under the event loop, a stream for each query.

A connection takes few queries at a time, and one whose streams run out leaves the rest to another: a
server may be unable to say that it has had enough.
"""

import asyncio
import socket
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Generic, TypeVar

from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from secdns.errors import (
    ConnectError,
    ConnectionLost,
    ProtocolError,
    TransportError,
)
from secdns.transport import Facts, Waiter
from secdns.transport.conversation import Conversation
from secdns.transport.dial import words_for
from secdns.transport.line import Line
from secdns.transport.link import Connect, Link
from secdns.transport.quic_client import Identity, code_words

MAX_KEPT: Final = 64  # streams beyond those in use that the server does not end; then a new one is better
MAX_DATAGRAM: Final = 2048  # octets; no path to a resolver carries more, and none is asked for
MAX_DATAGRAMS: Final = 64  # in one turn …
TURN_S: Final = 0.005  # … that ends after this time
MAX_WORDLESS: Final = 1024  # packets in a row that bring nothing of any stream (threat E6)
MAX_REFUSALS: Final = 2  # in a row on an open connection; one ICMP error proves nothing
UNACKNOWLEDGED_S: Final = 1.0  # from the first probe for a sign of life; then the path is dead (fault F2)
LOW_CREDIT: Final = 16  # streams left of those that the server allows …
STALE_CREDIT: Final = 64  # … and over since it last allowed more: it has stopped doing so
CLIENT_STREAM: Final = 0  # of ``stream & 3``: opened by the client, in both directions (RFC 9000 §2.1)


class Request:
    """One query on its stream."""

    __slots__ = ("connection", "deadline", "query", "stream", "waiter")

    connection: "QUICConversation[Any]"  # set by whoever sends it

    def __init__(self, stream: int, query: bytes, deadline: float, waiter: Waiter) -> None:
        self.stream = stream
        self.query = query
        self.deadline = deadline
        self.waiter = waiter


R = TypeVar("R", bound=Request)


class QUICLink(Link["QUICConversation[R]"], Generic[R]):
    """The connections of a transport over QUIC, and who waits for a stream of any of them."""

    def __init__(self, connect: "Connect[QUICConversation[R]]", who: str) -> None:
        super().__init__(connect)
        self.line: Line[R] = Line(who)

    def retired(self, connection: Conversation) -> None:
        super().retired(connection)
        if self.current is None:
            self.line.send_away()

    def opened(self, connection: "QUICConversation[R]") -> None:
        self.line.serve(connection)


class QUICConversation(Conversation, Generic[R]):
    """One QUIC connection on a UDP socket of its own, a stream for each query.

    A subclass says how many queries are outstanding at most, and what octets of a stream mean.
    """

    HANDSHAKE = "QUIC"
    ALPN: ClassVar[str]
    AT_ONCE: ClassVar[int]  # queries outstanding
    ONE_BY_ONE: ClassVar = False  # each query in a datagram of its own
    STREAMS: ClassVar[int]  # that the server may open in one direction …
    BOTH_WAYS: ClassVar[int]  # … and in both, at a time
    NO_ERROR: ClassVar[int]  # codes of the protocol inside
    CANCELLED: ClassVar[int]

    def __init__(self, identity: Identity, link: "QUICLink[R]", peer: str) -> None:
        super().__init__(link, peer)
        self.link = link
        self.requests: dict[int, R] = {}  # by stream
        self.quic, self._known = identity.start(self.STREAMS, self.BOTH_WAYS)
        self._identity = identity
        self._leaf: x509.Certificate | None = None
        self._address = (peer, identity.endpoint.port)
        self._socket: socket.socket | None = None
        self._is_open = False
        self._was_resumed = False
        self._flush_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._refusals = 0
        self._probed_at = 0.0  # when the peer was first asked for a sign of life, if it gave none since
        self._spoke_at = 0  # packets until the last that brought something of a stream
        self._limit = 0  # of streams, as far as we looked …
        self._over_at_limit = 0  # … and how many were over when it last rose

    # what a subclass says

    @abstractmethod
    def send_query(self, stream: int, query: bytes, deadline: float, waiter: Waiter) -> R:
        """Write a query on a new stream."""

    @abstractmethod
    def received(self, stream: int, data: bytes, is_end: bool) -> None:
        """Take what came on a stream in its order, perhaps of a request that was given up."""

    def refused(self, request: R, code: int) -> TransportError:
        """Give the error for a query whose stream the server broke off."""
        return ProtocolError(f"{self.peer} broke the stream off: code {code:#x}")

    def broken_off(self, stream: int) -> None:
        """Take note that the server ended a stream before its end; ``fail`` if it must not."""

    def turn_begins(self) -> None:
        """A turn of the event loop begins to read."""

    # asking

    @property
    def has_room(self) -> bool:
        """Tell whether a query may be sent now."""
        return self.accepting and len(self.requests) < self.AT_ONCE and self.quic.credit > 0

    def send(self, query: bytes, deadline: float, waiter: Waiter) -> R:
        """Send a query at the end of this turn for ``waiter``. Only where there is room."""
        self.asked += 1
        stream = self.quic.get_next_available_stream_id()
        request = self.requests[stream] = self.send_query(stream, query, deadline, waiter)
        request.connection = self
        if self.ONE_BY_ONE:
            self._flush()
            if self.error is not None:
                return request  # whose waiter has heard of it
        else:
            self.flush_soon()
        if deadline < self._alarm_at:
            self.watch(deadline)
        if self._doubt_timer is None:
            self.doubt()
        if self._is_worn_out() or (self.link.quota is not None and self.asked >= self.link.quota):
            self.retire()
        return request

    def forget(self, request: R) -> None:
        """Give up a query that nobody waits for any more."""
        if self.error is None and self.requests.get(request.stream) is request:
            self.drop(request)
            self._close_if_drained()

    def drop(self, request: R) -> None:
        """End a stream before its end (RFC 9250 §4.3.1, RFC 9114 §4.1.1)."""
        self.take(request.stream)
        if self.error is None:
            self.quic.cancel(request.stream, self.CANCELLED)
            self.flush_soon()
            if self.quic.kept > self.AT_ONCE + MAX_KEPT:
                self.retire()

    def take(self, stream: int) -> R | None:
        """Give the request of a stream, which is over."""
        return self.requests.pop(stream, None)

    def unanswered(self) -> Iterable[tuple[int, Waiter, float]]:
        for stream, request in self.requests.items():
            yield stream, request.waiter, request.deadline

    def expired(self, key: int) -> None:
        request = self.requests.get(key)
        if request is not None:
            self.drop(request)
            self.link.line.serve(self)

    def heard_answer(self) -> None:
        """Note that a query was answered, well or not."""
        self.answered += 1
        self._used_at = self._heard_at
        if self._leaf is not None:
            self._identity.keep(self.quic, self._leaf)

    def flush_soon(self) -> None:
        """Send at the end of this turn what there is to send."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self.loop.call_soon(self._flush)

    def _is_worn_out(self) -> bool:
        """Tell whether the streams that the server allows run out, and it has stopped to allow more."""
        limit, over = self.quic.credit + self.asked, self.asked - len(self.requests)
        if limit != self._limit:
            self._limit = limit
            self._over_at_limit = over
        return self.quic.credit <= LOW_CREDIT and over - self._over_at_limit >= STALE_CREDIT

    def _close_if_drained(self) -> None:
        """Give what is free to who waits, or close if nobody will ask any more."""
        if self._is_open and self.error is None:
            if self.accepting:
                self.link.line.serve(self)
            elif self.is_drained():
                self.close()

    # life

    def facts(self) -> Facts:
        return Facts(
            alpn=self.ALPN,
            tls_version="TLSv1.3",
            cipher=self.quic.cipher,
            peer=self.peer,
            resumed=self._was_resumed,
            certificate=None if self._leaf is None else self._leaf.public_bytes(Encoding.DER),
        )

    def is_unacknowledged(self) -> bool:
        return self.quic.is_unacknowledged

    def attach(self, opened: socket.socket) -> None:
        """Begin on a connected socket, which is ours from now on."""
        self._socket = opened
        self.loop.add_reader(opened, self._on_readable)
        self.quic.connect(self._address, self.loop.time())
        self._flush()

    def fail(self, error: TransportError, code: int | None = None) -> None:
        """End at once; ``code`` is what the peer is told, None for nothing in particular."""
        self._end(error)
        if self._socket is not None:
            self.quic.close(self.NO_ERROR if code is None else code)
            self._flush()
        self._release()

    def abort(self) -> None:
        """End at once, by our own will, without a word: on another network it would tell who we were."""
        self.was_dropped |= self.error is None
        self._end(ConnectionLost(f"connection to {self.peer} was dropped"))
        self._release()

    def close(self) -> None:
        self.was_dropped |= self._is_open and self.error is None and not self.was_sent_away
        self.fail(ConnectionLost(f"connection to {self.peer} was closed"))

    def _release(self) -> None:
        opened, self._socket = self._socket, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if opened is not None:
            self.loop.remove_reader(opened)
            opened.close()
        if not self.closed.done():
            self.closed.set_result(None)
            if self._is_open and self.error is not None:
                self.loop.call_soon(self._owner.ended, self, self.error)

    # octets

    def _flush(self) -> None:
        """Send what there is to send; what the kernel does not take is lost and sent again by QUIC."""
        self._flush_is_due = False
        opened = self._socket
        if opened is None:
            return
        for datagram, address in self.quic.datagrams_to_send(self.loop.time()):
            if address != self._address:
                continue  # the server would like to be asked elsewhere, which we were not told to trust
            try:
                opened.send(datagram)
            except BlockingIOError:
                pass
            except OSError as error:
                self._on_refusal(error)
                return
        self._set_timer()

    def _set_timer(self) -> None:
        """See that the timer goes off in time; too early does no harm and is cheaper than a new one."""
        at = self.quic.get_timer()
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = max(self.loop.time(), self._timer_at)
        due_at = self.quic.get_timer()
        if due_at is not None and due_at <= now:
            self.quic.handle_timer(now)
            self._take_events()
            self._doubt(now)
        self._flush()

    def _doubt(self, now: float) -> None:
        """Give up a peer that does not even acknowledge what is asked; one that works on it does."""
        if self.quic.probes == 1:
            self._probed_at = now
        elif self.quic.probes > 1 and self.requests and now >= self._probed_at + UNACKNOWLEDGED_S:
            self.fail(ConnectionLost(f"{self.peer} fell silent"))

    def _on_readable(self) -> None:
        """Read for a while; what is left in the kernel wakes us again."""
        began = now = self.loop.time()
        self.turn_begins()
        for _ in range(MAX_DATAGRAMS):
            opened = self._socket
            if opened is None:
                return
            try:
                datagram = opened.recv(MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                self._on_refusal(error)
                break
            self._take_datagram(datagram, now)
            now = self.loop.time()
            if now - began > TURN_S:
                break
        self._close_if_drained()
        self._flush()

    def _take_datagram(self, datagram: bytes, now: float) -> None:
        packets = self.quic.packets
        try:
            self.quic.receive_datagram(datagram, self._address, now)
            self._take_events()
        except (
            Exception
        ) as error:  # whatever a hostile datagram makes a parser raise ends this connection only
            failure = ProtocolError(f"{self.peer} broke QUIC: {type(error).__name__}")
            failure.__cause__ = error
            self.fail(failure, QuicErrorCode.PROTOCOL_VIOLATION)
            return
        if self.quic.packets != packets:
            self._heard_at = now
            self._refusals = 0
            if self.quic.packets - self._spoke_at > MAX_WORDLESS:
                self.fail(ConnectionLost(f"{self.peer} floods us with packets that say nothing"))

    def _on_refusal(self, error: OSError) -> None:
        """Take note that the system could not send, or was told that nobody is there."""
        self._refusals += 1
        if not self._is_open:
            port = self._address[1]
            self.fail(ConnectError(f"cannot connect to {self.peer} port {port}: {words_for(error)}"))
        elif self._refusals >= MAX_REFUSALS:
            self.fail(ConnectionLost(f"connection to {self.peer} was lost: {words_for(error)}"))
        else:
            self._set_timer()

    def _take_events(self) -> None:
        while self.error is None and (event := self.quic.next_event()) is not None:
            self._on_event(event)
        ending = self.quic.ending
        if ending is not None and self.error is None:
            self._on_ending(ending)

    def _on_event(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            if event.stream_id & 3 == CLIENT_STREAM:
                self._heard()
                self._spoke_at = self.quic.packets
            self.received(event.stream_id, event.data, event.end_stream)
        elif isinstance(event, StopSendingReceived):  # it has read enough: the answer comes all the same
            self.broken_off(event.stream_id)
        elif isinstance(event, StreamReset):
            self.broken_off(event.stream_id)
            request = self.take(event.stream_id)
            if request is not None:
                self.quic.cancel(request.stream, self.CANCELLED)
                if not request.waiter.done():
                    request.waiter.set_exception(self.refused(request, event.error_code))
        elif isinstance(event, HandshakeCompleted):
            self._on_handshake(event)
        elif isinstance(event, ConnectionTerminated):  # not by the peer's word: the reason is `aioquic`'s
            self.fail(ConnectionLost(f"connection to {self.peer} ended: {event.reason_phrase.lower()}"))

    def _on_handshake(self, event: HandshakeCompleted) -> None:
        try:
            known = self._known if event.session_resumed else None
            self._leaf = self._identity.check(self.quic, known, self.peer)
        except TransportError as error:
            self._identity.forget()
            self.fail(error, QuicErrorCode.CRYPTO_ERROR + AlertDescription.bad_certificate)
            return
        self._is_open = True
        self._was_resumed = event.session_resumed
        self.told_limit_s = self.quic.idle_limit_s or None
        self._open()

    def _on_ending(self, ending: ConnectionTerminated) -> None:
        """End because the peer closed, or because it broke the rules of QUIC."""
        words = code_words(ending.error_code)
        if not self._is_open:
            error = self._identity.explain(ending, self.peer)
        elif self.quic.was_closed_here:
            error = ProtocolError(f"{self.peer} broke QUIC: {words}")
        else:
            self.was_ended_well = ending.error_code == self.NO_ERROR
            self.was_cut_short = self.was_ended_well and not self.is_drained()
            error = ConnectionLost(f"{self.peer} closed the connection: {words}")
        self.fail(error)
