"""The annotated file that `secdns config init` writes."""

import re
import tomllib
from importlib import resources
from itertools import pairwise
from pathlib import Path

from secdns import config

TEXT = (resources.files("secdns.cli") / "secdns.toml").read_text("utf-8")
COMMENTED_OUT = re.compile(r"^#(?=\[|[a-z]|\")", re.MULTILINE)  # prose has a space after the #
UNCOMMENTED = COMMENTED_OUT.sub("", TEXT)


def test_template_as_it_is_changes_nothing() -> None:
    assert config.parse(TEXT, "secdns.toml") == config.default()


def test_template_can_be_used_with_every_key_uncommented(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
    ca_file.chmod(0o644)
    got = config.parse(UNCOMMENTED.replace("/etc/ssl/my-ca.pem", str(ca_file)), "secdns.toml")
    assert [upstream.name for upstream in got.upstreams] == ["quad9", "mine"]


def test_template_mentions_every_key_and_no_other() -> None:
    document = tomllib.loads(UNCOMMENTED)
    got: dict[str, set[str]] = {}
    for name, table in document.items():
        header = f"[[{name}]]" if isinstance(table, list) else f"[{name}]"
        tables = table if isinstance(table, list) else [table]
        got[header] = set() if name == "overrides" else {key for one in tables for key in one}
    assert got == {header: set(keys) for header, keys in config.KEYS.items()}


def test_template_shows_the_defaults() -> None:
    default = config.default()
    document = tomllib.loads(UNCOMMENTED)
    assert document["server"]["listen"] == [str(address) for address in default.server.listen]
    assert document["upstreams"]["strategy"] == default.strategy
    assert document["dnssec"]["mode"] == default.dnssec.mode
    assert document["cache"]["size_mb"] == default.cache.size_octets >> 20
    assert document["cache"]["serve_stale"] is default.cache.serve_stale
    assert document["network"]["strict"] is default.strict
    assert document["log"]["names"] is default.log_names
    assert " and ".join(upstream.name for upstream in default.upstreams) + " are used" in TEXT


def test_template_explains_every_key() -> None:
    lines = TEXT.splitlines()
    unexplained = []
    for before, line in pairwise(lines):
        is_key = COMMENTED_OUT.match(line) and not line.startswith("#[")
        if is_key and not before.startswith("# ") and not line.startswith('#"'):
            unexplained.append(line)
    assert unexplained == []
