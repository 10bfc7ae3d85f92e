"""Take away, turn over and add: no answer becomes secure that the zones do not give.

``holds`` is the one property: secure means the same records and RCODE as an honest answer, whatever
was done to it; nothing ever raises; and the key cache holds no lie afterwards.
"""

import dataclasses
import functools
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns import name as names
from secdns.dns.message import Message, Question, Record
from secdns.dnssec.keys import KeyCache
from secdns.dnssec.limits import NSEC3_HASHES, QUERIES, SIGNATURES
from secdns.dnssec.verdict import Status, Verdict
from secdns.errors import FormatError
from secdns.iana import RCode, RRClass, RRType
from secdns.testing.denials import Denial
from tests.dnssec.dialogue import BOGUS, INSECURE, SECURE, Dialogue, data_of, knows_no_lie
from tests.testing.signed_lab import KINDS, ROWS, Row, zones

T = RRType
LAB = zones()
NAME = names.from_text
CASES = [(row, kind) for kind in KINDS for row in ROWS if row.rrtype != T.ANY]
EVERY = [pytest.param(row, kind, id=f"{row} {kind}") for row, kind in CASES]
# One of each kind of answer, small enough to turn over every bit.
SMALL = [
    ("www", T.A, "nsec"),
    ("www", T.TXT, "nsec3"),
    ("no", T.A, "nsec"),
    ("x.wild", T.A, "nsec"),
    ("no", T.A, "compact"),
    ("leaf.moved", T.DNAME, "compact"),
]


@functools.cache
def everything_known() -> KeyCache:
    """Give a key cache with all zones of the lab in it."""
    dialogue = Dialogue(LAB)
    for row, kind in CASES:
        dialogue.judge(row.name(kind), row.rrtype)
    return dialogue.trust.keys


def knowing(*, much: bool = True) -> Dialogue:
    """Give a validator that knows the lab's keys already, or nothing."""
    dialogue = Dialogue(LAB)
    if much:
        dialogue.trust = dataclasses.replace(dialogue.trust, keys=everything_known())
    return dialogue


@functools.cache
def honest(qname: bytes, rrtype: int) -> tuple[Question, Message, Status]:
    dialogue = knowing()
    question = Question(qname, rrtype)
    message = dialogue.honest(question)
    return question, message, dialogue.judge_message(question, message).status


def holds(dialogue: Dialogue, verdict: Verdict, message: Message, status: Status) -> bool:
    """Tell whether a verdict on something made of the honest ``message`` is one to live with."""
    assert dialogue.spent <= SIGNATURES.default
    assert dialogue.budget.hashes >= 0
    assert dialogue.queries <= QUERIES.default
    assert (verdict.reason is None) == (verdict.status is SECURE)
    if verdict.status is not SECURE:
        return verdict.status is not INSECURE or status is not SECURE or is_excused(verdict)
    given, kept = verdict.message, data_of(verdict.message.authority)
    return (
        status is SECURE
        and data_of(given.answer) == data_of(message.answer)
        and kept <= data_of(message.authority)
        and (given.rcode == message.rcode or has_nxname(message))
    )


def is_excused(verdict: Verdict) -> bool:
    """Tell whether an insecure verdict follows from what a zone itself leaves open (opt-out)."""
    return verdict.reason is not None and "opt-out" in verdict.reason.text


def has_nxname(message: Message) -> bool:
    return any(r.rdata[:2] == b"\x01\x00" for r in message.authority if r.rrtype == T.NSEC)


# Taking away.


def without_each(message: Message) -> Iterator[tuple[Record, Message]]:
    for section in ("answer", "authority"):
        records = getattr(message, section)
        for index, record in enumerate(records):
            rest = records[:index] + records[index + 1 :]
            yield record, dataclasses.replace(message, **{section: rest})


def is_dispensable(record: Record) -> bool:
    """A negative answer is none the worse without SOA; it is not kept then."""
    return T.SOA in (record.rrtype, covered(record))


def covered(record: Record) -> int:
    return int.from_bytes(record.rdata[:2]) if record.rrtype == T.RRSIG else record.rrtype


@pytest.mark.parametrize(("row", "kind"), EVERY)
def test_without_any_one_record_an_answer_is_not_secure_D9_D12(row: Row, kind: Denial) -> None:
    question, message, status = honest(NAME(row.name(kind)), row.rrtype)
    dialogue = knowing()
    for record, rest in without_each(message):
        verdict = dialogue.judge_message(question, rest)
        assert holds(dialogue, verdict, message, status), (record, verdict)
        assert verdict.status is not SECURE or is_dispensable(record), record
    assert knows_no_lie(dialogue)


LINKS = [
    ("www.signed.nsec.test", SECURE),
    ("www.signed.nsec3.test", SECURE),
    ("www.signed.opt-out.test", SECURE),
    ("www.signed.compact.test", SECURE),
    ("www.unsigned.nsec.test", INSECURE),
    ("www.unsigned.nsec3.test", INSECURE),
    ("www.unsigned.compact.test", INSECURE),
    ("www.hid.den.opt-out.test", INSECURE),
    ("www.hid.den.nsec3.test", INSECURE),
    ("x.y.wild.nsec3.test", SECURE),
]


