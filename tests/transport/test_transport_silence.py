"""Connections that vanish without a word, and those that are only slow (F1, F2, R8)."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secdns.dns.message import Message
from secdns.endpoint import parse
from secdns.errors import TransportError
from secdns.testing import FakeUpstream, Faults
from secdns.transport.conversation import DOUBT_S, MAX_DOUBT_S, PATIENT, QUIET_S
from secdns.transport.quic import UNACKNOWLEDGED_S
from secdns.upstream import Upstream
from tests.fixtures import warp
from tests.loop import Warp
from tests.transport.support import ENCRYPTED, deadline_in, no_lookup, query_for, right_answer

__all__ = ["warp"]  # a fixture

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)
STEP_S = 0.005  # for a millisecond at least; the kernel may take 40 to acknowledge
GRACE_S = 0.3  # for handshakes and steps of the clock
FORGETFUL_S = 4.0


class Lone:
    """An upstream that is all there is, and the answers that it gives."""

    def __init__(self, up: FakeUpstream, scheme: str, warp: Warp) -> None:
        self.up = up
        self.scheme = scheme
        self.member = Upstream("lone", up.endpoint(scheme), no_lookup)
        self._warp = warp

    async def ask(self, number: int = 1, *, within_s: float = 4.4) -> float:
        """Ask, see that the answer is right, and give the seconds that took."""
        asking = asyncio.ensure_future(self.member.exchange(query_for(number), deadline_in(within_s)))
        took_s = await self._warp.pass_until(asking.done, step_s=STEP_S)
        message = Message.parse(await asking)
        address = ".".join(str(octet) for octet in message.answer[0].rdata)
        assert (message.id, address) == right_answer(number)
        return took_s

    @property
    def connections(self) -> int:
        return self.up.connections[self.scheme]


@pytest.fixture
async def lone(up: FakeUpstream, warp: Warp) -> AsyncIterator[Callable[[str], Lone]]:
    made: list[Lone] = []

    def of_scheme(scheme: str) -> Lone:
        made.append(Lone(up, scheme, warp))
        return made[-1]

    yield of_scheme
    for one in made:
        await one.member.transport.aclose()


Make = Callable[[str], Lone]


@every_encrypted
async def test_connection_that_vanished_in_a_pause_is_replaced_half_a_second_after_the_next_query_F2(
    scheme: str, lone: Make, warp: Warp
) -> None:
    upstream = lone(scheme)
    await upstream.ask()
    await warp.rest(5.0)
    upstream.up.forget_connections()
    assert DOUBT_S - STEP_S <= await upstream.ask(2) < MAX_DOUBT_S + GRACE_S
    assert upstream.connections == 2
    assert upstream.member.failures == 0
    assert len(upstream.up.queries) == 2  # the forgotten one never arrived
    limit_s = upstream.member.transport.facts().idle_limit_s
    assert limit_s == pytest.approx(5.0, abs=0.2)  # known from now on
    assert await upstream.ask(3) < GRACE_S


@every_encrypted
async def test_connection_that_vanished_in_use_is_replaced_before_patience_ends_F2(
    scheme: str, lone: Make, warp: Warp
) -> None:
    upstream = lone(scheme)
    await upstream.ask()
    await warp.rest(QUIET_S / 2)
    upstream.up.forget_connections()
    least_s = UNACKNOWLEDGED_S if scheme in ("quic", "h3") else PATIENT * DOUBT_S - STEP_S
    assert least_s <= await upstream.ask(2) < PATIENT * MAX_DOUBT_S + GRACE_S
    assert upstream.connections == 2
    assert upstream.member.failures == 0
    assert upstream.member.transport.facts().idle_limit_s in (None, 60.0)  # nothing to learn from that


@pytest.mark.parametrize("scheme", ["tls", "https"])  # over QUIC it is the process that acknowledges
async def test_server_that_takes_a_query_after_a_pause_and_says_nothing_is_asked_on_another_connection_F2(
    scheme: str, lone: Make, warp: Warp
) -> None:
    """A proxy or a stopped process: the kernel at the other end is well, and acknowledges."""
    upstream = lone(scheme)
    await upstream.ask()
    await warp.rest(5.0)
    upstream.up.faults = Faults(silent=True, only=lambda seen: seen.connection == 1)
    assert PATIENT * DOUBT_S - STEP_S <= await upstream.ask(2) < PATIENT * MAX_DOUBT_S + GRACE_S
    assert upstream.connections == 2
    assert upstream.member.transport.facts().idle_limit_s in (None, 60.0)  # it may have been the name


@every_encrypted
@pytest.mark.parametrize(("pause_s", "delay_s"), [(5.0, 1.2), (0.5, 2.5)])
async def test_slow_name_is_waited_for_on_the_same_connection_R8(
    scheme: str, pause_s: float, delay_s: float, lone: Make, warp: Warp
) -> None:
    upstream = lone(scheme)
    await upstream.ask()
    await warp.rest(pause_s)
    upstream.up.faults.delay_s = delay_s
    assert delay_s - 0.1 <= await upstream.ask(2) < delay_s + GRACE_S
    assert (upstream.connections, len(upstream.up.queries)) == (1, 2)


@every_encrypted
async def test_many_slow_names_cost_no_connection_while_others_are_answered_R8(
    scheme: str, lone: Make, warp: Warp
) -> None:
    upstream = lone(scheme)
    await upstream.ask()
    upstream.up.faults = Faults(delay_s=3.5, only=lambda seen: b"\x02h9" in seen.wire)
    slow = asyncio.ensure_future(upstream.member.exchange(query_for(9), deadline_in(4.4)))
    for _ in range(8):
        await warp.rest(0.45)
        await upstream.ask(2)
    await warp.pass_until(slow.done, step_s=STEP_S)
    assert len(Message.parse(await slow).answer) == 1
    assert upstream.connections == 1


@every_encrypted
async def test_pause_after_which_nobody_waits_any_more_costs_the_connection_all_the_same_F2(
    scheme: str, lone: Make, warp: Warp
) -> None:
    """Another upstream was faster; the next query is not to be lost on the same connection."""
    upstream = lone(scheme)
    await upstream.ask()
    await warp.rest(5.0)
    upstream.up.forget_connections()
    asking = asyncio.ensure_future(upstream.member.exchange(query_for(2), deadline_in(4.4)))
    await warp.rest(0.3)
    asking.cancel()
    await warp.rest(MAX_DOUBT_S)
    assert await upstream.ask(3) < GRACE_S
    assert upstream.connections == 2


STANDING = """
import asyncio, json
from secdns.testing import FakeUpstream
from tests.transport.support import ENCRYPTED, ZONE

