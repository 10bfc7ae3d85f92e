"""The way to an upstream, and what became of it."""

import sys

import pytest

from secdns.network import netlink
from secdns.network.ways import Difference, Found, Way, Ways, by_socket, compare

WLAN = Way("192.0.2.7", "wlan0", "192.0.2.1", 2)
WLAN6 = Way("2001:db8::7", "wlan0", "fe80::1", 2)
WIRE = Way("10.0.0.5", "eth0", "10.0.0.1", 1)
A, B = "198.51.100.1", "2001:db8:1::1"


@pytest.mark.parametrize(
    ("before", "now", "want"),
    [
        pytest.param({A: WLAN}, {A: WLAN}, None, id="nothing"),
        pytest.param({A: WLAN}, {B: None}, None, id="another configuration"),
        pytest.param({}, {A: WLAN}, None, id="nothing was known"),
        pytest.param(
            {A: WIRE},
            {A: WLAN},
            Difference("192.0.2.7 on wlan0 is used now instead of 10.0.0.5 on eth0", True),
            id="another link",
        ),
        pytest.param(
            {A: WLAN},
            {A: Way("192.0.2.8", "wlan0", "192.0.2.1", 2)},
            Difference("192.0.2.8 on wlan0 is used now instead of 192.0.2.7 on wlan0", True),
            id="another address",
        ),
        pytest.param(
            {A: WLAN},
            {A: Way("192.0.2.7", "wlan0", "192.0.2.254", 2)},
            Difference("192.0.2.7 on wlan0 has another gateway", True),
            id="another gateway",
        ),
        pytest.param(
            {A: WLAN},
            {A: Way("192.0.2.7", "wlan0", "192.0.2.1", 4)},
            Difference("link wlan0 went down and came back", True),
            id="down and up between two looks",
        ),
        pytest.param(
            {A: WLAN, B: None},
            {A: None, B: None},
            Difference("the network is gone, it was 192.0.2.7 on wlan0", True),
            id="gone",
        ),
        pytest.param(
            {A: WLAN, B: WLAN6},
            {A: WLAN, B: None},
            Difference("2001:db8::7 on wlan0 leads to an upstream no more", True),
            id="one family gone",
        ),
        pytest.param(
            {A: None, B: None},
            {A: WLAN, B: None},
            Difference("the network is back, it is 192.0.2.7 on wlan0", True),
            id="back",
        ),
        pytest.param(
            {A: WLAN, B: None},
            {A: WLAN, B: WLAN6},
            Difference("2001:db8::7 on wlan0 leads to an upstream now", False),
            id="a second family appears, which breaks nothing",
        ),
    ],
)
def test_difference_of_ways_says_what_happened_and_whether_connections_outlive_it_F11_F13(
    before: Found, now: Found, want: Difference | None
) -> None:
    assert compare(before, now) == want


def test_ways_on_this_machine_are_found_without_a_packet() -> None:
    ways = Ways()
    try:
        found = ways.find(["127.0.0.1", "127.0.0.2"])["127.0.0.1"]
        assert found is not None
        assert found.source == "127.0.0.1"
        if sys.platform == "linux":
            assert found.link == "lo"
    finally:
        ways.close()
    assert ways.find(["127.0.0.1"]) == {"127.0.0.1": Way("127.0.0.1")}, "closed, only the source is told"


def test_no_netlink_leaves_the_source_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "open_socket", lambda groups: None)
    assert Ways().find(["127.0.0.1"]) == {"127.0.0.1": Way("127.0.0.1")}
    assert by_socket("127.0.0.1") == Way("127.0.0.1")
    assert by_socket("255.255.255.255") in (Way(""), None), "refused for another reason: not the network"
