"""A network that loses datagrams: QUIC sends again, and another upstream helps (F9)."""

import dataclasses
import statistics

import pytest

from secdns.endpoint import Endpoint
from secdns.testing import FakeUpstream, Relay
from tests.loop import Warp
from tests.upstream.asking import Answer, Asking
from tests.upstream.conftest import Gather

DELAY_S = 0.05
ROUND_TRIP_S = 2 * DELAY_S
QUERIES = 200
EVERY_S = 0.05


def through(relay: Relay, endpoint: Endpoint) -> Endpoint:
    return dataclasses.replace(endpoint, port=relay.port)


@pytest.mark.parametrize("scheme", ["quic", "h3"])
async def test_a_third_of_all_datagrams_lost_costs_hardly_an_answer_F9(
    scheme: str, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    async with (
        Relay(a.endpoint(scheme).port, delay_s=DELAY_S, loss=0.3) as to_a,
        Relay(b.endpoint(scheme).port, delay_s=DELAY_S, loss=0.3, seed=2) as to_b,
    ):
        group = gather(through(to_a, a.endpoint(scheme)), through(to_b, b.endpoint(scheme)))
        began_s: list[float] = []
        asked: list[Asking] = []
        took_s: dict[int, float] = {}
        while len(took_s) < QUERIES:
            if len(asked) < QUERIES and warp.time() >= (began_s[-1] if began_s else 0.0) + EVERY_S:
                began_s.append(warp.time())
                asked.append(Asking(group, len(asked)))
            await warp.advance(0.002)
            for number, asking in enumerate(asked):
                if asking.is_over:
                    took_s.setdefault(number, warp.time() - began_s[number])
        assert to_a.lost > 0.2 * to_a.datagrams
        good = [isinstance(asking.outcomes[0], Answer) for asking in asked]
        in_time = sum(took_s[number] < 2.0 and is_good for number, is_good in enumerate(good))
        assert in_time >= 0.99 * QUERIES
        assert statistics.median(took_s.values()) < 3 * ROUND_TRIP_S


@pytest.mark.parametrize("scheme", ["quic", "h3"])
async def test_handshakes_that_are_lost_leave_the_queries_to_tcp_F9(
    scheme: str, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    """In ten seconds no more than three queries wait until QUIC has turned out not to come through."""
    async with Relay(a.endpoint(scheme).port, loss=1.0) as to_a:
        group = gather(through(to_a, a.endpoint(scheme)), b.endpoint("tls"))
        waits: list[float] = []
        for number in range(40):
            began_s = warp.time()
            asking = Asking(group, number)
            await warp.pass_until(lambda asking=asking: asking.is_over, step_s=0.005)  # type: ignore[misc]
            assert isinstance(asking.outcomes[0], Answer)
            waits.append(warp.time() - began_s)
            await warp.rest(0.25)
        assert to_a.lost == to_a.datagrams > 0
        assert sum(wait_s > 0.1 for wait_s in waits) <= 3
        assert max(waits) < 1.0
