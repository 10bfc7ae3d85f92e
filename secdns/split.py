"""Decide which names go to the resolvers of a link. Pure.

What a link claims comes from strangers (``secdns.network.links``), and its resolvers are asked in
plain and believed without signatures. So it is believed as far as it can do no harm:

* A local network gets the names that no public resolver could know: single labels, the zones of
  ``NETWORK_ZONES``, and its own domains below those. Only a resolver with a private address gets
  them. A *public* domain, as a DHCP server may claim (``example.com``, ``com``), would take signed
  names away from DNSSEC and encryption by the word of whoever runs the network, so it stays with the
  upstreams and this is said; a [[route]] via "network" is the owner's word that makes it so.
* A VPN was chosen by the machine's owner, and its server has proved who it is: its domains go to its
  resolvers, whatever address they have, and beat those of a local network. Not the domains that
  are registries (``com``, ``co.uk``) or mean something else, and not every name (``~.``): that would
  end the encryption of everything without the owner having said so. It is said instead.
* The owner's words beat all of it: what a [[route]] covers no link can claim.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from secdns.config import NETWORK, Config
from secdns.dns import name as names
from secdns.endpoint import Endpoint
from secdns.iana import EDE, RCode
from secdns.network.links import Link, Resolver
from secdns.policy import Refuse
from secdns.policy.special_use import LOCALHOST, NETWORK_ZONES, RESOLVER_ARPA

Members = tuple[tuple[str, Endpoint], ...]  # name for people and endpoint, as of an upstream

MAX_NOTES: Final = 8  # beyond that nobody reads
MAX_SHOWN: Final = 4  # domains in one sentence

_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598, shared by carrier-grade NAT, also of Tailscale
        "169.254.0.0/16",  # RFC 3927
        "fc00::/7",  # RFC 4193
        "fe80::/10",  # RFC 4291 §2.5.6
    )
)
_ZONES: Final = frozenset(NETWORK_ZONES)
_LOCAL: Final = names.from_text("local")
# Below these nobody but secdns answers, or everybody's names are.
_NOBODYS: Final = (LOCALHOST, RESOLVER_ARPA, *(names.from_text(top) for top in ("onion", "alt", "invalid")))
_REGISTRIES: Final = frozenset(names.from_text(name) for name in ("in-addr.arpa", "ip6.arpa"))
_SECOND_LEVEL: Final = frozenset({b"ac", b"co", b"com", b"edu", b"gov", b"net", b"org"})  # of a country


@dataclass(frozen=True, slots=True)
class Split:
    """What goes to links. ``routes`` maps suffixes to whom to ask, or to the refusal if there is nobody.

    ``home`` is who knows short host names, ``own`` the network's own resolvers, public ones included;
    both are empty for nobody. ``notes`` are sentences for the owner on what was claimed and not given;
    ``in_words`` has those on what was.
    """

    routes: Mapping[bytes, Members | Refuse]
    home: Members = ()
    notes: tuple[str, ...] = ()
    own: Members = ()

    def in_words(self) -> tuple[str, ...]:
        """Say who is asked for what, a sentence each."""
        domains: dict[Members, list[str]] = {}
        for domain, to in self.routes.items():
            if not isinstance(to, Refuse) and not (to == self.home and domain in _ZONES):
                domains.setdefault(to, []).append(names.to_text(domain).removesuffix("."))
        if self.home:
            domains.setdefault(self.home, []).insert(0, "names of the local network")
        return tuple(_sentence(to, what) for to, what in domains.items())


NOTHING: Final = Split({})

_STRICT: Final = Refuse(
    RCode.REFUSED,
    EDE.PROHIBITED,
    "the network's own resolver is asked in plain, and strict = true forbids that",
)
_NOBODY: Final = Refuse(RCode.REFUSED, EDE.NETWORK_ERROR, "no resolver of this network is known")


def split(config: Config, links: Sequence[Link]) -> Split:
    """Give what goes where, with ``links`` in order of preference."""
    wanted = [domain for route in config.routes if route.via == NETWORK for domain in route.domains]
    if config.strict:
        return Split(dict.fromkeys(wanted, _STRICT))
    others = {domain for route in config.routes if route.via != NETWORK for domain in route.domains}
    tunnels = [link for link in links if link.is_vpn and link.resolvers]
    locals_ = [link for link in links if not link.is_vpn and link.resolvers]
    notes: dict[str, None] = {}
    of_tunnels = _claims_of_tunnels(tunnels, wanted, notes)
    home = next((found for link in locals_ if (found := _members(link, private=True))), ())
    routes = {zone: home for zone in NETWORK_ZONES if home}
    routes |= _claims_of_locals(locals_, wanted, notes)
    routes = {domain: to for domain, to in routes.items() if not _is_covered(domain, of_tunnels)}
    routes |= of_tunnels
    everybody = [_members(link) for link in (*locals_, *tunnels)]
    decided: dict[bytes, Members | Refuse] = {
        domain: to for domain, to in routes.items() if not _is_covered(domain, others - {names.ROOT})
    }
    for domain in wanted:
        claimed = next((routes[above] for above in names.suffixes(domain) if above in routes), ())
        decided[domain] = claimed or next(iter(everybody), ()) or _NOBODY
    own = next((_members(link) for link in locals_), ())
    return Split(decided, home, tuple(notes)[:MAX_NOTES], own)


def _claims_of_tunnels(
    tunnels: Iterable[Link], wanted: Sequence[bytes], notes: dict[str, None]
) -> dict[bytes, Members]:
    routes: dict[bytes, Members] = {}
    for link in tunnels:
        for domain in link.domains:
            if _is_sound(domain) or _is_covered(domain, wanted):
                routes.setdefault(domain, _members(link))
            else:
                notes[_say(link, domain, "which is more than a company's own")] = None
        if link.wants_all:
            notes[
                f"{link.name} wants to be asked for every name: it is asked for its own domains alone, "
                "all others stay with the upstreams"
            ] = None
    return routes


def _claims_of_locals(
    locals_: Iterable[Link], wanted: Sequence[bytes], notes: dict[str, None]
) -> dict[bytes, Members]:
    routes: dict[bytes, Members] = {}
    for link in locals_:
        for domain in link.domains:
            if _is_covered(domain, wanted):
                routes.setdefault(domain, _members(link))
            elif domain == _LOCAL:
                continue  # multicast DNS has it; whoever says that has names below it in mind
            elif not _is_private_name(domain):
                notes[_say(link, domain, "a public name")] = None
            elif to := _members(link, private=True):
                routes.setdefault(domain, to)
    return routes


def _sentence(to: Members, what: Sequence[str]) -> str:
    hosts = ", ".join(end.host for _, end in to)
    more = f" and {len(what) - MAX_SHOWN} more" if len(what) > MAX_SHOWN else ""
    return f"{to[0][0]} ({hosts}) is asked in plain for {', '.join(what[:MAX_SHOWN])}{more}"


def _say(link: Link, domain: bytes, why: str) -> str:
    text = names.to_text(domain).removesuffix(".")
    return (
        f"{link.name or 'the network'} claims {text}, {why}: the upstreams are asked for it; "
        f'a [[route]] with domains = ["{text}"] and via = "network" changes that'
    )


def _members(link: Link, *, private: bool = False) -> Members:
    """Give the resolvers of a link as upstreams; ``private``: those with a private address."""
    name = link.name or "the network"
    return tuple(
        (name, _endpoint(link, resolver))
        for resolver in link.resolvers
        if not private or _is_private(resolver)
    )


def _endpoint(link: Link, resolver: Resolver) -> Endpoint:
    host, port = resolver
    return Endpoint("udp", host, port, addresses=(host,), link=link.name)


def _is_private(resolver: Resolver) -> bool:
    address = ip_address(resolver[0].partition("%")[0])
    return any(address in network for network in _PRIVATE)


def _is_covered(domain: bytes, suffixes: Iterable[bytes]) -> bool:
    """Tell whether ``domain`` is one of the suffixes or below one."""
    held = suffixes if isinstance(suffixes, dict | set | frozenset) else set(suffixes)
    return any(suffix in held for suffix in names.suffixes(domain))


def _is_private_name(domain: bytes) -> bool:
    """Tell whether no public resolver is ever asked for this name."""
    return _is_covered(domain, _ZONES) or names.is_subdomain(domain, _LOCAL)


def _is_sound(domain: bytes) -> bool:
    """Tell whether a VPN may have this domain: no registry's, as far as that shows without a list."""
    if any(names.is_subdomain(domain, zone) for zone in _NOBODYS) or domain in _REGISTRIES:
        return False
    found = names.labels(domain)
    if len(found) == 1:
        return domain in _ZONES
    return not (len(found) == 2 and len(found[1]) == 2 and found[0] in _SECOND_LEVEL)
