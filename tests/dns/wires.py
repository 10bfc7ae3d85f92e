"""Octets for the tests of the codec: names, messages and their broken relatives."""

import time
from collections.abc import Callable

from hypothesis import strategies as st

from secdns.dns.edns import EDNS
from secdns.dns.message import Message, Question, Record
from secdns.dns.name import from_text
from secdns.errors import FormatError
from secdns.iana import RRType

WWW = from_text("www.example.com")
A = b"\0\1"
IN = b"\0\1"

# Types whose RDATA holds names: octets before the names, number of names, octets after.
NAMED = {
    RRType.NS: (0, 1, 0),
    RRType.CNAME: (0, 1, 0),
    RRType.SOA: (0, 2, 20),
    RRType.PTR: (0, 1, 0),
    RRType.MX: (2, 1, 0),
    RRType.MINFO: (0, 2, 0),
    RRType.RP: (0, 2, 0),
    RRType.AFSDB: (2, 1, 0),
    RRType.SRV: (6, 1, 0),
    RRType.PX: (2, 2, 0),
    RRType.KX: (2, 1, 0),
    RRType.DNAME: (0, 1, 0),
    RRType.SIG: (18, 1, 7),
}
OPAQUE = (RRType.A, RRType.TXT, RRType.AAAA, RRType.RRSIG, RRType.HTTPS, 65280)


def head(*counts: int, id: int = 7, flags: int = 0x8180) -> bytes:
    """Give a header; the counts are QDCOUNT, ANCOUNT, NSCOUNT and ARCOUNT."""
    return b"".join(number.to_bytes(2) for number in (id, flags, *counts))


def record(owner: bytes, rrtype: int, rdata: bytes, *, ttl: int = 300, size: int | None = None) -> bytes:
    """Give one record; ``size`` is the RDLENGTH to claim where it is not the truth."""
    length = len(rdata) if size is None else size
    return owner + rrtype.to_bytes(2) + IN + ttl.to_bytes(4) + length.to_bytes(2) + rdata


def response(*records: bytes, question: bytes = WWW + A + IN) -> bytes:
    """Give a response with these records in its answer section."""
    return head(1, len(records), 0, 0) + question + b"".join(records)


def pointer(target: int) -> bytes:
    """Give a compression pointer."""
    return (0xC000 | target).to_bytes(2)


def cpu_ms(work: Callable[[], object]) -> float:
    """Give the least CPU time of five runs: what the work costs, not what the machine was busy with."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) * 1000


def refused(parse: Callable[[bytes], object], wire: bytes) -> bool:
    """Tell whether ``parse`` says FormatError; any other exception goes on."""
    try:
        parse(wire)
    except FormatError:
        return True
    return False


def _join(labels: list[bytes]) -> bytes:
    wire = b""
    for label in labels:
        if len(wire) + len(label) + 2 > 255:
            break
        wire += bytes((len(label),)) + label
    return wire + b"\0"


_any_label = st.binary(min_size=1, max_size=63) | st.sampled_from(
    [b"\0", b".", b"\n", b"\xff", b"\\", b"\x1b"]
)
_few_labels = st.sampled_from([b"www", b"WWW", b"example", b"eXample", b"com", b"a"])
names = st.lists(_few_labels, max_size=5).map(_join) | st.lists(_any_label, max_size=130).map(_join)
longest_names = st.integers(1, 63).flatmap(
    lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=128, max_size=128).map(_join)
)
octets16 = st.integers(0, 0xFFFF)
questions = st.builds(Question, names, octets16, octets16)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Draw a well-formed record: opaque, or of a type with names in its RDATA."""
    rrtype = draw(st.sampled_from([*OPAQUE, *NAMED]))
    layout = NAMED.get(rrtype) if isinstance(rrtype, RRType) else None
    if layout is None:
        rdata = draw(st.binary(max_size=40))
    else:
        before, count, after = layout
        parts = [draw(names) for _ in range(count)]
        rdata = draw(st.binary(min_size=before, max_size=before)) + b"".join(parts)
        rdata += draw(st.binary(min_size=after, max_size=after))
    ttl = draw(st.integers(0, 2**32 - 1))
    return Record(draw(names), rrtype, draw(st.sampled_from([1, 1, 1, 3, 65000])), ttl, rdata)


