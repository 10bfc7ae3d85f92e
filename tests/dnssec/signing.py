"""Keys and signatures for every algorithm, made with ``cryptography`` alone, and the records they stand in.

The octets that are signed are put together here once more, record by record as RFC 4034 §3.1.8.1
tells it, so that a test does not compare the code with itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import shake_256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from secdns.dns.message import Record
from secdns.dns.name import from_text, labels
from secdns.dnssec.algorithms import Policy
from secdns.dnssec.limits import Budget
from secdns.dnssec.rrsig import Key, Signature, Verified, key_tag, read_key, read_signature, verify
from secdns.dnssec.verdict import Reason
from secdns.iana import EDE, DNSSECAlgorithm, RRClass, RRType

SHA1_TOO = Policy(sha1=True)
ALGORITHMS = (
    DNSSECAlgorithm.RSASHA1,
    DNSSECAlgorithm.RSASHA1_NSEC3_SHA1,
    DNSSECAlgorithm.RSASHA256,
    DNSSECAlgorithm.RSASHA512,
    DNSSECAlgorithm.ECDSAP256SHA256,
    DNSSECAlgorithm.ECDSAP384SHA384,
    DNSSECAlgorithm.ED25519,
    DNSSECAlgorithm.ED448,
)
ZONE = from_text("example.test")
WWW = from_text("www.example.test")
WALL = 1_790_000_000  # in September 2026
DAY = 86400
ZSK = 0x0100
KSK = 0x0101

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)
_RSA_HASHES: dict[int, hashes.HashAlgorithm] = {
    DNSSECAlgorithm.RSASHA1: hashes.SHA1(),
    DNSSECAlgorithm.RSASHA1_NSEC3_SHA1: hashes.SHA1(),
    DNSSECAlgorithm.RSASHA256: hashes.SHA256(),
    DNSSECAlgorithm.RSASHA512: hashes.SHA512(),
}


@cache
def private_key(algorithm: int, number: int = 0, bits: int = 1024) -> PrivateKey:
    """Give a private key, always the same for the same ``number``; but RSA keys are new in each run."""
    if algorithm in _RSA_HASHES:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    seed = shake_256(f"{algorithm} {number}".encode())
    if algorithm == DNSSECAlgorithm.ECDSAP256SHA256:
        return ec.derive_private_key(int.from_bytes(seed.digest(31)), ec.SECP256R1())
    if algorithm == DNSSECAlgorithm.ECDSAP384SHA384:
        return ec.derive_private_key(int.from_bytes(seed.digest(47)), ec.SECP384R1())
    if algorithm == DNSSECAlgorithm.ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed.digest(32))
    return ed448.Ed448PrivateKey.from_private_bytes(seed.digest(57))


def public_octets(key: PrivateKey) -> bytes:
    """Give the public key field of the DNSKEY (RFC 3110, RFC 6605, RFC 8080)."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return b"\3" + numbers.e.to_bytes(3) + numbers.n.to_bytes(key.key_size // 8)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = key.key_size // 8
        return point.x.to_bytes(size) + point.y.to_bytes(size)
    return key.public_key().public_bytes_raw()


