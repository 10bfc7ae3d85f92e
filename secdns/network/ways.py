"""Find out how octets to an upstream would leave this machine, without sending any.

What matters is this and nothing else. Links, addresses and routes come and go on a machine with
containers, a second link or a VPN for one network; a connection lives or dies with its own way. So
whatever is heard of the network is only a reason to look whether the ways are what they were.
"""

import errno
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from secdns.network import netlink
from secdns.network.netlink import LinkState, Told

ROUTE_SIZE: Final = 1 << 16  # octets of one answer of the kernel's
MAX_STALE: Final = 8  # answers thrown away that nobody waits for any more
PORT: Final = 853  # to connect a UDP socket to; nothing is sent

_NO_WAY: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
    }
)
_NO_ROUTE: Final = _NO_WAY | {errno.EACCES, errno.EINVAL}  # "prohibit" and "blackhole"


@dataclass(frozen=True, slots=True)
class Way:
    """One way: the source address, and where it can be told the link, the gateway and the link's flaps."""

    source: str
    link: str = ""
    gateway: str = ""
    flaps: int = 0

    def __str__(self) -> str:
        return f"{self.source} on {self.link}" if self.link else self.source


Found = Mapping[str, Way | None]  # address of an upstream -> the way there; None: there is none


class Ways:
    """Asks the kernel. Never waits: it answers within the call."""

    def __init__(self) -> None:
        self._socket = netlink.open_socket(groups=0)
        self._sequence = 0

    def find(self, addresses: Iterable[str]) -> Found:
        """Give the way to each of some IP literals."""
        links: dict[int, LinkState | None] = {}
        return {address: self._find(address, links) for address in addresses}

    def close(self) -> None:
        """Close what is open; only the source addresses are found after that."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _find(self, address: str, links: dict[int, LinkState | None]) -> Way | None:
        self._sequence += 1
        told = self._ask(netlink.ask_for_route(address, self._sequence))
        if told is None:
            return by_socket(address)
        if told.kind == netlink.ERROR:
            return None if netlink.read_error(told.payload) in _NO_ROUTE else by_socket(address)
        route = netlink.read_route(told.payload)
        if route is None:
            return None
        if route.link not in links:
            links[route.link] = self._link(route.link)
        link = links[route.link]
        if link is None:
            return Way(route.source, gateway=route.gateway)
        return Way(route.source, link.name, route.gateway, link.flaps) if link.is_up else None

    def _link(self, index: int) -> LinkState | None:
        self._sequence += 1
        told = self._ask(netlink.ask_for_link(index, self._sequence))
        return netlink.read_link(told.payload) if told is not None and told.kind == netlink.NEW_LINK else None

    def _ask(self, request: bytes) -> Told | None:
        """Give the kernel's answer, or None if it cannot be had."""
        if self._socket is None:
            return None
        with suppress(OSError):
            self._socket.send(request)
            for _ in range(MAX_STALE):
                for told in netlink.messages(self._socket.recv(ROUTE_SIZE)):
                    if told.sequence == self._sequence:
                        return told
        return None


def by_socket(address: str) -> Way | None:
    """Give the way as far as any system tells it: by a UDP socket that is connected and never used."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, PORT))
            return Way(str(probe.getsockname()[0]))
    except OSError as error:
        return None if error.errno in _NO_WAY else Way("")  # whatever else it is, it is not the network


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of the ways. ``is_break``: connections that are open do not outlive it."""

    reason: str
    is_break: bool


def compare(before: Found, now: Found) -> Difference | None:
    """Tell what became of the ways to the addresses in both, or None if nothing did.

    A way that appears beside others is no break: nothing that is open uses it.
    """
    both = [address for address in now if address in before]
    lost = [way for address in both if (way := before[address]) is not None and now[address] is None]
    new = [way for address in both if before[address] is None and (way := now[address]) is not None]
    changed = [
        (old, way)
        for address in both
        if (old := before[address]) is not None and (way := now[address]) is not None and old != way
    ]
    is_gone = not any(now.values())
    if changed:
        return Difference(_change_words(*changed[0]), is_break=True)
    if lost:
        words = f"{lost[0]} leads to an upstream no more"
        if is_gone:
            words = f"the network is gone, it was {lost[0]}"
        return Difference(words, is_break=True)
    if new:
        was_gone = not any(before[address] for address in both)
        words = f"the network is back, it is {new[0]}" if was_gone else f"{new[0]} leads to an upstream now"
        return Difference(words, is_break=was_gone)
    return None


def _change_words(old: Way, new: Way) -> str:
    if old.source != new.source or old.link != new.link:
        return f"{new} is used now instead of {old}"
    if old.gateway != new.gateway:
        return f"{new} has another gateway"
    return f"link {new.link} went down and came back"
