"""Read what the fast path needs straight from octets, without making a Message.

``read_query`` sees the plain queries that make up almost all traffic and leaves the rest to
``Message.parse``; ``scan`` walks a response once and says where everything is. Neither
decides anything.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from secdns.dns.edns import MIN_SIZE, SIZE
from secdns.dns.message import MAX_RECORDS
from secdns.dns.name import MAX_NAME
from secdns.dns.wire import HEADER_SIZE, MAX_MESSAGE, NameReader, skip_plain_name
from secdns.errors import FormatError
from secdns.iana import RRType

_ONE_QUESTION = b"\0\1\0\0\0\0\0"
_PLAIN_HEADS = {  # flags and counts of a plain query -> RD, AD, CD, and whether an OPT record follows
    bytes((rd, ad << 5 | cd << 4)) + _ONE_QUESTION + bytes((opt,)): (bool(rd), bool(ad), bool(cd), bool(opt))
    for rd in (0, 1)
    for ad in (0, 1)
    for cd in (0, 1)
    for opt in (0, 1)
}
# What to add to the offset of a label's length to get to the next; too much for what is no length.
_STEPS = (0, *range(2, 65), *[MAX_MESSAGE] * 192)
_IN = b"\0\1"
_OPT_SIZE = 11  # octets of an OPT record without options
_MAX_PLAIN = HEADER_SIZE + MAX_NAME + 4 + _OPT_SIZE
_OPT = int(RRType.OPT)  # an attribute of an enumeration costs more than the comparison
_QUESTION_POINTER = b"\xc0\x0c"
_HEADER = Struct("!HHHHHH")
_RR = Struct("!HHIH")
_OPT_RR = Struct("!BHHBBHH")
_TTL = Struct("!I")


class Query(NamedTuple):
    """What one client asked, as far as keys and the shape of the reply go.

    ``question`` is the client's own octets (name, type, class IN); ``name`` is in lower case.
    """

    id: bytes
    question: bytes
    name: bytes
    rrtype: int
    rd: bool
    ad: bool
    cd: bool
    edns: bool
    do: bool
    limit: int  # octets the client takes over UDP, at most 1232


# The class itself spends a call in Python on each object.
_query: Callable[[tuple[bytes, bytes, bytes, int, bool, bool, bool, bool, bool, int]], Query]
_query = partial(tuple.__new__, Query)


def read_query(wire: bytes) -> Query | None:
    """Give a plain query: one question, class IN, no EDNS option, nothing unusual.

    None means that the octets need ``Message.parse``; it says nothing about their worth.
    """
    head = _PLAIN_HEADS.get(wire[2:12])
    if head is None or len(wire) > _MAX_PLAIN:
        return None
    rd, ad, cd, edns = head
    at = HEADER_SIZE
    try:
        while step := _STEPS[wire[at]]:
            at += step
    except IndexError:
        return None
    end = at + 5
    if wire[at + 3 : end] != _IN or at >= HEADER_SIZE + MAX_NAME:
        return None
    do, limit = False, MIN_SIZE
    if edns:
        shape = _opt_shape(wire[end:])
        if shape is None:
            return None
        do, limit = shape
    elif len(wire) != end:
        return None
    rrtype = wire[at + 1] << 8 | wire[at + 2]
    return _query((wire[:2], wire[12:end], wire[12 : at + 1].lower(), rrtype, rd, ad, cd, edns, do, limit))


@lru_cache(maxsize=64)  # a handful of clients send a handful of shapes
def _opt_shape(record: bytes) -> tuple[bool, int] | None:
    """Give DO and the octets the client takes, or None for anything but a plain OPT record."""
    if len(record) != _OPT_SIZE:
        return None
    owner, rrtype, size, ext_rcode, version, flags, length = _OPT_RR.unpack(record)
    if owner or rrtype != _OPT or ext_rcode or version or length:
        return None
    return flags > 0x7FFF, min(max(size, MIN_SIZE), SIZE)


def question_end(wire: bytes) -> int:
    """Give the offset after the first question, whose name is not compressed.

    Raises:
        FormatError: the question is cut off, or its name is too long or has a pointer in it.
    """
    end = skip_plain_name(wire, HEADER_SIZE) + 4
    if end > len(wire):
        raise FormatError("question runs past the end of the message")
    return end


def reply_matches(query: bytes, response: bytes) -> bool:
    """Tell whether ``response`` answers exactly the question of ``query``, whatever the IDs.

    QR is set, the opcode is the query's, and the one question is the same but for the case of
    letters (RFC 5452 §9.1). The query must be well formed.
    """
    at = HEADER_SIZE
    while size := query[at]:
        at += size + 1
    end = at + 5
    asked, told = query[HEADER_SIZE:end], response[HEADER_SIZE:end]
    if told != asked and (told[-4:] != asked[-4:] or told.lower() != asked.lower()):
        return False
    return (response[2] ^ query[2]) & 0xF8 == 0x80 and response[4:6] == b"\0\1"


class Place(NamedTuple):
    """Where one record stands in a message, and its fixed fields."""

    start: int
    fields: int  # offset of TYPE; TTL is at +4, RDATA at +10
    rrtype: int
    rrclass: int
    ttl: int
    end: int


class Scan(NamedTuple):
    """Where everything stands in a response."""

    flags: int
    question_end: int
    answer: list[Place]
    authority: list[Place]
    additional: list[Place]
    opt: Place | None


_place: Callable[[tuple[int, int, int, int, int, int]], Place] = partial(tuple.__new__, Place)


def scan(wire: bytes) -> Scan:
    """Walk a response with one question and give where its records stand.

    Every owner name is checked; RDATA is opaque here. The OPT record is not in ``additional``.

    Raises:
        FormatError: a record runs past the end, the counts lie, octets follow the last record,
            over 1,000 records, a second OPT or a misplaced one (RFC 6891 §6.1.1).
    """
    size = len(wire)
    if not HEADER_SIZE <= size <= MAX_MESSAGE:
        raise FormatError(f"message of {size} octets, {HEADER_SIZE} to {MAX_MESSAGE} were wanted")
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    additional_from = answers + authorities
    if questions != 1:
        raise FormatError(f"{questions} questions, 1 was wanted (RFC 9619)")
    if additional_from + additionals > MAX_RECORDS:
        raise FormatError(f"counts promise {additional_from + additionals} records, {MAX_RECORDS} are taken")
    at = after_question = question_end(wire)
    places: list[Place] = []
    opt: Place | None = None
    pointers = {_QUESTION_POINTER}  # owner names that are nothing but a pointer, known to be good
    names: NameReader | None = None
    try:
        for index in range(additional_from + additionals):
            fields = at + 2
            if wire[at:fields] not in pointers:
                if wire[at]:
                    names = names or NameReader(wire)
                    fields = names.read(at)[1]
                    if wire[at] > 63:
                        pointers.add(wire[at:fields])
                else:
                    fields = at + 1
            rrtype, rrclass, ttl, length = _RR.unpack_from(wire, fields)
            start, at = at, fields + 10 + length
            place = _place((start, fields, rrtype, rrclass, ttl, at))
            if rrtype != _OPT:
                places.append(place)
            elif opt is not None or index < additional_from or fields != start + 1:
                raise FormatError("a second OPT record, or one that is not at the root (RFC 6891 §6.1.1)")
            else:
                opt = place
    except (IndexError, StructError):
        raise FormatError(f"record at {at} runs past the end of the message") from None
    if at != size:
        raise FormatError(f"records end at {at}, the message at {size}")
    return Scan(
        flags,
        after_question,
        places[:answers],
        places[answers:additional_from],
        places[additional_from:],
        opt,
    )


def age_ttls(wire: bytes, seconds: int) -> bytes:
    """Give the response with ``seconds`` subtracted from every TTL, 0 at the least.

    What an HTTP cache on the way kept is that much older (RFC 8484 §5.1).

    Raises:
        FormatError: as ``scan``.
    """
    if seconds <= 0:
        return wire
    found = scan(wire)
    aged = bytearray(wire)
    for place in (*found.answer, *found.authority, *found.additional):
        _TTL.pack_into(aged, place.fields + 4, max(place.ttl - seconds, 0))
    return bytes(aged)
