"""Answer datagrams: the hit path of secdns, about as much the kernel's work as ours.

asyncio's datagram transport costs three times as much per query, so this reads the socket
itself: drained in a loop at each wake-up, finished replies straight from ``Cache.hot``, no task
and no await for an answer that is held.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from functools import partial

from secdns.cache import Cache, Missed
from secdns.listener import Acl, Responder
from secdns.stats import Stats

_LOG = logging.getLogger(__name__)

DATAGRAMS_A_TURN = 64  # then the event loop gets a turn: TCP and upstreams live on it too
MAX_QUERY = 4096  # octets; a longer datagram is cut here and is malformed anyway
MAX_IN_FLIGHT = 8192  # queries being answered; above, datagrams are dropped as a full kernel queue would

_Address = tuple[str, int] | tuple[str, int, int, int]


class UDPServer:
    """Every UDP listener of the daemon. Belongs to the event loop that runs when it is made.

    ``clock`` gives the seconds of the cache. ``cache`` is the one that ``responder`` fills.
    """

    def __init__(
        self, responder: Responder, cache: Cache, *, clock: Callable[[], float], stats: Stats | None = None
    ) -> None:
        self.responder = responder
        self._cache = cache
        self._clock = clock
        self._stats = stats or Stats()
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._in_flight = 0
        self._unsent: list[tuple[socket.socket, bytes, _Address]] = []
        self._drained: asyncio.Event | None = None

    @property
    def in_flight(self) -> int:
        """Queries that are being answered now."""
        return self._in_flight

    def listen(self, sock: socket.socket, acl: Acl | None = None) -> None:
        """Serve ``sock``, which is bound and non-blocking; the server owns it now.

        ``acl`` tells who may ask; None lets everyone in who can reach the address.
        """
        self._sockets.append(sock)
        self._loop.add_reader(sock, self._drain_socket, sock, acl)

    def unlisten(self, sock: socket.socket) -> None:
        """Stop reading; what is in flight is still answered from this socket, which closes later."""
        self._loop.remove_reader(sock)

    def _drain_socket(self, sock: socket.socket, acl: Acl | None) -> None:
        """Read what has arrived, at most 64 datagrams, and answer or begin to answer each."""
        now = self._clock()
        cache = self._cache
        cache.tick(now)
        hot = cache.hot
        cached = self.responder.cached
        recvfrom = sock.recvfrom
        sendto = sock.sendto
        hits = received = 0
        for _ in range(DATAGRAMS_A_TURN):
            try:
                query, address = recvfrom(MAX_QUERY)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:  # Linux reports a client's ICMP here; the socket is fine
                _LOG.debug("udp: %s", error)
                continue
            received += 1
            if acl is not None and not acl.allows(address[0]):
                self._stats.drops += 1
                continue
            tail = hot.get(query[2:])
            if tail is not None:
                reply = query[:2] + tail
            else:
                held = cached(query, now)
                if not isinstance(held, bytes):
                    self._begin(sock, query, address, held)
                    continue
                reply = held
            hits += 1
            try:
                sendto(reply, address)
            except OSError as error:  # a full buffer, or a client that is gone: as good as lost on the way
                _LOG.debug("udp: %s", error)
        self._stats.queries += received
        self._stats.hits += hits

    def _begin(self, sock: socket.socket, query: bytes, address: _Address, asked: Missed | None) -> None:
        if self._in_flight >= MAX_IN_FLIGHT:
            self._stats.drops += 1
            return
        self._in_flight += 1
        deliver = partial(self._deliver, sock, address)
        self.responder.submit(query, stream=False, deliver=deliver, asked=asked)

    def _deliver(self, sock: socket.socket, address: _Address, reply: bytes | None) -> None:
        """Take one reply; while others are in flight it waits for those that come in the same turn.

        A client that waits for many is woken once for all of them, not once for each, and it is we who
        pay for its wake-ups.
        """
        self._in_flight -= 1
        unsent = self._unsent
        if reply is not None:
            if not unsent and self._in_flight:
                self._loop.call_soon(self._flush)
            unsent.append((sock, reply, address))
        if not self._in_flight:
            self._flush()
            if self._drained is not None:
                self._drained.set()

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        for sock, reply, address in unsent:
            try:
                sock.sendto(reply, address)
            except OSError as error:
                _LOG.debug("udp: %s", error)

    async def drain(self, deadline: float) -> None:
        """Stop reading, let what is in flight be answered until ``deadline``, and close everything.

        ``deadline`` is in seconds of the loop's clock; what is left then gets no answer.
        """
        for sock in self._sockets:
            self.unlisten(sock)
        if self._in_flight:
            self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._drained.wait()
            self._flush()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
