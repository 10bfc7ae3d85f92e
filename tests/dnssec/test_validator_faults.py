"""Broken zones: each has one fault, and is judged by the threats, more strictly than some programs do.

The zones are those that BIND's and Unbound's validators are asked about in tests/testing.
"""

import dataclasses
from collections.abc import Callable

import pytest

from secdns.dns import name as names
from secdns.dns.message import Question, Record
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.testing import Fault, SignedZones, Signing, Terms, make_key
from secdns.testing.broken import (
    alias_instead,
    asked,
    both,
    edited,
    expired,
    not_yet_valid,
    replayed,
    resigned,
    said,
    signed_by_another_key,
    stripped,
    tampered,
    with_ds,
    with_extra,
    with_next,
    with_types,
    without,
    without_proof,
    without_reason,
)
from secdns.testing.signing import SEP, ZONE
from tests.dnssec.dialogue import BOGUS, INSECURE, SECURE, Dialogue, knows_no_lie, trust_anchors
from tests.testing.signed_lab import zone_data
from tests.testing.test_signed_faults import CASES, LAB, Case, apex_of

T = RRType
NAME = names.from_text

# Eight NSEC3 in one answer are taken (threats §1), BIND and Unbound take the twenty of this zone.
STRICTER = {"padded_D3": "bogus"}
EDES = {
    "stripped_D12": EDE.RRSIGS_MISSING,
    "unaware_D12": EDE.RRSIGS_MISSING,
    "expired_4035_7": EDE.SIGNATURE_EXPIRED,
    "not-yet-valid_4035_7": EDE.SIGNATURE_NOT_YET_VALID,
    "expired-zone": EDE.SIGNATURE_EXPIRED,
    "tampered": EDE.DNSSEC_BOGUS,
    "key-tag_4035_7": EDE.DNSKEY_MISSING,
    "other-digest": EDE.DNSKEY_MISSING,
    "keys-stripped": EDE.RRSIGS_MISSING,
    "keys-gone": EDE.DNSKEY_MISSING,
    "unknown-algorithm_D10": EDE.UNSUPPORTED_DNSKEY_ALGORITHM,
    "unknown-digest_D10": EDE.UNSUPPORTED_DS_DIGEST_TYPE,
    "nxdomain-without-proof_D12": EDE.NSEC_MISSING,
    "wildcard-without-proof_D9": EDE.NSEC_MISSING,
    "51-iterations_D2": EDE.UNSUPPORTED_NSEC3_ITERATIONS,
    "2500-iterations_D2": EDE.UNSUPPORTED_NSEC3_ITERATIONS,
}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_fault_gets_its_verdict_and_a_reason_that_names_the_zone(case: Case) -> None:
    dialogue = Dialogue(LAB)
    verdict = dialogue.judge(f"{case.qname}.{apex_of(case)}", case.rrtype)
    assert verdict.status.value == STRICTER.get(case.id, case.want), verdict.reason
    if case.id in EDES:
        assert verdict.reason is not None
        assert verdict.reason.ede is EDES[case.id]
    if verdict.status is BOGUS:
        assert verdict.reason is not None
        assert verdict.reason.ede is not None
        assert verdict.ttl_s == 0
        assert apex_of(case) in verdict.reason.text


# Zones of our own, for what that table does not have.


def make_lab(**zones: Signing) -> SignedZones:
    data = {f"{apex}.test": zone_data(f"{apex}.test") for apex in zones}
    children = {f"sub.{apex}.test": {"www": {"A": "192.0.2.9"}} for apex in zones}
    signing = {f"{apex}.test": how for apex, how in zones.items()} | dict.fromkeys(children, Signing())
    return SignedZones(data | children, {".": Signing(), "test": Signing()} | signing)


ZONES = make_lab(
    a=Signing(), b=Signing(denial="nsec3"), c=Signing(denial="opt-out"), d=Signing(denial="compact")
)
BIG = 10**6


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue(ZONES)


def key_of(zone: str) -> Callable[[SignedZones], Terms]:
    """Sign as another zone, in truth."""
    return lambda lab: Terms(key=lab.zone(zone).keys[-1], signer=NAME(zone))


