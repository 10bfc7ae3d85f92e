"""Decide what NSEC and NSEC3 records prove (RFC 4035 §5.4, RFC 5155 §8, RFC 6840 §4, RFC 9824).

What is handed in has been verified: each record carries a good signature by a key of the zone
it is taken to speak for. What is decided here is whether the records together leave no
other truth. Whatever does not follow from them is NOT_PROVEN, and says why.

The words, on one zone:

    example.                SOA NS          a.b.example.     A
    *.w.example.            MX              sub.example.     NS      (its zone is not signed)

    NSEC chain:  example. -> a.b.example. -> sub.example. -> *.w.example. -> example.

    empty non-terminal  b.example. exists, because a.b.example. does, and has no types. It has an
                        NSEC3 but no NSEC; that of example. shows it, by leading below it.
    NODATA              a.b.example. AAAA: the name exists, the type does not. A record matches the
                        name and lists neither the type nor CNAME.
    closest encloser    of x.y.example.: example., the last ancestor that exists.
    next closer name    of x.y.example.: y.example., one label longer than the closest encloser.
                        A record covers it: the name falls between the record's two ends.
    source of synthesis *.w.example. answers for x.w.example. (RFC 4592 §3.3.1). NXDOMAIN must show
                        that there is none; an answer from one, that no name is closer.
    ancestor delegation the NSEC of sub.example.: it is the parent's, denies DS and nothing else
                        (RFC 6840 §4.1).
    opt-out             an NSEC3 that covers sub.example. leaves open that it is an unsigned
                        delegation (RFC 5155 §6), so what rests on it is true but not secure: AD
                        stays clear.
    compact denial      nx.example. NSEC \\000.nx.example. lists RRSIG, NSEC and NXNAME: a NODATA that
                        says that the name does not exist (RFC 9824).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from secdns.dns.message import Record
from secdns.dns.name import ROOT, is_subdomain, parent, suffixes, to_text
from secdns.dnssec.existence import DenialRecord, Evidence, TypeBitmap
from secdns.dnssec.limits import (
    NSEC3_ITERATIONS,
    NSEC3_RECORDS,
    NSEC3_SALT,
    NSEC_RECORDS,
    Budget,
    OverBudget,
)
from secdns.dnssec.nsec import Nsec, NsecSet, read_nsec
from secdns.dnssec.nsec3 import Nsec3, Nsec3Set, read_nsec3
from secdns.dnssec.verdict import Reason
from secdns.errors import FormatError
from secdns.iana import EDE, RRType, type_text

# What a record lists when nothing is at its name (RFC 9824).
_NOTHING = frozenset({RRType.RRSIG, RRType.NSEC, RRType.NSEC3, RRType.NXNAME})


class Finding(Enum):
    """What came of a claim."""

    PROVEN = "proven"
    UNSIGNED_DELEGATION = "unsigned delegation"  # no DS: from here down nothing can be checked
    NO_CUT = "no cut"  # no DS because there is no delegation: what is here is signed by the zone
    TOO_MANY_ITERATIONS = "too many iterations"  # the zone counts as insecure (RFC 9276 §3.2)
    NOT_PROVEN = "not proven"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a claim, and on what it rests.

    ``opt_out``: it rests on an opt-out span, so AD stays clear (RFC 5155 §9.2) and nothing else may
    be concluded from it (RFC 8198 §5.2). ``nxname``: the name does not exist although the answer is
    NODATA. ``used`` are the records that were needed; others that came beside them count for
    nothing. ``reason`` is None if and only if the claim is proven.
    """

    finding: Finding
    opt_out: bool = False
    nxname: bool = False
    used: tuple[DenialRecord, ...] = ()
    reason: Reason | None = None


class _Lack(NamedTuple):
    """What keeps a claim from being proven: an EDE and the second half of its text."""

    ede: EDE
    why: str


