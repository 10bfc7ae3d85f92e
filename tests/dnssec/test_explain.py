"""What a person reads: whose fault it is, what to do, and every step from the trust anchor down."""

from collections.abc import Callable

import pytest

from secdns.dns import name as names
from secdns.dns.message import Message, Question
from secdns.dnssec.anchors import DS
from secdns.dnssec.chain import Link
from secdns.dnssec.explain import Explanation, explain
from secdns.dnssec.rrsig import REVOKE
from secdns.dnssec.verdict import Verdict
from secdns.iana import RRType
from secdns.testing import Fault, SignedZones, Signing
from secdns.testing.broken import (
    asked,
    edited,
    expired,
    not_yet_valid,
    signed_by_another_key,
    stripped,
    tampered,
    with_ds,
    without_proof,
)
from tests.dnssec.dialogue import BOGUS, INDETERMINATE, INSECURE, SECURE, Dialogue, trust_in
from tests.dnssec.signing import KSK, ZONE, ZSK, Signer
from tests.testing.signed_lab import KINDS, ROWS, zone_data, zones
from tests.testing.test_signed_faults import CASES, apex_of
from tests.testing.test_signed_faults import LAB as BROKEN

T = RRType
NAME = names.from_text
LAB = SignedZones(
    {
        "a.test": zone_data("a.test"),
        "old.test": {"www": {"A": "192.0.2.1"}},
        "plain.test": {"www": {"A": "192.0.2.1"}},
        "many.test": {"www": {"A": "192.0.2.1"}},
    },
    {
        ".": Signing(),
        "test": Signing(),
        "a.test": Signing(),
        "old.test": Signing(algorithms=(5,)),
        "many.test": Signing(denial="nsec3", iterations=100),
    },
)


def told(name: str, rrtype: int = T.A, *faults: Fault, dialogue: Dialogue | None = None) -> Explanation:
    dialogue = dialogue or Dialogue(LAB)
    verdict = dialogue.judge(name, rrtype, *faults)
    return explain(Question(NAME(name), rrtype), verdict, dialogue.trail, dialogue.wall)


def test_a_genuine_answer_needs_nothing_done() -> None:
    got = told("www.a.test")
    assert (got.status, got.remedy) == (SECURE, None)
    assert got.summary == (
        "the answer for www.a.test. is genuine: every signature from the trust anchor down to it is good"
    )


def test_the_steps_go_from_the_root_to_the_name() -> None:
    got = told("www.a.test")
    assert [(step.title, step.depth) for step in got.steps] == [
        ("the keys of .", 0),
        (". vouches for test.", 0),
        ("the keys of test.", 1),
        ("test. vouches for a.test.", 1),
        ("the keys of a.test.", 2),
        ("www.a.test. A", 2),
    ]
    assert {step.status for step in got.steps} == {SECURE}
    assert all(step.reason is None for step in got.steps)


def test_a_step_shows_keys_and_which_one_fits_and_signed() -> None:
    root, entry = told("www.a.test").steps[0], told("www.a.test").steps[4]
    for step, fits in ((root, "fits the trust anchor"), (entry, "fits the DS")):
        keys = [detail for detail in step.details if detail.startswith("key ")]
        assert len(keys) == 2
        assert any("ECDSAP256SHA256, entry point" in key and fits in key for key in keys)
        assert any("zone key" in key and "fits" not in key for key in keys)
        assert sum(detail.startswith("good signature by key") for detail in step.details) == 1


def test_a_ds_step_shows_the_digest_it_stands_on() -> None:
    (key,) = [key for key in LAB.zone("a.test").keys if key.is_sep]
    step = told("www.a.test").steps[3]
    assert f"DS: key {key.tag}, ECDSAP256SHA256, digest type 2" in step.details


def test_a_wildcard_and_its_denial_are_shown() -> None:
    titles = [step.title for step in told("x.wild.a.test").steps]
    assert titles[-2:] == ["x.wild.a.test. A", "a.test. denies x.wild.a.test."]
    details = told("x.wild.a.test").steps[-2].details
    assert "made from the wildcard *.wild.a.test." in details


