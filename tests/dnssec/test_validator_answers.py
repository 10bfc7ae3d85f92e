"""Every kind of answer, from every kind of zone, is judged as it should be (RFC 4035 §5)."""

import dataclasses
import random

import pytest

from secdns.dns import name as names
from secdns.dns.message import AA, AD, RA, Message, Question, Record
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.testing import SignedZones, Signing
from secdns.testing.broken import aged, asked, resigned, said, stripped, with_extra
from secdns.testing.denials import Denial
from secdns.testing.signing import Terms
from tests.dnssec.dialogue import (
    BOGUS,
    INDETERMINATE,
    INSECURE,
    SECURE,
    Dialogue,
    data_of,
    knows_no_lie,
    trust_in,
)
from tests.testing.signed_lab import KINDS, ROWS, Row, zones

T = RRType
LAB = zones()
NAME = names.from_text

kinds = pytest.mark.parametrize("kind", KINDS)
rows = pytest.mark.parametrize("row", ROWS, ids=str)


@pytest.fixture(scope="module")
def warm() -> Dialogue:
    return Dialogue(LAB)


def is_weak(row: Row, kind: Denial) -> bool:
    return row.is_insecure or row.is_weak(kind)


@kinds
@rows
def test_a_validator_that_knows_nothing_agrees_4035_6(row: Row, kind: Denial) -> None:
    dialogue = Dialogue(LAB)
    verdict = dialogue.judge(row.name(kind), row.rrtype)
    assert verdict.status is (INSECURE if is_weak(row, kind) else SECURE), verdict.reason
    assert verdict.message.rcode == row.rcode_with_do(kind)
    assert (verdict.reason is None) == (verdict.status is SECURE)
    assert knows_no_lie(dialogue)


@kinds
@rows
def test_a_validator_that_knows_much_agrees_4035_6(warm: Dialogue, row: Row, kind: Denial) -> None:
    verdict = warm.judge(row.name(kind), row.rrtype)
    assert verdict.status is (INSECURE if is_weak(row, kind) else SECURE), verdict.reason


@kinds
@rows
def test_an_honest_answer_is_kept_whole_and_the_same_object(warm: Dialogue, row: Row, kind: Denial) -> None:
    question = Question(NAME(row.name(kind)), row.rrtype)
    message = warm.honest(question)
    verdict = warm.judge_message(question, message)
    is_pruned = verdict.status is INSECURE and row.rrtype != T.RRSIG
    assert verdict.message is message or is_pruned or row.rrtype == T.ANY


@pytest.mark.parametrize(
    ("signing", "sha1"),
    [
        pytest.param(Signing(algorithms=(5,)), True, id="RSASHA1_9905_1"),
        pytest.param(Signing(algorithms=(7,), denial="nsec3"), True, id="RSASHA1-NSEC3-SHA1_9905_1"),
        pytest.param(Signing(algorithms=(8,)), False, id="RSASHA256"),
        pytest.param(Signing(algorithms=(10,)), False, id="RSASHA512"),
        pytest.param(Signing(algorithms=(13,)), False, id="ECDSAP256SHA256"),
        pytest.param(Signing(algorithms=(14,)), False, id="ECDSAP384SHA384"),
        pytest.param(Signing(algorithms=(15,)), False, id="ED25519"),
        pytest.param(Signing(algorithms=(16,)), False, id="ED448"),
        pytest.param(Signing(algorithms=(8, 13)), False, id="two algorithms_6840_11"),
        pytest.param(Signing(is_split=False), False, id="one key"),
        pytest.param(Signing(digests=(4,)), False, id="SHA-384 DS"),
        pytest.param(Signing(digests=(1, 2, 4)), False, id="three digests_4509_1"),
        pytest.param(Signing(digests=(1,)), True, id="SHA-1 DS_9905_1"),
        pytest.param(
            Signing(denial="nsec3", salt=bytes(16), iterations=50), False, id="50 iterations_9276_3"
        ),
        pytest.param(Signing(denial="compact"), False, id="compact from the root down_9824_1"),
    ],
)
def test_every_way_to_sign_is_secure(signing: Signing, sha1: bool) -> None:
    lab = SignedZones({"test": {}, "a.test": {"www": {"A": "192.0.2.1"}}, "b.test": {}}, signing)
    dialogue = Dialogue(lab, trust_in(lab, sha1=sha1))
    for name in ("www.a.test", "no.b.test"):
        assert dialogue.judge(name).status is SECURE, name
    assert knows_no_lie(dialogue)


