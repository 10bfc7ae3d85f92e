"""What comes of a click, as words."""

import json
import os
from pathlib import Path

import pytest

from secdns import paths
from secdns.control.client import Client
from secdns.control.schema import Check, Checked, to_json
from secdns.errors import ControlError
from secdns.tray.actions import ANSWER_S, CHECKED_S, Answers, Outcome, check, perform, turn_off, turn_on
from secdns.tray.menu import CheckNow, PauseFor, Quit, SignIn, Use
from secdns.tray.view import View
from tests.tray.fakes import FOUND, FakeDaemon


def no_browser(url: str) -> bool:
    return False


def test_what_shows_in_the_icon_needs_no_words(daemon: FakeDaemon) -> None:
    assert perform(PauseFor(30), Client([daemon.path])) is None
    assert perform(Use("mullvad"), Client([daemon.path])) is None
    assert perform(Quit(), Client([daemon.path])) is None
    assert daemon.posts == [("pause", {"for_s": 30}), ("use", {"upstream": "mullvad"})]


def test_without_a_daemon_every_click_says_so(tmp_path: Path) -> None:
    outcome = perform(PauseFor(30), Client([tmp_path / "none"]))
    assert outcome == Outcome(
        "That was not possible", "No daemon runs. Start it: secdns run, or as a service"
    )


WELL = Checked(True, (Check("clock", "pass", "it fits"),))
UNCHECKED = Outcome("Nothing could be checked", "Type into a terminal: secdns check")
ALL_WELL = Outcome("All is well", "Names on this machine go through secdns.", WELL)
FAILED = "Something is not as it should be"
NASTY = Checked(False, (Check("a", "fail", "a\n"),) * 3)


@pytest.mark.parametrize(
    ("found", "want"),
    [
        pytest.param(WELL, ALL_WELL, id="none failed"),
        pytest.param(
            FOUND,
            Outcome(FAILED, "Look-ups go elsewhere. Turn it on: sudo secdns system on", FOUND),
            id="one failed",
        ),
        pytest.param(
            NASTY,
            Outcome(FAILED, r"a\010. 3 checks failed, the menu shows them all", NASTY),
            id="three failed",
        ),
    ],
)
def test_check_now_says_what_failed_and_what_to_do(found: Checked, want: Outcome, daemon: FakeDaemon) -> None:
    daemon.checked = to_json(found)
    assert perform(CheckNow(), Client([daemon.path])) == want
    assert daemon.posts == [("check", {})]


def test_without_a_daemon_that_checks_this_program_does(tmp_path: Path, daemon: FakeDaemon) -> None:
    (tmp_path / "told.json").write_text(json.dumps(to_json(WELL)))
    command = ["sh", "-c", f'[ "$*" = "check --json" ] && cat {tmp_path}/told.json', "secdns"]
    assert check(Client([tmp_path / "none"]), command) == ALL_WELL
    daemon.refusal = ControlError("only root may do this", code="not-allowed")
    assert check(Client([daemon.path]), command) == ALL_WELL
    daemon.refusal = ControlError("a check is under way already", code="too-many")
    with pytest.raises(ControlError, match="under way"):
        check(Client([daemon.path]), command)


@pytest.mark.parametrize("command", [["/nonexistent/secdns"], ["echo", "{}"], ["echo", "x"]])
def test_check_that_cannot_be_made_gives_the_command_to_type(command: list[str], tmp_path: Path) -> None:
    assert check(Client([tmp_path / "none"]), command) == UNCHECKED


def test_sign_in_page_is_the_one_that_the_daemon_names(daemon: FakeDaemon) -> None:
    opened: list[str] = []
    daemon.portal = {"url": "http://192.0.2.1/login"}

    def browse(url: str) -> bool:
        opened.append(url)
        return True

    assert perform(SignIn(), Client([daemon.path]), browse=browse) is None
    assert (opened, daemon.posts) == (["http://192.0.2.1/login"], [("portal", {})])


