"""Relay: a stretch of network between a client and an upstream, which delays and loses."""

import asyncio
import random
import socket
from types import TracebackType
from typing import Self

ADDRESS = "127.0.0.1"
MAX_DATAGRAM = 65535
MAX_CLIENTS = 256
READ_SIZE = 65536
BIND_ATTEMPTS = 20


class Relay:
    """Takes datagrams and connections on 127.0.0.1 and passes them on to a port of the same host, and back.

    The knobs may be turned at any time: ``delay_s`` is added to either direction, ``loss`` is the share of
    datagrams that vanish either way (0.3: of a question and its answer about half). ``cut`` lets nothing
    through and tells nobody, as a cable that is pulled; ``mend`` ends that, and what was written on a
    connection meanwhile arrives after all. ``seed`` makes the loss repeatable.

        async with Relay(up.endpoint("quic").port) as relay:
            relay.loss = 0.3
            ...ask quic://dns.test at port relay.port...

    Everything lives in the event loop that started it and ends with the context.
    """

    def __init__(self, target: int, *, delay_s: float = 0.0, loss: float = 0.0, seed: int = 1) -> None:
        self.target = target
        self.delay_s = delay_s
        self.loss = loss
        self.port = 0
        self.datagrams = 0  # that arrived here, either way …
        self.lost = 0  # … and went no further
        self._whole = asyncio.Event()
        self._whole.set()
        self._chance = random.Random(seed)  # noqa: S311  guards nothing
        self._loop = asyncio.get_running_loop()
        self._udp: socket.socket | None = None
        self._clients: dict[object, socket.socket] = {}  # address -> the socket that stands for it
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Future[list[None]]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Let nothing through any more."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self._whole.set()

    async def __aenter__(self) -> Self:
        udp, tcp = _pair()
        self.port = udp.getsockname()[1]
        self._udp = udp
        self._loop.add_reader(udp, self._from_clients, udp)
        self._server = await asyncio.start_server(self._serve, sock=tcp)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened in (self._udp, *self._clients.values()):
            if opened is not None:
                self._loop.remove_reader(opened)
                opened.close()
        self._clients.clear()
        self._udp = None
        if self._server is not None:
            self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    # datagrams

    def _from_clients(self, udp: socket.socket) -> None:
        for octets, address in _received(udp):
            upstream = self._clients.get(address)
            if upstream is None:
                if len(self._clients) >= MAX_CLIENTS:
                    continue
                upstream = self._clients[address] = _socket()
                upstream.connect((ADDRESS, self.target))
                self._loop.add_reader(upstream, self._from_upstream, upstream, address)
            self._pass_on(upstream, octets, None)

    def _from_upstream(self, upstream: socket.socket, address: object) -> None:
        for octets, _ in _received(upstream):
            if self._udp is not None:
                self._pass_on(self._udp, octets, address)

    def _pass_on(self, way: socket.socket, octets: bytes, address: object) -> None:
        self.datagrams += 1
        if not self._whole.is_set() or self._chance.random() < self.loss:
            self.lost += 1
        elif self.delay_s:
            self._loop.call_later(self.delay_s, _send, way, octets, address)
        else:
            _send(way, octets, address)

    # connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection(ADDRESS, self.target)
            self._writers.add(there_writer)
            try:
                pipes = [self._pipe(reader, there_writer), self._pipe(there_reader, writer)]
                both = asyncio.gather(*pipes)
                self._pipes.add(both)
                both.add_done_callback(self._pipes.discard)
                await both
            finally:
                there_writer.close()
                self._writers.discard(there_writer)
        except (OSError, asyncio.CancelledError):
            pass  # one end broke off, so does the other; or all is over
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octets := await reader.read(READ_SIZE):
            await self._travel()
            writer.write(octets)
            await writer.drain()
        await self._travel()
        writer.write_eof()

    async def _travel(self) -> None:
        await self._whole.wait()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Give sockets for UDP and TCP on one port."""
    for attempt in range(BIND_ATTEMPTS):
        udp, tcp = _socket(), socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            udp.bind((ADDRESS, 0))
            tcp.bind(udp.getsockname())
        except OSError:  # free for UDP, taken for TCP
            udp.close()
            tcp.close()
            if attempt == BIND_ATTEMPTS - 1:
                raise
        else:
            return udp, tcp
    raise AssertionError("unreachable")


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _received(opened: socket.socket) -> list[tuple[bytes, object]]:
    """Give the datagrams that wait."""
    found: list[tuple[bytes, object]] = []
    while True:
        try:
            found.append(opened.recvfrom(MAX_DATAGRAM))
        except ConnectionRefusedError:  # nobody is there: the client shall notice by silence
            continue
        except OSError:
            return found


def _send(way: socket.socket, octets: bytes, address: object) -> None:
    try:
        if address is None:
            way.send(octets)
        else:
            way.sendto(octets, address)  # type: ignore[call-overload]  # as recvfrom gave it
    except OSError:
        pass  # a full buffer or a closed socket loses a datagram, as networks do
