"""The other upstream that is asked, and the invariants of every fault test."""

import pytest

from secdns.bootstrap import Bootstrap
from secdns.iana import RRType
from tests.bootstrap.stage import HOST, V4, V6, Clock, OtherUpstream
from tests.fixtures import nothing_is_left

__all__ = ["nothing_is_left"]  # fixtures for this folder


@pytest.fixture
def other() -> OtherUpstream:
    upstream = OtherUpstream()
    upstream.add(HOST, RRType.A, V4)
    upstream.add(HOST, RRType.AAAA, V6)
    return upstream


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seeker(other: OtherUpstream, clock: Clock) -> Bootstrap:
    return Bootstrap(other.exchange, clock=clock)
