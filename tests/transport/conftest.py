"""A transport to a testing upstream, and the invariants of every fault test (faults.md §2)."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from secdns.endpoint import Endpoint
from secdns.testing import ZoneData
from secdns.transport import Lookup, Transport, open_transport
from tests.fixtures import nothing_is_left, up
from tests.transport.support import ZONE, no_lookup

__all__ = ["nothing_is_left", "up"]  # fixtures for this folder


class Reach(Protocol):
    """Open a transport that is closed at the end of the test."""

    def __call__(self, endpoint: Endpoint, lookup: Lookup = ...) -> Transport: ...


@pytest.fixture
def served() -> dict[str, ZoneData]:
    return ZONE


@pytest.fixture
def one_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection be opened beside another because the machine is busy."""
    monkeypatch.setattr("secdns.transport.quic_transport.SPILL_S", 5.0)


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