@pytest.mark.parametrize("apex", ["a.test", "b.test", "c.test", "d.test"])
@pytest.mark.parametrize("labels", [0, 1])
def test_fewer_labels_than_the_signer_has_are_refused_D4(dialogue: Dialogue, apex: str, labels: int) -> None:
    fault = resigned(f"www.{apex}", T.A, Terms(labels=labels))
    assert dialogue.judge(f"www.{apex}", T.A, fault).status is BOGUS


@pytest.mark.parametrize("signer", ["test", ".", "b.test", "sub.a.test"])
@pytest.mark.parametrize("knows", [False, True])
def test_only_the_zone_that_holds_it_can_sign_a_name_D5(dialogue: Dialogue, signer: str, knows: bool) -> None:
    if knows:
        dialogue.judge("alias.a.test")
    verdict = dialogue.judge("www.a.test", T.A, resigned("www.a.test", T.A, key_of(signer)))
    assert verdict.status is BOGUS
    assert knows_no_lie(dialogue)


def test_the_zone_above_cannot_sign_at_the_apex_once_that_is_known_D5(dialogue: Dialogue) -> None:
    dialogue.judge("www.a.test")
    verdict = dialogue.judge("a.test", T.A, resigned("a.test", T.A, key_of("test")))
    assert verdict.status is BOGUS


def test_a_name_far_below_its_zone_takes_one_look_at_what_is_between_D5() -> None:
    lab = SignedZones({"a.test": {"x.y.z": {"A": "192.0.2.1"}, "w.y.z": {"A": "192.0.2.2"}}}, Signing())
    dialogue = Dialogue(lab)
    assert dialogue.judge("a.test", T.SOA).status is SECURE
    assert dialogue.judge("x.y.z.a.test").status is SECURE
    assert dialogue.asked == [("z.a.test. DS", "y.z.a.test. DS")]
    assert dialogue.judge("w.y.z.a.test").status is SECURE
    assert dialogue.asked == []


def test_a_name_between_that_nobody_answers_for_takes_nothing_from_a_signature_D5() -> None:
    """The upstream follows an alias even when asked for a DS, here until it gives up."""
    lab = SignedZones({"a.test": {"x": {"CNAME": "x"}, "www.x": {"A": "192.0.2.1"}}})
    dialogue = Dialogue(lab)
    assert dialogue.honest(Question(NAME("x.a.test"), T.DS)).rcode == RCode.SERVFAIL
    assert dialogue.judge("www.x.a.test").status is SECURE
    assert dialogue.judge("www.x.a.test", T.A, tampered("www.x.a.test", T.A)).status is BOGUS


@pytest.mark.parametrize("following", ["aaa.test", "a.test.other", "a.a.test", "test"])
def test_an_nsec_that_leads_out_of_its_zone_or_back_proves_nothing_D6(
    dialogue: Dialogue, following: str
) -> None:
    fault = asked("zzz.a.test", T.A, with_next(None, following))
    assert dialogue.judge("zzz.a.test", T.A, fault).status is BOGUS


@pytest.mark.parametrize("denied", [RCode.NXDOMAIN, RCode.NOERROR])
def test_the_parents_side_of_a_cut_denies_nothing_in_the_child_D7_6840_1(
    dialogue: Dialogue, denied: int
) -> None:
    proof = ZONES.zone("a.test").rrset(NAME("sub.a.test"), T.NSEC)
    for qname in ("www.sub.a.test", "sub.a.test"):
        fault = said(qname, T.A, denied, authority=proof)
        assert dialogue.judge(qname, T.A, fault).status is BOGUS


def test_the_parents_nsec3_of_a_cut_denies_nothing_in_the_child_D7_6840_1(dialogue: Dialogue) -> None:
    zone = ZONES.zone("b.test")
    assert zone.chain is not None
    proof = [
        record for one in zone.chain.nxdomain(NAME("no.sub.b.test"), NAME("sub.b.test")) for record in (one,)
    ]
    signed = [record for one in proof for record in zone.signed([one])]
    for rcode in (RCode.NXDOMAIN, RCode.NOERROR):
        fault = said("www.sub.b.test", T.A, rcode, authority=signed)
        assert dialogue.judge("www.sub.b.test", T.A, fault).status is BOGUS


