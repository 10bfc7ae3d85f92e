"""The command line as a process: what it loads, pipes that break, interrupts, terminals."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from secdns import __version__
from secdns.cli import COMMANDS

SECDNS = (sys.executable, "-m", "secdns")
HEAVY = (
    "aioquic",
    "httpx",
    "dns",
    "cryptography",
    "rich",
    "h2",
    "hpack",
    "asyncio",
    "ssl",
    "platformdirs",
    "dbus_fast",
)


def loaded_by(*args: str) -> set[str]:
    """Give the top-level modules that a command has loaded when it ends."""
    code = (
        "import json, sys; from secdns.__main__ import main; main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=30)
    found = json.loads(done.stderr.splitlines()[-1])
    assert isinstance(found, list)
    return set(found)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_load_nothing_heavy(option: str) -> None:
    assert sorted(loaded_by(option).intersection(HEAVY)) == []


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    got = loaded_by(command, "--help").intersection(HEAVY)
    assert sorted(got - {"asyncio", "ssl"}) == []  # asyncio brings ssl; a command is about to use both


def test_version_is_one_line() -> None:
    done = subprocess.run([*SECDNS, "--version"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"secdns {__version__}\n"


def test_reader_that_went_away_ends_in_silence(home: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run([*SECDNS, "upstreams"], stdout=gone, stderr=subprocess.PIPE, timeout=30)
    assert (done.returncode, done.stderr) == (141, b"")


def test_interrupt_ends_in_silence(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        asked = f"@tcp://127.0.0.1:{silent.getsockname()[1]}"
        command = [*SECDNS, "query", "www.example.test", asked, "--timeout", "30"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                connection, _ = silent.accept()
                with connection:
                    connection.recv(1)  # now it waits for an answer that never comes
                    process.send_signal(signal.SIGINT)
                    out, err = process.communicate(timeout=20)
            finally:
                process.kill()
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


def test_table_on_a_terminal_is_drawn_and_elsewhere_is_plain(home: Path) -> None:
    ours, theirs = pty.openpty()
    env = dict(os.environ, TERM="xterm", COLUMNS="200")
    process = subprocess.Popen([*SECDNS, "upstreams"], stdout=theirs, stderr=subprocess.PIPE, env=env)
    os.close(theirs)
    drawn = read_terminal(ours)
    process.communicate(timeout=30)
    plain = subprocess.run([*SECDNS, "upstreams"], capture_output=True, text=True, timeout=30, check=True)
    assert "━" in drawn or "─" in drawn
    assert plain.stdout.isascii()


def read_terminal(descriptor: int) -> str:
    """Read what a process writes to a terminal until it ends."""
    read = bytearray()
    while select.select([descriptor], [], [], 30)[0]:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            break
        if not chunk:
            break
        read += chunk
    os.close(descriptor)
    return read.decode()
