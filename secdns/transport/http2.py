"""Make `h2` cheap and safe enough for a DoH client (facts M13 and M14).

`h2` stays what reads and checks every frame. What differs from its defaults:

* a request whose body fits the windows is written in one go, past five layers of `h2`;
* a header block seen before is not encoded, decoded or checked again: padding makes ours alike;
* open streams are counted by who sends the requests, not by a walk over all of them;
* GOAWAY does not end the streams that the server will still answer (RFC 9113 §6.8);
* frames are counted before `h2` spends time on them.

Only public names of `h2` and `hpack` are used.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from h2.events import Event
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamState
from h2.utilities import HeaderValidationFlags, validate_headers
from hpack import Decoder, Encoder, HeaderTuple, NeverIndexedHeaderTuple, OversizedHeaderListError
from hpack.table import HeaderTable

STREAM_WINDOW: Final = 128 * 1024  # a body of 65,535 octets and its padding fit without an update
CONNECTION_WINDOW: Final = 4 * 1024 * 1024
MAX_HEADER_LIST: Final = 16 * 1024  # octets, counted as in RFC 9113 §6.5.2
MAX_FIELDS: Final = 4096  # decoded in one turn of 32 KB; honest answers have 10 octets for each field
SETTINGS_WEIGHT: Final = 8  # frames; it may change the window of every stream
SETTINGS_PER_FRAME: Final = 12  # octets of SETTINGS that weigh as much as a frame
FRAME_HEADER: Final = 9  # octets
MAX_FRAME: Final = 16 * 1024  # octets after the header; we never allow more (RFC 9113 §4.2)

_MAX_BLOCKS: Final = 64  # remembered header blocks each way
_MAX_BLOCK: Final = 512  # octets; a longer one is not worth remembering
_FRAME: Final = Struct("!HBBBL")  # length (16 + 8 bits), type, flags, stream (RFC 9113 §4.1)
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 0x1, 0x4
_RESPONSE: Final = HeaderValidationFlags(True, False, True, False)
_TRAILER: Final = HeaderValidationFlags(True, True, False, False)

Header = tuple[bytes, bytes]


class Client(H2Connection):
    """An `h2` client connection for many small requests that differ in their length only."""

    MAX_CLOSED_STREAMS = 4096  # h2 remembers 65,536, which takes 6 MB

    def __init__(self) -> None:
        super().__init__(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,  # constants of ours, in the right form
                normalize_outbound_headers=False,
                validate_inbound_headers=False,  # the decoder does, once for each block
                normalize_inbound_headers=False,
            )
        )
        self.encoder = _MemoEncoder()
        self.decoder = self._fields = _MemoDecoder(MAX_HEADER_LIST)
        self.state_machine = _States()
        self.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
            },
        )
        self._unsent: list[bytes] = []  # what was written past h2, and what h2 wrote before
        self.initiate_connection()
        self.increment_flow_control_window(CONNECTION_WINDOW)

    def request(self, stream: int, headers: list[Header], body: bytes) -> int:
        """Send a POST on a new stream and give the number of octets of its body that went along.

        All of them, unless a window is too small; then the rest is for ``send_data``.
        ``content-length`` is added.
        """
        size = len(body)
        block_headers = [*headers, NeverIndexedHeaderTuple(b"content-length", b"%d" % size)]
        fits = size <= min(
            self.outbound_flow_control_window,
            self.remote_settings.initial_window_size,
            self.max_outbound_frame_size,
        )
        if not fits or self.state_machine.state is not ConnectionState.CLIENT_OPEN:
            self.send_headers(stream, block_headers)
            if fits:
                self.send_data(stream, body, end_stream=True)
            return size if fits else 0
        if rest := super().data_to_send():  # SETTINGS ACK before a block made for the new table, resets too
            self._unsent.append(rest)
        block = self.encoder.encode(block_headers)
        if len(block) > self.max_outbound_frame_size:
            raise ProtocolError("header block of a request does not fit a frame")
        sent = H2Stream(
            stream,
            self.config,
            self.local_settings.initial_window_size,
            self.remote_settings.initial_window_size,
        )
        sent.max_outbound_frame_size = self.max_outbound_frame_size
        sent.request_method = b"POST"
        sent.outbound_flow_control_window -= size
        sent.state_machine.state = StreamState.HALF_CLOSED_LOCAL
        sent.state_machine.client = sent.state_machine.headers_sent = True
        self.streams[stream] = sent
        self.highest_outbound_stream_id = stream
        self.outbound_flow_control_window -= size
        self._unsent += (
            _FRAME.pack(len(block) >> 8, len(block) & 0xFF, _HEADERS, _END_HEADERS, stream),
            block,
            _FRAME.pack(size >> 8, size & 0xFF, _DATA, _END_STREAM, stream),
            body,
        )
        return size

    def take(self, data: bytes) -> list[Event]:
        """Take the octets of one turn and give what they mean: ``receive_data`` with a bound on fields."""
        self._fields.left = MAX_FIELDS
        return self.receive_data(data)

    def data_to_send(self, amount: int | None = None) -> bytes:
        """Give all that is to be written, in its order."""
        rest = super().data_to_send()
        if not self._unsent:
            return rest
        self._unsent.append(rest)
        data = b"".join(self._unsent)
        self._unsent.clear()
        return data

    @property
    def open_outbound_streams(self) -> int:
        """0: whoever sends requests obeys MAX_CONCURRENT_STREAMS himself."""
        return 0

    def sweep(self) -> None:
        """Forget the streams that are closed; to be called now and then."""
        super().open_outbound_streams  # noqa: B018  (h2 does it while it counts)


class _States(H2ConnectionStateMachine):
    def process_input(self, input_: ConnectionInputs) -> list[Event]:
        if input_ is ConnectionInputs.RECV_GOAWAY and self.state is not ConnectionState.CLOSED:
            return []  # the streams up to its last one go on
        return super().process_input(input_)


class _Table(HeaderTable):
    """A dynamic table that tells whether it changed."""

    added = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.added += 1
        super().add(name, value)

    @property
    def version(self) -> tuple[int, int, int]:
        """Differs from an earlier one if an entry was added or evicted since, or the size changed."""
        return self.added, self.maxsize, len(self.dynamic_entries)


class _MemoEncoder(Encoder):
    """Encode a header list that differs from the last one in its last header only.

    A block may be sent again as long as the table it was made with is the same, and if making
    it left the table as it was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.header_table = self._table = _Table()
        self._blocks: dict[Header, bytes] = {}

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        """Follow the server's SETTINGS; the next block says the smallest size since the last, and the size.

        hpack would say every size in between, and forget about a change that is announced twice
        (RFC 7541 §4.2).
        """
        if value == self.header_table.maxsize:
            return
        self._blocks.clear()
        self.header_table.maxsize = value
        smallest = min(value, *self.table_size_changes, value)
        self.table_size_changes = [value] if smallest == value else [smallest, value]

    def encode(self, headers: "list[Header]", huffman: bool = True) -> bytes:  # type: ignore[override]
        key = headers[-1]
        block = self._blocks.get(key)
        if block is None:
            resized = self.header_table.resized
            before = self._table.version
            block = super().encode(headers, huffman)
            if self._table.version != before:
                self._blocks.clear()
            elif not resized and len(self._blocks) < _MAX_BLOCKS:
                self._blocks[key] = block
        return block


