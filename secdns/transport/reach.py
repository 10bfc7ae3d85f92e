"""Get a connection under TLS to an upstream, directly or through its proxy."""

import socket
from collections.abc import Callable

from secdns.endpoint import Endpoint
from secdns.transport import Lookup
from secdns.transport.connection import C, handshake
from secdns.transport.dial import MAX_ADDRESSES, addresses_of, dial


async def reach(endpoint: Endpoint, lookup: Lookup, deadline: float, make: Callable[[str], C]) -> C:
    """Give a connection whose handshake is done; ``make`` gives one for an address.

    With a proxy nothing is looked up: it is told the address if the endpoint brings one, else the
    host name, and what it cannot reach is not tried without it.

    Raises:
        TransportError: as ``addresses_of``, ``dial`` and ``handshake`` do, or the proxy.
    """

    async def finish(opened: socket.socket, address: str) -> C:
        try:
            connection = make(address)
        except BaseException:
            opened.close()
            raise
        return await handshake(connection, opened)

    if endpoint.proxy is not None:
        from secdns.transport.proxy import dial_through  # few have one

        hosts = endpoint.addresses[:MAX_ADDRESSES] or (endpoint.host,)
        return await dial_through(endpoint.proxy, hosts, endpoint.port, deadline, finish)
    return await dial(await addresses_of(endpoint, lookup, deadline), endpoint.port, deadline, finish)
