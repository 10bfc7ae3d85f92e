"""Choose an upstream while the daemon runs."""

import asyncio
import time
from pathlib import Path

import pytest

from secdns.errors import ControlError
from secdns.states import State
from secdns.testing import FakeUpstream
from secdns.wishes import FILE_NAME
from tests.control.stage import LISTEN, UNCHECKED, address, running
from tests.forwarder.stage import questions_of, table


async def test_use_takes_effect_within_300_ms_and_fails_no_query_at_100_a_second_need10(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up) + table(other, "b"), tmp_path) as stage:
        got: list[str | int] = []
        took_s: list[float] = []
        asking: list[asyncio.Task[None]] = []
        is_over = False

        async def ask(number: int) -> None:
            got.append(address(await stage.ask(f"h{number % 200}.example.test", id=number)))

        async def load() -> None:
            number = 0
            while not is_over:
                stage.daemon.cache.flush()  # so that each one is asked of an upstream
                asking.append(asyncio.create_task(ask(number)))
                number += 1
                await asyncio.sleep(0.01)

        loading = asyncio.create_task(load())
        turns = (("b", other, up), ("a", up, other), ("b", other, up))
        for number, (name, chosen, left) in enumerate(turns, 1):
            while len(left.queries) < 10 * number:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            began = time.monotonic()
            status = await stage.api(stage.client.use, name)
            before = len(chosen.queries)
            await chosen.wait_queries(before + 1)
            took_s.append(time.monotonic() - began)
            assert (status.chosen, status.upstream.name) == (name, name)
        is_over = True
        await loading
        await asyncio.gather(*asking)
        assert min(took_s) <= 0.3  # a busy machine may be late once
        assert len(got) > 30
        assert all(isinstance(one, str) for one in got)


async def test_use_leaves_connections_and_cache_alone(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up) + table(other, "b"), tmp_path) as stage:
        await stage.ask("h1.example.test")
        for name in ("b", "a", "b", "a"):
            await stage.api(stage.client.use, name)
            assert address(await stage.ask("h1.example.test")) == "192.0.2.2"
        await stage.ask("h2.example.test")
        assert (len(up.queries), len(other.queries)) == (2, 0)
        assert up.connections["tls"] == 1
        assert (await stage.api(stage.client.use, None)).chosen is None


async def test_chosen_upstream_that_fails_is_helped_by_the_others(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up) + table(other, "b"), tmp_path) as stage:
        await stage.api(stage.client.use, "b")
        other.faults.close_mid = "rst"
        assert address(await stage.ask("h1.example.test")) == "192.0.2.2"
        status = await stage.api(stage.client.status)
        assert (status.state, status.chosen, status.upstream.name) == (State.SECURE, "b", "a")


async def test_choice_survives_a_restart_and_a_reload_need10(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    toml = table(up) + table(other, "b")
    async with running(toml, tmp_path, state_dir=tmp_path / "state") as stage:
        await stage.api(stage.client.use, "b")
        await stage.daemon.reload()
        await stage.ask("h1.example.test")
    async with running(toml, tmp_path, state_dir=tmp_path / "state") as stage:
        assert (await stage.api(stage.client.status)).chosen == "b"
        await stage.ask("h2.example.test")
        assert (len(up.queries), len(other.queries)) == (0, 2)
        await stage.api(stage.client.use, None)
    async with running(toml, tmp_path, state_dir=tmp_path / "state") as stage:
        await stage.ask("h3.example.test")
        assert (len(up.queries), len(other.queries)) == (1, 2)


async def test_chosen_upstream_that_left_the_configuration_is_not_missed(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    async with running(table(up) + table(other, "b"), tmp_path, state_dir=state) as stage:
        await stage.api(stage.client.use, "b")
        stage.file.write_text(UNCHECKED + LISTEN + table(up))
        await stage.daemon.reload()
        assert (await stage.api(stage.client.status)).chosen is None
        stage.file.write_text(UNCHECKED + LISTEN + table(up) + table(other, "b"))
        await stage.daemon.reload()
        await stage.api(stage.client.use, "b")
    async with running(table(up), tmp_path, state_dir=state) as stage:
        assert "'b' was chosen and is not there any more" in caplog.text
        assert address(await stage.ask("h1.example.test")) == "192.0.2.2"


async def test_built_in_upstream_may_be_used_and_the_configured_ones_stand_behind_it(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path) as stage:
        await stage.api(stage.client.use, "quad9")
        got = await stage.api(stage.client.upstreams)
        names = [one.name for one in got.upstreams]
        assert names[0] == "quad9"
        assert names[-1] == "a"
        assert [one.is_configured for one in got.upstreams][-1] is True
        assert got.upstreams[0].is_configured is False
        await stage.api(stage.client.use, "a")
        assert address(await stage.ask("h1.example.test")) == "192.0.2.2"
        assert len(questions_of(up)) == 1


@pytest.mark.parametrize(
    "octets", [b"", b"{", b"[]", b'{"version":9}', b"\0" * 5000, b'{"version":1,"paused_until":1e999}']
)
async def test_damaged_file_of_wishes_is_as_good_as_none_L9(
    octets: bytes, up: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / FILE_NAME).write_bytes(octets)
    async with running(table(up), tmp_path, state_dir=tmp_path) as stage:
        status = await stage.api(stage.client.status)
        assert (status.chosen, status.pause) == (None, None)


async def test_strategy_gives_way_to_a_choice_and_comes_back(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    async with running(
        table(up) + table(other, "b") + '[upstreams]\nstrategy = "spread"\n', tmp_path
    ) as stage:
        await stage.api(stage.client.use, "b")
        for number in range(12):
            await stage.ask(f"h{number}.example.test")
        assert (len(up.queries), len(other.queries)) == (0, 12)
        with pytest.raises(ControlError, match="no upstream 'c'"):
            await stage.api(stage.client.use, "c")
