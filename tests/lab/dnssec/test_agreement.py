"""secdns, Unbound and delv, with the same upstream and the same trust anchor, come to the same verdicts.

The zones are signed by three other programs. Each row of the table is asked in every combination of DO, AD
and CD, of secdns over both transports in opposite orders, so that neither fills the cache for the other.
"""

from collections.abc import Iterator
from itertools import product

import pytest

from secdns.iana import RRType
from tests.lab.dnssec.conftest import SCHEMES, Lab
from tests.lab.dnssec.peers import Records, Reply, ask, delv
from tests.lab.dnssec.questions import FEW, ROWS, TYPED, Rests, Row, worth_for
from tests.lab.dnssec.zones import BROKEN, Worth

pytestmark = [
    pytest.mark.real,
    pytest.mark.needs("dnssec-signzone"),
    pytest.mark.needs("kzonesign"),
    pytest.mark.needs("ldns-signzone"),
    pytest.mark.needs("knotd"),
    pytest.mark.needs("unbound"),
]

Bits = tuple[bool, bool, bool]

BITS: tuple[Bits, ...] = tuple((do, ad, cd) for do, ad, cd in product((False, True), repeat=3))
"""Every combination of DO, AD and CD."""

SIGNATURES = frozenset({RRType.RRSIG, RRType.NSEC, RRType.NSEC3})


def rcode_of(row: Row, worth: Worth, *, cd: bool = False) -> str:
    return "SERVFAIL" if worth is Worth.BOGUS and not cd else row.question.rcode


def replies(port: int, row: Row, bits: tuple[Bits, ...]) -> Iterator[Reply]:
    for do, ad, cd in bits:
        yield ask(port, row.name, row.rrtype, do=do, ad=ad, cd=cd)


def without(records: Records, *types: int) -> Records:
    return frozenset(record for record in records if record[1] not in types)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_secdns_gives_data_rcode_and_ad_as_the_table_and_unbound_do_4035_3_4035_4_4035_6_6840_7(
    row: Row, lab: Lab
) -> None:
    others = dict(zip(BITS, replies(lab.unbound_port, row, BITS), strict=True))
    for scheme, bits in zip(SCHEMES, (BITS, BITS[::-1]), strict=True):
        for (do, ad, cd), ours in zip(bits, replies(lab.secdns[scheme].port, row, bits), strict=True):
            where = (scheme, do, ad, cd)
            assert ours.rcode == rcode_of(row, row.worth, cd=cd), (where, ours.errors)
            assert ours.cd is cd, where
            assert ours.ad is (row.worth is Worth.SECURE and (do or ad) and not cd), (where, ours.errors)
            other = others[do, ad, cd]
            theirs = worth_for("unbound", row)
            assert other.rcode == rcode_of(row, theirs, cd=cd), (where, other.errors)
            if not cd:  # with CD Unbound gives its own verdict all the same
                assert other.ad is (theirs is Worth.SECURE and (do or ad)), (where, other.errors)
            if ours.rcode != other.rcode:
                continue
            assert ours.answer == other.answer, where
            if row.worth is Worth.SECURE or cd or not do:
                assert ours.authority == other.authority, where
            else:  # records that deny nothing we can check are left out
                assert ours.authority <= other.authority, where


@pytest.mark.parametrize("scheme", SCHEMES)
def test_client_without_do_gets_dnssec_records_only_when_it_asks_for_them_4035_5(
    scheme: str, lab: Lab
) -> None:
    for row in ROWS:
        if row.zone.name not in ("p256-knot.test", "optout-ldns.test"):
            continue
        plain = ask(lab.secdns[scheme].port, row.name, row.rrtype, do=False, ad=True, cd=False)
        asked = RRType.NSEC if row.rrtype == "NSEC" else None
        assert not (plain.types & SIGNATURES) - {asked}, row.id
        full = ask(lab.secdns[scheme].port, row.name, row.rrtype, do=True, ad=False, cd=False)
        assert without(full.answer, *(SIGNATURES - {asked})) == plain.answer, row.id
        if full.rcode != "SERVFAIL" and row.question.rests is not Rests.ELSEWHERE:
            assert RRType.RRSIG in full.types, row.id


@pytest.mark.parametrize("bits", BITS, ids=lambda bits: "".join("dac"[i] for i in range(3) if bits[i]) or "-")
def test_rrsig_asked_by_type_comes_without_ad_4035_5_6840_7(bits: Bits, lab: Lab) -> None:
    do, ad, cd = bits
    for scheme in SCHEMES:
        ours = ask(lab.secdns[scheme].port, "www.p256-knot.test", "RRSIG", do=do, ad=ad, cd=cd)
        other = ask(lab.unbound_port, "www.p256-knot.test", "RRSIG", do=do, ad=ad, cd=cd)
        assert (ours.rcode, ours.ad) == ("NOERROR", False)
        assert ours.answer == other.answer
        assert ours.types == {RRType.RRSIG}


def is_for_delv(row: Row) -> bool:
    """Choose what to ask delv, which is started anew for each question: all of one zone, of others a few."""
    if row.zone in BROKEN or row.question in FEW:
        return True
    if row.zone.name == "optout-bind.test":
        return row.question.rests in (Rests.COVER, Rests.NODATA)
    return row.zone.name == "p256-knot.test" and row.question not in TYPED


@pytest.mark.needs("delv")
@pytest.mark.parametrize("row", [row for row in ROWS if is_for_delv(row)], ids=lambda row: row.id)
def test_secdns_gives_data_and_verdict_as_delv_does(row: Row, lab: Lab) -> None:
    other = delv(lab.anchor_file, lab.upstream.port, row.name, row.rrtype)
    theirs = worth_for("delv", row)
    if theirs is Worth.BOGUS:
        assert other.rcode == "SERVFAIL", other.text
        return
    assert (other.rcode, other.is_valid) == (row.question.rcode, theirs is Worth.SECURE), other.text
    if row.worth is not Worth.BOGUS:
        ours = ask(lab.secdns["tls"].port, row.name, row.rrtype, do=False, ad=True, cd=False)
        left_out = {RRType.RRSIG}
        if row.rrtype != "DNAME" and any(rrtype == RRType.DNAME for _, rrtype, _ in ours.answer):
            left_out |= {RRType.DNAME, RRType.CNAME}  # delv shows them in a way of its own
        assert without(ours.answer, *left_out) == without(other.answer, *left_out), other.text
