"""Speak DNS over HTTPS with HTTP/3 (RFC 8484, RFC 9114): one POST on each stream.

The same requests as with HTTP/2, and the same demands on a response; see ``doh``.
"""

from typing import ClassVar, Final

from secdns.endpoint import Endpoint
from secdns.errors import ConnectionLost, ProtocolError, TransportError
from secdns.transport import Lookup, Waiter
from secdns.transport.conversation import again
from secdns.transport.doh import MAX_BODY, read_answer, request_headers
from secdns.transport.http3 import (
    DATA,
    HEADERS,
    MAX_TURN_FIELDS,
    NO_ERROR,
    REQUEST_CANCELLED,
    REQUEST_REJECTED,
    STREAM_CREATION_ERROR,
    Fields,
    H3Error,
    Response,
    ServerStreams,
    control_stream,
    frame,
)
from secdns.transport.quic import CLIENT_STREAM, QUICConversation, QUICLink, Request
from secdns.transport.quic_client import Identity
from secdns.transport.quic_transport import QUICTransport

ALPN: Final = "h3"


def open(endpoint: Endpoint, lookup: Lookup) -> QUICTransport["_Post"]:
    """Give the transport; see ``secdns.transport.open_transport``."""
    return QUICTransport(endpoint, lookup, DoH3Conversation, ALPN)


class _Post(Request):
    __slots__ = ("response",)

    def __init__(
        self, stream: int, query: bytes, deadline: float, waiter: Waiter, response: Response
    ) -> None:
        super().__init__(stream, query, deadline, waiter)
        self.response = response


class DoH3Conversation(QUICConversation[_Post]):
    """One connection."""

    ALPN = ALPN
    AT_ONCE: ClassVar = 64
    STREAMS: ClassVar = 8  # control, two of QPACK, and some of types that nobody knows (RFC 9114 §6.2)
    BOTH_WAYS: ClassVar = 1  # none is right; one is let through, to be told what is wrong with it
    NO_ERROR: ClassVar = NO_ERROR
    CANCELLED: ClassVar = REQUEST_CANCELLED

    def __init__(self, identity: Identity, link: QUICLink[_Post], peer: str) -> None:
        super().__init__(identity, link, peer)
        self._headers = request_headers(identity.endpoint)
        self._fields = Fields()
        self._server = ServerStreams(self._fields)
        self._goaway: int | None = None  # as far as we have obeyed it

    def opened(self) -> None:
        """Open the control stream; those of QPACK need not be, without a table (RFC 9204 §4.2)."""
        control = self.quic.get_next_available_stream_id(is_unidirectional=True)
        self.quic.send_stream_data(control, control_stream())
        self.flush_soon()

    def send_query(self, stream: int, query: bytes, deadline: float, waiter: Waiter) -> _Post:
        """Send it with the ID 0 (RFC 8484 §4.1)."""
        section = self._fields.encode([*self._headers, (b"content-length", b"%d" % len(query))])
        octets = frame(HEADERS, section) + frame(DATA, b"\0\0" + query[2:])
        self.quic.send_stream_data(stream, octets, end_stream=True)
        return _Post(stream, query, deadline, waiter, Response(stream, self._fields))

    def turn_begins(self) -> None:
        self._fields.left = MAX_TURN_FIELDS

    def received(self, stream: int, data: bytes, is_end: bool) -> None:
        request = self.requests.get(stream)
        try:
            if request is not None:
                request.response.feed(data, is_end, MAX_BODY)
            elif stream & 3 != CLIENT_STREAM:
                self._take_from_server(stream, data, is_end)
        except H3Error as error:
            self._break_off(request, error)
            return
        if request is not None and is_end:
            self._answer(request)

    def broken_off(self, stream: int) -> None:
        if self._server.is_critical(stream):
            self._break_off(None, H3Error(STREAM_CREATION_ERROR, "stream reset that must stay open"))

    def refused(self, request: _Post, code: int) -> TransportError:
        if code == REQUEST_REJECTED:  # safe to send again (RFC 9114 §4.1.1)
            return ConnectionLost(f"{self.peer} refused the stream")
        return super().refused(request, code)

    def _take_from_server(self, stream: int, data: bytes, is_end: bool) -> None:
        if not stream & 2:
            raise H3Error(STREAM_CREATION_ERROR, "stream of its own in both directions")
        self._server.feed(stream, data, is_end)
        if self._server.goaway is not None and self._server.goaway != self._goaway:
            self._goaway = self._server.goaway
            self._go_away(self._goaway)

    def _answer(self, request: _Post) -> None:
        response = request.response
        answer, alt_svc, failure = b"", None, None
        try:
            answer, alt_svc = read_answer(
                request.query, response.headers or (), bytes(response.body), self.peer
            )
        except TransportError as error:
            failure = error
        self.take(request.stream)
        self.heard_answer()
        if request.waiter.done():
            return
        if failure is not None:
            request.waiter.set_exception(failure)
            return
        self.link.answers()
        if alt_svc is not None:
            self.link.heard_alt_svc(alt_svc)
        request.waiter.set_result(answer)

    def _go_away(self, first: int) -> None:
        """Finish what the server will answer, and let go of the rest (RFC 9114 §5.2, fault F4)."""
        lost = ConnectionLost(f"{self.peer} goes away")
        self.was_sent_away = True
        self.retire()  # first, so that nobody comes back to us
        for request in [request for stream, request in self.requests.items() if stream >= first]:
            self.take(request.stream)
            if not request.waiter.done():
                request.waiter.set_exception(again(lost))

    def _break_off(self, request: _Post | None, error: H3Error) -> None:
        """End the connection; whoever asked for what is wrong hears of it, the others may ask again."""
        if request is not None:
            self.take(request.stream)
        words = f"{self.peer} broke HTTP/3: {error}"
        self.fail(ConnectionLost(words), error.code)
        if request is not None and not request.waiter.done():
            failure = ProtocolError(words)
            failure.__cause__ = error
            request.waiter.set_exception(failure)
