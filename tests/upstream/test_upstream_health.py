"""What is held against an upstream, for how long, and how it comes back (RFC 9520 §3.2, R8, R9)."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from secdns.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineExceeded,
    Overloaded,
    ProtocolError,
    StatusError,
    TransportError,
)
from secdns.iana import RCode
from secdns.testing import FakeUpstream, Faults
from secdns.upstream import Upstream, UpstreamGroup
from secdns.upstream.group import LONE_RETRY_S
from secdns.upstream.member import (
    FIRST_BACKOFF_S,
    FIRST_BREAK_S,
    MAX_BACKOFF_S,
    MAX_SILENT,
    MIN_FAILURES,
)
from secdns.upstream.roundtrip import FIRST_ANSWERS, MIN_PATIENCE_S
from secdns.upstream.roundtrip import MAX_PATIENCE_S as HEDGE_S
from tests.loop import PATIENCE_S, Warp, turns
from tests.transport.support import ENCRYPTED
from tests.upstream.asking import Answer, Asking, PlayedTransport
from tests.upstream.conftest import Gather

Played = Callable[[int], tuple[UpstreamGroup, list[PlayedTransport]]]
REFUSED = ConnectError("cannot connect")


async def fail(group: UpstreamGroup, transport: PlayedTransport, error: TransportError = REFUSED) -> None:
    """Ask, and fail who was asked first."""
    asking = Asking(group)
    await turns()
    transport.fail(error)
    await turns()
    asking.give_up()


def asked(*transports: PlayedTransport) -> list[int]:
    """Give how many queries came to each since the last time."""
    counts = [len(transport.queries) for transport in transports]
    for transport in transports:
        transport.queries.clear()
        transport.waiting.clear()
    return counts


async def test_failed_upstream_is_passed_over_for_half_a_second_and_then_preferred_again_9520_5(
    played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    await fail(group, first)
    assert asked(first, second) == [1, 1]
    Asking(group).give_up()
    assert asked(first, second) == [0, 1]
    await warp.advance(FIRST_BACKOFF_S * 1.2)
    Asking(group).give_up()
    assert asked(first, second) == [1, 0]


async def test_back_off_doubles_from_half_a_second_to_a_minute_spread_by_a_fifth_9520_5_R9(
    played: Played, warp: Warp
) -> None:
    group, (first,) = played(1)
    (member,) = group.members
    spread = set()
    for failure in range(12):
        member.failed(REFUSED, warp.time())
        want = min(FIRST_BACKOFF_S * 2**failure, MAX_BACKOFF_S)
        backoff_s = member.back_at - warp.time()
        assert 0.79 * want <= backoff_s <= 1.2 * want
        spread.add(round(backoff_s / want, 3))
        await warp.advance(backoff_s + 0.01)
    assert len(spread) > 1
    assert first.queries == []


async def test_failures_of_one_moment_count_once(played: Played, warp: Warp) -> None:
    group, _ = played(1)
    (member,) = group.members
    for _ in range(100):
        member.failed(REFUSED, warp.time())
    assert member.failures == 1


async def test_answer_ends_what_was_held_against_it(
    played: Played, warp: Warp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "secdns.upstream")
    group, (first, second) = played(2)
    await fail(group, first)
    await warp.advance(1.0)
    asked(first, second)
    asking = Asking(group)
    first.answer()
    assert isinstance(await asking.outcome(), Answer)
    member = group.members[0]
    assert (member.failures, member.back_at) == (0, 0.0)
    messages = [entry.getMessage() for entry in caplog.records]
    assert messages == ["upstream a failed: cannot connect", "upstream a answers again"]


async def test_refusal_is_an_answer_of_a_healthy_upstream(played: Played) -> None:
    group, (first, _) = played(2)
    asking = Asking(group)
    first.answer(RCode.REFUSED)
    await turns()
    asking.give_up()
    assert group.members[0].failures == 0


async def test_slow_name_is_not_held_against_an_upstream_that_answers_others(
    played: Played, warp: Warp
) -> None:
    group, (first,) = played(1)
    slow, quick = Asking(group, 1), Asking(group, 2)
    waiter = first.waiting.pop(0)
    first.queries.pop(0)
    await warp.advance(1.0)
    first.answer()
    assert isinstance(await quick.outcome(), Answer)
    waiter.set_exception(DeadlineExceeded("did not answer in time"))
    await slow.error()
    assert group.members[0].failures == 0


@pytest.mark.parametrize(
    ("error", "is_held_against"),
    [(REFUSED, True), (ProtocolError("x"), True), (AuthenticationError("x"), True),
     (DeadlineExceeded("x"), True), (Overloaded("x"), False)],
)  # fmt: skip
async def test_what_counts_as_a_failure(error: TransportError, is_held_against: bool, played: Played) -> None:
    group, (first, _) = played(2)
    await fail(group, first, error)
    assert bool(group.members[0].failures) == is_held_against


# silence


async def overtake(group: UpstreamGroup, second: PlayedTransport, warp: Warp, number: int = 1) -> None:
    """Ask, and let the second upstream answer while the first says nothing."""
    asking = Asking(group, number)
    await warp.advance(HEDGE_S + 0.01)
    second.answer()
    assert isinstance(await asking.outcome(), Answer)


async def test_upstream_overtaken_twice_with_nothing_heard_is_reset_and_passed_over_F2_R8(
    played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    for count in range(1, MAX_SILENT + 1):
        assert (first.hang_ups, group.members[0].failures) == (0, 0)
        await overtake(group, second, warp, count)
    assert (first.hang_ups, group.members[0].failures) == (1, 1)
    asked(first, second)
    Asking(group).give_up()
    assert asked(first, second) == [0, 1]


async def test_one_silence_counts_once_however_many_names_fall_into_it_F2(played: Played, warp: Warp) -> None:
    group, (first, second) = played(2)
    asking = [Asking(group, number) for number in range(10)]
    await warp.advance(HEDGE_S + 0.01)
    for _ in asking:
        second.answer()
    for one in asking:
        assert isinstance(await one.outcome(), Answer)
    assert (first.hang_ups, group.members[0].failures) == (0, 0)
    await overtake(group, second, warp)
    assert first.hang_ups == 1


async def test_late_answers_are_a_sign_of_life_F2(played: Played, warp: Warp) -> None:
    group, (first, second) = played(2)
    for number in range(10):
        await overtake(group, second, warp, number)
        first.exchanges += 1  # it came, too late to be wanted
    assert (first.hang_ups, group.members[0].failures) == (0, 0)


async def test_half_open_connection_is_replaced_and_the_upstream_is_asked_again_F2_R8(
    a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = gather(a.endpoint("tls"), b.endpoint("tls"))
    assert await Asking(group, 0).address() == 1
    await warp.advance(0.01)
    a.faults.silent = True
    for number in (1, 2):
        asking = Asking(group, number)
        await a.wait_queries(number + 1)
        await warp.advance(HEDGE_S + 0.01)
        assert await asking.address() == number + 1
    a.faults = Faults()
    await warp.advance(FIRST_BACKOFF_S * 1.2)
    assert await Asking(group, 3).address() == 4
    assert (a.connections["tls"], len(b.queries)) == (2, 3)  # nobody waits for one that failed a moment ago


@pytest.mark.parametrize("scheme", ENCRYPTED)
async def test_connection_that_vanished_under_load_is_hedged_and_replaced_within_3_s_F2_R8(
    scheme: str, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = gather(a.endpoint(scheme), b.endpoint("tls"))

    async def ask(number: int) -> None:
        asking = Asking(group, number)
        assert await warp.pass_until(lambda: asking.is_over, step_s=0.005) < HEDGE_S + 0.1
        assert await asking.address() == number + 1

    for number in range(3):
        await ask(number)
    a.forget_connections()
    heard, lost_at = len(a.queries), warp.time()
    while len(a.queries) == heard:
        await ask(5)
        await warp.rest(0.1)
    assert warp.time() - lost_at < 3.0
    assert a.connections[scheme] == 2
    asked_b = len(b.queries)
    await warp.rest(FIRST_BACKOFF_S)
    for number in range(10):
        await ask(number)
    assert len(b.queries) == asked_b


# Retry-After


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed_and_the_next_upstream_serves_F6_9110_1(
    status: int, a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = gather(a.endpoint("https"), b.endpoint("https"))
    a.faults = Faults(http_status=status, http_headers={"retry-after": "30"})
    assert await Asking(group, 1).address() == 2
    a.faults = Faults()
    await warp.advance(29.9)
    for number in range(2, 7):
        assert await Asking(group, number).address() == number + 1
    assert len(a.queries) == 1
    await warp.advance(30 * 0.4 + 0.2)  # spread, so that not all clients come back at once
    assert await Asking(group, 9).address() == 10
    assert len(a.queries) == 2


async def test_upstream_that_wants_no_query_gets_none_though_nobody_else_answers_F6(
    a: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = gather(a.endpoint("https"))
    a.faults = Faults(http_status=503, http_headers={"retry-after": "30"})
    assert "a: 127.0.0.1 answered with HTTP status 503" in str(await Asking(group).error())
    for _ in range(10):
        await warp.advance(2.0)
        assert "a: 127.0.0.1 answered with HTTP status 503" in str(await Asking(group).error())
    assert len(a.queries) == 1
    a.faults = Faults()
    await warp.advance(30.0)
    assert await Asking(group).address() == 2


@pytest.mark.parametrize("retry_after_s", [None, 0.0])
async def test_status_without_retry_after_is_an_ordinary_failure_F6(
    retry_after_s: float | None, played: Played, warp: Warp
) -> None:
    group, _ = played(1)
    (member,) = group.members
    member.failed(StatusError("500", status=500, retry_after_s=retry_after_s), warp.time())
    assert member.not_before == 0.0
    assert member.back_at - warp.time() <= FIRST_BACKOFF_S * 1.2


# nobody is well


def ail(member: Upstream, times: int, now: float) -> None:
    """Let an upstream have failed so often, the last time just now."""
    for _ in range(times):
        member.back_at = 0.0
        member.failed(REFUSED, now)


async def test_upstream_in_back_off_is_the_last_resort_when_the_well_one_fails(
    played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    ail(group.members[0], 9, warp.time())  # a long outage, perhaps over: nobody has looked for a minute
    asking = Asking(group)
    assert asked(first) == [0]
    second.fail(REFUSED)
    await turns()
    first.answer()
    assert isinstance(await asking.outcome(), Answer)
    assert group.members[0].failures == 0


async def test_well_upstreams_come_before_those_in_back_off(played: Played, warp: Warp) -> None:
    group, (first, second, third) = played(3)
    ail(group.members[0], 9, warp.time())
    asking = Asking(group)
    await turns()
    assert asked(first, second, third) == [0, 1, 0]
    await warp.advance(HEDGE_S + 0.01)
    assert asked(first, second, third) == [0, 0, 1]
    await warp.advance(HEDGE_S + 0.01)
    assert asked(first, second, third) == [1, 0, 0]
    asking.give_up()


async def test_first_failure_is_too_little_to_be_certain(played: Played) -> None:
    group, (first,) = played(1)
    for _ in range(5):
        await fail(group, first)
    assert asked(first) == [5]


async def test_all_in_back_off_are_tried_by_one_query_in_half_a_second_F25_R9(
    played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    for member in group.members:
        ail(member, 9, warp.time())
    tries = 0
    for _ in range(100):  # 10 s at 10 qps
        asking = Asking(group)
        await turns()
        tries += not asking.is_over
        for transport in (first, second, first):  # which of them is first is left to chance
            if transport.waiting:
                transport.fail(REFUSED)
                await turns()
        assert await asking.error()
        await warp.advance(0.1)
    assert tries <= 10 / LONE_RETRY_S + 1
    assert asked(first, second) == [tries, tries]


async def test_who_may_not_even_try_is_told_why_the_last_one_failed_F25(played: Played, warp: Warp) -> None:
    group, (first,) = played(1)
    ail(group.members[0], 9, warp.time())
    asking = Asking(group)
    first.fail(ConnectError("no route to host"))
    await asking.error()
    assert str(await Asking(group).error()) == "a: no route to host"


async def test_who_has_failed_the_longest_ago_is_tried_first(played: Played, warp: Warp) -> None:
    group, (first, second) = played(2)
    ail(group.members[1], 3, warp.time())
    ail(group.members[0], 9, warp.time())
    Asking(group).give_up()
    assert asked(first, second) == [0, 1]


async def test_reset_forgives_everything_F11(played: Played, warp: Warp) -> None:
    group, (first, second) = played(2)
    for member in group.members:
        ail(member, 9, warp.time())
    group.members[0].failed(StatusError("busy", status=429, retry_after_s=300), warp.time())
    Asking(group).give_up()
    asked(first, second)
    group.reset()
    assert (first.resets, second.resets) == (1, 1)
    Asking(group).give_up()
    assert asked(first, second) == [1, 0]


async def test_upstream_that_accepts_and_closes_is_dialled_ten_times_in_ten_seconds_R9(
    a: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    a.faults.drop_connections = True
    group = gather(a.endpoint("tls"))
    for step in range(100):
        asking = [Asking(group, 10 * step + number) for number in range(10)]
        await warp.pass_until(lambda: all(one.is_over for one in asking))  # noqa: B023
        await warp.advance(0.1)
    assert 2 <= a.connections["tls"] <= 10


# the circuit


async def test_circuit_breaks_when_more_fails_than_succeeds_and_for_longer_each_time_F5(
    played: Played, warp: Warp
) -> None:
    group, _ = played(1)
    (member,) = group.members
    breaks = []
    for _ in range(6):
        while member.broken_until <= warp.time():
            member.failed(ProtocolError("stream reset: INTERNAL_ERROR"), warp.time())
            member.answered(warp.time())
            member.failed(ProtocolError("stream reset: INTERNAL_ERROR"), warp.time())
            await warp.advance(0.1)
        assert member.back_at >= member.broken_until  # an answer in between does not mend it
        breaks.append(member.broken_until - warp.time())
        await warp.advance(breaks[-1] + 0.01)
    for index, took_s in enumerate(breaks):
        want = min(FIRST_BREAK_S * 2**index, MAX_BACKOFF_S)
        assert 0.75 * want <= took_s <= 1.2 * want


async def test_circuit_holds_while_most_succeeds_F5(played: Played, warp: Warp) -> None:
    group, _ = played(1)
    (member,) = group.members
    for _ in range(200):
        member.failed(ProtocolError("stream reset: INTERNAL_ERROR"), warp.time())
        for _ in range(2):
            member.answered(warp.time())
        await warp.advance(0.05)
    assert member.broken_until == 0.0


async def test_broken_circuit_lets_the_other_serve_and_is_forgiven_after_silence_F5(
    played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    member = group.members[0]
    for _ in range(2 * MIN_FAILURES):
        member.failed(ProtocolError("stream reset: INTERNAL_ERROR"), warp.time())
        member.answered(warp.time() - 1.0)
        member.failures = 0
    while member.broken_until <= warp.time():
        member.failed(ProtocolError("stream reset: INTERNAL_ERROR"), warp.time())
    Asking(group).give_up()
    assert asked(first, second) == [0, 1]
    group.forgive()
    Asking(group).give_up()
    assert asked(first, second) == [1, 0]


async def test_what_an_upstream_wants_and_what_it_lied_about_is_not_forgiven_F6_F23(
    played: Played, warp: Warp
) -> None:
    group, (first, second) = played(2)
    one, other = group.members
    one.failed(StatusError("busy", status=429, retry_after_s=30), warp.time())
    for _ in range(9):
        other.lied(warp.time())
    group.forgive()
    assert one.not_before > warp.time() + 29
    assert other.back_at > warp.time() + 500
    Asking(group).give_up()
    assert asked(first, second) == [0, 1]  # the liar, as nobody else is left


async def test_upstream_that_fails_and_recovers_is_told_of_once_in_five_minutes_F3(
    played: Played, warp: Warp, caplog: pytest.LogCaptureFixture
) -> None:
    group, _ = played(1)
    (member,) = group.members
    await warp.advance(1000.0)
    for _ in range(59):
        member.failed(AuthenticationError("cannot trust it"), warp.time())
        await warp.advance(5.0)
        member.answered(warp.time())
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    await warp.advance(6.0)
    member.failed(AuthenticationError("cannot trust it"), warp.time())
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2


# patience


async def test_second_is_asked_after_the_firsts_own_p95_F2(
    a: FakeUpstream, b: FakeUpstream, gather: Gather, warp: Warp
) -> None:
    group = gather(a.endpoint("tls"), b.endpoint("tls"))
    for number in range(FIRST_ANSWERS + 1):
        assert await Asking(group, number).address() == number + 1
    assert group.members[0].trip.patience_s == MIN_PATIENCE_S
    a.faults.hold = True
    asking = Asking(group, 30)
    await a.wait_queries(FIRST_ANSWERS + 2)
    await warp.advance(MIN_PATIENCE_S - 0.001)
    assert b.queries == []
    await warp.advance(0.002)
    assert await asking.address() == 31
    assert len(b.queries) == 1
    a.release()


async def test_less_patience_does_not_overtake_those_who_wait_already(played: Played, warp: Warp) -> None:
    group, (_, second) = played(2)
    early = Asking(group, 1)
    member = group.members[0]
    for _ in range(FIRST_ANSWERS):
        member.trip.took(0.001, warp.time())
    assert member.trip.patience_s == MIN_PATIENCE_S
    late = Asking(group, 2)
    await warp.advance(HEDGE_S - 0.01)
    assert second.queries == []
    await warp.advance(0.02)
    assert len(second.queries) == 2
    early.give_up()
    late.give_up()


@pytest.mark.parametrize("scheme", ["tls", "https", "quic", "h3"])
async def test_resets_in_a_row_fail_no_query_F13(scheme: str, a: FakeUpstream, gather: Gather) -> None:
    """The network may change several times while a query is under way."""
    group = gather(a.endpoint(scheme))
    assert await Asking(group, 1).address() == 2
    a.faults = Faults(hold=True)
    asking = Asking(group, 2)
    async with asyncio.timeout(PATIENCE_S):
        for count in range(2, 7):
            await a.wait_queries(count)
            group.reset()
        await a.wait_queries(7)
    a.release()
    assert await asking.address() == 3
    assert group.members[0].failures == 0


async def test_connection_lost_twice_by_the_upstream_is_a_failure_between_resets_too_F1(
    a: FakeUpstream, gather: Gather
) -> None:
    group = gather(a.endpoint("tls"))
    assert await Asking(group, 1).address() == 2
    a.faults = Faults(hold=True)
    asking = Asking(group, 2)
    async with asyncio.timeout(PATIENCE_S):
        await a.wait_queries(2)
        group.reset()
        for count in (3, 4):
            await a.wait_queries(count)
            a.drop_connections(reset=True)
    assert "lost" in str(await asking.error())
    assert len(a.queries) == 4


async def test_failure_of_what_began_before_a_reset_is_not_held_against_anybody_F11(
    played: Played, warp: Warp
) -> None:
    group, (first,) = played(1)
    (member,) = group.members
    before = warp.time()
    await warp.advance(1)
    group.reset()
    member.failed(DeadlineExceeded("no answer in time"), before)
    assert (member.failures, member.back_at) == (0, 0.0)
    member.failed(DeadlineExceeded("no answer in time"), warp.time())
    assert member.failures == 1
    assert first.resets == 1
