"""The program itself in a real panel, that of XFCE, on a screen that nobody sees: seen and clicked."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from secdns.control.schema import Pause
from secdns.states import State
from secdns.tray.icons import pixmap
from secdns.tray.menu import Kind, build
from secdns.tray.view import Look, View
from tests.lab import programs
from tests.tray.fakes import OFF, FakeDaemon, status
from tests.tray.screen import Screen, screen

pytestmark = pytest.mark.needs("dbus-daemon", package="dbus-daemon")


def colour(look: Look) -> bytes:
    return pixmap(look, 22).argb[1:4]


@pytest.fixture
def shown(bus: str, tmp_path: Path) -> Iterator[Screen]:
    try:
        with screen(tmp_path, bus) as made:
            yield made
    except programs.MissingProgram as missing:  # too much to ask of everybody who runs the tests
        pytest.skip(str(missing))


def test_people_see_each_state_and_switch_by_mouse_and_keys(shown: Screen, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "control.sock")
    env = shown.env | {"RUNTIME_DIRECTORY": str(tmp_path)}
    argv = [sys.executable, "-m", "secdns", "tray"]
    menu = build(View(daemon.status, daemon.upstreams))
    labels = [item.label for item in menu if item.kind is not Kind.SEPARATOR]
    with programs.running(argv, tmp_path / "tray.log", lambda: True, env=env):
        with daemon.running():
            shown.until(lambda: shown.icon_has(colour(Look.SECURE)))
            shown.open_menu()
            shown.click(labels.index("Upstream"), 2)  # below it the configuration's order, quad9, mullvad
            shown.until(lambda: bool(daemon.posts))
            assert daemon.posts == [("use", {"upstream": "mullvad"})]
            for state in (State.CHECKING, State.OFFLINE, State.BLOCKED, State.PAUSED, State.SECURE):
                pause = Pause(2e9, 240.0, ("192.168.1.1",)) if state is State.PAUSED else None
                daemon.status = replace(status(state), pause=pause)
                shown.until(partial(shown.icon_has, colour(Look(state.value))))
            daemon.status = status(system=OFF)
            shown.until(partial(shown.icon_has, colour(Look.UNUSED)))
        shown.until(partial(shown.icon_has, colour(Look.GONE)))
