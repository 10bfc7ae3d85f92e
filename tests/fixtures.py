"""Fixtures that a folder's conftest takes by importing them."""

from collections.abc import AsyncIterator

import pytest

from secdns.config import parse
from secdns.daemon import Daemon
from secdns.osdns.plan import Server
from secdns.testing import FakeUpstream, ZoneData
from tests import loop
from tests.forwarder.stage import ZONES


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """See to the invariants of every fault test; what a test uses is closed before."""
    async with loop.nothing_is_left():
        yield


@pytest.fixture
def served() -> dict[str, ZoneData]:
    """What ``up`` and ``other`` serve; a folder may say something else."""
    return ZONES


@pytest.fixture
async def up(nothing_is_left: None, served: dict[str, ZoneData]) -> AsyncIterator[FakeUpstream]:
    """An upstream."""
    async with FakeUpstream(served) as upstream:
        yield upstream


@pytest.fixture
async def other(nothing_is_left: None, served: dict[str, ZoneData]) -> AsyncIterator[FakeUpstream]:
    """A second upstream, with the same zones."""
    async with FakeUpstream(served) as upstream:
        yield upstream


@pytest.fixture
async def warp(nothing_is_left: None, monkeypatch: pytest.MonkeyPatch) -> loop.Warp:
    """The clock of the test's loop, standing still."""
    return loop.Warp(monkeypatch)


@pytest.fixture
async def listening() -> AsyncIterator[Server]:
    """Where a daemon listens; no upstream of it is ever asked."""
    daemon = Daemon(parse('[server]\nlisten = ["127.0.0.1:0"]\n', "test"), hosts_file=None)
    daemon.listen()
    try:
        yield Server("127.0.0.1", daemon.bound[0].port)
    finally:
        await daemon.stop()
