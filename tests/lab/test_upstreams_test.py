"""`secdns upstreams test` says of real resolvers over zones without signatures what is true of them."""

import json
from pathlib import Path

import pytest

from secdns.__main__ import main
from tests.lab.conftest import TLS_UPSTREAMS
from tests.lab.quic_servers import Caddy
from tests.lab.servers import UPSTREAM_NAME, Upstream
from tests.lab.tested import is_padded, report_on
from tests.lab.zones import BIG_STRING, BIG_STRINGS

pytestmark = [pytest.mark.real, pytest.mark.needs("kdig", package="knot-dnsutils")]

OPTIONS = ("--name", "example.test", "--large", "big.example.test")

PADDED = ("tls-unbound", "tls-kresd", "https-kresd")
"""Who pads the response to a padded query without being configured to; Unbound 1.17 does not over HTTP/2."""

TOLD_S = {"tls-kresd": 10.0, "tls-bind": 30.0}
"""Who tells unasked how long it bears a quiet connection (RFC 7828), and its default."""


@pytest.mark.parametrize("which", TLS_UPSTREAMS)
def test_what_it_says_of_a_real_resolver_is_true(
    which: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scheme, _, implementation = which.partition("-")
    upstream: Upstream = request.getfixturevalue(f"lab_{implementation}")
    found, results = report_on(upstream, scheme, tmp_path, capsys, *OPTIONS)
    assert results == {
        "reachable": "pass",
        "encrypted": "pass",
        "certificate": "pass",
        "pin": "skipped",
        "padding": "pass" if is_padded(upstream, scheme, "example.test") else "fail",
        "signatures": "fail",  # the zones have none
        "root-keys": "fail",
        "negative-proof": "fail",
        "large-answer": "pass",
        "nxdomain": "pass",
        "idle": "pass" if which in TOLD_S else "skipped",
    }
    assert (results["padding"] == "pass") is (which in PADDED)
    assert found["idle_limit_s"] == TOLD_S.get(which)
    assert found["works"]
    assert found["certificate"]["subject"] == UPSTREAM_NAME
    large = next(check["text"] for check in found["checks"] if check["name"] == "large-answer")
    assert int(large.split()[0]) > BIG_STRINGS * len(BIG_STRING)


def test_connection_that_dnsdist_closes_after_two_seconds_is_seen_to_end(
    lab_dnsdist: Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, results = report_on(lab_dnsdist, "tls", tmp_path, capsys, "--idle", *OPTIONS)
    assert results["idle"] == "pass"
    text = next(check["text"] for check in found["checks"] if check["name"] == "idle")
    assert text.startswith("it closes a connection that idles for ")


def test_http3_that_caddy_offers_is_tested_beside_http2(
    lab_caddy: Caddy, lab_unbound: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"https://{UPSTREAM_NAME}:{lab_caddy.port}/dns-query"
    trust = ["--ca-file", str(lab_unbound.ca_file), "--address", "127.0.0.1"]
    main(["upstreams", "test", "--json", url, *trust, *OPTIONS])
    doh, doh3 = json.loads(capsys.readouterr().out)
    assert (doh["transport"], doh["alpn"], doh3["transport"], doh3["alpn"]) == ("doh", "h2", "doh3", "h3")
    for found in (doh, doh3):
        assert found["works"]
        results = {check["name"]: check["result"] for check in found["checks"]}
        assert (results["large-answer"], results["nxdomain"]) == ("pass", "pass")
    assert doh["certificate"] == doh3["certificate"]
    assert doh3["idle_limit_s"]


def test_resolver_that_nobody_vouches_for_is_told_apart_in_words(
    lab_unbound: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"tls://other.lab.test:{lab_unbound.dot_port}"
    trust = ["--ca-file", str(lab_unbound.ca_file), "--address", "127.0.0.1"]
    assert main(["upstreams", "test", url, *trust]) == 4
    out = capsys.readouterr().out
    assert f"{url} over IPv4: cannot trust {url} at 127.0.0.1: its certificate is for another name" in out
    assert "what to do: check the host in its URL" in out
