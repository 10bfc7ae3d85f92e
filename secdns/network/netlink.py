"""Read what Linux tells about links, addresses and routes (rtnetlink(7)).

The layouts are those of ``linux/netlink.h`` and ``linux/rtnetlink.h``, in the machine's own byte
order. Only the kernel writes what is read here; it is bounded all the same.
"""

import socket
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final, NamedTuple

GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # links; IPv4 and IPv6: addresses and routes
ERROR: Final = 2
NEW_LINK, DEL_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DEL_ADDRESS = 20, 21
NEW_ROUTE, DEL_ROUTE, GET_ROUTE = 24, 25, 26
REQUEST: Final = 1

UP: Final = 0x1
LOOPBACK: Final = 0x8
RUNNING: Final = 0x40  # packets pass: the queue is open, 802.1X and WPA let us in; may come a second late
LOWER_UP: Final = 0x10000  # there is a carrier; goes at once
IN_USE: Final = UP | RUNNING | LOWER_UP

MAX_KNOWN: Final = 4096  # links or addresses remembered; then they are forgotten, and are news once more

_HEADER: Final = Struct("=IHHII")  # length, type, flags, sequence number, port
_LINK: Final = Struct("=BxHiII")  # family, type, index, flags, mask of changes
_ADDRESS: Final = Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE: Final = Struct("=BBBBBBBBI")  # family, two prefix lengths, TOS, table, protocol, scope, type, flags
_ATTRIBUTE: Final = Struct("=HH")  # length, type
_U16: Final = Struct("=H")
_U32: Final = Struct("=I")
_ERRNO: Final = Struct("=i")
_TYPE_MASK: Final = 0x3FFF  # less the bits "nested" and "network byte order"

_IFNAME, _CARRIER_CHANGES = 3, 35
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_TENTATIVE: Final = 0x40 | 0x08  # or found to be a duplicate
_DEPRECATED: Final = 0x20
_SCOPE_LINK: Final = 253  # and above: not beyond this link, or this machine
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_TABLE, _RTA_VIA = 1, 4, 5, 7, 15, 18
_UNICAST, _LOCAL_ROUTE = 1, 2
_FORBIDDING: Final = frozenset({6, 7, 8})  # blackhole, unreachable, prohibit
_TABLE_LOCAL: Final = 255
_CLONED: Final = 0x200


class Told(NamedTuple):
    """One message: its type, its sequence number, and what follows the header."""

    kind: int
    sequence: int
    payload: bytes


class LinkState(NamedTuple):
    """One link: its number is the kernel's. ``flaps`` counts how often its carrier came or went."""

    number: int
    name: str
    is_loopback: bool
    is_up: bool
    flaps: int


class RouteState(NamedTuple):
    """How octets to one address leave: source address, index of the link, gateway or ""."""

    source: str
    link: int
    gateway: str


def open_socket(groups: int) -> socket.socket | None:
    """Give a non-blocking socket to the kernel that hears of ``groups``, or None where there is none.

    Other systems have no such thing, and a service may be forbidden to use it.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return None
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError:
        return None
    try:
        opened.setblocking(False)
        opened.bind((0, groups))
    except OSError:
        opened.close()
        return None
    return opened


def messages(octets: bytes) -> Iterator[Told]:
    """Yield the messages of one datagram; what makes no sense ends it."""
    at, end = 0, len(octets)
    while end - at >= _HEADER.size:
        size, kind, _, sequence, _ = _HEADER.unpack_from(octets, at)
        if size < _HEADER.size or size > end - at:
            return
        yield Told(kind, sequence, octets[at + _HEADER.size : at + size])
        at += (size + 3) & ~3


def attributes(payload: bytes, start: int) -> Mapping[int, bytes]:
    """Give the attributes behind a message's fixed part; the first of each type."""
    found: dict[int, bytes] = {}
    at, end = start, len(payload)
    while end - at >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(payload, at)
        if size < _ATTRIBUTE.size or size > end - at:
            break
        found.setdefault(kind & _TYPE_MASK, payload[at + _ATTRIBUTE.size : at + size])
        at += (size + 3) & ~3
    return found


