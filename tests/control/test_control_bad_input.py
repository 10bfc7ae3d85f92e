"""Whatever comes to the socket: an error with a reason, and no effect (threats L1 to L6)."""

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from secdns.control import connection, server
from secdns.control.client import Client
from secdns.control.connection import MAX_BODY, MAX_HEAD, PATIENCE_S
from secdns.control.peers import Peer, Rights, peer_of, rights
from secdns.control.server import MAX_CONNECTIONS, MAX_OF_OTHERS, open_socket
from secdns.control.streams import MAX_STREAMS
from secdns.errors import ControlError
from secdns.testing import FakeUpstream
from tests.control.stage import Stage, running
from tests.forwarder.stage import table
from tests.loop import Warp, wait_until

PAUSE = b'{"for":"5m"}'


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that every user can reach, which pytest's are not."""
    path = Path(tempfile.mkdtemp(prefix="secdns-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def code(got: object) -> str:
    assert isinstance(got, dict)
    error = got["error"]
    assert error["message"]
    return str(error["code"])


# L1: other users


@pytest.mark.skipif(os.geteuid() != 0, reason="needs: root, to become somebody else")
async def test_other_user_may_read_and_change_nothing_L1(up: FakeUpstream, open_dir: Path) -> None:
    script = """
import http.client, json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for method, path, body in json.loads(sys.argv[2]):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(sys.argv[1])
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    reply = connection.getresponse()
    print(json.dumps([path, reply.status, json.loads(reply.read())]))
"""
    asked = [
        ("GET", "/v1/status", None),
        ("GET", "/v1/upstreams", None),
        ("GET", "/v1/why?name=example.test", None),
        ("GET", "/v1/explain?name=example.test", None),
        ("GET", "/v1/log", None),
        ("POST", "/v1/use", '{"upstream":"a"}'),
        ("POST", "/v1/pause", "{}"),
        ("POST", "/v1/resume", "{}"),
        ("POST", "/v1/flush", "{}"),
        ("POST", "/v1/check", "{}"),
        ("POST", "/v1/dnssec/allow", '{"name":"example.test"}'),
    ]
    async with running(table(up), open_dir) as stage:
        up.faults.close_mid = "rst"
        await stage.ask("secret.example.test")
        before = await stage.api(stage.client.status)
        nobody = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(stage.path), json.dumps(asked), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await nobody.communicate()
        after = await stage.api(stage.client.status)
    got = {path: (status, reply) for path, status, reply in map(json.loads, out.splitlines())}
    assert len(got) == len(asked)
    allowed = {path for path, (status, _) in got.items() if status == 200}
    assert allowed == {"/v1/status", "/v1/upstreams"}
    assert {code(reply) for path, (_, reply) in got.items() if path not in allowed} == {"not-allowed"}
    assert "secret" not in json.dumps(got)
    assert before.problem is not None
    assert before.problem.name == "secret.example.test."
    assert got["/v1/status"][1]["may_change"] is False
    assert (after.chosen, after.pause) == (None, None)


@pytest.mark.parametrize(
    ("peer", "want"),
    [
        pytest.param(Peer(0, frozenset({0})), True, id="root"),
        pytest.param(Peer(998, frozenset({998})), True, id="the daemon's user"),
        pytest.param(Peer(1000, frozenset({1000, 77})), True, id="a member of the group"),
        pytest.param(Peer(1000, frozenset({1000, 0})), False, id="a member of root's group"),
        pytest.param(Peer(65534, frozenset({65534})), False, id="nobody"),
        pytest.param(None, False, id="the system does not tell"),
    ],
)
def test_root_owner_and_group_may_change_things_L1(peer: Peer | None, want: bool) -> None:
    assert Rights(owner=998, group=77).may_change(peer) is want


def test_credentials_are_the_kernels_L1() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert peer is not None
    assert peer.uid == os.geteuid()
    assert peer.groups >= {os.getegid()}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("root:x:0:\nsecdns:x:77:eva\n", 77, id="there"),
        pytest.param("secdnsx:x:78:\n", None, id="another name"),
        pytest.param("secdns:x:0:\n", None, id="root's number"),
        pytest.param("secdns:x:-1:\nsecdns\nsecdns:\n", None, id="no number"),
    ],
)
def test_group_is_read_from_the_file_alone_L1(text: str, want: int | None, tmp_path: Path) -> None:
    file = tmp_path / "group"
    file.write_text(text)
    assert rights(file).group == want
    assert rights(tmp_path / "absent").group is None