@pytest.mark.parametrize(
    ("name", "fault", "summary", "remedy"),
    [
        pytest.param(
            "www.a.test",
            lambda: expired("www.a.test", T.A, ago_s=6 * 86400),
            "www.a.test. A by key {zsk} of a.test. expired 6 days ago",
            "the operator of that zone has to sign it anew",
            id="expired",
        ),
        pytest.param(
            "www.a.test",
            lambda: not_yet_valid("www.a.test", T.A),
            "is valid only in 2 days",
            "look at the clock of this machine first",
            id="not yet valid",
        ),
        pytest.param(
            "www.a.test",
            lambda: with_ds("a.test", digest=bytes(32)),
            "no key of a.test. fits its DS",
            "after a change of keys or of the DNS provider",
            id="wrong DS",
        ),
        pytest.param(
            "www.a.test",
            lambda: signed_by_another_key("a.test"),
            "a.test. DNSKEY is signed by key",
            "contradict each other",
            id="another key",
        ),
        pytest.param(
            "www.a.test",
            lambda: stripped("www.a.test", T.A),
            "www.a.test. A has no signature, but its zone a.test. is signed",
            "somebody on the way removes signatures",
            id="stripped",
        ),
        pytest.param(
            "no.a.test",
            lambda: asked("no.a.test", T.A, without_proof()),
            "no proof from a.test. that no.a.test. does not exist",
            "try another upstream",
            id="no proof",
        ),
        pytest.param(
            "www.a.test",
            lambda: tampered("www.a.test", T.A),
            "the signature of www.a.test. A by key {zsk} of a.test. does not match",
            "either the answer was changed on the way or the zone is broken",
            id="tampered",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_helps(
    name: str, fault: Callable[[], Fault], summary: str, remedy: str
) -> None:
    got = told(name, T.A, fault())
    (zsk,) = [key.tag for key in LAB.zone("a.test").keys if not key.is_sep]
    assert got.status is BOGUS
    assert got.summary.startswith(f"the answer for {name}. is refused: ")
    assert summary.format(zsk=zsk) in got.summary
    assert got.remedy is not None
    assert remedy in got.remedy
    assert got.steps[-1].status is BOGUS
    assert got.steps[-1].reason is not None
    assert got.steps[-1].reason in got.summary


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("www.plain.test", "plain.test. is not signed: test. proves that it has no DS"),
        ("www.old.test", "old.test. is signed only with algorithm 5, not checked here"),
        ("no.many.test", "many.test. uses 100 NSEC3 iterations, 50 is the limit"),
    ],
)
def test_what_cannot_be_checked_is_nobodys_fault_here(name: str, why: str) -> None:
    got = told(name)
    assert got.status is INSECURE
    assert got.summary == f"the answer for {name}. cannot be checked: {why}"
    assert got.remedy is not None
    assert got.remedy.startswith("nothing is wrong")


def test_a_waiver_says_who_waived_it_7646_1() -> None:
    got = told("www.a.test", dialogue=Dialogue(LAB, trust_in(LAB, "a.test")))
    assert got.summary == (
        "the answer for www.a.test. cannot be checked: a.test. is not checked: the configuration says so"
    )


def test_a_missing_link_is_shown_as_unknown() -> None:
    dialogue = Dialogue(LAB)

    def fail(question: Question, message: Message) -> Message | None:
        return None if question.rrtype == T.DNSKEY and question.name == NAME("a.test") else message

    dialogue.change = fail
    got = told("www.a.test", dialogue=dialogue)
    assert got.status is INDETERMINATE
    assert got.summary == (
        "it cannot be told whether the answer for www.a.test. is genuine: "
        "the upstream gave no answer for a.test. DNSKEY"
    )
    unknown = [step.title for step in got.steps if step.status is INDETERMINATE]
    assert unknown == ["the keys of a.test.", "www.a.test. A"]


def test_an_octet_that_is_no_letter_is_shown_escaped_L5() -> None:
    name = b"\x05\x1b[0m\n\x04test\0"
    dialogue = Dialogue(LAB)
    question = Question(name, T.A)
    verdict = dialogue.judge_message(question, dialogue.honest(question))
    got = explain(question, verdict, dialogue.trail, dialogue.wall)
    assert "\\027[0m\\010.test." in got.summary
    assert is_plain(got)


def is_plain(got: Explanation) -> bool:
    """Tell whether all of it is one line of printable ASCII each."""
    texts = [got.summary, got.remedy or "-"]
    for step in got.steps:
        texts += [step.title, *step.details, step.reason or "-"]
    return all(text and text.isascii() and text.isprintable() for text in texts)


def test_every_answer_of_every_kind_can_be_explained() -> None:
    lab = zones()
    for kind in KINDS:
        for row in ROWS:
            got = told(row.name(kind), row.rrtype, dialogue=Dialogue(lab))
            assert is_plain(got)
            assert got.steps


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_every_fault_can_be_explained(case: object) -> None:
    assert isinstance(case, type(CASES[0]))
    got = told(f"{case.qname}.{apex_of(case)}", case.rrtype, dialogue=Dialogue(BROKEN))
    assert is_plain(got)
    assert (got.remedy is None) == (got.status is SECURE)


def test_types_and_algorithms_without_a_name_are_numbers() -> None:
    got = told("txt.a.test", 65280)
    assert got.steps[-1].title == "txt.a.test. TYPE65280"
    got = told("www.a.test", T.A, edited("a.test", T.DS, lambda rdatas: [*rdatas, b"\0\1\xc8\2" + bytes(32)]))
    assert any("algorithm 200" in detail for step in got.steps for detail in step.details)


def test_a_step_tells_keys_apart_by_what_they_may_do() -> None:
    flags = {"entry point": KSK, "zone key": ZSK, "no zone key": 0, "revoked": KSK | REVOKE}
    keys = {what: Signer(flags=one).key for what, one in flags.items()}
    ds = tuple(DS(ZONE, tag, 13, 2, b"x") for tag in (keys["entry point"].tag, 0))
    link = Link(ZONE, T.DNSKEY, ZONE, SECURE, ds=ds, keys=tuple(keys.values()))
    got = explain(Question(ZONE, T.A), Verdict(SECURE, Message()), [link], 0)
    shown = [detail.partition(": ")[2] for detail in got.steps[0].details if detail.startswith("key ")]
    name = "ECDSAP256SHA256"
    assert shown == [
        f"{name}, entry point, fits the DS",
        f"{name}, zone key",
        f"{name}, no zone key",
        f"{name}, entry point, revoked",
    ]