class Proofs:
    """The NSEC and NSEC3 records of one zone that came with one answer, verified.

    NSEC3 of several parameters prove nothing together (RFC 5155 §8.2), and those with more
    iterations or salt than we compute make the zone insecure (RFC 9276 §3.2): neither is hashed.
    Names that are hashed are paid for from ``budget``.

    Raises:
        OverBudget: more records than any honest answer holds.
    """

    __slots__ = ("complaint", "evidence", "too_costly", "zone")

    def __init__(self, zone: bytes, nsecs: Sequence[Nsec], nsec3s: Sequence[Nsec3], budget: Budget) -> None:
        if len(nsecs) > NSEC_RECORDS.default or len(nsec3s) > NSEC3_RECORDS.default:
            raise OverBudget(f"{len(nsecs)} NSEC and {len(nsec3s)} NSEC3 records in one answer")
        self.zone = zone.lower()
        self.evidence: list[Evidence] = []
        self.complaint: str | None = None  # what was wrong with a record that does not count
        self.too_costly: str | None = None  # why the NSEC3 records are not looked at
        if nsecs:
            self.evidence.append(NsecSet(self.zone, nsecs))
        if len({(nsec3.iterations, nsec3.salt) for nsec3 in nsec3s}) > 1:
            self.complaint = f"NSEC3 of {to_text(self.zone)} differ in iterations or salt"
        elif nsec3s:
            if nsec3s[0].iterations > NSEC3_ITERATIONS.default:
                self.too_costly = (
                    f"{nsec3s[0].iterations} NSEC3 iterations, {NSEC3_ITERATIONS.default} is the limit"
                )
            elif len(nsec3s[0].salt) > NSEC3_SALT.default:
                self.too_costly = (
                    f"{len(nsec3s[0].salt)} octets of NSEC3 salt, {NSEC3_SALT.default} is the limit"
                )
            else:
                self.evidence.append(Nsec3Set(self.zone, nsec3s, budget))

    @classmethod
    def read(cls, zone: bytes, records: Iterable[Record], budget: Budget) -> "Proofs":
        """Give the proofs in ``records``; one that cannot be used counts for nothing.

        Raises:
            OverBudget: more records than any honest answer holds.
        """
        nsecs: list[Nsec] = []
        nsec3s: list[Nsec3] = []
        complaint: str | None = None
        for record in records:
            try:
                if record.rrtype == RRType.NSEC:
                    nsecs.append(read_nsec(record, zone))
                elif record.rrtype == RRType.NSEC3 and (nsec3 := read_nsec3(record, zone)) is not None:
                    nsec3s.append(nsec3)
            except FormatError as error:
                complaint = complaint or str(error)
        proofs = cls(zone, nsecs, nsec3s, budget)
        proofs.complaint = proofs.complaint or complaint
        return proofs


def nxdomain(proofs: Proofs, qname: bytes) -> Outcome:
    """Prove that ``qname`` does not exist, and no wildcard would answer for it.

    (RFC 4035 §5.4, RFC 5155 §8.4.) PROVEN, TOO_MANY_ITERATIONS or NOT_PROVEN.

    Raises:
        OverBudget: the client query may hash no more names.
    """
    name = qname.lower()
    return _decide(proofs, name, "does not exist", lambda evidence: _nxdomain(evidence, name))


def nodata(proofs: Proofs, qname: bytes, qtype: int) -> Outcome:
    """Prove that ``qname`` exists, or a wildcard answers for it, and that it has no ``qtype``.

    (RFC 4035 §5.4, RFC 5155 §8.5 to §8.7, RFC 6840 §4.3, RFC 9824.) An opt-out span proves it, too:
    it may hide an empty non-terminal. For QTYPE ANY the name must have no types at all.
    PROVEN, TOO_MANY_ITERATIONS or NOT_PROVEN.

    Raises:
        OverBudget: the client query may hash no more names.
    """
    name = qname.lower()
    return _decide(
        proofs, name, f"has no {type_text(qtype)}", lambda evidence: _nodata(evidence, name, qtype)
    )


def wildcard_answer(proofs: Proofs, qname: bytes, source: bytes) -> Outcome:
    """Prove that no name is closer to ``qname`` than the wildcard ``source`` that answered for it.

    (RFC 4035 §5.3.4, RFC 5155 §8.8.) ``source`` is the ``*`` name that the RRSIG of the answer
    gives away; that signature is what proves that it exists. PROVEN, TOO_MANY_ITERATIONS or
    NOT_PROVEN.

    Raises:
        OverBudget: the client query may hash no more names.
    """
    name = qname.lower()
    what = "is answered by a wildcard"
    closer = _next_closer(name, source.lower(), proofs.zone)
    if closer is None:
        return _not_proven(proofs, name, what, _Lack(EDE.DNSSEC_BOGUS, "there is none above it in its zone"))
    return _decide(proofs, name, what, lambda evidence: _wildcard_answer(evidence, closer))


