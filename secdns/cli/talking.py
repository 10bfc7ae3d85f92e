"""What the commands that talk to the running daemon have in common."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from secdns import paths
from secdns.control import durations
from secdns.control.client import Client

F = TypeVar("F", bound=Callable[..., object])

EXIT_CODES = """\b
Exit codes: 0 done, 64 usage, 69 no daemon runs or it cannot do that, 77 not permitted.
"""


def client(socket: str | None) -> Client:
    """Give the other side of a daemon's socket: the one that a person named, or where one may be."""
    return Client([Path(socket)] if socket else paths.control_sockets())


def options(command: F) -> F:
    """Give a command ``--json`` and ``--socket``."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print what the daemon answers, as JSON.")
    socket = click.option("--socket", metavar="PATH", help="Talk to the daemon that listens there.")
    return as_json(socket(command))


class Duration(click.ParamType[int]):
    """A length of time such as 5m, as whole seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        try:
            return durations.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def ago(at: float) -> str:
    """Say how long ago something was; ``at`` is in seconds since 1970."""
    return f"{durations.shown(time.time() - at)} ago"
