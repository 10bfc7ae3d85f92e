"""Types and records as text."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.cli import records
from secdns.dns.message import Record
from secdns.dns.name import from_text

OWNER = from_text("www.example.test")


@pytest.mark.parametrize(
    ("text", "want"),
    [("A", 1), ("aaaa", 28), ("HTTPS", 65), ("TYPE65", 65), ("TYPE12345", 12345), ("ANY", 255)],
)
def test_type_is_read_by_name_or_number_rfc3597_5(text: str, want: int) -> None:
    assert records.type_from_text(text) == want


@pytest.mark.parametrize(
    "text", ["", "AAAAA", "TYPE", "TYPE0", "TYPE65536", "TYPE-1", "1", "OPT", "AXFR", "IXFR", "TSIG", "TKEY"]
)
def test_what_cannot_be_asked_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        records.type_from_text(text)


@pytest.mark.parametrize(
    ("rrtype", "rdata", "want"),
    [
        pytest.param(1, bytes([192, 0, 2, 1]), "192.0.2.1", id="A"),
        pytest.param(1, b"\1\2\3", r"\# 3 010203", id="A of three octets"),
        pytest.param(15, b"\0\x0a\4mail\0", "10 mail.", id="MX"),
        pytest.param(16, b'\x04a\x1b"\\', r'"a\027\"\\"', id="TXT with ESC, quote and backslash"),
        pytest.param(16, b"", r"\# 0", id="TXT without a string"),
        pytest.param(12345, b"\xff\0", r"\# 2 ff00", id="unknown type"),
        pytest.param(5, b"\xc0\x0c", r"\# 2 c00c", id="CNAME that points outside its data"),
    ],
)
def test_data_is_shown_by_its_type_or_as_octets_rfc3597_5(rrtype: int, rdata: bytes, want: str) -> None:
    assert records.data_to_text(Record(OWNER, rrtype, 1, 60, rdata)) == want


@given(st.integers(1, 70) | st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=80))
def test_any_data_gives_a_text_l5(rrtype: int, rrclass: int, rdata: bytes) -> None:
    text = records.data_to_text(Record(OWNER, rrtype, rrclass, 60, rdata))
    assert text
    assert text.isascii()