def no_ds(proofs: Proofs, name: bytes) -> Outcome:
    """Prove that there is no DS at ``name``, below the apex of the zone, and what that means.

    (RFC 4035 §5.2, RFC 5155 §8.6, §8.9, RFC 6840 §4.4.) UNSIGNED_DELEGATION: NS is there, or an
    opt-out span covers the name or one above it. NO_CUT: the name exists without NS, or does not
    exist; whatever wildcard answers for it is signed by the zone. Else TOO_MANY_ITERATIONS or
    NOT_PROVEN.

    Raises:
        OverBudget: the client query may hash no more names.
    """
    name = name.lower()
    if name == proofs.zone:
        return _not_proven(proofs, name, "has no DS", _Lack(EDE.DNSSEC_BOGUS, "only the zone above can tell"))
    return _decide(proofs, name, "has no DS", lambda evidence: _no_ds(evidence, name))


def _decide(proofs: Proofs, name: bytes, what: str, claim: Callable[[Evidence], Outcome | _Lack]) -> Outcome:
    """Try a claim on each kind of record alone; what proves it first is enough."""
    if not is_subdomain(name, proofs.zone):
        return _not_proven(proofs, name, what, _Lack(EDE.DNSSEC_BOGUS, "it is not in the zone"))
    lack: _Lack | None = None
    for evidence in proofs.evidence:
        found = claim(evidence)
        if isinstance(found, Outcome):
            return found
        lack = found
    if proofs.too_costly:
        text = f"{to_text(proofs.zone)} uses {proofs.too_costly}"
        reason = Reason(EDE.UNSUPPORTED_NSEC3_ITERATIONS, text)
        return Outcome(Finding.TOO_MANY_ITERATIONS, reason=reason)
    return _not_proven(proofs, name, what, lack or _Lack(EDE.NSEC_MISSING, "no NSEC or NSEC3 came"))


def _not_proven(proofs: Proofs, name: bytes, what: str, lack: _Lack) -> Outcome:
    text = f"no proof from {to_text(proofs.zone)} that {to_text(name)} {what}: {lack.why}"
    if proofs.complaint:
        text += f"; {proofs.complaint}"
    return Outcome(Finding.NOT_PROVEN, reason=Reason(lack.ede, text))


def _nxdomain(evidence: Evidence, name: bytes) -> Outcome | _Lack:
    match = evidence.matching(name)
    if match is not None and _is_nxname(match.types):
        return Outcome(Finding.PROVEN, nxname=True, used=(match,))
    if match is not None or evidence.showing_empty(name) is not None:
        return _Lack(EDE.DNSSEC_BOGUS, f"its {evidence.kind} says that it exists")
    enclosure = evidence.enclose(name)
    if enclosure is None:
        return _Lack(EDE.NSEC_MISSING, f"no {evidence.kind} shows it")
    wildcard = b"\1*" + enclosure.encloser
    cover = evidence.covering(wildcard)
    if cover is None:
        return _Lack(EDE.NSEC_MISSING, f"no {evidence.kind} shows that {to_text(wildcard)} does not either")
    used = _unique(*enclosure.records, cover)
    return Outcome(Finding.PROVEN, opt_out=enclosure.opt_out or cover.opt_out, used=used)


