"""RDATA: names inside are uncompressed and bounded by the record, everything else is opaque."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.message import Message, Question, Record
from secdns.dns.name import from_text
from secdns.dns.peek import scan
from secdns.dns.rdata import decompress, soa_minimum
from secdns.errors import FormatError
from secdns.iana import RRType
from tests.dns import wires
from tests.dns.wires import WWW, pointer, record, refused, response

HOST = b"\4mail" + pointer(16)
FULL = from_text("mail.example.com")
NAPTR = b"\0\1\0\2\1u\7E2U+sip\3!x!"


@pytest.mark.parametrize(
    ("rrtype", "octets", "want"),
    [
        pytest.param(RRType.NS, HOST, FULL, id="NS"),
        pytest.param(RRType.CNAME, pointer(12), WWW, id="CNAME"),
        pytest.param(RRType.PTR, HOST, FULL, id="PTR"),
        pytest.param(RRType.MX, b"\0\5" + HOST, b"\0\5" + FULL, id="MX"),
        pytest.param(RRType.SOA, HOST + HOST + bytes(20), FULL + FULL + bytes(20), id="SOA"),
        pytest.param(RRType.MINFO, HOST + pointer(12), FULL + WWW, id="MINFO"),
        pytest.param(RRType.RP, HOST + pointer(12), FULL + WWW, id="RP"),
        pytest.param(RRType.AFSDB, b"\0\5" + HOST, b"\0\5" + FULL, id="AFSDB"),
        pytest.param(RRType.RT, b"\0\5" + HOST, b"\0\5" + FULL, id="RT"),
        pytest.param(RRType.SRV, bytes(6) + HOST, bytes(6) + FULL, id="SRV"),
        pytest.param(RRType.PX, b"\0\5" + HOST + pointer(12), b"\0\5" + FULL + WWW, id="PX"),
        pytest.param(RRType.KX, b"\0\5" + HOST, b"\0\5" + FULL, id="KX"),
        pytest.param(RRType.DNAME, HOST, FULL, id="DNAME"),
        pytest.param(RRType.SIG, bytes(18) + HOST + b"sig", bytes(18) + FULL + b"sig", id="SIG"),
        pytest.param(RRType.NXT, HOST + b"\x40", FULL + b"\x40", id="NXT"),
        pytest.param(RRType.NAPTR, NAPTR + HOST, NAPTR + FULL, id="NAPTR"),
        pytest.param(RRType.NAPTR, bytes(7) + b"\0", bytes(7) + b"\0", id="NAPTR, all empty"),
    ],
)
def test_compressed_names_are_read_in_well_known_types_3597_2(
    rrtype: int, octets: bytes, want: bytes
) -> None:
    wire = response(record(pointer(12), rrtype, octets))
    assert Message.parse(wire).answer[0].rdata == want


@pytest.mark.parametrize(
    "rrtype", [*wires.OPAQUE, RRType.NSEC, RRType.SVCB, RRType.DNSKEY, RRType.CAA, 62347]
)
def test_pointer_in_any_other_type_is_only_octets_3597_1_3597_2(rrtype: int) -> None:
    wire = response(record(pointer(12), rrtype, HOST))
    got = Message.parse(wire)
    assert got.answer[0].rdata == HOST
    assert got.to_wire() == wire


@pytest.mark.parametrize(
    "rrtype", [RRType.SRV, RRType.DNAME, RRType.RP, RRType.KX, RRType.NAPTR, RRType.AFSDB]
)
def test_names_of_types_after_rfc_1035_are_written_in_full_3597_2(rrtype: int) -> None:
    wire = Message(0, 0, (Question(WWW, 1),), (Record(WWW, rrtype, 1, 1, WWW),)).to_wire()
    assert wire.count(WWW) == 2


@pytest.mark.parametrize("rrtype", [RRType.NS, RRType.CNAME, RRType.PTR])
def test_names_of_rfc_1035_types_are_compressed(rrtype: int) -> None:
    wire = Message(0, 0, (Question(WWW, 1),), (Record(WWW, rrtype, 1, 1, b"\1a" + WWW),)).to_wire()
    assert wire.endswith(b"\0\4\1a\xc0\x0c")


@pytest.mark.parametrize(
    ("rrtype", "rdata"),
    [
        pytest.param(RRType.NS, b"", id="NS, empty"),
        pytest.param(RRType.NS, HOST + b"\0", id="NS, an octet too many"),
        pytest.param(RRType.MX, b"\0", id="MX, cut preference"),
        pytest.param(RRType.MX, b"\0\5", id="MX without a name"),
        pytest.param(RRType.MX, b"\0\5" + HOST + b"\0\0", id="MX, two octets too many"),
        pytest.param(RRType.SOA, HOST + HOST + bytes(19), id="SOA, an octet too few"),
        pytest.param(RRType.SOA, HOST + HOST + bytes(21), id="SOA, an octet too many"),
        pytest.param(RRType.SOA, HOST, id="SOA with one name"),
        pytest.param(RRType.PX, b"\0\5" + HOST, id="PX with one name"),
        pytest.param(RRType.SRV, bytes(6), id="SRV without a name"),
        pytest.param(RRType.SIG, bytes(18), id="SIG without a name"),
        pytest.param(RRType.NAPTR, NAPTR[:-1], id="NAPTR, a string past the end"),
        pytest.param(RRType.NAPTR, NAPTR, id="NAPTR without a name"),
        pytest.param(RRType.NAPTR, b"\0\1\0\2", id="NAPTR without strings"),
        pytest.param(RRType.NS, pointer(12 + 21 + 12), id="NS, pointer to itself"),
        pytest.param(RRType.NS, b"\4mai", id="NS, label past the end"),
        pytest.param(RRType.NS, b"\4mail", id="NS without a terminator"),
    ],
)
def test_names_that_do_not_fill_their_rdata_are_refused_T4_9267_1(rrtype: int, rdata: bytes) -> None:
    wire = response(record(pointer(12), rrtype, rdata), record(pointer(12), RRType.A, b"\x7f\0\0\1"))
    assert refused(Message.parse, wire)
    assert not refused(scan, wire)  # RDATA that nobody reads goes on as it is


@pytest.mark.parametrize("short", [1, 2, 3, 5, 6])
def test_name_that_crosses_the_end_of_its_rdata_is_refused_T4(short: int) -> None:
    """The octets are there, but they are those of the next record."""
    wire = response(record(pointer(12), RRType.NS, HOST, size=len(HOST) - short))
    assert refused(Message.parse, wire)
    with pytest.raises(FormatError):
        decompress(wire, RRType.NS, len(wire) - len(HOST), len(wire) - short)


# Malformed by the rules of its type: a SvcParam that is shorter than its length says (threat M15).
BAD_HTTPS = b"\0\1\0" + b"\0\1\0\x09\2h2"


@pytest.mark.parametrize(
    ("rrtype", "rdata"),
    [
        pytest.param(RRType.HTTPS, BAD_HTTPS, id="HTTPS"),
        pytest.param(RRType.A, b"\x7f\0\0", id="A of three octets"),
        pytest.param(RRType.AAAA, b"", id="AAAA of none"),
        pytest.param(RRType.TXT, b"\xffx", id="TXT with a lying string"),
        pytest.param(RRType.RRSIG, b"\0", id="RRSIG of one octet"),
        pytest.param(RRType.DNSKEY, b"", id="DNSKEY of none"),
    ],
)
def test_malformed_rdata_that_is_not_needed_passes_untouched_T12_M15(rrtype: int, rdata: bytes) -> None:
    wire = response(record(pointer(12), rrtype, rdata))
    assert Message.parse(wire).to_wire() == wire
    (place,) = scan(wire).answer
    assert wire[place.fields + 10 : place.end] == rdata


@given(wires.names, wires.names, st.binary(min_size=20, max_size=20))
def test_soa_minimum_is_the_last_field_2308_1(mname: bytes, rname: bytes, numbers: bytes) -> None:
    assert soa_minimum(mname + rname + numbers) == int.from_bytes(numbers[-4:])


@pytest.mark.parametrize(
    "rdata",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\0" + bytes(19), id="an octet too few"),
        pytest.param(b"\0\0" + bytes(21), id="an octet too many"),
        pytest.param(b"\3www", id="cut in the name"),
        pytest.param(b"\0\xc0\0" + bytes(20), id="compressed"),
    ],
)
def test_soa_minimum_of_something_else_is_refused(rdata: bytes) -> None:
    with pytest.raises(FormatError):
        soa_minimum(rdata)


@pytest.mark.parametrize(
    "rdata",
    [pytest.param(b"", id="empty"), pytest.param(b"\3ww", id="cut"), pytest.param(b"\xc0\x0c", id="pointer")],
)
def test_record_without_the_name_of_its_type_is_not_written(rdata: bytes) -> None:
    with pytest.raises(FormatError):
        Message(answer=(Record(WWW, RRType.NS, 1, 1, rdata),)).to_wire()
