"""Algorithms, digests and single signatures."""

import dns.dnssec
import dns.name
import dns.rdata
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.name import from_text
from secdns.dnssec.algorithms import (
    _ALGORITHMS,
    Policy,
    _Algorithm,
    digest,
    digest_size,
    is_supported,
    is_supported_digest,
    load_key,
)
from secdns.dnssec.rrsig import key_tag
from secdns.iana import DNSSECAlgorithm
from tests.dnssec.signing import ALGORITHMS, SHA1_TOO, Signer, private_key, public_octets, sign_octets
from tests.dnssec.vectors import DSKEY, DSKEY_DIGESTS, DSKEY_OWNER, DSKEY_TAG, VECTORS, Vector

DATA = b"what was signed"


@pytest.mark.parametrize(
    ("algorithm", "by_default", "with_sha1"),
    [
        pytest.param(0, False, False, id="0, delete"),
        pytest.param(1, False, False, id="1, RSA/MD5"),
        pytest.param(2, False, False, id="2, DH"),
        pytest.param(3, False, False, id="3, DSA/SHA-1"),
        pytest.param(5, False, True, id="5, RSA/SHA-1"),
        pytest.param(6, False, False, id="6, DSA-NSEC3-SHA1"),
        pytest.param(7, False, True, id="7, RSASHA1-NSEC3-SHA1"),
        pytest.param(8, True, True, id="8, RSA/SHA-256"),
        pytest.param(10, True, True, id="10, RSA/SHA-512"),
        pytest.param(12, False, False, id="12, GOST"),
        pytest.param(13, True, True, id="13, P-256"),
        pytest.param(14, True, True, id="14, P-384"),
        pytest.param(15, True, True, id="15, Ed25519"),
        pytest.param(16, True, True, id="16, Ed448"),
        pytest.param(17, False, False, id="17, SM2"),
        pytest.param(252, False, False, id="252, indirect"),
        pytest.param(253, False, False, id="253, private"),
        pytest.param(255, False, False, id="255, reserved"),
        pytest.param(300, False, False, id="no octet"),
    ],
)
def test_algorithms_count_by_the_table_9904_1_9905_1_9906_1(
    algorithm: int, by_default: bool, with_sha1: bool
) -> None:
    assert is_supported(algorithm) is by_default
    assert is_supported(algorithm, SHA1_TOO) is with_sha1


@pytest.mark.parametrize(
    ("digest_type", "by_default", "with_sha1", "size"),
    [
        pytest.param(0, False, False, None, id="0, reserved"),
        pytest.param(1, False, True, 20, id="1, SHA-1"),
        pytest.param(2, True, True, 32, id="2, SHA-256"),
        pytest.param(3, False, False, None, id="3, GOST"),
        pytest.param(4, True, True, 48, id="4, SHA-384"),
        pytest.param(5, False, False, None, id="5, GOST 2012"),
        pytest.param(255, False, False, None, id="unassigned"),
    ],
)
def test_digests_count_by_the_table_9905_1(
    digest_type: int, by_default: bool, with_sha1: bool, size: int | None
) -> None:
    assert is_supported_digest(digest_type) is by_default
    assert is_supported_digest(digest_type, Policy(sha1=True)) is with_sha1
    assert digest_size(digest_type) == size
    made = digest(digest_type, DSKEY_OWNER, DSKEY)
    assert (made and len(made)) == size


def _refuse(signature: bytes, data: bytes) -> bool:
    raise UnsupportedAlgorithm("as the library does on RHEL")


