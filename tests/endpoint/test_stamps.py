"""``sdns://`` stamps: what they come down to, and what is wrong with those that cannot be used."""

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns import endpoint
from secdns.endpoint import Endpoint
from secdns.errors import EndpointError
from tests.endpoint.stamps import (
    DNSCRYPT_RELAY,
    DOH,
    DOQ,
    DOT,
    ODOH,
    ODOH_RELAY,
    armoured,
    lp,
    plain_stamp,
    stamp,
    stamp_octets,
    vlp,
)

ONE, TWO = bytes(range(32)), bytes(range(1, 33))


def test_encoder_of_the_tests_does_as_the_specification_shows() -> None:
    """The three examples under "Encoding examples"."""
    assert lp("10.0.0.1") == bytes.fromhex("08 31302e302e302e31")
    assert vlp("10.0.0.1", "10.0.0.2") == bytes.fromhex("88 31302e302e302e31 08 31302e302e302e32")
    assert armoured(vlp("10.0.0.1", "10.0.0.2")) == "sdns://iDEwLjAuMC4xCDEwLjAuMC4y"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(  # README of wwwrando/dohstamp
            "sdns://AgMAAAAAAAAABzkuOS45LjkgKhX11qy258CQGt5Ou8dDsszUiQMrRuFkLwaTaDABJYoSZG5zOS5xdWFkOS5uZXQ6NDQz"
            "Ci9kbnMtcXVlcnk",
            Endpoint(
                "https",
                "dns9.quad9.net",
                443,
                "/dns-query",
                addresses=("9.9.9.9",),
                tbs_sha256=("2a15f5d6acb6e7c0901ade4ebbc743b2ccd489032b46e1642f0693683001258a",),
            ),
            id="DoH, port after the host",
        ),
        pytest.param(  # README of jlongua/plan9-dns
            "sdns://AgcAAAAAAAAAHVsyMDAxOjE5ZjA6OTAwMjoxZDc0OjU0MDA6OjFdIDKG_2WmX68yCF7qE4jDc4un43hzyQbM48Sii0zCpYmI"
            "E2RyYWNvLnBsYW45LW5zMi5jb20KL2Rucy1xdWVyeQ",
            Endpoint(
                "https",
                "draco.plan9-ns2.com",
                443,
                "/dns-query",
                addresses=("2001:19f0:9002:1d74:5400::1",),
                tbs_sha256=("3286ff65a65faf32085eea1388c3738ba7e37873c906cce3c4a28b4cc2a58988",),
            ),
            id="DoH, IPv6",
        ),
        pytest.param(  # README of chrisss404/python-dnsstamps
            "sdns://AAEAAAAAAAAACTEyNy4wLjAuMQ",
            Endpoint("udp", "127.0.0.1", 53, addresses=("127.0.0.1",)),
            id="plain",
        ),
        pytest.param(  # draft-denis-dns-stamps, example 1
            "sdns://AAEAAAAAAAAACjE5Mi4wLjIuNTM",
            Endpoint("udp", "192.0.2.53", 53, addresses=("192.0.2.53",)),
            id="plain, of the draft",
        ),
    ],
)
def test_stamp_that_others_made_gives_endpoint(text: str, want: Endpoint) -> None:
    assert endpoint.parse(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(stamp(DOT), Endpoint("tls", "dns.example", 853), id="DoT"),
        pytest.param(stamp(DOQ), Endpoint("quic", "dns.example", 853), id="DoQ"),
        pytest.param(
            stamp(DOH, path="/q{?dns}"), Endpoint("https", "dns.example", 443, "/q"), id="DoH, template"
        ),
        pytest.param(
            stamp(DOT, address="192.0.2.1"),
            Endpoint("tls", "dns.example", 853, addresses=("192.0.2.1",)),
            id="address",
        ),
        pytest.param(
            stamp(DOT, address="[2001:DB8:0::1]:8853"),
            Endpoint("tls", "dns.example", 8853, addresses=("2001:db8::1",)),
            id="IPv6 address and port",
        ),
        pytest.param(stamp(DOT, address=":8853"), Endpoint("tls", "dns.example", 8853), id="port alone"),
        pytest.param(
            stamp(DOT, "DNS.Example.:8853", address="192.0.2.1"),
            Endpoint("tls", "dns.example", 8853, addresses=("192.0.2.1",)),
            id="port after the host",
        ),
        pytest.param(
            stamp(DOT, "dns.example:8853", address="192.0.2.1:8853"),
            Endpoint("tls", "dns.example", 8853, addresses=("192.0.2.1",)),
            id="the same port after both",
        ),
        pytest.param(
            stamp(DOT, "192.0.2.1"),
            Endpoint("tls", "192.0.2.1", 853, addresses=("192.0.2.1",)),
            id="host is IP",
        ),
        pytest.param(
            stamp(DOT, "192.0.2.1", address="192.0.2.2"),
            Endpoint("tls", "192.0.2.1", 853, addresses=("192.0.2.2",)),
            id="host is one IP, dialled at another",
        ),
        pytest.param(
            stamp(DOT, hashes=[ONE, TWO, ONE]),
            Endpoint("tls", "dns.example", 853, tbs_sha256=(ONE.hex(), TWO.hex())),
            id="two hashes, one of them twice",
        ),
        pytest.param(
            armoured(stamp_octets(DOT, bootstrap=["192.0.2.53", "[2001:db8::53]"], properties=2**64 - 1)),
            Endpoint("tls", "dns.example", 853),
            id="bootstrap addresses and properties are read over",
        ),
        pytest.param(
            armoured(stamp_octets(DOH, bootstrap=[])),
            Endpoint("https", "dns.example", 443, "/dns-query"),
            id="no bootstrap address",
        ),
        pytest.param(
            plain_stamp("[2001:db8::1]:5353"),
            Endpoint("udp", "2001:db8::1", 5353, addresses=("2001:db8::1",)),
            id="plain, IPv6",
        ),
        pytest.param("SDNS" + stamp(DOT)[4:], Endpoint("tls", "dns.example", 853), id="capitals"),
    ],
)
def test_stamp_gives_endpoint(text: str, want: Endpoint) -> None:
    assert endpoint.parse(text) == want


