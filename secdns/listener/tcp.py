"""Answer DNS over TCP as RFC 7766 wants it: pipelined, out of order, one write per message.

    accept ──▶ Connection: octets ─Framer─▶ waiting ─┬─ cached() ──────────▶ frame ─▶ send
                                                     └─ submit() … deliver ─▶ frame ─▶ send

Sockets stand directly under the event loop's readers and writers, not under asyncio's streams or
transports. That is what lets ``accept`` shed load when descriptors run out, where asyncio would
sleep for a second each time (F19, M16), what makes the unread output exact (R5), and what saves a
task per connection. One timer serves all connections, and there is none while there are none.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf

from secdns.listener import Acl, Limits, Responder
from secdns.listener.connection import Connection
from secdns.stats import Stats

_LOG = logging.getLogger(__name__)

# Clients accepted in one callback of the loop: datagrams and upstreams want their turn (F33).
ACCEPTS_A_TURN = 64

# A listener that cannot accept and cannot shed either is left alone for this long.
LEAVE_ALONE_S = 1.0
# The same complaint is not written more often than this.
COMPLAIN_EVERY_S = 60.0

_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_OUT_OF_MEMORY = frozenset({errno.ENOBUFS, errno.ENOMEM})
_TC = 0x02  # in the third octet of a message (RFC 1035 §4.1.1)


@dataclass(slots=True)
class TCPCounters:
    """What has happened to connections since the start; queries are counted in ``Stats``."""

    accepted: int = 0  # connections that were let in
    refused: int = 0  # by the access list
    evicted: int = 0  # idle, closed to make room for a new one
    turned_away: int = 0  # no room, and none to be made
    shed: int = 0  # no descriptor left
    timed_out: int = 0  # first octet, whole message, idle, unread
    overrun: int = 0  # read too little of what they asked for
    malformed: int = 0  # length prefix below a DNS header


class TCPServer:
    """Every TCP listener of the daemon, with one set of limits over all of them.

    Belongs to the event loop that runs when ``listen`` is called. ``responder`` may be replaced
    at any time and takes effect with the next query.
    """

    def __init__(
        self,
        responder: Responder,
        *,
        clock: Callable[[], float],
        limits: Limits | None = None,
        stats: Stats | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        ``clock`` gives what ``Responder.cached`` wants as ``now``. Limits on time are kept with
        the clock of the event loop. ``stats`` is where queries and hits are counted.
        """
        self.responder = responder
        self.limits = limits or Limits()
        self.counters = TCPCounters()
        self.stats = stats or Stats()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[socket.socket, Acl | None] = {}
        self._left_alone: set[socket.socket] = set()
        # In order of use, the longest unused first.
        self._connections: dict[Connection, None] = {}
        self._in_flight = 0
        self._nothing_left = asyncio.Event()
        self._nothing_left.set()
        self._reserve: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._complained: dict[str, float] = {}

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Queries that are being answered now, those whose client has left included."""
        return self._in_flight

    def listen(self, sock: socket.socket, acl: Acl | None = None) -> None:
        """Accept clients from ``sock``, which listens and is non-blocking; the server owns it now.

        ``acl`` tells who may ask; None lets everyone in who can reach the address.
        """
        if self._reserve is None:
            self._reserve = _open_reserve()
        self._listeners[sock] = acl
        self._loop.add_reader(sock, self._accept, sock)

    def unlisten(self, sock: socket.socket) -> None:
        """Close one listener; clients that it has let in are served on."""
        del self._listeners[sock]
        self._left_alone.discard(sock)
        self._loop.remove_reader(sock)
        sock.close()
        if not self._listeners and self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        self._note_end()

    async def drain(self, deadline: float) -> None:
        """Stop accepting and reading, let what is in flight be answered, and close everything.

        At ``deadline``, in seconds of the loop's clock, or when this is cancelled, whatever is
        left is cut off. Nothing of the server is open afterwards (F32); the reply to a query that
        is still in flight then goes nowhere.
        """
        for sock in list(self._listeners):
            self.unlisten(sock)
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout_at(deadline):
                await self._nothing_left.wait()
        except TimeoutError:
            _LOG.info("tcp: %d queries were not answered in time to stop", self._in_flight)
        finally:
            for connection in list(self._connections):
                connection.abort()

    # Accepting.

    def _accept(self, listener: socket.socket) -> None:
        """Take in clients until there are no more or the turn is over."""
        acl = self._listeners[listener]
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    if not self._shed(listener):
                        return
                elif error.errno in _OUT_OF_MEMORY:
                    self._leave_alone(listener)
                    return
                # Else an error of the client's connection, which Linux reports here (accept(2)).
                continue
            if acl is not None and not acl.allows(peer[0]):
                self.counters.refused += 1
                sock.close()
            elif len(self._connections) >= self.limits.connections and not self._make_room():
                self.counters.turned_away += 1
                sock.close()
                self._complain("the limit of clients is reached, new ones are turned away")
            else:
                self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counters.accepted += 1
        connection = Connection(self, sock, self._loop)
        self._connections[connection] = None
        self._nothing_left.clear()
        connection.settle()

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, if one is quiet (RFC 7766 §6.2.3)."""
        quiet_since = self._loop.time() - self.limits.quiet_s
        for connection in self._connections:
            if connection.used_at > quiet_since:
                return False  # and the rest were used later still
            if connection.is_idle:
                self.counters.evicted += 1
                connection.close()
                return True
        return False

    def _shed(self, listener: socket.socket) -> bool:
        """Accept one client and close it at once, by way of the reserve descriptor.

        Left in the queue it would keep the listener readable and the loop spinning (F19). Gives
        whether there is any sense in going on.
        """
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            try:
                listener.accept()[0].close()
            except BlockingIOError:  # nobody there: accept() looks for a descriptor first
                self._reserve = _open_reserve()
                return False
            except OSError:
                self._leave_alone(listener)
            else:
                self.counters.shed += 1
            self._reserve = _open_reserve()
        self._complain("no descriptors left, new clients are turned away")
        if self._reserve is None:  # somebody else was faster
            self._leave_alone(listener)
        return listener not in self._left_alone

    def _leave_alone(self, listener: socket.socket) -> None:
        """Take the listener off the loop until the timer brings it back."""
        if listener not in self._left_alone:
            self._left_alone.add(listener)
            self._loop.remove_reader(listener)
            self.wake_at(self._loop.time() + LEAVE_ALONE_S)

    def _resume(self) -> None:
        """Bring back the listeners that were left alone."""
        if self._reserve is None and self._listeners:
            self._reserve = _open_reserve()
        for listener in self._left_alone:
            self._loop.add_reader(listener, self._accept, listener)
        self._left_alone.clear()

    def _complain(self, what: str) -> None:
        """Log that a limit is at work (RFC 9210 §4.2), without being made to flood the log."""
        now = self._loop.time()
        if now >= self._complained.get(what, -inf):
            self._complained[what] = now + COMPLAIN_EVERY_S
            _LOG.warning("tcp: %s (%d connections open)", what, len(self._connections))

    # What connections ask for.

    def ask(self, query: bytes, connection: Connection) -> bytes | None:
        """Give the reply at once, or None; then ``connection.answered`` gets it, perhaps at once."""
        self.stats.queries += 1
        held = self.responder.cached(query, self._clock())
        if isinstance(held, bytes):
            if not held[2] & _TC:
                self.stats.hits += 1
                return held
            held = None  # cut for a datagram and of no use here
        self._in_flight += 1
        self._nothing_left.clear()
        self.responder.submit(query, stream=True, deliver=partial(self._deliver, connection), asked=held)
        return None

    def _deliver(self, connection: Connection, reply: bytes | None) -> None:
        """Take one reply; the client may be gone."""
        self._in_flight -= 1
        connection.answered(reply)
        self._note_end()

    def touched(self, connection: Connection) -> None:
        """Note a message or a reply: the connection is now the one last used."""
        del self._connections[connection]
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """Note the end of a connection."""
        del self._connections[connection]
        self._note_end()

    def _note_end(self) -> None:
        if not self._connections:
            if not self._in_flight:
                self._nothing_left.set()
            if self._timer is not None and not self._left_alone:
                self._timer.cancel()
                self._timer = None

    # Time.

    def wake_at(self, when: float) -> None:
        """See to it that limits are looked at by ``when``; ``inf`` is no wish at all."""
        if when == inf or (self._timer is not None and self._timer.when() <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_the_time)

    def _look_at_the_time(self) -> None:
        """Close what has taken too long, and sleep until the next limit can be reached."""
        self._timer = None
        self._resume()
        now = self._loop.time()
        for connection in [each for each in self._connections if each.due_at() <= now]:
            self.counters.timed_out += 1
            connection.expire()
        next_at = min((connection.due_at() for connection in self._connections), default=inf)
        self.wake_at(max(next_at, now + self.limits.coarse_s))


def _open_reserve() -> int | None:
    """Open a descriptor that can be given up for a moment; None if there is none to be had."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
