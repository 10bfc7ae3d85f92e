"""Which policy decides first, and that an ordinary name is left alone."""

from collections.abc import Mapping

import pytest

from secdns.dns.message import Question
from secdns.dns.name import from_text
from secdns.iana import RCode, RRType
from secdns.policy import Answer, Given, QueryPolicies, Refuse, RouteTo, from_pairs, parse_hosts

CORP = 1
TOR = 2
LAN = 3
EVERYTHING = 4


def policies(
    overrides: Mapping[str, str] | None = None, hosts: str = "", routes: Mapping[str, int] | None = None
) -> QueryPolicies:
    pairs = [(from_text(name), address) for name, address in (overrides or {}).items()]
    routed = {from_text(name): group for name, group in (routes or {}).items()}
    return QueryPolicies(Given(from_pairs(pairs), parse_hosts(hosts), routed))


def addresses(decision: object) -> list[bytes]:
    assert isinstance(decision, Answer)
    return [record.rdata for record in decision.records]


def ask(name: str, rrtype: int = RRType.A) -> Question:
    return Question(from_text(name), rrtype)


@pytest.mark.parametrize(
    "name",
    [
        "www.example.com",
        "example.com",
        "com.example",
        "localhost.example",
        "onion.example.net",
        "notlocal.example",
        "arpa.example",
        "8.8.8.8.in-addr.arpa",
        "11.in-addr.arpa",
        "15.172.in-addr.arpa",
        "32.172.in-addr.arpa",
        "63.100.in-addr.arpa",
        "128.100.in-addr.arpa",
        "1.0.0.2.ip6.arpa",
        "e164.arpa",
        "myfritz.box",
        "xfritz.box",
        "www.application-dns.net",
        "www.test",
        "example",
        ".",
    ],
)
def test_public_name_is_forwarded(name: str) -> None:
    rrtype = RRType.NS if name in {".", "example"} else RRType.A
    assert policies(hosts="127.0.0.1 localhost").decide(ask(name, rrtype), 0.0) is None


def test_label_that_only_ends_like_a_suffix_is_not_taken_for_it() -> None:
    assert policies(routes={"corp.example": CORP}).decide(ask("evilcorp.example"), 0.0) is None


@pytest.mark.parametrize(
    ("name", "group"),
    [
        pytest.param("corp.local", CORP, id="corp.local against multicast DNS"),
        pytest.param("www.corp.local", CORP, id="below corp.local"),
        pytest.param("5.0.0.10.in-addr.arpa", CORP, id="a private reverse zone"),
        pytest.param("printer.home.arpa", LAN, id="home.arpa"),
        pytest.param("example.onion", TOR, id="onion by Tor's own resolver"),
        pytest.param("nas", LAN, id="a routed single label"),
        pytest.param("ipv4only.arpa", LAN, id="the network's NAT64 prefix"),
        pytest.param("use-application-dns.net", LAN, id="the canary"),
    ],
)
def test_route_beats_special_use_c4(name: str, group: int) -> None:
    routes = {
        "corp.local": CORP,
        "10.in-addr.arpa": CORP,
        "home.arpa": LAN,
        "onion": TOR,
        "nas": LAN,
        "ipv4only.arpa": LAN,
        "use-application-dns.net": LAN,
    }
    assert policies(routes=routes).decide(ask(name), 0.0) == RouteTo(group)


@pytest.mark.parametrize("suffix", ["arpa", "resolver.arpa", "_dns.resolver.arpa", "."])
@pytest.mark.parametrize("name", ["_dns.resolver.arpa", "_DNS.Resolver.ARPA", "resolver.arpa"])
def test_no_route_takes_resolver_arpa_elsewhere_9462_2(name: str, suffix: str) -> None:
    decision = policies(routes={suffix: CORP}).decide(ask(name, RRType.SVCB), 0.0)
    assert isinstance(decision, Answer)
    assert (decision.rcode, decision.records) == (RCode.NOERROR, ())


def test_special_name_beside_a_route_stays_here() -> None:
    decision = policies(routes={"corp.local": CORP}).decide(ask("printer.local"), 0.0)
    assert isinstance(decision, Answer)
    assert decision.rcode == RCode.NXDOMAIN


