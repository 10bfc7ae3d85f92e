"""A network that wants people to sign in: what goes to whom, the consent, and what ends it (need 5)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from secdns.consent import CONSENT_S
from secdns.control.schema import Portal, Status
from secdns.dns.message import Message
from secdns.dns.name import from_text
from secdns.endpoint import Endpoint
from secdns.errors import ControlError
from secdns.iana import EDE, RCode
from secdns.network import state
from secdns.network.links import Link
from secdns.network.portal import Page
from secdns.network.watch import Change
from secdns.reasons import SIGN_IN
from secdns.states import State
from secdns.surroundings import LINKS_S
from secdns.testing import FakeUpstream, ZoneData
from tests.control.stage import Stage, address, running
from tests.daemon.test_daemon_links import HandLearner
from tests.forwarder.stage import questions_of, table, told
from tests.loop import wait_until
from tests.network.clocks import HandClocks

CHECK, LOGIN, OTHER = "captive.apple.com", "login.hotel.example", "h1.example.test"
HERE = "10.9.9.9"
LIES: dict[str, ZoneData] = {
    "apple.com": {"captive": {"A": HERE}, "www": {"A": HERE}},
    "hotel.example": {"login": {"A": HERE}, "assets": {"A": HERE}},
    "example.test": {f"h{number}": {"A": HERE} for number in range(9)},
}
PAGE = Page(f"http://{LOGIN}/", from_text(LOGIN))
AD = 0x20


@pytest.fixture
async def plain(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    """The network's own resolver, which has one address for all."""
    async with FakeUpstream(LIES) as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check again after a moment."""
    monkeypatch.setattr(state, "CHECK_PORTAL_S", 0.05)
    monkeypatch.setattr(state, "CHECK_BLOCKED_S", (0.05,))
    monkeypatch.setattr("secdns.surroundings.CHECK_CONSENT_S", 0.05)


class Looking:
    """A look for a page, which finds what a test says."""

    def __init__(self, page: Page | None = PAGE) -> None:
        self.page = page
        self.looks = 0

    async def __call__(self) -> Page | None:
        self.looks += 1
        return self.page


def at(plain: FakeUpstream) -> tuple[Endpoint, ...]:
    return (Endpoint("udp", "127.0.0.1", plain.port("udp"), addresses=("127.0.0.1",)),)


Hotel = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def hotel(up: FakeUpstream, plain: FakeUpstream, tmp_path: Path) -> Hotel:
    """Run the daemon on a network that lets nobody through."""
    up.faults.drop_connections = True

    def run(
        more: str = "", look: Looking | None = None, **where: object
    ) -> AbstractAsyncContextManager[Stage]:
        return running(
            table(up) + more,
            tmp_path,
            resolvers=lambda: at(plain),
            look=look or Looking(),
            **where,  # type: ignore[arg-type]
        )

    return run


async def until(stage: Stage, wanted: State) -> Status:
    """Wait for a state."""
    await wait_until(lambda: stage.daemon.surroundings.state is wanted)
    return await stage.api(stage.client.status)


async def answer(stage: Stage, name: str) -> str | int:
    return address(await stage.ask(name))


def names(up: FakeUpstream) -> Sequence[str]:
    return [Message.parse(seen.wire).question[0].name.decode("latin-1") for seen in up.queries]


async def test_only_checks_and_the_pages_name_go_to_the_networks_resolver_need5_t2(
    up: FakeUpstream, plain: FakeUpstream, hotel: Hotel
) -> None:
    async with hotel() as stage:
        status = await until(stage, State.SIGN_IN)
        assert status.sentence == (
            f"this network wants you to sign in at {LOGIN}; no upstream can be reached before"
        )
        assert status.remedy is not None
        assert "secdns portal" in status.remedy
        assert status.portal == Portal(f"http://{LOGIN}/", None, None, (), 0)
        for name in (CHECK, CHECK.upper(), LOGIN):
            reply = await stage.ask(name)
            assert (address(reply), reply.answer[0].ttl <= 5, reply.flags & AD) == (HERE, True, 0)
            assert "unencrypted" in told(reply)[EDE.OTHER]
        for name in (OTHER, f"www.{CHECK}", "www.apple.com", "assets.hotel.example", "neverssl.com"):
            reply = await stage.ask(name)
            assert (reply.rcode, told(reply)) == (RCode.SERVFAIL, {EDE.NETWORK_ERROR: SIGN_IN})
        assert [name.lower() for name in names(plain)] == [
            from_text(name).decode("latin-1").lower() for name in (CHECK, CHECK, LOGIN)
        ]
        assert up.queries == []
        network = await stage.api(stage.client.network)
        assert (network.state, network.plain, network.resolvers) == (State.SIGN_IN, 3, ("127.0.0.1",))
        problem = (await stage.api(stage.client.status)).problem
        assert problem is not None
        assert "sign-in needed" in problem.sentence
        assert "secdns portal" in (problem.remedy or "")
        why = await stage.api(stage.client.why, OTHER)
        assert "sign-in needed" in why.sentence


async def test_check_is_asked_without_edns_and_never_kept_dve_2018_0001(
    plain: FakeUpstream, hotel: Hotel
) -> None:
    async with hotel() as stage:
        await until(stage, State.SIGN_IN)
        for count in (1, 2, 3):
            assert await answer(stage, CHECK) == HERE
            assert len(plain.queries) == count
        plain.faults.rcode = RCode.SERVFAIL
        assert await answer(stage, CHECK) == RCode.SERVFAIL
        plain.faults.rcode = None
        assert await answer(stage, CHECK) == HERE, "the failure was kept"
        assert len(stage.daemon.cache) == 0
        assert stage.daemon.cache.hot == {}
        assert {Message.parse(seen.wire).edns for seen in plain.queries} == {None}


async def test_nothing_of_it_is_left_when_the_way_is_open_need5_t3(
    up: FakeUpstream, plain: FakeUpstream, hotel: Hotel
) -> None:
    async with hotel() as stage:
        await until(stage, State.SIGN_IN)
        for name in (CHECK, LOGIN, OTHER):
            await stage.ask(name)
        up.faults.drop_connections = False
        status = await until(stage, State.SECURE)
        assert (status.portal, status.sentence[:24]) == (None, "questions go encrypted t")
        plain.queries.clear()
        assert await answer(stage, OTHER) == "192.0.2.2"
        assert await answer(stage, CHECK) != HERE
        assert await answer(stage, LOGIN) != HERE
        assert plain.queries == []


async def test_fake_changes_nothing_while_an_upstream_works_need5_t4(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    look = Looking()
    async with running(table(up), tmp_path, resolvers=lambda: at(plain), look=look) as stage:
        await until(stage, State.SECURE)
        assert len(up.handshakes) == 1
        assert up.queries == [], "a handshake is enough"
        stage.daemon.surroundings.follow_links((), is_hinted=True)  # the system's own check was led astray
        assert await answer(stage, OTHER) == "192.0.2.2"
        with pytest.raises(ControlError, match="there is no sign-in page in the way here: a works") as caught:
            await stage.api(stage.client.portal)
        assert caught.value.code == "not-possible"
        assert (await stage.api(stage.client.status)).state is State.SECURE
    assert (look.looks, plain.queries) == (0, [])


async def test_upstream_that_hangs_while_all_looks_well_is_found_out_by_who_wants_to_sign_in(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path, resolvers=lambda: at(plain), look=Looking()) as stage:
        assert await answer(stage, OTHER) == "192.0.2.2"
        up.faults.silent = up.faults.stall_connections = True  # the connection is open, and nothing comes
        portal = await stage.api(stage.client.portal)
        assert portal.url == f"http://{LOGIN}/"
        assert await answer(stage, "h2.example.test") == HERE


async def test_consent_lets_all_out_counts_it_and_ends_with_the_first_answer_need5(
    up: FakeUpstream, plain: FakeUpstream, hotel: Hotel
) -> None:
    async with hotel() as stage:
        await until(stage, State.SIGN_IN)
        got = await stage.api(stage.client.portal)
        assert (got.url, got.resolvers, got.plain) == (f"http://{LOGIN}/", ("127.0.0.1",), 0)
        for count in (1, 2, 3):
            reply = await stage.ask("assets.hotel.example")
            assert (address(reply), reply.answer[0].ttl <= 10, reply.flags & AD) == (HERE, True, 0)
            assert "signing in" in told(reply)[EDE.OTHER]
            assert len(plain.queries) == count
            status = await stage.api(stage.client.status)
            assert status.portal is not None
            assert (status.state, status.portal.plain) == (State.SIGN_IN, count)
        assert "questions go unencrypted to 127.0.0.1, 3 did so far" in status.sentence
        assert status.counters.plain == 3
        assert {Message.parse(seen.wire).edns for seen in plain.queries} == {None}
        up.faults.drop_connections = False
        status = await until(stage, State.SECURE)
        assert status.portal is None
        assert await answer(stage, OTHER) == "192.0.2.2"
        assert len(plain.queries) == 3


async def end_by_request(stage: Stage) -> None:
    await stage.api(stage.client.resume)


async def end_by_another_network(stage: Stage) -> None:
    stage.daemon._network_changed(Change("another network", is_break=True))


async def end_by_configuration(stage: Stage) -> None:
    stage.file.write_text(stage.file.read_text() + "[network]\nstrict = true\n")
    await stage.daemon.reload()


async def end_by_no_network(stage: Stage) -> None:
    stage.daemon.watch.gone = "there is no network"
    stage.daemon._network_changed(Change("the network is gone", is_break=True))


@pytest.mark.parametrize(
    "end", [end_by_request, end_by_another_network, end_by_configuration, end_by_no_network]
)
async def test_consent_ends_need5(end: Callable[[Stage], object], plain: FakeUpstream, hotel: Hotel) -> None:
    async with hotel() as stage:
        await until(stage, State.SIGN_IN)
        await stage.api(stage.client.portal)
        assert await answer(stage, OTHER) == HERE
        await end(stage)  # type: ignore[misc]
        plain.queries.clear()
        assert await answer(stage, OTHER) == RCode.SERVFAIL
        status = await stage.api(stage.client.status)
        assert status.portal is None or status.portal.left_s is None
        assert from_text(OTHER) not in {question[:-4] for question in questions_of(plain)}


async def test_consent_ends_with_its_time_also_while_the_machine_sleeps_need5(
    plain: FakeUpstream, hotel: Hotel
) -> None:
    hand = HandClocks()
    async with hotel(clocks=hand.clocks) as stage:
        await until(stage, State.SIGN_IN)
        await stage.api(stage.client.portal)
        hand.work(CONSENT_S - 1)
        assert await answer(stage, OTHER) == HERE
        hand.work(2)  # timers stood still
        plain.queries.clear()
        assert await answer(stage, OTHER) == RCode.SERVFAIL
        assert plain.queries == []
        status = await stage.api(stage.client.status)
        assert (status.state, status.portal and status.portal.left_s) == (State.SIGN_IN, None)


async def test_person_may_know_of_a_page_that_was_not_found(plain: FakeUpstream, hotel: Hotel) -> None:
    plain.faults.silent = True
    async with hotel(look=Looking(None)) as stage:
        await until(stage, State.BLOCKED)
        await wait_until(lambda: stage.daemon.surroundings.situation.portal == "none")
        plain.faults.silent = False
        assert await answer(stage, CHECK) == RCode.SERVFAIL
        got = await stage.api(stage.client.portal)
        assert got.url == "http://neverssl.com/"
        assert (await stage.api(stage.client.status)).state is State.SIGN_IN
        assert await answer(stage, OTHER) == HERE


async def test_strict_allows_none_of_it_need5(up: FakeUpstream, plain: FakeUpstream, hotel: Hotel) -> None:
    look = Looking()
    async with hotel("[network]\nstrict = true\n", look) as stage:
        await until(stage, State.BLOCKED)
        with pytest.raises(ControlError, match="strict = true lets nothing out in plain"):
            await stage.api(stage.client.portal)
        for name in (CHECK, OTHER):
            assert await answer(stage, name) == RCode.SERVFAIL
    assert (plain.queries, look.looks) == ([], 0)


async def test_strict_that_comes_while_it_is_found_out_holds_need5(
    up: FakeUpstream, plain: FakeUpstream, hotel: Hotel
) -> None:
    up.faults.drop_connections, up.faults.stall_connections = False, True  # a check takes its time
    async with hotel() as stage:
        asked = asyncio.create_task(stage.api(stage.client.portal))
        server = stage.daemon._server
        assert server is not None
        await wait_until(lambda: any(one._waiting for one in server._connections))
        stage.file.write_text(stage.file.read_text() + "[network]\nstrict = true\n")
        await stage.daemon.reload()
        with pytest.raises(ControlError, match="strict = true lets nothing out"):
            await asked
        assert not stage.daemon.surroundings.consent.is_on
        assert plain.queries == []


async def test_nobody_to_ask_is_said(up: FakeUpstream, tmp_path: Path) -> None:
    up.faults.drop_connections = True
    async with running(table(up), tmp_path, look=Looking()) as stage:
        await until(stage, State.SIGN_IN)
        assert await answer(stage, CHECK) == RCode.SERVFAIL
        with pytest.raises(ControlError, match="not known which resolver"):
            await stage.api(stage.client.portal)


async def test_pause_takes_the_place_of_the_consent_and_bars_another(
    plain: FakeUpstream, hotel: Hotel
) -> None:
    async with hotel() as stage:
        await until(stage, State.SIGN_IN)
        await stage.api(stage.client.portal)
        await stage.api(stage.client.pause, 60)
        assert (await stage.api(stage.client.status)).state is State.PAUSED
        with pytest.raises(ControlError, match="a pause is on"):
            await stage.api(stage.client.portal)
        assert await answer(stage, OTHER) == HERE
        await stage.api(stage.client.resume)
        assert await answer(stage, OTHER) == RCode.SERVFAIL


async def test_what_was_learnt_goes_with_the_network(plain: FakeUpstream, hotel: Hotel) -> None:
    look = Looking()
    async with hotel(look=look) as stage:
        await until(stage, State.SIGN_IN)
        assert await answer(stage, LOGIN) == HERE
        look.page = Page()  # the next network's page does not say where it is
        stage.daemon._network_changed(Change("another network", is_break=True))
        status = await until(stage, State.SIGN_IN)
        assert status.portal is not None
        assert status.portal.url == "http://192.0.2.1/"
        plain.queries.clear()
        assert await answer(stage, LOGIN) == RCode.SERVFAIL
        assert plain.queries == []
        assert (await stage.api(stage.client.network)).plain == 0


async def test_systems_own_check_finds_a_page_where_ours_does_not(plain: FakeUpstream, hotel: Hotel) -> None:
    plain.faults.silent = True
    async with hotel(look=Looking(None)) as stage:
        await until(stage, State.BLOCKED)
        stage.daemon.surroundings.follow_links((), is_hinted=True)
        status = await until(stage, State.SIGN_IN)
        assert status.sentence.startswith("this network wants you to sign in;")
        stage.daemon.surroundings.follow_links((), is_hinted=False)
        await until(stage, State.BLOCKED)


async def test_vpn_for_every_name_is_said_and_no_page_is_looked_for_through_it_need6(
    up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    up.faults.drop_connections = True
    look = Looking()
    async with running(table(up), tmp_path, resolvers=None, look=look, learner=HandLearner) as stage:
        assert isinstance(stage.daemon.learner, HandLearner)
        lan = Link("", (("127.0.0.1", plain.port("udp")),))
        vpn = Link("tun0", (("127.0.0.1", plain.port("udp")),), (from_text("corp.test"),), True, True)
        stage.daemon.learner.known = (lan, vpn)
        await stage.daemon.learner.learn()
        status = await until(stage, State.VPN)
        assert status.sentence.startswith("the VPN tun0 wants to be asked for every name")
        looks = look.looks
        assert await answer(stage, CHECK) == await answer(stage, OTHER) == RCode.SERVFAIL
        network = await stage.api(stage.client.network)
        assert (network.vpn, [(link.name, link.is_vpn, link.wants_all) for link in network.links]) == (
            "tun0", [("", False, False), ("tun0", True, True)],
        )  # fmt: skip
        assert (look.looks, plain.queries) == (looks, [])
        stage.daemon.learner.known = (lan,)
        await stage.daemon.learner.learn()
        await until(stage, State.SIGN_IN)


async def test_another_upstream_is_looked_at_when_it_is_chosen(
    up: FakeUpstream, other: FakeUpstream, plain: FakeUpstream, hotel: Hotel
) -> None:
    async with hotel() as stage:
        await until(stage, State.SIGN_IN)
        stage.file.write_text(stage.file.read_text() + table(other, "b"))
        await stage.daemon.reload()
        await until(stage, State.SECURE)
        assert await answer(stage, OTHER) == "192.0.2.2"


async def test_questions_under_way_are_told_when_a_page_is_found(up: FakeUpstream, hotel: Hotel) -> None:
    up.faults.drop_connections, up.faults.stall_connections = False, True
    async with hotel() as stage:
        began = asyncio.get_running_loop().time()
        reply = await stage.ask(OTHER)
        assert told(reply) == {EDE.NETWORK_ERROR: SIGN_IN}
        assert asyncio.get_running_loop().time() - began < 3.5, "patience is 4.4 s"


class SlowLearner(HandLearner):
    """A learner that takes its time where a test says so."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self.may_tell = asyncio.Event()
        self.may_tell.set()

    async def _find(self) -> tuple[Link, ...]:
        await self.may_tell.wait()
        return self.known


