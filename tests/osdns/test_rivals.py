"""Who is asked besides us."""

from pathlib import Path

import pytest

from secdns.osdns import switch
from secdns.osdns.machine import Ran
from secdns.osdns.rivals import domains, find
from tests.osdns.machines import MACHINES, US, World, make

OURS = {"127.0.0.1", "::1"}


def rivals(world: World) -> dict[str, str]:
    return {rival.host: rival.where for rival in find(world.machine(), OURS)}


def with_links(world: World, dns: str, domains: str) -> None:
    """What resolvectl 252 prints."""
    world.programs["resolvectl"] = lambda argv, stdin: Ran(0, {"dns": dns, "domain": domains}[argv[1]])


@pytest.mark.parametrize("name", [name for name in MACHINES if name.startswith(("plain", "Network", "open"))])
def test_network_resolver_is_a_rival_before_on_and_none_after_need9(name: str, tmp_path: Path) -> None:
    world = make(name, tmp_path)
    assert rivals(world) == {"10.9.0.1": "/etc/resolv.conf"}
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=1_795_651_200)
    assert rivals(world) == {}


@pytest.mark.parametrize("name", ["resolved 252", "resolved 262"])
def test_link_of_resolved_is_a_rival_before_on_need9(name: str, tmp_path: Path) -> None:
    world = make(name, tmp_path)
    where = "link eth0 of systemd-resolved"
    assert rivals(world) == {"10.9.0.1": where, "10.9.0.2": where}


@pytest.mark.parametrize(
    ("dns", "domains", "want"),
    [
        pytest.param(
            "Global: 127.0.0.1 ::1\nLink 2 (eth0): 10.9.0.1\n", "Global: ~.\nLink 2 (eth0): lan.example\n",
            set(), id="the link keeps its own names"),
        pytest.param(
            "Global: 127.0.0.1\nLink 2 (eth0): 10.9.0.1\nLink 7 (wg0): 10.66.0.1#vpn.example\n",
            "Global: ~.\nLink 2 (eth0): lan.example\nLink 7 (wg0): ~.\n",
            {"10.66.0.1"}, id="a VPN takes all names too"),
        pytest.param(
            "Global: 127.0.0.1\nLink 2 (eth0): 10.9.0.1 fe80::1%2\n", "Global:\nLink 2 (eth0):\n",
            {"10.9.0.1", "fe80::1"}, id="nobody takes all names, so every link does"),
        pytest.param(
            "Global: 127.0.0.1:53 [2001:db8::53]:5300\n", "Global: ~.\n",
            {"2001:db8::53"}, id="another global server"),
        pytest.param("\x00{]\n", "Global", set(), id="nonsense"),
    ],
)  # fmt: skip
def test_who_is_asked_by_resolved_need9(dns: str, domains: str, want: set[str], tmp_path: Path) -> None:
    world = make("resolved 252", tmp_path)
    with_links(world, dns, domains)
    assert set(rivals(world)) - {"127.0.0.53"} == want


def test_router_advertised_resolver_in_resolv_conf_is_told_apart_need9(tmp_path: Path) -> None:
    world = make("plain file", tmp_path)
    world.file("/etc/resolv.conf", "nameserver 127.0.0.1\nnameserver fe80::1%eth0\n")
    (rival,) = find(world.machine(), OURS)
    assert (rival.host, rival.is_ipv6) == ("fe80::1%eth0", True)
    assert "sudo secdns system on" in rival.remedy


def test_fourth_server_of_resolv_conf_is_never_asked(tmp_path: Path) -> None:
    world = make("plain file", tmp_path)
    world.file("/etc/resolv.conf", "".join(f"nameserver 127.0.0.{last}\n" for last in (1, 1, 1, 9)))
    assert rivals(world) == {}


def test_dockers_resolver_is_known(tmp_path: Path) -> None:
    world = make("plain file", tmp_path)
    world.file("/etc/resolv.conf", "nameserver 127.0.0.11\n")
    (rival,) = find(world.machine(), OURS)
    assert "Docker's own resolver" in rival.where
    assert "--dns" in rival.remedy


def test_stub_of_a_resolved_that_runs_is_no_rival(tmp_path: Path) -> None:
    world = make("resolved 252", tmp_path)
    assert "127.0.0.53" not in rivals(world)


def test_stub_without_resolved_is_told(tmp_path: Path) -> None:
    world = make("resolved 252", tmp_path)
    world.programs.clear()
    assert rivals(world) == {"127.0.0.53": "/etc/resolv.conf"}


def test_domains_of_links_are_told(tmp_path: Path) -> None:
    world = make("resolved 252", tmp_path)
    assert domains(world.machine()) == ("lan.example", "corp.example")
    world.programs.clear()
    assert domains(world.machine()) == ()