def test_an_algorithm_that_the_library_refuses_only_to_check_with_is_not_supported_4035_10(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(_ALGORITHMS, 250, _Algorithm(lambda public_key: _refuse, sample=b"key"))
    assert not is_supported(250)
    assert load_key(250, b"key") is None


def test_key_tag_of_the_example_is_right_4034() -> None:
    assert key_tag(DSKEY) == DSKEY_TAG


def test_key_tag_of_rsa_md5_is_taken_from_the_modulus_4034() -> None:
    assert key_tag(bytes.fromhex("0100 03 01 0103 aabbccddeeff")) == 0xDDEE


@pytest.mark.parametrize("digest_type", DSKEY_DIGESTS)
def test_digest_of_the_example_is_right_4034_4509(digest_type: int) -> None:
    assert digest(digest_type, DSKEY_OWNER, DSKEY) == DSKEY_DIGESTS[digest_type]
    assert digest(digest_type, DSKEY_OWNER.upper(), DSKEY) == DSKEY_DIGESTS[digest_type]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.source)
def test_key_tag_and_digest_of_the_rfcs_are_right(vector: Vector) -> None:
    rdata = vector.dnskey.rdata
    assert key_tag(rdata) == vector.tag
    if vector.ds:
        assert digest(vector.ds[0], from_text(vector.zone), rdata) == bytes.fromhex(vector.ds[1])


@given(st.binary(min_size=4, max_size=300))
def test_key_tag_agrees_with_dnspython_4034(rdata: bytes) -> None:
    theirs = dns.rdata.from_wire("IN", "DNSKEY", rdata, 0, len(rdata))
    assert isinstance(theirs, DNSKEY)
    if rdata[3] != DNSSECAlgorithm.RSAMD5 or len(rdata) >= 7:  # less has no such octets, and no meaning
        assert key_tag(rdata) == dns.dnssec.key_id(theirs)


@pytest.mark.parametrize(("digest_type", "name"), [(1, "SHA1"), (2, "SHA256"), (4, "SHA384")])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_digest_agrees_with_dnspython(algorithm: int, digest_type: int, name: str) -> None:
    rdata = Signer(algorithm).dnskey.rdata
    key = dns.rdata.from_wire("IN", "DNSKEY", rdata, 0, len(rdata))
    ds = dns.dnssec.make_ds(
        dns.name.from_text("Example.Test."), key, name, policy=dns.dnssec.allow_all_policy
    )
    assert digest(digest_type, from_text("Example.Test"), rdata) == ds.digest


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_fits_its_data_and_key_alone(algorithm: int) -> None:
    private = private_key(algorithm)
    verifier = load_key(algorithm, public_octets(private))
    other = load_key(algorithm, public_octets(private_key(algorithm, number=1)))
    assert verifier is not None
    assert other is not None
    signature = sign_octets(private, algorithm, DATA)
    assert verifier(signature, DATA)
    assert not verifier(signature, DATA + b"\0")
    assert not verifier(signature, b"")
    assert not other(signature, DATA)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signature_of_another_length_is_no_signature(algorithm: int) -> None:
    private = private_key(algorithm)
    verifier = load_key(algorithm, public_octets(private))
    assert verifier is not None
    signature = sign_octets(private, algorithm, DATA)
    half = len(signature) // 2
    padded = signature[:half] + b"\0" + signature[half:]  # the same two numbers, to ECDSA
    for other in (b"", signature[:-1], signature[1:], signature + b"\0", b"\0" + signature, padded):
        assert not verifier(other, DATA)
    assert not verifier(signature * 500, DATA)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("octet", [0x00, 0x01, 0x7F, 0x80, 0xFF])
def test_a_signature_of_one_octet_repeated_is_no_signature(algorithm: int, octet: int) -> None:
    private = private_key(algorithm)
    verifier = load_key(algorithm, public_octets(private))
    assert verifier is not None
    assert not verifier(bytes([octet]) * len(sign_octets(private, algorithm, DATA)), DATA)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_public_key_of_another_length_is_no_key(algorithm: int) -> None:
    public = public_octets(private_key(algorithm))
    assert load_key(algorithm, b"") is None
    assert load_key(algorithm, public[:40] if public[0] == 3 else public[:-1]) is None
    if public[0] != 3:
        assert load_key(algorithm, public + b"\0") is None


