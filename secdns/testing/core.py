"""What all servers of one testing upstream share: the answers, the faults, the record of what came."""

import asyncio
import dataclasses
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from secdns.dns.message import Message
from secdns.errors import FormatError
from secdns.iana import EDNSOption
from secdns.testing.faults import Faults, Seen, spoil

if TYPE_CHECKING:
    from secdns.testing.connection import Served

PADDING_BLOCK = 468  # octets, of responses (RFC 8467 §4.1)

Answer = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a TLS handshake agreed on. ``server_name`` is the SNI the client sent, or None."""

    scheme: str
    connection: int
    version: str | None
    alpn: str | None
    server_name: str | None
    resumed: bool
    asks_early: bool = False  # to send 0-RTT data


class Core:
    """The inside of one FakeUpstream. Lives in one event loop."""

    def __init__(self, answer: Answer, faults: Faults, *, padding: bool) -> None:
        self.answer = answer
        self.faults = faults
        self.padding = padding
        self.queries: list[Seen] = []
        self.http_requests: list[tuple[tuple[str, str], ...]] = []
        self.handshakes: list[Handshake] = []
        self.failed_handshakes = 0
        self.connections: Counter[str] = Counter()
        self.dropped_datagrams = 0
        self.open: set[Served] = set()
        self.server_names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()  # from SNI
        self.cancelled: list[tuple[str, int]] = []  # scheme and code of each STOP_SENDING
        self.goodbyes: list[tuple[str, int]] = []  # scheme and code of each CONNECTION_CLOSE over QUIC
        self.held: list[Callable[[], None]] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def see(self, scheme: str, wire: bytes, connection: int) -> Seen:
        """Note that a query came, and wake who waits for it."""
        seen = Seen(scheme, wire, connection)
        self.queries.append(seen)
        for entry in [entry for entry in self._waiting if entry[0] <= len(self.queries)]:
            self._waiting.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)
        return seen

    async def wait_queries(self, count: int) -> None:
        """Return when ``count`` queries have come since the start."""
        if len(self.queries) >= count:
            return
        arrival = asyncio.get_running_loop().create_future()
        self._waiting.append((count, arrival))
        await arrival

    def reply(self, faults: Faults, seen: Seen) -> bytes:
        """Give the reply as ``faults`` want it."""
        reply = self.answer(seen.wire)
        if faults.keepalive is not None and seen.scheme in ("tls", "tcp"):
            reply = _with_keepalive(seen.wire, reply, faults.keepalive)
        if self.padding and seen.scheme not in ("udp", "tcp"):
            reply = _padded(seen.wire, reply)
        return spoil(faults, seen, reply)


def _padded(query: bytes, reply: bytes) -> bytes:
    """Pad the reply to a query that was padded (RFC 7830 §4), else give it as it is."""
    try:
        asked, message = Message.parse(query).edns, Message.parse(reply)
    except FormatError:
        return reply
    if asked is None or asked.option(EDNSOption.PADDING) is None or message.edns is None:
        return reply
    missing = -(len(reply) + 4) % PADDING_BLOCK
    options = (*message.edns.options, (int(EDNSOption.PADDING), bytes(missing)))
    return dataclasses.replace(message, edns=dataclasses.replace(message.edns, options=options)).to_wire()


def _with_keepalive(query: bytes, reply: bytes, timeout: int) -> bytes:
    """Say how long a client may be quiet, if it asked (RFC 7828 §3.3.2), else give the reply as it is."""
    asked, message = Message.parse(query).edns, Message.parse(reply)
    if asked is None or asked.option(EDNSOption.TCP_KEEPALIVE) is None or message.edns is None:
        return reply
    options = (*message.edns.options, (int(EDNSOption.TCP_KEEPALIVE), timeout.to_bytes(2)))
    return dataclasses.replace(message, edns=dataclasses.replace(message.edns, options=options)).to_wire()
