"""Where trust begins, and where it is waived: DS records, trust anchors, negative trust anchors."""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from secdns.dns.message import Record
from secdns.dns.name import ROOT, from_text, suffixes, to_text
from secdns.dnssec.algorithms import (
    DEFAULT,
    Policy,
    digest,
    digest_size,
    is_supported,
    is_supported_digest,
)
from secdns.dnssec.rrsig import PROTOCOL, Key, read_key
from secdns.errors import FormatError
from secdns.iana import DigestType, DNSSECAlgorithm, RRClass, RRType

MAX_WAIVER_S: Final = 7 * 86400  # a negative trust anchor is for the days of a repair (RFC 7646)

_DS: Final = Struct("!HBB")
_DNSKEY: Final = Struct("!HBB")


@dataclass(frozen=True, slots=True)
class DS:
    """A delegation signer: the digest of a key of the zone (RFC 4034 §5)."""

    zone: bytes  # lower case
    key_tag: int
    algorithm: int
    digest_type: int
    digest: bytes


Anchor = DS | Key


def _root(key_tag: int, sha256: str) -> DS:
    return DS(ROOT, key_tag, DNSSECAlgorithm.RSASHA256, DigestType.SHA256, bytes.fromhex(sha256))


# The root's KSK-2017, which is to be revoked on 2027-01-11, and KSK-2024, which signs since
# 2026-10-11. Published at https://data.iana.org/root-anchors/root-anchors.xml (RFC 9718).
BUILT_IN: Final[tuple[DS, ...]] = (
    _root(20326, "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"),
    _root(38696, "683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"),
)

# Where machines ask for the time: Debian, Fedora and most others; Ubuntu, Apple, Microsoft, Google,
# Cloudflare and NIST. Not checked while the clock is known to be wrong: without them it would stay so.
TIME_SERVERS: Final = tuple(
    from_text(name)
    for name in (
        "pool.ntp.org",
        "ntp.ubuntu.com",
        "time.apple.com",
        "time.windows.com",
        "time.google.com",
        "time.cloudflare.com",
        "time.nist.gov",
    )
)


def read_ds(record: Record) -> DS:
    """Give the DS in a record.

    Raises:
        FormatError: the digest is missing, or of another length than its type has.
    """
    rdata = record.rdata
    if len(rdata) < 5:
        raise FormatError(f"DS RDATA of {len(rdata)} octets, at least 5 were wanted")
    key_tag, algorithm, digest_type = _DS.unpack_from(rdata)
    size = digest_size(digest_type)
    if size is not None and len(rdata) != 4 + size:
        raise FormatError(f"digest of type {digest_type} with {len(rdata) - 4} octets, {size} were wanted")
    return DS(record.name.lower(), key_tag, algorithm, digest_type, rdata[4:])


def matches(anchor: Anchor, key: Key) -> bool:
    """Tell whether a DS or a trusted key means ``key``, and may (RFC 4034 §5.2)."""
    if key.zone != anchor.zone or not key.is_zone_key or key.protocol != PROTOCOL:
        return False
    if isinstance(anchor, Key):
        return key.rdata == anchor.rdata
    if key.tag != anchor.key_tag or key.algorithm != anchor.algorithm:
        return False
    return digest(anchor.digest_type, key.zone, key.rdata) == anchor.digest


