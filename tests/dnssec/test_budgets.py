"""What an answer may cost: whoever wants more gets a refusal with a reason, never an exception."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns import name as names
from secdns.dns.message import Message, Question, Record
from secdns.dnssec.limits import CHAIN, NSEC3_HASHES, QUERIES, SIGNATURES, TURN
from secdns.dnssec.verdict import Verdict
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.testing import Fault, SignedZones, Signing, Terms
from secdns.testing.broken import asked, changed, key_trap, padded, said
from secdns.testing.denials import Denial
from tests.dnssec.dialogue import BOGUS, INSECURE, SECURE, Dialogue, knows_no_lie
from tests.testing.signed_lab import KINDS, zone_data

T = RRType
NAME = names.from_text
DEEP = "x." * 100

LAB = SignedZones(
    {f"{kind}.test": zone_data(f"{kind}.test") for kind in KINDS}
    | {f"sub.{kind}.test": {"www": {"A": "192.0.2.1"}} for kind in KINDS}
    | {"plain.test": {"www": {"A": "192.0.2.1"}, "*.w": {"A": "192.0.2.1"}}},
    {".": Signing(), "test": Signing(denial="nsec3")}
    | {f"{kind}.test": Signing(denial=kind) for kind in KINDS}
    | {f"sub.{kind}.test": Signing() for kind in KINDS},
)

kinds = pytest.mark.parametrize("kind", KINDS)


def within_budget(dialogue: Dialogue, verdict: Verdict) -> bool:
    """Tell whether an answer cost no more than it may, between two turns of the event loop too."""
    assert dialogue.spent == sum(dialogue.turns) <= SIGNATURES.default
    assert max(dialogue.turns) <= TURN.default
    assert 0 <= dialogue.budget.hashes <= NSEC3_HASHES.default
    assert dialogue.queries <= QUERIES.default
    return verdict.status is SECURE or (verdict.reason is not None and bool(verdict.reason.text))


def refuses(verdict: Verdict) -> bool:
    return (
        verdict.status is BOGUS
        and verdict.reason is not None
        and verdict.reason.ede is not None
        and verdict.ttl_s == 0
    )


# KeyTrap: many signatures, many keys of one tag.

TRAPS: Sequence[tuple[str, str, str, int]] = [
    ("the answer", "www.nsec.test", "www.nsec.test", T.A),
    ("the proof", "no.nsec.test", "moved.nsec.test", T.NSEC),
    ("the SOA", "no.nsec.test", "nsec.test", T.SOA),
    ("the alias", "alias.nsec.test", "alias.nsec.test", T.CNAME),
    ("the end of an alias", "alias.nsec.test", "www.nsec.test", T.A),
    ("the DS below", "www.sub.nsec.test", "sub.nsec.test", T.DS),
]


@pytest.mark.parametrize(("keys", "signatures"), [(13, 300), (13, 30), (2, 300), (300, 300), (300, 1)])
@pytest.mark.parametrize(("what", "qname", "owner", "rrtype"), TRAPS, ids=[row[0] for row in TRAPS])
def test_a_key_trap_is_refused_within_its_budget_D1(
    what: str, qname: str, owner: str, rrtype: int, keys: int, signatures: int
) -> None:
    dialogue = Dialogue(LAB)
    fault = key_trap("nsec.test", owner, rrtype, keys=keys, signatures=signatures)
    verdict = dialogue.judge(qname, T.A, fault)
    assert within_budget(dialogue, verdict)
    assert refuses(verdict)
    assert dialogue.spent < 20


def test_many_rrsets_of_a_key_trap_share_one_budget_D1() -> None:
    """Twelve aliases with a good signature behind three bad ones, eight checks each."""
    owners = [NAME(f"a{number}.nsec.test") for number in range(13)]
    zone = LAB.zone("nsec.test")
    answer: list[Record] = []
    for owner, target in pairwise(owners):
        alias = Record(owner, T.CNAME, RRClass.IN, 300, target)
        good = zone.signatures([alias])[0]
        bad = dataclasses.replace(good, rdata=good.rdata[:-1] + bytes([good.rdata[-1] ^ 1]))
        answer += [alias, bad, bad, bad, good]
    answer += zone.signed([Record(owners[-1], T.A, RRClass.IN, 300, b"\x0a\0\0\1")])
    dialogue = Dialogue(LAB)
    verdict = dialogue.judge("a0.nsec.test", T.A, said("a0.nsec.test", T.A, answer=answer))
    assert within_budget(dialogue, verdict)
    assert refuses(verdict)
    assert dialogue.spent == SIGNATURES.default
    assert verdict.reason is not None
    assert verdict.reason.text == "over 48 signature checks for one answer"


def test_any_costs_no_more_than_another_type_D1_D16() -> None:
    zone = LAB.zone("nsec.test")
    owner = NAME("many.nsec.test")
    answer = [
        record
        for rrtype in range(1000, 1100)
        for record in zone.signed([Record(owner, rrtype, RRClass.IN, 60, b"data")])
    ]
    dialogue = Dialogue(LAB)
    verdict = dialogue.judge("many.nsec.test", T.ANY, said("many.nsec.test", T.ANY, answer=answer))
    assert within_budget(dialogue, verdict)
    assert refuses(verdict)


@pytest.mark.parametrize("count", [7, 8, 9, 16, 40])
def test_ds_records_of_one_tag_are_bounded_D1(count: int) -> None:
    def many(lab: SignedZones, rrset: tuple[Record, ...], _: tuple[Record, ...]) -> tuple[Record, ...]:
        rdata = rrset[0].rdata
        wrong = [rdata[:4] + number.to_bytes(32) for number in range(count - 1)]
        records = tuple(dataclasses.replace(rrset[0], rdata=each) for each in (*wrong, rdata))
        return lab.zone("test").signed(records)

    dialogue = Dialogue(LAB)
    verdict = dialogue.judge("www.nsec.test", T.A, changed("nsec.test", T.DS, many))
    assert within_budget(dialogue, verdict)
    assert (verdict.status is SECURE) == (count <= 8)
    assert verdict.status is SECURE or refuses(verdict)


# Proofs.


@kinds
@pytest.mark.parametrize("count", [4, 20, 250])
@pytest.mark.parametrize("qname", ["no", "www", "x.wild", "no.no.ent"])
def test_a_proof_padded_with_valid_records_is_bounded_D3(kind: Denial, count: int, qname: str) -> None:
    rrtype = T.TXT if qname == "www" else T.A
    name = f"{qname}.{kind}.test"
    dialogue = Dialogue(LAB)
    honest = dialogue.judge(name, rrtype)
    verdict = dialogue.judge(name, rrtype, asked(name, rrtype, padded(count)))
    assert within_budget(dialogue, verdict)
    if count == 4:
        assert verdict.status is honest.status
    else:  # a wildcard of compact denial has no proof to pad
        assert refuses(verdict) or (kind == "compact" and verdict.status is honest.status)


@pytest.mark.parametrize("kind", ["nsec3", "opt-out"])
def test_the_denial_of_a_ds_is_bounded_too_D2_D3(kind: Denial) -> None:
    dialogue = Dialogue(LAB)
    name = f"no.{kind}.test"
    verdict = dialogue.judge(f"www.{name}", T.A, asked(name, T.DS, padded(250)), unsigned(f"www.{name}"))
    assert within_budget(dialogue, verdict)
    assert refuses(verdict)


def unsigned(name: str) -> Fault:
    """Answer with an address that nobody signed."""
    return said(name, T.A, answer=[Record(NAME(name), T.A, RRClass.IN, 60, b"\x0a\0\0\1")])


@pytest.mark.parametrize("iterations", [0, 1, 50, 51, 150, 2500, 65535])
@pytest.mark.parametrize("labels", [1, 5, 110])
def test_iterations_cost_nothing_over_the_limit_D2_9276_2(iterations: int, labels: int) -> None:
    how = Signing(denial="nsec3", iterations=iterations)
    lab = SignedZones({"a.test": {}}, {".": Signing(), "test": Signing(), "a.test": how})
    dialogue = Dialogue(lab)
    question = Question(NAME(f"{'x.' * labels}a.test"), T.A)
    # All of them have the one proof; to look for it would cost the zone, not us, its iterations.
    message = dialogue.honest(Question(NAME("x.a.test"), T.A))
    verdict = dialogue.judge_message(question, message)
    assert within_budget(dialogue, verdict)
    if iterations > 50:
        assert verdict.status is INSECURE
        assert verdict.reason is not None
        assert verdict.reason.ede is EDE.UNSUPPORTED_NSEC3_ITERATIONS
        assert dialogue.budget.hashes == NSEC3_HASHES.default
    else:
        assert verdict.status is SECURE


def test_a_name_of_120_labels_with_useless_proofs_ends_D2() -> None:
    zone = LAB.zone("nsec3.test")
    assert zone.chain is not None
    proof = [r for each in zone.chain.nodata(NAME("www.nsec3.test")) for r in zone.signed([each])]
    name = f"{'x.' * 115}nsec3.test"
    dialogue = Dialogue(LAB)
    verdict = dialogue.judge(name, T.A, said(name, T.A, RCode.NXDOMAIN, authority=proof))
    assert within_budget(dialogue, verdict)
    assert refuses(verdict)


# Chains of aliases.


def aliases(count: int, zone: str, *, is_signed: bool) -> Fault:
    """Answer with so many aliases and an address at the end."""
    held = LAB.zone(zone)
    owners = [NAME(f"a{number}.{zone}") for number in range(count + 1)]
    records = [Record(owner, T.CNAME, RRClass.IN, 300, target) for owner, target in pairwise(owners)]
    records.append(Record(owners[-1], T.A, RRClass.IN, 300, b"\x0a\0\0\1"))
    answer = [record for each in records for record in (held.signed([each]) if is_signed else (each,))]
    return said(f"a0.{zone}", T.A, answer=answer)


@pytest.mark.parametrize("count", [1, CHAIN.default, CHAIN.default + 1, 300])
def test_a_chain_of_aliases_has_twelve_links_at_most_R1(count: int) -> None:
    is_short = count <= CHAIN.default
    for zone, status in (("nsec.test", SECURE), ("plain.test", INSECURE)):
        dialogue = Dialogue(LAB)
        verdict = dialogue.judge(f"a0.{zone}", T.A, aliases(count, zone, is_signed=zone == "nsec.test"))
        assert within_budget(dialogue, verdict)
        assert verdict.status is status if is_short else refuses(verdict)


def test_twelve_aliases_through_as_many_zones_fit_R1() -> None:
    apexes = [f"z{number}.test" for number in range(13)]
    data = {apex: {"a": {"CNAME": f"a.{target}."}} for apex, target in pairwise(apexes)}
    lab = SignedZones(data | {apexes[-1]: {"a": {"A": "192.0.2.1"}}}, Signing(is_split=False))
    dialogue = Dialogue(lab)
    verdict = dialogue.judge("a.z0.test")
    assert within_budget(dialogue, verdict)
    assert verdict.status is SECURE


def test_wildcard_aliases_of_one_zone_share_their_proofs() -> None:
    lab = SignedZones(
        {
            "a.test": {
                "*.p": {"CNAME": "x.q"},
                "*.q": {"CNAME": "x.r"},
                "*.r": {"CNAME": "x.s"},
                "*.s": {"A": "192.0.2.1"},
            }
        },
        Signing(denial="nsec3"),
    )
    dialogue = Dialogue(lab)
    for _ in range(2):  # the second time the keys are known
        verdict = dialogue.judge("x.p.a.test")
        assert within_budget(dialogue, verdict)
        assert verdict.status is SECURE
    proofs = [record for record in verdict.message.authority if record.rrtype == T.NSEC3]
    assert dialogue.spent == 4 + len(proofs)


# Questions.


@kinds
@pytest.mark.parametrize("rrtype", [T.A, T.DS, T.TXT])
def test_a_name_of_a_hundred_labels_is_within_forty_questions_R1(kind: Denial, rrtype: int) -> None:
    for zone in (f"{kind}.test", f"wild.{kind}.test", f"sub.{kind}.test", "plain.test", "w.plain.test"):
        for fault in ((), (unsigned(f"{DEEP}{zone}"),)):
            dialogue = Dialogue(LAB)
            verdict = dialogue.judge(f"{DEEP}{zone}", rrtype, *fault)
            assert within_budget(dialogue, verdict)
            assert verdict.status is not SECURE or not fault or rrtype != T.A


def test_signers_at_every_label_are_not_all_looked_for_R1() -> None:
    dialogue = Dialogue(LAB)
    name = NAME(f"{DEEP}nsec.test")
    record = Record(name, T.A, RRClass.IN, 60, b"\x0a\0\0\1")
    zone = LAB.zone("nsec.test")
    answer = [record]
    answer += [r for signer in names.suffixes(name) for r in zone.signatures([record], Terms(signer=signer))]
    fault = said(names.to_text(name), T.A, answer=answer)
    verdict = dialogue.judge(names.to_text(name), T.A, fault)
    assert within_budget(dialogue, verdict)
    assert verdict.status in (SECURE, BOGUS)


def test_a_tree_that_delegates_at_every_label_ends_R1() -> None:
    deep = [".".join(["x"] * depth + ["test"]) for depth in range(1, 60)]
    lab = SignedZones(
        {zone: {} for zone in deep} | {deep[-1]: {"www": {"A": "192.0.2.1"}}}, Signing(is_split=False)
    )
    dialogue = Dialogue(lab)
    verdict = dialogue.judge(f"www.{deep[-1]}")
    assert within_budget(dialogue, verdict)
    assert refuses(verdict)
    assert verdict.reason is not None
    assert verdict.reason.text == "over 40 questions for one answer"
    for _ in range(5):  # what was learnt is kept, so it is nearer the next time
        verdict = dialogue.judge(f"www.{deep[-1]}")
    assert verdict.status is SECURE


# Anything at all.

LABELS = st.sampled_from([b"\1x", b"\1*", b"\4nsec", b"\5nsec3", b"\3www", b"\3sub", b"\4wild"])
NAMES = st.builds(
    lambda front, zone: b"".join(front) + zone,
    st.lists(LABELS, max_size=3),
    st.sampled_from([NAME(z) for z in (".", "test", "nsec.test", "nsec3.test", "sub.nsec.test")]),
)
TYPES = st.sampled_from(
    [T.A, T.NS, T.CNAME, T.SOA, T.DNAME, T.DS, T.RRSIG, T.NSEC, T.NSEC3, T.DNSKEY, T.ANY, 0, 65280]
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    rrtype = int(draw(TYPES))
    rdata = draw(st.binary(max_size=60))
    name = draw(NAMES)
    if rrtype in (T.CNAME, T.DNAME, T.NS):
        rdata = draw(NAMES)
    elif rrtype == T.NSEC:
        rdata = draw(NAMES) + rdata
    elif rrtype == T.RRSIG:
        head = int(draw(TYPES)).to_bytes(2) + bytes([13, draw(st.integers(0, 5))]) + b"\0\0\1\0"
        rdata = head + b"\xff\xff\xff\x7f\0\0\0\0" + rdata[:2] + draw(NAMES) + rdata
    return Record(name, rrtype, draw(st.sampled_from([1, 1, 1, 3])), draw(st.sampled_from([0, 300])), rdata)


SECTIONS = st.lists(records(), max_size=5).map(tuple)
MESSAGES = st.builds(
    lambda rcode, answer, authority: Message(flags=0x8180 | rcode, answer=answer, authority=authority),
    st.sampled_from([0, 0, 2, 3, 6]),
    SECTIONS,
    SECTIONS,
)


@given(
    name=NAMES,
    rrtype=TYPES,
    message=MESSAGES,
    links=st.lists(st.none() | MESSAGES, max_size=4),
    honest=st.booleans(),
)
def test_whatever_is_said_gets_a_verdict_and_no_exception(
    name: bytes, rrtype: int, message: Message, links: list[Message | None], honest: bool
) -> None:
    dialogue = Dialogue(LAB)
    said_next = iter(links)

    def change(question: Question, reply: Message) -> Message | None:
        return reply if honest else next(said_next, None)

    dialogue.change = change
    verdict = dialogue.judge_message(Question(name, rrtype), message)
    assert within_budget(dialogue, verdict)
    assert verdict.status is not SECURE
    assert knows_no_lie(dialogue)


def test_records_mixed_of_honest_answers_are_never_worth_more_than_those() -> None:
    """An answer with the parts of all others in it has too much of everything, and only costs so much."""
    dialogue = Dialogue(LAB)
    replies = [
        dialogue.honest(Question(NAME(f"{qname}.{kind}.test"), T.A))
        for kind in KINDS
        for qname in ("www", "no", "x.wild", "ent", "alias", "moved")
    ]
    answer = tuple(dict.fromkeys(r for reply in replies for r in reply.answer))
    authority = tuple(dict.fromkeys(r for reply in replies for r in reply.authority))
    for kind in KINDS:
        for qname, status in (("www", SECURE), ("unknown", BOGUS)):
            question = Question(NAME(f"{qname}.{kind}.test"), T.A)
            message = Message(flags=0x8180, question=(question,), answer=answer, authority=authority)
            verdict = dialogue.judge_message(question, message)
            assert within_budget(dialogue, verdict)
            assert verdict.status in (status, INSECURE)
            assert verdict.status is status or kind == "opt-out"


@pytest.mark.parametrize("count", [256, 257])
def test_rrset_of_more_records_than_any_honest_one_is_refused_D1(count: int) -> None:
    addresses = [f"192.0.{n >> 8}.{n & 255}" for n in range(count)]
    talk = Dialogue(SignedZones({"secure.test": {"many": {"A": addresses}}}))
    verdict = talk.judge("many.secure.test")
    assert verdict.status is SECURE if count == 256 else refuses(verdict)
