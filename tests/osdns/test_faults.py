"""Whatever fails, wherever it fails, off puts back every octet, link and mode (need 2, T3 and T5)."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secdns.errors import SettingsError
from secdns.osdns import switch
from secdns.osdns.machine import Machine, Ran
from tests.osdns.machines import MACHINES, US, Fake, World, asked, make

READS = ("run", "text", "link", "snapshot")
CHANGES = (
    "execute", "create", "symlink", "dress", "rename", "remove", "make_directory", "remove_directory",
    "sync",
)  # fmt: skip
"""Every method of a machine that reads or changes something. To die after a read leaves what was there."""

MODES = ("fails", "fails after all", "killed", "torn")
"""It fails and does nothing, a command does its work and fails all the same, the process dies just after
it (which is just before the next), or dies in the middle of writing."""


class Killed(BaseException):
    """The process is gone: nothing it would still do happens."""


class Faulty(Fake):
    """A machine on which the ``at``-th operation goes wrong; ``seen`` lists the operations by name."""

    def __init__(self, world: World, at: int | None = None, mode: str = "fails") -> None:
        super().__init__(world.root, world.run)
        self.seen: list[str] = []
        self.dead = False
        self._at_operation = at
        self._mode = mode
        self._inside = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in READS + CHANGES or super().__getattribute__("_inside"):
            return found
        return lambda *args, **kwargs: self._operate(name, found, *args, **kwargs)

    def _operate(self, name: str, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Killed
        self.seen.append(f"{name} {args[0]}")
        mode = self._mode if len(self.seen) - 1 == self._at_operation else ""
        if mode == "fails":
            if name in ("run", "execute"):
                return None if name == "run" else Ran(1, err="it did not want to")
            raise OSError(errno.EIO, "Input/output error", args[0])
        if mode == "torn":
            args = (args[0], args[1][: len(args[1]) // 2])
        self._inside = True
        try:
            result = operation(*args, **kwargs)
        finally:
            self._inside = False
        if mode == "fails after all":
            return Ran(1, err="it did not want to")
        if mode:
            self.dead = True
            raise Killed
        return result


@pytest.fixture
def root() -> Iterator[Path]:
    """Quicker than ``tmp_path``, which looks through all the others first; there are a thousand tests."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut leaves is not looked at here, that ``sync`` is called is."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def turn_on(machine: Machine, world: World) -> bool:
    def prove() -> str | None:
        return None if set(asked(world)) <= set(US.hosts) else "nobody came"

    return switch.turn_on(machine, US, prove, platform="linux", now=1_795_651_200)


def operations(name: str, which: str) -> list[str]:
    """Give what on or off does, in order, on a machine of its own."""
    with tempfile.TemporaryDirectory() as root:
        world = make(name, Path(root))
        machine = Faulty(world)
        turn_on(machine, world)
        if which == "off":
            machine = Faulty(world)
            switch.turn_off(machine)
        return machine.seen


def faults(which: str) -> list[Any]:
    found = []
    for name in MACHINES:
        for at, operation in enumerate(operations(name, which)):
            for mode in MODES:
                fitting = {
                    "killed": CHANGES,
                    "torn": ("create",),
                    "fails after all": ("execute",),
                }.get(mode, READS + CHANGES)
                if operation.partition(" ")[0] not in fitting:
                    continue
                short = operation.replace("/", "_")
                found.append(pytest.param(name, at, mode, id=f"{name}-{at}-{short[:60]}-{mode}"))
    return found


@pytest.mark.parametrize("name", MACHINES)
def test_off_gives_back_every_octet_link_and_mode_need2_t3(name: str, root: Path) -> None:
    world = make(name, root)
    before = world.state()
    assert turn_on(world.machine(), world)
    assert set(asked(world)) <= {"127.0.0.1", "::1"}
    assert world.state() != before
    assert switch.turn_off(world.machine()) == []
    assert world.state() == before
    assert switch.turn_off(world.machine()) is None


@pytest.mark.parametrize(("name", "at", "mode"), faults("on"))
def test_fault_at_any_step_of_on_is_undone_need2_t5(name: str, at: int, mode: str, root: Path) -> None:
    world = make(name, root)
    before = world.state()
    machine = Faulty(world, at, mode)
    if mode.startswith("fails"):
        try:
            turn_on(machine, world)
        except SettingsError:
            assert world.state() == before  # taken back without being asked
    else:
        with pytest.raises(Killed):
            turn_on(machine, world)
    switch.turn_off(world.machine())
    assert world.state() == before
    assert switch.turn_off(world.machine()) is None


@pytest.mark.parametrize(("name", "at", "mode"), faults("off"))
def test_fault_at_any_step_of_off_is_made_good_by_the_next_off_need2_t5(
    name: str, at: int, mode: str, root: Path
) -> None:
    world = make(name, root)
    before = world.state()
    turn_on(world.machine(), world)
    with contextlib.suppress(Killed, SettingsError):
        switch.turn_off(Faulty(world, at, mode))
    switch.turn_off(world.machine())
    assert world.state() == before


@pytest.mark.parametrize("name", MACHINES)
def test_on_after_a_kill_puts_the_first_state_back_in_the_end_need2_t5(name: str, root: Path) -> None:
    for at, operation in enumerate(operations(name, "on")):
        if operation.partition(" ")[0] not in CHANGES:
            continue
        world = make(name, root / str(at))
        before = world.state()
        with pytest.raises(Killed):
            turn_on(Faulty(world, at, "killed"), world)
        turn_on(world.machine(), world)
        assert set(asked(world)) <= {"127.0.0.1", "::1"}
        assert switch.turn_off(world.machine()) == []
        assert world.state() == before


@pytest.mark.parametrize("name", MACHINES)
def test_path_that_is_not_proven_is_taken_back_at_once_need2(name: str, root: Path) -> None:
    world = make(name, root)
    before = world.state()
    with pytest.raises(SettingsError, match="names do not go through secdns: nobody came; everything is as"):
        switch.turn_on(world.machine(), US, lambda: "nobody came", platform="linux", now=0)
    assert world.state() == before


@pytest.mark.parametrize("name", MACHINES)
def test_interrupt_during_the_proof_is_taken_back_need2(name: str, root: Path) -> None:
    def interrupted() -> str | None:
        raise KeyboardInterrupt

    world = make(name, root)
    before = world.state()
    with pytest.raises(KeyboardInterrupt):
        switch.turn_on(world.machine(), US, interrupted, platform="linux", now=0)
    assert world.state() == before


@pytest.mark.parametrize("name", MACHINES)
def test_nothing_is_changed_before_the_journal_is_on_the_disk_need2(name: str, root: Path) -> None:
    seen = operations(name, "on")
    at = next(at for at, each in enumerate(seen) if each.startswith("rename") and "journal" in each)
    assert seen[at + 1].startswith("sync ")
    changing = ("execute", "symlink", "dress", "rename", "remove", "make_directory", "create")
    early = [each for each in seen[:at] if each.startswith(changing)]
    assert [each for each in early if "secdns-system" not in each] == []
