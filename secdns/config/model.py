"""The configuration as values: frozen, complete, every default filled in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal

from secdns.endpoint import Endpoint
from secdns.limit import Limit

Network = IPv4Network | IPv6Network
Strategy = Literal["ordered", "fastest", "spread"]
DNSSECMode = Literal["validate", "off"]


# 32 MiB hold the answers of a busy household for a day; 1 is enough to try things; above 4096 a
# typing error is likelier than the wish, and the rest of the machine would notice.
CACHE_MB: Final = Limit(32, 1, 4096)
# 0 lets the system choose a port, which tests and demonstrations want.
PORT: Final = Limit(53, 0, 65535)
# Each listen address costs two sockets; a machine with more addresses listens on the unspecified one.
LISTEN_ADDRESSES: Final = Limit(2, 1, 64)
# Each is a connection kept open under load, and a fail-over that gets this far is over its deadline.
UPSTREAMS: Final = Limit(2, 1, 32)
# More would not fit a reply over UDP.
OVERRIDE_ADDRESSES: Final = Limit(1, 1, 64)
# Trust anchors and names that are not checked: by hand, so few; the list is looked through at start.
ANCHORS: Final = Limit(0, 0, 64)
# The whole file, in octets: 10,000 overrides take half of it. Bounds time and memory of reading it.
FILE_OCTETS: Final = Limit(0, 0, 1 << 20)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen, with UDP and TCP: an IP literal and a port (0: the system chooses).

    ``is_default`` means that nobody asked for it: if the machine lacks its address family, that is
    worth a warning and not an error.
    """

    host: str
    port: int
    is_default: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The face to the clients. ``acl`` names who may ask beside this machine itself."""

    listen: tuple[ListenAddress, ...]
    acl: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """One upstream: its name and the ways to reach it, the preferred one first."""

    name: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class DNSSECConfig:
    """Whether signatures are checked here, and from where on.

    ``trust_anchors`` are DS or DNSKEY records in presentation form; none: those of the root that
    are built in. ``negative_trust_anchors`` are names (wire form, lower case) that are not checked,
    with all below them. ``sha1`` lets algorithms 5 and 7 count.
    """

    mode: DNSSECMode
    trust_anchors: tuple[str, ...] = ()
    negative_trust_anchors: tuple[bytes, ...] = ()
    sha1: bool = False


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """How much memory answers may take, and whether one that has expired helps in need (RFC 8767)."""

    size_octets: int
    serve_stale: bool


NETWORK: Final = "network"
"""As ``via`` of a route: the resolvers of the network that we are on."""


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """Names (wire form, lower case, with all below them) that go to an upstream of their own.

    ``endpoint`` is None when ``via`` is the name of an upstream, or ``NETWORK``.
    """

    domains: tuple[bytes, ...]
    via: str
    endpoint: Endpoint | None


@dataclass(frozen=True, slots=True)
class Config:
    """All that a person can decide. ``source`` is the file, or a word where there is none.

    ``overrides`` pairs an owner name (wire form, lower case) with one address; a name with several
    has several pairs. ``lines`` tells which keys (``server.listen``, ``upstream[1].url``) were set and on
    which line; it takes no part in comparison, so a file with a new comment is an equal configuration.
    """

    server: ServerConfig
    upstreams: tuple[UpstreamConfig, ...]
    strategy: Strategy
    dnssec: DNSSECConfig
    cache: CacheConfig
    routes: tuple[RouteConfig, ...]
    overrides: tuple[tuple[bytes, str], ...]
    strict: bool
    log_names: bool
    source: str = field(compare=False)
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
