"""Speak plain DNS to a resolver on one's own network: that of a ``[[route]]`` or of a link, no other.

Over UDP each query has a fresh socket, so a fresh port, and a fresh random ID. What does not fit
is thrown away and the wait goes on until the deadline: whoever can forge packets must not be able
to end it (threats C1 and C2). A truncated answer is asked for again over TCP (RFC 7766 §5).
"""

import asyncio
import secrets
import socket
from typing import Final

from secdns.dns.framing import Framer, frame
from secdns.dns.peek import reply_matches
from secdns.endpoint import Endpoint
from secdns.errors import (
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    FormatError,
    Overloaded,
    ProtocolError,
    TransportError,
)
from secdns.transport import Facts, Lookup, Waiter
from secdns.transport.dial import addresses_of, dial, open_socket, words_for

RETRANSMIT_S: Final = (1.0, 2.0)  # after each of the first sends; packets get lost
SHORT_S: Final = 1.0  # with less time than this left …
SHORT_RETRANSMIT_S: Final = (0.1, 0.15)  # … after these
REFUSED_RETRY_S: Final = 0.05  # one ICMP error proves nothing, two say that nobody is there
MAX_REFUSALS: Final = 2
MAX_IN_FLIGHT: Final = 256  # each holds a descriptor
MAX_DATAGRAM: Final = 65535
MAX_MISFITS: Final = 32  # datagrams thrown away before others get a turn of the event loop
_TC: Final = 0x02  # in the third octet


def open(endpoint: Endpoint, lookup: Lookup) -> "Do53":
    """Give the transport; see ``secdns.transport.open_transport``."""
    return Do53(endpoint, lookup)


