"""The same menu by pystray, with its stand-in that draws nothing: no test of Windows or macOS."""

from typing import Any

import pytest

from secdns.tray.view import Look, View
from tests.tray.fakes import FakeDaemon, status, upstreams


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("PIL", reason="needs: pillow")
    monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")
    pytest.importorskip("pystray", reason="needs: pystray")
    from secdns.tray import pystray_

    return pystray_


def texts(menu: Any) -> list[str]:
    return [entry.text for entry in menu.items if entry.text != "- - - -"]


def test_pystray_shows_the_menu_of_the_view(adapter: Any, daemon: FakeDaemon) -> None:
    shown = adapter.Tray([daemon.path])
    shown.icon._update_menu = lambda: None  # the stand-in has none
    shown.show(View(status(chosen="mullvad"), upstreams()))
    menu = shown.icon.menu
    assert texts(menu)[:3] == ["Protected – quad9, DoH (HTTP/2), 14 ms", "DNSSEC on", "Pause"]
    assert shown.icon.title == "secdns: Protected – quad9, DoH (HTTP/2), 14 ms"
    radios = next(entry for entry in menu.items if entry.text == "Upstream").submenu.items
    assert [(entry.text, entry.checked) for entry in radios if entry.radio] == [
        ("In the order of the configuration", False),
        ("quad9, DoH (HTTP/2), 14 ms", False),
        ("mullvad, DoT, 31 ms", True),
    ]
    assert not next(iter(menu.items)).enabled


def test_pystray_click_does_what_the_item_stands_for(adapter: Any) -> None:
    from secdns.tray.menu import PauseFor, build

    clicked: list[object] = []
    entries = list(adapter.entries(build(View(status(), upstreams())), clicked.append))
    pause = next(entry for entry in entries if entry.text == "Pause")
    list(pause.submenu.items)[1](None)
    assert clicked == [PauseFor(300)]


def test_pystray_icon_has_the_pixels_of_the_look(adapter: Any) -> None:
    drawn = adapter.image(Look.SECURE)
    assert (drawn.size, drawn.getpixel((24, 6))) == ((48, 48), (0x26, 0xA2, 0x69, 255))
