"""Answer queries from a few zones held in memory, the way a recursive resolver would.

Everything is unsigned; ``hierarchy`` has the signed kind. Aliases are followed from zone to zone,
wildcards expand (RFC 4592), a name that only has names below it exists (an empty non-terminal, RFC 4592
§2.2.2), and "no" comes as NXDOMAIN or NODATA with the zone's SOA (RFC 2308 §2). NS records below an apex
are plain data: nothing is delegated. A name in no zone is REFUSED.
"""

from collections.abc import Iterator, Mapping, Sequence

from secdns.dns import name as names
from secdns.dns.edns import EDNS, extended_error
from secdns.dns.message import CD, QR, RA, RD, Message, Question, Record
from secdns.errors import FormatError
from secdns.iana import EDE, Opcode, RCode, RRClass, RRType
from secdns.testing import presentation

ZoneData = Mapping[str, Mapping[str, str | Sequence[str]]]
"""Owner name -> type -> one rdata or several, all in presentation form; ``@`` is the zone itself."""

DEFAULT_TTL_S = 300
MAX_CHAIN = 16  # aliases followed for one query; resolvers stop at about as many
MEMO_SIZE = 4096  # finished replies kept, so that a benchmark does not measure us
EDNS_SIZE = 1232

_ASTERISK = b"\x01*"
_SOA = "ns.{zone} hostmaster.{zone} 1 7200 3600 1209600 60"