def _nodata(evidence: Evidence, name: bytes, qtype: int) -> Outcome | _Lack:
    match = evidence.matching(name)
    if match is not None:
        against = _speaks_against(match, name, qtype)
        if against is not None:
            return _Lack(EDE.DNSSEC_BOGUS, f"its {evidence.kind} {against}")
        return Outcome(Finding.PROVEN, nxname=_is_nxname(match.types), used=(match,))
    empty = evidence.showing_empty(name)
    if empty is not None:
        return Outcome(Finding.PROVEN, used=(empty,))
    enclosure = evidence.enclose(name)
    if enclosure is None:
        return _Lack(EDE.NSEC_MISSING, f"no {evidence.kind} matches it or shows what encloses it")
    wildcard = b"\1*" + enclosure.encloser
    source = _empty_of(evidence, wildcard, qtype)
    if source is not None:
        used = _unique(*enclosure.records, source)
        return Outcome(Finding.PROVEN, opt_out=enclosure.opt_out, used=used)
    if enclosure.opt_out:
        return Outcome(Finding.PROVEN, opt_out=True, used=enclosure.records)
    return _Lack(EDE.NSEC_MISSING, f"no {evidence.kind} shows that {to_text(wildcard)} has none")


def _empty_of(evidence: Evidence, wildcard: bytes, qtype: int) -> DenialRecord | None:
    """Give the record that shows a wildcard without ``qtype``.

    One with NS or DNAME is not used: what it answers is undefined (RFC 4592 §4.2, §4.4).
    """
    match = evidence.matching(wildcard)
    if match is None:
        return evidence.showing_empty(wildcard)
    if match.is_silent_below or _speaks_against(match, wildcard, qtype) is not None:
        return None
    return match


def _next_closer(name: bytes, source: bytes, zone: bytes) -> bytes | None:
    """Give the next closer name of ``name`` if ``source`` is a wildcard above it in its zone."""
    if not source.startswith(b"\1*"):
        return None
    encloser = parent(source)
    closer = [suffix for suffix in suffixes(name) if len(suffix) > len(encloser)]
    if not closer or not is_subdomain(name, encloser) or not is_subdomain(encloser, zone):
        return None
    return closer[-1]


def _wildcard_answer(evidence: Evidence, closer: bytes) -> Outcome | _Lack:
    cover = evidence.covering(closer)
    if cover is None:
        return _Lack(EDE.NSEC_MISSING, f"no {evidence.kind} shows that {to_text(closer)} does not exist")
    return Outcome(Finding.PROVEN, opt_out=cover.opt_out, used=(cover,))


def _no_ds(evidence: Evidence, name: bytes) -> Outcome | _Lack:
    match = evidence.matching(name)
    if match is not None:
        against = _speaks_against(match, name, RRType.DS)
        if against is not None:
            return _Lack(EDE.DNSSEC_BOGUS, f"its {evidence.kind} {against}")
        finding = Finding.UNSIGNED_DELEGATION if match.is_delegation else Finding.NO_CUT
        return Outcome(finding, nxname=_is_nxname(match.types), used=(match,))
    empty = evidence.showing_empty(name)
    if empty is not None:
        return Outcome(Finding.NO_CUT, used=(empty,))
    enclosure = evidence.enclose(name)
    if enclosure is None:
        return _Lack(EDE.NSEC_MISSING, f"no {evidence.kind} matches it or shows what encloses it")
    finding = Finding.UNSIGNED_DELEGATION if enclosure.opt_out else Finding.NO_CUT
    return Outcome(finding, opt_out=enclosure.opt_out, used=enclosure.records)


def _speaks_against(match: DenialRecord, name: bytes, qtype: int) -> str | None:
    """Say why the record that matches ``name`` does not prove NODATA; None: it does."""
    types = match.types
    if qtype in types:
        return f"lists {type_text(qtype)}"
    if RRType.CNAME in types:  # then the answer would have been that CNAME (RFC 6840 §4.3)
        return "lists CNAME"
    if qtype == RRType.DS and RRType.SOA in types and name != ROOT:
        return "is from below the zone cut"
    if qtype != RRType.DS and match.is_delegation:
        return "is from above the zone cut"
    if qtype == RRType.ANY and not _is_empty(types):
        return "lists types"
    return None


def _is_nxname(types: TypeBitmap) -> bool:
    return RRType.NXNAME in types and _is_empty(types)


def _is_empty(types: TypeBitmap) -> bool:
    return all(rrtype in _NOTHING for rrtype in types)


def _unique(*records: DenialRecord) -> tuple[DenialRecord, ...]:
    """Give the records once each: one NSEC often covers a name and the wildcard beside it."""
    return tuple(dict.fromkeys(records))