class Do53:
    """The transport of ``udp://`` and ``tcp://``."""

    def __init__(self, endpoint: Endpoint, lookup: Lookup) -> None:
        self._endpoint = endpoint
        self._lookup = lookup
        self._running: dict[asyncio.Timeout, asyncio.Future[None]] = {}  # done when the exchange is
        self._dropped: set[asyncio.Timeout] = set()
        self._exchanges = 0
        self._peer: str | None = None
        self._is_closed = False

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        if self._is_closed:
            raise ConnectionLost("the transport is closed")
        if len(self._running) >= MAX_IN_FLIGHT:
            raise Overloaded(f"{len(self._running)} queries to {self._endpoint.url} are unanswered already")
        timeout = asyncio.timeout_at(deadline)
        ended = self._running[timeout] = asyncio.get_running_loop().create_future()
        try:
            async with timeout:
                answer = await self._exchange(query, deadline)
        except TimeoutError:
            if timeout in self._dropped:
                raise ConnectionLost(f"the query to {self._endpoint.url} was dropped") from None
            raise DeadlineExceeded(f"{self._endpoint.url} did not answer in time") from None
        except OSError as error:
            raise ConnectError(f"cannot ask {self._endpoint.url}: {words_for(error)}") from error
        finally:
            del self._running[timeout]
            ended.set_result(None)
            self._dropped.discard(timeout)
        self._exchanges += 1
        return answer

    async def connect(self, deadline: float) -> None:
        """Each query connects for itself."""

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> None:
        return None  # each query has a socket of its own, and making that takes a task

    def reset(self) -> None:
        now = asyncio.get_running_loop().time()
        for timeout in self._running:
            self._dropped.add(timeout)
            timeout.reschedule(now)

    def hang_up(self) -> None:
        """Each query has a socket of its own, and a deadline."""

    def forgive(self) -> None:
        """There is nothing that it remembers."""

    def facts(self) -> Facts:
        return Facts(peer=self._peer, exchanges=self._exchanges)

    async def aclose(self) -> None:
        self._is_closed = True
        self.reset()
        if self._running:
            await asyncio.wait(self._running.values())

    async def _exchange(self, query: bytes, deadline: float) -> bytes:
        addresses = await addresses_of(self._endpoint, self._lookup, deadline)
        if self._endpoint.scheme == "udp":
            answer = await self._ask_each(addresses, query, deadline)
            if not answer[2] & _TC:
                return answer
        return await self._ask_tcp(addresses, query, deadline)

    async def _ask_each(self, addresses: tuple[str, ...], query: bytes, deadline: float) -> bytes:
        """Ask the addresses one after the other over UDP; each gets its share of the time left."""
        loop = asyncio.get_running_loop()
        failure: TransportError = DeadlineExceeded(f"{self._endpoint.url} did not answer in time")
        for left in range(len(addresses), 0, -1):
            address = addresses[-left]
            until = loop.time() + (deadline - loop.time()) / left
            try:
                return await self._ask_udp(address, query, until)
            except ConnectError as error:
                failure = error
            except TimeoutError:
                continue
            except OSError as error:  # no way to this address, perhaps to the next
                failure = ConnectError(f"cannot ask {address}: {words_for(error)}")
                failure.__cause__ = error
        raise failure

    async def _ask_udp(self, address: str, query: bytes, until: float) -> bytes:
        loop = asyncio.get_running_loop()
        with open_socket(address, socket.SOCK_DGRAM, self._endpoint.link) as opened:
            opened.connect((address, self._endpoint.port))  # only datagrams from there are let in
            self._peer = address
            asked = secrets.token_bytes(2) + query[2:]
            refusals = 0
            waits = SHORT_RETRANSMIT_S if until - loop.time() < SHORT_S else RETRANSMIT_S
            for wait_s in (*waits, None):
                again_at = until if wait_s is None else min(until, loop.time() + wait_s)
                try:
                    opened.send(asked)
                    async with asyncio.timeout_at(again_at):
                        return query[:2] + await _matching(opened, asked)
                except ConnectionRefusedError as error:
                    refusals += 1
                    if refusals == MAX_REFUSALS:
                        raise ConnectError(
                            f"nobody answers at {address} port {self._endpoint.port}"
                        ) from error
                    await asyncio.sleep(REFUSED_RETRY_S)
                except BlockingIOError:  # our own buffers are full
                    await asyncio.sleep(REFUSED_RETRY_S)
                except TimeoutError:
                    if again_at >= until:
                        raise
            raise TimeoutError

    async def _ask_tcp(self, addresses: tuple[str, ...], query: bytes, deadline: float) -> bytes:
        loop = asyncio.get_running_loop()
        link = self._endpoint.link
        stream = await dial(addresses, self._endpoint.port, deadline, _Stream.wrap, link=link)
        with stream.opened as opened:
            self._peer = stream.peer
            asked = secrets.token_bytes(2) + query[2:]
            framer = Framer()
            try:
                await loop.sock_sendall(opened, frame(asked))
                messages: list[bytes] = []
                while not messages:
                    data = await loop.sock_recv(opened, MAX_DATAGRAM)
                    if not data:
                        raise ConnectionLost(f"{stream.peer} closed the connection")
                    messages = framer.feed(data)
            except FormatError as error:
                raise ProtocolError(f"{stream.peer} broke DNS over TCP: {error}") from error
            except OSError as error:
                raise ConnectionLost(f"connection to {stream.peer} was lost: {words_for(error)}") from error
        wire = messages[0]
        if wire[:2] != asked[:2] or not reply_matches(query, wire):
            raise ProtocolError(f"{stream.peer} answered another question")
        return query[:2] + wire[2:]


class _Stream:
    """An open TCP socket on its way from the dialler to who asked for it."""

    def __init__(self, opened: socket.socket, peer: str) -> None:
        self.opened = opened
        self.peer = peer

    @classmethod
    async def wrap(cls, opened: socket.socket, peer: str) -> "_Stream":
        return cls(opened, peer)

    def abort(self) -> None:
        self.opened.close()


async def _matching(opened: socket.socket, asked: bytes) -> bytes:
    """Wait for the datagram that answers ``asked`` and give it without its ID (threat C2)."""
    loop = asyncio.get_running_loop()
    while True:
        for _ in range(MAX_MISFITS):
            wire = await loop.sock_recv(opened, MAX_DATAGRAM)
            if wire[:2] == asked[:2] and reply_matches(asked, wire):
                return wire[2:]
        await asyncio.sleep(0)  # sock_recv does not wait while there is something: a flood would hold us here
