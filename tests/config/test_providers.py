"""Every row of the built-in upstreams, and the choice of those that are used by default."""

import ipaddress
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from secdns import endpoint, providers
from secdns.errors import Error
from secdns.providers import DATA_FILE, DEFAULT, PROVIDERS, TRANSPORTS, Provider

ROWS: list[dict[str, Any]] = tomllib.loads(DATA_FILE.read_text("utf-8"))["provider"]
SCHEMES = {"doh": "https", "dot": "tls", "doh3": "h3", "doq": "quic"}
REQUIRED = {
    "id",
    "name",
    "operator",
    "country",
    "homepage",
    "filtering",
    "logging",
    "dot",
    "doh",
    "addresses",
}
OPTIONAL = {"dnssec", "ecs", "doh3", "doq", "doh_addresses"}

every_row = pytest.mark.parametrize("row", [pytest.param(row, id=row["id"]) for row in ROWS])
every_provider = pytest.mark.parametrize(
    "provider", [pytest.param(provider, id=provider.id) for provider in PROVIDERS().values()]
)


@every_row
def test_row_has_the_known_keys(row: dict[str, Any]) -> None:
    assert set(row) >= REQUIRED
    assert set(row) <= REQUIRED | OPTIONAL


@every_row
def test_row_has_known_values(row: dict[str, Any]) -> None:
    assert row["filtering"] in get_args(providers.Filtering)
    assert row["logging"] in get_args(providers.Logging)
    assert row.get("ecs", "unknown") in get_args(providers.ClientSubnet)
    assert row.get("dnssec", True) in (True, False)
    assert row.get("doh3", True) is True
    assert len(row["country"]) == 2
    assert row["homepage"].startswith("https://")
    assert row["id"] == row["id"].lower()


@every_row
def test_row_has_literals_of_both_families_as_addresses(row: dict[str, Any]) -> None:
    for address in [*row["addresses"], *row.get("doh_addresses", [])]:
        assert str(ipaddress.ip_address(address)) == address
    assert {ipaddress.ip_address(address).version for address in row["addresses"]} == {4, 6}


@every_provider
def test_endpoints_have_the_scheme_of_their_transport_and_addresses(provider: Provider) -> None:
    assert set(provider.endpoints) <= set(TRANSPORTS)
    for transport, where in provider.endpoints.items():
        assert where.scheme == SCHEMES[transport]
        assert where.addresses
        assert endpoint.parse(where.url).url == where.url
        assert not where.is_ip or where.host in where.addresses


def test_ids_are_unique() -> None:
    assert list(PROVIDERS()) == [row["id"] for row in ROWS]
    assert len(PROVIDERS()) == len(ROWS)


def test_http_3_is_the_doh_url_with_another_scheme() -> None:
    assert PROVIDERS()["quad9"].endpoints["doh3"].url == "h3://dns.quad9.net/dns-query"
    assert PROVIDERS()["quad9"].transports == ("doh", "dot", "doh3", "doq")


def test_only_auto_may_use_http_3_in_place_of_http_2() -> None:
    offered, unknown = PROVIDERS()["quad9"], PROVIDERS()["mullvad"]
    assert [one.offers_h3 for one in offered.auto] == [True, None]
    assert [one.offers_h3 for one in unknown.auto] == [None, None]  # its server may still say so
    assert offered.endpoints["doh"].offers_h3 is unknown.endpoints["doh"].offers_h3 is False


def test_doh_has_addresses_of_its_own_where_the_row_says_so() -> None:
    opendns = PROVIDERS()["opendns"]
    assert opendns.endpoints["doh"].addresses == ("146.112.41.2", "2620:119:fc::2")
    assert opendns.endpoints["dot"].addresses == opendns.addresses


def test_what_nobody_knows_stays_unknown() -> None:
    assert (PROVIDERS()["opendns"].dnssec, PROVIDERS()["google"].ecs) == (None, "unknown")


def test_default_upstreams_identify_nobody_and_validate() -> None:
    chosen = [PROVIDERS()[name] for name in DEFAULT]
    assert all(provider.logging in ("none", "anonymised") for provider in chosen)
    assert all(provider.dnssec is True for provider in chosen)
    assert all(provider.ecs == "no" for provider in chosen)


def test_default_upstreams_have_two_operators_and_one_kind_of_filtering() -> None:
    chosen = [PROVIDERS()[name] for name in DEFAULT]
    assert len(chosen) == 2
    assert len({provider.operator for provider in chosen}) == 2
    assert len({provider.country for provider in chosen}) == 2
    assert len({provider.filtering for provider in chosen}) == 1


def test_default_upstreams_are_reached_over_both_families_and_both_ports() -> None:
    for name in DEFAULT:
        for transport in ("doh", "dot"):
            addresses = PROVIDERS()[name].endpoints[transport].addresses
            assert {ipaddress.ip_address(address).version for address in addresses} == {4, 6}


def test_data_file_says_when_the_facts_were_gathered_and_that_they_drift() -> None:
    header = DATA_FILE.read_text("utf-8").partition("[[provider]]")[0]
    assert "July 2026" in header
    assert "drift" in header


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="missing"),
        pytest.param("[[provider", id="not TOML"),
        pytest.param("", id="empty"),
        pytest.param('[[provider]]\nid = "x"', id="row without addresses"),
    ],
)
def test_damaged_data_file_is_an_error_of_ours(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "providers.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(providers, "DATA_FILE", file)
    with pytest.raises(Error, match="cannot read"):
        providers.PROVIDERS.__wrapped__()
