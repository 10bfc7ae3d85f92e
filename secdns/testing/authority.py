"""Make a certificate authority and the leaf certificates, good and bad, of a testing upstream.

Every key is P-256 and lives as long as the object. Nothing here is fit for anything but tests and
demonstrations on loopback.
"""

import base64
import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CertificateKind = Literal[
    "good",  # dNSName of the upstream, valid now, for servers, signed by the CA
    "wrong-name",  # as good, for another host
    "expired",  # until yesterday
    "not-yet",  # from tomorrow
    "self-signed",  # as good, signed by itself
    "unknown-ca",  # as good, signed by a CA of the same name that nobody was told of
    "no-san",  # no subjectAltName, and another Common Name
    "cn-only",  # the host name stands in the Common Name only (RFC 9525 §2 wants it in the SAN)
    "client-only",  # extended key usage: client authentication
    "ip",  # iPAddress 127.0.0.1 and no dNSName
    "name-and-ip",  # as good, and iPAddress 127.0.0.1
    "ip-as-name",  # "127.0.0.1" as a dNSName, which proves nothing about the address
    "wildcard",  # *.parent of the host name: fits
    "wildcard-depth",  # *.grandparent of the host name: a wildcard covers one label only
]
CERTIFICATE_KINDS: tuple[CertificateKind, ...] = get_args(CertificateKind)

LOOPBACK = ipaddress.IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf certificate with its key, both PEM, and the pin of its key."""

    certificate_pem: bytes
    key_pem: bytes
    pin_sha256: str


def spki_pin(certificate_pem: bytes) -> str:
    """Give the base64 SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7858 §4.2)."""
    from cryptography import x509

    return _pin(x509.load_pem_x509_certificate(certificate_pem).public_key())


class Authority:
    """A certificate authority of its own.

    ``certificate_pem`` is what a client has to trust. Valid from a year ago for two years.
    """

    def __init__(self, name: str = "secdns testing CA") -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        self._name = _common_name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = _builder(self._name, self._key.public_key(), now - timedelta(365), now + timedelta(365))
        builder = (
            builder.issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
        )
        self.certificate_pem = _signed_pem(builder, self._key)

    def issue(self, kind: CertificateKind = "good", hostname: str = "dns.test") -> Leaf:
        """Make a new key and a certificate of this ``kind`` for ``hostname``, a name or an IP literal.

        Raises:
            ValueError: ``hostname`` has too few labels for a wildcard certificate.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        if kind == "unknown-ca":
            return Authority().issue("good", hostname)
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if kind == "client-only" else ExtendedKeyUsageOID.SERVER_AUTH
        subject = _common_name("other.test" if kind in ("wrong-name", "no-san") else hostname)
        issuer, signer = (subject, key) if kind == "self-signed" else (self._name, self._key)
        builder = (
            _builder(subject, key.public_key(), *_validity(kind))
            .issuer_name(issuer)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
        )
        if names := _alternative_names(kind, hostname):
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Leaf(_signed_pem(builder, signer), key_pem, _pin(key.public_key()))


def _alternative_names(kind: CertificateKind, hostname: str) -> "list[x509.GeneralName]":
    from cryptography import x509

    labels = hostname.split(".")
    match kind:
        case "no-san" | "cn-only":
            return []
        case "ip":
            return [x509.IPAddress(LOOPBACK)]
        case "name-and-ip":
            return [x509.DNSName(hostname), x509.IPAddress(LOOPBACK)]
        case "ip-as-name":
            return [x509.DNSName(str(LOOPBACK))]
        case "wrong-name":
            return [x509.DNSName("other.test")]
        case "wildcard" | "wildcard-depth":
            above = labels[1:] if kind == "wildcard" else labels[2:]
            if len(above) < 2:  # OpenSSL wants two labels right of the asterisk
                raise ValueError(f"a {kind} certificate for {hostname} needs a host name with more labels")
            return [x509.DNSName("*." + ".".join(above))]
    try:
        return [x509.IPAddress(ipaddress.ip_address(hostname))]
    except ValueError:
        return [x509.DNSName(hostname)]


def _validity(kind: CertificateKind) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    if kind == "expired":
        return now - timedelta(30), now - timedelta(1)
    if kind == "not-yet":
        return now + timedelta(1), now + timedelta(30)
    return now - timedelta(1), now + timedelta(30)


def _common_name(name: str) -> "x509.Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: "x509.Name", key: "ec.EllipticCurvePublicKey", start: datetime, end: datetime
) -> "x509.CertificateBuilder":
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, ca: bool) -> "x509.KeyUsage":
    """Give the key usage that strict verification (RFC 5280 §4.2.1.3) expects."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_pem(builder: "x509.CertificateBuilder", key: "ec.EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization

    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _pin(key: object) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError(f"a testing certificate has a P-256 key, not {type(key).__name__}")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()
