"""Reading NSEC and NSEC3: what is taken, what is refused, what is ignored."""

from contextlib import suppress

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from dns.exception import DNSException
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.message import Record
from secdns.dnssec.existence import TypeBitmap
from secdns.dnssec.nsec import read_nsec
from secdns.dnssec.nsec3 import nsec3_hash, read_nsec3
from secdns.errors import FormatError
from secdns.iana import RRType
from tests.dnssec.zone_model import Chain, name, nsec, nsec3, record, unbase32, wire

ZONE = wire(name("@"))
NSEC_TYPES = (RRType.NSEC, RRType.RRSIG)
HASH = "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"  # of "example", RFC 5155 Appendix A
OTHER = "2t7b4g4vsa5smi47k61mv5bv1a22bojr"
FIXED = bytes([1, 0, 0, 12, 4, 0xAA, 0xBB, 0xCC, 0xDD, 20])  # hash algorithm to hash length


@pytest.mark.parametrize(
    ("octets", "want"),
    [
        pytest.param("", [], id="no types, as at an empty non-terminal"),
        pytest.param("0001 40", [1], id="A"),
        pytest.param("0006 400100000003 ", [1, 15, 46, 47], id="A MX RRSIG NSEC"),
        pytest.param(
            "0006 400100000003 041b 000000000000000000000000000000000000000000000000000020",
            [1, 15, 46, 47, 1234],
            id="the example of RFC 4034 §4.3",
        ),
        pytest.param("0101 40 ff20" + "00" * 31 + "01", [257, 65535], id="the last type there can be"),
        pytest.param("0003 400000", [1], id="zero octets at the end are harmless"),
    ],
)
def test_types_are_read_4034_1(octets: str, want: list[int]) -> None:
    types = TypeBitmap.read(bytes.fromhex(octets))
    assert list(types) == want
    assert [rrtype for rrtype in range(65536) if rrtype in types] == want


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param("00", id="a window without a length"),
        pytest.param("0000", id="a window of no octets"),
        pytest.param("0021" + "01" * 33, id="a window of 33 octets"),
        pytest.param("0002 40", id="a window cut short"),
        pytest.param("0001 40 0001 40", id="a window twice"),
        pytest.param("0101 40 0001 40", id="windows out of order"),
        pytest.param("0001 40 01", id="an octet after the last window"),
    ],
)
def test_broken_types_are_refused_4034_1(octets: str) -> None:
    with pytest.raises(FormatError):
        TypeBitmap.read(bytes.fromhex(octets))


@given(st.binary(max_size=80))
def test_types_are_read_as_by_dnspython_or_refused(octets: bytes) -> None:
    rdata = b"\0" + octets
    try:
        other = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.NSEC, rdata, 0, len(rdata))
        theirs: list[int] | None = [
            window * 256 + at * 8 + bit
            for window, bits in other.windows  # type: ignore[attr-defined]
            for at, octet in enumerate(bits)
            for bit in range(8)
            if octet & 0x80 >> bit
        ]
    except DNSException:
        theirs = None
    try:
        ours: list[int] | None = list(TypeBitmap.read(octets))
    except FormatError:
        ours = None
    assert ours == theirs


def test_the_largest_bit_map_costs_little_to_look_up() -> None:
    octets = b"".join(bytes([window, 32]) + b"\xff" * 32 for window in range(256))
    types = TypeBitmap.read(octets)
    assert 65535 in types
    assert sum(1 for _ in types) == 65536


@given(st.binary(max_size=300), st.sampled_from(["@", "a", "*.w", HASH]))
def test_any_octets_are_a_record_or_a_format_error(rdata: bytes, label: str) -> None:
    for read in (read_nsec, read_nsec3):
        for octets in (rdata, FIXED + rdata, b"\1a" + ZONE + rdata):
            with suppress(FormatError):
                read(record(name(label), RRType.NSEC, octets), ZONE)


@pytest.mark.parametrize(
    ("owner", "following", "types"),
    [
        pytest.param("a", "b", NSEC_TYPES, id="one name and a later one"),
        pytest.param("a", "\\000.a", NSEC_TYPES, id="the next name there can be"),
        pytest.param("z", "@", NSEC_TYPES, id="the last one leads to the apex"),
        pytest.param("@", "@", (RRType.SOA, *NSEC_TYPES), id="a zone of one name"),
        pytest.param("a", "B", NSEC_TYPES, id="letter case is folded"),
    ],
)
def test_an_nsec_is_read(owner: str, following: str, types: tuple[int, ...]) -> None:
    for zone in (ZONE, ZONE.upper()):
        got = read_nsec(nsec(name(owner), name(following), types), zone)
        assert (got.owner, got.next) == (wire(name(owner)), wire(name(following)).lower())
        assert set(got.types) == set(types)


@pytest.mark.parametrize(
    ("owner", "following", "types"),
    [
        pytest.param("a", "b.test.", NSEC_TYPES, id="next name in the zone above"),
        pytest.param("a", "a.sibling.test.", NSEC_TYPES, id="next name in the zone beside"),
        pytest.param("a", "notexample.test.", NSEC_TYPES, id="next name that only ends like the zone"),
        pytest.param("a.test.", "b", NSEC_TYPES, id="owner above the zone"),
        pytest.param("b", "a", NSEC_TYPES, id="next name earlier"),
        pytest.param("b", "b", NSEC_TYPES, id="next name the same"),
        pytest.param("@", "a", (RRType.NS, *NSEC_TYPES), id="the apex as its parent has it"),
        pytest.param("child", "b.child", (RRType.SOA, *NSEC_TYPES), id="the apex of a child zone"),
    ],
)
def test_an_nsec_from_elsewhere_is_refused_D6_D7(owner: str, following: str, types: tuple[int, ...]) -> None:
    with pytest.raises(FormatError):
        read_nsec(nsec(name(owner), name(following), types), ZONE)


