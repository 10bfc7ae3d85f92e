"""Write DNS stamps as https://dnscrypt.info/stamps-specifications has them, right ones and wrong ones."""

import base64
import struct
from collections.abc import Sequence

PLAIN, DNSCRYPT, DOH, DOT, DOQ, ODOH = range(6)
DNSCRYPT_RELAY, ODOH_RELAY = 0x81, 0x85


def lp(text: str | bytes) -> bytes:
    octets = text.encode() if isinstance(text, str) else text
    return struct.pack("B", len(octets)) + octets


def vlp(*elements: str | bytes) -> bytes:
    """Encode a set; an empty one is written as one empty element."""
    *most, last = map(lp, elements or ("",))
    return b"".join(bytes([one[0] | 0x80]) + one[1:] for one in most) + last


def armoured(octets: bytes) -> str:
    return "sdns://" + base64.urlsafe_b64encode(octets).decode().strip("=")


def stamp_octets(
    protocol: int,
    host: str | bytes = "dns.example",
    *,
    address: str | bytes = "",
    hashes: Sequence[bytes] = (),
    path: str | bytes = "/dns-query",
    bootstrap: Sequence[str] | None = None,
    properties: int = 7,
) -> bytes:
    """Encode a stamp for DoH, DoT or DoQ; the path is for DoH alone."""
    fields = [struct.pack("<BQ", protocol, properties), lp(address), vlp(*hashes), lp(host)]
    if protocol == DOH:
        fields.append(lp(path))
    if bootstrap is not None:
        fields.append(vlp(*bootstrap))
    return b"".join(fields)


def stamp(
    protocol: int,
    host: str | bytes = "dns.example",
    *,
    address: str | bytes = "",
    hashes: Sequence[bytes] = (),
    path: str | bytes = "/dns-query",
) -> str:
    """Give the text of such a stamp."""
    return armoured(stamp_octets(protocol, host, address=address, hashes=hashes, path=path))


def plain_stamp(address: str) -> str:
    """Give the text of a stamp for plain DNS."""
    return armoured(struct.pack("<BQ", PLAIN, 0) + lp(address))