@pytest.mark.parametrize("fault", ["drop_connections", "stall_connections"])
async def test_check_that_comes_before_the_resolver_is_known_finds_it_need5_t1(
    fault: str, up: FakeUpstream, plain: FakeUpstream, tmp_path: Path
) -> None:
    setattr(up.faults, fault, True)
    async with running(table(up), tmp_path, resolvers=None, look=Looking(), learner=SlowLearner) as stage:
        learner = stage.daemon.learner
        assert isinstance(learner, SlowLearner)
        learner.known = (Link("", (("127.0.0.1", plain.port("udp")),)),)
        learner.may_tell.clear()
        stage.daemon._network_changed(Change("another network", is_break=True))
        began = asyncio.get_running_loop().time()
        check = asyncio.create_task(stage.ask(CHECK))
        forwarder = stage.daemon.forwarder
        await wait_until(lambda: forwarder.stats.misses == 1)
        if fault == "drop_connections":
            await wait_until(lambda: forwarder.hold._held)
        learner.may_tell.set()
        assert address(await check) == HERE
        assert asyncio.get_running_loop().time() - began < 1
        assert (await until(stage, State.SIGN_IN)).portal is not None
        assert await answer(stage, OTHER) == RCode.SERVFAIL


async def test_links_that_nobody_tells_of_keep_nobody_waiting(up: FakeUpstream, tmp_path: Path) -> None:
    up.faults.drop_connections = True
    async with running(table(up), tmp_path, resolvers=None, look=Looking(), learner=SlowLearner) as stage:
        learner = stage.daemon.learner
        assert isinstance(learner, SlowLearner)
        learner.may_tell.clear()
        stage.daemon._network_changed(Change("another network", is_break=True))
        began = asyncio.get_running_loop().time()
        assert await answer(stage, OTHER) == RCode.SERVFAIL
        assert asyncio.get_running_loop().time() - began < LINKS_S + 1
        await until(stage, State.SIGN_IN)


