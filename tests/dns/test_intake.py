"""What a client's octets deserve (RFC 1035 §4.1, RFC 6891 §6, RFC 8906, RFC 9619)."""

import pytest
from hypothesis import given

from secdns.dns.edns import EDNS
from secdns.dns.intake import MAX_ENTRIES, read_any_query
from secdns.dns.message import QR, RA, RD, Message, make_query
from secdns.dns.peek import Query, read_query
from secdns.iana import RCode, RRType
from tests.dns import wires
from tests.dns.wires import IN, WWW, A, cpu_ms, head, pointer, record

QUESTION = WWW + A + IN
OPT = record(b"\0", RRType.OPT, b"")


def edns(data: bytes) -> bytes:
    return head(1, 0, 0, 1, flags=RD) + QUESTION + record(b"\0", RRType.OPT, data)


def rcode_of(wire: bytes) -> int:
    """Give the RCODE of the reply that refuses a query, which is a reply to it in every other way."""
    reply = read_any_query(wire)
    assert isinstance(reply, bytes)
    message = Message.parse(reply)
    assert message.is_response
    assert (reply[:2], message.opcode) == (wire[:2], wire[2] >> 3 & 15)
    assert message.rd is bool(wire[2] & 1)
    assert not message.answer
    return message.rcode


@pytest.mark.parametrize(
    ("wire", "want"),
    [
        pytest.param(head(0, 0, 0, 0, flags=0), RCode.FORMERR, id="no question"),
        pytest.param(head(0, 0, 0, 1, flags=0) + OPT, RCode.FORMERR, id="no question, OPT"),
        pytest.param(head(2, 0, 0, 0, flags=RD) + QUESTION * 2, RCode.FORMERR, id="two questions"),
        pytest.param(head(65535, 0, 0, 0, flags=RD) + QUESTION, RCode.FORMERR, id="65,535 questions"),
        pytest.param(head(1, 65535, 0, 0, flags=RD) + QUESTION, RCode.FORMERR, id="65,535 answers"),
        pytest.param(head(0, 65535, 0, 0, flags=0), RCode.FORMERR, id="65,535 answers in 12 octets"),
        pytest.param(head(1, 0, 0, 0, flags=RD) + QUESTION[:-1], RCode.FORMERR, id="question cut"),
        pytest.param(head(1, 0, 0, 0, flags=RD) + QUESTION + b"\0", RCode.FORMERR, id="an octet more"),
        pytest.param(head(1, 0, 0, 0, flags=RD) + pointer(12) + A + IN, RCode.FORMERR, id="loop"),
        pytest.param(
            head(1, 0, 0, MAX_ENTRIES, flags=RD) + QUESTION + record(pointer(12), 1, b"") * MAX_ENTRIES,
            RCode.FORMERR,
            id="over 16 entries",
        ),
    ],
)
def test_query_that_cannot_be_read_is_formerr_T3_9619_1_1035_2(wire: bytes, want: RCode) -> None:
    assert rcode_of(wire) == want


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(head(1, 0, 0, 2, flags=RD) + QUESTION + OPT * 2, id="two OPT"),
        pytest.param(head(1, 0, 0, 1, flags=RD) + QUESTION + b"\1a" + OPT, id="owner that is not the root"),
        pytest.param(head(1, 1, 0, 0, flags=RD) + QUESTION + OPT, id="in the answer section"),
        pytest.param(edns(b"\0\x0a\0\x09" + bytes(8)), id="option past its record"),
        pytest.param(edns(b"\0\x0a\0"), id="option cut"),
        pytest.param(edns(b"\xfd\xe9\0\0" * 33), id="33 options"),
        pytest.param(edns(b"\xfd\xe9\0\0" * 16_000), id="16,000 options"),
    ],
)
def test_broken_edns_is_formerr_6891_3_T5_T6(wire: bytes) -> None:
    assert rcode_of(wire) == RCode.FORMERR
    assert cpu_ms(lambda: read_any_query(wire)) < 10


