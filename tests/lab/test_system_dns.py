"""`secdns system` and `secdns rescue` as a person types them, with the C library's own look-ups.

In a network namespace with nothing but loopback, and a mount namespace in which /etc, /run and
/var/lib are the test's own: of the machine itself nothing is changed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import servers
from tests.lab.conftest import StartDaemon
from tests.lab.netns import Namespace, NoNamespaces
from tests.lab.programs import find
from tests.lab.servers import Certificates, Upstream
from tests.lab.test_getaddrinfo import ASK, ready_inside

pytestmark = pytest.mark.real

RESOLV_CONF = "# the administrator's\nnameserver 192.0.2.53\noptions timeout:1 attempts:1\n"
SETTLE = """
mount --make-rprivate / || exit
for file in resolv.conf hosts nsswitch.conf; do  # ip netns exec has mounted these
  while umount /etc/$file 2> /dev/null; do :; done
done
mount --bind {etc} /etc && mount --bind {run} /run && mount --bind {lib} /var/lib && echo ready && exec cat
"""


class House:
    """The mount namespace: run commands in it, look at its files from outside."""

    def __init__(self, pid: int, place: Path) -> None:
        self.etc, self.run_directory, self.lib = place / "etc", place / "run", place / "lib"
        self._prefix = [find("nsenter", "util-linux"), f"--target={pid}", "--mount", "--net", "--"]

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._prefix, *argv], capture_output=True, text=True, timeout=60, check=False, cwd="/",
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )  # fmt: skip

    def secdns(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "secdns", *argv)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start secdns and do not wait; nsenter execs, so its pid is that of the program."""
        command = [*self._prefix, sys.executable, "-m", "secdns", *argv]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_until_changed(self) -> None:
        """Wait until resolv.conf, which is replaced in one step, is no longer the administrator's."""
        deadline = time.monotonic() + 20
        while (self.etc / "resolv.conf").read_text() == RESOLV_CONF:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def look_up(self, name: str) -> str:
        return self.run(sys.executable, "-I", "-c", ASK, name).stdout.strip()

    def facts(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Give every file and link of /etc: mode, owner, content."""
        found = {}
        for at in sorted(self.etc.iterdir()):
            status = at.lstat()
            content = (
                os.readlink(at).encode() if at.is_symlink() else at.read_bytes() if at.is_file() else b""
            )
            found[at.name] = (status.st_mode, status.st_uid, status.st_gid, content)
        return found


@pytest.fixture
def house(lab_namespace: Namespace, tmp_path: Path) -> Iterator[House]:
    with housed(lab_namespace, tmp_path) as made:
        yield made


@contextmanager
def housed(namespace: Namespace, place: Path) -> Iterator[House]:
    for name in ("etc", "run", "lib"):
        (place / name).mkdir()
    (place / "etc" / "resolv.conf").write_text(RESOLV_CONF)
    (place / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (place / "etc" / "nsswitch.conf").write_text("passwd: files\nhosts: files dns\n")
    (place / "etc" / "machine-id").write_text("0f1e2d3c4b5a69788796a5b4c3d2e1f0\n")
    for name in ("passwd", "group", "localtime", "ld.so.cache", "ld.so.conf"):
        if Path("/etc", name).exists():
            shutil.copy(Path("/etc", name), place / "etc" / name)
    script = SETTLE.format(etc=place / "etc", run=place / "run", lib=place / "lib")
    unshare = find("unshare", "util-linux")
    holder = subprocess.Popen(
        [*namespace.prefix, unshare, "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdin and holder.stdout and holder.stderr  # noqa: PT018
    try:
        if holder.stdout.readline() != "ready\n":
            raise NoNamespaces(holder.stderr.read().strip())
        yield House(holder.pid, place)
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()
        holder.stderr.close()


@pytest.fixture
def upstream(tmp_path: Path, certificates: Certificates, lab_namespace: Namespace) -> Iterator[Upstream]:
    ready, prefix = ready_inside(lab_namespace), lab_namespace.prefix
    with (
        servers.nsd(tmp_path / "nsd", ready=ready, prefix=prefix) as authority,
        servers.unbound(
            tmp_path / "unbound", certificates, authority.port, ready=ready, prefix=prefix
        ) as started,
    ):
        yield started


@pytest.fixture
def daemon(upstream: Upstream, lab_namespace: Namespace, secdns_daemon: StartDaemon) -> None:
    secdns_daemon(
        '[server]\nlisten = ["127.0.0.1:53"]\n' + upstream.config_table("tls"), inside=lab_namespace
    )


def test_on_is_proven_by_getaddrinfo_and_off_gives_back_need2_t3_need9(house: House, daemon: None) -> None:
    before = house.facts()
    assert house.look_up("www.example.test").startswith("gaierror")
    told = house.secdns("system", "on")
    assert (told.returncode, told.stdout) == (
        0, "on: a name that was looked up as programs do it has arrived at secdns\n",
    ), told.stderr  # fmt: skip
    assert "options edns0 trust-ad" in (house.etc / "resolv.conf").read_text()
    assert house.look_up("www.example.test") == "192.0.2.1 2001:db8::1"
    status = json.loads(house.secdns("system", "status", "--json").stdout)
    assert (status["state"], status["named"]) == ("on", ["127.0.0.1"])
    assert status["network"]["servers"] == ["192.0.2.53"]
    assert status["journal"] == "/var/lib/secdns-system/journal.json"
    assert house.secdns("system", "on").returncode == 0
    off = house.secdns("system", "off")
    assert (off.returncode, off.stderr) == (0, "")
    assert house.facts() == before
    assert house.look_up("www.example.test").startswith("gaierror")


def test_rescue_gives_back_without_a_daemon_need2(
    house: House, upstream: Upstream, lab_namespace: Namespace, secdns_daemon: StartDaemon
) -> None:
    before = house.facts()
    running = secdns_daemon(
        '[server]\nlisten = ["127.0.0.1:53"]\n' + upstream.config_table("tls"), inside=lab_namespace
    )
    assert house.secdns("system", "on").returncode == 0
    running.stop()
    status = json.loads(house.secdns("system", "status", "--json").stdout)
    assert status["state"] == "silent"
    rescued = house.secdns("rescue")
    assert (rescued.returncode, rescued.stderr) == (0, "")
    assert "  nameserver 192.0.2.53\n" in rescued.stdout
    assert house.facts() == before


def test_look_ups_that_go_elsewhere_are_noticed_and_taken_back_need2(house: House, daemon: None) -> None:
    """The machine resolves without resolv.conf: nsswitch.conf knows nothing but the hosts file."""
    (house.etc / "nsswitch.conf").write_text("hosts: files\n")
    before = house.facts()
    told = house.secdns("system", "on")
    assert told.returncode == 69
    assert "secdns: error: names do not go through secdns: the system could not find" in told.stderr
    assert "everything is as it was before" in told.stderr
    assert house.facts() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda each: each.name)
def test_signal_during_the_proof_takes_everything_back_need2_t5(
    number: signal.Signals, house: House, daemon: None
) -> None:
    (house.etc / "nsswitch.conf").write_text("hosts: files\n")  # so it tries, and tries again
    before = house.facts()
    with house.start("system", "on") as process:
        house.wait_until_changed()
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert house.facts() == before


def test_kill_at_any_time_leaves_what_rescue_puts_back_need2_t5(house: House, daemon: None) -> None:
    (house.etc / "nsswitch.conf").write_text("hosts: files\n")
    before = house.facts()
    with house.start("system", "on") as process:
        house.wait_until_changed()
        process.kill()
        process.communicate(timeout=20)
    assert house.facts() != before
    assert house.secdns("rescue").returncode == 0
    assert house.facts() == before


def test_nobody_on_the_port_changes_nothing_need2(house: House) -> None:
    before = house.facts()
    told = house.secdns("system", "on")
    assert told.returncode == 69
    assert (
        "secdns does not answer at 127.0.0.1 port 53: Connection refused: nothing was changed" in told.stderr
    )
    assert house.facts() == before
    assert not (house.run_directory / "secdns-system").exists()
    assert not (house.lib / "secdns-system").exists()


def test_resolv_conf_that_is_mounted_over_is_refused(house: House, daemon: None) -> None:
    (house.etc / "other").write_text("nameserver 192.0.2.54\n")
    assert house.run("mount", "--bind", "/etc/other", "/etc/resolv.conf").returncode == 0
    before = house.facts()
    told = house.secdns("system", "on")
    assert told.returncode == 73
    assert "secdns: error: /etc/resolv.conf is mounted over" in told.stderr
    assert "secdns: hint: set 127.0.0.1 where that is started" in told.stderr
    assert house.facts() == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda etc: (etc / "resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf"),
            "is a link to /run/systemd/resolve/stub-resolv.conf, which is not there",
            id="dangling link",
        ),
        pytest.param(
            lambda etc: (etc / "resolv.conf").mkdir(), "is neither a file nor a link", id="directory"
        ),
    ],
)
def test_resolv_conf_that_is_no_file_is_refused(
    spoil: Callable[[Path], None], message: str, house: House, daemon: None
) -> None:
    (house.etc / "resolv.conf").unlink()
    spoil(house.etc)
    before = house.facts()
    told = house.secdns("system", "on")
    assert told.returncode == 73
    assert f"secdns: error: /etc/resolv.conf {message}: nothing was changed" in told.stderr
    assert house.facts() == before
