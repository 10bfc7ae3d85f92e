"""Check one RRset against its RRSIGs and the keys of its zone (RFC 4035 §5.3, RFC 6840 §5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from secdns.dns.message import Record
from secdns.dns.name import is_subdomain, to_text
from secdns.dns.wire import skip_plain_name
from secdns.dnssec.algorithms import DEFAULT, Policy, Verifier, is_supported, load_key
from secdns.dnssec.canonical import label_count, signed_data, wildcard
from secdns.dnssec.limits import KEYS_PER_RRSIG, RRSIGS_PER_RRSET, RRSIGS_SEEN, Budget
from secdns.dnssec.times import ahead, shown, skew, span
from secdns.dnssec.verdict import Reason
from secdns.errors import FormatError
from secdns.iana import EDE, DNSSECAlgorithm, RRType, type_text

ZONE_KEY: Final = 0x0100  # RFC 4034 §2.1.1
REVOKE: Final = 0x0080  # RFC 5011 §3
SECURE_ENTRY_POINT: Final = 0x0001  # RFC 4034 §2.1.1
PROTOCOL: Final = 3  # RFC 4034 §2.1.2

_RRSIG: Final = Struct("!HBBIIIH")
_DNSKEY: Final = Struct("!HBB")
# Attributes of an enumeration cost more than the comparison.
_DS: Final = int(RRType.DS)
_DENIALS: Final = frozenset({int(RRType.NSEC), int(RRType.NSEC3)})
_UNSIGNED: Final = frozenset({0, int(RRType.OPT), int(RRType.RRSIG), 0xFFFF})


@dataclass(frozen=True, slots=True)
class Signature:
    """An RRSIG (RFC 4034 §3). Times are seconds since 1970 modulo 2**32, TTLs are seconds."""

    owner: bytes  # lower case
    rrclass: int
    ttl: int  # of the RRSIG itself
    covered: int
    algorithm: int
    labels: int
    original_ttl: int
    expiration: int
    inception: int
    key_tag: int
    signer: bytes  # lower case
    signature: bytes
    head: bytes = field(repr=False)  # the RDATA before the signature, the signer in lower case


@dataclass(frozen=True, slots=True)
class Key:
    """A DNSKEY (RFC 4034 §2).

    ``verifier`` is None if the algorithm does not count, or the public key cannot be read.
    """

    zone: bytes  # lower case
    flags: int
    protocol: int
    algorithm: int
    public_key: bytes = field(repr=False)
    tag: int
    rdata: bytes = field(repr=False)
    verifier: Verifier | None = field(compare=False, repr=False)

    @property
    def is_zone_key(self) -> bool:
        """The key may sign records of its zone (RFC 4034 §2.1.1)."""
        return bool(self.flags & ZONE_KEY)

    @property
    def is_revoked(self) -> bool:
        """The key is taken back for good (RFC 5011 §2.1)."""
        return bool(self.flags & REVOKE)

    @property
    def is_secure_entry_point(self) -> bool:
        """The key is meant for DS records and trust anchors (RFC 4034 §2.1.1)."""
        return bool(self.flags & SECURE_ENTRY_POINT)


@dataclass(frozen=True, slots=True)
class Verified:
    """An RRset that a key of its zone signed.

    ``ttl_s`` is how long it may be kept (RFC 4035 §5.3.3). ``expanded_from`` is the wildcard
    owner name that was signed, None if it was the RRset's own: then nothing closer may exist, which takes
    a proof (RFC 4035 §5.3.4).
    """

    ttl_s: int
    signature: Signature
    key: Key
    expanded_from: bytes | None


def read_signature(record: Record) -> Signature:
    """Give the RRSIG in a record.

    Raises:
        FormatError: the RDATA is too short, its signer is no uncompressed name, or no signature
            follows it.
    """
    rdata = record.rdata
    if len(rdata) < 19:
        raise FormatError(f"RRSIG RDATA of {len(rdata)} octets, at least 20 were wanted")
    end = skip_plain_name(rdata, 18)
    if end == len(rdata):
        raise FormatError("RRSIG RDATA ends before the signature")
    signer = rdata[18:end].lower()
    covered, algorithm, labels, original_ttl, expiration, inception, tag = _RRSIG.unpack_from(rdata)
    return Signature(
        record.name.lower(),
        record.rrclass,
        record.ttl,
        covered,
        algorithm,
        labels,
        original_ttl,
        expiration,
        inception,
        tag,
        signer,
        rdata[end:],
        rdata[:18] + signer,
    )


def read_key(record: Record, policy: Policy = DEFAULT) -> Key:
    """Give the key in a DNSKEY record.

    Raises:
        FormatError: the RDATA has less than four octets.
    """
    rdata = record.rdata
    if len(rdata) < 4:
        raise FormatError(f"DNSKEY RDATA of {len(rdata)} octets, at least 4 were wanted")
    flags, protocol, algorithm = _DNSKEY.unpack_from(rdata)
    public_key = rdata[4:]
    verifier = load_key(algorithm, public_key) if is_supported(algorithm, policy) else None
    return Key(record.name.lower(), flags, protocol, algorithm, public_key, key_tag(rdata), rdata, verifier)


def key_tag(rdata: bytes) -> int:
    """Give the key tag of DNSKEY RDATA of at least four octets (RFC 4034 Appendix B)."""
    if rdata[3] == DNSSECAlgorithm.RSAMD5:  # two octets of the modulus instead (Appendix B.1)
        return int.from_bytes(rdata[-3:-1])
    total = (sum(rdata[::2]) << 8) + sum(rdata[1::2])
    return total + (total >> 16) & 0xFFFF


class _Refusal(IntEnum):
    """Why one RRSIG proves nothing, what a person most wants to know first."""

    EXPIRED = 1
    NOT_YET_VALID = 2
    NO_KEY = 3
    MISMATCH = 4
    REVOKED = 5
    UNUSABLE = 6
    NO_ZONE_KEY = 7
    BACKWARDS = 8
    LABELS = 9
    WILDCARD = 10
    SIGNER = 11


# What {rrset}, {key} and so on stand for: see _explain.
_REASONS: Final[dict[_Refusal, tuple[EDE, str]]] = {
    _Refusal.EXPIRED: (
        EDE.SIGNATURE_EXPIRED,
        "the signature of {rrset} by {key} expired {since} ago, on {expiration}",
    ),
    _Refusal.NOT_YET_VALID: (
        EDE.SIGNATURE_NOT_YET_VALID,
        "the signature of {rrset} by {key} is valid only in {until}, from {inception}",
    ),
    _Refusal.NO_KEY: (EDE.DNSKEY_MISSING, "{rrset} is signed by {key}, which the zone does not have"),
    _Refusal.MISMATCH: (EDE.DNSSEC_BOGUS, "the signature of {rrset} by {key} does not match"),
    _Refusal.REVOKED: (EDE.DNSSEC_BOGUS, "{rrset} is signed by {key}, which is revoked"),
    _Refusal.UNUSABLE: (
        EDE.UNSUPPORTED_DNSKEY_ALGORITHM,
        "{rrset} is signed by {key}, which cannot be used: algorithm {algorithm}",
    ),
    _Refusal.NO_ZONE_KEY: (EDE.NO_ZONE_KEY_BIT_SET, "{rrset} is signed by {key}, which is no zone key"),
    _Refusal.BACKWARDS: (EDE.DNSSEC_BOGUS, "the signature of {rrset} by {key} expires before it is valid"),
    _Refusal.LABELS: (EDE.DNSSEC_BOGUS, "the signature of {rrset} by {key} counts {labels} labels"),
    _Refusal.WILDCARD: (EDE.DNSSEC_BOGUS, "the signature of {rrset} by {key} is that of a wildcard"),
    _Refusal.SIGNER: (EDE.DNSSEC_BOGUS, "{rrset} is signed by {key}, not by its zone {zone}"),
}


class _Subject(NamedTuple):
    """What has to be signed, and when."""

    owner: bytes
    rrtype: int
    rrclass: int
    records: Sequence[Record]
    zone: bytes
    labels: int
    wall: int


def verify(
    rrset_owner: bytes,
    rrtype: int,
    records: Sequence[Record],
    signatures: Sequence[Signature],
    zone: bytes,
    keys: Sequence[Key],
    wall: int,
    budget: Budget,
) -> Verified | Reason:
    """Tell whether one of the RRSIGs proves that ``zone`` holds this RRset (RFC 4035 §5.3).

    ``records`` are all of the RRset, at least one; ``signatures`` may be of anything. ``zone``,
    in lower case, is the apex of the zone that has to have signed, and ``keys`` are
    authenticated keys of it. ``wall`` is seconds since 1970. The first good signature wins; what
    is refused without cryptography costs no budget. The reason given is the one that helps most.

    Raises:
        OverBudget: the budget has no signature check left.
    """
    owner = rrset_owner.lower()
    rrclass = records[0].rrclass
    subject = _Subject(owner, rrtype, rrclass, records, zone, label_count(owner), wall)
    if reason := _refuse_rrset(subject):
        return reason
    closest: tuple[_Refusal, Signature] | None = None
    tried = 0
    for signature in signatures[: RRSIGS_SEEN.default]:
        if signature.owner != owner or signature.covered != rrtype or signature.rrclass != rrclass:
            continue
        outcome: Key | _Refusal | None = _refuse_signature(signature, subject)
        if outcome is None:
            candidates = _candidates(signature, keys)
            tried += bool(candidates)
            if tried > RRSIGS_PER_RRSET.default:
                break
            outcome = _try_keys(signature, subject, candidates, budget)
        if isinstance(outcome, Key):
            return _verified(signature, subject, outcome)
        if closest is None or outcome < closest[0]:
            closest = outcome, signature
    if closest is None:
        return Reason(
            EDE.RRSIGS_MISSING,
            f"{_rrset_text(subject)} has no signature, but its zone {to_text(zone)} is signed",
        )
    return _explain(*closest, subject)


def _refuse_rrset(subject: _Subject) -> Reason | None:
    """Say why no signature could prove this RRset, None if one may."""
    owner, rrtype = subject.owner, subject.rrtype
    for record in subject.records:
        if record.rrtype != rrtype or record.rrclass != subject.rrclass or record.name.lower() != owner:
            return Reason(EDE.DNSSEC_BOGUS, f"the records of {_rrset_text(subject)} are not one RRset")
    # Types 128 to 255 are questions and transactions, never data (RFC 6895 §3.1); an RRSIG is
    # never signed itself (RFC 4035 §2.2).
    if rrtype in _UNSIGNED or 128 <= rrtype < 256:
        return Reason(EDE.DNSSEC_BOGUS, f"{_rrset_text(subject)} is of a type that cannot be signed")
    # A DS belongs to the parent; signed by the child it would vouch for itself (RFC 4035 §2.4).
    is_apex = owner == subject.zone
    if (is_apex and rrtype == _DS) or not (is_apex or is_subdomain(owner, subject.zone)):
        return Reason(EDE.DNSSEC_BOGUS, f"{_rrset_text(subject)} is not in the zone {to_text(subject.zone)}")
    return None


def _refuse_signature(signature: Signature, subject: _Subject) -> _Refusal | None:
    """Say why an RRSIG of this RRset proves nothing whatever key signed it (RFC 4035 §5.3.1)."""
    if signature.signer != subject.zone:
        return _Refusal.SIGNER
    if signature.labels != subject.labels:
        # Fewer labels than the signer has would make a wildcard above the zone (CVE-2026-11721).
        if not label_count(subject.zone) <= signature.labels < subject.labels:
            return _Refusal.LABELS
        if subject.rrtype in _DENIALS:  # else a replayed proof would deny any name (RFC 4035 §5.3.4)
            return _Refusal.WILDCARD
    validity = ahead(signature.expiration, signature.inception)
    if validity < 0:
        return _Refusal.BACKWARDS
    tolerance = skew(validity)
    if ahead(subject.wall, signature.expiration) > tolerance:
        return _Refusal.EXPIRED
    if ahead(subject.wall, signature.inception) < -tolerance:
        return _Refusal.NOT_YET_VALID
    return None


def _candidates(signature: Signature, keys: Sequence[Key]) -> list[Key]:
    """Give the keys that the RRSIG may mean, no more than may be tried."""
    tag, algorithm, signer = signature.key_tag, signature.algorithm, signature.signer
    found = [
        key
        for key in keys
        if key.tag == tag and key.algorithm == algorithm and key.zone == signer and key.protocol == PROTOCOL
    ]
    return found[: KEYS_PER_RRSIG.default]


def _try_keys(
    signature: Signature, subject: _Subject, candidates: list[Key], budget: Budget
) -> Key | _Refusal:
    """Give the key that made the signature, or what is wrong with the one that comes closest."""
    closest = _Refusal.NO_ZONE_KEY if candidates else _Refusal.NO_KEY
    data = b""
    for key in candidates:
        refusal = _refuse_key(key)
        if refusal is None and key.verifier is not None:
            try:
                data = data or signed_data(
                    signature.head,
                    subject.owner,
                    subject.rrtype,
                    subject.rrclass,
                    signature.original_ttl,
                    [record.rdata for record in subject.records],
                    signature.labels,
                )
            except FormatError:  # RDATA that its signer could not have read either
                return _Refusal.MISMATCH
            budget.spend_signature()
            if key.verifier(signature.signature, data):
                return key
            refusal = _Refusal.MISMATCH
        closest = min(closest, refusal or _Refusal.UNUSABLE)
    return closest


def _refuse_key(key: Key) -> _Refusal | None:
    if not key.is_zone_key:
        return _Refusal.NO_ZONE_KEY
    return _Refusal.REVOKED if key.is_revoked else None


def _verified(signature: Signature, subject: _Subject, key: Key) -> Verified:
    left = max(ahead(signature.expiration, subject.wall), 0)  # less than none while skew is allowed for
    ttl = min(signature.ttl, signature.original_ttl, left, *[record.ttl for record in subject.records])
    is_expanded = signature.labels < subject.labels
    expanded_from = wildcard(subject.owner, signature.labels) if is_expanded else None
    return Verified(ttl, signature, key, expanded_from)


def _rrset_text(subject: _Subject) -> str:
    return f"{to_text(subject.owner)} {type_text(subject.rrtype)}"


def _explain(refusal: _Refusal, signature: Signature, subject: _Subject) -> Reason:
    ede, text = _REASONS[refusal]
    wall = subject.wall
    late = ahead(wall, signature.expiration)
    early = -ahead(wall, signature.inception)
    text = text.format(
        rrset=_rrset_text(subject),
        key=f"key {signature.key_tag} of {to_text(signature.signer)}",
        zone=to_text(subject.zone),
        algorithm=signature.algorithm,
        labels=signature.labels,
        expiration=shown(wall - late),
        since=span(late),
        inception=shown(wall + early),
        until=span(early),
    )
    return Reason(ede, text)
