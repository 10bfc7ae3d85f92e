"""Find the line of every key of a TOML text; ``tomllib`` gives values without their place.

The text must be one that ``tomllib`` accepted. That makes this short: strings, comments and
brackets are told apart, keys and headers are followed, and nothing is checked a second time.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator

Path = tuple[str | int, ...]
"""Keys and array indexes from the root, as in ``("upstream", 0, "addresses", 1)``."""

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
# In this order: a text that opens with three quotes opens with one as well. The first closing
# delimiter may be followed by up to two more quotes, which belong to the content.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:""|")?'
    r"|'''.*?'''(?:''|')?"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def locate(text: str) -> dict[Path, int]:
    """Map the path of every table, key and array element to its line, counted from 1.

    A key that is written in several places, such as a table of dotted keys, has the first one.
    """
    return _Scanner(text).scan()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Give the line of ``path``, else that of the nearest thing around it, else 1."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")  # as tomllib does
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", self._text))]
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}  # array of tables -> how many of its tables have begun

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._skip_space()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip_space()
        return self._lines

    def _header(self) -> Path:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        keys = self._key()
        self._at += 2 if is_array else 1
        path: Path = ()
        for depth, key in enumerate(keys, start=1):
            path = (*path, key)
            self._note(path, line)
            if is_array and depth == len(keys):
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self._note(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._key():
            path = (*path, key)
            self._note(path, line)
        self._at += 1  # =
        self._skip_space()
        self._value(path)

    def _key(self) -> list[str]:
        """Take a key with its dots and leave the position at what follows it."""
        keys = []
        while True:
            self._skip_space()
            if self._text[self._at] in "\"'":
                keys.append(_unquote(self._take(_STRING)))
            else:
                keys.append(self._take(_BARE))
            self._skip_space()
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, path: Path) -> None:
        match self._text[self._at]:
            case "[":
                for index, _ in enumerate(self._items("]")):
                    self._note((*path, index), self._line())
                    self._value((*path, index))
            case "{":
                for _ in self._items("}"):
                    self._pair(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_SCALAR)

    def _items(self, close: str) -> Iterator[None]:
        """Stop at each item between the bracket here and ``close``; the caller takes the item."""
        self._at += 1
        while True:
            self._skip_space()
            if self._text[self._at] == close:
                self._at += 1
                return
            yield
            self._skip_space()
            if self._text[self._at] == ",":
                self._at += 1

    def _skip_space(self) -> None:
        self._take(_SPACE)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at line {self._line()}")
        self._at = match.end()
        return match[0]

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _note(self, path: Path, line: int) -> None:
        self._lines.setdefault(path, line)


def _unquote(text: str) -> str:
    """Give the key that is written in quotes."""
    if text[0] == "'":
        return text[1:-1]
    (key,) = tomllib.loads(f"{text} = 0")  # the one who knows the escapes
    return key
