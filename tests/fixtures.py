"""Fixtures that a folder's conftest takes by importing them."""

from collections.abc import AsyncIterator

import pytest

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
