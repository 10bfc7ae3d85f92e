"""Suffix to upstream group: the longest wins."""

import pytest

from secdns.dns.message import Question
from secdns.dns.name import ROOT, from_text
from secdns.policy.decision import RouteTo
from secdns.policy.routes import DefaultRoute, Routes

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
