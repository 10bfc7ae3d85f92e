"""Say NXDOMAIN and NODATA from proofs that came with other answers (RFC 8198, RFC 8020).

A validated NSEC or NSEC3 denies every name between its two ends, not only the one that was asked
for. So a flood of random names below a signed zone, or a program that looks for ``wpad`` in each
search domain, costs one question and not one for each name. What is taken up are the records that
a denial rested on, no others (threat C13), and none with opt-out (RFC 8198 §5.2); what they prove
is decided by ``denial``, like everything else.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from secdns.dns.message import QR, RA, Message, Question, Record
from secdns.dns.name import canonical_key, suffixes
from secdns.dnssec.denial import Finding, Outcome, Proofs, nodata, nxdomain
from secdns.dnssec.limits import Budget, OverBudget
from secdns.dnssec.nsec3 import nsec3_hash, read_nsec3
from secdns.dnssec.rrsets import Signed
from secdns.errors import FormatError
from secdns.iana import RCode, RRType

MAX_ZONES: Final = 256
MAX_RECORDS: Final = 512  # of one zone; a big zone has millions, a person's names fall into few of its gaps
MAX_DEPTH: Final = (
    8  # labels below the zone that are hashed; deeper names are rare and cost more than they save
)

_Place = tuple[bytes, ...] | bytes  # where a record stands in its chain: canonical key or hash


@dataclass(frozen=True, slots=True)
class Denied:
    """What a validated denial rested on: NSEC or NSEC3 RRsets of one zone, and its SOA."""

    zone: bytes
    rrsets: tuple[Signed, ...]
    soa: Signed


@dataclass(frozen=True, slots=True)
class _Held:
    records: tuple[Record, ...]  # the NSEC or NSEC3 first, then its RRSIGs
    since: float
    expires: float

    def aged(self, now: float) -> Iterator[Record]:
        """Yield the records with what is left of their TTLs, and no more than may be kept."""
        age = int(now - self.since)
        left = int(self.expires - now)
        for record in self.records:
            ttl = max(min(record.ttl - age, left), 0)
            yield Record(record.name, record.rrtype, record.rrclass, ttl, record.rdata)


class _Zone:
    """The denials of one zone, in the order of its chain."""

    def __init__(self) -> None:
        self.soa: _Held | None = None
        self.parameters: tuple[bytes, int] | None = None  # salt and iterations of its NSEC3, None for NSEC
        self._places: list[_Place] = []
        self._held: dict[_Place, _Held] = {}

    def __len__(self) -> int:
        return len(self._places)

    def put(self, place: _Place, held: _Held) -> None:
        if place not in self._held:
            if len(self._places) >= MAX_RECORDS:
                self.clear()
            insort(self._places, place)
        self._held[place] = held

    def clear(self) -> None:
        self._places.clear()
        self._held.clear()

    def around(self, place: _Place, now: float) -> _Held | None:
        """Give the fresh record at a place, or else the one before it; the chain is a ring."""
        if not self._places:
            return None
        at = bisect_right(self._places, place) - 1
        held = self._held[self._places[at]]
        return held if now < held.expires else None

    def at(self, place: _Place, now: float) -> _Held | None:
        """Give the fresh record at exactly this place."""
        held = self._held.get(place)
        return held if held is not None and now < held.expires else None


class Denials:
    """Proofs that were validated, each for its TTL. Times are seconds of the cache's clock."""

    def __init__(self) -> None:
        self._zones: dict[bytes, _Zone] = {}

    def learn(self, denied: Denied, ttl_s: int, now: float) -> None:
        """Take up what a denial rested on, for at most ``ttl_s`` seconds."""
        zone = self._zones.pop(denied.zone, None) or _Zone()
        if len(self._zones) >= MAX_ZONES:
            del self._zones[next(iter(self._zones))]
        self._zones[denied.zone] = zone
        zone.soa = _held(denied.soa, ttl_s, now)
        for rrset in denied.rrsets:
            held = _held(rrset, ttl_s, now)
            if rrset.rrtype == RRType.NSEC:
                self._use(zone, None)
                zone.put(canonical_key(rrset.owner), held)
            else:
                try:
                    nsec3 = read_nsec3(rrset.records[0], denied.zone)
                except FormatError:
                    continue
                if nsec3 is not None and not nsec3.opt_out:
                    self._use(zone, (nsec3.salt, nsec3.iterations))
                    zone.put(nsec3.hash, held)

    @staticmethod
    def _use(zone: _Zone, parameters: tuple[bytes, int] | None) -> None:
        """Begin anew when the zone has changed its kind of denial."""
        if zone.parameters != parameters and len(zone):
            zone.clear()
        zone.parameters = parameters

    def answer(self, question: Question, now: float) -> Message | None:
        """Give the denial that follows from what is held, with its proofs, or None if none does.

        TTLs are what is left of them (RFC 8198 §5.4).
        """
        name = question.name.lower()
        for suffix in suffixes(name):
            zone = self._zones.get(suffix)
            if zone is None or (question.rrtype == RRType.DS and suffix == name):  # the parent's to deny
                continue
            soa = zone.soa
            if soa is None or now >= soa.expires:
                return None
            held = _candidates(zone, suffix, name, now)
            try:
                found = _prove(suffix, held, name, question.rrtype)
            except OverBudget:
                return None
            return None if found is None else _message(question, *found, soa, held, now)
        return None


