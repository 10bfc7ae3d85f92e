"""Who is asked, in which order, when the next one is, and who wins."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from secdns.dns.message import Message
from secdns.dns.peek import question_end
from secdns.errors import (
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    FormatError,
    Overloaded,
    ProtocolError,
)
from secdns.iana import EDE, RCode
from secdns.testing import FakeUpstream, Faults
from secdns.upstream import UpstreamGroup
from secdns.upstream.member import FIRST_BACKOFF_S
from secdns.upstream.roundtrip import MAX_PATIENCE_S as HEDGE_S
from tests.loop import Warp, turns, wait_until
from tests.transport.support import ENCRYPTED
from tests.upstream.asking import Answer, Asking, PlayedTransport
from tests.upstream.conftest import Gather

Played = Callable[[int], tuple[UpstreamGroup, list[PlayedTransport]]]


@pytest.fixture(params=["connected", "connecting"])
async def is_connected(request: pytest.FixtureRequest) -> bool:
    """The first upstream is asked in two ways: at once where it is connected, else by a task."""
    return bool(request.param == "connected")


async def pair(gather: Gather, a: FakeUpstream, b: FakeUpstream, is_connected: bool) -> UpstreamGroup:
    """Give a group of two, the first of which is connected or not."""
    group = gather(a.endpoint("tls"), b.endpoint("tls"))
    if is_connected:
        await Asking(group, 0).address()
        a.queries.clear()
    return group


async def test_first_upstream_answers_and_the_second_is_left_alone(
    is_connected: bool, a: FakeUpstream, b: FakeUpstream, gather: Gather
) -> None:
    group = await pair(gather, a, b, is_connected)
    for number in range(20):
        assert await Asking(group, number).address() == number + 1
    assert (len(a.queries), b.queries) == (20, [])
    assert a.connections["tls"] == 1


async def test_second_is_asked_after_0_4_s_and_the_loser_is_not_punished_F2_R8(
    is_connected: bool, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = await pair(gather, a, b, is_connected)
    a.faults.hold = True
    asking = Asking(group)
    await a.wait_queries(1)
    await warp.advance(HEDGE_S - 0.1)
    assert b.queries == []
    await warp.advance(0.11)
    assert await asking.address() == 2
    first = group.members[0]
    assert (first.failures, first.back_at) == (0, 0.0)
    a.release()
    a.faults.hold = False
    assert await Asking(group, 5).address() == 6
    assert (len(a.queries), len(b.queries)) == (2, 1)
    assert a.connections["tls"] == 1  # a slow answer is no reason to hang up


async def test_first_may_win_though_the_second_was_asked_too(
    is_connected: bool, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = await pair(gather, a, b, is_connected)
    a.faults.hold = b.faults.hold = True
    asking = Asking(group)
    await a.wait_queries(1)
    await warp.advance(HEDGE_S + 0.01)
    await b.wait_queries(1)
    a.release()
    assert await asking.address() == 2
    b.release()
    await turns()
    assert len(asking.outcomes) == 1
    assert [member.failures for member in group.members] == [0, 0]


async def test_later_upstreams_are_hedged_in_turn(gather: Gather, warp: Warp) -> None:
    async with FakeUpstream() as a, FakeUpstream() as b, FakeUpstream() as c:
        for silent in (a, b, c):
            silent.faults.hold = True
        group = gather(*(up.endpoint("tls") for up in (a, b, c)))
        asking = Asking(group)
        await a.wait_queries(1)
        await warp.advance(HEDGE_S + 0.01)
        await b.wait_queries(1)
        await warp.advance(HEDGE_S - 0.1)
        assert c.queries == []
        await warp.advance(0.11)
        await c.wait_queries(1)
        asking.give_up()


@pytest.mark.parametrize(
    "faults", [{"rcode": RCode.SERVFAIL}, {"rcode": RCode.REFUSED}, {"rcode": RCode.BADVERS},
               {"wrong_question": True}, {"garbage": True}, {"wrong_id": True}, {"close_mid": "rst"}],
    ids=str,
)  # fmt: skip
async def test_second_is_asked_at_once_when_the_first_fails_F1_F7_F27(
    faults: dict[str, Any], is_connected: bool, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = await pair(gather, a, b, is_connected)
    a.faults = Faults(**faults)
    asking = Asking(group)
    assert await warp.pass_until(lambda: asking.is_over) < HEDGE_S
    assert await asking.address() == 2
    assert len(a.queries) <= 2
    assert len(b.queries) == 1


@pytest.mark.parametrize("scheme", ENCRYPTED)
@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_pooled_connection_that_died_costs_one_retry_on_a_fresh_one_F1(
    scheme: str, how: str, a: FakeUpstream, b: FakeUpstream, gather: Gather
) -> None:
    group = gather(a.endpoint(scheme), b.endpoint(scheme))
    await Asking(group, 0).address()
    a.faults = Faults(close_mid=how, times=1)  # type: ignore[arg-type]
    assert await Asking(group).address() == 2
    assert (a.connections[scheme], b.connections[scheme]) == (2, 0)
    assert (len(a.queries), b.queries) == (3, [])
    assert group.members[0].failures == 0


@pytest.mark.parametrize("scheme", ENCRYPTED)
async def test_idle_connection_that_was_cut_costs_nobody_an_answer_F1_F12(
    scheme: str, a: FakeUpstream, gather: Gather
) -> None:
    group = gather(a.endpoint(scheme))
    await Asking(group, 0).address()
    a.drop_connections(reset=True)
    assert await Asking(group).address() == 2


@pytest.mark.parametrize("scheme", ["https", "h3"])
@pytest.mark.parametrize("goaway", ["graceful", "refuse", "zero"])
async def test_goaway_costs_nobody_an_answer_F4(
    scheme: str, goaway: Any, a: FakeUpstream, gather: Gather
) -> None:
    group = gather(a.endpoint(scheme))
    await Asking(group, 0).address()
    a.faults = Faults(goaway=goaway, times=1)
    asked = [Asking(group, number) for number in range(30)]
    assert [await asking.address() for asking in asked] == [number + 1 for number in range(30)]
    assert a.connections[scheme] == 2


@pytest.mark.parametrize("oddity", ["fin", "two", "zero", "short", "keepalive", "uni", "both-ways"])
async def test_second_is_asked_at_once_when_the_first_breaks_dns_over_quic_F29(
    oddity: Any, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = gather(a.endpoint("quic"), b.endpoint("tls"))
    for faults in (Faults(oddity=oddity), Faults(), Faults(oddity=oddity)):  # connecting and connected
        a.faults = faults
        asking = Asking(group)
        assert await warp.pass_until(lambda asking=asking: asking.is_over) < HEDGE_S  # type: ignore[misc]
        assert await asking.address() == 2
        await warp.rest(2 * FIRST_BACKOFF_S)
    asked = 3 if oddity in ("uni", "both-ways") else 2  # whose fault these are is not known at first
    assert len(a.queries) == asked
    assert len(b.queries) == 3  # also while the first, which failed, connects anew


@pytest.mark.parametrize("scheme", ["https", "h3"])
async def test_refused_stream_is_asked_once_more_and_another_reset_goes_to_the_next_F5(
    scheme: str, a: FakeUpstream, b: FakeUpstream, gather: Gather
) -> None:
    group = gather(a.endpoint(scheme), b.endpoint(scheme))
    await Asking(group, 0).address()
    a.faults = Faults(refuse_streams=True, times=1)
    assert await Asking(group).address() == 2
    assert (len(a.queries), len(b.queries)) == (3, 0)
    a.faults = Faults(refuse_streams=True, reset_code=2, times=1)
    assert await Asking(group).address() == 2
    assert (len(a.queries), len(b.queries)) == (4, 1)


async def test_connection_that_dies_each_time_is_tried_twice_and_no_more_R9_9520_4(
    a: FakeUpstream, gather: Gather
) -> None:
    group = gather(a.endpoint("tls"))
    await Asking(group, 0).address()
    a.faults.close_mid = "rst"
    assert "a: connection to 127.0.0.1" in str(await Asking(group).error())
    assert len(a.queries) == 3
    assert a.connections["tls"] <= 3


@pytest.mark.parametrize("scheme", ENCRYPTED)
@pytest.mark.parametrize("close_after", [1, 3])
async def test_upstream_that_closes_after_each_answer_costs_nobody_an_answer_F28(
    scheme: str, close_after: int, a: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    a.faults.close_after = close_after
    group = gather(a.endpoint(scheme))
    for number in range(2 * close_after + 2):
        asking = Asking(group, number)
        await warp.pass_until(lambda: asking.is_over)  # noqa: B023  connections are spaced
        assert await asking.address() == number + 1


# what the wire cannot show


@pytest.mark.parametrize("is_open", [True, False], ids=["connected", "connecting"])
async def test_refusal_is_taken_only_if_nobody_has_better_and_the_preferred_ones_then(
    is_open: bool, played: Played
) -> None:
    group, (first, second) = played(2)
    first.is_open = is_open
    asking = Asking(group)
    await turns()
    first.answer(RCode.REFUSED)
    await turns()
    second.answer(RCode.SERVFAIL)
    outcome = await asking.outcome()
    assert isinstance(outcome, Answer)
    assert outcome.message.rcode == RCode.REFUSED
    asking = Asking(group)
    await turns()
    first.answer(RCode.SERVFAIL)
    await turns()
    second.answer(RCode.NXDOMAIN)
    outcome = await asking.outcome()
    assert isinstance(outcome, Answer)
    assert outcome.message.rcode == RCode.NXDOMAIN


async def test_first_may_answer_after_the_second_has_failed(played: Played, warp: Warp) -> None:
    group, (first, second) = played(2)
    asking = Asking(group)
    await warp.advance(HEDGE_S + 0.01)
    second.fail(ConnectError("refused"))
    await turns()
    assert not asking.is_over
    first.answer()
    assert isinstance(await asking.outcome(), Answer)


async def test_both_answers_in_one_turn_are_one_answer(played: Played, warp: Warp) -> None:
    for order in (0, 1):
        group, transports = played(2)
        asking = Asking(group)
        await warp.advance(HEDGE_S + 0.01)
        transports[order].answer()
        transports[1 - order].answer()
        assert isinstance(await asking.outcome(), Answer)
        await turns()
        assert len(asking.outcomes) == 1


async def test_failure_of_the_second_in_the_turn_of_the_firsts_answer_is_looked_at(
    played: Played, warp: Warp
) -> None:
    """Else asyncio reports that nobody ever did: ``nothing_is_left`` would see it."""
    group, (first, second) = played(2)
    asking = Asking(group)
    await warp.advance(HEDGE_S + 0.01)
    second.fail(ConnectError("refused"))
    asyncio.get_running_loop().call_soon(first.answer)  # after the task has ended, before that is told
    assert isinstance(await asking.outcome(), Answer)
    await turns()
    del asking, group
    gc.collect()


async def test_connection_lost_while_the_second_is_asked_already_waits_for_it(
    played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    asking = Asking(group)
    await warp.advance(HEDGE_S + 0.01)
    first.fail(ConnectionLost("cut"))
    await turns()
    assert len(first.queries) == 1
    second.answer()
    assert isinstance(await asking.outcome(), Answer)


@pytest.mark.parametrize("moment", ["asked", "hedged", "failed over", "lost"])
@pytest.mark.parametrize("is_open", [True, False], ids=["connected", "connecting"])
async def test_who_gives_up_hears_nothing_and_leaves_nothing(
    moment: str, is_open: bool, played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    first.is_open = is_open
    asking = Asking(group)
    await turns()
    if moment == "hedged":
        await warp.advance(HEDGE_S + 0.01)
    elif moment == "failed over":
        first.fail(ConnectError("refused"))
    elif moment == "lost":
        first.fail(ConnectionLost("cut"))
    await turns()
    failures = [member.failures for member in group.members]
    asking.give_up()
    await turns()
    for waiter in (*first.waiting, *second.waiting):
        assert waiter.done()
    await warp.advance(HEDGE_S)
    assert not asking.is_over
    assert len(first.queries) + len(second.queries) <= 2
    assert [member.failures for member in group.members] == failures


class Odd(Exception):
    """What no reader should raise."""


@pytest.mark.parametrize("is_open", [True, False], ids=["connected", "connecting"])
@pytest.mark.parametrize("error", [FormatError("cut short"), Odd("a bug")], ids=["FormatError", "a bug"])
async def test_response_that_cannot_be_read_goes_to_the_next_and_never_ends_in_silence(
    error: Exception, is_open: bool, played: Played
) -> None:
    group, (first, second) = played(2)
    first.is_open = is_open
    calls = []

    def read(response: bytes) -> Answer:
        calls.append(response)
        if len(calls) == 1:
            raise error
        return Answer(response)

    asking = Asking(group, read=read)
    await turns()
    first.answer()
    await turns()
    if second.waiting:
        second.answer()
    assert isinstance(await asking.outcome(), Answer)


async def test_each_reason_is_told_with_its_upstream_in_order_8914_2(played: Played) -> None:
    group, (first, second, third) = played(3)
    asking = Asking(group)
    first.fail(ConnectError("cannot connect"))
    await turns()
    second.fail(ProtocolError("broke HTTP/2"))
    await turns()
    third.fail(DeadlineExceeded("did not answer in time"))
    error = await asking.error()
    assert str(error) == "a: cannot connect; b: broke HTTP/2; c: did not answer in time"
    assert error.ede == EDE.NETWORK_ERROR
    assert type(error.__cause__) is ConnectError


async def test_if_nobody_answered_in_time_nobody_was_reachable_8914_2(played: Played) -> None:
    group, (first,) = played(1)
    asking = Asking(group)
    first.fail(DeadlineExceeded("did not answer in time"))
    assert (await asking.error()).ede == EDE.NO_REACHABLE_AUTHORITY


async def test_our_own_full_queue_is_not_held_against_the_upstream_R7(played: Played) -> None:
    group, (first, second) = played(2)
    first.is_open = False
    asking = Asking(group)
    await turns()
    first.fail(Overloaded("1000 queries are unanswered"))
    await turns()
    second.answer()
    assert isinstance(await asking.outcome(), Answer)
    assert (group.members[0].failures, group.members[0].back_at) == (0, 0.0)


async def test_query_is_padded_to_128_octets_with_an_opt_of_our_own_8467_1_E16(played: Played) -> None:
    group, (first,) = played(1)
    for number in (1, 10, 100, 1_000_000_000_000):
        Asking(group, number)
    for query in first.queries:
        message = Message.parse(query)
        assert len(query) % 128 == 0
        assert (message.id, len(message.question), message.answer) == (0, 1, ())
        assert message.edns is not None
        assert message.edns.do
        assert query[question_end(query)] == 0


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_resolver_of_ones_own_network_gets_a_plain_query(
    scheme: str, a: FakeUpstream, gather: Gather
) -> None:
    group = gather(a.endpoint(scheme))
    assert await Asking(group).address() == 2
    sent = Message.parse(a.queries[0].wire)
    assert sent.edns is not None
    assert (sent.edns.do, sent.edns.options) == (False, ())


async def test_a_thousand_hedges_share_one_timer(played: Played, warp: Warp) -> None:
    group, (first, second) = played(2)
    asked = [Asking(group, number) for number in range(1000)]
    loop: Any = asyncio.get_running_loop()
    soon = warp.time() + 1
    assert sum(1 for handle in loop._scheduled if not handle.cancelled() and handle.when() < soon) <= 2
    for _ in range(500):
        first.answer()
    await warp.advance(HEDGE_S + 0.05)
    assert len(second.queries) == 500
    for _ in range(500):
        second.answer()
    await wait_until(lambda: all(asking.is_over for asking in asked))
    assert [len(asking.outcomes) for asking in asked] == [1] * 1000


async def test_group_without_members_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an upstream"):
        UpstreamGroup([])
