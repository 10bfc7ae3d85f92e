"""Negative answers, in whole: no proof of one name or type serves for another that exists."""

import dataclasses
import functools
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secdns.dns import name as names
from secdns.dns.message import Message, Question, Record
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.testing import SignedZones, Signing, ZoneData, make_key
from secdns.testing.broken import asked, edited, padded, said, with_types
from secdns.testing.denials import Denial
from secdns.testing.signing import SEP, ZONE
from tests.dnssec.dialogue import BOGUS, INSECURE, SECURE, Dialogue, data_of, knows_no_lie
from tests.testing.signed_lab import KINDS

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
    "*.v": {"CNAME": "a"},
    "c": {"CNAME": "a"},
    "d": {"DNAME": "e"},
}
QNAMES = [
    f"{front}.{APEX}" if front else APEX
    for front in (
        *("", "a", "b", "c", "d", "e", "w", "v", "s", "u", "*", "zz"),
        *(
            "b.a",
            "zz.a",
            "a.e",
            "b.e",
            "zz.e",
            "a.w",
            "zz.w",
            "*.w",
            "zz.zz.w",
            "b.a.w",
            "zz.v",
            "b.d",
            "zz.d",
        ),
        *("a.s", "zz.s", "a.u", "zz.u", "zz.zz"),
    )
]
TYPES = (T.A, T.TXT, T.DS)
QUESTIONS = list(itertools.product(QNAMES, TYPES))
KEYS = (make_key(13, ZONE | SEP), make_key(13, ZONE))

kinds = pytest.mark.parametrize("kind", KINDS)


def make_model(kind: Denial) -> SignedZones:
    """Give the model zone with a signed child s and an unsigned one, u."""
    data: dict[str, ZoneData] = {APEX: MODEL}
    data |= {f"{child}.{APEX}": {"a": {"A": "192.0.2.5"}} for child in "su"}
    how = Signing(denial=kind)
    return SignedZones(data, {".": Signing(), "test": Signing(), APEX: how, f"s.{APEX}": how})


@functools.cache
def truths(kind: Denial) -> tuple[Dialogue, dict[Question, Message]]:
    """Give a validator that knows the model zone, and all that the zone says."""
    dialogue = Dialogue(make_model(kind))
    found = {}
    for name, rrtype in QUESTIONS:
        question = Question(NAME(name), rrtype)
        found[question] = dialogue.honest(question)
        dialogue.judge_message(question, found[question])
    return dialogue, found


def is_so(truth: Message, rcode: int) -> bool:
    """Tell whether the zone itself denies, with this RCODE or the proof that stands for it (RFC 9824)."""
    nxname = any(record.rdata.startswith(b"\1\0") for record in truth.authority if record.rrtype == T.NSEC)
    return not truth.answer and (truth.rcode == rcode or nxname)


@kinds
@pytest.mark.parametrize("rcode", [RCode.NOERROR, RCode.NXDOMAIN])
def test_no_denial_can_be_replayed_for_what_exists_4035_6840_2_5155(kind: Denial, rcode: int) -> None:
    """Each question, answered with the proofs of many others."""
    dialogue, found = truths(kind)
    rng = random.Random(f"one {kind}")
    proofs = list({frozenset(message.authority): message.authority for message in found.values()}.values())
    for question, truth in found.items():
        for authority in rng.sample(proofs, 16):
            lie = Message(flags=0x8180 | rcode, question=(question,), authority=authority)
            verdict = dialogue.judge_message(question, lie)
            if verdict.status is SECURE:
                assert is_so(truth, rcode), (question, authority)
    assert knows_no_lie(dialogue)


@kinds
def test_no_two_denials_together_prove_what_neither_may_6840_1_D7(kind: Denial) -> None:
    dialogue, found = truths(kind)
    rng = random.Random(f"two {kind}")
    proofs = list({frozenset(message.authority): message.authority for message in found.values()}.values())
    for question, truth in found.items():
        for one, other in (rng.sample(proofs, 2) for _ in range(4)):
            for rcode in (RCode.NOERROR, RCode.NXDOMAIN):
                lie = Message(flags=0x8180 | rcode, question=(question,), authority=(*one, *other))
                verdict = dialogue.judge_message(question, lie)
                assert verdict.status is not SECURE or is_so(truth, rcode), (question, one, other)


