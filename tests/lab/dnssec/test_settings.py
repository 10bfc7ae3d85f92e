"""What the keys of ``[dnssec]`` change about zones that other people's signers made."""

from collections.abc import Iterator
from pathlib import Path

import dns.zone
import pytest

from tests.lab.daemon import Daemon, complete
from tests.lab.dnssec.conftest import Lab
from tests.lab.dnssec.peers import ask
from tests.lab.dnssec.tree import entry_points

pytestmark = [
    pytest.mark.real,
    pytest.mark.needs("dnssec-signzone"),
    pytest.mark.needs("kzonesign"),
    pytest.mark.needs("ldns-signzone"),
    pytest.mark.needs("knotd"),
    pytest.mark.needs("unbound"),
]


@pytest.fixture(scope="module")
def port(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A daemon that accepts SHA-1, trusts the island's own key and waives an expired zone."""
    island = dns.zone.from_file(str(lab.tree.files["island.test"]), origin="island.test", relativize=False)
    (key,) = entry_points(island)
    settings = f"""\
[dnssec]
sha1 = true
trust_anchors = ["{lab.tree.anchor_ds}", "island.test. IN DNSKEY {key.to_text()}"]
negative_trust_anchors = ["expired-bind.test"]
"""
    config: Path = tmp_path_factory.mktemp("settings") / "secdns.toml"
    config.write_text(complete(lab.upstream.config_table("tls") + settings))
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        yield daemon.port
        daemon.stop()
    finally:
        daemon.kill()


@pytest.mark.parametrize(
    ("name", "rcode", "ad"),
    [
        pytest.param("www.sha1.test", "NOERROR", True, id="SHA-1 signatures, accepted"),
        pytest.param("gone.sha1.test", "NXDOMAIN", True, id="a denial with SHA-1 signatures"),
        pytest.param("www.sha1-ds.test", "NOERROR", True, id="DS with SHA-1 alone, accepted"),
        pytest.param("www.island.test", "NOERROR", True, id="island with an anchor of its own"),
        pytest.param("gone.island.test", "NXDOMAIN", True, id="a denial on the island"),
        pytest.param("www.p256-ldns.test", "NOERROR", True, id="below the root's anchor"),
        pytest.param("www.expired-bind.test", "NOERROR", False, id="expired and waived"),
        pytest.param("gone.expired-bind.test", "NXDOMAIN", False, id="a waived denial"),
        pytest.param("broken.p256-knot.test", "NOERROR", False, id="chain into the waived zone"),
        pytest.param("www.future-knot.test", "SERVFAIL", False, id="broken and not waived"),
        pytest.param("www.algorithm.test", "NOERROR", False, id="still no such algorithm"),
    ],
)
def test_setting_changes_the_verdict_7646_1(name: str, rcode: str, ad: bool, port: int) -> None:
    got = ask(port, name, "A", do=True, ad=False, cd=False)
    assert (got.rcode, got.ad) == (rcode, ad), got.errors
