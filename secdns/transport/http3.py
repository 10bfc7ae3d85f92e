"""Read and write HTTP/3 frames (RFC 9114) for a client of many small requests.

Just what DNS over HTTPS needs, in place of `aioquic`'s own HTTP/3, which bounds neither a field
section nor the table behind it (fact M11). There is no dynamic table (RFC 9204 §3.2.3), so every
section stands for itself; nothing is pushed; frames of unknown types are passed over.
"""

from typing import Final

from pylsqpack import Decoder, DecompressionFailed, Encoder, EncoderStreamError, StreamBlocked

MAX_SECTION: Final = 8 * 1024  # octets of an encoded field section
MAX_SECTION_FIELDS: Final = 256
MAX_TURN_FIELDS: Final = 2048  # decoded in one turn; a field costs up to 4 µs
MAX_SECTIONS: Final = 10  # of a response: interim ones, the final one, trailers (fact M14)
MAX_FRAMES: Final = 64  # of a response, and one more for each 512 octets of body (fact M14)
MAX_SETTINGS: Final = 1024  # octets
MAX_CONTROL_FRAMES: Final = 256  # of a connection; beyond SETTINGS and GOAWAY none has a use for us

# error codes (RFC 9114 §8.1, RFC 9204 §6)
NO_ERROR: Final = 0x100
STREAM_CREATION_ERROR: Final = 0x103
CLOSED_CRITICAL_STREAM: Final = 0x104
FRAME_UNEXPECTED: Final = 0x105
FRAME_ERROR: Final = 0x106
EXCESSIVE_LOAD: Final = 0x107
ID_ERROR: Final = 0x108
SETTINGS_ERROR: Final = 0x109
MISSING_SETTINGS: Final = 0x10A
REQUEST_REJECTED: Final = 0x10B
REQUEST_CANCELLED: Final = 0x10C
MESSAGE_ERROR: Final = 0x10E
DECOMPRESSION_FAILED: Final = 0x200
ENCODER_STREAM_ERROR: Final = 0x201

DATA, HEADERS, SETTINGS, PUSH_PROMISE, GOAWAY = 0x0, 0x1, 0x4, 0x5, 0x7
_CANCEL_PUSH, _MAX_PUSH_ID = 0x3, 0xD
_HTTP2_FRAMES: Final = frozenset({0x2, 0x6, 0x8, 0x9})  # reserved, never to be sent (RFC 9114 §7.2.8)
_HTTP2_SETTINGS: Final = frozenset({0x0, 0x2, 0x3, 0x4, 0x5})
_QPACK_MAX_TABLE_CAPACITY, _MAX_FIELD_SECTION_SIZE, _QPACK_BLOCKED_STREAMS = 0x1, 0x6, 0x7
_CONTROL, _PUSH, _QPACK_ENCODER, _QPACK_DECODER = 0x0, 0x1, 0x2, 0x3  # types of streams
_MAX_BLOCKS: Final = 64  # remembered field sections each way
_MAX_BLOCK: Final = 512  # octets; a longer one is not worth remembering

Header = tuple[bytes, bytes]


