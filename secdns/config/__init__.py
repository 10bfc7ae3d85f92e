"""The configuration: one TOML file in, one frozen ``Config`` out.

Every key is optional and unknown ones are refused. An error names the file, the line, the key, the
value seen and the value wanted, and all that is wrong with a file is told at once. What
a later version will understand is refused as well: a setting that silently does nothing is worse
than none.

    keys.py          which tables and keys there are
    model.py         what they become, and the bounds of numbers
    document.py      the text as a whole: TOML, then values, then the list of problems
    sections.py      the document, table by table; [server], [cache] and other short ones
    upstreams.py     [[upstream]]
    routes.py        [[route]] and [overrides]
    reader.py        typed values out of a table; the list of problems
    lines.py         key -> line of the file
    permissions.py   files that others may write are refused
    describe.py      what is in force, and where it comes from
"""

from functools import cache
from pathlib import Path

from secdns.config.describe import describe
from secdns.config.document import parse
from secdns.config.keys import KEYS
from secdns.config.model import (
    FILE_OCTETS,
    NETWORK,
    CacheConfig,
    Config,
    DNSSECConfig,
    ListenAddress,
    RouteConfig,
    ServerConfig,
    Strategy,
    UpstreamConfig,
)
from secdns.config.permissions import check_permissions
from secdns.errors import ConfigError
from secdns.paths import find_config_file

__all__ = [
    "KEYS",
    "NETWORK",
    "CacheConfig",
    "Config",
    "DNSSECConfig",
    "ListenAddress",
    "RouteConfig",
    "ServerConfig",
    "Strategy",
    "UpstreamConfig",
    "default",
    "describe",
    "load",
    "parse",
]


@cache
def default() -> Config:
    """Give what holds without a configuration file."""
    return parse("", "built-in")


def load(path: Path | None = None) -> Config:
    """Read a configuration file; None looks for one (``paths``) and gives the defaults if there is none.

    Raises:
        ConfigError: the file cannot be read, others may write it (L8), or something in it is wrong.
    """
    path = path or find_config_file()
    if path is None:
        return default()
    return parse(_read(path), str(path))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            check_permissions(file.fileno(), str(path))
            octets = file.read(FILE_OCTETS.most + 1)
    except FileNotFoundError as error:
        hint = "`secdns config init` writes one to start from"
        raise ConfigError(f"{path}: there is no such file", hint=hint) from error
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    try:
        return octets.decode("utf-8-sig")  # editors on Windows write a mark in front
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        seen = f"octet 0x{octets[error.start]:02x}"
        raise ConfigError(f"{path}:{line}: {seen} is not UTF-8, want a text file in UTF-8") from error
