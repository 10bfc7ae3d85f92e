"""Break the answers of signed zones: every function gives a fault to put into ``SignedZones.faults``.

A fault takes the zones and a good reply and gives a bad one. Faults compose: each sees what the one before
left. They pick RRsets by owner and type, None meaning any, in the answer and the authority section, or a
question by QNAME and QTYPE. What says that it signs does so with the keys of the zone, so that only the one
thing named is wrong.

    zones.faults = [expired("www.a.test", RRType.A), asked("no.a.test", RRType.A, without_proof(0))]

Some kinds of broken zone need no fault: times and keys (revoked ones too) are ``Signing``'s, DS records of
any content stand in the zone's data, and an answer that has to be composed is given to ``said`` from
``Zone.rrset``, ``Zone.chain`` and ``Zone.signed``.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence

from secdns.dns import name as names
from secdns.dns.message import Message, Record
from secdns.iana import DNSSECAlgorithm, RCode, RRClass, RRType
from secdns.testing.denials import NSEC3Chain, bitmap, nsec, types_in
from secdns.testing.hierarchy import Fault, SignedZones
from secdns.testing.keytrap import same_tag_keys
from secdns.testing.signed import DAY_S, Zone
from secdns.testing.signing import HONEST, Terms

Records = tuple[Record, ...]
Change = Callable[[SignedZones, Records, Records], Iterable[Record]]
"""(zones, an RRset, its signatures) -> what stands in their place."""

_DENIALS = frozenset({RRType.NSEC, RRType.NSEC3})
_HASH_SIZE = 20


def changed(name: str | None, rrtype: int | None, change: Change) -> Fault:
    """Put something else in the place of RRsets and their signatures."""
    owner = None if name is None else names.from_text(name).lower()

    def fault(zones: SignedZones, reply: Message) -> Message:
        def section(records: Records) -> Records:
            out: list[Record] = []
            for (have, kind), (rrset, signatures) in _rrsets(records).items():
                if owner in (None, have) and rrtype in (None, kind):
                    out += change(zones, rrset, signatures)
                else:
                    out += (*rrset, *signatures)
            return tuple(out)

        return dataclasses.replace(reply, answer=section(reply.answer), authority=section(reply.authority))

    return fault


def asked(qname: str, rrtype: int, *faults: Fault) -> Fault:
    """Let faults hold for one question only."""
    wanted = names.from_text(qname).lower()

    def fault(zones: SignedZones, reply: Message) -> Message:
        question = reply.question[0]
        if (question.name.lower(), question.rrtype) == (wanted, rrtype):
            for each in faults:
                reply = each(zones, reply)
        return reply

    return fault


def both(*faults: Fault) -> Fault:
    """Make one fault of several."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        for each in faults:
            reply = each(zones, reply)
        return reply

    return fault


# signatures


def stripped(name: str | None = None, rrtype: int | None = None) -> Fault:
    """Leave the signatures out."""
    return changed(name, rrtype, lambda zones, rrset, signatures: rrset)


def unaware() -> Fault:
    """Answer like an upstream that knows nothing of DO."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        hidden = _DENIALS | {RRType.RRSIG}
        answer = tuple(record for record in reply.answer if record.rrtype not in hidden)
        authority = tuple(record for record in reply.authority if record.rrtype not in hidden)
        return dataclasses.replace(reply, answer=answer, authority=authority)

    return fault


def resigned(name: str | None, rrtype: int | None, terms: Terms | Callable[[SignedZones], Terms]) -> Fault:
    """Sign on other terms, in truth: wrong labels, signer, times, key tag, key."""

    def change(zones: SignedZones, rrset: Records, signatures: Records) -> Iterable[Record]:
        how = terms if isinstance(terms, Terms) else terms(zones)
        return (*rrset, *_sign_again(zones, rrset, signatures, how))

    return changed(name, rrtype, change)


def expired(name: str | None, rrtype: int | None, ago_s: int = 2 * DAY_S) -> Fault:
    """Let signatures have ended ``ago_s`` seconds before the zones' time, after a fortnight."""

    def terms(zones: SignedZones) -> Terms:
        return Terms(inception=zones.now - ago_s - 14 * DAY_S, expiration=zones.now - ago_s)

    return resigned(name, rrtype, terms)