@kinds
def test_no_answer_can_be_replayed_under_another_name_4592_D9(kind: Denial) -> None:
    dialogue, found = truths(kind)
    for question, truth in found.items():
        for source, message in found.items():
            if source.rrtype != question.rrtype or not message.answer or source.name == question.name:
                continue
            answer = tuple(dataclasses.replace(record, name=question.name) for record in message.answer)
            for authority in (message.authority, truth.authority):
                lie = Message(flags=0x8180, question=(question,), answer=answer, authority=authority)
                verdict = dialogue.judge_message(question, lie)
                if verdict.status is SECURE:
                    assert data_of(verdict.message.answer) == data_of(truth.answer), (question, source)


@kinds
def test_an_honest_denial_rests_on_no_more_than_it_needs(kind: Denial) -> None:
    dialogue, found = truths(kind)
    for question, truth in found.items():
        verdict = dialogue.judge_message(question, truth)
        if truth.answer or verdict.status is not SECURE:
            continue
        assert verdict.denied is not None
        kept = {
            record.name.lower() for record in verdict.message.authority if record.rrtype in (T.NSEC, T.NSEC3)
        }
        assert {rrset.owner for rrset in verdict.denied.rrsets} == kept
        assert verdict.ttl_s <= 60


@kinds
@pytest.mark.parametrize("name", ["zz", "a", "zz.w", "e"])
def test_valid_records_beside_a_proof_are_left_out_C13(kind: Denial, name: str) -> None:
    dialogue, _ = truths(kind)
    qname = f"{name}.{APEX}"
    honest = dialogue.judge(qname, T.TXT)
    verdict = dialogue.judge(qname, T.TXT, asked(qname, T.TXT, padded(3)))
    assert verdict.status is honest.status
    assert data_of(verdict.message.authority) == data_of(honest.message.authority)


@pytest.mark.parametrize("rrtype", [T.A, T.TXT, T.MX, T.NS, T.SOA, T.DS, T.DNSKEY, 65280])
def test_compact_denial_is_nodata_with_words_9824_1(rrtype: int) -> None:
    dialogue, _ = truths("compact")
    verdict = dialogue.judge(f"zz.{APEX}", rrtype)
    assert (verdict.status, verdict.message.rcode) == (SECURE, RCode.NOERROR)
    fault = asked(f"zz.{APEX}", rrtype, with_types(add=[rrtype]))
    assert dialogue.judge(f"zz.{APEX}", rrtype, fault).status is BOGUS


def test_two_nsec_at_one_name_prove_nothing_5155() -> None:
    dialogue, _ = truths("nsec")
    qname = f"zz.{APEX}"
    fault = edited(None, T.NSEC, lambda rdatas: [*rdatas, rdatas[0][:-1] + bytes([rdatas[0][-1] | 1])])
    assert dialogue.judge(qname, T.A, asked(qname, T.A, fault)).status is BOGUS


def test_parameters_of_two_kinds_prove_nothing_together_5155_3() -> None:
    dialogue, _ = truths("nsec3")
    other = Dialogue(
        SignedZones(
            {APEX: MODEL},
            {
                ".": Signing(keys=dialogue.zones.zone().keys),
                "test": Signing(keys=dialogue.zones.zone("test").keys),
                APEX: Signing(keys=dialogue.zones.zone(APEX).keys, denial="nsec3", salt=b"\x77"),
            },
        )
    )
    for name in ("zz", "zz.e", "zz.w"):
        question = Question(NAME(f"{name}.{APEX}"), T.TXT)
        ours, theirs = dialogue.honest(question), other.honest(question)
        for authority, want in (
            (ours.authority, SECURE),
            (theirs.authority, SECURE),  # the zone has changed its salt, and signed that
            ((*ours.authority, *theirs.authority), BOGUS),
            ((*ours.authority[:4], *theirs.authority[4:]), BOGUS),
        ):
            message = dataclasses.replace(ours, authority=authority)
            assert dialogue.judge_message(question, message).status is want


def test_a_denial_of_the_root_is_one_like_any_other() -> None:
    dialogue, _ = truths("nsec")
    for name, rrtype in (("nothing", T.A), (".", T.A), (".", T.DS), ("test", T.TXT)):
        verdict = dialogue.judge(name, rrtype)
        assert verdict.status is SECURE, (name, verdict.reason)


def test_a_nodata_that_is_only_empty_says_what_is_missing() -> None:
    dialogue, _ = truths("nsec")
    verdict = dialogue.judge(f"a.{APEX}", T.TXT, said(f"a.{APEX}", T.TXT))
    assert verdict.status is BOGUS
    assert verdict.reason is not None
    assert verdict.reason.ede is EDE.NSEC_MISSING
    assert verdict.reason.text == f"no proof from {APEX}. that a.{APEX}. has no TXT: no NSEC or NSEC3 came"


