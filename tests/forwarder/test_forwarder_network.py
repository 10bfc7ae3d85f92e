"""What clients are told while there is no network, and for how long they are left to hope (F11)."""

import asyncio
from functools import partial

import pytest

from secdns.forwarder import FAILURE_TTL_S, PATIENCE_S, UNSETTLED_S, UNSETTLED_TTL_S, Forwarder
from secdns.hold import HOLD_S
from secdns.iana import EDE, RCode
from secdns.network.watch import Outlook
from secdns.testing import FakeUpstream
from tests.cache.answers import query
from tests.forwarder.conftest import Play
from tests.forwarder.stage import Stage, only, submit, table, told
from tests.loop import Warp, turns, wait_until

GONE = {EDE.NETWORK_ERROR: "there is no network"}


class Weather(Outlook):
    """An outlook that a test makes; it is looked at when ``look_at`` says so."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._coming: str | None = None

    def expect(self, gone: str) -> None:
        """Let the next look find this."""
        self._coming = gone
        self.look_at = 0.0

    def look(self) -> None:
        self.look_at = self._stage.clock.now + 1
        if self._coming is not None:
            self.gone, self._coming = self._coming, None
            self.gone_since = self._stage.clock.now
            self._stage.groups.network_changed()
            self._stage.forwarder.network_changed()


@pytest.fixture
async def weather(up: FakeUpstream, play: Play) -> Weather:
    stage = play(table(up))
    made = Weather(stage)
    stage.forwarder = Forwarder(stage.cache, stage.routing, clock=stage.clock, outlook=made)
    return made


@pytest.fixture
def stage(weather: Weather) -> Stage:
    return weather._stage


async def test_query_during_a_short_gap_waits_for_the_next_network_F11_need1_t1(
    weather: Weather, stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    await up.stop()
    weather.expect("there is no network")
    replies = submit(stage, query("h1.example.test"))
    await warp.pass_until(lambda: up.queries == [] and stage.forwarder.hold._held)
    stage.clock.now += HOLD_S - 0.1
    await warp.advance(HOLD_S - 0.1)
    assert replies == []
    await up.start()
    weather.expect("")
    weather.look()
    await warp.pass_until(lambda: replies)
    assert only(replies).answer[0].rdata[-1] == 2


async def test_query_during_a_long_gap_is_told_in_time_and_the_next_at_once_F11(
    weather: Weather, stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    await up.stop()
    weather.expect("there is no network")
    replies = submit(stage, query("h1.example.test"))
    await wait_until(lambda: stage.forwarder.hold._held)
    stage.clock.now += HOLD_S
    await warp.advance(HOLD_S)
    assert (only(replies).rcode, told(only(replies))) == (RCode.SERVFAIL, GONE)
    later = submit(stage, query("h2.example.test"))
    assert (only(later).rcode, told(only(later))) == (RCode.SERVFAIL, GONE)
    await up.start()
    weather.expect("")
    for number in (1, 2):  # and nothing of it is remembered
        answered = submit(stage, query(f"h{number}.example.test"))
        await warp.pass_until(partial(bool, answered))
        assert only(answered).rcode == RCode.NOERROR


async def test_query_under_way_is_asked_again_on_the_next_network_and_told_with_the_others_F11(
    weather: Weather, stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    """Into a black hole: it is not failed by anything but the end of the wait."""
    up.faults.silent = True
    replies = submit(stage, query("h1.example.test"))
    await warp.pass_until(lambda: up.queries)
    weather.expect("there is no network")
    weather.look()
    stage.clock.now += HOLD_S
    await warp.advance(HOLD_S)
    assert (only(replies).rcode, told(only(replies))) == (RCode.SERVFAIL, GONE)


async def test_failure_that_shows_a_change_is_no_answer_F11(
    weather: Weather, stage: Stage, up: FakeUpstream
) -> None:
    """What failed on the old network is asked on the new one before anybody is told."""
    up.faults.drop_connections, up.faults.times = True, 1
    replies = submit(stage, query("h1.example.test"))
    weather.expect("")
    await wait_until(lambda: replies)
    assert only(replies).rcode == RCode.NOERROR
    assert up.connections["tls"] == 2


async def test_failures_are_kept_for_a_second_just_after_a_change_and_for_five_else(
    weather: Weather, stage: Stage, up: FakeUpstream
) -> None:
    await stage.ask(query("h1.example.test"))
    up.faults.rcode = RCode.SERVFAIL
    kept = []
    stage.forwarder.network_changed()
    for number in (2, 3):
        assert (await stage.ask(query(f"h{number}.example.test"))).rcode == RCode.SERVFAIL
        asked, seconds = len(up.queries), 0
        while len(up.queries) == asked:
            seconds += 1
            stage.clock.now += 1
            await stage.ask(query(f"h{number}.example.test"))
        kept.append(seconds)
        stage.clock.now += UNSETTLED_S
    assert kept == [UNSETTLED_TTL_S, FAILURE_TTL_S]


async def test_end_of_the_program_ends_the_wait_F32(
    weather: Weather, stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    await up.stop()
    weather.expect("there is no network")
    replies = submit(stage, query("h1.example.test"))
    await wait_until(lambda: stage.forwarder.hold._held)
    settling = asyncio.ensure_future(stage.forwarder.settle(PATIENCE_S))
    await turns()
    stage.forwarder.abandon()
    await settling
    assert told(only(replies)) == {EDE.NOT_READY: "the program is stopping"}
    await warp.advance(HOLD_S)
    assert len(replies) == 1
