"""Real proxies on ephemeral loopback ports: microsocks for SOCKS5, tinyproxy for HTTP CONNECT."""

import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.netns import Namespace
from tests.lab.programs import Process, find, free_ports, running

CREDENTIALS: Final = ("user", "s3cret")
KINDS: Final = ("socks5", "http")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy. ``place`` is its address and port."""

    process: Process
    scheme: str
    place: str

    def url(self, credentials: tuple[str, str] | None = None) -> str:
        return f"{self.scheme}://{':'.join(credentials) + '@' if credentials else ''}{self.place}"

    def asked(self) -> list[str]:
        """Give every ``host:port`` that it was told to connect to, from its log."""
        pattern = {"socks5": r"connected to (\S+:\d+)", "http": r"CONNECT (\S+:\d+) HTTP"}[self.scheme]
        return re.findall(pattern, self.process.log_tail(1 << 20))


@contextmanager
def proxy(
    kind: str,
    directory: Path,
    allowed: Sequence[int],
    *,
    credentials: tuple[str, str] | None = None,
    port: int | None = None,
    inside: Namespace | None = None,
) -> Iterator[Proxy]:
    """Run a proxy of this kind; ``allowed`` are the ports that tinyproxy connects to."""
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_ports(1)[0]
    argv = (_microsocks if kind == "socks5" else _tinyproxy)(directory, port, allowed, credentials)
    prefix = inside.prefix if inside else ()
    with running(argv, directory / "log", _listens(port, inside), prefix=prefix) as process:
        yield Proxy(process, kind, f"127.0.0.1:{port}")


def _microsocks(
    directory: Path, port: int, allowed: Sequence[int], credentials: tuple[str, str] | None
) -> list[str]:
    login = ["-u", credentials[0], "-P", credentials[1]] if credentials else []
    return [find("microsocks"), "-i", "127.0.0.1", "-p", str(port), *login]


def _tinyproxy(
    directory: Path, port: int, allowed: Sequence[int], credentials: tuple[str, str] | None
) -> list[str]:
    lines = [
        f"Port {port}",
        "Listen 127.0.0.1",
        "Allow 127.0.0.1",
        "Timeout 600",
        "MaxClients 50",
        "LogLevel Connect",
        *(f"ConnectPort {one}" for one in allowed),
        *([f"BasicAuth {' '.join(credentials)}"] if credentials else []),
    ]
    config = directory / "tinyproxy.conf"
    config.write_text("\n".join(lines) + "\n")
    return [find("tinyproxy"), "-d", "-c", str(config)]


def _listens(port: int, inside: Namespace | None) -> Callable[[], bool]:
    """Make a readiness check that connects, where the proxy runs."""
    code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1).close()"

    def ready() -> bool:
        if inside is not None:
            return inside.run(sys.executable, "-I", "-c", code).returncode == 0
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    return ready