# Zones made up on the spot.

LABELS = st.sampled_from(["a", "b", "w", "*"])
OWNERS = st.lists(LABELS, min_size=1, max_size=3).filter(lambda labels: "*" not in labels[1:]).map(".".join)
CONTENTS = st.sampled_from(
    [{"A": "192.0.2.1"}, {"TXT": "x"}, {"CNAME": "a.b"}, {"A": "192.0.2.2", "TXT": "y"}]
)
ZONES = st.dictionaries(OWNERS, CONTENTS, max_size=6)
CHILDREN = st.dictionaries(st.sampled_from(["s", "s.b", "s.a.a"]), st.booleans(), max_size=2)


@settings(max_examples=settings().max_examples // 2)
@given(
    data=ZONES,
    children=CHILDREN,
    kind=st.sampled_from(KINDS),
    asked_for=st.lists(st.tuples(OWNERS, st.sampled_from(TYPES)), min_size=1, max_size=3),
    below=st.sampled_from(["", "", "s.", "s.b.", "s.a.a."]),
)
def test_any_zone_is_judged_as_it_is_and_none_can_be_played_off_against_itself(
    data: ZoneData,
    children: dict[str, bool],
    kind: Denial,
    asked_for: list[tuple[str, int]],
    below: str,
) -> None:
    zones: dict[str, ZoneData] = {APEX: data} | {
        f"{child}.{APEX}": {"a": {"A": "192.0.2.9"}} for child in children
    }
    how = Signing(keys=KEYS, denial=kind)
    signed = {f"{child}.{APEX}": how for child, is_signed in children.items() if is_signed}
    lab = SignedZones(zones, {".": how, "test": how, APEX: how} | signed)
    dialogue = Dialogue(lab)
    replies = []
    for front, rrtype in asked_for:
        question = Question(NAME(f"{front}.{below}{APEX}"), rrtype)
        message = dialogue.honest(question)
        if message.rcode == RCode.SERVFAIL:  # aliases without end
            continue
        verdict = dialogue.judge_message(question, message)
        if verdict.status is not SECURE:
            assert may_be_insecure(kind, children)
            excused = has_dead_end(dialogue, question.name) or hides_an_empty_non_terminal(
                kind, data, children
            )
            assert verdict.status is INSECURE or excused
        if verdict.status is SECURE:
            assert data_of(verdict.message.answer) == data_of(message.answer)
        replies.append((question, message))
    for (question, truth), (_, other) in itertools.permutations(replies, 2):
        answer = tuple(dataclasses.replace(record, name=question.name) for record in other.answer[:2])
        for lie in (
            dataclasses.replace(truth, answer=answer, authority=other.authority),
            dataclasses.replace(other, answer=(), authority=(*other.authority, *truth.authority)),
        ):
            verdict = dialogue.judge_message(question, lie)
            if verdict.status is SECURE:
                assert data_of(verdict.message.answer) == data_of(truth.answer)
    assert knows_no_lie(dialogue)


def hides_an_empty_non_terminal(kind: Denial, data: ZoneData, children: dict[str, bool]) -> bool:
    """Tell whether an empty non-terminal without a record may keep a wildcard from answering.

    Opt-out leaves it out where it leads to unsigned zones alone, and nothing can prove the denial then.
    """
    is_hidden = any("." in child and not is_signed for child, is_signed in children.items())
    return kind == "opt-out" and is_hidden and any(owner.startswith("*") for owner in data)


def has_dead_end(dialogue: Dialogue, name: bytes) -> bool:
    """Tell whether the DS of an ancestor cannot be had: an alias without end stands there."""
    links = [Question(suffix, T.DS) for suffix in names.suffixes(name)]
    return any(dialogue.honest(link).rcode == RCode.SERVFAIL for link in links)


def may_be_insecure(kind: Denial, children: dict[str, bool]) -> bool:
    return kind == "opt-out" or not all(children.values())


def test_a_record_of_class_chaos_is_no_proof() -> None:
    dialogue, _ = truths("nsec")
    question = Question(NAME(f"zz.{APEX}"), T.A)
    honest = dialogue.honest(question)
    chaos = tuple(Record(r.name, r.rrtype, RRClass.CH, r.ttl, r.rdata) for r in honest.authority)
    assert dialogue.judge_message(question, dataclasses.replace(honest, authority=chaos)).status is BOGUS
