"""Speak DNS over HTTPS with HTTP/2 (RFC 8484): one connection, one POST a query, many at a time.

All requests of one turn of the event loop leave in one write. Nothing is sent that tells who we
are: ID 0, no User-Agent, no cookies (threat E16). Redirects are never followed (threat E8).
"""

import asyncio
import collections
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error, StreamClosedError
from hyperframe.exceptions import HyperframeError

from secdns.endpoint import Endpoint
from secdns.errors import (
    ConnectionLost,
    Overloaded,
    ProtocolError,
    TransportError,
)
from secdns.transport import Lookup, Waiter
from secdns.transport.connection import Connection
from secdns.transport.conversation import Owner, again
from secdns.transport.doh import MAX_BODY, read_answer, request_headers
from secdns.transport.http2 import CONNECTION_WINDOW, Client, FrameCounter, Header
from secdns.transport.link import Link, Linked
from secdns.transport.reach import reach
from secdns.transport.tls import Identity

MAX_STREAMS: Final = 100  # in flight, whatever the server allows: Knot Resolver 5.6 allows 65,535, but puts
# answers on the wrong streams when more than 32 KB of requests come at once; 100 ordinary ones have 16 KB
ASSUMED_STREAMS: Final = 100  # until its SETTINGS say what it allows (RFC 9113 §6.5.2)
MAX_QUEUED: Final = 256  # requests that wait for a stream (threat R7)
MAX_INFORMATIONAL: Final = 8  # 1xx responses a stream (fact M14)
MAX_FRAMES: Final = 64  # a stream, and one more for each 512 octets of body (fact M14)
MAX_RESETS: Final = 100  # in RESET_WINDOW_S (threat E5)
RESET_WINDOW_S: Final = 10.0
MAX_NOISE: Final = 256  # frames that bring no answer, beside what the requests in flight explain
NOISE_WINDOW_S: Final = 10.0
FRAMES_PER_ANSWER: Final = 4  # HEADERS, DATA, and room for an empty DATA and a WINDOW_UPDATE
NOISE_CREDIT: Final = 16  # frames that a finished answer excuses
LAST_STREAM: Final = 2**31 - 1
SWEEP_EVERY: Final = 64  # requests


def open(endpoint: Endpoint, lookup: Lookup) -> "DoH2":
    """Give the transport; see ``secdns.transport.open_transport``."""
    return DoH2(endpoint, lookup)


class DoH2(Linked["DoH2Connection", Identity]):
    """The transport of ``https://``."""

    def __init__(self, endpoint: Endpoint, lookup: Lookup) -> None:
        super().__init__(endpoint, lookup, Identity(endpoint, "h2", alpn_required=True))

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        link = self._link
        while True:
            connection = link.current
            if connection is None:
                connection = await link.wait(deadline)
            future: asyncio.Future[bytes] = connection.loop.create_future()
            request = connection.ask(query, deadline, future)
            if request is None:
                continue
            try:
                return await future
            except asyncio.CancelledError:
                connection.forget(request)
                raise

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        connection = self._link.current
        if connection is None:
            return None
        try:
            request = connection.ask(query, deadline, waiter)
        except Overloaded:
            return None
        return None if request is None else partial(connection.forget, request)

    async def _connect(self, owner: Owner, deadline: float) -> "DoH2Connection":
        make = partial(DoH2Connection, self._endpoint, self._identity, self._link)
        return await reach(self._endpoint, self._lookup, deadline, make)


