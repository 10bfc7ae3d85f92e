"""The whole program in one process: start, reload, drain, with real sockets on every side."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from secdns.config import Config, load, parse
from secdns.daemon import DRAIN_S, FAREWELL_S, Daemon, read_hosts
from secdns.dns.message import Message
from secdns.errors import ListenError
from secdns.forwarder import PATIENCE_S
from secdns.iana import EDE, RCode
from secdns.serving import serve
from secdns.testing import FakeUpstream
from tests.cache.answers import query
from tests.forwarder.stage import route, table, told
from tests.loop import Warp, turns, wait_until

LISTEN = '[dnssec]\nmode = "off"\n[server]\nlisten = ["127.0.0.1:0"]\n'  # the zones have no signatures
Ask = Callable[..., Awaitable[Message]]


@asynccontextmanager
async def running(toml: str, tmp_path: Path, hosts: str = "") -> AsyncIterator[Daemon]:
    """Start a daemon from a file that a test may change, and stop it at the end."""
    file, hosts_file = tmp_path / "secdns.toml", tmp_path / "hosts"
    file.write_text(LISTEN + toml)
    hosts_file.write_text(hosts)
    daemon = Daemon(load(file), reread=lambda: load(file), hosts_file=hosts_file)
    daemon.listen()
    try:
        yield daemon
    finally:
        await daemon.stop()


async def ask(daemon: Daemon, name: str, *, id: int = 0x2A2A, stream: bool = False) -> Message:
    """Ask over the wire."""
    loop = asyncio.get_running_loop()
    bound = daemon.bound[0]
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (bound.host, bound.port))
        wire = query(name, id=id)
        await loop.sock_sendall(sock, len(wire).to_bytes(2) + wire if stream else wire)
        reply = await loop.sock_recv(sock, 65535)
    return Message.parse(reply[2:] if stream else reply)


def address(reply: Message) -> str | int:
    return ".".join(map(str, reply.answer[0].rdata)) if reply.answer else reply.rcode


async def test_daemon_answers_over_udp_and_tcp_on_one_port_7766_1_9210_1(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path) as daemon:
        for stream in (False, True, False):
            assert address(await ask(daemon, "h1.example.test", stream=stream)) == "192.0.2.2"
        assert len(up.queries) == 1
        stats = daemon.stats
        assert (stats.queries, stats.hits, stats.misses) == (3, 2, 1)


async def test_hosts_file_and_overrides_answer_before_any_upstream(up: FakeUpstream, tmp_path: Path) -> None:
    toml = table(up) + '[overrides]\n"nas.home.arpa" = "10.0.0.9"\n'
    async with running(toml, tmp_path, "10.0.0.8 printer.example.test\nnonsense\n") as daemon:
        assert address(await ask(daemon, "nas.home.arpa")) == "10.0.0.9"
        assert address(await ask(daemon, "printer.example.test")) == "10.0.0.8"
        assert up.queries == []


def test_hosts_file_that_cannot_be_read_says_nothing_but_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_hosts(None).addresses == {}
    assert read_hosts(tmp_path / "absent").addresses == {}
    assert "absent is left out: No such file" in caplog.text
    odd = tmp_path / "odd"
    odd.write_bytes(b"10.0.0.1 \xff\xfe caf\xe9\n127.0.0.1 good\n\0\n")
    assert b"\x04good\x00" in read_hosts(odd).addresses


async def test_address_that_is_taken_leaves_nothing_open(up: FakeUpstream, tmp_path: Path) -> None:
    taken = up.port("udp")
    config = parse(f'[server]\nlisten = ["127.0.0.1:0", "127.0.0.1:{taken}"]\n{table(up)}', "test")
    daemon = Daemon(config, hosts_file=None)
    with pytest.raises(ListenError, match="address in use"):
        daemon.listen()
    assert daemon.bound == []
    with pytest.raises(ListenError):
        await serve(daemon)


# reload


async def test_reload_goes_over_to_the_new_configuration_and_keeps_what_still_holds_F22(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with (
        FakeUpstream({"corp.test": {"www": {"A": "10.0.0.1"}}}) as corp,
        running(table(up), tmp_path) as daemon,
    ):
        assert address(await ask(daemon, "h1.example.test")) == "192.0.2.2"
        assert address(await ask(daemon, "www.corp.test")) == RCode.REFUSED
        (tmp_path / "secdns.toml").write_text(
            LISTEN + table(up) + route(["corp.test"], corp.udp_url) + "[cache]\nserve_stale = false\n"
        )
        (tmp_path / "hosts").write_text("10.0.0.7 h2.example.test\n")
        await daemon.reload()
        assert address(await ask(daemon, "www.corp.test")) == "10.0.0.1"
        assert address(await ask(daemon, "h2.example.test")) == "10.0.0.7"
        assert not daemon.cache.serve_stale
        assert address(await ask(daemon, "h1.example.test")) == "192.0.2.2"
        assert len(up.queries) == 2
        assert up.connections["tls"] == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param('[[upstream]]\nurl = "odoh://192.0.2.1"\n', id="a scheme of a later version"),
        pytest.param('[[upstream]]\nurl = "tls://192.0.2.1"\nca_file = "/nowhere"\n', id="no such ca_file"),
        pytest.param("not toml", id="not TOML"),
        pytest.param("[chache]\n", id="an unknown table"),
        pytest.param(None, id="gone"),
    ],
)
async def test_file_with_an_error_changes_nothing_F22(
    broken: str | None, up: FakeUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(table(up), tmp_path) as daemon:
        await ask(daemon, "h1.example.test")
        before = (daemon.config, daemon.forwarder.routing, daemon.cache.generation)
        if broken is None:
            (tmp_path / "secdns.toml").unlink()
        else:
            (tmp_path / "secdns.toml").write_text(broken)
        await daemon.reload()
        assert (daemon.config, daemon.forwarder.routing, daemon.cache.generation) == before
        assert [entry.levelname for entry in caplog.records if entry.name == "secdns.daemon"] == ["ERROR"]
        assert "the old configuration stays in force" in caplog.text
        assert address(await ask(daemon, "h1.example.test")) == "192.0.2.2"
        assert address(await ask(daemon, "h2.example.test")) == "192.0.2.3"


async def test_change_of_the_listen_addresses_is_told_and_not_made(
    up: FakeUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(table(up), tmp_path) as daemon:
        (tmp_path / "secdns.toml").write_text(LISTEN.replace("127.0.0.1", "127.0.0.2") + table(up))
        await daemon.reload()
        assert "[server] has changed" in caplog.text
        assert daemon.config.server.listen[0].host == "127.0.0.1"
        assert address(await ask(daemon, "h1.example.test")) == "192.0.2.2"


async def test_what_is_in_flight_ends_on_the_upstream_it_began_with_F22(
    up: FakeUpstream, tmp_path: Path, nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeUpstream() as other, running(table(up), tmp_path) as daemon:
        await ask(daemon, "h1.example.test")
        warp = Warp(monkeypatch)
        up.faults.hold = True
        asking = asyncio.create_task(ask(daemon, "h2.example.test"))
        await up.wait_queries(2)
        (tmp_path / "secdns.toml").write_text(LISTEN + table(other))
        reloading = asyncio.create_task(daemon.reload())
        await wait_until(lambda: daemon.cache.generation == 1)
        await turns()
        await warp.advance(PATIENCE_S - 0.5)  # as long as a client has patience
        assert not reloading.done()
        up.release()
        assert address(await asking) == "192.0.2.3"
        await reloading
        await wait_until(lambda: up.open_connections == 0)


async def test_reloads_one_on_the_other_lose_no_query_F22(
    up: FakeUpstream, tmp_path: Path, nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To B and back to A and to B again, with a query on A that began in between."""
    file = tmp_path / "secdns.toml"
    async with FakeUpstream() as other, running(table(up), tmp_path) as daemon:
        await ask(daemon, "h1.example.test")
        warp = Warp(monkeypatch)
        up.faults.hold = other.faults.silent = True
        reloads = []

        async def reload(toml: str) -> None:
            generation = daemon.cache.generation
            file.write_text(LISTEN + toml)
            reloads.append(asyncio.create_task(daemon.reload()))
            await wait_until(lambda: daemon.cache.generation > generation)
            await turns()

        old = asyncio.create_task(ask(daemon, "h2.example.test"))
        await up.wait_queries(2)
        await reload(table(other))
        await warp.advance(1.0)
        await reload(table(up))
        between = asyncio.create_task(ask(daemon, "h3.example.test"))
        await up.wait_queries(3)
        await warp.advance(1.0)
        await reload(table(other))
        await warp.advance(PATIENCE_S - 2.0 + 0.1)  # now the first is over, its query has had no answer
        assert (await old).rcode == RCode.SERVFAIL
        await asyncio.gather(reloads[0])
        up.release()
        assert address(await between) == "192.0.2.4"
        await asyncio.gather(*reloads)
        await wait_until(lambda: up.open_connections == 0)


