"""Make keys and signatures for zones that live in memory (RFC 4034).

Keys, key tags, DS digests and the canonical form are written here on their own: secdns's validator does
not share them, so that a test compares two opinions.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from secdns.dns import name as names
from secdns.dns.message import Record
from secdns.iana import DNSSECAlgorithm, RRType

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

ZONE = 0x0100  # flags of a DNSKEY (RFC 4034 §2.1.1)
REVOKE = 0x0080  # RFC 5011 §7
SEP = 0x0001
RSA_BITS = 2048
PROTOCOL = 3

_DIGESTS = {1: "sha1", 2: "sha256", 4: "sha384"}

# type -> (octets before the first name, number of names), for every type whose RDATA is lower-cased
# (RFC 4034 §6.2 as amended by RFC 6840 §5.1); NAPTR stands apart
_NAMES_IN = {
    RRType.NS: (0, 1),
    RRType.MD: (0, 1),
    RRType.MF: (0, 1),
    RRType.CNAME: (0, 1),
    RRType.SOA: (0, 2),
    RRType.MB: (0, 1),
    RRType.MG: (0, 1),
    RRType.MR: (0, 1),
    RRType.PTR: (0, 1),
    RRType.MINFO: (0, 2),
    RRType.MX: (2, 1),
    RRType.RP: (0, 2),
    RRType.AFSDB: (2, 1),
    RRType.RT: (2, 1),
    RRType.SIG: (18, 1),
    RRType.PX: (2, 2),
    RRType.NXT: (0, 1),
    RRType.SRV: (6, 1),
    RRType.KX: (2, 1),
    RRType.DNAME: (0, 1),
    RRType.RRSIG: (18, 1),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a zone: what its DNSKEY says, and what signs.

    ``dataclasses.replace(key, flags=key.flags | REVOKE)`` is the same key, revoked.
    """

    algorithm: int
    flags: int
    public_key: bytes
    sign: Callable[[bytes], bytes] = field(repr=False, compare=False)

    @property
    def rdata(self) -> bytes:
        """The RDATA of the DNSKEY record."""
        return self.flags.to_bytes(2) + bytes([PROTOCOL, self.algorithm]) + self.public_key

    @property
    def tag(self) -> int:
        """The key tag (RFC 4034 appendix B)."""
        return key_tag(self.rdata)

    @property
    def is_sep(self) -> bool:
        """SEP: the key signs the DNSKEY RRset, and the DS is made of it."""
        return bool(self.flags & SEP)

    @property
    def is_revoked(self) -> bool:
        """REVOKE."""
        return bool(self.flags & REVOKE)

    def ds(self, zone: bytes, digest_type: int) -> bytes:
        """Give the RDATA of the DS record; digest types 1, 2 and 4 (RFC 4034 §5.1.4)."""
        digest = hashlib.new(_DIGESTS[digest_type], zone.lower() + self.rdata, usedforsecurity=False).digest()
        return self.tag.to_bytes(2) + bytes([self.algorithm, digest_type]) + digest


@dataclass(frozen=True, slots=True)
class Terms:
    """What a signature says otherwise than an honest one would; None is the honest value.

    The signature is made over what it says, so it verifies unless the keys disagree. Times are seconds
    since 1970.
    """

    key: Key | None = None
    signer: bytes | None = None
    key_tag: int | None = None
    algorithm: int | None = None
    labels: int | None = None
    inception: int | None = None
    expiration: int | None = None
    original_ttl: int | None = None
    covered: int | None = None


HONEST = Terms()


def make_key(algorithm: int, flags: int = ZONE | SEP) -> Key:
    """Give a new key; RSA keys, slow to make, are only two for the whole process, one with SEP.

    Raises:
        ValueError: an algorithm that nothing here can sign with.
    """
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

    edwards: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
    match algorithm:
        case DNSSECAlgorithm.ECDSAP256SHA256 | DNSSECAlgorithm.ECDSAP384SHA384:
            return _ecdsa_key(algorithm, flags)
        case DNSSECAlgorithm.ED25519:
            edwards = ed25519.Ed25519PrivateKey.generate()
        case DNSSECAlgorithm.ED448:
            edwards = ed448.Ed448PrivateKey.generate()
        case _:
            return _rsa_key(algorithm, flags)
    return Key(algorithm, flags, edwards.public_key().public_bytes_raw(), edwards.sign)


