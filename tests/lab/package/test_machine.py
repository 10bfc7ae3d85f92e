"""The package on booted Debian machines: installed, used, upgraded, removed, purged."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lab.booted import booted
from tests.lab.package.building import ANSWERS, BACKUPS, CONFIGURATION, Packages, smoke
from tests.lab.system.machines import BY_NETWORK, BY_UPSTREAM, System, prepare

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first one makes the tree

BACK_S = 15.0
GAP_S = 5.0
"""How long an upgrade may leave a name without an answer: within seconds."""
PACKAGES = "/srv/packages"

# Every file on the disk, but for logs, caches, and folders that get another name at each start of a service.
FILES = r"""find / -xdev \( -path /srv -o -path /tmp -o -path '/var/tmp/systemd-private-*' -o -path /var/log \
-o -path /var/cache -o -path /var/lib/apt \) -prune -o -print"""

# It asks for a new name every time: no cache on the way has it.
WATCH = """
import itertools, json, signal, socket, time
ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
answers, last, longest_s = set(), time.monotonic(), 0.0
for number in itertools.count():
    try:
        found = socket.getaddrinfo(f"n{number}.example.test", None, socket.AF_INET)
    except OSError:
        pass
    else:
        answers.add(found[0][4][0])
        longest_s, last = max(longest_s, time.monotonic() - last), time.monotonic()
        if ends:
            break
        time.sleep(0.02)  # leave the machine some time for the upgrade
json.dump([sorted(answers), longest_s], open("/run/watched", "w"))
"""


class Machine(System):
    """A machine that gets secdns from a package, and what its owner does with apt."""

    def __init__(self, system: System, packages: Packages) -> None:
        super().__init__(system.guest)
        self._packages = packages

    def apt(self, *argv: str) -> str:
        return self.do("apt-get", "-qq", "-y", *argv, timeout_s=120)

    def install_package(self) -> str:
        """Install it, and give what that prints."""
        return self.apt("install", f"{PACKAGES}/{self._packages.first.name}")

    def upgrade(self) -> tuple[list[str], float]:
        """Install the next one, and give what names resolved to meanwhile, and the longest time without."""
        self.do("systemd-run", "--quiet", "--unit=watch", "python3", "-c", WATCH)
        self.apt("install", f"{PACKAGES}/{self._packages.second.name}")
        self.do("systemctl", "stop", "watch")
        answers, longest_s = json.loads(self.do("cat", "/run/watched"))
        return answers, longest_s

    def files(self) -> set[str]:
        return set(self.do("sh", "-c", FILES).splitlines())

    def units(self) -> str:
        """List what systemd has loaded of secdns, and its failures of the past."""
        wanted = ["--all", "--state=loaded,failed", "--plain", "--no-legend"]
        return self.do("systemctl", "list-units", *wanted, "secdns*")

    def kept(self) -> dict[str, list[object]]:
        """Give what a purge has to leave as it was: the snapshot without what is secdns's own."""
        return {key: value for key, value in self.snapshot().items() if key not in BACKUPS | CONFIGURATION}


Boot = Callable[[str], Machine]


