"""Know the names that systems and browsers check their network with, from ``connectivity_checks.toml``.

The file is read on the first call, once.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

from secdns.dns import name as names
from secdns.errors import Error

DATA_FILE: Final = Path(__file__).with_name("connectivity_checks.toml")


@cache
def CHECKS() -> frozenset[bytes]:
    """Give the names, in wire form and lower case, that say nothing of a person but which system it has.

    Raises:
        Error: the installed data file is damaged.
    """
    try:
        rows = tomllib.loads(DATA_FILE.read_text("utf-8"))["check"]
        return frozenset(
            names.from_text(row["host"]).lower() for row in rows if row.get("shared", False) is not True
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Error(f"cannot read {DATA_FILE}: {error}", hint="install secdns again") from error
