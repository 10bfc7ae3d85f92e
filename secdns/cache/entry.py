"""Turn a response into what the cache keeps, and that back into a client's reply.

An entry keeps octets. The question is not among them: every reply carries the client's own,
which is as long, so compression pointers into it and past it stay right. Records that do not
belong to the answer are gone (RFC 5452 §6), the OPT record too (RFC 6891 §6.1.1).
"""

from collections.abc import Sequence
from struct import Struct

from secdns.dns import edns as _edns
from secdns.dns.message import AD, CD, QR, RA, RD, TC, Message
from secdns.dns.name import is_subdomain
from secdns.dns.peek import Place, Query, Scan, scan
from secdns.dns.rdata import decompress, soa_minimum
from secdns.dns.wire import HEADER_SIZE, read_name
from secdns.errors import FormatError
from secdns.iana import EDE, RCode, RRClass, RRType

MAX_TTL = 86_400  # seconds; a top bit set ends here too (RFC 8767 §4, RFC 2181 §8)
MAX_NEGATIVE_TTL = 300  # seconds (RFC 2308 §5 lets us choose; a laptop changes networks)
STALE_TTL = 30  # seconds, written into stale answers (RFC 8767 §4)
MAX_CHAIN = 12  # CNAME and DNAME links followed in one answer

_DNSSEC = frozenset({RRType.RRSIG, RRType.NSEC, RRType.NSEC3})
_PROOFS = frozenset({RRType.SOA, RRType.NSEC, RRType.NSEC3, RRType.RRSIG})
_TTL = Struct("!I")
_OPT = b"\x00" + RRType.OPT.to_bytes(2) + _edns.SIZE.to_bytes(2)
_PLAIN_OPT = {do: _OPT + b"\0\0" + (b"\x80\0" if do else b"\0\0") + b"\0\0" for do in (False, True)}
_shared_offsets: dict[tuple[int, ...], tuple[int, ...]] = {}


class Body:
    """The records of a reply: everything between the question and the OPT record."""

    __slots__ = ("answers", "authorities", "octets", "ttl_offsets")

    def __init__(self, octets: bytes, answers: int, authorities: int, ttl_offsets: tuple[int, ...]) -> None:
        self.octets = octets
        self.answers = answers
        self.authorities = authorities
        if len(ttl_offsets) < 4 and len(_shared_offsets) < 4096:  # nearly all entries share a few of these
            ttl_offsets = _shared_offsets.setdefault(ttl_offsets, ttl_offsets)
        self.ttl_offsets = ttl_offsets

    def aged(self, seconds: int) -> bytes:
        """Give the records with ``seconds`` subtracted from each TTL, 0 at the least."""
        if seconds <= 0:
            return self.octets
        octets = bytearray(self.octets)
        for at in self.ttl_offsets:
            ttl: int = _TTL.unpack_from(octets, at)[0]
            _TTL.pack_into(octets, at, ttl - seconds if ttl > seconds else 0)
        return bytes(octets)

    def with_ttl(self, ttl_s: int) -> bytes:
        """Give the records with every TTL set to ``ttl_s``."""
        octets = bytearray(self.octets)
        for at in self.ttl_offsets:
            _TTL.pack_into(octets, at, ttl_s)
        return bytes(octets)


EMPTY = Body(b"", 0, 0, ())


class Share:
    """What the entries of one domain hold together."""

    __slots__ = ("domain", "octets")

    def __init__(self, domain: bytes) -> None:
        self.domain = domain
        self.octets = 0