def sign_octets(key: PrivateKey, algorithm: int, data: bytes) -> bytes:
    """Give the signature field of the RRSIG."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), _RSA_HASHES[algorithm])
    if isinstance(key, ec.EllipticCurvePrivateKey):
        is_p256 = algorithm == DNSSECAlgorithm.ECDSAP256SHA256
        der = key.sign(data, ec.ECDSA(hashes.SHA256() if is_p256 else hashes.SHA384()))
        r, s = decode_dss_signature(der)
        size = key.key_size // 8
        return r.to_bytes(size) + s.to_bytes(size)
    return key.sign(data)


@dataclass(frozen=True)
class Signer:
    """A key of a zone that signs RRsets."""

    algorithm: int = DNSSECAlgorithm.ECDSAP256SHA256
    zone: bytes = ZONE
    flags: int = ZSK
    number: int = 0
    bits: int = 1024
    protocol: int = 3
    private: PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "private", private_key(self.algorithm, self.number, self.bits))

    @property
    def dnskey(self) -> Record:
        """The DNSKEY record."""
        head = self.flags.to_bytes(2) + bytes([self.protocol, self.algorithm])
        rdata = head + public_octets(self.private)
        return Record(self.zone, RRType.DNSKEY, RRClass.IN, 3600, rdata)

    @property
    def key(self) -> Key:
        """The key as the code under test reads it."""
        return read_key(self.dnskey, SHA1_TOO)

    def sign(
        self,
        records: Sequence[Record],
        *,
        lower: Callable[[bytes], bytes] = lambda rdata: rdata,
        inception: int = WALL - DAY,
        expiration: int = WALL + 13 * DAY,
        original_ttl: int | None = None,
        count: int | None = None,
        signer: bytes | None = None,
        tag: int | None = None,
        covered: int | None = None,
        ttl: int = 3600,
    ) -> Record:
        """Give the RRSIG record of an RRset; what is not said is as it should be.

        ``lower`` gives the canonical form of RDATA, ``count`` is the Labels field: with fewer
        than the owner has, the RRset is signed as that wildcard.
        """
        first = records[0]
        owner = first.name.lower()
        parts = labels(owner)
        is_wildcard = parts[:1] == (b"*",)
        count = len(parts) - is_wildcard if count is None else count
        if count < len(parts) - is_wildcard:
            owner = (
                b"\1*" + b"".join(bytes([len(part)]) + part for part in parts[len(parts) - count :]) + b"\0"
            )
        head = (covered or first.rrtype).to_bytes(2) + bytes([self.algorithm, count])
        original_ttl = first.ttl if original_ttl is None else original_ttl
        for number in (original_ttl, expiration, inception):
            head += (number % 2**32).to_bytes(4)
        head += (key_tag(self.dnskey.rdata) if tag is None else tag).to_bytes(2)
        head += (self.zone if signer is None else signer).lower()
        data = head
        for rdata in sorted({lower(record.rdata) for record in records}):
            data += owner + first.rrtype.to_bytes(2) + first.rrclass.to_bytes(2) + original_ttl.to_bytes(4)
            data += len(rdata).to_bytes(2) + rdata
        signature = sign_octets(self.private, self.algorithm, data)
        return Record(first.name, RRType.RRSIG, first.rrclass, ttl, head + signature)


def a(*addresses: str, owner: bytes = WWW, ttl: int = 300) -> list[Record]:
    """Give an RRset of type A."""
    return [
        Record(owner, RRType.A, RRClass.IN, ttl, bytes(map(int, address.split("."))))
        for address in addresses or ("192.0.2.1",)
    ]


def check(
    records: Sequence[Record],
    rrsigs: Sequence[Record | Signature],
    keys: Sequence[Key],
    *,
    wall: int = WALL,
    zone: bytes = ZONE,
    budget: Budget | None = None,
) -> Verified | Reason:
    """Verify an RRset under the owner, type and class of its first record."""
    signatures = [read_signature(rrsig) if isinstance(rrsig, Record) else rrsig for rrsig in rrsigs]
    first = records[0]
    return verify(first.name, first.rrtype, records, signatures, zone, keys, wall, budget or Budget())


def with_tag(rdata: bytes, tag: int, number: int = 0) -> bytes:
    """Give other DNSKEY RDATA of the same size that has this key tag; its key may be none at all."""
    for guess in range(number << 16, number + 1 << 16):
        other = rdata[:-6] + guess.to_bytes(4) + rdata[-2:]
        missing = (tag - key_tag(other)) % 65535
        low = int.from_bytes(other[-2:]) + missing
        other = other[:-2] + (low % 65536).to_bytes(2)
        if key_tag(other) == tag and other != rdata:
            return other
    raise AssertionError(f"no other key has the tag {tag}")


def rdata_of(record: Record, rdata: bytes) -> Record:
    """Give the record with other RDATA."""
    return replace(record, rdata=rdata)


def ede(outcome: Verified | Reason) -> EDE | None:
    """Give the code of a reason, None for a verified RRset."""
    return outcome.ede if isinstance(outcome, Reason) else None


def is_verified(outcome: Verified | Reason) -> bool:
    """Tell whether an RRset is verified."""
    return isinstance(outcome, Verified)


def colliding(key: Key, count: int) -> list[Key]:
    """Give other keys of the same tag and algorithm."""
    record = Record(key.zone, RRType.DNSKEY, RRClass.IN, 300, key.rdata)
    return [read_key(rdata_of(record, with_tag(key.rdata, key.tag, number))) for number in range(count)]


def expired(signer: Signer) -> Record:
    """Give an RRSIG that was valid until six days ago."""
    return signer.sign(a(), inception=WALL - 20 * DAY, expiration=WALL - 6 * DAY)
