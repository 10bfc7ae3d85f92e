"""Names inside a message: bounds, compression pointers, the compressing writer (RFC 9267)."""

import dns.exception
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.message import Message, Question, Record
from secdns.dns.name import from_text
from secdns.dns.peek import scan
from secdns.dns.wire import MAX_MESSAGE, MAX_TARGETS, NameReader, Writer, read_name, skip_plain_name
from secdns.errors import FormatError
from secdns.iana import RRType
from tests.dns import wires
from tests.dns.wires import cpu_ms, pointer, record, refused, response

PAD = bytes(12)  # where a header would be
ROOT_QUESTION = b"\0" + wires.A + wires.IN
LONG = b"\1a" * 127 + b"\0"  # 255 octets, the most labels a name can have


@pytest.mark.parametrize(
    ("octets", "at", "want", "after"),
    [
        pytest.param(b"\0", 12, b"\0", 13, id="root"),
        pytest.param(b"\3www\0", 12, b"\3www\0", 17, id="one label"),
        pytest.param(b"\0\xc0\x0c", 13, b"\0", 15, id="pointer to the root"),
        pytest.param(b"\3www\0\1a\xc0\x0c", 17, b"\1a\3www\0", 21, id="label and pointer"),
        pytest.param(b"\3www\2de\0\xc0\x10", 20, b"\2de\0", 22, id="pointer into a name"),
        pytest.param(b"\1a\0\1b\xc0\x0c\1c\xc0\x0f", 19, b"\1c\1b\1a\0", 23, id="two hops"),
        pytest.param(LONG, 12, LONG, 267, id="255 octets, 127 labels"),
        pytest.param(LONG + b"\xc0\x0c", 267, LONG, 269, id="255 octets by pointer"),
        pytest.param(
            b"\1a" * 126 + b"\0\1b\xc0\x0c", 265, b"\1b" + LONG[2:], 269, id="255 octets in two parts"
        ),
        pytest.param(b"\x3f" + b"x" * 63 + b"\0", 12, b"\x3f" + b"x" * 63 + b"\0", 77, id="label of 63"),
        pytest.param(b"\4\0.\xff\xc0\0", 12, b"\4\0.\xff\xc0\0", 18, id="any octet in a label"),
    ],
)
def test_name_is_read(octets: bytes, at: int, want: bytes, after: int) -> None:
    assert read_name(PAD + octets, at) == (want, after)