@pytest.mark.parametrize(
    "signing",
    [
        pytest.param(Signing(algorithms=(5,)), id="RSASHA1"),
        pytest.param(Signing(algorithms=(7,), denial="nsec3"), id="RSASHA1-NSEC3-SHA1"),
        pytest.param(Signing(digests=(1,)), id="SHA-1 DS"),
    ],
)
def test_sha1_counts_for_nothing_unless_it_is_wanted_9905_1(signing: Signing) -> None:
    dialogue = Dialogue(SignedZones({"a.test": {"www": {"A": "192.0.2.1"}}}, signing))
    verdict = dialogue.judge("www.a.test")
    assert verdict.status is INSECURE
    assert verdict.reason is not None
    assert verdict.reason.ede in (EDE.UNSUPPORTED_DNSKEY_ALGORITHM, EDE.UNSUPPORTED_DS_DIGEST_TYPE)


# What nobody signs: order, letter case, header bits.


@kinds
@rows
def test_order_case_and_header_bits_change_no_verdict_4343_1(warm: Dialogue, row: Row, kind: Denial) -> None:
    rng = random.Random(f"{row}{kind}")
    question = Question(NAME(row.name(kind)), row.rrtype)
    honest = warm.honest(question)
    want = warm.judge_message(question, honest)
    for _ in range(3):
        message = scrambled(honest, rng)
        got = warm.judge_message(Question(swapped(question.name, rng), row.rrtype), message)
        assert (got.status, got.reason, got.ttl_s) == (want.status, want.reason, want.ttl_s)
        assert data_of(got.message.answer) == data_of(want.message.answer)
        assert data_of(got.message.authority) == data_of(want.message.authority)


def scrambled(message: Message, rng: random.Random) -> Message:
    def section(records: tuple[Record, ...]) -> tuple[Record, ...]:
        changed = [dataclasses.replace(record, name=swapped(record.name, rng)) for record in records]
        rng.shuffle(changed)
        return tuple(changed)

    flags = message.flags ^ rng.choice([0, AA]) ^ rng.choice([0, AD]) ^ rng.choice([0, RA])
    return dataclasses.replace(
        message, flags=flags, answer=section(message.answer), authority=section(message.authority)
    )


def swapped(name: bytes, rng: random.Random) -> bytes:
    return bytes(octet ^ 0x20 if chr(octet).isalpha() and rng.random() < 0.5 else octet for octet in name)


def test_ad_of_the_upstream_makes_nothing_secure_4035_2() -> None:
    dialogue = Dialogue(LAB)
    question = Question(NAME("www.unsigned.nsec.test"), T.A)
    message = dialogue.honest(question)
    assert dialogue.judge_message(
        question, dataclasses.replace(message, flags=message.flags | AD)
    ).status is (INSECURE)


# RCODE: nobody signs it, so the records have to bear it out.


@kinds
@rows
def test_another_rcode_than_the_records_prove_is_never_secure_D12(
    warm: Dialogue, row: Row, kind: Denial
) -> None:
    question = Question(NAME(row.name(kind)), row.rrtype)
    honest = warm.honest(question)
    for rcode in (RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN):
        if rcode == honest.rcode:
            continue
        got = warm.judge_message(question, dataclasses.replace(honest, flags=honest.flags & 0xFFF0 | rcode))
        is_compact = rcode == RCode.NXDOMAIN and row.rcode == RCode.NXDOMAIN  # the proof says as much
        assert (got.status is SECURE) <= is_compact, (rcode, got.reason)


