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
from secdns.dns.name import suffixes, to_text
from secdns.dnssec import limits
from secdns.dnssec.algorithms import Policy, is_supported
from secdns.dnssec.anchors import DS, Anchor, Anchors, matches, read_ds, usable_ds
from secdns.dnssec.denial import Finding, Outcome, Proofs, no_ds, wildcard_answer
from secdns.dnssec.keys import KeyCache, Zone, between
from secdns.dnssec.limits import Budget, OverBudget
from secdns.dnssec.rrsets import RRsets, Signed
from secdns.dnssec.rrsig import Key, Signature, Verified, read_key, verify
from secdns.dnssec.verdict import MAX_TTL, Answers, Ask, Batch, Reason, Status
from secdns.errors import FormatError
from secdns.iana import EDE, RCode, RRType, type_text
from secdns.limit import Limit

WIDTH = 5  # names asked for at once; 6 labels below a known zone are rare but in ip6.arpa

_DENIALS_TRIED = limits.NSEC_RECORDS.default + limits.NSEC3_RECORDS.default
_DS = int(RRType.DS)
_DNSKEY = int(RRType.DNSKEY)
_NO_ANCHOR = Reason(None, "no trust anchor covers it")
_NO_PROOF = Reason(EDE.NSEC_MISSING, "no proof for a missing DS")
# Keys that one RRSIG may cost checks with.
_CHECKS = limits.KEYS_PER_RRSIG.default
Walk = Generator[Batch, Answers, Zone]
Check = Generator[Batch, Answers, Verified | Reason]


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
    ds: tuple[Anchor, ...]
    ttl_s: int


@dataclass(frozen=True, slots=True)
class _NoCut:
    ttl_s: int


@dataclass(frozen=True, slots=True)
class _Insecure:
    reason: Reason
    ttl_s: int


