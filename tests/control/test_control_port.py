"""The local API where there are no Unix sockets: a port of loopback and the key to it (threats L1 to L6)."""

import asyncio
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from secdns import paths
from secdns.control import key as keys
from secdns.control.client import Client
from secdns.control.key import PROOF_HEADER, Key
from secdns.errors import ControlError
from secdns.testing import FakeUpstream
from tests.control.stage import Stage, running
from tests.forwarder.stage import table


@asynccontextmanager
async def at_port(up: FakeUpstream, tmp_path: Path) -> AsyncIterator[tuple[Stage, Key]]:
    """Run a daemon with its local API at a port."""
    async with running(table(up), tmp_path, control="control.key") as stage:
        yield stage, keys.read(stage.path)


async def http(
    key: Key, method: str, path: str, body: bytes = b"", **headers: str | None
) -> tuple[int, dict[str, str], Any]:
    """Send a request as who has the key does; a header may be another, or None for none."""
    given: dict[str, str | None] = {
        "Host": f"127.0.0.1:{key.port}",
        "Authorization": f"Bearer {key.secret}",
        "Content-Type": "application/json" if body else None,
        "Content-Length": str(len(body)) if body else None,
    }
    given |= {name.replace("_", "-"): text for name, text in headers.items()}
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{name}: {text}" for name, text in given.items() if text is not None),
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", key.port)
    try:
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        reply = await reader.read()
    finally:
        writer.close()
    head, _, rest = reply.decode("latin-1").partition("\r\n\r\n")
    first, *others = head.split("\r\n")
    told = dict(line.lower().split(": ", 1) for line in others)
    return int(first.split()[1]), told, json.loads(rest)


async def test_the_same_api_for_who_has_the_key(up: FakeUpstream, tmp_path: Path) -> None:
    async with at_port(up, tmp_path) as (stage, _):
        client = Client([stage.path])
        status = await stage.api(client.status)
        assert (status.upstream.name, status.may_change) == ("a", True)
        assert (await stage.api(client.use, "quad9")).chosen == "quad9"
        assert (await stage.api(client.upstreams)).upstreams[0].name == "quad9"
        events = client.events()
        name, _ = await stage.api(next, events)
        assert name == "status"
        with pytest.raises(ControlError, match="there is no upstream"):
            await stage.api(client.use, "nobody")
        await stage.api(events.close)  # type: ignore[attr-defined]  # it is a generator


async def test_key_is_for_its_owner_alone_and_goes_with_the_daemon(up: FakeUpstream, tmp_path: Path) -> None:
    async with at_port(up, tmp_path) as (stage, key):
        assert stat.S_IMODE(stage.path.stat().st_mode) == 0o600
        assert len(key.secret) == 2 * keys.SECRET_OCTETS
        assert [path.name for path in stage.path.parent.iterdir()] == ["control.key"]
    assert not stage.path.exists()
    async with at_port(up, tmp_path) as (_, another):
        assert another.secret != key.secret


@pytest.mark.parametrize(
    ("headers", "want"),
    [
        pytest.param({"Authorization": None}, (401, "no-key"), id="none"),
        pytest.param({"Authorization": ""}, (401, "no-key"), id="empty"),
        pytest.param({"Authorization": "Bearer " + "0" * 64}, (401, "no-key"), id="wrong"),
        pytest.param({"Authorization": "Bearer "}, (401, "no-key"), id="no secret"),
        pytest.param({"Authorization": "Bearer \xe9\xff"}, (401, "no-key"), id="no ASCII"),
        pytest.param({"Authorization": "Basic c2VjZG5zOg=="}, (401, "no-key"), id="another scheme"),
        pytest.param({"Authorization": "Secdns 0123.4567"}, (401, "no-key"), id="wrong proof"),
        pytest.param({"Authorization": "Secdns ."}, (401, "no-key"), id="no number"),
        pytest.param({"Host": "evil.com"}, (421, "wrong-host"), id="rebinding L2"),
        pytest.param({"Host": "localhost"}, (421, "wrong-host"), id="no port L2"),
        pytest.param({"Host": "127.0.0.1:1"}, (421, "wrong-host"), id="another port L2"),
        pytest.param(
            {"Host": "evil.com", "Authorization": None}, (421, "wrong-host"), id="host comes first L2"
        ),
        pytest.param({"Origin": "https://evil.com"}, (403, "not-allowed"), id="web page L3"),
        pytest.param({"Origin": "null"}, (403, "not-allowed"), id="local page L3"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, (403, "not-allowed"), id="browser L3"),
        pytest.param({"Content_Type": "text/plain"}, (415, "wrong-type"), id="form L3"),
    ],
)
async def test_who_has_not_the_key_or_is_a_web_page_does_not_come_in(
    headers: dict[str, str | None], want: tuple[int, str], up: FakeUpstream, tmp_path: Path
) -> None:
    async with at_port(up, tmp_path) as (stage, key):
        for method, path, body in (("POST", "/v1/use", b'{"upstream":"quad9"}'), ("GET", "/v1/status", b"")):
            if method == "GET" and want[0] == 415:
                continue
            status, told, got = await http(key, method, path, body, **headers)
            assert (status, got["error"]["code"]) == want
            assert key.secret not in json.dumps(got)
            assert not any(name.startswith("access-control") for name in told)
            assert ("www-authenticate" in told) is (status == 401)
            assert PROOF_HEADER.lower() not in told
        assert (await stage.api(Client([stage.path]).status)).chosen is None


