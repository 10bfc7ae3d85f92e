"""Upstreams and groups that end with the test, and the invariants of every fault test."""

from collections.abc import AsyncIterator

import pytest

from secdns.routing import Groups
from secdns.testing import FakeUpstream
from tests.fixtures import nothing_is_left
from tests.forwarder.stage import ZONES

__all__ = ["nothing_is_left"]  # fixtures for this folder


@pytest.fixture
async def up(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as upstream:
        yield upstream


@pytest.fixture
async def groups(nothing_is_left: None) -> AsyncIterator[Groups]:
    made = Groups()
    yield made
    await made.aclose()
