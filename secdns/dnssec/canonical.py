"""Give records the one form that is signed: canonical names, RDATA and order (RFC 4034 §6)."""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from secdns.dns.wire import skip_plain_name
from secdns.iana import RRType

_FIXED: Final = Struct("!HHIH")

# RFC 4034 §6.2 names the types whose names are lower-cased; RFC 6840 §5.1 takes NSEC off the list
# and leaves RRSIG on it. HINFO is on it too and holds no name.
# type -> octets before its names, octets after them; all between is names, and the case of names
# folds without looking at their structure (see secdns.dns.name).
_NAMES: Final[dict[int, tuple[int, int]]] = {
    RRType.NS: (0, 0),
    RRType.MD: (0, 0),
    RRType.MF: (0, 0),
    RRType.CNAME: (0, 0),
    RRType.SOA: (0, 20),
    RRType.MB: (0, 0),
    RRType.MG: (0, 0),
    RRType.MR: (0, 0),
    RRType.PTR: (0, 0),
    RRType.MINFO: (0, 0),
    RRType.MX: (2, 0),
    RRType.RP: (0, 0),
    RRType.AFSDB: (2, 0),
    RRType.RT: (2, 0),
    RRType.PX: (2, 0),
    RRType.SRV: (6, 0),
    RRType.KX: (2, 0),
    RRType.DNAME: (0, 0),
}
# The same where one name stands among octets of any length.
_ONE_NAME: Final = frozenset({RRType.SIG, RRType.NXT, RRType.NAPTR, RRType.A6, RRType.RRSIG})


def canonical_rdata(rrtype: int, rdata: bytes) -> bytes:
    """Give uncompressed RDATA with its names in lower case where the type asks for it.

    Raises:
        FormatError: the RDATA lacks the name of its type.
    """
    place = _NAMES.get(rrtype)
    if place is not None:
        before, after = place
        end = max(len(rdata) - after, before)
        return rdata[:before] + rdata[before:end].lower() + rdata[end:]
    if rrtype not in _ONE_NAME:
        return rdata
    at = _name_starts(rrtype, rdata)
    if at == len(rdata) and rrtype == RRType.A6:
        return rdata
    end = skip_plain_name(rdata, at)
    return rdata[:at] + rdata[at:end].lower() + rdata[end:]


def _name_starts(rrtype: int, rdata: bytes) -> int:
    """Give the offset of the one name in the RDATA, its end if there may be none."""
    if rrtype == RRType.NXT:
        return 0
    if rrtype == RRType.NAPTR:  # order, preference, three strings (RFC 3403 §4.1)
        at = 4
        for _ in range(3):
            at += 1 + int.from_bytes(rdata[at : at + 1])
        return at
    if (
        rrtype == RRType.A6
    ):  # prefix length, rest of the address, no name if there is no prefix (RFC 2874 §3.1)
        prefix = int.from_bytes(rdata[:1])
        return 1 + (135 - prefix) // 8 if prefix else len(rdata)
    return 18  # SIG and RRSIG


def label_count(owner: bytes) -> int:
    """Give the most that Labels of an RRSIG may be (RFC 4034 §3.1.3).

    The root and a leading ``*`` do not count.
    """
    at = 0
    count = 0
    while size := owner[at]:
        at += 1 + size
        count += 1
    return count - owner.startswith(b"\1*")


def wildcard(owner: bytes, labels: int) -> bytes:
    """Give ``*.`` and the rightmost ``labels`` labels of a name that has more."""
    starts = [0]
    while size := owner[starts[-1]]:
        starts.append(starts[-1] + 1 + size)
    return b"\1*" + owner[starts[-1 - labels] :]


def signed_data(
    head: bytes,
    owner: bytes,
    rrtype: int,
    rrclass: int,
    original_ttl: int,
    rdatas: Sequence[bytes],
    labels: int,
) -> bytes:
    """Give the octets that a signature signs (RFC 4034 §3.1.8.1, RFC 4035 §5.3.2).

    ``head`` is the RDATA of the RRSIG before the signature, the signer in lower case. ``owner``
    is in lower case and has at least ``labels`` labels. The order and the repetition of
    ``rdatas`` do not matter (RFC 4034 §6.3).

    Raises:
        FormatError: RDATA lacks the name of its type.
    """
    if labels < label_count(owner):
        owner = wildcard(owner, labels)
    if len(rdatas) == 1:
        rdata = canonical_rdata(rrtype, rdatas[0])
        return head + owner + _FIXED.pack(rrtype, rrclass, original_ttl, len(rdata)) + rdata
    parts = [head]
    for rdata in sorted({canonical_rdata(rrtype, rdata) for rdata in rdatas}):
        parts += owner, _FIXED.pack(rrtype, rrclass, original_ttl, len(rdata)), rdata
    return b"".join(parts)