class Entry:
    """One answer, positive, negative or a failure, in the forms clients may want it.

    ``full`` is for clients that set DO, ``plain`` for the others (RFC 4035 §3.2.1); often they
    are one object. ``ttl_s`` is how long the answer may be kept, 0 for not at all.
    ``options`` are encoded EDNS options (Extended DNS Errors) that go with every reply.
    The cache alone touches what stands below the line.
    """

    __slots__ = (
        "expires",
        "full",
        "generation",
        "hits",
        "in_main",
        "is_failure",
        "is_local",
        "options",
        "plain",
        "rcode",
        "retry_at",
        "secure",
        "share",
        "size",
        "stored",
        "ttl_s",
    )

    def __init__(
        self,
        rcode: int,
        full: Body = EMPTY,
        plain: Body | None = None,
        *,
        ttl_s: int,
        options: bytes = b"",
        is_failure: bool = False,
        is_local: bool = False,
        secure: bool = False,
    ) -> None:
        self.rcode = rcode
        self.full = full
        self.plain = full if plain is None else plain
        self.ttl_s = ttl_s
        self.options = options
        self.is_failure = is_failure
        self.is_local = is_local
        self.secure = secure
        # ---
        self.stored = 0.0
        self.expires = 0.0
        self.retry_at = 0.0
        self.generation = -1
        self.size = 0
        self.hits = 0
        self.in_main = False
        self.share: Share | None = None

    def reply(self, query: Query, now: float) -> bytes:
        """Give the whole reply to ``query``, TTLs aged to ``now``; it may be over ``query.limit``."""
        body = self.full if query.do else self.plain
        return self._build(query, body, body.aged(int(now - self.stored)), self.options, self.secure)

    def stale_reply(self, query: Query) -> bytes:
        """Give the reply past its time: TTL 30, AD clear, EDE 3 or 19 (RFC 8767 §4, RFC 8914 §4)."""
        body = self.full if query.do else self.plain
        code = EDE.STALE_NXDOMAIN_ANSWER if self.rcode == RCode.NXDOMAIN else EDE.STALE_ANSWER
        option = _edns.extended_error(code, "the upstream did not answer, this is its last answer")
        octets = body.with_ttl(STALE_TTL)
        return self._build(query, body, octets, _edns.options_to_wire((option,)), secure=False)

    def _build(self, query: Query, body: Body, octets: bytes, options: bytes, secure: bool) -> bytes:
        flags = QR | RA | self.rcode & 15
        if query.rd:
            flags |= RD
        if query.cd:
            flags |= CD
        elif secure and (query.ad or query.do):  # RFC 6840 §5.8
            flags |= AD
        counts = b"\0\1%c%c%c%c" % (
            body.answers >> 8,
            body.answers & 255,
            body.authorities >> 8,
            body.authorities & 255,
        )
        head = query.id + flags.to_bytes(2) + counts
        if not query.edns:
            return b"".join((head, b"\0\0", query.question, octets))
        if not options and self.rcode < 16:
            return b"".join((head, b"\0\1", query.question, octets, _PLAIN_OPT[query.do]))
        opt = b"".join(
            (
                _OPT,
                bytes((self.rcode >> 4, 0)),
                b"\x80\0" if query.do else b"\0\0",
                len(options).to_bytes(2),
                options,
            )
        )
        return b"".join((head, b"\0\1", query.question, octets, opt))


def shorten(reply: bytes, limit: int) -> bytes:
    """Give a reply in at most ``limit`` octets, cut at an RRset boundary with TC set if need be."""
    if len(reply) <= limit:
        return reply
    return Message.parse(reply).to_wire_within(limit)


def from_message(message: Message, *, ttl_s: int) -> Entry:
    """Give the entry of an answer made here: its answer and authority records and its EDE options."""
    wire = Message(question=message.question, answer=message.answer, authority=message.authority).to_wire()
    found = scan(wire)
    body = _body(wire, found.question_end, found.answer, found.authority)
    options = _edns.options_to_wire(message.edns.options) if message.edns else b""
    return Entry(message.rcode, body, ttl_s=ttl_s, options=options, is_local=True)


def from_plain_response(wire: bytes, question_end: int) -> Entry | None:
    """Give the entry of the commonest response, at a fifth of the cost; None means ``from_response``.

    Commonest is: NOERROR, one RRset at QNAME, perhaps its signatures behind it, one TTL for
    all, nothing in the authority section, an OPT record at the most in the additional one.
    ``question_end`` is the offset after the question, which must be the one that was asked.
    """
    try:
        if wire[2] & 2 or wire[3] & 15 or wire[8] or wire[9] or wire[10]:
            return None
        count = wire[6] << 8 | wire[7]
        owner_and_type = b"\xc0\x0c" + wire[question_end - 4 : question_end]
        ttl = wire[question_end + 6 : question_end + 10]
        at = question_end
        plain = 0  # records of the RRset itself, before the signatures
        offsets = []
        for index in range(count):
            head = wire[at : at + 6]
            if wire[at + 6 : at + 10] != ttl:
                return None
            if head == owner_and_type and plain == index:
                plain += 1
            elif head != _SIGNATURE:
                return None
            offsets.append(at + 6 - question_end)
            at += 12 + (wire[at + 10] << 8 | wire[at + 11])
            if index + 1 == plain:
                plain_end = at
        end = at
        if wire[11]:
            if wire[at : at + 3] != b"\0\0\x29" or wire[11] > 1 or wire[at + 5]:
                return None
            at += 11 + (wire[at + 9] << 8 | wire[at + 10])
    except IndexError:
        return None
    ttl_s: int = int.from_bytes(ttl)
    if at != len(wire) or not plain or ttl_s > MAX_TTL:
        return None
    full = Body(wire[question_end:end], count, 0, tuple(offsets))
    if plain == count:
        return Entry(RCode.NOERROR, full, ttl_s=ttl_s)
    stripped = Body(wire[question_end:plain_end], plain, 0, tuple(offsets[:plain]))
    return Entry(RCode.NOERROR, full, stripped, ttl_s=ttl_s)


