"""One worked zone, denied by NSEC and by NSEC3: everything true is proven, nothing false is."""

from functools import cache
from itertools import combinations

import dns.name
import pytest
from dns.name import Name

from secdns.dns.message import Record
from secdns.dnssec.denial import Finding, Outcome, Proofs, no_ds, nodata, nxdomain, wildcard_answer
from secdns.dnssec.existence import DenialRecord
from secdns.dnssec.limits import Budget
from secdns.iana import EDE, RRType
from tests.dnssec.zone_model import Chain, Truth, Zone, name, questions_around, wire

CHAINS = [
    pytest.param(Chain(), id="NSEC"),
    pytest.param(Chain(nsec3=True), id="NSEC3"),
    pytest.param(Chain(nsec3=True, iterations=5, salt=b"\xaa\xbb\xcc\xdd"), id="NSEC3 salted"),
    pytest.param(Chain(nsec3=True, opt_out=True, salt=b"\1"), id="NSEC3 opt-out"),
]
TYPES = (
    RRType.A, RRType.NS, RRType.CNAME, RRType.SOA, RRType.TXT, RRType.DNAME, RRType.DS,
    RRType.RRSIG, RRType.NSEC, RRType.ANY, RRType.CAA,
)  # fmt: skip


@cache
def worked(chain: Chain) -> Zone:
    """Give example.test., with one of everything a zone can hold."""
    nodes = {
        "a": (RRType.A,),
        "\\000.a": (RRType.TXT,),
        "b.c": (RRType.TXT, RRType.CAA),  # c is an empty non-terminal
        "alias": (RRType.CNAME,),
        "other": (RRType.DNAME, RRType.TXT),
        "signed": (RRType.NS, RRType.DS),
        "unsigned": (RRType.NS,),
        "cut.below": (RRType.NS,),  # below exists by an unsigned delegation alone
        "*.w": (RRType.A,),
        "x.y.w": (RRType.TXT,),  # nothing at y.w or below is answered by *.w
        "*.v": (RRType.CNAME,),
        "q.*.z": (RRType.A,),  # *.z is an empty non-terminal, and a wildcard
        "*.u": (RRType.DNAME,),
    }
    return Zone(name("@"), {name(text): types for text, types in nodes.items()}, chain)


@cache
def small(chain: Chain) -> Zone:
    """Give a zone small enough to try every three of its records."""
    nodes = {
        "a.c": (RRType.A,),
        "d": (RRType.DNAME,),
        "e": (RRType.CNAME,),
        "s": (RRType.NS, RRType.DS),
        "u.n": (RRType.NS,),
        "*.w": (RRType.A,),
        "x.y.w": (RRType.TXT,),
    }
    return Zone(name("@"), {name(text): types for text, types in nodes.items()}, chain)


def proofs_of(zone: Zone, records: list[Record]) -> Proofs:
    return Proofs.read(wire(zone.apex), records, Budget())


def owners(records: tuple[DenialRecord, ...]) -> set[bytes]:
    return {record.owner for record in records}


def without(records: list[Record], one: bytes) -> list[Record]:
    return [record for record in records if record.name.lower() != one]


# Whatever is claimed is true.


def check_nxdomain(zone: Zone, qname: Name, got: Outcome) -> None:
    if got.opt_out:
        assert zone.may_opt_out(qname), qname
    elif got.finding is Finding.PROVEN:
        assert zone.truth(qname, RRType.A) is Truth.NXDOMAIN, qname


def check_nodata(zone: Zone, qname: Name, qtype: int, got: Outcome) -> None:
    if got.opt_out:
        assert zone.may_opt_out(qname), (qname, qtype)
    elif got.finding is Finding.PROVEN:
        assert zone.truth(qname, qtype) in (Truth.NODATA, Truth.WILDCARD_NODATA), (qname, qtype)


def check_no_ds(zone: Zone, qname: Name, got: Outcome) -> None:
    if got.opt_out:
        assert zone.may_opt_out(qname), qname
        assert got.finding is Finding.UNSIGNED_DELEGATION
    elif got.finding is Finding.UNSIGNED_DELEGATION:
        assert zone.is_unsigned_cut(qname), qname
    elif got.finding is Finding.NO_CUT:
        assert zone.truth(qname, RRType.A) not in (Truth.REFERRAL, Truth.DNAME, Truth.OUTSIDE), qname