@pytest.mark.parametrize("rcode", [RCode.SERVFAIL, RCode.REFUSED, RCode.FORMERR, 11])
@pytest.mark.parametrize("qname", ["www.nsec.test", "no.nsec.test", "www.unsigned.nsec.test"])
def test_what_is_no_answer_cannot_be_judged(warm: Dialogue, qname: str, rcode: int) -> None:
    question = Question(NAME(qname), T.A)
    honest = warm.honest(question)
    got = warm.judge_message(question, dataclasses.replace(honest, flags=honest.flags & 0xFFF0 | rcode))
    assert got.status is INDETERMINATE


# What is kept.


def test_records_that_carry_nothing_are_left_out_C5() -> None:
    dialogue = Dialogue(LAB)
    question = Question(NAME("www.nsec.test"), T.A)
    honest = dialogue.honest(question)
    stray = Record(NAME("www.bank.test"), T.A, RRClass.IN, 300, b"\x0a\0\0\1")
    chaos = Record(NAME("www.nsec.test"), T.A, RRClass.CH, 300, b"\x0a\0\0\1")
    message = dataclasses.replace(
        honest, answer=(stray, *honest.answer, chaos), authority=(stray,), additional=(stray,)
    )
    got = dialogue.judge_message(question, message)
    assert got.status is SECURE
    assert (got.message.answer, got.message.authority, got.message.additional) == (honest.answer, (), ())


def test_an_additional_section_alone_is_left_out_too_C4() -> None:
    dialogue = Dialogue(LAB)
    question = Question(NAME("www.nsec.test"), T.A)
    honest = dialogue.honest(question)
    glue = Record(NAME("ns.bank.test"), T.A, RRClass.IN, 300, b"\x0a\0\0\1")
    for qname in ("www.nsec.test", "www.unsigned.nsec.test"):
        question = Question(NAME(qname), T.A)
        honest = dialogue.honest(question)
        got = dialogue.judge_message(question, dataclasses.replace(honest, additional=(glue,)))
        assert (got.message.answer, got.message.additional) == (honest.answer, ())


def test_signatures_of_strangers_are_left_out_and_those_of_other_algorithms_stay_6840_11() -> None:
    lab = SignedZones({"a.test": {"www": {"A": "192.0.2.1"}}}, Signing(algorithms=(8, 13)))
    dialogue = Dialogue(lab)
    question = Question(NAME("www.a.test"), T.A)
    honest = dialogue.honest(question)
    good = honest.answer[-1]
    junk = [
        dataclasses.replace(good, rdata=good.rdata[:16] + b"\0\1" + good.rdata[18:]),
        dataclasses.replace(good, rdata=good.rdata[:18] + b"\0" + good.rdata[18:]),
    ]
    got = dialogue.judge_message(question, dataclasses.replace(honest, answer=(*honest.answer, *junk)))
    assert (got.status, got.message.answer) == (SECURE, honest.answer)
    assert {record.rdata[2] for record in honest.answer if record.rrtype == T.RRSIG} == {8, 13}


def test_ttl_is_at_most_what_the_signatures_allow_4035_8() -> None:
    lab = SignedZones({"a.test": {"www": {"A": "192.0.2.1"}}}, Signing(expiration_s=100), ttl_s=300)
    dialogue = Dialogue(lab)
    assert dialogue.judge("www.a.test").ttl_s == 100
    assert dialogue.judge("www.a.test", T.A, asked("www.a.test", T.A, aged(250))).ttl_s == 50


@pytest.mark.parametrize("rrtype", [T.SOA, T.NSEC])
def test_ttl_of_a_denial_is_at_most_what_each_of_its_signatures_allows_4035_8(rrtype: int) -> None:
    dialogue = Dialogue(LAB)
    soon = resigned(None, rrtype, Terms(expiration=dialogue.wall + 7))
    for name in ("no.nsec.test", "www.nsec.test"):
        assert dialogue.judge(name, T.TXT, asked(name, T.TXT, soon)).ttl_s == 7


def test_a_soa_stays_where_it_stood_when_others_are_left_out() -> None:
    dialogue = Dialogue(LAB)
    question = Question(NAME("no.nsec.test"), T.A)
    honest = dialogue.honest(question)
    extra = Record(NAME("junk.nsec.test"), T.TXT, RRClass.IN, 60, b"\4junk")
    got = dialogue.judge_message(
        question, dataclasses.replace(honest, authority=(extra, *honest.authority), answer=(extra,))
    )
    assert (got.status, got.message.answer, got.message.authority) == (SECURE, (), honest.authority)


