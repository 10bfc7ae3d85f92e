"""Speak with the service manager that started us: readiness, watchdog and sockets it opened for us.

The protocol is a datagram of lines (sd_notify(3)), and descriptors from the third on (sd_listen_fds(3)).
Where nobody manages us, nothing here does anything.
"""

import asyncio
import logging
import os
import socket
from collections.abc import MutableMapping

_LOG = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
BEATS = 3  # signs of life in the time that the watchdog waits; one may come late


class ServiceManager:
    """Who is told how we are. Nothing here raises or waits: a manager that is not there harms nobody."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._socket = _connect(environ.get("NOTIFY_SOCKET", ""))
        self._patience_s = _watchdog_s(environ) if self._socket is not None else None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def beat_s(self) -> float | None:
        """Give the seconds between two signs of life, or None if nobody waits for them."""
        return self._patience_s / BEATS if self._patience_s is not None else None

    def ready(self, words: str) -> None:
        """Say that we serve, and in ``words`` what; from now on say in time that we live.

        Each sign of life is a timer of the running event loop: while the loop hangs there is none.
        """
        self._tell("READY=1", f"STATUS={_one_line(words)}")
        if self._timer is None:
            self._beat()

    def stopping(self) -> None:
        """Say that the end has begun; signs of life go on until ``close``."""
        self._tell("STOPPING=1", "STATUS=stopping")

    def close(self) -> None:
        """Give no more signs of life."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _beat(self) -> None:
        if self.beat_s is not None:
            self._tell("WATCHDOG=1")
            self._timer = asyncio.get_running_loop().call_later(self.beat_s, self._beat)

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send("\n".join(lines).encode())
        except OSError as error:  # its queue is full, or it is gone
            _LOG.debug("the service manager did not hear %s: %s", lines[0], error.strerror)


def take_sockets(environ: MutableMapping[str, str] | None = None) -> list[socket.socket]:
    """Give the sockets that the service manager opened for this process; the caller owns them.

    Their variables are removed, so that no program that we start takes the descriptors for its own.
    """
    environ = os.environ if environ is None else environ
    count, process = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not count.isdecimal() or process != str(os.getpid()):
        return []
    taken = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(descriptor, False)
        taken.append(socket.socket(fileno=descriptor))
    return taken


def _connect(place: str) -> socket.socket | None:
    """Give a socket to the manager: a path, or with ``@`` a name of Linux's own (unix(7))."""
    if not place.startswith(("/", "@")):
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.connect("\0" + place[1:] if place.startswith("@") else place)
    except OSError as error:
        _LOG.warning("the service manager cannot be told anything: %s: %s", place, error.strerror)
        sock.close()
        return None
    return sock


def _watchdog_s(environ: MutableMapping[str, str]) -> float | None:
    """Read how long the manager waits for a sign of life (sd_watchdog_enabled(3))."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or int(microseconds) == 0 or meant != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000


def _one_line(text: str) -> str:
    return " ".join(text.split())
