"""Which of what the kernel tells may concern us, and how its answers are read."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.network import netlink
from secdns.network.netlink import LinkState, News, RouteState
from tests.network.octets import RECORDED, link, loopback, recorded

pytestmark = pytest.mark.skipif(
    sys.byteorder == "big", reason="the octets were recorded on another byte order"
)

NO_NEWS = (
    "IPv6 address tentative",
    "loopback address",
    "address of the link alone",
    "IPv4 address of the link alone",
    "route of the local table",
    "route to addresses of the link",
    "multicast route",
    "bridge about a port",
)
IS_NEWS = (
    "address added",
    "address removed",
    "IPv6 address usable",
    "default route",
    "default route removed",
    "IPv6 default route",
    "route to the network",
)


@pytest.mark.parametrize("key", IS_NEWS)
def test_what_may_lead_elsewhere_is_news_F11(key: str) -> None:
    assert News().is_in(recorded(key))


@pytest.mark.parametrize("key", NO_NEWS)
def test_what_leads_nowhere_is_no_news_F11(key: str) -> None:
    assert not News().is_in(recorded(key))


def test_address_announced_again_is_no_news_until_it_is_deprecated_or_gone_F11() -> None:
    news = News()
    heard = [
        ("address added", True),
        ("address refreshed", False),
        ("address deprecated", True),
        ("address refreshed", True),
        ("address removed", True),
        ("address added", True),
        ("address refreshed", False),
    ]
    assert [(key, news.is_in(recorded(key))) for key, _ in heard] == heard


def test_link_is_news_when_its_carrier_or_state_changes_and_not_with_its_statistics_F11() -> None:
    news = News()
    assert news.is_in(link())
    assert not news.is_in(link())
    assert news.is_in(link(flags=netlink.UP, flaps=3))
    assert news.is_in(link(flaps=4))
    assert news.is_in(link(flaps=6)), "down and up again before it was told"
    assert news.is_in(link(kind=netlink.DEL_LINK, flaps=6))
    assert not news.is_in(loopback())


def test_one_of_many_messages_in_a_datagram_is_enough_F11() -> None:
    quiet = b"".join(recorded(key) for key in NO_NEWS)
    assert not News().is_in(quiet)
    assert News().is_in(quiet + recorded("default route"))


def test_what_is_remembered_is_bounded() -> None:
    news = News()
    for number in range(netlink.MAX_KNOWN + 10):
        news.is_in(link(number))
    assert len(news._links) <= netlink.MAX_KNOWN


def test_answers_of_the_kernel_are_read() -> None:
    (told,) = netlink.messages(recorded("answer: route by a gateway"))
    assert (told.kind, told.sequence) == (netlink.NEW_ROUTE, 7)
    assert netlink.read_route(told.payload) == RouteState("192.0.2.2", 4, "")
    (told,) = netlink.messages(recorded("answer: local route"))
    assert netlink.read_route(told.payload) == RouteState("127.0.0.1", 1, "")
    (told,) = netlink.messages(recorded("default route"))
    assert netlink.read_route(told.payload) == RouteState("", 3, "192.0.2.1")
    (told,) = netlink.messages(link(flags=netlink.UP, flaps=5))
    assert netlink.read_link(told.payload) == LinkState(3, "wlan0", False, False, 5)


@pytest.mark.parametrize("missing", [netlink.UP, netlink.RUNNING, netlink.LOWER_UP])
def test_link_is_up_when_packets_pass_and_not_before_F11(missing: int) -> None:
    for flags in (netlink.IN_USE, netlink.IN_USE - missing):
        (told,) = netlink.messages(link(flags=flags))
        state = netlink.read_link(told.payload)
        assert state is not None
        assert state.is_up is (flags == netlink.IN_USE)


@given(st.sampled_from(sorted(RECORDED)), st.data())
def test_octets_cut_or_changed_anywhere_are_read_without_an_error(key: str, data: st.DataObject) -> None:
    octets = bytearray(recorded(key))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(octets[: data.draw(st.integers(0, len(octets)))])
    News().is_in(cut)
    for told in netlink.messages(cut):
        netlink.read_route(told.payload)
        netlink.read_link(told.payload)
        netlink.read_error(told.payload)
