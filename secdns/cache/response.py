"""Turn a response into an entry: check it, drop what does not belong to the answer, settle TTLs.

Records of strangers reach neither a client nor the cache (RFC 5452 §6).
"""

from collections.abc import Sequence
from struct import Struct
from struct import error as StructError

from secdns.cache.entry import Body, Entry
from secdns.dns import edns as _edns
from secdns.dns.message import TC, Message
from secdns.dns.name import is_subdomain, suffixes
from secdns.dns.peek import Place, Scan, scan
from secdns.dns.rdata import decompress
from secdns.dns.wire import HEADER_SIZE, NameReader
from secdns.errors import FormatError
from secdns.iana import RCode, RRClass, RRType

MAX_TTL = 86_400  # seconds; a top bit set ends here too (RFC 8767 §4, RFC 2181 §8)
MAX_NEGATIVE_TTL = 300  # seconds (RFC 2308 §5 lets us choose; a laptop changes networks)
MAX_CHAIN = 12  # CNAME and DNAME links followed in one answer

_ANSWERS = frozenset({RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN})
_DNSSEC = frozenset({RRType.RRSIG, RRType.NSEC, RRType.NSEC3})
_TTL = Struct("!I")
_header = Struct("!2xH2x3H").unpack_from  # flags; ANCOUNT, NSCOUNT and ARCOUNT
_record = Struct("!6sIH").unpack_from  # owner as a pointer, TYPE and CLASS; TTL; RDLENGTH
_opt_record = Struct("!3s2xB3xH").unpack_from  # owner and TYPE; upper bits of the RCODE; RDLENGTH
_SIGNATURE = b"\xc0\x0c" + RRType.RRSIG.to_bytes(2) + b"\0\1"
_SIGNER = 18  # octets before the signer's name in the RDATA of a RRSIG (RFC 4034 §3.1)
# An attribute of an enumeration costs more than the comparison.
_NOERROR = int(RCode.NOERROR)
_IN = int(RRClass.IN)
_RRSIG = int(RRType.RRSIG)
_CNAME = int(RRType.CNAME)
_DNAME = int(RRType.DNAME)
_SOA = int(RRType.SOA)
_TC_OR_RCODE = TC | 15


def from_message(message: Message, *, ttl_s: int) -> Entry:
    """Give the entry of an answer made here: its answer and authority records and its EDE options."""
    wire = Message(question=message.question, answer=message.answer, authority=message.authority).to_wire()
    found = scan(wire)
    body = _body(wire, found.question_end, found.answer, found.authority)
    options = _edns.options_to_wire(message.edns.options) if message.edns else b""
    return Entry(message.rcode, body, ttl_s=ttl_s, options=options, is_local=True)


def from_plain_response(wire: bytes, question_end: int) -> Entry | None:
    """Give the entry of the commonest response, at a quarter of the cost; None means ``from_response``.

    Commonest is: NOERROR, one RRset at QNAME, perhaps its signatures behind it, one TTL for
    all, nothing in the authority section, an OPT record at the most in the additional one.
    ``question_end`` is the offset after the question, which must be the one that was asked, of
    class IN and not of type OPT.
    """
    try:
        flags, count, authorities, additionals = _header(wire)
        if flags & _TC_OR_RCODE or not count or authorities or additionals > 1:
            return None
        owner_and_type = b"\xc0\x0c" + wire[question_end - 4 : question_end]
        head, ttl_s, length = _record(wire, question_end)
        if head != owner_and_type or ttl_s > MAX_TTL:
            return None
        offsets = [6]
        plain = 1  # records of the RRset itself, before the signatures
        plain_end = at = question_end + 12 + length
        for index in range(1, count):
            head, ttl, length = _record(wire, at)
            if ttl != ttl_s:
                return None
            offsets.append(at + 6 - question_end)
            at += 12 + length
            if head == owner_and_type and plain == index:
                plain += 1
                plain_end = at
            elif head != _SIGNATURE:
                return None
        end = at
        if additionals:
            head, ext_rcode, length = _opt_record(wire, at)
            if head != b"\0\0\x29" or ext_rcode:
                return None
            at += 11 + length
    except StructError:
        return None
    if at != len(wire):
        return None
    full = Body(wire[question_end:end], count, 0, offsets)
    if plain == count:
        return Entry(_NOERROR, full, ttl_s=ttl_s)
    stripped = Body(wire[question_end:plain_end], plain, 0, offsets[:plain])
    return Entry(_NOERROR, full, stripped, ttl_s=ttl_s)


