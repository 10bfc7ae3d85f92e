"""A racer to a testing upstream."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol

import pytest

from secdns.endpoint import Endpoint
from secdns.proxies import Proxy
from secdns.racing import open_way
from secdns.testing import FakeUpstream, ZoneData
from secdns.transport import Transport
from tests.fixtures import nothing_is_left, other, up, warp
from tests.transport.support import ZONE, no_lookup

__all__ = ["nothing_is_left", "other", "up", "warp"]  # fixtures for this folder


class Way(Protocol):
    """Open the way to an endpoint of an upstream; it is closed at the end of the test."""

    def __call__(
        self, upstream: FakeUpstream, *, offers_h3: bool | None = None, proxy: Proxy | None = None
    ) -> Transport: ...


@pytest.fixture(autouse=True)
def slow_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock does not stand still, let no race be lost because the machine is busy."""
    if "warp" not in request.fixturenames:
        monkeypatch.setattr("secdns.racing.HEAD_START_S", 5.0)
        monkeypatch.setattr("secdns.racing.TRIAL_S", 5.0)


@pytest.fixture
def served() -> dict[str, ZoneData]:
    return ZONE


@pytest.fixture
async def way(nothing_is_left: None) -> AsyncIterator[Way]:
    opened: list[Transport] = []

    def to(upstream: FakeUpstream, *, offers_h3: bool | None = None, proxy: Proxy | None = None) -> Transport:
        endpoint: Endpoint = replace(upstream.endpoint("https"), offers_h3=offers_h3, proxy=proxy)
        opened.append(open_way(endpoint, no_lookup))
        return opened[-1]

    yield to
    for transport in opened:
        await transport.aclose()
