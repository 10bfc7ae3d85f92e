"""A session bus that nobody else is on."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import programs


@contextmanager
def session(folder: Path) -> Iterator[str]:
    """Have a session bus, and give its address; all that it starts keeps to ``folder``.

    Raises:
        MissingProgram: it is not installed.
    """
    path = folder / "bus"
    argv = [
        programs.find("dbus-daemon"), "--session", "--nofork", "--nopidfile", f"--address=unix:path={path}",
    ]  # fmt: skip

    def is_listening() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    home = folder / "home"  # of what the bus starts: the panel's settings are read there
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(folder)}
    with programs.running(argv, folder / "bus.log", is_listening, env=env):
        yield f"unix:path={path}"