async def test_reload_under_load_loses_nothing_and_leaves_nothing_F22(
    up: FakeUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "secdns.toml"
    async with running(table(up), tmp_path) as daemon:
        await ask(daemon, "www.example.test")
        descriptors = len(os.listdir("/proc/self/fd"))
        is_over = False
        answers: list[str | int] = []

        async def load_it(number: int) -> None:
            while not is_over:
                answers.append(address(await ask(daemon, f"h{number}.example.test", id=number)))

        clients = [asyncio.create_task(load_it(number)) for number in range(10)]
        for count in range(20):
            name = "b" if count % 2 else "a"  # another name is another group: connections, numbers, cache
            file.write_text(LISTEN + table(up, name) + f"[cache]\nsize_mb = {1 + count % 3}\n")
            await daemon.reload()
            await turns()
        is_over = True
        await asyncio.gather(*clients)
        assert set(answers) == {f"192.0.2.{number + 1}" for number in range(10)}
        assert len(answers) > 100
        await wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 2)


# the end


async def test_stop_lets_answers_through_for_a_while_then_says_so_and_closes_F32(
    up: FakeUpstream, tmp_path: Path, nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(table(up), tmp_path) as daemon:
        await ask(daemon, "h1.example.test")
        warp = Warp(monkeypatch)
        up.faults.hold = True
        soon = asyncio.create_task(ask(daemon, "h2.example.test"))
        await up.wait_queries(2)
        await wait_until(lambda: daemon.udp.in_flight == 1)
        stopping = asyncio.create_task(daemon.stop())
        await turns()
        await warp.advance(DRAIN_S - 0.1)
        assert not stopping.done()
        up.release()
        assert address(await soon) == "192.0.2.3"
        await stopping


@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
async def test_who_is_still_waiting_at_the_end_gets_servfail_not_silence_F32(
    stream: bool, up: FakeUpstream, tmp_path: Path, nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(table(up), tmp_path) as daemon:
        await ask(daemon, "h1.example.test")
        warp = Warp(monkeypatch)
        up.faults.silent = True
        late = asyncio.create_task(ask(daemon, "h3.example.test", stream=stream))
        await up.wait_queries(2)
        began = warp.time()
        stopping = asyncio.create_task(daemon.stop())
        await turns()
        await warp.advance(DRAIN_S + 0.01)
        reply = await late
        assert (reply.rcode, told(reply)) == (
            RCode.SERVFAIL, {EDE.NOT_READY: "the program is stopping"}
        )  # fmt: skip
        await warp.pass_until(stopping.done)
        assert warp.time() - began <= DRAIN_S + FAREWELL_S + 0.1 < 2.0
        await stopping


async def test_sighup_reloads_and_sigterm_drains_F22_F32(
    up: FakeUpstream, tmp_path: Path, collector: None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secdns.toml"
    file.write_text(LISTEN + table(up))
    daemon = Daemon(load(file), reread=lambda: load(file), hosts_file=None)
    ready = asyncio.Event()

    async def tell(_: Daemon) -> None:
        ready.set()

    serving = asyncio.create_task(serve(daemon, ready=tell))
    await ready.wait()
    assert capsys.readouterr().err == f"secdns: listening on 127.0.0.1:{daemon.bound[0].port}\n"
    assert address(await ask(daemon, "h1.example.test")) == "192.0.2.2"
    file.write_text(LISTEN + table(up) + '[overrides]\n"h1.example.test" = "10.0.0.5"\n')
    os.kill(os.getpid(), signal.SIGHUP)
    await wait_until(lambda: daemon.cache.generation == 1)
    assert address(await ask(daemon, "h1.example.test")) == "10.0.0.5"
    up.faults.hold = True
    asking = asyncio.create_task(ask(daemon, "h2.example.test"))
    await up.wait_queries(2)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    await turns()
    up.release()
    assert address(await asking) == "192.0.2.3"
    await serving
    assert up.open_connections == 0


async def test_reload_with_a_bug_is_logged_and_the_program_goes_on(
    up: FakeUpstream, collector: None, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Config:
        raise ZeroDivisionError

    daemon = Daemon(parse(LISTEN + table(up), "test"), reread=broken, hosts_file=None)
    serving = asyncio.create_task(serve(daemon))
    await wait_until(lambda: daemon.bound)
    await turns()
    os.kill(os.getpid(), signal.SIGHUP)
    await wait_until(lambda: "the old configuration stays in force" in caplog.text)
    assert address(await ask(daemon, "h1.example.test")) == "192.0.2.2"
    os.kill(os.getpid(), signal.SIGINT)
    await serving


async def test_no_name_is_ever_logged(
    up: FakeUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(table(up), tmp_path) as daemon:
        await ask(daemon, "h1.example.test")
        up.faults.close_mid = "rst"
        await ask(daemon, "h2.example.test")
        await daemon.reload()
    assert "example" not in caplog.text