@pytest.mark.parametrize(("qname", "status"), LINKS)
def test_without_any_one_record_of_a_link_nothing_is_secure_D10(qname: str, status: Status) -> None:
    first = Dialogue(LAB)
    assert first.judge(qname).status is status
    for link in [link for batch in first.asked for link in batch]:
        name, _, kind = link.partition(" ")
        wanted = Question(NAME(name), RRType[kind])
        for record, rest in without_each(first.honest(wanted)):
            dialogue = Dialogue(LAB)
            dialogue.change = lambda question, message, wanted=wanted, rest=rest: (  # type: ignore[misc]
                rest if question == wanted else message
            )
            verdict = dialogue.judge(qname)
            # An insecure chain needs no keys below, and no SOA anywhere.
            if verdict.status is not BOGUS:
                assert verdict.status is status, verdict.reason
                assert is_dispensable(record) or is_needless(link, qname), (link, record)
            assert knows_no_lie(dialogue), (link, record)


def is_needless(link: str, qname: str) -> bool:
    """Tell whether a link was asked for in advance and is not on the way to the verdict.

    A denial between the signer and the name shows that no zone begins there; without it the
    signature stands.
    """
    name, _, kind = link.partition(" ")
    below_the_cut = f"www.{'.'.join(qname.split('.')[1:])}." == name or name.startswith("hid.den.opt-out")
    return kind == "DS" and (below_the_cut or name.startswith(("y.wild", "wild")))


# Turning over.


