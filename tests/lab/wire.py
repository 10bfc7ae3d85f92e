"""Two namespaces and a wire between them: a laptop with ``wlan0``, and the rest of the world.

    near, the laptop        far, the router and behind it the upstream
    wlan0 192.0.2.7/24  ──  port0 192.0.2.1/24 and 203.0.113.1/24
                            lo 198.51.100.1, the upstream

No wire leads off the machine. With the namespaces, all that is in them goes.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secdns.dns.message import Message
from tests.lab.netns import Namespace, NoNamespaces, namespace
from tests.lab.programs import find, simple_query

UPSTREAM = "198.51.100.1"
READY_TIMEOUT_S = 15.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Network:
    """One that the laptop may be on: its own address there, and the router's."""

    address: str
    router: str


HOME = Network("192.0.2.7", "192.0.2.1")
CAFE = Network("203.0.113.7", "203.0.113.1")


@dataclass(slots=True)
class Far:
    """The upstream's process, see ``tests/lab/far.py``."""

    popen: subprocess.Popen[str]
    hello: dict[str, Any] = field(default_factory=dict)

    def read(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        found: dict[str, Any] = json.loads(self.popen.stdout.readline() or '{"ended": true}')
        return found

    def seen(self) -> dict[str, Any]:
        """Give what it has seen: how many queries, each handshake's ``resumed``, packets to other ports."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        return self.read()

    def table(self, scheme: str) -> str:
        return (
            f'[[upstream]]\nname = "far"\nurl = "{self.hello["urls"][scheme]}"\n'
            f'addresses = ["{UPSTREAM}"]\nca_file = "{self.hello["ca_file"]}"\n'
        )


@dataclass(frozen=True, slots=True)
class Wire:
    near: Namespace
    far_side: Namespace
    far: Far

    def near_ip(self, command: str) -> None:
        _ip(self.near, command)

    def far_ip(self, command: str) -> None:
        _ip(self.far_side, command)

    def join(self, network: Network) -> None:
        """Get an address and a default route, as after DHCP."""
        self.near_ip(f"address add {network.address}/24 dev wlan0")
        self.near_ip(f"route replace default via {network.router} dev wlan0")

    def leave(self, network: Network) -> None:
        self.near_ip(f"address delete {network.address}/24 dev wlan0")


def _ip(inside: Namespace, command: str) -> None:
    done = inside.run(find("ip"), *command.split())
    if done.returncode != 0:
        raise NoNamespaces(f"ip {command}: {done.stderr.strip()}")


@contextmanager
def wire() -> Iterator[Wire]:
    """Lay the wire with the upstream at its end; the laptop is at home.

    Raises:
        MissingProgram, NoNamespaces: that cannot be had here.
    """
    with namespace(suffix="-near") as near, namespace(suffix="-far") as far_side:
        _ip(near, f"link add wlan0 type veth peer name port0 netns {far_side.name}")
        for command in (
            f"address add {UPSTREAM}/32 dev lo",
            f"address add {HOME.router}/24 dev port0",
            f"address add {CAFE.router}/24 dev port0",
            "link set port0 up",
        ):
            _ip(far_side, command)
        _ip(near, "link set wlan0 up")
        with _far(far_side) as far:
            laid = Wire(near, far_side, far)
            laid.join(HOME)
            yield laid


@contextmanager
def _far(inside: Namespace) -> Iterator[Far]:
    popen = subprocess.Popen(
        [*inside.prefix, sys.executable, "-m", "tests.lab.far", UPSTREAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        far = Far(popen)
        far.hello = far.read()
        assert "urls" in far.hello, "the upstream did not start"
        yield far
    finally:
        try:
            popen.communicate(timeout=10)  # the end of its input ends it, and it takes its files along
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.communicate()


@dataclass(slots=True)
class Asked:
    """One query: when it was sent, when answered, and what came."""

    name: str
    sent_at: float
    took_s: float = 0.0
    reply: Message | None = None


class Client:
    """A program on the laptop that asks over UDP, and waits for several answers at a time."""

    def __init__(self, near: Namespace, port: int) -> None:
        self._socket = near.datagram_socket()
        self._socket.connect(("127.0.0.1", port))
        self._number = 0
        self.waiting: dict[int, Asked] = {}
        self.answered: list[Asked] = []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, name: str) -> Asked:
        """Ask for an address, with EDNS, and go on."""
        self._number += 1
        plain = simple_query(name, id=self._number)
        self._socket.send(plain[:11] + b"\1" + plain[12:] + b"\0\0\x29\x04\xd0\0\0\0\0\0\0")
        asked = self.waiting[self._number] = Asked(name, time.monotonic())
        return asked

    def listen(self, seconds: float) -> None:
        """Take answers for some time, or until none is waited for."""
        until = time.monotonic() + seconds
        while self.waiting and (left_s := until - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                wire = self._socket.recv(65535)
            except TimeoutError:
                return
            asked = self.waiting.pop(int.from_bytes(wire[:2]))
            asked.took_s = time.monotonic() - asked.sent_at
            asked.reply = Message.parse(wire)
            self.answered.append(asked)

    def ask(self, name: str, timeout_s: float = 6.0) -> Asked:
        """Ask and wait for the answer, or for a good while."""
        asked = self.send(name)
        until = time.monotonic() + timeout_s
        while asked.reply is None and time.monotonic() < until:
            self.listen(until - time.monotonic())
        assert asked.reply is not None, f"no answer for {name} in {timeout_s} s"
        return asked


def address(asked: Asked) -> str:
    """Give the address in the answer, or the RCODE."""
    reply = asked.reply
    assert reply is not None
    return socket.inet_ntoa(reply.answer[0].rdata) if reply.answer else f"RCODE {reply.rcode}"
