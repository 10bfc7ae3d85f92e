"""A Debian machine with systemd, booted in a container within a second, to be broken at will.

It has no network but what is made inside. Its files are a tree that stays as it is, a layer that a
test prepares above it, and a file system in memory for what changes, which a reboot keeps. All of that is
in namespaces of its own and goes with the last process in it, however that ends.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from tests.lab.programs import find
from tests.lab.tree import NoTree, debian_tree

SUITE = "bookworm"
PACKAGES = (
    "ca-certificates",  # the Debian package of secdns wants it
    "dbus",
    "dnsmasq-base",
    "iproute2",
    "libnss-resolve",
    "libpam-systemd",  # polkit, which NetworkManager wants, wants it
    "network-manager",
    "procps",
    "python3",
    "systemd-resolved",
    "systemd-sysv",
)
DESKTOP = ("gnome-shell", "gnome-shell-extension-appindicator", "xdotool", "xvfb")
"""What the tree grows by for the tests of the tray."""
BOOT_S = 60.0
"""How long a boot may take: 1 s on an idle machine."""
OFF_S = 30.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SPACE = "256m"

# Of systemd as process 1 (systemd(1), "Signals").
_POWER_OFF = signal.SIGRTMIN + 4

_SETUP = """
set -e
for place in $4; do mkdir -p "$place"; echo $$ > "$place/cgroup.procs"; done
mount --make-rprivate /
mount -t tmpfs -o "size=$3,mode=755" changes "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" machine "$1/root"
place=$1
shift 4
# It ends with 133 for a machine that wants to boot again.
while "$@" --directory="$place/root"; [ $? = 133 ]; do :; done
"""

_numbers = count()


class Guest:
    """The booted machine. Every command runs as root inside, with a plain environment."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log
        self._leader = 0

    def run(self, *argv: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command and wait for its end; it is not checked."""
        prefix = [find("nsenter", "util-linux"), f"--target={self._leader}"]
        prefix += ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]
        environment = ["env", "-i", "-C", "/", f"PATH={PATH}", "LC_ALL=C.UTF-8", "HOME=/root"]
        return subprocess.run(
            [*prefix, *environment, *argv],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def do(self, *argv: str, timeout_s: float = 60.0) -> str:
        """Run a command that must end with 0, and give what it prints."""
        done = self.run(*argv, timeout_s=timeout_s)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}{done.stdout}\n{self.journal()}"
        return done.stdout

    def root(self) -> Path:
        """Give the guest's files as they are to be found from here."""
        return Path(f"/proc/{self._leader}/root")

    def journal(self, *argv: str) -> str:
        """Give the end of the guest's journal."""
        return self.run("journalctl", "--no-pager", "--lines=60", *argv).stdout

    def wait_until(self, what: str, timeout_s: float, *argv: str) -> None:
        """Run a command again and again until it ends with 0."""
        deadline = time.monotonic() + timeout_s
        while self.run(*argv).returncode != 0:
            assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s\n{self.journal()}"
            time.sleep(0.1)

    def wait_booted(self) -> None:
        """Wait until systemd has started all that it is to start.

        Raises:
            NoTree: containers cannot be booted here.
        """
        deadline = time.monotonic() + BOOT_S
        before, self._leader = self._leader, 0
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                raise NoTree(f"to boot a tree, which fails here: {self._tail()}")
            leader = self._child()
            if leader not in (0, before):
                self._leader = leader
                if self.run("systemctl", "is-system-running", "--wait").stdout.strip() in _BOOTED:
                    return
            time.sleep(0.05)
        raise AssertionError(f"not booted within {BOOT_S:.0f} s: {self._tail()}")

    def reboot(self) -> None:
        """Have it reboot, and wait until it has."""
        self.run("systemctl", "reboot", "--no-block")
        deadline, before = time.monotonic() + OFF_S, self._leader
        while self._child() == before:
            assert time.monotonic() < deadline, f"still there {OFF_S:.0f} s after reboot: {self._tail()}"
            time.sleep(0.05)
        self.wait_booted()

    def crash(self) -> None:
        """Pull the plug: nothing has time to put back anything."""
        self.run("systemctl", "reboot", "--force", "--force")
        self.wait_booted()

    def power_off(self) -> None:
        """Have it off; the container manager is never killed, since it would leave the guest behind."""
        deadline = time.monotonic() + OFF_S
        number = _POWER_OFF
        while self._popen.poll() is None:
            if leader := self._child():
                with suppress(ProcessLookupError):
                    os.kill(leader, number)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(OFF_S / 2)
            if time.monotonic() > deadline:
                number = signal.SIGKILL  # the guest's first process; all others end with it

    def _child(self) -> int:
        """Give the process that is the guest's first one; 0 while there is none."""
        for manager in _children(self._popen.pid):
            for pid in _children(manager):
                with suppress(OSError, IndexError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    is_first = status.partition("NSpid:")[2].splitlines()[0].split()[-1] == "1"
                    if is_first and status.startswith("Name:\tsystemd\n"):
                        return pid
        return 0

    def _tail(self) -> str:
        return " / ".join(self._log.read_text(errors="replace").splitlines()[-5:])


_BOOTED = ("running", "degraded")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@contextmanager
def booted(layer: Path, *, bind: dict[Path, str] | None = None, tree: Path | None = None) -> Iterator[Guest]:
    """Boot a machine and have it off at the end, whatever happens in between.

    ``layer`` is a folder with what is added to the tree or hides it, owned by root. ``bind`` are
    folders of this machine that can be read there under another path. ``tree`` is another one than usual.

    Raises:
        MissingProgram: systemd-nspawn is not installed.
        NoTree: it takes root, a tree, and rights that this machine may not give.
    """
    nspawn = find("systemd-nspawn")
    tree = tree or debian_tree(SUITE, PACKAGES)
    name = f"secdns-lab-{os.getpid()}-{next(_numbers)}"
    place = layer.parent / name
    place.mkdir()
    groups = [Path(base, name) for base in _CGROUPS if Path(base, "cgroup.procs").exists()]
    command = [nspawn, "--boot", f"--machine={name}", "--private-network", "--register=no", "--keep-unit"]
    command += ["--console=pipe", "--quiet", "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
    command += [f"--bind-ro={path}:{target}" for path, target in (bind or {}).items()]
    # If we are killed it is told to end in good order, and does.
    faithful = [find("setpriv", "util-linux"), "--pdeathsig", "TERM"]
    argv = [*faithful, find("unshare", "util-linux"), "--mount", "sh", "-c", _SETUP, "sh"]
    argv += [str(place), f"{layer}:{tree}", SPACE, " ".join(map(str, groups)), *faithful, *command]
    log = layer.parent / f"{name}.log"
    hybrid = Path(_CGROUPS[0]).exists()
    with log.open("wb") as file:
        popen = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0" if hybrid else "1"},
        )  # fmt: skip
    guest = Guest(popen, log)
    try:
        guest.wait_booted()
        yield guest
    finally:
        guest.power_off()
        place.rmdir()
        for group in groups:
            _remove_folders(group)
        _remove_folders(Path("/run/systemd/nspawn/propagate", name))  # it leaves this where /run is a disk


_CGROUPS = (
    ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]
    if Path("/sys/fs/cgroup/systemd").exists()
    else ["/sys/fs/cgroup"]
)


def _remove_folders(top: Path) -> None:
    """Remove folders without files, as those of control groups are."""
    for directory, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            os.rmdir(directory)


def add_file(layer: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Put a file into a layer."""
    at = layer / path.lstrip("/")
    at.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    at.unlink(missing_ok=True)  # a link in there leads out of the layer: to this machine's /dev/null
    at.write_text(text)
    at.chmod(mode)


def add_link(layer: Path, path: str, target: str) -> None:
    """Put a symbolic link into a layer."""
    at = layer / path.lstrip("/")
    at.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    at.symlink_to(target)


def hide(layer: Path, path: str) -> None:
    """Have a file of the tree not be there (a whiteout, in the words of overlayfs)."""
    at = layer / path.lstrip("/")
    at.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    os.mknod(at, 0o020000, os.makedev(0, 0))


def add_secdns(layer: Path) -> dict[Path, str]:
    """Put secdns into a layer as a program of root's own, in /opt/secdns; give what has to be bound for it.

    Raises:
        NoTree: this Python is of another version than the tree's, which cannot load our libraries.
    """
    import click

    import secdns

    tree = debian_tree(SUITE, PACKAGES)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not (tree / "usr/bin" / version).exists():
        raise NoTree(f"the Python of Debian {SUITE}, to run secdns in a tree of it; this is {version}")
    package = Path(secdns.__file__).parent
    shutil.copytree(package, layer / "opt/secdns/lib/secdns", dirs_exist_ok=True)
    for source in ("systemd", "man"):
        shutil.copytree(package.parent / "packaging" / source, layer / "opt/secdns/packaging" / source)
    for directory, _, files in os.walk(layer / "opt"):
        os.chmod(directory, 0o755)
        for file in files:
            os.chmod(Path(directory, file), 0o755)
    add_file(layer, "/opt/secdns/bin/secdns", _LAUNCHER, 0o755)
    add_link(layer, "/usr/local/bin/secdns", "/opt/secdns/bin/secdns")
    return {Path(click.__file__).parents[1]: LIBRARIES}


LIBRARIES = "/opt/secdns/site-packages"
_LAUNCHER = f"""#!/usr/bin/python3 -IB
import sys
sys.path[:0] = ["/opt/secdns/lib", "{LIBRARIES}"]
from secdns.__main__ import main
sys.exit(main())
"""
