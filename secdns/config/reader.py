"""Take typed values out of a TOML table; collect what is wrong with file, line and key.

A reader never raises for a wrong value: it notes the problem, gives the default and goes on, so
that one look at a file tells all that is wrong with it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from secdns.config.lines import Path, line_of
from secdns.errors import ConfigError, Error
from secdns.limit import Limit
from secdns.proxies import hide_credentials

T = TypeVar("T")

MAX_SHOWN: Final = 20  # problems in one message; more do not help anybody
MAX_VALUE_SHOWN: Final = 70  # characters

_KINDS: Final = {
    bool: "true or false",
    str: "a string in quotes",
    int: "a whole number",
    list: "a list",
    dict: "a table",
}


class Problems:
    """What is wrong with one file so far."""

    def __init__(self, source: str, lines: dict[Path, int]) -> None:
        self.source = source
        self._lines = lines
        self._found: list[tuple[int, str]] = []
        self._hint: str | None = None

    def add(self, path: Path, text: str, *, hint: str | None = None) -> None:
        """Note a problem with what is at ``path``; the first hint given is kept."""
        self._found.append((self.line(path), f"{show_path(path)}: {text}"))
        self._hint = self._hint or hint

    def add_error(self, path: Path, error: Error) -> None:
        """Note a problem that another module found, with its hint."""
        self.add(path, str(error), hint=error.hint)

    def line(self, path: Path) -> int:
        """Give the line of ``path``, or of what is nearest around it."""
        return line_of(self._lines, path)

    def raise_if_any(self) -> None:
        """End the reading.

        Raises:
            ConfigError: something was added; one problem a line, in the order of the file.
        """
        if not self._found:
            return
        texts = [
            f"{self.source}:{line}: {text}" for line, text in sorted(self._found, key=lambda one: one[0])
        ]
        if len(texts) > MAX_SHOWN:
            texts[MAX_SHOWN:] = [f"and {len(texts) - MAX_SHOWN} more"]
        raise ConfigError("\n".join(texts), hint=self._hint)


@dataclass
class Table:
    """One table of the file: its place and its values."""

    path: Path
    values: Mapping[str, object]
    problems: Problems

    def check_keys(self, known: Sequence[str], elsewhere: Mapping[str, Sequence[str]]) -> None:
        """Note every key that this version does not know, with the nearest valid one.

        ``elsewhere`` maps the other tables to their keys: a key is often right and its table wrong.
        """
        for key in self.values:
            if key not in known:
                self.problems.add((*self.path, key), _unknown_key(key, known, elsewhere))

    def boolean(self, key: str, default: bool) -> bool:
        """Give a truth value."""
        value = self._typed(key, bool)
        return default if value is None else value

    def integer(self, key: str, limit: Limit[int]) -> int:
        """Give a whole number inside its bounds."""
        value = self._typed(key, int)
        if value is None:
            return limit.default
        if limit.least <= value <= limit.most:
            return value
        wanted = f"want a whole number from {limit.least} to {limit.most}"
        self.problems.add((*self.path, key), f"{show(value)} is out of bounds, {wanted}")
        return limit.default

    def text(self, key: str) -> str | None:
        """Give a string, or None when the key is absent or its value of another kind."""
        return self._typed(key, str)

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """Give one of ``choices``, by default the first."""
        value = self.text(key)
        if value is None or value in choices:
            return value or choices[0]
        wanted = " or ".join(show(choice) for choice in choices)
        text = f"{show(value)} is unknown, want {wanted}{nearest(value, choices)}"
        self.problems.add((*self.path, key), text)
        return choices[0]

    def strings(
        self, key: str, parse: Callable[[str], T], limit: Limit[int] | None = None
    ) -> list[tuple[Path, T]]:
        """Give a list of strings, each through ``parse`` and with its place.

        What ``parse`` refuses with an error of ours is noted and left out.
        """
        values = self._typed(key, list)
        if values is None:
            return []
        if limit is not None and not limit.least <= len(values) <= limit.most:
            wanted = f"want {limit.least} to {limit.most}"
            self.problems.add((*self.path, key), f"the list has {len(values)} entries, {wanted}")
        found = []
        for index, value in enumerate(values):
            place = (*self.path, key, index)
            if not isinstance(value, str):
                self.problems.add(place, f"{show(value)} is {_kind(value)}, want {_KINDS[str]}")
                continue
            try:
                found.append((place, parse(value)))
            except Error as error:
                self.problems.add_error(place, error)
        return found

    def _typed(self, key: str, kind: type[T]) -> T | None:
        """Give a value if it is there and of this kind; truth values are no numbers here."""
        if key not in self.values:
            return None
        value = self.values[key]
        if isinstance(value, kind) and isinstance(value, bool) is (kind is bool):
            return value
        text = f"{show(value)} is {_kind(value)}, want {_KINDS[kind]}"
        if kind is list:
            text += f", such as [{show(value)}]"
        self.problems.add((*self.path, key), text)
        return None


def show(value: object) -> str:
    """Show a value as it stands in the file, shortened to one short line and without credentials."""
    if isinstance(value, str | bool | int | list | dict):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = str(value)
    text = hide_credentials(text)
    return text if len(text) <= MAX_VALUE_SHOWN else text[: MAX_VALUE_SHOWN - 1] + "…"


def show_path(path: Path) -> str:
    """Show where a value stands: ``upstream[2].addresses[1]``, counted from 1 as people do."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
            continue
        plain = part.isascii() and part.replace("_", "").replace("-", "").isalnum()
        text += ("." if text else "") + (part if plain else show(part))
    return text or "file"


def shape(value: object) -> str:
    """Say what stands where a table was wanted."""
    if isinstance(value, dict):
        return "one table"
    return "a list" if isinstance(value, list) else show(value)


def nearest(word: str, choices: Sequence[str]) -> str:
    """Give `, did you mean …?` with the nearest of ``choices``, or nothing if none is near."""
    import difflib

    near = difflib.get_close_matches(word, choices, n=1)
    return f", did you mean {near[0]}?" if near else ""


def _unknown_key(key: str, known: Sequence[str], elsewhere: Mapping[str, Sequence[str]]) -> str:
    for table, keys in elsewhere.items():
        if key in keys:
            return f"unknown key here, it belongs into {table}"
    wanted = ", ".join(known)
    return f"unknown key, want one of {wanted}{nearest(key, known)}"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")
