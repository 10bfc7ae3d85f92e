"""A model of one signed zone: what is true of every name, and the records that a server has to prove it.

Written from RFC 1034 §4.3.2, RFC 4592, RFC 4035 §3.1 and RFC 5155 §7 with dnspython's names, bit maps
and hash, and shares nothing with the code under test.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

import dns.dnssec
import dns.name
import dns.rdatatype
from dns.name import Name
from dns.rdtypes.util import Bitmap

from secdns.dns.message import Record
from secdns.iana import RRType


class Truth(Enum):
    """What a question about a zone comes to."""

    ANSWER = "answer"
    CNAME = "cname"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    REFERRAL = "referral"
    DNAME = "dname"
    WILDCARD = "answered from a wildcard"
    WILDCARD_NODATA = "a wildcard without the type"
    UNDEFINED = "a wildcard with DNAME"
    OUTSIDE = "outside the zone"
    CHILD_SIDE = "DS asked of the child"


@dataclass(frozen=True)
class Chain:
    """How a zone denies: NSEC, or NSEC3 with these parameters."""

    nsec3: bool = False
    opt_out: bool = False
    iterations: int = 0
    salt: bytes = b""


def name(text: str, origin: str = "example.test.") -> Name:
    """Give a name below ``origin``; "@" is the origin itself."""
    return dns.name.from_text(text, dns.name.from_text(origin))


def wire(of: Name) -> bytes:
    """Give the wire form."""
    octets = of.to_wire()
    assert octets is not None
    return octets


@cache
def hashed(of: Name, salt: bytes, iterations: int) -> str:
    """Give the label of the NSEC3 of a name."""
    return dns.dnssec.nsec3_hash(of, salt, iterations, "SHA1")


def record(owner: Name, rrtype: int, rdata: bytes) -> Record:
    """Give a record of class IN."""
    return Record(wire(owner), rrtype, 1, 300, rdata)


def nsec(owner: Name, following: Name, types: Iterable[int]) -> Record:
    """Give an NSEC with exactly these types."""
    return record(owner, RRType.NSEC, wire(following) + _bits(types))


def nsec3(owner: Name, following: str, types: Iterable[int], chain: Chain) -> Record:
    """Give an NSEC3 with exactly these types; ``following`` is the next hash as a label."""
    head = bytes([1, chain.opt_out]) + chain.iterations.to_bytes(2) + bytes([len(chain.salt)]) + chain.salt
    return record(owner, RRType.NSEC3, head + bytes([20]) + unbase32(following) + _bits(types))


def _bits(types: Iterable[int]) -> bytes:
    bitmap = Bitmap.from_rdtypes([dns.rdatatype.RdataType.make(rrtype) for rrtype in types])
    return b"".join(bytes([window, len(bits)]) + bits for window, bits in bitmap.windows)


def unbase32(label: str) -> bytes:
    """Decode base32hex by arithmetic (RFC 4648 §7)."""
    number = 0
    for char in label.lower():
        number = number * 32 + "0123456789abcdefghijklmnopqrstuv".index(char)
    return number.to_bytes(20)


class Zone:
    """One signed zone. Names that a cut or a DNAME hides are dropped from what is given."""

    def __init__(self, apex: Name, nodes: Mapping[Name, Iterable[int]], chain: Chain) -> None:
        self.apex = apex
        self.chain = chain
        given = {owner: frozenset(int(rrtype) for rrtype in types) for owner, types in nodes.items()}
        given[apex] = given.get(apex, frozenset()) | {RRType.SOA, RRType.NS, RRType.DNSKEY}
        self.nodes = given
        self.nodes = {owner: types for owner, types in given.items() if self._hidden_by(owner) is None}
        self.existing = {ancestor for owner in self.nodes for ancestor in self._up(owner)}
        unsigned = {
            owner for owner in self.nodes if self._is_cut(owner) and RRType.DS not in self.nodes[owner]
        }
        kept = self.nodes.keys() - (unsigned if chain.nsec3 and chain.opt_out else set())
        self.chained = {ancestor for owner in kept for ancestor in self._up(owner)}  # names with an NSEC3
        self.by_owner = self._nsec3_chain() if chain.nsec3 else self._nsec_chain()
        self.records = list(self.by_owner.values())

    def _up(self, owner: Name) -> list[Name]:
        """Give the name and its ancestors down to the apex."""
        found = [owner]
        while found[-1] != self.apex:
            found.append(found[-1].parent())
        return found

    def _is_cut(self, owner: Name) -> bool:
        return owner != self.apex and RRType.NS in self.nodes.get(owner, ())

    def _hidden_by(self, owner: Name) -> Name | None:
        """Give the topmost cut or DNAME above a name."""
        for ancestor in reversed(self._up(owner)[1:]):
            if self._is_cut(ancestor) or RRType.DNAME in self.nodes.get(ancestor, ()):
                return ancestor
        return None

    def _listed(self, owner: Name) -> set[int]:
        """Give the types that the bit map of a name lists."""
        types = set(self.nodes.get(owner, ()))
        if not self.chain.nsec3:
            return types | {RRType.NSEC, RRType.RRSIG}
        has_signed = types and (not self._is_cut(owner) or RRType.DS in types)
        return types | ({RRType.RRSIG} if has_signed else set())

    def _nsec_chain(self) -> dict[Name, Record]:
        owners = sorted(self.nodes)
        after = owners[1:] + owners[:1]
        return {
            owner: nsec(owner, following, self._listed(owner))
            for owner, following in zip(owners, after, strict=True)
        }

    def _nsec3_chain(self) -> dict[Name, Record]:
        owners = sorted(self.chained, key=self._hash)
        after = owners[1:] + owners[:1]
        return {
            owner: nsec3(
                dns.name.Name([self._hash(owner).encode(), *self.apex.labels]),
                self._hash(following),
                self._listed(owner),
                self.chain,
            )
            for owner, following in zip(owners, after, strict=True)
        }

    def _hash(self, owner: Name) -> str:
        return hashed(owner, self.chain.salt, self.chain.iterations)

    # What is true.

    def encloser(self, qname: Name, among: set[Name] | None = None) -> Name:
        """Give the closest ancestor that exists."""
        return next(owner for owner in self._up(qname)[1:] if owner in (among or self.existing))

    def next_closer(self, qname: Name, encloser: Name) -> Name:
        """Give the ancestor of ``qname``, or itself, one label below ``encloser``."""
        return next(owner for owner in self._up(qname) if owner != self.apex and owner.parent() == encloser)

    def truth(self, qname: Name, qtype: int) -> Truth:
        """Say what the zone has to answer."""
        if not qname.is_subdomain(self.apex):
            return Truth.OUTSIDE
        hidden_by = self._hidden_by(qname)
        if hidden_by is not None:
            return Truth.REFERRAL if self._is_cut(hidden_by) else Truth.DNAME
        if self._is_cut(qname) and qtype != RRType.DS:
            return Truth.REFERRAL
        if qname == self.apex == dns.name.root or qname != self.apex or qtype != RRType.DS:
            return self._inside(qname, qtype)
        return Truth.CHILD_SIDE

    def _inside(self, qname: Name, qtype: int) -> Truth:
        if qname in self.existing:
            return self._at(qname, qtype, Truth.ANSWER, Truth.CNAME, Truth.NODATA)
        wildcard = dns.name.Name([b"*", *self.encloser(qname).labels])
        if wildcard not in self.existing:
            return Truth.NXDOMAIN
        if RRType.DNAME in self.nodes.get(wildcard, ()):
            return Truth.UNDEFINED
        return self._at(wildcard, qtype, Truth.WILDCARD, Truth.WILDCARD, Truth.WILDCARD_NODATA)

    def _at(self, owner: Name, qtype: int, answer: Truth, cname: Truth, nodata: Truth) -> Truth:
        types = set(self.nodes.get(owner, ()))
        if types:
            types |= {RRType.RRSIG} if self.chain.nsec3 else {RRType.RRSIG, RRType.NSEC}
        if qtype in types or (types and qtype == RRType.ANY):
            return answer
        return cname if RRType.CNAME in types else nodata

    def is_unsigned_cut(self, qname: Name) -> bool:
        """Tell whether a name is delegated without DS."""
        return (
            qname in self.nodes
            and self._is_cut(qname)
            and RRType.DS not in self.nodes[qname]
        )  # fmt: skip

    def may_opt_out(self, qname: Name) -> bool:
        """Tell whether the zone leaves a name open: nothing in its chain is at it, nor hides it."""
        if not self.chain.opt_out or not qname.is_subdomain(self.apex) or qname in self.chained:
            return False
        hidden_by = self._hidden_by(qname)
        return hidden_by is None or hidden_by not in self.chained

    # What an honest server sends.

    def match(self, owner: Name) -> list[Record]:
        """Give the record of a name."""
        return [self.by_owner[owner]] if owner in self.by_owner else []

    def cover(self, absent: Name) -> list[Record]:
        """Give the record that covers a name; none if the name has a record."""
        if absent in self.by_owner:
            return []
        if self.chain.nsec3:
            key = self._hash(absent)
            before = [owner for owner in self.by_owner if self._hash(owner) < key]
            last = max(before or self.by_owner, key=self._hash)
        else:
            last = max(owner for owner in self.by_owner if owner < absent)
        return [self.by_owner[last]]

    def proof(self, qname: Name, qtype: int) -> list[Record]:
        """Give the records of a negative answer, a wildcard answer or a referral without DS."""
        truth = self.truth(qname, qtype)
        if truth in (Truth.ANSWER, Truth.CNAME, Truth.DNAME, Truth.OUTSIDE, Truth.CHILD_SIDE):
            return []
        if truth is Truth.REFERRAL:
            hidden_by = self._hidden_by(qname)
            qname = qname if hidden_by is None else hidden_by
            return self.match(qname) or self._enclosure(qname)
        if truth is Truth.NODATA:
            return self.match(qname) or self._enclosure(qname)
        if truth is Truth.WILDCARD:
            return self._next_closer_cover(qname)
        wildcard = dns.name.Name([b"*", *self.encloser(qname, self.chained).labels])
        return _once(self._enclosure(qname) + (self.match(wildcard) or self.cover(wildcard)))

    def _next_closer_cover(self, qname: Name) -> list[Record]:
        encloser = self.encloser(qname, self.chained if self.chain.nsec3 else None)
        return self.cover(self.next_closer(qname, encloser) if self.chain.nsec3 else qname)

    def _enclosure(self, qname: Name) -> list[Record]:
        """Give the closest provable encloser proof, or the NSEC around the name."""
        if not self.chain.nsec3:
            return self.cover(qname)
        return _once(self.match(self.encloser(qname, self.chained)) + self._next_closer_cover(qname))


def _once(records: list[Record]) -> list[Record]:
    return list(dict.fromkeys(records))


def questions_around(zone: Zone) -> list[Name]:
    """Give the names worth asking: all that exist, and around each its neighbours above, below and beside."""
    found = set(zone.existing)
    for owner in zone.existing:
        for label in (b"nx", b"*", b"\0"):
            found.add(dns.name.Name([label, *owner.labels]))
        found.add(dns.name.Name([b"deep", b"er", *owner.labels]))
        if owner != zone.apex:
            found.add(dns.name.Name([owner.labels[0] + b"\0", *owner.labels[1:]]))
            found.add(dns.name.Name([owner.labels[0][:-1] + b"!", *owner.labels[1:]]))
    if zone.apex != dns.name.root:
        found |= {zone.apex.parent(), dns.name.Name([b"sibling", *zone.apex.parent().labels])}
    return sorted(found)