@pytest.fixture(scope="module")
def boot(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """Boot the machine of a kind, once; no test leaves a trace of secdns there."""
    machines: dict[str, Machine] = {}
    with ExitStack() as stack:

        def take(kind: str) -> Machine:
            if kind not in machines:
                layer = tmp_path_factory.mktemp(kind) / "layer"
                bind = prepare(layer, kind) | {packages.first.parent: PACKAGES}
                (layer / "usr/local/bin/secdns").unlink()  # what runs is the package's
                guest = stack.enter_context(booted(layer, bind=bind))
                machines[kind] = Machine(System(guest), packages)
            machines[kind].do("systemctl", "restart", "upstream")  # it writes the configuration
            machines[kind].wait_for(BY_NETWORK, BACK_S)
            return machines[kind]

        yield take


def test_upgrade_and_purge_while_on_leave_all_as_it_was_before_the_install_need2(boot: Boot) -> None:
    machine = boot("resolved")
    before, files = machine.kept(), machine.files()
    assert "sudo secdns system on" in machine.install_package()
    assert machine.state() == "active"
    assert dns(machine.kept()) == dns(before), "nobody has turned it on"
    assert machine.look_up() == BY_NETWORK

    machine.secdns("system", "on")
    on, pid = machine.kept(), machine.main_pid()
    answers, longest_s = machine.upgrade()
    assert answers == [BY_UPSTREAM], "none went past secdns"
    assert longest_s < GAP_S
    assert machine.main_pid() not in (pid, "0")
    assert dns(machine.kept()) == dns(on)

    machine.apt("purge", "secdns")
    assert machine.look_up() == BY_NETWORK
    assert machine.kept() == before
    assert machine.files() == files - CONFIGURATION
    assert machine.units() == ""
    assert machine.run("id", "secdns").returncode == 1


def test_purge_while_on_puts_back_the_file_that_somebody_wrote_need2(boot: Boot) -> None:
    """Here what is changed would survive a reboot; and systemd holds the port, as README says how."""
    machine = boot("plain")
    before, files = machine.kept(), machine.files()
    machine.install_package()
    machine.do("sh", "-ec", SOCKET_UNIT)
    machine.secdns("system", "on")
    pid = machine.main_pid()
    for stage in ("rtupdate", "post-rtupdate"):  # as python3 does when its version changes
        machine.do("/usr/share/python3/runtime.d/secdns.rtupdate", stage, "python3.10", "python3.11")
    assert machine.main_pid() not in (pid, "0")
    machine.wait_for(BY_UPSTREAM, BACK_S)
    machine.apt("purge", "secdns")
    assert machine.look_up() == BY_NETWORK
    assert machine.kept() == before
    assert machine.files() == files - CONFIGURATION
    assert machine.units() == ""


SOCKET_UNIT = """
cd /usr/share/doc/secdns/examples
install -D -m 644 secdns-socket.conf /etc/systemd/system/secdns.service.d/socket.conf
systemctl daemon-reload
systemctl stop secdns
systemctl enable --now secdns.socket secdns
"""


def test_it_is_not_removed_before_the_settings_are_back_and_remove_keeps_what_is_a_persons_need2(
    boot: Boot,
) -> None:
    machine = boot("networkmanager")
    before = machine.kept()
    machine.install_package()
    assert "lan0 (10.9.0.1) is asked in plain" in machine.guest.journal("-u", "secdns"), "D-Bus says so"
    assert smoke(machine.do) == ANSWERS
    assert complete(machine, "secdns", "system", "") == ["off", "on", "status"]

    machine.secdns("system", "on")
    journal = "/run/secdns-system/journal.json"
    machine.do("sh", "-ec", f"cp -p {journal} /run/kept.json; echo '{{' > {journal}")
    failed = machine.run("apt-get", "-qq", "-y", "remove", "secdns")
    assert failed.returncode == 100
    assert f"{journal} is damaged" in failed.stdout + failed.stderr
    assert "could not be put back, so secdns was not removed" in failed.stdout + failed.stderr
    assert machine.state() == "active"
    assert machine.look_up() == BY_UPSTREAM

    machine.do("mv", "/run/kept.json", journal)
    machine.apt("remove", "secdns")
    assert machine.look_up() == BY_NETWORK
    assert machine.run("systemctl", "cat", "secdns").returncode == 1
    assert machine.files() > CONFIGURATION
    machine.apt("purge", "secdns")
    assert machine.kept() == before
    assert machine.run("find", "/usr", "/etc", "/var/lib", "/run", "-name", "*secdns*").stdout == ""


def complete(machine: Machine, *words: str) -> list[str]:
    """Give what bash offers when a person presses the tabulator key after these words."""
    script = 'source /usr/share/bash-completion/completions/secdns; COMP_WORDS=("$@"); '
    script += "COMP_CWORD=$(($# - 1)); _secdns_completion secdns; printf '%s\\n' \"${COMPREPLY[@]}\""
    return machine.do("bash", "-c", script, "bash", *words).split()


def dns(snapshot: dict[str, list[object]]) -> dict[str, list[object]]:
    """Keep of a snapshot the files that say who is asked for names."""
    return {key: value for key, value in snapshot.items() if key.startswith(DNS)}


DNS = ("/etc/NetworkManager", "/etc/hosts", "/etc/nsswitch", "/etc/resolv", "/etc/systemd/resolved", "/run")
