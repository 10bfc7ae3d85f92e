"""A resolver on loopback whose encrypted side is designated, and the invariants of every fault test."""

from collections.abc import AsyncIterator

import pytest

from secdns.testing import FakeUpstream
from tests.fixtures import nothing_is_left, warp

__all__ = ["nothing_is_left", "warp"]  # fixtures for this folder

ZONES = {
    ".": {"@": {"NS": "a.root.test."}},
    "dns.test": {"@": {"A": "127.0.0.1"}},
}


@pytest.fixture
async def up(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES, cert="name-and-ip") as upstream:
        yield upstream
