"""Responses, queries and caches for the tests of the cache."""

from collections.abc import Iterable

from secdns.cache import Cache, Entry, from_plain_response, from_response
from secdns.dns.edns import EDNS
from secdns.dns.message import Message, Question, Record, make_query
from secdns.dns.name import from_text
from secdns.dns.peek import Query, read_query
from secdns.iana import RCode, RRClass, RRType

WWW = "www.example.com"
RESPONSE = 0x8180  # QR, RD, RA
MB = 1 << 20

A = RRType.A
AAAA = RRType.AAAA
TXT = RRType.TXT


def record(owner: str, rrtype: int, rdata: bytes, ttl: int = 300) -> Record:
    """Give one record of class IN."""
    return Record(from_text(owner), rrtype, RRClass.IN, ttl, rdata)


def a(owner: str = WWW, number: int = 1, ttl: int = 300) -> Record:
    """Give an A record whose address tells ``number``, at most 65535."""
    return record(owner, A, b"\xc0\x00" + number.to_bytes(2), ttl)


def cname(owner: str, target: str, ttl: int = 300) -> Record:
    """Give a CNAME record."""
    return record(owner, RRType.CNAME, from_text(target), ttl)


def dname(owner: str, target: str, ttl: int = 300) -> Record:
    """Give a DNAME record."""
    return record(owner, RRType.DNAME, from_text(target), ttl)


def soa(zone: str = "example.com", ttl: int = 300, minimum: int = 300) -> Record:
    """Give a SOA record."""
    numbers = b"".join(number.to_bytes(4) for number in (1, 7200, 900, 86400, minimum))
    return record(zone, RRType.SOA, from_text(f"ns.{zone}") + from_text(f"admin.{zone}") + numbers, ttl)


def rrsig(owner: str = WWW, covers: int = A, signer: str = "example.com", ttl: int = 300) -> Record:
    """Give an RRSIG record; its signature is no good."""
    fixed = covers.to_bytes(2) + b"\x0d\x03" + ttl.to_bytes(4) + bytes(8) + b"\x12\x34"
    return record(owner, RRType.RRSIG, fixed + from_text(signer) + bytes(64), ttl)


def nsec(owner: str, following: str, ttl: int = 300) -> Record:
    """Give an NSEC record with the bit for A set."""
    return record(owner, RRType.NSEC, from_text(following) + b"\0\1\x40", ttl)


def txt(owner: str, size: int, ttl: int = 300) -> tuple[Record, ...]:
    """Give TXT records of about ``size`` octets of text together."""
    return tuple(
        record(owner, TXT, b"\xff" + number.to_bytes(2) * 127 + b"x", ttl)
        for number in range(size // 256 + 1)
    )


def response(
    *answer: Record,
    name: str = WWW,
    rrtype: int = A,
    authority: Iterable[Record] = (),
    additional: Iterable[Record] = (),
    rcode: int = RCode.NOERROR,
    flags: int = RESPONSE,
    edns: EDNS | None = None,
) -> bytes:
    """Give an upstream's response; it has an OPT record without options if none is given."""
    return Message(
        7,
        flags | rcode & 15,
        (Question(from_text(name), rrtype),),
        answer,
        tuple(authority),
        tuple(additional),
        edns or EDNS(ext_rcode=rcode >> 4),
    ).to_wire()


def negative(
    name: str = WWW,
    rrtype: int = A,
    *,
    rcode: int = RCode.NXDOMAIN,
    zone: str = "example.com",
    ttl: int = 300,
) -> bytes:
    """Give a denial with its SOA."""
    return response(name=name, rrtype=rrtype, rcode=rcode, authority=[soa(zone, ttl)])


def query(
    name: str = WWW,
    rrtype: int = A,
    *,
    id: int = 0x2A2A,
    rd: bool = True,
    ad: bool = False,
    cd: bool = False,
    edns: bool = True,
    do: bool = False,
) -> bytes:
    """Give a client's query."""
    opt = EDNS(do=do) if edns else None
    return make_query(from_text(name), rrtype, id=id, rd=rd, ad=ad, cd=cd, edns=opt)


def asked(wire: bytes) -> Query:
    """Give what a plain query asks."""
    found = read_query(wire)
    assert found is not None
    return found


def entry_of(wire: bytes) -> Entry:
    """Give the entry of a response the way the forwarder makes it."""
    end = 12
    while wire[end]:
        end += 1 + wire[end]
    return from_plain_response(wire, end + 5) or from_response(wire)


def failure(rcode: int = RCode.SERVFAIL, ttl_s: int = 5) -> Entry:
    """Give the entry of a failure."""
    return Entry(rcode, ttl_s=ttl_s, is_failure=True)


def keep(cache: Cache, question: bytes, answer: bytes | Entry, now: float) -> Entry:
    """Store what came back for a query."""
    entry = answer if isinstance(answer, Entry) else entry_of(answer)
    cache.store(cache.key(asked(question)), entry, now)
    return entry


def held(cache: Cache, question: bytes, now: float) -> Message | None:
    """Give the reply to a query as a message, None if no fresh answer is held."""
    reply = cache.reply(question, now)
    return Message.parse(reply) if isinstance(reply, bytes) else None


def stale(cache: Cache, question: bytes, now: float) -> Entry | None:
    """Give the answer that may be served past its time, the way the forwarder finds it."""
    return cache.stale(cache.older(cache.key(asked(question))), now)


def revived(cache: Cache, question: bytes, now: float) -> Entry | None:
    """Give the answer of an older generation that still holds, the way the forwarder finds it."""
    return cache.revive(cache.older(cache.key(asked(question))), now)


def replied(entry: Entry, question: bytes, now: float = 0.0) -> Message:
    """Give an entry's reply to a query as a message."""
    return Message.parse(entry.reply(asked(question), now))
