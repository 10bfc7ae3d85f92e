"""What each key of the configuration comes down to."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from secdns import config, endpoint
from secdns.config import CacheConfig, DNSSECConfig, ListenAddress, RouteConfig, UpstreamConfig
from secdns.dns.name import from_text
from secdns.providers import DEFAULT, PROVIDERS

PIN = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def parse(text: str) -> config.Config:
    return config.parse(text, "f.toml")


def test_empty_file_gives_the_defaults() -> None:
    got = parse("")
    assert got == config.default()
    assert got.server.listen == (
        ListenAddress("127.0.0.1", 53, is_default=True),
        ListenAddress("::1", 53, is_default=True),
    )
    assert got.server.acl == ()
    assert got.cache == CacheConfig(size_octets=32 << 20, serve_stale=True)
    assert (got.strategy, got.routes, got.overrides) == ("ordered", (), ())
    assert got.dnssec == DNSSECConfig(mode="validate")
    assert (got.strict, got.log_names) == (False, False)


def test_default_upstreams_are_doh_then_dot_of_the_default_providers() -> None:
    got = [(upstream.name, [one.scheme for one in upstream.endpoints]) for upstream in parse("").upstreams]
    assert got == [(name, ["https", "tls"]) for name in DEFAULT]


@pytest.mark.parametrize(
    ("transport", "url"),
    [
        ("doh", "https://dns.quad9.net/dns-query"),
        ("dot", "tls://dns.quad9.net"),
        ("doh3", "h3://dns.quad9.net/dns-query"),
        ("doq", "quic://dns.quad9.net"),
    ],
)
def test_transport_chooses_among_those_of_a_built_in_upstream(transport: str, url: str) -> None:
    (upstream,) = parse(f'[[upstream]]\nname = "quad9"\ntransport = "{transport}"').upstreams
    assert [one.url for one in upstream.endpoints] == [url]


@pytest.mark.parametrize("url", ["https://x.test/q", "h3://x.test/q", "tls://x.test", "quic://x.test"])
def test_upstream_of_ones_own_may_have_any_encrypted_transport(url: str) -> None:
    (upstream,) = parse(f'[[upstream]]\nurl = "{url}"').upstreams
    assert [one.url for one in upstream.endpoints] == [url]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("127.0.0.1:5353", ListenAddress("127.0.0.1", 5353, is_default=False), id="IPv4"),
        pytest.param("[0:0::1]:53", ListenAddress("::1", 53, is_default=False), id="IPv6"),
        pytest.param("127.0.0.1:0", ListenAddress("127.0.0.1", 0, is_default=False), id="port 0"),
        pytest.param("127.9.9.9:53", ListenAddress("127.9.9.9", 53, is_default=False), id="all of 127/8"),
    ],
)
def test_listen_address(text: str, want: ListenAddress) -> None:
    assert parse(f'[server]\nlisten = ["{text}"]').server.listen == (want,)


def test_listen_address_is_shown_as_written() -> None:
    shown = [str(address) for address in config.default().server.listen]
    assert shown == ["127.0.0.1:53", "[::1]:53"]


def test_port_0_may_stand_twice_because_the_system_chooses() -> None:
    assert len(parse('[server]\nlisten = ["127.0.0.1:0", "127.0.0.1:0"]').server.listen) == 2


def test_non_loopback_address_with_acl_is_accepted_r4() -> None:
    got = parse(
        '[server]\nlisten = ["0.0.0.0:53", "[::]:53"]\nacl = ["192.168.1.0/24", "2001:db8::/64", "10.0.0.1"]'
    )
    assert got.server.acl == (
        ip_network("192.168.1.0/24"),
        ip_network("2001:db8::/64"),
        ip_network("10.0.0.1/32"),
    )


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        pytest.param("", ("doh", "dot"), id="absent"),
        pytest.param('transport = "auto"', ("doh", "dot"), id="auto"),
        pytest.param('transport = "doh"', ("doh",), id="doh"),
        pytest.param('transport = "dot"', ("dot",), id="dot"),
    ],
)
def test_built_in_upstream_has_the_endpoints_of_its_transport(keys: str, want: tuple[str, ...]) -> None:
    got = parse(f'[[upstream]]\nname = "mullvad"\n{keys}').upstreams
    known = PROVIDERS()["mullvad"].endpoints
    assert [one.name for one in got] == ["mullvad"]
    assert [one.url for one in got[0].endpoints] == [known[transport].url for transport in want]


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        pytest.param('name = "quad9"', True, id="auto"),
        pytest.param('name = "quad9"\ntransport = "doh"', False, id="doh"),
        pytest.param('name = "mullvad"', None, id="auto, not known"),
        pytest.param('url = "https://dns.example"', None, id="url"),
    ],
)
def test_http_3_is_used_unless_someone_asked_for_doh(keys: str, want: bool | None) -> None:
    assert parse(f"[[upstream]]\n{keys}").upstreams[0].endpoints[0].offers_h3 is want


def test_addresses_replace_those_of_a_built_in_upstream() -> None:
    got = parse('[[upstream]]\nname = "quad9"\naddresses = ["9.9.9.9"]').upstreams[0]
    assert [one.addresses for one in got.endpoints] == [("9.9.9.9",), ("9.9.9.9",)]


def test_own_upstream_has_all_that_was_given(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
    ca_file.chmod(0o644)
    got = parse(
        f"""
        [[upstream]]
        name = "mine"
        url = "tls://dns.example:8853"
        addresses = ["192.0.2.1", "2001:DB8::1", "192.0.2.1"]
        ca_file = "{ca_file}"
        pin_sha256 = ["{PIN}"]
        """
    ).upstreams
    want = endpoint.Endpoint(
        "tls",
        "dns.example",
        8853,
        addresses=("192.0.2.1", "2001:db8::1"),
        ca_file=str(ca_file),
        pin_sha256=(PIN,),
    )
    assert got == (UpstreamConfig("mine", (want,)),)


def test_own_upstream_without_name_is_called_by_its_host() -> None:
    assert parse('[[upstream]]\nurl = "https://DNS.example/q"').upstreams[0].name == "dns.example"


def test_upstreams_keep_the_order_of_the_file() -> None:
    text = (
        '[[upstream]]\nname = "mullvad"\n[[upstream]]\nurl = "tls://b.example"\n[[upstream]]\nname = "quad9"'
    )
    assert [upstream.name for upstream in parse(text).upstreams] == ["mullvad", "b.example", "quad9"]


@pytest.mark.parametrize(
    ("via", "want"),
    [
        pytest.param("udp://10.0.0.53", endpoint.parse("udp://10.0.0.53"), id="udp"),
        pytest.param("tcp://[fd00::53]:5353", endpoint.parse("tcp://[fd00::53]:5353"), id="tcp"),
        pytest.param("tls://dns.corp.example", endpoint.parse("tls://dns.corp.example"), id="tls"),
        pytest.param("https://dns.corp.example/q", endpoint.parse("https://dns.corp.example/q"), id="https"),
        pytest.param("quad9", None, id="name of a default upstream"),
    ],
)
def test_route(via: str, want: endpoint.Endpoint | None) -> None:
    got = parse(f'[[route]]\ndomains = ["Corp.example.", "10.in-addr.arpa"]\nvia = "{via}"').routes
    assert got == (RouteConfig((from_text("corp.example"), from_text("10.in-addr.arpa")), via, want),)


def test_route_may_name_an_upstream_of_ones_own() -> None:
    upstream = '[[upstream]]\nname = "mine"\nurl = "tls://dns.example"\n'
    text = upstream + '[[route]]\ndomains = ["x.example"]\nvia = "mine"'
    assert parse(text).routes[0].endpoint is None


@pytest.mark.parametrize("via", ["tls://192.0.2.1", "udp://127.0.0.1:5353", "quad9"])
def test_root_may_be_routed_where_nothing_leaves_in_plain(via: str) -> None:
    assert parse(f'[[route]]\ndomains = ["."]\nvia = "{via}"').routes[0].domains == (b"\x00",)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param('"printer.home.arpa" = "192.168.1.9"', [("printer.home.arpa", "192.168.1.9")], id="one"),
        pytest.param(
            '"nas.home.arpa" = ["192.168.1.10", "2001:DB8::0:10", "192.168.1.10"]',
            [("nas.home.arpa", "192.168.1.10"), ("nas.home.arpa", "2001:db8::10")],
            id="list",
        ),
        pytest.param('Printer.Home.Arpa = "10.0.0.1"', [("printer.home.arpa", "10.0.0.1")], id="bare"),
        pytest.param(
            '"TV.home.arpa." = "0.0.0.0"', [("tv.home.arpa", "0.0.0.0")], id="case, dot, unspecified"
        ),
        pytest.param(
            'home.a = "10.0.0.1"\nhome.b = "10.0.0.2"',
            [("home.a", "10.0.0.1"), ("home.b", "10.0.0.2")],
            id="two",
        ),
    ],
)
def test_overrides(text: str, want: list[tuple[str, str]]) -> None:
    got = parse(f"[overrides]\n{text}").overrides
    assert got == tuple((from_text(name), address) for name, address in want)


def test_other_keys() -> None:
    got = parse("[cache]\nsize_mb = 1\nserve_stale = false\n[network]\nstrict = true\n[log]\nnames = true\n")
    assert got.cache == CacheConfig(size_octets=1 << 20, serve_stale=False)
    assert (got.strict, got.log_names) == (True, True)


def test_comments_make_no_difference() -> None:
    assert parse("# a\n\n[cache]\nsize_mb = 64") == parse("[cache]\nsize_mb = 64 # b")
    assert parse("[cache]\nsize_mb = 64") != parse("")
