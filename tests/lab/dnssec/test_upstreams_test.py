"""`secdns upstreams test` finds signatures, keys and proofs intact where a real resolver passes them on."""

from pathlib import Path

import pytest

from tests.lab.dnssec.conftest import SCHEMES, Lab
from tests.lab.tested import is_padded, report_on

pytestmark = [
    pytest.mark.real,
    pytest.mark.needs("kdig", package="knot-dnsutils"),
    pytest.mark.needs("dnssec-signzone"),
    pytest.mark.needs("kzonesign"),
    pytest.mark.needs("ldns-signzone"),
    pytest.mark.needs("knotd"),
    pytest.mark.needs("unbound"),
]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_dnssec_that_comes_through_unbound_is_found_intact(
    scheme: str, lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, results = report_on(lab.upstream, scheme, tmp_path, capsys, "--name", "test")
    padded = is_padded(lab.upstream, scheme, "test")
    assert results["padding"] == ("pass" if padded else "fail")
    assert {results[name] for name in ("signatures", "root-keys", "negative-proof", "nxdomain")} == {"pass"}
    assert found["good"] is padded
