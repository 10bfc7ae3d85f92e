"""Take the pictures of the README: python -m tests.tray.shots packaging/screenshots

The panel and the program are real, the daemon is the stand-in of the tests.
"""

import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from secdns import reasons
from secdns.control.schema import Checked, Pause, Portal, Status, to_json
from secdns.errors import ControlError
from secdns.reasons import Told
from secdns.states import State
from secdns.tray.icons import pixmap
from secdns.tray.menu import Kind, build
from secdns.tray.texts import sentence
from secdns.tray.view import View
from tests.lab import programs
from tests.tray.fakes import CLOCK, FOUND, OFF, REFUSED, TAKEN, FakeDaemon, status
from tests.tray.screen import HEIGHT, Screen, screen
from tests.tray.session import session


def told(state: State, words: Told, **given: Any) -> Status:
    """Give a status that says what the daemon would."""
    return status(state, sentence=words.sentence, remedy=words.remedy, **given)


PORTAL = Portal("http://login.hotel.example/", None, None, (), 0)
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
    "sign-in": told(State.SIGN_IN, reasons.when_signed_out("login.hotel.example"), portal=PORTAL),
    "vpn": told(State.VPN, reasons.when_vpn("tun0", reasons.when_secure("quad9", "DoH (HTTP/2)", True))),
    "signing-in": told(
        State.SIGN_IN,
        reasons.when_signing_in("4 min", ("192.168.1.1",), 12),
        portal=replace(PORTAL, until=2e9, left_s=231.0, resolvers=("192.168.1.1",), plain=12),
    ),
    "offline": status(
        State.OFFLINE,
        sentence="there is no network that leads to an upstream",
        remedy="look whether this machine is on a network, and whether that has a sign-in page",
        network="there is no network that leads to an upstream",
    ),
    "unused": status(system=OFF),
    "taken": status(system=TAKEN),
    "clock": status(State.BLOCKED, sentence=CLOCK.sentence, remedy=CLOCK.remedy, clock=CLOCK),
}


def picture(shown: Screen, path: Path, *point_at: int, opens: bool = False) -> None:
    """Open the menu, take the picture, close it; ``opens``: the last item has more, which nobody can mark."""
    shown.open_menu()  # the first time it may still have the size of the one before
    shown.close_menu()
    shown.open_menu()
    alone, _ = shown.extent()
    shown.point_at(*point_at)
    if opens:
        shown.until(lambda: shown.extent()[0] > alone)
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
                    daemon.status = status(State.CHECKING)
                    wait_for(shown, View(daemon.status))
                    daemon.status, daemon.checked = status(), to_json(FOUND)
                    wait_for(shown, View(daemon.status))
                    shown.open_menu()
                    shown.click(number("check", View(daemon.status, daemon.upstreams)))
                    shown.until(lambda: bool(daemon.posts))
                    view = View(daemon.status, daemon.upstreams, answer=said(FOUND), checked=FOUND)
                    shown.open_menu()
                    shown.close_menu()
                    picture(shown, folder / "tray-checked.png", number("checked", view), opens=True)
                wait_for(shown, View(error=ControlError("gone")))
                picture(shown, folder / "tray-gone.png")


def number(key: str, view: View) -> int:
    """Give which line of the menu an item is on."""
    items = [item for item in build(view) if item.kind is not Kind.SEPARATOR]
    return next(line for line, item in enumerate(items) if item.key == key)


def said(checked: Checked) -> str:
    """Give what the menu says for a minute after a check."""
    failed = next(check for check in checked.checks if check.result == "fail")
    return f"Something is not as it should be. {sentence(failed.text)}. {sentence(failed.hint or '')}"


def wait_for(shown: Screen, view: View) -> None:
    shown.until(partial(shown.icon_has, pixmap(view.look, 22).argb[1:4]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
