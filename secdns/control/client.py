"""Talk to the daemon: for commands and trays. Blocks; holds no DNS engine and loads no HTTP library."""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.parse import quote

from secdns.control.schema import ROOT, Allowed, Flushed, Pause, Status, Upstreams, Why, from_json
from secdns.errors import ControlError

TIMEOUT_S: Final = 5.0
MAX_REPLY: Final = 1 << 22  # octets; no daemon of ours sends so much
NOT_RUNNING: Final = "not-running"


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
        """End the pause."""
        return from_json(Status, self.post("resume", {}))

    def flush(self, name: str | None = None) -> Flushed:
        """Have answers forgotten: all, or those for ``name`` and below it."""
        return from_json(Flushed, self.post("flush", {} if name is None else {"name": name}))

    def why(self, name: str) -> Why:
        """Ask what is known about ``name``."""
        return from_json(Why, self.get(f"why?name={quote(name, safe='')}"))

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
        with self._asking("GET", path, None, timeout_s=None) as response:
            name = ""
            while line := response.readline(MAX_REPLY):
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
        with self._asking(method, path, body, timeout_s=self._timeout_s) as response:
            value: object = json.loads(response.read(MAX_REPLY))
            return value

    @contextmanager
    def _asking(
        self, method: str, path: str, body: bytes | None, *, timeout_s: float | None
    ) -> Iterator[HTTPResponse]:
        connection = HTTPConnection("localhost", timeout=self._timeout_s)
        connection.sock = self._connect()
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, f"{ROOT}/{path}", body, headers)
            opened = connection.sock
            response = connection.getresponse()
            if response.status != 200:
                raise _error(response)
            if timeout_s is None and opened is not None:
                opened.settimeout(None)
            yield response
        except (OSError, HTTPException, ValueError) as error:
            raise ControlError(
                f"the daemon does not answer as it should: {error}", hint="see its log"
            ) from error
        finally:
            connection.close()

    def _connect(self) -> socket.socket:
        """Connect to the first daemon that listens."""
        last: OSError | None = None
        for path in self._paths:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(self._timeout_s)
            try:
                sock.connect(os.fspath(path))
            except OSError as error:
                sock.close()
                if last is None or not isinstance(error, FileNotFoundError):
                    last = error
            else:
                return sock
        if last is None or isinstance(last, FileNotFoundError | ConnectionRefusedError):
            raise ControlError(
                "no daemon runs", hint="start it: secdns run, or as a service", code=NOT_RUNNING
            ) from last
        raise ControlError(f"the daemon cannot be reached: {last.strerror}", code=NOT_RUNNING) from last


@dataclass(frozen=True, slots=True)
class _Lines:
    lines: tuple[str, ...]


def _error(response: HTTPResponse) -> ControlError:
    value = json.loads(response.read(MAX_REPLY))
    told = value.get("error") if isinstance(value, dict) else None
    if not isinstance(told, dict):
        return ControlError(f"the daemon answers with status {response.status}")
    hint = told.get("hint")
    return ControlError(
        str(told.get("message")), hint=None if hint is None else str(hint), code=str(told.get("code"))
    )
