"""Sockets that somebody else opened for us: taken where they fit, and all or none."""

import socket

import pytest

from secdns.errors import ListenError
from secdns.listener.sockets import open_sockets
from tests.lab.programs import free_ports
from tests.listener.test_listener_sockets import by_default, configured, nothing_is_left_open


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


def handed_over(port: int, host: str = "127.0.0.1") -> list[socket.socket]:
    """Open a pair as a service manager does: blocking, and without options of ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp, tcp = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_STREAM)
    udp.bind((host, port))
    tcp.bind((host, port))
    tcp.listen()
    return [tcp, udp]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_pair_is_taken_and_made_as_our_own(host: str, port: int) -> None:
    with nothing_is_left_open():
        pair = handed_over(port, host)
        [bound] = open_sockets([configured("0:0:0:0:0:0:0:1" if ":" in host else host, port)], pair)
        assert (bound.tcp, bound.udp, bound.port) == (*pair, port)
        assert (bound.udp.getblocking(), bound.tcp.getblocking()) == (False, False)
        level, option = (socket.IPPROTO_IPV6, 23) if ":" in host else (socket.IPPROTO_IP, 10)
        assert bound.udp.getsockopt(level, option) == 3  # IP_PMTUDISC_PROBE
        bound.close()


def test_address_of_the_configuration_that_was_not_handed_over_is_opened(port: int) -> None:
    with nothing_is_left_open():
        bounds = open_sockets([configured("127.0.0.2"), configured("127.0.0.1", port)], handed_over(port))
        assert [bound.host for bound in bounds] == ["127.0.0.2", "127.0.0.1"]
        for bound in bounds:
            bound.close()


def test_default_address_that_was_not_handed_over_is_left_out(port: int) -> None:
    with nothing_is_left_open():
        [bound] = open_sockets([by_default("127.0.0.1", port), by_default("::1", port)], handed_over(port))
        assert bound.host == "127.0.0.1"
        bound.close()


def test_address_that_nobody_would_serve_is_refused(port: int) -> None:
    with nothing_is_left_open():
        with pytest.raises(ListenError) as caught:
            open_sockets([configured("127.0.0.2")], handed_over(port))
        told = f"handed over is 127.0.0.1 port {port}, which server.listen does not have"
        assert str(caught.value) == told
        assert "secdns.socket" in (caught.value.hint or "")
        del caught


@pytest.mark.parametrize(("left", "kind"), [(0, "tcp"), (1, "udp")])
def test_half_a_pair_is_refused(left: int, kind: str, port: int) -> None:
    with nothing_is_left_open():
        pair = handed_over(port)
        pair.pop(1 - left).close()
        with pytest.raises(ListenError, match=f"port {port} for {kind} alone, and both are wanted"):
            open_sockets([configured("127.0.0.1", port)], pair)


def test_what_is_no_listener_is_refused(port: int) -> None:
    with nothing_is_left_open():
        one, other = socket.socketpair()
        with other, pytest.raises(ListenError, match="neither UDP nor TCP"):
            open_sockets([configured("127.0.0.1", port)], [one])
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()),
            pytest.raises(ListenError, match=r"a connection \(Accept=yes\)"),
        ):
            open_sockets([configured("127.0.0.1", port)], [server.accept()[0]])
