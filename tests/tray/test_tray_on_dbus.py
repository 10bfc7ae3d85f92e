"""The icon on a session bus of its own: what a panel is told, and what a click does."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import Variant

from secdns.control.schema import Upstreams
from secdns.errors import ControlError
from secdns.states import State
from secdns.tray import app
from secdns.tray.dbusmenu import ROOT
from secdns.tray.icons import SIZES
from secdns.tray.view import Look
from tests.lab import programs
from tests.tray.fakes import OFF, REFUSED, FakeDaemon, status, upstream
from tests.tray.panel import panel

pytestmark = pytest.mark.needs("dbus-daemon", package="dbus-daemon")


@contextlib.asynccontextmanager
async def tray(path: Path) -> AsyncIterator[list[str]]:
    """Run the icon; gives what it says to whoever started it."""
    said: list[str] = []
    shown = app.Tray([path], lambda words, hint: said.extend([words, hint]))
    await shown.open()
    try:
        yield said
    finally:
        await shown.aclose()


async def test_panel_is_given_all_it_needs_to_draw(bus: str, daemon: FakeDaemon) -> None:
    async with panel(bus) as shown, tray(daemon.path) as said:
        await shown.shows("secure")
        assert shown.registered == [shown.item]
        assert shown.item.startswith(":")  # GNOME's extension drops an item with another name
        assert [size for size, *_ in await shown.get("IconPixmap")] == list(SIZES)
        assert all(len(argb) == 4 * size * size for size, _, argb in await shown.get("IconPixmap"))
        assert (Path(await shown.get("IconThemePath")) / f"{await shown.get('IconName')}.svg").exists()
        assert (await shown.get("ToolTip"))[2:] == ("secdns", "Protected – quad9, DoH (HTTP/2), 14 ms")
        assert (await shown.get("Menu"), await shown.get("ItemIsMenu")) == ("/MenuBar", True)
        assert said == []


@pytest.mark.parametrize(
    ("state", "look", "attention"),
    [
        (State.SECURE, Look.SECURE, "Active"),
        (State.CHECKING, Look.CHECKING, "Active"),
        (State.PAUSED, Look.PAUSED, "Active"),
        (State.OFFLINE, Look.OFFLINE, "Active"),
        (State.BLOCKED, Look.BLOCKED, "Active"),
    ],
)
async def test_icon_follows_the_daemons_state(
    bus: str, daemon: FakeDaemon, state: str, look: Look, attention: str
) -> None:
    before = State.OFFLINE if state == State.SECURE else State.SECURE
    daemon.status = status(before)
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows(before.value)
        daemon.status = status(state)
        await shown.shows(look.value)
        assert await shown.get("Status") == attention
        assert await shown.get("AttentionIconName") == f"secdns-{look.value}"
        assert "NewIcon" in shown.signals


async def test_click_on_an_upstream_switches_to_it(bus: str, daemon: FakeDaemon) -> None:
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows("secure")
        await shown.click("mullvad, DoT, 31 ms")

        async def is_ticked() -> bool:
            return bool((await shown.items())["mullvad, DoT, 31 ms"][1]["toggle-state"] == 1)

        await shown.until(is_ticked)
        items = await shown.items()
        assert items["quad9, DoH (HTTP/2), 14 ms"][1]["toggle-state"] == 0
        assert "Protected – mullvad, DoT, 31 ms" in items
        assert daemon.posts == [("use", {"upstream": "mullvad"})]


async def test_pause_resume_and_allow_go_to_the_daemon(bus: str, daemon: FakeDaemon) -> None:
    daemon.status = status(problem=REFUSED)
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows("secure")
        await shown.click("5 minutes")
        await shown.shows("paused")
        await shown.click("Resume now (5 min left)")
        await shown.shows("secure")
        await shown.click("Allow broken.example. for 1 hour")
        await shown.until(lambda: shown.notes)
    assert daemon.posts == [
        ("pause", {"for_s": 300}),
        ("resume", {}),
        ("dnssec/allow", {"name": "broken.example.", "for_s": 3600}),
    ]
    assert shown.notes == [("broken.example. is let through for 1 hour", "Its signatures are not checked.")]


async def test_refusal_comes_back_as_words_and_changes_nothing(bus: str, daemon: FakeDaemon) -> None:
    daemon.refusal = ControlError("only root may do this", hint="ask <root> & co", code="not-allowed")
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows("secure")
        await shown.click("1 hour")
        await shown.until(lambda: shown.notes)
        assert shown.notes == [("That was not possible", "Only root may do this. Ask &lt;root&gt; &amp; co")]

        async def is_said() -> bool:
            wanted = "That was not possible. Only root may do this. Ask <root> & co"
            return wanted in await shown.items()

        await shown.until(is_said)
        assert await shown.get("IconName") == "secdns-secure"


async def test_daemon_that_dies_is_seen_within_3_s_and_so_is_its_return_tray_t1(
    bus: str, tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "control.sock")
    async with panel(bus) as shown, tray(daemon.path):
        with daemon.running():
            await shown.shows("secure")
            began = time.monotonic()
        await shown.shows("gone")
        assert time.monotonic() - began < 3.0
        assert "Protected" not in await shown.get("Title")
        with daemon.running():
            await shown.shows("secure")


async def test_daemon_that_hangs_is_seen_within_3_s_tray_t1(bus: str, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    code = (
        "import sys, pathlib, threading; sys.path.insert(0, '.')\n"
        "from tests.tray.fakes import FakeDaemon\n"
        f"fake = FakeDaemon(pathlib.Path({str(path)!r}))\n"
        "with fake.running(): threading.Event().wait()\n"
    )
    argv = [sys.executable, "-c", code]
    async with panel(bus) as shown:
        with programs.running(argv, tmp_path / "daemon.log", path.exists) as process:
            async with tray(path):
                await shown.shows("secure")
                os.kill(process.pid, signal.SIGSTOP)
                began = time.monotonic()
                await shown.shows("gone")
                assert time.monotonic() - began < 3.0
                os.kill(process.pid, signal.SIGCONT)
                await shown.shows("secure")


async def test_icon_says_that_no_panel_is_there_and_appears_when_one_starts_or_starts_again(
    bus: str, daemon: FakeDaemon
) -> None:
    async with panel(bus, shows_icons=False) as shown, tray(daemon.path) as said:
        assert said[0] == "no panel here shows such icons yet; waiting for one"
        assert shown.registered == []
        await shown.bus.request_name("org.kde.StatusNotifierWatcher")
        await shown.until(lambda: len(shown.registered) == 1)
        await shown.bus.release_name("org.kde.StatusNotifierWatcher")
        await shown.bus.request_name("org.kde.StatusNotifierWatcher")
        await shown.until(lambda: len(shown.registered) == 2)


async def test_second_icon_is_refused(bus: str, daemon: FakeDaemon) -> None:
    async with panel(bus), tray(daemon.path):
        with pytest.raises(ControlError, match="the icon is there already"):
            await app.run([daemon.path], lambda words, hint: None)


async def test_without_a_session_the_reason_is_said(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    with pytest.raises(ControlError, match="no desktop session is to be found"):
        await app.run([daemon.path], lambda words, hint: None)


async def test_quit_ends_the_icon_and_not_the_daemon(bus: str, daemon: FakeDaemon) -> None:
    async with panel(bus) as shown:
        running = asyncio.create_task(app.run([daemon.path], lambda words, hint: None))
        await shown.shows("secure")
        await shown.click("Quit this icon (protection stays as it is)")
        async with asyncio.timeout(15):
            await running
    assert daemon.posts == []


async def test_only_words_change_without_a_new_layout_so_that_an_open_menu_stays_open(
    bus: str, daemon: FakeDaemon
) -> None:
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows("secure")
        before = await shown.items()
        shown.signals.clear()
        shown.updates.clear()
        first = upstream(p50_ms=20.0)
        daemon.upstreams = Upstreams((first, daemon.upstreams.upstreams[1]), daemon.upstreams.others)
        daemon.status = status(upstream=first)
        await shown.until(lambda: "ItemsPropertiesUpdated" in shown.signals)
        changed, removed = shown.updates[0]
        assert {name for _, properties in changed for name in properties} == {"label"}
        assert removed == []
        assert "LayoutUpdated" not in shown.signals
        after = await shown.items()
        number = after["quad9, DoH (HTTP/2), 20 ms"][0]
        assert number == before["quad9, DoH (HTTP/2), 14 ms"][0]


async def test_click_on_what_is_gone_meanwhile_does_nothing(bus: str, daemon: FakeDaemon) -> None:
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows("secure")
        number, _ = (await shown.items())["5 minutes"]
        shown.signals.clear()
        daemon.status = status(is_strict=True)
        await shown.until(lambda: "LayoutUpdated" in shown.signals)
        await shown.menu("Event", "isvu", number, "clicked", Variant("i", 0), 0)
        gone, here = number, (await shown.items())["Check now"][0]
        (errors,) = await shown.menu(
            "EventGroup", "a(isvu)",
            [[gone, "clicked", Variant("i", 0), 0], [here, "opened", Variant("i", 0), 0]],
        )  # fmt: skip
    assert (errors, daemon.posts) == ([gone], [])


async def test_another_layout_has_other_numbers_and_a_click_on_an_old_one_means_what_was_drawn(
    bus: str, daemon: FakeDaemon
) -> None:
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows("secure")
        before = await shown.items()
        shown.signals.clear()
        daemon.status = status(system=OFF)
        await shown.until(lambda: "LayoutUpdated" in shown.signals)
        after = await shown.items()
        numbers = [{number for number, _ in items.values()} for items in (before, after)]
        assert numbers[0] & numbers[1] == {ROOT}
        number, _ = before["mullvad, DoT, 31 ms"]
        await shown.menu("Event", "isvu", number, "clicked", Variant("i", 0), 0)
        await shown.until(lambda: bool(daemon.posts))
    assert daemon.posts == [("use", {"upstream": "mullvad"})]


async def test_menu_answers_every_question_of_a_panel(bus: str, daemon: FakeDaemon) -> None:
    daemon.status = status(upstream=upstream("a_b"))
    async with panel(bus) as shown, tray(daemon.path):
        await shown.shows("secure")
        items = await shown.items()
        number, properties = items["Protected – a__b, DoH (HTTP/2), 14 ms"]  # _ marks a key to press
        assert properties["enabled"] is False
        (label,) = await shown.menu("GetProperty", "is", number, "label")
        assert label.value == "Protected – a__b, DoH (HTTP/2), 14 ms"
        ((one,),) = [await shown.menu("GetGroupProperties", "aias", [0, number], ["enabled"])]
        assert [(at, list(given)) for at, given in one] == [(0, []), (number, ["enabled"])]
        assert await shown.menu("AboutToShow", "i", 0) == [False]
        assert await shown.menu("AboutToShowGroup", "ai", [0, 9999]) == [[], [9999]]
        with pytest.raises(AssertionError, match="there is no item 9999"):
            await shown.menu("GetLayout", "iias", 9999, -1, [])
        _, (_, _, children) = await shown.menu("GetLayout", "iias", 0, 1, ["label"])
        assert all(not child.value[2] for child in children)
