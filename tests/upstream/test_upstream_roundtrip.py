"""How long an upstream takes, and how patient one is with it."""

import random

import pytest

from secdns.upstream.roundtrip import (
    DECAY_S,
    FIRST_ANSWERS,
    MAX_PATIENCE_S,
    MIN_PATIENCE_S,
    RoundTrip,
)


def after(*answers_s: float, now: float = 0.0) -> RoundTrip:
    trip = RoundTrip()
    for answer_s in answers_s:
        trip.took(answer_s, now)
    return trip


def test_with_few_answers_one_is_patient() -> None:
    assert after().patience_s == MAX_PATIENCE_S
    assert after(*[0.01] * (FIRST_ANSWERS - 1)).patience_s == MAX_PATIENCE_S
    assert after(*[0.01] * FIRST_ANSWERS).patience_s == MIN_PATIENCE_S


@pytest.mark.parametrize("low_s", [0.06, 0.1, 0.15])
def test_patience_comes_to_rest_where_one_answer_of_twenty_is_slower(low_s: float) -> None:
    chance = random.Random(7)
    answers_s = [low_s * (1 + chance.random()) for _ in range(6000)]
    trip = after(*answers_s[:1000])
    over = 0
    for answer_s in answers_s[1000:]:
        over += answer_s > trip.patience_s
        assert 1.5 * low_s < trip.patience_s < 2.3 * low_s
        trip.took(answer_s, 0.0)
    assert 0.045 < over / 5000 < 0.055


@pytest.mark.parametrize(("answer_s", "want"), [(0.0001, MIN_PATIENCE_S), (4.0, MAX_PATIENCE_S)])
def test_patience_has_bounds(answer_s: float, want: float) -> None:
    trip = after(*[answer_s] * 1000)
    assert trip.patience_s == want


def test_change_is_followed_within_a_few_dozen_answers() -> None:
    trip = after(*[0.01] * 1000)
    for _ in range(40):
        trip.took(0.3, 0.0)
    assert trip.patience_s >= 0.3
    assert trip.estimate_s(0.0) == pytest.approx(0.3, rel=0.05)


def test_one_slow_answer_changes_little() -> None:
    trip = after(*[0.02] * 100)
    trip.took(4.0, 0.0)
    assert trip.patience_s < 1.1 * MIN_PATIENCE_S


def test_estimate_shrinks_where_nobody_looks() -> None:
    trip = after(0.3, now=100.0)
    assert trip.estimate_s(100.0) == pytest.approx(0.3)
    assert trip.estimate_s(100.0 + DECAY_S) == pytest.approx(0.3 / 2.718, rel=0.01)


def test_handshake_counts_only_where_nothing_better_is_known() -> None:
    trip = RoundTrip()
    assert trip.estimate_s(0.0) == 0.0
    trip.connected(0.3, 0.0)
    assert trip.estimate_s(0.0) == pytest.approx(0.1)
    trip.took(0.05, 0.0)
    assert trip.estimate_s(0.0) == pytest.approx(0.05)
    trip.connected(3.0, 0.0)
    assert trip.estimate_s(0.0) == pytest.approx(0.05)


def test_percentiles_are_of_the_last_answers_and_end_with_the_network() -> None:
    trip = after(*[9.0] * 100, *[number / 1000 for number in range(1, 65)])
    assert (trip.percentile_s(0.5), trip.percentile_s(0.95)) == (0.033, 0.061)
    assert after(0.2).percentile_s(0.95) == 0.2
    assert RoundTrip().percentile_s(0.5) is None
    trip.forget()
    assert trip.percentile_s(0.5) is None
