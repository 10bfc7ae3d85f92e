"""A booted machine with GNOME Shell on a screen that nobody sees, and the extension that shows our icon.

``python -m tests.tray.gnome FILE`` takes the picture of the README.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from secdns.tray.icons import pixmap
from secdns.tray.view import Look
from tests.lab import booted
from tests.lab.booted import Guest, add_file, add_link, add_secdns
from tests.lab.tree import debian_tree, grown
from tests.tray.fakes import FakeDaemon
from tests.tray.screen import Screen

WIDTH: Final = 800
HEIGHT: Final = 600
BAR: Final = 30  # pixels high, at the top
HOME: Final = "/run/eva"
BRIGHT: Final = 100  # text in a menu has this or more of every colour, what it stands on less
TEXT: Final = 24  # pixels from the edge of a menu to its text
NEAR: Final = 18  # of a colour: icons are drawn at 240/255 of their own
CLICK_S: Final = 0.5  # before another click, and then twice that …

_SESSION = rf"""
export DISPLAY=:7 HOME={HOME} XDG_RUNTIME_DIR={HOME} XDG_SESSION_TYPE=x11 XDG_CURRENT_DESKTOP=GNOME
export LIBGL_ALWAYS_SOFTWARE=1 NO_AT_BRIDGE=1 GSETTINGS_BACKEND=keyfile LANG=C.UTF-8
Xvfb :7 -screen 0 {WIDTH}x{HEIGHT}x24 -nolisten tcp -noreset -fbdir {HOME} > {HOME}/xvfb.log 2>&1 &
while ! [ -e /tmp/.X11-unix/X7 ]; do sleep 0.05; done
exec dbus-run-session -- sh -c '
gsettings set org.gnome.shell enabled-extensions "[\"ubuntu-appindicators@ubuntu.com\"]"
gsettings set org.gnome.shell welcome-dialog-last-shown-version 999
gsettings set org.gnome.desktop.interface enable-animations false
gsettings set org.gnome.desktop.notifications show-banners false
gsettings set org.gnome.desktop.lockdown disable-lock-screen true
secdns tray --socket /run/secdns/control.sock > {HOME}/tray.log 2>&1 &
exec gnome-shell --x11 > {HOME}/shell.log 2>&1'
"""


class Gnome(Screen):
    """What is to be seen on the screen of the machine."""

    def __init__(self, guest: Guest, home: Path, folder: Path) -> None:
        super().__init__({}, home)
        self.folder = folder
        self._guest = guest

    def xdotool(self, *words: object) -> None:
        self._guest.do("env", "DISPLAY=:7", "xdotool", *map(str, words))

    def save_all(self, path: Path) -> None:
        self.save(path, box=(0, 0, WIDTH, HEIGHT))

    def icon(self, look: Look) -> tuple[int, int] | None:
        """Give where in the bar an icon of this colour is, None if there is none."""
        wanted = pixmap(look, 22).argb[1:4]
        found = [
            (x, y)
            for y, row in enumerate(self.pixels()[:BAR])
            for x in range(WIDTH // 2, WIDTH)
            if all(abs(a - b) < NEAR for a, b in zip(row[3 * x : 3 * x + 3], wanted, strict=True))
        ]
        if len(found) < 20:
            return None
        xs, ys = zip(*found, strict=True)
        return sum(xs) // len(xs), sum(ys) // len(ys)

    def shows(self, look: Look) -> None:
        """Wait until the icon looks like this."""
        self.until(lambda: self.icon(look) is not None)

    def leave_overview(self) -> None:
        """Have the desktop itself shown, where a session begins with all windows."""
        self._again(self._is_desktop, "key", "Escape")

    def open_menu_of(self, look: Look) -> None:
        self.shows(look)
        at = self.icon(look)
        assert at is not None
        self._again(lambda: len(self.lines()) > 2, "mousemove", *at, "click", 1)

    def click_line(self, number: int) -> None:
        """Click on this line of the open menu."""
        left, _, y = self.lines()[number]
        self.xdotool("mousemove", left + TEXT, y, "click", 1)

    def ink(self, number: int) -> list[bytes]:
        """Give what a line of the open menu looks like at its beginning: other words look otherwise."""
        left, _, middle = self.lines()[number]
        rows = self.pixels()[middle - 8 : middle + 8]
        return [row[3 * (left + TEXT) : 3 * (left + TEXT + 200)] for row in rows]

    def lines(self) -> list[tuple[int, int, int]]:
        """Give the lines of text of the open menu: where they begin and end, and the middle of each."""
        rows = self.pixels()
        box = [x for x in range(WIDTH) if not _is_blue(rows[HEIGHT // 5], x)]
        if not box or box[0] == 0:
            return []
        left, right = box[0], box[-1]
        found, begin = [], None
        for y in range(BAR, HEIGHT):
            row = rows[y][3 * (left + TEXT // 2) : 3 * (right - TEXT)]
            is_text = any(min(row[at : at + 3]) >= BRIGHT for at in range(0, len(row) - 2, 3))
            if is_text and begin is None:
                begin = y
            elif not is_text and begin is not None:
                if y - begin > 4:
                    found.append((left, right, (begin + y) // 2))
                begin = None
        return found

    def _is_desktop(self) -> bool:
        row = self.pixels()[HEIGHT // 2]
        return all(_is_blue(row, x) for x in range(0, WIDTH, 8))

    def _again(self, is_so: Callable[[], bool], *words: object) -> None:
        """Do something until it is seen, since a shell that has just started may miss it."""
        deadline, wait_s = time.monotonic(), CLICK_S

        def is_done() -> bool:
            nonlocal deadline, wait_s
            if is_so():
                return True
            if time.monotonic() > deadline:
                self.xdotool(*words)
                deadline = time.monotonic() + wait_s
                wait_s *= 2
            return False

        self.until(is_done)


def _is_blue(row: bytes, x: int) -> bool:
    """Tell whether a pixel is of GNOME's ground."""
    red, green, blue = row[3 * x : 3 * x + 3]
    return blue > green + 30 and green > red + 30


