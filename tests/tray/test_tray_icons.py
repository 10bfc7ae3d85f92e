"""The icons: each differs from all others in shape and in colour, and is drawn as its file says."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

from secdns.tray import icons
from secdns.tray.icons import FOLDER, SIZES, icon_file, pixmap
from secdns.tray.view import Look


def shape(look: Look, size: int = 22) -> list[int]:
    return list(pixmap(look, size).argb[::4])


def colour(look: Look) -> bytes:
    return pixmap(look, 22).argb[1:4]


def test_every_look_has_a_file_and_every_file_a_look() -> None:
    assert sorted(FOLDER.iterdir()) == sorted(icon_file(look) for look in Look)


@pytest.mark.parametrize(
    ("one", "other"), [pytest.param(*pair, id="-".join(pair)) for pair in itertools.combinations(Look, 2)]
)
def test_no_two_icons_share_their_shape_or_their_colour(one: Look, other: Look) -> None:
    differing = sum(abs(a - b) > 128 for a, b in zip(shape(one), shape(other), strict=True))
    assert differing > 30  # of 484 pixels
    assert sum(abs(a - b) for a, b in zip(colour(one), colour(other), strict=True)) > 60


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", Look)
def test_icon_is_drawn_in_every_size(look: Look, size: int) -> None:
    drawn = pixmap(look, size)
    assert len(drawn.argb) == 4 * size * size
    covered = sum(shape(look, size)) / 255 / size**2
    assert 0.2 < covered < 0.85
    assert shape(look, size)[0] == 0  # corners are empty: it is no box


def test_coverage_is_exact_for_straight_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = '<svg><path fill="#102030" fill-rule="evenodd" d="'
    (tmp_path / "secdns-secure.svg").write_text(head + 'M0 0 H8.25 V16 H0 Z M2 0 H4 V16 H2 Z"/></svg>')
    monkeypatch.setattr(icons, "FOLDER", tmp_path)
    row = pixmap.__wrapped__(Look.SECURE, 16).argb[: 16 * 4]
    assert list(row[::4]) == [255] * 2 + [0] * 2 + [255] * 4 + [64] + [0] * 7
    assert row[:4] == bytes([255, 0x10, 0x20, 0x30])


def test_what_is_not_drawn_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '<path fill="#102030" fill-rule="evenodd" d="M0 0 A1 1 0 0 0 2 2 Z"/>'
    (tmp_path / "secdns-secure.svg").write_text(text)
    monkeypatch.setattr(icons, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="want M, L, H, V, C or Z"):
        pixmap.__wrapped__(Look.SECURE, 16)


@pytest.mark.skipif(shutil.which("rsvg-convert") is None, reason="needs: librsvg2-bin")
@pytest.mark.parametrize("look", Look)
def test_librsvg_draws_the_same(look: Look, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    out = tmp_path / "icon.png"
    subprocess.run(["rsvg-convert", "-w", "48", "-h", "48", "-o", out, icon_file(look)], check=True)
    alpha = list(image.open(out).convert("RGBA").tobytes()[3::4])
    off = [abs(a - b) for a, b in zip(alpha, shape(look, 48), strict=True)]
    assert max(off) < 64
    assert sum(off) / len(off) < 3
