"""Opening the listen addresses: all or none, and what the error says."""

import logging
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from secdns.config import ListenAddress
from secdns.errors import ListenError
from secdns.listener.holder import Holder
from secdns.listener.sockets import open_sockets, remedy
from tests.lab.programs import free_ports

ROOT = Path(__file__).parents[2]


def configured(host: str, port: int = 0) -> ListenAddress:
    return ListenAddress(host, port, is_default=False)


def by_default(host: str, port: int = 0) -> ListenAddress:
    return ListenAddress(host, port, is_default=True)


ABSENT = "2001:db8::53"  # documentation, so no machine has it; the kernel's word is that for a missing ::1


@contextmanager
def nothing_is_left_open() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


@contextmanager
def held(kind: int, host: str = "127.0.0.1") -> Iterator[int]:
    """Hold a port of ``host`` that nobody has otherwise, on no IPv4 address and for neither kind; give it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    (port,) = free_ports(1, "0.0.0.0")
    with socket.socket(family, kind) as sock:
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_udp_and_tcp_get_the_same_port_7766_1(host: str) -> None:
    with nothing_is_left_open():
        bounds = open_sockets([configured(host), configured(host)])
        for bound in bounds:
            assert bound.udp.getsockname()[:2] == bound.tcp.getsockname()[:2] == (host, bound.port)
            assert (bound.udp.getblocking(), bound.tcp.getblocking()) == (False, False)
        assert [str(bound) for bound in bounds] == [
            f"[{host}]:{bound.port}" if ":" in host else f"{host}:{bound.port}" for bound in bounds
        ]
        for bound in bounds:
            bound.close()


def test_options_are_those_that_the_listener_wants_L13_9715_2() -> None:
    bounds = open_sockets([configured("127.0.0.1"), configured("::1")])
    try:
        for bound in bounds:
            for sock, reuse in ((bound.udp, 0), (bound.tcp, 1)):
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == reuse
                assert not sock.get_inheritable()
        four, six = bounds
        assert four.udp.getsockopt(socket.IPPROTO_IP, 10) == 3  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE
        assert six.udp.getsockopt(socket.IPPROTO_IPV6, 23) == 3
        assert six.udp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        assert six.tcp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    finally:
        for bound in bounds:
            bound.close()


def test_restart_does_not_wait_for_time_wait() -> None:
    [bound] = open_sockets([configured("127.0.0.1")])
    with socket.create_connection(("127.0.0.1", bound.port)) as client:
        accepted, _ = bound.tcp.accept()
        accepted.close()  # our side closes first, so ours waits
        assert client.recv(1) == b""
    bound.close()
    [again] = open_sockets([configured("127.0.0.1", bound.port)])
    again.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("kind", "word"), [(socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")], ids=["udp", "tcp"]
)
def test_half_taken_address_leaves_nothing_open(host: str, kind: int, word: str) -> None:
    with held(kind, host) as port, nothing_is_left_open():
        with pytest.raises(ListenError, match=rf"{port} \({word}\): address in use") as caught:
            open_sockets([configured("127.0.0.1"), configured("::1"), configured(host, port)])
        assert caught.value.hint is not None
        del caught


def test_taken_port_names_the_process_that_holds_it_and_says_what_to_do() -> None:
    program = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        with pytest.raises(ListenError) as caught:
            open_sockets([configured("127.0.0.1", port)])
        holder.communicate()
    name = Path(sys.executable).name
    assert str(caught.value).startswith(f"cannot listen on 127.0.0.1:{port} (udp): address in use by {name}")
    assert f"(pid {holder.pid}" in str(caught.value)
    hint = caught.value.hint or ""
    assert "stop" in hint
    assert "secdns run --port" in hint


def test_real_dnsmasq_on_the_port_is_named(tmp_path: Path) -> None:
    dnsmasq = shutil.which("dnsmasq", path=os.environ["PATH"] + ":/usr/sbin")
    if dnsmasq is None:
        pytest.skip("dnsmasq is not installed (Debian: dnsmasq-base)")
    [free] = open_sockets([configured("127.0.0.1")])
    free.close()
    arguments = f"--keep-in-foreground --bind-interfaces --listen-address=127.0.0.1 --port={free.port} "
    arguments += "--no-resolv --no-hosts --conf-file=/dev/null --pid-file= --log-facility=-"
    with subprocess.Popen([dnsmasq, *arguments.split()], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "started" in process.stderr.readline()
        with pytest.raises(ListenError, match=rf"address in use by dnsmasq \(pid {process.pid}"):
            open_sockets([configured("127.0.0.1", free.port)])
        process.terminate()


def test_address_listed_twice_is_not_blamed_on_a_stranger() -> None:
    with held(socket.SOCK_DGRAM) as port, nothing_is_left_open():
        with pytest.raises(ListenError) as caught:
            open_sockets([configured("127.0.0.1", port)])
        assert caught.value.hint == "the configuration lists this address twice; list it once"
        del caught


def test_neighbour_on_another_loopback_address_does_not_matter() -> None:
    with held(socket.SOCK_DGRAM, "127.0.0.53") as port:  # as systemd-resolved
        [bound] = open_sockets([configured("127.0.0.1", port)])
        bound.close()


def test_missing_default_address_only_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        [bound] = open_sockets([configured("127.0.0.1"), by_default(ABSENT)])
    bound.close()
    [record] = caplog.records
    assert f"cannot listen on [{ABSENT}]:0 (udp): this machine has no such address" in record.getMessage()


def test_missing_configured_address_is_an_error() -> None:
    with nothing_is_left_open():
        with pytest.raises(ListenError, match="this machine has no such address") as caught:
            open_sockets([configured("127.0.0.1"), configured(ABSENT)])
        del caught


@pytest.mark.parametrize("addresses", [[], [by_default(ABSENT)]], ids=["none wanted", "none there"])
def test_no_address_at_all_is_an_error(addresses: list[ListenAddress]) -> None:
    with pytest.raises(ListenError, match="cannot listen on any address"):
        open_sockets(addresses)


def test_taken_default_address_is_an_error() -> None:
    with held(socket.SOCK_DGRAM) as port, pytest.raises(ListenError, match="address in use"):
        open_sockets([by_default("127.0.0.1", port)])


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_wildcard_is_refused_with_the_cure_R4(host: str) -> None:
    with pytest.raises(ListenError, match="wildcard") as caught:
        open_sockets([configured(host)])
    assert "listen = [" in (caught.value.hint or "")


def test_scope_of_a_link_local_address_is_understood() -> None:
    with pytest.raises(ListenError, match="this machine has no such address"):
        open_sockets([configured("fe80::53%no-such-link")])


@pytest.mark.parametrize(
    ("holder", "want"),
    [
        pytest.param(Holder("root", 7, "systemd-resolved"), "DNSStubListener=no", id="resolved"),
        pytest.param(
            Holder("root", 7, "unbound", "unbound.service"), "--now unbound.service", id="a service"
        ),
        pytest.param(
            Holder("root", 7, "dnsmasq", "NetworkManager.service"), "dns=dnsmasq", id="part of a unit"
        ),
        pytest.param(Holder("root", 7, "dnsmasq", "lxd.service"), "stop dnsmasq", id="part of another"),
        pytest.param(Holder("root", 7, "dnsmasq", "libvirtd.service"), "virsh net-list", id="libvirt"),
        pytest.param(
            Holder("root", 7, "dnsmasq", "virtnetworkd.service"), "virsh net-list", id="new libvirt"
        ),
        pytest.param(Holder("root", 7, "aardvark-dns"), "dns_bind_port", id="podman"),
        pytest.param(Holder("root", 7, "docker-proxy", "docker.service"), "--filter publish=53", id="docker"),
        pytest.param(Holder("root", 1, "systemd"), "systemctl list-sockets", id="a socket unit"),
        pytest.param(Holder("dnsmasq"), "sudo ss -lntup", id="not to be seen"),
        pytest.param(None, "sudo ss -lntup", id="nobody"),
    ],
)
def test_hint_fits_the_holder(holder: Holder | None, want: str) -> None:
    hint = remedy("127.0.0.1", 53, holder)
    assert want in hint
    assert not re.search("disable --now (libvirtd|lxd|docker)", hint)
    assert hint.endswith('or listen = ["127.0.0.2:53"] in the configuration')


@pytest.mark.parametrize(("port", "free"), [(53, 5300), (5300, 5301)])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_hint_does_not_offer_the_port_that_is_taken(host: str, port: int, free: int) -> None:
    assert f"`secdns run --port {free}`" in remedy(host, port, None)


def run_python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def test_low_port_without_privilege_says_so() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if lowest <= 1:
        pytest.skip("every port is free for everyone here (net.ipv4.ip_unprivileged_port_start)")
    program = f"""
