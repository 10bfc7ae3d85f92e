"""What the menu says and offers, for each answer of the daemon."""

import json
from dataclasses import replace
from typing import Any

import pytest

from secdns.control.schema import (
    Check,
    Checked,
    Pause,
    Portal,
    Problem,
    Status,
    System,
    Upstreams,
    from_json,
    to_json,
)
from secdns.errors import ControlError
from secdns.tray.menu import (
    Allow,
    CheckNow,
    Item,
    Kind,
    PauseFor,
    Quit,
    Resume,
    SignIn,
    TurnOff,
    TurnOn,
    Use,
    build,
    flat,
    headline,
)
from secdns.tray.texts import MAX_LINE, MAX_LINES
from secdns.tray.view import Look, View
from tests.tray.fakes import CLOCK, FOUND, OFF, ON, REFUSED, TAKEN, status, upstream, upstreams

GONE = ControlError("no daemon runs", hint="start it: secdns run", code="not-running")
PAUSE = Pause(2e9, 252.0, ("192.168.1.1",))


def view(state: str = "secure", **given: Any) -> View:
    return View(status(state, **given), upstreams())


def labels(shown: View) -> list[str]:
    return [item.label for item in flat(build(shown)) if item.kind is not Kind.SEPARATOR]


def find(shown: View, key: str) -> Item:
    return next(item for item in flat(build(shown)) if item.key == key)


def actions(shown: View) -> list[object]:
    return [item.action for item in flat(build(shown)) if item.can_be_clicked and item.action]


@pytest.mark.parametrize(
    ("shown", "look", "want"),
    [
        pytest.param(view(), Look.SECURE, "Protected – quad9, DoH (HTTP/2), 14 ms", id="secure"),
        pytest.param(view("checking"), Look.CHECKING, "Checking", id="checking"),
        pytest.param(
            view("paused", pause=PAUSE), Look.PAUSED, "Paused: not protected, 5 min left", id="paused"
        ),
        pytest.param(view("blocked"), Look.BLOCKED, "No upstream answers", id="blocked"),
        pytest.param(view("offline"), Look.OFFLINE, "No network", id="offline"),
        pytest.param(view("sign-in"), Look.SIGN_IN, "This network wants you to sign in", id="sign-in"),
        pytest.param(
            View(error=GONE), Look.GONE, "Not protected: secdns does not answer", id="daemon not reachable"
        ),
        pytest.param(
            View(status(), upstreams(), error=GONE),
            Look.GONE,
            "Not protected: secdns does not answer",
            id="an old answer beside an error counts for nothing",
        ),
        pytest.param(View(), Look.CHECKING, "Checking", id="nothing asked yet"),
        pytest.param(view("brand-new"), Look.BLOCKED, "No upstream answers", id="a state of the future"),
        pytest.param(
            view(system=OFF), Look.UNUSED, "Running, but this machine does not use it", id="system off"
        ),
        pytest.param(
            view("blocked", system=OFF),
            Look.UNUSED,
            "Running, but this machine does not use it",
            id="system off, and who would be asked fails",
        ),
        pytest.param(
            view(system=TAKEN), Look.UNUSED, "Not protected: another program controls DNS", id="taken over"
        ),
        pytest.param(view("offline", system=OFF), Look.OFFLINE, "No network", id="no network comes first"),
        pytest.param(
            view(system=System("unknown", "it is not known")),
            Look.SECURE,
            "Protected – quad9, DoH (HTTP/2), 14 ms",
            id="not known whether the system asks",
        ),
        pytest.param(
            view("blocked", clock=CLOCK), Look.BLOCKED, "The clock of this machine is wrong", id="wrong clock"
        ),
    ],
)
def test_each_state_has_a_look_and_a_headline(shown: View, look: Look, want: str) -> None:
    assert (shown.look, headline(shown)) == (look, want)
    assert build(shown)[0] == Item("status", want)
    assert not build(shown)[0].can_be_clicked


def test_menu_of_a_daemon_that_is_well_from_top_to_bottom() -> None:
    assert labels(view(problem=REFUSED)) == [
        "Protected – quad9, DoH (HTTP/2), 14 ms",
        "DNSSEC on",
        "Pause", "30 seconds", "5 minutes", "1 hour",
        "Upstream",
        "In the order of the configuration",
        "quad9, DoH (HTTP/2), 14 ms",
        "mullvad, DoT, 31 ms",
        "Others", "dns-sb", "dns0",
        "This network: secdns is used",
        "Last problem: broken.example.",
        "broken.example: its signatures have expired",
        "The operator of that zone has to sign it anew, nobody else can",
        "Allow broken.example. for 1 hour",
        "Check now",
        "Quit this icon (protection stays as it is)",
        "Turn off and restore the old DNS settings…",
    ]  # fmt: skip


