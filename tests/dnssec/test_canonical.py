"""Canonical RDATA and the octets that are signed."""

import dns.rdata
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.name import from_text, labels
from secdns.dnssec.canonical import canonical_rdata, label_count, signed_data, wildcard
from secdns.errors import FormatError
from secdns.iana import RRType
from tests.dns import wires

UP = from_text("MiXed.Example")
LOW = from_text("mixed.example")
TAIL = b"A\0Z\x41"  # letters that are no name

# RFC 4034 §6.2 and RFC 6840 §5.1, type by type: RDATA and what is signed.
CASES = {
    "NS": (RRType.NS, UP, LOW),
    "MD": (RRType.MD, UP, LOW),
    "MF": (RRType.MF, UP, LOW),
    "CNAME": (RRType.CNAME, UP, LOW),
    "SOA": (RRType.SOA, UP + UP + b"ABCD" * 5, LOW + LOW + b"ABCD" * 5),
    "MB": (RRType.MB, UP, LOW),
    "MG": (RRType.MG, UP, LOW),
    "MR": (RRType.MR, UP, LOW),
    "PTR": (RRType.PTR, UP, LOW),
    "HINFO has no name": (RRType.HINFO, b"\3VAX\3VMS", b"\3VAX\3VMS"),
    "MINFO": (RRType.MINFO, UP + UP, LOW + LOW),
    "MX": (RRType.MX, b"AB" + UP, b"AB" + LOW),
    "RP": (RRType.RP, UP + UP, LOW + LOW),
    "AFSDB": (RRType.AFSDB, b"AB" + UP, b"AB" + LOW),
    "RT": (RRType.RT, b"AB" + UP, b"AB" + LOW),
    "SIG": (RRType.SIG, b"ABCDEFGHIJKLMNOPQR" + UP + TAIL, b"ABCDEFGHIJKLMNOPQR" + LOW + TAIL),
    "PX": (RRType.PX, b"AB" + UP + UP, b"AB" + LOW + LOW),
    "NXT": (RRType.NXT, UP + TAIL, LOW + TAIL),
    "NAPTR": (RRType.NAPTR, b"ABCD\1U\3SIP\0" + UP, b"ABCD\1U\3SIP\0" + LOW),
    "KX": (RRType.KX, b"AB" + UP, b"AB" + LOW),
    "SRV": (RRType.SRV, b"ABCDEF" + UP, b"ABCDEF" + LOW),
    "DNAME": (RRType.DNAME, UP, LOW),
    "A6 of a whole address": (RRType.A6, b"\0" + b"ABCD" * 4, b"\0" + b"ABCD" * 4),
    "A6 behind 64 bits": (RRType.A6, b"\x40ABCDEFGH" + UP, b"\x40ABCDEFGH" + LOW),
    "A6 behind 63 bits": (RRType.A6, b"\x3fABCDEFGHI" + UP, b"\x3fABCDEFGHI" + LOW),
    "A6 behind 128 bits": (RRType.A6, b"\x80" + UP, b"\x80" + LOW),
    "RRSIG": (RRType.RRSIG, b"ABCDEFGHIJKLMNOPQR" + UP + TAIL, b"ABCDEFGHIJKLMNOPQR" + LOW + TAIL),
    "NSEC keeps its next name": (RRType.NSEC, UP + b"\0\1\x40", UP + b"\0\1\x40"),
    "SVCB came later": (RRType.SVCB, b"\0\1" + UP, b"\0\1" + UP),
    "TXT": (RRType.TXT, b"\3ABC", b"\3ABC"),
    "A": (RRType.A, b"ABCD", b"ABCD"),
    "DNSKEY": (RRType.DNSKEY, b"\1\0\3\rABCD", b"\1\0\3\rABCD"),
    "unknown": (65280, UP, UP),
}


@pytest.mark.parametrize(("rrtype", "rdata", "want"), CASES.values(), ids=CASES)
def test_names_fold_where_the_rfc_lists_the_type_4034_1(rrtype: int, rdata: bytes, want: bytes) -> None:
    assert canonical_rdata(rrtype, rdata) == want
    assert canonical_rdata(rrtype, want) == want


# type -> octets before its names, octets after them
AROUND_NAMES = {
    "NS": (RRType.NS, 0, 0),
    "MD": (RRType.MD, 0, 0),
    "MF": (RRType.MF, 0, 0),
    "CNAME": (RRType.CNAME, 0, 0),
    "SOA": (RRType.SOA, 0, 20),
    "MB": (RRType.MB, 0, 0),
    "MG": (RRType.MG, 0, 0),
    "MR": (RRType.MR, 0, 0),
    "PTR": (RRType.PTR, 0, 0),
    "MINFO": (RRType.MINFO, 0, 0),
    "MX": (RRType.MX, 2, 0),
    "RP": (RRType.RP, 0, 0),
    "AFSDB": (RRType.AFSDB, 2, 0),
    "RT": (RRType.RT, 2, 0),
    "PX": (RRType.PX, 2, 0),
    "SRV": (RRType.SRV, 6, 0),
    "KX": (RRType.KX, 2, 0),
    "DNAME": (RRType.DNAME, 0, 0),
}


