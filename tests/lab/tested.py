"""What `secdns upstreams test` says of real servers, and what kdig sees of the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from secdns.__main__ import main
from tests.lab.clients import run_client
from tests.lab.servers import UPSTREAM_NAME, Upstream

SCHEMES = ("tls", "https")


def report_on(
    upstream: Upstream, scheme: str, directory: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Give the object of the one way to an upstream, and the result of each check by its name."""
    config = directory / "secdns.toml"
    config.write_text(upstream.config_table(scheme))
    code = main(["upstreams", "test", "--json", "--config", str(config), *options])
    (found,) = json.loads(capsys.readouterr().out)
    assert code == (0 if found["good"] else 4)
    return found, {check["name"]: check["result"] for check in found["checks"]}


def is_padded(upstream: Upstream, scheme: str, name: str) -> bool:
    """Tell whether kdig, who pads its query, gets a padded response."""
    port = upstream.dot_port if scheme == "tls" else upstream.doh_port
    way = "+tls" if scheme == "tls" else f"+https={UPSTREAM_NAME}/dns-query"
    trust = (f"+tls-ca={upstream.ca_file}", f"+tls-hostname={UPSTREAM_NAME}")
    reply = run_client("kdig", port, name, "SOA", way, *trust, "+edns", "+padding=128")
    assert reply.rcode == "NOERROR", reply.text
    return "PADDING" in reply.text.partition("PSEUDOSECTION")[2]