def test_the_childs_side_of_a_cut_does_not_deny_its_ds_D7(dialogue: Dialogue) -> None:
    proof = ZONES.zone("sub.a.test").rrset(NAME("sub.a.test"), T.NSEC)
    fault = said("sub.a.test", T.DS, authority=proof)
    assert dialogue.judge("sub.a.test", T.DS, fault).status is BOGUS
    assert dialogue.judge("www.sub.a.test", T.A, fault).status is BOGUS


@pytest.mark.parametrize("apex", ["a.test", "b.test", "d.test"])
@pytest.mark.parametrize("bit", [T.CNAME, T.TXT])
def test_nodata_for_a_name_with_the_type_or_an_alias_is_bogus_D8_6840_2(
    dialogue: Dialogue, apex: str, bit: int
) -> None:
    fault = asked(f"www.{apex}", T.TXT, with_types(add=[bit]))
    assert dialogue.judge(f"www.{apex}", T.TXT, fault).status is BOGUS


@pytest.mark.parametrize("apex", ["a.test", "b.test"])
def test_nodata_below_a_dname_is_bogus_D8_6840_1(dialogue: Dialogue, apex: str) -> None:
    reply = dialogue.honest(Question(NAME(f"moved.{apex}"), T.TXT))
    fault = said(f"leaf.moved.{apex}", T.TXT, authority=reply.authority)
    assert dialogue.judge(f"leaf.moved.{apex}", T.TXT, fault).status is BOGUS


@pytest.mark.parametrize("apex", ["a.test", "b.test", "c.test"])
@pytest.mark.parametrize("qname", ["x.wild", "x.y.wild", "x.walias"])
def test_a_wildcard_answer_without_its_proof_is_bogus_D9_4592_6672_1(
    dialogue: Dialogue, apex: str, qname: str
) -> None:
    fault = asked(f"{qname}.{apex}", T.A, without_proof())
    leaves_open = apex == "c.test" and qname == "x.y.wild"  # opt-out: y.wild may be an unsigned zone
    assert dialogue.judge(f"{qname}.{apex}", T.A, fault).status is (INSECURE if leaves_open else BOGUS)


@pytest.mark.parametrize("apex", ["a.test", "b.test", "c.test"])  # compact denial expands nothing
def test_a_wildcard_cannot_be_replayed_over_a_name_D9_4592(dialogue: Dialogue, apex: str) -> None:
    fault = replayed(f"real.wild.{apex}", T.A, f"x.wild.{apex}")
    assert dialogue.judge(f"real.wild.{apex}", T.A, fault).status is BOGUS


def test_an_nsec_made_from_a_wildcard_proves_nothing_D9(dialogue: Dialogue) -> None:
    fault = asked("no.a.test", T.A, resigned(None, T.NSEC, Terms(labels=2)))
    assert dialogue.judge("no.a.test", T.A, fault).status is BOGUS


def test_a_ds_made_from_a_wildcard_delegates_nothing_D9(dialogue: Dialogue) -> None:
    fault = resigned("sub.a.test", T.DS, Terms(labels=2))
    for qname, rrtype in (("www.sub.a.test", T.A), ("sub.a.test", T.DS)):
        assert dialogue.judge(qname, rrtype, fault).status is BOGUS
    assert knows_no_lie(dialogue)


def test_an_alias_made_from_a_wildcard_is_no_word_on_a_cut_without_its_proof_D9_D14(
    dialogue: Dialogue,
) -> None:
    zone = ZONES.zone("a.test")
    alias = Record(NAME("*.a.test"), T.CNAME, RRClass.IN, BIG, NAME("www.a.test"))
    expanded = [dataclasses.replace(record, name=NAME("sub.a.test")) for record in zone.signed([alias])]
    fault = said("sub.a.test", T.DS, answer=expanded)
    assert dialogue.judge("www.sub.a.test", T.A, fault).status is BOGUS
    assert knows_no_lie(dialogue)
    assert dialogue.judge("www.sub.a.test").status is SECURE  # nothing of it is remembered


