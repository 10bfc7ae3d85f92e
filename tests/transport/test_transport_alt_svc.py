"""What an Alt-Svc offers us, and what it does not (RFC 7838)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.endpoint import Endpoint
from secdns.errors import FormatError
from secdns.transport.alt_svc import (
    DEFAULT_LIFETIME_S,
    MAX_ALTERNATIVES,
    MAX_LIFETIME_S,
    Offer,
    read_alt_svc,
)
from secdns.transport.doh import MAX_ALT_SVC, MEDIA_TYPE, read_answer
from tests.dns.wires import cpu_ms
from tests.transport.support import query_for

HOST = "dns.test"


@pytest.mark.parametrize(
    ("value", "want"),
    [
        pytest.param('h3=":443"', (443, DEFAULT_LIFETIME_S), id="a day unless it says more"),
        pytest.param('h3=":443"; ma=86400', (443, 86400.0), id="ma"),
        pytest.param('h3=":443";ma="60"', (443, 60.0), id="ma in quotes"),
        pytest.param('h3=":443"; ma=60; ma=70', (443, 60.0), id="first ma"),
        pytest.param('h3=":443"; persist=1; x="a,b;c\\"d"; ma=60', (443, 60.0), id="other parameters"),
        pytest.param('h3=":443"; ma=99999999999999999999999', (443, MAX_LIFETIME_S), id="endless ma"),
        pytest.param('h3=":443"; ma=0', (443, 0.0), id="ma of nothing"),
        pytest.param('h3="dns.test:8443"', (8443, DEFAULT_LIFETIME_S), id="same host"),
        pytest.param('h3="DNS.Test.:8443"', (8443, DEFAULT_LIFETIME_S), id="same host, written otherwise"),
        pytest.param('h3="other.test:443"', None, id="other host"),
        pytest.param('h3="[2001:db8::1]:443"', None, id="address"),
        pytest.param('h3="other.test:1", h3=":2"', (2, DEFAULT_LIFETIME_S), id="other host first"),
        pytest.param('h3-29=":443", h3-Q050=":443"', None, id="drafts"),
        pytest.param('H3=":443"', None, id="other letter case is another protocol"),
        pytest.param('h2=":444"; ma=60, h3=":443"; ma=70,h3=":445"', (443, 70.0), id="first of several"),
        pytest.param('quic=":443"; v="46,43" , , h3=":443",', (443, DEFAULT_LIFETIME_S), id="empty elements"),
        pytest.param("clear", None, id="clear"),
    ],
)
def test_http_3_at_the_same_host_is_understood_7838_3(value: str, want: object) -> None:
    assert read_alt_svc(value, HOST) == want


def test_host_that_is_an_address_is_found_again() -> None:
    assert read_alt_svc('h3="[2001:db8::1]:443"', "2001:db8::1") == (443, DEFAULT_LIFETIME_S)
    assert read_alt_svc('h3="192.0.2.1:443"', "192.0.2.1") == (443, DEFAULT_LIFETIME_S)


@pytest.mark.parametrize(
    "value",
    [
        "", " ", ",", "h3", "h3=", 'h3=""', "h3=:443", 'h3="443"', 'h3=":"', 'h3=":0"', 'h3=":65536"',
        'h3=":443', 'h3=":443" ma=60', 'h3=":443"; ma', 'h3=":443"; ma=', 'h3=":443"; ma=-1',
        'h3=":443"; ma=1.5',
        'h3=":443"; ma=6 0', 'h3 =":443"', 'h3= ":443"', 'h3=":443", clear', "Clear", 'h3=":443" h3=":444"',
        'h3="a:b:443"', 'h3="[::1:443"', 'h3=":44\\3"', 'h3=":443"\0', 'h3=":443"; ma=６０', 'h3="�:443"',
        ",".join(['h2=":1"'] * (MAX_ALTERNATIVES + 1)),
    ],
)  # fmt: skip
def test_what_is_malformed_says_nothing_7838_3(value: str) -> None:
    with pytest.raises(FormatError):
        read_alt_svc(value, HOST)
    offer = Offer(Endpoint("https", HOST, 443, "/q"))
    offer.heard('h3=":443"; ma=60', 0.0)
    offer.heard(value, 1.0)
    assert (offer.port(59.0), offer.port(60.0)) == (443, None)


@given(st.text(alphabet='h3=":4;, maclear[]\\\0é', max_size=MAX_ALT_SVC))
def test_whatever_comes_is_read_or_refused(value: str) -> None:
    try:
        found = read_alt_svc(value, HOST)
    except FormatError:
        return
    assert found is None or (1 <= found[0] <= 65535 and 0.0 <= found[1] <= MAX_LIFETIME_S)


@pytest.mark.parametrize(
    "value",
    ['h3=":443"' + "; a=b" * 200, 'h3=":443"' + ' ;  x="\\""' * 110 + "!", 'h2=":1"' + " , ," * 200,
     "x=" * 500, 'a="' + "\\a" * 500, ";" * 1000],
)  # fmt: skip
def test_longest_value_is_read_in_no_time(value: str) -> None:
    def read() -> None:
        with contextlib.suppress(FormatError):
            read_alt_svc(value, HOST)

    assert cpu_ms(read) < 50


def test_offer_holds_for_its_lifetime_from_the_last_time_it_was_made_7838_3_1() -> None:
    offer = Offer(Endpoint("https", HOST, 443, "/q"))
    assert offer.port(0.0) is None
    offer.heard('h3=":444"; ma=60', 100.0)
    assert (offer.port(159.9), offer.port(160.0), offer.said) == (444, None, None)
    offer.heard('h3=":444"; ma=60', 200.0)
    offer.heard('h3=":444"; ma=60', 230.0)
    assert (offer.port(289.9), offer.port(290.0)) == (444, None)


def test_clear_and_a_list_without_http_3_withdraw_the_offer_7838_3() -> None:
    for value in ("clear", 'h2=":444"'):
        offer = Offer(Endpoint("https", HOST, 443, "/q", offers_h3=True))
        assert offer.port(0.0) == 443
        offer.heard(value, 1.0)
        assert offer.port(1e9) is None
        offer.heard('h3=":444"; ma=60', 2e9)
        assert offer.port(2e9) == 444


def test_what_is_known_without_an_alt_svc_comes_back_when_that_is_too_old() -> None:
    offer = Offer(Endpoint("https", HOST, 443, "/q", offers_h3=True))
    offer.heard('h3=":444"; ma=60', 0.0)
    assert (offer.port(59.0), offer.port(60.0)) == (444, 443)


@pytest.mark.parametrize("count", [1, 100_000])
def test_megabyte_of_alt_svc_is_none(count: int) -> None:
    query = query_for()
    headers = [(b":status", b"200"), (b"content-type", MEDIA_TYPE)]
    headers += [(b"alt-svc", b'h3=":1", ' * (110_000 // count))] * count
    answer = b"\0\0\x81\x80" + query[4:]
    assert read_answer(query, headers, answer, "peer")[1] is None
    assert cpu_ms(lambda: read_answer(query, headers, answer, "peer")) < 500