def test_url_of_a_stamp_is_what_it_comes_down_to() -> None:
    text = stamp(DOH, address="192.0.2.1:8443", hashes=[ONE], path="/q")
    assert endpoint.parse(text).url == "https://dns.example:8443/q"


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        pytest.param(1, "for DNSCrypt", id="DNSCrypt"),
        pytest.param(ODOH, "for Oblivious DNS over HTTPS", id="ODoH"),
        pytest.param(DNSCRYPT_RELAY, "for a DNSCrypt relay", id="DNSCrypt relay"),
        pytest.param(ODOH_RELAY, "for an Oblivious DNS over HTTPS relay", id="ODoH relay"),
        pytest.param(6, "the unknown protocol 0x06", id="unknown"),
    ],
)
def test_stamp_for_another_protocol_is_refused_with_its_name_9230_1(protocol: int, words: str) -> None:
    with pytest.raises(EndpointError, match=words) as caught:
        endpoint.parse(armoured(bytes([protocol]) + bytes(40)))
    assert "DNS over HTTPS (0x02), TLS (0x03) or QUIC (0x04)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("sdns://", "0 of 1 octets of its protocol", id="empty"),
        pytest.param("sdns://AgcA", "2 of 8 octets of its properties", id="ends in the properties"),
        pytest.param("sdns://A", "amid an octet, with 'A'", id="six bits"),
        pytest.param("sdns://AB", "amid an octet, with 'AB'", id="bits of another octet"),
        pytest.param(stamp(DOT) + "=", "has '=' in it, want base64url", id="padding"),
        pytest.param(stamp(DOT) + "\n", "has '\\n' in it", id="line feed"),
        pytest.param(stamp(DOT)[:20] + "+" + stamp(DOT)[21:], "has '+' in it", id="base64"),
        pytest.param(stamp(DOT)[:20] + "é" + stamp(DOT)[21:], "has 'é' in it", id="not ASCII"),
        pytest.param(stamp(DOT) + "/dns-query", "has '/' in it", id="path behind it"),
        pytest.param("sdns://" + "A" * 4090, "of 4097 characters, at most 4096", id="too long"),
        pytest.param(
            armoured(stamp_octets(DOT, bootstrap=[]) + b"x"),
            "after its last field, want none: 1",
            id="too much",
        ),
        pytest.param(
            armoured(stamp_octets(DOT) + b"\x88"), "0 of 8 octets of its bootstrap", id="ends in bootstrap"
        ),
        pytest.param(stamp(DOT, hashes=[ONE[1:]]), "hash of 31 octets, want 32", id="short hash"),
        pytest.param(stamp(DOT, hashes=[ONE, b""]), "hash of 0 octets, want 32", id="empty hash at the end"),
        pytest.param(stamp(DOT, hashes=[b"", ONE]), "hash of 0 octets, want 32", id="empty hash in front"),
        pytest.param(stamp(DOT, b"\xff.example"), "as host name, want UTF-8", id="host not UTF-8"),
        pytest.param(stamp(DOT, "bücher.example"), "want ASCII (the xn-- form)", id="host not ASCII"),
        pytest.param(stamp(DOT, ""), "'tls://' has no host", id="no host"),
        pytest.param(stamp(DOT, "dns..example"), "has '' in its host", id="empty label"),
        pytest.param(stamp(DOH, "dns.example/x#"), "in its host, want 1 to 63", id="path in the host"),
        pytest.param(stamp(DOH, "me@dns.example"), "user information", id="user in the host"),
        pytest.param(stamp(DOT, "dns.example:0"), "a port from 1 to 65535", id="port 0"),
        pytest.param(stamp(DOT, address="dns.example"), "want an IP address", id="address is a name"),
        pytest.param(stamp(DOT, address="2001:db8::1"), "IPv6 address in brackets", id="no brackets"),
        pytest.param(stamp(DOT, address="[fe80::1%eth0]"), "names an interface", id="zone"),
        pytest.param(stamp(DOT, address="0.0.0.0"), "no upstream can have", id="unspecified address"),
        pytest.param(stamp(DOT, address=":"), "a port from 1 to 65535", id="colon alone"),
        pytest.param(
            stamp(DOT, "dns.example:853", address=":8853"), "':8853' with another port", id="two ports"
        ),
        pytest.param(stamp(DOH, path=""), "has the path ''", id="no path"),
        pytest.param(stamp(DOH, path="dns-query"), "begins with a slash", id="path without slash"),
        pytest.param(stamp(DOH, path="/a b"), "want printable ASCII", id="space in the path"),
        pytest.param(stamp(DOH, path="/a#b"), "want printable ASCII", id="fragment"),
        pytest.param(plain_stamp(""), "has no address", id="plain without address"),
        pytest.param(plain_stamp(":53"), "has no address", id="plain with a port alone"),
        pytest.param(plain_stamp("dns.example"), "want an IP address", id="plain with a name"),
    ],
)
def test_unusable_stamp_is_refused_with_what_was_wanted_p8(text: str, want: str) -> None:
    with pytest.raises(EndpointError) as caught:
        endpoint.parse(text)
    assert want in str(caught.value)
    assert "stamp" in str(caught.value)


