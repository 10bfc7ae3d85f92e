"""Signed and unsigned zones from the root down, answered as an upstream with a validator behind it sees them.

An upstream is asked with DO and answers with the signatures and proofs it found; it need not check them.
"""

import base64
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from secdns.dns import name as names
from secdns.dns.message import AD, Message, Question, Record
from secdns.errors import FormatError
from secdns.iana import RCode, RRClass, RRType
from secdns.testing.signed import Signing, Zone
from secdns.testing.zones import DEFAULT_TTL_S, MAX_CHAIN, ZoneData, Zones

Fault = Callable[["SignedZones", Message], Message]
"""Makes a bad reply of a good one; the zones are there to sign with. ``broken`` has them."""

_FOR_DO_ONLY = frozenset({RRType.RRSIG, RRType.NSEC, RRType.NSEC3})
_LOOKED_UP = frozenset({RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN, RCode.SERVFAIL})


class SignedZones(Zones):
    """Zones with signatures, delegations and trust anchors.

    ``zones`` is what ``Zones`` takes. ``signing`` says how each zone is signed: one ``Signing`` for every
    zone and the root, or one for each zone that is signed, by name, whether or not it has data. The root is
    a zone in either case. Each zone is delegated from the closest zone above it, with DS records where it is
    signed. A zone without NS records is given one.

        zones = SignedZones(
            {"secure.test": {"www": {"A": "192.0.2.1"}}, "plain.test": {"www": {"A": "192.0.2.2"}}},
            {".": Signing(), "test": Signing(denial="opt-out"), "secure.test": Signing()},
        )
        async with FakeUpstream(zones) as up:
            ...a validator that trusts zones.trust_anchors() asks up...

    With DO a reply has the signatures and the proofs, without it neither, unless QTYPE asks for such. CD
    comes back as it came; AD is clear unless ``ad``. ``now`` is the time that signatures are made at, in
    seconds since 1970; None is the clock's. Keys live as long as the object; signatures are made when they
    are first asked for, and kept.

    Raises:
        FormatError: what ``Zones`` raises, or NS records in a signed zone that lead to no zone.
    """

    def __init__(
        self,
        zones: Mapping[str, ZoneData] | str,
        signing: Mapping[str, Signing] | Signing | None = None,
        ttl_s: int = DEFAULT_TTL_S,
        *,
        now: int | None = None,
        ad: bool = False,
    ) -> None:
        super().__init__(zones, ttl_s)
        self.now = int(time.time()) if now is None else now
        self.ad = ad
        self._faults: tuple[Fault, ...] = ()
        every = signing if isinstance(signing, Signing) else Signing()
        given = {} if signing is None or isinstance(signing, Signing) else signing
        by_apex = {names.from_text(zone).lower(): how for zone, how in given.items()}
        for apex in (names.ROOT, *by_apex):
            self._open_zone(apex)
        self._finish()
        if signing is None or isinstance(signing, Signing):
            by_apex = dict.fromkeys(self._apexes, every)
        self._zones = self._make_zones(by_apex)

    def _make_zones(self, signing: Mapping[bytes, Signing]) -> dict[bytes, Zone]:
        contents: dict[bytes, dict[bytes, dict[int, list[Record]]]] = {apex: {} for apex in self._apexes}
        for apex in self._apexes:
            if RRType.NS not in self._records[apex]:
                self._add(["@", "NS", "ns"], apex, DEFAULT_TTL_S)
        for owner, rrsets in self._records.items():
            apex = self._home(owner)
            if owner != apex and RRType.NS in rrsets and apex in signing:
                raise FormatError(f"{names.to_text(owner)} has NS records and is no zone")
            contents[apex][owner] = rrsets
        zones = {apex: Zone(apex, held, signing.get(apex), self.now) for apex, held in contents.items()}
        for apex, zone in zones.items():
            if apex != names.ROOT:
                zones[self._home(names.parent(apex))].delegate(zone)
        return zones

    def _home(self, name: bytes) -> bytes:
        """Give the apex of the zone that a name in lower case is in; the root is one."""
        return next(suffix for suffix in names.suffixes(name) if suffix in self._apexes)

    # what a test turns

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What spoils the replies, one after the other; set it at any time."""
        return self._faults

    @faults.setter
    def faults(self, faults: Sequence[Fault]) -> None:
        self._faults = tuple(faults)
        self._memo.clear()

    # what a test looks at

    def zone(self, name: str = ".") -> Zone:
        """Give a zone, with its keys.

        Raises:
            KeyError: there is no such zone.
        """
        return self._zones[names.from_text(name).lower()]

    def zone_of(self, name: bytes, rrtype: int) -> Zone:
        """Give the zone that answers for a name and a type: for a DS the parent's side of a cut."""
        key = name.lower()
        if rrtype == RRType.DS and key in self._zones and key != names.ROOT:
            key = names.parent(key)
        return self._zones[self._home(key)]

    def trust_anchor_records(self, zone: str = ".", rrtype: int = RRType.DS) -> tuple[Record, ...]:
        """Give what a validator has to trust: the DS records of a zone, or its DNSKEY records with SEP."""
        held = self.zone(zone)
        if rrtype == RRType.DS:
            return held.ds()
        keys = [key for key in held.keys if key.is_sep] or held.keys
        return tuple(Record(held.apex, RRType.DNSKEY, RRClass.IN, DEFAULT_TTL_S, key.rdata) for key in keys)

    def trust_anchors(self, zone: str = ".", rrtype: int = RRType.DS) -> tuple[str, ...]:
        """Give ``trust_anchor_records`` in presentation form: ``. IN DS 20326 8 2 E06D…``."""
        return tuple(_anchor(record) for record in self.trust_anchor_records(zone, rrtype))

    # answers

    def _look_up(self, question: Question, *, do: bool) -> tuple[int, tuple[Record, ...], tuple[Record, ...]]:
        answer: list[Record] = []
        authority: list[Record] = []
        name = question.name
        for _ in range(MAX_CHAIN):
            zone = self.zone_of(name, question.rrtype)
            found = zone.find(name, question.rrtype)
            answer += found.answer
            authority += found.authority
            if found.target is None:
                is_shown = do and zone.is_compact and found.rcode == RCode.NXDOMAIN
                rcode = RCode.NOERROR if is_shown else found.rcode  # the proof says it (RFC 9824)
                return rcode, tuple(dict.fromkeys(answer)), tuple(dict.fromkeys(authority))
            name = found.target
        return RCode.SERVFAIL, (), ()

    def _finished(self, reply: Message) -> Message:
        if reply.rcode not in _LOOKED_UP:
            return reply
        for fault in self._faults:
            reply = fault(self, reply)
        if self.ad:
            reply = dataclasses.replace(reply, flags=reply.flags | AD)
        if reply.edns is not None and reply.edns.do:
            return reply
        return dataclasses.replace(
            reply,
            answer=tuple(r for r in reply.answer if _is_for_all(r, reply.question[0].rrtype)),
            authority=tuple(r for r in reply.authority if _is_for_all(r)),
        )


def _is_for_all(record: Record, asked: int | None = None) -> bool:
    """Tell whether a record belongs into a reply without DO (RFC 4035 §3.2.1)."""
    return record.rrtype not in _FOR_DO_ONLY or record.rrtype == asked


def _anchor(record: Record) -> str:
    number, third, fourth, rest = record.rdata[:2], record.rdata[2], record.rdata[3], record.rdata[4:]
    is_ds = record.rrtype == RRType.DS
    text = rest.hex().upper() if is_ds else base64.b64encode(rest).decode()
    head = f"{names.to_text(record.name)} IN {RRType(record.rrtype).name}"
    return f"{head} {int.from_bytes(number)} {third} {fourth} {text}"
