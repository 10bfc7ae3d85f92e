"""Tell what a client asks, or which reply its octets deserve instead of an answer.

The slow road beside ``peek.read_query``: it takes any octets and obeys RFC 1035 §4.1,
RFC 6891 §6 and RFC 9619. Both give the same ``Query`` for the same question.
"""

from struct import Struct

from secdns.dns.edns import EDNS, MIN_SIZE, SIZE
from secdns.dns.message import QR, RA, RD, Message, Question
from secdns.dns.peek import Query
from secdns.dns.wire import HEADER_SIZE
from secdns.errors import FormatError
from secdns.iana import EDNSOption, Opcode, RCode, RRClass

MAX_ENTRIES = 16  # questions and records in a query; honest ones have an OPT, a TSIG, the SOA of an IXFR

_BADVERS_EXT = RCode.BADVERS >> 4
_COUNTS = Struct("!4H")


def read_any_query(wire: bytes) -> Query | bytes | None:
    """Give the query, or the complete reply that refuses it, or None to stay silent.

    Silence is for what is no query: a response (RFC 5358, answering it could start a loop)
    and anything shorter than a header. No other octets are left without a reply.
    """
    if len(wire) < HEADER_SIZE or wire[2] & 0x80:
        return None
    if wire[2] >> 3 & 15 != Opcode.QUERY:
        return _refusal(wire, RCode.NOTIMP)
    if sum(_COUNTS.unpack_from(wire, 4)) > MAX_ENTRIES:  # reading a thousand costs 16 ms
        return _refusal(wire, RCode.FORMERR)
    try:
        message = Message.parse(wire)
    except FormatError:
        return _refusal(wire, RCode.FORMERR)
    edns = message.edns
    if edns is not None and edns.version > 0:
        badvers = EDNS(ext_rcode=_BADVERS_EXT, do=edns.do)
        return _reply(message, RCode.NOERROR, badvers)
    if len(message.question) != 1:
        if not message.question and edns is not None and edns.option(EDNSOption.COOKIE) is not None:
            return _reply(message, RCode.NOERROR, EDNS(do=edns.do))  # RFC 7873 §5.4
        return _reply(message, RCode.FORMERR, edns and EDNS(do=edns.do))
    question = message.question[0]
    if question.rrclass != RRClass.IN:
        return _reply(message, RCode.REFUSED, edns and EDNS(do=edns.do))
    return _query(wire, message, question)


def _query(wire: bytes, message: Message, question: Question) -> Query:
    edns = message.edns
    octets = wire[HEADER_SIZE : HEADER_SIZE + len(question.name) + 4]  # a first name cannot be compressed
    return Query(
        wire[:2],
        octets,
        question.name.lower(),
        question.rrtype,
        message.rd,
        message.ad,
        message.cd,
        edns is not None,
        edns is not None and edns.do,
        MIN_SIZE if edns is None else min(max(edns.size, MIN_SIZE), SIZE),
    )


def _refusal(wire: bytes, rcode: int) -> bytes:
    """Give a bare header: the rest of the query was not understood and is not repeated."""
    flags = QR | (wire[2] & 0x79) << 8 | rcode  # opcode and RD as they came (RFC 1035 §4.1.1)
    return wire[:2] + flags.to_bytes(2) + bytes(8)


def _reply(message: Message, rcode: int, edns: EDNS | None) -> bytes:
    """Give a reply without records. Several questions are not repeated: they could outgrow a datagram."""
    flags = QR | message.flags & RD | RA | rcode
    question = message.question if len(message.question) == 1 else ()
    return Message(message.id, flags, question, edns=edns).to_wire()
