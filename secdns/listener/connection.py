"""One TCP client: octets in, replies out, and the limits that keep it harmless.

Sockets stand directly under the event loop here; tcp.py says why.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from math import inf
from typing import TYPE_CHECKING

from secdns.dns.framing import Framer, frame
from secdns.errors import FormatError

if TYPE_CHECKING:
    from secdns.listener.tcp import TCPServer

# Work done in one callback of the loop, so that datagrams and upstreams get their turn (F33).
MESSAGES_A_TURN = 64
READ_OCTETS = 16_384

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, no time at all


class Connection:
    """One client. Reads only while it may take on more: that is what holds a flood back (R5)."""

    __slots__ = (
        "_eof",
        "_fd",
        "_framer",
        "_in_flight",
        "_is_closed",
        "_loop",
        "_partial_since",
        "_reading",
        "_server",
        "_sock",
        "_unsent",
        "_unsent_since",
        "_waiting",
        "_work_is_due",
        "used_at",
    )

    def __init__(self, server: "TCPServer", sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._framer = Framer()
        self._waiting: deque[bytes] = deque()  # whole messages nobody has looked at
        self._in_flight = 0
        self._unsent = bytearray()  # beyond what the kernel took
        self._unsent_since = 0.0
        self._eof = False  # nothing more is read: the client has said its last word, or we stop
        self._is_closed = False
        self._reading = False
        self._work_is_due = False
        self.used_at = loop.time()
        # A connection without a first octet is a message that does not begin.
        self._partial_since: float | None = self.used_at

    @property
    def is_idle(self) -> bool:
        """Tell whether the client waits for nothing; half a message does not count."""
        return not (self._in_flight or self._waiting or self._unsent)

    def due_at(self) -> float:
        """Give the time at which a limit is reached if nothing happens; ``inf`` if none applies."""
        limits = self._server.limits
        if self._unsent:
            return self._unsent_since + limits.idle_s
        if self._in_flight or self._waiting:
            return inf
        if self._partial_since is None:
            return self.used_at + limits.idle_s
        nothing_yet = not self._framer.buffered
        return self._partial_since + (limits.first_octet_s if nothing_yet else limits.message_s)

    def settle(self) -> None:
        """Bring reading, work and timer into line with the state; called after every change."""
        if self._is_closed:
            return
        is_full = bool(self._in_flight >= self._server.limits.pipelined or self._unsent)
        if self._waiting and not is_full and not self._work_is_due:
            self._work_is_due = True
            self._loop.call_soon(self._work)
        if self._eof and self.is_idle:
            self.close()
            return
        self._read(not (is_full or self._waiting or self._eof))
        self._server.wake_at(self.due_at())

    def finish(self) -> None:
        """Read no more; close as soon as what was asked is answered and sent."""
        self._eof = True
        self.settle()

    def close(self) -> None:
        """Close now. What the kernel has taken still reaches the client."""
        if self._is_closed:
            return
        self._is_closed = True
        self._read(False)
        if self._unsent:
            self._loop.remove_writer(self._fd)
        self._sock.close()
        self._waiting.clear()
        self._unsent.clear()
        self._server.closed(self)

    def abort(self) -> None:
        """Close now and let the kernel drop what the client has not read."""
        if not self._is_closed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()

    def expire(self) -> None:
        """Close because a limit on time is reached."""
        if self._unsent:
            self.abort()
        else:
            self.close()

    def _use(self) -> None:
        self.used_at = self._loop.time()
        self._server.touched(self)

    # In.

    def _read(self, wanted: bool) -> None:
        if wanted == self._reading:
            return
        self._reading = wanted
        if not wanted:
            self._loop.remove_reader(self._fd)
            return
        self._loop.add_reader(self._fd, self._readable)
        if self._partial_since is not None:
            self._partial_since = self._loop.time()  # while we did not read, it was not the client's fault

    def _readable(self) -> None:
        try:
            data = self._sock.recv(READ_OCTETS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # reset: the client is gone
            self.close()
            return
        if not data:
            self.finish()  # perhaps it closed its sending half only and still listens
            return
        had_part = self._framer.buffered > 0
        try:
            messages = self._framer.feed(data)
        except FormatError:
            self._server.counters.malformed += 1
            self.close()
            return
        if messages:
            self._waiting.extend(messages)
            self._use()
        if not self._framer.buffered:
            self._partial_since = None
        elif messages or not had_part:
            self._partial_since = self._loop.time()
        self._work()

    def _work(self) -> None:
        """Ask for as many waiting messages as the limits and the turn allow."""
        self._work_is_due = False
        pipelined = self._server.limits.pipelined
        for _ in range(MESSAGES_A_TURN):
            if not self._waiting or self._unsent or self._in_flight >= pipelined:
                break
            self._in_flight += 1
            reply = self._server.ask(self._waiting.popleft(), self)
            if reply is not None:
                self._in_flight -= 1
                self._send(reply)
        self.settle()

    # Out.

    def answered(self, reply: bytes | None) -> None:
        """Take the reply to one query that was in flight; None is no reply."""
        self._in_flight -= 1
        if self._is_closed:
            return
        self._use()
        if reply is not None:
            self._send(reply)
        self.settle()

    def _send(self, reply: bytes) -> None:
        """Write length and message in one piece (RFC 7766 §8), or as much as the kernel takes."""
        data = frame(reply)
        sent = 0
        if not self._unsent:
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:  # the client is gone
                self.close()
                return
            if sent == len(data):
                return
            self._unsent_since = self._loop.time()
            self._loop.add_writer(self._fd, self._writable)
        self._unsent += data[sent:]
        if len(self._unsent) > self._server.limits.unread_octets:
            self._server.counters.overrun += 1
            self.abort()

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._fd)
            self._use()
            self.settle()