async def main():
    async with FakeUpstream(ZONE) as up:
        print(json.dumps([up.ca_file, {scheme: up.url(scheme) for scheme in ENCRYPTED}]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, input)

asyncio.run(main())
"""


async def test_upstream_that_stood_still_answers_within_a_second_of_its_return_F2_F12(tmp_path: Path) -> None:
    """With time as it is, and a process as upstream, which nothing but a signal can stop like this."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STANDING, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    ca_file, urls = json.loads(await process.stdout.readline())
    members = []
    for scheme in ENCRYPTED:
        endpoint = replace(parse(urls[scheme]), addresses=("127.0.0.1",), ca_file=ca_file)
        members.append(Upstream(scheme, endpoint, no_lookup))

    async def ask_all(number: int, within_s: float) -> list[Any]:
        asking = [member.exchange(query_for(number), deadline_in(within_s)) for member in members]
        return await asyncio.gather(*asking, return_exceptions=True)

    try:
        for number in (1, 2):
            assert all(isinstance(got, bytes) for got in await ask_all(number, 4.4))
        process.send_signal(signal.SIGSTOP)
        for number in (3, 4, 5):  # two misses, and a dial that gets no further
            assert all(isinstance(got, TransportError) for got in await ask_all(number, 0.8))
        process.send_signal(signal.SIGCONT)
        assert [type(got) for got in await ask_all(6, 1.0)] == [bytes] * len(members)
    finally:
        process.kill()
        await process.communicate()
        for member in members:
            await member.transport.aclose()