@pytest.mark.parametrize(("rrtype", "before", "after"), AROUND_NAMES.values(), ids=AROUND_NAMES)
def test_every_octet_where_names_stand_is_folded_and_no_other_4034_1(
    rrtype: int, before: int, after: int
) -> None:
    for size in (0, 1, 30):  # no names at all, but nothing here looks at that
        rdata = b"A" * before + b"A" * size + b"A" * after
        assert canonical_rdata(rrtype, rdata) == b"A" * before + b"a" * size + b"A" * after


# MD, MF, MB, MG, MR, MINFO, SIG, NXT and A6 are opaque to dnspython.
ORACLE = {
    "NS": (b"", 1, b""),
    "CNAME": (b"", 1, b""),
    "SOA": (b"", 2, b"ABCD" * 5),
    "PTR": (b"", 1, b""),
    "MX": (b"AB", 1, b""),
    "RP": (b"", 2, b""),
    "AFSDB": (b"AB", 1, b""),
    "RT": (b"AB", 1, b""),
    "PX": (b"AB", 2, b""),
    "NAPTR": (b"ABCD\1U\3SIP\0", 1, b""),
    "KX": (b"AB", 1, b""),
    "SRV": (b"ABCDEF", 1, b""),
    "DNAME": (b"", 1, b""),
    "RRSIG": (b"ABCDEFGHIJKLMNOPQR", 1, b"ABC"),
    "NSEC": (b"", 1, b"\0\1\x40"),
    "HINFO": (b"\3VAX\3VMS", 0, b""),
    "TXT": (b"\3VAX\3VMS", 0, b""),
    "SVCB": (b"\0\1", 1, b""),
}


@pytest.mark.parametrize("rrtype", ORACLE)
@given(names=st.lists(wires.names, min_size=2, max_size=2))
def test_canonical_rdata_agrees_with_dnspython_4034_1(rrtype: str, names: list[bytes]) -> None:
    before, count, after = ORACLE[rrtype]
    rdata = before + b"".join(names[:count]) + after
    number = dns.rdatatype.from_text(rrtype)
    theirs = dns.rdata.from_wire("IN", number, rdata, 0, len(rdata))
    assert canonical_rdata(number, rdata) == theirs.to_digestable()


@given(st.sampled_from(sorted({case[0] for case in CASES.values()})), st.binary(max_size=80))
def test_any_octets_have_a_canonical_form_or_a_format_error(rrtype: int, rdata: bytes) -> None:
    try:
        form = canonical_rdata(rrtype, rdata)
    except FormatError:
        return
    assert form.lower() == rdata.lower()


@pytest.mark.parametrize(
    ("owner", "want"),
    [
        pytest.param(".", 0, id="root"),
        pytest.param("example", 1, id="one label"),
        pytest.param("a.b.example", 3, id="three"),
        pytest.param("*.example", 1, id="a wildcard's star does not count"),
        pytest.param("*", 0, id="wildcard below the root"),
        pytest.param("**.example", 2, id="two stars are a label"),
        pytest.param("a.*.example", 3, id="a star inside is a label"),
    ],
)
def test_labels_are_counted_without_root_and_star_4034_3(owner: str, want: int) -> None:
    assert label_count(from_text(owner)) == want


@pytest.mark.parametrize(
    ("owner", "count", "want"),
    [
        pytest.param("a.b.example", 2, "*.b.example", id="one label up"),
        pytest.param("a.b.example", 1, "*.example", id="two labels up"),
        pytest.param("a.b.example", 0, "*", id="below the root"),
        pytest.param("*.b.example", 1, "*.example", id="a wildcard's own name"),
    ],
)
def test_wildcard_is_what_labels_say_4035_5(owner: str, count: int, want: str) -> None:
    assert wildcard(from_text(owner), count) == from_text(want)


def test_the_root_alone_is_signed_as_it_is() -> None:
    assert signed_data(b"head", b"\0", 2, 1, 7, [b"\0"], 0) == b"head\0\0\2\0\1\0\0\0\7\0\1\0"


def test_records_are_sorted_as_octets_and_once_each_4034_6() -> None:
    owner = from_text("Example").lower()
    rdatas = [b"\1b", b"\1", b"\0\xff", b"\1a", b"\1", b"\x80", b""]
    data = signed_data(b"", owner, RRType.TXT, 1, 300, rdatas, 1)
    lead = owner + b"\0\x10\0\1\0\0\1\x2c"
    want = [b"", b"\0\xff", b"\1", b"\1a", b"\1b", b"\x80"]
    assert data == b"".join(lead + len(rdata).to_bytes(2) + rdata for rdata in want)


def test_records_are_sorted_after_their_names_are_folded_4034_6() -> None:
    rdatas = [from_text("b.example"), from_text("C.example"), from_text("B.EXAMPLE")]
    data = signed_data(b"", b"\0", RRType.NS, 1, 0, rdatas, 0)
    assert data.count(b"\7example") == 2
    assert data.index(b"\1b") < data.index(b"\1c")


@given(wires.names, st.integers(0, 130))
def test_the_signed_name_has_the_labels_that_are_signed_4035_5(owner: bytes, count: int) -> None:
    count = min(count, label_count(owner))
    data = signed_data(b"", owner.lower(), 1, 1, 0, [b"1234"], count)
    name = data[: -10 - 4]
    assert label_count(name) == count
    assert labels(name)[::-1][:count] == labels(owner.lower())[::-1][:count]
