"""Say where an upstream is and how it is reached: one URL, one ``Endpoint``.

    https://dns.example/dns-query   DNS over HTTPS, HTTP/2 (RFC 8484)
    h3://dns.example/dns-query      DNS over HTTPS, HTTP/3
    tls://dns.example               DNS over TLS (RFC 7858)
    quic://dns.example              DNS over QUIC (RFC 9250)
    udp://192.0.2.53                DNS in plain, for routes into one's own network
    tcp://192.0.2.53                the same over TCP
    sdns://AgcAAAAAAAAA…            a DNS stamp, which stands for one of these (``stamps``)

Whether this version can speak a scheme is for the transports to say; here it only has a meaning.
The text is taken apart by hand: ``urllib.parse`` drops tabs and line feeds without a word, and what
a person did not write must not be dialled.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from secdns import stamps
from secdns.errors import EndpointError
from secdns.proxies import Proxy, hide_credentials

DEFAULT_PORTS: Final = {"https": 443, "h3": 443, "tls": 853, "quic": 853, "udp": 53, "tcp": 53}
"""Scheme -> port when the URL gives none (RFC 9110 §4.2.2, RFC 7858 §3.1, RFC 9250 §4.1.1)."""

PLAIN_SCHEMES: Final = frozenset({"udp", "tcp"})
HTTP_SCHEMES: Final = frozenset({"https", "h3"})
PROXY_SCHEMES: Final = frozenset({"https", "tls"})
DEFAULT_PATH: Final = "/dns-query"

MAX_URL_LENGTH: Final = 2048  # longer than any DoH path in use; keeps error messages and request heads small
MAX_HOST_LENGTH: Final = 253  # what fits a name of 255 octets (RFC 1035 §2.3.4)

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^#]*)(?P<fragment>#.*)?",
    re.DOTALL,
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")  # RFC 3986 §3.3, §3.4
_NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to reach one upstream: ``parse`` reads it, ``replace`` adds what a URL cannot say.

    ``host`` is a lower-case host name without final dot, or an IP literal without brackets;
    ``path`` is empty unless the scheme is HTTP, and holds the query part if there is one.
    ``addresses`` are IP literals to dial (empty: ask bootstrap), ``ca_file`` replaces the system's
    trust store, and of ``pin_sha256`` (base64 of SHA-256 over the SPKI) any one must match the leaf.
    Of ``tbs_sha256`` (SHA-256 over the TBSCertificate in hexadecimal, from a stamp) any one must
    match any certificate of the validated chain. Where both are given, both must match.
    With a ``proxy`` nothing is looked up: it is given the addresses, or else the host name.

    ``offers_h3`` is about ``https``: True if HTTP/3 is offered at the same host and port, False if it
    shall not be used, None if the server itself may say so (Alt-Svc). ``origin_port`` is the port to
    name to an HTTP server that is reached at another one (RFC 7838 §2), None where they are the same.

    ``designator`` is the address of the plain resolver that this endpoint was learnt from, if the
    certificate has to hold it as well as the host (RFC 9462 §4.2).

    ``link`` is the interface that all must leave by, "" for the one that the kernel chooses.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    addresses: tuple[str, ...] = ()
    ca_file: str | None = None
    pin_sha256: tuple[str, ...] = ()
    tbs_sha256: tuple[str, ...] = ()
    proxy: Proxy | None = None
    offers_h3: bool | None = None
    origin_port: int | None = None
    designator: str | None = None
    link: str = ""

    @property
    def is_ip(self) -> bool:
        """Tell whether the host is an IP literal, so that there is no name to look up."""
        return is_ip_literal(self.host)

    @property
    def is_encrypted(self) -> bool:
        """Tell whether what is asked here travels encrypted."""
        return self.scheme not in PLAIN_SCHEMES

    @property
    def authority(self) -> str:
        """The host, bracketed if IPv6, with the port unless it is the scheme's own (RFC 3986 §3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = self.port if self.origin_port is None else self.origin_port
        return host if port == DEFAULT_PORTS[self.scheme] else f"{host}:{port}"

    @property
    def url(self) -> str:
        """The canonical URL: ``parse`` of it gives the same scheme, host, port and path.

        Of a stamp it is what the stamp comes down to, without its address and hashes.
        """
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(text: str) -> Endpoint:
    """Read an upstream's URL or its DNS stamp.

    A host that is an IP literal is also put into ``addresses``. The template suffix ``{?dns}`` that
    DoH operators print is dropped: queries go by POST (RFC 8484 §4.1).

    Raises:
        EndpointError: with the text seen and what was wanted instead.
    """
    if stamps.is_stamp(text):
        return _parse_stamp(text)
    if len(text) > MAX_URL_LENGTH:
        raise EndpointError(f"URL of {len(text)} characters, at most {MAX_URL_LENGTH} are wanted")
    match = _URL.fullmatch(text)
    text = hide_credentials(text)  # from here on it is for messages alone
    if match is None:
        raise EndpointError(
            f"{text!r} is not the URL of an upstream, want scheme://host with one of {_scheme_list()}",
            hint=f"for DNS over TLS write tls://{text}" if _looks_like_host(text) else None,
        )
    scheme = _parse_scheme(text, match["scheme"].lower())
    if match["fragment"] is not None:
        raise EndpointError(f"{text!r} has a fragment {match['fragment']!r}, want none")
    host, port = _parse_authority(text, scheme, match["authority"])
    path = _parse_path(text, scheme, match["path"])
    return Endpoint(scheme, host, port, path, addresses=(host,) if is_ip_literal(host) else ())


