"""The state of the network as a table: what happens, one after the other, and what that comes to."""

from itertools import product

import pytest

from secdns.network.state import Act, Event, Situation
from secdns.states import State

LEFT, JOINED, ANSWERED, FAILED = Event.LEFT, Event.JOINED, Event.ANSWERED, Event.FAILED
UNREACHABLE, PORTAL, NO_PORTAL = Event.UNREACHABLE, Event.PORTAL, Event.NO_PORTAL
HINTED, UNHINTED, VPN_CAME, VPN_WENT = Event.HINTED, Event.UNHINTED, Event.VPN_CAME, Event.VPN_WENT

SIGNED_OUT = (JOINED, PORTAL, UNREACHABLE)
CALM, CHECK = set[Act](), {Act.CHECK}
AFRESH = {Act.FORGET, Act.CHECK}
OPEN = {Act.FORGET, Act.RECOVER}


def after(*events: Event, is_strict: bool = False) -> tuple[Situation, set[Act]]:
    """Give what is known after some events, and what the last one asks for."""
    situation, acts = Situation(is_strict=is_strict), frozenset[Act]()
    for event in events:
        situation, acts = situation.after(event)
    return situation, set(acts)


@pytest.mark.parametrize(
    ("events", "state", "acts"),
    [
        pytest.param((JOINED,), State.CHECKING, AFRESH, id="a new network is looked at"),
        pytest.param((JOINED, ANSWERED), State.SECURE, {Act.FORGET}, id="an upstream answers"),
        pytest.param((ANSWERED, ANSWERED), State.SECURE, CALM, id="and goes on answering"),
        pytest.param((ANSWERED, FAILED), State.BLOCKED, CHECK, id="questions fail"),
        pytest.param((ANSWERED, FAILED, FAILED), State.BLOCKED, CALM, id="one failure is enough of a reason"),
        pytest.param((ANSWERED, FAILED, ANSWERED), State.SECURE, OPEN, id="they succeed again"),
        pytest.param((JOINED, UNREACHABLE), State.BLOCKED, CALM, id="nobody can be reached"),
        pytest.param((JOINED, NO_PORTAL, UNREACHABLE), State.BLOCKED, CALM, id="and there is no page"),
        pytest.param((JOINED, PORTAL), State.CHECKING, CALM, id="a page alone is no reason yet"),
        pytest.param(SIGNED_OUT, State.SIGN_IN, CALM, id="a page, and nobody can be reached"),
        pytest.param((JOINED, UNREACHABLE, PORTAL), State.SIGN_IN, CALM, id="the other way round"),
        pytest.param(
            (ANSWERED, FAILED, PORTAL), State.BLOCKED, CALM, id="questions fail, we did not try yet"
        ),
        pytest.param((*SIGNED_OUT, NO_PORTAL), State.SIGN_IN, CALM, id="the page is late"),
        pytest.param((*SIGNED_OUT, NO_PORTAL, PORTAL, NO_PORTAL), State.SIGN_IN, CALM, id="and again"),
        pytest.param((*SIGNED_OUT, NO_PORTAL, NO_PORTAL), State.BLOCKED, CALM, id="the page is gone"),
        pytest.param((*SIGNED_OUT, ANSWERED), State.SECURE, OPEN, id="somebody signed in"),
        pytest.param((*SIGNED_OUT, JOINED), State.CHECKING, AFRESH, id="another network"),
        pytest.param((*SIGNED_OUT, LEFT), State.OFFLINE, {Act.FORGET}, id="out of reach"),
        pytest.param((ANSWERED, PORTAL), State.SECURE, CALM, id="a fake, need 5 T4"),
        pytest.param((ANSWERED, HINTED), State.SECURE, CALM, id="a fake that the system believes, T4"),
        pytest.param((ANSWERED, PORTAL, FAILED), State.BLOCKED, CHECK, id="a fake is not remembered"),
        pytest.param((ANSWERED, HINTED, FAILED), State.BLOCKED, CHECK, id="we try before we believe"),
        pytest.param((JOINED, NO_PORTAL, UNREACHABLE, HINTED), State.SIGN_IN, CHECK, id="the system knows"),
        pytest.param((JOINED, HINTED), State.CHECKING, CHECK, id="the system is faster"),
        pytest.param((JOINED, UNREACHABLE, HINTED, HINTED), State.SIGN_IN, CALM, id="it says so twice"),
        pytest.param((JOINED, UNREACHABLE, HINTED, UNHINTED), State.BLOCKED, CALM, id="and no more"),
        pytest.param((LEFT,), State.OFFLINE, {Act.FORGET}, id="no network"),
        pytest.param((LEFT, FAILED), State.OFFLINE, CALM, id="questions fail without one"),
        pytest.param((LEFT, UNREACHABLE), State.OFFLINE, CALM, id="a check that comes late"),
        pytest.param((LEFT, ANSWERED), State.OFFLINE, CALM, id="an answer that comes late"),
        pytest.param((LEFT, JOINED), State.CHECKING, AFRESH, id="back again"),
        pytest.param((ANSWERED, UNREACHABLE), State.SECURE, CALM, id="a check that an answer overtook"),
        pytest.param((ANSWERED, VPN_CAME), State.VPN, {Act.FORGET}, id="a VPN for every name"),
        pytest.param((ANSWERED, VPN_CAME, VPN_WENT), State.SECURE, CALM, id="it ends"),
        pytest.param((FAILED, VPN_CAME, VPN_WENT), State.BLOCKED, CHECK, id="it ends, nobody answered"),
        pytest.param((VPN_CAME, PORTAL, UNREACHABLE), State.VPN, CALM, id="no page is looked for through it"),
        pytest.param((VPN_CAME, LEFT), State.OFFLINE, {Act.FORGET}, id="a VPN without a network"),
        pytest.param((VPN_CAME, LEFT, JOINED), State.VPN, AFRESH, id="a VPN outlives a change"),
    ],
)
def test_what_happens_makes_the_state_and_what_to_do(
    events: tuple[Event, ...], state: State, acts: set[Act]
) -> None:
    situation, got = after(*events)
    assert (situation.state, got) == (state, acts)


