"""What the cache keeps of one answer, and the replies made from it.

An entry keeps octets. The question is not among them: every reply carries the client's own,
which is as long, so compression pointers into it and past it stay right. The OPT record is not
among them either (RFC 6891 §6.1.1): every reply gets one of its own where the client sent one.
"""

from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from struct import Struct

from secdns.dns import edns as _edns
from secdns.dns.message import AD, CD, QR, RA, RD, TC
from secdns.dns.peek import Place, Query, scan
from secdns.dns.wire import HEADER_SIZE, NameReader
from secdns.iana import EDE, RCode, RRType

STALE_TTL = 30  # seconds, written into stale answers (RFC 8767 §4)

_TTL = Struct("!I")
_unpack_ttl = _TTL.unpack_from
_pack_ttl = _TTL.pack_into
_OPT = b"\x00" + RRType.OPT.to_bytes(2) + _edns.SIZE.to_bytes(2)
_COUNTS = Struct("!HHH")
_SHARED = 4  # fewer TTL offsets than this are kept once for all entries that have the same
_shared_offsets = lru_cache(maxsize=1024)(tuple[int, ...])


class Body:
    """The records of a reply: everything between the question and the OPT record.

    ``counts`` are QDCOUNT (1), ANCOUNT and NSCOUNT in wire form. ``ttl_offsets`` are the places
    of the TTLs in ``octets``. ``size`` is how many octets this holds beside what all entries do.
    """

    __slots__ = ("counts", "octets", "size", "ttl_offsets")

    def __init__(self, octets: bytes, answers: int, authorities: int, ttl_offsets: Sequence[int]) -> None:
        self.octets = octets
        self.counts = _counts(answers, authorities)
        self.size = len(octets)
        self.ttl_offsets: Sequence[int]
        if len(ttl_offsets) < _SHARED:
            self.ttl_offsets = _shared_offsets(tuple(ttl_offsets))
        else:
            self.ttl_offsets = array("H", ttl_offsets)
            self.size += 80 + 2 * len(ttl_offsets)

    @property
    def answers(self) -> int:
        """Records in the answer section."""
        return self.counts[2] << 8 | self.counts[3]

    @property
    def authorities(self) -> int:
        """Records in the authority section."""
        return self.counts[4] << 8 | self.counts[5]

    def aged(self, seconds: int) -> bytes | bytearray:
        """Give the records with ``seconds`` subtracted from each TTL, 0 at the least."""
        octets = bytearray(self.octets)
        for at in self.ttl_offsets:
            (ttl,) = _unpack_ttl(octets, at)
            _pack_ttl(octets, at, ttl - seconds if ttl > seconds else 0)
        return octets

    def capped(self, ttl_s: int) -> "Body":
        """Give the records with no TTL over ``ttl_s``; the same object if none is."""
        octets: bytearray | None = None
        for at in self.ttl_offsets:
            if _unpack_ttl(self.octets, at)[0] > ttl_s:
                octets = octets or bytearray(self.octets)
                _pack_ttl(octets, at, ttl_s)
        if octets is None:
            return self
        return Body(bytes(octets), self.answers, self.authorities, self.ttl_offsets)

    def with_ttl(self, ttl_s: int) -> bytearray:
        """Give the records with every TTL set to ``ttl_s``."""
        octets = bytearray(self.octets)
        for at in self.ttl_offsets:
            _pack_ttl(octets, at, ttl_s)
        return octets


@lru_cache(maxsize=1024)  # so that entries share these, too
def _counts(answers: int, authorities: int) -> bytes:
    return _COUNTS.pack(1, answers, authorities)


EMPTY = Body(b"", 0, 0, ())


class Share:
    """What the entries of one domain hold together in the main queue."""

    __slots__ = ("octets",)

    def __init__(self) -> None:
        self.octets = 0


