"""A network namespace with its own resolv.conf: a machine whose only resolver is 127.0.0.1, port 53."""

import ctypes
import fcntl
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.lab.programs import find

ETC = Path("/etc/netns")
RUN = Path("/run/netns")
PREFIX = "secdns-lab-"
CLONE_NEWNET = 0x40000000

T = TypeVar("T")


class NoNamespaces(Exception):
    """We may not make network namespaces here (not root, or the kernel refuses)."""


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    prefix: tuple[str, ...]
    """Put this before a command to run it inside; it execs, so the pid stays the command's own."""

    def run(self, *argv: str, timeout_s: float = 15.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.prefix, *argv], capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def datagram_socket(self) -> socket.socket:
        """Give a UDP socket that is inside, for a process that is not: it stays where it was made."""
        return self.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def make(self, make: Callable[[], T]) -> T:
        """Make something inside that stays there, such as a socket."""
        made: list[T] = []

        def enter() -> None:
            with open(f"/run/netns/{self.name}") as inside:
                if ctypes.CDLL(None, use_errno=True).setns(inside.fileno(), CLONE_NEWNET) == 0:
                    made.append(make())

        thread = threading.Thread(target=enter)  # it alone moves, and is gone then
        thread.start()
        thread.join()
        if not made:
            raise NoNamespaces(f"cannot enter {self.name}")
        return made[0]


RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n"


@contextmanager
def _nobody_else() -> Iterator[None]:
    """Wait for others: two that make the first namespace of a machine at once mount over each other."""
    run = os.open("/run", os.O_RDONLY)
    try:
        fcntl.flock(run, fcntl.LOCK_EX)
        yield
    finally:
        os.close(run)


def _clear_away(ip: str) -> None:
    """Remove the namespaces of runs that were killed: their names tell whose they were."""
    for left in {path.name for place in (ETC, RUN) for path in place.glob(f"{PREFIX}*")}:
        pid = left.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            subprocess.run([ip, "netns", "delete", left], capture_output=True, check=False)
            shutil.rmtree(ETC / left, ignore_errors=True)


def _make(etc: Path) -> None:
    while not etc.exists():
        with suppress(FileNotFoundError):  # somebody else had removed the empty ``ETC`` in between
            etc.mkdir(parents=True)


@contextmanager
def namespace(resolv_conf: str = RESOLV_CONF, *, suffix: str = "") -> Iterator[Namespace]:
    """Make a namespace with only loopback in it, and remove all of it at the end.

    Who wants several at a time gives each a ``suffix`` of its own.

    ``ip netns exec`` binds every file of /etc/netns/NAME over the one in /etc, for that command only.

    Raises:
        MissingProgram: iproute2 is not installed.
        NoNamespaces: the kernel or our rights do not allow it.
    """
    ip = find("ip")
    name = f"{PREFIX}{os.getpid()}{suffix}"
    etc = ETC / name
    try:
        with _nobody_else():
            _clear_away(ip)
            made = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise NoNamespaces(made.stderr.strip())
        prefix = (ip, "netns", "exec", name)
        try:
            _make(etc)
            (etc / "resolv.conf").write_text(resolv_conf)
            (etc / "hosts").write_text("127.0.0.1 localhost\n")
            (etc / "nsswitch.conf").write_text("hosts: files dns\n")
        except OSError as error:
            raise NoNamespaces(str(error)) from error
        inside = Namespace(name, prefix)
        up = inside.run(ip, "link", "set", "lo", "up")
        if up.returncode != 0:
            raise NoNamespaces(up.stderr.strip())
        yield inside
    finally:
        subprocess.run([ip, "netns", "delete", name], capture_output=True, check=False)
        shutil.rmtree(etc, ignore_errors=True)
        with suppress(OSError):
            ETC.rmdir()  # only when it is empty
