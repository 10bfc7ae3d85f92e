"""Make sure who is at the other end: trust, names, pins, tickets, and words for what went wrong.

Strict always (RFC 8310 §5): TLS 1.2 or later (RFC 9325 §3.1.1), the certificate's
subjectAltName must hold the name or the address that was configured, the common name counts for
nothing, and a pin is wanted on top of that, not instead.
"""

import base64
import contextlib
import hashlib
import ipaddress
import os
import ssl
import sys
import time
import weakref
from collections.abc import Sequence
from typing import Final, Literal, cast

from secdns import BUILT_AT
from secdns.endpoint import Endpoint
from secdns.errors import AuthenticationError, ConnectError, ProtocolError, TransportError

CERTIFICATE_WORDS: Final = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed",
    19: "its certificate leads to an unknown self-signed authority",
    20: "its certificate is from an unknown authority",
    21: "its certificate is from an unknown authority",
    23: "its certificate is revoked",
    24: "an authority in its certificate chain is not an authority",
    26: "its certificate is not for servers",
    62: "its certificate is for another name",
    64: "its certificate is for another address",
    66: "its certificate has a key that is too weak",
    68: "its certificate has a signature that is too weak",
}
"""OpenSSL's X509_V_ERR_* -> the same for a person; any other is shown in OpenSSL's words."""

_CIPHERS: Final = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"
"""What is offered under TLS 1.2 (RFC 9325 §4.2, RFC 9113 §9.2.2). Not DHE: a server that picks a group of
8,192 bits has us calculate for 280 ms."""

_DER: Final = 2  # X509_FILETYPE_ASN1, which ``_ssl`` calls ENCODING_DER
_CLOCK_HINT: Final = "check this machine's clock first; if it is right, the upstream's operator has to act"
_ANCHOR_HINT: Final = "if the upstream is your own, set ca_file to its authority; else somebody is in between"
_HOST_HINT: Final = "check the host in its URL; if that is right, somebody may be in between"
CERTIFICATE_HINTS: Final = {
    9: _CLOCK_HINT,  # a wrong clock here looks like a wrong certificate there
    10: _CLOCK_HINT,
    18: _ANCHOR_HINT,
    19: _ANCHOR_HINT,
    20: _ANCHOR_HINT,
    21: _ANCHOR_HINT,
    26: "the upstream's operator has to get a certificate that is made for servers",
    62: _HOST_HINT,
    64: _HOST_HINT,
}
"""The same codes -> what a person can do about it."""
_UNTIMELY: Final[dict[int, Literal["early", "late"]]] = {9: "early", 10: "late"}

NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which ``ssl`` has no name for

HANDSHAKE_WORDS: Final = {
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS version that is safe, want 1.2 or later",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS version that is safe, want 1.2 or later",
    "WRONG_SSL_VERSION": "it speaks no TLS version that is safe, want 1.2 or later",
    "VERSION_TOO_LOW": "it speaks no TLS version that is safe, want 1.2 or later",
    "INTERNAL_ERROR": "it has an internal error in its TLS",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it speaks plain HTTP",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it found no TLS parameters in common",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "it does not offer the protocol that was wanted",
    "TLSV1_UNRECOGNIZED_NAME": "it does not know its name",
    "UNRECOGNIZED_NAME": "it does not know its name",
}