def from_response(wire: bytes) -> Entry:
    """Give the entry of an upstream's response, which must answer the question it carries.

    Kept are the records on the path QNAME, CNAME, …, data; of the authority section the SOA of
    a zone that holds the last name and the denial proofs of zones that hold a name on the path.
    Everything else is dropped, and so are all records of a failure. TTLs are capped and made
    equal inside an RRset (RFC 2181 §5.2).

    Raises:
        FormatError: malformed, or truncated, or a chain of over 12 links.
    """
    found = scan(wire)
    if found.flags & TC:
        raise FormatError("truncated answer on a stream")
    rcode = found.flags & 15
    if found.opt is not None:
        rcode |= found.opt.ttl >> 24 << 4
    if rcode not in _ANSWERS:
        return Entry(rcode, ttl_s=0, is_failure=True)
    names = NameReader(wire)
    answer, path, positive = _answer_path(wire, found, names)
    authority = _proofs(wire, found.authority, path, names) if found.authority else found.authority
    if not _is_prefix(answer, authority, found):
        wire, found = _rebuild(wire, found, answer, authority)
        answer, authority, names = found.answer, found.authority, NameReader(wire)
    if positive or rcode == RCode.YXDOMAIN:
        # Data under a name that does not exist is passed on for what it is worth, and not kept.
        kept_for_s = 0 if rcode == RCode.NXDOMAIN or not answer else _keep_for(answer, authority)
        wire = _level_ttls(wire, answer, authority, MAX_TTL, MAX_TTL, names)
    else:
        kept_for_s = _keep_denial_for(wire, answer, authority, names)
        wire = _level_ttls(wire, answer, authority, MAX_NEGATIVE_TTL, kept_for_s, names)
    qtype = wire[found.question_end - 4] << 8 | wire[found.question_end - 3]
    full = _body(wire, found.question_end, answer, authority)
    plain = _stripped(wire, found.question_end, answer, authority, qtype, full)
    return Entry(rcode, full, plain, ttl_s=kept_for_s)


def _answer_path(
    wire: bytes, found: Scan, names: NameReader
) -> tuple[Sequence[Place], Sequence[bytes], bool]:
    """Give the records on the path from QNAME, the names on it, and whether data stands at its end."""
    end = found.question_end
    qtype = wire[end - 4] << 8 | wire[end - 3]
    qname = wire[HEADER_SIZE : end - 4].lower()
    positive = False
    for place in found.answer:  # the usual answer: one RRset at QNAME and perhaps its signature
        if place.rrclass != _IN or wire[place.start : place.start + 2] != b"\xc0\x0c":
            break
        if place.rrtype == qtype:
            positive = True
        elif place.rrtype != _RRSIG:
            break
    else:
        return found.answer, (qname,), positive
    return _follow(wire, found.answer, qname, qtype, names)


def _follow(
    wire: bytes, places: Sequence[Place], qname: bytes, qtype: int, names: NameReader
) -> tuple[Sequence[Place], Sequence[bytes], bool]:
    """Give what ``_answer_path`` gives, for any answer.

    The links are taken in their order. A CNAME or data at a name that has the other already is
    dropped (RFC 2181 §10.1), and so is a DNAME that no CNAME on the path was made from.
    """
    candidates: list[tuple[bytes, Place]] = []
    path = [qname]
    owners = {qname}
    dnames: dict[bytes, bytes] = {}
    above: frozenset[bytes] | None = None  # the last name on the path and its ancestors, once needed
    positive = False
    for place in places:
        if place.rrclass != _IN:
            continue
        owner = names.read(place.start)[0].lower()
        at_end = owner == path[-1]
        if at_end and place.rrtype == qtype:
            positive = True
        elif at_end and place.rrtype == _CNAME and not positive:
            if len(path) > MAX_CHAIN:
                raise FormatError(f"over {MAX_CHAIN} CNAME links in one answer")
            target = decompress(wire, _CNAME, place.fields + 10, place.end, names).lower()
            if target in path:
                continue  # a loop ends here: nothing may join the CNAME at its target
            if dnames:
                above = above or frozenset(suffixes(owner))
                owners.update(
                    upper for upper in above & dnames.keys() if target == owner[: -len(upper)] + dnames[upper]
                )
            path.append(target)
            above = None
            owners.add(target)
        elif place.rrtype == _DNAME and not at_end and not positive:
            above = above or frozenset(suffixes(path[-1]))
            if owner not in above:
                continue
            dnames[owner] = decompress(wire, _DNAME, place.fields + 10, place.end, names).lower()
        elif place.rrtype != _RRSIG:
            continue
        candidates.append((owner, place))
    return [place for owner, place in candidates if owner in owners], path, positive


