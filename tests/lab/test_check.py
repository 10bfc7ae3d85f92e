"""`secdns check` on a machine of its own: what is wrong with it, and what is not, in a few seconds.

The machine is that of ``test_system_dns``: namespaces with their own /etc and a network without a way out.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import programs
from tests.lab.conftest import StartDaemon
from tests.lab.daemon import Daemon
from tests.lab.demo_upstream import BOGUS, GOOD, DemoUpstream, demo_upstream
from tests.lab.netns import Namespace
from tests.lab.programs import find
from tests.lab.test_system_dns import House, housed

pytestmark = pytest.mark.real

SILENT = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.9", 53))
print("ready", flush=True)
sys.stdin.read()
"""
LONG_S = 12.0  # 5 s are promised; a busy machine takes longer to start a program
NAMES = ("--name", GOOD, "--bogus", BOGUS)


@dataclass(frozen=True, slots=True)
class Checked:
    """What it said of each check, with its text and its hint, and how it ended."""

    code: int
    results: dict[str, str]
    texts: dict[str, str]
    hints: dict[str, str | None]

    @property
    def failed(self) -> set[str]:
        return {name for name, result in self.results.items() if result == "fail"}


@dataclass(frozen=True, slots=True)
class Place:
    """A machine with an upstream, and secdns on it if a test wants that."""

    house: House
    upstream: DemoUpstream
    namespace: Namespace
    start: StartDaemon
    config: Path

    def run(self, more: str = "") -> Daemon:
        """Start the daemon with the upstream and ``more`` in [dnssec]."""
        text = self.upstream.config(more)
        self.config.write_text(text)
        return self.start(text, inside=self.namespace)

    def resolv_conf(self, *servers: str) -> None:
        text = "".join(f"nameserver {server}\n" for server in servers)
        (self.house.etc / "resolv.conf").write_text(text + "options timeout:1 attempts:1\n")

    def check(self) -> Checked:
        if not self.config.exists():
            self.config.write_text(self.upstream.config())
        began = time.monotonic()
        told = self.house.secdns("check", "--json", "--config", str(self.config), *NAMES)
        assert time.monotonic() - began < LONG_S
        assert told.stderr == ""
        document: dict[str, Any] = json.loads(told.stdout)
        checks = document["checks"]
        assert document["ok"] == (told.returncode == 0)
        return Checked(
            told.returncode,
            *({each["name"]: each[key] for each in checks} for key in ("result", "text", "hint")),
        )


