"""What the service manager hears of us, and the sockets that we have of it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secdns.config import load
from secdns.daemon import Daemon
from secdns.serving import serve
from secdns.systemd import ServiceManager, take_sockets
from tests.loop import Warp, turns

LISTEN = '[dnssec]\nmode = "off"\n[server]\nlisten = ["127.0.0.1:0"]\n'


class Listening:
    """Stands in for the service manager."""

    def __init__(self, place: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + place[1:] if place.startswith("@") else place)
        self.sock.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "9000000", "WATCHDOG_PID": str(os.getpid())}

    def heard(self) -> list[str]:
        """Give the datagrams since the last call."""
        found = []
        while True:
            try:
                found.append(self.sock.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listening]:
    place = str(tmp_path / "notify") if request.param == "path" else f"@secdns-test-{os.getpid()}"
    listening = Listening(place)
    yield listening
    listening.sock.close()


async def test_loop_that_turns_is_heard_of_three_times_in_the_time_that_the_watchdog_waits(
    manager: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Warp(monkeypatch)
    ours = ServiceManager(manager.environ)
    assert manager.heard() == []
    ours.ready("answering at\n127.0.0.1:53")
    assert manager.heard() == ["READY=1\nSTATUS=answering at 127.0.0.1:53", "WATCHDOG=1"]
    await clock.rest(9.01, step_s=1)
    assert manager.heard() == ["WATCHDOG=1"] * 3
    ours.stopping()
    await clock.rest(3.01, step_s=1)
    assert manager.heard() == ["STOPPING=1\nSTATUS=stopping", "WATCHDOG=1"]
    ours.close()
    await clock.rest(9.01, step_s=1)
    assert manager.heard() == []


async def test_loop_that_hangs_is_not_heard_of(manager: Listening) -> None:
    ours = ServiceManager({**manager.environ, "WATCHDOG_USEC": "3000"})
    ours.ready("")
    manager.heard()
    time.sleep(0.1)  # noqa: ASYNC251  this is the hang
    assert manager.heard() == []
    await asyncio.sleep(0)
    await turns()
    assert "WATCHDOG=1" in manager.heard()
    ours.close()


@pytest.mark.parametrize(
    ("change", "want"),
    [
        pytest.param({}, 3.0, id="waits nine seconds"),
        pytest.param({"WATCHDOG_USEC": ""}, None, id="does not wait"),
        pytest.param({"WATCHDOG_USEC": "0"}, None, id="waits for nothing"),
        pytest.param({"WATCHDOG_USEC": "soon"}, None, id="nonsense"),
        pytest.param({"WATCHDOG_PID": "1"}, None, id="waits for another process"),
        pytest.param({"NOTIFY_SOCKET": ""}, None, id="nobody to tell"),
    ],
)
def test_watchdog_is_the_one_that_the_environment_tells_of(
    change: dict[str, str], want: float | None, manager: Listening
) -> None:
    ours = ServiceManager({**manager.environ, **change})
    assert ours.beat_s == want
    ours.close()


async def test_manager_that_is_gone_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "absent"), "WATCHDOG_USEC": "3000000"}
    ours = ServiceManager(environ)
    ours.ready("")
    ours.stopping()
    ours.close()
    assert "the service manager cannot be told anything" in caplog.text


async def test_daemon_is_ready_when_it_answers_and_says_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: None
) -> None:
    listening = Listening(str(tmp_path / "notify"))
    for name, value in listening.environ.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "secdns.toml"
    file.write_text(
        LISTEN + '[[upstream]]\nname = "mine"\nurl = "tls://dns.example"\naddresses = ["127.0.0.1"]\n'
    )
    daemon = Daemon(load(file), hosts_file=None)
    task = asyncio.create_task(serve(daemon))
    heard: list[str] = []
    async with asyncio.timeout(10):
        while not heard:
            await asyncio.sleep(0)
            heard += listening.heard()
    assert heard[0] == f"READY=1\nSTATUS=answering at 127.0.0.1:{daemon.bound[0].port}; asking mine"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 10)
    assert listening.heard()[-1] == "STOPPING=1\nSTATUS=stopping"
    listening.sock.close()


# Sockets. Descriptors have to have certain numbers, so a process of its own stands in for us.

HANDING_OVER = """
import os, socket, sys
while True:  # the port that the one was given may be taken for the other
    sockets = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
    sockets[0].bind(("127.0.0.1", 0))
    try:
        sockets[1].bind(sockets[0].getsockname())
    except OSError:
        continue
    break
sockets[1].listen()
port = sockets[0].getsockname()[1]
for number, sock in enumerate(sockets, 10):
    os.dup2(sock.fileno(), number)
for number in (3, 4):
    os.dup2(number + 7, number)
os.environ.update(LISTEN_FDS="2", LISTEN_FDNAMES="a:b", LISTEN_PID=str(os.getpid() + int(sys.argv[1])))
from secdns.systemd import take_sockets
taken = take_sockets()
print(port, [(sock.type.name, sock.getsockname()[1], sock.get_inheritable()) for sock in taken],
      [name for name in os.environ if name.startswith("LISTEN_")], take_sockets())
"""


@pytest.mark.parametrize(
    ("other", "want"),
    [
        pytest.param(0, "[('SOCK_DGRAM', {0}, False), ('SOCK_STREAM', {0}, False)]", id="ours"),
        pytest.param(1, "[]", id="of another process"),
    ],
)
def test_sockets_are_taken_once_and_by_whom_they_are_meant_for(other: int, want: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANDING_OVER, str(other)],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    port, _, rest = done.stdout.strip().partition(" ")
    assert rest == f"{want.format(port)} [] []"


def test_nobody_hands_over_anything() -> None:
    assert take_sockets({}) == []
    assert take_sockets({"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}) == []
