"""Denials that follow from denials: nothing is said that the zones would contradict (RFC 8198)."""

import functools
import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from secdns.dns import name as names
from secdns.dns.message import Message, Question, Record
from secdns.dns.rdata import soa_minimum
from secdns.dnssec.aggressive import MAX_RECORDS, MAX_ZONES, Denials, Denied
from secdns.dnssec.rrsets import RRsets, Signed
from secdns.dnssec.verdict import Verdict
from secdns.iana import RCode, RRType
from secdns.testing import SignedZones, Signing, ZoneData
from secdns.testing.broken import asked, padded, stripped, with_extra, without
from secdns.testing.denials import Denial
from tests.dnssec.dialogue import INSECURE, SECURE, Dialogue, data_of, trust_in

T = RRType
NAME = names.from_text
APEX = "m.test"
MODEL: ZoneData = {
    "@": {"MX": "10 a"},
    "a": {"A": "192.0.2.1"},
    "b.a": {"A": "192.0.2.2", "TXT": "two"},
    "b.e": {"A": "192.0.2.3"},  # e is an empty non-terminal
    "*.w": {"A": "192.0.2.4"},
    "a.w": {"TXT": "closer"},
    "c": {"CNAME": "a"},
    "d": {"DNAME": "a"},
}
LABELS = ("a", "b", "c", "d", "e", "w", "s", "u", "*", "zz")
TYPES = (T.A, T.TXT, T.DS)
DEEPEST = [
    (one, two, three) for one in ("a", "*", "zz") for two in ("b", "*", "zz") for three in ("a", "e", "w")
]
QNAMES = [".".join((*front, APEX)) for depth in range(3) for front in itertools.product(LABELS, repeat=depth)]
QNAMES += [".".join((*front, APEX)) for front in DEEPEST]
QUESTIONS = list(itertools.product(QNAMES, TYPES))


def make_model(denial: Denial) -> SignedZones:
    """Give the model zone with a signed child s and an unsigned one, u."""
    return SignedZones(
        {APEX: MODEL, f"s.{APEX}": {"a": {"A": "192.0.2.5"}}, f"u.{APEX}": {"a": {"A": "192.0.2.6"}}},
        {
            ".": Signing(),
            "test": Signing(),
            APEX: Signing(denial=denial, salt=b"\xaa"),
            f"s.{APEX}": Signing(denial=denial),
        },
    )


def learn(dialogue: Dialogue, denials: Denials, name: str, rrtype: int = T.A) -> Verdict:
    """Have an answer judged, and what it denies taken up as the daemon does."""
    verdict = dialogue.judge(name, rrtype)
    if verdict.denied is not None:
        minimum = soa_minimum(verdict.denied.soa.records[0].rdata)
        denials.learn(verdict.denied, min(verdict.ttl_s, minimum), dialogue.now)
    return verdict


def ask(denials: Denials, name: str, rrtype: int = T.A, now: float = 1000.0) -> Message | None:
    return denials.answer(Question(NAME(name), rrtype), now)


@functools.cache
def truths(denial: Denial) -> tuple[Dialogue, dict[tuple[str, int], tuple[Message, Verdict]]]:
    """Give all that the model zone says, and what it is worth."""
    dialogue = Dialogue(make_model(denial))
    found: dict[tuple[str, int], tuple[Message, Verdict]] = {}
    for name, rrtype in QUESTIONS:
        question = Question(NAME(name), rrtype)
        message = dialogue.honest(question)
        found[name, rrtype] = message, dialogue.judge_message(question, message)
    return dialogue, found


def is_so(truth: Message, said: Message | None) -> bool:
    """Tell whether a denial is what the zones say, too; none at all always is."""
    return said is None or (not truth.answer and truth.rcode == said.rcode)


def take_up(denials: Denials, verdict: Verdict) -> None:
    if verdict.denied is not None:
        denials.learn(verdict.denied, verdict.ttl_s, 1000.0)


