"""Read NSEC3 records and see what they show of a name (RFC 5155 §3, §8)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from typing import Literal

from secdns.dns.message import Record
from secdns.dns.name import parent, suffixes, to_text
from secdns.dnssec.existence import DenialRecord, Enclosure, TypeBitmap
from secdns.dnssec.limits import Budget
from secdns.errors import FormatError
from secdns.iana import RRType

_SHA1 = 1  # the only hash algorithm there is (RFC 5155 §11)
_HASH_SIZE = 20  # octets
_LABEL_SIZE = 32  # characters of base32hex, five bits each
_LIKELY_DEPTH = 40  # labels below the apex; names in ip6.arpa have 32
_OPT_OUT = 1  # the only flag there is (RFC 5155 §3.1.2.1)


@dataclass(frozen=True, slots=True)
class Nsec3(DenialRecord):
    """One NSEC3: no name of its zone has a hash between ``hash`` and ``next_hash``.

    The hashes form a ring, so ``next_hash`` of the last one is the first one.
    """

    hash: bytes
    next_hash: bytes
    iterations: int
    salt: bytes


def read_nsec3(record: Record, zone: bytes) -> Nsec3 | None:
    """Give the NSEC3 in ``record``, which a key of ``zone`` has signed.

    None means that it is to be ignored: its hash algorithm or one of its flags is unknown
    (RFC 5155 §8.1, §8.2).

    Raises:
        FormatError: broken RDATA; an owner that is not one hash directly below the zone.
    """
    owner = record.name.lower()
    rdata = record.rdata
    if len(rdata) < 5:
        raise FormatError(f"NSEC3 of {to_text(owner)} has {len(rdata)} octets, 7 or more were wanted")
    algorithm, flags = rdata[0], rdata[1]
    if algorithm != _SHA1 or flags & ~_OPT_OUT:
        return None
    salt_end = 5 + rdata[4]
    salt = rdata[5:salt_end]
    next_hash = rdata[salt_end + 1 : salt_end + 1 + _HASH_SIZE]
    if rdata[salt_end : salt_end + 1] != bytes([_HASH_SIZE]) or len(next_hash) != _HASH_SIZE:
        raise FormatError(f"NSEC3 of {to_text(owner)} has no next hash of {_HASH_SIZE} octets")
    own_hash = _hash_in(owner, zone.lower())
    types = TypeBitmap.read(rdata[salt_end + 1 + _HASH_SIZE :])
    iterations = int.from_bytes(rdata[2:4])
    return Nsec3(owner, types, bool(flags & _OPT_OUT), own_hash, next_hash, iterations, salt)


def _hash_in(owner: bytes, zone: bytes) -> bytes:
    """Give the hash that the owner of an NSEC3 is made of (RFC 5155 §3, RFC 4648 §7)."""
    label = owner[1 : 1 + owner[0]]
    if len(label) == _LABEL_SIZE and parent(owner) == zone and label.isalnum():
        with suppress(ValueError):  # a letter after v
            return int(label, 32).to_bytes(_HASH_SIZE)  # has the digits of base32hex
    raise FormatError(f"NSEC3 of {to_text(owner)} is not a hash directly below {to_text(zone)}")


def nsec3_hash(name: bytes, salt: bytes, iterations: int) -> bytes:
    """Hash a name once and ``iterations`` times more (RFC 5155 §5)."""
    digest = sha1(name.lower() + salt, usedforsecurity=False).digest()
    for _ in range(iterations):
        digest = sha1(digest + salt, usedforsecurity=False).digest()
    return digest


class Nsec3Set:
    """Some NSEC3 records of one zone and one set of parameters, asked what they show (``Evidence``).

    Each name is hashed once, and paid for from the budget of the client query: every method
    raises OverBudget when that is spent.
    """

    __slots__ = ("_budget", "_hashes", "_iterations", "_records", "_salt", "_zone")

    def __init__(self, zone: bytes, records: Sequence[Nsec3], budget: Budget) -> None:
        self._zone = zone
        self._records = records
        self._budget = budget
        self._iterations = records[0].iterations
        self._salt = records[0].salt
        self._hashes: dict[bytes, bytes] = {}

    @property
    def kind(self) -> Literal["NSEC3"]:
        """The type of the records."""
        return "NSEC3"

    def matching(self, name: bytes) -> Nsec3 | None:
        """Give the NSEC3 of ``name`` itself.

        One that lists SOA below the apex or none at the apex is from the other side of a cut.
        """
        wanted = self._hash(name)
        for nsec3 in self._records:
            if nsec3.hash == wanted and (RRType.SOA in nsec3.types) == (name == self._zone):
                return nsec3
        return None

    def showing_empty(self, name: bytes) -> None:
        """Give nothing: an empty non-terminal has an NSEC3 of its own (RFC 5155 §7.1)."""

    def covering(self, name: bytes) -> Nsec3 | None:
        """Give the NSEC3 between whose hashes that of ``name`` falls."""
        wanted = self._hash(name)
        for nsec3 in self._records:
            start, end = nsec3.hash, nsec3.next_hash
            if start < wanted < end or (end <= start and (wanted > start or wanted < end)):
                return nsec3
        return None

    def enclose(self, name: bytes) -> Enclosure | None:
        """Show that ``name`` does not exist, and what encloses it (RFC 5155 §8.3).

        A hash tells nothing about the next one, so the ancestors must be tried one by one. The
        apex comes first, because names that do not exist mostly end not far below it, however
        many labels they have.
        """
        for encloser, next_closer in self._steps(name):
            match = self.matching(encloser)
            cover = self.covering(next_closer) if match is not None else None
            if match is not None and cover is not None:
                if match.is_silent_below:
                    return None
                return Enclosure(encloser, (match, cover), cover.opt_out)
        return None

    def _steps(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """Give each ancestor inside the zone with the name one label longer, in the order to try them.

        From the apex down while that is likely, then from the name up, so that the budget reaches
        both ends of a name of 127 labels.
        """
        inside = [suffix for suffix in suffixes(name) if len(suffix) >= len(self._zone)]
        steps = list(zip(inside[1:], inside[:-1], strict=True))
        from_apex = steps[: -_LIKELY_DEPTH - 1 : -1]
        return from_apex + steps[: len(steps) - len(from_apex)]

    def _hash(self, name: bytes) -> bytes:
        hashed = self._hashes.get(name)
        if hashed is None:
            self._budget.spend_hash()
            hashed = self._hashes[name] = nsec3_hash(name, self._salt, self._iterations)
        return hashed
