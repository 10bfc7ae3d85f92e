"""One accepted connection of a testing upstream: its number, its timers and its end."""

import asyncio
import ctypes
import socket
import ssl
import struct
from abc import abstractmethod
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import ClassVar, Literal, cast

from secdns.testing.core import Core, Handshake
from secdns.testing.faults import Faults

SO_ATTACH_FILTER = 26  # of Linux; Python has no name for it
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
RETURN = 6  # the instruction of a classic BPF program


class Served:
    """A server's side of a connection, whatever carries it.

    ``closed`` is set when the connection is gone; no timer of it runs after that.
    """

    ALPN: ClassVar[tuple[str, ...]] = ()

    def __init__(self, core: Core, scheme: str, number: int) -> None:
        self.core = core
        self.scheme = scheme
        self.number = number
        self.answers = 0
        self.closed = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Tell whether anything can still be written."""

    @abstractmethod
    def abort(self, *, reset: bool = False) -> None:
        """Close at once; if ``reset``, as rudely as the protocol allows."""

    @abstractmethod
    def close(self) -> None:
        """Close in order."""

    @abstractmethod
    def forget(self) -> None:
        """Be deaf and dumb from now on, as if the connection had never been."""

    def go_away(self) -> None:
        """Say that no new request is welcome, where the protocol has words for it."""

    def end(self, how: Literal["fin", "rst", "goaway", "forget"]) -> None:
        """End the connection the way a fault wants it."""
        match how:
            case "rst":
                self.abort(reset=True)
            case "forget":
                self.forget()
            case _:
                if how == "goaway":
                    self.go_away()
                self.close()

    def used(self) -> None:
        """Let the idle limit begin anew."""
        if self._idle is not None:
            self._idle.cancel()
            self._timers.discard(self._idle)
            self._idle = None
        if self.core.faults.idle_s is not None and self.is_open:
            self._idle = self.later(self.core.faults.idle_s, lambda: self.end(self.core.faults.idle_end))

    def later(self, delay_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """Call ``act`` after ``delay_s`` seconds, but never on a connection that is gone."""

        def fire() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(delay_s, fire)
        self._timers.add(timer)
        return timer

    def when_due(self, faults: Faults, act: Callable[[], None]) -> None:
        """Answer now, after the delay, or when the test says so."""
        if faults.hold:
            self.core.held.append(act)
        elif faults.delay_s:
            self.later(faults.delay_s, act)
        else:
            act()

    def drip(
        self, faults: Faults, data: bytes, send: Callable[[bytes], None], done: Callable[[], None]
    ) -> None:
        """Send ``data`` an octet at a time, then call ``done``."""
        if not self.is_open:
            return
        if not data:
            done()
            return
        send(data[:1])
        self.later(faults.drip_s, lambda: self.drip(faults, data[1:], send, done))

    def was_last_answer(self) -> bool:
        """Count an answer, and tell whether the connection may give no other."""
        self.answers += 1
        self.used()
        limit = self.core.faults.close_after
        return limit is not None and self.answers >= limit

    def is_gone(self) -> None:
        """Take note that nothing is left of the connection."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.core.open.discard(self)
        self.closed.set()


class Connection(Served, asyncio.Protocol):
    """A connection over TCP; subclasses speak the protocol."""

    def __init__(self, core: Core, scheme: str, number: int) -> None:
        super().__init__(core, scheme, number)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.core.open.add(self)
        tls = transport.get_extra_info("ssl_object")
        if isinstance(tls, ssl.SSLObject):
            name = self.core.server_names.get(tls)
            self.core.handshakes.append(
                Handshake(
                    self.scheme,
                    self.number,
                    tls.version(),
                    tls.selected_alpn_protocol(),
                    name,
                    bool(tls.session_reused),
                )
            )
        self.used()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.is_gone()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send octets, unless the connection is closing."""
        if self._transport is not None and data and not self._transport.is_closing():
            self._transport.write(data)

    def acknowledge(self) -> None:
        """Have the kernel acknowledge at once what arrived: a test's clock may jump over its usual 40 ms."""
        if self._transport is not None and QUICKACK is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)

    def close(self) -> None:
        """What was written goes out, TLS says goodbye, then FIN."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, *, reset: bool = False) -> None:
        if self._transport is None:
            return
        if reset:
            linger_not(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def forget(self) -> None:
        if self._transport is not None:
            deafen(self._transport.get_extra_info("socket"))


def deafen(sock: socket.socket | TransportSocket) -> None:
    """Let the kernel drop whatever comes to a socket, so that not even an acknowledgement goes out."""
    drop = ctypes.create_string_buffer(struct.pack("HBBI", RETURN, 0, 0, 0))  # one instruction: keep 0 octets
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(drop)))


def linger_not(sock: socket.socket | TransportSocket) -> None:
    """Make the socket's close send RST and drop what was not sent."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
