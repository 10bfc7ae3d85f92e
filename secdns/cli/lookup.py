"""Find the addresses of an upstream that came with a host name only, for one command."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from secdns.bootstrap import Bootstrap
from secdns.dns.edns import pad
from secdns.endpoint import Endpoint
from secdns.errors import ConnectError, TransportError
from secdns.transport import Transport, open_transport


def built_in() -> tuple[Endpoint, ...]:
    """Give the endpoints of the default upstreams: encrypted, and with addresses of their own."""
    from secdns import providers

    known = providers.PROVIDERS()
    return tuple(
        endpoint for name in providers.DEFAULT for endpoint in known[name].auto if endpoint.addresses
    )


class Lookup:
    """Looks host names up through a built-in upstream, never through the system's resolver.

    What it opens is closed with ``stack``. ``through`` replaces the built-in endpoints.
    """

    def __init__(self, stack: AsyncExitStack, through: Sequence[Endpoint] | None = None) -> None:
        self._stack = stack
        self._through = through
        self._bootstrap: Bootstrap | None = None
        self._transports: dict[Endpoint, Transport] = {}

    async def __call__(self, host: str, deadline: float) -> tuple[str, ...]:
        """Give the addresses of ``host``, at least one; ``deadline`` as for an exchange.

        Raises:
            ConnectError: there is none, or no answer in time.
        """
        if self._bootstrap is None:
            self._bootstrap = Bootstrap(self._exchange)
            self._stack.push_async_callback(self._bootstrap.aclose)
        return await self._bootstrap.lookup(host, deadline)

    async def _exchange(self, query: bytes, deadline: float, sought: frozenset[str]) -> bytes:
        through = built_in() if self._through is None else self._through
        usable = [endpoint for endpoint in through if endpoint.host not in sought]
        loop = asyncio.get_running_loop()
        why = "there is no other upstream to ask"
        for left, endpoint in zip(range(len(usable), 0, -1), usable, strict=True):
            now = loop.time()
            try:
                return await self._transport(endpoint).exchange(pad(query), now + (deadline - now) / left)
            except TransportError as failure:
                why = f"{endpoint.url}: {failure}"
        raise ConnectError(why)

    def _transport(self, endpoint: Endpoint) -> Transport:
        if endpoint not in self._transports:
            self._transports[endpoint] = open_transport(endpoint, self)
            self._stack.push_async_callback(self._transports[endpoint].aclose)
        return self._transports[endpoint]