class Identity:
    """What all connections to one endpoint share: whom to trust, whom to expect, the last ticket.

    Nothing is read from disk before the first ``start``. A ticket is used for one name, one trust
    store and one ALPN only, and never past the expiry of the certificate that it stands for: a
    resumption shows no certificate, so an expired one would go unnoticed (fault F3).
    """

    def __init__(self, endpoint: Endpoint, alpn: str, *, alpn_required: bool) -> None:
        self._endpoint = endpoint
        self._alpn = alpn
        self._alpn_required = alpn_required
        self._context: ssl.SSLContext | None = None
        self._is_timely = True
        self._session: ssl.SSLSession | None = None
        self._expires = 0.0  # wall-clock seconds

    def start(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """Give a TLS client that has said nothing yet.

        An IP literal as host wants an iPAddress in the certificate and is never sent as SNI
        (RFC 6066 §3); ``ssl`` sees to both.

        Raises:
            ConnectError: the trust store cannot be read.
        """
        is_timely = clock_is_timely()
        if self._context is None or is_timely is not self._is_timely:
            self._context = _context(self._endpoint.ca_file, self._alpn, is_timely)
            self._is_timely = is_timely
        session = self._session if time.time() < self._expires else None
        return self._context.wrap_bio(
            incoming, outgoing, server_hostname=self._endpoint.host, session=session
        )

    def check(self, tls: ssl.SSLObject) -> None:
        """Check what a finished handshake leaves open: pin, certificate hashes and protocol.

        Raises:
            AuthenticationError: the leaf's key is none of the pinned ones, no certificate of the
                chain is one of those that the stamp asks for, or the leaf is not the designator's.
            ProtocolError: the protocol that is required was not agreed on.
        """
        if self._endpoint.pin_sha256:
            check_pin(self._endpoint, tls.getpeercert(binary_form=True) or b"")
        if self._endpoint.tbs_sha256 and not tls.session_reused:  # else the ticket's chain did fit
            check_hashes(self._endpoint, _verified_chain(tls))
        if self._endpoint.designator and not _holds_address(tls, self._endpoint.designator):
            raise not_designated(self._endpoint)
        if self._alpn_required and tls.selected_alpn_protocol() != self._alpn:
            raise ProtocolError(f"{self._endpoint.url} did not agree on ALPN {self._alpn!r}")

    def keep(self, tls: ssl.SSLObject) -> None:
        """Keep the ticket of a connection that has answered, for the next one."""
        session = tls.session
        certificate = tls.getpeercert()
        if session is None or not session.has_ticket or not certificate:
            return
        self._session = session
        self._expires = float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))

    def forget(self) -> None:
        """Drop the ticket: on another network it would tell that we are the same (RFC 9250 §5.5)."""
        self._session = None

    def explain(self, error: OSError | ValueError, peer: str) -> TransportError:
        """Give the error of ours for what ``ssl`` raised during a handshake with ``peer``."""
        url = self._endpoint.url
        if isinstance(error, ssl.SSLCertVerificationError):
            return distrust(self._endpoint, peer, error.verify_code, error.verify_message)
        if isinstance(error, ssl.SSLError):
            reason = error.reason or ""
            words = HANDSHAKE_WORDS.get(reason, reason.replace("_", " ").lower() or "TLS handshake failed")
            if reason == "TLSV1_ALERT_NO_APPLICATION_PROTOCOL":
                return ProtocolError(f"{url} at {peer} did not agree on ALPN {self._alpn!r}")
            return ConnectError(f"cannot connect to {url} at {peer}: {words}")
        return ConnectError(f"cannot connect to {url} at {peer}: {error}")


def key_exchange(tls: ssl.SSLObject) -> str | None:
    """Give the key-exchange group of a finished handshake: Python 3.15 with OpenSSL 3.2 can tell."""
    group = getattr(tls, "group", None)
    if group is None or tls.session is None:  # without a session the first 3.15s crash
        return None
    try:
        return str(group() or "") or None
    except NotImplementedError:
        return None


def clock_is_timely() -> bool:
    """Tell whether the age of a certificate counts.

    A clock that cannot be right says nothing about it, and whoever shall set it needs an upstream
    first (fault F14). Names and authorities count as ever.
    """
    return time.time() >= BUILT_AT


def check_pin(endpoint: Endpoint, certificate: bytes) -> None:
    """Check the key of a DER certificate against the pins, of which any one is enough.

    Raises:
        AuthenticationError: it is none of them.
    """
    seen = pin_of(certificate)
    if seen not in endpoint.pin_sha256:
        raise AuthenticationError(
            f"cannot trust {endpoint.url}: its key has the pin {seen}, which is not configured",
            hint="if the upstream renewed its key on purpose, set pin_sha256 to the new pin",
            brief="its key has another pin than those configured",
        )


def pin_of(certificate: bytes) -> str:
    """Give the pin of a DER certificate: base64 of SHA-256 over its SPKI (RFC 7858 §4.2)."""
    from cryptography import x509  # 7 MB, so only where pins are set
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def check_hashes(endpoint: Endpoint, chain: Sequence[bytes]) -> None:
    """Check that a certificate of the verified chain, in DER, has one of the hashes of the stamp.

    Raises:
        AuthenticationError: none has.
    """
    hashes = endpoint.tbs_sha256
    if not any(_tbs_hash(certificate) in hashes for certificate in chain):
        raise AuthenticationError(
            f"cannot trust {endpoint.url}: of the {len(chain)} certificates in its chain "
            f"none has a hash of its stamp, {', '.join(hashes)}",
            hint="if its certificates were renewed on purpose, its operator has a new stamp",
            brief="its certificates are not those of its stamp",
        )


def not_designated(endpoint: Endpoint) -> AuthenticationError:
    """Give the error of a certificate without the address of the resolver that led to it."""
    return AuthenticationError(
        f"cannot trust {endpoint.url}: its certificate does not hold the address {endpoint.designator}",
        brief=f"its certificate does not hold the address {endpoint.designator}",
    )


