"""Do what an item of the menu stands for, and say in words what came of it where that is worth words."""

import json
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from secdns.control.client import Client
from secdns.errors import ControlError
from secdns.tray.menu import (
    Action,
    Allow,
    CheckNow,
    PauseFor,
    Resume,
    SignIn,
    TurnOff,
    TurnOn,
    Use,
)
from secdns.tray.texts import clean, sentence

CHECK_TIMEOUT_S: Final = 20.0  # it takes five
ANSWER_S: Final = 60.0  # that an outcome stands in the menu
ROOT_TIMEOUT_S: Final = 300.0  # a person types a password meanwhile
PKEXEC_REFUSED: Final = (126, 127)  # dismissed by the person, or not authorised: pkexec(1)


class Outcome(NamedTuple):
    """What a person is told."""

    title: str
    text: str


def as_line(outcome: Outcome | None, age_s: float) -> str | None:
    """Give an outcome for the menu, since not everybody has notifications; None: it is old."""
    if outcome is None or age_s > ANSWER_S:
        return None
    return f"{outcome.title}. {outcome.text}"


def perform(
    action: Action, client: Client, *, browse: Callable[[str], bool] = webbrowser.open
) -> Outcome | None:
    """Do it; None where the icon and the menu say enough. Blocks, and raises nothing of ours."""
    try:
        return _perform(action, client, browse)
    except ControlError as error:
        return Outcome("That was not possible", _said(str(error), error.hint))


def _perform(action: Action, client: Client, browse: Callable[[str], bool]) -> Outcome | None:
    match action:
        case Use(upstream):
            client.use(upstream)
        case PauseFor(for_s):
            client.pause(for_s)
        case Resume():
            client.resume()
        case Allow(name, for_s):
            client.allow(name, for_s)
            return Outcome(f"{clean(name, 60)} is let through for 1 hour", "Its signatures are not checked.")
        case SignIn():
            return _sign_in(client, browse)
        case CheckNow():
            return check(program())
        case TurnOn():
            return turn_on(program())
        case TurnOff():
            return turn_off(program())
        case _:  # Quit is for whoever runs the tray
            pass
    return None


def _sign_in(client: Client, browse: Callable[[str], bool]) -> Outcome | None:
    """Have the daemon let the page through, and show it.

    Raises:
        ControlError: it will not.
    """
    value = client.post("portal", {})
    url = value.get("url") if isinstance(value, dict) else None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or clean(url, 2000) != url:
        raise ControlError(
            "the address of the sign-in page is not known", hint="open any http:// page in a browser"
        )
    if browse(url):
        return None
    return Outcome("No browser was found", f"Open {url}")


def program() -> list[str]:
    """Give the command that this program was started by, for another user to run from another folder."""
    started = Path(sys.argv[0])
    if started.name == "secdns" and started.is_file():
        return [str(started.resolve())]
    return [sys.executable, "-P", "-m", "secdns"]


def check(command: Sequence[str]) -> Outcome:
    """Have the program itself look whether names on this machine really go through it."""
    try:
        done = subprocess.run(  # noqa: S603  our own program
            [*command, "check", "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
        told = json.loads(done.stdout)
        failed = [(str(one["text"]), one["hint"]) for one in told["checks"] if one["result"] == "fail"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return Outcome("Nothing could be checked", "Type into a terminal: secdns check")
    if not failed:
        return Outcome("All is well", "Names on this machine go through secdns.")
    text, hint = failed[0]
    more = f"{len(failed)} checks failed, see them all: secdns check" if failed[1:] else None
    return Outcome("Something is not as it should be", _said(text, hint and str(hint), more))


def turn_on(command: Sequence[str]) -> Outcome:
    """Have this machine ask the daemon, as root; the desktop asks for the password."""
    done = Outcome("DNS is protected", "Names on this machine go through secdns.")
    return _switch(command, "on", done, "This machine does not use secdns")


def turn_off(command: Sequence[str]) -> Outcome:
    """Give the machine's own DNS settings back, as root."""
    done = Outcome("The old DNS settings are back", "Names no longer go through secdns.")
    return _switch(command, "off", done, "The old DNS settings are not back")


def _switch(command: Sequence[str], to: str, is_done: Outcome, failed: str) -> Outcome:
    pkexec = shutil.which("pkexec")
    by_hand = f"Type into a terminal: sudo secdns system {to}"
    if pkexec is None:
        return Outcome("This needs root's rights", by_hand)
    try:
        done = subprocess.run(  # noqa: S603  our own program
            [pkexec, *command, "system", to],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ROOT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Outcome("Nothing was changed", by_hand)
    if done.returncode == 0:
        return is_done
    if done.returncode in PKEXEC_REFUSED:
        return Outcome("Nothing was changed: not permitted", by_hand)
    return Outcome(failed, _said(" ".join(done.stderr.split()), by_hand))


def _said(*texts: str | None) -> str:
    return ". ".join(sentence(clean(text)).rstrip(".") for text in texts if text)