def ask_for_route(address: str, sequence: int) -> bytes:
    """Give the request for the route to an IP literal.

    Raises:
        OSError: it is none.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address)
    fixed = _ROUTE.pack(family, 8 * len(raw), 0, 0, 0, 0, 0, 0, 0)
    return _request(GET_ROUTE, sequence, fixed + _ATTRIBUTE.pack(4 + len(raw), _RTA_DST) + raw)


def ask_for_link(index: int, sequence: int) -> bytes:
    """Give the request for the state of a link."""
    return _request(GET_LINK, sequence, _LINK.pack(0, 0, index, 0, 0))


def _request(kind: int, sequence: int, payload: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(payload), kind, REQUEST, sequence, 0) + payload


def read_error(payload: bytes) -> int:
    """Give the errno of an ERROR message, 0 if it has none."""
    return -int(_ERRNO.unpack_from(payload)[0]) if len(payload) >= _ERRNO.size else 0


def read_link(payload: bytes) -> LinkState | None:
    """Give the link of a NEW_LINK message, or None if that is no news of a link itself."""
    if len(payload) < _LINK.size:
        return None
    family, _, index, flags, _ = _LINK.unpack_from(payload)
    if family != socket.AF_UNSPEC:  # a bridge about one of its ports
        return None
    found = attributes(payload, _LINK.size)
    name = found.get(_IFNAME, b"").rstrip(b"\0").decode("ascii", "replace")
    flaps = _u32(found.get(_CARRIER_CHANGES, b""))
    is_up = flags & IN_USE == IN_USE
    return LinkState(index, name, bool(flags & LOOPBACK), is_up, flaps)


def read_route(payload: bytes) -> RouteState | None:
    """Give the route of an answer to ``ask_for_route``, or None if it leads nowhere."""
    if len(payload) < _ROUTE.size:
        return None
    family, kind = payload[0], payload[7]
    if kind not in (_UNICAST, _LOCAL_ROUTE):
        return None
    found = attributes(payload, _ROUTE.size)
    gateway = _text(family, found.get(_RTA_GATEWAY, b""))
    if not gateway and len(via := found.get(_RTA_VIA, b"")) > 2:  # IPv4 by way of an IPv6 neighbour
        gateway = _text(_U16.unpack_from(via)[0], via[2:])
    return RouteState(_text(family, found.get(_RTA_PREFSRC, b"")), _u32(found.get(_RTA_OIF, b"")), gateway)


class News:
    """Tells what may concern us from the rest, which a laptop hears every few seconds.

    No news are: loopback, what a link counts, bridges about their ports, addresses that lead
    nowhere (of the link alone, or not usable yet), an address announced again as it was, routes to
    such addresses and those of the ``local`` table, which follow the addresses. A container that
    starts is news here: whether it has any bearing on our upstreams the kernel knows best, see ``ways``.
    """

    def __init__(self) -> None:
        self._links: dict[int, LinkState] = {}
        self._addresses: dict[tuple[int, bytes], bool] = {}  # and whether it is deprecated

    def is_in(self, octets: bytes) -> bool:
        """Tell whether a datagram holds any."""
        found = False
        for kind, _, payload in messages(octets):
            if kind == NEW_LINK:
                found |= self._is_new_link(payload)
            elif kind == DEL_LINK:
                link = read_link(payload)
                found |= link is not None and self._links.pop(link.number, link).is_up
            elif kind in (NEW_ADDRESS, DEL_ADDRESS):
                found |= self._is_new_address(payload, kind == DEL_ADDRESS)
            elif kind in (NEW_ROUTE, DEL_ROUTE):
                found |= _is_route_of_ours(payload)
        return found

    def _is_new_link(self, payload: bytes) -> bool:
        link = read_link(payload)
        if link is None or link.is_loopback or self._links.get(link.number) == link:
            return False
        if len(self._links) >= MAX_KNOWN:
            self._links.clear()
        self._links[link.number] = link
        return True

    def _is_new_address(self, payload: bytes, is_gone: bool) -> bool:
        if len(payload) < _ADDRESS.size:
            return False
        _, _, flags, scope, index = _ADDRESS.unpack_from(payload)
        found = attributes(payload, _ADDRESS.size)
        if _IFA_FLAGS in found:
            flags = _u32(found[_IFA_FLAGS])
        address = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b"")
        if scope >= _SCOPE_LINK or flags & _TENTATIVE:
            return False
        if is_gone:
            self._addresses.pop((index, address), None)
            return True
        state = bool(flags & _DEPRECATED)
        if self._addresses.get((index, address)) is state:
            return False
        if len(self._addresses) >= MAX_KNOWN:
            self._addresses.clear()
        self._addresses[index, address] = state
        return True


def _is_route_of_ours(payload: bytes) -> bool:
    if len(payload) < _ROUTE.size:
        return False
    _, _, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(payload)
    if kind != _UNICAST and kind not in _FORBIDDING:
        return False
    found = attributes(payload, _ROUTE.size)
    if _RTA_TABLE in found:
        table = _u32(found[_RTA_TABLE])
    if table == _TABLE_LOCAL or flags & _CLONED:
        return False
    to = found.get(_RTA_DST, b"")
    if len(to) == 16:
        return not (to[0] == 0xFF or (to[0] == 0xFE and to[1] & 0xC0 == 0x80))
    return not (len(to) == 4 and (to[0] >= 224 or to[:2] == b"\xa9\xfe"))


def _u32(octets: bytes) -> int:
    return int(_U32.unpack(octets)[0]) if len(octets) == _U32.size else 0


def _text(family: int, raw: bytes) -> str:
    try:
        return socket.inet_ntop(family, raw)
    except (OSError, ValueError):
        return ""
