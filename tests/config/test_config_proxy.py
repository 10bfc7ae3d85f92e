"""Upstreams behind a proxy: which ways to them are left, and that no message tells the credentials."""

import pytest

from secdns import config
from secdns.errors import ConfigError
from secdns.proxies import Proxy

TOR = 'proxy = "socks5://127.0.0.1:9050"'
SECRET = "socks5://user:s3cret@127.0.0.1:9050"


def errors_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.toml")
    return f"{caught.value} {caught.value.hint or ''}".rstrip()


@pytest.mark.parametrize(
    ("keys", "want"),
    [
        ('name = "quad9"', ["https", "tls"]),
        ('name = "quad9"\ntransport = "auto"', ["https", "tls"]),
        ('name = "quad9"\ntransport = "dot"', ["tls"]),
        ('url = "https://dns.example/q"', ["https"]),
        ('url = "tls://dns.example"', ["tls"]),
    ],
)
def test_every_way_to_the_upstream_goes_through_the_proxy(keys: str, want: list[str]) -> None:
    (upstream,) = config.parse(f"[[upstream]]\n{keys}\n{TOR}", "f.toml").upstreams
    assert [one.scheme for one in upstream.endpoints] == want
    assert {one.proxy for one in upstream.endpoints} == {Proxy("socks5", "127.0.0.1", 9050)}


def test_addresses_are_kept_for_the_proxy() -> None:
    own = '[[upstream]]\nurl = "tls://dns.example"\naddresses = ["192.0.2.1"]\n'
    built_in = '[[upstream]]\nname = "quad9"\n'
    for upstream in config.parse(f"{own}{TOR}\n{built_in}{TOR}", "f.toml").upstreams:
        assert all(one.addresses for one in upstream.endpoints)


@pytest.mark.parametrize(
    ("keys", "scheme"),
    [
        ('name = "quad9"\ntransport = "doh3"', "h3"),
        ('name = "quad9"\ntransport = "doq"', "quic"),
        ('name = "mine"\nurl = "quic://dns.example"', "quic"),
        ('name = "mine"\nurl = "h3://dns.example/q"', "h3"),
    ],
)
def test_what_no_proxy_carries_is_refused(keys: str, scheme: str) -> None:
    assert errors_of(f"[[upstream]]\n{keys}\n{TOR}") == (
        f"f.toml:4: upstream[1].proxy: {scheme}:// cannot go through a proxy, "
        "want https:// (DNS over HTTPS, HTTP/2) or tls:// (DNS over TLS)"
    )


def test_url_that_is_of_no_proxy_is_refused_in_its_line() -> None:
    got = errors_of('[[upstream]]\nname = "quad9"\nproxy = "socks5://tor.lan:9050"')
    assert got.startswith("f.toml:3: upstream[1].proxy: the proxy has 'tor.lan' as host, want its IP address")


def test_plain_upstream_behind_a_proxy_is_refused_for_being_plain() -> None:
    assert "is not encrypted" in errors_of(f'[[upstream]]\nurl = "udp://192.0.2.1"\n{TOR}')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'[[upstream]]\nname = "quad9"\nproxy = ["{SECRET}"]', id="list"),
        pytest.param(f'[[upstream]]\nname = "quad9"\nproxy = "{SECRET}x"', id="port"),
        pytest.param(f'[[upstream]]\nname = "quad9"\nproxy = "{SECRET}', id="open quote"),
        pytest.param(f'[[upstream]]\nname = "quad9"\nproxy = {SECRET}', id="no quotes"),
        pytest.param(f'[[upstream]]\nproxy = "{SECRET}"\nproxy = "{SECRET}"', id="twice"),
        pytest.param(f'[[upstream]]\nname = "{SECRET}"', id="name"),
        pytest.param(f'[[upstream]]\nurl = "{SECRET}"', id="url"),
        pytest.param(f'[[upstream]]\nname = "quad9"\naddresses = ["{SECRET}"]', id="addresses"),
        pytest.param(f'[[upstream]]\nname = "quad9"\ntransport = "doq"\nproxy = "{SECRET}"', id="doq"),
        pytest.param(f'[[route]]\ndomains = ["a.example"]\nvia = "{SECRET}"', id="via"),
        pytest.param(f'[server]\nproxy = "{SECRET}"', id="table"),
        pytest.param(f'proxy = "{SECRET}"', id="no table"),
        pytest.param(f'[server]\nlisten = ["{SECRET}"]', id="listen"),
        pytest.param(f'[server]\nacl = ["{SECRET}"]', id="acl"),
        pytest.param(f'[overrides]\n"a.example" = "{SECRET}"', id="override"),
    ],
)
def test_no_message_tells_the_credentials(text: str) -> None:
    got = errors_of(text)
    assert "s3cret" not in got
    assert "user:" not in got


def test_description_masks_the_credentials() -> None:
    loaded = config.parse(f'[[upstream]]\nname = "quad9"\nproxy = "{SECRET}"', "f.toml")
    rows = {key: (value, origin) for key, value, origin in config.describe(loaded)}
    assert rows["upstream[1].proxy"] == ('"socks5://***@127.0.0.1:9050"', "f.toml:3")
    assert "s3cret" not in f"{rows} {loaded!r}"


def test_other_credentials_are_another_configuration() -> None:
    texts = [f'[[upstream]]\nname = "quad9"\nproxy = "socks5://u:{word}@127.0.0.1:1"' for word in "ab"]
    first, second = (config.parse(text, "f.toml") for text in texts)
    assert first != second
