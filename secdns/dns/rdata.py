"""Know where names stand inside RDATA; every other octet is opaque (RFC 3597).

Only types of RFC 1035 may be written with compressed names (RFC 3597 §4). A receiver must also
decompress the few later types whose senders compress all the same (also there); both lists
are here.
"""

from secdns.dns.wire import NameReader, Writer, skip_plain_name
from secdns.errors import FormatError
from secdns.iana import RRType

# type -> (octets before the first name, number of names, octets after the last; None = any number)
_Layout = tuple[int, int, int | None]
_COMPRESSIBLE: dict[int, _Layout] = {
    RRType.NS: (0, 1, 0),
    RRType.MD: (0, 1, 0),
    RRType.MF: (0, 1, 0),
    RRType.CNAME: (0, 1, 0),
    RRType.SOA: (0, 2, 20),
    RRType.MB: (0, 1, 0),
    RRType.MG: (0, 1, 0),
    RRType.MR: (0, 1, 0),
    RRType.PTR: (0, 1, 0),
    RRType.MINFO: (0, 2, 0),
    RRType.MX: (2, 1, 0),
}
_DECOMPRESSED: dict[int, _Layout] = _COMPRESSIBLE | {
    RRType.RP: (0, 2, 0),
    RRType.AFSDB: (2, 1, 0),
    RRType.RT: (2, 1, 0),
    RRType.SIG: (18, 1, None),
    RRType.PX: (2, 2, 0),
    RRType.NXT: (0, 1, None),
    RRType.SRV: (6, 1, 0),
    RRType.NAPTR: (4, 1, 0),  # and three strings before the name
    RRType.KX: (2, 1, 0),
    RRType.DNAME: (0, 1, 0),
}


def decompress(wire: bytes, rrtype: int, at: int, end: int, names: NameReader | None = None) -> bytes:
    """Give the RDATA between ``at`` and ``end`` with its names uncompressed.

    ``names`` is the message's own reader, where several records are read.

    Raises:
        FormatError: a name crosses the end of the RDATA or stops short of it (RFC 9267 §5).
    """
    layout = _DECOMPRESSED.get(rrtype)
    if layout is None:
        return wire[at:end]
    names = names or NameReader(wire)
    before, count, after = layout
    if rrtype == RRType.NAPTR:
        before = _naptr_strings_end(wire, at, end) - at
    parts = [wire[at : at + before]]
    at += before
    for _ in range(count):
        if at >= end:
            raise FormatError(f"RDATA of type {rrtype} ends before its name")
        name, at = names.read(at)
        parts.append(name)
    rest = end - at
    if rest < 0 or (after is not None and rest != after):
        raise FormatError(f"RDATA of type {rrtype} ends {rest} octets after its names, {after} were wanted")
    parts.append(wire[at:end])
    return b"".join(parts)


def _naptr_strings_end(wire: bytes, at: int, end: int) -> int:
    """Give the offset after ORDER, PREFERENCE and the three strings of a NAPTR (RFC 3403 §4.1)."""
    at += 4
    for _ in range(3):
        if at >= end:
            break
        at += 1 + wire[at]
    return at


def write(writer: Writer, rrtype: int, rdata: bytes) -> None:
    """Append uncompressed RDATA, compressing the names of RFC 1035 types.

    Raises:
        FormatError: the RDATA is too short for its names, or they are compressed.
    """
    layout = _COMPRESSIBLE.get(rrtype)
    if layout is None or not writer.may_compress(rdata):  # compression is never a duty
        writer.octets += rdata
        return
    at, count, _ = layout
    writer.octets += rdata[:at]
    for _ in range(count):
        end = skip_plain_name(rdata, at)
        writer.name(rdata[at:end])
        at = end
    writer.octets += rdata[at:]


def soa_minimum(rdata: bytes) -> int:
    """Give the MINIMUM field of uncompressed SOA RDATA, in seconds (RFC 2308 §4).

    Raises:
        FormatError: the RDATA is shorter than a SOA.
    """
    at = skip_plain_name(rdata, skip_plain_name(rdata, 0))
    if len(rdata) != at + 20:
        raise FormatError(f"SOA RDATA of {len(rdata)} octets, {at + 20} were wanted")
    return int.from_bytes(rdata[at + 16 : at + 20])