@pytest.mark.parametrize("algorithm", [13, 14])
def test_a_point_off_the_curve_is_no_key(algorithm: int) -> None:
    public = bytearray(public_octets(private_key(algorithm)))
    public[-1] ^= 1
    assert load_key(algorithm, bytes(public)) is None
    assert load_key(algorithm, bytes(len(public))) is None


def rsa_octets(exponent: int, modulus_bits: int, *, long_form: bool = False) -> bytes:
    """Give an RSA public key field with a modulus of so many bits; nobody has the private key."""
    octets = exponent.to_bytes((exponent.bit_length() + 7) // 8)
    size = b"\0" + len(octets).to_bytes(2) if long_form else bytes([len(octets)])
    return size + octets + (1 << modulus_bits - 1 | 0x10001).to_bytes((modulus_bits + 7) // 8)


@pytest.mark.parametrize(
    ("algorithm", "public_key", "want"),
    [
        pytest.param(8, rsa_octets(65537, 512), True, id="512 bits for SHA-256"),
        pytest.param(8, rsa_octets(65537, 511), False, id="511 bits for SHA-256"),
        pytest.param(5, rsa_octets(65537, 512), True, id="512 bits for SHA-1"),
        pytest.param(5, rsa_octets(65537, 511), False, id="511 bits for SHA-1"),
        pytest.param(10, rsa_octets(65537, 1024), True, id="1024 bits for SHA-512"),
        pytest.param(10, rsa_octets(65537, 1023), False, id="1023 bits for SHA-512"),
        pytest.param(8, rsa_octets(65537, 4096), True, id="4096 bits"),
        pytest.param(8, rsa_octets(65537, 4097), False, id="4097 bits"),
        pytest.param(8, rsa_octets(65537, 8 * 65000), False, id="65,000 octets"),
        pytest.param(8, rsa_octets(3, 2048), True, id="exponent 3"),
        pytest.param(8, rsa_octets(2**32 + 1, 2048), True, id="exponent of 33 bits"),
        pytest.param(8, rsa_octets(2**34 + 1, 2048), True, id="exponent of 35 bits"),
        pytest.param(8, rsa_octets(2**35 + 1, 2048), False, id="exponent of 36 bits"),
        pytest.param(8, rsa_octets(2**2000 + 1, 2048), False, id="exponent as long as the modulus"),
        pytest.param(
            8, rsa_octets(65537, 2048, long_form=True), True, id="length of the exponent in 3 octets"
        ),
        pytest.param(8, rsa_octets(1, 2048), False, id="exponent 1"),
        pytest.param(8, rsa_octets(4, 2048), False, id="even exponent"),
        pytest.param(8, b"\0\0\0" + rsa_octets(3, 2048)[2:], False, id="no exponent"),
        pytest.param(8, b"\xff\1\0\1", False, id="exponent runs past the end"),
        pytest.param(8, b"\0", False, id="only the mark of the long form"),
        pytest.param(8, b"\3\1\0\1", False, id="no modulus"),
    ],
)
def test_rsa_keys_are_bounded_3110_5702(algorithm: int, public_key: bytes, want: bool) -> None:
    assert (load_key(algorithm, public_key) is not None) is want


@given(st.sampled_from([0, 1, 3, *ALGORITHMS, 12, 255]), st.binary(max_size=600), st.binary(max_size=600))
def test_any_octets_are_a_key_or_none_and_check_without_exception(
    algorithm: int, public_key: bytes, signature: bytes
) -> None:
    verifier = load_key(algorithm, public_key)
    assert verifier is None or verifier(signature, DATA) is False


@given(st.sampled_from([5, 7, 8, 10]), st.integers(0, 2**36), st.binary(min_size=64, max_size=600), st.data())
def test_any_rsa_numbers_are_a_key_or_none_and_check_without_exception(
    algorithm: int, exponent: int, modulus: bytes, data: st.DataObject
) -> None:
    octets = exponent.to_bytes(5)
    verifier = load_key(algorithm, b"\5" + octets + modulus)
    signature = data.draw(st.binary(min_size=len(modulus), max_size=len(modulus)))
    assert verifier is None or verifier(signature, DATA) is False