def test_sign_in_page_without_a_browser_is_named(daemon: FakeDaemon) -> None:
    daemon.portal = {"url": "http://192.0.2.1/login"}
    outcome = perform(SignIn(), Client([daemon.path]), browse=no_browser)
    assert outcome == Outcome("No browser was found", "Open http://192.0.2.1/login")


@pytest.mark.parametrize(
    "portal",
    [
        pytest.param({"url": "file:///etc/passwd"}, id="file"),
        pytest.param({"url": "-h"}, id="option"),
        pytest.param({"url": "http://a/\u202e"}, id="bidi"),
        pytest.param({"url": 1}, id="number"),
        pytest.param({}, id="none"),
        pytest.param(None, id="null"),
    ],
)
def test_address_that_is_no_web_page_is_not_opened_l5(
    daemon: FakeDaemon, portal: dict[str, object] | None
) -> None:
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return True

    daemon.portal = portal
    outcome = perform(SignIn(), Client([daemon.path]), browse=browse)
    assert outcome is not None
    assert (outcome.title, opened) == ("That was not possible", [])


@pytest.mark.parametrize(
    ("code", "want"),
    [
        pytest.param(
            0, Outcome("The old DNS settings are back", "Names no longer go through secdns."), id="ok"
        ),
        pytest.param(
            126,
            Outcome("Nothing was changed: not permitted", "Type into a terminal: sudo secdns system off"),
            id="dismissed",
        ),
        pytest.param(
            1,
            Outcome(
                "The old DNS settings are not back",
                "Broken more. Type into a terminal: sudo secdns system off",
            ),
            id="failed",
        ),
    ],
)
def test_turning_off_goes_through_pkexec_and_says_what_came_of_it(
    code: int, want: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "pkexec"
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/args\nprintf "broken\\nmore\\n" >&2\nexit {code}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert turn_off(["/usr/bin/secdns"]) == want
    assert (tmp_path / "args").read_text() == "/usr/bin/secdns system off\n"


def test_turning_on_goes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "pkexec"
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/args\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert turn_on(["/usr/bin/secdns"]) == Outcome(
        "DNS is protected", "Names on this machine go through secdns."
    )
    assert (tmp_path / "args").read_text() == "/usr/bin/secdns system on\n"


def test_turning_off_without_pkexec_gives_the_command_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert turn_off(["secdns"]) == Outcome(
        "This needs root's rights", "Type into a terminal: sudo secdns system off"
    )


def test_program_that_root_is_to_run_does_not_depend_on_the_folder() -> None:
    assert Path(paths.program()[0]).is_absolute()


def test_refusal_has_the_daemons_words(daemon: FakeDaemon) -> None:
    daemon.refusal = ControlError(
        "[network] strict = true allows no pause", hint="to allow it: strict = false"
    )
    outcome = perform(PauseFor(30), Client([daemon.path]))
    assert outcome is not None
    assert outcome.text == "[network] strict = true allows no pause. To allow it: strict = false"


def test_outcome_stands_in_the_menu_for_a_minute_and_what_a_check_found_for_ten() -> None:
    answers = Answers()
    assert answers.added_to(View(), 0.0) == View()
    answers.begin(CheckNow())
    assert answers.added_to(View(), 1.0).is_checking
    answers.end(CheckNow(), ALL_WELL, 2.0)
    shown = answers.added_to(View(), 2.0 + ANSWER_S)
    assert (shown.answer, shown.checked, shown.is_checking) == (
        "All is well. Names on this machine go through secdns.", WELL, False
    )  # fmt: skip
    answers.end(Use(None), None, 100.0)
    shown = answers.added_to(View(), 2.0 + CHECKED_S)
    assert (shown.answer, shown.checked) == (None, WELL)
    assert answers.added_to(View(), 2.1 + CHECKED_S).checked is None
