"""Parse and build whole messages (RFC 1035 §4.1).

This is the slow road: the hit path reads octets with ``peek`` and never makes a Message.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from struct import Struct

from secdns.dns import edns as _edns
from secdns.dns import rdata as _rdata
from secdns.dns.edns import EDNS
from secdns.dns.name import ROOT
from secdns.dns.wire import HEADER_SIZE, MAX_MESSAGE, NameReader, Writer
from secdns.errors import FormatError
from secdns.iana import RRClass, RRType

QR = 0x8000
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080
AD = 0x0020
CD = 0x0010

MAX_RECORDS = 1000  # in one message; honest answers stay far below, cap before the full parse

_HEADER = Struct("!HHHHHH")
_QUESTION = Struct("!HH")
_RECORD = Struct("!HHIH")
_OPT = int(RRType.OPT)  # an attribute of an enumeration costs more than the comparison


@dataclass(frozen=True, slots=True)
class Question:
    """QNAME, QTYPE and QCLASS (RFC 1035 §4.1.2). The name keeps its letter case."""

    name: bytes
    rrtype: int
    rrclass: int = RRClass.IN


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; ``rdata`` holds no compressed names."""

    name: bytes
    rrtype: int
    rrclass: int
    ttl: int
    rdata: bytes


@dataclass(frozen=True, slots=True)
class RRset:
    """The records of one owner, type and class (RFC 9499 §5)."""

    name: bytes
    rrtype: int
    rrclass: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message. The OPT record is ``edns`` and not in ``additional``."""

    id: int = 0
    flags: int = 0
    question: tuple[Question, ...] = ()
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    edns: EDNS | None = field(default=None)

    @property
    def opcode(self) -> int:
        """The kind of query."""
        return self.flags >> 11 & 15

    @property
    def rcode(self) -> int:
        """The response code with its upper bits from the OPT record (RFC 6891 §6.1.3)."""
        return self.flags & 15 | (self.edns.ext_rcode << 4 if self.edns else 0)

    @property
    def is_response(self) -> bool:
        """QR."""
        return bool(self.flags & QR)

    @property
    def aa(self) -> bool:
        """Authoritative answer."""
        return bool(self.flags & AA)

    @property
    def truncated(self) -> bool:
        """TC."""
        return bool(self.flags & TC)

    @property
    def rd(self) -> bool:
        """Recursion desired."""
        return bool(self.flags & RD)

    @property
    def ra(self) -> bool:
        """Recursion available."""
        return bool(self.flags & RA)

    @property
    def ad(self) -> bool:
        """Authentic data (RFC 4035 §3.1.6)."""
        return bool(self.flags & AD)

    @property
    def cd(self) -> bool:
        """Checking disabled (RFC 4035 §3.1.6)."""
        return bool(self.flags & CD)

    @classmethod
    def parse(cls, wire: bytes) -> "Message":
        """Give the message in ``wire``.

        Raises:
            FormatError: anything outside the bounds of RFC 1035 and RFC 6891: counts beyond
                the data, over 1,000 records, a second OPT or one that is not at the root,
                octets after the last record.
        """
        if not HEADER_SIZE <= len(wire) <= MAX_MESSAGE:
            raise FormatError(f"message of {len(wire)} octets, {HEADER_SIZE} to {MAX_MESSAGE} were wanted")
        message_id, flags, questions, *counts = _HEADER.unpack_from(wire)
        if questions > MAX_RECORDS or sum(counts) > MAX_RECORDS:
            raise FormatError(f"counts promise {sum(counts)} records, at most {MAX_RECORDS} are taken")
        names = NameReader(wire)
        asked, at = _read_questions(wire, questions, names)
        sections: list[tuple[Record, ...]] = []
        edns: EDNS | None = None
        for count in counts:
            records = []
            for _ in range(count):
                is_root = wire[at : at + 1] == ROOT
                record, at = _read_record(wire, at, names)
                if record.rrtype != _OPT:
                    records.append(record)
                elif edns is not None or not is_root or len(sections) != 2:
                    raise FormatError("a second OPT record, or one that is not at the root (RFC 6891 §6.1.1)")
                else:
                    edns = _edns.from_record(record.rrclass, record.ttl, record.rdata)
            sections.append(tuple(records))
        if at != len(wire):
            raise FormatError(f"{len(wire) - at} octets after the last record")
        return cls(message_id, flags, asked, sections[0], sections[1], sections[2], edns)

    def to_wire(self, *, compress: bool = True) -> bytes:
        """Give the message in wire form.

        Raises:
            FormatError: it would have over 65,535 octets, or RDATA lacks the names of its type.
        """
        wire = self._whole(MAX_MESSAGE, compress=compress)
        if wire is None:
            raise FormatError(f"message of over {MAX_MESSAGE} octets")
        return wire

    def _whole(self, limit: int, *, compress: bool = True) -> bytes | None:
        """Give the message in wire form, or None if it would have over ``limit`` octets."""
        writer = Writer(limit)
        _write_head(writer, self)
        for record in (*self.answer, *self.authority, *self.additional):
            if not _write_record(writer, record, compress=compress):
                return None
        if self.edns is not None:
            writer.octets += self.edns.to_wire()
        return None if writer.is_over() else bytes(writer.octets)

    def to_wire_within(self, limit: int) -> bytes:
        """Give the message in at most ``limit`` octets, cut at an RRset boundary.

        The OPT record always stays, but its options go before any data (RFC 6891 §7,
        RFC 8914 §3). TC says that answer or authority is cut, not that only additional records
        are (RFC 2181 §9). Records of one RRset are neighbours. ``limit`` is at least 512, and
        there is at most one question.

        Raises:
            FormatError: RDATA lacks the names of its type.
        """
        wire = self._whole(limit)
        if wire is not None:
            return wire
        edns = self.edns and replace(self.edns, options=())
        bare = edns.to_wire() if edns else b""
        writer = Writer(limit - len(bare))
        _write_head(writer, self)
        flags = self.flags
        kept = [0, 0, 0]
        for index, records in enumerate((self.answer, self.authority, self.additional)):
            kept[index] = _write_rrsets(writer, records)
            if kept[index] < len(records):
                flags |= TC if index < 2 else 0
                break
        kept[2] += edns is not None
        _HEADER.pack_into(writer.octets, 0, self.id, flags, len(self.question), *kept)
        return bytes(writer.octets) + bare


def rrsets(records: Iterable[Record]) -> Iterator[RRset]:
    """Yield neighbouring records of one owner, type and class as RRsets, letter case aside."""
    for (name, rrtype, rrclass), group in groupby(
        records, lambda record: (record.name.lower(), record.rrtype, record.rrclass)
    ):
        yield RRset(name, rrtype, rrclass, tuple(group))


def make_query(
    name: bytes,
    rrtype: int,
    *,
    id: int,
    rrclass: int = RRClass.IN,
    rd: bool = True,
    ad: bool = False,
    cd: bool = False,
    edns: EDNS | None = None,
) -> bytes:
    """Give a query with one question in wire form."""
    flags = (RD if rd else 0) | (AD if ad else 0) | (CD if cd else 0)
    head = _HEADER.pack(id, flags, 1, 0, 0, edns is not None)
    return head + name + _QUESTION.pack(rrtype, rrclass) + (edns.to_wire() if edns else b"")


def _read_questions(wire: bytes, count: int, names: NameReader) -> tuple[tuple[Question, ...], int]:
    questions = []
    at = HEADER_SIZE
    for _ in range(count):
        name, at = names.read(at)
        if at + 4 > len(wire):
            raise FormatError("question runs past the end of the message")
        questions.append(Question(name, *_QUESTION.unpack_from(wire, at)))
        at += 4
    return tuple(questions), at


def _read_record(wire: bytes, at: int, names: NameReader) -> tuple[Record, int]:
    name, at = names.read(at)
    data = at + 10
    if data > len(wire):
        raise FormatError(f"record at {at} runs past the end of the message")
    rrtype, rrclass, ttl, size = _RECORD.unpack_from(wire, at)
    end = data + size
    if end > len(wire):
        raise FormatError(f"record at {at} runs past the end of the message")
    return Record(name, rrtype, rrclass, ttl, _rdata.decompress(wire, rrtype, data, end, names)), end


def _write_head(writer: Writer, message: Message) -> None:
    extra = len(message.additional) + (message.edns is not None)
    writer.octets += _HEADER.pack(
        message.id,
        message.flags,
        len(message.question),
        len(message.answer),
        len(message.authority),
        extra,
    )
    for question in message.question:
        writer.name(question.name)
        writer.octets += _QUESTION.pack(question.rrtype, question.rrclass)


def _write_record(writer: Writer, record: Record, *, compress: bool = True) -> bool:
    """Append a record; False if the message is over the writer's limit now."""
    writer.name(record.name, compress=compress)
    writer.octets += _RECORD.pack(record.rrtype, record.rrclass, record.ttl, 0)
    at = len(writer.octets)
    if compress:
        _rdata.write(writer, record.rrtype, record.rdata)
    else:
        writer.octets += record.rdata
    if writer.is_over():  # before the length is written: names that were compressed may have grown it
        return False
    writer.octets[at - 2 : at] = (len(writer.octets) - at).to_bytes(2)
    return True


def _write_rrsets(writer: Writer, records: Iterable[Record]) -> int:
    """Append whole RRsets while they fit; give the number of records written."""
    written = 0
    for rrset in rrsets(records):
        mark = writer.mark()
        if not all(_write_record(writer, record) for record in rrset.records):
            writer.rewind(mark)
            break
        written += len(rrset.records)
    return written
