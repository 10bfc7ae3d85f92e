"""EDNS(0): the OPT record, its options, padding and Extended DNS Errors.

RFC 6891 (OPT), RFC 7830 and RFC 8467 (padding), RFC 8914 (Extended DNS Errors).
"""

from dataclasses import dataclass

from secdns.dns.wire import HEADER_SIZE
from secdns.errors import FormatError
from secdns.iana import EDNSOption, RRType

SIZE = 1232  # octets we advertise and never exceed over UDP (RFC 9715 §3.1, DNS flag day 2020)
MIN_SIZE = 512  # a smaller advertised size means this (RFC 6891 §6.2.3)
MAX_OPTIONS = 32  # options parsed in one OPT
BLOCK = 128  # queries are padded to a multiple of this many octets (RFC 8467 §4.1)
MAX_TEXT = 128  # octets of EXTRA-TEXT we pass on or write
_CUT = b"..."  # dig shows what is not ASCII as octets
DO = 0x8000

_OPT_OWNER_AND_TYPE = b"\x00" + RRType.OPT.to_bytes(2)


@dataclass(frozen=True, slots=True)
class EDNS:
    """What an OPT record says (RFC 6891 §6.1). ``options`` are (code, octets) in their order."""

    size: int = SIZE
    ext_rcode: int = 0
    version: int = 0
    do: bool = False
    options: tuple[tuple[int, bytes], ...] = ()

    def to_wire(self) -> bytes:
        """Give the OPT record."""
        rdata = options_to_wire(self.options)
        ttl = self.ext_rcode << 24 | self.version << 16 | (DO if self.do else 0)
        return b"".join(
            (_OPT_OWNER_AND_TYPE, self.size.to_bytes(2), ttl.to_bytes(4), len(rdata).to_bytes(2), rdata)
        )

    def option(self, code: int) -> bytes | None:
        """Give the octets of the first option with this code, or None."""
        for have, data in self.options:
            if have == code:
                return data
        return None


def from_record(rrclass: int, ttl: int, rdata: bytes) -> EDNS:
    """Give what an OPT record says, from its CLASS, TTL and RDATA.

    Raises:
        FormatError: an option runs past the RDATA, or there are over 32.
    """
    return EDNS(
        size=rrclass,
        ext_rcode=ttl >> 24,
        version=ttl >> 16 & 0xFF,
        do=bool(ttl & DO),
        options=options_from_wire(rdata) if rdata else (),
    )


def options_to_wire(options: tuple[tuple[int, bytes], ...]) -> bytes:
    """Give the RDATA of an OPT record."""
    return b"".join(code.to_bytes(2) + len(data).to_bytes(2) + data for code, data in options)


def options_from_wire(rdata: bytes) -> tuple[tuple[int, bytes], ...]:
    """Give the options in the RDATA of an OPT record.

    Raises:
        FormatError: an option runs past the RDATA, or there are over 32.
    """
    options: list[tuple[int, bytes]] = []
    at = 0
    while at < len(rdata):
        end = at + 4 + int.from_bytes(rdata[at + 2 : at + 4])
        if at + 4 > len(rdata) or end > len(rdata):
            raise FormatError(f"EDNS option at {at} runs past its record of {len(rdata)} octets")
        if len(options) == MAX_OPTIONS:
            raise FormatError(f"over {MAX_OPTIONS} EDNS options")
        options.append((int.from_bytes(rdata[at : at + 2]), rdata[at + 4 : end]))
        at = end
    return tuple(options)


def padding_for(size: int, block: int = BLOCK) -> bytes:
    """Give the PADDING option that makes a message of ``size`` octets a multiple of ``block``.

    ``size`` counts the message without the option (RFC 8467 §4.1, RFC 7830 §3).
    """
    return EDNSOption.PADDING.to_bytes(2) + (zeros := -(size + 4) % block).to_bytes(2) + bytes(zeros)


def pad(wire: bytes, block: int = BLOCK) -> bytes:
    """Give the query with a PADDING option; its OPT record, without options, must come last."""
    if len(wire) < HEADER_SIZE + 11 or wire[-11:-8] != _OPT_OWNER_AND_TYPE or wire[-2:] != b"\0\0":
        raise FormatError("the message does not end with an empty OPT record")
    option = padding_for(len(wire), block)
    return wire[:-2] + len(option).to_bytes(2) + option


def extended_error(code: int, text: str = "") -> tuple[int, bytes]:
    """Give an Extended DNS Error as an option (RFC 8914 §2); what is beyond 128 octets is cut."""
    octets = text.encode(errors="replace")  # a text may quote octets that were no text
    if len(octets) > MAX_TEXT:
        octets = octets[: MAX_TEXT - len(_CUT)].decode(errors="ignore").encode() + _CUT
    return EDNSOption.EDE, code.to_bytes(2) + octets


def errors_of(edns: EDNS | None) -> tuple[tuple[int, str], ...]:
    """Give every Extended DNS Error as (code, text).

    The text comes from a stranger: control, format and bidirectional characters are dropped
    and at most 128 octets are read (RFC 8914 §6).
    """
    if edns is None:
        return ()
    found = []
    for code, data in edns.options:
        if code == EDNSOption.EDE and len(data) >= 2:
            text = data[2 : 2 + MAX_TEXT].decode(errors="replace")
            found.append((int.from_bytes(data[:2]), "".join(c for c in text if c.isprintable())))
    return tuple(found)