_SIGNATURE = b"\xc0\x0c" + RRType.RRSIG.to_bytes(2) + b"\0\1"


def from_response(wire: bytes) -> Entry:
    """Give the entry of an upstream's response, which must answer the question it carries.

    Kept are the records on the path QNAME, CNAME, …, data; of the authority section the SOA of
    a zone that holds the last name and the denial proofs. Everything else is dropped, so it
    reaches neither a client nor the cache. TTLs are capped and made equal inside an RRset
    (RFC 2181 §5.2).

    Raises:
        FormatError: malformed, or truncated, or a chain of over 12 links.
    """
    found = scan(wire)
    if found.flags & TC:
        raise FormatError("truncated answer on a stream")
    rcode = found.flags & 15
    if found.opt is not None:
        rcode |= found.opt.ttl >> 24 << 4
    answer, target, positive = _answer_path(wire, found)
    authority: Sequence[Place] = _relevant(wire, found.authority, target)
    wire, answer, authority, end = _without_strangers(wire, found, answer, authority)
    negative = not positive and rcode in (RCode.NOERROR, RCode.NXDOMAIN)
    if negative:
        ttl = _keep_denial_for(wire, answer, authority)
    else:
        ttl = _keep_for(answer, authority) if answer else 0
    wire = _level_ttls(wire, answer, authority, MAX_NEGATIVE_TTL if negative else MAX_TTL, ttl)
    qtype = int.from_bytes(wire[end - 4 : end - 2])
    failed = rcode not in _ANSWERS
    full = _body(wire, end, answer, authority)
    plain = _stripped(wire, end, answer, authority, qtype, full)
    return Entry(rcode, full, plain, ttl_s=0 if failed else ttl, is_failure=failed)


_ANSWERS = frozenset({RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN})


def _answer_path(wire: bytes, found: Scan) -> tuple[Sequence[Place], bytes, bool]:
    """Give the records on the path from QNAME, the name it ends at, and whether data stands there."""
    end = found.question_end
    qtype = int.from_bytes(wire[end - 4 : end - 2])
    target = wire[HEADER_SIZE : end - 4].lower()
    positive = False
    for place in found.answer:  # the usual answer: one RRset at QNAME and perhaps its signature
        if place.rrclass != RRClass.IN or wire[place.start : place.start + 2] != b"\xc0\x0c":
            break
        if place.rrtype == qtype:
            positive = True
        elif place.rrtype != RRType.RRSIG:
            break
    else:
        return found.answer, target, positive
    return _follow(wire, found.answer, target, qtype)


def _follow(
    wire: bytes, places: Sequence[Place], target: bytes, qtype: int
) -> tuple[list[Place], bytes, bool]:
    kept: list[Place] = []
    owners = {target}
    positive = False
    links = 0
    for place in places:
        if place.rrclass != RRClass.IN:
            continue
        owner = read_name(wire, place.start)[0].lower()
        if owner == target and place.rrtype == qtype:
            positive = True
        elif owner == target and place.rrtype == RRType.CNAME and not positive:
            links += 1
            if links > MAX_CHAIN:
                raise FormatError(f"over {MAX_CHAIN} CNAME links in one answer")
            target = decompress(wire, RRType.CNAME, place.fields + 10, place.end).lower()
            owners.add(target)
        elif place.rrtype == RRType.DNAME and owner != target and is_subdomain(target, owner):
            owners.add(owner)  # the CNAME made from it follows and is checked like any other
        elif place.rrtype != RRType.RRSIG or owner not in owners:
            continue
        kept.append(place)
    return kept, target, positive


def _relevant(wire: bytes, places: Sequence[Place], target: bytes) -> list[Place]:
    """Give the SOA and the denial proofs of a zone that holds ``target``."""
    kept = []
    for place in places:
        if place.rrtype in _PROOFS and place.rrclass == RRClass.IN:
            if place.rrtype == RRType.SOA:
                owner = read_name(wire, place.start)[0].lower()
                if not is_subdomain(target, owner):
                    continue
            kept.append(place)
    return kept


