"""Say which proxy an upstream is reached through: one URL, one ``Proxy``.

    socks5://127.0.0.1:9050              SOCKS version 5 (RFC 1928); Tor, `ssh -D`
    http://user:secret@192.0.2.1:3128    HTTP with CONNECT (RFC 9110 §9.3.6)

No message here shows the URL: it may hold a password, also where nobody would look for one.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final

from secdns.errors import EndpointError

SCHEMES: Final = ("socks5", "http")
MAX_URL_LENGTH: Final = 2048
MAX_CREDENTIAL: Final = 255  # octets each, as SOCKS has them (RFC 1929 §2); enough for HTTP as well

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<credentials>[^/?#@\s]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})/?"
)
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_FORM: Final = "socks5://HOST:PORT or http://HOST:PORT, with USER:PASSWORD@ before HOST where it wants them"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is: an IP literal without brackets, and a port.

    ``credentials`` are user name and password in octets; they are in no text that this gives.
    """

    scheme: str
    host: str
    port: int
    credentials: tuple[bytes, bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The URL as it may be shown: ``***`` stands for the credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{'***@' if self.credentials else ''}{host}:{self.port}"


def parse(text: str) -> Proxy:
    """Read the URL of a proxy.

    The host is an IP address, because a name would have to be looked up before there is any DNS,
    or ``localhost``, which is 127.0.0.1. The port has to be there: proxies have no usual one.

    Raises:
        EndpointError: with what was wanted, and nothing of the text that could be a secret.
    """
    match = _URL.fullmatch(text) if len(text) <= MAX_URL_LENGTH else None
    if match is None:
        hint = "in a user name or password write %40 for @, %2F for / and so on" if "@" in text else None
        raise EndpointError(f"this is not the URL of a proxy, want {_FORM}", hint=hint)
    scheme = match["scheme"].lower()
    if scheme not in SCHEMES:
        raise EndpointError(f"a proxy cannot be {scheme}://, want {_FORM}", hint=_OTHER_SCHEMES.get(scheme))
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise EndpointError("the proxy has a port that is none, want one from 1 to 65535")
    credentials = match["credentials"]
    return Proxy(
        scheme,
        _parse_host(match["host"].lower()),
        port,
        None if credentials is None else _parse_credentials(scheme, credentials),
    )


def hide_credentials(text: str) -> str:
    """Give a text with ``***`` for whatever stands between the first ``://`` and the last ``@``."""
    start, end = text.find("://"), text.rfind("@")
    return f"{text[: start + 3]}***{text[end:]}" if 0 <= start < end else text


_OTHER_SCHEMES: Final = {
    "socks5h": "socks5:// gives the upstream's name to the proxy already",
    "socks": "did you mean socks5://?",
    "https": "http:// says how the proxy is asked, the DNS inside is encrypted all the same",
}


def _parse_host(text: str) -> str:
    if text == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        wanted = "want its IP address or localhost: a name would need DNS before there is any"
        raise EndpointError(f"the proxy has {text!r} as host, {wanted}") from None
    if address.is_unspecified or address.is_multicast or (address.version == 6) is not text.startswith("["):
        raise EndpointError(f"no proxy can be at {text!r}, want one host's address, IPv6 in brackets")
    return str(address)


def _parse_credentials(scheme: str, text: str) -> tuple[bytes, bytes]:
    """Give user name and password, ``%XX`` decoded (RFC 3986 §3.2.1)."""
    name, colon, word = text.partition(":")
    user, password = _decode(name), _decode(word)
    least = 1 if scheme == "socks5" else 0  # RFC 1929 §2
    if not colon or not user or not least <= len(password) <= MAX_CREDENTIAL or len(user) > MAX_CREDENTIAL:
        raise EndpointError(
            f"before the '@' of the proxy stands no USER:PASSWORD, want {least or 'at most'} "
            f"{'to ' if least else ''}{MAX_CREDENTIAL} octets each"
        )
    if scheme == "http" and (b":" in user or any(octet < 32 or octet == 127 for octet in user + password)):
        wanted = "want none, and no control characters (RFC 7617 §2)"
        raise EndpointError(f"the user name for the proxy has a colon, or a control character, {wanted}")
    return user, password


def _decode(text: str) -> bytes:
    octets = text.encode()
    if octets.count(b"%") != len(_ESCAPE.findall(octets)):
        raise EndpointError("a % in the credentials of the proxy stands alone, want %25 for it")
    return _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), octets)
