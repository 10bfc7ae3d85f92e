"""Bootstrap dead or poisoned, and no network at the start (fault F30).

The invariants of every fault test hold in each: nothing unhandled and nothing left (``nothing_is_left``),
memory bounded, and not one query in plain; nor does secdns ever ask itself.
"""

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from secdns.address_book import FILE_NAME
from secdns.config import parse
from secdns.daemon import Daemon
from secdns.iana import RCode
from secdns.testing import FakeUpstream, Zones
from tests.daemon.test_daemon import LISTEN, address, ask
from tests.fixtures import warp
from tests.forwarder.stage import table
from tests.loop import Warp

__all__ = ["warp"]  # a fixture

SLACK_KIB = 32 * 1024  # growth of the whole test process
DAY_S = 86400

Answer = Callable[[int], Awaitable[str | int]]


def says(address: str) -> Zones:
    """Give the zone in which the upstream's host has this address."""
    return Zones({"dns.test": {"@": {"A": address}}})


@pytest.fixture
async def knows(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    """The upstream whose address is written down: others' addresses are asked of it, and it knows no more."""
    async with FakeUpstream(says("127.0.0.1"), hostname="knows.test") as upstream:
        yield upstream


@asynccontextmanager
async def running(up: FakeUpstream, knows: FakeUpstream, state: Path) -> AsyncIterator[Answer]:
    """Run secdns with ``up``, known by name alone, and ``knows``; give what asks it for h0, h1 …"""
    nameless = "".join(line for line in table(up, "up").splitlines(True) if not line.startswith("addresses"))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    daemon = Daemon(
        parse(LISTEN + nameless + table(knows, "knows"), "test"), hosts_file=None, state_dir=state
    )
    asked = 0

    async def answer(number: int) -> str | int:
        nonlocal asked
        asked += 1
        return address(await ask(daemon, f"h{number}.example.test"))

    daemon.listen()
    try:
        yield answer
    finally:
        await daemon.stop()
    assert daemon.stats.queries == asked  # none of its own
    assert {seen.scheme for upstream in (up, knows) for seen in upstream.queries} <= {"tls"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before_kib + SLACK_KIB


async def passing(warp: Warp, asking: Awaitable[str | int]) -> tuple[str | int, float]:
    """Let time pass until there is an answer; give it and the seconds that took."""
    task = asyncio.ensure_future(asking)
    waited_s = await warp.pass_until(task.done)
    return task.result(), waited_s


def age(state: Path, seconds: int) -> None:
    """Make what is remembered so much older."""
    file = state / FILE_NAME
    hosts = json.loads(file.read_bytes())
    aged = {host: [[found - seconds, *rest] for found, *rest in sets] for host, sets in hosts.items()}
    file.write_text(json.dumps(aged))


@pytest.fixture
async def remembered(up: FakeUpstream, knows: FakeUpstream, tmp_path: Path) -> Path:
    """A state directory of a run that found the upstream."""
    async with running(up, knows, tmp_path) as answer:
        assert await answer(0) == "192.0.2.1"
    assert (tmp_path / FILE_NAME).exists()
    return tmp_path


@pytest.mark.parametrize("age_s", [3600, 29 * DAY_S], ids=["of today", "four weeks old"])
async def test_remembered_addresses_are_used_with_bootstrap_dead_F30(
    age_s: int, up: FakeUpstream, knows: FakeUpstream, remembered: Path
) -> None:
    await knows.stop()
    age(remembered, age_s)
    async with running(up, knows, remembered) as answer:
        assert await answer(1) == "192.0.2.2"


async def test_addresses_older_than_thirty_days_are_not_used_F30(
    up: FakeUpstream, knows: FakeUpstream, remembered: Path
) -> None:
    await knows.stop()
    age(remembered, 30 * DAY_S + 60)
    asked = len(up.queries)
    async with running(up, knows, remembered) as answer:
        assert await answer(1) == RCode.SERVFAIL
    assert len(up.queries) == asked


@pytest.mark.parametrize(
    ("has_memory", "within_s"),
    [
        pytest.param(True, 1.0, id="with a memory"),
        pytest.param(False, 3.0, id="for the first time"),  # two upstreams in back-off, one after the other
    ],
)
async def test_start_without_network_answers_soon_after_it_comes_F30(
    has_memory: bool, within_s: float, up: FakeUpstream, knows: FakeUpstream, remembered: Path, warp: Warp
) -> None:
    if not has_memory:
        (remembered / FILE_NAME).unlink()
    await up.stop()
    await knows.stop()
    async with running(up, knows, remembered) as answer:
        assert (await passing(warp, answer(1)))[0] == RCode.SERVFAIL
        await up.start()
        if not has_memory:
            await knows.start()
        number = 2  # each time another, for a failure is remembered for 5 s
        got, waited_s = await passing(warp, answer(number))
        while isinstance(got, int) and waited_s <= within_s:
            await warp.advance(0.1)
            number += 1
            got, took_s = await passing(warp, answer(number))
            waited_s += 0.1 + took_s
        assert got == f"192.0.2.{number + 1}"
        assert waited_s <= within_s


async def test_poisoned_bootstrap_does_not_take_the_upstream_away_F30(
    up: FakeUpstream, knows: FakeUpstream, remembered: Path, warp: Warp
) -> None:
    age(remembered, DAY_S)  # so that it is asked for again
    knows.answer = says("127.0.0.9").answer  # where nobody listens
    async with running(up, knows, remembered) as answer:
        assert (await passing(warp, answer(1)))[0] in {RCode.SERVFAIL, RCode.REFUSED}
        await warp.advance(1.0)
        assert (await passing(warp, answer(2)))[0] == "192.0.2.3"
    async with running(up, knows, remembered) as answer:  # and not after a restart either
        await passing(warp, answer(3))
        await warp.advance(1.0)
        assert (await passing(warp, answer(4)))[0] == "192.0.2.5"
