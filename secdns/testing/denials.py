"""Deny names and types: NSEC (RFC 4034 §4), NSEC3 (RFC 5155) and compact denial (RFC 9824).

A chain is made of what a zone holds and gives, for every kind of "no", the records that prove it. The
zone signs them.

The words, by the zone ``example.`` with ``a.b.example.`` and ``*.w.example.``: ``b`` is an empty
non-terminal; for ``x.y.b.example.`` the closest encloser is ``b.example.``, the next closer name
``y.b.example.``, and ``*.b.example.`` the wildcard that would have answered.
"""

import base64
import bisect
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from secdns.dns import name as names
from secdns.dns.message import Record
from secdns.iana import RRClass, RRType

Denial = Literal["nsec", "nsec3", "opt-out", "compact"]

OPT_OUT = 0x01  # flag of an NSEC3 (RFC 5155 §3.1.2.1)
SHA1 = 1  # hash algorithm of NSEC3, the only one there is

_ASTERISK = b"\x01*"


@dataclass(frozen=True, slots=True)
class Content:
    """What a chain has to know of its zone; all names are in lower case.

    ``types`` has every name that exists: an empty non-terminal with no types, a delegation with NS and
    perhaps DS. ``insecure`` are the delegations without DS. ``ttl_s`` is the negative TTL (RFC 9077).
    """

    apex: bytes
    ttl_s: int
    types: Mapping[bytes, frozenset[int]]
    insecure: frozenset[bytes]


class Chain(ABC):
    """What proves that something is not there. ``closest`` is the closest encloser of ``name``."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def at(self, name: bytes) -> Record | None:
        """Give the NSEC record whose owner is an existing name, or None if there is none."""
        return None

    @abstractmethod
    def nxdomain(self, name: bytes, closest: bytes) -> list[Record]:
        """Prove that neither the name nor a wildcard for it exists."""

    @abstractmethod
    def nodata(self, name: bytes) -> list[Record]:
        """Prove that an existing name lacks a type: for a DS at a delegation, perhaps by opt-out."""

    @abstractmethod
    def wildcard_nodata(self, name: bytes, closest: bytes) -> list[Record]:
        """Prove that the name does not exist, and that the wildcard for it lacks a type."""

    @abstractmethod
    def wildcard_answer(self, name: bytes, closest: bytes) -> list[Record]:
        """Prove that no name closer than the wildcard exists."""


class NSECChain(Chain):
    """Every owner name points at the next one in canonical order."""

    def __init__(self, content: Content) -> None:
        super().__init__(content)
        owners = [owner for owner, types in content.types.items() if types]
        self._owners = sorted(owners, key=names.canonical_key)
        self._keys = [names.canonical_key(owner) for owner in self._owners]

    def at(self, name: bytes) -> Record | None:
        record = self._before(name)
        return record if record.name == name else None

    def nxdomain(self, name: bytes, closest: bytes) -> list[Record]:
        return _unique(self._before(name), self._before(_ASTERISK + closest))

    def nodata(self, name: bytes) -> list[Record]:
        return [self._before(name)]  # of an empty non-terminal: whose next name is below it

    def wildcard_nodata(self, name: bytes, closest: bytes) -> list[Record]:
        return self.nxdomain(name, closest)  # the second record is the wildcard's own here

    def wildcard_answer(self, name: bytes, closest: bytes) -> list[Record]:
        return [self._before(name)]

    def _before(self, name: bytes) -> Record:
        """Give the NSEC that matches a name, or else covers it."""
        at = bisect.bisect_right(self._keys, names.canonical_key(name)) - 1
        owner = self._owners[at]
        types = self._content.types[owner] | {RRType.RRSIG, RRType.NSEC}
        following = self._owners[(at + 1) % len(self._owners)]
        return nsec(owner, following, types, self._content.ttl_s)


class NSEC3Chain(Chain):
    """Every name, empty non-terminals too, points at the next one in the order of their hashes.

    With ``opt_out``, delegations without DS are left out, and so are empty non-terminals that only lead
    to such (RFC 5155 §6).
    """

    def __init__(self, content: Content, *, opt_out: bool, iterations: int, salt: bytes) -> None:
        super().__init__(content)
        self._flags = OPT_OUT if opt_out else 0
        self._iterations = iterations
        self._salt = salt
        owners = set(content.types)
        if opt_out:
            owners = _without_insecure(content)
        self._hashes = {self.hash(owner): owner for owner in owners}
        self._order = sorted(self._hashes)

    def hash(self, name: bytes) -> bytes:
        """Give the hash of a name (RFC 5155 §5)."""
        return nsec3_hash(name, self._salt, self._iterations)

    def nxdomain(self, name: bytes, closest: bytes) -> list[Record]:
        return _unique(*self._encloser(name), self._before(_ASTERISK + closest))

    def nodata(self, name: bytes) -> list[Record]:
        if self.hash(name) in self._hashes:
            return [self._before(name)]
        return _unique(*self._encloser(name))  # opt-out: the span over the next closer name tells

    def wildcard_nodata(self, name: bytes, closest: bytes) -> list[Record]:
        return self.nxdomain(name, closest)  # the last record is the wildcard's own here

    def wildcard_answer(self, name: bytes, closest: bytes) -> list[Record]:
        return [self._encloser(name)[1]]

    def _encloser(self, name: bytes) -> tuple[Record, Record]:
        """Give what matches the closest provable encloser and what covers the next closer name."""
        closer = name
        while self.hash(encloser := names.parent(closer)) not in self._hashes:
            closer = encloser
        return self._before(encloser), self._before(closer)

    def _before(self, name: bytes) -> Record:
        """Give the NSEC3 that matches a name, or else covers it."""
        at = bisect.bisect_right(self._order, self.hash(name)) - 1
        hashed, following = self._order[at], self._order[(at + 1) % len(self._order)]
        owner = self._hashes[hashed]
        types = self._content.types[owner]
        if types and owner not in self._content.insecure:  # there, NS is all and nothing is signed
            types |= {RRType.RRSIG}
        return self.record(hashed, following, types)

    def record(self, hashed: bytes, following: bytes, types: Iterable[int] = ()) -> Record:
        """Give the NSEC3 of one hash that leads to another."""
        rdata = b"".join(
            (
                nsec3_parameters(self._iterations, self._salt, self._flags),
                bytes([len(following)]) + following,
                bitmap(types),
            )
        )
        label = base64.b32hexencode(hashed).lower()
        owner = bytes([len(label)]) + label + self._content.apex
        return Record(owner, RRType.NSEC3, RRClass.IN, self._content.ttl_s, rdata)


class CompactChain(Chain):
    """Every "no" is the NODATA of a name that seems to exist, made as it is asked for (RFC 9824)."""

    def at(self, name: bytes) -> Record | None:
        return self._alone(name, self._content.types[name])

    def nxdomain(self, name: bytes, closest: bytes) -> list[Record]:
        return [self._alone(name, {RRType.NXNAME})]

    def nodata(self, name: bytes) -> list[Record]:
        return [self._alone(name, self._content.types[name])]

    def wildcard_nodata(self, name: bytes, closest: bytes) -> list[Record]:
        return [self._alone(name, self._content.types[_ASTERISK + closest])]

    def wildcard_answer(self, name: bytes, closest: bytes) -> list[Record]:
        return []  # the answer is signed as if the name were there

    def _alone(self, name: bytes, types: Iterable[int]) -> Record:
        return nsec(name, _successor(name), {*types, RRType.RRSIG, RRType.NSEC}, self._content.ttl_s)


def make_chain(content: Content, denial: Denial, iterations: int, salt: bytes) -> Chain:
    """Give the chain of a zone."""
    if denial == "nsec":
        return NSECChain(content)
    if denial == "compact":
        return CompactChain(content)
    return NSEC3Chain(content, opt_out=denial == "opt-out", iterations=iterations, salt=salt)


def nsec(owner: bytes, following: bytes, types: Iterable[int], ttl_s: int) -> Record:
    """Give an NSEC record."""
    return Record(owner, RRType.NSEC, RRClass.IN, ttl_s, following + bitmap(types))


def nsec3_parameters(iterations: int, salt: bytes, flags: int = 0) -> bytes:
    """Give the RDATA of NSEC3PARAM, which is the beginning of an NSEC3's too (RFC 5155 §3.2, §4.2)."""
    return bytes([SHA1, flags]) + iterations.to_bytes(2) + bytes([len(salt)]) + salt


