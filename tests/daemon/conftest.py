"""A daemon on loopback that ends with the test, and the invariants of every fault test."""

import gc
from collections.abc import AsyncIterator, Iterator

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
def collector() -> Iterator[None]:
    """``serve`` tunes the garbage collector for good; here others live on."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # as tests/conftest.py does
    gc.set_threshold(*thresholds)
