"""What a DoT connection asks and is told of how long it may be quiet (7828, 8467.1)."""

import asyncio

import pytest

from secdns.cache import Cache
from secdns.dns.edns import EDNS, pad
from secdns.dns.message import Message, make_query
from secdns.dns.name import from_text
from secdns.forwarder import Forwarder
from secdns.iana import EDNSOption, RRType
from secdns.policy import Given, QueryPolicies
from secdns.routing import Routing
from secdns.testing import FakeUpstream
from secdns.transport.conversation import IDLE_S
from secdns.transport.dot import keepalive_in, with_keepalive
from secdns.upstream import Upstream, UpstreamGroup
from tests.fixtures import warp
from tests.loop import Warp, wait_until
from tests.transport.conftest import Reach
from tests.transport.support import ENCRYPTED, ask, is_open, no_lookup, right_answer

__all__ = ["warp"]  # a fixture

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)
KEEPALIVE = int(EDNSOption.TCP_KEEPALIVE)


def options_of(wire: bytes) -> list[tuple[int, bytes]]:
    edns = Message.parse(wire).edns
    assert edns is not None
    return [option for option in edns.options if option[0] != EDNSOption.PADDING]


@every_encrypted
async def test_first_query_of_each_dot_connection_and_no_other_asks_for_keepalive_7828_1_7828_2_8467_1(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    for number in (1, 2, 3):
        assert await ask(transport, number) == right_answer(number)
    transport.reset()
    assert await ask(transport, 4) == right_answer(4)
    first = [(KEEPALIVE, b"")] if scheme == "tls" else []
    assert [options_of(seen.wire) for seen in up.queries] == [first, [], [], first]
    assert {len(seen.wire) for seen in up.queries} == {128}


@pytest.mark.parametrize("label", range(1, 64))
def test_query_with_keepalive_is_padded_like_one_without_8467_1(label: int) -> None:
    name = from_text("x" * label + ".example.test")
    other = (int(EDNSOption.COOKIE), bytes(8))
    for options in ((), (other,)):
        bare = make_query(name, RRType.A, id=7, edns=EDNS(do=True, options=options))
        assert options_of(with_keepalive(bare)) == [*options, (KEEPALIVE, b"")]
        assert len(with_keepalive(bare)) == len(bare) + 4  # who does not pad is not padded
    query = pad(make_query(name, RRType.A, id=7, edns=EDNS(do=True)))
    changed = with_keepalive(query)
    assert len(changed) % 128 == 0
    assert len(changed) - len(query) in (0, 128)
    before, after = Message.parse(query), Message.parse(changed)
    assert (after.id, after.flags, after.question) == (before.id, before.flags, before.question)
    assert after.edns is not None
    assert after.edns.do
    assert set(after.edns.option(EDNSOption.PADDING) or b"\0") == {0}


@pytest.mark.parametrize(
    "query",
    [make_query(from_text("a.test"), RRType.A, id=1), b"\0\1" + b"\xff" * 20, bytes(12)],
    ids=["no OPT", "no message", "no question"],
)
def test_query_that_has_no_place_for_keepalive_stays_as_it_is(query: bytes) -> None:
    assert with_keepalive(query) == query


@pytest.mark.parametrize(
    ("octets", "want"),
    [(b"\0\0", 0.0), (b"\0\1", 0.1), (b"\1\x2c", 30.0), (b"\xff\xff", 6553.5), (b"", None), (b"\0", None),
     (b"\0\0\0", None), (None, None)],
)  # fmt: skip
def test_timeout_of_keepalive_counts_tenths_of_a_second_7828_2(
    octets: bytes | None, want: float | None
) -> None:
    options = () if octets is None else ((KEEPALIVE, octets),)
    message = Message.parse(make_query(from_text("a.test"), RRType.A, id=1, edns=EDNS(options=options)))
    assert keepalive_in(message.to_wire()) == want


@pytest.mark.parametrize(("timeout", "close_s"), [(50, 4.0), (1, 0.08), (600, IDLE_S)])
async def test_dot_connection_is_closed_before_the_time_that_the_upstream_said_7828_2(
    timeout: int, close_s: float, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    transport = reach(up.endpoint("tls"))
    up.faults.keepalive = timeout
    for _ in range(2):
        await ask(transport)
        assert transport.facts().idle_limit_s == timeout / 10
        for step_s in (close_s - 0.02, close_s - 0.02):
            await warp.rest(step_s)
            assert is_open(transport)
            await ask(transport, 2)  # from which it counts anew
        await warp.rest(close_s + 0.02)
        assert not is_open(transport)
    assert up.connections["tls"] == 2


async def test_timeout_of_zero_lets_what_was_asked_finish_and_takes_no_more_7828_2(
    up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("tls"))
    up.faults.hold, up.faults.keepalive = True, 0
    asked = [asyncio.ensure_future(ask(transport, number)) for number in range(5)]
    await up.wait_queries(5)
    up.faults.hold = False
    up.release()
    assert [await task for task in asked] == [right_answer(number) for number in range(5)]
    await wait_until(lambda: up.open_connections == 0)
    up.faults.keepalive = None
    for number in (7, 8):
        assert await ask(transport, number) == right_answer(number)
    assert [seen.connection for seen in up.queries[5:]] == [2, 2]


async def test_keepalive_of_an_upstream_never_reaches_a_client(up: FakeUpstream) -> None:
    up.faults.keepalive = 300
    upstream = Upstream("fake", up.endpoint("tls"), no_lookup)
    group = UpstreamGroup([upstream])
    forwarder = Forwarder(Cache(1 << 20), Routing(QueryPolicies(Given()), {0: group}, group, None))
    query = make_query(from_text("h1.example.test"), RRType.A, id=1, edns=EDNS(do=True))
    for _ in range(2):  # from the upstream, then from the cache
        reply = await forwarder.answer(query, stream=True)
        assert reply is not None
        assert options_of(reply) == []
    assert upstream.transport.facts().idle_limit_s == 30.0
    assert len(up.queries) == 1
    await group.aclose()
