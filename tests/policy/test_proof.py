"""Names that prove that a look-up came to this process."""

import pytest

from secdns.dns.message import Question
from secdns.dns.name import from_text
from secdns.iana import RCode, RRType
from secdns.policy import Answer, Given, QueryPolicies

KEY = b"0123456789abcdef"


def decide(name: str, rrtype: int = RRType.A, given: Given | None = None) -> Answer:
    decision = QueryPolicies(given or Given(proof_key=KEY)).decide(Question(from_text(name), rrtype), 0.0)
    assert isinstance(decision, Answer)
    return decision


def address(name: str, given: Given | None = None) -> bytes:
    (record,) = decide(name, given=given).records
    return record.rdata


def test_label_has_an_address_that_only_this_key_gives_need9() -> None:
    got = address("a1b2.secdns.internal")
    assert (len(got), got[0]) == (4, 127)
    assert got == address("A1B2.SecDNS.internal")
    assert got != address("a1b3.secdns.internal")
    assert got != address("a1b2.secdns.internal", Given(proof_key=b"another"))


@pytest.mark.parametrize(
    ("name", "rrtype", "rcode"),
    [
        pytest.param("a1b2.secdns.internal", RRType.AAAA, RCode.NOERROR, id="AAAA"),
        pytest.param("a1b2.secdns.internal", RRType.HTTPS, RCode.NOERROR, id="HTTPS"),
        pytest.param("secdns.internal", RRType.A, RCode.NOERROR, id="apex"),
        pytest.param("x.a1b2.secdns.internal", RRType.A, RCode.NXDOMAIN, id="two labels"),
        pytest.param("secdns.internal.", RRType.DS, RCode.NOERROR, id="DS"),
        pytest.param("asecdns.internal", RRType.A, RCode.NXDOMAIN, id="another name in internal"),
    ],
)
def test_rest_of_the_zone_is_denied_here(name: str, rrtype: int, rcode: int) -> None:
    decision = decide(name, rrtype)
    assert (decision.rcode, decision.records) == (rcode, ())


def test_process_without_a_key_denies_and_does_not_forward() -> None:
    decision = decide("a1b2.secdns.internal", given=Given())
    assert (decision.rcode, decision.records) == (RCode.NXDOMAIN, ())


def test_route_for_internal_does_not_take_the_proof_away() -> None:
    given = Given(routes={from_text("internal"): 1}, proof_key=KEY)
    assert address("a1b2.secdns.internal", given)[0] == 127