@pytest.mark.parametrize("protocol", [DOH, DOT, DOQ], ids=["DoH", "DoT", "DoQ"])
def test_stamp_that_is_cut_short_is_refused_wherever_p8(protocol: int) -> None:
    whole = stamp(protocol, address="192.0.2.1", hashes=[ONE, TWO])
    assert endpoint.parse(whole).tbs_sha256 == (ONE.hex(), TWO.hex())
    for length in range(len("sdns://"), len(whole)):
        with pytest.raises(EndpointError):
            endpoint.parse(whole[:length])


HOSTS = st.sampled_from(
    ["dns.example", "a.b.c.example", "xn--bcher-kva.example", "192.0.2.9", "[2001:db8::9]"]
)
PORTS = st.one_of(st.none(), st.integers(1, 65535))
ADDRESSES = st.one_of(
    st.just(""),
    st.ip_addresses(v=4, network="192.0.2.0/24").map(str),
    st.ip_addresses(v=6, network="2000::/3").map("[{}]".format),
)
SCHEMES = {DOH: ("https", 443), DOT: ("tls", 853), DOQ: ("quic", 853)}


@given(
    st.sampled_from(sorted(SCHEMES)),
    HOSTS,
    PORTS,
    st.sampled_from(["host", "address", "both"]),
    ADDRESSES,
    st.lists(st.binary(min_size=32, max_size=32), max_size=20, unique=True),
    st.sampled_from(["/", "/dns-query", "/p/q?token=x%20y"]),
    st.one_of(st.none(), st.lists(st.text(max_size=20), max_size=3)),
)
def test_what_is_put_into_a_stamp_comes_out_p8(
    protocol: int,
    host: str,
    port: int | None,
    port_place: str,
    address: str,
    hashes: list[bytes],
    path: str,
    bootstrap: list[str] | None,
) -> None:
    suffix = "" if port is None else f":{port}"
    octets = stamp_octets(
        protocol,
        host + (suffix if port_place != "address" else ""),
        address=address + (suffix if port_place != "host" else ""),
        hashes=hashes,
        path=path,
        bootstrap=bootstrap,
    )
    scheme, default = SCHEMES[protocol]
    literal = (address or host).strip("[]")
    want = Endpoint(
        scheme,
        host.strip("[]"),
        port or default,
        path if protocol == DOH else "",
        addresses=(literal,) if endpoint.is_ip_literal(literal) else (),
        tbs_sha256=tuple(one.hex() for one in hashes),
    )
    got = endpoint.parse(armoured(octets))
    assert got == want
    assert endpoint.parse(got.url) == dataclasses.replace(
        got, addresses=(got.host,) if got.is_ip else (), tbs_sha256=()
    )


STAMPISH = st.one_of(
    st.text().map("sdns://{}".format),
    st.binary(max_size=200).map(armoured),
    st.builds(
        lambda head, rest: armoured(head + rest),
        st.builds(lambda protocol: struct.pack("<BQ", protocol, 0), st.integers(0, 5)),
        st.binary(max_size=80),
    ),
    st.builds(
        lambda protocol, host, address, path: stamp(protocol, host, address=address, path=path),
        st.sampled_from([DOH, DOT, DOQ]),
        st.text(alphabet="aZ09.-_:[]@%é\x00 /", max_size=30),
        st.text(alphabet="019.:[]%fea\x00 /", max_size=30),
        st.text(alphabet="aZ/?#%2{}é \n", max_size=10),
    ),
)


@given(STAMPISH)
def test_any_stamp_gives_an_endpoint_or_an_error_p8(text: str) -> None:
    try:
        got = endpoint.parse(text)
    except EndpointError:
        return
    assert endpoint.parse(got.url).url == got.url
    assert got.url.isascii()
    assert got.url.isprintable()
    assert all(endpoint.parse_address(address) == address for address in got.addresses)