# L2, L3: web pages


async def test_other_hosts_are_refused_before_anything_else_L2(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        for host in ("evil.com", "localhost.evil.com", "127.0.0.1.evil.com", ""):
            status, got = await stage.http("GET", "/no/such/path", Host=host)
            assert (status, code(got)) in {(421, "wrong-host"), (400, "bad-request")}
        assert (await stage.http("GET", "/v1/status", Host="localhost:80"))[0] == 200


async def test_web_pages_change_nothing_L3(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path, resolvers=lambda: ()) as stage:
        for headers, want in (
            ({"Content_Type": "text/plain"}, 415),
            ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
            ({"Content_Type": ""}, 415),
            ({"Origin": "https://evil.com"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec_Fetch_Site": "cross-site"}, 403),
        ):
            status, _ = await stage.http("POST", "/v1/use", b'{"upstream":"quad9"}', **headers)
            assert status == want, headers
        assert (await stage.http("GET", "/v1/use"))[0] == 405
        reply = await stage.raw(
            b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nOrigin: https://e.com\r\n\r\n"
        )
        assert b"access-control" not in reply.lower()
        assert (await stage.api(stage.client.status)).chosen is None


async def test_replies_are_no_pages_L4(up: FakeUpstream, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.example.test"
    async with running(table(up), tmp_path) as stage:
        target = "/v1/why?name=" + name.replace(" ", "%20")
        reply = await stage.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = reply.partition(b"\r\n\r\n")[0].lower()
    assert b"content-type: application/json" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"content-security-policy: default-src 'none'" in head


async def test_nothing_in_a_reply_moves_a_terminal_L5(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        for text in (r"\010\027]0;x\007.example.test", "a\u202eb.test", "a\x1b]0;x\x07b"):
            try:
                await stage.api(stage.client.why, text)
                told = (await stage.api(stage.client.why, text)).sentence
            except ControlError as error:
                told = str(error)
            assert told.isprintable()
            assert "\x1b" not in told
            assert "\u202e" not in told


# L6: too much, too long, too slow, not at all


async def test_too_much_is_refused_with_a_reason_L6(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        status, got = await stage.http("POST", "/v1/pause", b" " * (MAX_BODY + 1))
        assert (status, code(got)) == (413, "too-large")
        status, got = await stage.http("GET", "/v1/status", X_Long="x" * (2 * MAX_HEAD))
        assert (status, code(got)) == (431, "head-too-large")
        status, got = await stage.http("GET", "/v1/" + "x" * (2 * MAX_HEAD))
        assert (status, code(got)) == (431, "head-too-large")
        assert (await stage.http("GET", "/v1/status"))[0] == 200


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /v1/sta", id="half a line"),
        pytest.param(b"POST /v1/pause HTTP/1.1\r\nHost: localhost\r\n", id="half a head"),
        pytest.param(
            b"POST /v1/use HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b'Content-Length: 30\r\n\r\n{"upstream":"quad9"}',
            id="half a body",
        ),
    ],
)
async def test_half_a_request_has_no_effect_and_is_cut_in_time_L6(
    octets: bytes, up: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(table(up), tmp_path) as stage:
        await stage.http("GET", "/v1")  # now all is loaded
        assert await stage.raw(octets, half=True) == b""  # who ends the half gets nothing
        warp = Warp(monkeypatch)
        reading = asyncio.create_task(stage.raw(octets))
        await wait_until(lambda: len(open_connections(stage)) == 1)
        await warp.advance(PATIENCE_S - 0.1)
        assert not reading.done()
        await warp.advance(0.2)
        reply = await reading
        assert b" 408 " in reply.partition(b"\r\n")[0]
        monkeypatch.undo()
        assert (await stage.api(stage.client.status)).chosen is None


async def test_drip_does_not_extend_the_time_L6(
    up: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(table(up), tmp_path) as stage:
        await stage.http("GET", "/v1")
        warp = Warp(monkeypatch)
        reader, writer = await asyncio.open_unix_connection(stage.path)
        for octet in b"GET /v1/st":
            writer.write(bytes([octet]))
            await warp.advance(PATIENCE_S / 9)
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_others_leave_room_for_those_who_may_change_things_L6(
    up: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(table(up), tmp_path) as stage:
        await stage.http("GET", "/v1")
        with monkeypatch.context() as patch:
            patch.setattr(server.Server, "may_change", lambda self, peer: False)
            held = [await asyncio.open_unix_connection(stage.path) for _ in range(MAX_OF_OTHERS)]
            await wait_until(lambda: len(open_connections(stage)) == MAX_OF_OTHERS)
            status, got = await stage.http("GET", "/v1/status")
            assert (status, code(got)) == (503, "too-many")
        held += [
            await asyncio.open_unix_connection(stage.path) for _ in range(MAX_CONNECTIONS - MAX_OF_OTHERS - 1)
        ]
        await wait_until(lambda: len(open_connections(stage)) == MAX_CONNECTIONS - 1)
        assert (await stage.http("GET", "/v1/status"))[0] == 200
        held.append(await asyncio.open_unix_connection(stage.path))
        await wait_until(lambda: len(open_connections(stage)) == MAX_CONNECTIONS)
        assert (await stage.http("GET", "/v1/status"))[0] == 503
        for _, writer in held:
            writer.close()
        await wait_until(lambda: not open_connections(stage))
        assert (await stage.http("GET", "/v1/status"))[0] == 200


async def test_listener_that_does_not_read_is_dropped_and_the_rest_bounded_L6(
    up: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_UNREAD", 4096)
    async with running(table(up), tmp_path) as stage:
        await stage.http("GET", "/v1")
        readers = []
        for _ in range(MAX_STREAMS):
            reader, writer = await asyncio.open_unix_connection(stage.path)
            writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in await reader.readline()
            readers.append((reader, writer))
        status, got = await stage.http("GET", "/v1/events")
        assert (status, code(got)) == (503, "too-many")
        slow, *others = readers
        slow[0]._transport.pause_reading()  # type: ignore[attr-defined]  # it does not read
        for _, writer in others:
            writer.close()
        streams = stage.daemon._server.streams  # type: ignore[union-attr]
        await wait_until(lambda: len(streams) == 1)
        for count in range(3000):
            for one in tuple(streams._readers):
                one.send(b": %d\n\n" % count + b"x" * 500)
            if not len(streams):
                break
            await asyncio.sleep(0)
        await wait_until(lambda: len(streams) == 0)
        slow[1].close()


@pytest.mark.parametrize(
    ("method", "path", "body", "want"),
    [
        pytest.param("GET", "/v2/status", None, "unknown-version", id="version"),
        pytest.param("GET", "/v1/nonsense", None, "unknown-path", id="path"),
        pytest.param("GET", "/", None, "unknown-path", id="root"),
        pytest.param("GET", "/v1/../v1/status", None, "unknown-path", id="dots"),
        pytest.param("DELETE", "/v1/status", None, "wrong-method", id="method"),
        pytest.param("POST", "/v1/status", b"{}", "wrong-method", id="post where get"),
        pytest.param("GET", "/v1/status?x=1", None, "bad-request", id="unknown query key"),
        pytest.param("GET", "/v1/why", None, "bad-request", id="no name"),
        pytest.param("GET", "/v1/why?name=a..b", None, "bad-request", id="no such name"),
        pytest.param("POST", "/v1/use", b"{", "bad-request", id="not JSON"),
        pytest.param("POST", "/v1/use", b"\xff", "bad-request", id="not UTF-8"),
        pytest.param("POST", "/v1/use", b"[" * 60_000, "bad-request", id="deep"),
        pytest.param("POST", "/v1/use", b"[]", "bad-request", id="no object"),
        pytest.param("POST", "/v1/use", b"{}", "bad-request", id="key missing"),
        pytest.param("POST", "/v1/use", b'{"upstream":7}', "bad-request", id="wrong type"),
        pytest.param("POST", "/v1/use", b'{"upstream":""}', "bad-request", id="empty"),
        pytest.param("POST", "/v1/use", b'{"upstream":"a","x":1}', "bad-request", id="unknown key"),
        pytest.param("POST", "/v1/use", b'{"upstream":"nobody"}', "unknown-name", id="no such upstream"),
        pytest.param("POST", "/v1/pause", b'{"for":"5 parsecs"}', "bad-request", id="no length of time"),
        pytest.param("POST", "/v1/pause", b'{"for_s":true}', "bad-request", id="a truth is no number"),
        pytest.param("POST", "/v1/pause", b'{"for_s":1e400}', "bad-request", id="infinite"),
        pytest.param("POST", "/v1/pause", b'{"for":"3d"}', "bad-request", id="too long"),
        pytest.param("POST", "/v1/pause", b'{"for":"5m"}', "not-possible", id="nobody to hand questions to"),
        pytest.param("POST", "/v1/flush", b'{"name":"a..b"}', "bad-request", id="flush no name"),
        pytest.param(
            "POST", "/v1/dnssec/allow", b'{"name":"a.test"}', "not-possible", id="nothing is checked"
        ),
        pytest.param("GET", "/v1/explain?name=a.test", None, "not-possible", id="nothing to explain"),
        pytest.param("GET", "/v1/explain?name=a.test&type=%00", None, "bad-request", id="no such type"),
        pytest.param("GET", "/v1/log", None, "not-possible", id="no log"),
        pytest.param("GET", "/v1/log?follow=1", None, "not-possible", id="no log to follow"),
    ],
)
async def test_nonsense_is_an_error_with_a_reason_and_no_effect_L6(
    method: str, path: str, body: bytes | None, want: str, up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path) as stage:
        before = await stage.api(stage.client.status)
        status, got = await stage.http(method, path, body)
        after = await stage.api(stage.client.status)
    assert code(got) == want
    assert status >= 400
    assert (after.chosen, after.pause) == (before.chosen, before.pause)


async def test_octets_that_are_no_http_are_told_so(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        for octets in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"status\r\n\r\n",
            b"\0" * 100 + b"\r\n\r\n",
        ):
            assert b" 400 " in (await stage.raw(octets)).partition(b"\r\n")[0]


# the socket


def test_socket_of_a_daemon_that_is_gone_is_taken_over_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"
    with open_socket(path), pytest.raises(ControlError, match="another secdns listens"):
        open_socket(path)
    assert path.exists()
    with open_socket(path) as again:
        assert again.getsockname() == str(path)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")
    with pytest.raises(ControlError, match="is no socket"):
        open_socket(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("prepare", "want"),
    [
        pytest.param(lambda run: run.mkdir(mode=0o777) or run.chmod(0o777), "can be written", id="writable"),
        pytest.param(lambda run: run.symlink_to("/tmp"), "not a directory of ours", id="link"),
        pytest.param(lambda run: run.write_text(""), "not a directory of ours", id="file"),
    ],
)
def test_directory_that_is_not_safe_is_refused_L1(prepare: object, want: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare(run)  # type: ignore[operator]
    with pytest.raises(ControlError, match=want):
        open_socket(run / "control.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs: root, to give files to others")
def test_directory_in_the_hands_of_others_is_refused_by_both_sides_L1(open_dir: Path) -> None:
    theirs = open_dir / "theirs"
    (theirs / "run").mkdir(parents=True)
    path = theirs / "run" / "control.sock"
    open_socket(path).close()
    client = Client([path])
    with pytest.raises(ControlError, match="no daemon runs"):
        client.status()
    os.chown(theirs, 65534, 65534)
    os.chown(theirs / "run", 65534, 65534)
    with pytest.raises(ControlError, match="others can put a socket of theirs"):
        client.status()
    os.chown(theirs / "run", 0, 0)
    with pytest.raises(ControlError, match="in the hands of others"):
        open_socket(path)
    service = open_dir / "secdns"  # as systemd makes it in /run
    service.mkdir()
    os.chown(service, 998, 998)
    with pytest.raises(ControlError, match="no daemon runs"):
        Client([service / "control.sock"]).status()


async def test_daemon_without_a_socket_answers_and_warns(
    up: FakeUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").write_text("in the way")
    async with running(table(up), tmp_path) as stage:
        assert "there is no local API" in caplog.text
        assert (await stage.ask("h1.example.test")).answer


def open_connections(stage: Stage) -> set[object]:
    opened = stage.daemon._server
    assert opened is not None
    return {*opened._connections}
