"""Who is asked first: ordered, fastest, spread."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from secdns.config import Strategy
from secdns.errors import ConnectError
from secdns.upstream import UpstreamGroup
from secdns.upstream.order import EXPLORE_ONE_OF
from secdns.upstream.roundtrip import DECAY_S, FIRST_ANSWERS, MIN_PATIENCE_S
from tests.loop import Warp, turns
from tests.upstream.asking import Answer, Asking, PlayedTransport

Played = Callable[[int], tuple[UpstreamGroup, list[PlayedTransport]]]


@pytest.fixture
def no_exploring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the favourite first in every query."""
    monkeypatch.setattr(random, "randrange", lambda *bounds: 1)


def teach(group: UpstreamGroup, *answers_s: float, now: float) -> None:
    """Let each upstream have taken so long, often."""
    for member, answer_s in zip(group.members, answers_s, strict=True):
        for _ in range(2 * FIRST_ANSWERS):
            member.trip.took(answer_s, now)


async def first_asked(group: UpstreamGroup, transports: list[PlayedTransport], number: int = 1) -> int:
    """Ask one question and give the place of who got it; it is answered."""
    asking = Asking(group, number)
    await turns()
    [place] = [place for place, transport in enumerate(transports) if transport.waiting]
    transports[place].answer()
    assert isinstance(await asking.outcome(), Answer)
    return place


async def test_fastest_is_asked_first_and_the_others_help(
    no_exploring: None, played: Played, warp: Warp
) -> None:
    group, transports = played(3)
    group.follow("fastest")
    teach(group, 0.2, 0.03, 0.1, now=warp.time())
    assert await first_asked(group, transports) == 1
    asking = Asking(group)
    transports[1].fail(ConnectError("refused"))
    await turns()
    assert [len(transport.waiting) for transport in transports] == [0, 0, 1]  # the second fastest
    transports[2].answer()
    assert isinstance(await asking.outcome(), Answer)


async def test_upstream_of_which_nothing_is_known_is_tried_at_once(
    no_exploring: None, played: Played, warp: Warp
) -> None:
    group, transports = played(2)
    group.follow("fastest")
    for _ in range(FIRST_ANSWERS):
        group.members[0].trip.took(0.05, warp.time())
    assert await first_asked(group, transports) == 1


async def test_favourite_stays_until_another_is_clearly_better(
    no_exploring: None, played: Played, warp: Warp
) -> None:
    group, transports = played(2)
    group.follow("fastest")
    teach(group, 0.1, 0.105, now=warp.time())
    assert await first_asked(group, transports) == 0
    teach(group, 0.1, 0.097, now=warp.time())
    group.members[0].trip.took(0.1, warp.time())
    assert await first_asked(group, transports) == 0
    teach(group, 0.1, 0.05, now=warp.time())
    assert await first_asked(group, transports) == 1


async def test_upstream_that_was_slow_once_comes_back(no_exploring: None, played: Played, warp: Warp) -> None:
    group, transports = played(2)
    group.follow("fastest")
    teach(group, 0.02, 0.3, now=warp.time())
    assert await first_asked(group, transports) == 0
    await warp.advance(4 * DECAY_S)
    group.members[0].trip.took(0.02, warp.time())
    assert await first_asked(group, transports) == 1  # 0.3 s have shrunk to 5 ms


async def test_one_query_of_twenty_looks_at_another_with_the_patience_of_the_favourite(
    played: Played, warp: Warp
) -> None:
    group, transports = played(2)
    group.follow("fastest")
    random.seed(11)
    firsts = Counter[int]()
    for number in range(400):
        teach(group, 0.01, 0.3, now=warp.time())
        firsts[await first_asked(group, transports, number)] += 1
    assert 400 / EXPLORE_ONE_OF / 2 < firsts[1] < 400 / EXPLORE_ONE_OF * 2
    while True:
        teach(group, 0.01, 0.3, now=warp.time())
        asking = Asking(group)
        if transports[1].waiting:
            break
        transports[0].answer()
    await warp.advance(MIN_PATIENCE_S + 0.001)
    transports[0].answer()  # asked as well, long before the slow one's own p95
    assert isinstance(await asking.outcome(), Answer)


async def test_spread_sends_a_site_to_one_upstream_and_sites_to_all(played: Played) -> None:
    group, transports = played(4)
    group.follow("spread")
    assert group._order is not None
    members = group.members
    firsts = Counter[str]()
    for number in range(400):
        site = b"\x07example" + b"\x04%04d" % number
        ranks = {
            tuple(member.name for member in group._order(members, host + site + b"\0\0\1\0\1", 0.0)[0])
            for host in (b"", b"\x03www", b"\x01a\x01b")
        }
        assert len(ranks) == 1
        firsts[next(iter(ranks))[0]] += 1
    assert sorted(firsts) == ["a", "b", "c", "d"]
    assert min(firsts.values()) > 60
    assert await first_asked(group, transports) == await first_asked(group, transports)


async def test_spread_keeps_much_slower_ones_behind_and_names_in_place(played: Played, warp: Warp) -> None:
    group, _ = played(3)
    group.follow("spread")
    assert group._order is not None
    questions = [b"\x04%04d\x04test\0\0\1\0\1" % number for number in range(50)]
    before = [group._order(group.members, question, warp.time())[0] for question in questions]
    teach(group, 0.02, 0.5, 0.03, now=warp.time())
    slow = group.members[1]
    for question, ranked in zip(questions, before, strict=True):
        now_ranked, patience_s = group._order(group.members, question, warp.time())
        assert list(now_ranked) == [member for member in ranked if member is not slow] + [slow]
        assert patience_s == now_ranked[0].trip.patience_s


@pytest.mark.parametrize("question", [b"\0\0\1\0\1", b"\x03com\0\0\1\0\1"])
async def test_spread_takes_short_names(question: bytes, played: Played) -> None:
    group, _ = played(2)
    group.follow("spread")
    assert group._order is not None
    assert len(group._order(group.members, question, 0.0)[0]) == 2


@pytest.mark.parametrize("strategy", ["fastest", "spread"])
async def test_upstream_that_is_ill_stands_behind_whatever_the_strategy(
    strategy: Strategy, no_exploring: None, played: Played, warp: Warp
) -> None:
    group, transports = played(3)
    group.follow(strategy)
    teach(group, 0.02, 0.03, 0.04, now=warp.time())
    ill = await first_asked(group, transports)
    for _ in range(3):
        group.members[ill].back_at = 0.0
        group.members[ill].failed(ConnectError("refused"), warp.time())
    assert await first_asked(group, transports) != ill


async def test_a_change_of_strategy_keeps_the_group_and_what_it_knows(
    no_exploring: None, played: Played, warp: Warp
) -> None:
    group, transports = played(2)
    teach(group, 0.2, 0.02, now=warp.time())
    assert await first_asked(group, transports) == 0
    group.follow("fastest")
    assert await first_asked(group, transports) == 1
    group.follow("ordered")
    assert await first_asked(group, transports) == 0
