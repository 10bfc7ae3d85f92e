"""One connection of the local API: one request, one reply, or a stream until somebody goes away.

HTTP/1.1 by h11, which is here for proxies anyway: it checks what is sent and does no I/O. Loaded it takes
0.5 MB and 20 ms; Starlette on uvicorn takes 9 MB and 150 ms (CPython 3.11, measured side by side) and brings
a runner, logging and signal handling that the daemon has of its own. A connection is not kept for a second
request: another one on a Unix socket costs nothing, and what is closed needs no idle limit.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final, Protocol, cast

import h11

from secdns import __version__
from secdns.control.doors import Door
from secdns.control.key import PROOF_HEADER
from secdns.control.peers import Peer, peer_of
from secdns.control.requests import Reply, Request, Stream, refusal, respond
from secdns.control.schema import Daemon, Steps
from secdns.control.streams import Streams
from secdns.errors import ControlError

MAX_HEAD: Final = 16_384  # octets of the request line and the headers (threat L6) …
MAX_BODY: Final = 65_536  # … and of the body
PATIENCE_S: Final = 10.0  # for the whole request, and for the reply to be taken
MAX_UNREAD: Final = 262_144  # octets that a reader of a stream may be behind
STREAM_TYPES: Final = "text/event-stream"

# For a browser that gets here somehow: nothing of this is a page (threat L4).
_HEADERS: Final = (
    ("Server", f"secdns/{__version__}"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Connection", "close"),
)


class Host(Protocol):
    """What a connection needs of the server."""

    daemon: Daemon
    door: Door
    streams: Streams

    def admit(self, connection: "Connection", peer: Peer | None) -> bool:
        """Take a connection in, or say that there are too many."""

    def may_change(self, peer: Peer | None) -> bool:
        """Tell whether ``peer`` may change things."""

    def leave(self, connection: "Connection") -> None:
        """Take note that it is over."""


class Connection(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._received = 0
        self._waiting: asyncio.Task[Reply] | None = None
        self._is_asked = False  # a whole request has come
        self._answered = False
        self._streaming = False
        self._proof = ""
        self.may_change = False
        self.peer: Peer | None = None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = cast(socket.socket, transport.get_extra_info("socket"))
        self.peer = peer_of(sock)
        self.may_change = self._host.may_change(self.peer)
        self._timer = self._loop.call_later(PATIENCE_S, self._too_slow)
        if not self._host.admit(self, self.peer):
            self._refuse("too many connections at once, try again in a moment", "too-many")

    def data_received(self, data: bytes) -> None:
        if self._is_asked or self._answered:  # of what comes too late or too much nothing is kept
            return
        self._received += len(data)
        try:
            self._http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                self._head_too_large()
            else:
                self._refuse(f"this is no HTTP request: {error}", "bad-request")

    def eof_received(self) -> bool:
        if self._streaming or not self._answered:
            self._transport.abort()  # a half-sent request has no effect
        return True  # else asyncio closes before the reply is out

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
        self._answered = True
        self._host.streams.drop(self)
        self._host.leave(self)

    # the request

    def _read(self) -> None:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._head = event
                if self._received - len(self._http.trailing_data[0]) > MAX_HEAD:  # h11 minds only half of one
                    self._head_too_large()
                    return
                if self._http.they_are_waiting_for_100_continue:
                    self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY:
                    self._refuse(f"a body of over {MAX_BODY} octets", "too-large")
                    return
            elif isinstance(event, h11.EndOfMessage) and self._head is not None:
                self._respond(_request(self._head, bytes(self._body)))
                return
            else:
                return

    def _respond(self, request: Request) -> None:
        self._is_asked = True
        try:
            self._proof = self._host.door.admit(request.headers)
        except ControlError as error:
            self._reply(refusal(error))
            return
        self.may_change |= self._host.door.is_for_owners
        self._go_on(request, respond(request, self._host.daemon, self.may_change))

    def _go_on(self, request: Request, steps: Steps[Reply | Stream | Coroutine[None, None, Reply]]) -> None:
        """Take the next step; whatever was begun is done, also for one who has gone away."""
        try:
            next(steps)
        except StopIteration as end:
            self._finish(request, end.value)
        else:
            self._loop.call_soon(self._go_on, request, steps)

    def _finish(self, request: Request, made: Reply | Stream | Coroutine[None, None, Reply]) -> None:
        if isinstance(made, Coroutine):
            self._waiting = self._loop.create_task(made)
            self._waiting.add_done_callback(partial(self._waited, request))
            return
        if self._transport.is_closing():
            return
        if isinstance(made, Reply):
            self._reply(made)
        elif self._host.streams.is_full:
            self._refuse("too many listen already", "too-many")
        else:
            self._stream(made)
        if request.method == "POST":
            self._host.streams.look()

    def _waited(self, request: Request, task: asyncio.Task[Reply]) -> None:
        self._waiting = None
        if not task.cancelled():
            self._finish(request, task.result())

    # the reply

    def _refuse(self, text: str, code: str) -> None:
        self._reply(refusal(ControlError(text, code=code)))

    def _head_too_large(self) -> None:
        self._refuse(f"a request head of over {MAX_HEAD} octets", "head-too-large")

    def _reply(self, reply: Reply) -> None:
        if self._answered:
            return
        self._answered = True
        headers = [*self._headers(), ("Content-Type", reply.media_type)]
        headers.append(("Content-Length", str(len(reply.body))))
        if reply.status == 401:
            headers.append(("WWW-Authenticate", 'Bearer realm="secdns"'))
        response = h11.Response(status_code=reply.status, headers=headers)
        octets = self._send(response) + self._send(h11.Data(reply.body)) + self._send(h11.EndOfMessage())
        self._write(octets)
        self._transport.close()

    def _headers(self) -> list[tuple[str, str]]:
        return [*_HEADERS, (PROOF_HEADER, self._proof)] if self._proof else [*_HEADERS]

    def _stream(self, stream: Stream) -> None:
        self._answered = self._streaming = True
        self._timer.cancel()
        head = h11.Response(status_code=200, headers=[*self._headers(), ("Content-Type", STREAM_TYPES)])
        self._write(self._send(head))
        begin: dict[str, Callable[[Connection], None]] = {
            "events": self._host.streams.add,
            "log": self._host.streams.add_log,
        }
        begin[stream](self)

    def send(self, octets: bytes) -> None:
        """Take one event of a stream; whoever is too far behind is dropped."""
        if self._transport.is_closing():
            return
        self._write(self._send(h11.Data(octets)))
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._transport.abort()

    def _send(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""

    def _write(self, octets: bytes | None) -> None:
        if octets and not self._transport.is_closing():
            self._transport.write(octets)

    def _too_slow(self) -> None:
        """End what takes too long: a request that does not come, a reply that is not taken."""
        if self._answered:
            self._transport.abort()
            return
        self._timer = self._loop.call_later(PATIENCE_S, self._too_slow)
        self._refuse(f"no whole request within {PATIENCE_S:.0f} s", "too-slow")

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()


def _request(head: h11.Request, body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode("latin-1"), head.target.decode("latin-1"), headers, body)
