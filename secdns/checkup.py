"""Have `secdns check` run for somebody who asks over the local API.

In a process of its own: what hangs hangs there, an upstream is asked by another resolver than the one in
question, and nothing of it stays in the daemon's memory. It runs as the daemon does, and sees what that may.
"""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from secdns.control.schema import Checked, from_json
from secdns.dns.name import from_text
from secdns.errors import ControlError, FormatError
from secdns.reasons import clean

PATIENCE_S: Final = 9.0  # it takes five, and a request over the API has ten
_BY_HAND: Final = "type: secdns check"
MAX_OCTETS: Final = 1 << 18  # of what it prints, which is some 4 kB
# What systemd gives to a service and means it alone by (sd_notify(3), sd_listen_fds(3)).
_OWN: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"})


class Checkup:
    """Makes one at a time. Belongs to the event loop.

    ``command`` is `secdns check` as it is to be run here, empty if that is not known; ``control`` gives the
    place of the daemon's local API, and the checks are of that daemon.
    """

    def __init__(self, command: Sequence[str], control: Callable[[], Path | None]) -> None:
        self._command = tuple(command)
        self._control = control
        self._task: asyncio.Task[object] | None = None

    async def run(self, good: str | None, bogus: str | None) -> Checked:
        """Check, with these names instead of the usual ones; what was begun ends if this is cancelled.

        Raises:
            ControlError: a name is none, another check is under way, or it came to nothing.
        """
        argv = [*self._command, "--json", *_option("--name", good), *_option("--bogus", bogus)]
        path = self._control()
        if not self._command or path is None:
            raise ControlError("this daemon was not told how", hint=_BY_HAND, code="not-possible")
        if self._task is not None:
            raise ControlError("a check is under way already", hint="wait for five seconds", code="too-many")
        self._task = asyncio.current_task()
        try:
            return await self._run([*argv, "--socket", str(path)])
        finally:
            self._task = None

    async def aclose(self) -> None:
        """Have what is under way end."""
        task = self._task
        if task is not None:
            if not task.cancelling():  # twice would disturb its own end
                task.cancel()
            await asyncio.wait([task])

    async def _run(self, argv: Sequence[str]) -> Checked:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=PIPE,
                stdout=PIPE,  # what it complains of goes to our own log
                env={name: value for name, value in os.environ.items() if name not in _OWN},
            )
        except OSError as error:
            raise ControlError(f"cannot run {argv[0]}: {error.strerror}", hint=_BY_HAND) from error
        try:
            if process.stdin is not None:
                process.stdin.close()
            async with asyncio.timeout(PATIENCE_S):
                octets = await _read(process)
                await process.wait()
        except TimeoutError as error:
            raise ControlError(f"the checks did not end within {PATIENCE_S:.0f} s", hint=_BY_HAND) from error
        finally:
            _kill(process)
            await process.wait()
        try:
            return from_json(Checked, json.loads(octets))
        except (ControlError, ValueError) as error:
            raise ControlError(
                f"the checks ended with {process.returncode}, and with no results", hint=_BY_HAND
            ) from error


async def _read(process: Process) -> bytes:
    octets = b""
    while process.stdout is not None and len(octets) <= MAX_OCTETS:
        if not (piece := await process.stdout.read(MAX_OCTETS)):
            break
        octets += piece
    return octets


def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()


def _option(option: str, name: str | None) -> tuple[str, ...]:
    if name is None:
        return ()
    try:
        from_text(name)
    except FormatError as error:
        raise ControlError(f"{clean(name)[:60]!r} is no name: {error}", code="bad-request") from error
    return (f"{option}={name}",)