async def test_browser_that_asks_whether_it_may_is_told_nothing_L3(up: FakeUpstream, tmp_path: Path) -> None:
    async with at_port(up, tmp_path) as (_, key):
        asked = {"Origin": "http://evil.com", "Access_Control_Request_Method": "POST", "Authorization": None}
        status, told, _ = await http(key, "OPTIONS", "/v1/use", b"", **asked)
        assert status == 403
        assert not any(name.startswith("access-control") for name in told)


async def test_who_sends_nothing_leaves_room_L6(up: FakeUpstream, tmp_path: Path) -> None:
    async with at_port(up, tmp_path) as (stage, key):
        client = Client([stage.path])
        await stage.api(client.status)
        streams = [client.events() for _ in range(8)]
        for events in streams:
            await stage.api(next, events)
        assert (await stage.api(client.status)).may_change  # those who listen are known, and count no more
        assert (await http(key, "GET", "/v1/status"))[0] == 200
        for events in streams:
            await stage.api(events.close)  # type: ignore[attr-defined]


@contextmanager
def impostor(reply: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Have another program at a port, that gives this to whoever asks; and what it was sent."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(reply)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], heard
        thread.join(10)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="no proof"),
        pytest.param(b"Secdns-Proof: 1234\r\n", id="wrong proof"),
    ],
)
def test_program_that_took_the_port_is_not_taken_for_the_daemon_and_learns_nothing(
    header: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "control.key"
    with impostor(b"HTTP/1.1 200 OK\r\n" + header + b'\r\n{"state":"secure"}') as (port, heard):
        key = keys.make(port)
        keys.write(path, key)
        with pytest.raises(ControlError, match="another program has taken its port") as caught:
            Client([path]).status()
    assert caught.value.code == "not-running"
    assert key.secret.encode() not in heard[0]
    proof = heard[0].partition(b"Authorization: ")[2].partition(b"\r\n")[0].decode()
    assert keys.make(port).admits(proof) is None  # and it opens no other door


async def test_second_daemon_does_not_take_the_key_of_a_live_one_and_takes_that_of_a_dead_one(
    up: FakeUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_port(up, tmp_path) as (stage, key):
        another = tmp_path / "another"
        another.mkdir()
        with pytest.raises(ControlError, match="another secdns has the key"):
            await asyncio.to_thread(open_port, stage.path)
        assert keys.read(stage.path) == key
    keys.write(stage.path, key)  # left by a crash
    async with at_port(up, tmp_path) as (stage, new):
        assert new != key


def open_port(path: Path) -> None:
    from secdns.control.server import open_port

    open_port(path)[0].close()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", "says nothing of a daemon"),
        ("[]", "says nothing of a daemon"),
        ('{"port": 0, "secret": "x"}', "says nothing of a daemon"),
        ('{"port": "53", "secret": "x"}', "says nothing of a daemon"),
        ('{"port": 53, "secret": ""}', "says nothing of a daemon"),
        ("x" * 5000, "says nothing of a daemon"),
    ],
)
def test_file_that_is_no_key_is_told(text: str, want: str, tmp_path: Path) -> None:
    path = tmp_path / "control.key"
    path.write_text(text)
    with pytest.raises(ControlError, match=want):
        Client([path]).status()


def test_key_that_others_could_have_written_is_not_used_L1(tmp_path: Path) -> None:
    path = tmp_path / "control.key"
    keys.write(path, Key(1, "x"))
    path.chmod(0o662)
    with pytest.raises(ControlError, match="others can have written"):
        Client([path]).status()
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(ControlError, match="cannot be reached"):
        Client([path]).status()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs: root, to give files to others")
def test_key_of_somebody_else_is_not_used_L1(tmp_path: Path) -> None:
    path = tmp_path / "control.key"
    keys.write(path, Key(1, "x"))
    os.chown(path, 65534, 65534)
    with pytest.raises(ControlError, match="others can have written"):
        Client([path]).status()


def test_daemon_that_is_gone_is_not_running(tmp_path: Path) -> None:
    path = tmp_path / "control.key"
    with socket.create_server(("127.0.0.1", 0)) as free:
        keys.write(path, Key(free.getsockname()[1], "x"))
    for place in (path, tmp_path / "absent.key"):
        with pytest.raises(ControlError, match="no daemon runs") as caught:
            Client([place]).status()
        assert caught.value.code == "not-running"


@pytest.mark.parametrize("has_group", [True, False])
def test_on_windows_the_file_is_kept_from_others_before_the_secret_is_in_it(
    has_group: bool, tmp_path: Path
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(argv: Sequence[str]) -> bool:
        ran.append(tuple(argv))
        assert Path(argv[1]).read_text() == ""
        return has_group or "secdns:R" not in argv

    path = tmp_path / "control.key"
    keys.write(path, Key(1, "x"), platform="win32", run=run)
    part = str(tmp_path / ".control.key.part")
    owners = ("*S-1-3-4:F", "*S-1-5-18:F", "*S-1-5-32-544:F")
    assert ran == [
        ("icacls", part, "/inheritance:r", "/grant:r", *owners),
        ("icacls", part, "/grant:r", "secdns:R"),
    ]
    assert keys.read(path) == Key(1, "x")


def test_on_windows_no_key_is_left_that_others_can_read(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="cannot be kept from others"):
        keys.write(tmp_path / "control.key", Key(1, "x"), platform="win32", run=lambda argv: False)
    assert list(tmp_path.iterdir()) == []


def test_windows_has_a_key_where_others_have_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("RUNTIME_DIRECTORY", r"C:\ProgramData\secdns\run")
    monkeypatch.setenv("PROGRAMDATA", r"C:\ProgramData")
    own, system = paths.control_sockets()
    assert own == Path(r"C:\ProgramData\secdns\run", "control.key")
    assert system == Path(r"C:\ProgramData", "secdns", "run", "control.key")