def test_strict_never_has_a_portal_and_lets_nothing_through() -> None:
    for events in product(Event, repeat=4):
        situation, _ = after(*events, is_strict=True)
        assert situation.state is not State.SIGN_IN, events
        assert (situation.may_look, situation.lets_checks_through) == (False, False), events


def test_nothing_goes_through_while_an_upstream_works_whatever_else_is_so() -> None:
    for events in product(Event, repeat=4):
        situation, _ = after(*events)
        if situation.upstreams == "well":
            assert (situation.may_look, situation.lets_checks_through) == (False, False), events
            assert situation.state in (State.SECURE, State.VPN), events
        if situation.state is State.SIGN_IN:
            assert situation.upstreams == "unreachable", events


@pytest.mark.parametrize(
    ("events", "want"),
    [
        pytest.param((JOINED,), True, id="nothing is known yet"),
        pytest.param((JOINED, ANSWERED), False, id="all is well"),
        pytest.param((ANSWERED, FAILED), True, id="it fails, nobody has looked yet"),
        pytest.param(SIGNED_OUT, True, id="somebody has to sign in"),
        pytest.param((JOINED, NO_PORTAL, UNREACHABLE), False, id="blocked, and there is no page"),
        pytest.param((LEFT,), False, id="no network"),
        pytest.param((JOINED, VPN_CAME), False, id="a VPN"),
    ],
)
def test_connectivity_checks_go_through_while_there_may_be_a_page(
    events: tuple[Event, ...], want: bool
) -> None:
    assert after(*events)[0].lets_checks_through is want


@pytest.mark.parametrize(
    ("events", "want"),
    [
        pytest.param((JOINED,), None, id="one is under way"),
        pytest.param((JOINED, ANSWERED), None, id="nothing is done while all is well"),
        pytest.param((LEFT,), None, id="nor while there is no network"),
        pytest.param(SIGNED_OUT, 3.0, id="a page"),
        pytest.param((JOINED, NO_PORTAL, UNREACHABLE), 10.0, id="blocked"),
        pytest.param((JOINED, NO_PORTAL, *[UNREACHABLE] * 3), 40.0, id="for some time"),
        pytest.param((JOINED, NO_PORTAL, *[UNREACHABLE] * 9), 60.0, id="for long"),
        pytest.param((JOINED, *[UNREACHABLE] * 9, ANSWERED, FAILED, UNREACHABLE), 10.0, id="anew"),
    ],
)
def test_next_check_comes_soon_where_somebody_signs_in_and_later_and_later_elsewhere(
    events: tuple[Event, ...], want: float | None
) -> None:
    assert after(*events)[0].check_again_s == want