@pytest.mark.parametrize(
    ("octets", "at"),
    [
        # RFC 9267 §2: pointers and offsets
        pytest.param(b"\xc0\x0c", 12, id="pointer to itself"),
        pytest.param(b"\xc0\x0e\0", 12, id="pointer forward"),
        pytest.param(b"\xc0\xff", 12, id="pointer past the end"),
        pytest.param(b"\xff\xff", 12, id="pointer far past the end"),
        pytest.param(b"\xc0\x0e\xc0\x0c", 14, id="pointers to each other"),
        pytest.param(b"\1a\xc0\x0c", 12, id="loop over a label"),
        pytest.param(b"\0\1a\xc0\x0d", 13, id="pointer to the start of its own labels"),
        pytest.param(b"\0\1a\xc0\x0e", 13, id="pointer into its own labels"),
        pytest.param(b"\3www\0\xc0\x00", 17, id="pointer into the header"),
        pytest.param(b"\3www\0\xc0\x0b", 17, id="pointer to the last octet of the header"),
        pytest.param(b"\0\xc0", 13, id="pointer cut in half"),
        pytest.param(b"\5\1a\xc0\x0d", 14, id="the target runs into the name itself"),
        pytest.param(b"\4abc\xc0\x0c\0", 16, id="the target's label covers the pointer"),
        # RFC 9267 §3: lengths of labels and names
        pytest.param(b"\x40" + b"x" * 64 + b"\0", 12, id="label type 0x40"),
        pytest.param(b"\x41\1\0", 12, id="label type 0x41, once a bit string"),
        pytest.param(b"\x80" + b"x" * 128 + b"\0", 12, id="label type 0x80"),
        pytest.param(b"\x5fx\0", 12, id="label type 0x5f"),
        pytest.param(b"\1a" * 127 + b"\1\0", 12, id="256 octets"),
        pytest.param(b"\1a" * 128 + b"\0", 12, id="257 octets, 128 labels"),
        pytest.param(LONG + b"\1b\xc0\x0c", 267, id="257 octets by pointer"),
        pytest.param(b"\1a" * 126 + b"\0\2bc\xc0\x0c", 265, id="256 octets by pointer"),
        pytest.param(b"\1a" * 126 + b"\0\2bc\xc0\x0c\xc1\x09", 270, id="pointer to 256 octets in two parts"),
        pytest.param(b"\1a" * 64 + b"\0" + b"\1b" * 64 + b"\xc0\x0c", 141, id="two halves of 129 octets"),
        pytest.param(b"\3ww", 12, id="label past the end"),
        pytest.param(b"\x3f", 12, id="label length and nothing more"),
        # RFC 9267 §4: the terminator
        pytest.param(b"\3www", 12, id="no terminator"),
        pytest.param(b"\3www\0\1a\3ww", 17, id="no terminator, label past the end"),
        pytest.param(b"", 12, id="no octet at all"),
        pytest.param(b"", 99, id="beyond the message"),
    ],
)
def test_name_that_breaks_a_bound_is_refused_9267_1(octets: bytes, at: int) -> None:
    with pytest.raises(FormatError):
        read_name(PAD + octets, at)


def chain(pointers: int) -> bytes:
    """Give a response whose 300 owners each need this many pointers: a chain inside a NULL record."""
    start = 12 + 5 + 11  # after a question at the root and the fixed part of the NULL record
    links = b"\0" + b"".join(pointer(start + max(2 * i - 1, 0)) for i in range(pointers - 1))
    last = start + max(2 * (pointers - 1) - 1, 0)
    owners = [record(pointer(last), RRType.A, b"\x7f\0\0\1")] * 300
    return response(record(b"\0", 10, links), *owners, question=ROOT_QUESTION)


@pytest.mark.parametrize(
    ("pointers", "is_refused"),
    [
        pytest.param(1, False, id="1"),
        pytest.param(15, False, id="15"),
        pytest.param(16, False, id="16"),
        pytest.param(17, True, id="17"),
        pytest.param(8000, True, id="8000"),
    ],
)
def test_pointer_chain_is_followed_for_16_hops_T1_O1(pointers: int, is_refused: bool) -> None:
    wire = chain(pointers)
    assert refused(Message.parse, wire) is is_refused
    assert refused(scan, wire) is is_refused
    assert cpu_ms(lambda: refused(Message.parse, wire)) < 20
    assert cpu_ms(lambda: refused(scan, wire)) < 20


@pytest.mark.parametrize(("pointers", "is_refused"), [(15, False), (16, False), (17, True), (200, True)])
def test_chain_of_remembered_names_counts_every_hop_T1(pointers: int, is_refused: bool) -> None:
    """Each owner is a pointer to the owner before, so every one but the last was read already."""
    owners = [pointer(12), *(pointer(17 + 12 * i) for i in range(pointers - 1))]
    wire = response(*(record(owner, RRType.A, b"") for owner in owners), question=ROOT_QUESTION)
    assert refused(Message.parse, wire) is is_refused
    assert refused(scan, wire) is is_refused


def test_remembered_target_may_not_overlap_another_name_9267_1() -> None:
    """At 200 a name ends with a pointer whose second octet, at 203, begins a pointer back to 200."""
    wire = bytes(200) + b"\1a\xc0\xc0\xc8" + pointer(200) + pointer(203)
    names = NameReader(wire)
    assert names.read(205) == (b"\1a\0", 207)
    with pytest.raises(FormatError):
        names.read(207)
    with pytest.raises(FormatError):
        read_name(wire, 207)


