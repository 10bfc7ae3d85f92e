"""A café between the laptop and the world, whose network wants people to sign in.

    near, the laptop        cafe                          far
    wlan1 192.168.7.7   ──  192.168.7.1, DNS and portal
                            10.9.9.1                  ──  10.9.9.2, and the upstream

Before somebody signs in its resolver has one address for all names, its own; port 80 of any address that
it takes for itself has its page; and the upstream is out of reach.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from secdns.network.portal import TARGET
from tests.lab.netns import Namespace, NoNamespaces, namespace
from tests.lab.programs import find, running
from tests.lab.wire import UPSTREAM, Wire

ROUTER, LAPTOP = "192.168.7.1", "192.168.7.7"
LOGIN = "login.cafe.example"

How = Literal["reject", "drop"]


@dataclass(slots=True)
class Cafe:
    """The network; ``visits`` are the requests to its page."""

    laid: Wire
    inside: Namespace
    visits: list[bytes] = field(default_factory=list)

    def join(self) -> None:
        """Have the laptop on it, as after DHCP."""
        self.laid.near_ip("link set wlan1 up")
        self.laid.near_ip(f"address replace {LAPTOP}/24 dev wlan1")
        self.laid.near_ip(f"route replace default via {ROUTER} dev wlan1")

    def leave(self) -> None:
        """Take the laptop off it."""
        self.laid.near_ip("link set wlan1 down")

    def close(self, how: How) -> None:
        """Let nobody through: with a TCP reset or an ICMP error, or without a word."""
        if how == "reject":  # it takes the upstream's address, and nobody listens there
            self.ip(f"address replace {UPSTREAM}/32 dev lo")
        else:
            self.ip(f"route replace blackhole {UPSTREAM}/32")

    def open(self) -> None:
        """Let everybody through, as after somebody signed in."""
        for command in (f"address delete {UPSTREAM}/32 dev lo", f"route delete blackhole {UPSTREAM}/32"):
            with suppress(NoNamespaces):
                self.ip(command)

    def catch(self) -> None:
        """Answer for the address that is nobody's."""
        with suppress(NoNamespaces):
            self.ip(f"route delete blackhole {TARGET[0]}/32")
        self.ip(f"address replace {TARGET[0]}/32 dev lo")

    def swallow(self) -> None:
        """Drop what goes there."""
        self.ip(f"address delete {TARGET[0]}/32 dev lo")
        self.ip(f"route replace blackhole {TARGET[0]}/32")

    def ip(self, command: str) -> None:
        done = self.inside.run(find("ip"), *command.split())
        if done.returncode != 0:
            raise NoNamespaces(f"ip {command}: {done.stderr.strip()}")


@contextmanager
def cafe(laid: Wire, directory: Path) -> Iterator[Cafe]:
    """Put the café where the laptop's wire ends; it is closed by nobody yet, and nobody has joined."""
    with namespace(suffix="-cafe") as inside:
        made = Cafe(laid, inside)
        laid.near_ip("link set wlan0 down")
        laid.near_ip(f"link add wlan1 type veth peer name port1 netns {inside.name}")
        laid.far_ip(f"link add down0 type veth peer name up0 netns {inside.name}")
        for command in (f"address add {ROUTER}/24 dev port1", "link set port1 up",
                        "address add 10.9.9.1/24 dev up0", "link set up0 up",
                        "route add default via 10.9.9.2"):  # fmt: skip
            made.ip(command)
        laid.far_ip("address add 10.9.9.2/24 dev down0")
        laid.far_ip("link set down0 up")
        laid.far_ip("route add 192.168.7.0/24 via 10.9.9.1")
        inside.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        made.catch()
        with _dns(made, directory), _page(made):
            yield made


@contextmanager
def _dns(made: Cafe, directory: Path) -> Iterator[None]:
    argv = [
        find("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        "--user=root", "--group=", "--pid-file=", f"--listen-address={ROUTER}", "--bind-interfaces",
        "--except-interface=lo", "--local-ttl=300", f"--address=/#/{ROUTER}",
    ]  # fmt: skip

    def ready() -> bool:
        sock = made.inside.datagram_socket()
        with sock:
            sock.settimeout(0.2)
            try:
                sock.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\0\0\1\0\1", (ROUTER, 53))
                return bool(sock.recv(512))
            except OSError:
                return False

    with running(argv, directory / "cafe-dns.log", ready, prefix=made.inside.prefix):
        yield


@contextmanager
def _page(made: Cafe) -> Iterator[None]:
    server = made.inside.make(lambda: socket.create_server(("0.0.0.0", 80)))

    def serve() -> None:
        while True:
            try:
                opened, _ = server.accept()
            except OSError:
                return
            with opened, suppress(OSError):
                opened.settimeout(1)
                made.visits.append(opened.recv(4096))
                opened.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://{LOGIN}/\r\n\r\n".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
