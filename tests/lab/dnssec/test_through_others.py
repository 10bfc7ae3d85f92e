"""What dnsdist, Knot Resolver and BIND pass on of DNSSEC: signatures, keys, proofs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import resolvers, servers
from tests.lab.conftest import StartDaemon
from tests.lab.dnssec.conftest import SCHEMES, Lab, answers_for_test
from tests.lab.dnssec.peers import ask
from tests.lab.dnssec.questions import ROWS
from tests.lab.dnssec.zones import Worth
from tests.lab.servers import Certificates, Upstream
from tests.lab.tested import report_on

pytestmark = [
    pytest.mark.real,
    pytest.mark.needs("dnssec-signzone"),
    pytest.mark.needs("kzonesign"),
    pytest.mark.needs("ldns-signzone"),
    pytest.mark.needs("knotd"),
    pytest.mark.needs("unbound"),
]


@pytest.fixture(params=["dnsdist", "kresd", "bind"])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def other(implementation: str, lab: Lab, certificates: Certificates, tmp_path: Path) -> Iterator[Upstream]:
    """Run dnsdist in front of Unbound, or another resolver in front of the authority.

    Knot Resolver validates: without a trust anchor it drops the proofs beside a wildcard's answers.
    """
    directory, ready = tmp_path / implementation, answers_for_test
    if implementation == "dnsdist":
        run = servers.dnsdist(directory, certificates, backend_port=lab.upstream.port, ready=ready)
    elif implementation == "kresd":
        trusted = f"trust_anchors.add('{lab.tree.anchor_ds}')\n"
        run = resolvers.knot_resolver(directory, certificates, lab.authority.port, extra=trusted, ready=ready)
    else:
        run = resolvers.bind(directory, certificates, lab.authority.port, ready=ready)
    with run as upstream:
        yield upstream


@pytest.mark.parametrize("implementation", ["dnsdist", "kresd"])
def test_secdns_comes_to_the_verdicts_of_the_table_4035_3_4035_5(
    other: Upstream, lab: Lab, secdns_daemon: StartDaemon
) -> None:
    """BIND 9.18 is not asked: at times it leaves out the proof beside a wildcard's answer it holds."""
    table = f'{other.config_table("tls")}[dnssec]\ntrust_anchors = ["{lab.tree.anchor_ds}"]\n'
    daemon = secdns_daemon(table)
    for row in ROWS:
        ours = ask(daemon.port, row.name, row.rrtype, do=True, ad=False, cd=False)
        want = "SERVFAIL" if row.worth is Worth.BOGUS else row.question.rcode
        assert (ours.rcode, ours.ad) == (want, row.worth is Worth.SECURE), (row.id, ours.errors)


@pytest.mark.needs("kdig", package="knot-dnsutils")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_dnssec_that_comes_through_is_found_intact(
    scheme: str, other: Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, results = report_on(other, scheme, tmp_path, capsys, "--name", "test")
    assert {results[name] for name in ("signatures", "root-keys", "negative-proof", "nxdomain")} == {"pass"}