_options = st.lists(st.tuples(octets16, st.binary(max_size=20)), max_size=5).map(tuple)
edns = st.builds(EDNS, octets16, st.integers(0, 255), st.integers(0, 255), st.booleans(), _options)
_sections = st.lists(records(), max_size=3).map(tuple)


def _messages(asked: st.SearchStrategy[tuple[Question, ...]]) -> st.SearchStrategy[Message]:
    return st.builds(Message, octets16, octets16, asked, _sections, _sections, _sections, st.none() | edns)


messages = _messages(st.lists(questions, max_size=2).map(tuple))
responses = _messages(questions.map(lambda question: (question,)))


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Draw a well-formed message with a few octets changed, cut out, doubled or added."""
    wire = bytearray(draw(messages).to_wire(compress=draw(st.booleans())))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(wire)))
        end = min(len(wire), at + draw(st.integers(1, 8)))
        match draw(st.sampled_from(["set", "cut", "double", "add", "end"])):
            case "set":
                wire[at:end] = draw(st.binary(min_size=end - at, max_size=end - at))
            case "cut":
                del wire[at:end]
            case "double":
                wire[at:at] = wire[at:end]
            case "add":
                wire[at:at] = draw(
                    st.sampled_from([b"\0", b"\xc0\x0c", b"\x3f", b"\x41", b"\x80", b"\xff\xff"])
                )
            case _:
                del wire[end:]
    return bytes(wire)


@st.composite
def patchworks(draw: st.DrawFn) -> bytes:
    """Draw a header and pieces of messages behind it in any order."""
    pieces = st.one_of(
        st.sampled_from([b"\0", b"\3www", b"\1a", b"\x3f" + b"x" * 63, A + IN, b"\0\0\x29\4\xd0"]),
        st.integers(0, 80).map(pointer),
        st.builds(record, st.integers(0, 60).map(pointer), octets16, st.binary(max_size=6)),
        st.builds(record, names, st.sampled_from(list(NAMED)), st.integers(0, 90).map(pointer)),
        st.binary(max_size=6),
    )
    counts = [draw(st.integers(0, 3)) for _ in range(4)]
    return head(*counts) + b"".join(draw(st.lists(pieces, max_size=12)))


any_octets = st.binary(max_size=300) | st.builds(
    bytes.__add__, st.just(head(1, 1, 0, 0)), st.binary(max_size=200)
)
hostile = any_octets | broken() | patchworks()


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """Draw octets near a plain query: most are one, the others differ in a detail."""
    flags = draw(st.sampled_from([0, 0x100, 0x120, 0x110, 0x130, 0x20]) | octets16)
    asked = Question(draw(names), draw(octets16), draw(st.sampled_from([1, 1, 1, 1, 3, 255])))
    count = draw(st.sampled_from([1, 1, 1, 1, 0, 2]))
    size = draw(st.sampled_from([0, 511, 512, 513, 1231, 1232, 1233, 4096]) | octets16)
    zeros = st.sampled_from([0, 0, 0, 0, 1, 255])
    opt = EDNS(size, draw(zeros), draw(zeros), draw(st.booleans()), draw(st.just(()) | _options))
    wire = Message(7, flags, (asked,) * count, edns=draw(st.none() | st.just(opt))).to_wire()
    if draw(st.integers(0, 5)):
        return wire
    at = draw(st.integers(0, len(wire) - 1))
    return wire[:at] + draw(st.binary(max_size=3)) + wire[at + draw(st.integers(0, 3)) :]
