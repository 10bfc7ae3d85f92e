"""The fast path: what is read straight from octets is what a parsed Message says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.edns import EDNS
from secdns.dns.message import MAX_RECORDS, Message, Question, Record, make_query
from secdns.dns.name import from_text
from secdns.dns.peek import Query, age_ttls, question_end, read_query, reply_matches, scan
from secdns.dns.rdata import decompress
from secdns.dns.wire import read_name
from secdns.errors import FormatError
from secdns.iana import RRType
from tests.dns import wires
from tests.dns.wires import WWW, cpu_ms, head, pointer, record, refused, response

QUESTION = WWW + wires.A + wires.IN


def as_query(wire: bytes) -> Query:
    """Give what ``read_query`` must say, from the parsed message."""
    message = Message.parse(wire)
    (question,) = message.question
    edns = message.edns
    return Query(
        id=wire[:2],
        question=question.name + question.rrtype.to_bytes(2) + question.rrclass.to_bytes(2),
        name=question.name.lower(),
        rrtype=question.rrtype,
        rd=message.rd,
        ad=message.ad,
        cd=message.cd,
        edns=edns is not None,
        do=edns is not None and edns.do,
        limit=512 if edns is None else min(max(edns.size, 512), 1232),
    )


@given(wires.queries() | wires.hostile)
def test_fast_query_is_that_of_the_parsed_message(wire: bytes) -> None:
    """It also accepts only what Message.parse accepts: anything else raises here."""
    got = read_query(wire)
    if got is not None:
        message = Message.parse(wire)
        assert got == as_query(wire)
        assert (message.is_response, message.opcode, message.rcode) == (False, 0, 0)
        assert message.question[0].rrclass == 1
        assert (message.answer, message.authority, message.additional) == ((), (), ())
        assert message.edns is None or (message.edns.version, message.edns.options) == (0, ())


@given(
    wires.names | wires.longest_names,
    wires.octets16,
    wires.octets16,
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.none() | st.builds(EDNS, wires.octets16, st.just(0), st.just(0), st.booleans()),
)
def test_every_plain_query_takes_the_fast_path(
    name: bytes, rrtype: int, id: int, bits: tuple[bool, bool, bool], edns: EDNS | None
) -> None:
    rd, ad, cd = bits
    wire = make_query(name, rrtype, id=id, rd=rd, ad=ad, cd=cd, edns=edns)
    assert read_query(wire) == as_query(wire)


PLAIN = make_query(WWW, 1, id=7)
WITH_OPT = make_query(WWW, 1, id=7, edns=EDNS())


def patched(wire: bytes, at: int, octets: bytes) -> bytes:
    end = at + len(octets)
    return wire[:at] + octets + (wire[end:] if at >= 0 and end else b"")


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(PLAIN[:12], id="header only"),
        pytest.param(patched(PLAIN, 2, b"\x81"), id="QR"),
        pytest.param(patched(PLAIN, 2, b"\x09"), id="opcode"),
        pytest.param(patched(PLAIN, 2, b"\x05"), id="AA"),
        pytest.param(patched(PLAIN, 2, b"\x03"), id="TC"),
        pytest.param(patched(PLAIN, 3, b"\x80"), id="RA"),
        pytest.param(patched(PLAIN, 3, b"\x40"), id="Z"),
        pytest.param(patched(PLAIN, 3, b"\x01"), id="RCODE"),
        pytest.param(patched(PLAIN, 4, b"\0\0"), id="no question"),
        pytest.param(patched(PLAIN, 4, b"\0\2") + QUESTION, id="two questions"),
        pytest.param(patched(PLAIN, 4, b"\1\1"), id="257 questions"),
        pytest.param(patched(PLAIN, 6, b"\0\1") + record(b"\0", 1, b""), id="an answer"),
        pytest.param(patched(PLAIN, 10, b"\0\1") + record(b"\0", 250, b""), id="a record that is no OPT"),
        pytest.param(PLAIN[:-2] + b"\0\3", id="class CH"),
        pytest.param(PLAIN + b"\0", id="an octet behind"),
        pytest.param(PLAIN[:-1], id="an octet short"),
        pytest.param(PLAIN[:-5], id="no type"),
        pytest.param(PLAIN[:14], id="cut in the name"),
        pytest.param(head(1, 0, 0, 0, flags=0x100) + b"\xc0\x0c" + wires.A + wires.IN, id="pointer"),
        pytest.param(
            head(1, 0, 0, 0, flags=0x100) + b"\1a" * 127 + b"\1a\0\0\1\0\1", id="257 octets of name"
        ),
        pytest.param(WITH_OPT + b"\0", id="an octet behind OPT"),
        pytest.param(WITH_OPT[:-1], id="OPT cut"),
        pytest.param(WITH_OPT[:-11], id="OPT missing"),
        pytest.param(WITH_OPT[:-11] + b"\1a" + WITH_OPT[-11:], id="OPT owner"),
        pytest.param(WITH_OPT[:-6] + b"\1" + WITH_OPT[-5:], id="extended RCODE"),
        pytest.param(WITH_OPT[:-5] + b"\1" + WITH_OPT[-4:], id="EDNS version 1"),
        pytest.param(make_query(WWW, 1, id=7, edns=EDNS(options=((10, bytes(8)),))), id="COOKIE"),
    ],
)
def test_unusual_query_is_left_to_the_slow_road(wire: bytes) -> None:
    assert read_query(wire) is None


@pytest.mark.parametrize(
    ("size", "want"),
    [(0, 512), (511, 512), (512, 512), (1231, 1231), (1232, 1232), (1233, 1232), (65535, 1232)],
)
def test_limit_is_the_clients_size_between_512_and_1232_6891_5(size: int, want: int) -> None:
    got = read_query(make_query(WWW, 1, id=7, edns=EDNS(size)))
    assert got is not None
    assert got.limit == want


def test_unknown_edns_flags_change_nothing_8906_1() -> None:
    with_flags = WITH_OPT[:-4] + b"\x7f\xff" + WITH_OPT[-2:]
    assert read_query(with_flags) == read_query(WITH_OPT)


def test_name_tells_a_nul_from_nothing_T2() -> None:
    names = set()
    for text in ("\\000www.evil.com", "www.evil.com", "www\\000.evil.com", "www\\.evil.com"):
        got = read_query(make_query(from_text(text), 1, id=7))
        assert got is not None
        names.add(got.name)
    assert len(names) == 4


def test_name_folds_ascii_letters_only_4343_1() -> None:
    upper, lower, other = (
        read_query(make_query(name, 1, id=7)) for name in (b"\3A\xc4Z\0", b"\3a\xc4z\0", b"\3a\xe4z\0")
    )
    assert upper is not None
    assert lower is not None
    assert other is not None
    assert upper.name == lower.name != other.name
    assert upper.question == b"\3A\xc4Z\0\0\1\0\1"


def test_64_kb_that_look_like_a_query_cost_nothing_O1() -> None:
    wire = PLAIN[:12] + b"\1a" * 32000
    assert cpu_ms(lambda: read_query(wire)) < 1
    assert cpu_ms(lambda: refused(question_end, wire)) < 1


def parsed_places(wire: bytes) -> list[list[tuple[bytes, int, int, int, bytes]]]:
    """Give what stands in the places that ``scan`` finds, with RDATA uncompressed."""
    found = scan(wire)
    return [
        [
            (
                read_name(wire, place.start)[0],
                place.rrtype,
                place.rrclass,
                place.ttl,
                decompress(wire, place.rrtype, place.fields + 10, place.end),
            )
            for place in places
        ]
        for places in (found.answer, found.authority, found.additional)
    ]


def fields(records: tuple[Record, ...]) -> list[tuple[bytes, int, int, int, bytes]]:
    return [(r.name, r.rrtype, r.rrclass, r.ttl, r.rdata) for r in records]


@given(wires.hostile | wires.responses.map(Message.to_wire))
def test_scan_agrees_with_the_parsed_message_P1(wire: bytes) -> None:
    """Where both accept, they say the same; scan leaves RDATA alone, the OPT record's too."""
    try:
        message: Message | None = Message.parse(wire)
    except FormatError:
        message = None
    if message is None or len(message.question) != 1:
        try:
            scan(wire)
            parsed_places(wire)
        except FormatError:
            return
        opt = scan(wire).opt
        assert message is None
        assert opt is not None  # its options are what was wrong
        assert refused(lambda octets: Message.parse(head(0, 0, 0, 1) + octets), wire[opt.start : opt.end])
        return
    found = scan(wire)
    assert parsed_places(wire) == [
        fields(message.answer),
        fields(message.authority),
        fields(message.additional),
    ]
    assert found.flags == message.flags
    assert wire[12 : found.question_end - 4] == message.question[0].name
    assert (found.opt is None) is (message.edns is None)
    edges = [found.question_end, *sorted(p.end for p in (*found.answer, *found.authority, *found.additional))]
    if found.opt:
        edges = sorted([*edges, found.opt.end])
    assert edges[-1] == len(wire)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(head(1, 0, 0, 0)[:11], id="11 octets"),
        pytest.param(head(0, 0, 0, 0), id="no question"),
        pytest.param(head(2, 0, 0, 0) + QUESTION * 2, id="two questions"),
        pytest.param(head(65535, 0, 0, 0) + QUESTION, id="65,535 questions"),
        pytest.param(head(1, 0, 0, 0) + QUESTION + b"\0", id="trailing octet"),
        pytest.param(head(1, 0, 0, 0) + QUESTION[:-1], id="question cut"),
        pytest.param(head(1, 1, 0, 0) + QUESTION, id="an answer promised"),
        pytest.param(head(1, 0, 0, 65535) + QUESTION, id="65,535 records promised"),
        pytest.param(
            head(1, MAX_RECORDS + 1, 0, 0) + QUESTION + record(pointer(12), 1, b"") * 1001, id="1,001"
        ),
        pytest.param(response(record(pointer(12), 1, b"\x7f\0\0\1", size=5)), id="RDLENGTH one too long"),
        pytest.param(response(record(pointer(12), 1, b"\x7f\0\0\1", size=3)), id="RDLENGTH one too short"),
        pytest.param(response(record(pointer(12), 1, b"")[:-1]), id="fixed part cut"),
        pytest.param(response(record(pointer(12), 1, b"")[:1]), id="owner cut"),
        pytest.param(response(question=b"\1a" * 128 + b"\0" + wires.A + wires.IN), id="QNAME of 257 octets"),
        pytest.param(response(question=b"\1a\xc0\x0c" + wires.A + wires.IN), id="QNAME with a pointer"),
        pytest.param(response(record(pointer(12), 1, bytes(65535 - 43))), id="65,537 octets"),
    ],
)
def test_lying_response_is_refused_T3_T4(wire: bytes) -> None:
    with pytest.raises(FormatError):
        scan(wire)


