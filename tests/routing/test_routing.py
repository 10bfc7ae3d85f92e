"""Which upstream group answers for a name, which part of the cache is its own, and what a reload leaves."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secdns.cache import Cache
from secdns.config import Config, parse
from secdns.detour import Plain
from secdns.dns import name as names
from secdns.dns.message import Message, Question
from secdns.endpoint import Endpoint
from secdns.forwarder import Forwarder
from secdns.iana import RCode, RRType
from secdns.network.links import Link
from secdns.policy import Hosts, RouteTo
from secdns.policy.overrides import parse_hosts
from secdns.routing import MAX_WATCHED, Groups, Near, Routing
from secdns.split import split
from secdns.testing import FakeUpstream
from secdns.upstream import UpstreamGroup
from tests.cache.answers import a, query
from tests.forwarder.stage import UNSIGNED, Clock, questions_of, route, table
from tests.loop import wait_until
from tests.transport.proxying import GoodProxy
from tests.upstream.asking import Asking

PLAIN = "udp://192.0.2.53"
TWO = (
    '[[upstream]]\nname = "one"\nurl = "tls://192.0.2.1"\n'
    '[[upstream]]\nname = "two"\nurl = "https://192.0.2.2/dns-query"\n'
)


def read(*tables: str) -> Config:
    return parse("".join(tables) + UNSIGNED, "test")


def default(routing: Routing) -> UpstreamGroup:
    """Give the group for names that no route takes elsewhere."""
    assert isinstance(routing.default, UpstreamGroup)
    return routing.default


def plain(*, is_on: bool = True) -> Plain:
    """Give whom to ask in plain."""
    resolver = Endpoint("udp", "192.0.2.7", 53, addresses=("192.0.2.7",))
    return Plain((resolver,), "in plain", 5, lambda: is_on, has_edns=False)


def numbers(routing: Routing) -> set[int]:
    return set(routing.groups)


async def test_default_group_has_every_upstream_in_order(groups: Groups) -> None:
    routing = groups.build(read(TWO), Hosts())
    assert [member.name for member in default(routing).members] == ["one", "two"]
    assert [member.endpoint.scheme for member in default(routing).members] == ["tls", "https"]
    assert (default(routing).number, routing.route) == (0, None)
    assert numbers(routing) == {0}


async def test_built_in_upstreams_need_no_look_up(groups: Groups) -> None:
    for member in default(groups.build(read(), Hosts())).members:
        assert member.endpoint.addresses
        assert member.is_encrypted


@pytest.mark.parametrize("via", ["two", PLAIN, "tcp://192.0.2.53:5353"])
async def test_route_has_a_group_and_a_part_of_the_cache_of_its_own_C4(via: str, groups: Groups) -> None:
    routing = groups.build(read(TWO, route(["corp.test", "Other.TEST"], via)), Hosts())
    assert len(routing.groups) == 2
    (number,) = numbers(routing) - {default(routing).number}
    assert routing.route is not None
    for name in ("corp.test", "www.corp.test", "a.b.other.test"):
        assert routing.route(names.from_text(name), RRType.A) == number
    for name in ("corp", "xcorp.test", "corp.test.example", "test", "."):
        assert routing.route(names.from_text(name), RRType.A) == 0
    routed = routing.groups[number]
    assert isinstance(routed, UpstreamGroup)
    assert [member.name for member in routed.members] == [via]


async def test_longest_suffix_wins_and_routes_of_one_resolver_share_its_group(groups: Groups) -> None:
    tables = (route(["test"], PLAIN), route(["corp.test"], "two"), route(["lan.corp.test"], PLAIN))
    routing = groups.build(read(TWO, *tables), Hosts())
    assert routing.route is not None
    outer, inner, again = (
        routing.route(names.from_text(name), RRType.A)
        for name in ("x.test", "x.corp.test", "x.lan.corp.test")
    )
    assert outer == again != inner
    assert len(routing.groups) == 3


LAN = Link("wlan0", (("192.168.7.1", 53),), (names.from_text("a.lan"), names.from_text("corp")))
VPN = Link("tun0", (("10.8.0.1", 53),), (names.from_text("corp.test"), names.from_text("corp")), is_vpn=True)
LABELS = st.sampled_from(
    ["a", "b", "corp", "test", "localhost", "local", "onion", "arpa", "10", "in-addr", "lan", "home"]
)
SUFFIXES = st.lists(LABELS, max_size=3).map(lambda labels: ".".join(labels) or ".")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True, deadline=None,
          database=None, max_examples=200)  # fmt: skip
@given(
    routed=st.lists(SUFFIXES, unique=True, max_size=4),
    name=SUFFIXES,
    rrtype=st.sampled_from([RRType.A, RRType.PTR, RRType.NS, RRType.NXNAME, RRType.DS]),
    links=st.sampled_from([(), (LAN,), (LAN, VPN), (VPN,)]),
    hosts=st.sampled_from(["", "192.0.2.9 a.corp.test corp"]),
    ways=st.sampled_from(["", "checks", "detour", "both"]),
)
async def test_part_of_the_cache_is_that_of_the_group_which_is_asked_C4_C8(
    routed: list[str],
    name: str,
    rrtype: RRType,
    links: tuple[Link, ...],
    hosts: str,
    ways: str,
    groups: Groups,
) -> None:
    """Policy says who is asked, ``route`` where the answer is kept: they must never disagree."""
    vias = ["one", PLAIN, "tcp://192.0.2.54", "network"]
    tables = [
        route([suffix], "two" if suffix == "." else via) for suffix, via in zip(routed, vias, strict=False)
    ]
    config = read(TWO, *tables)
    groups.checks = plain() if ways in ("checks", "both") else None
    groups.detour = plain() if ways in ("detour", "both") else None
    groups.learnt = frozenset({names.from_text("a.corp.test")})  # a name that others may want as well
    routing = groups.build(config, parse_hosts(hosts), split(config, links))
    owner = names.from_text(name)
    partition = 0 if routing.route is None else routing.route(owner, rrtype)
    decision = routing.policies.decide(Question(owner, rrtype), 0.0)
    match decision:
        case None if groups.detour is not None:
            assert routing.groups[partition] is not routing.groups[groups.default.number]
        case None:
            assert partition == groups.default.number
        case RouteTo(group):
            assert partition == group
            assert group in routing.groups


# connectivity checks


async def test_checks_are_exact_names_and_what_the_owner_says_of_one_holds(groups: Groups) -> None:
    groups.checks = plain()
    groups.learnt = frozenset({names.from_text("login.hotel.test"), names.from_text("x.onion")})
    config = read(
        TWO, route(["captive.apple.com"], "two"), '[overrides]\n"nmcheck.gnome.org" = "192.0.2.8"\n'
    )
    decide = groups.build(config, Hosts()).policies.decide

    def goes_to(name: str) -> object:
        decision = decide(Question(names.from_text(name), RRType.A), 0.0)
        return decision.group if isinstance(decision, RouteTo) else type(decision).__name__

    checks = goes_to("network-test.debian.org")
    assert isinstance(checks, int)
    assert goes_to("LOGIN.hotel.test") == checks
    assert goes_to("www.network-test.debian.org") == "NoneType"
    assert goes_to("debian.org") == "NoneType"
    assert goes_to("captive.apple.com") not in (checks, "NoneType")
    assert goes_to("nmcheck.gnome.org") == "Answer"
    assert goes_to("x.onion") == "Answer"


async def test_checks_that_are_over_go_where_all_else_goes_even_before_the_routing_is_built(
    up: FakeUpstream, groups: Groups
) -> None:
    groups.checks = plain(is_on=False)
    groups.learnt = frozenset({names.from_text("h1.example.test")})
    routing = groups.build(read(table(up)), Hosts())
    forwarder = Forwarder(Cache(1 << 20, route=routing.route), routing, clock=Clock())
    reply = Message.parse(await forwarder.answer(query("h1.example.test"), stream=False) or b"")
    assert len(up.queries) == 1
    assert reply.answer


# resolvers of links


async def test_resolver_of_the_network_is_asked_in_a_part_of_the_cache_of_its_own_C4_need8(
    groups: Groups,
) -> None:
    config = read(TWO)
    routing = groups.build(config, Hosts(), split(config, (LAN, VPN)))
    assert routing.route is not None

    def number(name: str, rrtype: int = RRType.A) -> int:
        owner = names.from_text(name)
        assert routing.route is not None
        found = routing.route(owner, rrtype)
        decision = routing.policies.decide(Question(owner, rrtype), 0.0)
        assert found == (decision.group if isinstance(decision, RouteTo) else 0)
        return found

    home, vpn = number("nas.lan"), number("www.corp.test")
    assert len({0, home, vpn}) == 3
    assert [number(name) for name in ("nas", "x.a.lan", "1.0.0.10.in-addr.arpa", "x.corp")] == [home] * 3 + [
        vpn
    ]
    assert number("home.arpa") == home
    # about a zone, which tells nothing of the network and which only the public tree can prove
    public = [
        ("home.arpa", RRType.DS),
        ("10.in-addr.arpa", RRType.DS),
        ("com", RRType.DS),
        ("com", RRType.NS),
        (".", RRType.DNSKEY),
        ("www.test", RRType.A),
    ]
    assert [number(*each) for each in public] == [0] * len(public)
    near = routing.groups[home]
    assert isinstance(near, Near)
    for group in (near.group, routing.groups[vpn]):
        assert isinstance(group, UpstreamGroup), "and nobody checks signatures there"
        assert not any(member.is_encrypted for member in group.members)


async def test_links_that_did_not_change_keep_their_numbers_and_on_another_network_they_do_not_C4(
    groups: Groups,
) -> None:
    config = read(TWO, route(["corp.example"], PLAIN))
    first = groups.build(config, Hosts(), split(config, (LAN,)))
    again = groups.build(config, Hosts(), split(config, (LAN, VPN)))
    assert set(first.groups) < set(again.groups)
    groups.forget_links()
    later = groups.build(config, Hosts(), split(config, (LAN,)))
    assert len(set(later.groups) & set(first.groups)) == 2, "those of the configuration alone"
    await groups.keep_only(later)
    assert later.default is first.default


async def test_number_of_a_group_in_use_is_never_given_again(groups: Groups) -> None:
    config = read(TWO)
    seen = set()
    groups.build(config, Hosts())
    groups._next = 65534
    for _ in range(5):
        groups.forget_links()
        routing = groups.build(config, Hosts(), split(config, (LAN,)))
        assert len(routing.groups) == 2
        seen |= set(routing.groups)
    assert seen == {0, 65534, 65535, 1, 2, 3}


async def test_ways_to_resolvers_of_links_are_not_watched_F13(groups: Groups) -> None:
    config = read(TWO)
    groups.build(config, Hosts(), split(config, (LAN, VPN)))
    assert groups.addresses() == ["192.0.2.1", "192.0.2.2"]


# over a reload


async def test_group_that_a_reload_leaves_alone_stays_with_its_number_F22(groups: Groups) -> None:
    before = groups.build(read(TWO, route(["corp.test"], PLAIN)), Hosts())
    after = groups.build(read(TWO, "[cache]\nsize_mb = 8\n", route(["lan.test"], PLAIN)), Hosts())
    assert after.default is before.default
    assert numbers(after) == numbers(before)
    await groups.keep_only(after)
    assert default(groups.build(read(TWO), Hosts())) is before.default


@pytest.mark.parametrize(
    "changed",
    [TWO.replace("192.0.2.1", "192.0.2.3"), TWO.replace('"one"', '"uno"'), TWO.replace("tls://", "https://"),
     TWO + 'pin_sha256 = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]\n'],
    ids=["address", "name", "scheme", "pin"],
)  # fmt: skip
async def test_group_that_changed_is_another_with_a_number_never_used_C4(
    changed: str, groups: Groups
) -> None:
    seen = {default(groups.build(read(TWO), Hosts())).number}
    for tables in (changed, TWO, changed):
        routing = groups.build(read(tables), Hosts())
        await groups.keep_only(routing)
        assert default(routing).number not in seen
        assert routing.route is not None
        assert routing.route(names.from_text("www.example.test"), RRType.A) == default(routing).number
        seen.add(default(routing).number)


async def test_group_no_longer_used_is_closed_and_the_others_are_not_F22(
    up: FakeUpstream, groups: Groups
) -> None:
    both = groups.build(read(table(up), table(up, "b", "https"), route(["corp.test"], "b")), Hosts())
    (routed,) = (group for group in both.groups.values() if group is not both.default)
    assert isinstance(routed, UpstreamGroup)
    for group in (default(both), routed):
        await Asking(group).address()
    assert up.open_connections == 2
    alone = groups.build(read(table(up), table(up, "b", "https")), Hosts())
    await groups.keep_only(alone)
    await wait_until(lambda: up.open_connections == 1)
    assert "closed" in str(await Asking(routed).error())
    assert await Asking(default(alone)).address() == 2
    assert up.connections == {"tls": 1, "https": 1, "tcp": 0}


class Reloaded:
    """A forwarder that goes over to another configuration as the daemon does."""

    def __init__(self, groups: Groups, *tables: str) -> None:
        self.groups = groups
        self.clock = Clock()
        routing = groups.build(read(*tables), Hosts())
        self.cache = Cache(1 << 20, route=routing.route)
        self.forwarder = Forwarder(self.cache, routing, clock=self.clock)

    def reload(self, *tables: str) -> None:
        routing = self.groups.build(read(*tables), Hosts())
        self.forwarder.routing = routing
        self.cache.route = routing.route
        self.cache.renew()

    async def address(self, name: str) -> str | int:
        """Give the address of a name, or the RCODE where there is none."""
        reply = await self.forwarder.answer(query(name), stream=True)
        assert reply is not None
        message = Message.parse(reply)
        return ".".join(map(str, message.answer[0].rdata)) if message.answer else message.rcode


CORP = {"corp.test": {"www": {"A": "10.0.0.1"}}, "bank.test": {"www": {"A": "10.6.6.6"}}}
PUBLIC = {"corp.test": {"pub": {"A": "192.0.2.1"}}, "bank.test": {"www": {"A": "192.0.2.7"}}}


async def test_public_nxdomain_does_not_shadow_a_route_nor_a_route_the_public_C4_C10(groups: Groups) -> None:
    async with FakeUpstream(PUBLIC) as public, FakeUpstream(CORP) as corp:
        with_route = (table(public), route(["corp.test"], corp.udp_url))
        played = Reloaded(groups, table(public))
        assert await played.address("www.corp.test") == RCode.NXDOMAIN
        played.reload(*with_route)
        assert await played.address("www.corp.test") == "10.0.0.1"
        assert await played.address("pub.corp.test") == RCode.NXDOMAIN
        played.reload(table(public))
        assert await played.address("www.corp.test") == RCode.NXDOMAIN
        assert await played.address("pub.corp.test") == "192.0.2.1"
        assert len(public.queries) == 2  # and what it said before is still good
        played.reload(*with_route)
        assert await played.address("www.corp.test") == "10.0.0.1"
        assert len(corp.queries) == 2


async def test_routed_upstream_cannot_speak_for_names_outside_its_route_C4(groups: Groups) -> None:
    async with FakeUpstream(PUBLIC) as public, FakeUpstream(CORP) as corp:
        plain = corp.answer

        def rider(asked: bytes) -> bytes:
            message = Message.parse(plain(asked))
            lie = a("www.bank.test", 666)
            return Message(
                message.id,
                message.flags,
                message.question,
                (*message.answer, lie),
                (lie,),
                (lie,),
                message.edns,
            ).to_wire()

        corp.answer = rider
        played = Reloaded(groups, table(public), route(["corp.test"], corp.udp_url))
        assert await played.address("www.corp.test") == "10.0.0.1"
        assert await played.address("www.bank.test") == "192.0.2.7"
        assert questions_of(corp) == [names.from_text("www.corp.test") + b"\0\1\0\1"]


async def test_answers_of_an_upstream_that_is_gone_are_never_served_again_C4(groups: Groups) -> None:
    zone = {"example.test": {"www": {"A": "192.0.2.1"}}}
    other = {"example.test": {"www": {"A": "192.0.2.2"}}}
    async with FakeUpstream(zone) as first, FakeUpstream(other) as second:
        played = Reloaded(groups, table(first))
        assert await played.address("www.example.test") == "192.0.2.1"
        for up, address in ((second, "192.0.2.2"), (first, "192.0.2.1")):
            played.reload(table(up))
            await groups.keep_only(played.forwarder.routing)
            assert await played.address("www.example.test") == address
        assert (len(first.queries), len(second.queries)) == (2, 1)
        await first.stop()
        played.clock.now += 301
        assert await played.address("www.example.test") == "192.0.2.1"  # stale, its own
        played.reload(table(second))
        await second.stop()
        assert await played.address("www.example.test") == RCode.SERVFAIL  # and nothing of the other's
        await first.start()
        await second.start()


# addresses of upstreams


def nameless(up: FakeUpstream, name: str = "nameless") -> str:
    """Give the table of an upstream whose address nobody wrote down."""
    return "".join(
        line for line in table(up, name).splitlines(keepends=True) if not line.startswith("addresses")
    )


def sought(up: FakeUpstream) -> Iterable[bytes]:
    return sorted(question[:-4] for question in questions_of(up))


async def test_address_of_an_upstream_is_asked_of_another_encrypted_one_F30_E4(
    up: FakeUpstream, groups: Groups
) -> None:
    async with FakeUpstream({"up.test": {"@": {"A": "127.0.0.1"}}}, hostname="knows.test") as knows:
        await up.aclose()
        async with FakeUpstream(hostname="up.test") as found:
            routing = groups.build(
                read(nameless(found), table(knows, "knows"), route(["corp.test"], knows.udp_url)), Hosts()
            )
            member = default(routing).members[0]
            question = names.from_text("www.example.test") + b"\0\1\0\1"
            loop = asyncio.get_running_loop()
            response = await member.exchange(member.query(question, False), loop.time() + 4.0)
            assert Message.parse(response).question[0].name == names.from_text("www.example.test")
        assert sought(knows) == [names.from_text("up.test")] * 2
        assert {seen.scheme for seen in knows.queries} == {"tls"}  # never in plain
        assert {len(seen.wire) % 128 for seen in knows.queries} == {0}


async def test_upstream_behind_a_proxy_is_asked_for_addresses_though_it_has_none_itself_F30(
    up: FakeUpstream, groups: Groups
) -> None:
    async with FakeUpstream({"up.test": {"@": {"A": "127.0.0.1"}}}, hostname="knows.test") as knows:
        proxy = GoodProxy("socks5")
        async with proxy.running():
            behind = nameless(knows, "knows") + f'proxy = "{proxy.proxy.url}"\n'
            await up.aclose()
            async with FakeUpstream(hostname="up.test") as found:
                routing = groups.build(read(nameless(found), behind), Hosts())
                member = default(routing).members[0]
                question = names.from_text("www.example.test") + b"\0\1\0\1"
                await member.exchange(member.query(question, False), asyncio.get_running_loop().time() + 4.0)
        assert sought(knows) == [names.from_text("up.test")] * 2
        assert {host for host, _ in proxy.asked} == {"knows.test"}


@pytest.mark.parametrize("hostname", ["knows.test", "up.test"])
async def test_built_in_upstreams_help_where_no_address_is_known_even_if_they_are_what_is_sought_F30(
    hostname: str, groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = {"up.test": {"@": {"A": "127.0.0.1"}, "www": {"A": "192.0.2.1"}}}
    async with FakeUpstream(zone, hostname=hostname) as builtin, FakeUpstream(zone, hostname="up.test") as up:
        catalogue: dict[str, Any] = {"it": SimpleNamespace(auto=(builtin.endpoint("tls"),))}
        monkeypatch.setattr("secdns.routing.PROVIDERS", lambda: catalogue)
        monkeypatch.setattr("secdns.routing.DEFAULT", ("it",))
        played = Reloaded(groups, nameless(up))
        assert await played.address("www.up.test") == "192.0.2.1"
        assert sought(builtin) == [names.from_text("up.test")] * 2
        await groups.keep_only(played.forwarder.routing)
        await wait_until(lambda: builtin.open_connections == 0)


async def test_upstreams_that_need_each_other_end_in_words_not_in_a_circle_F30(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeUpstream(hostname="one.test") as one, FakeUpstream(hostname="two.test") as two:
        dead = one.endpoint("tls", "dead.test")
        catalogue: dict[str, Any] = {"it": SimpleNamespace(auto=(dead,))}
        monkeypatch.setattr("secdns.routing.PROVIDERS", lambda: catalogue)
        monkeypatch.setattr("secdns.routing.DEFAULT", ("it",))
        routing = groups.build(read(nameless(one, "one"), nameless(two, "two")), Hosts())
        text = str(await Asking(default(routing)).error())
        assert "one: no address found for the upstream host one.test" in text
        assert "two: no address found for the upstream host two.test" in text
        assert one.queries == two.queries == []


# the network


async def test_addresses_of_upstreams_are_the_first_of_each_family_and_few_F13(groups: Groups) -> None:
    three = (
        '[[upstream]]\nname = "three"\nurl = "tls://dns.example"\n'
        'addresses = ["192.0.2.3", "192.0.2.33", "2001:db8::3", "2001:db8::33"]\n'
    )
    groups.build(read(TWO, three, route(["corp.test"], PLAIN)), Hosts())
    assert groups.addresses() == ["192.0.2.1", "192.0.2.2", "2001:db8::3", "192.0.2.3", "192.0.2.53"]
    many = "".join(f'[[upstream]]\nname = "n{n}"\nurl = "tls://192.0.2.{n}"\n' for n in range(100, 132))
    groups.build(read(many), Hosts())
    assert len(groups.addresses()) == MAX_WATCHED


async def test_way_to_a_proxy_is_what_counts_where_there_is_one(groups: Groups) -> None:
    proxied = '[[upstream]]\nname = "one"\nurl = "tls://192.0.2.1"\nproxy = "socks5://192.0.2.9:1080"\n'
    groups.build(read(proxied), Hosts())
    assert groups.addresses() == ["192.0.2.9"]


async def test_upstreams_without_a_known_address_are_watched_as_the_built_in_ones_are_F30(
    groups: Groups,
) -> None:
    groups.build(read('[[upstream]]\nname = "far"\nurl = "tls://dns.example"\n'), Hosts())
    assert "9.9.9.9" in groups.addresses()


async def test_change_of_network_reaches_every_group_F11(groups: Groups) -> None:
    routing = groups.build(read(TWO, route(["corp.test"], PLAIN)), Hosts())
    members = [m for g in routing.groups.values() if isinstance(g, UpstreamGroup) for m in g.members]
    assert len(members) == 3
    for change, left in ((groups.forgive, 2.0), (groups.network_changed, 0.0)):
        for member in members:
            member.failures, member.back_at, member.lies = 3, 1e9, 2.0
        change()
        assert {(member.failures, member.back_at, member.lies) for member in members} == {(0, 0.0, left)}
