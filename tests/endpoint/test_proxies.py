"""The URL of a proxy, and that what is secret in it stays so."""

import pytest

from secdns import endpoint
from secdns.errors import EndpointError
from secdns.proxies import MAX_CREDENTIAL, Proxy, hide_credentials, parse


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("socks5://127.0.0.1:9050", Proxy("socks5", "127.0.0.1", 9050)),
        ("SOCKS5://127.0.0.1:9050/", Proxy("socks5", "127.0.0.1", 9050)),
        ("http://[2001:DB8:0::1]:3128", Proxy("http", "2001:db8::1", 3128)),
        ("http://localhost:8080", Proxy("http", "127.0.0.1", 8080)),
        ("socks5://u:p@192.0.2.1:1080", Proxy("socks5", "192.0.2.1", 1080, (b"u", b"p"))),
        ("http://u:@192.0.2.1:80", Proxy("http", "192.0.2.1", 80, (b"u", b""))),
        ("http://u%40x:p%2f%3A%25:q@192.0.2.1:80", Proxy("http", "192.0.2.1", 80, (b"u@x", b"p/:%:q"))),
        ("socks5://%00:é@192.0.2.1:1", Proxy("socks5", "192.0.2.1", 1, (b"\0", "é".encode()))),
    ],
)
def test_url_of_a_proxy_1928_7617(text: str, want: Proxy) -> None:
    assert parse(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("socks5://127.0.0.1", "not the URL of a proxy, want socks5://HOST:PORT", id="port"),
        pytest.param("127.0.0.1:9050", "this is not the URL of a proxy", id="scheme"),
        pytest.param("socks5://127.0.0.1:x", "this is not the URL of a proxy", id="port in words"),
        pytest.param("socks5://::1:9050", "this is not the URL of a proxy", id="no brackets"),
        pytest.param("socks5://[fe80::1%25eth0]:9050", "this is not the URL of a proxy", id="zone"),
        pytest.param("http://127.0.0.1:1/path", "this is not the URL of a proxy", id="path"),
        pytest.param("http://" + "u" * 2100 + ":p@127.0.0.1:1", "this is not the URL", id="long"),
        pytest.param("socks5://127.0.0.1:1\n", "this is not the URL of a proxy", id="line feed"),
        pytest.param("socks4://127.0.0.1:1", "a proxy cannot be socks4://", id="SOCKS4"),
        pytest.param("socks5h://127.0.0.1:1", "a proxy cannot be socks5h://", id="socks5h"),
        pytest.param("https://127.0.0.1:1", "a proxy cannot be https://", id="https"),
        pytest.param("socks5://127.0.0.1:0", "a port that is none, want one from 1 to 65535", id="port 0"),
        pytest.param("socks5://127.0.0.1:65536", "want one from 1 to 65535", id="port 65536"),
        pytest.param("socks5://tor.lan:9050", "'tor.lan' as host, want its IP address", id="name"),
        pytest.param("socks5://127.1:9050", "'127.1' as host, want its IP address", id="short address"),
        pytest.param("socks5://0.0.0.0:9050", "no proxy can be at '0.0.0.0'", id="unspecified"),
        pytest.param("socks5://[ff02::1]:9050", "no proxy can be at '[ff02::1]'", id="multicast"),
        pytest.param("socks5://[127.0.0.1]:9050", "no proxy can be at '[127.0.0.1]'", id="brackets"),
    ],
)  # fmt: skip
def test_url_that_is_of_no_proxy_is_refused(text: str, want: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse(text)
    assert want in str(caught.value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("socks5://s3cret@192.0.2.1:1", "want 1 to 255 octets each", id="no password"),
        pytest.param("socks5://s3cret:@192.0.2.1:1", "want 1 to 255 octets each", id="empty, 1929.2"),
        pytest.param("http://:s3cret@192.0.2.1:1", "want at most 255 octets each", id="no user"),
        pytest.param(f"http://u:{'s3cret' * 50}@192.0.2.1:1", "at most 255", id="long password"),
        pytest.param(f"socks5://{'s3cret' * 50}:p@192.0.2.1:1", "1 to 255", id="long user"),
        pytest.param("http://s3%3Acret:p@192.0.2.1:1", "has a colon", id="colon in the user name, 7617.2"),
        pytest.param("http://u:s3cret%0a@192.0.2.1:1", "no control characters", id="line feed, 7617.2"),
        pytest.param("http://u:s3cret%zz@192.0.2.1:1", "want %25 for it", id="escape"),
        pytest.param("http://u:s3cret%@192.0.2.1:1", "want %25 for it", id="percent"),
        pytest.param("socks5://u:s3cret@x@192.0.2.1:1", "not the URL of a proxy", id="at sign"),
        pytest.param("socks5://u:s3cret/@192.0.2.1:1", "not the URL of a proxy", id="slash"),
        pytest.param("socks5://u:s3cret 2@192.0.2.1:1", "not the URL of a proxy", id="space"),
        pytest.param("socks5://u:s3cret@192.0.2.1", "not the URL of a proxy", id="no port"),
        pytest.param("socks5://u:s3cret@proxy.lan:1", "'proxy.lan' as host", id="host"),
        pytest.param("socks5://u:s3cret", "not the URL of a proxy", id="no host"),
        pytest.param("u:s3cret@192.0.2.1:1", "not the URL of a proxy", id="no scheme"),
        pytest.param("socks4://u:s3cret@192.0.2.1:1", "cannot be socks4://", id="other scheme"),
    ],
)
def test_refusal_shows_nothing_of_the_credentials(text: str, want: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse(text)
    assert want in str(caught.value)
    assert "s3" not in f"{caught.value!r} {caught.value.hint}"


def test_longest_credentials_are_taken_1929_2() -> None:
    word = "x" * MAX_CREDENTIAL
    assert parse(f"socks5://{word}:{word}@192.0.2.1:1").credentials == (word.encode(), word.encode())


def test_proxy_is_shown_without_its_credentials() -> None:
    proxy = parse("socks5://user:s3cret@[::1]:9050")
    assert proxy.url == "socks5://***@[::1]:9050"
    assert "user" not in repr(proxy)
    assert "s3cret" not in repr(proxy)
    assert parse("http://192.0.2.1:80").url == "http://192.0.2.1:80"


@pytest.mark.parametrize("text", ["socks5://u:s3cret@h:1", "https://u:s3cret@h", 'x = "tls://u:s3cret@h"'])
def test_url_of_a_proxy_in_the_place_of_an_upstream_is_not_shown_whole(text: str) -> None:
    with pytest.raises(EndpointError) as caught:
        endpoint.parse(text)
    assert "s3cret" not in f"{caught.value!r} {caught.value.hint}"


def test_whatever_stands_before_an_at_sign_is_hidden() -> None:
    assert hide_credentials("a socks5://u:p@q/r@h:1 b") == "a socks5://***@h:1 b"
    assert hide_credentials("tls://dns.example") == "tls://dns.example"