@pytest.mark.parametrize(
    ("change", "want"),
    [
        pytest.param({"algorithm": 200}, INSECURE, id="unassigned algorithm"),
        pytest.param({"algorithm": 255}, INSECURE, id="reserved algorithm"),
        pytest.param({"algorithm": 12}, INSECURE, id="GOST_9906_1"),
        pytest.param({"algorithm": 5}, INSECURE, id="RSASHA1_9905_1"),
        pytest.param({"algorithm": 1}, INSECURE, id="RSAMD5"),
        pytest.param({"digest_type": 200}, INSECURE, id="unknown digest"),
        pytest.param({"digest_type": 3}, INSECURE, id="GOST digest_9906_1"),
        pytest.param({"digest_type": 1, "digest": bytes(20)}, INSECURE, id="SHA-1 digest_9905_1"),
        pytest.param({"digest": bytes(32)}, BOGUS, id="wrong digest"),
        pytest.param({"digest": bytes(31)}, BOGUS, id="short digest"),
        pytest.param({"key_tag": 1}, BOGUS, id="wrong key tag"),
    ],
)
def test_a_ds_alone_and_beside_a_good_one_D10_4035_10(
    dialogue: Dialogue, change: dict[str, int], want: object
) -> None:
    fault = with_ds("a.test", **change)  # type: ignore[arg-type]
    assert dialogue.judge("www.a.test", T.A, fault).status is want
    beside = Dialogue(ZONES)
    assert beside.judge("www.a.test", T.A, with_ds("a.test", keep=True, **change)).status is SECURE  # type: ignore[arg-type]


@pytest.mark.parametrize("rcode", [RCode.NOERROR, RCode.NXDOMAIN])
def test_a_ds_that_is_just_gone_is_no_insecure_zone_D10(dialogue: Dialogue, rcode: int) -> None:
    for fault in (without_reason("a.test", T.DS), said("a.test", T.DS, rcode)):
        assert dialogue.judge("www.a.test", T.A, fault, stripped("www.a.test", T.A)).status is BOGUS


def test_a_key_that_only_another_key_has_signed_is_not_trusted_D11_4035_9(dialogue: Dialogue) -> None:
    assert dialogue.judge("www.a.test", T.A, signed_by_another_key("a.test")).status is BOGUS


def test_a_key_set_with_a_key_added_is_not_trusted_D11(dialogue: Dialogue) -> None:
    mine = make_key(13, ZONE | SEP)
    fault = both(
        tampered("a.test", T.DNSKEY, lambda rdatas: [*rdatas, mine.rdata]),
        resigned("www.a.test", T.A, Terms(key=mine)),
    )
    assert dialogue.judge("www.a.test", T.A, fault).status is BOGUS


@pytest.mark.parametrize("qname", ["www", "no", "ent", "x.wild", "alias", "leaf.moved"])
@pytest.mark.parametrize("apex", ["a.test", "b.test"])
def test_an_answer_without_signatures_is_bogus_whatever_its_flags_D12(
    dialogue: Dialogue, qname: str, apex: str
) -> None:
    question = Question(NAME(f"{qname}.{apex}"), T.A)
    message = dialogue.honest(question)
    bare = [r for r in message.answer if r.rrtype != T.RRSIG]
    for flags in (message.flags, message.flags ^ 0x0400, message.flags ^ 0x20):
        for authority in ((), [r for r in message.authority if r.rrtype == T.SOA]):
            changed = dataclasses.replace(
                message, flags=flags, answer=tuple(bare), authority=tuple(authority)
            )
            assert dialogue.judge_message(question, changed).status is BOGUS


def test_an_nxdomain_without_soa_is_secure_by_its_proof_alone_D12(dialogue: Dialogue) -> None:
    verdict = dialogue.judge("no.a.test", T.A, asked("no.a.test", T.A, without("a.test", T.SOA)))
    assert (verdict.status, verdict.denied) == (SECURE, None)


def test_a_soa_that_its_zone_has_not_signed_is_bogus_4035_6(dialogue: Dialogue) -> None:
    for fault in (stripped("a.test", T.SOA), tampered("a.test", T.SOA)):
        assert dialogue.judge("no.a.test", T.A, asked("no.a.test", T.A, fault)).status is BOGUS


def test_the_soa_of_another_zone_is_left_out_C11(dialogue: Dialogue) -> None:
    fault = asked("no.a.test", T.A, with_extra("test", "test", T.SOA), without("a.test", T.SOA))
    verdict = dialogue.judge("no.a.test", T.A, fault)
    assert (verdict.status, verdict.denied) == (SECURE, None)
    assert not [record for record in verdict.message.authority if record.rrtype == T.SOA]