def usable_ds(records: Iterable[DS], policy: Policy = DEFAULT) -> tuple[DS, ...]:
    """Give the DS records that can be followed; none at all makes the zone insecure (RFC 4035 §5.2).

    SHA-1 is left out where a better digest stands beside it (RFC 4509 §3).
    """
    usable = [
        ds
        for ds in records
        if is_supported(ds.algorithm, policy) and is_supported_digest(ds.digest_type, policy)
    ]
    better = tuple(ds for ds in usable if ds.digest_type != DigestType.SHA1)
    return better or tuple(usable)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Trust anchors and negative trust anchors, by zone in lower case.

    A zone may stand in ``trusted`` with no anchor left: all of them were revoked. Its names are
    then bogus, not insecure. ``waived`` says until when, in seconds of the monotonic clock; None is
    for good.
    """

    trusted: Mapping[bytes, tuple[Anchor, ...]]
    waived: Mapping[bytes, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, anchors: Iterable[Anchor], waived: Iterable[bytes] = ()) -> "Anchors":
        """Give anchors by their zones, and names that are waived for good."""
        trusted: dict[bytes, tuple[Anchor, ...]] = {}
        for anchor in anchors:
            trusted[anchor.zone] = (*trusted.get(anchor.zone, ()), anchor)
        return cls(trusted, {name.lower(): None for name in waived})

    def closest(self, name: bytes) -> bytes | None:
        """Give the deepest zone with an anchor that ``name`` is in; None means nothing vouches for it."""
        if len(self.trusted) == 1 and ROOT in self.trusted:  # nearly always
            return ROOT
        return next((zone for zone in suffixes(name.lower()) if zone in self.trusted), None)

    def covers(self, name: bytes, now: float) -> bytes | None:
        """Give the negative trust anchor that ``name`` is at or below, None if there is none (RFC 7646).

        A trust anchor below the negative one takes its zone back.
        """
        if not self.waived:  # nearly always
            return None
        for zone in suffixes(name.lower()):
            if zone in self.waived:
                until = self.waived[zone]
                if until is None or now < until:
                    return zone
            if zone in self.trusted:
                return None
        return None

    def trust(self, zone: bytes, anchors: Sequence[Anchor]) -> "Anchors":
        """Give the same with other anchors for a zone, perhaps none."""
        return Anchors({**self.trusted, zone: tuple(anchors)}, self.waived)

    def without_time(self) -> "Anchors":
        """Give the same with the time servers waived: for a clock that cannot be right (fault F14)."""
        return Anchors(self.trusted, {**self.waived, **dict.fromkeys(TIME_SERVERS)})

    def waive(self, name: bytes, now: float, for_s: float) -> "Anchors":
        """Give the same with a name waived for so many seconds, at most seven days."""
        live = {zone: until for zone, until in self.waived.items() if until is None or now < until}
        return Anchors(self.trusted, {**live, name.lower(): now + min(for_s, MAX_WAIVER_S)})


def parse(text: str, policy: Policy = DEFAULT) -> Anchor:
    """Read a DS or DNSKEY in presentation form (RFC 4034 §2.2, §5.3), TTL and class optional.

    Raises:
        FormatError: it is none, is not of class IN, or is a key that may not sign.
    """
    try:
        return _parse(text, policy)
    except FormatError as error:
        raise FormatError(f"trust anchor {text.strip()[:60]!r}: {error}") from None


def parse_all(texts: Iterable[str], policy: Policy = DEFAULT) -> tuple[Anchor, ...]:
    """Read several, as ``parse`` does.

    Raises:
        FormatError: one of them cannot be used.
    """
    return tuple(parse(text, policy) for text in texts)


def shown(anchor: Anchor) -> str:
    """Give an anchor in the presentation form that ``parse`` reads."""
    zone = to_text(anchor.zone)
    if isinstance(anchor, DS):
        numbers = f"{anchor.key_tag} {anchor.algorithm} {anchor.digest_type}"
        return f"{zone} IN DS {numbers} {anchor.digest.hex().upper()}"
    numbers = f"{anchor.flags} {anchor.protocol} {anchor.algorithm}"
    return f"{zone} IN DNSKEY {numbers} {b64encode(anchor.public_key).decode()}"


def _parse(text: str, policy: Policy) -> Anchor:
    plain = " ".join(line.partition(";")[0] for line in text.splitlines())
    owner, *fields = plain.replace("(", " ").replace(")", " ").split() or [""]
    while fields and (fields[0].isdecimal() or fields[0].upper() in RRClass.__members__):
        if not fields[0].isdecimal() and fields[0].upper() != "IN":
            raise FormatError(f"class {fields[0]}, IN was wanted")
        del fields[0]
    kind, *numbers = fields[:4] or [""]
    rest = "".join(fields[4:])
    if kind.upper() not in {"DS", "DNSKEY"} or not rest:
        raise FormatError("this is no DS or DNSKEY record with all its fields")
    zone = from_text(owner)
    if kind.upper() == "DS":
        key_tag, digest_type = _number(numbers[0], 65535), _number(numbers[2], 255)
        rdata = _DS.pack(key_tag, _algorithm(numbers[1]), digest_type) + _decode(rest, 16)
        return read_ds(Record(zone, RRType.DS, RRClass.IN, 0, rdata))
    flags, protocol = _number(numbers[0], 65535), _number(numbers[1], 255)
    rdata = _DNSKEY.pack(flags, protocol, _algorithm(numbers[2])) + _decode(rest, 64)
    key = read_key(Record(zone, RRType.DNSKEY, RRClass.IN, 0, rdata), policy)
    if not key.is_zone_key or key.is_revoked or key.protocol != PROTOCOL:
        raise FormatError(
            f"flags {flags} and protocol {protocol}: this key may not sign, 257 and 3 are usual"
        )
    return key


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= most):
        raise FormatError(f"{text[:20]!r} where a number up to {most} was wanted")
    return int(text)


def _algorithm(text: str) -> int:
    """Read a number or a mnemonic (RFC 4034 Appendix A.1)."""
    known = DNSSECAlgorithm.__members__.get(text.upper().replace("-", "_"))
    return _number(text, 255) if known is None else known


def _decode(text: str, base: int) -> bytes:
    try:
        return bytes.fromhex(text) if base == 16 else b64decode(text, validate=True)
    except ValueError:
        raise FormatError(f"{text[:20]!r} is not in base {base}") from None
