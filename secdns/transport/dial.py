"""Get an open socket to one of an upstream's addresses."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from secdns.endpoint import Endpoint
from secdns.errors import AuthenticationError, ConnectError, DeadlineExceeded, ProtocolError, TransportError
from secdns.transport import Lookup

STAGGER_S: Final = 0.25  # head start of each address over the next (RFC 8305 §5, fault F35)
HANDSHAKE_HEAD_START_S: Final = 1.0  # once TCP is open, the same: TLS needs one or two round trips more
MAX_ADDRESSES: Final = 8  # sockets open at once for one connection
USER_TIMEOUT_MS: Final = 5000  # then unacknowledged octets end the connection (fault F2)
# We close a quiet connection before this begins; a program that is stopped or hangs does not.
KEEPALIVE: Final = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class Abortable(Protocol):
    """A connection that can be thrown away at once."""

    def abort(self) -> None: ...


T = TypeVar("T", bound=Abortable)
Finish = Callable[[socket.socket, str], Awaitable[T]]
Connect = Callable[[str, int], Awaitable[socket.socket]]


async def addresses_of(endpoint: Endpoint, lookup: Lookup, deadline: float) -> tuple[str, ...]:
    """Give the IP literals to dial, asking ``lookup`` only if the endpoint brings none.

    Raises:
        TransportError: as ``lookup`` does; ConnectError also if it finds nothing.
    """
    addresses = endpoint.addresses or ((endpoint.host,) if endpoint.is_ip else ())
    if not addresses:
        addresses = await lookup(endpoint.host, deadline)
    if not addresses:
        raise ConnectError(f"no address is known for {endpoint.host}")
    return addresses[:MAX_ADDRESSES]


async def dial(
    addresses: Sequence[str],
    port: int,
    deadline: float,
    finish: Finish[T],
    kind: socket.SocketKind = socket.SOCK_STREAM,
    *,
    through: Connect | None = None,
    link: str = "",
    stagger_s: float = STAGGER_S,
) -> T:
    """Connect a socket to the addresses in order and give what ``finish`` makes of the first that works.

    Each address has a head start of ``stagger_s`` over the next; a failure starts the next at once.
    ``through`` gives the open socket in the place of connecting one here, and raises ConnectError.
    ``link`` is the interface to leave by, "" for any.
    ``finish`` gets the open socket and the address, and owns the socket from then on: it closes
    it when it fails, also when it is cancelled because another address won.

    Raises:
        DeadlineExceeded: none worked in time.
        AuthenticationError, ProtocolError, ConnectError: all failed; the most telling failure.
    """
    attempts: list[_Attempt[T]] = []
    waiting = list(addresses)
    winner: _Attempt[T] | None = None
    connect = through or partial(_connect, kind, link)
    loop = asyncio.get_running_loop()
    try:
        while True:
            now = loop.time()
            if now >= deadline:
                raise DeadlineExceeded(f"no connection to {' or '.join(addresses)}, port {port}, in time")
            running = [attempt for attempt in attempts if not attempt.task.done()]
            if waiting and all(attempt.late_at <= now for attempt in running):
                late_at = now + stagger_s
                attempts.append(_Attempt(waiting.pop(0), port, late_at, finish, connect))
                continue
            if not running:
                raise _most_telling(attempts, port)
            wake = min(deadline, max(attempt.late_at for attempt in running)) if waiting else deadline
            tasks = [attempt.task for attempt in running]
            await asyncio.wait(tasks, timeout=wake - now, return_when=asyncio.FIRST_COMPLETED)
            winner = next((attempt for attempt in running if attempt.made is not None), None)
            if winner is not None and winner.made is not None:
                return winner.made
    finally:
        for attempt in attempts:
            if attempt is not winner:
                attempt.give_up()
        losers = [attempt.task for attempt in attempts if not attempt.task.done()]
        if losers:
            await asyncio.wait(losers)


def open_socket(address: str, kind: socket.SocketKind, link: str = "") -> socket.socket:
    """Give a non-blocking socket of the address's family, set up for DNS; it leaves by ``link`` if given.

    Raises:
        OSError: no such family here, or no descriptor left.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, kind)
    try:
        opened.setblocking(False)
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                if hasattr(socket, option):  # macOS calls the first one differently
                    opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        if link:
            _tie(opened, link)
    except OSError:
        opened.close()
        raise
    return opened


def _tie(opened: socket.socket, link: str) -> None:
    """Let nothing leave by another link: what is meant for a VPN must not go past it when it is down."""
    if hasattr(socket, "SO_BINDTODEVICE"):
        with suppress(PermissionError):  # before Linux 5.7 it takes privileges
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())


async def _connect(kind: socket.SocketKind, link: str, address: str, port: int) -> socket.socket:
    opened = open_socket(address, kind, link)
    try:
        await asyncio.get_running_loop().sock_connect(opened, (address, port))
    except BaseException:
        opened.close()
        raise
    return opened


class _Attempt(Generic[T]):
    """One address being dialled."""

    def __init__(self, address: str, port: int, late_at: float, finish: Finish[T], connect: Connect) -> None:
        self.late_at = late_at  # when the next address need not wait any longer
        self.made: T | None = None
        self.error: TransportError | None = None
        self.address = address
        self.words = ""  # the system's, if there was not even a connection
        self.task = asyncio.ensure_future(self._run(address, port, finish, connect))

    def give_up(self) -> None:
        """End the attempt, and what it made if it was done in the same turn as the winner."""
        if self.made is not None:
            self.made.abort()
        self.task.cancel()

    async def _run(self, address: str, port: int, finish: Finish[T], connect: Connect) -> None:
        try:
            opened = await connect(address, port)
            if opened.type == socket.SOCK_STREAM:  # of UDP, being connected says nothing about the other end
                self.late_at = asyncio.get_running_loop().time() + HANDSHAKE_HEAD_START_S
            self.made = await finish(opened, address)
        except TransportError as error:
            self.error = error
        except OSError as error:
            self.words = words_for(error)
            self.error = ConnectError(f"cannot connect to {address} port {port}: {self.words}")
            self.error.__cause__ = error


def words_for(error: OSError) -> str:
    """Say what went wrong as the system says it; asyncio puts words of its own into ``strerror``."""
    return (os.strerror(error.errno) if error.errno else str(error)).lower()


def _most_telling(attempts: Sequence[_Attempt[T]], port: int) -> TransportError:
    """Give one error for all: that a certificate is wrong says more than that a port is closed.

    Addresses that failed for the same reason share a sentence, which is cut where it is shown.
    """
    failures = [attempt.error for attempt in attempts if attempt.error is not None]
    for kind in (AuthenticationError, ProtocolError):
        for error in failures:
            if isinstance(error, kind):
                return error
    if len(failures) < 2:
        return failures[0]
    alike: dict[str, list[str]] = {}
    for attempt in attempts:
        if attempt.words:
            alike.setdefault(attempt.words, []).append(attempt.address)
    texts = [f"cannot connect to {_either(alike[words])} port {port}: {words}" for words in alike]
    texts += dict.fromkeys(str(attempt.error) for attempt in attempts if not attempt.words)
    return ConnectError("; ".join(texts))


def _either(addresses: Sequence[str]) -> str:
    *most, last = addresses
    return f"{', '.join(most)} or {last}" if most else last