@pytest.mark.parametrize("denial", ["nsec", "nsec3", "compact"])
def test_no_denial_leads_to_a_wrong_one_8198_1_8020_1(denial: Denial) -> None:
    """One, two or all denials of the model zone are known, and every question in it is asked."""
    _, found = truths(denial)
    rng = random.Random(8198)
    useful = [verdict for _, verdict in found.values() if verdict.denied is not None]
    known = [[verdict] for verdict in rng.sample(useful, 12)]
    known += [rng.sample(useful, 2) for _ in range(12)]
    for verdicts in [*known, useful]:
        denials = Denials()
        for verdict in verdicts:
            take_up(denials, verdict)
        for (name, rrtype), (truth, _) in found.items():
            assert is_so(truth, ask(denials, name, rrtype)), (verdicts, name, rrtype)


@pytest.mark.parametrize("denial", ["nsec", "nsec3", "compact"])
def test_with_all_denials_held_every_denial_is_said_and_verifies_8198_3(denial: Denial) -> None:
    dialogue, found = truths(denial)
    denials = Denials()
    for _, verdict in found.values():
        take_up(denials, verdict)
    for (name, rrtype), (truth, verdict) in found.items():
        said = ask(denials, name, rrtype)
        if verdict.denied is None or truth.answer:  # the NXDOMAIN of an alias is its target's
            continue
        if verdict.nxname:  # what a client is told depends on DO, so it is asked anew (9824_3)
            assert said is None
            continue
        assert said is not None, (name, rrtype)
        got = dialogue.judge_message(Question(NAME(name), rrtype), said)
        assert got.status is SECURE, (name, rrtype, got.reason)
        assert got.message is said  # what proves it, and no more


def test_one_nxdomain_denies_its_neighbours_and_all_below_8020_1() -> None:
    dialogue = Dialogue(make_model("nsec"))
    denials = Denials()
    learn(dialogue, denials, f"zz.{APEX}")
    for name in (f"zz.{APEX}", f"yy.{APEX}", f"a.b.c.zz.{APEX}", f"ZZ.{APEX}".upper()):
        answer = ask(denials, name)
        assert answer is not None
        assert answer.rcode == RCode.NXDOMAIN
    assert ask(denials, f"a.{APEX}") is None
    assert ask(denials, "zz.other.test") is None


def test_nothing_unsigned_denies_anything_C10() -> None:
    dialogue = Dialogue(make_model("nsec"))
    for name in (f"zz.u.{APEX}", f"a.u.{APEX}"):
        verdict = dialogue.judge(name, T.TXT)
        assert (verdict.status, verdict.denied) == (INSECURE, None)


def test_opt_out_denies_nothing_else_8198_1() -> None:
    dialogue = Dialogue(make_model("opt-out"))
    denials = Denials()
    for name in QNAMES:
        learn(dialogue, denials, name)
    assert [name for name in QNAMES if ask(denials, name) is not None] == []


def test_opt_out_records_are_not_taken_up_even_where_they_match_8198_1() -> None:
    dialogue = Dialogue(make_model("opt-out"))
    verdict = dialogue.judge(f"a.{APEX}", T.TXT)
    assert verdict.status is SECURE
    assert verdict.denied is not None
    denials = Denials()
    denials.learn(verdict.denied, 60, 0.0)
    assert ask(denials, f"a.{APEX}", T.TXT, 1.0) is None


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_records_beside_a_proof_are_not_taken_up_C13(denial: Denial) -> None:
    dialogue = Dialogue(make_model(denial))
    name = f"a.{APEX}"
    honest = dialogue.judge(name, T.TXT)
    assert honest.denied is not None
    for fault in (
        padded(4),
        with_extra(APEX, f"b.a.{APEX}", T.NSEC),
        with_extra(f"s.{APEX}", f"s.{APEX}", T.NSEC),
    ):
        verdict = dialogue.judge(name, T.TXT, asked(name, T.TXT, fault))
        assert verdict.denied is not None
        assert [r.owner for r in verdict.denied.rrsets] == [r.owner for r in honest.denied.rrsets]