def not_yet_valid(name: str | None, rrtype: int | None, ahead_s: int = 2 * DAY_S) -> Fault:
    """Let signatures begin ``ahead_s`` seconds after the zones' time, for a fortnight."""

    def terms(zones: SignedZones) -> Terms:
        return Terms(inception=zones.now + ahead_s, expiration=zones.now + ahead_s + 14 * DAY_S)

    return resigned(name, rrtype, terms)


def mangled(name: str | None, rrtype: int | None) -> Fault:
    """Turn one bit at the end of each signature."""

    def change(zones: SignedZones, rrset: Records, signatures: Records) -> Iterable[Record]:
        return (*rrset, *(_with_rdata(s, s.rdata[:-1] + bytes([s.rdata[-1] ^ 1])) for s in signatures))

    return changed(name, rrtype, change)


def signed_by_another_key(zone: str) -> Fault:
    """Sign the DNSKEY RRset of a zone with the keys that no DS stands for, and with them only."""

    def change(zones: SignedZones, rrset: Records, signatures: Records) -> Iterable[Record]:
        others = [key for key in zones.zone(zone).keys if not key.is_sep]
        again = [_sign_again(zones, rrset, signatures, Terms(key=key)) for key in others]
        return (*rrset, *(record for made in again for record in made))

    return changed(zone, RRType.DNSKEY, change)


def key_trap(
    zone: str,
    name: str | None,
    rrtype: int,
    *,
    keys: int,
    signatures: int,
    algorithm: int = DNSSECAlgorithm.ED25519,
) -> Fault:
    """Give a zone many keys of one tag, and one of its RRsets many signatures with that tag.

    The DNSKEY RRset itself validates. See ``keytrap`` for the algorithms.
    """
    trap = same_tag_keys(keys, tag=12345, algorithm=algorithm)
    with_keys = edited(zone, RRType.DNSKEY, lambda rdatas: [*rdatas, *(key.rdata for key in trap)])

    def change(zones: SignedZones, rrset: Records, honest: Records) -> Iterable[Record]:
        again = [_sign_again(zones, rrset, honest, Terms(key=trap[0])) for _ in range(signatures)]
        return (*rrset, *(record for made in again for record in made))

    return both(with_keys, changed(name, rrtype, change))


# RDATA

Edit = Callable[[Sequence[bytes]], Iterable[bytes]]
"""The RDATA of all records of an RRset -> other RDATA."""


def edited(name: str | None, rrtype: int | None, edit: Edit) -> Fault:
    """Change RDATA and sign anew."""

    def change(zones: SignedZones, rrset: Records, signatures: Records) -> Iterable[Record]:
        records = _edited(rrset, edit)
        return (*records, *_sign_again(zones, records, signatures, HONEST))

    return changed(name, rrtype, change)


def tampered(name: str | None, rrtype: int | None, edit: Edit | None = None) -> Fault:
    """Change RDATA, in its last octet unless told otherwise, and leave the signatures as they were."""

    def last_octet(rdatas: Sequence[bytes]) -> list[bytes]:
        return [rdata[:-1] + bytes([rdata[-1] ^ 1]) for rdata in rdatas]

    def change(zones: SignedZones, rrset: Records, signatures: Records) -> Iterable[Record]:
        return (*_edited(rrset, edit or last_octet), *signatures)

    return changed(name, rrtype, change)


def with_ds(
    child: str,
    *,
    algorithm: int | None = None,
    digest_type: int | None = None,
    key_tag: int | None = None,
    digest: bytes | None = None,
    keep: bool = False,
) -> Fault:
    """Let the parent sign DS records that say something else, instead of the genuine or beside them."""

    def edit(rdatas: Sequence[bytes]) -> list[bytes]:
        other = [
            (rdata[:2] if key_tag is None else key_tag.to_bytes(2))
            + bytes([rdata[2] if algorithm is None else algorithm])
            + bytes([rdata[3] if digest_type is None else digest_type])
            + (rdata[4:] if digest is None else digest)
            for rdata in rdatas
        ]
        return [*rdatas, *other] if keep else other

    return edited(child, RRType.DS, edit)


