"""Serve DNS over UDP."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from secdns.dns.message import Message
from secdns.dns.wire import HEADER_SIZE
from secdns.errors import FormatError
from secdns.testing.core import Core
from secdns.testing.faults import truncated

MAX_SIZE = 1232  # octets of a reply over UDP (RFC 9715 §3.1)
MIN_SIZE = 512  # octets that every client takes (RFC 1035 §4.2.1)


class UDPServer(asyncio.DatagramProtocol):
    """Answers datagrams; a reply beyond what the client takes becomes TC without records."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._transport: asyncio.DatagramTransport | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own does not derive from it

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._transport = None
        self.closed.set()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if len(data) < HEADER_SIZE:
            return
        seen = self._core.see("udp", data, 0)
        faults = self._core.faults.take(seen)
        if faults.silent:
            return
        reply = self._core.reply(faults, seen)
        if len(reply) > MIN_SIZE and len(reply) > _limit(data):
            reply = truncated(reply)
        datagrams = [faults.inject] if faults.inject else []
        datagrams += [reply] * (2 if faults.duplicate else 1)

        def send() -> None:
            for datagram in datagrams:
                if self._transport is not None:
                    self._transport.sendto(datagram, addr)

        if faults.hold:
            self._core.held.append(send)
        elif faults.delay_s:
            self._later(faults.delay_s, send)
        else:
            send()

    def _later(self, delay_s: float, send: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            send()

        timer = asyncio.get_running_loop().call_later(delay_s, fire)
        self._timers.add(timer)

    def close(self) -> None:
        """Stop answering."""
        if self._transport is not None:
            self._transport.abort()


def _limit(query: bytes) -> int:
    """Give how many octets the client takes (RFC 6891 §6.2.3), within our own bound."""
    try:
        edns = Message.parse(query).edns
    except FormatError:
        return MIN_SIZE
    return min(max(edns.size if edns else 0, MIN_SIZE), MAX_SIZE)
