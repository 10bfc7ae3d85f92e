"""What is said when no address of an upstream can be reached."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from secdns.errors import ConnectError
from secdns.transport.dial import dial


class Made:
    def abort(self) -> None: ...


async def finish(opened: socket.socket, address: str) -> Made:
    opened.close()
    raise ConnectError(f"no handshake with {address}")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that no address of 127.0.0.0/8 answers: held on the wildcard, and deaf."""
    with socket.socket() as bound:
        bound.bind(("0.0.0.0", 0))
        yield bound.getsockname()[1]


async def test_addresses_that_fail_alike_share_a_sentence(closed_port: int) -> None:
    deadline = asyncio.get_running_loop().time() + 5
    with pytest.raises(ConnectError) as caught:
        await dial(["127.0.0.1", "127.0.0.2", "127.0.0.3"], closed_port, deadline, finish)
    assert str(caught.value) == (
        f"cannot connect to 127.0.0.1, 127.0.0.2 or 127.0.0.3 port {closed_port}: connection refused"
    )


async def test_every_reason_is_told_once() -> None:
    with socket.socket() as open_too:
        open_too.bind(("127.0.0.4", 0))
        open_too.listen()
        port = open_too.getsockname()[1]
        deadline = asyncio.get_running_loop().time() + 5
        with pytest.raises(ConnectError) as caught:
            await dial(["127.0.0.5", "127.0.0.4", "127.0.0.6"], port, deadline, finish)
    assert str(caught.value) == (
        f"cannot connect to 127.0.0.5 or 127.0.0.6 port {port}: connection refused; "
        "no handshake with 127.0.0.4"
    )