@pytest.fixture
def own_socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the daemon of this test a place for its socket where no other daemon of the run has one."""
    with tempfile.TemporaryDirectory(prefix="secdns-test-") as directory:
        monkeypatch.setenv("RUNTIME_DIRECTORY", directory)
        yield


@pytest.fixture
def place(
    lab_namespace: Namespace, tmp_path: Path, own_socket: None, secdns_daemon: StartDaemon
) -> Iterator[Place]:
    with demo_upstream(lab_namespace, tmp_path) as upstream, housed(lab_namespace, tmp_path) as house:
        yield Place(house, upstream, lab_namespace, secdns_daemon, tmp_path / "check.toml")


def test_all_is_well_after_on_need9(place: Place) -> None:
    place.run()
    assert place.house.secdns("system", "on", "--config", str(place.config)).returncode == 0
    checked = place.check()
    assert set(checked.results.values()) == {"pass"}, checked.texts
    assert checked.code == 0
    assert "(in use: demo, DoT, TLSv1.3)" in checked.texts["daemon"]
    assert checked.texts["upstream"].startswith("demo answers in ")
    assert "DNS over TLS, TLSv1.3" in checked.texts["upstream"]
    assert checked.texts["certificate"].startswith("dns.test, from secdns testing CA, until ")
    assert checked.texts["dnssec-bogus"] == f"{BOGUS}, whose signatures are wrong, is refused"


def test_system_that_asks_another_resolver_is_told_need9(place: Place) -> None:
    place.run()
    checked = place.check()
    assert checked.code == 69
    assert checked.failed == {"system-resolver", "look-up"}
    assert checked.hints["system-resolver"] == "sudo secdns system on"
    assert "another resolver" in checked.texts["look-up"]
    assert checked.results["dnssec-good"] == "pass"  # the daemon itself is well


def test_second_resolver_in_resolv_conf_is_told_need9(place: Place) -> None:
    place.run()
    place.resolv_conf("127.0.0.1", "192.0.2.53", "2001:db8::53")
    checked = place.check()
    assert checked.failed == {"other-resolvers", "ipv6-resolvers"}
    assert "192.0.2.53 (/etc/resolv.conf)" in checked.texts["other-resolvers"]
    assert "2001:db8::53 (/etc/resolv.conf)" in checked.texts["ipv6-resolvers"]
    assert checked.results["look-up"] == "pass"


def test_dead_daemon_is_the_first_thing_told_need9(place: Place) -> None:
    daemon = place.run()
    assert place.house.secdns("system", "on", "--config", str(place.config)).returncode == 0
    daemon.stop()
    checked = place.check()
    assert checked.failed == {"listening", "system-resolver"}
    assert "Connection refused" in checked.texts["listening"]
    assert "sudo systemctl start secdns" in (checked.hints["listening"] or "")
    assert checked.texts["system-resolver"].startswith("silent: ")
    assert checked.results["upstream"] == "pass"  # asked by the command itself


def test_bogus_name_that_is_accepted_is_told_need9(place: Place) -> None:
    place.run(f'negative_trust_anchors = ["{BOGUS}"]')
    place.resolv_conf("127.0.0.1")
    checked = place.check()
    assert checked.failed == {"dnssec-bogus"}
    assert "is answered all the same" in checked.texts["dnssec-bogus"]


def test_upstream_that_falls_silent_is_told_in_time_need9(place: Place) -> None:
    place.run()
    place.resolv_conf("127.0.0.1")
    place.upstream.process.send_signal(signal.SIGSTOP)
    try:
        checked = place.check()
    finally:
        place.upstream.process.send_signal(signal.SIGCONT)
    assert {"upstream", "dnssec-good"} <= checked.failed
    assert "upstream" in checked.texts["dnssec-good"]
    assert (checked.results["listening"], checked.results["look-up"]) == ("pass", "pass")


def test_upstream_that_is_down_is_told_need9(place: Place) -> None:
    place.run()
    place.resolv_conf("127.0.0.1")
    place.upstream.stop()
    checked = place.check()
    assert checked.failed == {"daemon", "upstream", "dnssec-good"}
    assert "refused" in checked.texts["upstream"].lower()
    assert (checked.results["look-up"], checked.results["dnssec-bogus"]) == ("pass", "skipped")


def test_port_53_that_dnsmasq_holds_is_told_with_process_and_cure_need9(place: Place, tmp_path: Path) -> None:
    argv = [
        find("dnsmasq"), "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
        "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=", "--user=root",
        "--address=/example.test/192.0.2.1",
    ]  # fmt: skip
    ask = (find("dig"), "@127.0.0.1", "+time=1", "+tries=1", "example.test")
    with programs.running(
        argv,
        tmp_path / "dnsmasq.log",
        lambda: "192.0.2.1" in place.namespace.run(*ask).stdout,
        prefix=place.namespace.prefix,
    ) as dnsmasq:
        place.resolv_conf("127.0.0.1")
        checked = place.check()
    assert checked.failed == {"listening"}
    assert checked.texts["listening"].startswith(f"127.0.0.1 is taken by dnsmasq (pid {dnsmasq.pid}")
    assert "stop dnsmasq, or listen elsewhere" in (checked.hints["listening"] or "")
    assert f"dnsmasq (pid {dnsmasq.pid}) on 127.0.0.1" in checked.texts["port-53"]


def test_resolver_that_never_answers_does_not_keep_anybody_waiting_need9(place: Place) -> None:
    """The C library would wait for 90 seconds."""
    place.run()
    servers = "nameserver 127.0.0.9\n" * 3
    (place.house.etc / "resolv.conf").write_text(servers + "options timeout:30 attempts:1\n")
    with subprocess.Popen(
        [*place.namespace.prefix, sys.executable, "-c", SILENT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as silent:  # fmt: skip
        assert silent.stdout and silent.stdin  # noqa: PT018
        assert silent.stdout.readline() == "ready\n"
        checked = place.check()
        silent.stdin.close()
    assert {"system-resolver", "look-up"} == checked.failed
    assert checked.results["dnssec-good"] == "pass"


def test_doctor_says_as_much_and_nothing_of_whose_machine_it_is_need37(place: Place) -> None:
    place.run()
    (place.house.etc / "resolv.conf").write_text("search lan.example homenet\nnameserver 192.0.2.53\n")
    assert place.house.secdns("system", "on", "--config", str(place.config)).returncode == 0
    told = place.house.secdns("doctor", "--config", str(place.config), *NAMES)
    assert (told.returncode, told.stderr) == (0, "")
    assert "Nothing is wrong: names on this machine go through secdns." in told.stdout
    assert "on: names are looked up through secdns (by the file /etc/resolv.conf)" in told.stdout
    for secret in ("lan.example", "homenet", "192.0.2.53", "demo", "dns.test", GOOD, str(place.config)):
        assert secret not in told.stdout