def regions() -> tuple[bytes, list[bytes]]:
    """Give RDATA of 62 names of 127 labels, and pointers to where their labels begin."""
    names = b"".join((b"\1" + bytes((65 + i,))) * 127 + b"\0" for i in range(62))
    start = 12 + 5 + 11
    return names, [pointer(start + 255 * i + 2 * j) for j in range(48) for i in range(62)]


def soas(owners: list[bytes]) -> bytes:
    """Give 999 SOA records whose three names are these pointers, after a record that holds the names."""
    records = [
        record(owners[3 * i], RRType.SOA, owners[3 * i + 1] + owners[3 * i + 2] + bytes(20))
        for i in range(len(owners) // 3)
    ]
    return response(record(b"\0", 10, regions()[0]), *records[:999], question=ROOT_QUESTION)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(soas([pointer(28)] * 3000), id="3,000 pointers to one name of 127 labels"),
        pytest.param(soas(regions()[1]), id="3,000 pointers to as many long names"),
        pytest.param(soas([b"\1b" + p for p in [pointer(30)] * 3000]), id="a label and a pointer each"),
        pytest.param(response(*[record(LONG, 1, b"")] * 245), id="245 names in full"),
        pytest.param(
            response(*[record(LONG[:-1] + b"\xc0\x0c", 1, b"")] * 240, question=ROOT_QUESTION),
            id="240 names with a pointer at the end",
        ),
        pytest.param(
            response(record(b"\0", 16, b"\1" * 60000), record(pointer(28), 1, b""), question=ROOT_QUESTION),
            id="a target without an end",
        ),
        pytest.param(b"\0\7\1\0\0\1" + bytes(6) + b"\1a" * 32000, id="a question without an end"),
        pytest.param(wires.head(0, 0, 0, 0) + b"\xc0\x0c" * 32000, id="pointers nobody promised"),
        pytest.param(wires.head(900, 0, 0, 0) + b"\0\0\1\0\1" * 900, id="900 questions"),
        pytest.param(response(*[record(pointer(12), 1, b"\x7f\0\0\1")] * 1000), id="1,000 A records"),
    ],
)
def test_hostile_names_cost_less_than_20_ms_T1_T8_O1(wire: bytes) -> None:
    def whole() -> None:
        Message.parse(wire).to_wire()

    assert cpu_ms(lambda: refused(Message.parse, wire)) < 20
    assert cpu_ms(lambda: refused(scan, wire)) < 20
    assert cpu_ms(lambda: refused(lambda _: whole(), wire)) < 40  # parse and encode


@given(wires.hostile, st.integers(0, 320))
def test_name_agrees_with_dnspython_O4(octets: bytes, at: int) -> None:
    """The one difference: a pointer into the header, where no name can be, is refused."""
    wire = PAD + octets
    try:
        name, used = dns.name.from_wire(wire, at)
        theirs = name.to_wire(), at + used
    except (dns.exception.DNSException, AssertionError):
        theirs = None
    try:
        ours = read_name(wire, at)
    except FormatError:
        ours = None
    if theirs is not None and ours is None:
        assert any(octet >= 192 and low < 12 for octet, low in zip(wire[at:], wire[at + 1 :], strict=False))
        return
    assert ours == theirs


@given(wires.hostile, st.lists(st.integers(12, 120), min_size=1, max_size=12).map(sorted))
def test_what_a_reader_remembers_changes_no_name(wire: bytes, places: list[int]) -> None:
    remembering = NameReader(wire)
    for at in places:
        try:
            want = read_name(wire, at)
        except FormatError:
            want = None
        try:
            got = remembering.read(at)
        except FormatError:
            got = None
        assert got == want


