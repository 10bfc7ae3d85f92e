"""Carry a query to one upstream and its answer back.

One module speaks one protocol, and none of them imports another; what several need has a
module of its own: ``tls`` (who is at the other end), ``dial`` (an open socket), ``proxy`` (one through
a proxy), ``reach`` (TLS on either), ``conversation``
(deadlines of what was asked), ``connection`` (octets under TLS), ``quic`` (streams of QUIC) and
``link`` (the one connection in use, and when to try again).
"""

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, cast

from secdns.endpoint import Endpoint, check_proxied
from secdns.errors import EndpointError, TransportError

__all__ = ["SCHEMES", "Facts", "Lookup", "Transport", "Waiter", "open_transport"]

Lookup = Callable[[str, float], Awaitable[tuple[str, ...]]]
"""Host name and deadline (event-loop time) -> IP literals to dial; raises TransportError."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the connection in use, or the last one; None where it cannot be told.

    ``handshakes`` and ``exchanges`` count over the life of the transport; ``idle_limit_s`` is how
    long the upstream lets a connection idle, where it said so or was seen to close or forget one.
    ``handshake_s`` is how long it took until the connection could be used, TCP and TLS or QUIC
    together; ``certificate`` is the upstream's own in DER; ``key_exchange`` is the group that the
    session keys came from.
    """

    alpn: str | None = None
    tls_version: str | None = None
    cipher: str | None = None
    peer: str | None = None
    resumed: bool = False
    handshakes: int = 0
    exchanges: int = 0
    alt_svc: str | None = None
    idle_limit_s: float | None = None
    handshake_s: float | None = None
    key_exchange: str | None = None
    certificate: bytes | None = None
    is_open: bool = False


class Waiter(Protocol):
    """Who waits for one answer: an asyncio.Future, or something lighter that acts at once.

    Either setter is called at most once, never after ``done`` turned true, and must not raise.
    """

    def done(self) -> bool:
        """Tell that nothing is waited for any more."""
        ...

    def set_result(self, response: bytes, /) -> None:
        """Take the answer."""
        ...

    def set_exception(self, error: TransportError, /) -> None:
        """Take the reason why there is none."""
        ...


class Transport(Protocol):
    """One way to reach one upstream. Safe to call concurrently and to cancel."""

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        """Send a whole query and give the whole response, both with the query's ID.

        ``deadline`` is absolute, in seconds of the event loop's clock, and covers connecting,
        sending and receiving. On the wire the query has the ID its protocol wants. The response
        answers exactly the question asked (threat C3), whatever else it says.

        Raises:
            ConnectError: no connection.
            AuthenticationError: the certificate does not fit; nothing was sent.
            ConnectionLost: an open connection died first; the query may be sent again.
            DeadlineExceeded: no answer in time.
            ProtocolError: the upstream broke its protocol or answered another question.
            StatusError: HTTP said no.
            Overloaded: too many queries wait for this upstream already.
        """
        ...

    async def connect(self, deadline: float) -> None:
        """Open a connection without a query, unless one is open; ``exchange`` does it by itself.

        The deadline is one of the event loop's clock. Whoever is cancelled leaves the connect to
        those who wait for it too. Where each query has a socket of its own there is nothing to do.

        Raises:
            TransportError: as ``exchange``, but for what only an answer can be wrong about.
        """
        ...

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        """Send a query on the connection that is open, without a task: ``exchange`` for the busy.

        Gives what to call when ``waiter`` has become done by itself. None: no connection is
        open, or it takes no query now; then nothing was done, and ``exchange`` will open one.
        """
        ...

    def hang_up(self) -> None:
        """End the connections, on which nothing is heard while others answer.

        What waits for an answer ends as ConnectionLost. Back-off and tickets stay.
        """
        ...

    def reset(self) -> None:
        """Drop connections, tickets and back-off: the network changed, or the machine woke up.

        What waits for an answer ends as ConnectionLost; what waits for a connection goes on
        waiting, for a new one.
        """
        ...

    def forgive(self) -> None:
        """End back-off, and drop connections that are overdue: nobody asked for a while.

        Overdue is one that has been idle for much longer than it may: the program was stopped.
        """
        ...

    def facts(self) -> Facts:
        """Tell what is known about the connection."""
        ...

    async def aclose(self) -> None:
        """Close everything; exchanges under way end as ConnectionLost. May be called twice."""
        ...


class _Module(Protocol):
    def open(self, endpoint: Endpoint, lookup: Lookup) -> Transport: ...


SCHEMES: Final[dict[str, str]] = {
    "tls": "secdns.transport.dot",
    "https": "secdns.transport.doh2",
    "h3": "secdns.transport.doh3",
    "quic": "secdns.transport.doq",
    "udp": "secdns.transport.do53",  # for [[route]] only, never for the default upstreams
    "tcp": "secdns.transport.do53",
}
"""Scheme of an endpoint -> the module that speaks it, loaded on first use: `h2` costs 1.5 MB, `aioquic` 8."""


def open_transport(endpoint: Endpoint, lookup: Lookup) -> Transport:
    """Give the transport of an endpoint. No I/O: its first exchange connects.

    ``lookup`` is asked for the host's addresses if the endpoint brings none.

    Raises:
        EndpointError: this version does not speak the scheme, or not through a proxy.
    """
    path = SCHEMES.get(endpoint.scheme)
    if path is None:
        raise EndpointError(
            f"this version cannot speak {endpoint.scheme}://, want one of {', '.join(sorted(SCHEMES))}"
        )
    if endpoint.proxy is not None:
        check_proxied(endpoint)  # it must never be dialled beside its proxy
    return cast(_Module, importlib.import_module(path)).open(endpoint, lookup)
