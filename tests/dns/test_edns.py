"""EDNS(0): the OPT record, its options, padding, Extended DNS Errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns import edns
from secdns.dns.edns import (
    EDNS,
    MAX_OPTIONS,
    errors_of,
    extended_error,
    options_from_wire,
    options_to_wire,
    pad,
)
from secdns.dns.message import Message, make_query
from secdns.dns.peek import read_query, scan
from secdns.errors import FormatError
from secdns.iana import EDE, EDNSOption
from tests.dns import wires
from tests.dns.wires import WWW, cpu_ms, head, record, refused

QUESTION = WWW + wires.A + wires.IN


def opt(rdata: bytes = b"", *, owner: bytes = b"\0", size: int | None = None) -> bytes:
    """Give an OPT record."""
    return record(owner, 41, rdata, ttl=0, size=size)


def query(*additional: bytes) -> bytes:
    """Give a query with these additional records."""
    return head(1, 0, 0, len(additional), flags=0x100) + QUESTION + b"".join(additional)


@given(wires.edns)
def test_opt_record_survives(want: EDNS) -> None:
    assert Message.parse(make_query(WWW, 1, id=7, edns=want)).edns == want


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(query(opt(), opt()), id="two OPT records"),
        pytest.param(query(opt(owner=b"\1a\0")), id="owner is not the root"),
        pytest.param(query(opt(owner=b"\xc0\x1c")), id="owner is a pointer to a root"),
        pytest.param(head(1, 1, 0, 0) + QUESTION + opt(), id="in the answer section"),
        pytest.param(head(1, 0, 1, 0) + QUESTION + opt(), id="in the authority section"),
        pytest.param(head(1, 1, 0, 1) + QUESTION + opt() * 2, id="one in the answer section, one not"),
    ],
)
def test_second_or_misplaced_opt_is_refused_6891_3_T5_T6(wire: bytes) -> None:
    assert refused(Message.parse, wire)
    assert refused(scan, wire)
    assert read_query(wire) is None


@pytest.mark.parametrize(
    "rdata",
    [
        pytest.param(b"\0", id="one octet"),
        pytest.param(b"\0\x0a\0", id="cut in the length"),
        pytest.param(b"\0\x0a\0\1", id="length beyond the record"),
        pytest.param(b"\0\x0a\0\0\0", id="one octet after an option"),
        pytest.param(b"\0\x0a\xff\xffab", id="length far beyond the record"),
    ],
)
def test_option_past_its_record_is_refused_T5(rdata: bytes) -> None:
    assert refused(options_from_wire, rdata)
    assert refused(Message.parse, query(opt(rdata)))


@pytest.mark.parametrize(
    ("count", "is_refused"),
    [(0, False), (1, False), (MAX_OPTIONS, False), (MAX_OPTIONS + 1, True), (16_000, True)],
)
def test_over_32_options_are_refused_in_10_ms_T5_M2_O1(count: int, is_refused: bool) -> None:
    wire = query(opt(b"\0\x0a\0\0" * count))
    assert refused(Message.parse, wire) is is_refused
    assert cpu_ms(lambda: refused(Message.parse, wire)) < 10
    assert cpu_ms(lambda: refused(scan, wire)) < 10


def test_first_of_a_repeated_option_wins_T5() -> None:
    have = EDNS(options=((EDNSOption.COOKIE, b"first"), (3, b""), (EDNSOption.COOKIE, b"second")))
    assert have.option(EDNSOption.COOKIE) == b"first"
    assert have.option(EDNSOption.ECS) is None


@given(st.lists(st.tuples(wires.octets16, st.binary(max_size=20)), max_size=MAX_OPTIONS).map(tuple))
def test_options_survive(options: tuple[tuple[int, bytes], ...]) -> None:
    assert options_from_wire(options_to_wire(options)) == options


@given(wires.names | wires.longest_names, st.sampled_from([128, 468]))
def test_padded_query_is_a_multiple_of_the_block_8467_1_7830_1(name: bytes, block: int) -> None:
    wire = make_query(name, 28, id=0, edns=EDNS(do=True))
    padded = pad(wire, block)
    assert len(padded) % block == 0
    assert len(padded) - len(wire) < block + 4
    got = Message.parse(padded)
    assert got.edns is not None
    assert got.edns.option(EDNSOption.PADDING) == bytes(len(padded) - len(wire) - 4)
    assert (got.question, got.edns.do, got.edns.size) == (Message.parse(wire).question, True, edns.SIZE)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(make_query(WWW, 1, id=0), id="no OPT"),
        pytest.param(make_query(WWW, 1, id=0, edns=EDNS(options=((3, b""),))), id="OPT with an option"),
        pytest.param(make_query(b"\0", 1, id=0), id="shorter than an OPT record"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_only_an_empty_opt_at_the_end_is_padded(wire: bytes) -> None:
    with pytest.raises(FormatError):
        pad(wire)


@given(st.integers(0, 0xFFFF), st.text(max_size=200))
def test_extended_error_survives_and_its_text_is_bounded_8914_2(code: int, text: str) -> None:
    option = extended_error(code, text)
    assert len(option[1]) <= 2 + edns.MAX_TEXT
    ((got_code, got_text),) = errors_of(EDNS(options=(option,)))
    assert got_code == code
    assert "".join(c for c in text if c.isprintable()).startswith(got_text.removesuffix("..."))
    if len(text.encode()) <= edns.MAX_TEXT:
        assert got_text == "".join(c for c in text if c.isprintable())


def test_extended_error_is_cut_between_characters() -> None:
    assert extended_error(EDE.OTHER, "ä" * 64)[1] == b"\0\0" + "ä".encode() * 64
    assert extended_error(EDE.OTHER, "ä" * 65)[1] == b"\0\0" + "ä".encode() * 62 + b"..."
    assert extended_error(EDE.OTHER, "a" + "ä" * 64)[1] == b"\0\0a" + "ä".encode() * 62 + b"..."


def test_text_that_quotes_odd_octets_makes_an_extended_error_all_the_same() -> None:
    quoted = b"caf\xe9".decode(errors="surrogateescape")
    assert extended_error(EDE.OTHER, quoted) == (EDNSOption.EDE, b"\0\0caf?")


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(b"\0\6expired", ((6, "expired"),), id="text"),
        pytest.param(b"\0\6", ((6, ""),), id="no text"),
        pytest.param(b"\0", (), id="no code"),
        pytest.param(b"", (), id="empty"),
        pytest.param(b"\0\6a\nb\x1b[31m\0", ((6, "ab[31m"),), id="control characters"),
        pytest.param(b"\0\6" + "a\u202eb\u200fc".encode(), ((6, "abc"),), id="bidirectional characters"),
        pytest.param(b"\0\6\xff", ((6, "\ufffd"),), id="not UTF-8"),
        pytest.param(b"\0\6" + b"x" * 60000, ((6, "x" * edns.MAX_TEXT),), id="60,000 octets"),
    ],
)
def test_foreign_error_text_is_made_harmless_8914_3(data: bytes, want: tuple[tuple[int, str], ...]) -> None:
    assert errors_of(EDNS(options=((EDNSOption.EDE, data),))) == want


def test_message_without_opt_has_no_extended_error() -> None:
    assert errors_of(None) == ()