def test_thousand_records_are_scanned() -> None:
    wire = head(1, 990, 9, 1) + QUESTION + record(pointer(12), 1, b"\x7f\0\0\1") * 1000
    found = scan(wire)
    assert (len(found.answer), len(found.authority), len(found.additional)) == (990, 9, 1)
    assert len(Message.parse(wire).answer) == 990


ASKED = make_query(WWW, 28, id=7, edns=EDNS(options=((12, bytes(40)),)))
ANSWER = Message(9, 0x8180, (Question(WWW, 28),), (Record(WWW, 28, 1, 60, bytes(16)),)).to_wire()


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        pytest.param(ANSWER, True, id="another ID is the transport's affair"),
        pytest.param(ANSWER.replace(b"www", b"wWw"), True, id="letter case"),
        pytest.param(ANSWER[:2] + b"\x01" + ANSWER[3:], False, id="QR clear"),
        pytest.param(ANSWER[:2] + b"\x89" + ANSWER[3:], False, id="another opcode"),
        pytest.param(ANSWER[:2] + b"\x83" + ANSWER[3:], True, id="TC"),
        pytest.param(ANSWER.replace(b"www", b"wwv"), False, id="another name"),
        pytest.param(ANSWER.replace(b"\0\x1c\0\1", b"\0\1\0\1", 1), False, id="another type"),
        pytest.param(
            ANSWER.replace(b"\0\x1c\0\1", b"\0\x3c\0\1", 1), False, id="a type that differs in the case bit"
        ),
        pytest.param(ANSWER.replace(b"\0\x1c\0\1", b"\0\x1c\0\3", 1), False, id="another class"),
        pytest.param(head(0, 0, 0, 0, flags=0x8182), False, id="SERVFAIL without a question"),
        pytest.param(head(2, 0, 0, 0) + ANSWER[12:33] * 2, False, id="two questions"),
        pytest.param(head(1, 0, 0, 0) + ANSWER[12:32], False, id="question cut"),
        pytest.param(head(1, 0, 0, 0) + b"\3WWX" + ANSWER[16:], False, id="another letter"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(ASKED, False, id="the query itself"),
    ],
)
def test_reply_must_answer_the_very_question_5452_1_M15(answer: bytes, want: bool) -> None:
    assert reply_matches(ASKED, answer) is want


