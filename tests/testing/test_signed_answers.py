"""What signed zones put into a reply, with DO and without."""

import pytest

from secdns.dns import name as names
from secdns.dns.edns import EDNS
from secdns.dns.message import AD, CD, Message, Record, make_query
from secdns.errors import FormatError
from secdns.iana import RCode, RRType
from secdns.testing import FakeUpstream, SignedZones, Signing
from secdns.testing.denials import Denial, types_in
from tests.testing.signed_lab import KINDS, ROWS, Row, ask, of_type, zones

LAB = zones()
NOW = 1_800_000_000
DNSSEC = {RRType.RRSIG, RRType.NSEC, RRType.NSEC3}


def shown(records: tuple[Record, ...]) -> list[tuple[str, int]]:
    return [
        (names.to_text(record.name), record.rrtype) for record in records if record.rrtype != RRType.RRSIG
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_answer_without_do_is_the_same_without_dnssec_4035_5(row: Row, kind: Denial) -> None:
    with_do = ask(LAB, row.name(kind), row.rrtype)
    without = ask(LAB, row.name(kind), row.rrtype, do=False)
    assert (with_do.rcode, without.rcode) == (row.rcode_with_do(kind), row.rcode)
    found = {record.rrtype for record in (*without.answer, *without.authority)}
    assert found & DNSSEC <= {row.rrtype}
    kept = [r for r in with_do.answer if r.rrtype not in DNSSEC or r.rrtype == row.rrtype]
    assert list(without.answer) == kept
    assert of_type(without.authority, RRType.SOA) == of_type(with_do.authority, RRType.SOA)


def test_a_query_without_edns_is_answered_without_dnssec_4035_5() -> None:
    query = make_query(names.from_text("www.nsec.test"), RRType.A, id=1)
    reply = Message.parse(LAB.answer(query))
    assert (reply.edns, {record.rrtype for record in reply.answer}) == (None, {RRType.A})


@pytest.mark.parametrize("rrtype", [RRType.RRSIG, RRType.NSEC, RRType.DNSKEY, RRType.DS, RRType.NSEC3PARAM])
def test_dnssec_types_come_without_do_when_asked_for_4035_5(rrtype: int) -> None:
    kind = "nsec3" if rrtype == RRType.NSEC3PARAM else "nsec"
    reply = ask(LAB, f"{kind}.test", rrtype, do=False)
    assert {record.rrtype for record in reply.answer} == {rrtype}


def test_cd_comes_back_and_ad_is_clear_unless_wanted_4035_2() -> None:
    lab = SignedZones({"a.test": {"www": {"A": "192.0.2.1"}}})
    assert ask(lab, "www.a.test", RRType.A, cd=True).flags & (AD | CD) == CD
    assert ask(lab, "www.a.test", RRType.A).flags & (AD | CD) == 0
    lab = SignedZones({"a.test": {"www": {"A": "192.0.2.1"}}}, ad=True)
    assert ask(lab, "www.a.test", RRType.A).flags & (AD | CD) == AD


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        # NXDOMAIN, NODATA, empty non-terminal, wildcard, wildcard NODATA, insecure delegation; one
        # record may cover both the name and the wildcard
        pytest.param("nsec", (1, 1, 1, 1, 2, 1), id="nsec"),
        pytest.param("nsec3", (3, 1, 1, 1, 3, 1), id="nsec3"),
        pytest.param("opt-out", (2, 1, 1, 1, 3, 2), id="opt-out"),
        pytest.param("compact", (1, 1, 1, 0, 1, 1), id="compact"),
    ],
)
def test_a_proof_has_no_record_too_many_5155(kind: Denial, counts: tuple[int, ...]) -> None:
    asked = [
        ("no.no.www", RRType.A),
        ("www", RRType.TXT),
        ("ent", RRType.A),
        ("x.y.wild", RRType.A),
        ("x.y.wild", RRType.TXT),
        ("unsigned", RRType.DS),
    ]
    got = []
    for qname, rrtype in asked:
        authority = ask(LAB, f"{qname}.{kind}.test", rrtype).authority
        got.append(sum(record.rrtype in (RRType.NSEC, RRType.NSEC3) for record in authority))
    assert tuple(got) == counts


