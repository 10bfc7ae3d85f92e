"""Serve DNS over HTTPS with HTTP/2 (RFC 8484, RFC 9113)."""

import asyncio
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from secdns.dns.wire import MAX_MESSAGE
from secdns.testing.connection import Connection
from secdns.testing.core import Core
from secdns.testing.doh import query_of, response_headers
from secdns.testing.faults import Faults

_NO_LIMIT = 2**31 - 1


@dataclass(slots=True)
class _Stream:
    """A request as far as it came, then the response as far as it has not gone."""

    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    is_complete: bool = False  # nothing will be added to ``out``
    trailers: list[tuple[str, str]] = field(default_factory=list)
    ends: bool = True


class HTTPConnection(Connection):
    """Answers POST and GET of /dns-query; everything else gets the status it deserves."""

    ALPN = ("h2",)

    def __init__(self, core: Core, scheme: str, number: int) -> None:
        super().__init__(core, scheme, number)
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}
        self._last_stream = _NO_LIMIT  # streams above are not answered (GOAWAY)
        self._closes = False  # once the last stream is answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        limit = self.core.faults.max_concurrent_streams
        self._h2.local_settings = _settings(limit)
        self._h2.initiate_connection()
        # A client may open streams before it has seen our limit, so the limit binds it only after its
        # acknowledgement (RFC 9113 §6.5.3); the library would enforce it from the first octet.
        self._h2.local_settings = _settings(_NO_LIMIT)
        self._h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = limit
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.acknowledge()
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
        except H2Error:
            self._flush()  # the GOAWAY that says why
            self.close()
            return
        self._flush()
        self._close_if_done()

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=headers):
                pairs = tuple((_text(name), _text(value)) for name, value in headers or ())
                self.core.http_requests.append(pairs)
                self._streams[stream] = _Stream(dict(pairs))
            case DataReceived(stream_id=int(stream), data=data, flow_controlled_length=int(size)):
                self._h2.acknowledge_received_data(size, stream)
                if (request := self._streams.get(stream)) and len(request.body) <= MAX_MESSAGE:
                    request.body += data or b""
            case StreamEnded(stream_id=int(stream)):
                self._request(stream)
            case StreamReset(stream_id=int(stream)):
                self._streams.pop(stream, None)
            case WindowUpdated(stream_id=stream):
                for waiting in [stream] if stream else list(self._streams):
                    self._pump(waiting)
            case ConnectionTerminated():  # the library sends nothing after a GOAWAY of either side
                self._give_up()
            case _:
                pass

    def _request(self, stream: int) -> None:
        if stream > self._last_stream or (request := self._streams.get(stream)) is None:
            return
        status, query = query_of(request.headers, bytes(request.body))
        if status != 200:
            request.is_complete = True
            refusal = [(":status", str(status)), ("content-length", "0")]
            self._h2.send_headers(stream, refusal, end_stream=True)
            self._done(stream)
            return
        seen = self.core.see(self.scheme, query, self.number)
        faults = self.core.faults.take(seen)
        if faults.goaway:
            self._go_away(stream, faults)
        if faults.refuse_streams:
            self._h2.reset_stream(stream, faults.reset_code)
            self._done(stream)
        elif not faults.silent and stream <= self._last_stream:
            reply = self.core.reply(faults, seen)
            self.when_due(faults, lambda: self._respond(stream, faults, reply))

    def _go_away(self, stream: int, faults: Faults) -> None:
        """Send GOAWAY past the library, which would refuse to answer after it."""
        earlier = max(stream - 2, 0)
        self._last_stream = {"graceful": stream, "refuse": earlier, "zero": 0}[faults.goaway or "zero"]
        self._flush()
        self.write(GoAwayFrame(0, last_stream_id=self._last_stream, error_code=0).serialize())
        for refused in [number for number in self._streams if number > self._last_stream]:
            del self._streams[refused]
        self._closes = True

    def go_away(self) -> None:
        self._flush()
        self.write(GoAwayFrame(0, last_stream_id=_NO_LIMIT, error_code=0).serialize())

    def _respond(self, stream: int, faults: Faults, reply: bytes) -> None:
        if not self.is_open or (response := self._streams.get(stream)) is None:
            return
        if faults.close_mid and not faults.close_mid_octets:
            self._flush()
            self.end(faults.close_mid)
            return
        if faults.inject:
            self._flush()
            self.write(faults.inject)
        for _ in range(faults.informational):
            self._h2.send_headers(stream, [(":status", "103")])
        body = reply if faults.body is None else faults.body
        self._h2.send_headers(stream, response_headers(faults, reply, body))
        response.trailers = list(faults.trailers.items())
        response.ends = not faults.no_end_stream
        if faults.close_mid:
            response.out += body[: faults.close_mid_octets]
            self._pump(stream)
            self._flush()
            self.end(faults.close_mid)
        elif faults.drip_s:
            self.drip(faults, body, lambda octet: self._add(stream, octet), lambda: self._complete(stream))
        else:
            response.out += body
            self._complete(stream)

    def _add(self, stream: int, octets: bytes) -> None:
        if (response := self._streams.get(stream)) is not None:
            response.out += octets
            self._pump(stream)
            self._flush()

    def _complete(self, stream: int) -> None:
        if (response := self._streams.get(stream)) is not None:
            response.is_complete = True
            self._pump(stream)
            self._flush()
            self._close_if_done()

    def _pump(self, stream: int) -> None:
        """Send as much of a response as flow control lets through (RFC 9113 §5.2)."""
        if (response := self._streams.get(stream)) is None:
            return
        while response.out:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            piece = bytes(response.out[:room])
            del response.out[:room]
            is_last = response.is_complete and not response.out
            self._h2.send_data(stream, piece, end_stream=is_last and response.ends and not response.trailers)
            if is_last and response.ends and not response.trailers:
                self._done(stream)
                return
        if response.is_complete and response.ends:
            if response.trailers:
                self._h2.send_headers(stream, response.trailers, end_stream=True)
            else:
                self._h2.end_stream(stream)
            self._done(stream)

    def _done(self, stream: int) -> None:
        del self._streams[stream]
        if self.was_last_answer():
            self._give_up()

    def _give_up(self) -> None:
        """Answer nothing any more, and close."""
        self._streams.clear()
        self._last_stream = 0
        self._closes = True

    def _flush(self) -> None:
        self.write(self._h2.data_to_send())

    def _close_if_done(self) -> None:
        answering = any(number <= self._last_stream for number in self._streams)
        if self._closes and not answering:
            self.close()


def _settings(max_concurrent_streams: int) -> Settings:
    return Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: max_concurrent_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
        },
    )


def _text(octets: bytes | str) -> str:
    return octets if isinstance(octets, str) else octets.decode("latin-1")
