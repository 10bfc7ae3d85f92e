"""Say what NSEC and NSEC3 have in common: the types at a name, and what records together show.

A set of either kind answers the same few questions about a name (``Evidence``); ``denial`` puts
the answers together and need not know which kind it has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from secdns.errors import FormatError
from secdns.iana import RRType

_MAX_WINDOW = 32  # octets; 256 types, one bit each


@dataclass(frozen=True, slots=True)
class TypeBitmap:
    """The types at one owner name, in the octets in which they came (RFC 4034 §4.1.2).

    A look-up walks at most 256 windows. As a set of numbers, one record of 8 KB would be 65,536
    objects.
    """

    octets: bytes

    @classmethod
    def read(cls, octets: bytes) -> "TypeBitmap":
        """Check the window blocks in ``octets`` and give the bit map.

        Zero octets at the end of a window must not be sent, but mean the same as none, so they are
        let through.

        Raises:
            FormatError: windows out of order or twice, a length outside 1 to 32, a cut-off window.
        """
        last = -1
        at = 0
        while at < len(octets):
            window, size = octets[at], octets[at + 1] if at + 1 < len(octets) else 0
            if window <= last:
                raise FormatError(f"type window {window} comes after window {last}")
            if not 1 <= size <= _MAX_WINDOW:
                raise FormatError(f"type window {window} of {size} octets, 1 to {_MAX_WINDOW} were wanted")
            last = window
            at += 2 + size
        if at != len(octets):
            raise FormatError(f"type window {last} ends {at - len(octets)} octets after its record")
        return cls(octets)

    def __contains__(self, rrtype: int) -> bool:
        wanted, bit = divmod(rrtype, 256)
        for window, start, end in self._windows():
            if window >= wanted:
                at = start + bit // 8
                return window == wanted and at < end and bool(self.octets[at] & 0x80 >> bit % 8)
        return False

    def __iter__(self) -> Iterator[int]:
        """Yield the types in ascending order."""
        for window, start, end in self._windows():
            for at in range(start, end):
                octet = self.octets[at]
                first = window * 256 + (at - start) * 8
                yield from (first + bit for bit in range(8) if octet & 0x80 >> bit)

    def _windows(self) -> Iterator[tuple[int, int, int]]:
        """Yield each window's number and where its bits begin and end."""
        at = 0
        while at < len(self.octets):
            end = at + 2 + self.octets[at + 1]
            yield self.octets[at], at + 2, end
            at = end


@dataclass(frozen=True, slots=True)
class DenialRecord:
    """One NSEC or NSEC3: its owner, in lower case, and the types at the name it stands for.

    ``opt_out`` says that unsigned delegations may stand between this record and the next one.
    """

    owner: bytes
    types: TypeBitmap
    opt_out: bool

    @property
    def is_delegation(self) -> bool:
        """Whether this is the parent's side of a zone cut (RFC 6840 §4.1)."""
        return RRType.NS in self.types and RRType.SOA not in self.types

    @property
    def is_silent_below(self) -> bool:
        """Whether names below the one it stands for are not this zone's to deny (RFC 6840 §4.1).

        They belong to a child zone or are redirected by a DNAME, or the name itself does not
        exist and the record only says so (RFC 9824).
        """
        return self.is_delegation or RRType.DNAME in self.types or RRType.NXNAME in self.types


@dataclass(frozen=True, slots=True)
class Enclosure:
    """How far towards a name that does not exist a zone reaches.

    ``encloser`` is its closest encloser; ``opt_out`` says that unsigned delegations may be
    missing from that picture, so that it is only the closest one that can be proven.
    """

    encloser: bytes
    records: tuple[DenialRecord, ...]
    opt_out: bool


class Evidence(Protocol):
    """What records of one kind, from one zone, show of a name. Names are in lower case, in the zone."""

    @property
    def kind(self) -> Literal["NSEC", "NSEC3"]:
        """The type of the records."""

    def matching(self, name: bytes) -> DenialRecord | None:
        """Give the record that lists the types at ``name``; None: there is none."""

    def showing_empty(self, name: bytes) -> DenialRecord | None:
        """Give the record that shows an empty non-terminal without matching it; None: there is none."""

    def covering(self, name: bytes) -> DenialRecord | None:
        """Give the record that shows that ``name`` does not exist; None: there is none.

        For a name whose parent is known to be this zone's. An opt-out record leaves open that it
        is an unsigned delegation.
        """

    def enclose(self, name: bytes) -> Enclosure | None:
        """Show that ``name`` does not exist and which ancestor is the last that does; None: cannot."""
