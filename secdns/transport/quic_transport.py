"""Ask over QUIC: which connection takes a query, and when another is opened beside those there are."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from secdns.endpoint import Endpoint
from secdns.errors import ProtocolError
from secdns.transport import Lookup, Waiter
from secdns.transport.certificate import trust_store
from secdns.transport.conversation import Owner
from secdns.transport.dial import addresses_of, dial
from secdns.transport.line import SPILL_S
from secdns.transport.link import Linked
from secdns.transport.quic import QUICConversation, QUICLink, R
from secdns.transport.quic_client import Identity

Kind = Callable[[Identity, QUICLink[R], str], QUICConversation[R]]
"""Identity, link and address -> a connection that is not dialled yet."""


class QUICTransport(Linked[QUICConversation[R], Identity]):
    """The transport of a protocol over QUIC."""

    _link: QUICLink[R]

    def __init__(self, endpoint: Endpoint, lookup: Lookup, kind: Kind[R], alpn: str) -> None:
        super().__init__(endpoint, lookup, Identity(endpoint, alpn))
        self._kind = kind
        self._spill: asyncio.TimerHandle | None = None

    def _make_link(self) -> QUICLink[R]:
        return QUICLink(self._connect, self._endpoint.url)

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        while True:
            if self._link.current is None:
                await self._link.wait(deadline)
            request = self._ask(query, deadline, future) or await self._wait(query, deadline, future)
            if request is None:
                continue
            try:
                return await future
            except asyncio.CancelledError:
                self._forget(request)
                raise

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        request = None if self._link.current is None else self._ask(query, deadline, waiter)
        return None if request is None else partial(self._forget, request)

    def _ask(self, query: bytes, deadline: float, waiter: Waiter) -> R | None:
        """Send a query on a connection that takes it now; not past those who stand in line."""
        link = self._link
        if link.line:
            return None
        connection = link.current
        if connection is None or not connection.has_room:
            connection = next((other for other in link.accepting if other.has_room), None)
        return None if connection is None else connection.send(query, deadline, waiter)

    async def _wait(self, query: bytes, deadline: float, waiter: Waiter) -> R | None:
        """Stand in line for a stream; None says to look for a connection."""
        if self._spill is None:
            self._spill = asyncio.get_running_loop().call_later(SPILL_S, self._on_full)
        return await self._link.line.wait(query, deadline, waiter)

    def _on_full(self) -> None:
        """Open another connection if the first in line has waited for a while."""
        self._spill = None
        link = self._link
        if not link.line:
            return
        for connection in list(link.accepting):
            if connection.asked == 0:
                connection.fail(ProtocolError(f"{connection.peer} lets us open no stream"))
        if link.line.first_waits_s() >= SPILL_S:
            link.open_beside()
        if link.line:
            self._spill = asyncio.get_running_loop().call_later(SPILL_S, self._on_full)

    def _forget(self, request: R) -> None:
        """Give up a query that nobody waits for any more."""
        request.connection.forget(request)

    async def aclose(self) -> None:
        if self._spill is not None:
            self._spill.cancel()
        await super().aclose()

    async def _connect(self, owner: Owner, deadline: float) -> QUICConversation[R]:
        trust_store(self._endpoint.ca_file)  # a store that cannot be read is said before a packet leaves
        addresses = await addresses_of(self._endpoint, self._lookup, deadline)

        async def finish(opened: socket.socket, address: str) -> QUICConversation[R]:
            try:
                connection = self._kind(self._identity, self._link, address)
            except BaseException:
                opened.close()
                raise
            try:
                connection.attach(opened)
                await connection.ready
            except BaseException:
                connection.abort()
                raise
            return connection

        return await dial(addresses, self._endpoint.port, deadline, finish, socket.SOCK_DGRAM)
