"""A daemon on loopback, with its local API on a socket of its own."""

from collections.abc import AsyncIterator

import pytest

from secdns.testing import FakeUpstream
from tests.fixtures import nothing_is_left
from tests.forwarder.stage import ZONES

__all__ = ["nothing_is_left"]  # fixtures for this folder


@pytest.fixture
async def up(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as upstream:
        yield upstream


@pytest.fixture
async def other(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as upstream:
        yield upstream
