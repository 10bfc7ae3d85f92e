"""The demo's zones, signed: something secure, something insecure and something to refuse."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from secdns.iana import RCode, RRType
from secdns.testing import DEMO_ZONES, Zones, signed_demo_zones
from tests.testing.signed_lab import ask
from tests.testing.validators import BOGUS, INSECURE, SECURE, Delv, Unbound, delv, serving, unbound

ROWS = [
    pytest.param("www.example.test", RRType.A, SECURE, RCode.NOERROR, id="address"),
    pytest.param("chain.example.test", RRType.AAAA, SECURE, RCode.NOERROR, id="alias chain"),
    pytest.param("a.b.any.example.test", RRType.A, SECURE, RCode.NOERROR, id="wildcard"),
    pytest.param("below.empty.example.test", RRType.A, SECURE, RCode.NOERROR, id="empty non-terminal"),
    pytest.param("large.example.test", RRType.TXT, SECURE, RCode.NOERROR, id="large"),
    pytest.param("dangling.example.test", RRType.A, SECURE, RCode.NXDOMAIN, id="alias to nothing"),
    pytest.param("nowhere.else.example", RRType.A, SECURE, RCode.NXDOMAIN, id="denied by the root"),
    pytest.param("80.2.0.192.in-addr.arpa", RRType.PTR, SECURE, RCode.NOERROR, id="reverse"),
    pytest.param("www.backup.test", RRType.A, INSECURE, RCode.NOERROR, id="unsigned zone"),
    pytest.param("away.example.test", RRType.A, INSECURE, RCode.NOERROR, id="alias into an unsigned zone"),
    pytest.param("broken.example.test", RRType.A, BOGUS, RCode.SERVFAIL, id="expired"),
    pytest.param("broken.example.test", RRType.TXT, SECURE, RCode.NOERROR, id="beside the expired one"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Delv, Unbound]]:
    lab = signed_demo_zones()
    directory: Path = tmp_path_factory.mktemp("programs")
    with serving(lab) as up, delv(up, lab, directory) as bind, unbound(up, lab, directory) as other:
        yield bind, other


@pytest.mark.real
@pytest.mark.needs("delv", package="bind9-dnsutils")
@pytest.mark.needs("unbound", package="unbound")
@pytest.mark.parametrize(("qname", "rrtype", "status", "rcode"), ROWS)
def test_real_validators_judge_the_demo(
    programs: tuple[Delv, Unbound], qname: str, rrtype: int, status: str, rcode: int
) -> None:
    for program in programs:
        got = program.ask(qname, rrtype)
        assert (got.status, got.rcode) == (status, rcode), got.why


def test_the_signed_demo_answers_like_the_unsigned_without_do() -> None:
    signed, unsigned = signed_demo_zones(), Zones(DEMO_ZONES)
    for qname in ("www", "chain", "away", "x.any", "nothing", "broken", "below.empty"):
        for rrtype in (RRType.A, RRType.MX):
            want = ask(unsigned, f"{qname}.example.test", rrtype, do=False)
            assert ask(signed, f"{qname}.example.test", rrtype, do=False) == want