def turned(wire: bytes, first: int) -> Iterator[tuple[int, Message]]:
    """Yield messages with one bit changed each, header and question aside."""
    for bit in range(first * 8, len(wire) * 8):
        octets = bytearray(wire)
        octets[bit // 8] ^= 0x80 >> bit % 8
        try:
            yield bit, Message.parse(bytes(octets))
        except FormatError:
            continue


@pytest.mark.parametrize(("qname", "rrtype", "kind"), SMALL)
def test_no_bit_of_an_answer_can_be_turned_over_4035_7(qname: str, rrtype: int, kind: Denial) -> None:
    question, message, status = honest(NAME(f"{qname}.{kind}.test"), rrtype)
    assert status is SECURE
    dialogue = knowing()
    message = dataclasses.replace(message, edns=None)
    wire = message.to_wire(compress=False)
    for bit, changed in turned(wire, 12 + len(question.name) + 4):
        verdict = dialogue.judge_message(question, changed)
        assert holds(dialogue, verdict, message, status), (bit, verdict)
        assert verdict.ttl_s <= 300
    assert knows_no_lie(dialogue)


@pytest.mark.parametrize(
    ("wanted", "qname", "status"),
    [
        pytest.param("signed.nsec.test DS", "www.signed.nsec.test", SECURE, id="DS"),
        pytest.param("signed.nsec.test DNSKEY", "www.signed.nsec.test", SECURE, id="DNSKEY"),
        pytest.param("unsigned.nsec.test DS", "www.unsigned.nsec.test", INSECURE, id="no DS, NSEC"),
        pytest.param("unsigned.nsec3.test DS", "www.unsigned.nsec3.test", INSECURE, id="no DS, NSEC3"),
    ],
)
def test_no_bit_of_a_link_can_be_turned_over_D10_D11(wanted: str, qname: str, status: Status) -> None:
    name, _, kind = wanted.partition(" ")
    link = Question(NAME(name), RRType[kind])
    above = Dialogue(LAB)  # what stands above the link is known
    above.judge("www." + ".".join(name.split(".")[1:]))
    question = Question(NAME(qname), T.A)
    answer = above.honest(question)
    message = dataclasses.replace(above.honest(link), edns=None)
    wire = message.to_wire(compress=False)
    dialogue = Dialogue(LAB)
    for bit, changed in turned(wire, 12 + len(link.name) + 4):
        keys = KeyCache()
        for zone in (".", "test", ".".join(name.split(".")[1:])):
            held = above.trust.keys.zone(NAME(zone), 1000.0)
            assert held is not None
            keys.learn(held, 300, 1000.0)
        dialogue.trust = dataclasses.replace(dialogue.trust, keys=keys)
        dialogue.change = lambda asked, reply, changed=changed: changed if asked == link else reply  # type: ignore[misc]
        verdict = dialogue.judge_message(question, answer)
        assert verdict.status is BOGUS or verdict.status is status, (bit, verdict.reason)
        assert knows_no_lie(dialogue), bit


@given(case=st.sampled_from(CASES), data=st.data())
def test_no_bits_of_any_answer_can_be_turned_over_4035_7(
    case: tuple[Row, Denial], data: st.DataObject
) -> None:
    row, kind = case
    question, message, status = honest(NAME(row.name(kind)), row.rrtype)
    plain = dataclasses.replace(message, edns=None)
    octets = bytearray(plain.to_wire(compress=False))
    first = 12 + len(question.name) + 4
    if len(octets) == first:
        return
    for bit in data.draw(st.lists(st.integers(first * 8, len(octets) * 8 - 1), min_size=1, max_size=3)):
        octets[bit // 8] ^= 0x80 >> bit % 8
    try:
        changed = Message.parse(bytes(octets))
    except FormatError:
        return
    dialogue = knowing()
    assert holds(dialogue, dialogue.judge_message(question, changed), plain, status)


# Adding.


def chaff() -> list[Record]:
    """Give records that are all genuine, of parent, child and sibling zones."""
    found: list[Record] = []
    for kind in KINDS:
        for qname, rrtype in (("www", T.A), ("@", T.SOA), ("alias", T.CNAME), ("moved", T.DNAME)):
            row = Row(qname, rrtype)
            found += LAB.zone(f"{kind}.test").rrset(NAME(row.name(kind)), rrtype)
        found += LAB.zone(f"signed.{kind}.test").rrset(NAME(f"www.signed.{kind}.test"), T.A)
        for qname in ("no", "www", "x.wild", "ent", "unsigned"):
            reply = Dialogue(LAB).honest(Question(NAME(f"{qname}.{kind}.test"), T.DS))
            found += reply.authority
    for zone in (".", "test"):
        for rrtype in (T.SOA, T.NS, T.DNSKEY):
            found += LAB.zone(zone).rrset(NAME(zone), rrtype)
    return list(dict.fromkeys(found))


CHAFF = chaff()


def junk(question: Question, message: Message, rng: random.Random) -> list[Record]:
    """Give signatures and keys that nobody made, some with the name and tag of a genuine key."""
    made = []
    for record in message.answer + message.authority:
        if record.rrtype == T.RRSIG:
            rdata = bytearray(record.rdata)
            rdata[rng.choice([2, 3, 9, 16, 17, -1])] ^= rng.choice([1, 4, 128])
            made.append(dataclasses.replace(record, rdata=bytes(rdata)))
    for suffix in names.suffixes(question.name):
        made.append(Record(suffix, T.DNSKEY, RRClass.IN, 60, b"\1\1\3\x0d" + rng.randbytes(64)))
        made.append(Record(question.name, T.RRSIG, RRClass.IN, 60, bytes(18) + suffix + b"\0" * 64))
    return made


@given(case=st.sampled_from(CASES), seed=st.integers(0, 2**32), much=st.booleans())
def test_records_beside_an_answer_change_nothing_C5_D12(
    case: tuple[Row, Denial], seed: int, much: bool
) -> None:
    row, kind = case
    rng = random.Random(seed)
    question, message, status = honest(NAME(row.name(kind)), row.rrtype)
    dialogue = knowing(much=much)
    more = [
        *rng.sample(CHAFF, rng.randint(1, 12)),
        *rng.sample(junk(question, message, rng), rng.randint(0, 3)),
    ]
    rng.shuffle(more)
    half = len(more) // 2
    answer, authority = [*message.answer, *more[:half]], [*message.authority, *more[half:]]
    rng.shuffle(answer)
    rng.shuffle(authority)
    verdict = dialogue.judge_message(
        question, dataclasses.replace(message, answer=tuple(answer), authority=tuple(authority))
    )
    plain = data_of([*message.answer, *message.authority])
    if is_about(more, question, message):
        assert verdict.status is not SECURE or status is SECURE
    elif verdict.status is SECURE:
        assert holds(dialogue, verdict, message, status), verdict
        assert data_of(verdict.message.answer) == data_of(message.answer)
        assert data_of(verdict.message.authority) <= plain
    else:
        assert verdict.status in (status, BOGUS), (verdict, more)
    assert knows_no_lie(dialogue)


def is_about(more: list[Record], question: Question, message: Message) -> bool:
    """Tell whether what was added is itself an answer to the question, which other data may be."""
    owners = {r.name.lower() for r in message.answer} | {question.name.lower()}
    return any(
        (r.name.lower() in owners and r.rrtype in (question.rrtype, T.CNAME))
        or (r.rrtype == T.DNAME and any(names.is_subdomain(o, r.name) for o in owners))
        for r in more
    )


@pytest.mark.parametrize("count", [1, 4, 31, 300])
def test_junk_signatures_hide_no_good_one_that_is_within_reach_D1(count: int) -> None:
    question, message, _ = honest(NAME("www.nsec.test"), T.A)
    good = message.answer[-1]
    stray = [
        dataclasses.replace(good, rdata=good.rdata[:18] + bytes([1, 97 + n % 26]) + good.rdata[18:])
        for n in range(count)
    ]
    dialogue = knowing(much=False)
    answer = (*message.answer[:-1], *stray, good)
    verdict = dialogue.judge_message(question, dataclasses.replace(message, answer=answer))
    assert verdict.status is (SECURE if count < 32 else BOGUS)
    assert dialogue.spent < 20
    assert verdict.message.rcode == RCode.NOERROR
    assert dialogue.budget.hashes <= NSEC3_HASHES.default
