"""Upstreams, routes and overrides that cannot be used, and what this version cannot do yet."""

from pathlib import Path

import pytest

from secdns import config
from secdns.errors import ConfigError

MINE = '[[upstream]]\nurl = "tls://dns.example"\n'
ROUTE = '[[route]]\ndomains = ["a.example"]\n'


def errors_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        pytest.param("", "1: upstream[1]: has neither name nor url", id="empty"),
        pytest.param(
            'name = "qad9"',
            '2: upstream[1].name: "qad9" is no built-in upstream, want one or a url, did you mean quad9?',
            id="typing error",
        ),
        pytest.param(
            'name = "quad9"\nurl = "tls://x.example"',
            '2: upstream[1].name: "quad9" is a built-in upstream, want another name',
            id="name taken",
        ),
        pytest.param(
            'name = "network"\nurl = "tls://x.example"',
            "cannot be the name of an upstream",
            id="name reserved",
        ),
        pytest.param(
            'name = "a b"\nurl = "tls://x.example"',
            "cannot be the name of an upstream",
            id="name with a space",
        ),
        pytest.param(
            'name = "quad9"\ntransport = "tls"',
            '"tls" is unknown, want "auto" or "doh" or "dot"',
            id="transport",
        ),
        pytest.param(
            'url = "tls://x.example"\ntransport = "dot"',
            "3: upstream[1].transport: is for built-in upstreams",
            id="transport and url",
        ),
        pytest.param('url = "udp://192.0.2.1"', "is not encrypted, want https:// or tls://", id="plain"),
        pytest.param(
            'url = "htps://x.example"',
            "2: upstream[1].url: 'htps://x.example' has the unknown scheme",
            id="scheme",
        ),
        pytest.param(
            'name = "quad9"\naddresses = ["9.9.9"]',
            "3: upstream[1].addresses[1]: '9.9.9' is not an IP address",
            id="address",
        ),
        pytest.param('name = "quad9"\naddresses = []', "addresses: the list is empty", id="no address"),
        pytest.param('name = "quad9"\npin_sha256 = []', "pin_sha256: the list is empty", id="no pin"),
        pytest.param(
            'name = "quad9"\npin_sha256 = ["AAAA"]', '"AAAA" is not a pin, want the SHA-256', id="short pin"
        ),
        pytest.param('name = "quad9"\npin_sha256 = ["*"]', '"*" is not a pin', id="pin not base64"),
        pytest.param('name = "quad9"\nca_file = "ca.pem"', "is a relative path", id="relative ca_file"),
        pytest.param(
            'name = "quad9"\nca_file = "/nonexistent/ca.pem"', "cannot be read (No such file", id="no ca_file"
        ),
        pytest.param(
            'name = "quad9"\nca_file = "/nonexistent\\u0000"', "cannot be read", id="NUL in ca_file"
        ),
        pytest.param('name = "quad9"\nca_file = "/"', "cannot be read", id="directory as ca_file"),
    ],
)
def test_upstream_is_refused(keys: str, want: str) -> None:
    assert want in errors_of(f"[[upstream]]\n{keys}")


@pytest.mark.parametrize(
    "second", ['url = "tls://dns.example"', 'name = "dns.example"\nurl = "https://x.example"']
)
def test_two_upstreams_of_one_name_are_refused(second: str) -> None:
    assert 'there is another upstream "dns.example"' in errors_of(f"{MINE}[[upstream]]\n{second}")


def test_upstreams_beyond_the_limit_are_refused() -> None:
    text = "".join(f'[[upstream]]\nurl = "tls://h{number}.example"\n' for number in range(33))
    assert errors_of(text) == "f.toml:65: upstream[33]: is one too many, want at most 32"


def test_ca_file_without_certificate_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.der"
    file.write_bytes(b"\x30\x82")
    file.chmod(0o600)
    assert "holds no certificate, want PEM" in errors_of(f'{MINE}ca_file = "{file}"')


