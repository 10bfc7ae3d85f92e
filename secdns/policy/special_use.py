"""Answer special-use and private names here, so that no public resolver ever hears them.

RFC 6761 and the registry it opened, RFC 6303 (reverse zones), and the suffixes that routers and
offices use in practice. Each entry of ``ZONES`` is a zone that secdns serves as if it were empty.

A route for a name beats all of this, but for ``localhost`` and ``resolver.arpa``: a LAN resolver,
or Tor's, can know names that a public one must not be asked.

Not here: ``test.`` is forwarded. RFC 6761 §6.2 wants caching servers to answer it negatively, to
spare the root servers, and to offer a way to resolve it for networks that use it. secdns never
asks a root server, and ``test.`` is what people set up upstreams of their own with. ``example.``
needs no special treatment (RFC 6761 §6.5).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from secdns.dns.message import Question, Record
from secdns.dns.name import ROOT, from_text, is_subdomain, labels, suffixes
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.policy.decision import Answer, Decision, Refuse, RouteTo, Watch, nothing_here, start_of_authority

LOCALHOST_TTL_S = 10800  # never changes; the value RFC 6303 §3 gives an empty zone
NEGATIVE_TTL_S = 300  # the cap on every negative answer
LAN_NEGATIVE_TTL_S = 10  # a route or a network that knows the name may come any moment

_PRIVATE = "this name is private and was not sent to a public resolver"
_PRIVATE_ADDRESS = "this address is private and its name was not asked of a public resolver"


@dataclass(frozen=True, slots=True)
class LocalZone:
    """A zone that is served here and is empty.

    ``below`` is the RCODE for every name under the apex and ``at_apex`` for the apex itself.
    ``parent_has_ds``: the zone is delegated in public without a DS, which a validating client
    behind us must be able to see; the DS of the apex is the parent's (RFC 4035 §3.1.4.1) and is
    therefore the one question that is forwarded. It tells nothing about this network.
    """

    apex: bytes
    text: str
    below: int = RCode.NXDOMAIN
    at_apex: int = RCode.NOERROR
    ttl_s: int = NEGATIVE_TTL_S
    parent_has_ds: bool = False


def _top(text: str, why: str, ttl_s: int = NEGATIVE_TTL_S) -> LocalZone:
    """A name that is not in the root zone: it does not exist, and nothing below it."""
    return LocalZone(from_text(text), why, at_apex=RCode.NXDOMAIN, ttl_s=ttl_s)


def _reverse(text: str) -> LocalZone:
    return LocalZone(
        from_text(text),
        _PRIVATE_ADDRESS,
        ttl_s=LAN_NEGATIVE_TTL_S,
        parent_has_ds=text in AS112_ZONES,
    )


# Reverse zones that the public tree delegates, unsigned, to the AS112 sinks (RFC 7534).
AS112_ZONES: tuple[str, ...] = (
    "10.in-addr.arpa",  # RFC 6303 §4.1: the addresses of RFC 1918
    *(f"{octet}.172.in-addr.arpa" for octet in range(16, 32)),
    "168.192.in-addr.arpa",
    "254.169.in-addr.arpa",  # RFC 6303 §4.2: link-local
)

# Reverse zones of addresses that mean something else in every network.
REVERSE_ZONES: tuple[str, ...] = (
    *AS112_ZONES,
    "0.in-addr.arpa",  # RFC 6303 §4.2: this network, loopback, documentation, broadcast
    "127.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
    *(f"{octet}.100.in-addr.arpa" for octet in range(64, 128)),  # RFC 7793: shared by carrier-grade NAT
    "0." * 32 + "ip6.arpa",  # RFC 6303 §4.3: unspecified and loopback
    "1." + "0." * 31 + "ip6.arpa",
    "c.f.ip6.arpa",  # the other half of fc00::/7; nobody may assign it yet, and nobody is to hear of it
    "d.f.ip6.arpa",  # RFC 6303 §4.4: unique local
    "8.e.f.ip6.arpa",  # RFC 6303 §4.5: link-local
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",  # RFC 6303 §4.6: documentation
)

# Suffixes of routers and offices. None is registered for it but ``internal``, and queries for
# them are the commonest leak there is; ``fritz.box`` has meanwhile been sold to a stranger.
LAN_SUFFIXES: tuple[str, ...] = (
    "internal",  # reserved by ICANN for private use, never to be delegated
    "lan",
    "home",
    "intranet",
    "corp",
    "private",
    "localdomain",
    "fritz.box",
)

ZONES: tuple[LocalZone, ...] = (
    _top("invalid", "this name is reserved to be invalid"),  # RFC 6761 §6.4
    _top("onion", "this name belongs to the Tor network, DNS cannot resolve it"),  # RFC 7686 §2
    _top("alt", "this name is reserved for systems other than DNS"),  # RFC 9476 §2
    _top(
        "local", "this name belongs to multicast DNS on the local link", LAN_NEGATIVE_TTL_S
    ),  # RFC 6762 §22.1
    *(_top(suffix, _PRIVATE, LAN_NEGATIVE_TTL_S) for suffix in LAN_SUFFIXES),
    # RFC 8375 §4; unsigned on purpose, so a validator counts it as insecure
    LocalZone(from_text("home.arpa"), _PRIVATE, ttl_s=LAN_NEGATIVE_TTL_S, parent_has_ds=True),
    # RFC 9665: where service registration puts names when there is no other zone
    LocalZone(from_text("service.arpa"), _PRIVATE, ttl_s=LAN_NEGATIVE_TTL_S, parent_has_ds=True),
    # Asks the network for its NAT64 prefix, hence it goes to the network's resolver or nowhere
    # (RFC 8880 §7.1). None is known here, and a public resolver knows nothing of our network. The A
    # records are fixed (RFC 7050); that there is no AAAA says "no NAT64 that we know of".
    LocalZone(
        from_text("ipv4only.arpa"),
        "only this network could tell its NAT64 prefix, no resolver of it is configured",
        ttl_s=LAN_NEGATIVE_TTL_S,
    ),
    *(_reverse(zone) for zone in REVERSE_ZONES),
)

# What a resolver of the network that we are on may be asked: the zones above that mean something
# there. Of the reverse zones not those of this machine alone and of documentation.
NETWORK_ZONES: tuple[bytes, ...] = tuple(
    from_text(zone)
    for zone in (
        *LAN_SUFFIXES,
        "home.arpa",
        "service.arpa",
        "ipv4only.arpa",
        *AS112_ZONES,
        *(f"{octet}.100.in-addr.arpa" for octet in range(64, 128)),
        "d.f.ip6.arpa",
        "8.e.f.ip6.arpa",
        "9.e.f.ip6.arpa",
        "a.e.f.ip6.arpa",
        "b.e.f.ip6.arpa",
    )
)

# Zones of which the public tree proves that they are not signed. That proof, the DS of the apex, is asked
# of the public upstreams also where a network answers for the zone: it could not give it.
UNSIGNED_ZONES: frozenset[bytes] = frozenset(zone.apex for zone in ZONES if zone.parent_has_ds)

IPV4ONLY = from_text("ipv4only.arpa")
IPV4ONLY_ADDRESSES = (bytes((192, 0, 0, 170)), bytes((192, 0, 0, 171)))  # RFC 7050

RESOLVER_ARPA = from_text("resolver.arpa")

LOCALHOST = from_text("localhost")
LOCALHOST_POINTERS = (from_text("1.0.0.127.in-addr.arpa"), from_text("1." + "0." * 31 + "ip6.arpa"))

# Firefox turns its own DNS over HTTPS off when this name does not exist or has no address. It
# must not get 0.0.0.0. https://support.mozilla.org/kb/canary-domain-use-application-dnsnet
CANARY = from_text("use-application-dns.net")

# What may be asked about a top-level domain itself: its zone, its keys, its denials. Everything
# else about a single label is somebody's short host name.
ZONE_TYPES = frozenset(
    {
        RRType.NS,
        RRType.SOA,
        RRType.DS,
        RRType.DNSKEY,
        RRType.RRSIG,
        RRType.NSEC,
        RRType.NSEC3,
        RRType.NSEC3PARAM,
        RRType.CDS,
        RRType.CDNSKEY,
        RRType.DNAME,
        RRType.CAA,  # certification authorities climb up to the top-level domain (RFC 8659 §3)
    }
)


class QueryTypes:
    """Refuses a type that exists only inside NSEC type bitmaps."""

    def watch(self) -> Watch:
        """Give the type NXNAME."""
        return Watch(rrtypes=frozenset({RRType.NXNAME}))

    def decide(self, question: Question, now: float) -> Refuse | None:
        """Refuse NXNAME with FORMERR; it must not be forwarded (RFC 9824 §3.5)."""
        if question.rrtype != RRType.NXNAME:
            return None
        return Refuse(RCode.FORMERR, EDE.INVALID_QUERY_TYPE, "type NXNAME cannot be asked for")


class Localhost:
    """Answers ``localhost.``, all below it, and the names of the two loopback addresses."""

    def watch(self) -> Watch:
        """Give localhost and the two reverse names."""
        return Watch(names=frozenset(LOCALHOST_POINTERS), suffixes=(LOCALHOST,))

    def decide(self, question: Question, now: float) -> Answer | None:
        """Give the loopback addresses and nothing else (RFC 6761 §6.3)."""
        name = question.name.lower()
        if name in LOCALHOST_POINTERS:
            data: tuple[tuple[int, bytes], ...] = ((RRType.PTR, LOCALHOST),)
            apex = name
        elif labels(name)[-1:] == (b"localhost",):
            data = ((RRType.A, b"\x7f\x00\x00\x01"), (RRType.AAAA, bytes(15) + b"\x01"))
            apex = LOCALHOST
        else:
            return None
        records = _records(question, data, LOCALHOST_TTL_S)
        if not records:
            return nothing_here(apex, LOCALHOST_TTL_S, RCode.NOERROR, EDE.OTHER, "")
        return Answer(RCode.NOERROR, records, reason="localhost is this machine")


class DesignatedResolver:
    """Keeps ``resolver.arpa`` here: a question to "the resolver I am talking to", which is us.

    An answer of anybody else's would lead the client past us, so no route takes it elsewhere (RFC 9462
    §6.1). We have no encrypted resolver of our own to designate: NODATA (§4).
    """

    def watch(self) -> Watch:
        """Give the one zone."""
        return Watch(suffixes=(RESOLVER_ARPA,))

    def decide(self, question: Question, now: float) -> Answer | None:
        """Give NODATA for the zone and all below it, but for its SOA."""
        name = question.name.lower()
        if not is_subdomain(name, RESOLVER_ARPA):
            return None
        if name == RESOLVER_ARPA:
            soa = start_of_authority(RESOLVER_ARPA, NEGATIVE_TTL_S).rdata
            if records := _records(question, [(RRType.SOA, soa)], NEGATIVE_TTL_S):
                return Answer(RCode.NOERROR, records, reason="part of a zone that is served here")
        text = "secdns designates no other resolver"
        return nothing_here(RESOLVER_ARPA, NEGATIVE_TTL_S, RCode.NOERROR, EDE.OTHER, text)


class SpecialUse:
    """Serves ``ZONES``.

    ``local_names`` are the names, in lower case, that overrides and hosts give an answer: a name
    above one of them exists, so it is NODATA and not NXDOMAIN (RFC 8020 §2).
    """

    def __init__(self, local_names: Iterable[bytes] = ()) -> None:
        self._zones = {zone.apex: zone for zone in ZONES}
        self._above = frozenset(
            ancestor
            for name in local_names
            if self._find(name)
            for ancestor in suffixes(name)
            if ancestor not in {name, ROOT}
        )

    def watch(self) -> Watch:
        """Give the apex of every zone."""
        return Watch(suffixes=tuple(self._zones))

    def decide(self, question: Question, now: float) -> Decision | None:
        """Give the answer of the zone that holds this name, or None when none does."""
        name = question.name.lower()
        zone = self._find(name)
        if zone is None:
            return None
        if name == zone.apex:
            if question.rrtype == RRType.DS and zone.parent_has_ds:
                return None
            if records := self._at_apex(question, zone):
                return Answer(RCode.NOERROR, records, reason="part of a zone that is served here")
        rcode = zone.at_apex if name == zone.apex else zone.below
        if name in self._above:
            rcode = RCode.NOERROR
        return nothing_here(zone.apex, zone.ttl_s, rcode, EDE.OTHER, zone.text)

    def _find(self, name: bytes) -> LocalZone | None:
        for suffix in suffixes(name):
            if (zone := self._zones.get(suffix)) is not None:
                return zone
        return None

    def _at_apex(self, question: Question, zone: LocalZone) -> tuple[Record, ...]:
        if zone.at_apex != RCode.NOERROR:
            return ()
        data: list[tuple[int, bytes]] = [(RRType.SOA, start_of_authority(zone.apex, zone.ttl_s).rdata)]
        if zone.apex == IPV4ONLY:
            data += [(RRType.A, rdata) for rdata in IPV4ONLY_ADDRESSES]
        return _records(question, data, zone.ttl_s)


class Canary:
    """Tells Firefox to leave DNS to the system, so that one resolver answers and not two."""

    def watch(self) -> Watch:
        """Give the one name."""
        return Watch(names=frozenset({CANARY}))

    def decide(self, question: Question, now: float) -> Answer | None:
        """Give NXDOMAIN for every type of that name."""
        if question.name.lower() != CANARY:
            return None
        text = "this tells Firefox that the system's DNS is encrypted already"
        return nothing_here(CANARY, NEGATIVE_TTL_S, RCode.NXDOMAIN, EDE.OTHER, text)


class SingleLabels:
    """Keeps short host names such as ``nas`` at home.

    The answer is NODATA and not NXDOMAIN. Which single labels are top-level domains is not known
    here, and NXDOMAIN for the address of ``com`` would stand, in our cache and in a client's, for
    all types of it and all below it (RFC 2308 §5, RFC 8020 §2). NODATA is true of every
    top-level domain and, for a short name, ends the search just the same.

    Where the network has a resolver of its own, that one knows: ``group`` is its number, None for
    none. What is asked about a zone goes to the public upstreams all the same.
    """

    def __init__(self, group: int | None = None) -> None:
        self._route = None if group is None else RouteTo(group)

    def watch(self) -> Watch:
        """Give all names of one label."""
        return Watch(single_labels=True)

    def decide(self, question: Question, now: float) -> Decision | None:
        """Give NODATA for a host's types at a name of one label, or its group; None for a zone's types."""
        if not is_host(question.name, question.rrtype):
            return None
        if self._route is not None:
            return self._route
        return nothing_here(
            question.name.lower(), LAN_NEGATIVE_TTL_S, RCode.NOERROR, EDE.OTHER,
            "a name of one label is local and was not sent to a public resolver",
        )  # fmt: skip


def is_host(name: bytes, rrtype: int) -> bool:
    """Tell whether what is asked about is somebody's short host name: one label, and not as a zone."""
    return len(name) == name[0] + 2 and name != ROOT and rrtype not in ZONE_TYPES


def _records(question: Question, data: Iterable[tuple[int, bytes]], ttl_s: int) -> tuple[Record, ...]:
    return tuple(
        Record(question.name, rrtype, RRClass.IN, ttl_s, rdata)
        for rrtype, rdata in data
        if question.rrtype in {rrtype, RRType.ANY}
    )
