"""Well-formed responses of every shape, and broken relatives, for the properties of the cache."""

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from hypothesis import strategies as st

from secdns.dns.edns import EDNS, extended_error
from secdns.dns.message import Message, Question, Record
from secdns.dns.name import from_text
from secdns.iana import RRType
from tests.cache.answers import RESPONSE, TXT, WWW, A, a, cname, dname, nsec, record, rrsig, soa

NAMES = [WWW, "wWw.Example.com", "example.com", "a.www.example.com", "cdn.example.net", "net", "."]
TYPES = [A, TXT, RRType.CNAME, RRType.MX, RRType.RRSIG, RRType.NSEC, RRType.DNAME, RRType.SOA, 65280]
TTLS = [0, 1, 60, 300, 86_400, 86_401, 2**31, 2**32 - 1]

names = st.sampled_from(NAMES)
ttls = st.sampled_from(TTLS)
octets16 = st.integers(0, 0xFFFF)

_others = st.one_of(
    st.builds(cname, names, names, ttls),
    st.builds(dname, names, names, ttls),
    st.builds(soa, names.filter(lambda name: name != "."), ttls, ttls),
    st.builds(nsec, names, names, ttls),
    st.builds(rrsig, names, st.sampled_from([1, 5, 6, 47]), names, ttls),
    st.builds(
        lambda owner, text, ttl: record(owner, TXT, bytes((len(text),)) + text, ttl),
        names,
        st.binary(max_size=90),
        ttls,
    ),
    st.builds(
        lambda owner, target, ttl: record(owner, RRType.MX, b"\0\5" + from_text(target), ttl),
        names,
        names,
        ttls,
    ),
    st.builds(lambda owner, data, ttl: record(owner, 65280, data, ttl), names, st.binary(max_size=9), ttls),
)
records = st.builds(a, names, octets16, ttls) | _others


@st.composite
def plain_messages(draw: st.DrawFn) -> Message:
    """Draw a message near the commonest kind: an RRset at QNAME and perhaps signatures behind it."""
    name, ttl = draw(names), draw(ttls)
    count = draw(st.sampled_from([1, 1, 1, 2, 4, 30]))
    answer = [a(name, number, ttl) for number in range(count)]
    answer += [rrsig(name, ttl=ttl) for _ in range(draw(st.sampled_from([0, 0, 1, 2])))]
    if not draw(st.integers(0, 3)):
        answer.insert(draw(st.integers(0, len(answer))), draw(records))
    return Message(7, RESPONSE, (Question(from_text(name), A),), tuple(answer), edns=draw(_edns))


_edns = (
    st.none()
    | st.just(EDNS())
    | st.builds(EDNS, ext_rcode=st.sampled_from([0, 0, 0, 1, 2]), options=st.just((extended_error(0, "x"),)))
)


@st.composite
def any_messages(draw: st.DrawFn) -> Message:
    """Draw a message with any of our records in any section."""
    answer, authority, additional = (tuple(draw(st.lists(records, max_size=size))) for size in (8, 4, 2))
    rcode = draw(st.sampled_from([0, 0, 0, 3, 3, 2, 6]))
    asked = Question(from_text(draw(names)), draw(st.sampled_from(TYPES)))
    return Message(7, RESPONSE | rcode, (asked,), answer, authority, additional, draw(_edns))


messages = plain_messages() | any_messages()


def with_dnspython(message: Message) -> bytes:
    """Give the message in wire form as another implementation writes it."""
    question = message.question[0]
    made = dns.message.QueryMessage(id=message.id)
    made.flags = dns.flags.Flag(message.flags & ~15)
    made.set_rcode(dns.rcode.Rcode(message.rcode & 15))
    made.question.append(dns.rrset.RRset(_name(question.name), dns.rdataclass.IN, _type(question.rrtype)))
    sections = (message.answer, message.authority, message.additional)
    for section, into in zip(sections, (made.answer, made.authority, made.additional), strict=True):
        for one in section:
            into.append(_rrset(one))
    if message.edns is not None:
        made.use_edns(0, message.edns.ext_rcode << 24, 1232)
    return made.to_wire(max_size=65535)


def _name(name: bytes) -> dns.name.Name:
    return dns.name.from_wire(name, 0)[0]


def _type(rrtype: int) -> dns.rdatatype.RdataType:
    return dns.rdatatype.RdataType.make(rrtype)


def _rrset(one: Record) -> dns.rrset.RRset:
    rrtype = _type(one.rrtype)
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, rrtype, one.rdata, 0, len(one.rdata))
    rrset = dns.rrset.RRset(_name(one.name), dns.rdataclass.IN, rrtype, rdata.covers())
    rrset.add(rdata)
    rrset.ttl = one.ttl
    return rrset


wires = (
    st.builds(Message.to_wire, messages)
    | st.builds(lambda message: message.to_wire(compress=False), messages)
    | st.builds(with_dnspython, messages)
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Draw a response with a few octets changed, cut out or added."""
    wire = bytearray(draw(wires))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(2, len(wire) - 1) | st.sampled_from([2, 3, 6, 7, 9, 11]))
        match draw(st.sampled_from(["set", "set", "cut", "add"])):
            case "set":
                wire[at % len(wire)] = draw(st.sampled_from([0, 1, 2, 12, 41, 46, 192]) | st.integers(0, 255))
            case "cut":
                del wire[at : at + draw(st.integers(1, 12))]
            case _:
                wire[at:at] = draw(st.sampled_from([b"\0", b"\xc0\x0c", b"\0\0\x29", b"\xff\xff\xff\xff"]))
        if len(wire) < 4:
            break
    return bytes(wire)
