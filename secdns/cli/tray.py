"""`secdns tray`: an icon in the panel that shows how secdns is and lets a person switch."""

import asyncio
import importlib
import sys
from pathlib import Path

import click

from secdns.cli import terminal
from secdns.cli.exits import Exit
from secdns.errors import ControlError

EPILOG = """\b
It shows what the daemon says, and so needs one that runs: secdns run, or the service.
Quitting the icon does not end the daemon: protection stays as it is.

\b
Exit codes: 0 it was quit, or the session has ended; 69 there is no desktop session, or the icon is there
already.
"""


@click.command(epilog=EPILOG)
@click.option("--socket", metavar="PATH", help="Show the daemon that listens there.")
def tray(socket: str | None) -> int:
    """Show how secdns is as an icon in the panel, with a menu.

    The menu says who answers, pauses for a while, switches the upstream, and lets a name through that
    was refused.
    """
    from secdns import paths

    sockets = paths.control_sockets() if socket is None else (Path(socket),)
    has_dbus = sys.platform not in ("win32", "darwin")
    module, extra = ("app", "dbus-fast") if has_dbus else ("pystray_", "pystray pillow")
    try:
        app = importlib.import_module(f"secdns.tray.{module}")
    except ImportError as error:
        terminal.error(
            f"the tray needs {extra}, which is not installed ({error})",
            hint=f"{sys.executable} -m pip install {extra}",
        )
        return Exit.UNAVAILABLE
    try:
        if has_dbus:
            asyncio.run(app.run(sockets, terminal.warn))
        else:
            app.run(sockets)
    except ControlError as error:
        terminal.explain(error)
        return Exit.UNAVAILABLE
    return Exit.OK
