"""The service and `secdns system` on booted machines: on, off, and what may befall them in between."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.booted import booted
from tests.lab.system.machines import (
    BY_NETWORK,
    BY_PRINTER,
    BY_UPSTREAM,
    GIVE_BACK,
    KINDS,
    PRINTER,
    TAKE_OVER,
    System,
    prepare,
)

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first one makes the tree

BACK_S = 15.0
"""How soon names resolve again after anything but a hang."""
SEEN_S = 3.0
"""How soon the tray has to show it; it asks the daemon."""
HUNG_S = 30.0
"""After a hang: 9 s until it is noticed, 2 s for it to end, and the start."""

Boot = Callable[[str], System]


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    """Boot a machine of a kind and install the service there."""
    with ExitStack() as stack:
        yield lambda kind: started(kind, tmp_path, stack)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """The same for a machine that tests share, one of each kind."""
    machines: dict[str, System] = {}
    with ExitStack() as stack:

        def take(kind: str) -> System:
            if kind not in machines:
                machines[kind] = started(kind, tmp_path_factory.mktemp(kind), stack)
            return machines[kind]

        yield take


@pytest.fixture
def use(shared: Boot) -> Iterator[Boot]:
    """Use a machine that others use, too: secdns runs there and is off, and so it is at the end."""
    used: list[System] = []

    def take(kind: str) -> System:
        used.append(shared(kind))
        return used[-1]

    yield take
    for system in used:
        system.secdns("rescue")
        system.run("systemctl", "reset-failed")
        system.do("systemctl", "restart", "secdns")
        system.wait_for(BY_NETWORK, BACK_S)


def started(kind: str, place: Path, stack: ExitStack) -> System:
    bind = prepare(place / "layer", kind)
    system = System(stack.enter_context(booted(place / "layer", bind=bind)))
    system.wait_for(BY_NETWORK, BACK_S)
    system.install()
    return system


@pytest.mark.parametrize("kind", KINDS)
def test_on_leads_names_to_secdns_and_off_leaves_all_as_it_was_need2_need9(kind: str, use: Boot) -> None:
    system = use(kind)
    before = system.snapshot()
    told = system.secdns("system", "on")
    assert told == "on: a name that was looked up as programs do it has arrived at secdns\n"
    assert system.look_up() == BY_UPSTREAM
    if kind == "resolved":  # it knows whose names these are
        assert system.look_up(PRINTER) == BY_PRINTER
    assert system.secdns("system", "status").startswith("on: names are looked up through secdns")
    assert system.secdns("system", "off") == "off: the system's DNS settings are as they were before secdns\n"
    assert system.look_up() == BY_NETWORK
    assert system.snapshot() == before


@pytest.mark.parametrize("kind", KINDS)
def test_daemon_sees_that_the_machine_asks_it_and_when_another_program_takes_over(
    kind: str, use: Boot
) -> None:
    system = use(kind)
    before = system.snapshot()
    system.wait_seen("off", SEEN_S)
    system.secdns("system", "on")
    system.wait_seen("on", SEEN_S)
    system.do("sh", "-c", TAKE_OVER[kind])
    system.wait_seen("overruled", SEEN_S)
    system.do("sh", "-c", GIVE_BACK)
    system.secdns("system", "on")
    system.wait_seen("on", SEEN_S)
    system.secdns("system", "off")
    system.wait_seen("off", SEEN_S)
    assert system.snapshot() == before


@pytest.mark.parametrize("kind", KINDS)
def test_killed_daemon_is_back_and_nothing_else_happens_need2(kind: str, use: Boot) -> None:
    system = use(kind)
    system.secdns("system", "on")
    on, pid = system.snapshot(), system.main_pid()
    system.do("kill", "-KILL", pid)
    system.wait_for(BY_UPSTREAM, BACK_S)
    assert system.main_pid() not in (pid, "0")
    assert files(system.snapshot()) == files(on)


@pytest.mark.parametrize("kind", KINDS)
def test_daemon_that_stays_dead_gives_the_machine_its_own_resolver_back_need2(kind: str, use: Boot) -> None:
    system = use(kind)
    before = system.snapshot()
    system.secdns("system", "on")
    for _ in range(12):  # six starts are allowed in a minute
        if system.state() == "failed":
            break
        system.guest.wait_until("up or dead", 20, "sh", "-c", UP_OR_DEAD)
        system.run("systemctl", "kill", "--signal=KILL", "secdns")
    system.wait_for(BY_NETWORK, BACK_S)
    assert system.state() == "failed"
    assert system.snapshot() == before
    system.do("systemctl", "reset-failed", "secdns")
    system.do("systemctl", "start", "secdns")
    system.wait_for(BY_UPSTREAM, BACK_S)


UP_OR_DEAD = '[ "$(systemctl show -P ActiveState secdns)" = active ] || systemctl is-failed secdns'


def test_configuration_with_an_error_gives_the_machine_its_own_resolver_back_need2(boot: Boot) -> None:
    system = boot("resolved")
    system.secdns("system", "on")
    system.do("sh", "-c", "echo 'nonsense = 1' > /etc/secdns/secdns.toml")
    assert system.run("systemctl", "restart", "secdns").returncode != 0
    system.wait_for(BY_NETWORK, BACK_S)
    assert "unknown" in system.guest.journal("-u", "secdns")


def test_daemon_that_hangs_is_noticed_and_replaced_need2(use: Boot) -> None:
    system = use("resolved")
    system.secdns("system", "on")
    pid = system.main_pid()
    system.do("kill", "-STOP", pid)
    system.wait_for(BY_UPSTREAM, HUNG_S)
    assert system.main_pid() not in (pid, "0")
    assert "Watchdog timeout" in system.guest.journal("-u", "secdns")


@pytest.mark.parametrize("kind", KINDS)
def test_stop_gives_back_and_start_takes_again_until_off_need2(kind: str, use: Boot) -> None:
    system = use(kind)
    before = system.snapshot()
    system.secdns("system", "on")
    system.do("systemctl", "stop", "secdns")
    assert system.look_up() == BY_NETWORK
    assert system.snapshot() == before
    system.do("systemctl", "start", "secdns")
    system.wait_for(BY_UPSTREAM, BACK_S)
    system.secdns("system", "off")
    system.do("systemctl", "restart", "secdns")
    assert system.state("secdns-system") == "inactive"
    assert system.look_up() == BY_NETWORK
    assert system.snapshot() == before


def test_service_that_is_stopped_while_it_turns_on_takes_it_back_at_once_need2(use: Boot) -> None:
    """systemd must not have the restart of resolved wait for the end of who asked for it."""
    system = use("resolved")
    before = system.snapshot()
    system.secdns("system", "on")
    system.secdns("rescue", "--for-now")
    system.do("cp", "/etc/nsswitch.conf", "/run/nsswitch.conf")
    try:
        system.do("sh", "-c", "echo 'hosts: files' > /etc/nsswitch.conf")  # so the proof takes its time
        system.do("systemctl", "start", "secdns-system")
        drop_in = "/run/systemd/resolved.conf.d/zz-secdns.conf"
        system.guest.wait_until("it is at it", BACK_S, "test", "-e", drop_in)
        began = time.monotonic()
        system.do("systemctl", "stop", "secdns-system")
        assert time.monotonic() - began < 10
    finally:
        system.do("cp", "/run/nsswitch.conf", "/etc/nsswitch.conf")
    assert system.snapshot() == before


def test_restart_sends_nothing_past_secdns(use: Boot) -> None:
    system = use("resolved")
    system.secdns("system", "on")
    journal = system.do("stat", "--format=%i %Y", "/run/secdns-system/journal.json")
    system.do("systemctl", "restart", "secdns")
    system.wait_for(BY_UPSTREAM, BACK_S)
    assert system.do("stat", "--format=%i %Y", "/run/secdns-system/journal.json") == journal


@pytest.mark.parametrize("kind", KINDS)
def test_reboot_keeps_it_on_and_off_still_leaves_all_as_it_was_need2(kind: str, boot: Boot) -> None:
    system = boot(kind)
    before = system.snapshot()
    system.secdns("system", "on")
    system.guest.reboot()
    system.wait_for(BY_UPSTREAM, BACK_S)
    system.secdns("system", "off")
    assert system.look_up() == BY_NETWORK
    assert comparable(system.snapshot()) == comparable(before)


@pytest.mark.parametrize("kind", ["resolved", "plain"])  # the one is volatile, the other is not
def test_power_cut_while_on_harms_nothing_need2(kind: str, boot: Boot) -> None:
    system = boot(kind)
    before = system.snapshot()
    system.secdns("system", "on")
    system.guest.crash()
    system.wait_for(BY_UPSTREAM, BACK_S)
    system.secdns("system", "off")
    assert system.look_up() == BY_NETWORK
    assert comparable(system.snapshot()) == comparable(before)


def files(snapshot: dict[str, list[object]]) -> dict[str, list[object]]:
    """Leave out what programs say: resolved, which of two servers it asked last."""
    return {path: value for path, value in snapshot.items() if path.startswith("/")}


def comparable(snapshot: dict[str, list[object]]) -> dict[str, list[object]]:
    """Leave out what a boot makes anew: numbers of links and of devices."""
    return {path: value for path, value in snapshot.items() if not path.startswith(("/run/", "nmcli"))}


def test_network_that_comes_after_the_boot_is_waited_for_F30(boot: Boot) -> None:
    system = boot("resolved")
    system.secdns("system", "on")
    system.do("systemctl", "disable", "lan", "lan-resolver")
    system.guest.reboot()
    assert system.state() == "active"
    assert system.state("secdns-system") == "active", "it waits, and the boot is over all the same"
    system.do("systemctl", "start", "lan", "lan-resolver")
    system.wait_for(BY_UPSTREAM, BACK_S)
    system.guest.wait_until(
        "done", BACK_S, "sh", "-c", '[ "$(systemctl is-active secdns-system)" = inactive ]'
    )


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(
            "dd if=/dev/zero of=/var/filler bs=4k 2> /dev/null; ! sh -c 'echo x > /var/lib/secdns/x'",
            id="full disk",
        ),
        pytest.param("mount --bind -o ro /var/lib/secdns /var/lib/secdns", id="read-only state"),
        pytest.param("rm -r /var/lib/secdns && mount --bind -o ro /var/lib /var/lib", id="no state"),
    ],
)
def test_daemon_serves_without_a_place_for_its_state(harm: str, boot: Boot) -> None:
    system = boot("resolved")
    system.secdns("system", "on")
    system.do("sh", "-c", harm)
    system.do("systemctl", "restart", "secdns")
    system.wait_for(BY_UPSTREAM, BACK_S)
    assert system.state() == "active"


def test_daemon_has_one_capability_and_is_nobody_special(use: Boot) -> None:
    system = use("plain")
    status = system.do("cat", f"/proc/{system.main_pid()}/status")
    (uid,) = {line.split()[1] for line in status.splitlines() if line.startswith("Uid:")}
    assert system.do("id", "--user", "--name", uid).strip() == "secdns"
    assert capabilities(status) == {
        "CapInh:": 0x400,
        "CapPrm:": 0x400,
        "CapEff:": 0x400,
        "CapBnd:": 0x400,
        "CapAmb:": 0x400,
    }
    assert "NoNewPrivs:\t1" in status
    score = system.do("systemd-analyze", "security", "--threshold=20", "secdns.service")
    assert "Overall exposure level" in score


def test_everybody_on_the_machine_may_ask_the_daemon_how_it_is(use: Boot) -> None:
    system = use("resolved")
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    told = json.loads(system.do(*nobody, "secdns", "status", "--json"))
    assert told["listen"] == ["127.0.0.1:53", "[::1]:53"]
    assert system.run(*nobody, "secdns", "flush").returncode == 77


def test_check_over_the_api_is_made_in_the_sandbox_of_the_service_need9(use: Boot) -> None:
    system = use("resolved")
    system.secdns("system", "on")
    checked = json.loads(system.do("python3", "-c", CHECK))
    results = {check["name"]: check["result"] for check in checked["checks"]}
    passed = {name for name, result in results.items() if result == "pass"}
    assert passed >= {"configuration", "listening", "daemon", "system-resolver", "look-up", "other-resolvers"}


CHECK = """
import http.client, socket
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/secdns/control.sock")
connection.request("POST", "/v1/check", "{}", {"Content-Type": "application/json"})
print(connection.getresponse().read().decode())
"""


def capabilities(status: str) -> dict[str, int]:
    return {
        line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")
    }


def test_with_the_socket_unit_it_has_none_and_no_query_is_lost(boot: Boot) -> None:
    system = boot("plain")
    system.do("sh", "-ec", SOCKET_UNIT)
    assert set(capabilities(system.do("cat", f"/proc/{system.main_pid()}/status")).values()) == {0}
    system.secdns("system", "on")
    for _ in range(2):
        system.do("kill", "-KILL", system.main_pid())
        assert system.look_up() == BY_UPSTREAM  # asked once, while nobody is there
    system.do("systemctl", "stop", "secdns.socket", "secdns")
    assert system.look_up() == BY_NETWORK


SOCKET_UNIT = """
cd /opt/secdns/packaging/systemd
install -D -m 644 secdns-socket.conf /etc/systemd/system/secdns.service.d/socket.conf
systemctl daemon-reload
systemctl stop secdns
systemctl enable --now secdns.socket secdns
"""


def test_remove_leaves_no_file_of_the_service(boot: Boot) -> None:
    system = boot("plain")
    system.do("/opt/secdns/packaging/systemd/install", "--remove")
    assert system.run("systemctl", "cat", "secdns").returncode != 0
    assert system.do("find", "/etc", "-name", "*secdns*", "-not", "-path", "/etc/secdns*") == ""
    assert system.look_up() == BY_NETWORK


REWRITES = {
    "resolved": "rm /run/systemd/resolved.conf.d/zz-secdns.conf; systemctl restart systemd-resolved",
    "networkmanager": "rm /run/NetworkManager/conf.d/90-secdns.conf; nmcli general reload",
    "plain": r"printf '# Generated by dhcpcd from lan0\nnameserver 10.9.0.1\n' > /etc/resolv.conf",
}
WHO = {
    "resolved": "another program removed /run/systemd/resolved.conf.d/zz-secdns.conf",
    "networkmanager": "NetworkManager rewrote /etc/resolv.conf",
    "plain": "dhcpcd rewrote /etc/resolv.conf",
}


@pytest.mark.parametrize("kind", KINDS)
def test_program_that_takes_dns_is_overruled_three_times_then_named_and_given_way_need6(
    kind: str, use: Boot
) -> None:
    system = use(kind)
    before = files(system.snapshot())
    system.secdns("system", "on")
    if kind != "plain":  # the same for all, and dear: as if it had been twice before
        system.do("sh", "-c", TWICE)
    for count in (1, 2, 3) if kind == "plain" else (3,):
        system.wait_until_idle()
        system.do("sh", "-ec", REWRITES[kind])
        system.wait_until_told(f"{WHO[kind]}: secdns was set again ({count} of 3 times)")
        assert system.look_up() == BY_UPSTREAM
    system.wait_until_idle()
    system.do("sh", "-ec", REWRITES[kind])
    system.wait_until_told(f"{WHO[kind]}, each time secdns was set again; it controls DNS now")
    assert system.look_up() == BY_NETWORK
    assert system.secdns("system", "status").startswith(f"aside: {WHO[kind]}")
    after = files(system.snapshot())
    theirs = after.pop("/etc/resolv.conf"), before.pop("/etc/resolv.conf")
    assert (theirs[0] == theirs[1]) is (kind != "plain")
    assert after == before


TWICE = """echo '{"times": ['"$(date +%s), $(date +%s)"'], "aside": ""}' > /run/secdns-system/contest.json"""


def test_service_that_starts_leaves_dns_to_the_program_that_has_it_and_a_person_does_not_need6(
    use: Boot,
) -> None:
    system = use("plain")
    system.secdns("system", "on")
    system.do("sh", "-c", TWICE.replace('"aside": ""', '"aside": "dhcpcd rewrote /etc/resolv.conf"'))
    system.secdns("rescue", "--for-now")
    system.do("systemctl", "restart", "secdns")
    system.wait_until_told("secdns stands aside", "secdns-system")
    assert system.look_up() == BY_NETWORK
    system.secdns("system", "on")
    assert system.look_up() == BY_UPSTREAM
