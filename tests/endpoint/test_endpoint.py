"""URLs of upstreams: what each means, and why others are refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns import endpoint
from secdns.endpoint import DEFAULT_PORTS, Endpoint
from secdns.errors import EndpointError


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("https://dns.example", Endpoint("https", "dns.example", 443, "/dns-query"), id="https"),
        pytest.param(
            "https://dns.example/", Endpoint("https", "dns.example", 443, "/"), id="https root path"
        ),
        pytest.param(
            "https://dns.example:8443/p/q?token=x%20y",
            Endpoint("https", "dns.example", 8443, "/p/q?token=x%20y"),
            id="https port, path and query",
        ),
        pytest.param(
            "https://dns.example/dns-query{?dns}",
            Endpoint("https", "dns.example", 443, "/dns-query"),
            id="https template",
        ),
        pytest.param(
            "https://dns.example?k=v", Endpoint("https", "dns.example", 443, "/?k=v"), id="bare query"
        ),
        pytest.param("h3://dns.example", Endpoint("h3", "dns.example", 443, "/dns-query"), id="h3"),
        pytest.param("tls://dns.example", Endpoint("tls", "dns.example", 853), id="tls"),
        pytest.param("tls://dns.example/", Endpoint("tls", "dns.example", 853), id="tls with a lone slash"),
        pytest.param(
            "TLS://DNS.Example.:8853", Endpoint("tls", "dns.example", 8853), id="case and final dot"
        ),
        pytest.param("tls://_dns.x--y.example", Endpoint("tls", "_dns.x--y.example", 853), id="odd labels"),
        pytest.param("quic://dns.example", Endpoint("quic", "dns.example", 853), id="quic"),
        pytest.param(
            "udp://10.0.0.53", Endpoint("udp", "10.0.0.53", 53, addresses=("10.0.0.53",)), id="udp address"
        ),
        pytest.param(
            "tcp://[2001:DB8:0::1]:5353",
            Endpoint("tcp", "2001:db8::1", 5353, addresses=("2001:db8::1",)),
            id="tcp IPv6 address",
        ),
        pytest.param(
            "https://192.0.2.1/q",
            Endpoint("https", "192.0.2.1", 443, "/q", addresses=("192.0.2.1",)),
            id="https address",
        ),
    ],
)
def test_url_gives_endpoint(text: str, want: Endpoint) -> None:
    assert endpoint.parse(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("", "want scheme://host", id="empty"),
        pytest.param("dns.example", "want scheme://host", id="no scheme"),
        pytest.param("tls:/dns.example", "want scheme://host", id="one slash"),
        pytest.param(" tls://dns.example", "want scheme://host", id="leading space"),
        pytest.param("tls://dns.example ", "'example ' in its host", id="trailing space"),
        pytest.param("tls://dns.exa\nmple", "in its host", id="line feed in the host"),
        pytest.param("https://dns.example/a\tb", "want printable ASCII", id="tab in the path"),
        pytest.param("https://dns.example/a b", "want printable ASCII", id="space in the path"),
        pytest.param("https://dns.example/%zz", "%XX", id="broken escape in the path"),
        pytest.param("https://dns.example/é", "want printable ASCII", id="path not ASCII"),
        pytest.param("ftp://dns.example", "unknown scheme 'ftp'", id="unknown scheme"),
        pytest.param("http://dns.example/dns-query", "not encrypted, want https://", id="http"),
        pytest.param("tls://user@dns.example", "user information", id="userinfo"),
        pytest.param("https://dns.example/#x", "fragment '#x', want none", id="fragment"),
        pytest.param("tls://dns.example#", "fragment", id="empty fragment"),
        pytest.param("tls://", "no host", id="no host"),
        pytest.param("tls://:853", "no host", id="port only"),
        pytest.param("tls://dns..example", "has '' in its host", id="empty label"),
        pytest.param("tls://-dns.example", "has '-dns' in its host", id="leading hyphen"),
        pytest.param("tls://" + "a" * 64 + ".example", "1 to 63", id="label of 64"),
        pytest.param("tls://" + "a." * 127 + "aa", "at most 253", id="host of 256"),
        pytest.param("tls://bücher.example", "want ASCII", id="host not ASCII"),
        pytest.param("tls://192.0.2", "not an IP address", id="half an address"),
        pytest.param("tls://0x7f.1", "not an IP address", id="address in numbers"),
        pytest.param("tls://192.0.2.001", "not an IP address", id="leading zeros"),
        pytest.param("tls://2001:db8::1", "IPv6 address in brackets", id="no brackets"),
        pytest.param("tls://[2001:db8::1", "IPv6 address in brackets", id="open bracket"),
        pytest.param("tls://[192.0.2.1]", "IPv6 address in brackets", id="IPv4 in brackets"),
        pytest.param("tls://[2001:db8::g]", "not an IP address", id="not hexadecimal"),
        pytest.param("udp://[fe80::1%25eth0]", "names an interface", id="zone"),
        pytest.param("udp://0.0.0.0", "no upstream can have", id="unspecified"),
        pytest.param("udp://[ff02::fb]:5353", "no upstream can have", id="multicast"),
        pytest.param("tls://dns.example:", "a port from 1 to 65535", id="colon without port"),
        pytest.param("tls://dns.example:0", "a port from 1 to 65535", id="port 0"),
        pytest.param("tls://dns.example:65536", "a port from 1 to 65535", id="port 65536"),
        pytest.param("tls://dns.example:٣", "a port from 1 to 65535", id="digits not ASCII"),
        pytest.param("tls://[2001:db8::1]853", "a colon and a port", id="no colon before the port"),
        pytest.param("tls://dns.example/dns-query", "want none: tls:// has no paths", id="tls with a path"),
        pytest.param("udp://192.0.2.1?x", "want none: udp:// has no paths", id="udp with a query"),
        pytest.param("https://dns.example/" + "a" * 2048, "at most 2048", id="too long"),
    ],
)
def test_unusable_url_is_refused_with_what_was_wanted(text: str, want: str) -> None:
    with pytest.raises(EndpointError) as caught:
        endpoint.parse(text)
    assert want in str(caught.value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("dns.example", "for DNS over TLS write tls://dns.example", id="bare host"),
        pytest.param("htps://dns.example", "did you mean https://?", id="typing error in the scheme"),
        pytest.param("gopher://dns.example", None, id="nothing near"),
    ],
)
def test_refusal_hints_at_what_was_probably_meant(text: str, want: str | None) -> None:
    with pytest.raises(EndpointError) as caught:
        endpoint.parse(text)
    assert caught.value.hint == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("tls://DNS.example.:853", "tls://dns.example", id="default port is left out"),
        pytest.param("https://dns.example:853", "https://dns.example:853/dns-query", id="other port is kept"),
        pytest.param("udp://[2001:0db8::]:53", "udp://[2001:db8::]", id="IPv6 has brackets"),
    ],
)
def test_url_is_canonical(text: str, want: str) -> None:
    assert endpoint.parse(text).url == want


def test_encrypted_are_all_but_udp_and_tcp() -> None:
    got = {scheme for scheme in DEFAULT_PORTS if endpoint.parse(f"{scheme}://192.0.2.1").is_encrypted}
    assert got == {"https", "h3", "tls", "quic"}


def test_host_is_address_only_if_it_is_a_literal() -> None:
    assert endpoint.parse("tls://192.0.2.1").is_ip
    assert not endpoint.parse("tls://192.0.2.1.example").is_ip


URLISH = st.one_of(
    st.text(),
    st.builds(
        "{}://{}{}".format,
        st.sampled_from([*DEFAULT_PORTS, "HTTPS"]),
        st.text(alphabet="aZ09.-_:[]@%é\x00 /", max_size=30),
        st.text(alphabet="aZ/?#%2{}é \n", max_size=10),
    ),
    st.builds(
        "{}://{}:{}{}".format,
        st.sampled_from(list(DEFAULT_PORTS)),
        st.one_of(
            st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format), st.just("dns.example")
        ),
        st.integers(0, 70000),
        st.sampled_from(["", "/", "/dns-query", "?a=b"]),
    ),
)


@given(URLISH)
def test_any_text_gives_an_endpoint_or_an_error_p8(text: str) -> None:
    try:
        got = endpoint.parse(text)
    except EndpointError:
        return
    assert endpoint.parse(got.url) == got
    assert got.url.isascii()
    assert got.url.isprintable()
    assert " " not in got.url


def test_alternative_port_is_dialled_and_not_named_7838_2() -> None:
    origin = endpoint.parse("h3://dns.example:8443")
    assert replace(origin, port=9443, origin_port=8443).authority == "dns.example:8443"
    assert replace(origin, port=9443, origin_port=443).authority == "dns.example"