def distrust(endpoint: Endpoint, peer: str, code: int, message: str) -> AuthenticationError:
    """Give the error of ours for an X509_V_ERR_* and what OpenSSL says about it."""
    words = CERTIFICATE_WORDS.get(code, message)
    error = AuthenticationError(
        f"cannot trust {endpoint.url} at {peer}: {words}", hint=CERTIFICATE_HINTS.get(code), brief=words
    )
    error.untimely = _UNTIMELY.get(code, "")
    return error


def no_trust_store(ca_file: str | None, words: str) -> ConnectError:
    """Give the error of a trust store that cannot be read."""
    return ConnectError(
        f"cannot read the trust store {ca_file or 'of the system'}: {words}",
        hint="ca_file must be a readable PEM file with at least one certificate" if ca_file else None,
    )


def system_trust() -> tuple[str | None, str | None]:
    """Give the file and the directory of the authorities that the system trusts, where they exist.

    SSL_CERT_FILE and SSL_CERT_DIR may name others, but not to root: whoever could set its
    environment would choose whom it trusts (threat E17).
    """
    paths = ssl.get_default_verify_paths()
    if os.geteuid():
        return paths.cafile, paths.capath
    cafile = paths.openssl_cafile if os.path.isfile(paths.openssl_cafile) else None
    capath = paths.openssl_capath if os.path.isdir(paths.openssl_capath) else None
    return cafile, capath


_contexts: weakref.WeakValueDictionary[tuple[object, ...], ssl.SSLContext] = weakref.WeakValueDictionary()
"""Contexts in use: a trust store takes 1 MB and 15 ms to read, so upstreams share it."""


def _context(ca_file: str | None, alpn: str, is_timely: bool) -> ssl.SSLContext:
    """Give a strict client context that trusts ``ca_file`` alone, or the system.

    ``is_timely`` says that the clock can be believed; else certificates have no age.

    Raises:
        ConnectError: the file cannot be read or holds no certificate.
    """
    try:
        changed = os.stat(ca_file).st_mtime_ns if ca_file else 0  # a replaced file is read again
        key = (ca_file, changed, alpn, is_timely)
        context = _contexts.get(key)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and chains from the start
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.hostname_checks_common_name = False
            context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
            context.set_ciphers(_CIPHERS)
            context.set_alpn_protocols([alpn])
            if not is_timely:
                context.verify_flags |= NO_CHECK_TIME
            if ca_file:
                context.load_verify_locations(cafile=ca_file)
            else:
                _trust_system(context)
            _contexts[key] = context
    except OSError as error:  # ssl.SSLError is one
        raise no_trust_store(ca_file, str(error.strerror or error)) from error
    return context


def _trust_system(context: ssl.SSLContext) -> None:
    """Trust whom the system trusts; ``ssl``'s own way, where the environment has no say in it.

    ``ssl`` heeds SSLKEYLOGFILE in ``create_default_context`` only, which is why that is not used.
    """
    paths = ssl.get_default_verify_paths()
    variables = (paths.openssl_cafile_env, paths.openssl_capath_env)
    if os.geteuid() or not any(variable in os.environ for variable in variables):
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    cafile, capath = system_trust()
    if cafile or capath:
        context.load_verify_locations(cafile, capath)


def _holds_address(tls: ssl.SSLObject, address: str) -> bool:
    """Tell whether the subjectAltName of the verified leaf has this iPAddress."""
    names = (tls.getpeercert() or {}).get("subjectAltName", ())
    wanted = ipaddress.ip_address(address)
    for kind, value in cast(tuple[tuple[str, str], ...], names):
        with contextlib.suppress(ValueError):  # of a length that no address has
            if kind == "IP Address" and ipaddress.ip_address(value.strip()) == wanted:
                return True
    return False


def _verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Give the certificates in DER that were used to trust the peer, from its own to the trust anchor.

    What a peer merely sends along is not among them: anybody can send anybody's certificate.
    """
    if sys.version_info >= (3, 13):
        return tls.get_verified_chain()
    # Under the hood since 3.10 and unchanged until it became public.
    chain = tls._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    return [certificate.public_bytes(_DER) for certificate in chain or ()]


def _tbs_hash(certificate: bytes) -> str:
    """Give the SHA-256 of what is signed of a DER certificate (RFC 5280 §4.1.1.1), in hexadecimal."""
    from cryptography import x509  # 7 MB, so only where a stamp asks for it

    return hashlib.sha256(x509.load_der_x509_certificate(certificate).tbs_certificate_bytes).hexdigest()