import os
from secdns.config import ListenAddress
from secdns.errors import ListenError
from secdns.listener.sockets import open_sockets
if os.getuid() == 0:
    os.setuid(65534)
try:
    open_sockets([ListenAddress("127.0.0.1", {min(lowest - 1, 53)}, False)])
except ListenError as error:
    print(error, error.hint, sep="|")
"""
    message, hint = run_python(program).split("|")
    assert message == f"cannot listen on 127.0.0.1:{min(lowest - 1, 53)} (udp): permission denied"
    assert "CAP_NET_BIND_SERVICE" in hint
    assert "secdns run --port" in hint


@pytest.mark.parametrize(
    ("soft", "hard", "want"),
    [
        pytest.param(64, 4096, (256, 352), id="raised as far as needed"),
        pytest.param(1024, 4096, (256, 1024), id="enough already"),
        pytest.param(128, 300, (204, 300), id="hard limit in the way"),
        pytest.param(64, 64, (16, 64), id="next to nothing"),
    ],
)
def test_descriptors_are_kept_for_upstreams_R6(soft: int, hard: int, want: tuple[int, int]) -> None:
    program = f"""
import resource
from secdns.listener.sockets import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_descriptor_limit(256), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip(f"the hard limit of descriptors is below {hard} here")
    clients, limit = run_python(program).split()
    assert (int(clients), int(limit)) == want
