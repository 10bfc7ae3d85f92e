"""Read records in presentation form (RFC 1035 §5.1): the small part of it that tests want to write.

One record a line; no parentheses, no $INCLUDE. Types that are not listed here are written in the
generic form of RFC 3597 §5, ``\\# LENGTH HEX``, which every type understands.
"""

import base64
import ipaddress
import re
from collections.abc import Callable, Sequence

from secdns.dns import name
from secdns.errors import FormatError
from secdns.iana import RRType

Field = Callable[[str, bytes], bytes]  # (text, origin) -> octets

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|(?:\\.|[^\s;"\\])+')
_ESCAPE = re.compile(rb"\\(?:(\d{3})|(.))", re.DOTALL)
_STRING_SIZE = 255  # octets of one character-string (RFC 1035 §3.3)


def tokens(line: str) -> list[str]:
    """Split a line into fields; quotes and escapes are kept, a comment is dropped."""
    found: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line) or line[at] == ";":
            return found
        token = _TOKEN.match(line, at)
        if token is None:
            raise FormatError(f"cannot read {line[at:]!r}: a quote or an escape is not finished")
        found.append(token.group())
        at = token.end()


def rrtype(text: str) -> int:
    """Give the number of a type's mnemonic, or of TYPE123 (RFC 3597 §5).

    Raises:
        FormatError: no such type.
    """
    upper = text.upper()
    if upper in RRType.__members__:
        return RRType[upper]
    if re.fullmatch(r"TYPE\d{1,5}", upper) and int(upper[4:]) < 2**16:
        return int(upper[4:])
    raise FormatError(f"no record type {text!r}; a type without a mnemonic is written TYPE123")


def owner(text: str, origin: bytes) -> bytes:
    """Give a name in wire form; one without a final dot is relative to ``origin``, ``@`` is ``origin``."""
    if text == "@":
        return origin
    if text.endswith(".") and not text.endswith("\\."):
        return name.from_text(text)
    return name.from_text(text)[:-1] + origin


def rdata(rrtype: int, fields: Sequence[str], origin: bytes) -> bytes:
    """Give the rdata of one record from its fields.

    Raises:
        FormatError: the fields do not fit the type.
    """
    if fields and fields[0] == r"\#":
        return _generic(fields)
    if rrtype == RRType.TXT and fields:
        return b"".join(_strings(field) for field in fields)
    kinds = _FIELDS.get(rrtype)
    if kinds is None:
        raise FormatError(rf"type {rrtype} has no presentation form here; write \# LENGTH HEX, not {fields}")
    if kinds[-1] in (_hex, _base64):  # spaces inside are for the eye (RFC 4034 §2.2, §5.3)
        fields = [*fields[: len(kinds) - 1], "".join(fields[len(kinds) - 1 :])]
    if len(fields) != len(kinds):
        raise FormatError(f"type {rrtype} has {len(kinds)} fields, not {len(fields)}: {list(fields)}")
    try:
        return b"".join(kind(field, origin) for kind, field in zip(kinds, fields, strict=True))
    except (ValueError, OverflowError) as error:
        raise FormatError(f"type {rrtype} cannot be {' '.join(fields)!r}: {error}") from error


def _generic(fields: Sequence[str]) -> bytes:
    """Read ``\\# LENGTH HEX`` (RFC 3597 §5)."""
    try:
        size, octets = int(fields[1]), bytes.fromhex("".join(fields[2:]))
    except (IndexError, ValueError) as error:
        raise FormatError(rf"generic rdata is \# LENGTH HEX, not {' '.join(fields)!r}") from error
    if len(octets) != size:
        raise FormatError(f"generic rdata says {size} octets and has {len(octets)}")
    return octets


def _unescape(text: str) -> bytes:
    """Take the quotes off and resolve ``\\DDD`` and ``\\X`` (RFC 1035 §5.1)."""
    octets = text.encode()
    if text.startswith('"'):
        octets = octets[1:-1]
    return _ESCAPE.sub(lambda m: bytes([int(m[1])]) if m[1] else m[2], octets)


def _strings(text: str) -> bytes:
    """Give character-strings; a text too long for one is cut into several."""
    octets = _unescape(text)
    pieces = [octets[at : at + _STRING_SIZE] for at in range(0, len(octets), _STRING_SIZE)] or [b""]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces)


def _number(size: int) -> Field:
    return lambda text, origin: int(text).to_bytes(size, "big")


def _ipv4(text: str, origin: bytes) -> bytes:
    return ipaddress.IPv4Address(text).packed


def _ipv6(text: str, origin: bytes) -> bytes:
    return ipaddress.IPv6Address(text).packed


def _hex(text: str, origin: bytes) -> bytes:
    return bytes.fromhex(text)


def _base64(text: str, origin: bytes) -> bytes:
    return base64.b64decode(text, validate=True)


_FIELDS: dict[int, tuple[Field, ...]] = {
    RRType.A: (_ipv4,),
    RRType.AAAA: (_ipv6,),
    RRType.NS: (owner,),
    RRType.CNAME: (owner,),
    RRType.DNAME: (owner,),
    RRType.PTR: (owner,),
    RRType.SOA: (owner, owner, *[_number(4)] * 5),
    RRType.MX: (_number(2), owner),
    RRType.SRV: (_number(2), _number(2), _number(2), owner),
    RRType.DS: (_number(2), _number(1), _number(1), _hex),
    RRType.DNSKEY: (_number(2), _number(1), _number(1), _base64),
}