@pytest.mark.parametrize("version", [1, 2, 255])
def test_unknown_edns_version_is_badvers_in_version_0_6891_2_8906_1(version: int) -> None:
    reply = read_any_query(make_query(WWW, 1, id=7, edns=EDNS(version=version, do=True)))
    assert isinstance(reply, bytes)
    message = Message.parse(reply)
    assert (message.rcode, message.edns) == (RCode.BADVERS, EDNS(ext_rcode=1, do=True))
    assert message.question[0].name == WWW


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
@pytest.mark.parametrize("rest", [QUESTION, b"", b"\xff" * 40], ids=["question", "nothing", "garbage"])
def test_unknown_opcode_is_notimp_even_without_a_question_8906_1_T7(opcode: int, rest: bytes) -> None:
    counted = head(rest == QUESTION, 0, 0, 0, flags=opcode << 11 | RD)
    assert rcode_of(counted + rest) == RCode.NOTIMP


@pytest.mark.parametrize("rrclass", [0, 2, 3, 4, 254, 255, 65280])
def test_other_classes_are_refused_3597_3(rrclass: int) -> None:
    assert rcode_of(make_query(WWW, RRType.TXT, id=7, rrclass=rrclass)) == RCode.REFUSED


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(head(1, 0, 0, 0, flags=0)[:11], id="11 octets"),
        pytest.param(head(1, 0, 0, 0, flags=QR | RD) + QUESTION, id="a response"),
        pytest.param(head(0, 0, 0, 0, flags=QR | 5 << 11), id="a response of another opcode"),
    ],
)
def test_what_is_no_query_gets_silence_T7(wire: bytes) -> None:
    assert read_any_query(wire) is None


def test_no_question_with_a_cookie_is_answered_7873_1_9018_1() -> None:
    wire = head(0, 0, 0, 1, flags=0) + record(b"\0", RRType.OPT, b"\0\x0a\0\x08" + bytes(8))
    assert rcode_of(wire) == RCode.NOERROR


@pytest.mark.parametrize(
    ("wire", "attributes"),
    [
        pytest.param(make_query(WWW, 65280, id=7), {"rd"}, id="unknown type"),
        pytest.param(make_query(WWW, 1, id=7, rd=False), set(), id="RD clear"),
        pytest.param(make_query(WWW, 1, id=7, ad=True), {"rd", "ad"}, id="AD"),
        pytest.param(make_query(WWW, 1, id=7, cd=True), {"rd", "cd"}, id="CD"),
        pytest.param(head(1, 0, 0, 0, flags=RD | 0x40) + QUESTION, {"rd"}, id="Z"),
        pytest.param(head(1, 0, 0, 0, flags=RD | RA | 0x0600) + QUESTION, {"rd"}, id="RA, AA and TC"),
        pytest.param(make_query(WWW, 1, id=7, edns=EDNS()), {"rd", "edns"}, id="EDNS"),
        pytest.param(make_query(WWW, 1, id=7, edns=EDNS(do=True)), {"rd", "edns", "do"}, id="DO"),
        pytest.param(edns(b"\xfd\xe9\0\1x"), {"rd", "edns"}, id="unknown option"),
        pytest.param(edns(b"\0\x0b\0\2\0\x64"), {"rd", "edns"}, id="keepalive, which is ignored (7828.1)"),
        pytest.param(edns(b"\0\x0c\0\4\1\2\3\4"), {"rd", "edns"}, id="padding that is not zeros (7830.1)"),
        pytest.param(edns(b"\0\x08\0\7\0\1\x18\0\x7f\0\0"), {"rd", "edns"}, id="client subnet (7871.1)"),
    ],
)
def test_unusual_query_is_read_8906_1_7828_1_7830_1(wire: bytes, attributes: set[str]) -> None:
    query = read_any_query(wire)
    assert isinstance(query, Query)
    assert {name for name in ("rd", "ad", "cd", "edns", "do") if getattr(query, name)} == attributes
    assert query.question[: len(WWW)] == WWW


@given(wires.queries())
def test_both_roads_read_a_query_alike_C8(wire: bytes) -> None:
    fast, slow = read_query(wire), read_any_query(wire)
    assert fast is None or fast == slow


@given(wires.hostile)
def test_any_octets_get_a_query_a_short_reply_or_silence_P1(wire: bytes) -> None:
    got = read_any_query(wire)
    if isinstance(got, bytes):
        assert Message.parse(got).is_response
        assert got[:2] == wire[:2]
        assert len(got) <= 12 + 255 + 4 + 11  # no amplification worth the name
    elif got is None:
        assert len(wire) < 12 or wire[2] & 0x80