def test_every_item_does_what_it_says() -> None:
    assert actions(view(problem=REFUSED)) == [
        PauseFor(30), PauseFor(300), PauseFor(3600),
        Use(None), Use("quad9"), Use("mullvad"), Use("dns-sb"), Use("dns0"),
        Allow("broken.example.", 3600),
        CheckNow(), Quit(), TurnOff(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "want"),
    [(None, "use"), ("quad9", "use-quad9"), ("mullvad", "use-mullvad"), ("dns0", "use-dns0")],
)
def test_exactly_the_chosen_upstream_is_ticked(chosen: str | None, want: str) -> None:
    assert [item.key for item in flat(build(view(chosen=chosen))) if item.is_on] == [want]


@pytest.mark.parametrize(
    ("health", "want"),
    [
        ("well", "a, DoT, 9 ms"),
        ("failing", "a, DoT, does not answer"),
        ("distrusted", "a, DoT, is not who it should be"),
    ],
)
def test_upstream_is_listed_with_latency_or_what_is_wrong(health: str, want: str) -> None:
    listed = Upstreams((upstream("a", protocol="DoT", health=health, p50_ms=8.7),), ())
    assert find(View(status(), listed), "use-a").label == want


def test_upstream_without_answers_has_no_latency() -> None:
    listed = Upstreams((upstream("a", protocol="DoT", health="unknown", p50_ms=None),), ())
    assert find(View(status(), listed), "use-a").label == "a, DoT"


@pytest.mark.parametrize(
    ("left_s", "want"), [(3, "10 s"), (28.2, "30 s"), (60, "60 s"), (61, "2 min"), (3600, "60 min")]
)
def test_pause_becomes_resume_with_the_time_that_is_left(left_s: float, want: str) -> None:
    shown = view("paused", pause=Pause(2e9, left_s, ("192.168.1.1",)))
    assert find(shown, "resume") == Item("resume", f"Resume now ({want} left)", Resume())
    assert not any(isinstance(action, PauseFor) for action in actions(shown))


def test_strict_offers_no_pause_and_says_why() -> None:
    shown = view(is_strict=True)
    assert find(shown, "pause").label == "Pause: not allowed by the configuration (strict)"
    assert not any(isinstance(action, PauseFor) for action in actions(shown))


def test_sign_in_page_is_offered_only_when_the_state_says_so() -> None:
    offered = {
        state: SignIn() in actions(view(state))
        for state in ("checking", "secure", "paused", "offline", "blocked", "vpn", "sign-in")
    }
    assert offered == {
        "checking": False, "secure": False, "paused": False, "offline": False, "blocked": False,
        "vpn": False, "sign-in": True,
    }  # fmt: skip


def test_who_signs_in_sees_for_how_long_names_go_out_and_can_end_it() -> None:
    portal = Portal("http://login.hotel.example/", 2e9, 252.0, ("192.168.1.1",), 12)
    shown = view("sign-in", portal=portal)
    assert find(shown, "status").label == "Signing in: not protected, 5 min left"
    assert find(shown, "resume") == Item("resume", "Let no more names out (5 min left)", Resume())
    closed = view("sign-in", portal=replace(portal, until=None, left_s=None, resolvers=()))
    assert find(closed, "status").label == "This network wants you to sign in"
    assert Resume() not in actions(closed)


def test_who_may_not_change_anything_is_told_how_to_get_there() -> None:
    for state in ("secure", "sign-in"):
        shown = view(state, may_change=False, problem=replace(REFUSED, name=None))
        assert actions(shown) == [CheckNow(), Quit(), TurnOff()]
    assert any("group secdns" in label for label in labels(shown))


def test_daemon_that_is_not_there_is_named_with_its_remedy_and_nothing_else_is_offered() -> None:
    assert labels(View(error=GONE)) == [
        "Not protected: secdns does not answer",
        "No daemon runs",
        "Start it: secdns run",
        "Check now",
        "Quit this icon (protection stays as it is)",
        "Turn off and restore the old DNS settings…",
    ]


def test_machine_that_does_not_ask_is_told_who_is_asked_and_offered_to_turn_on() -> None:
    shown = view(system=OFF)
    assert labels(shown)[:4] == [
        "Running, but this machine does not use it",
        "This machine does not ask secdns, but 192.168.1.1 (by systemd-resolved)",
        "To have it do so: sudo secdns system on",
        "Pause",
    ]
    assert actions(shown)[-3:] == [CheckNow(), Quit(), TurnOn()]


