"""Whether programs of this machine ask us, told from a few looks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from secdns.control.schema import System
from secdns.osdns import contest, switch
from secdns.osdns.asked import Asked, Settings, judge
from secdns.osdns.detect import resolved_property
from secdns.osdns.machine import Machine
from tests.osdns.machines import LAN, MACHINES, US, Fake, World, make

LISTENING = [("127.0.0.1", 53), ("::1", 53)]
STUB = "nameserver 127.0.0.53\n"
OURS = "nameserver 127.0.0.1\nnameserver ::1\n"
GLOBAL: tuple[object, ...] = (1, 2, bytes([127, 0, 0, 1]))
LAN_LINK: tuple[object, ...] = (2, 2, bytes([10, 9, 0, 1]))
VPN_LINK: tuple[object, ...] = (3, 2, bytes([10, 8, 0, 1]))
ALL: tuple[object, ...] = (0, ".", True)


def resolved(*dns: object, domains: tuple[object, ...] = ()) -> dict[str, object]:
    return {"DNS": list(dns), "Domains": list(domains)}


def settings(
    resolv_conf: str = STUB,
    properties: Mapping[str, object] | None = None,
    *,
    nsswitch: str = "hosts: files dns\n",
    link: str | None = None,
    delegate: str | None = None,
    is_turned_on: bool = False,
) -> Settings:
    return Settings(resolv_conf, link, nsswitch, delegate, properties, is_turned_on)


SET_UP = resolved(GLOBAL, LAN_LINK, domains=(ALL, (2, "lan.example", False)))
RESOLVE_FIRST = "hosts: files resolve [!UNAVAIL=return] dns\n"
DELEGATE = "# Written by secdns.\n[Delegate]\nDNS=127.0.0.1 ::1 127.0.0.1:53 [::1]:53\nDomains=~.\n"


@pytest.mark.parametrize(
    ("found", "want"),
    [
        pytest.param(settings(OURS), "on", id="the file names us"),
        pytest.param(settings(""), "on", id="no file: the C library asks 127.0.0.1"),
        pytest.param(settings(LAN), "off", id="the file names the network's"),
        pytest.param(settings(LAN, is_turned_on=True), "overruled", id="… though it was turned on"),
        pytest.param(
            replace(settings(LAN), aside="dhclient rewrote /etc/resolv.conf"),
            "overruled",
            id="… and secdns stands aside",
        ),
        pytest.param(settings(OURS + LAN), "overruled", id="the file names another as well"),
        pytest.param(settings(f"{OURS}{OURS}{LAN}"), "on", id="of a file three servers count"),
        pytest.param(settings(LAN, SET_UP), "off", id="resolved is set up and nobody asks it"),
        pytest.param(settings(STUB, SET_UP), "on", id="resolved is set up"),
        pytest.param(settings(OURS, SET_UP, nsswitch=RESOLVE_FIRST), "on", id="both ways"),
        pytest.param(settings(LAN, SET_UP, nsswitch=RESOLVE_FIRST), "overruled", id="one way of two"),
        pytest.param(
            settings(OURS, resolved(LAN_LINK), nsswitch=RESOLVE_FIRST), "overruled", id="the other way of two"
        ),
        pytest.param(settings(OURS, resolved(LAN_LINK)), "on", id="resolved is there and nobody asks it"),
        pytest.param(settings(STUB, resolved(LAN_LINK)), "off", id="resolved asks the link's"),
        pytest.param(
            settings(STUB, resolved(LAN_LINK), is_turned_on=True), "overruled", id="… though it was turned on"
        ),
        pytest.param(settings(STUB, resolved(GLOBAL, LAN_LINK)), "overruled", id="nobody claims all names"),
        pytest.param(settings(STUB, resolved(GLOBAL)), "on", id="nobody else could"),
        pytest.param(
            settings(STUB, resolved(GLOBAL, VPN_LINK, domains=(ALL, (3, ".", True)))),
            "overruled",
            id="a VPN claims all names as well",
        ),
        pytest.param(
            settings(STUB, resolved(GLOBAL, VPN_LINK, domains=(ALL, (3, "corp.example", True)))),
            "on",
            id="a VPN claims its own names",
        ),
        pytest.param(settings(STUB, resolved(LAN_LINK), delegate=DELEGATE), "on", id="delegate"),
        pytest.param(
            settings(STUB, {"DNSEx": [(0, 2, bytes([127, 0, 0, 1]), 5353, "")], "Domains": [ALL]}),
            "off",
            id="another port is somebody else's",
        ),
        pytest.param(settings(STUB, None), "unknown", id="resolved says nothing"),
        pytest.param(
            settings(STUB, {"DNS": [(1, 2), "x", (0, 2, "127.0.0.1"), (0, 2, b"1")], "Domains": 7}),
            "on",
            id="nonsense names nobody",
        ),
    ],
)
def test_state_is_that_of_all_ways_that_names_go(found: Settings, want: str) -> None:
    assert judge(found, LISTENING).state == want


@pytest.mark.parametrize(
    ("found", "want"),
    [
        pytest.param(
            settings(STUB, SET_UP), System("on", "this machine asks secdns (by systemd-resolved)"), id="on"
        ),
        pytest.param(
            settings(LAN),
            System(
                "off",
                "this machine does not ask secdns, but 10.9.0.1 (by /etc/resolv.conf)",
                "to have it do so: sudo secdns system on",
            ),
            id="off",
        ),
        pytest.param(
            settings(LAN, link="../run/NetworkManager/resolv.conf", is_turned_on=True),
            System(
                "overruled",
                "another program has taken over DNS: this machine asks 10.9.0.1 "
                "(by /etc/resolv.conf of NetworkManager)",
                "to put it in force again: sudo secdns system on; to end it: sudo secdns system off",
            ),
            id="taken over",
        ),
        pytest.param(
            settings(OURS + LAN),
            System(
                "overruled",
                "besides secdns this machine asks 10.9.0.1 (by /etc/resolv.conf)",
                "to put it in force again: sudo secdns system on; to end it: sudo secdns system off",
            ),
            id="shared",
        ),
    ],
)
def test_it_is_said_who_is_asked_by_whose_word_and_what_to_do(found: Settings, want: System) -> None:
    assert judge(found, LISTENING) == want


def test_who_listens_everywhere_listens_on_loopback() -> None:
    assert judge(settings(OURS), [("0.0.0.0", 53), ("::", 53)]).state == "on"
    assert judge(settings(OURS), [("0.0.0.0", 53)]).state == "overruled"
    assert judge(settings(OURS), [("127.0.0.1", 5353)]).state == "off"


def as_told(world: World) -> dict[str, object]:
    """Give what systemd-resolved says, as it comes over D-Bus: octets are bytes there."""
    machine = world.machine()
    dns = resolved_property(machine, "DNS")
    rows = [(index, family, bytes(octets)) for index, family, octets in dns] if isinstance(dns, list) else []
    return {"DNS": rows, "Domains": resolved_property(machine, "Domains")}


@pytest.mark.parametrize("name", [name for name in MACHINES if name != "no file"])
def test_it_follows_on_and_off_on_every_kind_of_machine(name: str, tmp_path: Path) -> None:
    world = make(name, tmp_path)
    asked = Asked(
        world.machine(),
        lambda: LISTENING,
        lambda: as_told(world) if "busctl" in world.programs else None,
        lambda: None,
        platform="linux",
    )
    assert asked.look().state == "off"
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=1_795_651_200)
    assert asked.look().state == "on"
    switch.turn_off(world.machine())
    assert asked.look().state == "off"


class Counting(Fake):
    """Counts what is read."""

    reads = 0

    def text(self, path: str) -> str | None:
        self.reads += 1
        return super().text(path)


def test_nothing_is_read_that_has_not_changed_and_a_change_is_told(tmp_path: Path) -> None:
    world = make("plain file", tmp_path)
    machine, heard = Counting(world.root, world.run), []
    asked = Asked(machine, lambda: LISTENING, lambda: None, lambda: heard.append(1), platform="linux")
    assert asked.look().state == "off"
    reads = machine.reads
    assert asked.look().state == "off"
    assert (machine.reads, heard) == (reads, [])
    world.file("/etc/resolv.conf", OURS)
    assert asked.look().state == "on"
    assert heard == [1]
    world.link("/etc/resolv.conf", "../run/NetworkManager/resolv.conf")
    world.file("/run/NetworkManager/resolv.conf", LAN)
    assert asked.look().state == "off"
    world.file("/run/NetworkManager/resolv.conf", OURS)
    assert asked.look().state == "on"


def test_file_that_takes_over_after_on_is_told_by_the_next_look(tmp_path: Path) -> None:
    world = make("plain file", tmp_path)
    asked = Asked(world.machine(), lambda: LISTENING, lambda: None, lambda: None, platform="linux")
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=1_795_651_200)
    assert asked.look().state == "on"
    world.file("/etc/resolv.conf", LAN)
    assert asked.look().state == "overruled"


def test_it_is_told_that_secdns_stands_aside_and_for_whom(tmp_path: Path) -> None:
    world = make("plain file", tmp_path)
    asked = Asked(world.machine(), lambda: LISTENING, lambda: None, lambda: None, platform="linux")
    assert asked.look().state == "off"
    contest.note(world.machine(), contest.Memory(aside="dhclient rewrote /etc/resolv.conf"))
    found = asked.look()
    assert (found.state, found.remedy) == ("overruled", contest.REMEDY)
    assert found.sentence.startswith("dhclient rewrote /etc/resolv.conf, each time")
    contest.forget(world.machine())
    assert asked.look().state == "off"


def test_elsewhere_it_is_not_known(tmp_path: Path) -> None:
    asked = Asked(Machine(tmp_path), lambda: LISTENING, lambda: None, lambda: None, platform="win32")
    assert asked.look().state == "unknown"