def test_a_ds_at_the_root_is_judged_like_any_other_answer() -> None:
    dialogue = Dialogue(LAB)
    question = Question(names.ROOT, T.DS)
    ds = Record(names.ROOT, T.DS, RRClass.IN, 300, bytes(36))
    message = dataclasses.replace(dialogue.honest(question), answer=(ds,), authority=())
    assert dialogue.judge_message(question, message).status is BOGUS


def test_a_raised_ttl_is_worth_the_original_one_4035_8() -> None:
    dialogue = Dialogue(LAB)
    question = Question(NAME("www.nsec.test"), T.A)
    honest = dialogue.honest(question)
    answer = tuple(dataclasses.replace(record, ttl=2**31 - 1) for record in honest.answer)
    assert dialogue.judge_message(question, dataclasses.replace(honest, answer=answer)).ttl_s == 300


# Aliases.


def test_the_weakest_link_of_a_chain_of_aliases_decides() -> None:
    dialogue = Dialogue(LAB)
    assert dialogue.judge("across.nsec.test").status is SECURE
    assert dialogue.judge("unsafe.nsec.test").status is INSECURE
    for broken in ("across.nsec.test", "www.nsec3.test"):
        assert dialogue.judge("across.nsec.test", T.A, stripped(broken)).status is BOGUS


def test_a_bogus_target_behind_an_insecure_alias_is_bogus() -> None:
    lab = SignedZones(
        {"plain.test": {"x": {"CNAME": "www.safe.test."}}, "safe.test": {"www": {"A": "192.0.2.1"}}},
        {".": Signing(), "test": Signing(), "safe.test": Signing()},
    )
    dialogue = Dialogue(lab)
    assert dialogue.judge("x.plain.test").status is INSECURE
    assert dialogue.judge("x.plain.test", T.A, stripped("www.safe.test", T.A)).status is BOGUS


def test_an_alias_loop_is_an_answer_and_ends_D14() -> None:
    dialogue = Dialogue(LAB)
    zone = LAB.zone("nsec.test")
    one, two = NAME("one.nsec.test"), NAME("two.nsec.test")
    loop = [
        record
        for owner, target in ((one, two), (two, one))
        for record in zone.signed([Record(owner, T.CNAME, RRClass.IN, 300, target)])
    ]
    verdict = dialogue.judge("one.nsec.test", T.A, said("one.nsec.test", T.A, answer=loop))
    assert verdict.status is SECURE
    verdict = dialogue.judge("one.nsec.test", T.A, said("one.nsec.test", T.A, RCode.NXDOMAIN, answer=loop))
    assert verdict.status is BOGUS


def test_two_aliases_at_one_name_are_bogus_2181_3() -> None:
    dialogue = Dialogue(LAB)
    owner = NAME("two.nsec.test")
    pair = [Record(owner, T.CNAME, RRClass.IN, 300, NAME(f"{x}.nsec.test")) for x in ("www", "txt")]
    answer = (*LAB.zone("nsec.test").signed(pair), *LAB.zone("nsec.test").rrset(NAME("www.nsec.test"), T.A))
    assert dialogue.judge("two.nsec.test", T.A, said("two.nsec.test", T.A, answer=answer)).status is BOGUS


def test_two_dnames_at_one_name_are_bogus_6672_1() -> None:
    dialogue = Dialogue(LAB)
    owner, zone = NAME("twice.nsec.test"), LAB.zone("nsec.test")
    pair = [Record(owner, T.DNAME, RRClass.IN, 300, NAME(x)) for x in ("nsec3.test", "www.nsec.test")]
    qname = NAME("www.twice.nsec.test")
    for target in ("www.www.nsec.test", "www.nsec3.test"):
        cname = Record(qname, T.CNAME, RRClass.IN, 300, NAME(target))
        answer = (*zone.signed(pair), cname, *LAB.zone("nsec3.test").rrset(NAME("www.nsec3.test"), T.A))
        verdict = dialogue.judge("www.twice.nsec.test", T.A, said("www.twice.nsec.test", T.A, answer=answer))
        assert verdict.status is BOGUS


