"""Listen for the local API: the socket, and the bounds over all connections.

Until somebody connects this is one socket that is waited for: h11 and all else that speaks HTTP is
loaded then, in a thread, so that no query waits for it.
"""

import asyncio
import contextlib
import errno
import importlib
import logging
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from secdns.control.client import KEY_SUFFIX, Client
from secdns.control.doors import Door, LoopbackDoor, UnixDoor
from secdns.control.key import HOST, Key, make, write
from secdns.control.peers import Peer, Rights
from secdns.control.schema import Daemon
from secdns.errors import ControlError

if TYPE_CHECKING:  # loaded with the first connection
    from secdns.control.connection import Connection
    from secdns.control.streams import Streams

MAX_CONNECTIONS: Final = 16  # at once (threat L6) …
MAX_OF_OTHERS: Final = 8  # … of them of users who may only read, so that those who may do more find room
BACKLOG: Final = 32
ANSWER_S: Final = 1.0  # for a daemon that is there already
MAX_PATH: Final = 107  # octets of a socket's path, sys/un.h

_LOG = logging.getLogger(__name__)


class Server:
    """The local API of ``daemon``. Belongs to the event loop that runs when it is made."""

    def __init__(self, daemon: Daemon, rights: Rights) -> None:
        self.daemon = daemon
        self.streams: Streams
        self.path: Path | None = None
        self.door: Door
        self._rights = rights
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._inode = 0
        self._start: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    def open(self, path: Path) -> None:
        """Listen at ``path``; every user may connect, what they may do is found out then.

        A path that ends in ``.key`` is the file for the key to a port of loopback, which is opened then.

        Raises:
            ControlError: that is not possible, or another daemon listens there.
        """
        if path.suffix == KEY_SUFFIX:
            self._sock, key = open_port(path)
            self.door = LoopbackDoor(key)
        else:
            self._sock = open_socket(path)
            self.door = UnixDoor()
        self.path = path
        self._inode = path.lstat().st_ino
        self._loop.add_reader(self._sock, self._on_first)

    async def aclose(self) -> None:
        """Take the socket away and end all connections."""
        if self._sock is None or self.path is None:
            return
        self._loop.remove_reader(self._sock)
        if self._start is not None:
            self._start.cancel()
            await asyncio.gather(self._start, return_exceptions=True)
        with contextlib.suppress(OSError):
            if self.path.lstat().st_ino == self._inode:  # else another daemon has put its own there
                self.path.unlink()
        if self._server is not None:
            self._server.close()
        self._sock.close()
        self._sock = None
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    def _on_first(self) -> None:
        """Begin to serve; whoever has connected waits that long in the kernel's queue."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._start = self._loop.create_task(self._serve(self._sock))

    async def _serve(self, sock: socket.socket) -> None:
        load = importlib.import_module
        connection = await self._loop.run_in_executor(None, load, "secdns.control.connection")
        self.streams = load("secdns.control.streams").Streams(self.daemon)
        self._server = await self._loop.create_server(
            lambda: connection.Connection(self), sock=sock, backlog=BACKLOG
        )

    # what a connection asks

    def admit(self, connection: "Connection", peer: Peer | None) -> bool:
        """Take a connection in, or say that there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        if not connection.may_change:
            others = sum(not one.may_change for one in self._connections)
            if others >= MAX_OF_OTHERS:
                return False
        self._connections.add(connection)
        return True

    def may_change(self, peer: Peer | None) -> bool:
        """Tell whether ``peer`` may change things."""
        return self._rights.may_change(peer)

    def leave(self, connection: "Connection") -> None:
        """Take note that a connection is over."""
        self._connections.discard(connection)


def open_socket(path: Path) -> socket.socket:
    """Give a socket that listens at ``path``, in a directory that is made if need be.

    What a daemon that is gone has left there is taken away.

    Raises:
        ControlError: it cannot be opened; what stands at ``path`` is left alone.
    """
    if len(os.fsencode(path)) > MAX_PATH:
        raise ControlError(f"the path of the socket has over {MAX_PATH} octets: {path}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_room(path)
        sock.setblocking(False)
        sock.bind(os.fspath(path))
        path.chmod(0o666)  # the peer's credentials decide, not who can open it
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ControlError(f"cannot listen at {path}: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def open_port(path: Path) -> tuple[socket.socket, Key]:
    """Give a socket that listens at a port of loopback, and its key, which is in the file ``path`` now.

    Raises:
        ControlError: it cannot be opened, or another daemon listens by that key.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        _trust_directory(path)
        if _is_answered(path):
            raise ControlError(f"another secdns has the key {path}")
        sock.setblocking(False)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # else Windows lets others share it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        sock.bind((HOST, 0))
        sock.listen(BACKLOG)
        key = make(sock.getsockname()[1])
        write(path, key)
    except OSError as error:
        sock.close()
        raise ControlError(f"cannot listen by {path}: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise
    return sock, key


def _is_answered(path: Path) -> bool:
    """Tell whether a daemon answers to the key that is there."""
    try:
        Client([path], timeout_s=ANSWER_S).get("")
    except ControlError:
        return False
    return True


def _make_room(path: Path) -> None:
    """Make the directory, open to all, and take away a socket that nobody listens at.

    Raises:
        ControlError: the directory or what is there is not to be trusted, or somebody listens.
        OSError: it cannot be done.
    """
    _trust_directory(path)
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(facts.st_mode):
        raise ControlError(f"{path} is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(os.fspath(path))
    if answer in (errno.ECONNREFUSED, errno.ENOENT):
        path.unlink(missing_ok=True)
    else:
        raise ControlError(f"another secdns listens at {path}")


def _trust_directory(path: Path) -> None:
    """Make the directory, open to all, and see that nobody else can put anything there.

    Raises:
        ControlError: somebody can.
        OSError: it cannot be made.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o755)  # whatever the umask says
    if not hasattr(os, "geteuid"):  # Windows: the key's own access list says who may read it
        return
    facts = path.parent.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in (0, os.geteuid()):
        raise ControlError(f"{path.parent} is not a directory of ours")
    if facts.st_mode & 0o022 and not facts.st_mode & stat.S_ISVTX:
        raise ControlError(f"{path.parent} can be written by others", hint=f"chmod go-w {path.parent}")
    for above in path.parent.parents:
        facts = above.stat()
        if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & (0o002 | stat.S_ISVTX) == 0o002:
            raise ControlError(f"{above} is in the hands of others, so {path} would be as well")
