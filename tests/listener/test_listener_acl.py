"""Who may ask."""

from ipaddress import ip_network

import pytest

from secdns.errors import ListenError
from secdns.listener import Acl, acl_for, is_loopback

LAN = (ip_network("192.168.1.0/24"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("host", "want"),
    [
        pytest.param("127.0.0.1", True, id="this machine"),
        pytest.param("::1", True, id="this machine, IPv6"),
        pytest.param("192.168.1.77", True, id="in the network"),
        pytest.param("192.168.2.77", False, id="next to the network"),
        pytest.param("2001:db8::7", True, id="in the IPv6 network"),
        pytest.param("2001:db9::7", False, id="next to the IPv6 network"),
        pytest.param("fe80::1%eth0", False, id="with a scope"),
    ],
)
def test_named_networks_and_this_machine_may_ask_R4(host: str, want: bool) -> None:
    acl = Acl(LAN)
    assert [acl.allows(host), acl.allows(host)] == [want, want]


def test_memory_of_verdicts_is_bounded_R11() -> None:
    acl = Acl(LAN)
    for number in range(3 * Acl.REMEMBERED):
        assert acl.allows(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}") is False
        assert len(acl._verdicts) <= Acl.REMEMBERED
    assert acl.allows("192.168.1.77") is True


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1"])
def test_loopback_listener_needs_no_access_list(host: str) -> None:
    assert is_loopback(host)
    assert acl_for(host, ()) is None


@pytest.mark.parametrize("host", ["192.168.1.2", "0.0.0.0", "::", "fe80::1%eth0", "::ffff:10.0.0.1"])
def test_listener_that_others_reach_is_refused_without_access_list_R4(host: str) -> None:
    with pytest.raises(ListenError, match="who may ask") as caught:
        acl_for(host, ())
    assert caught.value.hint is not None
    assert "acl =" in caught.value.hint
    assert acl_for(host, LAN) is not None
