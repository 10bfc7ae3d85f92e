"""Connections without a socket: octets go in by hand, what is sent is collected."""

import asyncio
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import NoReturn, TypeVar

from secdns.endpoint import parse
from secdns.errors import ConnectError, TransportError
from secdns.transport.connection import Connection
from secdns.transport.conversation import Owner
from secdns.transport.doh2 import DoH2Connection
from secdns.transport.dot import DoTConnection
from secdns.transport.link import Link
from secdns.transport.tls import Identity
from tests.transport.support import query_for

T = TypeVar("T")
DOH = parse("https://192.0.2.1/dns-query")
DOT = parse("tls://192.0.2.1")
LONG_S = 1000.0


class Waiter:
    """Who waits for the answer to ``query``."""

    def __init__(self, query: bytes) -> None:
        self.query = query
        self.outcome: bytes | TransportError | None = None

    def done(self) -> bool:
        return self.outcome is not None

    def set_result(self, response: bytes, /) -> None:
        assert self.outcome is None
        self.outcome = response

    def set_exception(self, error: TransportError, /) -> None:
        assert self.outcome is None
        self.outcome = error


class BareDoH2(DoH2Connection):
    """A connection of DoH that is open and accepting."""

    def __init__(self) -> None:
        super().__init__(DOH, Identity(DOH, "h2", alpn_required=True), Link(_nowhere), "192.0.2.1")
        self.sent = b""
        self.accepting = True
        self.opened()
        self._flush()

    def send(self, *records: bytes) -> None:
        self.sent += b"".join(records)

    def heard_answer(self) -> None:
        """There is no ticket to keep."""


class BareDoT(DoTConnection):
    """A connection of DoT that is open and accepting."""

    def __init__(self) -> None:
        super().__init__(Identity(DOT, "dot", alpn_required=False), Link(_nowhere), "192.0.2.1")
        self.sent = b""
        self.accepting = True

    def send(self, *records: bytes) -> None:
        self.sent += b"".join(records)

    def heard_answer(self) -> None:
        """There is no ticket to keep."""


async def ask_all(connection: BareDoH2 | BareDoT, count: int) -> list[Waiter]:
    """Send this many queries in one turn."""
    waiters = [Waiter(query_for(number)) for number in range(count)]
    for waiter in waiters:
        assert connection.ask(waiter.query, connection.loop.time() + LONG_S, waiter)
    await asyncio.sleep(0)
    return waiters


def forgotten(connection: Connection, waiters: Sequence[Waiter]) -> list[Waiter]:
    """Give who still waits although no deadline and no end of the connection will reach him."""
    known = [waiter for _, waiter, _ in connection.unanswered()]
    is_over = connection.error is not None
    return [one for one in waiters if not one.done() and (is_over or one not in known)]


def pieces(octets: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut octets at these places, whatever their order and size."""
    edges = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:end] for start, end in pairwise(edges)]


def run(work: Coroutine[object, object, T]) -> T:
    """Run in an event loop of its own, for tests that draw many examples."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def _nowhere(owner: Owner, deadline: float) -> NoReturn:
    raise ConnectError("these connections are made by hand")
