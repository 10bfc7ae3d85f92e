"""The icon and a real daemon: what is clicked happens there, what happens there is shown."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from secdns.control.schema import to_json
from secdns.endpoint import Endpoint
from secdns.network import state
from secdns.network.portal import Page
from secdns.osdns.machine import Machine
from secdns.states import State
from secdns.testing import FakeUpstream
from secdns.tray import actions, app
from tests.control.stage import address, running
from tests.forwarder.stage import ZONES, table
from tests.tray.fakes import FOUND
from tests.tray.panel import panel

pytestmark = pytest.mark.needs("dbus-daemon", package="dbus-daemon")


@pytest.fixture
async def up() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as upstream:
        yield upstream


@pytest.fixture
async def other() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONES) as upstream:
        yield upstream


async def test_clicked_upstream_is_the_one_that_is_asked_from_then_on(
    bus: str, up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up) + table(other, "b"), tmp_path) as stage, panel(bus) as shown:
        tray = app.Tray([stage.path], lambda words, hint: None)
        await tray.open()
        try:
            await shown.shows("checking")
            await stage.ask("h1.example.test")
            await shown.shows("secure")
            label = next(label for label in await shown.items() if label.startswith("b, DoT"))
            await shown.click(label)

            async def is_chosen() -> bool:
                return (await stage.api(stage.client.status)).chosen == "b"

            await shown.until(is_chosen)
            assert address(await stage.ask("h2.example.test")) != 2
            status = await stage.api(stage.client.status)
            assert (status.upstream.name, status.state) == ("b", State.SECURE)

            async def is_said() -> bool:
                return any(label.startswith("Protected – b, DoT") for label in await shown.items())

            await shown.until(is_said)
        finally:
            await tray.aclose()


async def test_sign_in_page_is_offered_opened_and_over_when_an_upstream_answers(
    bus: str, up: FakeUpstream, other: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "CHECK_PORTAL_S", 0.05)
    monkeypatch.setattr("secdns.surroundings.CHECK_CONSENT_S", 0.05)
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(actions, "perform", partial(actions.perform, browse=browse))

    async def look() -> Page:
        return Page("http://login.hotel.example/")

    plain = Endpoint("udp", "127.0.0.1", other.port("udp"), addresses=("127.0.0.1",))
    up.faults.drop_connections = True
    async with (
        running(table(up), tmp_path, resolvers=lambda: (plain,), look=look) as stage,
        panel(bus) as shown,
    ):
        tray = app.Tray([stage.path], lambda words, hint: None)
        await tray.open()
        try:
            await shown.shows("sign-in")
            await shown.click("Open sign-in page…")

            async def is_said() -> bool:
                return any(label.startswith("Signing in: not protected") for label in await shown.items())

            await shown.until(is_said)
            assert opened == ["http://login.hotel.example/"]
            up.faults.drop_connections = False
            await shown.shows("secure")
        finally:
            await tray.aclose()


async def test_machine_that_is_told_to_ask_and_taken_over_is_seen_within_3_s(
    bus: str, up: FakeUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "etc/resolv.conf"
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.53\n")
    machine = partial(Machine, tmp_path)
    async with running(table(up), tmp_path, machine=machine) as stage, panel(bus) as shown:
        stage.daemon.bound[0] = replace(stage.daemon.bound[0], port=53)  # the one that the file means
        tray = app.Tray([stage.path], lambda words, hint: None)
        await tray.open()
        try:
            await shown.shows("unused")
            assert "Turn on: have this machine use secdns…" in await shown.items()
            for servers, look in (("127.0.0.1", "checking"), ("192.0.2.53", "unused")):
                async with asyncio.timeout(3):
                    file.write_text(f"nameserver {servers}\n")
                    await shown.shows(look)
        finally:
            await tray.aclose()


async def test_what_a_check_found_is_in_the_menu_need9(bus: str, up: FakeUpstream, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    found.write_text(json.dumps(to_json(FOUND)))
    command = ["sh", "-c", f"cat {found}"]
    async with running(table(up), tmp_path, check=command) as stage, panel(bus) as shown:
        tray = app.Tray([stage.path], lambda words, hint: None)
        await tray.open()
        try:
            await shown.shows("checking")
            await shown.click("Check now")

            pattern = r"Checked at \d\d:\d\d: 1 of 3 failed"

            async def is_found() -> bool:
                return any(re.fullmatch(pattern, item) for item in await shown.items())

            await shown.until(is_found)
            items = await shown.items()
            assert "✗ look-up: look-ups go elsewhere" in items
            assert "What to do: turn it on: sudo secdns system on" in items
        finally:
            await tray.aclose()


async def test_daemon_that_stops_is_seen_tray_t1(bus: str, up: FakeUpstream, tmp_path: Path) -> None:
    async with panel(bus) as shown:
        tray = app.Tray([tmp_path / "run" / "control.sock"], lambda words, hint: None)
        async with running(table(up), tmp_path) as stage:
            await tray.open()
            await stage.ask("h1.example.test")
            await shown.shows("secure")
        async with asyncio.timeout(3):
            await shown.shows("gone")
        await tray.aclose()
