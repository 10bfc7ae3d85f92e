"""Who holds a port, found in made-up and in real /proc trees."""

import os
import socket
import sys
from pathlib import Path

import pytest

from secdns.listener.holder import Holder, find_holder, find_holders
from secdns.listener.known import known

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def hexadecimal(host: str, port: int) -> str:
    """Give an address as the kernel prints it in its tables: words in the order of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    octets = socket.inet_pton(family, host)
    words = (int.from_bytes(octets[at : at + 4], sys.byteorder) for at in range(0, len(octets), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


class Proc:
    """A made-up /proc."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "net").mkdir()
        (root / "self-made").mkdir()  # what is no process is passed over

    def table(self, name: str, *sockets: tuple[str, int, int]) -> None:
        """Write a table: address, port and inode of each socket; all belong to user 0."""
        lines = [
            f"{number:5}: {hexadecimal(host, port)} {hexadecimal('0.0.0.0', 0)} 07 00000000:00000000 "
            f"00:00000000 00000000     0        0 {inode} 2 0000000000000000 0\n"
            for number, (host, port, inode) in enumerate(sockets)
        ]
        (self.root / "net" / name).write_text(HEADER + "".join(lines))

    def process(self, pid: int, inode: int, *, comm: str, cmdline: str = "", cgroup: str = "0::/\n") -> None:
        fd = self.root / str(pid) / "fd"
        fd.mkdir(parents=True)
        (fd / "0").symlink_to("/dev/null")
        (fd / "7").symlink_to(f"socket:[{inode}]")
        (fd.parent / "comm").write_text(comm + "\n")
        (fd.parent / "cmdline").write_text(cmdline)
        (fd.parent / "cgroup").write_text(cgroup)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_process_is_named_with_its_unit(proc: Proc) -> None:
    proc.table("udp", ("10.0.0.1", 53, 1), ("127.0.0.1", 5300, 2), ("127.0.0.1", 53, 3))
    proc.process(500, 1, comm="other")
    proc.process(
        812, 3, comm="dnsmasq", cmdline="/usr/sbin/dnsmasq\0", cgroup="0::/system.slice/libvirtd.service\n"
    )
    got = find_holder("udp", "127.0.0.1", 53, proc.root)
    assert got == Holder("root", 812, "dnsmasq", "libvirtd.service")
    assert str(got) == "dnsmasq (pid 812, unit libvirtd.service)"


@pytest.mark.parametrize(
    ("table", "held", "wanted"),
    [
        pytest.param("udp", "0.0.0.0", "127.0.0.1", id="wildcard"),
        pytest.param("udp6", "::", "127.0.0.1", id="IPv6 wildcard that takes IPv4 too"),
        pytest.param("udp6", "::ffff:127.0.0.1", "127.0.0.1", id="IPv4 in IPv6"),
        pytest.param("udp6", "::1", "::1", id="IPv6"),
        pytest.param("udp6", "::", "::1", id="IPv6 wildcard"),
    ],
)
def test_socket_that_collides_is_found(proc: Proc, table: str, held: str, wanted: str) -> None:
    proc.table(table, (held, 53, 9))
    proc.process(812, 9, comm="named")
    assert find_holder("udp", wanted, 53, proc.root) == Holder("root", 812, "named")


@pytest.mark.parametrize(
    ("table", "held", "port"),
    [
        pytest.param("udp", "127.0.0.53", 53, id="another address"),
        pytest.param("udp", "127.0.0.1", 54, id="another port"),
        pytest.param("tcp", "127.0.0.1", 53, id="another protocol"),
        pytest.param("udp6", "::1", 53, id="another family"),
    ],
)
def test_socket_that_does_not_collide_is_not_blamed(proc: Proc, table: str, held: str, port: int) -> None:
    proc.table(table, (held, port, 9))
    proc.process(812, 9, comm="named")
    assert find_holder("udp", "127.0.0.1", 53, proc.root) is None


def test_nearest_socket_is_blamed(proc: Proc) -> None:
    proc.table("udp6", ("::", 53, 1))
    proc.table("udp", ("0.0.0.0", 53, 2), ("127.0.0.1", 53, 3))
    for inode in (1, 2, 3):
        proc.process(100 + inode, inode, comm=f"holder{inode}")
    assert find_holder("udp", "127.0.0.1", 53, proc.root) == Holder("root", 103, "holder3")