@pytest.mark.parametrize("link", ["a.test DS", "a.test DNSKEY", "test DS", "test DNSKEY", ". DNSKEY"])
def test_an_alias_for_a_link_is_bogus_and_ends_D14(dialogue: Dialogue, link: str) -> None:
    name, _, kind = link.partition(" ")
    fault = alias_instead(name, RRType[kind], "www.b.test")
    assert dialogue.judge("www.a.test", T.A, fault).status is BOGUS
    assert dialogue.queries < 10


@pytest.mark.parametrize("covered", [T.ANY, 128, 252, 65535])
def test_a_signature_of_what_is_no_data_counts_for_nothing_D15(dialogue: Dialogue, covered: int) -> None:
    fault = resigned("www.a.test", T.A, Terms(covered=covered))
    assert dialogue.judge("www.a.test", T.A, fault).status is BOGUS
    stray = Record(NAME("www.a.test"), covered, RRClass.IN, 60, b"data")
    zone = ZONES.zone("a.test")
    fault = said("www.a.test", covered, answer=zone.signed([stray]))
    verdict = dialogue.judge("www.a.test", covered, fault)
    assert verdict.status is not SECURE


HOUR, DAY, YEARS = 3600, 86400, 3650 * 86400


@pytest.mark.parametrize(
    ("ahead_s", "want"),
    [
        pytest.param(-YEARS, BOGUS, id="ten years slow"),
        pytest.param(-2 * DAY - HOUR, BOGUS, id="two days slow"),
        pytest.param(-DAY - HOUR, SECURE, id="an hour before the signatures begin"),
        pytest.param(0, SECURE, id="right"),
        pytest.param(14 * DAY + HOUR, SECURE, id="an hour after the signatures end"),
        pytest.param(14 * DAY + DAY, SECURE, id="a day after"),
        pytest.param(14 * DAY + DAY + 1, BOGUS, id="over a day after"),
        pytest.param(YEARS, BOGUS, id="ten years fast"),
    ],
)
def test_a_clock_may_be_wrong_by_a_tenth_of_the_validity_at_most_a_day_D17(
    dialogue: Dialogue, ahead_s: int, want: object
) -> None:
    dialogue.wall = ZONES.now + ahead_s
    for qname in ("www.a.test", "no.b.test", "www.sub.c.test"):
        verdict = dialogue.judge(qname)
        assert verdict.status is want
        assert verdict.reason is None or verdict.reason.ede in (
            EDE.SIGNATURE_EXPIRED,
            EDE.SIGNATURE_NOT_YET_VALID,
        )
        assert verdict.reason is None or ("signature of" in verdict.reason.text)


def test_an_expired_chain_says_so_for_each_link_D17() -> None:
    for fault in (expired("a.test", T.DNSKEY), expired("a.test", T.DS), not_yet_valid("a.test", T.DS)):
        verdict = Dialogue(ZONES).judge("www.a.test", T.A, fault)
        assert verdict.status is BOGUS
        assert verdict.zone == NAME("a.test")
        assert verdict.reason is not None
        assert "a.test." in verdict.reason.text


@pytest.mark.parametrize("algorithms", [(8,), (8, 13)])
def test_a_root_in_the_middle_of_a_roll_is_secure_by_either_key_D19(algorithms: tuple[int, ...]) -> None:
    lab = SignedZones({"a.test": {"www": {"A": "192.0.2.1"}}}, {".": Signing(algorithms=algorithms)})
    for text in lab.trust_anchors():
        assert Dialogue(lab, trust_anchors(text)).judge(".", T.SOA).status is SECURE


@pytest.mark.parametrize("apex", ["a.test", "b.test", "c.test", "d.test"])
def test_an_empty_non_terminal_exists_D20_4592(dialogue: Dialogue, apex: str) -> None:
    assert dialogue.judge(f"ent.{apex}").status is SECURE
    question = Question(NAME(f"ent.{apex}"), T.A)
    honest = dialogue.honest(question)
    lie = dataclasses.replace(honest, flags=honest.flags | RCode.NXDOMAIN)
    assert dialogue.judge_message(question, lie).status is not SECURE


