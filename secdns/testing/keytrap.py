"""Many keys of one key tag, and signatures that each of them has to be tried on (CVE-2023-50387).

Nobody has the private keys. An Ed25519 key is 32 octets of which every second choice is a point of the
curve, an RSA modulus is any odd number; so two octets in the middle are chosen for the tag to come out, and
300 keys take some tens of milliseconds. P-256 has no such freedom: a key of a wanted tag costs 65,536 tries.
"""

import os

from secdns.iana import DNSSECAlgorithm
from secdns.testing.signing import RSA_BITS, ZONE, Key, key_tag, rsa_public_key

_P = 2**255 - 19  # the field of Curve25519 (RFC 8032 §5.1)
_D = -121665 * pow(121666, -1, _P) % _P


def same_tag_keys(count: int, tag: int, algorithm: int = DNSSECAlgorithm.ED25519) -> tuple[Key, ...]:
    """Give keys of one tag, Ed25519 or RSA, whose signatures cost a whole check and never verify.

    Raises:
        ValueError: an algorithm whose keys cannot be chosen.
    """
    if algorithm == DNSSECAlgorithm.ED25519:
        return tuple(_edwards_key(tag) for _ in range(count))
    if algorithm in (DNSSECAlgorithm.RSASHA256, DNSSECAlgorithm.RSASHA512):
        return tuple(_rsa_key(algorithm, tag) for _ in range(count))
    raise ValueError(f"cannot choose keys of algorithm {algorithm} by their tag")


def _edwards_key(tag: int) -> Key:
    while True:
        public = _with_tag(Key(DNSSECAlgorithm.ED25519, ZONE, os.urandom(32), _edwards_signature), tag)
        if public is not None and _is_point(public.public_key):
            return public


def _rsa_key(algorithm: int, tag: int) -> Key:
    while True:
        modulus = int.from_bytes(os.urandom(RSA_BITS // 8)) | 1 << RSA_BITS - 1 | 1
        key = _with_tag(Key(algorithm, ZONE, rsa_public_key(65537, modulus), _rsa_signature), tag)
        if key is not None:
            return key


def _with_tag(key: Key, tag: int) -> Key | None:
    """Give the key with two octets in the middle chosen for its tag, or None where a carry is in the way."""
    octets = key.public_key
    at = len(octets) // 4 * 2  # even in the RDATA too: a word of the sum (RFC 4034 appendix B)
    bare = key_tag(Key(key.algorithm, key.flags, octets[:at] + b"\0\0" + octets[at + 2 :], key.sign).rdata)
    word = ((tag - bare) % 0xFFFF).to_bytes(2)
    made = Key(key.algorithm, key.flags, octets[:at] + word + octets[at + 2 :], key.sign)
    return made if made.tag == tag else None


def _is_point(public_key: bytes) -> bool:
    """Tell whether x can be recovered from an encoded point (RFC 8032 §5.1.3)."""
    y = int.from_bytes(public_key, "little") & (1 << 255) - 1
    square = (y * y - 1) * (_D * y * y + 1) % _P  # times a square: x² = (y² - 1) / (d y² + 1)
    return y < _P and pow(square, (_P - 1) // 2, _P) == 1


def _edwards_signature(data: bytes) -> bytes:
    """Give R and an S below the order of the group; a larger one would be refused without a check."""
    octets = os.urandom(64)
    return octets[:63] + bytes([octets[63] & 0x0F])


def _rsa_signature(data: bytes) -> bytes:
    return b"\0" + os.urandom(RSA_BITS // 8 - 1)  # below any modulus
