"""Of which changes a person is told unasked, and how often."""

from dataclasses import replace

import pytest

from secdns.control.schema import Problem
from secdns.errors import ControlError
from secdns.tray.notices import QUIET_S, SETTLE_S, Notice, Notices
from secdns.tray.view import View
from tests.tray.fakes import CLOCK, OFF, ON, REFUSED, TAKEN, status

SECURE = View(status())
MINE, THEIRS = View(status(system=ON)), View(status(system=TAKEN))
GONE = View(error=ControlError("no daemon runs", hint="start it: secdns run", code="not-running"))
LOST = Notice("lost", "DNS does not work as it should", "No daemon runs. Start it: secdns run")
REGAINED = Notice("regained", "DNS is protected again")


def told(*seen: tuple[float, View]) -> list[tuple[float, str]]:
    notices = Notices()
    return [(at, notice.kind) for at, view in seen for notice in notices.look(view, at)]


def test_loss_is_told_when_it_stays_and_so_is_its_end() -> None:
    notices = Notices()
    assert notices.look(SECURE, 0) == []
    assert notices.look(GONE, 1) == []
    assert notices.look(GONE, 1 + SETTLE_S - 0.1) == []
    assert notices.look(GONE, 1 + SETTLE_S) == [LOST]
    assert notices.look(GONE, 100) == []
    assert notices.look(SECURE, 101) == [REGAINED]
    assert notices.look(SECURE, 102) == []


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([(0, GONE), (100, GONE), (101, SECURE)], id="it was so when the icon came"),
        pytest.param([(0, SECURE), (1, GONE), (3, SECURE), (20, SECURE)], id="restart"),
        pytest.param(
            [(0, SECURE), (1, View(status("paused"))), (2, GONE), (99, GONE)], id="after a pause"
        ),
        pytest.param([(0, SECURE), (1, View(status("offline"))), (99, SECURE)], id="no network"),
        pytest.param([(0, MINE), (1, View(status(system=OFF))), (99, GONE)], id="turned off"),
        pytest.param([(0, THEIRS), (99, THEIRS)], id="taken over before"),
        pytest.param([(0, MINE), (1, THEIRS), (3, MINE), (99, MINE)], id="on, half done"),
        pytest.param([(0, View(status("checking"))), (9, SECURE)], id="start"),
        pytest.param([(0, View(status(problem=REFUSED)))], id="a problem of before the icon came"),
        pytest.param(
            [(0, SECURE), (1, View(status(problem=Problem(1.0, "a does not answer", None))))],
            id="a problem that nobody can allow",
        ),
    ],
)  # fmt: skip
def test_nothing_is_told_of_what_is_expected(seen: list[tuple[float, View]]) -> None:
    assert told(*seen) == []


def test_upstreams_that_all_fail_are_a_loss_in_the_daemons_words() -> None:
    notices = Notices()
    blocked = View(status("blocked", sentence="no upstream answers", remedy="look at the network"))
    notices.look(SECURE, 0)
    notices.look(blocked, 1)
    (notice,) = notices.look(blocked, 9)
    assert notice.text == "No upstream answers. Look at the network"


def test_each_kind_is_told_at_most_once_in_ten_minutes() -> None:
    seen: list[tuple[float, View]] = []
    for second in range(0, 1800, 10):
        view = SECURE if second % 20 == 0 else View(status(problem=REFUSED))
        seen.append((second, view))
    assert told(*seen) == [(10, "refused"), (10 + QUIET_S, "refused"), (10 + 2 * QUIET_S, "refused")]


def test_losses_in_a_row_are_told_once_in_ten_minutes() -> None:
    seen = [(second, SECURE if second // 20 % 2 == 0 else GONE) for second in range(0, 1200, 2)]
    assert [kind for _, kind in told(*seen)] == ["lost", "regained"] * 2


def test_refused_name_is_told_with_its_reason() -> None:
    notices = Notices()
    notices.look(SECURE, 0)
    assert notices.look(View(status(problem=REFUSED)), 1) == [
        Notice(
            "refused", "broken.example. was refused", "broken.example: its signatures have expired"
        )
    ]  # fmt: skip
    again = replace(REFUSED, at=99.0)
    assert notices.look(View(status(problem=again)), 2 + QUIET_S) == []


def test_program_that_takes_over_is_told_when_it_stays_once_in_ten_minutes() -> None:
    notices = Notices()
    assert notices.look(MINE, 0) == notices.look(THEIRS, 1) == notices.look(THEIRS, 0.9 + SETTLE_S) == []
    assert notices.look(THEIRS, 1 + SETTLE_S) == [
        Notice(
            "taken",
            "Another program took over DNS",
            "Another program has taken over DNS: this machine asks 10.8.0.1 (by /etc/resolv.conf). "
            "To put it in force again: sudo secdns system on; to end it: sudo secdns system off",
        )
    ]
    assert notices.look(THEIRS, 20) == []
    assert notices.look(MINE, 30) == [REGAINED]
    assert notices.look(THEIRS, 40) == notices.look(THEIRS, 50) == []
    assert notices.look(MINE, 700) == notices.look(THEIRS, 710) == []
    assert [notice.kind for notice in notices.look(THEIRS, 720)] == ["taken"]


def test_wrong_clock_is_told_also_if_it_was_so_before_and_is_no_loss_besides() -> None:
    notices = Notices()
    wrong = View(status("blocked", clock=CLOCK))
    assert notices.look(wrong, 0) == [
        Notice(
            "clock",
            "The clock of this machine is wrong",
            "The clock of this machine says 2016-11-26 00:00 UTC, which cannot be. "
            "Set it, and have it kept right: sudo timedatectl set-ntp true",
        )
    ]
    seeming = View(status(clock=replace(CLOCK, is_certain=False)))
    assert told((0, SECURE), (1, wrong), (30, wrong), (31, SECURE), (40, seeming), (700, SECURE)) == [
        (1, "clock")
    ]
    assert Notices().look(seeming, 0)[0].title == "The clock of this machine seems wrong"


def test_sign_in_that_is_needed_is_told_once() -> None:
    assert told((0, SECURE), (1, View(status("sign-in"))), (2, View(status("sign-in")))) == [(1, "sign-in")]


def test_names_that_are_told_are_harmless_l5() -> None:
    notices = Notices()
    notices.look(SECURE, 0)
    (notice,) = notices.look(View(status(problem=replace(REFUSED, name="\u202ea\n", sentence="\x1b]0;"))), 1)
    assert (notice.title, notice.text) == (r"\226\128\174a\010 was refused", r"\027]0;")
