"""Run a daemon with its local API, ask it over DNS, and speak to the API as octets, as values or by curl."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from secdns.checking import Look
from secdns.config import load
from secdns.control.client import Client
from secdns.daemon import Daemon
from secdns.dns.message import Message
from secdns.endpoint import Endpoint
from secdns.network.clocks import Clocks
from secdns.network.learning import Learner
from secdns.osdns.machine import Machine
from tests.cache.answers import query

LISTEN = '[server]\nlisten = ["127.0.0.1:0"]\n'
UNCHECKED = '[dnssec]\nmode = "off"\n'  # the zones of most tests have no signatures
T = TypeVar("T")


@dataclass
class Stage:
    """The daemon, and where its local API is."""

    daemon: Daemon
    path: Path
    file: Path

    @property
    def client(self) -> Client:
        return Client([self.path])

    async def api(self, call: Callable[..., T], *args: Any) -> T:
        """Call a method of the client, which blocks, while the daemon goes on."""
        return await asyncio.to_thread(call, *args)

    async def raw(self, octets: bytes, *, half: bool = False) -> bytes:
        """Send octets and give all that comes back; ``half`` ends the sending without the reply."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(octets)
                await writer.drain()
                if half:
                    writer.write_eof()
            got = b""
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    got += piece
            return got
        finally:
            writer.close()

    async def http(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Send a request and give status and JSON of the reply; an underscore in a header is a hyphen."""
        given = {"Host": "localhost"} | {name.replace("_", "-"): text for name, text in headers.items()}
        if body is not None:
            given = {"Content-Type": "application/json", "Content-Length": str(len(body))} | given
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in given.items() if text)]
        reply = await self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        head, _, rest = reply.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(rest)

    async def ask(self, name: str, *, id: int = 0x2A2A) -> Message:
        """Ask over UDP."""
        loop = asyncio.get_running_loop()
        bound = self.daemon.bound[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (bound.host, bound.port))
            await loop.sock_sendall(sock, query(name, id=id))
            return Message.parse(await loop.sock_recv(sock, 65535))


@asynccontextmanager
async def running(
    toml: str,
    tmp_path: Path,
    *,
    dnssec: str = UNCHECKED,
    resolvers: Callable[[], tuple[Endpoint, ...]] | None = tuple,
    state_dir: Path | None = None,
    clocks: Clocks | None = None,
    look: Look | None = None,
    learner: Callable[[Callable[[], None]], Learner] | None = None,
    machine: Callable[[], Machine] | None = None,
    check: Sequence[str] = (),
    control: str = "control.sock",
) -> AsyncIterator[Stage]:
    """Start a daemon from a file that a test may change, and stop it at the end."""
    file = tmp_path / "secdns.toml"
    file.write_text(dnssec + LISTEN + toml)
    daemon = Daemon(
        load(file),
        reread=lambda: load(file),
        hosts_file=None,
        state_dir=state_dir,
        clocks=clocks,
        resolvers=resolvers,
        look=look,
        learner=learner,
        machine=machine,
        check=check,
    )
    daemon.listen()
    path = tmp_path / "run" / control
    daemon.open_control(path)
    try:
        yield Stage(daemon, path, file)
    finally:
        await daemon.stop()


def address(reply: Message) -> str | int:
    return ".".join(map(str, reply.answer[0].rdata)) if reply.answer else reply.rcode