def check_wildcard(zone: Zone, qname: Name, source: Name, got: Outcome) -> None:
    if got.finding is not Finding.PROVEN:
        return
    encloser = source.parent()
    assert qname != encloser, (qname, source)
    assert qname.is_subdomain(encloser), (qname, source)
    closer = zone.next_closer(qname, encloser)
    if got.opt_out:
        assert zone.may_opt_out(closer), (qname, source)
    else:
        assert closer not in zone.existing, (qname, source)
        assert zone.truth(closer, RRType.A) not in (Truth.REFERRAL, Truth.DNAME), (qname, source)


def wildcards(zone: Zone) -> list[Name]:
    return sorted(owner for owner in zone.existing if owner.is_wild())


@pytest.mark.parametrize("chain", CHAINS)
def test_no_three_records_of_a_zone_prove_what_is_false_D6_D7_D8_D9_D20(chain: Chain) -> None:
    zone = small(chain)
    names = [(qname, wire(qname)) for qname in questions_around(zone)]
    sources = [(source, wire(source)) for source in wildcards(zone)]
    types = (RRType.A, RRType.NS, RRType.DS, RRType.TXT)
    tried = [list(some) for size in range(4) for some in combinations(zone.records, size)]
    for records in tried:
        for qname, asked in names:
            proofs = proofs_of(zone, records)
            check_nxdomain(zone, qname, nxdomain(proofs, asked))
            check_no_ds(zone, qname, no_ds(proofs, asked))
            for qtype in types:
                check_nodata(zone, qname, qtype, nodata(proofs, asked, qtype))
            for source, expanded in sources:
                check_wildcard(zone, qname, source, wildcard_answer(proofs, asked, expanded))


# Whatever is true is proven by what an honest server sends.


def claim(zone: Zone, qname: Name, qtype: int, records: list[Record]) -> Outcome:
    """Claim what is true of a question that has a negative or a wildcard answer."""
    proofs = proofs_of(zone, records)
    truth = zone.truth(qname, qtype)
    if truth is Truth.NXDOMAIN:
        return nxdomain(proofs, wire(qname))
    if truth is Truth.WILDCARD:
        return wildcard_answer(proofs, wire(qname), b"\1*" + wire(zone.encloser(qname)))
    return nodata(proofs, wire(qname), qtype)


DENIED = (Truth.NXDOMAIN, Truth.NODATA, Truth.WILDCARD, Truth.WILDCARD_NODATA)


def denied_questions(zone: Zone) -> list[tuple[Name, int]]:
    return [
        (qname, qtype)
        for qname in questions_around(zone)
        for qtype in TYPES
        if zone.truth(qname, qtype) in DENIED
    ]


@pytest.mark.parametrize("chain", CHAINS)
def test_what_an_honest_server_sends_proves_every_truth_4035_5155_4592(chain: Chain) -> None:
    zone = worked(chain)
    for qname, qtype in denied_questions(zone):
        got = claim(zone, qname, qtype, zone.proof(qname, qtype))
        assert got.finding is Finding.PROVEN, (qname, qtype, got)
        assert got.reason is None
        assert not got.nxname
        wants_opt_out = chain.opt_out and (qname not in zone.chained)
        assert got.opt_out is wants_opt_out, (qname, qtype)


@pytest.mark.parametrize("chain", CHAINS)
def test_nothing_but_the_truth_follows_from_what_an_honest_server_sends_D8(chain: Chain) -> None:
    zone = worked(chain)
    for qname in questions_around(zone):
        for qtype in TYPES:
            proofs = proofs_of(zone, zone.proof(qname, qtype))
            check_nxdomain(zone, qname, nxdomain(proofs, wire(qname)))
            check_nodata(zone, qname, qtype, nodata(proofs, wire(qname), qtype))
            check_no_ds(zone, qname, no_ds(proofs, wire(qname)))