@given(wires.questions, wires.hostile | wires.responses.map(Message.to_wire))
def test_only_a_response_with_the_same_question_matches_5452_1(asked: Question, answer: bytes) -> None:
    query = make_query(asked.name, asked.rrtype, id=7, rrclass=asked.rrclass)
    got = reply_matches(query, answer)
    try:
        message = Message.parse(answer)
    except FormatError:
        return
    same = [(q.name.lower(), q.rrtype, q.rrclass) for q in message.question] == [
        (asked.name.lower(), asked.rrtype, asked.rrclass)
    ]
    assert got is (message.is_response and message.opcode == 0 and same)


@given(wires.responses)
def test_reply_matches_its_own_query_in_any_case_5452_1(message: Message) -> None:
    (asked,) = message.question
    query = make_query(asked.name.swapcase(), asked.rrtype, id=7, rrclass=asked.rrclass)
    wire = message.to_wire()
    assert reply_matches(query, wire) is (message.is_response and message.opcode == 0)


@given(wires.responses, st.integers(1, 2**33))
def test_age_is_taken_from_every_ttl_but_the_opt_8484_3(message: Message, seconds: int) -> None:
    def aged(records: tuple[Record, ...]) -> tuple[Record, ...]:
        return tuple(Record(r.name, r.rrtype, r.rrclass, max(r.ttl - seconds, 0), r.rdata) for r in records)

    wire = message.to_wire()
    want = Message(
        message.id,
        message.flags,
        message.question,
        aged(message.answer),
        aged(message.authority),
        aged(message.additional),
        message.edns,
    )
    assert Message.parse(age_ttls(wire, seconds)) == want


@pytest.mark.parametrize(
    ("ttl", "seconds", "want"),
    [
        pytest.param(300, 0, 300, id="no age"),
        pytest.param(300, -5, 300, id="an age from the future"),
        pytest.param(300, 299, 1, id="a second left"),
        pytest.param(300, 300, 0, id="none left"),
        pytest.param(300, 2**40, 0, id="older than any TTL"),
        pytest.param(0, 1, 0, id="TTL 0"),
        pytest.param(2**31, 1, 2**31 - 1, id="top bit"),
        pytest.param(2**32 - 1, 1, 2**32 - 2, id="all bits"),
    ],
)
def test_ttl_ages_and_stays_above_zero_8484_3_T10(ttl: int, seconds: int, want: int) -> None:
    wire = response(record(pointer(12), RRType.A, b"\x7f\0\0\1", ttl=ttl))
    assert Message.parse(age_ttls(wire, seconds)).answer[0].ttl == want


def test_malformed_response_is_not_aged() -> None:
    with pytest.raises(FormatError):
        age_ttls(head(1, 1, 0, 0) + QUESTION, 1)
