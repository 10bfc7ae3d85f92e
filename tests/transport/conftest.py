"""A transport to a testing upstream, and the invariants of every fault test (faults.md §2)."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from secdns.endpoint import Endpoint
from secdns.testing import FakeUpstream
from secdns.transport import Lookup, Transport, open_transport
from tests.transport.support import ZONE, no_lookup


class Reach(Protocol):
    """Open a transport that is closed at the end of the test."""

    def __call__(self, endpoint: Endpoint, lookup: Lookup = ...) -> Transport: ...


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """Every test ends without an unhandled exception, and with the tasks and descriptors it began with."""
    loop = asyncio.get_running_loop()
    unhandled: list[object] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    tasks = len(asyncio.all_tasks())
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    for _ in range(5):  # asyncio closes sockets in the turn after
        await asyncio.sleep(0)
    assert unhandled == []
    assert len(asyncio.all_tasks()) <= tasks
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.fixture
def one_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection be opened beside another because the machine is busy."""
    monkeypatch.setattr("secdns.transport.quic_transport.SPILL_S", 5.0)


@pytest.fixture
async def up(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONE) as upstream:
        yield upstream


@pytest.fixture
async def reach(nothing_is_left: None) -> AsyncIterator[Reach]:
    opened: list[Transport] = []

    def reach_endpoint(endpoint: Endpoint, lookup: Lookup = no_lookup) -> Transport:
        transport = open_transport(endpoint, lookup)
        opened.append(transport)
        return transport

    yield reach_endpoint
    for transport in opened:
        await transport.aclose()