async def test_upstream_that_was_forgiven_has_not_answered(
    up: FakeUpstream, plain: FakeUpstream, hotel: Hotel, monkeypatch: pytest.MonkeyPatch
) -> None:
    up.faults.drop_connections = False
    async with hotel() as stage:
        await until(stage, State.SECURE)
        assert await answer(stage, OTHER) == "192.0.2.2"
        monkeypatch.setattr(state, "CHECK_PORTAL_S", 60.0)
        monkeypatch.setattr("secdns.surroundings.CHECK_CONSENT_S", 60.0)
        up.faults.drop_connections, up.faults.close_mid = True, "rst"  # the time that was paid for is over
        assert await answer(stage, "h2.example.test") == RCode.SERVFAIL
        await until(stage, State.SIGN_IN)
        await stage.api(stage.client.portal)
        stage.daemon._network_changed(Change(""))  # nobody had asked for a while
        assert await answer(stage, "h3.example.test") == HERE
        assert await answer(stage, CHECK) == HERE
        status = await stage.api(stage.client.status)
        assert (status.state, status.portal and status.portal.plain) == (State.SIGN_IN, 2)


async def test_portal_is_for_those_who_may_change_things_and_takes_no_keys(hotel: Hotel) -> None:
    async with hotel() as stage:
        await until(stage, State.SIGN_IN)
        status, got = await stage.http("POST", "/v1/portal", b'{"for": "1h"}')
        assert (status, got["error"]["code"]) == (400, "bad-request")
        status, got = await stage.http("GET", "/v1/portal")
        assert (status, got["error"]["code"]) == (405, "wrong-method")
        assert (await stage.api(stage.client.status)).portal == Portal(PAGE.url or "", None, None, (), 0)
        status, got = await stage.http("POST", "/v1/portal", b"{}")
        assert (status, sorted(got)) == (200, ["left_s", "plain", "resolvers", "until", "url"])
