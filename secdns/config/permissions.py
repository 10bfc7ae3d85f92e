"""Refuse files that others may write: who writes the configuration reads every query (threat L8)."""

import os
import shlex
import stat
from typing import Final

from secdns.errors import ConfigError

_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def check_permissions(descriptor: int, path: str) -> None:
    """Look at an open file, not at its name, which may mean another file a moment later.

    Only regular files count: a pipe or a terminal belongs to who started us. On Windows the mode
    says nothing about other users, so there every file passes.

    Raises:
        ConfigError: the group or everybody may write it.
        OSError: it cannot be looked at.
    """
    if os.name != "posix":
        return
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) and mode & _OTHERS_MAY_WRITE:
        who = "everybody" if mode & stat.S_IWOTH else "its group"
        raise ConfigError(
            f"{path}: can be written by {who} (mode {stat.S_IMODE(mode):04o}), want by its owner alone",
            hint=f"chmod go-w {shlex.quote(path)}",
        )
