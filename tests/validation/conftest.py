"""Two upstreams with the same signed zones, and forwarders on them that end with the test."""

from collections.abc import AsyncIterator, Callable

import pytest

from secdns.testing import FakeUpstream, SignedZones
from tests.fixtures import nothing_is_left, warp
from tests.forwarder.stage import table
from tests.validation.stage import Stage, dnssec, make_zones

__all__ = ["nothing_is_left", "warp"]  # fixtures for this folder

Play = Callable[[str], Stage]


@pytest.fixture
def zones() -> SignedZones:
    """What the first upstream answers from; a test may spoil it."""
    return make_zones()


@pytest.fixture
def other_zones() -> SignedZones:
    """What the second upstream answers from: the same."""
    return make_zones()


@pytest.fixture
async def a(nothing_is_left: None, zones: SignedZones) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(zones) as upstream:
        yield upstream


@pytest.fixture
async def b(nothing_is_left: None, other_zones: SignedZones) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(other_zones) as upstream:
        yield upstream


@pytest.fixture
async def play(nothing_is_left: None) -> AsyncIterator[Play]:
    """Put a forwarder on a configuration; it is closed at the end."""
    stages: list[Stage] = []

    def from_toml(toml: str) -> Stage:
        stages.append(Stage(toml))
        return stages[-1]

    yield from_toml
    for stage in stages:
        await stage.close()


@pytest.fixture(params=["tls", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    """The way to the upstreams."""
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
async def alone(a: FakeUpstream, zones: SignedZones, play: Play) -> Stage:
    """A forwarder on one upstream."""
    return play(table(a) + dnssec(zones))


@pytest.fixture
async def stage(a: FakeUpstream, b: FakeUpstream, zones: SignedZones, play: Play) -> Stage:
    """A forwarder on two upstreams, a before b."""
    return play(table(a) + table(b, "b") + dnssec(zones))
