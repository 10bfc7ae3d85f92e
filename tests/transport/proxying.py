"""Proxies on loopback: one that does what it should, and one that says what a test wants."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

from secdns.proxies import Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ADDRESS: Final = "127.0.0.1"
KINDS: Final = ("socks5", "http")


class Listener:
    """A server on a port of its own; every connection has a task, which ends with it."""

    def __init__(self, scheme: str, credentials: tuple[bytes, bytes] | None = None) -> None:
        self.scheme = scheme
        self.credentials = credentials
        self.connections = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def proxy(self) -> Proxy:
        return Proxy(self.scheme, ADDRESS, self.port, self.credentials)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Treat one connection; it is closed when this returns."""
        raise NotImplementedError

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, ADDRESS, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await server.wait_closed()


class GoodProxy(Listener):
    """Connects to loopback whatever host it is asked for, and remembers what it was asked.

    ``drips`` makes it say its own part an octet at a time.
    """

    def __init__(
        self, scheme: str, credentials: tuple[bytes, bytes] | None = None, *, drips: bool = False
    ) -> None:
        super().__init__(scheme, credentials)
        self.asked: list[tuple[str, int]] = []
        self.heads: list[bytes] = []
        self.unreachable: set[str] = set()
        self._drips = drips

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialogue = self._socks5 if self.scheme == "socks5" else self._http
        asked = await dialogue(reader, writer)
        if asked is None:
            return
        self.asked.append(asked)
        try:
            if asked[0] in self.unreachable:
                raise OSError
            upstream = await asyncio.open_connection(ADDRESS, asked[1])
        except OSError:
            failure = b"\5\5\0\1" + bytes(6)
            await self._say(writer, failure if self.scheme == "socks5" else b"HTTP/1.1 502 no\r\n\r\n")
            return
        try:
            success = b"\5\0\0\3\4a.bc" + bytes(2)
            await self._say(
                writer, success if self.scheme == "socks5" else b"HTTP/1.0 200 Fine\r\nVia: x\r\n\r\n"
            )
            await _carry((reader, writer), upstream)
        finally:
            upstream[1].transport.abort()

    async def _say(self, writer: asyncio.StreamWriter, octets: bytes) -> None:
        for piece in [octets[at : at + 1] for at in range(len(octets))] if self._drips else [octets]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    async def _socks5(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 0 if self.credentials is None else 2
        await self._say(writer, bytes([5, method if method in methods else 0xFF]))
        if method not in methods:
            return None
        if self.credentials is not None:
            await reader.readexactly(1)
            given = [await reader.readexactly((await reader.readexactly(1))[0]) for _ in range(2)]
            await self._say(writer, bytes([1, tuple(given) != self.credentials]))
            if tuple(given) != self.credentials:
                return None
        assert (await reader.readexactly(3)) == b"\5\1\0"
        kind = (await reader.readexactly(1))[0]
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        octets = await reader.readexactly(size)
        family = {1: socket.AF_INET, 4: socket.AF_INET6}.get(kind)
        host = octets.decode() if family is None else socket.inet_ntop(family, octets)
        return host, int.from_bytes(await reader.readexactly(2))

    async def _http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        words = b"" if self.credentials is None else base64.b64encode(b":".join(self.credentials))
        if words not in head:
            await self._say(writer, b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            return None
        method, target, version = head.splitlines()[0].split()
        assert (method, version) == (b"CONNECT", b"HTTP/1.1")
        host, _, port = target.decode().rpartition(":")
        return host.strip("[]"), int(port)


class ScriptedProxy(Listener):
    """Says the next of ``lines`` each time that something was heard, and nothing after the last.

    An empty line closes the connection. ``said`` counts the octets that went out.
    """

    def __init__(self, scheme: str, lines: Iterable[bytes]) -> None:
        super().__init__(scheme)
        self.said = 0
        self._lines = list(lines)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in self._lines:
            await reader.read(4096)
            if not line:
                return
            for at in range(0, len(line), 4096):
                writer.write(line[at : at + 4096])
                await writer.drain()
                self.said += len(line[at : at + 4096])
        while await reader.read(4096):
            pass


async def _carry(one: Streams, other: Streams) -> None:
    pumps = [
        asyncio.ensure_future(_pump(one[0], other[1])),
        asyncio.ensure_future(_pump(other[0], one[1])),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