class Entry:
    """One answer, positive, negative or a failure, in the forms clients may want it.

    ``full`` is for clients that set DO, ``plain`` for the others (RFC 4035 §3.2.1); often they
    are one object. ``ttl_s`` is how long the answer may be kept, 0 for not at all.
    ``options`` are encoded EDNS options (Extended DNS Errors) that go with every reply.
    ``nxname`` says of a NODATA that the name does not exist, which clients without DO are told
    (RFC 9824). ``rcode``, ``options``, ``secure`` and ``nxname`` are final once a reply was made.
    The cache alone touches what stands below the line.
    """

    __slots__ = (
        "_shapes",
        "expires",
        "full",
        "generation",
        "hits",
        "in_main",
        "is_failure",
        "is_local",
        "nxname",
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

    # ---
    expires: float
    generation: int
    in_main: bool
    share: Share  # only in the main queue
    size: int

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
        self.plain = plain or full
        self.ttl_s = ttl_s
        self.options = options
        self.is_failure = is_failure
        self.is_local = is_local
        self.secure = secure
        self.nxname = False
        self._shapes: dict[_Bits, _Shape] | None = None
        # ---
        self.stored = 0.0
        self.retry_at = 0.0
        self.hits = 0

    def cap_ttl(self, ttl_s: int) -> None:
        """Keep the answer no longer than ``ttl_s``, and let no TTL in it say more (RFC 4035 §5.3.3).

        Only before the first reply.
        """
        if ttl_s < self.ttl_s:
            self.ttl_s = ttl_s
        same = self.plain is self.full
        self.full = self.full.capped(ttl_s)
        self.plain = self.full if same else self.plain.capped(ttl_s)

    def reply(self, query: Query, now: float) -> bytes:
        """Give the whole reply to ``query``, TTLs aged to ``now``; it may be over ``query.limit``."""
        body = self.full if query.do else self.plain
        age = now - self.stored
        octets = body.octets if age < 1.0 else body.aged(int(age))
        shapes = self._shapes
        if shapes is not None:
            flags, opt_count, opt = shapes[query[4:9]]
        else:
            flags, opt_count, opt = self._find_shape(query[4:9])
        return b"".join((query.id, flags, body.counts, opt_count, query.question, octets, opt))

    def stale_reply(self, query: Query) -> bytes:
        """Give the reply past its time: TTL 30, AD clear, EDE 3 or 19 (RFC 8767 §4, RFC 8914 §4)."""
        body = self.full if query.do else self.plain
        option = _STALE_NXDOMAIN if self.rcode == RCode.NXDOMAIN else _STALE
        flags, opt_count, opt = _shape(self.rcode, False, self.nxname, option, query[4:9])
        octets = body.with_ttl(STALE_TTL)
        return b"".join((query.id, flags, body.counts, opt_count, query.question, octets, opt))

    def _find_shape(self, bits: "_Bits") -> "_Shape":
        if self.options or self.rcode > 15:
            return _shape(self.rcode, self.secure, self.nxname, self.options, bits)
        self._shapes = _plain_shapes(self.rcode, self.secure, self.nxname)
        return self._shapes[bits]


def _stale_option(code: int) -> bytes:
    text = "the upstream did not answer, this is its last answer"
    return _edns.options_to_wire((_edns.extended_error(code, text),))


_STALE = _stale_option(EDE.STALE_ANSWER)
_STALE_NXDOMAIN = _stale_option(EDE.STALE_NXDOMAIN_ANSWER)

_Bits = tuple[bool, bool, bool, bool, bool]  # RD, AD, CD, EDNS and DO of a query
_Shape = tuple[bytes, bytes, bytes]  # flags, ARCOUNT and OPT record of a reply


def _shape(rcode: int, secure: bool, nxname: bool, options: bytes, bits: _Bits) -> _Shape:
    """Give what a reply has beside its records."""
    rd, ad, cd, edns, do = bits
    if nxname and not do:
        rcode = RCode.NXDOMAIN
    if rcode > 15 and not edns:  # its upper bits have no place, the lower ones mean something else
        rcode = RCode.SERVFAIL
    flags = QR | RA | rcode & 15 | (RD if rd else 0) | (CD if cd else 0)
    if secure and (ad or do) and not cd:  # RFC 6840 §5.8
        flags |= AD
    if not edns:
        return flags.to_bytes(2), b"\0\0", b""
    rest = bytes((rcode >> 4, 0)) + (b"\x80\0" if do else b"\0\0") + len(options).to_bytes(2)
    return flags.to_bytes(2), b"\0\1", _OPT + rest + options


@lru_cache(maxsize=32)
def _plain_shapes(rcode: int, secure: bool, nxname: bool) -> dict[_Bits, _Shape]:
    """Give the shapes of every reply without EDNS options: nearly all replies have one of these."""
    shapes = {}
    for rd, ad, cd, edns, do in product((False, True), repeat=5):
        bits = (rd, ad, cd, edns, do)
        shapes[bits] = _shape(rcode, secure, nxname, b"", bits)
    return shapes


def shorten(reply: bytes, limit: int) -> bytes:
    """Give a reply in at most ``limit`` octets, cut at an RRset boundary with TC set if need be.

    EDNS options go before any data (RFC 8914 §3). Records keep their octets: a name's
    compression pointers lead backwards, so what is cut off is never needed. ``limit`` is at
    least 512.
    """
    if len(reply) <= limit:
        return reply
    found = scan(reply)
    start, opt = found.question_end, b""
    if found.opt is not None:
        opt = reply[found.opt.start : found.opt.start + 9] + b"\0\0"
    places = (*found.answer, *found.authority)
    kept = _whole_rrsets(reply, places, len(found.answer), limit - len(opt))
    end = places[kept - 1].end if kept else start
    answers = min(kept, len(found.answer))
    flags = found.flags if kept == len(places) else found.flags | TC
    counts = _counts(answers, kept - answers) + (b"\0\1" if opt else b"\0\0")
    return b"".join((reply[:2], flags.to_bytes(2), counts, reply[HEADER_SIZE:end], opt))


def _whole_rrsets(wire: bytes, places: Sequence[Place], answers: int, room: int) -> int:
    """Give how many records from the first on end inside ``room`` octets and cut no RRset in two."""
    names = NameReader(wire)
    kept = 0
    before: tuple[bytes, int] | None = None
    for number, place in enumerate(places):
        rrset = (names.read(place.start)[0].lower(), place.rrtype)
        if rrset != before or number == answers:
            kept, before = number, rrset
        if place.end > room:
            return kept
    return len(places)
