"""DNS stamps as upstreams and routes, and what is shown of them."""

import pytest

from secdns import config, endpoint
from secdns.config import UpstreamConfig
from secdns.errors import ConfigError
from tests.endpoint.stamps import DOH, DOT, ODOH, armoured, plain_stamp, stamp

HASH = bytes(range(32))
PIN = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
ROUTE = '[[route]]\ndomains = ["corp.example"]\n'


def errors_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.toml")
    return str(caught.value)


def test_stamp_is_an_upstream_called_by_its_host() -> None:
    text = stamp(DOH, address="192.0.2.1", hashes=[HASH])
    got = config.parse(f'[[upstream]]\nurl = "{text}"', "f.toml").upstreams
    want = endpoint.Endpoint(
        "https", "dns.example", 443, "/dns-query", addresses=("192.0.2.1",), tbs_sha256=(HASH.hex(),)
    )
    assert got == (UpstreamConfig("dns.example", (want,)),)


def test_keys_beside_a_stamp_replace_its_address_and_add_to_its_hashes() -> None:
    text = stamp(DOT, address="192.0.2.1", hashes=[HASH])
    keys = f'url = "{text}"\naddresses = ["192.0.2.2"]\npin_sha256 = ["{PIN}"]'
    (where,) = config.parse(f"[[upstream]]\n{keys}", "f.toml").upstreams[0].endpoints
    assert (where.addresses, where.pin_sha256, where.tbs_sha256) == (("192.0.2.2",), (PIN,), (HASH.hex(),))


@pytest.mark.parametrize(
    ("text", "want"),
    [(plain_stamp("10.0.0.53"), "udp://10.0.0.53"), (stamp(DOT, hashes=[HASH]), "tls://dns.example")],
    ids=["plain", "DoT"],
)
def test_stamp_is_a_route(text: str, want: str) -> None:
    (route,) = config.parse(f'{ROUTE}via = "{text}"', "f.toml").routes
    assert route.endpoint == endpoint.parse(text)
    assert route.endpoint.url == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("sdns://AgcA", "the DNS stamp has 2 of 8 octets of its properties", id="cut short"),
        pytest.param(armoured(bytes([ODOH, *bytes(20)])), "is for Oblivious DNS over HTTPS", id="9230.1"),
        pytest.param(plain_stamp("192.0.2.1"), '" is not encrypted, want https:// or tls://', id="plain"),
    ],
)
def test_stamp_that_is_no_upstream_is_refused_in_its_line_9230_1(text: str, want: str) -> None:
    got = errors_of(f'[[upstream]]\nname = "mine"\nurl = "{text}"')
    assert got.startswith("f.toml:3: upstream[1].url: ")
    assert want in got


def test_root_is_not_routed_to_a_plain_stamp() -> None:
    text = f'[[route]]\ndomains = ["."]\nvia = "{plain_stamp("192.0.2.1")}"'
    assert "would send every query there in plain" in errors_of(text)


def test_what_a_stamp_comes_down_to_is_shown() -> None:
    upstream, via = stamp(DOH, address="192.0.2.1", hashes=[HASH]), stamp(DOT, "x.example", hashes=[HASH])
    text = f'[[upstream]]\nurl = "{upstream}"\n{ROUTE}via = "{via}"\n'
    shown = config.describe(config.parse(text, "f.toml"))
    assert [line for line in shown if line[0].startswith(("upstream[", "route["))] == [
        ("upstream[1].name", '"dns.example"', "f.toml:2"),
        ("upstream[1].endpoints", '["https://dns.example/dns-query"]', "f.toml:2"),
        ("upstream[1].addresses", '["192.0.2.1"]', "f.toml:2"),
        ("upstream[1].tbs_sha256", f'["{HASH.hex()}"]', "f.toml:2"),
        ("route[1].domains", '["corp.example."]', "f.toml:4"),
        ("route[1].via", f'"{via}"', "f.toml:5"),
        ("route[1].endpoints", '["tls://x.example"]', "f.toml:5"),
        ("route[1].tbs_sha256", f'["{HASH.hex()}"]', "f.toml:5"),
    ]
