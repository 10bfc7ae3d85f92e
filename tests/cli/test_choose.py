"""What may stand behind ``@``."""

from pathlib import Path

import pytest

from secdns.cli.asking import build_query, choose
from secdns.cli.query import make_question
from secdns.dns.message import Message
from secdns.endpoint import parse
from secdns.errors import ConfigError, EndpointError


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("127.0.0.1", ["udp://127.0.0.1"]),
        ("127.0.0.1:5353", ["udp://127.0.0.1:5353"]),
        ("::1", ["udp://[::1]"]),
        ("[::1]", ["udp://[::1]"]),
        ("[::1]:5353", ["udp://[::1]:5353"]),
        ("tcp://192.0.2.1", ["tcp://192.0.2.1"]),
        ("tls://dns.example", ["tls://dns.example"]),
        ("https://dns.example", ["https://dns.example/dns-query"]),
        ("h3://dns.example", ["h3://dns.example/dns-query"]),
        ("quic://dns.example", ["quic://dns.example"]),
        ("quad9", ["https://dns.quad9.net/dns-query", "tls://dns.quad9.net"]),
    ],
)
def test_upstream_is_what_a_person_wrote(home: Path, text: str, want: list[str]) -> None:
    assert [endpoint.url for endpoint in choose(text, None)] == want


@pytest.mark.parametrize("text", ["127.0.0.1:99999", "1.2.3", "sdns://AgM", "nobody", "a b"])
def test_what_is_no_upstream_is_refused(home: Path, text: str) -> None:
    with pytest.raises(EndpointError):
        choose(text, None)


def test_built_in_upstream_needs_no_sound_configuration_need19(home: Path) -> None:
    (home / "secdns.toml").write_text("[[[")
    assert choose("quad9", None)
    assert choose("tls://dns.example", None)
    with pytest.raises(ConfigError):
        choose("mine", None)
    with pytest.raises(ConfigError):
        choose(None, None)


def test_without_upstream_the_defaults_are_tried_in_order(home: Path) -> None:
    got = [endpoint.host for endpoint in choose(None, None)]
    assert list(dict.fromkeys(got)) == ["dns.quad9.net", "security.cloudflare-dns.com"]


@pytest.mark.parametrize(
    ("url", "padded"),
    [("tls://dns.example", True), ("https://dns.example", True), ("udp://192.0.2.1", False)],
)
def test_query_is_padded_where_it_travels_encrypted_8467_4_1(url: str, padded: bool) -> None:
    wire = build_query(make_question("www.example.test", "A"), parse(url))
    assert (len(wire) % 128 == 0) is padded


@pytest.mark.parametrize("dnssec", [False, True])
def test_dnssec_sets_do_and_nothing_else_does(dnssec: bool) -> None:
    wire = build_query(make_question("www.example.test", "A"), parse("tls://dns.example"), dnssec=dnssec)
    edns = Message.parse(wire).edns
    assert edns is not None
    assert edns.do is dnssec
