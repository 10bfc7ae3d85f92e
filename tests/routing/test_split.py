"""Which names go to whose resolvers, whatever the links claim: needs 6 and 8, threats C4, D12 and E3."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secdns.config import parse
from secdns.dns.name import from_text, suffixes
from secdns.iana import EDE, RCode
from secdns.network.links import Link
from secdns.policy import Refuse
from secdns.policy.special_use import NETWORK_ZONES
from secdns.split import Split, split
from tests.forwarder.stage import UNSIGNED, route


def link(
    name: str, resolver: str | Sequence[str], *domains: str, vpn: bool = False, all_: bool = False
) -> Link:
    hosts = [resolver] if isinstance(resolver, str) else resolver
    return Link(
        name, tuple((host, 53) for host in hosts), tuple(from_text(each) for each in domains), vpn, all_
    )


LAN = link("wlan0", "192.168.7.1")
PUBLIC = link("wlan0", "9.9.9.9")
VPN = link("tun0", "10.8.0.1", vpn=True)


def made(links: Sequence[Link], *tables: str, strict: bool = False) -> Split:
    text = "".join(tables) + UNSIGNED + ("[network]\nstrict = true\n" if strict else "")
    return split(parse(text, "test"), links)


def asked(found: Split, name: str) -> str:
    """Give who is asked for a name by a route: host and link, "refused", or "" for the upstreams."""
    for suffix in suffixes(from_text(name)):
        if (to := found.routes.get(suffix)) is not None:
            if isinstance(to, Refuse):
                return "refused"
            assert all(end.scheme == "udp" for _, end in to)
            return " ".join(f"{end.host} by {end.link or 'any'}" for _, end in to)
    return ""


HOME_NAMES = [
    "nas.lan",
    "lan",
    "x.home",
    "printer.home.arpa",
    "x.internal",
    "a.b.corp",
    "fritz.box",
    "x.fritz.box",
    "x.intranet",
    "x.private",
    "x.localdomain",
    "1.7.168.192.in-addr.arpa",
    "b._dns-sd._udp.0.0.0.10.in-addr.arpa",
    "lb._dns-sd._udp.0.7.168.192.in-addr.arpa",
    "1.16.172.in-addr.arpa",
    "1.1.64.100.in-addr.arpa",
    "x.254.169.in-addr.arpa",
    "1.0.d.f.ip6.arpa",
    "x.8.e.f.ip6.arpa",
    "x.service.arpa",
    "ipv4only.arpa",
]
PUBLIC_NAMES = [
    ".",
    "com",
    "example.com",
    "www.example.com",
    "box",
    "arpa",
    "in-addr.arpa",
    "8.8.8.8.in-addr.arpa",
    "1.32.172.in-addr.arpa",
    "1.128.100.in-addr.arpa",
    "2.ip6.arpa",
    "local",
    "x.local",
    "localhost",
    "x.onion",
    "127.in-addr.arpa",
    "resolver.arpa",
    "xlan",
    "lan.example",
]


@pytest.mark.parametrize("name", HOME_NAMES)
def test_private_name_goes_to_the_resolver_of_the_network_need8(name: str) -> None:
    assert asked(made([LAN]), name) == "192.168.7.1 by wlan0"


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_name_and_those_of_this_machine_go_to_no_link_need8(name: str) -> None:
    assert asked(made([LAN, VPN]), name) == ""


@pytest.mark.parametrize("host", ["9.9.9.9", "2620:fe::fe", "172.32.0.1", "100.128.0.1", "203.0.113.1"])
def test_resolver_with_a_public_address_hears_of_no_private_name_need8(host: str) -> None:
    found = made([link("wlan0", host, "home.example", "x.lan")])
    assert (dict(found.routes), found.home) == ({}, ())


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "172.31.0.1", "192.168.0.1", "169.254.1.1", "100.64.0.1", "fd00::1", "fe80::1%wlan0"]
)
def test_resolver_with_a_private_address_is_one_of_the_network_need8(host: str) -> None:
    assert [end.host for _, end in made([link("wlan0", ["9.9.9.9", host])]).home] == [host]


def test_short_names_go_to_the_first_local_network_that_has_a_resolver_need8() -> None:
    for links, want in (
        ([LAN], "wlan0"),
        ([link("eth0", [], "lan"), PUBLIC, link("eth1", "10.0.0.1"), LAN], "eth1"),
        ([VPN, LAN], "wlan0"),
        ([VPN], None),
        ([], None),
    ):
        found = made(links)
        assert [name for name, _ in found.home] == ([want] if want else [])
        assert asked(found, "nas.lan") == (f"{found.home[0][1].host} by {want}" if want else "")


@pytest.mark.parametrize(
    "domain",
    [
        "com",
        "google.com",
        "www.bank.example",
        "co.uk",
        "arpa",
        "in-addr.arpa",
        "8.8.8.8.in-addr.arpa",
        "box",
        "home",
        "onion",
        "x.onion",
        "localhost",
        "x.localhost",
        "resolver.arpa",
        "invalid",
        "local",
    ],
)
def test_network_cannot_take_a_public_name_by_claiming_it_C4_D12_E3(domain: str) -> None:
    found = made([link("wlan0", "192.168.7.1", domain)])
    assert {zone for zone in found.routes if zone not in NETWORK_ZONES} == set()
    if domain not in ("home", "local"):
        (note,) = found.notes
        assert f"wlan0 claims {domain}, a public name: the upstreams are asked for it" in note


@pytest.mark.parametrize("domain", ["mine.lan", "mynet.home.arpa", "ad.corp", "office.local", "home"])
def test_domain_of_a_network_that_is_private_anyway_goes_to_its_own_link_need8(domain: str) -> None:
    found = made([LAN, link("eth0", "10.0.0.1", domain)])
    assert asked(found, f"x.{domain}") == "10.0.0.1 by eth0"
    assert asked(found, "other.lan") == "192.168.7.1 by wlan0"
    assert found.notes == ()


def test_vpn_gets_its_domains_and_a_resolver_with_any_address_will_do_need6() -> None:
    found = made(
        [LAN, link("tun0", "203.0.113.1", "corp.example", "10.in-addr.arpa", "ad.local", "corp", vpn=True)]
    )
    for name in ("corp.example", "www.corp.example", "1.0.0.10.in-addr.arpa", "x.ad.local", "x.corp"):
        assert asked(found, name) == "203.0.113.1 by tun0"
    for name in ("example", "www.example.com", "1.7.168.192.in-addr.arpa", "nas.lan"):
        assert asked(found, name) in ("", "192.168.7.1 by wlan0")
    assert found.notes == ()


@pytest.mark.parametrize(
    "domain",
    [
        "com",
        "de",
        "co.uk",
        "com.au",
        "arpa",
        "in-addr.arpa",
        "ip6.arpa",
        "localhost",
        "x.localhost",
        "onion",
        "x.onion",
        "resolver.arpa",
        "_dns.resolver.arpa",
        "invalid",
        "local",
        "acme",
    ],
)
def test_vpn_cannot_take_what_is_more_than_its_own_and_that_is_said_need6(domain: str) -> None:
    found = made([link("tun0", "10.8.0.1", domain, vpn=True)])
    assert dict(found.routes) == {}
    (note,) = found.notes
    assert note.startswith(f"tun0 claims {domain}, which is more than a company's own")
    assert f'a [[route]] with domains = ["{domain}"] and via = "network" changes that' in note


def test_vpn_that_wants_every_name_gets_its_own_and_that_is_said_need6() -> None:
    found = made([LAN, link("tun0", "10.8.0.1", "corp.example", vpn=True, all_=True)])
    assert asked(found, "www.corp.example") == "10.8.0.1 by tun0"
    assert asked(found, "www.example.com") == ""
    assert found.notes == (
        "tun0 wants to be asked for every name: it is asked for its own domains alone, "
        "all others stay with the upstreams",
    )
    assert made([link("wlan0", "192.168.7.1", all_=True)]).notes == (), "so does each link of resolved's"


def test_network_cannot_take_a_name_of_a_vpn_by_a_longer_one_C4() -> None:
    vpn = link("tun0", "10.8.0.1", "corp", "10.in-addr.arpa", vpn=True)
    found = made([link("wlan0", "192.168.7.1", "secret.corp", "corp", "7.0.10.in-addr.arpa"), vpn])
    for name in ("x.secret.corp", "corp", "1.7.0.10.in-addr.arpa"):
        assert asked(found, name) == "10.8.0.1 by tun0"


def test_first_of_two_links_that_claim_the_same_has_it() -> None:
    found = made(
        [
            link("tun1", "10.9.0.1", "corp.example", vpn=True),
            link("tun0", "10.8.0.1", "corp.example", vpn=True),
        ]
    )
    assert asked(found, "corp.example") == "10.9.0.1 by tun1"


# the owner's words


def test_route_of_the_owner_beats_every_claim_C4() -> None:
    vpn = link("tun0", "10.8.0.1", "dev.corp.example", "corp.example", vpn=True)
    mine = route(["corp.example", "lan", "10.in-addr.arpa"], "udp://10.0.0.53")
    found = made([link("wlan0", "192.168.7.1", "x.lan"), vpn], mine)
    for name in ("corp.example", "x.dev.corp.example", "x.lan", "1.0.0.10.in-addr.arpa"):
        assert asked(found, name) == "", "as the route says, which is not the split's"
    assert asked(found, "x.home.arpa") == "192.168.7.1 by wlan0"


def test_route_for_the_root_leaves_private_names_to_the_network() -> None:
    one = '[[upstream]]\nname = "one"\nurl = "tls://192.0.2.1"\n'
    assert asked(made([LAN], one, route(["."], "one")), "nas.lan") == "192.168.7.1 by wlan0"


NETWORK = route(["corp.example"], "network")


@pytest.mark.parametrize(
    ("links", "want"),
    [
        pytest.param([LAN], "192.168.7.1 by wlan0", id="local network"),
        pytest.param([PUBLIC], "9.9.9.9 by wlan0", id="whose resolver is public"),
        pytest.param([VPN, LAN], "192.168.7.1 by wlan0", id="beside a VPN that does not claim it"),
        pytest.param([VPN], "10.8.0.1 by tun0", id="VPN alone"),
        pytest.param(
            [LAN, link("tun0", "10.8.0.1", "corp.example", vpn=True)], "10.8.0.1 by tun0", id="its VPN"
        ),
        pytest.param([LAN, link("eth0", "10.0.0.1", "corp.example")], "10.0.0.1 by eth0", id="its network"),
        pytest.param([link("", "10.0.0.1")], "10.0.0.1 by any", id="link unknown"),
        pytest.param([], "refused", id="none"),
        pytest.param([link("wlan0", [], "corp.example")], "refused", id="link without resolvers"),
    ],
)
def test_route_via_network_goes_to_the_resolvers_of_the_link_or_nowhere_need6(
    links: list[Link], want: str
) -> None:
    found = made(links, NETWORK)
    assert asked(found, "www.corp.example") == want
    assert asked(found, "www.example") == ""


def test_below_a_route_via_network_each_link_has_what_it_claims() -> None:
    claims = link("tun0", "10.8.0.1", "dev.corp.example", vpn=True)
    found = made([link("wlan0", "192.168.7.1", "wifi.corp.example"), claims], NETWORK)
    assert asked(found, "x.dev.corp.example") == "10.8.0.1 by tun0"
    assert asked(found, "x.wifi.corp.example") == "192.168.7.1 by wlan0"
    assert asked(found, "x.corp.example") == "192.168.7.1 by wlan0"
    assert found.notes == ()


def test_owner_may_give_a_vpn_a_top_level_domain() -> None:
    found = made([LAN, link("tun0", "10.8.0.1", "acme", vpn=True)], route(["acme"], "network"))
    assert asked(found, "x.acme") == "10.8.0.1 by tun0"
    assert found.notes == ()


def test_strict_asks_no_link_for_anything_and_says_why_E3() -> None:
    found = made([link("wlan0", "192.168.7.1", "x.lan"), VPN], NETWORK, strict=True)
    assert (found.home, found.notes) == ((), ())
    (refusal,) = found.routes.values()
    assert isinstance(refusal, Refuse)
    assert (refusal.rcode, refusal.ede) == (RCode.REFUSED, EDE.PROHIBITED)
    assert "strict" in refusal.text


def test_notes_are_few_however_much_is_claimed() -> None:
    assert len(made([link("wlan0", "192.168.7.1", *(f"d{n}.example" for n in range(500)))]).notes) == 8


def test_who_is_asked_for_what_is_said_in_words() -> None:
    vpn = link("tun0", ["10.8.0.1", "10.8.0.2"], *(f"{letter}.test" for letter in "abcdef"), vpn=True)
    assert made([link("wlan0", "192.168.7.1", "x.lan"), vpn]).in_words() == (
        "wlan0 (192.168.7.1) is asked in plain for names of the local network, x.lan",
        "tun0 (10.8.0.1, 10.8.0.2) is asked in plain for a.test, b.test, c.test, d.test and 2 more",
    )
    assert made([], NETWORK).in_words() == ()


DOMAINS = st.sampled_from(
    [
        "com",
        "bank.example",
        "corp",
        "x.corp",
        "corp.example",
        "a.corp.example",
        "lan",
        "local",
        "x.local",
        "home.arpa",
        "10.in-addr.arpa",
        "7.10.in-addr.arpa",
        "onion",
        "localhost",
        "co.uk",
        "arpa",
    ]
)
LINKS = st.lists(
    st.builds(
        link,
        st.sampled_from(["wlan0", "eth0", "tun0"]),
        st.lists(st.sampled_from(["192.168.7.1", "9.9.9.9", "10.8.0.1", "fe80::1%eth0"]), max_size=2),
        vpn=st.booleans(),
        all_=st.booleans(),
    ).flatmap(
        lambda made: st.lists(DOMAINS, max_size=4).map(
            lambda names: Link(
                made.name, made.resolvers, tuple(map(from_text, names)), made.is_vpn, made.wants_all
            )
        )
    ),
    max_size=4,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=400)
@given(links=LINKS, mine=st.sampled_from(["", NETWORK, route(["corp"], "udp://10.0.0.53")]))
def test_whatever_links_claim_no_local_network_gets_a_public_name_C4(links: list[Link], mine: str) -> None:
    found = made(links, mine)
    vpns = {(each.name, host) for each in links if each.is_vpn for host, _ in each.resolvers}
    for domain, to in found.routes.items():
        is_private = any(above in NETWORK_ZONES or above == from_text("local") for above in suffixes(domain))
        is_wanted = mine == NETWORK and from_text("corp.example") in suffixes(domain)
        assert to
        if isinstance(to, Refuse):
            assert is_wanted
        elif not is_private and not is_wanted:
            assert {(end.link, end.host) for _, end in to} <= vpns
        if "10.0.0.53" in mine:
            assert from_text("corp") not in suffixes(domain)
    assert all(end.host != "9.9.9.9" for _, end in found.home)