def test_compact_denial_says_nxname_at_the_name_asked_for_9824_1() -> None:
    (nsec,) = of_type(ask(LAB, "no.compact.test", RRType.A).authority, RRType.NSEC)
    owner = names.from_text("no.compact.test")
    assert nsec.name == owner
    assert nsec.rdata.startswith(b"\x01\x00" + owner)
    assert types_in(nsec.rdata[2 + len(owner) :]) == {RRType.RRSIG, RRType.NSEC, RRType.NXNAME}


@pytest.mark.parametrize(
    "qname",
    [
        pytest.param(b"\x01a" * 120 + b"\x07compact\x04test\0", id="no room for a label"),
        pytest.param(b"\x3f" + b"a" * 63 + b"\x01a" * 88 + b"\x07compact\x04test\0", id="full"),
    ],
)
def test_compact_denial_has_a_next_name_for_the_longest_9824(qname: bytes) -> None:
    (nsec,) = of_type(ask(LAB, qname, RRType.A).authority, RRType.NSEC)
    following = nsec.rdata[: nsec.rdata.index(b"\x04test\0") + 6]
    assert names.canonical_key(nsec.name) < names.canonical_key(following)
    assert len(following) <= names.MAX_NAME


def test_a_cname_from_a_dname_is_unsigned_and_the_dname_signed_6672_1() -> None:
    answer = ask(LAB, "leaf.moved.nsec.test", RRType.A).answer
    assert [(names.to_text(r.name), r.rrtype) for r in answer] == [
        ("moved.nsec.test.", RRType.DNAME),
        ("moved.nsec.test.", RRType.RRSIG),
        ("leaf.moved.nsec.test.", RRType.CNAME),
        ("leaf.tree.nsec3.test.", RRType.A),
        ("leaf.tree.nsec3.test.", RRType.RRSIG),
    ]


def test_a_name_too_long_behind_a_dname_is_yxdomain_with_the_dname_6672_1() -> None:
    reply = ask(LAB, f"{'q' * 63}.long.nsec.test", RRType.A)
    assert (reply.rcode, shown(reply.answer)) == (RCode.YXDOMAIN, [("long.nsec.test.", RRType.DNAME)])


def test_an_alias_loop_through_dnames_ends_in_servfail_D14() -> None:
    lab = SignedZones({"a.test": {"x": {"DNAME": "y"}, "y": {"DNAME": "x"}}})
    assert ask(lab, "q.x.a.test", RRType.A).rcode == RCode.SERVFAIL


def test_ds_comes_from_the_parent_and_is_signed_by_it() -> None:
    answer = ask(LAB, "signed.nsec.test", RRType.DS).answer
    assert [record.rrtype for record in answer] == [RRType.DS, RRType.RRSIG]
    assert answer[1].rdata[18:].startswith(names.from_text("nsec.test"))


def test_an_unsigned_child_has_no_ds_and_its_parent_proves_it() -> None:
    authority = ask(LAB, "unsigned.nsec.test", RRType.DS).authority
    assert shown(authority) == [("nsec.test.", RRType.SOA), ("unsigned.nsec.test.", RRType.NSEC)]
    (nsec,) = of_type(authority, RRType.NSEC)
    assert types_in(nsec.rdata[nsec.rdata.index(b"\4test\0") + 6 :]) == {RRType.NS, RRType.RRSIG, RRType.NSEC}


def test_ds_records_of_the_data_replace_those_of_the_keys() -> None:
    lab = SignedZones({"a.test": {"@": {"DS": "1 253 200 00ff 01"}}})
    assert of_type(ask(lab, "a.test", RRType.DS).answer, RRType.DS)[0].rdata == b"\0\1\xfd\xc8\0\xff\1"


