"""Put the parts together: the feed's views to the desktop, clicks to the daemon, outcomes to the person."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from secdns.control.client import Client
from secdns.tray import actions
from secdns.tray.feed import Feed
from secdns.tray.menu import Action, Quit, build, headline
from secdns.tray.notices import Notices
from secdns.tray.sni import Desktop
from secdns.tray.view import View


async def run(paths: Sequence[Path], say: Callable[[str, str], None]) -> None:
    """Show the icon until a person quits it or the session ends.

    ``paths`` are where a daemon may listen; ``say`` takes words for who started this, and what helps.

    Raises:
        ControlError: there is no session, or the icon is there already.
    """
    tray = Tray(paths, say)
    await tray.open()
    try:
        await tray.wait_closed()
    finally:
        await tray.aclose()


class Tray:
    """The icon, from the first view to the last. Belongs to the event loop."""

    def __init__(self, paths: Sequence[Path], say: Callable[[str, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = Client(paths)
        self._feed = Feed(paths, self._on_view)
        self._desktop = Desktop(self._on_click, say)
        self._notices = Notices()
        self._view = View()
        self._answers = actions.Answers()
        self._is_over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Appear.

        Raises:
            ControlError: that is not possible.
        """
        self._show(self._view)
        await self._desktop.open()
        self._feed.start()

    async def wait_closed(self) -> None:
        """Wait until a person quits it, or the session ends."""
        self._begin(self._end_with_session())
        await self._is_over.wait()

    async def _end_with_session(self) -> None:
        await self._desktop.wait_closed()
        self._is_over.set()

    async def aclose(self) -> None:
        """Disappear."""
        self._feed.stop()
        self._desktop.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_view(self, view: View) -> None:
        """Take a view from the feed's thread."""
        try:
            self._loop.call_soon_threadsafe(self._show, view)
        except RuntimeError:  # the loop is closed, so nothing is shown any more
            self._feed.stop()

    def _show(self, view: View) -> None:
        now = time.monotonic()
        self._view = view = self._answers.added_to(view, now)
        self._desktop.show(view.look, headline(view), build(view))
        for notice in self._notices.look(view, now):
            self._begin(self._tell(notice.title, notice.text))

    def _on_click(self, action: Action) -> None:
        if isinstance(action, Quit):
            self._is_over.set()
        else:
            self._begin(self._perform(action))

    async def _perform(self, action: Action) -> None:
        self._answers.begin(action)
        self._show(self._view)
        outcome = await asyncio.to_thread(actions.perform, action, self._client)
        self._answers.end(action, outcome, time.monotonic())
        self._feed.ask_now()
        if outcome is not None:
            await self._tell(outcome.title, outcome.text)

    async def _tell(self, title: str, text: str) -> None:
        await self._desktop.notify(self._view.look, title, text)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