class _MemoDecoder(Decoder):
    """Decode a header block, or remember what the same octets meant under the same table.

    An octet can stand for a whole field, and a field costs 4 µs: ``left`` is how many more may come.
    """

    left = MAX_FIELDS

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self.header_table = self._table = _Table()
        self._lists: dict[bytes, list[HeaderTuple]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        known = self._lists.get(data)
        if known is not None:
            return known
        before = self._table.version
        headers = list(super().decode(data, raw))
        self.left -= len(headers)
        if self.left < 0:
            raise OversizedHeaderListError(f"over {MAX_FIELDS} header fields at once")
        is_response = any(name.startswith(b":") for name, _ in headers)
        for _ in validate_headers(headers, _RESPONSE if is_response else _TRAILER):
            pass  # it raises on what must not be
        if self._table.version != before:
            self._lists.clear()
        elif len(data) <= _MAX_BLOCK and len(self._lists) < _MAX_BLOCKS:
            self._lists[data] = headers
        return headers


class FrameCounter:
    """Count the frames that begin in a stream of octets, each by its weight, without looking into them.

    `h2` would gather up to 16 MB of a frame before it finds it too large; here its header is enough.
    """

    def __init__(self) -> None:
        self._skip = 0  # octets of the frame under way that are still to come
        self._head = b""  # of a frame header that is not complete

    def count(self, data: bytes) -> int:
        """Give the weight of the frames whose headers are complete with ``data`` and were not before.

        A frame weighs 1, SETTINGS 8 and 1 for every two values.

        Raises:
            FrameTooLargeError: a frame is larger than we allow (RFC 9113 §4.2).
        """
        end = len(data)
        at = self._skip
        if at >= end:
            self._skip = at - end
            return 0
        if self._head:
            data = self._head + data
            end = len(data)
            self._head = b""
        frames = 0
        while end - at >= FRAME_HEADER:
            size = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            frames += 1
            if data[at + 3] == _SETTINGS:
                frames += SETTINGS_WEIGHT - 1 + size // SETTINGS_PER_FRAME
            if size > MAX_FRAME:
                raise FrameTooLargeError(f"frame of {size} octets, at most {MAX_FRAME} are allowed")
            at += FRAME_HEADER + size
        if at < end:
            self._head = data[at:]
            self._skip = 0
        else:
            self._skip = at - end
        return frames
