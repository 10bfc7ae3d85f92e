"""Take DNS stamps apart: ``sdns://`` and, in base64url, what there is to know about an upstream.

The format is that of https://dnscrypt.info/stamps-specifications (draft-denis-dns-stamps). Every
field has its length before it, so what is decoded here is exact; what the texts in it mean is for
``endpoint`` to say.

Two fields are read over. The properties (validates, keeps no logs, blocks nothing) are what an
upstream says of itself, and nothing here would be decided by them. The bootstrap addresses are
resolvers to be asked in plain for the upstream's host: secdns asks another encrypted upstream
(``bootstrap``), or dials the address in the stamp.
"""

import base64
import re
from dataclasses import dataclass
from typing import Final

from secdns.errors import EndpointError

PREFIX: Final = "sdns://"
MAX_STAMP_LENGTH: Final = 4096  # characters; those in use have about 150, each hash more adds 44
HASH_SIZE: Final = 32  # SHA-256

_SCHEMES: Final = {0x00: "udp", 0x02: "https", 0x03: "tls", 0x04: "quic"}
_REFUSED: Final = {
    0x01: "DNSCrypt",
    0x05: "Oblivious DNS over HTTPS",
    0x81: "a DNSCrypt relay",
    0x85: "an Oblivious DNS over HTTPS relay",
}
_WANTED: Final = "DNS over HTTPS (0x02), TLS (0x03) or QUIC (0x04)"
_CUT: Final = "is all of it there?"
_MORE: Final = 0x80  # in the length of an element of a set: another one follows
_NOT_BASE64URL: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a stamp says, its texts not looked at yet.

    ``address`` may be empty, or a port alone (``:443``); ``host`` is empty in a plain stamp, and
    ``path`` in any but one for HTTP. Of ``tbs_hashes``, if there are any, one must be the SHA-256
    of the TBSCertificate of some certificate in the validated chain.
    """

    scheme: str
    address: str
    host: str = ""
    path: str = ""
    tbs_hashes: tuple[bytes, ...] = ()


def is_stamp(text: str) -> bool:
    """Tell whether a stamp is meant."""
    return text[: len(PREFIX)].lower() == PREFIX


def decode(text: str) -> Stamp:
    """Read a stamp for plain DNS, or for DNS over HTTPS, TLS or QUIC.

    Raises:
        EndpointError: it is for another protocol, or malformed.
    """
    if len(text) > MAX_STAMP_LENGTH:
        raise EndpointError(f"DNS stamp of {len(text)} characters, at most {MAX_STAMP_LENGTH} are wanted")
    fields = _Fields(_from_base64url(text[len(PREFIX) :]))
    scheme = _scheme(fields.take(1, "protocol")[0])
    fields.take(8, "properties")
    address = fields.text("address")
    if scheme == "udp":
        stamp = Stamp(scheme, address)
    else:
        hashes = _checked_hashes(fields.set("certificate hashes"))
        host = fields.text("host name")
        path = fields.text("path") if scheme == "https" else ""
        if fields.left:
            fields.set("bootstrap addresses")
        stamp = Stamp(scheme, address, host, path, hashes)
    if fields.left:
        raise EndpointError(f"the DNS stamp has octets after its last field, want none: {fields.left}")
    return stamp


class _Fields:
    """The octets of a stamp, taken from the front."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._octets) - self._at

    def take(self, size: int, what: str) -> bytes:
        if size > self.left:
            raise EndpointError(f"the DNS stamp has {self.left} of {size} octets of its {what}: {_CUT}")
        taken = self._octets[self._at : self._at + size]
        self._at += size
        return taken

    def text(self, what: str) -> str:
        octets = self.take(self.take(1, what)[0], what)
        try:
            return octets.decode()
        except UnicodeDecodeError:
            raise EndpointError(f"the DNS stamp has {octets!r} as {what}, want UTF-8") from None

    def set(self, what: str) -> tuple[bytes, ...]:
        """Take the elements of a set, which has one at least; the only one may be empty."""
        elements = []
        size = _MORE
        while size & _MORE:
            size = self.take(1, what)[0]
            elements.append(self.take(size & ~_MORE, what))
        return tuple(elements)


def _from_base64url(text: str) -> bytes:
    """Decode base64url without padding (RFC 4648 §5): one text for each sequence of octets."""
    wrong = _NOT_BASE64URL.search(text)
    if wrong is not None:
        raise EndpointError(f"the DNS stamp has {wrong[0]!r} in it, want base64url without padding")
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        octets = b""
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != text.encode():
        raise EndpointError(f"the DNS stamp ends amid an octet, with {text[-4:]!r}: {_CUT}")
    return octets


def _scheme(protocol: int) -> str:
    if protocol in _REFUSED:
        raise EndpointError(
            f"the DNS stamp is for {_REFUSED[protocol]}, want one for {_WANTED}",
            hint="its operator may have a stamp or a URL for one of these, too",
        )
    if protocol not in _SCHEMES:
        raise EndpointError(f"the DNS stamp has the unknown protocol {protocol:#04x}, want {_WANTED}")
    return _SCHEMES[protocol]


def _checked_hashes(elements: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if elements == (b"",):
        return ()
    for element in elements:
        if len(element) != HASH_SIZE:  # one left out would loosen what the others ask for
            raise EndpointError(
                f"the DNS stamp has a certificate hash of {len(element)} octets, want {HASH_SIZE} (SHA-256)"
            )
    return tuple(dict.fromkeys(elements))
