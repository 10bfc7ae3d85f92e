"""What is read of links, and what of it is left out: it comes from whoever runs the network."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secdns.dns.name import MAX_NAME, from_text
from secdns.network import links
from secdns.network.links import DOMAINS, LINKS, RESOLVERS, Link, from_network_manager, from_resolv_conf
from secdns.network.links import from_resolved as read_resolved

NAMES = {2: "wlan0", 3: "tun0", 4: "x" * 16, 5: "a/b", 6: "..", 7: "lo"}


def is_vpn(name: str) -> bool:
    return name.startswith("tun")


def from_resolved(dns: Any = None, domains: Any = None, dns_ex: Any = None) -> tuple[Link, ...]:
    properties = {"DNS": dns, "Domains": domains, "DNSEx": dns_ex}
    return read_resolved(properties, lambda index: NAMES.get(index, ""), is_vpn)


def server(text: str, *, domains: tuple[str, ...] = ()) -> Link:
    """Give a link without a name."""
    return Link("", ((text, 53),), tuple(from_text(domain) for domain in domains))


ADDRESSES = [
    pytest.param("192.168.7.1", "192.168.7.1", id="IPv4"),
    pytest.param("2001:DB8::1", "2001:db8::1", id="IPv6"),
    pytest.param("::ffff:192.168.7.1", "192.168.7.1", id="IPv4 in IPv6"),
    pytest.param("fe80::1%wlan0", "fe80::1%wlan0", id="of the link alone"),
    pytest.param("fe80::1", "", id="of no link"),
    pytest.param("fe80::1%../x", "", id="of a path"),
    pytest.param("127.0.0.53", "", id="loopback"),
    pytest.param("::1", "", id="loopback in IPv6"),
    pytest.param("::ffff:127.0.0.1", "", id="loopback in disguise"),
    pytest.param("0.0.0.0", "", id="unspecified"),
    pytest.param("::", "", id="unspecified in IPv6"),
    pytest.param("224.0.0.251", "", id="multicast"),
    pytest.param("ff02::fb", "", id="multicast in IPv6"),
    pytest.param("255.255.255.255", "", id="broadcast"),
    pytest.param("192.168.007.1", "", id="leading zeros"),
    pytest.param("192.168.7", "", id="too short"),
    pytest.param("dns.example", "", id="name"),
    pytest.param("dns+tls://192.0.2.1#dns.example", "", id="URL"),
    pytest.param("", "", id="nothing"),
]


@pytest.mark.parametrize(("text", "want"), ADDRESSES)
def test_address_of_a_resolver_is_one_that_somebody_else_can_be_reached_at(text: str, want: str) -> None:
    got = from_network_manager([{"interface": "eth0", "nameservers": [text]}], is_vpn)
    assert links.from_lists([text], []) == ((server(want),) if want else ())
    if "%" not in text and not text.startswith("fe80"):
        assert got == ((Link("eth0", ((want, 53),)),) if want else ())


DOMAIN_NAMES = [
    pytest.param("Corp.Example.", "corp.example", id="name"),
    pytest.param("~corp.example", "corp.example", id="for routing alone"),
    pytest.param("10.in-addr.arpa", "10.in-addr.arpa", id="reverse zone"),
    pytest.param("_tcp.corp.example", "_tcp.corp.example", id="underscore"),
    pytest.param("", None, id="nothing"),
    pytest.param("~", None, id="tilde"),
    pytest.param("~~corp.example", None, id="two tildes"),
    pytest.param("a..b", None, id="empty label"),
    pytest.param(".corp.example", None, id="dot in front"),
    pytest.param("corp.example..", None, id="two dots"),
    pytest.param("a b.example", None, id="space"),
    pytest.param("a\nb.example", None, id="line feed"),
    pytest.param("corp.example\n", None, id="line feed at the end"),
    pytest.param("\x1b[31mcorp.example", None, id="escape"),
    pytest.param("*.corp.example", None, id="wildcard"),
    pytest.param("\\046.example", None, id="escaped dot"),
    pytest.param("bücher.example", None, id="not ASCII"),
    pytest.param("٣.example", None, id="digit of another script"),
    pytest.param("a" * 64 + ".example", None, id="long label"),
    pytest.param(".".join(["a" * 50] * 6), None, id="long name"),
]


@pytest.mark.parametrize(("text", "want"), DOMAIN_NAMES)
def test_domain_is_a_host_name_or_nothing(text: str, want: str | None) -> None:
    domains = () if want is None else (from_text(want),)
    got = from_network_manager(
        [{"interface": "eth0", "nameservers": ["10.0.0.1"], "domains": [text]}], is_vpn
    )
    assert got == (Link("eth0", (("10.0.0.1", 53),), domains),)
    got = from_resolved([[2, 2, b"\x0a\0\0\1"]], [[2, text, True]])
    assert got == (Link("wlan0", (("10.0.0.1", 53),), domains),)


@pytest.mark.parametrize(
    ("dns", "want"),
    [
        pytest.param([[2, 2, b"\xc0\xa8\x07\x01"]], [("wlan0", "192.168.7.1")], id="IPv4"),
        pytest.param([[2, 10, b"\xfe\x80" + bytes(13) + b"\1"]], [("wlan0", "fe80::1%wlan0")], id="IPv6"),
        pytest.param([[0, 2, b"\xc0\xa8\x07\x01"]], [], id="global"),
        pytest.param([[-1, 2, b"\xc0\xa8\x07\x01"]], [], id="negative"),
        pytest.param([["2", 2, b"\xc0\xa8\x07\x01"]], [], id="index that is none"),
        pytest.param([[9, 2, b"\xc0\xa8\x07\x01"]], [], id="link that is gone"),
        pytest.param([[7, 2, b"\xc0\xa8\x07\x01"]], [], id="loopback"),
        pytest.param(
            [[4, 2, b"\xc0\xa8\x07\x01"], [5, 2, b"\1\2\3\4"], [6, 2, b"\1\2\3\4"]], [], id="odd names"
        ),
        pytest.param([[2, 2, bytes(16)], [2, 10, b"\xc0\xa8\x07\x01"]], [], id="family and octets differ"),
        pytest.param([[2, 3, b"\xc0\xa8\x07\x01"], [2, None, b""]], [], id="other family"),
        pytest.param([[2, 2, "192.168.7.1"]], [], id="text"),
        pytest.param([[2, 2]], [], id="short"),
        pytest.param("DNS", [], id="no list"),
        pytest.param({2: 2}, [], id="a dictionary"),
    ],
)
def test_resolver_of_resolved_is_read_strictly(dns: Any, want: list[tuple[str, str]]) -> None:
    assert [(link.name, link.resolvers) for link in from_resolved(dns)] == [
        (name, ((address, 53),)) for name, address in want
    ]


@pytest.mark.parametrize(("port", "want"), [(0, 53), (53, 53), (5353, 5353), (65536, None), ("53", None)])
def test_port_of_resolved_is_read_strictly(port: Any, want: int | None) -> None:
    found = from_resolved(None, None, [[2, 2, b"\xc0\xa8\x07\x01", port, "dns.example"]])
    assert [link.resolvers for link in found] == ([(("192.168.7.1", want),)] if want else [])


def test_domains_and_servers_of_several_links_stay_apart() -> None:
    got = from_resolved(
        [[2, 2, b"\xc0\xa8\x07\x01"], [3, 2, b"\x0a\x08\0\1"], [2, 2, b"\xc0\xa8\x07\x02"]],
        [[3, "corp.example", True], [2, "lan", False], [3, ".", True], [0, ".", True]],
    )
    assert got == (
        Link("wlan0", (("192.168.7.1", 53), ("192.168.7.2", 53)), (from_text("lan"),)),
        Link("tun0", (("10.8.0.1", 53),), (from_text("corp.example"),), is_vpn=True, wants_all=True),
    )


def test_vpn_is_what_networkmanager_or_the_kernel_calls_one() -> None:
    entries = [
        {"interface": "tun0", "nameservers": ["10.8.0.1"]},
        {"interface": "ppp0", "nameservers": ["10.9.0.1"], "vpn": True},
        {"interface": "ppp1", "nameservers": ["10.9.0.1"], "vpn": "true"},
        {"nameservers": ["10.9.0.1"], "vpn": True},
    ]
    got = {link.name: link.is_vpn for link in from_network_manager(entries, is_vpn)}
    assert got == {"tun0": True, "ppp0": True, "ppp1": False}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("", (), id="empty"),
        pytest.param("search lan\n", (Link("", (), (from_text("lan"),)),), id="no server"),
        pytest.param("nameserver 10.0.0.1", (server("10.0.0.1"),), id="no line feed"),
        pytest.param("  nameserver\t10.0.0.1  x\r\n", (server("10.0.0.1"),), id="blanks"),
        pytest.param("#nameserver 10.0.0.1\n; nameserver 10.0.0.2\n", (), id="comments"),
        pytest.param("nameserver\nsearch\ndomain\n\n", (), id="no values"),
        pytest.param(
            "search a b\nnameserver 10.0.0.1\ndomain lan\n",
            (server("10.0.0.1", domains=("lan",)),),
            id="last",
        ),
        pytest.param("nameserver 127.0.0.1\noptions edns0\n", (), id="ours"),
    ],
)
def test_resolv_conf_is_read_as_the_manual_says(text: str, want: tuple[Link, ...]) -> None:
    assert from_resolv_conf(text) == want


def test_counts_are_bounded() -> None:
    entries = [
        {
            "interface": f"eth{number}",
            "nameservers": [f"10.0.{number % 250}.{each % 250}" for each in range(300)],
            "domains": [f"d{each}.example" for each in range(2000)],
        }
        for number in range(100)
    ]
    found = from_network_manager(entries, is_vpn)
    assert len(found) == LINKS.default
    assert {len(link.resolvers) for link in found} == {RESOLVERS.default}
    assert {len(link.domains) for link in found} == {DOMAINS.default}
    found = from_resolv_conf("nameserver 10.0.0.1\n" * 100_000 + "nameserver 10.0.0.2\n")
    assert found == (server("10.0.0.1"),)
    (link,) = from_resolv_conf("nameserver 10.0.0.1\nsearch " + " ".join(f"d{n}" for n in range(9000)))
    assert len(link.domains) <= DOMAINS.default


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=20),
        st.binary(max_size=17),
        st.sampled_from(["192.168.7.1", "fe80::1", "wlan0", "~.", "lan", "interface", "nameservers"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=30,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(dns=ANYTHING, domains=ANYTHING, text=st.text())
def test_no_value_breaks_reading_and_all_that_is_read_is_sound(dns: Any, domains: Any, text: str) -> None:
    found = [
        *from_resolved(dns, domains, dns),
        *from_network_manager(domains, is_vpn),
        *from_network_manager([{"interface": "eth0", "nameservers": dns, "domains": domains}], is_vpn),
        *from_resolv_conf(text),
        *from_resolv_conf(f"nameserver {text}\nsearch {text}"),
    ]
    for link in found:
        assert "/" not in link.name
        for domain in link.domains:
            assert domain == domain.lower()
            assert 1 < len(domain) <= MAX_NAME
        for host, port in link.resolvers:
            assert not host.startswith("127.")
            assert 0 < port < 65536


def test_own_address_is_left_out() -> None:
    link = Link("wlan0", (("10.0.0.1", 53), ("10.0.0.2", 53)))
    got = links.without([link], lambda host: host == "10.0.0.1")
    assert got == (Link("wlan0", (("10.0.0.2", 53),)),)


def test_links_that_lead_to_the_upstreams_come_first() -> None:
    made = [Link(name) for name in ("docker0", "eth0", "wlan0", "tun0")]
    assert [link.name for link in links.best_first(made, ["wlan0", "eth0"])] == [
        "wlan0",
        "eth0",
        "docker0",
        "tun0",
    ]
