"""The whole program when the resolvers of links come, change and go."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from secdns.config import parse
from secdns.daemon import Daemon
from secdns.dns.edns import errors_of
from secdns.dns.message import Message
from secdns.dns.name import from_text
from secdns.iana import EDE, RCode
from secdns.network.learning import Learner
from secdns.network.links import Link
from secdns.network.watch import Change
from secdns.testing import FakeUpstream
from tests.cache.answers import query
from tests.forwarder.stage import UNSIGNED, table
from tests.loop import wait_until

LISTEN = '[server]\nlisten = ["127.0.0.1:0"]\n'
INSIDE = '[[route]]\ndomains = ["inside.test"]\nvia = "network"\n'


class HandLearner(Learner):
    """A learner that is told the links by hand: the resolvers of these tests are on loopback."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__(changed, bus_address="unix:path=/nonexistent", files=())
        self.known: tuple[Link, ...] = ()
        self.heard = 0

    async def _find(self) -> tuple[Link, ...]:
        return self.known

    def hear(self) -> None:
        self.heard += 1


class Stage:
    """A running daemon, its learner, and asking it."""

    def __init__(self, toml: str) -> None:
        self.toml = LISTEN + toml + UNSIGNED
        self.daemon = Daemon(
            parse(self.toml, "test"),
            reread=lambda: parse(self.toml, "test"),
            hosts_file=None,
            learner=HandLearner,
        )

    @property
    def learner(self) -> HandLearner:
        assert isinstance(self.daemon.learner, HandLearner)
        return self.daemon.learner

    async def know(self, *links: Link) -> None:
        self.learner.known = links
        await self.learner.learn()

    async def ask(self, name: str) -> Message:
        bound = self.daemon.bound[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((bound.host, bound.port))
            sock.send(query(name))
            async with asyncio.timeout(8):
                return Message.parse(await asyncio.get_running_loop().sock_recv(sock, 65535))

    async def address(self, name: str) -> str | int:
        reply = await self.ask(name)
        return ".".join(map(str, reply.answer[0].rdata)) if reply.answer else reply.rcode


@asynccontextmanager
async def running(toml: str) -> AsyncIterator[Stage]:
    stage = Stage(toml)
    await stage.daemon.learn()
    stage.daemon.listen()
    try:
        yield stage
    finally:
        await stage.daemon.stop()


def link(up: FakeUpstream, name: str = "", *domains: str, vpn: bool = False) -> Link:
    return Link(name, (("127.0.0.1", up.port("udp")),), tuple(map(from_text, domains)), vpn)


ZONE = {"inside.test": {"www": {"A": "10.0.0.1"}}, "corp.test": {"www": {"A": "10.0.0.2"}}}
OTHER = {"inside.test": {"www": {"A": "10.0.0.9"}}}


async def test_route_via_network_follows_the_network_and_forgets_with_it_need6_t2(up: FakeUpstream) -> None:
    async with FakeUpstream(ZONE) as inner, FakeUpstream(OTHER) as other, running(table(up) + INSIDE) as on:
        reply = await on.ask("www.inside.test")
        assert reply.rcode == RCode.REFUSED
        assert errors_of(reply.edns) == ((EDE.NETWORK_ERROR, "no resolver of this network is known"),)
        await on.know(link(inner))
        assert await on.address("www.inside.test") == "10.0.0.1"
        await on.know(link(other))
        assert await on.address("www.inside.test") == "10.0.0.9"
        await on.know()
        assert await on.address("www.inside.test") == RCode.REFUSED
        await on.know(link(inner))
        assert await on.address("www.inside.test") == "10.0.0.1"
        assert len(inner.queries) == 2, "what the cache had of the link went with it"
        assert await on.address("h1.example.test") == "192.0.2.2"
        assert len(up.queries) == 1


async def test_groups_of_links_that_are_gone_are_closed(up: FakeUpstream) -> None:
    async with FakeUpstream(ZONE) as inner, running(table(up) + INSIDE) as on:
        for _ in range(3):
            await on.know(link(inner))
            assert await on.address("www.inside.test") == "10.0.0.1"
            assert len(on.daemon._groups._groups) == 2
            await on.know()
            await wait_until(lambda: len(on.daemon._groups._groups) == 1)
        assert len(inner.queries) == 3, "and their part of the cache is not used again"


async def test_same_link_on_another_network_has_another_part_of_the_cache_C4(up: FakeUpstream) -> None:
    async with FakeUpstream(ZONE) as inner, running(table(up) + INSIDE) as on:
        await on.know(link(inner))
        assert await on.address("www.inside.test") == "10.0.0.1"
        assert await on.address("h1.example.test") == "192.0.2.2"
        on.daemon._network_changed(Change("a test", is_break=True))
        await wait_until(lambda: not on.daemon._tasks)
        assert await on.address("www.inside.test") == "10.0.0.1"
        assert await on.address("h1.example.test") == "192.0.2.2"
        assert (len(inner.queries), len(up.queries)) == (2, 1)


async def test_vpn_keeps_its_names_over_a_reload_and_over_a_change_of_network_need6(up: FakeUpstream) -> None:
    async with FakeUpstream(ZONE) as inner, running(table(up)) as on:
        await on.know(link(inner, "", "corp.test", vpn=True))
        assert await on.address("www.corp.test") == "10.0.0.2"
        on.toml = on.toml.replace('mode = "off"', 'mode = "off"\n[cache]\nsize_mb = 8')
        await on.daemon.reload()
        assert await on.address("www.corp.test") == "10.0.0.2"
        on.daemon._network_changed(Change("a test", is_break=True))
        assert await on.address("www.corp.test") == "10.0.0.2", "also before it is known what comes"
        await wait_until(lambda: not on.daemon._tasks)
        assert await on.address("www.corp.test") == "10.0.0.2"
        assert up.queries == []
        on.toml = on.toml + "[network]\nstrict = true\n"
        await on.daemon.reload()
        await on.ask("www.corp.test")
        assert len(up.queries) == 1, "strict takes it back"


async def test_what_was_claimed_and_not_given_is_said_once(
    up: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with FakeUpstream(ZONE) as inner, running(table(up)) as on:
        for _ in range(2):
            await on.know(link(inner, "wlan0", "example.test"))
            await on.know(link(inner, "wlan0", "example.test", "other.test"))
            on.daemon._network_changed(Change("a test", is_break=True))
            await wait_until(lambda: not on.daemon._tasks)
        assert await on.address("h1.example.test") == "192.0.2.2"
        assert inner.queries == []
    said = [record.getMessage() for record in caplog.records if "claims" in record.getMessage()]
    assert [text.split(",")[0] for text in said] == [
        "wlan0 claims example.test",
        "wlan0 claims other.test",
    ]


async def test_query_under_way_to_a_link_that_goes_is_answered(up: FakeUpstream) -> None:
    async with FakeUpstream(ZONE) as inner, running(table(up) + INSIDE) as on:
        await on.know(link(inner))
        inner.faults.delay_s = 0.3
        asked = asyncio.ensure_future(on.address("www.inside.test"))
        await wait_until(lambda: len(inner.queries) == 1)
        await on.know()
        assert await asked == "10.0.0.1"
        assert await on.address("www.inside.test") == RCode.REFUSED