def test_machine_that_was_taken_over_is_offered_both_ways() -> None:
    assert actions(view(system=TAKEN))[-3:] == [Quit(), TurnOn(), TurnOff()]
    assert actions(view(system=ON))[-2:] == [Quit(), TurnOff()]


def test_problem_that_cannot_be_allowed_offers_nothing() -> None:
    shown = view(problem=Problem(1.0, "quad9 does not answer in time", None))
    assert find(shown, "problem").label == "Last problem: quad9 does not answer in time"
    assert not any(isinstance(action, Allow) for action in actions(shown))


def test_network_that_is_gone_is_named() -> None:
    shown = view("offline", network="there is no network that leads to an upstream")
    assert find(shown, "network").label == "This network: there is no network that leads to an upstream"


@pytest.mark.parametrize(
    ("shown", "want"),
    [
        (view(), "secdns is used"),
        (view(is_strict=True), "secdns is used, strictly"),
        (view("paused", pause=PAUSE), "its own DNS is used, unencrypted"),
        (view("blocked"), "no upstream can be reached from it"),
        (view("vpn"), "reached through a VPN"),
        (view("checking"), "not known yet"),
        (view("sign-in"), "has a sign-in page"),
        (view("blocked", clock=CLOCK), "not known, the clock is wrong"),
        (view(system=OFF), "its own DNS is used"),
        (view(system=TAKEN), "another program's DNS is used"),
    ],
)
def test_line_of_the_network_fits_the_state(shown: View, want: str) -> None:
    assert find(shown, "network").label == f"This network: {want}"


def test_what_came_of_a_click_is_said_in_the_menu() -> None:
    shown = replace(view(), answer="that was not possible. Only root may do this")
    assert "That was not possible. Only root may do this" in labels(shown)


def test_results_of_a_check_stand_below_an_item_what_failed_first_with_its_cure() -> None:
    shown = replace(view(), checked=FOUND, checked_at="19:31")
    found = find(shown, "checked")
    assert found.label == "Checked at 19:31: 1 of 3 failed"
    assert [item.label for item in found.items] == [
        "✗ look-up: look-ups go elsewhere",
        "What to do: turn it on: sudo secdns system on",
        "✓ listening: secdns answers at 127.0.0.1",
        "– upstream: no configuration says which",
    ]
    well = replace(shown, checked=Checked(True, FOUND.checks[:1]))
    assert find(well, "checked").label == "Checked at 19:31: nothing is wrong"


def test_check_that_is_under_way_is_not_begun_again() -> None:
    shown = replace(view(), is_checking=True)
    assert find(shown, "check").label == "Checking…"
    assert CheckNow() not in actions(shown)


def test_all_keys_differ() -> None:
    checked = replace(view(system=TAKEN), checked=FOUND)
    for shown in (checked, view(problem=REFUSED), view("paused", pause=PAUSE), View(error=GONE)):
        keys = [item.key for item in flat(build(shown))]
        assert len(keys) == len(set(keys))


HOSTILE = "a\n\x1b]0;b\x07\u202ec\u2066d\u200be\u05d0f\u0301_<b>&" + "x" * 5000


def test_hostile_texts_stay_on_their_line_and_turn_nothing_round_l5() -> None:
    shown = View(
        status(
            "blocked",
            sentence=HOSTILE,
            remedy=HOSTILE,
            network=HOSTILE,
            problem=Problem(1.0, HOSTILE, HOSTILE, HOSTILE, can_allow=True),
            upstream=upstream(HOSTILE, protocol=HOSTILE),
        ),
        Upstreams((upstream(HOSTILE, protocol=HOSTILE),), (HOSTILE,)),
        answer=HOSTILE,
        checked=Checked(False, (Check(HOSTILE, HOSTILE, HOSTILE, HOSTILE),)),
    )
    said = [*labels(shown), headline(shown)]
    for label in said:
        assert label.isprintable()
        assert len(label) <= 2 * MAX_LINE
        assert not set(label) & set("\u202e\u2066\u05d0\u0301\u200b")
    assert sum("\\226\\128\\174" in label for label in said) >= 5
    assert len(said) < 40 + 6 * MAX_LINES


def test_name_that_is_allowed_is_the_daemons_own_not_the_shown_one_l5() -> None:
    shown = view(problem=replace(REFUSED, name="a\u202eb.example."))
    assert Allow("a\u202eb.example.", 3600) in actions(shown)


def test_answer_with_keys_of_a_later_version_is_shown() -> None:
    value = json.loads(json.dumps(to_json(status()))) | {"new": 1}
    assert headline(View(from_json(Status, value), upstreams())).startswith("Protected")