_Found = _Delegation | _NoCut | _Insecure | Zone  # what is at a name; a Zone if the chain ends in it


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
        self._heard: dict[Ask, Message | None] = {}

    def check(self, rrset: Signed, zone: Zone) -> Check:
        """Check an RRset with the keys of a zone, after a turn of the event loop if one is due.

        Raises:
            OverBudget: it has more records than any honest one.
        """
        if len(rrset.records) > limits.RRSET.default:
            raise OverBudget(_too_many(rrset, limits.RRSET))
        if self.budget.is_turn_due(_CHECKS * min(len(rrset.signatures), limits.RRSIGS_PER_RRSET.default)):
            yield ()
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

    def collect(self, zone: Zone, section: RRsets) -> Generator[Batch, Answers, Denial]:
        """Give the NSEC and NSEC3 records of a section that ``zone`` has signed.

        Raises:
            OverBudget: more records than any honest denial has.
        """
        kept: list[Signed] = []
        ttl_s = MAX_TTL
        fault: Reason | None = None
        tried = 0
        for rrset in section.of_types(RRType.NSEC, RRType.NSEC3):
            if not _is_by(rrset, zone):
                continue
            tried += 1
            if tried > _DENIALS_TRIED:
                text = f"over {_DENIALS_TRIED} denial records of {to_text(zone.name)} in one answer"
                raise OverBudget(text)
            checked = yield from self.check(rrset, zone)
            if isinstance(checked, Reason):
                fault = fault or checked
            elif len(rrset.records) == 1:  # two NSEC at one name contradict each other
                kept.append(rrset.signed_by(zone.name, zone.keys))
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
            if zone is not None and (zone.status is not Status.SECURE or zone.name == target):
                return zone
            path = [
                name
                for name in between(anchor if zone is None else zone.name, target)
                if not self._is_no_cut(name)
            ]
            if zone is not None and not path:
                return zone
            is_long = len(path) > WIDTH
            chosen = [*path[: WIDTH - 1], path[-1]] if is_long else path
            asks = [Ask(anchor, _DNSKEY)] if zone is None else []
            asks += [Ask(name, _DS) for name in chosen]
            if with_keys:  # on a long way most names are no cut and have no keys
                asks += [Ask(name, _DNSKEY) for name in (chosen[-1:] if is_long else chosen)]
            yield from self._ask(asks)
            if zone is None:
                zone = self._known(anchor) or (yield from self._begin(anchor))
                if zone.status is not Status.SECURE:
                    return zone
            yield from self._descend(zone, path, chosen)

    def _ask(self, asks: Sequence[Ask]) -> Generator[Batch, Answers, None]:
        """Have the answers to some questions in ``_heard``."""
        missing = tuple(ask for ask in asks if ask not in self._heard)
        if missing:
            self.budget.spend_queries(len(missing))
            answers = yield missing
            self._heard.update(zip(missing, answers, strict=True))

    def _known(self, name: bytes) -> Zone | None:
        return self.trust.keys.zone(name, self.now)

    def _is_no_cut(self, name: bytes) -> bool:
        return name in self._no_cuts or self.trust.keys.is_no_cut(name, self.now)

    def _descend(
        self, zone: Zone, path: Sequence[bytes], chosen: Sequence[bytes]
    ) -> Generator[Batch, Answers, None]:
        """Learn about the names that were asked for, from the top until the chain ends.

        What another validation has learnt from the same answers meanwhile is not checked again.
        """
        row = chosen
        if len(chosen) < len(path):
            # Whoever answers for the DS of a name is the zone around it (RFC 4035 §3.1.4.1). If that
            # is ``zone`` itself, there is no room for another one between.
            last = chosen[-1]
            if _is_answered_by(self._heard[Ask(last, _DS)], last, zone):
                found = yield from self._cut(zone, last)
                if isinstance(found, _NoCut | _Delegation):
                    for name in path[:-1]:
                        self._learn_no_cut(name, found.ttl_s)
                    yield from self._settle(last, found)
                    return
            row = chosen[:-1]
        for name in row:
            if self._is_no_cut(name):
                continue
            found = self._known(name) or (yield from self._cut(zone, name))
            below = yield from self._settle(name, found)
            if below is None:
                continue
            if below.status is not Status.SECURE:
                return
            zone = below

    def _settle(self, name: bytes, found: _Found) -> Generator[Batch, Answers, Zone | None]:
        """Remember what was found at a name; give the zone that begins there, None if none does."""
        if isinstance(found, _NoCut):
            self._learn_no_cut(name, found.ttl_s)
            return None
        if isinstance(found, _Insecure):
            return self._learn(Zone(name, Status.INSECURE, reason=found.reason), found.ttl_s)
        if isinstance(found, _Delegation):
            yield from self._ask([Ask(name, _DNSKEY)])
            found = yield from self._apex(name, found.ds, found.ttl_s)
        self._zones[name] = found
        return found

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

    def _cut(self, zone: Zone, name: bytes) -> Generator[Batch, Answers, _Found]:
        """Tell what the answer to the DS question says, which ``zone`` must have signed."""
        response = self._heard[Ask(name, _DS)]
        if response is None or response.rcode not in (RCode.NOERROR, RCode.NXDOMAIN):
            return self._unknown(name, _DS, zone.name)
        answer = RRsets(response.answer)
        ds = answer.find(name, _DS)
        if ds is not None:
            return (yield from self._delegation(zone, ds))
        alias = answer.find(name, RRType.CNAME)
        source = None
        ttl_s = MAX_TTL
        if alias is not None:  # never "no DS"; but where a CNAME stands, no zone begins
            checked = yield from self.check(alias, zone)
            if isinstance(checked, Reason):
                return self._broken(name, _DS, zone, checked, alias)
            source, ttl_s = checked.expanded_from, checked.ttl_s
            if source is None:
                return _NoCut(ttl_s)
        denial = yield from self.collect(zone, RRsets(response.authority))
        proofs = denial.proofs
        outcome = no_ds(proofs, name) if source is None else wildcard_answer(proofs, name, source)
        return self._no_delegation(zone, name, denial, outcome, ttl_s)

    def _no_delegation(
        self, zone: Zone, name: bytes, denial: Denial, outcome: Outcome, ttl_s: int
    ) -> _NoCut | _Insecure | Zone:
        ttl_s = min(ttl_s, denial.ttl_s)
        match outcome.finding:
            case Finding.NO_CUT:
                return _NoCut(ttl_s)
            case Finding.PROVEN if not outcome.opt_out:  # a wildcard has answered, and rightly
                return _NoCut(ttl_s)
            case Finding.UNSIGNED_DELEGATION | Finding.PROVEN:
                text = f"{to_text(name)} is not signed: {to_text(zone.name)} proves that it has no DS"
                reason = Reason(None, text)
            case Finding.TOO_MANY_ITERATIONS:
                reason = outcome.reason or _NO_ANCHOR
            case _:
                reason = denial.fault or outcome.reason or _NO_PROOF
                return self._broken(name, _DS, zone, reason, None)
        self.note(Link(name, _DS, zone.name, Status.INSECURE, reason))
        return _Insecure(reason, ttl_s)

    def _delegation(self, zone: Zone, rrset: Signed) -> Generator[Batch, Answers, _Found]:
        name = rrset.owner
        if len(rrset.records) > limits.DS_RECORDS.default:
            excess = Reason(EDE.DNSSEC_BOGUS, _too_many(rrset, limits.DS_RECORDS))
            return self._broken(name, _DS, zone, excess, rrset)
        checked = yield from self.check(rrset, zone)
        if isinstance(checked, Verified) and checked.expanded_from is not None:
            text = f"the DS of {to_text(name)} is that of a wildcard, which delegates nothing"
            checked = Reason(EDE.DNSSEC_BOGUS, text)
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

    def _begin(self, anchor: bytes) -> Walk:
        """Give the zone of a trust anchor."""
        anchors = self.trust.anchors.trusted[anchor]
        usable, reason = _usable(anchors, anchor, self.trust.policy)
        if reason is not None:
            self.note(Link(anchor, _DNSKEY, anchor, Status.INSECURE, reason))
            return self._learn(Zone(anchor, Status.INSECURE, reason=reason), MAX_TTL)
        zone = yield from self._apex(anchor, usable, MAX_TTL, is_anchor=True)
        self._zones[anchor] = zone
        return zone

    def _apex(self, name: bytes, anchors: Sequence[Anchor], ttl_s: int, *, is_anchor: bool = False) -> Walk:
        """Give the zone whose key set was asked for: a key that fits an anchor must have signed it.

        ``anchors`` are its DS records or what is configured; ``ttl_s`` is for how long they hold.
        """
        response = self._heard[Ask(name, _DNSKEY)]
        rrset = None if response is None else RRsets(response.answer).find(name, _DNSKEY)
        if response is None or (rrset is None and response.rcode not in (RCode.NOERROR, RCode.NXDOMAIN)):
            return self._unknown(name, _DNSKEY, name)
        owner = Zone(name, Status.SECURE)
        what = "trust anchor" if is_anchor else "DS"
        if rrset is None:
            reason = Reason(EDE.DNSKEY_MISSING, f"{to_text(name)} has a {what} but no DNSKEY")
            return self._broken(name, _DNSKEY, owner, reason, None)
        if len(rrset.records) > limits.DNSKEYS.default:
            reason = Reason(EDE.DNSSEC_BOGUS, _too_many(rrset, limits.DNSKEYS))
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
            return self._broken(name, _DNSKEY, owner, _no_entry(name, what, anchors, keys), rrset)
        checked = yield from self.check(rrset, Zone(name, Status.SECURE, entry))
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

    def _unknown(self, name: bytes, rrtype: int, by: bytes) -> Zone:
        text = f"the upstream gave no answer for {to_text(name)} {type_text(rrtype)}"
        reason = Reason(EDE.NO_REACHABLE_AUTHORITY, text)
        self.note(Link(name, rrtype, by, Status.INDETERMINATE, reason))
        return Zone(name, Status.INDETERMINATE, reason=reason)

    def _broken(self, name: bytes, rrtype: int, zone: Zone, reason: Reason, rrset: Signed | None) -> Zone:
        signatures = tuple(rrset.signatures) if rrset else ()
        self.note(Link(name, rrtype, zone.name, Status.BOGUS, reason, signatures))
        return Zone(name, Status.BOGUS, reason=reason)