@pytest.mark.parametrize("apex", ["a.test", "b.test", "c.test", "d.test"])
def test_an_alias_must_follow_from_its_dname_D20_6672_1(dialogue: Dialogue, apex: str) -> None:
    qname = f"leaf.moved.{apex}"
    assert dialogue.judge(qname).status is SECURE
    elsewhere = edited(qname, T.CNAME, lambda rdatas: [NAME(f"www.{apex}")])
    faults: list[Fault] = [
        asked(qname, T.A, elsewhere),
        stripped(f"moved.{apex}", T.DNAME),
        tampered(f"moved.{apex}", T.DNAME, lambda rdatas: [NAME("tree.test")]),
        without(f"moved.{apex}", T.DNAME),
    ]
    for fault in faults:
        assert dialogue.judge(qname, T.A, fault).status is BOGUS


def test_a_name_made_too_long_is_yxdomain_D20_6672_1(dialogue: Dialogue) -> None:
    verdict = dialogue.judge(f"{'q' * 63}.long.a.test")
    assert (verdict.status, verdict.message.rcode) == (SECURE, RCode.YXDOMAIN)


def test_an_alias_at_an_apex_is_judged_like_any_other_D20(dialogue: Dialogue) -> None:
    alias = Record(NAME("a.test"), T.CNAME, RRClass.IN, 60, NAME("www.b.test"))
    target = ZONES.zone("b.test").rrset(NAME("www.b.test"), T.AAAA)
    answer = (*ZONES.zone("a.test").signed([alias]), *target)
    assert dialogue.judge("a.test", T.AAAA, said("a.test", T.AAAA, answer=answer)).status is SECURE
    unsigned = (alias, *target)
    assert dialogue.judge("a.test", T.AAAA, said("a.test", T.AAAA, answer=unsigned)).status is BOGUS


@pytest.mark.parametrize("apex", ["b.test", "c.test"])
def test_the_signature_of_an_nsec3_is_checked_before_its_iterations_9276_1(
    dialogue: Dialogue, apex: str
) -> None:
    many = tampered(None, T.NSEC3, lambda rdatas: [r[:2] + b"\x27\x10" + r[4:] for r in rdatas])
    verdict = dialogue.judge(f"no.{apex}", T.A, asked(f"no.{apex}", T.A, many))
    assert verdict.status is BOGUS
    honest = edited(None, T.NSEC3, lambda rdatas: [r[:2] + b"\x27\x10" + r[4:] for r in rdatas])
    verdict = dialogue.judge(f"no.{apex}", T.A, asked(f"no.{apex}", T.A, honest))
    assert verdict.status is INSECURE
    assert verdict.reason is not None
    assert verdict.reason.ede is EDE.UNSUPPORTED_NSEC3_ITERATIONS


def test_opt_out_in_a_proof_leaves_the_answer_insecure_5155_2(dialogue: Dialogue) -> None:
    for qname in ("no.c.test", "x.wild.c.test", "den.c.test"):
        verdict = dialogue.judge(qname)
        assert (verdict.status, verdict.denied) == (INSECURE, None)
        assert verdict.reason is not None
        assert verdict.reason.ede is None


def test_an_unsigned_delegation_needs_the_ns_bit_6840_3() -> None:
    lab = SignedZones(
        {"a.test": {}, "plain.a.test": {"www": {"A": "192.0.2.1"}}},
        {".": Signing(), "test": Signing(), "a.test": Signing()},
    )
    assert Dialogue(lab).judge("www.plain.a.test").status is INSECURE
    for fault in (with_types("plain.a.test", remove=[T.NS]), with_types("plain.a.test", add=[T.SOA])):
        assert Dialogue(lab).judge("www.plain.a.test", T.A, fault).status is BOGUS


def test_one_record_twice_is_one_record_4034_1(dialogue: Dialogue) -> None:
    question = Question(NAME("www.a.test"), T.A)
    honest = dialogue.honest(question)
    twice = dataclasses.replace(honest, answer=(*honest.answer, honest.answer[0]))
    assert dialogue.judge_message(question, twice).status is SECURE


def test_the_fault_of_one_name_says_nothing_of_its_zone(dialogue: Dialogue) -> None:
    """A caller that stops asking a broken zone must not lose a good one to one bad answer."""
    for qname in ("www.a.test", "a.test", "new.test", "new"):
        address = Record(NAME(qname), T.A, RRClass.IN, 300, b"\x0a\0\0\1")
        verdict = dialogue.judge(qname, T.A, said(qname, T.A, answer=(address,)))
        assert (verdict.status, verdict.zone) == (BOGUS, None)
