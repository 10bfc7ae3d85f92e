"""Upstreams and groups that end with the test, and the invariants of every fault test."""

from collections.abc import AsyncIterator

import pytest

from secdns.routing import Groups
from tests.fixtures import nothing_is_left, served, up

__all__ = ["nothing_is_left", "served", "up"]  # fixtures for this folder


@pytest.fixture
async def groups(nothing_is_left: None) -> AsyncIterator[Groups]:
    made = Groups()
    yield made
    await made.aclose()
