"""Serve DNS over QUIC (RFC 9250)."""

import socket
from collections.abc import Callable
from typing import ClassVar

from aioquic.quic.connection import QuicConnection

from secdns.dns.edns import EDNS
from secdns.dns.framing import frame
from secdns.dns.message import Message
from secdns.dns.wire import HEADER_SIZE, MAX_MESSAGE
from secdns.iana import EDNSOption
from secdns.testing.authority import Leaf
from secdns.testing.core import Core
from secdns.testing.faults import Faults
from secdns.testing.quic import QUICConnection, QUICServer

PROTOCOL_ERROR = 2  # RFC 9250 §8.4
REQUEST_CANCELLED = 3


def serve(core: Core, scheme: str, opened: socket.socket, leaf: Callable[[], Leaf]) -> QUICServer:
    """Serve on a bound UDP socket."""
    return QUICServer(core, scheme, DoQConnection, opened, leaf)


class DoQConnection(QUICConnection):
    """Answers one query on each stream."""

    ALPN: ClassVar = ("doq",)

    def __init__(self, core: Core, scheme: str, number: int, quic: QuicConnection) -> None:
        super().__init__(core, scheme, number, quic)
        self._queries: dict[int, bytes] = {}  # by stream, as far as they came
        self._outstanding: set[int] = set()
        self._is_dumb = False

    def received(self, stream: int, data: bytes, is_end: bool) -> None:
        octets = self._queries[stream] = self._queries.get(stream, b"") + data
        if len(octets) > MAX_MESSAGE + 2:
            self.close(PROTOCOL_ERROR)
        elif is_end:
            del self._queries[stream]
            size = int.from_bytes(octets[:2])
            if size < HEADER_SIZE or len(octets) != 2 + size or octets[2:4] != b"\0\0":
                self.close(PROTOCOL_ERROR)
            else:
                self._query(stream, octets[2:])

    def stopped(self, stream: int, code: int) -> None:
        self.core.cancelled.append((self.scheme, code))
        self._outstanding.discard(stream)  # `aioquic` has reset the stream already

    def _query(self, stream: int, query: bytes) -> None:
        seen = self.core.see(self.scheme, query, self.number)
        faults = self.core.faults.take(seen)
        self._outstanding.add(stream)
        if faults.keeps_streams:
            self.keep(stream)
        limit = faults.max_outstanding
        self._is_dumb |= limit is not None and len(self._outstanding) > limit
        if faults.silent or self._is_dumb:
            return
        reply = self.core.reply(faults, seen)
        self.when_due(faults, lambda: self._answer(stream, faults, reply))

    def _answer(self, stream: int, faults: Faults, reply: bytes) -> None:
        if not self.is_open or stream not in self._outstanding or self._is_dumb:
            return
        self._outstanding.discard(stream)
        if faults.refuse_streams:
            self._quic.reset_stream(stream, faults.reset_code)
            self._transmit_soon()
            return
        octets = faults.inject + frame(reply)
        if faults.oddity is not None:
            self._misbehave(stream, faults.oddity, octets)
        elif faults.close_mid:
            self.write(stream, octets[: faults.close_mid_octets])
            self.transmit()
            self.end(faults.close_mid)
        elif faults.drip_s:
            self.drip(faults, octets, lambda octet: self.write(stream, octet), lambda: self._end(stream, b""))
        else:
            self._end(stream, octets)

    def _end(self, stream: int, octets: bytes) -> None:
        self.write(stream, octets, is_end=True)
        if self.was_last_answer():
            self.transmit()
            self.close(self.NO_ERROR)

    def _misbehave(self, stream: int, oddity: str, octets: bytes) -> None:
        match oddity:
            case "fin":
                octets = b""
            case "two":
                octets += octets
            case "zero":
                octets = b"\0\0"
            case "short":
                octets = octets[:-1]
            case "keepalive":
                octets = frame(_with_keepalive(octets[2:]))
            case "uni" | "both-ways":
                own = self._quic.get_next_available_stream_id(is_unidirectional=oddity == "uni")
                self._quic.send_stream_data(own, b"\0")
                self._transmit_soon()
                return
            case "hole" | "chasm":
                self.punch_hole(stream, None if oddity == "hole" else 2**28 - 1)
                return
            case "chatter":
                self.chatter(2000)
        self.write(stream, octets, is_end=True)


def _with_keepalive(reply: bytes) -> bytes:
    message = Message.parse(reply)
    edns = message.edns or EDNS()
    options = (*edns.options, (int(EDNSOption.TCP_KEEPALIVE), b"\0\1"))
    return Message(
        message.id,
        message.flags,
        message.question,
        message.answer,
        message.authority,
        message.additional,
        EDNS(edns.size, options=options),
    ).to_wire()
