"""The plain-DNS face of secdns: UDP and TCP towards the programs of this machine.

    sockets.py     opens every configured address, or none and says why
    inherited.py   those that a service manager has opened for us
    holder.py      who holds the port that we want
    known.py       what a person calls those who often do, and the cures
    udp.py         datagrams; the hit path
    tcp.py         connections (RFC 7766): lets clients in, keeps the limits over all of them
    connection.py  one of these clients

What is listened for is answered by a ``Responder``; this package knows sockets, framing and
limits, and nothing of DNS beyond the length prefix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

from secdns.cache import Missed
from secdns.errors import ListenError
from secdns.limit import Limit

__all__ = ["Acl", "Limit", "Limits", "Network", "Responder", "acl_for", "is_loopback"]

Network = IPv4Network | IPv6Network


class Responder(Protocol):
    """What turns a query into a reply; the forwarder is one."""

    def cached(self, query: bytes, now: float) -> bytes | Missed | None:
        """Give the complete reply, ID included, if that takes neither parsing nor waiting.

        ``now`` is the clock of the cache, in seconds. Anything but octets means: ``submit`` it at once,
        and what was missed with it, so that nobody need look again. Raises nothing.
        """

    def submit(
        self,
        query: bytes,
        *,
        stream: bool,
        deliver: Callable[[bytes | None], None],
        asked: Missed | None = None,
    ) -> None:
        """Call ``deliver`` once, perhaps at once, with the complete reply to ``query``.

        The reply is shaped for a stream or for a datagram; None means drop in silence (QR=1).
        ``asked`` is what ``cached`` gave for the same octets just before. Raises nothing.
        A client that goes away stops nothing: what the upstream sends is still wanted for the
        cache (F31).
        """


# All 64 descriptors of the upstreams and our own come on top: see sockets.raise_descriptor_limit.
# PowerDNS 1024, BIND 150, dnscrypt-proxy 250; a laptop has few clients (R6).
CONNECTIONS = Limit(256, 1, 10_000)
# Queries of one connection that are being answered. Knot reads 100 ahead, dnsdist 65,535 (R5).
PIPELINED = Limit(64, 1, 1_000)
# From the accept to the first octet, and from the first octet of a message to its last. Long
# enough for two lost segments (RFC 6298: 1 s + 2 s), short enough against slow-loris (R5).
FIRST_OCTET_S = Limit(5.0, 0.1, 60.0)
MESSAGE_S = Limit(5.0, 0.1, 60.0)
# RFC 7766 §6.2.3 wants "the order of a few seconds"; PowerDNS 10, BIND and Unbound 30. It is
# also how long a client may take to read what we wrote.
IDLE_S = Limit(10.0, 0.1, 300.0)
# Unread output beyond what the kernel holds: two of the largest messages (R5).
UNREAD_OCTETS = Limit(131_072, 65_537, 1 << 20)
# When the table of connections is full, an idle one makes room only if it has been quiet for this
# long: else a flood of connects would throw out everyone before the first query is sent (R6).
QUIET_S = Limit(0.5, 0.0, 10.0)
# How late a limit on time may be enforced: one timer serves all connections.
COARSE_S = Limit(0.25, 0.001, 1.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds in force for the TCP listener, over all its addresses together.

    Times are seconds (``_s``). See the constants above for the reasons.
    """

    connections: int = CONNECTIONS.default
    pipelined: int = PIPELINED.default
    first_octet_s: float = FIRST_OCTET_S.default
    message_s: float = MESSAGE_S.default
    idle_s: float = IDLE_S.default
    unread_octets: int = UNREAD_OCTETS.default
    quiet_s: float = QUIET_S.default
    coarse_s: float = COARSE_S.default


class Acl:
    """Who may ask: this machine, and the networks that the configuration names (R4)."""

    __slots__ = ("_networks", "_verdicts")

    # A source address may be forged, so the memory of verdicts starts afresh when it is full.
    REMEMBERED = 4096

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._verdicts: dict[str, bool] = {}

    def allows(self, host: str) -> bool:
        """Tell whether the client at ``host``, an IP literal as the kernel gives it, may ask."""
        verdict = self._verdicts.get(host)
        if verdict is None:
            if len(self._verdicts) >= self.REMEMBERED:
                self._verdicts.clear()
            verdict = self._verdicts[host] = self._judge(host)
        return verdict

    def _judge(self, host: str) -> bool:
        address = ip_address(host)
        return address.is_loopback or any(address in network for network in self._networks)


def is_loopback(host: str) -> bool:
    """Tell whether ``host``, an IP literal, can be reached from this machine only."""
    return ip_address(host).is_loopback


def acl_for(host: str, networks: Sequence[Network]) -> Acl | None:
    """Give the access list for a listener on ``host``.

    None means that no check is needed: only this machine reaches a loopback address.

    Raises:
        ListenError: others can reach ``host`` and ``networks`` does not say who may ask.
    """
    if is_loopback(host):
        return None
    if not networks:
        raise ListenError(
            f"cannot listen on {host}: other machines can reach it and nothing says who may ask",
            hint='name the clients in [server], for example: acl = ["192.168.1.0/24"]',
        )
    return Acl(networks)
