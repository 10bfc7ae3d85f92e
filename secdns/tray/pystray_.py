"""The icon on Windows and macOS, by pystray. Not tried on either yet: only with pystray's stand-in for tests.

The menu is the same; where it is a click that opens it, that is up to the system.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pystray
from PIL import Image

from secdns.control.client import Client
from secdns.tray import actions
from secdns.tray.feed import Feed
from secdns.tray.icons import pixmap
from secdns.tray.menu import Action, Item, Kind, Quit, build, headline
from secdns.tray.notices import Notices
from secdns.tray.texts import ampersanded, clean
from secdns.tray.view import Look, View

SIZE: Final = 48  # pixels; the system scales it
MAX_TITLE: Final = 63  # characters that every Windows shows where the mouse rests

_LOG = logging.getLogger(__name__)


def run(paths: Sequence[Path]) -> None:
    """Show the icon until a person quits it. Has to be called by the first thread, which macOS wants."""
    Tray(paths).run()


class Tray:
    """The icon; the feed's thread changes it, and each click is worked on in a thread of its own."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._client = Client(paths)
        self._feed = Feed(paths, self.show)
        self._notices = Notices()
        self._view = View()
        self._answers = actions.Answers()
        self._items = build(self._view)
        self.icon = pystray.Icon("secdns", image(self._view.look), "secdns", pystray.Menu(self._entries))

    def run(self) -> None:
        """Show it until the end."""

        def begin(icon: Any) -> None:
            icon.visible = True
            self._feed.start()

        try:
            self.icon.run(begin)
        finally:
            self._feed.stop()

    def show(self, view: View) -> None:
        """Show this from now on."""
        now = time.monotonic()
        before, self._view = self._view, self._answers.added_to(view, now)
        title = clean(f"secdns: {headline(self._view)}", MAX_TITLE)
        if title != self.icon.title:
            self.icon.title = title
        if self._view.look is not before.look:
            self.icon.icon = image(self._view.look)
        items = build(self._view)
        if items != self._items:
            self._items = items
            self.icon.update_menu()
        for notice in self._notices.look(self._view, now):
            self._tell(notice.title, notice.text)

    def click(self, action: Action) -> None:
        """Do what an item stands for."""
        if isinstance(action, Quit):
            self.icon.stop()
        else:
            threading.Thread(target=self._perform, args=(action,), daemon=True).start()

    def _perform(self, action: Action) -> None:
        self._answers.begin(action)
        outcome = actions.perform(action, self._client)
        self._answers.end(action, outcome, time.monotonic())
        self._feed.ask_now()
        if outcome is not None:
            self._tell(outcome.title, outcome.text)

    def _tell(self, title: str, text: str) -> None:
        if self.icon.HAS_NOTIFICATION:
            self.icon.notify(text or " ", title)

    def _entries(self) -> Iterator[Any]:
        return entries(self._items, self.click)


def entries(items: tuple[Item, ...], click: Any) -> Iterator[Any]:
    """Yield the items as pystray wants them."""
    for item in items:
        if item.kind is Kind.SEPARATOR:
            yield pystray.Menu.SEPARATOR
        elif item.items:
            below = pystray.Menu(*entries(item.items, click))
            yield pystray.MenuItem(_label(item), below, enabled=item.can_be_clicked)
        else:
            yield pystray.MenuItem(
                _label(item),
                _clicker(item, click),
                checked=(lambda _, is_on=item.is_on: is_on) if item.kind is Kind.RADIO else None,
                radio=item.kind is Kind.RADIO,
                enabled=item.can_be_clicked,
            )


def image(look: Look) -> Image.Image:
    """Give the icon as Pillow has it."""
    argb = pixmap(look, SIZE).argb
    return Image.frombytes(
        "RGBA",
        (SIZE, SIZE),
        b"".join(argb[at + 1 : at + 4] + argb[at : at + 1] for at in range(0, len(argb), 4)),
    )


def _label(item: Item) -> str:
    return ampersanded(item.label) if sys.platform == "win32" else item.label


def _clicker(item: Item, click: Any) -> Any:
    action = item.action
    return None if action is None else lambda icon, entry: click(action)
