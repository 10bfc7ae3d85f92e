"""What is asked of the signed tree, and what a right validator makes of each answer.

``Question`` is about any zone that has such data; ``Row`` is one about a certain zone, with what its answer
is worth there. ``PECULIAR`` says where Unbound or BIND decide otherwise, and why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tests.lab.dnssec.zones import BROKEN, GOOD, ODD, PLAIN, SMALL, TYPES, Break, Worth, Zone


class Rests(Enum):
    """What an answer rests on, in a zone that denies with NSEC or NSEC3."""

    DATA = "records and their signatures"
    NODATA = "a denial record at the very name"
    COVER = "a denial record that covers a name: with opt-out it proves little"
    ELSEWHERE = "an unsigned zone"
    BOGUS = "a broken zone"


@dataclass(frozen=True, slots=True)
class Question:
    """A question relative to a zone; ``@`` is its apex."""

    name: str
    rrtype: str
    rests: Rests = Rests.DATA
    rcode: str = "NOERROR"


DATA, NODATA, COVER, ELSEWHERE = Rests.DATA, Rests.NODATA, Rests.COVER, Rests.ELSEWHERE
Q = Question

BASIC = (
    Q("@", "SOA"),
    Q("@", "NS"),
    Q("@", "DNSKEY"),
    Q("@", "TXT", NODATA),
    Q("www", "A"),
    Q("WwW", "A"),
    Q("www", "MX", NODATA),
    Q("www", "DS", NODATA),
    Q("alias", "A"),
    Q("alias", "CNAME"),
    Q("alias", "MX", NODATA),
    Q("gone", "A", COVER, "NXDOMAIN"),
    Q("far.below.gone", "TXT", COVER, "NXDOMAIN"),
    Q("gone", "DS", COVER, "NXDOMAIN"),
    Q("below.www", "A", COVER, "NXDOMAIN"),
    Q("some.wild", "A", COVER),
    Q("a.b.c.wild", "A", COVER),
    Q("*.wild", "A"),
    Q("some.wild", "MX", COVER),
    Q("wild", "A", NODATA),
)
"""What every zone can be asked that has what the small ones have."""

SMALL_TOO = (Q("of", "A", NODATA), Q("ent.of", "A"), Q("gone.of", "A", COVER, "NXDOMAIN"))
"""… and what is called something else in the full ones."""

MANY = (
    Q("@", "MX"),
    Q("www", "AAAA"),
    Q("many", "A"),
    Q("many", "AAAA", NODATA),
    Q("mixed", "A"),
    Q("zero", "A"),
    Q("dot\\.label", "A"),
    Q("nul\\000label", "A"),
    Q("nul\\001label", "A", COVER, "NXDOMAIN"),
    Q("zz*", "A"),
    Q("first", "A"),
    Q("first", "AAAA"),
    Q("first", "TXT", NODATA),
    Q("dangling", "A", COVER, "NXDOMAIN"),
    Q("wilder", "A", COVER),
    Q("wilder", "TXT", COVER),
    Q("wilder", "MX", COVER),
    Q("sibling", "A"),
    Q("out", "A", ELSEWHERE),
    Q("out", "CNAME"),
    Q("out", "MX", ELSEWHERE),
    Q("there.back", "A", ELSEWHERE),
    Q("broken", "A", Rests.BOGUS),
    Q("broken", "CNAME"),
    Q("delegated", "A", ELSEWHERE),
    Q("some.wild", "TXT", COVER),
    Q("known.wild", "A"),
    Q("known.wild", "TXT", NODATA),
    Q("below.known.wild", "A", COVER, "NXDOMAIN"),
    Q("any.alias", "A", COVER),
    Q("any.alias", "CNAME", COVER),
    Q("any.alias", "MX", COVER),
    Q("a.away", "A", ELSEWHERE),
    Q("a.b.away", "CNAME", COVER),
    Q("a.nowhere", "A", COVER, "NXDOMAIN"),
    Q("deep.er.ent", "A"),
    Q("er.ent", "A", NODATA),
    Q("ent", "DS", NODATA),
    Q("gone.er.ent", "A", COVER, "NXDOMAIN"),
    Q("one.two.three.four.five.six.seven.eight", "A"),
    Q("four.five.six.seven.eight", "A", NODATA),
    Q("gone.four.five.six.seven.eight", "A", COVER, "NXDOMAIN"),
    Q("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "A", COVER, "NXDOMAIN"),
    Q("deep.er.moved", "A"),
    Q("gone.moved", "A", COVER, "NXDOMAIN"),
    Q("moved", "DNAME"),
    Q("moved", "A", NODATA),
    Q("er.moved", "A", NODATA),
    Q("www.moved-out", "A", ELSEWHERE),
    Q("back.moved-out", "A", ELSEWHERE),
    Q("gone.moved-out", "A", ELSEWHERE, "NXDOMAIN"),
    Q("any.moved-wild", "A", COVER),
    Q("known.moved-wild", "A"),
    Q("signed", "DS"),
    Q("signed", "A", NODATA),
    Q("signed", "DNSKEY"),
    Q("www.signed", "A"),
    Q("www.signed", "MX", NODATA),
    Q("www.unsigned", "A", ELSEWHERE),
    Q("www.unsigned", "MX", ELSEWHERE),
    Q("gone.unsigned", "A", ELSEWHERE, "NXDOMAIN"),
    Q("unsigned", "SOA", ELSEWHERE),
    Q("cut.two.down", "NS", ELSEWHERE),
    Q("www.cut.two.down", "A", ELSEWHERE),
)
"""What a zone with everything in it can be asked besides."""

UNSIGNED_DS = (Q("unsigned", "DS", NODATA), Q("cut.two.down", "DS", NODATA), Q("two.down", "A", NODATA))
"""Delegations without DS: with opt-out BIND and Knot leave them and what is above them out of the chain."""

_TYPES = (
    *("MX", "SRV", "NAPTR", "RP", "KX", "AFSDB", "RT", "LOC", "HINFO", "TXT", "CAA", "URI", "SSHFP", "TLSA"),
    *("CERT", "APL", "TYPE65280", "TYPE65281"),
)
TYPED = (
    *(Q("types", rrtype) for rrtype in _TYPES),
    *(Q("ptr", "PTR"), Q("service", "SVCB"), Q("service", "HTTPS"), Q("types", "A", NODATA)),
)
"""RDATA of every kind that has a canonical form of its own, and of none."""

DENIAL_TYPES = (Q("www", "NSEC"), Q("@", "NSEC"))
"""Records that a client without DO gets only because it asks for them by type."""


FEW = (
    Q("@", "DNSKEY"),
    Q("www", "A"),
    Q("www", "MX", NODATA),
    Q("alias", "A"),
    Q("gone", "A", COVER, "NXDOMAIN"),
)
"""Enough for a zone whose keys already are broken."""

WITHOUT_DENIALS = (
    *(Q("@", "SOA"), Q("@", "TXT", NODATA), Q("www", "A"), Q("alias", "A"), Q("wild", "A", NODATA)),
    *(Q("gone", "A", COVER, "NXDOMAIN"), Q("gone", "DS", COVER, "NXDOMAIN"), Q("some.wild", "A", COVER)),
    Q("ent.of", "A"),
)
"""For a zone that can deny nothing: at a name that has data nothing is asked that it has not."""

AROUND = (
    *(Q("www", "A", ELSEWHERE), Q("www", "MX", ELSEWHERE), Q("gone", "A", ELSEWHERE, "NXDOMAIN")),
    *(Q("back", "A", ELSEWHERE), Q("any.wild", "A", ELSEWHERE), Q("@", "SOA", ELSEWHERE)),
)
"""For a zone that is not signed."""


@dataclass(frozen=True, slots=True)
class Row:
    """A question about a zone, and what its answer is worth.

    ``question.rcode`` is what the answer has for RCODE where nobody refuses it.
    """

    zone: Zone
    question: Question
    worth: Worth

    @property
    def name(self) -> str:
        relative = self.question.name
        return f"{self.zone.name}." if relative == "@" else f"{relative}.{self.zone.name}."

    @property
    def rrtype(self) -> str:
        return self.question.rrtype

    @property
    def id(self) -> str:
        return f"{self.name[:-1]}-{self.rrtype}"


def _questions(zone: Zone) -> tuple[Question, ...]:
    if zone.broken is Break.NO_DENIALS:
        return WITHOUT_DENIALS
    if zone.broken is not None or zone.worth is Worth.BOGUS:
        return FEW
    if zone.body == PLAIN:
        return AROUND
    if zone.body == SMALL:
        return (*BASIC, *SMALL_TOO)
    assert zone.signing is not None
    typed = TYPED if TYPES in zone.body else ()
    denials = DENIAL_TYPES if zone.signing.nsec3 is None else ()
    return (*BASIC, *MANY, *UNSIGNED_DS, *typed, *denials)


def _worth(zone: Zone, question: Question) -> Worth:
    if question.rrtype == "DS" and question.name == "@":
        return Worth.SECURE  # the parent speaks
    if zone.broken in (Break.STRIPPED, Break.TAMPERED):
        is_hit = question.name in ("www", "alias") and question.rrtype == "A"
        return Worth.BOGUS if is_hit else Worth.SECURE
    if zone.broken is Break.NO_DENIALS:
        return Worth.BOGUS if question.rests is not DATA else Worth.SECURE
    if zone.worth is not Worth.SECURE:
        return zone.worth
    if question.rests is Rests.BOGUS:
        return Worth.BOGUS
    if question.rests is ELSEWHERE:
        return Worth.INSECURE
    nsec3 = zone.signing.nsec3 if zone.signing else None
    if nsec3 is None:
        return Worth.SECURE
    is_too_costly = nsec3.iterations > 50 and question.rests is not DATA
    is_opted_out = nsec3.opt_out and (question.rests is COVER or _is_left_out(zone, question))
    return Worth.INSECURE if is_too_costly or is_opted_out else Worth.SECURE


def _is_left_out(zone: Zone, question: Question) -> bool:
    """Tell whether opt-out leaves the name out of the chain; ldns never does (RFC 5155 §7.1)."""
    return question in UNSIGNED_DS and zone.signing is not None and zone.signing.signer != "ldns"


ROWS = tuple(
    Row(zone, question, _worth(zone, question))
    for zone in (*GOOD, *ODD, *BROKEN)
    for question in (Q("@", "DS"), *_questions(zone))
)


@dataclass(frozen=True, slots=True)
class Peculiarity:
    """Where a peer decides otherwise than the table, and why that is no fault of either."""

    peers: tuple[str, ...]
    reason: str
    applies: Callable[[Row], bool]
    worth: Worth


def _is_insecure_in(*zones: str) -> Callable[[Row], bool]:
    return lambda row: row.zone.name in zones and row.worth is Worth.INSECURE


def _is_opted_out_denial(row: Row) -> bool:
    nsec3 = row.zone.signing.nsec3 if row.zone.signing else None
    if nsec3 is None or not nsec3.opt_out or row.worth is Worth.SECURE:
        return False
    if row.question in UNSIGNED_DS:
        return True
    is_denial = row.question.rcode == "NXDOMAIN" or row.rrtype == "MX"
    # A CNAME from a wildcard, which comes before the denial, it does call insecure.
    return row.question.rests is COVER and is_denial and row.question.name not in ("a.nowhere", "any.alias")


PECULIAR = (
    Peculiarity(
        ("unbound", "delv"),
        "SHA-1 is policy: RFC 9905 lets a validator treat it as unsupported, as we do; both still check it",
        _is_insecure_in("sha1.test", "sha1-ds.test"),
        Worth.SECURE,
    ),
    Peculiarity(
        ("unbound", "delv"),
        "RFC 9276 §3.2 leaves the limit open: both compute up to 150 iterations, we up to 50",
        _is_insecure_in("iterations51.test"),
        Worth.SECURE,
    ),
    Peculiarity(
        ("delv",),
        "BIND grants no clock skew; Unbound and we grant a tenth of the validity, at most a day",
        lambda row: row.zone.name == "old.test" and row.question != Q("@", "DS"),
        Worth.BOGUS,
    ),
    Peculiarity(
        ("delv",),
        "BIND takes a denial for secure that rests on opt-out, against RFC 5155 §9.2",
        _is_opted_out_denial,
        Worth.SECURE,
    ),
)


def worth_for(peer: str, row: Row) -> Worth:
    """Give what a peer makes of a row: what the table says, but for its peculiarities."""
    for peculiarity in PECULIAR:
        if peer in peculiarity.peers and peculiarity.applies(row):
            return peculiarity.worth
    return row.worth
