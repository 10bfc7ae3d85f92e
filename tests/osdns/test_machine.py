"""Files below a root, and commands: what the one door to a machine does and does not."""

import os
from pathlib import Path

import pytest

from secdns.osdns import machine as module
from secdns.osdns.machine import NOT_FOUND, TIMED_OUT, Machine, Ran, Snapshot, beside, meant_by, run_program


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with /etc, /run and a link from /var/run to /run."""
    for name in ("etc", "run/real", "var"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "run/real/file").write_text("hello\n")
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("target", "want"),
    [
        pytest.param("/run/real/file", "/run/real/file", id="absolute"),
        pytest.param("../run/real/file", "/run/real/file", id="relative"),
        pytest.param("/var/run/real/file", "/run/real/file", id="through a directory that is a link"),
        pytest.param("../../../run/real/file", "/run/real/file", id="above the root"),
        pytest.param("/run/none", None, id="dangling"),
        pytest.param("link", None, id="circle"),
        pytest.param("/run/real/file/x", None, id="below a file"),
    ],
)
def test_links_are_followed_below_the_root(
    target: str, want: str | None, machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "etc/link").symlink_to(target)
    assert machine.follow("/etc/link") == want
    assert machine.text("/etc/link") == (None if want is None else "hello\n")
    assert machine.link("/etc/link") == target
    assert machine.snapshot("/etc/link").kind == "link"


def test_what_is_there_can_be_made_again(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "run/real/file").chmod(0o604)
    file = machine.snapshot("/var/run/real/file")
    machine.put("/etc/copy", file)
    assert machine.snapshot("/etc/copy") == file
    (tmp_path / "etc/link").symlink_to("../somewhere")
    machine.put("/etc/copy", machine.snapshot("/etc/link"))
    assert machine.link("/etc/copy") == "../somewhere"
    machine.put("/etc/copy", Snapshot("absent"))
    assert machine.snapshot("/etc/copy") == Snapshot("absent")
    assert sorted(at.name for at in (tmp_path / "etc").iterdir()) == ["link"]


def test_leftover_of_a_killed_process_does_not_matter(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / beside("/etc/file").lstrip("/")).write_text("half")
    machine.put("/etc/file", Snapshot("file", octets=b"whole", mode=0o600, owner=(os.getuid(), os.getgid())))
    assert [(at.name, at.read_text()) for at in (tmp_path / "etc").iterdir()] == [("file", "whole")]


def test_file_that_is_being_prepared_is_named_as_what_it_becomes() -> None:
    assert meant_by(beside("/etc/resolv.conf")) == "/etc/resolv.conf"
    assert meant_by("/etc/resolv.conf") == "/etc/resolv.conf"


def test_huge_file_is_not_read_whole(machine: Machine, tmp_path: Path) -> None:
    with (tmp_path / "etc/huge").open("wb") as file:
        file.truncate(module.FILE_OCTETS + 1)
    assert len(machine.text("/etc/huge") or "") == module.FILE_OCTETS
    assert machine.snapshot("/etc/huge").kind == "other"


def test_command_gets_its_input_a_plain_environment_and_no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert run_program(["cat"], "in") == Ran(0, "in", "")
    ran = run_program(["sh", "-c", 'echo "$PATH $LC_ALL" "$1"; exit 3', "sh", "a; b"])
    assert (ran.code, ran.out) == (3, f"{module.PATH} C a; b\n")


def test_command_that_is_not_there_or_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_program(["secdns-no-such-command"]).code == NOT_FOUND
    monkeypatch.setattr(module, "COMMAND_S", 0.05)
    assert run_program(["sleep", "60"]) == Ran(TIMED_OUT, err="sleep did not end within 0.05 s")
