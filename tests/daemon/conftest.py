"""A daemon on loopback that ends with the test, and the invariants of every fault test."""

import gc
from collections.abc import Iterator

import pytest

from tests.fixtures import nothing_is_left, served, up

__all__ = ["nothing_is_left", "served", "up"]  # fixtures for this folder


@pytest.fixture
def collector() -> Iterator[None]:
    """``serve`` tunes the garbage collector for good; here others live on."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # as tests/conftest.py does
    gc.set_threshold(*thresholds)
