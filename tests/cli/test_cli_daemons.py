"""`run` and the demo as processes: they say where they listen, answer, and end when told."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from secdns.__main__ import main
from secdns.config import Config
from secdns.errors import ConfigError
from secdns.testing import FakeUpstream
from tests.lab.daemon import GUARD

PATIENCE_S = 20.0


@asynccontextmanager
async def running(*args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A secdns process that knows no network, killed at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "secdns",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(GUARD)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_with(stream: asyncio.StreamReader | None, pattern: str) -> re.Match[str]:
    """Read lines until one has the pattern, and give the match."""
    assert stream is not None
    async with asyncio.timeout(PATIENCE_S):
        while line := await stream.readline():
            found = re.search(pattern, line.decode())
            if found:
                return found
    raise AssertionError(f"the process ended without {pattern!r}")


async def ended(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(PATIENCE_S):
        return await process.wait()


@pytest.fixture
def settings(upstream: FakeUpstream, tmp_path: Path) -> Path:
    """A configuration with the testing upstream."""
    file = tmp_path / "mine.toml"
    file.write_text(
        f'[[upstream]]\nurl = "{upstream.tls_url}"\n'
        f'addresses = ["127.0.0.1"]\nca_file = "{upstream.ca_file}"\n[dnssec]\nmode = "off"\n'
    )
    return file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_run_answers_until_it_is_told_to_stop(
    settings: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running("run", "--config", str(settings), "--listen", "127.0.0.1:0") as process:
        found = await line_with(process.stderr, r"listening on (127\.0\.0\.1:\d+)")
        asked = ["query", "--short", "www.example.test", f"@{found[1]}"]
        assert await asyncio.to_thread(main, asked) == 0
        process.send_signal(number)
        assert await ended(process) == 0
    assert capsys.readouterr().out == "192.0.2.80\n"


async def test_run_on_a_taken_port_says_so_and_exits_69(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        async with running("run", "--config", str(settings), "--listen", where) as process:
            await line_with(process.stderr, rf"secdns: error: cannot listen on {re.escape(where)}")
            assert await ended(process) == 69


async def test_demo_shows_a_line_for_each_query_and_ends_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with running("demo") as process:
        port = (await line_with(process.stdout, r"at 127\.0\.0\.1 port (\d+)"))[1]
        asked = ["query", "--short", "www.example.test", f"@127.0.0.1:{port}"]
        for way in ("from the upstream by DNS over TLS", "from the cache"):
            assert await asyncio.to_thread(main, asked) == 0
            await line_with(process.stdout, rf"^  www\.example\.test A: NOERROR, {way} in ")
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0


async def test_demo_takes_another_port_when_its_own_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("secdns.cli.demo.DEFAULT_PORT", taken.getsockname()[1])
        assert await asyncio.to_thread(main, ["demo", "--once"]) == 0
        assert await asyncio.to_thread(main, ["demo", "--once", "--port", str(taken.getsockname()[1])]) == 69


async def test_run_says_who_is_asked_and_where_that_stands(settings: Path) -> None:
    async with running("run", "--config", str(settings), "--listen", "127.0.0.1:0") as process:
        await line_with(
            process.stderr, rf"secdns: upstreams: dns\.test \(configuration: {re.escape(str(settings))}\)"
        )


async def test_reload_finds_a_file_that_was_written_after_the_start(
    settings: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running("run", "--listen", "127.0.0.1:0") as process:
        where = (await line_with(process.stderr, r"listening on (127\.0\.0\.1:\d+)"))[1]
        await line_with(process.stderr, r"upstreams: quad9, then cloudflare-malware \(configuration: none")
        settings.rename(home / "secdns.toml")  # noqa: ASYNC240
        process.send_signal(signal.SIGHUP)
        # nothing on the command line has changed, so there is nothing to complain about
        assert (await line_with(process.stderr, r"secdns: (.*)"))[1] == "configuration reloaded"
        assert await asyncio.to_thread(main, ["query", "--short", "www.example.test", f"@{where}"]) == 0
    assert capsys.readouterr().out == "192.0.2.80\n"


def test_reload_is_refused_when_the_file_no_longer_allows_the_command_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "secdns.toml"
    file.write_text('[server]\nacl = ["192.0.2.0/24"]\n')

    def run(loaded: Config, *, reread: Callable[[], Config], check: Sequence[str]) -> int:
        assert reread() == loaded
        file.write_text("")
        with pytest.raises(ConfigError, match=r"192\.0\.2\.1:53"):
            reread()
        return 0

    monkeypatch.setattr("secdns.serving.run", run)
    assert main(["run", "--listen", "192.0.2.1"]) == 0


async def test_names_are_logged_only_while_the_configuration_says_so(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def set_names(value: str) -> None:
        settings.write_text(f"{text}[log]\nnames = {value}\n")

    text = await asyncio.to_thread(settings.read_text)
    async with running("run", "--config", str(settings), "--listen", "127.0.0.1:0") as process:
        where = (await line_with(process.stderr, r"listening on (127\.0\.0\.1:\d+)"))[1]
        await line_with(process.stderr, r"upstreams:")
        for value, asked in (
            ("true", "www.example.test"),
            ("false", "mail.example.test"),
            ("true", "no.test"),
        ):
            await asyncio.to_thread(set_names, value)
            process.send_signal(signal.SIGHUP)
            assert (await line_with(process.stderr, "(.+)"))[1] == "secdns: configuration reloaded"
            for _ in range(2):  # what comes from the cache is told as well
                await asyncio.to_thread(main, ["query", "--short", asked, f"@{where}"])
                if value == "true":
                    await line_with(process.stderr, rf"^secdns: {re.escape(asked)}\. A: [A-Z]+ in [\d.]+ ms$")
    assert capsys.readouterr().out == "192.0.2.80\n192.0.2.80\n192.0.2.25\n192.0.2.25\n"
