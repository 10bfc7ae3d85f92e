"""What changes is told as it happens."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from secdns.control import metrics
from secdns.endpoint import Endpoint
from secdns.osdns.machine import Machine
from secdns.testing import FakeUpstream
from tests.control.stage import Stage, running
from tests.forwarder.stage import table
from tests.loop import wait_until


@asynccontextmanager
async def listening(stage: Stage) -> AsyncIterator[asyncio.StreamReader]:
    """Open the stream of events."""
    reader, writer = await asyncio.open_unix_connection(stage.path)
    try:
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield reader
    finally:
        writer.close()


async def event(reader: asyncio.StreamReader, wanted: str) -> Any:
    """Give the next event of this name."""
    name = ""
    while True:
        line = await asyncio.wait_for(reader.readline(), 4)
        assert line, f"the stream ended, {wanted} was wanted"
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: ") and name == wanted:
            return json.loads(line[6:])


async def test_whole_picture_comes_first_then_what_changes(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    plain = (Endpoint("udp", "127.0.0.1", other.port("udp"), addresses=("127.0.0.1",)),)
    async with (
        running(table(up) + table(other, "b"), tmp_path, resolvers=lambda: plain) as stage,
        listening(stage) as reader,
    ):
        assert (await event(reader, "status"))["state"] == "checking"
        await stage.ask("h1.example.test")
        assert (await event(reader, "state"))["state"] == "secure"
        await stage.api(stage.client.use, "b")
        assert (await event(reader, "upstream"))["chosen"] == "b"
        await stage.api(stage.client.pause, 60)
        assert (await event(reader, "pause"))["state"] == "paused"
        await stage.api(stage.client.resume)
        assert (await event(reader, "pause"))["pause"] is None
        up.faults.close_mid = other.faults.close_mid = "rst"
        await stage.ask("h2.example.test")
        assert "h2.example.test." in (await event(reader, "problem"))["problem"]["sentence"]


async def test_machine_that_asks_somebody_else_from_now_on_is_told(up: FakeUpstream, tmp_path: Path) -> None:
    file = tmp_path / "etc/resolv.conf"
    file.parent.mkdir()
    machine = partial(Machine, tmp_path)
    async with running(table(up), tmp_path, machine=machine) as stage, listening(stage) as reader:
        assert (await event(reader, "status"))["system"]["state"] == "off"  # 127.0.0.1, and another port
        file.write_text("nameserver 192.0.2.53\n")
        assert "192.0.2.53" in (await event(reader, "system"))["system"]["sentence"]


async def test_end_of_the_daemon_ends_the_stream_at_once(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        reader, writer = await asyncio.open_unix_connection(stage.path)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await event(reader, "status")
        stopping = asyncio.create_task(stage.daemon.stop())
        try:
            while await asyncio.wait_for(reader.read(65536), 4):
                pass
        except ConnectionError:
            pass
        await stopping
        writer.close()


async def test_nobody_listens_nothing_is_looked_at(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        async with listening(stage) as reader:
            await event(reader, "status")
            streams = stage.daemon._server.streams  # type: ignore[union-attr]
            assert streams._timer is not None
        await wait_until(lambda: not len(streams))
        assert streams._timer is None


async def test_client_gives_events_one_by_one(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        name, status = await stage.api(next, stage.client.events())
        assert isinstance(status, dict)
        assert (name, status["state"]) == ("status", "checking")


async def test_metrics_are_text_for_prometheus(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        for name in ("h1.example.test", "h2.example.test", "h1.example.test"):
            await stage.ask(name)
        reply = await stage.raw(b"GET /v1/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    text = body.decode("ascii")
    assert b"content-type: text/plain; version=0.0.4" in head.lower()
    assert "\nsecdns_queries_total 3\n" in text
    assert '\nsecdns_answers_total{from="cache"} 1\n' in text
    assert '\nsecdns_state{state="secure"} 1\n' in text
    assert '\nsecdns_state{state="paused"} 0\n' in text
    assert '\nsecdns_upstream_up{upstream="a",url="tls://dns.test:' in text
    assert "example" not in text
    for line in text.splitlines():
        assert (
            line.startswith("# ") or line.rpartition(" ")[2].replace(".", "").replace("e-", "").isdigit()
        ), line


def test_label_never_breaks_a_line_or_a_quote_L5() -> None:
    assert metrics.label('a"b\\c\nd\u202e') == r"a\\034b\\092c\\010d\\226\\128\\174"
    assert len(metrics.label("x" * 5000)) == metrics.MAX_LABEL
