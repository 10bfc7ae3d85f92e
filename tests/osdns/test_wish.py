"""The wish to have secdns on: it outlives the service and the machine, and nothing but off ends it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from secdns.errors import SettingsError
from secdns.osdns import journal, switch, wish
from secdns.osdns.machine import Machine, Ran
from secdns.osdns.rescue import rescue
from tests.osdns.machines import US, Fake, World, make


def turn_on(world: World) -> None:
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=0)
    wish.note(world.machine())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make("resolved 252", tmp_path)


def test_off_for_now_leaves_the_wish_and_off_ends_it(world: World) -> None:
    before = world.state()
    turn_on(world)
    assert switch.turn_off(world.machine(), for_now=True) == []
    assert world.state() == before
    assert wish.is_there(world.machine())
    assert switch.turn_off(world.machine()) is None
    assert not wish.is_there(world.machine())
    assert not (world.root / "var/lib/secdns-system").exists()


def test_rescue_ends_the_wish_and_for_now_leaves_it(world: World) -> None:
    turn_on(world)
    assert rescue(world.machine(), for_now=True) == 0
    assert wish.is_there(world.machine())
    assert rescue(world.machine()) == 0
    assert not wish.is_there(world.machine())


def test_wish_ends_even_if_the_settings_cannot_be_put_back_yet(world: World) -> None:
    class Stubborn(Fake):
        def execute(self, argv: Sequence[str], stdin: str = "") -> Ran:
            return Ran(1, err="not now")

    turn_on(world)
    with pytest.raises(SettingsError, match="not now"):
        switch.turn_off(Stubborn(world.root, world.run))
    assert not wish.is_there(world.machine())
    assert list(journal.found(world.machine()))


def test_settings_go_back_even_if_the_wish_cannot_be_ended(world: World) -> None:
    class Stuck(Fake):
        def remove(self, path: str) -> None:
            if path == wish.place():
                raise OSError(30, "Read-only file system", path)
            super().remove(path)

    before = world.state()
    turn_on(world)
    with pytest.raises(SettingsError, match="cannot change /var/lib/secdns-system/wanted: Read-only"):
        switch.turn_off(Stuck(world.root, world.run))
    assert world.state() == before


def test_off_that_comes_while_the_service_turns_it_on_wins(world: World) -> None:
    before = world.state()
    machine = world.machine()
    assert switch.turn_on(machine, US, lambda: None, platform="linux", now=0, if_wanted=True) is False
    assert world.state() == before
    wish.note(machine)
    assert switch.turn_on(machine, US, lambda: None, platform="linux", now=0, if_wanted=True) is True
    assert world.state() != before


@pytest.mark.parametrize(
    ("result", "jobs", "want"),
    [
        pytest.param("", "", False, id="no service has ended"),
        pytest.param("success", " 71 secdns.service stop running\n", False, id="systemctl stop"),
        pytest.param("success", " 71 secdns.service restart running\n", True, id="systemctl restart"),
        pytest.param("success", "", True, id="SIGTERM by somebody else: Restart=always"),
        pytest.param("success", None, False, id="systemctl is not there"),
        pytest.param("signal", "", True, id="kill -9"),
        pytest.param("watchdog", "", True, id="hang"),
        pytest.param("exit-code", " 71 secdns.service stop running\n", True, id="OnFailure= restores"),
    ],
)
def test_service_comes_back_unless_somebody_stopped_it(
    result: str, jobs: str | None, want: bool, world: World
) -> None:
    world.programs["systemctl"] = lambda argv, stdin: (
        Ran(1) if jobs is None else Ran(0, jobs if "list-jobs" in argv else "")
    )
    assert wish.service_comes_back(world.machine(), result) is want


def test_rescue_for_now_does_nothing_where_the_service_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(world)
    on = world.state()
    monkeypatch.setenv("SERVICE_RESULT", "watchdog")
    assert rescue(world.machine(), for_now=True) == 0
    assert world.state() == on
    assert rescue(world.machine()) == 0  # a person wants it whatever the environment says
    assert world.state() != on


def test_wish_is_private_to_root(world: World) -> None:
    machine: Machine = world.machine()
    directory = world.root / "var/lib/secdns-system"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    with pytest.raises(SettingsError, match="can be written by others than root"):
        wish.note(machine)
    assert not wish.is_there(machine)
