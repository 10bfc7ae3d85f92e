"""Tell who listens what changes, as server-sent events (WHATWG HTML, "Server-sent events").

While somebody listens, the daemon is looked at once a second and after each change that was asked for;
nobody listens, nothing is looked at. What a reader has not read waits in a bounded buffer; one that
falls behind by more is dropped, and can begin anew with the whole picture.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Final, Protocol

from secdns.control.schema import Daemon, Status, to_json

LOOK_EVERY_S: Final = 1.0
MAX_STREAMS: Final = 8  # of the server's connections, so that who only asks finds room


class Reader(Protocol):
    """One who listens."""

    may_change: bool

    def send(self, octets: bytes) -> None:
        """Take one event, or be dropped for falling behind; raises nothing."""


def event(name: str, value: object) -> bytes:
    """Give one event; JSON has no line break outside its strings and escapes those inside."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


class Streams:
    """Those who listen to the daemon. Belongs to the event loop."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._loop = asyncio.get_running_loop()
        self._readers: list[Reader] = []
        self._logs: dict[Reader, Callable[[], None]] = {}  # how to stop hearing the query log
        self._seen: dict[str, object] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._readers) + len(self._logs)

    @property
    def is_full(self) -> bool:
        """There is no room for another."""
        return len(self) >= MAX_STREAMS

    def add(self, reader: Reader) -> None:
        """Tell ``reader`` how things are, and from now on what changes."""
        self.look()
        self._readers.append(reader)
        if len(self._readers) == 1:
            self._seen = _parts(self._daemon.status(may_change=True))
        reader.send(event("status", to_json(self._daemon.status(may_change=reader.may_change))))
        self._set_timer()

    def add_log(self, reader: Reader) -> None:
        """Send ``reader`` the query log: what is held of it, and from now on each line.

        Raises:
            ControlError: nobody keeps one.
        """
        held = self._daemon.log()
        self._logs[reader] = self._daemon.follow_log(lambda line: reader.send(event("query", {"line": line})))
        for line in held:
            reader.send(event("query", {"line": line}))

    def drop(self, reader: Reader) -> None:
        """Tell ``reader`` nothing more."""
        if reader in self._readers:
            self._readers.remove(reader)
        stop = self._logs.pop(reader, None)
        if stop is not None:
            stop()
        if not self._readers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Tell everybody what is not as it was."""
        if not self._readers:
            return
        seen = _parts(self._daemon.status(may_change=True))
        changed = [name for name, part in seen.items() if part != self._seen.get(name)]
        self._seen = seen
        for reader in tuple(self._readers) if changed else ():
            told = to_json(self._daemon.status(may_change=reader.may_change))
            reader.send(b"".join(event(name, told) for name in changed))

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_EVERY_S, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.look()
        if self._readers:
            self._set_timer()


def _parts(status: Status) -> dict[str, object]:
    """Give what is worth an event, by the name of the event."""
    upstream, problem = status.upstream, status.problem
    return {
        "state": (status.state, status.sentence),
        "network": status.network,
        "system": status.system,
        "clock": status.clock,
        "upstream": (upstream.name, upstream.protocol, status.chosen),
        "pause": None if status.pause is None else status.pause.until,
        "portal": None if status.portal is None else (status.portal.url, status.portal.left_s is None),
        "problem": None if problem is None else problem.sentence,  # the same once more is no news
    }
