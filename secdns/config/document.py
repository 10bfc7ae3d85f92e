"""Read the text of a configuration file as a whole."""

import re
import tomllib
from typing import Final

from secdns.config.lines import Path, locate
from secdns.config.model import FILE_OCTETS, Config
from secdns.config.reader import Problems, show_path
from secdns.config.sections import read_config
from secdns.errors import ConfigError
from secdns.proxies import hide_credentials

_PLACE: Final = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.S
)
_SYNTAX_HINT: Final = (
    "text stands in straight quotes, a list in brackets, true, false and numbers alone, "
    'for example: listen = ["127.0.0.1:53"]'
)
_SHOWN: Final = 40  # characters of the line where reading stopped


def parse(text: str, source: str) -> Config:
    """Read the text of a configuration file; ``source`` is its name in messages.

    Files that the text names (``ca_file``) are looked at, nothing else outside the text is.

    Raises:
        ConfigError: a line for each problem, ``source:line: key: value seen, value wanted``.
    """
    if len(text) > FILE_OCTETS.most:
        raise ConfigError(f"{source}: more than {FILE_OCTETS.most} octets, want a smaller file")
    try:
        return _parse(text, source)
    except RecursionError as error:
        raise ConfigError(f"{source}: tables or lists are nested too deep, want a few levels") from error


def _parse(text: str, source: str) -> Config:
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number with thousands of digits
        raise ConfigError(_syntax_error(text, source, str(error)), hint=_SYNTAX_HINT) from error
    lines = locate(text)
    problems = Problems(source, lines)
    config = read_config(document, problems, _set_keys(lines))
    problems.raise_if_any()
    return config


def _syntax_error(text: str, source: str, error: str) -> str:
    """Turn what tomllib says into ``source:line: …``."""
    match = _PLACE.fullmatch(error)
    if match is None:
        return f"{source}: not valid TOML: {_lower_first(error)}"
    what = _lower_first(match["what"])
    if match["line"] is None:
        end = text.count("\n") + 1
        return f"{source}:{end}: not valid TOML: {what} at the end of the file"
    if what == r"illegal character '\n'":
        what = "a quote is not closed before the end of the line"
    line = text.split("\n")[int(match["line"]) - 1]
    line = hide_credentials(line)
    seen = "".join(char if char.isprintable() else " " for char in line).strip()
    seen = f", at `{seen if len(seen) <= _SHOWN else seen[:_SHOWN] + '…'}`" if seen else ""
    return f"{source}:{match['line']}: not valid TOML: {what}{seen} (column {match['column']})"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _set_keys(lines: dict[Path, int]) -> dict[str, int]:
    """Give the line of each key that was set, by the key's name in messages.

    An override is found by its name alone, whether its labels were written as one key or as several.
    """
    found = {show_path(path): line for path, line in lines.items()}
    for path, line in lines.items():
        labels = [part for part in path[1:] if isinstance(part, str)]
        if path[0] == "overrides" and len(labels) == len(path) - 1 and labels:
            owner = ".".join(labels).lower().removesuffix(".")
            found.setdefault(show_path(("overrides", owner)), line)
    return found