def _without_strangers(
    wire: bytes, found: Scan, answer: Sequence[Place], authority: Sequence[Place]
) -> tuple[bytes, Sequence[Place], Sequence[Place], int]:
    """Give the message with only the records named; where records go from the end, a slice does it."""
    answer_is_head = answer == found.answer[: len(answer)]
    authority_is_head = authority == found.authority[: len(authority)]
    if answer_is_head and (not authority or (len(answer) == len(found.answer) and authority_is_head)):
        return wire, answer, authority, found.question_end
    rebuilt, again = _rebuild(wire, found, answer, authority)
    return rebuilt, again.answer, again.authority, again.question_end


def _rebuild(
    wire: bytes, found: Scan, answer: Sequence[Place], authority: Sequence[Place]
) -> tuple[bytes, Scan]:
    """Give the message anew with only the records named: the slow way, for what a slice cannot do."""
    message = Message.parse(wire)
    answers = frozenset(answer)
    authorities = frozenset(authority)
    rebuilt = Message(
        message.id,
        message.flags,
        message.question,
        tuple(r for r, place in zip(message.answer, found.answer, strict=True) if place in answers),
        tuple(r for r, place in zip(message.authority, found.authority, strict=True) if place in authorities),
    ).to_wire()
    return rebuilt, scan(rebuilt)


def _keep_for(answer: Sequence[Place], authority: Sequence[Place]) -> int:
    ttl = MAX_TTL
    for place in answer:
        if place.ttl < ttl:
            ttl = place.ttl
    for place in authority:
        if place.ttl < ttl:
            ttl = place.ttl
    return ttl


def _keep_denial_for(wire: bytes, answer: Sequence[Place], authority: Sequence[Place]) -> int:
    """Give the time a denial may be kept: TTL and MINIMUM of its SOA; without a SOA 0 (RFC 2308 §5)."""
    for place in authority:
        if place.rrtype == RRType.SOA:
            minimum = soa_minimum(decompress(wire, RRType.SOA, place.fields + 10, place.end))
            return min(_keep_for(answer, authority), minimum, MAX_NEGATIVE_TTL)
    return 0


def _level_ttls(
    wire: bytes, answer: Sequence[Place], authority: Sequence[Place], cap: int, ttl: int
) -> bytes:
    """Give the message with TTLs capped and equal inside each RRset."""
    if all(place.ttl == ttl for place in answer) and all(place.ttl == ttl for place in authority):
        return wire
    lowest: dict[tuple[bytes, int], int] = {}
    keys = []
    for place in (*answer, *authority):
        key = (read_name(wire, place.start)[0].lower(), place.rrtype)
        keys.append((key, place))
        least = min(place.ttl, cap, ttl if place.rrtype == RRType.SOA else cap)
        lowest[key] = min(least, lowest.get(key, least))
    levelled = bytearray(wire)
    for key, place in keys:
        _TTL.pack_into(levelled, place.fields + 4, lowest[key])
    return bytes(levelled)


def _body(wire: bytes, start: int, answer: Sequence[Place], authority: Sequence[Place]) -> Body:
    last = authority[-1] if authority else answer[-1] if answer else None
    end = start if last is None else last.end
    offsets = tuple(place.fields + 4 - start for place in (*answer, *authority))
    return Body(wire[start:end], len(answer), len(authority), offsets)


def _stripped(
    wire: bytes, start: int, answer: Sequence[Place], authority: Sequence[Place], qtype: int, full: Body
) -> Body:
    """Give the body for a client without DO: no RRSIG, NSEC or NSEC3 but those asked for by type."""

    def wanted(place: Place) -> bool:
        return place.rrtype not in _DNSSEC or place.rrtype == qtype

    plain_answer = [place for place in answer if wanted(place)]
    plain_authority = [place for place in authority if place.rrtype not in _DNSSEC]
    if len(plain_answer) == len(answer) and len(plain_authority) == len(authority):
        return full
    if not plain_authority and plain_answer == answer[: len(plain_answer)]:
        return _body(wire, start, plain_answer, ())
    if len(plain_answer) == len(answer) and plain_authority == authority[: len(plain_authority)]:
        return _body(wire, start, answer, plain_authority)
    rebuilt, again = _rebuild(wire, scan(wire), plain_answer, plain_authority)
    return _body(rebuilt, start, again.answer, again.authority)
