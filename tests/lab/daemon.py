"""secdns itself as a subprocess, the way a person starts it: ``python -m secdns run --config FILE``."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab.programs import guarded

READY = re.compile(r"secdns: listening on (?P<host>\S+):(?P<port>\d+)")
READY_TIMEOUT_S = 10.0
DRAIN_S = 2.0
"""How long the daemon may take to end after SIGTERM (F32)."""

GUARD = Path(__file__).parent / "guard"

SERVER = '[server]\nlisten = ["127.0.0.1:0"]\n'
"""The start of every configuration here: an ephemeral port on loopback."""


UNSIGNED = '[dnssec]\nmode = "off"\n'
"""Most zones of the lab have no signatures, and no chain that would prove that they need none."""


def complete(config_text: str) -> str:
    """Give a configuration with what it does not say itself: where to listen, and how to judge."""
    server = "" if "[server]" in config_text else SERVER
    return server + config_text + ("" if "[dnssec]" in config_text else "\n" + UNSIGNED)


class DaemonError(AssertionError):
    """The daemon did not start, or did not end as it should; the message has what it wrote."""


class Daemon:
    """A running daemon; its standard error is read all the time, so that it never waits for us."""

    def __init__(self, config: Path, prefix: Sequence[str] = ()) -> None:
        self.config = config
        env = {
            **os.environ,
            "PYTHONPATH": str(GUARD),
            "PYTHONUNBUFFERED": "1",
            "STATE_DIRECTORY": str(config.parent / "state"),
        }
        self.popen = subprocess.Popen(
            [*prefix, *guarded([sys.executable, "-m", "secdns", "run", "--config", str(config)])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0
        self.stopped = False

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def stderr(self) -> str:
        with self._changed:
            return "".join(self.lines)

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_line(
        self, pattern: str | re.Pattern[str], timeout_s: float, since: int = 0
    ) -> re.Match[str]:
        """Wait until a line of standard error, from the ``since``-th on, fits ``pattern``."""
        deadline = time.monotonic() + timeout_s
        wanted = re.compile(pattern)
        with self._changed:
            while True:
                for line in self.lines[since:]:
                    if match := wanted.search(line):
                        return match
                left_s = deadline - time.monotonic()
                if self._ended or left_s <= 0:
                    written = "".join(self.lines)
                    raise DaemonError(f"no line {wanted.pattern!r} within {timeout_s} s:\n{written}")
                self._changed.wait(left_s)

    def wait_ready(self) -> None:
        self.port = int(self.wait_for_line(READY, READY_TIMEOUT_S)["port"])

    def rewrite(self, text: str) -> None:
        """Replace the configuration file in one step, as an editor does."""
        new = self.config.with_suffix(".new")
        new.write_text(complete(text))
        new.replace(self.config)

    def reload(self) -> None:
        self.popen.send_signal(signal.SIGHUP)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def cpu_s(self) -> float:
        """Give the CPU time, user and system, that the daemon has used, in seconds."""
        return time.clock_gettime(~self.pid << 3 | 2)  # another process's clock: clock_getcpuclockid(3)

    def stop(self) -> None:
        """End the daemon with SIGTERM; it must end in time, with 0, and without a traceback before it."""
        self.stopped = True
        early = self.popen.poll()
        started = time.monotonic()
        try:
            if early is None:
                self.popen.terminate()
            try:
                status = self.popen.wait(10)
            except subprocess.TimeoutExpired:
                raise DaemonError(f"still there 10 s after SIGTERM:\n{self.stderr}") from None
        finally:
            self.kill()
        took_s = time.monotonic() - started
        if early is not None:
            raise DaemonError(f"ended by itself with {early}:\n{self.stderr}")
        if status != 0:
            raise DaemonError(f"exit status {status} after SIGTERM, want 0:\n{self.stderr}")
        if took_s > DRAIN_S + 0.5:
            raise DaemonError(f"took {took_s:.1f} s to end, want at most {DRAIN_S} s:\n{self.stderr}")
        for sign in ("Traceback (most recent call last)", "was never retrieved", "was never awaited"):
            if sign in self.stderr:
                raise DaemonError(f"{sign!r} on standard error:\n{self.stderr}")

    def kill(self) -> None:
        """End the daemon without asking it, if it is still there; always leaves nothing behind."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self._reader.join(5)
        if self.popen.stderr is not None:
            self.popen.stderr.close()
