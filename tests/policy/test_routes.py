"""Suffix to upstream group: the longest wins."""

import pytest

from secdns.dns.message import Question
from secdns.dns.name import ROOT, from_text
from secdns.iana import EDE, RCode, RRType
from secdns.policy.decision import Refuse, RouteTo
from secdns.policy.routes import DefaultRoute, Destinations, Routes

ROUTES = {
    from_text("example"): 1,
    from_text("Corp.Example"): 2,
    from_text("lab.corp.example"): 3,
    from_text("10.in-addr.arpa"): 4,
}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        pytest.param("example", 1, id="the suffix itself"),
        pytest.param("other.example", 1, id="one below"),
        pytest.param("corp.example", 2, id="a longer suffix"),
        pytest.param("CORP.EXAMPLE", 2, id="in capitals"),
        pytest.param("a.b.c.corp.example", 2, id="far below"),
        pytest.param("x.lab.corp.example", 3, id="the longest suffix"),
        pytest.param("1.2.3.10.in-addr.arpa", 4, id="a reverse zone"),
    ],
)
def test_longest_suffix_wins(name: str, group: int) -> None:
    assert Routes(ROUTES).decide(Question(from_text(name), 1), 0.0) == RouteTo(group)


@pytest.mark.parametrize("name", [".", "com", "www.example.com", "notexample", "20.in-addr.arpa"])
def test_name_outside_every_route_has_none(name: str) -> None:
    assert Routes(ROUTES).decide(Question(from_text(name), 1), 0.0) is None


def test_suffix_must_begin_at_a_label() -> None:
    inside = b"\x0cevil\x07example\x00"  # one label of 12 octets that ends like the suffix
    assert Routes(ROUTES).decide(Question(inside + b"", 1), 0.0) is None


def test_root_is_routed_by_the_default_route_only() -> None:
    question = Question(from_text("www.example.com"), 1)
    assert Routes({ROOT: 7}).decide(question, 0.0) is None
    assert DefaultRoute({ROOT: 7}).decide(question, 0.0) == RouteTo(7)
    assert DefaultRoute(ROUTES).decide(question, 0.0) is None


def test_refusal_stands_where_a_group_could() -> None:
    refusal = Refuse(RCode.REFUSED, EDE.NETWORK_ERROR, "nobody is there")
    routes: Destinations = {from_text("corp.example"): refusal, from_text("lab.corp.example"): 3}
    assert Routes(routes).decide(Question(from_text("www.corp.example"), 1), 0.0) == refusal
    assert Routes(routes).decide(Question(from_text("www.lab.corp.example"), 1), 0.0) == RouteTo(3)


@pytest.mark.parametrize(
    ("name", "rrtype", "want"),
    [
        pytest.param("home.arpa", RRType.DS, None, id="DS of the apex"),
        pytest.param("HOME.arpa", RRType.DS, None, id="in capitals"),
        pytest.param("home.arpa", RRType.SOA, RouteTo(5), id="another type of it"),
        pytest.param("x.home.arpa", RRType.DS, RouteTo(5), id="DS below it"),
        pytest.param("lan", RRType.DS, RouteTo(5), id="DS of a zone that the public tree denies"),
    ],
)
def test_ds_of_an_unsigned_zone_is_the_parents_4035_3_1_4_1(
    name: str, rrtype: int, want: RouteTo | None
) -> None:
    zone = from_text("home.arpa")
    routes = Routes({zone: 5, from_text("lan"): 5}, {zone})
    assert routes.decide(Question(from_text(name), rrtype), 0.0) == want
