"""1,000 queries at random gaps over an upstream that ends quiet connections (F1, F2, F4, F28)."""

import random
from collections.abc import AsyncIterator

import pytest

from secdns.testing import FakeUpstream
from secdns.upstream import Upstream, UpstreamGroup
from tests.fixtures import warp
from tests.loop import Warp
from tests.transport.support import ENCRYPTED, no_lookup
from tests.upstream.asking import PATIENCE_S, Asking

__all__ = ["warp"]  # a fixture

IDLE_S = 4.0
INSTANT_S = 0.04  # in which the query is asked before anybody hears that the connection has ended
WAYS = [(scheme, way) for scheme in ENCRYPTED for way in ("fin", "rst", "goaway", "forget")]
WAYS.remove(("tls", "goaway"))
WAYS.remove(("quic", "goaway"))
QUERIES = 1000 // len(WAYS) + 1
SEED = 20261126


@pytest.fixture
async def group(up: FakeUpstream, scheme: str) -> AsyncIterator[UpstreamGroup]:
    """One upstream, and nobody else to ask."""
    made = UpstreamGroup([Upstream("lone", up.endpoint(scheme), no_lookup)])
    yield made
    await made.aclose()


def gap(draw: random.Random) -> float:
    """Give a pause: any, or one that ends in the moment when the connection does, as nearly as can be."""
    return draw.choice([draw.uniform(0.0, 2 * IDLE_S), draw.gauss(IDLE_S, 0.003), IDLE_S])


@pytest.mark.parametrize(("scheme", "way"), WAYS)
@pytest.mark.parametrize("is_steady", [True, False], ids=["after 4 s", "after up to 4 s"])
async def test_no_gap_between_queries_costs_a_client_its_answer_F1_F2_F4_F28(
    scheme: str, way: str, is_steady: bool, up: FakeUpstream, group: UpstreamGroup, warp: Warp
) -> None:
    draw = random.Random(f"{SEED} {scheme} {way}")
    setattr(up.faults, "idle_end", way)  # noqa: B010
    took: list[float] = []
    for number in range(QUERIES // 2 + 1):
        up.faults.idle_s = IDLE_S if is_steady else draw.uniform(0.1, IDLE_S)
        await warp.rest(gap(draw) - INSTANT_S)
        warp.jump(INSTANT_S)
        asking = Asking(group, number)
        took.append(await warp.pass_until(lambda asking=asking: asking.is_over, step_s=0.01))  # type: ignore[misc]
        assert await asking.address() == number % 250 + 1
    assert max(took) < PATIENCE_S / 2
