"""Every row of the names that systems check their network with."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from secdns import connectivity_checks
from secdns.connectivity_checks import CHECKS, DATA_FILE
from secdns.dns.name import from_text
from secdns.errors import Error

ROWS: list[dict[str, Any]] = tomllib.loads(DATA_FILE.read_text("utf-8"))["check"]


@pytest.mark.parametrize("row", [pytest.param(row, id=row["host"]) for row in ROWS])
def test_row_has_the_known_keys_and_counts_unless_it_is_shared(row: dict[str, Any]) -> None:
    assert {"host", "owner", "kind"} <= set(row) <= {"host", "owner", "kind", "shared", "legacy"}
    assert row["kind"] in ("http", "dns")
    assert row["host"] == row["host"].lower()
    assert (from_text(row["host"]) in CHECKS()) is not row.get("shared", False)


def test_no_row_is_there_twice_and_the_names_of_the_common_systems_are() -> None:
    hosts = [row["host"] for row in ROWS]
    assert len(hosts) == len(set(hosts))
    common = (
        "captive.apple.com",
        "connectivitycheck.gstatic.com",
        "www.msftconnecttest.com",
        "dns.msftncsi.com",
        "detectportal.firefox.com",
        "nmcheck.gnome.org",
        "network-test.debian.org",
    )
    assert {from_text(name) for name in common} <= CHECKS()
    for shared in ("www.google.com", "www.gstatic.com", "www.apple.com", "neverssl.com"):
        assert from_text(shared) not in CHECKS()


@pytest.mark.parametrize(
    "text", ["", "check = 1", "[[check]]", "[[check]]\nhost = 1", '[[check]]\nhost = "a..b"']
)
def test_damaged_file_is_an_error_that_says_so(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "checks.toml"
    file.write_text(text)
    monkeypatch.setattr(connectivity_checks, "DATA_FILE", file)
    with pytest.raises(Error, match=r"cannot read .*checks\.toml"):
        CHECKS.__wrapped__()
