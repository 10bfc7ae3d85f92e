"""Talk to the daemon: for commands and trays. Blocks; holds no DNS engine and loads no HTTP library.

It asks by HTTP/1.0, so that a reply is a head and all that follows until the end: `http.client` would
cost a command as much time as everything else it does.
"""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from secdns.control.schema import (
    ROOT,
    Allowed,
    Checked,
    Explained,
    Flushed,
    Network,
    Pause,
    Portal,
    Status,
    Upstreams,
    Why,
    from_json,
)
from secdns.errors import ControlError

TIMEOUT_S: Final = 10.0
MAX_REPLY: Final = 1 << 22  # octets; no daemon of ours sends so much
MAX_HEAD: Final = 1 << 14
NOT_RUNNING: Final = "not-running"
KEY_SUFFIX: Final = ".key"  # of a path that is no Unix socket: see ``secdns.control.key``
_IMPOSTOR: Final = "no daemon runs: another program has taken its port"


class Client:
    """Asks the daemon that listens at the first of ``paths`` where one does.

    Every method raises ControlError: no daemon runs, or it refuses; ``code`` says which.
    """

    def __init__(self, paths: Sequence[Path], *, timeout_s: float = TIMEOUT_S) -> None:
        self._paths = paths
        self._timeout_s = timeout_s

    def status(self) -> Status:
        """Ask how things are."""
        return from_json(Status, self.get("status"))

    def upstreams(self) -> Upstreams:
        """Ask whom names go to."""
        return from_json(Upstreams, self.get("upstreams"))

    def use(self, name: str | None) -> Status:
        """Have this upstream asked first; None: in the configuration's order."""
        return from_json(Status, self.post("use", {"upstream": name}))

    def pause(self, for_s: int) -> Pause:
        """Have the network's own resolver answer for so long."""
        return from_json(Pause, self.post("pause", {"for_s": for_s}))

    def resume(self) -> Status:
        """End the pause, or the time to sign in."""
        return from_json(Status, self.post("resume", {}))

    def portal(self) -> Portal:
        """Have everything let out in plain for some minutes, to sign in to the network; takes 3 s at most."""
        return from_json(Portal, self.post("portal", {}))

    def network(self) -> Network:
        """Ask what network this is."""
        return from_json(Network, self.get("network"))

    def flush(self, name: str | None = None) -> Flushed:
        """Have answers forgotten: all, or those for ``name`` and below it."""
        return from_json(Flushed, self.post("flush", {} if name is None else {"name": name}))

    def why(self, name: str) -> Why:
        """Ask what is known about ``name``."""
        return from_json(Why, self.get(f"why?name={quote(name, safe='')}"))

    def explain(self, name: str, rrtype: str = "A") -> Explained:
        """Have ``name`` asked for and checked anew; takes some seconds at most."""
        return from_json(Explained, self.get(f"explain?name={quote(name, safe='')}&type={rrtype}"))

    def check(self) -> Checked:
        """Have it looked whether names on this machine really go through secdns; takes some seconds."""
        return from_json(Checked, self.post("check", {}))

    def allow(self, name: str, for_s: int) -> Allowed:
        """Have signatures of ``name`` and below not checked for so long."""
        return from_json(Allowed, self.post("dnssec/allow", {"name": name, "for_s": for_s}))

    def log(self) -> tuple[str, ...]:
        """Ask for the last lines of the query log."""
        got = self.get("log")
        return from_json(_Lines, got).lines

    def events(self, path: str = "events") -> Iterator[tuple[str, object]]:
        """Give what happens as it happens: names of events and what goes with them, without an end.

        ``path`` is "events" or "log?follow=1". It may wait for ever; the first comes at once.
        """
        with self._asking("GET", path, None) as (sock, reply):
            sock.settimeout(None)
            name = ""
            while line := reply.readline(MAX_REPLY):
                key, _, text = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
                if key == "event":
                    name = text
                elif key == "data":
                    yield name, json.loads(text)
        raise ControlError("the daemon has ended", hint="start it: secdns run", code=NOT_RUNNING)

    def get(self, path: str) -> object:
        """Give what the daemon answers to GET, as JSON has it."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> object:
        """Give what the daemon answers to POST, as JSON has it."""
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> object:
        with self._asking(method, path, body) as (_, reply):
            value: object = json.loads(reply.read(MAX_REPLY))
            return value

    @contextmanager
    def _asking(self, method: str, path: str, body: bytes | None) -> Iterator[tuple[socket.socket, BinaryIO]]:
        """Send a request; give the connection and the body of the reply, which is at hand if it is 200."""
        sock, door = self._connect()
        with sock, sock.makefile("rb") as reply:
            try:
                sock.sendall(_request(method, f"{ROOT}/{path}".rstrip("/"), body, door))
                status, headers = _read_head(reply)
                if door.proof and headers.get(b"secdns-proof") != door.proof:
                    raise ControlError(_IMPOSTOR, hint="start it: secdns run", code=NOT_RUNNING)
                if status != 200:
                    raise _error(status, reply.read(MAX_REPLY))
                yield sock, reply
            except (OSError, ValueError) as error:
                raise ControlError(
                    f"the daemon does not answer as it should: {error}", hint="see its log"
                ) from error

    def _connect(self) -> tuple[socket.socket, "_Door"]:
        """Connect to the first daemon that listens."""
        last: OSError | None = None
        for path in self._paths:
            if not _is_sound(path):
                last = PermissionError(0, f"others can put a socket of theirs at {path}")
                continue
            try:
                return _enter(path, self._timeout_s)
            except OSError as error:
                if last is None or not isinstance(error, FileNotFoundError):
                    last = error
        if last is None or isinstance(last, FileNotFoundError | ConnectionRefusedError):
            raise ControlError(
                "no daemon runs", hint="start it: secdns run, or as a service", code=NOT_RUNNING
            ) from last
        raise ControlError(f"the daemon cannot be reached: {last.strerror}", code=NOT_RUNNING) from last


@dataclass(frozen=True, slots=True)
class _Door:
    """What a request needs on its way in, and what proves that it came to the daemon, if anything has to."""

    host: str = "localhost"
    authorization: str = ""
    proof: bytes = b""


def _enter(path: Path, timeout_s: float) -> tuple[socket.socket, _Door]:
    """Connect to a Unix socket, or by the key in a file.

    Raises:
        ControlError: the file is no key.
        OSError: nobody is there, or we are not let in.
    """
    if path.suffix == KEY_SUFFIX:
        # takes as long as all else that a command does, and is not wanted where there are Unix sockets
        from secdns.control.key import HOST, make_nonce, read

        key, nonce = read(path), make_nonce()
        door = _Door(f"{HOST}:{key.port}", key.authorization(nonce), key.proof("server", nonce).encode())
        return socket.create_connection((HOST, key.port), timeout_s), door
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout_s)
    try:
        sock.connect(os.fspath(path))
    except BaseException:
        sock.close()
        raise
    return sock, _Door()


@dataclass(frozen=True, slots=True)
class _Lines:
    lines: tuple[str, ...]


def _is_sound(path: Path) -> bool:
    """Tell whether nobody but root, this user or a service of the machine can have put a socket there.

    Where a user has no runtime directory of their own it is in one that all can write to, and somebody
    else may have been first: what they say must not be taken for the daemon's word.
    """
    try:
        facts, above = path.parent.stat(), path.parent.parent.stat()
    except OSError:
        return True  # nothing is there, which connecting says better
    if not hasattr(os, "geteuid"):
        return True  # Windows: the key's own access list says who wrote it
    if facts.st_uid in (0, os.geteuid()):
        return not facts.st_mode & 0o002
    return above.st_uid == 0 and not above.st_mode & 0o022  # as /run/secdns, which systemd has made


def _request(method: str, target: str, body: bytes | None, door: _Door) -> bytes:
    head = f"{method} {target} HTTP/1.0\r\nHost: {door.host}\r\n"
    if door.authorization:
        head += f"Authorization: {door.authorization}\r\n"
    if body is None:
        return f"{head}\r\n".encode("ascii")
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode("ascii") + body


def _read_head(reply: BinaryIO) -> tuple[int, dict[bytes, bytes]]:
    """Read up to the body; give the status, and the headers by their names in lower case.

    Raises:
        ValueError: this is no HTTP.
    """
    version, status, *_ = [*reply.readline(MAX_HEAD).split(None, 2), b"", b""]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise ValueError("this is no HTTP")
    left, headers = MAX_HEAD, {}
    while (line := reply.readline(MAX_HEAD)) not in (b"\r\n", b"\n"):
        left -= len(line)
        if not line or left < 0:
            raise ValueError("a head without an end")
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return int(status), headers


def _error(status: int, body: bytes) -> ControlError:
    value = json.loads(body)
    told = value.get("error") if isinstance(value, dict) else None
    if not isinstance(told, dict):
        return ControlError(f"the daemon answers with status {status}")
    hint = told.get("hint")
    return ControlError(
        str(told.get("message")), hint=None if hint is None else str(hint), code=str(told.get("code"))
    )
