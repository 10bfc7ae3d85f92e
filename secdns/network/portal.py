"""Find out whether something answers where nobody should: then this network wants people to sign in first.

One GET over plain HTTP to an address that is for documentation alone (RFC 5737 §3), as Portmaster does: it
takes no name and no third party, and says nothing of who asks. On a network without a sign-in page the
packet ends at the first router that knows no way, so any answer at all tells that somebody stands between.
Where to sign in says the answer's Location, or its page's meta refresh. All of it was written by whoever
runs the network, so it is read within bounds and shown only if no octet of it can do anything.
"""

import asyncio
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from secdns.dns import name as names
from secdns.errors import FormatError
from secdns.limit import Limit

TARGET: Final = ("192.0.2.1", 80)  # TEST-NET-1
NOWHERE: Final = f"http://{TARGET[0]}/"  # what a browser may open where no other address is known
# Seconds for all of it. Portmaster's; a portal is one hop away.
TIMEOUT_S: Final = Limit(1.0, 0.1, 5.0)
# Octets that are read of an answer. A redirect has some hundred, a page says where it leads at its top.
OCTETS: Final = Limit(1 << 14, 1 << 10, 1 << 16)
# Characters of an address. Portals put a state of theirs into it; browsers take more.
URL: Final = Limit(2000, 100, 8000)

_REQUEST: Final = (
    f"GET / HTTP/1.1\r\nHost: {TARGET[0]}\r\nUser-Agent: secdns\r\nAccept: */*\r\nConnection: close\r\n\r\n"
).encode()
_REDIRECTS: Final = range(300, 400)
_STATUS: Final = re.compile(rb"HTTP/\d\.\d (\d{3})")
_LOCATION: Final = re.compile(rb"^Location:[ \t]*([^\r\n]*)\r?\n", re.IGNORECASE | re.MULTILINE)
_META: Final = re.compile(rb"<meta\b([^>]{0,2200})", re.IGNORECASE)
_REFRESH: Final = re.compile(rb"http-equiv\s{0,9}=\s{0,9}[\"']?refresh\b", re.IGNORECASE)
_CONTENT: Final = re.compile(rb"\burl\s{0,9}=\s{0,9}[\"']?([^\"'>\s]{1,2000})", re.IGNORECASE)
# RFC 3986 §2, without a user part: that is for making one host look like another.
_HARMLESS: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+([/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?")
_HOST: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class Page:
    """A sign-in page, and where it is as far as that was said.

    ``url`` has nothing in it but the characters of RFC 3986. ``name`` is its host in wire form and lower
    case, None if it is an address.
    """

    url: str | None = None
    name: bytes | None = None


async def look(target: tuple[str, int] | None = None, timeout_s: float = TIMEOUT_S.default) -> Page | None:
    """Look for a sign-in page; None if nothing answers. Raises nothing."""
    octets = bytearray()
    target = target or TARGET
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with suppress(OSError, TimeoutError), socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.setblocking(False)
        async with asyncio.timeout(timeout_s):
            await _ask(opened, target, octets)
    return read(bytes(octets)) if octets else None


async def _ask(opened: socket.socket, target: tuple[str, int], octets: bytearray) -> None:
    """Ask, and collect what comes; what has come when it ends early counts as well."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(opened, target)
    await loop.sock_sendall(opened, _REQUEST)
    while len(octets) < OCTETS.default:
        piece = await loop.sock_recv(opened, OCTETS.default - len(octets))
        octets += piece
        if not piece or _is_enough(octets):
            return


def _is_enough(octets: bytearray) -> bool:
    """Tell whether a redirect's head is here: the rest of it is for nobody."""
    head, end, _ = octets.partition(b"\r\n\r\n")
    return bool(end) and _status(bytes(head)) in _REDIRECTS


def read(octets: bytes) -> Page:
    """Read where the sign-in page is off the beginning of an answer, which may be any octets."""
    head, end, body = octets.partition(b"\r\n\r\n")
    where = None
    if _status(head) in _REDIRECTS and (found := _LOCATION.search(head + end)):
        where = found[1]
    elif found := next((one for one in _META.finditer(body) if _REFRESH.search(one[1])), None):
        from html import unescape  # some 300 kB that few networks are worth

        url = _CONTENT.search(found[1])
        where = None if url is None else unescape(url[1].decode("latin-1")).encode("latin-1", "replace")
    return Page() if where is None else _page(where)


def _status(head: bytes) -> int:
    found = _STATUS.match(head)
    return int(found[1]) if found else 0


def _page(where: bytes) -> Page:
    from urllib.parse import urljoin, urlsplit  # as above

    try:
        url = urljoin(NOWHERE, where.decode("ascii").strip())
        parts = urlsplit(url)
        is_harmless = len(url) <= URL.default and _HARMLESS.fullmatch(url) is not None and parts.port != 0
    except ValueError:  # not ASCII, a port that is none, half a bracket
        return Page()
    if not is_harmless or not parts.hostname:
        return Page()
    return Page(url, _name(parts.hostname))


def _name(host: str) -> bytes | None:
    with suppress(ValueError):
        ip_address(host)
        return None
    with suppress(FormatError):
        if _HOST.fullmatch(host) and not host.rstrip(".").rpartition(".")[2].isdigit():
            return names.from_text(host).lower()
    return None
