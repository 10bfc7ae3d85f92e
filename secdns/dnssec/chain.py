"""Walk from a trust anchor to the zone that must vouch for a name, zone cut by zone cut.

    known zone ──▶ below it, on the way to the name: is there a cut?
                   DS, signed by the zone        ──▶ its keys fit the DS and sign themselves: known zone
                   no DS, NS, proven             ──▶ insecure from here on
                   no DS, no NS, proven          ──▶ no cut: the same zone goes on
                   anything else                 ──▶ bogus
                   no answer                     ──▶ indeterminate

All that is missing on the way travels in one batch. Where the way is long (the PTR of an IPv6
address has 34 labels) a batch has its first few names and the last: if the zone itself answers for
the last one, there is no cut between. Facts go to the ``KeyCache`` at once; a broken chain does
not, for somebody else may have the missing link.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from secdns.dns.message import Message, Record
from secdns.dns.name import ROOT, suffixes, to_text
from secdns.dnssec import limits
from secdns.dnssec.algorithms import Policy, is_supported
from secdns.dnssec.anchors import DS, Anchor, Anchors, matches, read_ds, usable_ds
from secdns.dnssec.denial import Finding, Outcome, Proofs, no_ds
from secdns.dnssec.keys import KeyCache, Zone, between
from secdns.dnssec.limits import Budget, OverBudget
from secdns.dnssec.rrsets import RRsets, Signed
from secdns.dnssec.rrsig import Key, Signature, Verified, read_key, verify
from secdns.dnssec.verdict import MAX_TTL, Answers, Ask, Batch, Reason, Status
from secdns.errors import FormatError
from secdns.iana import EDE, RCode, RRType

WIDTH = 5  # names asked for at once; 6 labels below a known zone are rare but in ip6.arpa

_DENIALS_TRIED = limits.NSEC_RECORDS.default + limits.NSEC3_RECORDS.default
_DS = int(RRType.DS)
_DNSKEY = int(RRType.DNSKEY)
_NO_ANCHOR = Reason(None, "no trust anchor covers it")
_NO_PROOF = Reason(EDE.NSEC_MISSING, "no proof for a missing DS")
Walk = Generator[Batch, Answers, Zone]


@dataclass(frozen=True, slots=True)
class Trust:
    """Where trust begins, what counts, and what is known already."""

    anchors: Anchors
    policy: Policy = field(default_factory=Policy)
    keys: KeyCache = field(default_factory=KeyCache)


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a chain, for who wants to see it: an RRset and what came of it.

    ``zone`` is the one whose keys it was checked with; for the DNSKEY RRset of a trust anchor it
    is the anchor itself. ``signatures`` are all that cover it, ``by`` the one that was good.
    """

    owner: bytes
    rrtype: int
    zone: bytes
    status: Status
    reason: Reason | None = None
    signatures: tuple[Signature, ...] = ()
    by: Verified | None = None
    ds: tuple[DS, ...] = ()
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class AnchorKeys:
    """The key set of a trust anchor's zone, authenticated: what RFC 5011 looks at."""

    zone: bytes
    records: tuple[Record, ...]
    signatures: tuple[Signature, ...]
    keys: tuple[Key, ...]
    original_ttl_s: int


@dataclass(frozen=True, slots=True)
class _Delegation:
    ds: tuple[DS, ...]
    ttl_s: int


@dataclass(frozen=True, slots=True)
class _NoCut:
    ttl_s: int


@dataclass(frozen=True, slots=True)
class _Insecure:
    reason: Reason
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Denial:
    """The denial records of a section that a zone has signed.

    ``ttl_s`` is what their signatures allow; ``fault`` what was wrong with the first record that
    had to be left out, None if none had.
    """

    proofs: Proofs
    rrsets: tuple[Signed, ...]
    ttl_s: int
    fault: Reason | None


