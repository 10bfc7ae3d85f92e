"""The program itself in GNOME Shell with its extension AppIndicator, on a booted machine: clicked."""

from dataclasses import replace
from pathlib import Path

import pytest

from secdns.states import State
from secdns.tray.view import Look
from tests.tray.fakes import OFF, status
from tests.tray.gnome import gnome

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first one makes the tree


def test_people_see_the_icon_in_gnome_and_choose_an_upstream_by_mouse(tmp_path: Path) -> None:
    with gnome(tmp_path) as (shown, daemon):
        shown.leave_overview()
        shown.open_menu_of(Look.SECURE)
        protected, before = shown.ink(0), len(shown.lines())
        shown.click_line(3)  # "Upstream", after how things are, DNSSEC and "Pause"
        shown.until(lambda: len(shown.lines()) == before + 4)  # below it, within the same menu
        shown.click_line(6)  # the configuration's order, quad9, mullvad
        shown.until(lambda: bool(daemon.posts))
        assert daemon.posts == [("use", {"upstream": "mullvad"})]
        daemon.status = replace(status(State.BLOCKED), sentence="no upstream answers")
        shown.shows(Look.BLOCKED)
        daemon.status = status(system=OFF)
        shown.open_menu_of(Look.UNUSED)
        is_old = shown.ink(0) == protected
        assert not is_old, "the extension keeps the words of items that it knows"
        shown.click_line(-2)  # "Quit", before "Turn on": it puts new items among known ones where it likes
        shown.until(lambda: shown.icon(Look.UNUSED) is None)
    assert not daemon.path.exists()
