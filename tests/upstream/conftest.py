"""Groups on testing upstreams and on transports that a test plays by hand."""

from collections.abc import AsyncIterator, Callable

import pytest

from secdns.endpoint import Endpoint, parse
from secdns.upstream import Upstream, UpstreamGroup
from tests.fixtures import nothing_is_left, served, warp
from tests.fixtures import other as b
from tests.fixtures import up as a
from tests.upstream.asking import PlayedTransport, no_lookup

__all__ = ["a", "b", "nothing_is_left", "served", "warp"]  # fixtures for this folder

Gather = Callable[..., UpstreamGroup]


@pytest.fixture
async def gather(nothing_is_left: None) -> AsyncIterator[Gather]:
    """Make a group of endpoints, in order of preference; it is closed at the end."""
    groups: list[UpstreamGroup] = []

    def of_endpoints(*endpoints: Endpoint) -> UpstreamGroup:
        members = [Upstream("abcdef"[number], end, no_lookup) for number, end in enumerate(endpoints)]
        groups.append(UpstreamGroup(members))
        return groups[-1]

    yield of_endpoints
    for group in groups:
        await group.aclose()


@pytest.fixture
async def played(gather: Gather) -> Callable[[int], tuple[UpstreamGroup, list[PlayedTransport]]]:
    """Make a group whose transports a test plays by hand, for what no server can be made to do."""

    def of_size(size: int) -> tuple[UpstreamGroup, list[PlayedTransport]]:
        group = gather(*(parse(f"tls://192.0.2.{number + 1}") for number in range(size)))
        transports = [PlayedTransport() for _ in group.members]
        for member, transport in zip(group.members, transports, strict=True):
            member.transport = transport
        return group, transports

    return of_size
