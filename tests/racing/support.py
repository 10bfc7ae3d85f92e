"""What the racing tests share."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secdns.errors import ConnectionLost
from secdns.testing import FakeUpstream
from secdns.transport import Transport
from tests.loop import Warp
from tests.transport.support import ask, right_answer

RACED = "no HTTP/3 for"  # the log's word for a penalty


def schemes(up: FakeUpstream) -> list[str]:
    """Give over what each query came."""
    return [seen.scheme for seen in up.queries]


async def ask_well(transport: Transport, number: int = 1, *, within_s: float = 4.0) -> None:
    """Ask, once more if the connection died, as Upstream does, and see that the answer is right."""
    try:
        got = await ask(transport, number, within_s=within_s)
    except ConnectionLost:
        got = await ask(transport, number, within_s=within_s)
    assert got == right_answer(number)


async def time_of(warp: Warp, transport: Transport, number: int = 1) -> float:
    """Give the seconds of the warped clock that an answer took."""
    asked = asyncio.ensure_future(ask_well(transport, number))
    took_s = await warp.pass_until(asked.done, step_s=0.01)
    await asked
    return took_s


@contextmanager
def trusting_both(up: FakeUpstream, other: FakeUpstream) -> Iterator[None]:
    """Have the endpoints of ``up`` trust the authority of ``other`` too."""
    bundle = Path(up.ca_file)
    own = bundle.read_text()
    bundle.write_text(own + Path(other.ca_file).read_text())
    yield
    bundle.write_text(own)
