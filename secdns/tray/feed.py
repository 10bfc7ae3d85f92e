"""Follow the daemon, so that what is shown is never older than some seconds.

A daemon that ends closes the stream of events, and is noticed at once; one that hangs closes nothing, so
it is asked again and again as well. Two threads, since the client blocks; they end with the process.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from secdns.control.client import Client
from secdns.errors import ControlError
from secdns.tray.view import View

EVERY_S: Final = 1.2  # with TIMEOUT_S less than the 3 s in which a dead daemon has to be seen
TIMEOUT_S: Final = 1.0
FIRST_DELAY_S: Final = 0.25  # before asking a daemon again that was not there; doubled up to …
LAST_DELAY_S: Final = 8.0

_LOG = logging.getLogger(__name__)


class Feed:
    """Calls ``tell`` with a view again and again, from a thread of its own, changed or not.

    Each view is what the daemon has just said, or why it did not.
    """

    def __init__(self, paths: Sequence[Path], tell: Callable[[View], None]) -> None:
        self._client = Client(paths, timeout_s=TIMEOUT_S)
        self._tell = tell
        self._wake = threading.Event()
        self._is_there = threading.Event()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True, name=f"tray {target.__name__.strip('_')}")
            for target in (self._poll, self._follow)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def ask_now(self) -> None:
        """Ask again without waiting."""
        self._wake.set()

    def stop(self) -> None:
        """Tell nothing any more. Does not wait: one thread may be reading until the daemon says something."""
        self._stopped.set()
        self._wake.set()
        self._is_there.set()

    def join(self, timeout_s: float) -> None:
        """Wait until the threads have ended; the daemon has to be gone for that."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _poll(self) -> None:
        delay_s = FIRST_DELAY_S
        while not self._stopped.is_set():
            self._wake.clear()
            view = self._ask()
            if self._stopped.is_set():
                return
            self._tell(view)
            if view.error is None:
                self._is_there.set()
                delay_s = FIRST_DELAY_S
                self._wake.wait(EVERY_S)
            else:
                self._is_there.clear()
                self._wake.wait(delay_s)
                delay_s = min(delay_s * 2, LAST_DELAY_S)

    def _ask(self) -> View:
        try:
            return View(self._client.status(), self._client.upstreams())
        except ControlError as error:
            return View(error=error)
        except Exception:  # whatever it is, the icon must not stay as it was
            _LOG.exception("cannot tell how the daemon is")
            return View(error=ControlError("internal error in the tray"))

    def _follow(self) -> None:
        """Have the daemon asked whenever it says that something has changed, or that it ends."""
        delay_s = FIRST_DELAY_S
        while not self._stopped.is_set():
            self._is_there.wait()
            try:
                for _ in self._client.events():
                    delay_s = FIRST_DELAY_S
                    self._wake.set()
                    if self._stopped.is_set():
                        return
            except ControlError:
                self._wake.set()
            self._stopped.wait(delay_s)
            delay_s = min(delay_s * 2, LAST_DELAY_S)
