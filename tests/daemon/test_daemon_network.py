"""The whole program after sleep, a stop, a clock that was set, and silence."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from secdns.config import parse
from secdns.daemon import Daemon
from secdns.dns.message import Message
from secdns.iana import RCode
from secdns.network.watch import SILENCE_S
from secdns.testing import FakeUpstream
from tests.cache.answers import query
from tests.forwarder.stage import table
from tests.loop import Warp, wait_until
from tests.network.clocks import HandClocks

LISTEN = '[dnssec]\nmode = "off"\n[server]\nlisten = ["127.0.0.1:0"]\n'  # the zones have no signatures
HOUR = 3600.0
SCHEMES = ("tls", "https", "quic", "h3")


class Stage:
    """A running daemon, its clocks, and asking it."""

    def __init__(self, toml: str) -> None:
        self.clocks = HandClocks()
        self.daemon = Daemon(parse(LISTEN + toml, "test"), hosts_file=None, clocks=self.clocks.clocks)
        self.daemon.listen()

    async def ask(self, name: str) -> Message:
        with self.send(name) as sock:
            return Message.parse(await asyncio.get_running_loop().sock_recv(sock, 65535))

    def send(self, name: str) -> socket.socket:
        """Leave a query in the daemon's socket; it has not had a turn to read it."""
        bound = self.daemon.bound[0]
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect((bound.host, bound.port))
        sock.send(query(name))
        return sock


@asynccontextmanager
async def running(toml: str) -> AsyncIterator[Stage]:
    stage = Stage(toml)
    try:
        yield stage
    finally:
        await stage.daemon.stop()


def address(reply: Message) -> str | int:
    return ".".join(map(str, reply.answer[0].rdata)) if reply.answer else reply.rcode


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_connections_and_tickets_of_before_a_sleep_are_not_used_F12_need1_t3(
    scheme: str, up: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(table(up, scheme=scheme)) as on:
        assert address(await on.ask("h1.example.test")) == "192.0.2.2"
        on.clocks.pass_by(boot=8 * HOUR, awake=0.5, wall=8 * HOUR)
        assert address(await on.ask("h2.example.test")) == "192.0.2.3"
        assert [seen.connection for seen in up.queries] == [1, 2]
        assert [handshake.resumed for handshake in up.handshakes] == [False, False]
        assert [r.getMessage() for r in caplog.records if "slept" in r.message] == [
            "the machine slept for 8 h"
        ]
        on.clocks.work(2)
        assert address(await on.ask("h3.example.test")) == "192.0.2.4"
        assert len(up.handshakes) == 2


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_first_query_after_a_stop_of_ten_minutes_does_not_try_a_dead_connection_F12(
    scheme: str, up: FakeUpstream, nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query and the timer that should have closed the connection are due in the same turn."""
    async with running(table(up, scheme=scheme)) as on:
        assert address(await on.ask("h1.example.test")) == "192.0.2.2"
        up.faults.silent = True
        up.faults.only = lambda seen: seen.connection == 1  # what lies between has forgotten it
        warp = Warp(monkeypatch)
        with on.send("h2.example.test") as client:
            on.clocks.work(600)
            await warp.advance(600)
            reply = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(client, 65535))
            took_s = await warp.pass_until(reply.done)
            assert address(Message.parse(await reply)) == "192.0.2.3"
            assert took_s < 1.0
        assert [seen.connection for seen in up.queries] == [1, 2]
        assert on.daemon.stats.hits == 0


@pytest.mark.parametrize("hours", [6, -6])
async def test_clock_that_was_set_costs_no_cached_answer_and_no_ticket_survives_it_F15(
    hours: int, up: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(table(up)) as on:
        first = await on.ask("h1.example.test")
        on.clocks.pass_by(boot=2, awake=2, wall=2 + hours * HOUR)
        assert address(await on.ask("h2.example.test")) == "192.0.2.3"
        again = await on.ask("h1.example.test")
        assert address(again) == address(first) == "192.0.2.2"
        assert 0 <= first.answer[0].ttl - again.answer[0].ttl <= 5, "it ages by a clock that nobody sets"
        assert len(up.queries) == 2
        assert [handshake.resumed for handshake in up.handshakes] == [False, False]
        assert "the clock was set" in caplog.text


async def test_query_after_silence_tries_an_upstream_that_was_left_alone_need13(
    up: FakeUpstream, nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(table(up)) as on:
        assert address(await on.ask("h1.example.test")) == "192.0.2.2"
        await up.stop()
        warp = Warp(monkeypatch)

        async def ask(number: int) -> Message:
            asking = asyncio.ensure_future(on.ask(f"h{number}.example.test"))
            await warp.pass_until(asking.done)
            return await asking

        for number in range(2, 12):  # back-off grows to a minute
            on.clocks.work(2)
            assert (await ask(number)).rcode == RCode.SERVFAIL
            await warp.advance(20)
        assert (await ask(12)).rcode == RCode.SERVFAIL
        await up.start()
        on.clocks.work(2)
        assert (await ask(13)).rcode == RCode.SERVFAIL, "it is left alone still"
        on.clocks.work(SILENCE_S + 1)
        assert address(await ask(14)) == "192.0.2.15"


async def test_failure_of_before_is_not_an_answer_after_a_change_F11_need16(up: FakeUpstream) -> None:
    async with running(table(up)) as on:
        up.faults.rcode = RCode.SERVFAIL
        assert (await on.ask("h1.example.test")).rcode == RCode.SERVFAIL
        up.faults.rcode = None
        assert (await on.ask("h1.example.test")).rcode == RCode.SERVFAIL, "kept for five seconds"
        on.clocks.pass_by(boot=2, awake=2, wall=2 + HOUR)
        assert address(await on.ask("h2.example.test")) == "192.0.2.3"
        assert address(await on.ask("h1.example.test")) == "192.0.2.2"


async def test_listening_to_the_network_ends_with_the_program(up: FakeUpstream) -> None:
    """``nothing_is_left`` counts the descriptors."""
    async with running(table(up)) as on:
        await on.ask("h1.example.test")
        await wait_until(lambda: up.open_connections == 1)
    assert on.daemon.watch.gone == ""
