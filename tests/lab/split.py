"""A laptop on a local network and on a VPN, each with a resolver of its own, and services that know them.

near, the laptop         far
wlan0 192.168.7.7   ──  192.168.7.1, the router and its dnsmasq; behind it the upstream
vpn0  10.8.0.2      ──  10.8.0.1, the company's dnsmasq
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secdns.dns.name import to_text
from tests.lab.capture import BUFFER_OCTETS, PACKET_STATISTICS, SO_RCVBUFFORCE, SOL_PACKET
from tests.lab.programs import Process, find, running
from tests.lab.wire import UPSTREAM, Wire
from tests.network.system_bus import NETWORK_MANAGER, Service, network_manager, service

ROUTER, COMPANY = "192.168.7.1", "10.8.0.1"
LAPTOP, LAPTOP_IN_VPN = "192.168.7.7", "10.8.0.2"
ETH_P_ALL, ETHERTYPE_IPV4, UDP, TCP = 0x0003, b"\x08\x00", 17, 6

Entry = tuple[str, list[str], list[str], bool]
LAN: Entry = ("wlan0", [ROUTER], ["lan"], False)
VPN: Entry = ("vpn0", [COMPANY], ["~corp.test"], True)


def join(laid: Wire) -> None:
    """Give the laptop its address in the local network, and the tunnel."""
    laid.near_ip(f"address add {LAPTOP}/24 dev wlan0")
    laid.far_ip(f"address add {ROUTER}/24 dev port0")
    laid.near_ip(f"link add vpn0 type veth peer name vpnend netns {laid.far_side.name}")
    laid.far_ip(f"address add {COMPANY}/24 dev vpnend")
    laid.far_ip("link set vpnend up")
    laid.near_ip(f"address add {LAPTOP_IN_VPN}/24 dev vpn0")
    laid.near_ip("link set vpn0 up")


@contextmanager
def dnsmasq(laid: Wire, directory: Path, address: str, *options: str) -> Iterator[Process]:
    """Run a resolver on the far side that is no forwarder; it knows what ``options`` say."""
    directory.mkdir(parents=True, exist_ok=True)
    argv = [
        find("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        "--user=root", "--group=", "--pid-file=", f"--listen-address={address}", "--bind-interfaces",
        "--except-interface=lo", "--local-ttl=300", *options,
    ]  # fmt: skip
    log = directory / f"dnsmasq-{address}.log"

    def ready() -> bool:
        sock = laid.near.datagram_socket()
        with sock:
            sock.settimeout(0.2)
            try:
                sock.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\0\0\1\0\1", (address, 53))
                return bool(sock.recv(512))
            except OSError:
                return False

    with running(argv, log, ready, prefix=laid.far_side.prefix) as process:
        yield process


class Services:
    """NetworkManager's place on the bus, taken by a thread of the test."""

    def __init__(self, address: str, *entries: Entry) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._service: Service = self._run(self._enter(address, entries))

    async def _enter(self, address: str, entries: tuple[Entry, ...]) -> Service:
        return await self._stack.enter_async_context(
            service(address, NETWORK_MANAGER, network_manager(*entries))
        )

    def say(self, *entries: Entry) -> None:
        """Know these links from now on, and tell that it changed."""

        async def say() -> None:
            self._service.properties = network_manager(*entries)
            self._service.tell("Configuration")

        self._run(say())

    def close(self) -> None:
        """Leave the bus."""
        self._run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet that left the laptop over IPv4; ``name`` is what it asks for, if it is plain DNS."""

    link: str
    to: str
    port: int
    name: str = ""


class Leaving:
    """All that leaves the laptop, on any link but loopback."""

    def __init__(self, laid: Wire) -> None:
        self._socket = laid.near.make(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        )
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_OCTETS)

    def take(self) -> set[Sent]:
        """Give what has left since the last time.

        Raises:
            AssertionError: the kernel had to drop some.
        """
        found: set[Sent] = set()
        while True:
            try:
                frame, (link, _, kind, *_) = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                break
            packet = frame[14:]
            if link == "lo" or kind != socket.PACKET_OUTGOING or frame[12:14] != ETHERTYPE_IPV4:
                continue
            start = (packet[0] & 15) * 4
            if packet[9] in (UDP, TCP):
                port = int.from_bytes(packet[start + 2 : start + 4])
                name = _name(packet[start + 8 + 12 :]) if packet[9] == UDP and port == 53 else ""
                found.add(Sent(link, socket.inet_ntoa(packet[16:20]), port, name))
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert dropped == 0, f"{dropped} packets were dropped"
        return found

    def close(self) -> None:
        """End the capture."""
        self._socket.close()


def _name(question: bytes) -> str:
    end = question.index(b"\0") + 1
    return to_text(question[:end].lower())


def plain(sent: set[Sent]) -> dict[tuple[str, str], set[str]]:
    """Give link and address -> names, of all that was asked in plain; all else goes to the upstream."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in sent:
        if each.port == 53:
            found.setdefault((each.link, each.to), set()).add(each.name)
        else:
            assert each.to == UPSTREAM, each
    return found
