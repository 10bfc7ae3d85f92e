"""What the local API tells, over HTTP on a Unix socket."""

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest

from secdns import __version__
from secdns.control.client import Client
from secdns.errors import ControlError
from secdns.states import State
from secdns.testing import FakeUpstream
from tests.control.stage import running
from tests.forwarder.stage import table


async def test_status_goes_from_checking_to_secure_with_the_first_answer(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path) as stage:
        before = await stage.api(stage.client.status)
        assert (before.state, before.upstream.name, before.upstream.health) == (
            State.CHECKING, "a", "unknown"
        )  # fmt: skip
        await stage.ask("h1.example.test")
        await stage.ask("h1.example.test")
        after = await stage.api(stage.client.status)
    assert (after.state, after.version, after.pid) == (State.SECURE, __version__, os.getpid())
    assert after.sentence == "questions go encrypted to a by DoT; signatures are not checked"
    assert (after.upstream.health, after.upstream.protocol, after.upstream.tls) == ("well", "DoT", "TLSv1.3")
    assert (after.counters.queries, after.counters.hits, after.counters.misses) == (2, 1, 1)
    assert (after.cache.entries, after.may_change, after.problem, after.pause) == (1, True, None, None)
    assert after.listen == (f"127.0.0.1:{stage.daemon.bound[0].port}",)


async def test_upstream_that_fails_is_told_in_words_with_a_remedy(up: FakeUpstream, tmp_path: Path) -> None:
    up.faults.close_mid = "rst"
    async with running(table(up), tmp_path) as stage:
        await stage.ask("h1.example.test")
        status = await stage.api(stage.client.status)
    assert status.state is State.BLOCKED
    assert status.sentence.startswith("a does not answer: a broke the connection off before it answered")
    assert status.remedy is not None
    assert status.problem is not None
    assert status.problem.name == "h1.example.test."
    assert status.counters.failures == {"ConnectionLost": 1}


async def test_upstreams_are_listed_with_health_and_latency(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up) + table(other, "b"), tmp_path) as stage:
        await stage.ask("h1.example.test")
        await stage.ask("h2.example.test")  # the first waited for the connection, too
        got = await stage.api(stage.client.upstreams)
    first, second = got.upstreams
    assert (first.name, first.is_first, first.is_in_use, first.is_connected) == ("a", True, True, True)
    assert (second.name, second.is_first, second.is_in_use, second.is_connected) == ("b", False, False, False)
    assert first.p50_ms is not None
    assert first.p95_ms is not None
    assert 0 < first.p50_ms <= first.p95_ms
    assert second.p50_ms is None
    assert "quad9" in got.others


@pytest.mark.needs("curl", package="curl")
async def test_curl_speaks_to_the_socket(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--unix-socket", str(stage.path), "http://localhost/v1/status",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await curl.communicate()
    assert json.loads(out)["state"] == "checking"


async def test_socket_is_open_to_all_in_a_directory_open_to_all_and_goes_with_the_daemon(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path) as stage:
        assert stat.S_IMODE(stage.path.stat().st_mode) == 0o666
        assert stat.S_IMODE(stage.path.parent.stat().st_mode) == 0o755
    assert not stage.path.exists()


async def test_without_a_daemon_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no daemon runs") as caught:
        Client([tmp_path / "a.sock", tmp_path / "b.sock"]).status()
    assert caught.value.code == "not-running"


async def test_index_lists_every_path(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        status, got = await stage.http("GET", "/v1")
    assert (status, got["api"], got["version"]) == (200, 1, __version__)
    assert got["paths"]["/v1/use"] == ["POST"]
