"""Do what an item of the menu stands for, and say in words what came of it where that is worth words."""

import json
import shutil
import subprocess
import time
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from secdns import paths
from secdns.control.client import NOT_RUNNING, Client
from secdns.control.schema import Checked, from_json
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
from secdns.tray.view import View

CHECK_TIMEOUT_S: Final = 20.0  # it takes five
ANSWER_S: Final = 60.0  # that an outcome stands in the menu …
CHECKED_S: Final = 600.0  # … and what a check found
# Of the daemon's refusals: it is not there, or cannot check for us, which this program can as well.
ELSEWHERE: Final = frozenset({NOT_RUNNING, "not-allowed", "not-possible", "unknown-path"})
ROOT_TIMEOUT_S: Final = 300.0  # a person types a password meanwhile
PKEXEC_REFUSED: Final = (126, 127)  # dismissed by the person, or not authorised: pkexec(1)


class Outcome(NamedTuple):
    """What a person is told, and of a check all that it found."""

    title: str
    text: str
    checked: Checked | None = None


class Answers:
    """What came of the last clicks, for the menu, since not everybody has notifications.

    ``now`` are seconds of a clock that only goes on.
    """

    def __init__(self) -> None:
        self._outcome: Outcome | None = None
        self._outcome_at = 0.0
        self._checked: Checked | None = None
        self._checked_at = 0.0
        self._time_of_day = ""
        self._checking = 0

    def begin(self, action: Action) -> None:
        """Take note of a click."""
        self._checking += isinstance(action, CheckNow)

    def end(self, action: Action, outcome: Outcome | None, now: float) -> None:
        """Take what came of it."""
        self._checking -= isinstance(action, CheckNow)
        self._outcome, self._outcome_at = outcome, now
        if outcome is not None and outcome.checked is not None:
            self._checked, self._checked_at = outcome.checked, now
            self._time_of_day = time.strftime("%H:%M")

    def added_to(self, view: View, now: float) -> View:
        """Give a view with what is not old."""
        answer = None
        if self._outcome is not None and now - self._outcome_at <= ANSWER_S:
            answer = f"{self._outcome.title}. {self._outcome.text}"
        return replace(
            view,
            answer=answer,
            checked=self._checked if now - self._checked_at <= CHECKED_S else None,
            checked_at=self._time_of_day,
            is_checking=self._checking > 0,
        )


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
            return check(client, paths.program())
        case TurnOn():
            return turn_on(paths.program())
        case TurnOff():
            return turn_off(paths.program())
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


def check(client: Client, command: Sequence[str]) -> Outcome:
    """Have the daemon look whether names on this machine really go through it; else this program does.

    Raises:
        ControlError: another check is under way, or it came to nothing.
    """
    try:
        checked = client.check()
    except ControlError as error:
        if error.code not in ELSEWHERE:
            raise
        own = _check_here(command)
        if own is None:
            return Outcome("Nothing could be checked", "Type into a terminal: secdns check")
        checked = own
    failed = [check for check in checked.checks if check.result == "fail"]
    if not failed:
        return Outcome("All is well", "Names on this machine go through secdns.", checked)
    more = f"{len(failed)} checks failed, the menu shows them all" if failed[1:] else None
    text = _said(failed[0].text, failed[0].hint, more)
    return Outcome("Something is not as it should be", text, checked)


def _check_here(command: Sequence[str]) -> Checked | None:
    try:
        done = subprocess.run(  # noqa: S603  our own program
            [*command, "check", "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
        return from_json(Checked, json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError, ControlError):
        return None


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
