"""Read NSEC records and see what they show of a name (RFC 4034 §4, RFC 4035 §5.4)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from secdns.dns.message import Record
from secdns.dns.name import canonical_key, is_subdomain, suffixes, to_text
from secdns.dns.wire import skip_plain_name
from secdns.dnssec.existence import DenialRecord, Enclosure, TypeBitmap
from secdns.errors import FormatError
from secdns.iana import RRType


@dataclass(frozen=True, slots=True)
class Nsec(DenialRecord):
    """One NSEC: no name of its zone stands between ``owner`` and ``next`` in canonical order.

    The last one of a zone has the apex for its ``next``, which is in lower case.
    """

    next: bytes


def read_nsec(record: Record, zone: bytes) -> Nsec:
    """Give the NSEC in ``record``, which a key of ``zone`` has signed.

    Raises:
        FormatError: broken RDATA; an owner or a next name outside the zone, a next name that
            does not come later and is not the apex (CVE-2026-13321); SOA missing at the apex, as on
            the parent's side of the cut, or listed below it, as in a child's own NSEC.
    """
    zone = zone.lower()
    owner = record.name.lower()
    end = skip_plain_name(record.rdata, 0)
    following = record.rdata[:end].lower()
    types = TypeBitmap.read(record.rdata[end:])
    for name in (owner, following):
        if not is_subdomain(name, zone):
            raise FormatError(f"NSEC of {to_text(owner)} names {to_text(name)}, outside {to_text(zone)}")
    if following != zone and canonical_key(following) <= canonical_key(owner):
        raise FormatError(f"NSEC of {to_text(owner)} leads back to {to_text(following)}")
    if (RRType.SOA in types) != (owner == zone):
        raise FormatError(f"NSEC of {to_text(owner)} is not from the zone {to_text(zone)}")
    return Nsec(owner, types, False, following)


class NsecSet:
    """Some NSEC records of one zone, asked what they show (``Evidence``)."""

    __slots__ = ("_spans", "_zone")

    def __init__(self, zone: bytes, records: Iterable[Nsec]) -> None:
        self._zone = zone
        self._spans = [(canonical_key(nsec.owner), canonical_key(nsec.next), nsec) for nsec in records]

    @property
    def kind(self) -> Literal["NSEC"]:
        """The type of the records."""
        return "NSEC"

    def matching(self, name: bytes) -> Nsec | None:
        """Give the NSEC of ``name`` itself."""
        return next((nsec for _, _, nsec in self._spans if nsec.owner == name), None)

    def showing_empty(self, name: bytes) -> Nsec | None:
        """Give the NSEC around ``name`` whose next name is below it: so it exists, and has nothing."""
        return next((nsec for nsec in self._around(name) if is_subdomain(nsec.next, name)), None)

    def covering(self, name: bytes) -> Nsec | None:
        """Give the NSEC that shows that neither ``name`` nor anything below it exists."""
        return next((nsec for nsec in self._around(name) if not is_subdomain(nsec.next, name)), None)

    def enclose(self, name: bytes) -> Enclosure | None:
        """Show that ``name`` does not exist, and what encloses it.

        The two ends of an NSEC exist, and all their ancestors with them; nothing between them
        does. So the closest encloser is what the name shares with the nearer end.
        """
        nsec = self.covering(name)
        if nsec is None:
            return None
        key = canonical_key(name)
        depth = max(_shared(key, canonical_key(end)) for end in (nsec.owner, nsec.next))
        encloser = list(suffixes(name))[len(key) - depth]
        return Enclosure(encloser, (nsec,), False)

    def _around(self, name: bytes) -> Iterator[Nsec]:
        """Yield each NSEC between whose two names ``name`` stands and that may speak of it at all."""
        key = canonical_key(name)
        for owner, following, nsec in self._spans:
            if owner < key and (key < following or nsec.next == self._zone):
                is_below_owner = key[: len(owner)] == owner
                if not (is_below_owner and nsec.is_silent_below):
                    yield nsec


def _shared(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> int:
    """Count the labels that two canonical keys share from the root down."""
    count = 0
    for label, other_label in zip(one, other, strict=False):
        if label != other_label:
            break
        count += 1
    return count