class Zones:
    """A handful of zones and the answers from them.

    ``zones`` maps zone names to their data: ``{"example.test": {"www": {"A": ["192.0.2.1"]}}}``, or is
    the text that ``parse`` takes. A zone without an SOA is given one, with a negative TTL of 60 seconds.

    Raises:
        FormatError: a name, a type or rdata that cannot be read.
    """

    def __init__(self, zones: Mapping[str, ZoneData] | str, ttl_s: int = DEFAULT_TTL_S) -> None:
        self._records: dict[bytes, dict[int, list[Record]]] = {}
        self._existing: set[bytes] = set()  # owners and empty non-terminals
        self._apexes: set[bytes] = set()
        self._memo: dict[bytes, bytes] = {}
        if isinstance(zones, str):
            self._read(zones, ttl_s)
        else:
            self._take(zones, ttl_s)
        self._finish()

    @classmethod
    def parse(cls, text: str) -> "Zones":
        """Read zones from lines in the manner of a master file (RFC 1035 §5.1).

        ``$ORIGIN NAME`` opens a zone, ``$TTL SECONDS`` sets the TTL of the records that follow,
        ``OWNER [TTL] [IN] TYPE RDATA`` adds a record to the zone, where an indented line keeps the
        owner of the line before it.

        Raises:
            FormatError: a line that cannot be read, with its number.
        """
        return cls(text)

    def _take(self, zones: Mapping[str, ZoneData], ttl_s: int) -> None:
        for zone, data in zones.items():
            apex = names.from_text(zone)
            self._open_zone(apex)
            for owner, rrsets in data.items():
                for rrtype, values in rrsets.items():
                    for value in [values] if isinstance(values, str) else values:
                        record = [presentation.tokens(owner)[0], rrtype, *presentation.tokens(value)]
                        self._add(record, apex, ttl_s)

    def _read(self, text: str, ttl_s: int) -> None:
        origin: bytes | None = None
        owner = "@"
        for number, line in enumerate(text.splitlines(), 1):
            try:
                match presentation.tokens(line):
                    case []:
                        continue
                    case ["$ORIGIN", apex]:
                        origin = names.from_text(apex)
                        owner = "@"
                        self._open_zone(origin)
                    case ["$TTL", seconds]:
                        ttl_s = _seconds(seconds)
                    case fields:
                        if origin is None:
                            raise FormatError("a record before the first $ORIGIN")
                        if not line[0].isspace():
                            owner, *fields = fields
                        self._add([owner, *fields], origin, ttl_s)
            except FormatError as error:
                raise FormatError(f"line {number}: {error}") from error

    def _open_zone(self, apex: bytes) -> None:
        self._apexes.add(apex.lower())

    def _add(self, fields: Sequence[str], origin: bytes, ttl_s: int) -> None:
        """Add the record ``OWNER [TTL] [IN] TYPE RDATA``."""
        owner, *rest = fields
        if rest and rest[0].isdecimal():
            ttl_s = _seconds(rest.pop(0))
        if rest and rest[0].upper() == "IN":
            rest.pop(0)
        if not rest:
            raise FormatError(f"{owner!r} has no type")
        name = presentation.owner(owner, origin)
        if not names.is_subdomain(name, origin):
            raise FormatError(f"{names.to_text(name)} is not in the zone {names.to_text(origin)}")
        rrtype = presentation.rrtype(rest[0])
        record = Record(name, rrtype, RRClass.IN, ttl_s, presentation.rdata(rrtype, rest[1:], origin))
        self._records.setdefault(name.lower(), {}).setdefault(rrtype, []).append(record)

    def _finish(self) -> None:
        for apex in self._apexes:
            if RRType.SOA not in self._records.get(apex, {}):
                soa = _SOA.format(zone=names.to_text(apex).removeprefix("."))
                self._add(["@", "SOA", *soa.split()], apex, DEFAULT_TTL_S)
        for owner in self._records:
            zone = self._zone_of(owner)
            for ancestor in names.suffixes(owner):
                self._existing.add(ancestor)
                if ancestor == zone:
                    break

    def _zone_of(self, name: bytes) -> bytes | None:
        return next((suffix for suffix in names.suffixes(name) if suffix in self._apexes), None)

    def answer(self, query: bytes) -> bytes:
        """Give the reply to a query of at least 12 octets; both are whole messages."""
        question_on = query[2:]
        reply = self._memo.get(question_on)
        if reply is None:
            reply = self._reply(query)[2:]
            if len(self._memo) >= MEMO_SIZE:
                self._memo.clear()
            self._memo[question_on] = reply
        return query[:2] + reply

    def _reply(self, query: bytes) -> bytes:
        try:
            message = Message.parse(query)
        except FormatError:
            return query[:2] + (QR | query[2] << 8 & 0x7900 | RCode.FORMERR).to_bytes(2) + bytes(8)
        flags = QR | RA | message.opcode << 11 | message.flags & (RD | CD)
        options: tuple[tuple[int, bytes], ...] = ()
        answer: tuple[Record, ...] = ()
        authority: tuple[Record, ...] = ()
        rcode = _refusal(message)
        if rcode == RCode.NOERROR:
            do = message.edns is not None and message.edns.do
            rcode, answer, authority = self._look_up(message.question[0], do=do)
            if rcode == RCode.REFUSED:
                options = (extended_error(EDE.NOT_AUTHORITATIVE, "this testing upstream has no such zone"),)
        edns = None
        if message.edns is not None:
            edns = EDNS(EDNS_SIZE, ext_rcode=rcode >> 4, do=message.edns.do, options=options)
        reply = Message(message.id, flags | rcode & 15, message.question, answer, authority, edns=edns)
        return self._finished(reply).to_wire()

    def _finished(self, reply: Message) -> Message:
        """Give a reply the last touch before it is sent; a subclass may spoil it."""
        return reply

    def _look_up(self, question: Question, *, do: bool) -> tuple[int, tuple[Record, ...], tuple[Record, ...]]:
        """Give RCODE, answer and authority; the RCODE is that of the chain's last name (RFC 6604 §3)."""
        answer: list[Record] = []
        name = question.name
        for _ in range(MAX_CHAIN):
            zone = self._zone_of(name.lower())
            if zone is None:  # an alias that leaves our zones stays without its end
                return (RCode.NOERROR if answer else RCode.REFUSED), tuple(answer), ()
            rrsets = self._rrsets(name, zone)
            if rrsets is None:
                return RCode.NXDOMAIN, tuple(answer), self._denial(zone)
            found = list(_wanted(rrsets, question.rrtype, name))
            answer += found
            alias = rrsets.get(RRType.CNAME)
            if found and (alias is None or question.rrtype in (RRType.CNAME, RRType.ANY)):
                return RCode.NOERROR, tuple(answer), ()
            if not alias:
                return RCode.NOERROR, tuple(answer), self._denial(zone)
            name = alias[0].rdata
        return RCode.SERVFAIL, (), ()

    def _rrsets(self, name: bytes, zone: bytes) -> Mapping[int, list[Record]] | None:
        """Give the RRsets at a name, or at the wildcard that covers it; None if the name does not exist."""
        key = name.lower()
        if key in self._existing:
            return self._records.get(key, {})
        closest = next(suffix for suffix in names.suffixes(key) if suffix in self._existing)
        return self._records.get(_ASTERISK + closest)

    def _denial(self, zone: bytes) -> tuple[Record, ...]:
        """Give the SOA with the negative TTL (RFC 2308 §3)."""
        soa = self._records[zone][RRType.SOA][0]
        ttl_s = min(soa.ttl, int.from_bytes(soa.rdata[-4:]))
        return (Record(soa.name, soa.rrtype, soa.rrclass, ttl_s, soa.rdata),)


def _refusal(message: Message) -> int:
    if message.opcode != Opcode.QUERY:
        return RCode.NOTIMP
    if message.is_response or len(message.question) != 1:
        return RCode.FORMERR
    if message.edns is not None and message.edns.version != 0:
        return RCode.BADVERS
    if message.question[0].rrclass != RRClass.IN:
        return RCode.REFUSED
    return RCode.NOERROR


def _wanted(rrsets: Mapping[int, list[Record]], rrtype: int, name: bytes) -> Iterator[Record]:
    """Yield the records of the type asked for, and an alias for any type, under the name asked for."""
    for have, records in rrsets.items():
        if have in (rrtype, RRType.CNAME) or rrtype == RRType.ANY:
            for record in records:
                yield Record(name, have, record.rrclass, record.ttl, record.rdata)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise FormatError(f"a TTL is a number of seconds below 2**31, not {text!r}")
    return int(text)
