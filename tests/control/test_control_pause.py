"""A pause hands questions to the network's own resolver, and ends whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from secdns.config import load
from secdns.daemon import Daemon
from secdns.endpoint import Endpoint
from secdns.errors import ControlError
from secdns.iana import EDE
from secdns.network.learning import Learner
from secdns.network.links import Link
from secdns.network.watch import Change
from secdns.states import State
from secdns.testing import FakeUpstream, ZoneData
from tests.control.stage import LISTEN, UNCHECKED, Stage, address, running
from tests.forwarder.stage import route, table, told
from tests.loop import wait_until
from tests.network.clocks import HandClocks

ZONES: dict[str, ZoneData] = {"example.test": {f"h{number}": {"A": "10.9.9.9"} for number in range(9)}}


@pytest.fixture
async def plain(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    """The network's own resolver, which says something else."""
    async with FakeUpstream(ZONES) as upstream:
        yield upstream


def at(plain: FakeUpstream) -> tuple[Endpoint, ...]:
    return (Endpoint("udp", "127.0.0.1", plain.port("udp"), addresses=("127.0.0.1",)),)


async def answer(stage: Stage, name: str = "h1.example.test") -> str | int:
    return address(await stage.ask(name))


async def test_pause_asks_the_networks_resolver_visibly_and_uncached_need10(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path, resolvers=lambda: at(plain)) as stage:
        assert await answer(stage) == await answer(stage) == "192.0.2.2"
        pause = await stage.api(stage.client.pause, 300)
        assert 299 < pause.left_s <= 300
        assert pause.resolvers == ("127.0.0.1",)
        for count in (1, 2, 3):  # what was held is not given, and what comes is not held
            reply = await stage.ask("h1.example.test")
            assert address(reply) == "10.9.9.9"
            assert "secdns is paused" in told(reply)[EDE.OTHER]
            assert reply.answer[0].ttl <= 10
            assert len(plain.queries) == count
        status = await stage.api(stage.client.status)
        assert status.state is State.PAUSED
        assert status.sentence.startswith("paused for another 5 min") or "4 min 59 s" in status.sentence
        assert not status.upstream.is_in_use
        resumed = await stage.api(stage.client.resume)
        assert (resumed.state, resumed.pause) == (State.SECURE, None)
        assert await answer(stage) == "192.0.2.2"
        assert (len(up.queries), len(plain.queries)) == (1, 3)  # what was held before is held still
        await stage.api(stage.client.resume)  # twice does no harm


async def test_pause_ends_by_itself_need10(up: FakeUpstream, plain: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path, resolvers=lambda: at(plain)) as stage:
        await stage.api(stage.client.pause, 1)
        assert await answer(stage) == "10.9.9.9"
        await asyncio.wait_for(until_over(stage), 4)
        assert await answer(stage) == "192.0.2.2"


async def until_over(stage: Stage) -> None:
    """Follow the events as a tray does."""
    reader, writer = await asyncio.open_unix_connection(stage.path)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    begun = False
    while True:
        line = await reader.readline()
        begun = begun or b'"state": "paused"' in line
        if (begun and b'"state": "secure"' in line) or b'"state": "checking"' in line:
            writer.close()
            return


