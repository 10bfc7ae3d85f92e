"""`secdns rescue`: with nothing but Python, whatever state things are in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from secdns.osdns import journal, switch
from secdns.osdns import rescue as module
from secdns.osdns.rescue import rescue
from tests.osdns.machines import MACHINES, US, Fake, World, make

RUN_MAIN = """
import json, sys
before = set(sys.modules)
from pathlib import Path
import secdns.osdns.rescue as rescue
from secdns.osdns.machine import Machine

class Here(Machine):
    def __init__(self):
        super().__init__(Path(sys.argv[1]))
    def may_change(self):
        return True

rescue.Machine = Here
from secdns.__main__ import main
code = main(["rescue"])
print(json.dumps([code, sorted({name.partition(".")[0] for name in set(sys.modules) - before})]))
"""


def turn_on(world: World) -> None:
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=0)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A Python path on which every library of ours is broken."""
    for name in ("click", "httpx", "h2", "aioquic", "cryptography", "rich", "dns", "platformdirs"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('broken')\n")
    return str(tmp_path)


def test_rescue_needs_the_standard_library_alone_need2(
    broken: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("machine")
    world = make("plain file", root)
    before = world.state()
    turn_on(world)
    done = subprocess.run(
        [sys.executable, "-c", RUN_MAIN, str(root)], capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": broken, "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.stderr == ""
    *said, last = done.stdout.splitlines()
    code, modules = json.loads(last)
    assert (code, world.state()) == (0, before)
    assert set(modules) - sys.stdlib_module_names == {"secdns"}
    assert said == [
        "the system's DNS settings are as they were before secdns",
        "/etc/resolv.conf says:", "  nameserver 10.9.0.1", "  search lan.example", "  options timeout:1",
    ]  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_rescue_puts_everything_back_and_may_be_run_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make(name, tmp_path)
    before = world.state()
    turn_on(world)
    assert rescue(world.machine()) == 0
    assert "are as they were before secdns" in capsys.readouterr().out
    assert world.state() == before
    assert rescue(world.machine()) == 0
    assert "there is no journal" in capsys.readouterr().out
    assert world.state() == before


def test_rescue_without_a_journal_shows_whom_the_machine_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make("Debian's resolvconf", tmp_path)
    assert rescue(world.machine()) == 0
    assert capsys.readouterr().out == (
        "there is no journal: secdns has changed nothing here, or it has been put back already\n"
        "/etc/resolv.conf (a link to /run/resolvconf/resolv.conf) says:\n"
        "  nameserver 10.9.0.1\n  search lan.example\n"
    )


def test_rescue_shows_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = make("plain file", tmp_path)
    world.file("/etc/resolv.conf", "nameserver 192.0.2.1\x1b[2J\n")
    rescue(world.machine())
    assert "  nameserver 192.0.2.1?[2J\n" in capsys.readouterr().out


def test_rescue_without_rights_says_the_command_that_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ordinary(Fake):
        def may_change(self) -> bool:
            return False

    world = make("plain file", tmp_path)
    monkeypatch.setattr(sys, "argv", ["/opt/secdns/bin/secdns", "rescue"])
    assert rescue(Ordinary(world.root, world.run)) == 77
    assert capsys.readouterr().err == (
        "secdns: error: only root may change the system's DNS settings: nothing was changed\n"
        "secdns: hint: sudo /opt/secdns/bin/secdns rescue\n"
    )


def test_rescue_says_what_it_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = make("plain file", tmp_path)
    turn_on(world)
    world.file("/etc/resolv.conf", "nameserver 192.0.2.1\n")
    assert rescue(world.machine()) == 0
    assert "but /etc/resolv.conf was changed by somebody else since" in capsys.readouterr().out


def test_rescue_with_a_damaged_journal_fails_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make("plain file", tmp_path)
    turn_on(world)
    before = world.state()
    (tmp_path / journal.place(volatile=False).lstrip("/")).write_text('{"kind": "secdns-sys')
    assert rescue(world.machine()) == 73
    told = capsys.readouterr().err
    assert "/var/lib/secdns-system/journal.json is damaged or half-written: nothing was changed" in told
    assert "secdns: hint: " in told
    assert world.state() == before


@pytest.mark.parametrize(
    ("started", "want"),
    [
        pytest.param("/usr/bin/secdns", "secdns", id="where sudo looks"),
        pytest.param("/home/me/.venv/bin/secdns", "/home/me/.venv/bin/secdns", id="where sudo does not look"),
        pytest.param("/x/secdns/__main__.py", f"{sys.executable} -m secdns", id="python -m"),
    ],
)
def test_own_command_is_one_that_sudo_finds(started: str, want: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert module.own_command() == want
