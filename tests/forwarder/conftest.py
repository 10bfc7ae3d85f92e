"""Testing upstreams and forwarders that end with the test, and the invariants of every fault test."""

from collections.abc import AsyncIterator, Callable

import pytest

from secdns.testing import FakeUpstream
from tests.fixtures import nothing_is_left, other, served, up, warp
from tests.forwarder.stage import Stage, table

__all__ = ["nothing_is_left", "other", "served", "up", "warp"]  # fixtures for this folder

Play = Callable[[str], Stage]


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


@pytest.fixture
async def stage(up: FakeUpstream, play: Play) -> Stage:
    """A forwarder on one upstream, over TLS."""
    return play(table(up))
