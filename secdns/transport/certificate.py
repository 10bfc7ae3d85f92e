"""Check a certificate chain by itself, as ``tls`` has OpenSSL do it in a handshake (threat E1).

`aioquic` looks at neither purpose nor strength, trusts `certifi`, and reads it in every handshake.
"""

import os
import weakref
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError
from OpenSSL.crypto import Error as OpenSSLError
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from secdns.endpoint import Endpoint
from secdns.errors import AuthenticationError
from secdns.transport.tls import (
    NO_CHECK_TIME,
    check_hashes,
    clock_is_timely,
    distrust,
    no_trust_store,
    not_designated,
    system_trust,
)

MAX_CHAIN: Final = 10  # certificates that a server sends; public ones send 2 to 4
MIN_RSA_BITS: Final = 2048  # 112 bits of security, as @SECLEVEL=2
MIN_EC_BITS: Final = 224
_WEAK_HASHES: Final = frozenset({"md5", "sha1"})
_PURPOSE, _NAME, _ADDRESS, _WEAK_KEY, _WEAK_SIGNATURE = 26, 62, 64, 66, 68  # X509_V_ERR_*

_stores: weakref.WeakValueDictionary[tuple[object, ...], X509Store] = weakref.WeakValueDictionary()
"""Stores in use: reading one takes 15 ms, so upstreams share it."""


def trust_store(ca_file: str | None) -> X509Store:
    """Give the store that trusts ``ca_file`` alone, or the system; to be kept while it is used.

    Raises:
        ConnectError: the file cannot be read or holds no certificate.
    """
    is_timely = clock_is_timely()
    try:
        changed = os.stat(ca_file).st_mtime_ns if ca_file else 0  # a replaced file is read again
        cafile, capath = (ca_file, None) if ca_file else system_trust()
        key = (cafile, capath, changed, is_timely)
        store = _stores.get(key)
        if store is None:
            store = X509Store()
            if cafile or capath:
                store.load_locations(cafile, capath)
            if not is_timely:
                store.set_flags(NO_CHECK_TIME)
            _stores[key] = store
    except OSError as error:
        raise no_trust_store(ca_file, str(error.strerror or error)) from error
    except OpenSSLError as error:
        raise no_trust_store(ca_file, "no certificate found") from error
    return store


def check_chain(
    store: X509Store,
    endpoint: Endpoint,
    peer: str,
    leaf: x509.Certificate,
    sent: Sequence[x509.Certificate],
) -> None:
    """Check that ``leaf`` leads to an authority, is for servers, strong enough, and for the endpoint's host.

    ``sent`` is what came along with it, in any order.

    Raises:
        AuthenticationError: with the words that ``tls`` has for it.
    """
    if len(sent) > MAX_CHAIN:
        raise AuthenticationError(
            f"cannot trust {endpoint.url} at {peer}: its chain has {len(sent) + 1} certificates"
        )
    try:
        others = [X509.from_cryptography(certificate) for certificate in sent]
        context = X509StoreContext(store, X509.from_cryptography(leaf), others)
        chain = [certificate.to_cryptography() for certificate in context.get_verified_chain()]
        flaw = _flaw(chain) or _misfit(leaf, endpoint)
    except X509StoreContextError as error:
        code, _, message = error.errors
        raise distrust(endpoint, peer, int(code), str(message)) from error
    except (ValueError, OpenSSLError) as error:  # extensions are only read when they are looked at
        raise AuthenticationError(
            f"cannot trust {endpoint.url} at {peer}: its certificate cannot be read"
        ) from error
    if flaw:
        raise distrust(endpoint, peer, flaw, "its certificate does not fit")
    if endpoint.designator and not _holds_address(leaf, endpoint.designator):
        raise not_designated(endpoint)
    if endpoint.tbs_sha256:
        check_hashes(endpoint, [certificate.public_bytes(Encoding.DER) for certificate in chain])


def _flaw(chain: Sequence[x509.Certificate]) -> int:
    """Give what is wrong with a chain, leaf first, that leads to an authority; 0 for nothing."""
    if not all(_is_for_servers(certificate) for certificate in chain) or not _may_sign(chain[0]):
        return _PURPOSE
    if not all(_is_strong(certificate) for certificate in chain):
        return _WEAK_KEY
    for certificate in chain[:-1]:  # an anchor is trusted whatever it is signed with
        algorithm = certificate.signature_hash_algorithm
        if algorithm is not None and algorithm.name in _WEAK_HASHES:
            return _WEAK_SIGNATURE
    return 0


def _misfit(leaf: x509.Certificate, endpoint: Endpoint) -> int:
    """Tell whether the subjectAltName lacks the host (RFC 9525 §6); 0 for no."""
    if endpoint.is_ip:
        return 0 if _holds_address(leaf, endpoint.host) else _ADDRESS
    try:
        verify_certificate_hostname(leaf, endpoint.host)
    except (CertificateError, VerificationError):
        return _NAME
    return 0


def _holds_address(leaf: x509.Certificate, address: str) -> bool:
    try:
        verify_certificate_ip_address(leaf, address)
    except (CertificateError, VerificationError):
        return False
    return True


def _is_for_servers(certificate: x509.Certificate) -> bool:
    """Tell whether the extended key usage, if there is one, names servers; of authorities too."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage


def _may_sign(leaf: x509.Certificate) -> bool:
    """Tell whether the leaf's key may sign a handshake, which is all that TLS 1.3 uses it for."""
    try:
        return leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True


def _is_strong(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey):
        return key.key_size >= MIN_RSA_BITS
    return not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size >= MIN_EC_BITS