def _too_many(rrset: Signed, limit: Limit[int]) -> str:
    count = f"{len(rrset.records)} {type_text(rrset.rrtype)} records"
    return f"{to_text(rrset.owner)} has {count}, at most {limit.default} are taken"


def _is_by(rrset: Signed, zone: Zone) -> bool:
    return any(signature.signer == zone.name for signature in rrset.signatures)


def _is_answered_by(response: Message | None, name: bytes, zone: Zone) -> bool:
    """Tell whether ``zone`` says to have signed the answer to the DS question for ``name``."""
    if response is None:
        return False
    answer = RRsets(response.answer)
    found = answer.find(name, _DS) or answer.find(name, RRType.CNAME)
    section = RRsets(response.authority).of_types(RRType.NSEC, RRType.NSEC3)
    return any(_is_by(rrset, zone) for rrset in ([found] if found else section))


def _usable(
    anchors: Sequence[Anchor], name: bytes, policy: Policy
) -> tuple[tuple[Anchor, ...], Reason | None]:
    """Give the DS records and keys that can be followed, or why none can (RFC 4035 §5.2)."""
    ds = [each for each in anchors if isinstance(each, DS)]
    keys = [each for each in anchors if isinstance(each, Key) and each.verifier is not None]
    usable: tuple[Anchor, ...] = (*usable_ds(ds, policy), *keys)
    if usable or not anchors:  # with none at all no key fits: not for us to call that unsigned
        return usable, None
    known = [each for each in ds if is_supported(each.algorithm, policy)]
    if known:
        types = ", ".join(sorted({str(each.digest_type) for each in known}))
        text = f"{to_text(name)} has only DS digests of type {types}, not checked here"
        return (), Reason(EDE.UNSUPPORTED_DS_DIGEST_TYPE, text)
    numbers = ", ".join(sorted({str(each.algorithm) for each in anchors}))
    text = f"{to_text(name)} is signed only with algorithm {numbers}, not checked here"
    return (), Reason(EDE.UNSUPPORTED_DNSKEY_ALGORITHM, text)


def _no_entry(name: bytes, what: str, anchors: Sequence[Anchor], keys: Sequence[Key]) -> Reason:
    tags = {each.key_tag if isinstance(each, DS) else each.tag for each in anchors}
    wanted = ", ".join(str(tag) for tag in sorted(tags)) or "none that is trusted any more"
    have = ", ".join(str(key.tag) for key in keys) or "none"
    text = f"no key of {to_text(name)} fits its {what}: key tag {wanted} wanted, {have} there"
    return Reason(EDE.DNSKEY_MISSING, text)