def test_a_compressed_next_name_is_refused_3597() -> None:
    with pytest.raises(FormatError):
        read_nsec(record(name("a"), RRType.NSEC, b"\1b\xc0\x0c"), ZONE)


# RFC 5155 Appendix A: salt aabbccdd, 12 iterations.
@pytest.mark.parametrize(
    ("text", "label"),
    [
        pytest.param("example.", HASH, id="example"),
        pytest.param("a.example.", "35mthgpgcu1qg68fab165klnsnk3dpvl", id="a.example"),
        pytest.param("ai.example.", "gjeqe526plbf1g8mklp59enfd789njgi", id="ai.example"),
        pytest.param("ns1.example.", OTHER, id="ns1.example"),
        pytest.param("*.w.example.", "r53bq7cc2uvmubfu5ocmm6pers9tk9en", id="*.w.example"),
        pytest.param("XX.EXAMPLE.", "t644ebqk9bibcna874givr6joj62mlhv", id="letter case is nothing"),
    ],
)
def test_names_are_hashed_as_in_the_rfc_5155(text: str, label: str) -> None:
    got = nsec3_hash(wire(dns.name.from_text(text)), bytes.fromhex("aabbccdd"), 12)
    assert got == unbase32(label)


@given(st.binary(max_size=8), st.integers(min_value=0, max_value=20), st.sampled_from(["a", "*.w", "\\000"]))
def test_names_are_hashed_as_by_dnspython(salt: bytes, iterations: int, text: str) -> None:
    want = dns.dnssec.nsec3_hash(name(text), salt, iterations, "SHA1")
    assert nsec3_hash(wire(name(text)), salt, iterations) == unbase32(want)


def test_an_nsec3_is_read_5155() -> None:
    chain = Chain(nsec3=True, opt_out=True, iterations=12, salt=b"\xaa\xbb")
    got = read_nsec3(nsec3(name(HASH.upper()), OTHER, (RRType.A, RRType.RRSIG), chain), ZONE)
    assert got is not None
    assert (got.owner, got.hash, got.next_hash) == (wire(name(HASH)), unbase32(HASH), unbase32(OTHER))
    assert (got.opt_out, got.iterations, got.salt) == (True, 12, b"\xaa\xbb")
    assert list(got.types) == [RRType.A, RRType.RRSIG]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(bytes([0, 0]), id="hash algorithm 0"),
        pytest.param(bytes([2, 0]), id="hash algorithm 2"),
        pytest.param(bytes([1, 2]), id="flag 2"),
        pytest.param(bytes([1, 0x81]), id="flag 128 beside opt-out"),
    ],
)
def test_an_nsec3_of_unknown_algorithm_or_flags_is_ignored_5155_1(head: bytes) -> None:
    rdata = head + FIXED[2:] + unbase32(OTHER)
    assert read_nsec3(record(name(HASH), RRType.NSEC3, rdata), ZONE) is None


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param("@", id="the apex"),
        pytest.param(HASH + ".child", id="in a child zone"),
        pytest.param(HASH + ".test.", id="in the zone above"),
        pytest.param("a." + HASH, id="a label below a hash"),
        pytest.param(HASH[:-1], id="31 characters"),
        pytest.param(HASH + "0", id="33 characters"),
        pytest.param("w" + HASH[1:], id="a letter that base32hex lacks"),
        pytest.param(HASH[:26] + "======", id="padding inside the label"),
        pytest.param(HASH[:9] + "_" + HASH[10:], id="an underscore between digits"),
        pytest.param("-" + HASH[1:], id="a sign"),
        pytest.param("\\032" + HASH[1:], id="a space"),
        pytest.param("\\255" + HASH[1:], id="an octet that is not ASCII"),
        pytest.param(".", id="the root"),
    ],
)
def test_an_nsec3_that_is_not_a_hash_below_its_zone_is_refused_D7(owner: str) -> None:
    with pytest.raises(FormatError):
        read_nsec3(record(name(owner), RRType.NSEC3, FIXED + unbase32(OTHER)), ZONE)


@pytest.mark.parametrize(
    "rdata",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(FIXED[:5], id="salt cut off"),
        pytest.param(FIXED[:9], id="no hash length"),
        pytest.param(FIXED + unbase32(OTHER)[:19], id="next hash cut off"),
        pytest.param(FIXED[:9] + b"\x13" + unbase32(OTHER)[:19], id="next hash of 19 octets"),
        pytest.param(FIXED[:9] + b"\x15" + unbase32(OTHER) + b"\0", id="next hash of 21 octets"),
        pytest.param(FIXED + unbase32(OTHER) + b"\0", id="broken types"),
    ],
)
def test_broken_nsec3_rdata_is_refused_5155(rdata: bytes) -> None:
    with pytest.raises(FormatError):
        read_nsec3(record(name(HASH), RRType.NSEC3, rdata), ZONE)


def test_every_prefix_of_a_record_is_refused_or_read() -> None:
    whole = [nsec(name("a"), name("b"), NSEC_TYPES), nsec3(name(HASH), OTHER, (1, 257), Chain(nsec3=True))]
    for one, read in zip(whole, (read_nsec, read_nsec3), strict=True):
        for size in range(len(one.rdata)):
            cut = Record(one.name, one.rrtype, one.rrclass, one.ttl, one.rdata[:size])
            try:
                read(cut, ZONE)
            except FormatError:
                continue
            assert one.rdata[size:], "cut between two windows, where a shorter bit map is complete"