# proofs


def without_proof(number: int | None = None) -> Fault:
    """Leave out one NSEC or NSEC3 record, counted from 0, and its signatures; None means all."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        kept: list[Record] = []
        seen = 0
        for (_, rrtype), (rrset, signatures) in _rrsets(reply.authority).items():
            is_proof = rrtype in _DENIALS
            if not is_proof or number not in (None, seen):
                kept += (*rrset, *signatures)
            seen += is_proof
        return dataclasses.replace(reply, authority=tuple(kept))

    return fault


def with_types(name: str | None = None, *, add: Iterable[int] = (), remove: Iterable[int] = ()) -> Fault:
    """Change the type bit maps of NSEC and NSEC3 records, and sign anew."""
    added, removed = frozenset(add), frozenset(remove)

    def edit(rdata: bytes, at: int) -> bytes:
        return rdata[:at] + bitmap((types_in(rdata[at:]) | added) - removed)

    in_nsec = edited(name, RRType.NSEC, lambda rdatas: [edit(r, _name_end(r, 0)) for r in rdatas])
    in_nsec3 = edited(name, RRType.NSEC3, lambda rdatas: [edit(r, 6 + r[4] + _HASH_SIZE) for r in rdatas])
    return both(in_nsec, in_nsec3)


def with_next(name: str | None, following: str) -> Fault:
    """Change the next name of NSEC records, and sign anew."""
    wanted = names.from_text(following)
    return edited(
        name, RRType.NSEC, lambda rdatas: [wanted + rdata[_name_end(rdata, 0) :] for rdata in rdatas]
    )


def padded(count: int) -> Fault:
    """Add valid NSEC or NSEC3 records that prove nothing of use to every proof (CVE-2026-11605).

    Some 280 fit into a message.
    """

    def fault(zones: SignedZones, reply: Message) -> Message:
        proofs = [signed for (_, rrtype), signed in _rrsets(reply.authority).items() if rrtype in _DENIALS]
        if not proofs or not proofs[0][1]:
            return reply
        zone = _signer(zones, proofs[0][1][0])
        more = [record for number in range(count) for record in zone.signed([_idle_proof(zone, number)])]
        return dataclasses.replace(reply, authority=(*reply.authority, *more))

    return fault


# whole replies


def without(name: str | None, rrtype: int | None) -> Fault:
    """Leave RRsets out, with their signatures."""
    return changed(name, rrtype, lambda zones, rrset, signatures: ())


def with_extra(zone: str, name: str, rrtype: int, *, in_answer: bool = False) -> Fault:
    """Add an RRset that a zone holds, with its signatures, to the authority section or the answer."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        more = zones.zone(zone).rrset(names.from_text(name), rrtype)
        if in_answer:
            return dataclasses.replace(reply, answer=(*reply.answer, *more))
        return dataclasses.replace(reply, authority=(*reply.authority, *more))

    return fault


def said(
    qname: str,
    rrtype: int,
    rcode: int = RCode.NOERROR,
    answer: Iterable[Record] = (),
    authority: Iterable[Record] = (),
) -> Fault:
    """Give a reply of one's own to a question; signatures have to be among the records."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        return dataclasses.replace(
            reply,
            flags=reply.flags & 0xFFF0 | rcode & 15,
            answer=tuple(answer),
            authority=tuple(authority),
        )

    return asked(qname, rrtype, fault)


def without_reason(qname: str, rrtype: int) -> Fault:
    """Deny a type, such as a DS, with the SOA and no proof."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        zone = zones.zone_of(names.from_text(qname), rrtype)
        return dataclasses.replace(reply, answer=(), authority=zone.rrset(zone.apex, RRType.SOA))

    return asked(qname, rrtype, fault)


