"""Relay: a stretch of network between a client and an upstream, which delays and loses datagrams."""

import asyncio
import random
import socket
from types import TracebackType
from typing import Self

ADDRESS = "127.0.0.1"
MAX_DATAGRAM = 65535
MAX_CLIENTS = 256


class Relay:
    """Takes datagrams on 127.0.0.1 and passes them on to a port of the same host, and back.

    The knobs may be turned at any time: ``delay_s`` is added to either direction, ``loss`` is the share of
    datagrams that vanish either way (0.3: of a question and its answer about half). ``seed`` makes the loss
    repeatable.

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
        self._chance = random.Random(seed)  # noqa: S311  guards nothing
        self._loop = asyncio.get_running_loop()
        self._front = _socket()
        self._clients: dict[object, socket.socket] = {}  # address -> the socket that stands for it

    async def __aenter__(self) -> Self:
        self._front.bind((ADDRESS, 0))
        self.port = self._front.getsockname()[1]
        self._loop.add_reader(self._front, self._from_clients)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened in (self._front, *self._clients.values()):
            self._loop.remove_reader(opened)
            opened.close()
        self._clients.clear()

    def _from_clients(self) -> None:
        for octets, address in _received(self._front):
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
            self._pass_on(self._front, octets, address)

    def _pass_on(self, way: socket.socket, octets: bytes, address: object) -> None:
        self.datagrams += 1
        if self._chance.random() < self.loss:
            self.lost += 1
        elif self.delay_s:
            self._loop.call_later(self.delay_s, _send, way, octets, address)
        else:
            _send(way, octets, address)


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
