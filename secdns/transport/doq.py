"""Speak DNS over QUIC (RFC 9250): one query and its answer on each stream.

Few are outstanding on one connection, and each leaves in a datagram of its own: Knot DNS 3.4 and 3.5
fall silent otherwise. Of 4,000 queries in bursts of 100 Knot DNS 3.4.6 answered all with three
outstanding, all but 8 with four, and four in five with six; with several in a datagram, fewer.
"""

from typing import ClassVar, Final

from secdns.dns.message import Message
from secdns.dns.peek import reply_matches
from secdns.dns.wire import HEADER_SIZE
from secdns.endpoint import Endpoint
from secdns.errors import ConnectionLost, FormatError, ProtocolError
from secdns.iana import EDNSOption
from secdns.transport import Lookup, Waiter
from secdns.transport.quic import CLIENT_STREAM, QUICConversation, Request
from secdns.transport.quic_transport import QUICTransport

ALPN: Final = "doq"
NO_ERROR: Final = 0  # codes of RFC 9250 §8.4
PROTOCOL_ERROR: Final = 2
REQUEST_CANCELLED: Final = 3
PREFIX_SIZE: Final = 2
_KEEPALIVE: Final = int(EDNSOption.TCP_KEEPALIVE).to_bytes(2)


def open(endpoint: Endpoint, lookup: Lookup) -> QUICTransport["_Query"]:
    """Give the transport; see ``secdns.transport.open_transport``."""
    return QUICTransport(endpoint, lookup, DoQConversation, ALPN)


class _Query(Request):
    __slots__ = ("octets",)

    def __init__(self, stream: int, query: bytes, deadline: float, waiter: Waiter) -> None:
        super().__init__(stream, query, deadline, waiter)
        self.octets = b""  # that have come


class DoQConversation(QUICConversation[_Query]):
    """One connection. What breaks the protocol ends it (RFC 9250 §4.3.3)."""

    ALPN = ALPN
    AT_ONCE: ClassVar = 3
    ONE_BY_ONE: ClassVar = True
    STREAMS: ClassVar = 1  # none is right; one is let through, to be told what is wrong with it
    BOTH_WAYS: ClassVar = 1
    NO_ERROR: ClassVar = NO_ERROR
    CANCELLED: ClassVar = REQUEST_CANCELLED

    def send_query(self, stream: int, query: bytes, deadline: float, waiter: Waiter) -> _Query:
        """Send it with its length, with the ID 0, and with nothing after it (RFC 9250 §4.2, §4.2.1)."""
        octets = len(query).to_bytes(PREFIX_SIZE) + b"\0\0" + query[2:]
        self.quic.send_stream_data(stream, octets, end_stream=True)
        return _Query(stream, query, deadline, waiter)

    def received(self, stream: int, data: bytes, is_end: bool) -> None:
        if stream & 3 != CLIENT_STREAM:
            self._break_off(None, "opened a stream of its own")
            return
        request = self.requests.get(stream)
        if request is None:
            return  # given up a moment ago
        octets = request.octets = request.octets + data if request.octets else data
        size = int.from_bytes(octets[:PREFIX_SIZE]) if len(octets) >= PREFIX_SIZE else HEADER_SIZE
        if size < HEADER_SIZE:
            self._break_off(request, f"sent a message of {size} octets, a header has {HEADER_SIZE}")
        elif len(octets) > PREFIX_SIZE + size:
            self._break_off(request, "sent more than one message on a stream")
        elif is_end and len(octets) < PREFIX_SIZE + size:
            self._break_off(request, "ended a stream without a whole message")
        elif is_end:
            self._answer(request, octets[PREFIX_SIZE:])

    def _answer(self, request: _Query, answer: bytes) -> None:
        if answer[:2] != b"\0\0":
            self._break_off(request, "answered with an ID other than 0")
        elif _has_keepalive(answer):
            self._break_off(request, "sent edns-tcp-keepalive, which QUIC has no place for")
        else:
            self.take(request.stream)
            self.heard_answer()
            if request.waiter.done():
                return
            if reply_matches(request.query, answer):
                self.link.answers()
                request.waiter.set_result(request.query[:2] + answer[2:])
            else:
                request.waiter.set_exception(ProtocolError(f"{self.peer} answered another question"))

    def _break_off(self, request: _Query | None, words: str) -> None:
        """End the connection; whoever asked for what is wrong hears of it, the others may ask again."""
        if request is not None:
            self.take(request.stream)
        words = f"{self.peer} {words}"
        self.fail(ConnectionLost(words), PROTOCOL_ERROR)
        if request is not None and not request.waiter.done():
            request.waiter.set_exception(ProtocolError(words))


def _has_keepalive(answer: bytes) -> bool:
    """Tell whether an answer has the option of RFC 7828, which must not be (RFC 9250 §5.5.2)."""
    if _KEEPALIVE not in answer:
        return False
    try:
        edns = Message.parse(answer).edns
    except FormatError:
        return False  # for whoever reads it to find out
    return edns is not None and edns.option(EDNSOption.TCP_KEEPALIVE) is not None