@pytest.mark.parametrize("suffix", ["x", "io", "lan", "a.x", "b.io"])
def test_route_for_a_short_suffix_takes_what_is_below_it(suffix: str) -> None:
    routed = policies(routes={suffix: CORP})
    for name in (suffix, f"www.{suffix}", f"a.long.name.{suffix}"):
        assert routed.decide(ask(name), 0.0) == RouteTo(CORP)
    assert routed.decide(ask(f"www.a{suffix}"), 0.0) is None


def test_route_for_the_root_takes_public_names_and_no_special_ones() -> None:
    routed = policies(routes={".": EVERYTHING, "corp.example": CORP})
    assert routed.decide(ask("www.example.com"), 0.0) == RouteTo(EVERYTHING)
    assert routed.decide(ask("com", RRType.NS), 0.0) == RouteTo(EVERYTHING)
    assert routed.decide(ask(".", RRType.NS), 0.0) == RouteTo(EVERYTHING)
    assert routed.decide(ask("www.corp.example"), 0.0) == RouteTo(CORP)
    for private in ("example.onion", "nas", "nas.lan", "localhost"):
        assert isinstance(routed.decide(ask(private), 0.0), Answer)


@pytest.mark.parametrize("name", ["localhost", "x.localhost", "LOCALHOST"])
def test_localhost_never_leaves_whatever_hosts_and_routes_say_6761_1(name: str) -> None:
    routed = policies(hosts="203.0.113.1 localhost x.localhost", routes={"localhost": CORP, ".": EVERYTHING})
    assert addresses(routed.decide(ask(name), 0.0)) == [bytes([127, 0, 0, 1])]


@pytest.mark.parametrize(
    "name", ["localhost", "www.corp.example", "nas", "nas.lan", "use-application-dns.net", "host.example"]
)
def test_override_beats_everything(name: str) -> None:
    fixed = policies(
        overrides={name: "192.0.2.99"},
        hosts="203.0.113.1 localhost nas nas.lan host.example",
        routes={"corp.example": CORP, "lan": LAN, "nas": LAN},
    )
    assert addresses(fixed.decide(ask(name), 0.0)) == [bytes([192, 0, 2, 99])]


def test_hosts_file_beats_routes_and_special_use() -> None:
    fixed = policies(hosts="192.168.1.9 printer.lan www.corp.example", routes={"corp.example": CORP})
    assert addresses(fixed.decide(ask("printer.lan"), 0.0)) == [bytes([192, 168, 1, 9])]
    assert addresses(fixed.decide(ask("www.corp.example"), 0.0)) == [bytes([192, 168, 1, 9])]
    assert fixed.decide(ask("mail.corp.example"), 0.0) == RouteTo(CORP)


@pytest.mark.parametrize("name", ["www.example.com", "localhost", "com", "nas.lan", "fixed.example"])
def test_nxname_is_refused_for_every_name_9824_2(name: str) -> None:
    decision = policies(overrides={"fixed.example": "192.0.2.1"}).decide(ask(name, RRType.NXNAME), 0.0)
    assert isinstance(decision, Refuse)
    assert (decision.rcode, decision.ede) == (RCode.FORMERR, 30)


def test_letter_case_does_not_matter_and_is_kept_in_the_answer_4343_1() -> None:
    decision = policies(overrides={"Printer.Example": "192.0.2.1"}).decide(ask("pRiNtEr.example"), 0.0)
    assert isinstance(decision, Answer)
    assert decision.records[0].name == from_text("pRiNtEr.example")


def test_name_above_a_fixed_one_exists_and_is_not_denied_8020_1() -> None:
    fixed = policies(overrides={"a.b.lan": "192.168.1.2"}, hosts="10.0.0.7 c.home")
    for name in ("lan", "b.lan", "home", "0.0.10.in-addr.arpa", "10.in-addr.arpa"):
        decision = fixed.decide(ask(name), 0.0)
        assert isinstance(decision, Answer)
        assert decision.rcode == RCode.NOERROR, name
    denied = fixed.decide(ask("z.lan"), 0.0)
    assert isinstance(denied, Answer)
    assert denied.rcode == RCode.NXDOMAIN
