"""Know which algorithms and digests count, and check one signature with one key.

What counts is a table (RFC 9904). An algorithm that does not count, or that the cryptographic
library of this system refuses, makes a zone insecure, never bogus (RFC 4035 §5.2).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from secdns.iana import DigestType, DNSSECAlgorithm

Verifier = Callable[[bytes, bytes], bool]
"""Tell whether a signature, as it stands in an RRSIG, fits data. Never raises."""

# A modulus has 512 to 4096 bits, for SHA-512 at least 1024 (RFC 5702 §2).
MAX_MODULUS: Final = 4096
# BIND's bound; exponents in use have 2 to 33 bits. A check with one of 35 bits takes 160 µs at
# 4096 bits; with one of 3000 bits, which the library would take, 5 ms.
MAX_EXPONENT: Final = 35


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose.

    ``sha1`` accepts RSA with SHA-1 and DS records of SHA-1; without it they are unsupported
    (RFC 9905 §2).
    """

    sha1: bool = False


DEFAULT: Final = Policy()


def load_key(algorithm: int, public_key: bytes) -> Verifier | None:
    """Give the check for the public key field of a DNSKEY (RFC 4034 §2.1.4).

    Build it once for each key: that takes up to 10 µs, and calling it adds about 2 µs to the
    library's own time. None means the octets are no key of that algorithm, the algorithm is not
    known, or the library refuses it.
    """
    entry = _ALGORITHMS.get(algorithm)
    if entry is None:
        return None
    try:
        verifier = entry.load(public_key)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if entry.sample and verifier is not None and not _is_allowed(algorithm):
        return None
    return verifier


def is_supported(algorithm: int, policy: Policy = DEFAULT) -> bool:
    """Tell whether signatures of this algorithm count (RFC 9904, RFC 9905, RFC 9906)."""
    entry = _ALGORITHMS.get(algorithm)
    if entry is None or (entry.is_sha1 and not policy.sha1):
        return False
    return not entry.sample or _is_allowed(algorithm)


def is_supported_digest(digest_type: int, policy: Policy = DEFAULT) -> bool:
    """Tell whether DS records of this digest type count."""
    return digest_type in _DIGESTS and (digest_type != DigestType.SHA1 or policy.sha1)


def digest_size(digest_type: int) -> int | None:
    """Give the octets of a digest, None if the type is unknown."""
    known = _DIGESTS.get(digest_type)
    return known and known[1]


def digest(digest_type: int, owner: bytes, dnskey_rdata: bytes) -> bytes | None:
    """Give the digest of a DNSKEY as its DS holds it (RFC 4034 §5.1.4), None if the type is unknown."""
    known = _DIGESTS.get(digest_type)
    return known and hashlib.new(known[0], owner.lower() + dnskey_rdata, usedforsecurity=False).digest()


# digest type -> name in hashlib, octets
_DIGESTS: Final[dict[int, tuple[str, int]]] = {
    DigestType.SHA1: ("sha1", 20),
    DigestType.SHA256: ("sha256", 32),
    DigestType.SHA384: ("sha384", 48),
}

_PADDING: Final = PKCS1v15()


def _load_rsa(hash_: hashes.HashAlgorithm, least_bits: int, public_key: bytes) -> Verifier | None:
    """Read exponent and modulus (RFC 3110 §2). Raises ValueError for numbers that are no key."""
    size, at = (public_key[0], 1) if public_key[:1] > b"\0" else (int.from_bytes(public_key[1:3]), 3)
    exponent = int.from_bytes(public_key[at : at + size])
    modulus = int.from_bytes(public_key[at + size :])
    if exponent.bit_length() > MAX_EXPONENT or not least_bits <= modulus.bit_length() <= MAX_MODULUS:
        return None
    check = RSAPublicNumbers(exponent, modulus).public_key().verify

    def is_valid(signature: bytes, data: bytes) -> bool:
        try:
            check(signature, data, _PADDING, hash_)
        except InvalidSignature:
            return False
        return True

    return is_valid


def _load_ecdsa(curve: ec.EllipticCurve, scheme: ec.ECDSA, octets: int, public_key: bytes) -> Verifier | None:
    """Read a point without its leading octet (RFC 6605 §4). Raises ValueError off the curve."""
    if len(public_key) != 2 * octets:
        return None
    check = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\4" + public_key).verify

    def is_valid(signature: bytes, data: bytes) -> bool:
        if len(signature) != 2 * octets:
            return False
        r, s = int.from_bytes(signature[:octets]), int.from_bytes(signature[octets:])
        try:
            check(encode_dss_signature(r, s), data, scheme)
        except InvalidSignature:
            return False
        return True

    return is_valid


def _load_eddsa(
    read: Callable[[bytes], ed25519.Ed25519PublicKey | ed448.Ed448PublicKey], public_key: bytes
) -> Verifier | None:
    """Read the octets of RFC 8080 §3. Raises ValueError for a wrong length."""
    check = read(public_key).verify

    def is_valid(signature: bytes, data: bytes) -> bool:
        try:
            check(signature, data)
        except InvalidSignature:
            return False
        return True

    return is_valid


class _Algorithm(NamedTuple):
    load: Callable[[bytes], Verifier | None]
    is_sha1: bool = False
    # A key to try the library with, where some systems switch the algorithm off.
    sample: bytes = b""


_SAMPLE_RSA: Final = b"\1\3" + (1 << 1023 | 1).to_bytes(128)

_RSA_SHA1: Final = _Algorithm(partial(_load_rsa, hashes.SHA1(), 512), is_sha1=True, sample=_SAMPLE_RSA)  # noqa: S303

# Not here and so unsupported: RSA/MD5, DSA (RFC 9904) and GOST (RFC 9906).
_ALGORITHMS: Final[dict[int, _Algorithm]] = {
    DNSSECAlgorithm.RSASHA1: _RSA_SHA1,
    DNSSECAlgorithm.RSASHA1_NSEC3_SHA1: _RSA_SHA1,
    DNSSECAlgorithm.RSASHA256: _Algorithm(partial(_load_rsa, hashes.SHA256(), 512)),
    DNSSECAlgorithm.RSASHA512: _Algorithm(partial(_load_rsa, hashes.SHA512(), 1024)),
    DNSSECAlgorithm.ECDSAP256SHA256: _Algorithm(
        partial(_load_ecdsa, ec.SECP256R1(), ec.ECDSA(hashes.SHA256()), 32)
    ),
    DNSSECAlgorithm.ECDSAP384SHA384: _Algorithm(
        partial(_load_ecdsa, ec.SECP384R1(), ec.ECDSA(hashes.SHA384()), 48)
    ),
    DNSSECAlgorithm.ED25519: _Algorithm(partial(_load_eddsa, ed25519.Ed25519PublicKey.from_public_bytes)),
    DNSSECAlgorithm.ED448: _Algorithm(
        partial(_load_eddsa, ed448.Ed448PublicKey.from_public_bytes), sample=bytes(57)
    ),
}


@cache
def _is_allowed(algorithm: int) -> bool:
    """Tell whether the library of this system lets the algorithm be used.

    Some refuse SHA-1 only when a signature is checked (the crypto policies of RHEL), some have
    no Ed448.
    """
    entry = _ALGORITHMS[algorithm]
    try:
        verifier = entry.load(entry.sample)
        return verifier is not None and not verifier(bytes(128), b"")
    except UnsupportedAlgorithm:
        return False