@contextmanager
def gnome(folder: Path) -> Iterator[tuple[Gnome, FakeDaemon]]:
    """Boot the machine, and have our icon in its panel, of a stand-in for the daemon.

    Raises:
        MissingProgram, NoTree: as ``booted.booted`` and ``grown``.
    """
    tree = grown(debian_tree(booted.SUITE, booted.PACKAGES), booted.DESKTOP)
    layer = folder / "layer"
    layer.mkdir(mode=0o755)
    bind = add_secdns(layer)
    users = (tree / "etc/passwd").read_text()
    add_file(layer, "/etc/passwd", f"{users}eva:x:1000:1000:Eva:{HOME}:/bin/sh\n")
    add_file(layer, "/opt/session", _SESSION)
    for unit in ("NetworkManager", "systemd-resolved"):
        add_link(layer, f"/etc/systemd/system/{unit}.service", "/dev/null")
    with booted.booted(layer, bind=bind, tree=tree) as guest:
        guest.do("chmod", "666", "/dev/null")  # it has the mode of this machine's, which is not always right
        guest.do("mkdir", "/run/secdns")
        root = guest.root()
        daemon = FakeDaemon(root / "run/secdns/control.sock")
        with daemon.running():
            daemon.path.chmod(0o666)
            start = ["systemd-run", "--unit=desktop", "--uid=1000", "--property=RuntimeDirectory=eva"]
            # In a container it is not told that the last process of the session has ended.
            start += ["--property=KillSignal=SIGKILL", "--property=TimeoutStopSec=1"]
            guest.do(*start, "sh", "/opt/session")
            guest.wait_until("the screen", 30, "test", "-s", f"{HOME}/Xvfb_screen0")
            shown = Gnome(guest, root / HOME.lstrip("/"), folder)
            try:
                yield shown, daemon
            except BaseException:
                shown.save_all(folder / "gnome.png")
                sys.stderr.write(guest.run("sh", "-c", f"cat {HOME}/*.log").stdout[-4000:])
                raise
            finally:
                shown.close()


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as name, gnome(Path(name)) as (shown, _):
        shown.leave_overview()
        shown.open_menu_of(Look.SECURE)
        before = shown.lines()
        shown.click_line(3)
        shown.until(lambda: len(shown.lines()) > len(before))
        shown.save(file, box=(before[0][0] - 60, 0, WIDTH, shown.lines()[-1][2] + 30))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
