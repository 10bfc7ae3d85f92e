"""What the transport tests share: queries, answers, and opening a transport that ends with the test."""

import asyncio
from collections.abc import Callable
from typing import Final

from secdns.dns import name
from secdns.dns.edns import EDNS, pad
from secdns.dns.message import Message, make_query
from secdns.testing import ZoneData
from secdns.transport import Transport
from secdns.transport.link import Linked

PATIENCE_S: Final = 4.0  # of a client; no test waits for this long unless it fails
WAIT_S: Final = 20.0
ZONE: Final[dict[str, ZoneData]] = {
    "example.test": {f"h{number}": {"A": f"192.0.2.{number % 250 + 1}"} for number in range(300)}
}

ENCRYPTED: Final = ("tls", "https", "quic", "h3")
STREAMS: Final = ("tls", "https", "quic", "h3", "tcp")
ALL: Final = ("tls", "https", "quic", "h3", "tcp", "udp")


def query_for(number: int = 1, *, id: int | None = None, block: int = 128) -> bytes:
    """Give a padded query for ``h<number>.example.test``, with an ID that tells the number."""
    owner = name.from_text(f"h{number}.example.test")
    return pad(make_query(owner, 1, id=0x4000 + number if id is None else id, edns=EDNS()), block)


def deadline_in(seconds: float = PATIENCE_S) -> float:
    return asyncio.get_running_loop().time() + seconds


async def ask(transport: Transport, number: int = 1, *, within_s: float = PATIENCE_S) -> tuple[int, str]:
    """Ask for ``h<number>.example.test`` and give the ID and the address of the response."""
    response = Message.parse(await transport.exchange(query_for(number), deadline_in(within_s)))
    assert response.question[0].name == name.from_text(f"h{number}.example.test")
    return response.id, ".".join(str(octet) for octet in response.answer[0].rdata)


def right_answer(number: int = 1) -> tuple[int, str]:
    return 0x4000 + number, f"192.0.2.{number % 250 + 1}"


def is_open(transport: Transport) -> bool:
    """Tell whether there is a connection that takes queries."""
    assert isinstance(transport, Linked)
    return transport._link.current is not None


async def no_lookup(host: str, deadline: float) -> tuple[str, ...]:
    raise AssertionError(f"{host} was looked up")


async def wait_until(predicate: Callable[[], bool]) -> None:
    """Let the event loop work until something holds that nothing tells of."""
    async with asyncio.timeout(WAIT_S):
        while not predicate():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