def check_proxied(where: Endpoint) -> None:
    """Make sure that a proxy can carry this: it takes streams of octets, and TLS is inside.

    Raises:
        EndpointError: it cannot.
    """
    if where.scheme not in PROXY_SCHEMES:
        wanted = "want https:// (DNS over HTTPS, HTTP/2) or tls:// (DNS over TLS)"
        raise EndpointError(f"{where.scheme}:// cannot go through a proxy, {wanted}")


def is_ip_literal(text: str) -> bool:
    """Tell whether ``text`` is an IPv4 or IPv6 address, unbracketed, in any legal spelling."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_address(text: str) -> str:
    """Give the canonical spelling of an IP literal that an upstream can have.

    Raises:
        EndpointError: not an address, or one that nobody can be reached at (unspecified,
            multicast, broadcast), or one with a zone (``%eth0``).
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise EndpointError(f"{hide_credentials(text)!r} is not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise EndpointError(f"address {text!r} names an interface, want one that is valid without it")
    if address.is_unspecified or address.is_multicast or address == ipaddress.IPv4Address("255.255.255.255"):
        raise EndpointError(f"no upstream can have the address {text!r}, want one host's address")
    return str(address)


def _scheme_list() -> str:
    return ", ".join(f"{scheme}://" for scheme in DEFAULT_PORTS)


def _looks_like_host(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9._-]+(:[0-9]+)?", text) is not None


def _parse_scheme(text: str, scheme: str) -> str:
    if scheme in DEFAULT_PORTS:
        return scheme
    if scheme == "http":
        raise EndpointError(f"{text!r} is not encrypted, want https://")
    import difflib  # for this message only

    near = difflib.get_close_matches(scheme, DEFAULT_PORTS, n=1)
    raise EndpointError(
        f"{text!r} has the unknown scheme {scheme!r}, want one of {_scheme_list()}",
        hint=f"did you mean {near[0]}://?" if near else None,
    )


def _parse_authority(text: str, scheme: str, authority: str) -> tuple[str, int]:
    host, port = _parse_host_and_port(text, authority)
    return host, DEFAULT_PORTS[scheme] if port is None else port


def _parse_host_and_port(text: str, authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise EndpointError(f"{text!r} has user information before '@', want the host alone")
    if authority.startswith("["):
        literal, bracket, rest = authority[1:].partition("]")
        if not bracket or ":" not in literal:
            raise EndpointError(f"{text!r} has {authority!r} as host, want an IPv6 address in brackets")
        host = _checked_address(text, literal)
    else:
        name, colon, digits = authority.partition(":")
        if ":" in digits:
            raise EndpointError(f"{text!r} has {authority!r} as host, want an IPv6 address in brackets")
        host, rest = _parse_host(text, name), colon + digits
    return host, _parse_port(text, rest) if rest else None


def _parse_port(text: str, rest: str) -> int:
    port = rest.removeprefix(":")
    if rest == port or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise EndpointError(f"{text!r} has {rest!r} after the host, want a colon and a port from 1 to 65535")
    return int(port)


def _parse_host(text: str, host: str) -> str:
    if not host:
        raise EndpointError(f"{text!r} has no host")
    if not host.isascii():
        raise EndpointError(f"{text!r} has the host {host!r}, want ASCII (the xn-- form)")
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMBER_LABEL.fullmatch(labels[-1]):  # no top-level name is a number: only an address can be meant
        return _checked_address(text, host)
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise EndpointError(
                f"{text!r} has {label!r} in its host, want 1 to 63 letters, digits and inner hyphens"
            )
    if len(host) > MAX_HOST_LENGTH:
        raise EndpointError(f"host name of {len(host)} characters, at most {MAX_HOST_LENGTH} are wanted")
    return host


def _checked_address(text: str, literal: str) -> str:
    try:
        return parse_address(literal)
    except EndpointError as error:
        raise EndpointError(f"{text!r} has a host that cannot be used: {error}") from error


def _parse_path(text: str, scheme: str, path: str) -> str:
    if scheme not in HTTP_SCHEMES:
        if path not in ("", "/"):
            raise EndpointError(f"{text!r} has the path {path!r}, want none: {scheme}:// has no paths")
        return ""
    path = path.removesuffix("{?dns}")
    if not path:
        return DEFAULT_PATH
    if not path.startswith("/"):
        path = "/" + path  # https://host?key=value (RFC 9112 §3.2.1)
    if not _PATH.fullmatch(path):
        raise EndpointError(f"{text!r} has the path {path!r}, want printable ASCII without spaces, else %XX")
    return path


# stamps


def _parse_stamp(text: str) -> Endpoint:
    stamp = stamps.decode(text)
    try:
        return _plain_endpoint(stamp) if stamp.scheme in PLAIN_SCHEMES else _encrypted_endpoint(stamp)
    except EndpointError as error:
        raise EndpointError(f"the DNS stamp cannot be used: {error}") from error


def _plain_endpoint(stamp: stamps.Stamp) -> Endpoint:
    shown = f"{stamp.scheme}://{stamp.address}"
    address, port = _parse_stamp_address(shown, stamp.address)
    if address is None:
        raise EndpointError(f"{shown!r} has no address")
    return Endpoint(stamp.scheme, address, port or DEFAULT_PORTS[stamp.scheme], addresses=(address,))


def _encrypted_endpoint(stamp: stamps.Stamp) -> Endpoint:
    """Give what a stamp comes down to. Its port stands after the host, after the address, or after both."""
    shown = f"{stamp.scheme}://{stamp.host}{stamp.path}"
    host, port = _parse_host_and_port(shown, stamp.host)
    address, address_port = _parse_stamp_address(shown, stamp.address)
    if port is not None and address_port is not None and port != address_port:
        raise EndpointError(f"{shown!r} has the address {stamp.address!r} with another port, want one port")
    if stamp.scheme in HTTP_SCHEMES and not stamp.path.startswith("/"):
        raise EndpointError(f"{shown!r} has the path {stamp.path!r}, want one that begins with a slash")
    if address is None and is_ip_literal(host):
        address = host
    return Endpoint(
        stamp.scheme,
        host,
        port or address_port or DEFAULT_PORTS[stamp.scheme],
        _parse_path(shown, stamp.scheme, stamp.path),
        addresses=() if address is None else (address,),
        tbs_sha256=tuple(digest.hex() for digest in stamp.tbs_hashes),
    )


def _parse_stamp_address(shown: str, text: str) -> tuple[str | None, int | None]:
    """Give the IP literal and the port, of which either may be missing."""
    if not text:
        return None, None
    if text.startswith(":"):
        return None, _parse_port(shown, text)
    address, port = _parse_host_and_port(shown, text)
    if not is_ip_literal(address):
        raise EndpointError(f"{shown!r} has the address {text!r}, want an IP address, with a port or without")
    return address, port