def _held(rrset: Signed, ttl_s: int, now: float) -> _Held:
    records = (*rrset.records, *rrset.covering)
    return _Held(records, now, now + min(ttl_s, *(record.ttl for record in records)))


def _candidates(zone: _Zone, apex: bytes, name: bytes, now: float) -> list[_Held]:
    """Give the records that may deny a name: at it or around it, around what it might be made from."""
    found = _nsecs(zone, apex, name, now) if zone.parameters is None else _nsec3s(zone, apex, name, now)
    return list({id(held): held for held in found}.values())


def _nsecs(zone: _Zone, apex: bytes, name: bytes, now: float) -> Iterator[_Held]:
    """Yield the NSEC at or before the name, and that of the wildcard at each ancestor that it leaves."""
    key = canonical_key(name)
    held = zone.around(key, now)
    if held is None:
        return
    yield held
    owner = canonical_key(held.records[0].name)
    for depth in range(len(key) - 1, len(canonical_key(apex)) - 1, -1):
        # The closest encloser is what the name shares with either end of the NSEC.
        wildcard = zone.around((*key[:depth], b"*"), now)
        if wildcard is not None:
            yield wildcard
        if owner[:depth] == key[:depth]:
            return


def _nsec3s(zone: _Zone, apex: bytes, name: bytes, now: float) -> Iterator[_Held]:
    """Yield a closest encloser proof, and the NSEC3 at or around the wildcard (RFC 5155 §8.3)."""
    salt, iterations = zone.parameters or (b"", 0)
    below = [suffix for suffix in suffixes(name) if len(suffix) >= len(apex)]
    if len(below) > MAX_DEPTH:
        return
    closer: bytes | None = None
    for suffix in below:
        match = zone.at(nsec3_hash(suffix, salt, iterations), now)
        if match is not None:
            yield match
            break
        closer = suffix
    else:
        return
    if closer is not None:
        for wanted in (closer, b"\1*" + suffix):
            around = zone.around(nsec3_hash(wanted, salt, iterations), now)
            if around is not None:
                yield around


def _prove(apex: bytes, held: Sequence[_Held], name: bytes, rrtype: int) -> tuple[int, Outcome] | None:
    """Give the RCODE that the records prove, and on which of them that rests."""
    proofs = Proofs.read(apex, [each.records[0] for each in held], Budget())
    outcome = nxdomain(proofs, name)
    if _is_good(outcome) and not outcome.nxname:
        return RCode.NXDOMAIN, outcome
    outcome = nodata(proofs, name, rrtype)
    if outcome.nxname:  # asked anew, for the reply depends on who asks (RFC 9824)
        return None
    return (RCode.NOERROR, outcome) if _is_good(outcome) else None


def _is_good(outcome: Outcome) -> bool:
    return outcome.finding is Finding.PROVEN and not outcome.opt_out


def _message(
    question: Question, rcode: int, outcome: Outcome, soa: _Held, held: Iterable[_Held], now: float
) -> Message:
    owners = {record.owner for record in outcome.used}
    used = [each for each in held if each.records[0].name.lower() in owners]
    authority = [record for each in (soa, *used) for record in each.aged(now)]
    return Message(flags=QR | RA | rcode, question=(question,), authority=tuple(authority))
