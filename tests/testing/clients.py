"""Plain asyncio and ssl clients for DNS over TLS, TCP and UDP, and what they ask."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from secdns.dns import name
from secdns.dns.edns import EDNS
from secdns.dns.framing import frame
from secdns.dns.message import Message, make_query
from secdns.iana import RRType
from secdns.testing import FakeUpstream

QUERY = make_query(name.from_text("www.example.test"), RRType.A, id=0x1234)
OTHER = make_query(name.from_text("alias.example.test"), RRType.A, id=0x4321)
LARGE = make_query(name.from_text("large.example.test"), RRType.TXT, id=0x1111, edns=EDNS(4096))
TEN_S = 10.0  # no test waits for this long unless it fails


class Client:
    """Length-prefixed messages over one stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *queries: bytes) -> None:
        self.writer.write(b"".join(frame(query) for query in queries))

    async def receive(self) -> bytes:
        size = int.from_bytes(await self.reader.readexactly(2))
        return await self.reader.readexactly(size)

    async def ask(self, query: bytes = QUERY) -> bytes:
        self.send(query)
        return await self.receive()


def trusting(up: FakeUpstream) -> ssl.SSLContext:
    """Give a context that trusts its CA and, unlike the default, no Common Name (RFC 9525 §2)."""
    context = ssl.create_default_context(cafile=up.ca_file)
    context.hostname_checks_common_name = False
    return context


@contextlib.asynccontextmanager
async def connect(up: FakeUpstream, scheme: str = "tls", host: str | None = None) -> AsyncIterator[Client]:
    tls = trusting(up) if scheme == "tls" else None
    async with asyncio.timeout(TEN_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", up.port(scheme), ssl=tls, server_hostname=(host or up.hostname) if tls else None
        )
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.contextmanager
def datagrams(up: FakeUpstream) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", up.port("udp")))
        yield sock


async def receive(sock: socket.socket) -> bytes:
    async with asyncio.timeout(TEN_S):
        return await asyncio.get_running_loop().sock_recv(sock, 65535)


def addresses(reply: bytes) -> list[bytes]:
    return [record.rdata for record in Message.parse(reply).answer if record.rrtype == RRType.A]


V4 = [b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"]
streams = pytest.mark.parametrize("scheme", ["tls", "tcp"])