async def test_time_asleep_counts_and_nothing_goes_out_in_plain_after_the_end_need10(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    hand = HandClocks()
    async with running(table(up), tmp_path, resolvers=lambda: at(plain), clocks=hand.clocks) as stage:
        await stage.api(stage.client.pause, 300)
        hand.work(200)
        assert await answer(stage) == "10.9.9.9"
        hand.pass_by(boot=101, awake=0, wall=101)  # timers stood still
        assert await answer(stage) == "192.0.2.2"
        await wait_until(lambda: not stage.daemon._groups.detour)
        assert len(plain.queries) == 1
        assert (await stage.api(stage.client.status)).pause is None


async def test_pause_goes_on_after_a_restart_for_what_is_left_need10(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    hand, state = HandClocks(), tmp_path / "state"

    def again() -> AbstractAsyncContextManager[Stage]:
        return running(table(up), tmp_path, resolvers=lambda: at(plain), clocks=hand.clocks, state_dir=state)

    async with again() as stage:
        await stage.api(stage.client.pause, 300)
    hand.work(100)
    async with again() as stage:
        pause = (await stage.api(stage.client.status)).pause
        assert pause is not None
        assert 199 <= pause.left_s <= 200
        assert await answer(stage) == "10.9.9.9"
    hand.pass_by(boot=0, awake=0, wall=-86_400)  # a clock that was set back makes no pause longer
    async with again() as stage:
        pause = (await stage.api(stage.client.status)).pause
        assert pause is not None
        assert pause.left_s <= 300
    hand.pass_by(boot=0, awake=0, wall=2 * 86_400)
    async with again() as stage:
        assert (await stage.api(stage.client.status)).pause is None
        assert await answer(stage) == "192.0.2.2"


async def test_strict_allows_no_pause_and_a_reload_to_strict_ends_one(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    strict = "[network]\nstrict = true\n"
    async with running(table(up), tmp_path, resolvers=lambda: at(plain)) as stage:
        await stage.api(stage.client.pause, 300)
        stage.file.write_text(UNCHECKED + LISTEN + table(up) + strict)
        await stage.daemon.reload()
        assert await answer(stage) == "192.0.2.2"
        with pytest.raises(ControlError, match="strict = true allows no pause"):
            await stage.api(stage.client.pause, 300)
        assert plain.queries == []


async def test_reload_leaves_a_pause_alone(up: FakeUpstream, plain: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path, resolvers=lambda: at(plain)) as stage:
        await stage.api(stage.client.pause, 300)
        await stage.daemon.reload()
        assert await answer(stage) == "10.9.9.9"


async def test_names_with_an_answer_or_a_route_of_their_own_take_no_part_in_a_pause(
    up: FakeUpstream, other: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    toml = (
        table(up)
        + route(["h2.example.test"], other.udp_url)
        + '[overrides]\n"h3.example.test" = "10.0.0.3"\n'
    )
    async with running(toml, tmp_path, resolvers=lambda: at(plain)) as stage:
        await stage.api(stage.client.pause, 300)
        assert await answer(stage, "h2.example.test") == "192.0.2.3"
        assert await answer(stage, "h3.example.test") == "10.0.0.3"
        assert plain.queries == []


async def test_another_network_has_another_resolver_and_none_ends_the_pause(
    up: FakeUpstream, plain: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    here = at(plain)
    async with running(table(up), tmp_path, resolvers=lambda: here) as stage:
        await stage.api(stage.client.pause, 300)
        assert await answer(stage) == "10.9.9.9"
        here = at(other)
        stage.daemon._network_changed(Change("another network", is_break=True))
        assert await answer(stage) == "192.0.2.2"
        assert (len(other.queries), len(up.queries)) == (1, 0)
        here = ()
        stage.daemon._network_changed(Change("another network", is_break=True))
        assert (await stage.api(stage.client.status)).pause is None
        assert await answer(stage) == "192.0.2.2"
        assert (len(other.queries), len(up.queries)) == (1, 1)


async def test_resolver_that_is_silent_costs_a_servfail_and_no_way_around_it(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    plain.faults.rcode = 5
    async with running(table(up), tmp_path, resolvers=lambda: at(plain)) as stage:
        await stage.api(stage.client.pause, 300)
        assert await answer(stage) == 5
        assert up.queries == []


async def test_resolvers_are_those_that_were_learnt_of_the_link_also_after_a_restart(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "resolv.conf").write_text("")
    learners: list[Learner] = []

    def learner(changed: Callable[[], None]) -> Learner:
        learners.append(Learner(changed, bus_address="unix:path=/nowhere", files=[tmp_path / "resolv.conf"]))
        return learners[-1]

    file = tmp_path / "secdns.toml"
    file.write_text(UNCHECKED + LISTEN + table(up))
    link = Link("", (("127.0.0.1", plain.port("udp")),))
    for is_again in (False, True):
        daemon = Daemon(load(file), hosts_file=None, state_dir=tmp_path / "state", learner=learner)
        stage = Stage(daemon, tmp_path / "run" / "control.sock", file)
        daemon.listen()
        daemon.open_control(stage.path)
        try:
            if not is_again:
                with pytest.raises(ControlError, match="it is not known which resolver"):
                    await stage.api(stage.client.pause, 300)
            else:  # it is not known yet: nothing is in plain
                assert await answer(stage) == "192.0.2.2"
            learners[-1].links = (link,)
            daemon._links_changed()
            if not is_again:
                await stage.api(stage.client.pause, 300)
            assert await answer(stage) == "10.9.9.9"
            assert (await stage.api(stage.client.status)).state is State.PAUSED
        finally:
            await daemon.stop()