@pytest.mark.parametrize("chain", CHAINS)
def test_a_denial_without_one_of_its_records_is_no_denial_D9(chain: Chain) -> None:
    zone = worked(chain)
    knocked_out = 0
    for qname, qtype in denied_questions(zone):
        records = zone.proof(qname, qtype)
        whole = claim(zone, qname, qtype, records)
        assert owners(whole.used) == {record.name.lower() for record in records}, (qname, qtype)
        for record in records:
            got = claim(zone, qname, qtype, without(records, record.name.lower()))
            if zone.truth(qname, qtype) is Truth.WILDCARD_NODATA and whole.opt_out and got.opt_out:
                continue  # the opt-out span alone says as much, and as little
            assert got.finding is Finding.NOT_PROVEN, (qname, qtype)
            assert got.reason is not None
            assert got.reason.ede in (EDE.NSEC_MISSING, EDE.DNSSEC_BOGUS)
            knocked_out += 1
    assert knocked_out > 200


@pytest.mark.parametrize("chain", CHAINS)
def test_other_records_of_the_zone_change_nothing_C13(chain: Chain) -> None:
    zone = worked(chain)
    for qname, qtype in denied_questions(zone):
        records = zone.proof(qname, qtype)
        alone = claim(zone, qname, qtype, records)
        others = [record for record in zone.records if record not in records]
        for at in range(0, len(others), 4):
            got = claim(zone, qname, qtype, others[at : at + 4] + records)
            assert got == alone, (qname, qtype)


@pytest.mark.parametrize("chain", CHAINS)
def test_every_name_without_ds_is_told_apart_D10_6840_3(chain: Chain) -> None:
    zone = worked(chain)
    for qname in questions_around(zone):
        truth = zone.truth(qname, RRType.DS)
        got = no_ds(proofs_of(zone, zone.proof(qname, RRType.DS)), wire(qname))
        if truth is Truth.WILDCARD:  # a CNAME, with only what it needs itself
            continue
        if zone.may_opt_out(qname):
            want = (Finding.UNSIGNED_DELEGATION, True)
        elif zone.is_unsigned_cut(qname):
            want = (Finding.UNSIGNED_DELEGATION, False)
        elif truth in (Truth.NODATA, Truth.NXDOMAIN, Truth.WILDCARD_NODATA, Truth.UNDEFINED):
            want = (Finding.NO_CUT, False)
        else:
            want = (Finding.NOT_PROVEN, False)
        assert (got.finding, got.opt_out) == want, qname


@pytest.mark.parametrize("chain", CHAINS)
def test_no_ds_without_one_of_its_records_is_not_proven_D10(chain: Chain) -> None:
    zone = worked(chain)
    for qname in questions_around(zone):
        records = zone.proof(qname, RRType.DS)
        whole = no_ds(proofs_of(zone, records), wire(qname))
        for used in whole.used:
            got = no_ds(proofs_of(zone, without(records, used.owner)), wire(qname))
            assert got.finding is Finding.NOT_PROVEN, qname


@pytest.mark.parametrize("chain", CHAINS)
def test_letter_case_is_nothing_4343(chain: Chain) -> None:
    zone = worked(chain)
    shouted = [
        Record(record.name.upper(), record.rrtype, record.rrclass, record.ttl, record.rdata)
        for record in zone.proof(name("nx.a"), RRType.A)
    ]
    proofs = Proofs.read(wire(zone.apex).upper(), shouted, Budget())
    assert nxdomain(proofs, wire(name("nx.a")).upper()).finding is Finding.PROVEN


def test_the_root_zone_denies_a_top_level_name() -> None:
    root = dns.name.root
    for chain in (Chain(), Chain(nsec3=True)):
        nodes = {dns.name.from_text(text): (RRType.NS, RRType.DS) for text in ("com.", "org.", "test.")}
        zone = Zone(root, nodes, chain)
        absent = dns.name.from_text("www.invalid.")
        proofs = proofs_of(zone, zone.proof(absent, RRType.A))
        assert nxdomain(proofs, wire(absent)).finding is Finding.PROVEN
        assert nodata(proofs_of(zone, zone.match(root)), wire(root), RRType.DS).finding is Finding.PROVEN
        assert no_ds(proofs_of(zone, zone.match(root)), wire(root)).finding is Finding.NOT_PROVEN