class _Request:
    """One query on its way: a stream, or a place in the queue while ``stream`` is 0."""

    __slots__ = ("body", "chunks", "deadline", "frames", "future", "headers", "informational", "query",
                 "received", "sent", "stream")  # fmt: skip

    def __init__(self, query: bytes, deadline: float, future: Waiter) -> None:
        self.query = query
        self.deadline = deadline
        self.future = future
        self.body = b"\0\0" + query[2:]  # RFC 8484 §4.1
        self.stream = 0
        self.sent = 0  # octets of the body
        self.headers: Iterable[Header] | None = None
        self.chunks: list[bytes] = []
        self.received = 0
        self.frames = 0
        self.informational = 0

    def body_received(self) -> bytes:
        chunks = self.chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class DoH2Connection(Connection):
    """One HTTP/2 connection."""

    def __init__(
        self, endpoint: Endpoint, identity: Identity, link: "Link[DoH2Connection]", peer: str
    ) -> None:
        super().__init__(identity, link, peer)
        self._link = link
        self._h2 = Client()
        self._counter = FrameCounter()
        self._headers = request_headers(endpoint)
        self._requests: dict[int, _Request] = {}  # by stream, in order
        self._queue: collections.deque[_Request] = collections.deque()
        self._blocked: dict[int, _Request] = {}  # by stream; their bodies wait for a window
        self._window_has_grown = False
        self._next_stream = 1
        self._max_streams = ASSUMED_STREAMS
        self._flush_is_due = False
        self._consumed = 0  # octets received since the connection's window was last opened
        self._resets: collections.deque[float] = collections.deque()
        self._noise = 0
        self._noise_since = 0.0

    # asking

    def ask(self, query: bytes, deadline: float, waiter: Waiter) -> _Request | None:
        """Send a query at the end of this turn, or queue it until there is a stream for it.

        None means that the connection takes no query any more: ask another.

        Raises:
            Overloaded: the queue is full.
        """
        if not self.accepting:
            return None
        has_stream = len(self._requests) < self._max_streams and not self._queue
        if not has_stream and len(self._queue) >= MAX_QUEUED:
            raise Overloaded(f"{len(self._queue)} queries wait for {self.peer} already")
        self.asked += 1
        request = _Request(query, deadline, waiter)
        if has_stream:
            self._start(request)
        else:
            self._queue.append(request)
        if deadline < self._alarm_at:
            self.watch(deadline)
        if self._doubt_timer is None:
            self.doubt()
        if self._link.quota is not None and self.asked >= self._link.quota:
            self.retire()
        return request

    def forget(self, request: _Request) -> None:
        """Give up a request that nobody waits for any more: its stream is free for another."""
        if self.error is not None:
            return
        if request.stream:
            if self._requests.get(request.stream) is request:
                self._drop(request, ErrorCodes.CANCEL)
                self._continue()
        elif request in self._queue:
            self._queue.remove(request)
        self._close_if_drained()

    def _start(self, request: _Request) -> None:
        stream = request.stream = self._next_stream
        self._next_stream = stream + 2
        self._requests[stream] = request
        request.sent = self._h2.request(stream, self._headers, request.body)
        if request.sent < len(request.body):
            self._send_body(request)
        if stream % (2 * SWEEP_EVERY) == 1:
            self._h2.sweep()
        if stream >= LAST_STREAM - 2:
            self.retire()
        self._flush_soon()

    def _send_body(self, request: _Request) -> None:
        """Send what the windows allow of the body, and the rest when they open (RFC 9113 §5.2)."""
        conn = self._h2
        body = request.body
        with contextlib.suppress(StreamClosedError):  # the answer, or a reset, is among the events to come
            while request.sent < len(body):
                room = min(conn.local_flow_control_window(request.stream), conn.max_outbound_frame_size)
                if room <= 0:
                    self._blocked[request.stream] = request
                    return
                until = min(request.sent + room, len(body))
                conn.send_data(request.stream, body[request.sent : until], end_stream=until == len(body))
                request.sent = until

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        data = self._h2.data_to_send()
        if data:
            self.send(data)

    # answers

    def opened(self) -> None:
        self._flush()  # preface and SETTINGS

    def received(self, data: bytes) -> None:
        self._flush()  # h2 forgets what it has not sent when GOAWAY comes
        try:
            if not self._is_bearable(self._counter.count(data)):
                return
            for event in self._h2.take(data):
                self._on_event(event)
                if self.error is not None:
                    return
        except (H2Error, HyperframeError, ValueError, LookupError, AssertionError) as error:
            self._flush()  # the GOAWAY that says why
            failure = ProtocolError(f"{self.peer} broke HTTP/2: {str(error).lower() or type(error).__name__}")
            failure.__cause__ = error
            self.fail(failure)
            return
        if self._window_has_grown:  # once for all the frames of this turn that say so
            self._window_has_grown = False
            self._send_blocked()
        if self._consumed >= CONNECTION_WINDOW // 4:
            self._h2.increment_flow_control_window(self._consumed)
            self._consumed = 0
        self._continue()
        self._flush()
        self._close_if_drained()

    def unanswered(self) -> Iterable[tuple[int, Waiter, float]]:
        for stream, request in self._requests.items():
            yield stream, request.future, request.deadline
        for request in self._queue:
            yield 0, request.future, request.deadline

    def expired(self, key: int) -> None:
        request = self._requests.get(key)
        if request is not None:
            self._drop(request, ErrorCodes.CANCEL)
        elif self._queue:
            self._queue = collections.deque(queued for queued in self._queue if not queued.future.done())
        self._continue()

    def _is_bearable(self, frames: int) -> bool:
        """Tell whether the server keeps to what the requests in flight explain (threat E5)."""
        if self._heard_at - self._noise_since > NOISE_WINDOW_S:
            self._noise_since = self._heard_at
            self._noise = 0
        self._noise += frames
        if self._noise <= MAX_NOISE + FRAMES_PER_ANSWER * len(self._requests):
            return True
        self.fail(ProtocolError(f"{self.peer} floods us with frames that bring no answer"))
        return False

    def _on_event(self, event: Event) -> None:
        """Act on what matters to us, the frequent first. Trailers, PING and unknown frames do not."""
        if isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, StreamEnded):
            self._on_end(event)
        elif isinstance(event, ResponseReceived):
            request = self._requests.get(event.stream_id or 0)
            if request is not None:
                request.headers = event.headers
        elif isinstance(event, WindowUpdated):
            self._window_has_grown = True
        elif isinstance(event, RemoteSettingsChanged):
            self._max_streams = min(self._h2.remote_settings.max_concurrent_streams, MAX_STREAMS)
            self._window_has_grown = True
        elif isinstance(event, StreamReset):
            self._on_reset(event)
        elif isinstance(event, ConnectionTerminated):
            self._on_goaway(event)
        elif isinstance(event, InformationalResponseReceived):
            self._on_informational(event)
        elif isinstance(event, RequestReceived):
            self.fail(ProtocolError(f"{self.peer} asks us something"))  # a server may not (RFC 9113 §8)

    def _on_informational(self, event: InformationalResponseReceived) -> None:
        request = self._requests.get(event.stream_id or 0)
        if request is not None:
            request.informational += 1
            if request.informational > MAX_INFORMATIONAL:
                self._refuse(request, f"sent over {MAX_INFORMATIONAL} informational responses")

    def _on_data(self, event: DataReceived) -> None:
        self._consumed += event.flow_controlled_length or 0
        request = self._requests.get(event.stream_id or 0)
        if request is None:
            return  # cancelled a moment ago
        data = event.data or b""
        request.received += len(data)
        request.frames += 1
        if request.received > MAX_BODY:
            self._refuse(request, f"sent a body of over {MAX_BODY} octets")
        elif request.frames > MAX_FRAMES + request.received // 512:
            self._refuse(request, "sent a body in too many pieces")
        else:
            request.chunks.append(data)

    def _on_end(self, event: StreamEnded) -> None:
        request = self._requests.get(event.stream_id or 0)
        if request is None:
            return
        answer, alt_svc, failure = b"", None, None
        try:
            answer, alt_svc = read_answer(
                request.query, request.headers or (), request.body_received(), self.peer
            )
        except TransportError as error:
            failure = error
        if not self.answered:
            self.heard_answer()
        self.answered += 1
        self._used_at = self._heard_at
        self._noise = max(self._noise - NOISE_CREDIT, 0)
        self._take(request.stream)  # only now: who is taken hears nothing of what went wrong before
        if request.sent < len(request.body):  # answered before it was asked in full
            self._drop(request, ErrorCodes.CANCEL)
        if request.future.done():
            return
        if failure is not None:
            request.future.set_exception(failure)
            return
        request.future.set_result(answer)
        self._link.answers()
        if alt_svc is not None:
            self._link.heard_alt_svc(alt_svc)

    def _on_reset(self, event: StreamReset) -> None:
        request = self._take(event.stream_id or 0)
        if not event.remote_reset:
            if request is not None and not request.future.done():
                request.future.set_exception(ProtocolError(f"{self.peer} broke a stream's flow control"))
            return
        self._resets.append(self._heard_at)
        while self._resets[0] < self._heard_at - RESET_WINDOW_S:
            self._resets.popleft()
        if request is not None and not request.future.done():
            if event.error_code == ErrorCodes.REFUSED_STREAM:  # safe to send again (RFC 9113 §8.7)
                request.future.set_exception(ConnectionLost(f"{self.peer} refused the stream"))
            else:
                code = getattr(event.error_code, "name", event.error_code)
                request.future.set_exception(ProtocolError(f"{self.peer} reset the stream: {code}"))
        if len(self._resets) > MAX_RESETS:
            error = ProtocolError(f"{self.peer} reset {len(self._resets)} streams in {RESET_WINDOW_S:.0f} s")
            self._link.blame(error)
            self.fail(error)

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        """Finish what the server will answer, and let go of the rest (RFC 9113 §6.8, fault F4)."""
        code = getattr(event.error_code, "name", event.error_code)
        lost = ConnectionLost(f"{self.peer} goes away: {str(code).lower()}")
        last = event.last_stream_id or 0
        self.was_sent_away = True
        self.retire()  # first, so that nobody comes back to us
        for stream in [stream for stream in self._requests if stream > last]:
            request = self._take(stream)
            if request is not None and not request.future.done():
                request.future.set_exception(again(lost))
        for request in self._queue:
            if not request.future.done():
                request.future.set_exception(again(lost))
        self._queue.clear()
        self._close_if_drained()

    def _send_blocked(self) -> None:
        blocked, self._blocked = self._blocked, {}
        for request in blocked.values():
            self._send_body(request)

    # streams

    def _take(self, stream: int) -> _Request | None:
        self._blocked.pop(stream, None)
        return self._requests.pop(stream, None)

    def _drop(self, request: _Request, code: ErrorCodes) -> None:
        """End a stream of ours before its end."""
        self._take(request.stream)
        if self.error is None:
            with contextlib.suppress(StreamClosedError):  # its end is among the events to come
                self._h2.reset_stream(request.stream, code)
            self._flush_soon()

    def _refuse(self, request: _Request, words: str) -> None:
        self._drop(request, ErrorCodes.CANCEL)
        if not request.future.done():
            request.future.set_exception(ProtocolError(f"{self.peer} {words}"))

    def _continue(self) -> None:
        """Give freed streams to who waits for them."""
        while self._queue and len(self._requests) < self._max_streams and self.error is None:
            request = self._queue.popleft()
            if not request.future.done():
                self._start(request)

    def _close_if_drained(self) -> None:
        if not self.accepting and self.error is None and self.is_drained():
            self.close()