def test_ca_file_that_others_may_write_is_refused_l8(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\n")
    file.chmod(0o666)
    assert "can be written by everybody (mode 0666)" in errors_of(f'{MINE}ca_file = "{file}"')


def test_network_cannot_be_the_route_of_every_name() -> None:
    want = 'route[1].domains[1]: "." would send every query there in plain'
    assert want in errors_of('[[route]]\ndomains = ["."]\nvia = "network"')


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        pytest.param(
            'domains = ["a.example"]', "route[1].via: nothing given, want both domains and via", id="no via"
        ),
        pytest.param('via = "quad9"', "route[1].domains: nothing given, want both", id="no domains"),
        pytest.param('domains = []\nvia = "quad9"', "2: route[1].domains: nothing given", id="empty domains"),
        pytest.param('domains = ["*.a.example"]\nvia = "quad9"', "all below it is included", id="wildcard"),
        pytest.param('domains = [".a.example"]\nvia = "quad9"', "all below it is included", id="leading dot"),
        pytest.param('domains = [""]\nvia = "quad9"', "is not a name", id="empty name"),
        pytest.param('domains = ["a..example"]\nvia = "quad9"', "empty label", id="empty label"),
        pytest.param(
            'domains = ["a.example", "A.example."]\nvia = "quad9"',
            "is in route[1].domains[1] as well",
            id="twice",
        ),
        pytest.param(
            'domains = ["."]\nvia = "udp://192.0.2.1"',
            "would send every query there in plain",
            id="root in plain",
        ),
        pytest.param(
            'domains = ["a.example"]\nvia = "10.0.0.1"', "did you mean udp://10.0.0.1?", id="bare address"
        ),
        pytest.param(
            'domains = ["a.example"]\nvia = "fd00::1"',
            "did you mean udp://[fd00::1]?",
            id="bare IPv6 address",
        ),
        pytest.param('domains = ["a.example"]\nvia = "qad9"', "did you mean quad9?", id="typing error"),
        pytest.param(
            'domains = ["a.example"]\nvia = "mullvad"',
            "add an [[upstream]] with this name",
            id="unused built-in",
        ),
        pytest.param(
            'domains = ["a.example"]\nvia = "udp://ns.example"',
            "has a host name, want an IP address",
            id="plain host name",
        ),
    ],
)
def test_route_is_refused(keys: str, want: str) -> None:
    assert want in errors_of(f"[[route]]\n{keys}")


def test_route_to_a_faulty_upstream_is_no_second_error() -> None:
    got = errors_of(f'[[upstream]]\nname = "mine"\nurl = "tls://"\n{ROUTE}via = "mine"')
    assert got == "f.toml:3: upstream[1].url: 'tls://' has no host"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            '"a.example" = "192.0.2"', '2: overrides."a.example": "192.0.2" is not an IP address', id="value"
        ),
        pytest.param(
            'a.example = "192.0.2"', '2: overrides.a.example: "192.0.2" is not an IP address', id="bare key"
        ),
        pytest.param('"a.example" = 1', "1 is not an IP address", id="number"),
        pytest.param('"a.example" = "fe80::1%eth0"', "is not an IP address", id="zone"),
        pytest.param('"a.example" = []', "the list has 0 addresses, want 1 to 64", id="no address"),
        pytest.param('"a.example" = [["192.0.2.1"]]', "is not an IP address", id="list in a list"),
        pytest.param('"*.example" = "192.0.2.1"', "no wildcard", id="wildcard"),
        pytest.param('"" = "192.0.2.1"', "cannot be given an address", id="empty name"),
        pytest.param('"a..example" = "192.0.2.1"', "empty label", id="empty label"),
        pytest.param('"bücher.example" = "192.0.2.1"', "is not ASCII", id="not ASCII"),
        pytest.param('"a.example" = "192.0.2.1"\n"A.example." = "192.0.2.2"', "is there twice", id="twice"),
    ],
)
def test_override_is_refused(text: str, want: str) -> None:
    assert want in errors_of(f"[overrides]\n{text}")
