"""Remember over a restart what a person wished at run time: an upstream, a pause.

One small JSON file (``state_file``), written in a thread, one writing after the other. What cannot be
read is as good as no wish.
"""

import asyncio
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from secdns import state_file

FILE_NAME: Final = "wishes.json"
MAX_FILE: Final = 4096
VERSION: Final = 1

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wished: the ``upstream`` to ask first, None for the configuration's order, and a pause.

    ``paused_until`` is in seconds since 1970, 0 for no pause; ``paused_for_s`` is how long it was to be
    altogether, so that a clock that was set back makes none longer.
    """

    upstream: str | None = None
    paused_until: float = 0.0
    paused_for_s: float = 0.0

    def left_s(self, wall: float) -> float:
        """Give how long the pause still lasts, at most as long as it was to be."""
        return min(max(self.paused_until - wall, 0.0), self.paused_for_s)


class Keeper:
    """Keeps wishes in ``directory``, None for nowhere. Belongs to the event loop that runs in ``keep``."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / FILE_NAME
        self._next: Wishes | None = None
        self._writing: asyncio.Future[None] | None = None

    def load(self) -> Wishes:
        """Give what was kept, or no wishes."""
        octets = None if self._path is None else state_file.read(self._path, MAX_FILE)
        if octets is None:
            return Wishes()
        try:
            return _read(json.loads(octets))
        except (ValueError, TypeError, RecursionError):
            _LOG.warning("%s is left out: it is damaged", self._path)
            return Wishes()

    def keep(self, wishes: Wishes) -> None:
        """Write ``wishes`` soon."""
        if self._path is None:
            return
        self._next = wishes
        if self._writing is None:
            self._write(self._path)

    async def aclose(self) -> None:
        """Wait until what is to be kept is written."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    def _write(self, path: Path) -> None:
        wishes, self._next = self._next, None
        octets = json.dumps({"version": VERSION, **asdict(wishes or Wishes())}).encode()
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, _store, path, octets)
        self._writing.add_done_callback(lambda _: self._written(path))

    def _written(self, path: Path) -> None:
        self._writing = None
        if self._next is not None:
            self._write(path)


def _store(path: Path, octets: bytes) -> None:
    try:
        state_file.write(path, octets)
    except OSError as error:
        _LOG.warning("what was chosen is not kept over a restart: %s: %s", path, error.strerror)


def _read(value: object) -> Wishes:
    """Give what a file says.

    Raises:
        ValueError, TypeError: it is none of ours.
    """
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise ValueError("another version")
    upstream = value["upstream"] if isinstance(value.get("upstream"), str) else None
    until, for_s = float(value.get("paused_until", 0)), float(value.get("paused_for_s", 0))
    if not (math.isfinite(until) and math.isfinite(for_s)):
        raise ValueError("no time")
    return Wishes(upstream, until, for_s)
