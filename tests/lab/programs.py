"""Find, start and end the programs that Debian packages for us.

Nothing here knows pytest, so that the benchmark can use it too: a program that is not there is a
``MissingProgram``, which ``tests/conftest.py`` turns into a skip with a reason.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {
    "caddy": "caddy",
    "dbus-daemon": "dbus-daemon",
    "debootstrap": "debootstrap",
    "delv": "bind9-dnsutils",
    "dig": "bind9-dnsutils",
    "dnsdist": "dnsdist",
    "dnsmasq": "dnsmasq-base",
    "dnsperf": "dnsperf",
    "dnssec-keygen": "bind9-utils",
    "dnssec-signzone": "bind9-utils",
    "drill": "ldnsutils",
    "groff": "groff-base",
    "ip": "iproute2",
    "kdig": "knot-dnsutils",
    "knotd": "knot",
    "kresd": "knot-resolver",
    "kzonesign": "knot-dnssecutils",
    "ldns-keygen": "ldnsutils",
    "ldns-signzone": "ldnsutils",
    "microsocks": "microsocks",
    "named": "bind9",
    "nsd": "nsd",
    "stubby": "stubby",
    "tinyproxy": "tinyproxy-bin",
    "unbound": "unbound",
    "unbound-control": "unbound",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
"""Program -> the Debian package it comes in; ``tests/run`` installs every one of them."""

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])

READY_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0


class MissingProgram(Exception):
    """A program that a test needs is not installed."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(f"needs: {package} ({program} not found)")
        self.program = program
        self.package = package


class NotReady(Exception):
    """A program ended, or did not answer in time; the message has the end of its log."""


def find(program: str, package: str | None = None) -> str:
    """Give the path of a program.

    Raises:
        MissingProgram: it is not installed; the message names the package.
    """
    path = shutil.which(program, path=SEARCH_PATH)
    if path is None:
        raise MissingProgram(program, package or PACKAGES.get(program, program))
    return path


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Give port numbers that nobody holds right now, neither over UDP nor over TCP.

    They are held all at once while we look, so that no two of them are the same. All are of those that the
    kernel gives nobody who does not ask for one: no socket of another test or of another run takes one by
    chance between our look and the program's bind, nor while a program is away to be started again.
    """
    held: list[socket.socket] = []
    ports: list[int] = []
    try:
        while len(ports) < count:
            port = _ANY.choice(_unasked_ports())
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                held.append(socket.socket(socket.AF_INET, kind))
                try:
                    held[-1].bind((host, port))
                except OSError:
                    break
            else:
                ports.append(port)
    finally:
        for sock in held:
            sock.close()
    return ports


_ANY = random.SystemRandom()  # Hypothesis winds back the usual one, so that each run would try the same


def _unasked_ports() -> range:
    """Give the ports below those that the kernel chooses from (ip(7), ``ip_local_port_range``)."""
    first = 32_768
    with suppress(OSError):
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return range(20_000, max(first, 32_768))


@dataclass(slots=True)
class Process:
    """A program that we started, and its log."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def log_tail(self, octets: int = 3000) -> str:
        return self.log.read_bytes()[-octets:].decode(errors="replace")


def guarded(argv: Sequence[str]) -> list[str]:
    """Let the kernel end the program if we die without ending it (``kill -9`` of the test run)."""
    setpriv = shutil.which("setpriv", path=SEARCH_PATH)
    return [setpriv, "--pdeathsig", "TERM", *argv] if setpriv else list(argv)


def start(
    argv: Sequence[str], log: Path, *, env: dict[str, str] | None = None, prefix: Sequence[str] = ()
) -> Process:
    """Start a program in a session of its own, with its output in ``log``.

    ``prefix`` is a command that runs it elsewhere, such as ``ip netns exec NAME``; it must exec, so that
    the pid is the program's own.
    """
    with log.open("ab") as out:
        popen = subprocess.Popen(
            [*prefix, *guarded(argv)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
        )
    return Process(popen, log)


def stop(process: Process) -> int:
    """End a program and everything it started; give its exit status."""
    popen = process.popen
    if popen.poll() is None:
        popen.send_signal(signal.SIGCONT)  # a stopped one would not hear the other signal
        popen.terminate()
    try:
        popen.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait(STOP_TIMEOUT_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, signal.SIGKILL)  # its session is ours alone: what is left in it is its children
    return popen.returncode


def wait_until_ready(process: Process, ready: Callable[[], bool], timeout_s: float = READY_TIMEOUT_S) -> None:
    """Ask ``ready`` until it says yes; it should itself wait a little for its answer.

    Raises:
        NotReady: the program ended first, or the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        status = process.popen.poll()
        if status is not None:
            raise NotReady(f"{process.popen.args!r} ended with {status}:\n{process.log_tail()}")
        if time.monotonic() > deadline:
            raise NotReady(f"{process.popen.args!r} not ready after {timeout_s} s:\n{process.log_tail()}")


@contextmanager
def running(
    argv: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    env: dict[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Process]:
    """Have a program running and ready inside the ``with`` block, and ended after it, whatever happens."""
    process = start(argv, log, env=env, prefix=prefix)
    try:
        wait_until_ready(process, ready)
        yield process
    finally:
        stop(process)


def ask_udp(port: int, wire: bytes, timeout_s: float = 0.1, host: str = "127.0.0.1") -> bytes | None:
    """Send one query over UDP and give the response, or None when there was none in time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect((host, port))
        started = time.monotonic()
        try:
            sock.send(wire)
            return sock.recv(65535)
        except TimeoutError:
            return None
        except ConnectionRefusedError:  # comes at once: wait a moment, the caller will ask again
            time.sleep(max(0.0, min(0.01, timeout_s - (time.monotonic() - started))))
            return None


def simple_query(name: str, rrtype: int = 1, *, id: int = 0x5EC0) -> bytes:
    """Make a query with RD and nothing else, without any code of secdns: this asks the peers too."""
    labels = b"".join(bytes([len(label)]) + label for label in name.rstrip(".").encode().split(b".") if label)
    return b"".join(
        [
            id.to_bytes(2),
            b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
            labels + b"\x00",
            rrtype.to_bytes(2),
            b"\x00\x01",
        ]
    )


def answers_udp(port: int, name: str = "example.test", rrtype: int = 6) -> Callable[[], bool]:
    """A readiness check: the server gives any NOERROR response to this question over UDP."""

    def ready() -> bool:
        response = ask_udp(port, simple_query(name, rrtype))
        return response is not None and len(response) >= 12 and response[3] & 0x0F == 0

    return ready
