"""Judge a whole answer: every RRset on the way from QNAME to its data, and what denies the rest.

    QNAME ─▶ its RRset? ─ CNAME ─▶ target ─ … ─▶ data                  each under its own signer
                │ none                    └────▶ no data: denial by the zone around the last name
                └ DNAME above it ─▶ the CNAME must follow from it       (RFC 6672 §5.3.1)

The answer is worth what its weakest part is. Records that carry nothing are dropped, not judged:
an upstream may send what it likes beside an answer and change nothing by it.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from itertools import chain

from secdns.dns.message import Message, Question, Record
from secdns.dns.name import MAX_NAME, is_subdomain, parent, suffixes, to_text
from secdns.dnssec import limits
from secdns.dnssec.aggressive import Denied
from secdns.dnssec.chain import Chain, Denial, Link, Trust, Walk
from secdns.dnssec.denial import Finding, Outcome, nodata, nxdomain, wildcard_answer
from secdns.dnssec.keys import Zone
from secdns.dnssec.limits import Budget, OverBudget
from secdns.dnssec.rrsets import RRsets, Signed
from secdns.dnssec.rrsig import Verified
from secdns.dnssec.verdict import MAX_TTL, Answers, Batch, Reason, Status, Validation, Verdict
from secdns.iana import EDE, RCode, RRType, rcode_text, type_text

_RRSIG = int(RRType.RRSIG)
_ANY = int(RRType.ANY)
_CNAME = int(RRType.CNAME)
_DNAME = int(RRType.DNAME)
_SOA = int(RRType.SOA)
_DS = int(RRType.DS)
_DENIALS = (int(RRType.NSEC), int(RRType.NSEC3))
_ANSWERS = frozenset({RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN})
_RANK = {Status.SECURE: 0, Status.INSECURE: 1, Status.INDETERMINATE: 2, Status.BOGUS: 3}


def validate(
    question: Question,
    message: Message,
    trust: Trust,
    wall: int,
    now: float,
    budget: Budget,
    trail: list[Link] | None = None,
) -> Validation:
    """Judge the answer ``message`` to ``question``; see ``secdns.dnssec.verdict``.

    ``wall`` is seconds since 1970, for signatures; ``now`` seconds of the cache's clock, for
    ``trust.keys``. ``trail`` collects the steps. Raises nothing on any input: a budget that is
    used up makes the answer bogus.
    """
    judge = _Judge(question, message, Chain(trust, wall, now, budget, trail))
    try:
        yield from judge.judge()
    except OverBudget as error:
        return Verdict(Status.BOGUS, message, Reason(EDE.DNSSEC_BOGUS, str(error)), 0)
    return judge.verdict()


class _Judge:
    """One answer on trial."""

    def __init__(self, question: Question, message: Message, chain: Chain) -> None:
        self._name = question.name.lower()
        self._type = question.rrtype
        self._message = message
        self._chain = chain
        self._answer = RRsets(message.answer)
        self._authority = RRsets(message.authority)
        self._kept_answer: dict[tuple[bytes, int], list[Record]] = {}
        self._kept_authority: dict[tuple[bytes, int], list[Record]] = {}
        self._denials: dict[bytes, Denial] = {}  # by zone
        self._status = Status.SECURE
        self._reason: Reason | None = None
        self._ttl_s = MAX_TTL
        self._broken_at: bytes | None = None
        self._denied: Denied | None = None
        self._nxname = False

    # The verdict.

    @property
    def _is_over(self) -> bool:
        return self._status in (Status.BOGUS, Status.INDETERMINATE)

    def _lower(self, status: Status, reason: Reason | None, at: bytes | None = None) -> None:
        """Take the weakest part into account."""
        if _RANK[status] > _RANK[self._status]:
            self._status = status
            self._reason = reason
            self._broken_at = at

    def _refuse(self, text: str) -> None:
        self._lower(Status.BOGUS, Reason(EDE.DNSSEC_BOGUS, text))

    def verdict(self) -> Verdict:
        """Give what the trial has shown."""
        if self._is_over:
            return Verdict(
                self._status,
                self._message,
                self._reason,
                0,
                self._broken_at,
                anchor_keys=self._chain.anchor_keys,
            )
        message = self._message
        answer = [*chain(*self._kept_answer.values())]
        authority = [*chain(*self._kept_authority.values())]
        kept = len(answer) + len(authority)
        if kept != len(message.answer) + len(message.authority) + len(message.additional):
            message = replace(
                message,
                answer=_in_order(message.answer, answer),
                authority=_in_order(message.authority, authority),
                additional=(),
            )
        denied = self._denied if self._status is Status.SECURE else None
        return Verdict(
            self._status,
            message,
            self._reason,
            self._ttl_s,
            denied=denied,
            anchor_keys=self._chain.anchor_keys,
            nxname=self._nxname,
        )

    # The trial.

    def judge(self) -> Generator[Batch, Answers, None]:
        if self._message.rcode not in _ANSWERS:
            text = f"the upstream answered {rcode_text(self._message.rcode)}"
            self._lower(Status.INDETERMINATE, Reason(EDE.NO_REACHABLE_AUTHORITY, text))
            return
        name = self._name
        passed = {name}
        for _ in range(limits.CHAIN.default + 1):
            waiver = self._chain.trust.anchors.covers(name, self._chain.now)
            if waiver is not None:
                text = f"{to_text(waiver)} is not checked: the configuration says so"
                self._lower(Status.INSECURE, Reason(None, text))
            wanted = self._wanted(name)
            if wanted:
                for rrset in wanted:
                    yield from self._positive(rrset, waiver is not None)
                self._end_with(RCode.NOERROR)
                return
            alias = self._answer.find(name, _CNAME)
            if alias is None:
                break
            target = yield from self._follow(alias, waiver is not None)
            if self._is_over or target is None:
                return
            if target in passed:
                self._end_with(RCode.NOERROR)
                return
            passed.add(target)
            name = target
        else:
            raise OverBudget(f"over {limits.CHAIN.default} links from {to_text(self._name)}")
        yield from self._end(name, waiver is not None)

    def _wanted(self, name: bytes) -> list[Signed]:
        """Give the RRsets at ``name`` that answer the question: of QTYPE ANY whatever came."""
        if self._type == _ANY:
            return [rrset for rrset in self._answer.at(name).values() if rrset.records]
        rrset = self._answer.find(name, self._type)
        return [] if rrset is None or self._type == _RRSIG else [rrset]

    def _end_with(self, rcode: int) -> None:
        """Refuse another RCODE than the records prove: nobody signs it."""
        if self._status is Status.SECURE and self._message.rcode != rcode:
            said, meant = rcode_text(self._message.rcode), rcode_text(rcode)
            self._refuse(f"the answer for {to_text(self._name)} says {said} and proves {meant}")

    def _end(self, name: bytes, is_waived: bool) -> Generator[Batch, Answers, None]:
        """Judge an answer whose path ends without data."""
        if self._type == _RRSIG and (found := self._answer.at(name)):
            self._kept_answer.update({key: rrset.covering for key, rrset in found.items()})
            self._lower(Status.INSECURE, Reason(None, "signatures are not signed themselves"))
            return
        dname = self._find_dname(name)
        if dname is not None and self._message.rcode == RCode.YXDOMAIN:
            yield from self._positive(dname, is_waived)
            if len(_substituted(name, dname)) <= MAX_NAME:
                self._end_with(RCode.NOERROR)
            return
        yield from self._negative(name, is_waived)

    def _keep(self, rrset: Signed, zone: Zone | None, *, in_answer: bool = True) -> None:
        """Let an RRset stay in the message; of a signed zone with the RRSIGs of its keys alone."""
        if zone is not None and len(rrset.covering) > 1:
            rrset = rrset.signed_by(zone.name, zone.keys)
        kept = self._kept_answer if in_answer else self._kept_authority
        kept[rrset.owner, rrset.rrtype] = rrset.all_records()

    def _positive(self, rrset: Signed, is_waived: bool) -> Generator[Batch, Answers, None]:
        """Judge one RRset of the answer, its wildcard proof included."""
        if is_waived:
            self._keep(rrset, None)
            return
        zone = yield from self._zone_for(rrset)
        if zone.status is not Status.SECURE:
            self._keep(rrset, None)
            self._note(rrset, zone)
            self._lower(zone.status, zone.reason, zone.name)
            return
        checked = yield from self._chain.check(rrset, zone)
        self._note(rrset, zone, checked)
        if isinstance(checked, Reason):
            self._lower(Status.BOGUS, checked)
            return
        self._keep(rrset, zone)
        self._ttl_s = min(self._ttl_s, checked.ttl_s)
        if checked.expanded_from is not None:  # no closer name may exist (RFC 4035 §5.3.4)
            found = yield from self._collect(zone)
            outcome = wildcard_answer(found.proofs, rrset.owner, checked.expanded_from)
            self._take_proof(rrset.owner, zone, found, outcome)

    def _note(self, rrset: Signed, zone: Zone, checked: Verified | Reason | None = None) -> None:
        status, reason, by = zone.status, zone.reason, None
        if isinstance(checked, Reason):
            status, reason = Status.BOGUS, checked
        elif checked is not None:
            by = checked
        self._chain.note(
            Link(rrset.owner, rrset.rrtype, zone.name, status, reason, tuple(rrset.signatures), by)
        )

    def _follow(self, alias: Signed, is_waived: bool) -> Generator[Batch, Answers, bytes | None]:
        """Judge a CNAME and give its target; a synthesized one is checked against its DNAME."""
        target = alias.records[0].rdata.lower()
        dname = None if alias.signatures else self._find_dname(alias.owner)
        for rrset in (alias, dname):
            if rrset is not None and len(rrset.records) > 1:
                what = f"{len(rrset.records)} {type_text(rrset.rrtype)} records"
                self._refuse(f"{what} at {to_text(rrset.owner)}")
                return None
        if dname is None:
            yield from self._positive(alias, is_waived)
            return target
        if target != _substituted(alias.owner, dname):
            names = f"{to_text(alias.owner)} does not follow from the DNAME of {to_text(dname.owner)}"
            self._refuse(f"the CNAME of {names}")
            return None
        if (dname.owner, _DNAME) not in self._kept_answer:
            yield from self._positive(dname, is_waived)
        self._kept_answer[alias.owner, _CNAME] = alias.records
        return target

    def _find_dname(self, name: bytes) -> Signed | None:
        """Give the DNAME above ``name`` that the answer brings, or None."""
        for suffix in suffixes(name):
            if suffix != name and (dname := self._answer.find(suffix, _DNAME)) is not None:
                return dname
        return None

    # Who must vouch.

    def _zone_for(self, rrset: Signed) -> Walk:
        """Give the zone that must have signed ``rrset``, or whose status decides over it.

        It is the signer, if that is a zone around the RRset and no other begins between the two
        (RFC 4035 §5.3.1). Names between are asked for; if that does not show a zone, for want of an
        answer or of a proof, the signature stands. Whether a zone begins at the owner itself is
        looked at if it is known, not asked: that would be a question for every name.
        Without a signature it is whatever the DS records lead to.
        """
        chain = self._chain
        owner = rrset.owner
        above = parent(owner) if rrset.rrtype == _DS and len(owner) > 1 else owner
        for signer in self._around(above, rrset.signers()):
            zone = yield from chain.walk(signer, with_keys=True)
            if zone.status is not Status.SECURE:
                return zone
            if zone.name == signer:
                if owner != signer and parent(owner) != signer:
                    yield from chain.walk(parent(owner), with_keys=False)
                return self._cut_below(above, signer) or zone
        return (yield from chain.walk(above, with_keys=False))

    def _cut_below(self, name: bytes, signer: bytes) -> Zone | None:
        """Give the zone that is known to begin between ``signer`` and ``name``, None if none is.

        A chain that broke there shows no zone, and neither do proofs that are too costly to read.
        """
        zone = self._chain.find(name)
        if zone is None or len(zone.name) <= len(signer):
            return None
        if zone.status is Status.INSECURE:
            reason = zone.reason
            return None if reason is not None and reason.ede == EDE.UNSUPPORTED_NSEC3_ITERATIONS else zone
        return zone if zone.status is Status.SECURE else None

    def _around(self, name: bytes, signers: Iterable[bytes]) -> list[bytes]:
        """Give the two deepest of the signers that can be a zone around ``name``.

        One above the trust anchor that holds for the name cannot: without a trust anchor of its
        own it would make the name look insecure.
        """
        anchor = self._chain.trust.anchors.closest(name)
        around = [signer for signer in signers if is_subdomain(name, signer)]
        if anchor is not None:
            around = [signer for signer in around if len(signer) >= len(anchor)]
        return around[:2]

    # Denial.

    def _collect(self, zone: Zone) -> Generator[Batch, Answers, Denial]:
        """Give the proofs of a zone; each record is checked once, each name hashed once."""
        found = self._denials.get(zone.name)
        if found is None:
            found = self._denials[zone.name] = yield from self._chain.collect(zone, self._authority)
        return found

    def _negative(self, name: bytes, is_waived: bool) -> Generator[Batch, Answers, None]:
        """Judge NXDOMAIN and NODATA: proofs and SOA of the zone around the last name."""
        above = parent(name) if self._type == _DS and len(name) > 1 else name
        zone = None if is_waived else (yield from self._denying_zone(above))
        if zone is None or zone.status is not Status.SECURE:
            for rrset in self._authority.of_types(_SOA):
                if is_subdomain(name, rrset.owner):
                    self._keep(rrset, None, in_answer=False)
            if zone is not None:
                self._lower(zone.status, zone.reason, zone.name)
            return
        found = yield from self._collect(zone)
        if self._message.rcode == RCode.NXDOMAIN:
            outcome = nxdomain(found.proofs, name)
        else:
            outcome = nodata(found.proofs, name, self._type)
        self._take_proof(name, zone, found, outcome)
        if self._message.rcode == RCode.YXDOMAIN:
            self._end_with(RCode.NOERROR)
        soa = self._authority.find(zone.name, _SOA)
        if soa is None or self._is_over:
            return
        checked = yield from self._chain.check(soa, zone)
        if isinstance(checked, Reason):
            self._lower(Status.BOGUS, checked)
            return
        self._keep(soa, zone, in_answer=False)  # it says how long the denial may be kept
        self._ttl_s = min(self._ttl_s, checked.ttl_s)
        if not outcome.opt_out:
            signed = soa.signed_by(zone.name, zone.keys)
            self._denied = Denied(zone.name, _resting_on(found, outcome), signed)

    def _denying_zone(self, above: bytes) -> Walk:
        """Give the zone whose proofs count: the deepest signer around the name, if it is a zone."""
        signers = {signer for rrset in self._authority.of_types(*_DENIALS) for signer in rrset.signers()}
        for signer in self._around(above, sorted(signers, key=len, reverse=True)):
            zone = yield from self._chain.walk(signer, with_keys=True)
            if zone.status is not Status.SECURE:
                return zone
            if zone.name == signer and self._cut_below(above, signer) is None:
                return zone
        return (yield from self._chain.walk(above, with_keys=False))

    def _take_proof(self, denied: bytes, zone: Zone, found: Denial, outcome: Outcome) -> None:
        """Take the outcome of a denial into account, and keep the records that it rests on."""
        status, reason = Status.SECURE, outcome.reason
        if outcome.finding is Finding.NOT_PROVEN:
            status, reason = Status.BOGUS, found.fault or outcome.reason
        elif outcome.finding is Finding.TOO_MANY_ITERATIONS:
            status = Status.INSECURE
        elif outcome.opt_out:
            text = f"{to_text(zone.name)} leaves unsigned names out of its proofs (opt-out)"
            status, reason = Status.INSECURE, Reason(None, text)
        self._chain.note(Link(denied, 0, zone.name, status, reason))
        self._lower(status, reason)
        self._nxname = outcome.nxname
        self._ttl_s = min(self._ttl_s, found.ttl_s)
        for rrset in _resting_on(found, outcome):
            self._keep(rrset, zone, in_answer=False)


def _resting_on(found: Denial, outcome: Outcome) -> tuple[Signed, ...]:
    """Give the RRsets that an outcome rests on; all of them if it does not say."""
    owners = {record.owner for record in outcome.used}
    return tuple(rrset for rrset in found.rrsets if rrset.owner in owners or not owners)


def _substituted(name: bytes, dname: Signed) -> bytes:
    """Give the name that a DNAME above ``name`` makes of it, perhaps too long for one (RFC 6672 §2.2)."""
    return name[: -len(dname.owner)] + dname.records[0].rdata.lower()


def _in_order(records: Sequence[Record], kept: Iterable[Record]) -> tuple[Record, ...]:
    """Give the records to keep in the order in which they came."""
    wanted = {id(record) for record in kept}
    return tuple(record for record in records if id(record) in wanted)
