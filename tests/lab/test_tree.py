"""The trees of other Debian releases: made once, whole or not at all.

A shell script stands in for debootstrap.
"""

import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import programs, tree
from tests.lab.tree import NoTree, debian_tree, grown, inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs: root, as the trees do")

ROOT = Path(__file__).parents[2]
Stand = Callable[[str], None]

WHOLE = 'echo "$@" >> "$0.runs"\nmkdir "$4/bin"\n'
"""What stands in for debootstrap, which gets a variant, packages, suite, target and mirror."""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Let a script with these lines stand in for debootstrap; the cache folder is ``cache`` in tmp_path."""
    script = tmp_path / "debootstrap"
    monkeypatch.setenv(tree.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(
        tree, "find", lambda name: str(script) if name == script.name else programs.find(name)
    )
    monkeypatch.setattr(tree, "_mirror", lambda: "http://mirror.invalid/debian")

    def stand(lines: str) -> None:
        script.write_text(f"#!/bin/sh\n{lines}")
        script.chmod(0o755)

    return stand


def test_tree_is_made_once_and_kept(stand_in: Stand, tmp_path: Path) -> None:
    stand_in(WHOLE)
    made = debian_tree("suite", ["b", "a"])
    assert (made / "bin").is_dir()
    assert debian_tree("suite", ["a", "b"]) == made
    (run,) = (tmp_path / "debootstrap.runs").read_text().splitlines()
    variant, include, suite, _, mirror = run.split()
    want = ("--variant=minbase", "--include=b,a", "suite", "http://mirror.invalid/debian")
    assert (variant, include, suite, mirror) == want


def test_two_at_once_make_one(stand_in: Stand, tmp_path: Path) -> None:
    stand_in(WHOLE)
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(debian_tree("suite", ["a"]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1
    assert len((tmp_path / "debootstrap.runs").read_text().splitlines()) == 1


def test_failure_says_why_leaves_nothing_and_is_not_repeated(stand_in: Stand, tmp_path: Path) -> None:
    stand_in(WHOLE + "echo E: no such suite\nexit 1\n")
    for _ in range(2):
        with pytest.raises(NoTree, match="a tree of Debian suite: debootstrap failed: E: no such suite"):
            debian_tree("suite", ["a"])
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["suite-a.lock"]
    assert len((tmp_path / "debootstrap.runs").read_text().splitlines()) == 1


def test_one_that_takes_too_long_is_ended_with_all_it_started(
    stand_in: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "TIMEOUT_S", 0.0)  # a second is the least that it gets
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as end:
        stand_in(f"(exec sleep 100 > {pipe}) &\nexec sleep 100 > {pipe}\n")
        with pytest.raises(NoTree, match="debootstrap took over 0 s"):
            debian_tree("suite", ["a"])
        assert end.read() == b"", "who has it open for writing lives on"
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["suite-a.lock"]


def test_what_a_killed_run_left_is_cleared_away(stand_in: Stand, tmp_path: Path) -> None:
    stand_in(WHOLE)
    left = tmp_path / "cache" / "suite-a.part-old"
    (left / "bin").mkdir(parents=True)
    debian_tree("suite", ["a"])
    assert not left.exists()


def test_tree_grows_whole_or_not_at_all_and_is_left_alone_itself(
    stand_in: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(WHOLE)
    small = debian_tree("suite", ["a"])
    before = sorted(small.rglob("*"))
    with pytest.raises(NoTree, match=r"a tree with b: apt-get failed: .*/proc"):
        grown(small, ["b"])  # nothing is in there to work with
    monkeypatch.setattr(tree, "_failed", {})
    monkeypatch.setattr(tree, "_GROW", 'mkdir "$0/$1"')
    large = grown(small, ["b"])
    assert grown(small, ["b"]) == large
    assert sorted(path.name for path in large.iterdir()) == ["b", "bin"]
    assert sorted(small.rglob("*")) == before
    assert not list(large.parent.glob("*.part-*"))


def test_files_are_under_the_same_path_inside_and_its_mounts_go_with_it(tmp_path: Path) -> None:
    def mounted_here() -> list[str]:
        lines = Path("/proc/mounts").read_text().splitlines()  # others mount elsewhere meanwhile
        return [line for line in lines if line.split()[1] == tempfile.gettempdir()]

    (tmp_path / "file").write_text("seen")
    before = mounted_here()
    argv = [*inside(Path("/")), "cat", str(tmp_path / "file"), "/proc/self/mountinfo"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith("seen")
    assert mounted_here() == before


SLOW = """#!/bin/sh
mkdir "$4/bin"
echo begun > "$0.runs"
exec sleep 100
"""
"""What stands in for debootstrap."""
APT = f"#!/bin/sh\necho http://mirror.invalid main {platform.freedesktop_os_release()['VERSION_CODENAME']}\n"


def test_making_them_ahead_leaves_nothing_when_it_is_ended(tmp_path: Path) -> None:
    """As ``tests/run`` has it."""
    for name, script in (("debootstrap", SLOW), ("apt-get", APT)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    cache = tmp_path / "cache"
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", tree.CACHE_VARIABLE: str(cache)}
    making = programs.start(
        [sys.executable, "-m", "tests.lab.trees"], tmp_path / "log", env={**env, "PYTHONPATH": str(ROOT)}
    )
    try:
        programs.wait_until_ready(making, (tmp_path / "debootstrap.runs").exists)
    finally:
        status = programs.stop(making)
    assert status == 128 + signal.SIGTERM
    assert [entry.suffix for entry in cache.iterdir()] == [".lock"]