def test_yxdomain_for_a_name_that_is_not_too_long_is_bogus_6672_1() -> None:
    dialogue = Dialogue(LAB)
    dname = LAB.zone("nsec.test").rrset(NAME("moved.nsec.test"), T.DNAME)
    fault = said("leaf.moved.nsec.test", T.A, RCode.YXDOMAIN, answer=dname)
    verdict = dialogue.judge("leaf.moved.nsec.test", T.A, fault)
    assert verdict.status is BOGUS


def test_yxdomain_is_no_way_to_deny_a_name_D20() -> None:
    dialogue = Dialogue(LAB)
    question = Question(NAME("www.nsec.test"), T.TXT)
    honest = dialogue.honest(question)
    message = dataclasses.replace(honest, flags=honest.flags | RCode.YXDOMAIN)
    assert dialogue.judge_message(question, message).status is BOGUS


def test_a_dname_of_a_wildcard_needs_its_proof_D9() -> None:
    lab = SignedZones({"a.test": {"*.w": {"DNAME": "b.test."}}, "b.test": {"x": {"A": "192.0.2.1"}}})
    dialogue = Dialogue(lab)
    zone = lab.zone("a.test")
    source = zone.rrset(NAME("*.w.a.test"), T.DNAME)
    dname = [dataclasses.replace(record, name=NAME("y.w.a.test")) for record in source]
    cname = Record(NAME("x.y.w.a.test"), T.CNAME, RRClass.IN, 300, NAME("x.b.test"))
    answer = (*dname, cname, *lab.zone("b.test").rrset(NAME("x.b.test"), T.A))
    assert zone.chain is not None
    proof = zone.signed(zone.chain.wildcard_answer(NAME("y.w.a.test"), NAME("w.a.test")))
    for authority, want in ((proof, SECURE), ((), BOGUS)):
        fault = said("x.y.w.a.test", T.A, answer=answer, authority=authority)
        assert dialogue.judge("x.y.w.a.test", T.A, fault).status is want


# ANY and RRSIG.


def test_any_is_as_good_as_every_rrset_in_it_D16() -> None:
    dialogue = Dialogue(LAB)
    verdict = dialogue.judge("www.nsec.test", T.ANY)
    assert verdict.status is SECURE
    assert {r.rrtype for r in verdict.message.answer} >= {T.A, T.AAAA, T.NSEC, T.RRSIG}
    assert dialogue.judge("www.nsec.test", T.ANY, stripped("www.nsec.test", T.AAAA)).status is BOGUS
    assert dialogue.judge("alias.nsec.test", T.ANY).status is SECURE
    assert dialogue.judge("no.nsec.test", T.ANY).status is SECURE
    assert dialogue.judge("ent.nsec.test", T.ANY).status is SECURE


def test_signatures_asked_for_by_type_are_not_secure_4035_6() -> None:
    dialogue = Dialogue(LAB)
    verdict = dialogue.judge("www.nsec.test", T.RRSIG)
    assert verdict.status is INSECURE
    assert {record.rrtype for record in verdict.message.answer} == {T.RRSIG}


def test_no_signatures_have_to_be_proven_too_D12() -> None:
    dialogue = Dialogue(LAB)
    stray = Record(NAME("x.bank.test"), T.RRSIG, RRClass.IN, 300, bytes(40))
    for answer in ((), (stray,)):
        assert dialogue.judge(
            "www.nsec.test", T.RRSIG, said("www.nsec.test", T.RRSIG, answer=answer)
        ).status is (BOGUS)
    assert dialogue.judge("no.nsec.test", T.RRSIG).status is SECURE


def test_extra_records_of_the_zone_itself_are_left_out_C5() -> None:
    dialogue = Dialogue(LAB)
    fault = asked("www.nsec.test", T.A, with_extra("nsec.test", "txt.nsec.test", T.TXT, in_answer=True))
    verdict = dialogue.judge("www.nsec.test", T.A, fault)
    assert verdict.status is SECURE
    assert {record.rrtype for record in verdict.message.answer} == {T.A, T.RRSIG}
