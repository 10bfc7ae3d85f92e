"""One zone with its keys: what it answers about its own names, signed and with proofs (RFC 4035 §3).

A zone without a ``Signing`` goes the same way and has no signatures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from secdns.dns import name as names
from secdns.dns.message import Record
from secdns.iana import DNSSECAlgorithm, RCode, RRClass, RRType
from secdns.testing.denials import Chain, Content, Denial, make_chain, nsec3_parameters
from secdns.testing.signing import HONEST, SEP, ZONE, Key, Terms, make_key, sign

DAY_S = 86400
MEMO_SIZE = 4096  # RRsets whose signatures are kept

_ASTERISK = b"\x01*"


@dataclass(frozen=True, slots=True)
class Signing:
    """How a zone is signed.

    ``algorithms`` are of the keys that are made, each one key-signing and one zone-signing, or one key
    for both where ``is_split`` is false; ``keys`` are taken instead where there are any. Keys with SEP
    sign the DNSKEY RRset, keys without sign the rest, keys of any kind do both where the other kind is
    missing. DS records, of each of ``digests``, stand for keys with SEP that are not revoked, or for all
    keys where there is none such.

    ``iterations`` and ``salt`` belong to NSEC3. Signatures hold from ``inception_s`` to ``expiration_s``
    seconds after the time the zones were made at.
    """

    algorithms: tuple[int, ...] = (DNSSECAlgorithm.ECDSAP256SHA256,)
    denial: Denial = "nsec"
    iterations: int = 0
    salt: bytes = b""
    is_split: bool = True
    digests: tuple[int, ...] = (2,)
    inception_s: int = -DAY_S
    expiration_s: int = 14 * DAY_S
    keys: tuple[Key, ...] = ()

    def make_keys(self) -> tuple[Key, ...]:
        """Give ``keys``, or new ones."""
        if self.keys:
            return self.keys
        flags = (ZONE | SEP, ZONE) if self.is_split else (ZONE | SEP,)
        return tuple(make_key(algorithm, each) for algorithm in self.algorithms for each in flags)


@dataclass(frozen=True, slots=True)
class Found:
    """What one zone says to a question, signatures included; ``target`` is where an alias leads."""

    rcode: int
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    target: bytes | None = None


class Zone:
    """A zone and its keys. Add delegations before the first question."""

    def __init__(
        self,
        apex: bytes,
        rrsets: Mapping[bytes, Mapping[int, Sequence[Record]]],
        signing: Signing | None,
        now: int,
    ) -> None:
        self.apex = apex
        self.signing = signing
        self.now = now
        self.keys = signing.make_keys() if signing else ()
        self._rrsets = {owner: {t: tuple(r) for t, r in held.items()} for owner, held in rrsets.items()}
        self._delegations: set[bytes] = set()
        self._memo: dict[tuple[Record, ...], tuple[Record, ...]] = {}
        self._soa = self._rrsets[apex][RRType.SOA][0]
        if self.keys:
            held = self._rrsets[apex]
            held[RRType.DNSKEY] = self._at_apex(RRType.DNSKEY, *(key.rdata for key in self.keys))
            if signing and signing.denial in ("nsec3", "opt-out"):
                parameters = nsec3_parameters(signing.iterations, signing.salt)
                held[RRType.NSEC3PARAM] = self._at_apex(RRType.NSEC3PARAM, parameters)

    def _at_apex(self, rrtype: int, *rdatas: bytes) -> tuple[Record, ...]:
        return tuple(Record(self.apex, rrtype, RRClass.IN, self._soa.ttl, rdata) for rdata in rdatas)

    def delegate(self, child: "Zone") -> None:
        """Put the NS records of a child zone here, and its DS records if it is signed.

        DS records that were written into the child's data are taken instead; an unsigned zone takes
        only such.
        """
        written = child._rrsets[child.apex].pop(RRType.DS, ())
        rrsets: dict[int, tuple[Record, ...]] = {RRType.NS: child._rrsets[child.apex][RRType.NS]}
        if ds := written or (child.ds() if self.signing else ()):
            rrsets[RRType.DS] = ds
        self._rrsets[child.apex] = rrsets
        self._delegations.add(child.apex)

    def ds(self) -> tuple[Record, ...]:
        """Give the DS records that stand for this zone."""
        if self.signing is None:
            return ()
        keys = [key for key in self.keys if key.is_sep and not key.is_revoked] or self.keys
        return self._at_apex(RRType.DS, *(key.ds(self.apex, d) for key in keys for d in self.signing.digests))

    # signatures

    def signatures(self, records: Sequence[Record], terms: Terms = HONEST) -> tuple[Record, ...]:
        """Give the RRSIG records of an RRset: by each key that signs such, or by the key of ``terms``."""
        if self.signing is None or not records:
            return ()
        inception, expiration = self.now + self.signing.inception_s, self.now + self.signing.expiration_s
        keys = (terms.key,) if terms.key else self._signing_keys(records[0].rrtype)
        return tuple(sign(records, key, self.apex, inception, expiration, terms) for key in keys)

    def _signing_keys(self, rrtype: int) -> Iterable[Key]:
        is_dnskey = rrtype == RRType.DNSKEY
        for key in self.keys:
            alone = all(other.is_sep == key.is_sep for other in self.keys if other.algorithm == key.algorithm)
            if (alone or key.is_sep == is_dnskey) and (is_dnskey or not key.is_revoked):
                yield key

    def signed(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """Give one RRset and its RRSIG records; what is not authoritative here has none (RFC 4035 §2.2)."""
        rrset = tuple(records)
        if not rrset or (rrset[0].rrtype == RRType.NS and rrset[0].name.lower() in self._delegations):
            return rrset
        if rrset not in self._memo:
            if len(self._memo) >= MEMO_SIZE:
                self._memo.clear()
            self._memo[rrset] = rrset + self.signatures(rrset)
        return self._memo[rrset]

    # denial

    @cached_property
    def _existing(self) -> dict[bytes, frozenset[int]]:
        """Give the types at every name that exists: none at an empty non-terminal."""
        types: dict[bytes, frozenset[int]] = {}
        for owner, rrsets in self._rrsets.items():
            for name in names.suffixes(owner):
                types.setdefault(name, frozenset())
                if name == self.apex:
                    break
            types[owner] = frozenset(rrsets)
        return types

    @cached_property
    def chain(self) -> Chain | None:
        """What proves denials; None if the zone is unsigned."""
        if self.signing is None:
            return None
        insecure = frozenset(d for d in self._delegations if RRType.DS not in self._rrsets[d])
        content = Content(self.apex, self._negative_ttl_s, self._existing, insecure)
        return make_chain(content, self.signing.denial, self.signing.iterations, self.signing.salt)

    @property
    def is_compact(self) -> bool:
        """Whether a name that does not exist is NODATA to who sees the proof (RFC 9824)."""
        return self.signing is not None and self.signing.denial == "compact"

    @property
    def _negative_ttl_s(self) -> int:
        return min(self._soa.ttl, int.from_bytes(self._soa.rdata[-4:]))  # RFC 2308 §5, RFC 9077

    def _denial(self, proof: Iterable[Record]) -> tuple[Record, ...]:
        """Give the SOA with the negative TTL, and a proof; both signed."""
        ttl_s = self._negative_ttl_s
        soa = [Record(r.name, r.rrtype, r.rrclass, ttl_s, r.rdata) for r in self.signed([self._soa])]
        return (*soa, *self._proof(proof))

    def _proof(self, proof: Iterable[Record]) -> tuple[Record, ...]:
        return tuple(record for denying in proof for record in self.signed([denying]))

    # answers

    def rrset(self, name: bytes, rrtype: int) -> tuple[Record, ...]:
        """Give an RRset that this zone holds at a name, NSEC too, with its signatures; maybe nothing."""
        return self.signed(self._at(name.lower()).get(rrtype, ()))

    def _at(self, owner: bytes) -> dict[int, tuple[Record, ...]]:
        """Give the RRsets of a name, the NSEC that it owns included."""
        rrsets = dict(self._rrsets.get(owner, {}))
        denying = self.chain.at(owner) if self.chain and owner in self._existing else None
        return rrsets if denying is None else rrsets | {RRType.NSEC: (denying,)}

    def find(self, name: bytes, rrtype: int) -> Found:
        """Answer a question about a name of this zone."""
        key = name.lower()
        for ancestor in names.suffixes(key):
            if ancestor != key and RRType.DNAME in self._rrsets.get(ancestor, {}):
                return self._redirect(name, ancestor)
            if ancestor == self.apex:
                break
        if key in self._existing:
            return self._find_at(name, key, rrtype, key)
        closest = next(suffix for suffix in names.suffixes(key) if suffix in self._existing)
        if _ASTERISK + closest in self._existing:
            return self._find_at(name, _ASTERISK + closest, rrtype, closest)
        proof = self.chain.nxdomain(key, closest) if self.chain else ()
        return Found(RCode.NXDOMAIN, (), self._denial(proof))

    def _find_at(self, name: bytes, source: bytes, rrtype: int, closest: bytes) -> Found:
        """Answer from the RRsets at ``source``: the name itself, or the wildcard below ``closest``."""
        key = name.lower()
        held = self._at(source)
        if source != key:
            held.pop(RRType.NSEC, None)  # an expanded NSEC would deny what it knows nothing of
        target = None
        wanted: Iterable[tuple[Record, ...]] = ()
        if rrtype in (RRType.ANY, RRType.RRSIG):
            wanted = held.values()
        elif rrtype in held:
            wanted = (held[rrtype],)
        elif RRType.CNAME in held:
            wanted = (held[RRType.CNAME],)
            target = held[RRType.CNAME][0].rdata
        answer = tuple(record for rrset in wanted for record in self._expanded(rrset, name))
        if rrtype == RRType.RRSIG:
            answer = tuple(record for record in answer if record.rrtype == RRType.RRSIG)
        if not answer:
            return Found(RCode.NOERROR, (), self._denial(self._no_type(key, source, closest)))
        proof = self.chain.wildcard_answer(key, closest) if self.chain and source != key else ()
        return Found(RCode.NOERROR, answer, self._proof(proof), target)

    def _no_type(self, key: bytes, source: bytes, closest: bytes) -> Iterable[Record]:
        if self.chain is None:
            return ()
        return self.chain.nodata(key) if source == key else self.chain.wildcard_nodata(key, closest)

    def _expanded(self, rrset: Sequence[Record], name: bytes) -> tuple[Record, ...]:
        """Give an RRset and its signatures under the name asked for.

        Compact denial signs an expanded wildcard as if the name were there.
        """
        if self.is_compact:
            return self.signed(_renamed(rrset, name))
        return _renamed(self.signed(rrset), name)

    def _redirect(self, name: bytes, owner: bytes) -> Found:
        """Give a DNAME and the CNAME that follows from it, unsigned (RFC 6672 §3)."""
        dname = self._rrsets[owner][RRType.DNAME]
        answer = self.signed(dname)
        target = name[: len(name) - len(owner)] + dname[0].rdata
        if len(target) > names.MAX_NAME:
            return Found(RCode.YXDOMAIN, answer)
        cname = Record(name, RRType.CNAME, RRClass.IN, dname[0].ttl, target)
        return Found(RCode.NOERROR, (*answer, cname), (), target)


def _renamed(records: Iterable[Record], name: bytes) -> tuple[Record, ...]:
    return tuple(Record(name, r.rrtype, r.rrclass, r.ttl, r.rdata) for r in records)
