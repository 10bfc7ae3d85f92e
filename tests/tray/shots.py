"""Take the pictures of the README: python -m tests.tray.shots packaging/screenshots

The panel and the program are real, the daemon is the stand-in of the tests.
"""

import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from secdns.control.schema import Pause, Status
from secdns.errors import ControlError
from secdns.states import State
from secdns.tray.icons import pixmap
from secdns.tray.view import View
from tests.lab import programs
from tests.tray.fakes import REFUSED, FakeDaemon, status
from tests.tray.screen import HEIGHT, Screen, screen
from tests.tray.session import session

STATES: dict[str, Status] = {
    "secure": status(),
    "checking": status(State.CHECKING, sentence="nothing was asked on this network yet; quad9 will be"),
    "paused": status(
        State.PAUSED,
        sentence="paused for another 5m: questions go unencrypted to 192.168.1.1, and nothing is checked",
        remedy="it ends by itself; to end it now: `secdns resume`",
        pause=Pause(2e9, 252.0, ("192.168.1.1",)),
    ),
    "blocked": status(
        State.BLOCKED,
        sentence="no upstream answers: quad9 cannot be reached from this network",
        remedy="look whether this machine is on a network, and whether that has a sign-in page",
    ),
    "offline": status(
        State.OFFLINE,
        sentence="there is no network that leads to an upstream",
        remedy="look whether this machine is on a network, and whether that has a sign-in page",
        network="there is no network that leads to an upstream",
    ),
}


def picture(shown: Screen, path: Path, *point_at: int) -> None:
    """Open the menu, take the picture, close it."""
    shown.open_menu()  # the first time it may still have the size of the one before
    shown.close_menu()
    shown.open_menu()
    shown.point_at(*point_at)
    right, top = shown.extent()
    shown.save(path, box=(0, max(0, top - 8), min(right + 8, 800), HEIGHT))
    shown.close_menu()


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with session(work) as bus, screen(work, bus) as shown:
            daemon = FakeDaemon(work / "control.sock")
            env = shown.env | {"RUNTIME_DIRECTORY": name}
            argv = [sys.executable, "-m", "secdns", "tray"]
            with programs.running(argv, work / "tray.log", lambda: True, env=env):
                with daemon.running():
                    for state, given in STATES.items():
                        daemon.status = given
                        wait_for(shown, View(given))
                        picture(shown, folder / f"tray-{state}.png")
                    daemon.status = replace(STATES["secure"], chosen="mullvad")
                    wait_for(shown, View(daemon.status))
                    picture(shown, folder / "tray-upstream.png", 3, 1)
                    daemon.status = status(problem=REFUSED)
                    wait_for(shown, View(daemon.status))
                    picture(shown, folder / "tray-problem.png", 5, 2)
                wait_for(shown, View(error=ControlError("gone")))
                picture(shown, folder / "tray-gone.png")


def wait_for(shown: Screen, view: View) -> None:
    shown.until(partial(shown.icon_has, pixmap(view.look, 22).argb[1:4]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