def test_a_positive_answer_denies_nothing_although_it_has_a_proof_C13() -> None:
    dialogue = Dialogue(make_model("nsec"))
    verdict = dialogue.judge(f"x.w.{APEX}")
    assert (verdict.status, verdict.denied) == (SECURE, None)


def test_what_fails_denies_nothing_D13() -> None:
    dialogue = Dialogue(make_model("nsec"))
    for fault in (stripped(APEX, T.SOA), stripped(None, T.NSEC), without(None, T.NSEC)):
        assert dialogue.judge(f"zz.{APEX}", T.A, fault).denied is None


def test_without_a_soa_nothing_is_denied_C11() -> None:
    dialogue = Dialogue(make_model("nsec"))
    verdict = dialogue.judge(f"zz.{APEX}", T.A, without(APEX, T.SOA))
    assert (verdict.status, verdict.denied) == (SECURE, None)


def test_a_waived_name_denies_nothing_7646_1() -> None:
    lab = make_model("nsec")
    dialogue = Dialogue(lab, trust_in(lab, APEX))
    assert dialogue.judge(f"zz.{APEX}").denied is None


def test_ttls_are_what_is_left_and_at_most_the_negative_one_8198_2() -> None:
    dialogue = Dialogue(make_model("nsec"))
    verdict = dialogue.judge(f"zz.{APEX}")
    assert verdict.denied is not None
    denials = Denials()
    denials.learn(verdict.denied, 20, 0.0)  # the SOA's MINIMUM, say; the records have 60
    for now, left in ((0.0, 20), (0.5, 19), (19.0, 1)):
        answer = ask(denials, f"yy.{APEX}", T.A, now)
        assert answer is not None
        assert {record.ttl for record in answer.authority} == {left}
    assert ask(denials, f"yy.{APEX}", T.A, 20.0) is None


def changed(rrset: Signed, change: Callable[[Record], Record]) -> Signed:
    """Give an RRset with each of its records changed, the RRSIGs too."""
    other = Signed(rrset.owner, rrset.rrtype)
    other.records = [change(record) for record in rrset.records]
    other.signatures = rrset.signatures
    other.covering = [change(record) for record in rrset.covering]
    return other


def test_a_proof_ends_before_a_soa_that_came_again_8198_2() -> None:
    for denial, name, other in (("nsec", "zz", "a"), ("nsec3", "a", "zz")):
        kind: Denial = "nsec" if denial == "nsec" else "nsec3"
        dialogue = Dialogue(make_model(kind))
        first = dialogue.judge(f"{name}.{APEX}", T.TXT).denied
        second = dialogue.judge(f"{other}.{APEX}", T.TXT).denied
        assert first is not None
        assert second is not None
        denials = Denials()
        denials.learn(first, 20, 0.0)
        denials.learn(second, 60, 10.0)
        assert ask(denials, f"{name}.{APEX}", T.MX, 19.9) is not None
        assert ask(denials, f"{name}.{APEX}", T.MX, 20.0) is None


def test_nothing_is_denied_once_the_soa_has_run_out_8198_2() -> None:
    denied = Dialogue(make_model("nsec")).judge(f"zz.{APEX}").denied
    assert denied is not None
    soa = changed(denied.soa, lambda record: replace(record, ttl=10))
    denials = Denials()
    denials.learn(Denied(denied.zone, denied.rrsets, soa), 60, 0.0)
    assert ask(denials, f"yy.{APEX}", T.A, 9.9) is not None
    assert ask(denials, f"yy.{APEX}", T.A, 10.0) is None


def test_a_proof_whose_names_came_in_upper_case_is_sent_too_4343_1() -> None:
    denied = Dialogue(make_model("nsec")).judge(f"zz.{APEX}").denied
    assert denied is not None
    shouted = [
        changed(each, lambda record: replace(record, name=record.name.upper())) for each in denied.rrsets
    ]
    denials = Denials()
    denials.learn(Denied(denied.zone, tuple(shouted), denied.soa), 60, 0.0)
    answer = ask(denials, f"yy.{APEX}", T.A, 1.0)
    assert answer is not None
    assert {record.rrtype for record in answer.authority} == {T.SOA, T.NSEC, T.RRSIG}