class Chain:
    """One validation's way through the tree. ``trail`` collects its steps where somebody looks."""

    def __init__(
        self, trust: Trust, wall: int, now: float, budget: Budget, trail: list[Link] | None = None
    ) -> None:
        self.trust = trust
        self.wall = wall
        self.budget = budget
        self.trail = trail
        self.anchor_keys: AnchorKeys | None = None  # if they were asked for on the way
        self.now = now
        # What was learnt on this walk holds for it even with a TTL of 0; a broken link, too.
        self._zones: dict[bytes, Zone] = {}
        self._no_cuts: set[bytes] = set()

    def check(self, rrset: Signed, zone: Zone) -> Verified | Reason:
        """Check an RRset with the keys of a zone."""
        return verify(
            rrset.owner,
            rrset.rrtype,
            rrset.records,
            rrset.signatures,
            zone.name,
            zone.keys,
            self.wall,
            self.budget,
        )

    def collect(self, zone: Zone, section: RRsets) -> Denial:
        """Give the NSEC and NSEC3 records of a section that ``zone`` has signed.

        Raises:
            OverBudget: more records than any honest denial has.
        """
        kept: list[Signed] = []
        ttl_s = MAX_TTL
        fault: Reason | None = None
        tried = 0
        for rrset in section.of_types(RRType.NSEC, RRType.NSEC3):
            if not any(signature.signer == zone.name for signature in rrset.signatures):
                continue
            tried += 1
            if tried > _DENIALS_TRIED:
                raise OverBudget(f"over {_DENIALS_TRIED} denial records in one answer")
            checked = self.check(rrset, zone)
            if isinstance(checked, Reason):
                fault = fault or checked
            elif len(rrset.records) == 1:  # two NSEC at one name contradict each other
                kept.append(rrset)
                ttl_s = min(ttl_s, checked.ttl_s)
        proofs = Proofs.read(zone.name, [rrset.records[0] for rrset in kept], self.budget)
        return Denial(proofs, tuple(kept), ttl_s, fault)

    def find(self, name: bytes) -> Zone | None:
        """Give the deepest zone that is known at or above ``name``, or None."""
        for suffix in suffixes(name):
            zone = self._zones.get(suffix) or self._known(suffix)
            if zone is not None:
                return zone
        return None

    def walk(self, target: bytes, *, with_keys: bool) -> Walk:
        """Give the zone that must vouch for ``target``, asking for what is missing on the way.

        With ``with_keys`` the target is expected to be the apex of a signed zone, so that the keys
        are asked for together with the DS.
        """
        anchor = self.trust.anchors.closest(target)
        if anchor is None:
            return Zone(target, Status.INSECURE, reason=_NO_ANCHOR)
        while True:
            zone = self.find(target)
            if zone is not None and len(zone.name) < len(anchor):
                zone = None  # known by an anchor further up; the closest one decides
            if zone is not None and zone.status is not Status.SECURE:
                return zone
            path = [
                name
                for name in between(anchor if zone is None else zone.name, target)
                if not self._is_no_cut(name)
            ]
            if zone is not None and not path:
                return zone
            chosen = path if len(path) <= WIDTH else [*path[: WIDTH - 1], path[-1]]
            asks = [Ask(anchor, _DNSKEY)] if zone is None else []
            for name in chosen:
                asks.append(Ask(name, _DS))
                if with_keys:
                    asks.append(Ask(name, _DNSKEY))
            got = yield from self._ask(asks)
            if zone is None:
                zone = self._known(anchor) or self._begin(anchor, got[asks[0]])
                if zone.status is not Status.SECURE:
                    return zone
            yield from self._descend(zone, path, chosen, got)

    def _ask(self, asks: Sequence[Ask]) -> Generator[Batch, Answers, dict[Ask, Message | None]]:
        self.budget.spend_queries(len(asks))
        batch = tuple(asks)
        answers = yield batch
        return dict(zip(batch, answers, strict=True))

    def _known(self, name: bytes) -> Zone | None:
        return self.trust.keys.zone(name, self.now)

    def _is_no_cut(self, name: bytes) -> bool:
        return name in self._no_cuts or self.trust.keys.is_no_cut(name, self.now)

    def _descend(
        self, zone: Zone, path: Sequence[bytes], chosen: Sequence[bytes], got: dict[Ask, Message | None]
    ) -> Generator[Batch, Answers, None]:
        """Learn about the names that were asked for, from the top until the chain ends.

        What another validation has learnt from the same answers meanwhile is not checked again.
        """
        row = chosen
        if len(chosen) < len(path):
            ttl_s = self._no_cut_above(zone, chosen[-1], got[Ask(chosen[-1], _DS)])
            if ttl_s is None:
                row = chosen[:-1]
            else:
                for name in path[:-1]:
                    self._learn_no_cut(name, ttl_s)
                row = chosen[-1:]
        for name in row:
            if self.budget.is_turn_due():
                yield ()
            if self._is_no_cut(name):
                continue
            found = self._known(name) or self._cut(zone, name, got[Ask(name, _DS)])
            if isinstance(found, _NoCut):
                self._learn_no_cut(name, found.ttl_s)
                continue
            if isinstance(found, _Insecure):
                found = self._learn(Zone(name, Status.INSECURE, reason=found.reason), found.ttl_s)
            elif isinstance(found, _Delegation):
                ask = Ask(name, _DNSKEY)
                if ask not in got:
                    got |= yield from self._ask([ask])
                found = self._apex(name, found.ds, found.ttl_s, got[ask])
            self._zones[name] = found
            if found.status is not Status.SECURE:
                return
            zone = found

    def _learn(self, zone: Zone, ttl_s: int) -> Zone:
        self._zones[zone.name] = zone
        self.trust.keys.learn(zone, ttl_s, self.now)
        return zone

    def _learn_no_cut(self, name: bytes, ttl_s: int) -> None:
        self._no_cuts.add(name)
        self.trust.keys.learn_no_cut(name, ttl_s, self.now)

    def note(self, link: Link) -> None:
        """Show a step to whoever looks."""
        if self.trail is not None:
            self.trail.append(link)

    # Cuts.

    def _no_cut_above(self, zone: Zone, name: bytes, response: Message | None) -> int | None:
        """Give for how long there is no cut between ``zone`` and ``name``, or None if that is not shown.

        Whoever answers for the DS of a name is the zone around it (RFC 4035 §3.1.4.1): an answer
        that ``zone`` itself has signed leaves no room for another one between.
        """
        if response is None:
            return None
        answer = RRsets(response.answer)
        ds = answer.find(name, _DS)
        if ds is not None:
            checked = self.check(ds, zone)
            return checked.ttl_s if isinstance(checked, Verified) else None
        denial = self.collect(zone, RRsets(response.authority))
        outcome = no_ds(denial.proofs, name)
        return denial.ttl_s if outcome.finding is Finding.NO_CUT and not outcome.opt_out else None

    def _cut(
        self, zone: Zone, name: bytes, response: Message | None
    ) -> _Delegation | _NoCut | _Insecure | Zone:
        """Tell what the answer to the DS question says, which ``zone`` must have signed."""
        if response is None or response.rcode not in (RCode.NOERROR, RCode.NXDOMAIN):
            return self._unknown(name, "DS")
        answer = RRsets(response.answer)
        ds = answer.find(name, _DS)
        if ds is not None:
            return self._delegation(zone, ds)
        alias = answer.find(name, RRType.CNAME)
        if alias is not None:  # never "no DS"; but where a CNAME stands, no zone begins
            checked = self.check(alias, zone)
            if isinstance(checked, Verified):
                return _NoCut(checked.ttl_s)
            return self._broken(name, _DS, zone, checked, alias)
        denial = self.collect(zone, RRsets(response.authority))
        return self._no_delegation(zone, name, denial, no_ds(denial.proofs, name))

    def _no_delegation(
        self, zone: Zone, name: bytes, denial: "Denial", outcome: Outcome
    ) -> _NoCut | _Insecure | Zone:
        match outcome.finding:
            case Finding.NO_CUT:
                return _NoCut(denial.ttl_s)
            case Finding.UNSIGNED_DELEGATION:
                text = f"{to_text(name)} is not signed: {to_text(zone.name)} proves that it has no DS"
                reason = Reason(None, text)
            case Finding.TOO_MANY_ITERATIONS:
                reason = outcome.reason or _NO_ANCHOR
            case _:
                reason = denial.fault or outcome.reason or _NO_PROOF
                return self._broken(name, _DS, zone, reason, None)
        self.note(Link(name, _DS, zone.name, Status.INSECURE, reason))
        return _Insecure(reason, denial.ttl_s)

    def _delegation(self, zone: Zone, rrset: Signed) -> _Delegation | _Insecure | Zone:
        name = rrset.owner
        if len(rrset.records) > limits.DS_RECORDS.default:
            text = f"{to_text(name)} has {len(rrset.records)} DS records, too many"
            return self._broken(name, _DS, zone, Reason(EDE.DNSSEC_BOGUS, text), rrset)
        checked = self.check(rrset, zone)
        if isinstance(checked, Reason):
            return self._broken(name, _DS, zone, checked, rrset)
        ds = tuple(self._read_all_ds(rrset))
        usable, reason = _usable(ds, name, self.trust.policy)
        status = Status.SECURE if reason is None else Status.INSECURE
        self.note(Link(name, _DS, zone.name, status, reason, tuple(rrset.signatures), checked, ds))
        if reason is not None:
            return _Insecure(reason, checked.ttl_s)
        return _Delegation(usable, checked.ttl_s)

    @staticmethod
    def _read_all_ds(rrset: Signed) -> "Generator[DS]":
        for record in rrset.records:
            try:
                yield read_ds(record)
            except FormatError:
                continue

    # Keys.

    def _begin(self, anchor: bytes, response: Message | None) -> Zone:
        """Give the zone of a trust anchor."""
        anchors = self.trust.anchors.trusted[anchor]
        keys = tuple(each for each in anchors if isinstance(each, Key))
        ds = tuple(each for each in anchors if isinstance(each, DS))
        usable, reason = _usable(ds, anchor, self.trust.policy)
        if reason is not None and not keys:
            return self._learn(Zone(anchor, Status.INSECURE, reason=reason), MAX_TTL)
        return self._apex(anchor, (*usable, *keys), MAX_TTL, response, is_anchor=True)

    def _apex(
        self,
        name: bytes,
        anchors: Sequence[Anchor],
        ttl_s: int,
        response: Message | None,
        *,
        is_anchor: bool = False,
    ) -> Zone:
        """Give the zone whose key set is in ``response``: a key that fits an anchor must have signed it.

        ``anchors`` are its DS records or what is configured; ``ttl_s`` is for how long they hold.
        """
        rrset = None if response is None else RRsets(response.answer).find(name, _DNSKEY)
        if response is None or (rrset is None and response.rcode not in (RCode.NOERROR, RCode.NXDOMAIN)):
            return self._unknown(name, "DNSKEY")
        owner = Zone(name, Status.SECURE)
        if rrset is None:
            reason = Reason(EDE.DNSKEY_MISSING, f"{to_text(name)} has a DS but no DNSKEY")
            return self._broken(name, _DNSKEY, owner, reason, None)
        if len(rrset.records) > limits.DNSKEYS.default:
            reason = Reason(EDE.DNSSEC_BOGUS, f"{to_text(name)} has {len(rrset.records)} keys, too many")
            return self._broken(name, _DNSKEY, owner, reason, rrset)
        keys = tuple(self._read_keys(rrset))
        ds = tuple(each for each in anchors if isinstance(each, DS))
        fitting = [[key for key in keys if matches(anchor, key)] for anchor in anchors]
        if fitting and all(found and all(key.verifier is None for key in found) for found in fitting):
            text = f"{to_text(name)} is signed only with keys that cannot be used here"
            reason = Reason(EDE.UNSUPPORTED_DNSKEY_ALGORITHM, text)
            self.note(Link(name, _DNSKEY, name, Status.INSECURE, reason, tuple(rrset.signatures), ds=ds))
            return self._learn(Zone(name, Status.INSECURE, reason=reason), ttl_s)
        entry = tuple(dict.fromkeys(key for found in fitting for key in found))
        if not entry:
            return self._broken(name, _DNSKEY, owner, _no_entry(name, anchors, keys), rrset)
        checked = self.check(rrset, Zone(name, Status.SECURE, entry))
        if isinstance(checked, Reason):
            return self._broken(name, _DNSKEY, owner, checked, rrset)
        signatures = tuple(rrset.signatures)
        if is_anchor:
            original_ttl_s = checked.signature.original_ttl
            self.anchor_keys = AnchorKeys(name, tuple(rrset.records), signatures, keys, original_ttl_s)
        self.note(Link(name, _DNSKEY, name, Status.SECURE, None, signatures, checked, ds, keys))
        return self._learn(Zone(name, Status.SECURE, keys), min(checked.ttl_s, ttl_s))

    def _read_keys(self, rrset: Signed) -> "Generator[Key]":
        for record in rrset.records:
            try:
                yield read_key(record, self.trust.policy)
            except FormatError:
                continue

    # Broken chains.

    def _unknown(self, name: bytes, what: str) -> Zone:
        reason = Reason(EDE.NO_REACHABLE_AUTHORITY, f"the upstream gave no answer for {to_text(name)} {what}")
        self.note(Link(name, _DS, name, Status.INDETERMINATE, reason))
        return Zone(name, Status.INDETERMINATE, reason=reason)

    def _broken(self, name: bytes, rrtype: int, zone: Zone, reason: Reason, rrset: Signed | None) -> Zone:
        signatures = tuple(rrset.signatures) if rrset else ()
        self.note(Link(name, rrtype, zone.name, Status.BOGUS, reason, signatures))
        return Zone(name, Status.BOGUS, reason=reason)


