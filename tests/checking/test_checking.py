"""Whether an upstream can be reached, and whether somebody leads names to a page of theirs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from secdns import checking
from secdns.checking import BY_NAME, find_page, reach
from secdns.dns.message import Message
from secdns.dns.name import from_text
from secdns.endpoint import Endpoint
from secdns.iana import RCode, RRType
from secdns.network.portal import Page
from secdns.testing import FakeUpstream, ZoneData
from secdns.transport import Lookup
from secdns.upstream import Upstream

ZONES: dict[str, ZoneData] = {"example.test": {"h1": {"A": "192.0.2.1"}}}


async def at_home(host: str, deadline: float) -> tuple[str, ...]:
    return ("127.0.0.1",)


LOOKUP: Lookup = at_home
Member = Callable[[FakeUpstream], Upstream]


@pytest.fixture
async def first(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as made:
        yield made


@pytest.fixture
async def second(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as made:
        yield made


@pytest.fixture
async def member(first: FakeUpstream, second: FakeUpstream) -> AsyncIterator[Member]:
    made: list[Upstream] = []

    def make(up: FakeUpstream) -> Upstream:
        made.append(Upstream("it", up.endpoint("tls"), LOOKUP))
        return made[-1]

    yield make
    for each in made:
        await each.transport.aclose()


def is_well(upstream: Upstream) -> bool:
    return upstream.answered_at > 0 and not upstream.failures


async def test_handshake_with_the_first_is_enough_and_nobody_else_is_bothered(
    first: FakeUpstream, second: FakeUpstream, member: Member
) -> None:
    members = member(first), member(second)
    assert await reach(members, is_asked=False)
    assert [len(up.handshakes) for up in (first, second)] == [1, 0]
    assert first.queries == []
    assert [is_well(each) for each in members] == [True, False]


async def test_after_failures_it_takes_an_answer_which_costs_no_name(
    first: FakeUpstream, member: Member
) -> None:
    assert await reach([member(first)], is_asked=True)
    (seen,) = first.queries
    asked = Message.parse(seen.wire)
    assert (asked.question[0].name, asked.question[0].rrtype) == (b"\0", RRType.NS)
    assert len(seen.wire) % 128 == 0, "padded"


async def test_handshake_without_an_answer_is_not_enough_after_failures(
    first: FakeUpstream, member: Member
) -> None:
    first.faults.close_mid = "rst"
    upstream = member(first)
    assert not await reach([upstream], is_asked=True)
    assert upstream.failures


@pytest.mark.parametrize("fault", ["drop_connections", "stall_connections"])
async def test_second_is_tried_when_the_first_fails_or_is_slow(
    fault: str, first: FakeUpstream, second: FakeUpstream, member: Member
) -> None:
    setattr(first.faults, fault, True)
    began = time.monotonic()
    assert await reach((member(first), member(second)), is_asked=False)
    assert time.monotonic() - began < checking.CHECK_S
    assert len(second.handshakes) == 1


async def test_nobody_can_be_reached_and_all_are_told(
    first: FakeUpstream, second: FakeUpstream, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "CHECK_S", 0.4)
    first.faults.drop_connections = second.faults.stall_connections = True
    members = member(first), member(second)
    began = time.monotonic()
    assert not await reach(members, is_asked=False)
    assert time.monotonic() - began < 2
    assert [bool(each.failures) for each in members] == [True, True]


async def test_connection_that_was_silent_is_not_asked_again(
    first: FakeUpstream, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "CHECK_S", 0.3)
    upstream = member(first)
    assert await reach([upstream], is_asked=True)
    first.faults.silent = True
    assert not await reach([upstream], is_asked=True)
    first.faults.only = lambda seen: seen.connection == 1  # that one for good
    monkeypatch.setattr(checking, "CHECK_S", 2.0)
    assert await reach([upstream], is_asked=True, is_anew=True)
    assert len(first.handshakes) == 2


PAGE = Page("http://login.hotel.example/", from_text("login.hotel.example"))


async def nothing() -> Page | None:
    return None


async def something() -> Page | None:
    return PAGE


@pytest.mark.parametrize(
    ("addresses", "rcode", "want"),
    [
        pytest.param(["192.168.7.1"], None, Page(BY_NAME), id="its own"),
        pytest.param(["192.0.0.170", "192.168.7.1"], None, Page(BY_NAME), id="its own as well"),
        pytest.param(["192.0.0.170", "192.0.0.171"], None, None, id="the right ones"),
        pytest.param(["192.0.0.171"], None, None, id="one of the right ones"),
        pytest.param([], None, None, id="none"),
        pytest.param(["192.168.7.1"], RCode.NXDOMAIN, None, id="no such name"),
        pytest.param(["192.168.7.1"], RCode.REFUSED, None, id="refused"),
    ],
)
async def test_resolver_that_has_an_address_of_its_own_for_a_fixed_name_leads_to_a_page(
    addresses: list[str], rcode: int | None, want: Page | None, nothing_is_left: None
) -> None:
    zone: dict[str, ZoneData] = {"arpa": {"ipv4only": {"A": addresses} if addresses else {"TXT": "x"}}}
    async with FakeUpstream(zone) as up:
        up.faults.rcode = rcode
        end = Endpoint("udp", "127.0.0.1", up.port("udp"), addresses=("127.0.0.1",))
        resolver = Upstream("near", end, LOOKUP, has_edns=False)
        try:
            assert await find_page(nothing, [resolver]) == want
            assert len(up.queries) == 1
            assert await find_page(something, [resolver]) == PAGE, "who answers is enough"
            assert len(up.queries) == 1
        finally:
            await resolver.transport.aclose()


async def test_silent_resolver_proves_nothing_and_costs_little(nothing_is_left: None) -> None:
    async with FakeUpstream(ZONES) as up:
        up.faults.silent = True
        end = Endpoint("udp", "127.0.0.1", up.port("udp"), addresses=("127.0.0.1",))
        resolver = Upstream("near", end, LOOKUP, has_edns=False)
        began = asyncio.get_running_loop().time()
        assert await find_page(nothing, [resolver]) is None
        assert asyncio.get_running_loop().time() - began < 1.5
        await resolver.transport.aclose()


async def test_nobody_to_ask_is_no_page() -> None:
    assert await find_page(nothing, []) is None