@pytest.mark.parametrize(("labels", "is_denied"), [(7, True), (8, False)])
def test_names_are_hashed_up_to_seven_labels_below_their_zone_D2(labels: int, is_denied: bool) -> None:
    dialogue = Dialogue(make_model("nsec3"))
    denials = Denials()
    learn(dialogue, denials, f"zz.{APEX}")
    assert (ask(denials, f"{'x.' * (labels - 1)}zz.{APEX}") is not None) is is_denied


def test_the_proof_comes_with_its_signatures_8198_3() -> None:
    dialogue = Dialogue(make_model("nsec"))
    denials = Denials()
    learn(dialogue, denials, f"zz.{APEX}")
    answer = ask(denials, f"yy.{APEX}")
    assert answer is not None
    section = RRsets(answer.authority)
    rrsets = [*section.of_types(T.SOA), *section.of_types(T.NSEC)]
    assert {rrset.rrtype for rrset in rrsets} == {T.SOA, T.NSEC}
    assert all(rrset.signatures for rrset in rrsets)
    assert answer.question == (Question(NAME(f"yy.{APEX}"), T.A),)
    assert data_of(answer.authority) == data_of(dialogue.honest(answer.question[0]).authority)


def test_the_parent_answers_for_a_ds_and_the_child_for_the_rest() -> None:
    dialogue = Dialogue(make_model("nsec"))
    denials = Denials()
    learn(dialogue, denials, f"u.{APEX}", T.DS)
    learn(dialogue, denials, f"zz.s.{APEX}")
    answer = ask(denials, f"u.{APEX}", T.DS)
    assert answer is not None
    assert answer.rcode == RCode.NOERROR
    assert ask(denials, f"u.{APEX}", T.A) is None
    assert ask(denials, f"zz.u.{APEX}", T.A) is None
    assert ask(denials, f"s.{APEX}", T.DS) is None
    assert ask(denials, f"yy.s.{APEX}", T.A) is not None


def test_a_zone_that_changes_its_kind_of_denial_begins_anew() -> None:
    denials = Denials()
    for denial in ("nsec", "nsec3", "nsec"):
        kind: Denial = "nsec" if denial == "nsec" else "nsec3"
        learn(Dialogue(make_model(kind)), denials, f"zz.{APEX}")
        assert ask(denials, f"zz.{APEX}") is not None
    learn(Dialogue(make_model("nsec3")), denials, f"a.{APEX}", T.TXT)
    assert ask(denials, f"zz.{APEX}") is None


def test_what_is_held_is_bounded_C13() -> None:
    dialogue = Dialogue(make_model("nsec"))
    verdict = dialogue.judge(f"zz.{APEX}")
    assert verdict.denied is not None
    denials = Denials()
    for number in range(MAX_ZONES + 10):
        apex = b"\x04%04d\x04test\0" % number
        denials.learn(Denied(apex, verdict.denied.rrsets, verdict.denied.soa), 60, 0.0)
    assert len(denials._zones) == MAX_ZONES == 256
    compact = Dialogue(make_model("compact"))
    for number in range(MAX_RECORDS + 10):
        learn(compact, denials, f"n{number}.{APEX}")
    assert len(denials._zones[NAME(APEX)]) <= MAX_RECORDS


def test_a_name_of_many_labels_costs_nothing() -> None:
    for denial in ("nsec", "nsec3"):
        kind: Denial = "nsec" if denial == "nsec" else "nsec3"
        dialogue = Dialogue(make_model(kind))
        denials = Denials()
        for name in (f"zz.{APEX}", f"zz.zz.w.{APEX}", APEX):
            learn(dialogue, denials, name, T.TXT)
        deep = f"{'x.' * 110}zz.{APEX}"
        answer = ask(denials, deep)
        assert answer is None or answer.rcode == RCode.NXDOMAIN