def alias_instead(qname: str, rrtype: int, target: str) -> Fault:
    """Answer a question, such as that for a DS, with a CNAME that the zone signs."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        owner = names.from_text(qname)
        alias = Record(owner, RRType.CNAME, RRClass.IN, 300, names.from_text(target))
        answer = zones.zone_of(owner, rrtype).signed([alias])
        return dataclasses.replace(reply, answer=answer, authority=())

    return asked(qname, rrtype, fault)


def replayed(qname: str, rrtype: int, source: str) -> Fault:
    """Answer with what belongs to another name: a wildcard, say, where a name exists."""

    def fault(zones: SignedZones, reply: Message) -> Message:
        owner = names.from_text(source)
        found = zones.zone_of(owner, rrtype).find(owner, rrtype)
        answer = [dataclasses.replace(record, name=reply.question[0].name) for record in found.answer]
        return dataclasses.replace(
            reply, flags=reply.flags & 0xFFF0, answer=tuple(answer), authority=found.authority
        )

    return asked(qname, rrtype, fault)


def aged(seconds: int) -> Fault:
    """Let TTLs have run down, as in an upstream's cache."""

    def section(records: Records) -> Records:
        return tuple(dataclasses.replace(record, ttl=max(0, record.ttl - seconds)) for record in records)

    def fault(zones: SignedZones, reply: Message) -> Message:
        return dataclasses.replace(reply, answer=section(reply.answer), authority=section(reply.authority))

    return fault


def _rrsets(records: Records) -> dict[tuple[bytes, int], tuple[Records, Records]]:
    """Give RRsets and their signatures by owner and type, in order."""
    found: dict[tuple[bytes, int], tuple[Records, Records]] = {}
    for record in records:
        is_signature = record.rrtype == RRType.RRSIG
        rrtype = int.from_bytes(record.rdata[:2]) if is_signature else record.rrtype
        rrset, signatures = found.get(key := (record.name.lower(), rrtype), ((), ()))
        found[key] = (rrset, (*signatures, record)) if is_signature else ((*rrset, record), signatures)
    return found


def _sign_again(zones: SignedZones, rrset: Records, signatures: Records, terms: Terms) -> Records:
    """Sign an RRset as it was signed before, as a wildcard if it was one, but for ``terms``."""
    if not rrset or not signatures:
        return ()
    was = signatures[0].rdata
    return _signer(zones, signatures[0]).signatures(
        rrset,
        dataclasses.replace(
            terms,
            labels=was[3] if terms.labels is None else terms.labels,
            original_ttl=int.from_bytes(was[4:8]) if terms.original_ttl is None else terms.original_ttl,
        ),
    )


def _signer(zones: SignedZones, signature: Record) -> Zone:
    """Give the zone whose name an RRSIG has as its signer."""
    return zones.zone_of(signature.rdata[18 : _name_end(signature.rdata, 18)], RRType.SOA)


def _with_rdata(record: Record, rdata: bytes) -> Record:
    return dataclasses.replace(record, rdata=rdata)


def _edited(rrset: Records, edit: Edit) -> Records:
    return tuple(_with_rdata(rrset[0], rdata) for rdata in edit([record.rdata for record in rrset]))


def _name_end(octets: bytes, at: int) -> int:
    while octets[at]:
        at += 1 + octets[at]
    return at + 1


def _idle_proof(zone: Zone, number: int) -> Record:
    """Give an NSEC or NSEC3 whose span is as short as can be."""
    seed = hashlib.sha256(b"padding %d" % number).digest()[:_HASH_SIZE]
    if isinstance(zone.chain, NSEC3Chain):
        following = (int.from_bytes(seed) + 1) % (1 << 8 * _HASH_SIZE)
        return zone.chain.record(seed, following.to_bytes(_HASH_SIZE))
    owner = b"\x05%05d" % (number % 100_000) + zone.apex
    return nsec(owner, b"\x01\x00" + owner, {RRType.RRSIG, RRType.NSEC}, 60)
