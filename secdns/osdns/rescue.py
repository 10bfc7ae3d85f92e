"""`secdns rescue`: the machine's own DNS back, with nothing but the standard library.

No daemon, no configuration, no network, no click, no logging; a broken installation of anything
else does not matter. `secdns.__main__` comes here before it imports anything.
"""

import os
import sys
from pathlib import Path

from secdns.errors import NotPermittedError, SettingsError
from secdns.osdns import switch, wish
from secdns.osdns.detect import RESOLV_CONF
from secdns.osdns.machine import Machine

NO_PERMISSION = 77  # the exit codes are those of secdns.cli.exits, which needs click
CANNOT_WRITE = 73


def rescue(machine: Machine | None = None, *, for_now: bool = False) -> int:
    """Put back what the journal says and give the exit code; 0 as well if there was nothing to do.

    ``for_now`` is how the service's units call it: nothing is put back where the service comes back
    at once, and the wish to have it on outlives this.
    """
    machine = machine or Machine()
    if for_now and wish.service_comes_back(machine, os.environ.get("SERVICE_RESULT", "")):
        return 0
    try:
        left = switch.turn_off(machine, for_now=for_now)
    except NotPermittedError as error:
        return _fail(error, f"sudo {own_command()} rescue", NO_PERMISSION)
    except SettingsError as error:
        return _fail(error, error.hint, CANNOT_WRITE)
    if left is None and for_now:
        return 0
    if left is None:
        _say("there is no journal: secdns has changed nothing here, or it has been put back already")
    else:
        _say("the system's DNS settings are as they were before secdns")
        for sentence in left:
            _say(f"but {sentence}")
    show_resolv_conf(machine)
    return 0


def show_resolv_conf(machine: Machine) -> None:
    """Print what programs read."""
    target = machine.link(RESOLV_CONF)
    text = machine.text(RESOLV_CONF)
    arrow = f" (a link to {target})" if target is not None else ""
    if text is None:
        _say(f"{RESOLV_CONF}{arrow} is not there or cannot be read")
        return
    _say(f"{RESOLV_CONF}{arrow} says:")
    for line in text.splitlines():
        if line.strip() and not line.startswith(("#", ";")):
            _say(f"  {line}")


def own_command() -> str:
    """Give how this program was started, for sudo, whose search path is another than a person's."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{sys.executable} -m secdns"
    absolute = started.absolute()
    if str(absolute.parent) in (
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
    ):
        return started.name
    return str(absolute)


def _fail(error: SettingsError, hint: str | None, code: int) -> int:
    print(f"secdns: error: {_printable(str(error))}", file=sys.stderr)
    if hint:
        print(f"secdns: hint: {_printable(hint)}", file=sys.stderr)
    return code


def _say(text: str) -> None:
    print(_printable(text))


def _printable(text: str) -> str:
    """Keep a file's control characters off the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
