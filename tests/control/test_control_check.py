"""`secdns check` over the local API: scripts stand in for it here, tests/lab/system has the real one."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from secdns import checkup
from secdns.control.schema import Check, Checked
from secdns.errors import ControlError
from secdns.testing import FakeUpstream
from tests.control.stage import Stage, running
from tests.forwarder.stage import table
from tests.loop import wait_until

FOUND = {
    "ok": False,
    "checks": [
        {"name": "listening", "result": "pass", "text": "secdns answers", "hint": None},
        {"name": "look-up", "result": "fail", "text": "another resolver", "hint": "turn it on"},
    ],
}


def script(tmp_path: Path, *lines: str) -> list[str]:
    """Give a command that notes its process and arguments and then does these lines of Python."""
    file = tmp_path / "check.py"
    begin = "import json, os, sys, time; from pathlib import Path"
    note = "note.write_text(json.dumps([os.getpid(), sys.argv[2:], sorted(os.environ)]))"
    whole = [begin, "note = Path(sys.argv[1] + '.part')", note, "note.rename(sys.argv[1])", *lines]
    file.write_text("\n".join(whole))
    return [sys.executable, "-I", str(file), str(tmp_path / "noted")]


def noted(tmp_path: Path) -> tuple[int, list[str], list[str]]:
    pid, argv, environment = json.loads((tmp_path / "noted").read_text())
    return pid, argv, environment


def is_running(tmp_path: Path) -> bool:
    try:
        os.kill(noted(tmp_path)[0], 0)
    except ProcessLookupError:
        return False
    return True


async def check(stage: Stage) -> Checked:
    return await stage.api(stage.client.check)


async def test_results_are_those_of_the_command_which_is_told_of_this_daemon(
    up: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    command = script(tmp_path, f"print({json.dumps(FOUND)!r}); sys.exit(69)")
    async with running(table(up), tmp_path, check=command) as stage:
        got = await check(stage)
        _, argv, environment = noted(tmp_path)
        assert argv == ["--json", "--socket", str(stage.path)]
        await stage.http("POST", "/v1/check", b'{"name":"a.test","bogus":"b.test"}')
        assert noted(tmp_path)[1][1:3] == ["--name=a.test", "--bogus=b.test"]
    assert got == Checked(
        False,
        (
            Check("listening", "pass", "secdns answers"),
            Check("look-up", "fail", "another resolver", "turn it on"),
        ),
    )
    assert "NOTIFY_SOCKET" not in environment  # it would speak to the service manager in our name


async def test_one_at_a_time(up: FakeUpstream, tmp_path: Path) -> None:
    wait = f"while not Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)"
    command = script(tmp_path, wait, f"print({json.dumps(FOUND)!r})")
    async with running(table(up), tmp_path, check=command) as stage:
        first = asyncio.create_task(check(stage))
        await wait_until((tmp_path / "noted").exists)
        with pytest.raises(ControlError, match="under way already") as caught:
            await check(stage)
        assert caught.value.code == "too-many"
        assert (await stage.http("GET", "/v1/status"))[0] == 200
        (tmp_path / "go").touch()
        assert not (await first).ok
        assert not (await check(stage)).ok


SLEEP = "time.sleep(600)"


async def test_check_that_hangs_is_ended(
    up: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(table(up), tmp_path, check=script(tmp_path, SLEEP)) as stage:
        with monkeypatch.context() as patch:
            patch.setattr(checkup, "PATIENCE_S", 0.0)
            with pytest.raises(ControlError, match="did not end within"):
                await check(stage)
        waiting = asyncio.create_task(check(stage))
        await wait_until(lambda: (tmp_path / "noted").exists() and is_running(tmp_path))
        waiting.cancel()  # the thread goes on; the daemon stops now


async def test_nothing_goes_on_for_who_has_left_or_when_the_daemon_stops(
    up: FakeUpstream, tmp_path: Path
) -> None:
    request = b"POST /v1/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n"
    async with running(table(up), tmp_path, check=script(tmp_path, SLEEP)) as stage:
        tasks = len(asyncio.all_tasks())
        _, writer = await asyncio.open_unix_connection(stage.path)
        writer.write(request)
        await wait_until((tmp_path / "noted").exists)
        writer.close()
        await wait_until(lambda: len(asyncio.all_tasks()) == tasks)  # the next is not one too many
        assert not is_running(tmp_path)
        (tmp_path / "noted").unlink()
        _, writer = await asyncio.open_unix_connection(stage.path)
        writer.write(request)
        await wait_until((tmp_path / "noted").exists)
    assert not is_running(tmp_path)
    writer.close()


@pytest.mark.parametrize(
    ("command", "want"),
    [
        pytest.param([], "not told how", id="no command"),
        pytest.param(["/nonexistent/secdns"], "cannot run /nonexistent/secdns: No such file", id="not there"),
        pytest.param(["false"], "ended with 1, and with no results", id="fails"),
        pytest.param(["echo", "{}"], "no results", id="nonsense"),
        pytest.param(["yes"], "no results", id="endless"),
    ],
)
async def test_check_that_comes_to_nothing_says_so(
    command: list[str], want: str, up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path, check=command) as stage:
        with pytest.raises(ControlError, match=want):
            await check(stage)


@pytest.mark.parametrize("body", [b'{"name":"a..b"}', b'{"bogus":7}', b'{"name":""}', b'{"config":"/etc/x"}'])
async def test_nothing_is_begun_for_nonsense_L6(body: bytes, up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path, check=script(tmp_path)) as stage:
        status, got = await stage.http("POST", "/v1/check", body)
        assert (status, got["error"]["code"]) == (400, "bad-request")
        assert (await stage.http("GET", "/v1/check"))[0] == 405
    assert not (tmp_path / "noted").exists()