def _usable(ds: Sequence[DS], name: bytes, policy: Policy) -> tuple[tuple[DS, ...], Reason | None]:
    """Give the DS records that can be followed, or why none can (RFC 4035 §5.2)."""
    usable = usable_ds(ds, policy)
    if usable or not ds:  # without any that can be read none fits a key: not for us to call that unsigned
        return usable, None
    known = [each for each in ds if is_supported(each.algorithm, policy)]
    if known:
        types = ", ".join(sorted({str(each.digest_type) for each in known}))
        text = f"{to_text(name)} has only DS digests of type {types}, not checked here"
        return (), Reason(EDE.UNSUPPORTED_DS_DIGEST_TYPE, text)
    numbers = ", ".join(sorted({str(each.algorithm) for each in ds}))
    text = f"{to_text(name)} is signed only with algorithm {numbers}, not checked here"
    return (), Reason(EDE.UNSUPPORTED_DNSKEY_ALGORITHM, text)


def _no_entry(name: bytes, anchors: Sequence[Anchor], keys: Sequence[Key]) -> Reason:
    tags = {each.key_tag if isinstance(each, DS) else each.tag for each in anchors}
    wanted = ", ".join(str(tag) for tag in sorted(tags)) or "none that is trusted any more"
    have = ", ".join(str(key.tag) for key in keys) or "none"
    what = "trust anchor" if name == ROOT else "DS"
    text = f"no key of {to_text(name)} fits its {what}: key tag {wanted} wanted, {have} there"
    return Reason(EDE.DNSKEY_MISSING, text)