def _proofs(
    wire: bytes, places: Sequence[Place], path: Sequence[bytes], names: NameReader
) -> Sequence[Place]:
    """Give the SOA of a zone that holds the last name, and the signed denials of zones on the path."""
    candidates: list[tuple[bytes, Place]] = []
    owners: set[bytes] = set()  # of a SOA that belongs here, or of a signature that does
    zones = frozenset(suffixes(path[-1]))  # that may hold the last name …
    signers = zones.union(*map(suffixes, path[:-1])) if len(path) > 1 else zones  # … or any on the path
    for place in places:
        if place.rrclass != _IN or (place.rrtype not in _DNSSEC and place.rrtype != _SOA):
            continue
        owner = names.read(place.start)[0].lower()
        if place.rrtype == _SOA:
            if owner not in zones:
                continue
            owners.add(owner)
        elif place.rrtype == _RRSIG:
            signer = _signer(wire, place, names)
            if signer is None or signer not in signers or not is_subdomain(owner, signer):
                continue
            owners.add(owner)
        candidates.append((owner, place))
    kept = [place for owner, place in candidates if owner in owners]
    return places if len(kept) == len(places) else kept


def _signer(wire: bytes, place: Place, names: NameReader) -> bytes | None:
    """Give the signer's name of a RRSIG in lower case, None if the RDATA is not that of a RRSIG."""
    try:
        signer, end = names.read(place.fields + 10 + _SIGNER)
    except FormatError:
        return None
    return signer.lower() if end <= place.end else None


def _is_prefix(answer: Sequence[Place], authority: Sequence[Place], found: Scan) -> bool:
    """Tell whether the records stand at the head of the message, so that a slice can take them."""
    if not authority:
        return answer is found.answer or answer == found.answer[: len(answer)]
    if len(answer) != len(found.answer):
        return False
    return authority is found.authority or authority == found.authority[: len(authority)]


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
    """Give the lowest TTL, at most a day."""
    ttl = MAX_TTL
    for place in answer:
        if place.ttl < ttl:
            ttl = place.ttl
    for place in authority:
        if place.ttl < ttl:
            ttl = place.ttl
    return ttl


def _keep_denial_for(
    wire: bytes, answer: Sequence[Place], authority: Sequence[Place], names: NameReader
) -> int:
    """Give the time a denial may be kept: TTL and MINIMUM of its SOA; without a SOA 0 (RFC 2308 §5)."""
    minima = []
    for place in authority:
        if place.rrtype == _SOA:
            decompress(wire, _SOA, place.fields + 10, place.end, names)  # refuses what is no whole SOA
            minima.append(int.from_bytes(wire[place.end - 4 : place.end]))
    return min(_keep_for(answer, authority), MAX_NEGATIVE_TTL, *minima) if minima else 0


def _level_ttls(
    wire: bytes,
    answer: Sequence[Place],
    authority: Sequence[Place],
    cap: int,
    soa_cap: int,
    names: NameReader,
) -> bytes:
    """Give the message with TTLs capped and equal inside each RRset."""
    places = (*answer, *authority)
    ttls = {place.ttl for place in places}
    if not ttls or (len(ttls) == 1 and min(ttls) <= min(cap, soa_cap)):
        return wire
    lowest: dict[tuple[bytes, int], int] = {}
    keys = []
    for place in places:
        rrset = (names.read(place.start)[0].lower(), place.rrtype)
        keys.append(rrset)
        least = min(place.ttl, soa_cap if place.rrtype == _SOA else cap)
        lowest[rrset] = min(least, lowest.get(rrset, least))
    levelled: bytearray | None = None
    for rrset, place in zip(keys, places, strict=True):
        if place.ttl != lowest[rrset]:
            levelled = levelled or bytearray(wire)
            _TTL.pack_into(levelled, place.fields + 4, lowest[rrset])
    return wire if levelled is None else bytes(levelled)


def _body(wire: bytes, start: int, answer: Sequence[Place], authority: Sequence[Place]) -> Body:
    last = authority[-1] if authority else answer[-1] if answer else None
    end = start if last is None else last.end
    offsets = [place.fields + 4 - start for place in (*answer, *authority)]
    return Body(wire[start:end], len(answer), len(authority), offsets)


def _stripped(
    wire: bytes, start: int, answer: Sequence[Place], authority: Sequence[Place], qtype: int, full: Body
) -> Body:
    """Give the body for a client without DO: no RRSIG, NSEC or NSEC3 but those asked for by type."""
    plain_answer = [place for place in answer if place.rrtype not in _DNSSEC or place.rrtype == qtype]
    plain_authority = [place for place in authority if place.rrtype not in _DNSSEC]
    if len(plain_answer) == len(answer) and len(plain_authority) == len(authority):
        return full
    if not plain_authority and plain_answer == answer[: len(plain_answer)]:
        return _body(wire, start, plain_answer, ())
    if len(plain_answer) == len(answer) and plain_authority == authority[: len(plain_authority)]:
        return _body(wire, start, answer, plain_authority)
    rebuilt, again = _rebuild(wire, scan(wire), plain_answer, plain_authority)
    return _body(rebuilt, again.question_end, again.answer, again.authority)