def nsec3_hash(name: bytes, salt: bytes, iterations: int) -> bytes:
    """Give the hash of a name, 20 octets; ``iterations`` are those beyond the first (RFC 5155 §5)."""
    digest = name.lower()
    for _ in range(iterations + 1):
        digest = hashlib.sha1(digest + salt, usedforsecurity=False).digest()
    return digest


def bitmap(types: Iterable[int]) -> bytes:
    """Give the type bit maps of an NSEC or NSEC3 (RFC 4034 §4.1.2)."""
    windows: dict[int, bytearray] = {}
    for rrtype in sorted(types):
        octets = windows.setdefault(rrtype >> 8, bytearray())
        octets.extend(bytes((rrtype >> 3 & 31) + 1 - len(octets)))
        octets[-1] |= 0x80 >> (rrtype & 7)
    return b"".join(bytes([window, len(octets)]) + octets for window, octets in windows.items())


def types_in(octets: bytes) -> set[int]:
    """Give the types in type bit maps that ``bitmap`` made."""
    types: set[int] = set()
    at = 0
    while at < len(octets):
        window, size = octets[at], octets[at + 1]
        for index, octet in enumerate(octets[at + 2 : at + 2 + size]):
            types |= {window << 8 | index << 3 | bit for bit in range(8) if octet & 0x80 >> bit}
        at += 2 + size
    return types


def _without_insecure(content: Content) -> set[bytes]:
    """Give the names of an opt-out chain: the secure ones, and all between them and the apex."""
    kept: set[bytes] = set()
    for owner, types in content.types.items():
        if types and owner not in content.insecure:
            for name in names.suffixes(owner):
                kept.add(name)
                if name == content.apex:
                    break
    return kept


def _successor(name: bytes) -> bytes:
    """Give a name right after another in canonical order: ``\\000.name`` where that is short enough."""
    if len(name) + 2 <= names.MAX_NAME:
        return b"\x01\x00" + name
    size = name[0]
    if size < names.MAX_LABEL and len(name) < names.MAX_NAME:
        return bytes([size + 1]) + name[1 : 1 + size] + b"\x00" + name[1 + size :]
    raised = min(int.from_bytes(name[1 : 1 + size]) + 1, (1 << 8 * size) - 1)
    return bytes([size]) + raised.to_bytes(size) + name[1 + size :]


def _unique(*records: Record) -> list[Record]:
    return list(dict.fromkeys(records))
