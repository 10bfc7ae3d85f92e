"""What holds for every transport holds for the one that chooses between two."""

import dataclasses
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from secdns.endpoint import Endpoint
from secdns.racing import open_way
from secdns.testing import FakeUpstream
from secdns.transport import Lookup, Transport
from tests.transport import test_transport_contract as contract
from tests.transport.conftest import Reach
from tests.transport.support import no_lookup

OTHERWISE = {
    # a new HTTP/3 takes its first queries through ``exchange`` alone: it is on trial
    "test_connect_opens_the_connection_that_queries_use",
    # of transports that keep no connection
    "test_connect_opens_nothing_where_each_query_has_a_socket",
    # here or there the answer is as quick as the alarm
    "test_deadline_in_the_past_fails_at_once",
}
CLAIMS = [
    claim
    for name, claim in vars(contract).items()
    if name.startswith("test_")
    and name not in OTHERWISE
    and list(inspect.signature(claim).parameters) == ["scheme", "up", "reach"]
]


@pytest.fixture
async def reach(nothing_is_left: None) -> AsyncIterator[Reach]:
    """Open ``https`` for either scheme; for ``h3`` that is known to be offered."""
    opened: list[Transport] = []

    def open_either(endpoint: Endpoint, lookup: Lookup = no_lookup) -> Transport:
        offers_h3 = True if endpoint.scheme == "h3" else None
        opened.append(open_way(dataclasses.replace(endpoint, scheme="https", offers_h3=offers_h3), lookup))
        return opened[-1]

    yield open_either
    for transport in opened:
        await transport.aclose()


@pytest.mark.parametrize("scheme", ["https", "h3"])
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__.removeprefix("test_"))
async def test_contract(
    claim: Callable[..., Awaitable[Any]], scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    await claim(scheme, up, reach)
