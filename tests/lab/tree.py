"""Trees of other Debian releases, for programs that this machine's own release has too old or not at all.

``debootstrap`` makes a tree once; it stays in a cache folder for the next run. Programs run in it by chroot,
in a mount namespace of their own: what is mounted there goes when they end, however they end.
"""

import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tests.lab.programs import find

CACHE_VARIABLE = "SECDNS_TEST_CACHE"
"""The environment variable that names another cache folder than ``secdns-tests`` in the user's."""

TIMEOUT_S = 300.0
"""How long a tree may take: 25 s with a mirror near by, and another run may be making it."""

DEBIAN_13 = ("trixie", ("dnscrypt-proxy", "knot", "python3"))
"""The one tree that tests and benchmark share: Knot that speaks QUIC, and a peer that forwards over DoH."""

_failed: dict[Path, str] = {}  # so that one run does not try for every test


class NoTree(Exception):
    """A tree cannot be made here; the message says why."""


def cache_directory() -> Path:
    """Give the folder that the trees are kept in."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "secdns-tests")


def debian_tree(suite: str, packages: Sequence[str]) -> Path:
    """Give the path of a tree of this Debian release with these packages, and make it if it is not there.

    Whoever comes while another makes it waits. A tree that is not complete never has this path.

    Raises:
        MissingProgram: debootstrap is not installed.
        NoTree: it takes root, a mirror that apt knows, and less than ``TIMEOUT_S``.
    """
    tree = cache_directory() / f"{suite}-{'+'.join(sorted(packages))}"
    if os.geteuid() != 0:
        raise NoTree(f"root, to enter a tree of Debian {suite}")
    if tree.is_dir():
        return tree
    if tree in _failed:
        raise NoTree(_failed[tree])
    program = find("debootstrap")
    deadline = time.monotonic() + TIMEOUT_S
    try:
        tree.parent.mkdir(parents=True, exist_ok=True)
        with tree.with_name(f"{tree.name}.lock").open("w") as file:
            _lock(file, deadline)
            if not tree.is_dir():
                _make(program, suite, packages, tree, deadline)
    except (NoTree, OSError) as problem:
        _failed[tree] = f"a tree of Debian {suite}: {problem}"
        raise NoTree(_failed[tree]) from problem
    return tree


def grown(tree: Path, packages: Sequence[str]) -> Path:
    """Give the path of a tree with these packages besides, which apt adds to a copy of ``tree``.

    That is for many packages: debootstrap cannot put a desktop's in order, and apt knows how.

    Raises:
        NoTree: it takes a mirror, and less than ``TIMEOUT_S``.
    """
    name = f"{tree.name.partition('-')[0]}-and-{'+'.join(sorted(packages))}"
    larger = tree.with_name(name)
    if larger.is_dir():
        return larger
    if larger in _failed:
        raise NoTree(_failed[larger])
    deadline = time.monotonic() + TIMEOUT_S
    try:
        with larger.with_name(f"{name}.lock").open("w") as file:
            _lock(file, deadline)
            if not larger.is_dir():
                with _scratch(larger) as scratch:
                    scratch.rmdir()
                    subprocess.run(["cp", "-a", "--reflink=auto", str(tree), str(scratch)], check=True)
                    _run_apart("apt-get", ["sh", "-c", _GROW, str(scratch), *packages], deadline)
                    scratch.rename(larger)
    except (NoTree, OSError, subprocess.SubprocessError) as problem:
        _failed[larger] = f"a tree with {packages[0]}: {problem}"
        raise NoTree(_failed[larger]) from problem
    return larger


# In a mount namespace; what the tree has of its own in these places is back at the end.
_GROW = """
set -e
mount -t proc proc "$0/proc"
mount -t tmpfs -o mode=755 devices "$0/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
  mknod -m 666 "$0/dev/${node%:*}" c 1 "${node#*:}"
