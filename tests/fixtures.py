"""Fixtures that a folder's conftest takes by importing them."""

from collections.abc import AsyncIterator

import pytest

from secdns.config import parse
from secdns.daemon import Daemon
from secdns.osdns.plan import Server
from tests import loop


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """See to the invariants of every fault test; what a test uses is closed before."""
    async with loop.nothing_is_left():
        yield


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
