"""Serve DNS over HTTPS with HTTP/3 (RFC 8484, RFC 9114)."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from aioquic.h3.connection import FrameType, H3Connection, encode_frame
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

from secdns.testing.authority import Leaf
from secdns.testing.core import Core
from secdns.testing.doh import query_of, response_headers
from secdns.testing.faults import REFUSED_STREAM, Faults
from secdns.testing.quic import QUICConnection, QUICServer

NO_ERROR = 0x100  # RFC 9114 §8.1
REQUEST_REJECTED = 0x10B
REQUEST_CANCELLED = 0x10C
_NO_LIMIT = 2**62


def serve(core: Core, scheme: str, opened: socket.socket, leaf: Callable[[], Leaf]) -> QUICServer:
    """Serve on a bound UDP socket."""
    return QUICServer(core, scheme, HTTP3Connection, opened, leaf)


@dataclass(slots=True)
class _Stream:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class HTTP3Connection(QUICConnection):
    """Answers POST and GET of /dns-query; everything else gets the status it deserves."""

    ALPN: ClassVar = ("h3",)
    NO_ERROR: ClassVar = NO_ERROR

    def __init__(self, core: Core, scheme: str, number: int, quic: QuicConnection) -> None:
        super().__init__(core, scheme, number, quic)
        self._h3: H3Connection | None = None
        self._streams: dict[int, _Stream] = {}
        self._last = _NO_LIMIT  # streams from here on are not answered (GOAWAY)

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._h3 = H3Connection(self._quic)
        super().quic_event_received(event)
        if self._h3 is not None and self.is_open:
            for happening in self._h3.handle_event(event):
                self._handle(happening)

    def received(self, stream: int, data: bytes, is_end: bool) -> None:
        """`aioquic`'s HTTP/3 has the event already."""

    def stopped(self, stream: int, code: int) -> None:
        self.core.cancelled.append((self.scheme, code))
        self._streams.pop(stream, None)

    def _handle(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
            self.core.http_requests.append(pairs)
            self._streams[event.stream_id] = _Stream(dict(pairs))
        elif isinstance(event, DataReceived) and (request := self._streams.get(event.stream_id)):
            request.body += event.data
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
            self._request(event.stream_id)

    def _request(self, stream: int) -> None:
        request = self._streams.get(stream)
        if request is None or stream >= self._last:
            return
        status, query = query_of(request.headers, bytes(request.body))
        if status != 200:
            self._send_headers(stream, [(":status", str(status)), ("content-length", "0")], is_end=True)
            self._done(stream)
            return
        seen = self.core.see(self.scheme, query, self.number)
        faults = self.core.faults.take(seen)
        if faults.goaway:
            self._go_away(stream, faults)
        if faults.refuse_streams:
            is_refusal = faults.reset_code == REFUSED_STREAM
            self._quic.reset_stream(stream, REQUEST_REJECTED if is_refusal else faults.reset_code)
            self._done(stream)
        elif not faults.silent and stream < self._last:
            reply = self.core.reply(faults, seen)
            self.when_due(faults, lambda: self._respond(stream, faults, reply))

    def _go_away(self, stream: int, faults: Faults) -> None:
        self._last = {"graceful": stream + 4, "refuse": stream, "zero": 0}[faults.goaway or "zero"]
        self._control(encode_frame(FrameType.GOAWAY, _varint(self._last)))
        for refused in [number for number in self._streams if number >= self._last]:
            del self._streams[refused]

    def go_away(self) -> None:
        self._control(encode_frame(FrameType.GOAWAY, _varint(_NO_LIMIT - 4)))
        self.transmit()

    def _respond(self, stream: int, faults: Faults, reply: bytes) -> None:
        if not self.is_open or stream not in self._streams:
            return
        if faults.h3_oddity is not None:
            self._misbehave(stream, faults, reply)
            return
        if faults.close_mid and not faults.close_mid_octets:
            self.end(faults.close_mid)
            return
        if faults.inject:
            self.write(stream, faults.inject)
        if faults.stop_sending:
            self._quic.stop_stream(stream, REQUEST_CANCELLED)
            self.transmit()
        for _ in range(faults.informational):
            self._send_headers(stream, [(":status", "103")])
        body = reply if faults.body is None else faults.body
        self._send_headers(stream, response_headers(faults, reply, body))
        if faults.close_mid:
            self.write(stream, encode_frame(FrameType.DATA, body)[: faults.close_mid_octets])
            self.transmit()
            self.end(faults.close_mid)
        elif faults.drip_s:
            framed = encode_frame(FrameType.DATA, body)
            self.drip(
                faults, framed, lambda octet: self.write(stream, octet), lambda: self._end(stream, faults)
            )
        else:
            self.write(stream, encode_frame(FrameType.DATA, body))
            self._end(stream, faults)

    def _end(self, stream: int, faults: Faults) -> None:
        if faults.no_end_stream or stream not in self._streams:
            return
        if faults.trailers:
            self._send_headers(stream, list(faults.trailers.items()))
        self.write(stream, b"", is_end=True)
        self._done(stream)

    def _done(self, stream: int) -> None:
        self._streams.pop(stream, None)
        self._transmit_soon()
        if self.was_last_answer():
            self.transmit()
            self.close(NO_ERROR)

    def _send_headers(self, stream: int, headers: list[tuple[str, str]], *, is_end: bool = False) -> None:
        octets = [(name.encode(), value.encode()) for name, value in headers]
        if self._h3 is not None and self.is_open:
            _, section = self._h3._encoder.encode(stream, octets)
            self.write(stream, encode_frame(FrameType.HEADERS, section), is_end=is_end)

    def _control(self, octets: bytes, *, is_end: bool = False) -> None:
        if self._h3 is not None and self._h3._local_control_stream_id is not None:
            self._quic.send_stream_data(self._h3._local_control_stream_id, octets, end_stream=is_end)
            self._transmit_soon()

    def _own_stream(self, octets: bytes, *, is_unidirectional: bool = True) -> None:
        stream = self._quic.get_next_available_stream_id(is_unidirectional=is_unidirectional)
        self._quic.send_stream_data(stream, octets)
        self._transmit_soon()

    def _misbehave(self, stream: int, faults: Faults, reply: bytes) -> None:
        headers, data = FrameType.HEADERS, FrameType.DATA
        match faults.h3_oddity:
            case "insert":  # a literal name and value (RFC 9204 §4.3.3), on the stream that is for it
                if self._h3 is not None and self._h3._local_encoder_stream_id is not None:
                    insert = b"\x3f\xe1\x1f" + b"\x41x\x01y"
                    self._quic.send_stream_data(self._h3._local_encoder_stream_id, insert)
                    self._transmit_soon()
            case "bomb":  # two octets of prefix, then one for each field
                self.write(stream, encode_frame(headers, b"\0\0\xd9" + b"\xdd" * 8000))
            case "long-section":
                self.write(stream, encode_frame(headers, b"\0\0\xd9" + b"\xdd" * 9000))
            case "push":
                self.write(stream, encode_frame(FrameType.PUSH_PROMISE, b"\0\0\0"))
            case "data-first":
                self.write(stream, encode_frame(data, reply), is_end=True)
            case "cut":
                self._send_headers(stream, response_headers(faults, reply, reply))
                self.write(stream, encode_frame(data, reply)[:-1], is_end=True)
            case "pieces":
                self._send_headers(stream, response_headers(faults, reply, reply))
                pieces = (encode_frame(data, b"") + encode_frame(data, octet.to_bytes(1)) for octet in reply)
                self.write(stream, b"".join(pieces), is_end=True)
            case "two-controls":
                self._own_stream(b"\0" + encode_frame(FrameType.SETTINGS, b""))
            case "close-control":
                self._control(b"", is_end=True)
            case "both-ways":
                self._own_stream(b"\0", is_unidirectional=False)
            case None:
                pass


def _varint(value: int) -> bytes:
    return value.to_bytes(1) if value < 64 else (value | 0xC000_0000_0000_0000).to_bytes(8)