def test_service_is_blamed_rather_than_systemd_that_gave_it_the_socket(proc: Proc) -> None:
    proc.table("tcp", ("127.0.0.1", 53, 9))
    proc.process(1, 9, comm="systemd")
    proc.process(4000, 9, comm="dnscrypt-proxy")
    assert find_holder("tcp", "127.0.0.1", 53, proc.root) == Holder("root", 4000, "dnscrypt-proxy")


@pytest.mark.parametrize(
    ("comm", "cmdline", "want"),
    [
        pytest.param(
            "systemd-resolve", "/lib/systemd/systemd-resolved\0", "systemd-resolved", id="long name"
        ),
        pytest.param("python3.11", "python3.11\0-m\0secdns\0run\0", "secdns", id="python -m secdns"),
        pytest.param("python3", "/usr/bin/python3\0/usr/bin/secdns\0run\0", "secdns", id="console script"),
        pytest.param("python3", "python3\0serve.py\0", "python3", id="other Python"),
        pytest.param("nginx", "nginx: master process\0", "nginx: master process", id="rewritten title"),
        pytest.param("kworker", "", "kworker", id="no command line"),
    ],
)
def test_command_is_the_name_a_person_knows(proc: Proc, comm: str, cmdline: str, want: str) -> None:
    proc.table("udp", ("127.0.0.1", 53, 9))
    proc.process(812, 9, comm=comm, cmdline=cmdline)
    assert find_holder("udp", "127.0.0.1", 53, proc.root) == Holder("root", 812, want)


def test_owner_that_may_not_be_seen_is_described_by_its_user(proc: Proc) -> None:
    proc.table("udp", ("127.0.0.1", 53, 9))
    got = find_holder("udp", "127.0.0.1", 53, proc.root)
    assert got == Holder("root")
    assert str(got) == "a process of user root (which one is not visible without root)"


@pytest.mark.parametrize("text", ["", HEADER, HEADER + "   0: half a line\n"], ids=["empty", "none", "cut"])
def test_table_without_sockets_blames_nobody(proc: Proc, text: str) -> None:
    (proc.root / "net" / "udp").write_text(text)
    assert find_holder("udp", "127.0.0.1", 53, proc.root) is None


def test_no_proc_blames_nobody(tmp_path: Path) -> None:
    assert find_holder("udp", "127.0.0.1", 53, tmp_path / "missing") is None


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_real_socket_of_this_process_is_found(protocol: str, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        if protocol == "tcp":
            sock.listen()
        asked = "127.0.0.1" if host == "0.0.0.0" else host
        got = find_holder("udp" if protocol == "udp" else "tcp", asked, sock.getsockname()[1])
    assert got is not None
    assert got.pid == os.getpid()


def test_everybody_on_the_port_is_given_once_with_the_address(proc: Proc) -> None:
    proc.table("udp", ("127.0.0.53", 53, 1), ("192.168.122.1", 53, 2), ("127.0.0.1", 5300, 3))
    proc.table("udp6", ("fd00::1", 53, 4))
    proc.process(311, 1, comm="systemd-resolve", cmdline="/lib/systemd/systemd-resolved\0")
    proc.process(
        812, 2, comm="dnsmasq", cmdline="/usr/sbin/dnsmasq\0", cgroup="0::/system.slice/libvirtd.service\n"
    )
    proc.process(900, 4, comm="aardvark-dns", cmdline="/usr/libexec/podman/aardvark-dns\0")
    found = find_holders(53, proc.root)
    titles = {host: program and program.title for host, holder in found for program in [known(holder)]}
    assert titles == {
        "127.0.0.53": "systemd-resolved",
        "192.168.122.1": "libvirt's dnsmasq",
        "fd00::1": "Podman's aardvark-dns",
    }
    assert len(found) == len(titles)


def test_dnsmasq_of_nobody_in_particular_is_not_taken_for_libvirts() -> None:
    assert known(Holder("root", 7, "dnsmasq", "dnsmasq.service")) is None
    assert known(Holder("root")) is None


@pytest.mark.parametrize(
    ("user", "title"), [("systemd-resolve", "systemd-resolved"), ("libvirt-dnsmasq", "libvirt's dnsmasq")]
)
def test_user_of_a_process_that_is_not_to_be_seen_tells_who_it_is(user: str, title: str) -> None:
    found = known(Holder(user))
    assert found is not None
    assert found.title == title