def _ecdsa_key(algorithm: int, flags: int) -> Key:
    """Give a key whose signature is r and s, each as long as a coordinate (RFC 6605 §4)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    is_small = algorithm == DNSSECAlgorithm.ECDSAP256SHA256
    private = ec.generate_private_key(ec.SECP256R1() if is_small else ec.SECP384R1())
    scheme = ec.ECDSA(hashes.SHA256() if is_small else hashes.SHA384())
    size = 32 if is_small else 48

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(data, scheme))
        return r.to_bytes(size) + s.to_bytes(size)

    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return Key(algorithm, flags, point[1:], sign)


def _rsa_key(algorithm: int, flags: int) -> Key:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    schemes: dict[int, hashes.HashAlgorithm] = {
        DNSSECAlgorithm.RSASHA1: hashes.SHA1(),  # noqa: S303 - what the algorithm is, to see it refused
        DNSSECAlgorithm.RSASHA1_NSEC3_SHA1: hashes.SHA1(),  # noqa: S303
        DNSSECAlgorithm.RSASHA256: hashes.SHA256(),
        DNSSECAlgorithm.RSASHA512: hashes.SHA512(),
    }
    if algorithm not in schemes:
        raise ValueError(f"cannot make keys of algorithm {algorithm}")
    private = _rsa_private(bool(flags & SEP))
    public = private.public_key().public_numbers()

    def sign(data: bytes) -> bytes:
        return private.sign(data, padding.PKCS1v15(), schemes[algorithm])

    return Key(algorithm, flags, rsa_public_key(public.e, public.n), sign)


@functools.cache
def _rsa_private(is_sep: bool) -> "rsa.RSAPrivateKey":
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, RSA_BITS)


def rsa_public_key(exponent: int, modulus: int) -> bytes:
    """Give the public key field of an RSA key with an exponent below 2**2040 (RFC 3110 §2)."""
    octets = exponent.to_bytes((exponent.bit_length() + 7) // 8)
    return bytes([len(octets)]) + octets + modulus.to_bytes((modulus.bit_length() + 7) // 8)


def key_tag(rdata: bytes) -> int:
    """Give the key tag of a DNSKEY's RDATA (RFC 4034 appendix B)."""
    padded = rdata + bytes(len(rdata) % 2)
    total = sum(int.from_bytes(padded[at : at + 2]) for at in range(0, len(padded), 2))
    return total + (total >> 16) & 0xFFFF


def sign(
    records: Sequence[Record],
    key: Key,
    signer: bytes,
    inception: int,
    expiration: int,
    terms: Terms = HONEST,
) -> Record:
    """Give the RRSIG record of an RRset, with the TTL of its first record (RFC 4034 §3).

    Where the labels are fewer than the owner's, the signature is that of the wildcard it was expanded
    from.
    """
    first = records[0]
    key = terms.key or key
    labels = label_count(first.name) if terms.labels is None else terms.labels
    ttl = first.ttl if terms.original_ttl is None else terms.original_ttl
    head = b"".join(
        (
            (terms.covered or first.rrtype).to_bytes(2),
            bytes([terms.algorithm or key.algorithm, labels]),
            ttl.to_bytes(4),
            ((expiration if terms.expiration is None else terms.expiration) % 2**32).to_bytes(4),
            ((inception if terms.inception is None else terms.inception) % 2**32).to_bytes(4),
            (key.tag if terms.key_tag is None else terms.key_tag).to_bytes(2),
            (signer if terms.signer is None else terms.signer).lower(),
        )
    )
    rdata = head + key.sign(head + _signed_rrset(records, ttl, labels))
    return Record(first.name, RRType.RRSIG, first.rrclass, first.ttl, rdata)


def label_count(name: bytes) -> int:
    """Give the Labels field of an honest signature: neither root nor a leftmost ``*`` (RFC 4034 §3.1.3)."""
    found = names.labels(name)
    return len(found) - (found[:1] == (b"*",))


def _signed_rrset(records: Sequence[Record], original_ttl: int, labels: int) -> bytes:
    """Give the RRset as it is signed (RFC 4034 §3.1.8.1): canonical, sorted, no record twice."""
    first = records[0]
    owner = first.name.lower()
    above = list(names.suffixes(owner))[::-1]  # the root first
    if labels + 1 < len(above):
        owner = b"\x01*" + above[labels]
    head = owner + first.rrtype.to_bytes(2) + first.rrclass.to_bytes(2) + original_ttl.to_bytes(4)
    rdatas = sorted({canonical_rdata(record.rrtype, record.rdata) for record in records})
    return b"".join(head + len(rdata).to_bytes(2) + rdata for rdata in rdatas)


def canonical_rdata(rrtype: int, rdata: bytes) -> bytes:
    """Give uncompressed RDATA with the names in it in lower case, where its type wants that."""
    if rrtype == RRType.NAPTR:
        at = 4
        for _ in range(3):
            at += 1 + rdata[at]
        return rdata[:at] + rdata[at:].lower()
    if rrtype not in _NAMES_IN:
        return rdata
    before, count = _NAMES_IN[RRType(rrtype)]
    at = before
    for _ in range(count):
        while rdata[at]:
            at += 1 + rdata[at]
        at += 1
    return rdata[:before] + rdata[before:at].lower() + rdata[at:]