class H3Error(Exception):
    """The server broke HTTP/3; ``code`` is what it is told."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def varint(value: int) -> bytes:
    """Encode an integer below 2**62 (RFC 9000 §16)."""
    for size, bits in ((1, 0x00), (2, 0x4000), (4, 0x8000_0000), (8, 0xC000_0000_0000_0000)):
        if value < 1 << (8 * size - 2):
            return (value | bits).to_bytes(size)
    raise ValueError(f"{value} does not fit 62 bits")


def read_varint(octets: bytes, at: int) -> tuple[int, int]:
    """Give an integer and where it ends; -1 for the end if it is not complete."""
    if at >= len(octets):
        return 0, -1
    size = 1 << (octets[at] >> 6)
    if at + size > len(octets):
        return 0, -1
    return int.from_bytes(octets[at : at + size]) & ((1 << (8 * size - 2)) - 1), at + size


def frame(kind: int, payload: bytes) -> bytes:
    return varint(kind) + varint(len(payload)) + payload


def control_stream() -> bytes:
    """Give what our control stream begins with: no dynamic table, and how long a field section may be."""
    settings = varint(_MAX_FIELD_SECTION_SIZE) + varint(MAX_SECTION)
    return varint(_CONTROL) + frame(SETTINGS, settings)


class Fields:
    """Encode and decode the field sections of one connection, without a dynamic table.

    ``left`` is how many fields may be decoded still before the next turn of the event loop.
    """

    def __init__(self) -> None:
        self.left = MAX_TURN_FIELDS
        self._encoder = Encoder()
        self._decoder = Decoder(0, 0)
        self._blocks: dict[Header, bytes] = {}
        self._lists: dict[bytes, list[Header]] = {}

    def encode(self, headers: list[Header]) -> bytes:
        """Give the section of a list that differs from others in its last header only."""
        block = self._blocks.get(headers[-1])
        if block is None:
            _, block = self._encoder.encode(0, headers)
            if len(self._blocks) < _MAX_BLOCKS:
                self._blocks[headers[-1]] = block
        return block

    def decode(self, stream: int, block: bytes) -> list[Header]:
        """Give the fields of a section.

        Raises:
            H3Error: it cannot be read, or has too many.
        """
        known = self._lists.get(block)
        if known is not None:
            return known
        try:
            _, headers = self._decoder.feed_header(stream, block)
        except (DecompressionFailed, StreamBlocked, ValueError) as error:
            raise H3Error(DECOMPRESSION_FAILED, "field section that cannot be read") from error
        self.left -= len(headers)
        if len(headers) > MAX_SECTION_FIELDS or self.left < 0:
            raise H3Error(EXCESSIVE_LOAD, f"{len(headers)} header fields at once")
        if len(block) <= _MAX_BLOCK and len(self._lists) < _MAX_BLOCKS:
            self._lists[block] = headers
        return headers

    def take_instructions(self, data: bytes) -> None:
        """Take what came on the server's encoder stream: with no table, hardly anything is right.

        Raises:
            H3Error: it inserts into a table that there is not.
        """
        try:
            self._decoder.feed_encoder(data)
        except (EncoderStreamError, ValueError) as error:
            raise H3Error(ENCODER_STREAM_ERROR, "dynamic table that was not allowed") from error


class Response:
    """The response on one stream: feed what comes, ask for ``headers`` and ``body`` at its end."""

    __slots__ = ("_buffer", "_fields", "_frames", "_has_trailers", "_kind", "_left", "_sections", "_stream",
                 "body", "headers")  # fmt: skip

    def __init__(self, stream: int, fields: Fields) -> None:
        self.headers: list[Header] | None = None  # of the final response
        self.body = bytearray()
        self._stream = stream
        self._fields = fields
        self._buffer = b""
        self._kind = -1  # of the frame under way …
        self._left = 0  # … and octets of it that are still to come
        self._sections = 0
        self._has_trailers = False
        self._frames = 0

    def feed(self, data: bytes, is_end: bool, max_body: int) -> None:
        """Take octets in their order.

        Raises:
            H3Error: they break HTTP/3 or our bounds.
        """
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        at, end = 0, len(data)
        while at < end:
            if self._kind < 0:
                kind, after = read_varint(data, at)
                size, after = read_varint(data, after) if after > 0 else (0, -1)
                if after < 0:
                    break
                self._begin(kind, size)
                at = after
            if self._kind == HEADERS:
                if end - at < self._left:
                    break
                self._take_section(data[at : at + self._left])
                at += self._left
                self._kind = -1
                continue
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._kind == DATA:
                self.body += piece
                if len(self.body) > max_body:
                    raise H3Error(EXCESSIVE_LOAD, f"body of over {max_body} octets")
            if not self._left:
                self._kind = -1
        self._buffer = data[at:]
        if is_end and (self._kind >= 0 or self._buffer):
            raise H3Error(FRAME_ERROR, "stream that ends within a frame")
        if is_end and self.headers is None:
            raise H3Error(MESSAGE_ERROR, "stream that ends without a response")

    def _begin(self, kind: int, size: int) -> None:
        self._frames += 1
        if self._frames > MAX_FRAMES + len(self.body) // 512:
            raise H3Error(EXCESSIVE_LOAD, "body in too many pieces")
        if kind == PUSH_PROMISE:
            raise H3Error(ID_ERROR, "push, which was not allowed")
        if kind in (SETTINGS, GOAWAY, _CANCEL_PUSH, _MAX_PUSH_ID) or kind in _HTTP2_FRAMES:
            raise H3Error(FRAME_UNEXPECTED, f"frame of type {kind:#x} on a request stream")
        if kind == HEADERS and size > MAX_SECTION:
            raise H3Error(EXCESSIVE_LOAD, f"field section of {size} octets, want {MAX_SECTION} at most")
        if self._has_trailers and kind in (DATA, HEADERS):
            raise H3Error(FRAME_UNEXPECTED, "something after the trailers")
        if kind == DATA and self.headers is None:
            raise H3Error(FRAME_UNEXPECTED, "body without a header section")
        self._kind, self._left = kind, size
        if not size and kind != HEADERS:
            self._kind = -1

    def _take_section(self, block: bytes) -> None:
        self._sections += 1
        if self._sections > MAX_SECTIONS:
            raise H3Error(EXCESSIVE_LOAD, "too many header sections")
        headers = self._fields.decode(self._stream, block)
        if self.headers is not None:
            self._has_trailers = True  # they say nothing that matters
            return
        status = headers[0][1] if headers and headers[0][0] == b":status" else b""
        if len(status) != 3 or any(name[:1] == b":" for name, _ in headers[1:]):
            raise H3Error(MESSAGE_ERROR, "response without one status")
        if status[:1] != b"1":
            self.headers = headers


class ServerStreams:
    """What the server sends on streams of its own: settings, and from which stream on it answers nothing."""

    def __init__(self, fields: Fields) -> None:
        self.goaway: int | None = None  # the first stream that is not answered any more
        self._fields = fields
        self._kinds: dict[int, int] = {}  # of each stream
        self._buffers: dict[int, bytes] = {}
        self._skip = 0  # octets of a frame on the control stream that do not matter
        self._has_settings = False
        self._frames = 0

    def feed(self, stream: int, data: bytes, is_end: bool) -> None:
        """Take octets of a stream in their order.

        Raises:
            H3Error: they break HTTP/3 or our bounds.
        """
        data = self._buffers.pop(stream, b"") + data
        kind = self._kinds.get(stream, -1)
        if kind < 0:
            kind, at = read_varint(data, 0)
            if at < 0:
                self._buffers[stream] = data
                return
            self._begin(stream, kind)
            data = data[at:]
        if is_end and kind in (_CONTROL, _QPACK_ENCODER, _QPACK_DECODER):
            raise H3Error(CLOSED_CRITICAL_STREAM, "stream closed that must stay open")
        if is_end:
            del self._kinds[stream]  # of a type that nobody knows
        if kind == _CONTROL:
            self._control(stream, data)
        elif kind == _QPACK_ENCODER and data:
            self._fields.take_instructions(data)

    def is_critical(self, stream: int) -> bool:
        """Tell whether a stream must not end."""
        return self._kinds.get(stream, -1) in (_CONTROL, _QPACK_ENCODER, _QPACK_DECODER)

    def _begin(self, stream: int, kind: int) -> None:
        if kind == _PUSH:
            raise H3Error(ID_ERROR, "push, which was not allowed")
        if kind in (_CONTROL, _QPACK_ENCODER, _QPACK_DECODER) and kind in self._kinds.values():
            raise H3Error(STREAM_CREATION_ERROR, f"second stream of type {kind}")
        self._kinds[stream] = kind

    def _control(self, stream: int, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                passed = min(self._skip, end - at)
                self._skip -= passed
                at += passed
                continue
            kind, after = read_varint(data, at)
            size, after = read_varint(data, after) if after > 0 else (0, -1)
            if after < 0:
                break
            if kind not in (SETTINGS, GOAWAY):
                self._count(kind)
                self._skip, at = size, after
                continue
            if size > MAX_SETTINGS:
                raise H3Error(EXCESSIVE_LOAD, f"frame of {size} octets on the control stream")
            if end - after < size:
                break
            self._count(kind)
            payload = data[after : after + size]
            at = after + size
            if kind == SETTINGS:
                _check_settings(payload)
            else:
                self._take_goaway(payload)
        if at < end:
            self._buffers[stream] = data[at:]

    def _count(self, kind: int) -> None:
        """Check that a frame may come now (RFC 9114 §6.2.1, §7.2)."""
        if (kind == SETTINGS) is self._has_settings:
            code = FRAME_UNEXPECTED if self._has_settings else MISSING_SETTINGS
            raise H3Error(code, "settings twice" if self._has_settings else "control stream without settings")
        self._has_settings = True
        if kind in (DATA, HEADERS, PUSH_PROMISE, _MAX_PUSH_ID) or kind in _HTTP2_FRAMES:
            raise H3Error(FRAME_UNEXPECTED, f"frame of type {kind:#x} on the control stream")
        self._frames += 1
        if self._frames > MAX_CONTROL_FRAMES:
            raise H3Error(EXCESSIVE_LOAD, "flood of frames on the control stream")

    def _take_goaway(self, payload: bytes) -> None:
        stream, end = read_varint(payload, 0)
        if end != len(payload):
            raise H3Error(FRAME_ERROR, "malformed GOAWAY")
        if stream & 3 or (self.goaway is not None and stream > self.goaway):
            raise H3Error(ID_ERROR, f"GOAWAY with the stream {stream}")
        self.goaway = stream


def _check_settings(payload: bytes) -> None:
    """Check that SETTINGS are well formed; what they allow is more than we do (RFC 9114 §7.2.4)."""
    at, seen = 0, set()
    while at < len(payload):
        name, after = read_varint(payload, at)
        _, at = read_varint(payload, after) if after > 0 else (0, -1)
        if at < 0:
            raise H3Error(FRAME_ERROR, "malformed SETTINGS")
        if name in seen or name in _HTTP2_SETTINGS:
            raise H3Error(SETTINGS_ERROR, f"setting {name:#x} that must not be")
        seen.add(name)
