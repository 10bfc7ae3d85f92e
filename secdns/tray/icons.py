"""The icons: drawn once as SVG, and from there as pixels, since not every panel draws SVG.

The files are of one kind: a view box of 16 × 16, and paths that are filled by the even-odd rule in one
colour, with the absolute commands M, L, H, V, C and Z. That is a page of code; a library for all of SVG is
ten megabytes.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from secdns.tray.view import Look

FOLDER: Final = Path(__file__).parent / "icons"
SIZES: Final = (16, 22, 24, 32, 48)  # what panels ask for, in pixels
BOX: Final = 16.0
ROWS: Final = 5  # of samples in a row of pixels; across, coverage is exact
STEPS: Final = 8  # straight pieces of a curve

_PATH: Final = re.compile(r'<path fill="#([0-9a-f]{6})" fill-rule="evenodd" d="([^"]*)"/>')
_COMMAND: Final = re.compile(r"([A-Za-z])([^A-Za-z]*)")

Point = tuple[float, float]


class Pixmap(NamedTuple):
    """A square of pixels, four octets each: alpha, red, green, blue; not premultiplied, rows from the top."""

    size: int
    argb: bytes


def icon_name(look: Look) -> str:
    """Give the name under which an icon theme has it."""
    return f"secdns-{look.value}"


def icon_file(look: Look) -> Path:
    """Give its drawing."""
    return FOLDER / f"{icon_name(look)}.svg"


@cache
def pixmap(look: Look, size: int) -> Pixmap:
    """Draw the icon of ``look``, ``size`` pixels wide and high; takes some milliseconds the first time.

    Raises:
        ValueError: its file holds what is not drawn here.
    """
    cover = [0.0] * (size * size)
    colour = b""
    for hexes, data in _PATH.findall(icon_file(look).read_text("ascii")):
        colour = bytes.fromhex(hexes)
        _fill(cover, size, [_scaled(polygon, size / BOX) for polygon in _polygons(data)])
    return Pixmap(size, b"".join(bytes([round(min(alpha, 1.0) * 255)]) + colour for alpha in cover))


def _scaled(polygon: list[Point], factor: float) -> list[Point]:
    return [(x * factor, y * factor) for x, y in polygon]


def _polygons(data: str) -> Iterator[list[Point]]:
    """Yield the outlines of a path, with curves as straight pieces."""
    polygon: list[Point] = []
    for command, text in _COMMAND.findall(data):
        numbers = [float(number) for number in text.split()]
        match command, numbers:
            case "M", [x, y]:
                polygon = [(x, y)]
            case "L", [x, y]:
                polygon.append((x, y))
            case "H", [x]:
                polygon.append((x, polygon[-1][1]))
            case "V", [y]:
                polygon.append((polygon[-1][0], y))
            case "C", [x1, y1, x2, y2, x, y]:
                polygon += _curve(polygon[-1], (x1, y1), (x2, y2), (x, y))
            case "Z", []:
                yield polygon
            case _:
                raise ValueError(f"{command}{text} is not drawn here, want M, L, H, V, C or Z")


def _curve(start: Point, first: Point, second: Point, end: Point) -> Iterator[Point]:
    """Yield points on a cubic Bézier curve, without its start."""
    for step in range(1, STEPS + 1):
        t = step / STEPS
        u = 1 - t
        weights = (u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t)
        points = tuple(zip(weights, (start, first, second, end), strict=True))
        yield sum(weight * x for weight, (x, _) in points), sum(weight * y for weight, (_, y) in points)


def _fill(cover: list[float], size: int, polygons: list[list[Point]]) -> None:
    """Add to ``cover`` how much of each pixel is inside, by the even-odd rule."""
    edges = [
        (*polygon[number - 1], *point) for polygon in polygons for number, point in enumerate(polygon)
    ]  # fmt: skip
    for sample in range(size * ROWS):
        y = (sample + 0.5) / ROWS
        crossings = sorted(
            x1 + (y - y1) * (x2 - x1) / (y2 - y1) for x1, y1, x2, y2 in edges if (y1 <= y) != (y2 <= y)
        )
        row = sample // ROWS * size
        for begin, end in zip(crossings[::2], crossings[1::2], strict=True):
            for column in range(max(0, int(begin)), min(size, int(end) + 1)):
                cover[row + column] += max(0.0, min(end, column + 1) - max(begin, column)) / ROWS