@given(wires.names | wires.longest_names, st.binary(max_size=4))
def test_plain_name_is_skipped(name: bytes, behind: bytes) -> None:
    assert skip_plain_name(b"xx" + name + behind, 2) == 2 + len(name)


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\3www", id="no terminator"),
        pytest.param(b"\3ww", id="label past the end"),
        pytest.param(b"\1a\xc0\0", id="pointer"),
        pytest.param(b"\x40" + b"x" * 64 + b"\0", id="label of 64"),
        pytest.param(b"\1a" * 128 + b"\0", id="257 octets"),
    ],
)
def test_name_that_is_not_plain_is_not_skipped_9267_1(octets: bytes) -> None:
    with pytest.raises(FormatError):
        skip_plain_name(octets, 0)


@given(st.lists(wires.names, max_size=12))
def test_written_names_read_back_in_their_letter_case(names: list[bytes]) -> None:
    writer = Writer()
    writer.octets += PAD
    places = []
    for name in names:
        places.append(len(writer.octets))
        writer.name(name)
    wire = bytes(writer.octets)
    assert [read_name(wire, at)[0] for at in places] == names


def test_equal_name_is_written_as_a_pointer() -> None:
    writer = Writer()
    writer.octets += PAD
    for text in ("www.example.com", "www.example.com", "mail.example.com", "WWW.example.com"):
        writer.name(from_text(text))
    want = from_text("www.example.com") + pointer(12) + b"\4mail" + pointer(16) + b"\3WWW" + pointer(16)
    assert bytes(writer.octets[12:]) == want


def test_no_pointer_leads_beyond_its_14_bits() -> None:
    writer = Writer()
    writer.octets += bytes(0x3FFE)
    writer.name(b"\1a\1b\0")  # the first label can be pointed to, the second cannot
    writer.name(b"\1b\0")
    writer.name(b"\1a\1b\0")
    assert bytes(writer.octets[0x3FFE:]) == b"\1a\1b\0" + b"\1b\0" + b"\xff\xfe"


def test_rewound_names_are_no_targets() -> None:
    writer = Writer()
    writer.octets += PAD
    writer.name(b"\1a\0")
    mark = writer.mark()
    writer.name(b"\1b\1a\0")
    writer.rewind(mark)
    writer.name(b"\1b\1a\0")
    assert bytes(writer.octets[12:]) == b"\1a\0\1b\xc0\x0c"


def bomb() -> Message:
    """Give a message of 60 KB: 230 names of 121 labels, no two with a common suffix (threat M3)."""
    names = [b"".join(bytes((1, 33 + (i * 121 + j) % 223)) for j in range(120)) for i in range(230)]
    owners = [name + bytes((2, i, 255 - i)) + b"\0" for i, name in enumerate(names)]
    return Message(
        7,
        0x8180,
        (Question(b"\0", 1),),
        tuple(Record(owner, RRType.A, 1, 1, b"\x7f\0\0\1") for owner in owners),
    )


def test_compression_bomb_is_encoded_in_bounded_time_T8_O1() -> None:
    message = bomb()
    wire = message.to_wire()
    assert 58_000 < len(wire) <= MAX_MESSAGE
    assert Message.parse(wire) == message
    assert cpu_ms(message.to_wire) < 50
    assert cpu_ms(lambda: message.to_wire_within(1232)) < 20


def test_message_that_outgrows_65535_octets_stops_early_T8() -> None:
    wire = soas([pointer(28)] * 3000)
    message = Message.parse(wire)
    assert cpu_ms(lambda: refused(lambda _: message.to_wire(), b"")) < 20
    short = message.to_wire_within(1232)
    assert len(short) <= 1232
    assert Message.parse(short).truncated


def test_few_names_are_remembered_for_compression_T8() -> None:
    writer = Writer()
    writer.octets += PAD
    for number in range(2 * MAX_TARGETS):
        writer.name(b"\2" + number.to_bytes(2) + b"\0")
    size = len(writer.octets)
    writer.name(b"\2" + (MAX_TARGETS - 1).to_bytes(2) + b"\0")
    writer.name(b"\2" + MAX_TARGETS.to_bytes(2) + b"\0")
    assert len(writer.octets) - size == 2 + 4
