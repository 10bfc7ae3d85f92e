"""Read what the system knows of each link: its resolvers and its domains. Pure.

systemd-resolved and NetworkManager tell it over D-Bus, else resolv.conf does. They pass on what a
DHCP server, a router advertisement or a VPN's server said, so it comes from strangers: counts are
bounded, names and addresses are read strictly, and what does not fit is left out without a word.
What is to be believed of it is not decided here but in ``secdns.split``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from typing import Final

from secdns.dns import name as names
from secdns.errors import FormatError
from secdns.limit import Limit

# A laptop with containers and two VPNs has a dozen links, and few of them have resolvers.
LINKS: Final = Limit(32, 1, 64)
# glibc uses 3, DHCP servers give 2; each more is one to wait for.
RESOLVERS: Final = Limit(4, 1, 8)
# Some companies' VPNs have a few hundred; a DHCP option has room for less.
DOMAINS: Final = Limit(512, 1, 1024)
# Octets of a resolv.conf that are read.
FILE_OCTETS: Final = Limit(1 << 16, 1 << 10, 1 << 20)

DNS_PORT: Final = 53
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")  # no octet that would need an escape
_LINK_NAME = re.compile(r"[A-Za-z0-9_.@:+-]{1,15}")  # linux/if.h IFNAMSIZ; narrower than the kernel
_INET, _INET6 = 2, 10  # AF_INET and AF_INET6 of Linux, as resolved sends them

Resolver = tuple[str, int]  # IP literal, with a zone (%wlan0) if it is link-local, and port
IsVPN = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Link:
    """One link and what is known there.

    ``name`` is the interface, "" if that is not known. ``domains`` are its search and its routing
    domains, in wire form and lower case. ``wants_all``: it is set up to be asked for every name
    (``~.``). ``is_vpn``: it is a tunnel, which this machine's owner set up; no local network can
    make one.
    """

    name: str
    resolvers: tuple[Resolver, ...] = ()
    domains: tuple[bytes, ...] = ()
    is_vpn: bool = False
    wants_all: bool = False


def from_resolved(
    properties: Mapping[str, object], name_of: Callable[[int], str], is_vpn: IsVPN
) -> tuple[Link, ...]:
    """Read the properties of org.freedesktop.resolve1.Manager.

    ``DNS`` is a(iiay) and ``DNSEx``, which newer versions have as well, a(iiayqs); ``Domains`` is
    a(isb). Each entry begins with the index of the link; those of none (0) and of loopback are the
    global settings, which are ours. ``name_of`` gives the interface of an index, "" if it is gone.
    """
    found: dict[int, _Builder] = {}

    def link(index: object) -> _Builder | None:
        if not isinstance(index, int) or index <= 0:
            return None
        if index not in found and len(found) < LINKS.default and (name := _link_name(name_of(index))):
            found[index] = _Builder(name, is_vpn(name))
        return found.get(index)

    for entry in _rows(properties.get("DNSEx") or properties.get("DNS"), (3, 5)):
        if (builder := link(entry[0])) is not None:
            port = entry[3] if len(entry) == 5 else 0
            if isinstance(port, int):
                builder.add_resolver(_from_octets(entry[1], entry[2]), port)
    for entry in _rows(properties.get("Domains"), (3,)):
        if (builder := link(entry[0])) is not None:
            builder.add_domain(entry[1])
    return _build(found.values())


def from_network_manager(configuration: object, is_vpn: IsVPN) -> tuple[Link, ...]:
    """Read the property Configuration of org.freedesktop.NetworkManager.DnsManager: aa{sv}, best first.

    An entry without an interface is the global configuration, which is ours.
    """
    found: dict[str, _Builder] = {}
    for entry in configuration if isinstance(configuration, list) else ():
        if not isinstance(entry, dict) or not (name := _link_name(entry.get("interface"))):
            continue
        if name not in found:
            if len(found) == LINKS.default:
                continue
            found[name] = _Builder(name, is_vpn(name))
        builder = found[name]
        builder.is_vpn |= entry.get("vpn") is True
        for text in _texts(entry.get("nameservers")):
            builder.add_resolver(text, DNS_PORT)
        for text in _texts(entry.get("domains")):
            builder.add_domain(text)
    return _build(found.values())


def from_resolv_conf(text: str) -> tuple[Link, ...]:
    """Read a resolv.conf (resolv.conf(5)); of several search lists the last counts."""
    servers: list[str] = []
    search: list[str] = []
    for line in text[: FILE_OCTETS.default].splitlines():
        keyword, *values = line.split()[: DOMAINS.default] or [""]
        if keyword == "nameserver":
            servers += values[:1]
        elif keyword in ("search", "domain"):
            search = values
    return from_lists(servers, search)


def from_lists(servers: Iterable[str], search: Iterable[str]) -> tuple[Link, ...]:
    """Make a link of which nobody knows the interface."""
    builder = _Builder("", False)
    for server in servers:
        builder.add_resolver(server, DNS_PORT)
    for domain in search:
        builder.add_domain(domain)
    return _build([builder])


def without(links: Iterable[Link], is_ours: Callable[[str], bool]) -> tuple[Link, ...]:
    """Leave out the resolvers that are this machine itself: to ask them would be a loop."""
    return tuple(
        replace(link, resolvers=tuple(one for one in link.resolvers if not is_ours(one[0]))) for link in links
    )


def merge(first: Sequence[Link], second: Iterable[Link]) -> tuple[Link, ...]:
    """Add to ``first`` what ``second`` knows beyond it: links without resolvers there, and who is a VPN."""
    others = {link.name: link for link in second}
    merged = []
    for link in first:
        other = others.get(link.name)
        if other is not None and not link.resolvers:
            continue
        others.pop(link.name, None)
        merged.append(replace(link, is_vpn=link.is_vpn or (other is not None and other.is_vpn)))
    return (*merged, *others.values())


def best_first(links: Iterable[Link], used: Sequence[str]) -> tuple[Link, ...]:
    """Put the links that lead to the upstreams, whose names ``used`` gives, before the others."""
    return tuple(sorted(links, key=lambda link: used.index(link.name) if link.name in used else len(used)))


class _Builder:
    """A link that is being read."""

    def __init__(self, name: str, is_vpn: bool) -> None:
        self.name = name
        self.is_vpn = is_vpn
        self.resolvers: dict[Resolver, None] = {}
        self.domains: dict[bytes, None] = {}
        self.wants_all = False

    def add_resolver(self, text: str, port: int) -> None:
        address = _address(text, self.name)
        if (
            address
            and isinstance(port, int)
            and 0 <= port < 65536
            and len(self.resolvers) < RESOLVERS.default
        ):
            self.resolvers[address, port or DNS_PORT] = None

    def add_domain(self, text: object) -> None:
        trimmed = text.removeprefix("~") if isinstance(text, str) else ""
        if trimmed == ".":
            self.wants_all = True
        elif len(self.domains) < DOMAINS.default and _NAME.fullmatch(trimmed):
            with suppress(FormatError):  # over 255 octets
                self.domains[names.from_text(trimmed).lower()] = None

    def link(self) -> Link:
        return Link(self.name, tuple(self.resolvers), tuple(self.domains), self.is_vpn, self.wants_all)


def _build(builders: Iterable[_Builder]) -> tuple[Link, ...]:
    return tuple(
        builder.link() for builder in builders if builder.resolvers or builder.domains or builder.wants_all
    )


def _address(text: str, link: str) -> str:
    """Give an IP literal that somebody can be reached at, "" for every other text."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_unspecified or address.is_multicast or str(address) == _BROADCAST:
        return ""
    if isinstance(address, IPv6Address) and address.is_link_local:
        zone = link or _link_name(text.partition("%")[2])
        return f"{address}%{zone}" if zone else ""
    return str(address)


_BROADCAST = "255.255.255.255"


def _from_octets(family: object, octets: object) -> str:
    size = {_INET: 4, _INET6: 16}.get(family) if isinstance(family, int) else None
    if not isinstance(octets, bytes) or len(octets) != size:
        return ""
    return str(ip_address(octets))


def _link_name(value: object) -> str:
    if not isinstance(value, str) or value in (".", "..", "lo") or not _LINK_NAME.fullmatch(value):
        return ""
    return value


def _rows(value: object, sizes: tuple[int, ...]) -> Iterable[Sequence[object]]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, list | tuple) and len(entry) in sizes:
            yield entry


def _texts(value: object) -> Iterable[str]:
    return (each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