def test_the_soa_of_a_no_has_the_negative_ttl_and_its_signature_the_original_2308_4() -> None:
    lab = SignedZones("$TTL 3600\n$ORIGIN a.test\n@ SOA ns host 1 2 3 4 90\n", now=NOW)
    soa, rrsig = ask(lab, "no.a.test", RRType.A).authority[:2]
    assert (soa.ttl, rrsig.ttl, int.from_bytes(rrsig.rdata[4:8])) == (90, 90, 3600)


def test_signatures_hold_around_the_time_given() -> None:
    lab = SignedZones({"a.test": {}}, Signing(inception_s=-10, expiration_s=20), now=NOW)
    rrsig = of_type(ask(lab, "a.test", RRType.SOA).answer, RRType.RRSIG)[0]
    times = (int.from_bytes(rrsig.rdata[8:12]), int.from_bytes(rrsig.rdata[12:16]))
    assert times == (NOW + 20, NOW - 10)


def test_times_wrap_in_2106_4034() -> None:
    lab = SignedZones({"a.test": {}}, Signing(inception_s=-10, expiration_s=20), now=2**32 - 5)
    rrsig = of_type(ask(lab, "a.test", RRType.SOA).answer, RRType.RRSIG)[0]
    assert (int.from_bytes(rrsig.rdata[8:12]), int.from_bytes(rrsig.rdata[12:16])) == (15, 2**32 - 15)


def test_trust_anchors_are_in_presentation_form() -> None:
    (record,) = LAB.trust_anchor_records()
    (text,) = LAB.trust_anchors()
    head, digest = record.rdata[:4], record.rdata[4:]
    assert text == f". IN DS {int.from_bytes(head[:2])} 13 2 {digest.hex().upper()}"
    (key,) = LAB.trust_anchors("signed.nsec.test", RRType.DNSKEY)
    assert key.startswith("signed.nsec.test. IN DNSKEY 257 3 13 ")
    assert LAB.trust_anchors("unsigned.nsec.test") == ()


@pytest.mark.parametrize(
    "text", [LAB.trust_anchors()[0], LAB.trust_anchors(".", RRType.DNSKEY)[0]], ids=["DS", "DNSKEY"]
)
def test_a_trust_anchor_can_be_read_back(text: str) -> None:
    owner, _, *fields = text.split()
    lab = SignedZones({"test": {"x": {fields[0]: " ".join(fields[1:])}}})
    rrtype = RRType[fields[0]]
    (got,) = of_type(ask(lab, "x.test", rrtype).answer, rrtype)
    assert (owner, got.rdata) == (".", LAB.trust_anchor_records(".", rrtype)[0].rdata)


def test_an_unsigned_parent_makes_an_island() -> None:
    lab = SignedZones({"a.test": {}}, {"test": Signing(), "a.test": Signing()})
    assert ask(lab, "test", RRType.DS).answer == ()
    assert len(of_type(ask(lab, "a.test", RRType.DS).answer, RRType.DS)) == 1
    assert lab.trust_anchors() == ()
    assert len(lab.trust_anchors("test")) == 1


def test_ns_records_that_lead_to_no_zone_are_refused_where_they_would_need_signatures() -> None:
    with pytest.raises(FormatError, match=r"sub\.a\.test\. has NS records and is no zone"):
        SignedZones({"a.test": {"sub": {"NS": "ns"}}})
    SignedZones({"a.test": {"sub": {"NS": "ns"}}}, {})  # plain data, as ever


def test_opt_out_leaves_out_what_only_leads_to_insecure_delegations_5155() -> None:
    owners = LAB.zone("opt-out.test").chain
    assert owners is not None
    reply = ask(LAB, "den.opt-out.test", RRType.A)
    assert reply.rcode == RCode.NOERROR
    assert {record.rdata[1] for record in of_type(reply.authority, RRType.NSEC3)} == {1}  # flag: opt-out


async def test_a_fake_upstream_serves_signed_zones() -> None:
    async with FakeUpstream(LAB) as up:
        query = make_query(names.from_text("www.nsec.test"), RRType.A, id=1, edns=EDNS(do=True))
        assert up.answer(query) == LAB.answer(query)