done
ln -s /proc/self/fd "$0/dev/fd"
mount -t tmpfs -o mode=755 run "$0/run"
mkdir -p "$0/run/systemd/resolve"
cp /etc/resolv.conf "$0/run/systemd/resolve/stub-resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$0/usr/sbin/policy-rc.d"
chmod 755 "$0/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
chroot "$0" apt-get -qq update
chroot "$0" apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io install --yes \
  --no-install-recommends "$@"
chroot "$0" apt-get clean
rm -r "$0/usr/sbin/policy-rc.d" "$0"/var/lib/apt/lists/*
"""


def inside(tree: Path) -> tuple[str, ...]:
    """Give what comes before a command to run it in the tree; it execs, so the pid is the command's own.

    The folder for temporary files is the machine's own in there, under the same path.
    """
    shared = tempfile.gettempdir()
    script = 'mkdir -p "$0$1" && mount --bind "$1" "$0$1" && tree=$0 && shift && exec chroot "$tree" "$@"'
    return (find("unshare"), "--mount", "sh", "-c", script, str(tree), shared)


def _lock(file: TextIO, deadline: float) -> None:
    """Hold the file's lock until it is closed."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise NoTree(f"another run has been making it for over {TIMEOUT_S:.0f} s") from None
            time.sleep(0.2)
        else:
            return


def _make(program: str, suite: str, packages: Sequence[str], tree: Path, deadline: float) -> None:
    mirror = _mirror()
    with _scratch(tree) as scratch:
        include = f"--include={','.join(packages)}"
        argv = [program, "--variant=minbase", include, suite, str(scratch), mirror]
        _run_apart("debootstrap", argv, deadline)
        shutil.rmtree(scratch / "var/cache/apt/archives", ignore_errors=True)  # the packages: 60 MB
        scratch.chmod(0o755)
        scratch.rename(tree)


def _run_apart(title: str, argv: Sequence[str], deadline: float) -> None:
    """Run what makes a tree until ``deadline``; all of it ends with its first process.

    Raises:
        NoTree: it failed, or took too long.
    """
    left_s = max(1, round(deadline - time.monotonic()))
    apart = [find("unshare"), "--mount", "--pid", "--fork", "--kill-child"]
    done = subprocess.run(
        [*apart, "timeout", "--signal=KILL", str(left_s), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **_proxies()},
        check=False,
    )
    if done.returncode == 128 + signal.SIGKILL:
        raise NoTree(f"{title} took over {TIMEOUT_S:.0f} s")
    if done.returncode != 0:
        raise NoTree(f"{title} failed: {' / '.join(done.stdout.splitlines()[-3:])}")


@contextmanager
def _scratch(tree: Path) -> Iterator[Path]:
    """Have a folder beside the tree, without those that a killed run left; the lock is ours."""
    for left in tree.parent.glob(f"{tree.name}.part-*"):
        shutil.rmtree(left)
    scratch = Path(tempfile.mkdtemp(prefix=f"{tree.name}.part-", dir=tree.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _mirror() -> str:
    """Give the mirror that apt on this machine has the release from that runs here."""
    try:
        codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(RELEASE) $(CODENAME)"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (KeyError, OSError, subprocess.SubprocessError) as problem:
        raise NoTree(f"no mirror, since apt does not say which it uses: {problem}") from problem
    for line in listed.splitlines():
        uri, component, *names = line.split()
        if component == "main" and codename in names and uri.startswith("http"):
            return uri
    raise NoTree(f"no mirror: apt has none of {codename}")


def _proxies() -> dict[str, str]:
    """Give the proxies that apt is told to use, as debootstrap wants to hear of them."""
    shown = subprocess.run(
        ["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = re.findall(r'^Acquire::(https?)::Proxy "(.+)";', shown, re.MULTILINE)
    return {f"{scheme}_proxy": proxy for scheme, proxy in found if proxy != "DIRECT"}
