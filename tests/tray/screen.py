"""A screen that nobody sees, with a real panel of XFCE on it: clicks, and looks at the pixels.

The screen is a file (Xvfb's ``-fbdir``), so that looking costs nothing.
"""

import itertools
import mmap
import os
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.lab import programs

WIDTH: Final = 800
HEIGHT: Final = 400
PANEL: Final = 30  # pixels high, at the bottom
ICON: Final = (14, HEIGHT - PANEL // 2)  # the panel has nothing but this
MARK: Final = bytes([0x35, 0x84, 0xE4])  # what Adwaita marks an item with
TEXT: Final = 27  # pixels from the edge of a menu to its text
DARK: Final = 190  # text has this or less of a colour, a menu's ground and its lines have more
CLICK_S: Final = 2.0  # before another click
WAIT_S: Final = 30.0  # for something that takes a tenth of a second; machines are busy

_PANEL = f"""<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=8;x={WIDTH // 2};y={HEIGHT - PANEL // 2}"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="{PANEL - 2}"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty"><property name="plugin-1" type="string" value="systray"/></property>
</channel>
"""


class Screen:
    """What is to be seen. ``env`` is for programs that are to appear on it."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.env = dict(env)
        self.folder = folder
        self._file = (folder / "Xvfb_screen0").open("rb")
        self._memory = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        self._memory.close()
        self._file.close()

    def xdotool(self, *words: object) -> None:
        subprocess.run([programs.find("xdotool"), *map(str, words)], env=self.env, check=True, timeout=WAIT_S)

    def pixels(self) -> list[bytes]:
        """Give the rows, three octets for each pixel: red, green, blue."""
        head = struct.unpack(">25I", self._memory[:100])  # an XWD file: XWDFile.h of X.Org
        header_size, width, height, line, colours = head[0], head[4], head[5], head[12], head[19]
        start = header_size + 12 * colours
        rows = []
        for y in range(height):
            row = self._memory[start + y * line : start + y * line + 4 * width]
            rgb = bytearray(3 * width)
            rgb[0::3], rgb[1::3], rgb[2::3] = row[2::4], row[1::4], row[0::4]
            rows.append(bytes(rgb))
        return rows

    def icon_has(self, colour: bytes) -> bool:
        """Tell whether a good part of the icon has this colour."""
        rows = self.pixels()[HEIGHT - PANEL :]
        near = 0
        for row in rows:
            for x in range(2 * ICON[0]):
                pixel = row[3 * x : 3 * x + 3]
                near += all(abs(a - b) < 12 for a, b in zip(pixel, colour, strict=True))
        return near >= 30

    def is_menu_open(self) -> bool:
        """Tell whether something stands above the panel; the screen is black else."""
        return any(any(row) for row in self.pixels()[: HEIGHT - PANEL - 2])

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + WAIT_S
        while not is_so():
            if time.monotonic() > deadline:
                self.save(self.folder / "screen.png")
                raise AssertionError(f"not seen in time, see {self.folder}/screen.png")
            time.sleep(0.02)

    def open_menu(self) -> None:
        """Click on the icon until its menu is there: the panel shows an icon before it has read the menu."""
        deadline, wait_s = time.monotonic(), CLICK_S

        def is_open() -> bool:
            nonlocal deadline, wait_s
            if not self.is_menu_open() and time.monotonic() > deadline:
                self.xdotool("mousemove", *ICON, "click", 1)
                deadline = time.monotonic() + wait_s
                wait_s *= 2  # a click on an icon whose menu is just opening closes it
            return self.is_menu_open()

        self.until(is_open)

    def click(self, *numbers: int) -> None:
        """Click on the item of the open menu with this number; of several, each but the last has a menu."""
        self.point_at(*numbers)
        self.xdotool("click", 1)
        self.xdotool("mousemove", WIDTH - 5, 5)  # so that no tip stays where the mouse was
        self.until(lambda: not self.is_menu_open())

    def point_at(self, *numbers: int) -> None:
        """Move the mouse there, from menu to menu, and wait until the item is marked."""
        left = 0
        for number in numbers:
            self.until(partial(self._has_menu, left))
            right = self._edge(left)
            self._mark(left, right, number)
            left = right

    def extent(self) -> tuple[int, int]:
        """Give where the open menus end to the right, and where they begin at the top."""
        rows = self.pixels()[: HEIGHT - PANEL - 2]
        return self._edge(0), next(y for y, row in enumerate(rows) if any(row))

    def close_menu(self) -> None:
        """Click beside it until it is gone: one with another open beside it takes two clicks."""
        deadline = time.monotonic()

        def is_closed() -> bool:
            nonlocal deadline
            if self.is_menu_open() and time.monotonic() > deadline:
                self.xdotool("mousemove", WIDTH - 5, 5, "click", 1)
                deadline = time.monotonic() + CLICK_S
            return not self.is_menu_open()

        self.until(is_closed)

    def _has_menu(self, left: int) -> bool:
        return self._edge(left) > left

    def _edge(self, left: int) -> int:
        """Give where the menu that begins at ``left`` ends, or ``left`` if none does."""
        rows = self.pixels()[: HEIGHT - PANEL - 2]
        return max(
            (len(row[3 * left :].rstrip(b"\0")) // 3 + left for row in rows if any(row[3 * left :])),
            default=left,
        )

    def _mark(self, left: int, right: int, number: int) -> None:
        """Move the mouse onto an item of the menu between ``left`` and ``right``."""
        places = itertools.cycle((60, 64))  # it moves until it is seen: a menu that just opens may miss it

        def is_marked() -> bool:
            lines = self._lines(left, right)
            if len(lines) <= number:
                return False
            self.xdotool("mousemove", left + next(places), lines[number])
            return self.pixels()[lines[number]][3 * left : 3 * right].count(MARK) > 5

        self.until(is_marked)

    def _lines(self, left: int, right: int) -> list[int]:
        """Give the middle of each line of text."""
        middles = []
        begin = None
        for y, row in enumerate(self.pixels()[: HEIGHT - PANEL - 2]):
            text = row[3 * (left + TEXT) : 3 * (right - TEXT)]
            is_text = any(text) and min(text) < DARK
            if is_text and begin is None:
                begin = y
            elif not is_text and begin is not None:
                if y - begin > 4:
                    middles.append((begin + y) // 2)
                begin = None
        return middles

    def save(self, path: Path, *, box: tuple[int, int, int, int] = (0, 0, WIDTH, HEIGHT)) -> None:
        """Write a part of it as PNG (RFC 2083): left, top, right, bottom."""
        left, top, right, bottom = box
        rows = b"".join(b"\0" + row[3 * left : 3 * right] for row in self.pixels()[top:bottom])

        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = struct.pack(">IIBBBBB", right - left, bottom - top, 8, 2, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(rows, 9))
            + chunk(b"IEND", b"")
        )


@contextmanager
def screen(folder: Path, bus: str) -> Iterator[Screen]:
    """Have a screen with a panel on the session bus at ``bus``.

    Raises:
        MissingProgram: something is not installed.
    """
    display = _Display(folder)
    settings = folder / "home/.config/xfce4/xfconf/xfce-perchannel-xml"
    settings.mkdir(parents=True)
    (settings / "xfce4-panel.xml").write_text(_PANEL)
    env = {
        "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder), "XDG_CURRENT_DESKTOP": "XFCE", "NO_AT_BRIDGE": "1",
        "GTK_THEME": "Adwaita", "DBUS_SESSION_BUS_ADDRESS": bus,
    }  # fmt: skip
    panel = programs.find("xfce4-panel")
    programs.find("xdotool")
    with display.running():
        env["DISPLAY"] = f":{display.number}"
        with programs.running(
            [panel, "--disable-wm-check", "--sm-client-disable"], folder / "panel.log", lambda: True, env=env
        ):
            made = Screen(env, folder)
            try:
                yield made
            finally:
                made.close()


class _Display:
    """Xvfb, on a number that it chooses itself and writes to its output."""

    def __init__(self, folder: Path) -> None:
        self._argv = [
            programs.find("Xvfb", "xvfb"), "-displayfd", "1", "-screen", "0", f"{WIDTH}x{HEIGHT}x24",
            "-nolisten", "tcp", "-noreset", "-fbdir", str(folder),
        ]  # fmt: skip
        self._log = folder / "xvfb.log"
        self.number = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        with programs.running(self._argv, self._log, self._is_ready):
            yield

    def _is_ready(self) -> bool:
        lines = self._log.read_text(errors="replace").splitlines()
        self.number = next((line for line in lines if line.isdecimal()), "")
        if not self.number:
            time.sleep(0.02)
        return bool(self.number)
