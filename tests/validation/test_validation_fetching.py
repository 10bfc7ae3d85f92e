"""The links of chains: fetched once for all, in each asker's own time, and what if they cannot be had."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from secdns.cache import Entry, from_response
from secdns.dns.name import from_text
from secdns.dnssec.verdict import Ask
from secdns.fetching import Response
from secdns.forwarder import PATIENCE_S
from secdns.iana import EDE, RCode, RRType
from secdns.testing import FakeUpstream, Faults, SignedZones
from secdns.testing.broken import expired
from secdns.testing.faults import Seen
from secdns.turns import AT_ONCE
from secdns.upstream import Upstream
from secdns.validation import INDETERMINATE_S, _Trial
from tests.cache.answers import query
from tests.forwarder.stage import Reply, told
from tests.loop import Warp, turns, wait_until
from tests.validation.stage import WWW, Stage, asked, links, verdict, why

SECURE_DS = b"\6secure\4test\0\0\x2b"
SECURE_KEYS = b"\6secure\4test\0\0\x30"


def asking_for(*questions: bytes) -> Callable[[Seen], bool]:
    """Choose the queries that suffer, by name and type."""
    return lambda seen: any(question in seen.wire for question in questions)


def is_link(seen: Seen) -> bool:
    return seen.wire[12:].partition(b"\0\x00")[2][:1] in (b"\x2b", b"\x30")


# together


async def test_500_names_below_a_cold_zone_are_one_ds_and_one_dnskey_question_each_C1(
    alone: Stage, a: FakeUpstream
) -> None:
    replies = await asyncio.gather(*(alone.ask(f"h{number}.secure.test", do=True) for number in range(500)))
    assert {verdict(reply) for reply in replies} == {"NOERROR AD 2"}
    assert links(a) == [
        ". DNSKEY",
        "secure.test. DNSKEY",
        "secure.test. DS",
        "test. DNSKEY",
        "test. DS",
    ]
    assert len(a.queries) == 505
    assert not alone.judge.fetcher.under_way


async def test_what_the_chain_has_shown_is_not_asked_for_again_until_its_ttl_is_over_R1(
    alone: Stage, a: FakeUpstream
) -> None:
    await alone.ask(WWW)
    known = len(links(a))
    for number in range(20):
        await alone.ask(f"h{number}.secure.test")
    assert len(links(a)) == known
    alone.clock.now += 400
    await alone.ask("h30.secure.test")
    assert len(links(a)) == 2 * known


async def test_steps_of_validations_are_few_in_one_turn_of_the_loop_F33(
    alone: Stage, a: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred answers in one read, or a hundred that wait for one link, are no long turn."""
    steps: Counter[int] = Counter()
    turn = 0
    step = _Trial._step

    def count(*args: Any) -> None:
        steps[turn] += 1
        step(*args)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(_Trial, "_step", count)
    counting = asyncio.ensure_future(count_turns())
    await alone.ask("www.hashed.test")
    for first in (0, 100):  # a zone that nobody knows, then one that is known
        a.faults = Faults(hold=True)
        waiting = [asyncio.ensure_future(alone.ask(f"h{first + n}.secure.test", do=True)) for n in range(100)]
        await a.wait_queries(len(a.queries) + 100)
        a.faults = Faults()
        a.release()
        assert {verdict(reply) for reply in await asyncio.gather(*waiting)} == {"NOERROR AD 2"}
    counting.cancel()
    assert steps.total() >= 200
    assert max(steps.values()) <= 2 * AT_ONCE  # what is left of one turn, and the next


# each in his own time


async def test_first_askers_deadline_does_not_cut_a_later_one_short_R8(
    alone: Stage, a: FakeUpstream, warp: Warp
) -> None:
    """The first has its answer late and little time left when it asks for the DS. The other has time."""
    await alone.ask("www.hashed.test")  # the connection, the root and test are known
    a.faults = Faults(only=asking_for(b"\2h1\6secure"), hold=True)
    first = asyncio.ensure_future(alone.ask("h1.secure.test"))
    await wait_until(lambda: "h1.secure.test. A" in asked(a))
    await warp.advance(PATIENCE_S - 0.3)
    a.faults = Faults(only=asking_for(SECURE_DS), silent=True)
    a.release()
    await wait_until(lambda: "secure.test. DS" in asked(a))
    second = asyncio.ensure_future(alone.ask("h2.secure.test", do=True))
    await wait_until(lambda: "h2.secure.test. A" in asked(a))
    await wait_until(lambda: any(len(fetch.takers) == 2 for fetch in alone.judge.fetcher.under_way.values()))
    a.faults = Faults()
    await warp.advance(0.31)
    assert verdict(await first) == "SERVFAIL 0"
    await warp.pass_until(second.done)
    assert verdict(await second) == "NOERROR AD 2"


async def test_who_has_little_time_left_does_not_wait_for_what_another_has_asked_for_R8(
    alone: Stage, a: FakeUpstream, warp: Warp
) -> None:
    """Its client is told inside 4.5 s, though the question for the DS is young."""
    await alone.ask("www.hashed.test")
    a.faults = Faults(only=asking_for(b"\2h1\6secure"), hold=True)
    first = asyncio.ensure_future(alone.ask("h1.secure.test"))
    await wait_until(lambda: "h1.secure.test. A" in asked(a))
    await warp.advance(PATIENCE_S - 1.0)
    a.faults = Faults(only=asking_for(SECURE_DS, SECURE_KEYS), silent=True)
    second = asyncio.ensure_future(alone.ask("h2.secure.test"))
    await wait_until(lambda: "secure.test. DS" in asked(a))
    a.release()
    await wait_until(lambda: any(len(fetch.takers) == 2 for fetch in alone.judge.fetcher.under_way.values()))
    await warp.advance(1.08)  # 4.48 s since it was asked
    await turns()
    assert first.done()
    assert why(first.result())[0] == EDE.NO_REACHABLE_AUTHORITY
    assert "in time for secure.test. DS" in why(first.result())[1]
    assert not second.done()
    second.cancel()


async def test_who_gives_up_leaves_the_others_waiting_and_the_last_one_ends_the_question(
    alone: Stage, a: FakeUpstream
) -> None:
    await alone.ask("www.hashed.test")
    a.faults = Faults(only=asking_for(SECURE_DS, SECURE_KEYS), hold=True)
    loop = asyncio.get_running_loop()
    entries: list[object] = []
    stops = []
    for number in range(3):
        question = from_text(f"h{number}.secure.test") + b"\0\1\0\1"
        now = loop.time()
        stop = alone.judge.submit(
            question, False, now, now + 4, _read_entry, lambda *got: entries.append(got)
        )
        stops.append(stop)
    under_way = alone.judge.fetcher.under_way
    await wait_until(lambda: [len(fetch.takers) for fetch in under_way.values()] == [3, 3])
    stops[0]()
    assert [len(fetch.takers) for fetch in under_way.values()] == [2, 2]
    stops[0]()
    stops[1]()
    stops[2]()
    assert not under_way
    a.faults = Faults()
    a.release()
    assert verdict(await alone.ask("h4.secure.test", do=True)) == "NOERROR AD 2"
    assert entries == []


def _read_entry(wire: bytes, member: Upstream) -> Entry:
    return from_response(wire)


async def test_one_of_many_who_gives_up_changes_nothing_for_the_rest(alone: Stage, a: FakeUpstream) -> None:
    await alone.ask("www.hashed.test")
    a.faults = Faults(only=asking_for(SECURE_DS, SECURE_KEYS), hold=True)
    waiting = [asyncio.ensure_future(alone.ask(f"h{number}.secure.test", do=True)) for number in range(50)]
    under_way = alone.judge.fetcher.under_way
    await wait_until(lambda: [len(fetch.takers) for fetch in under_way.values()] == [50, 50])
    oldest = next(iter(alone.forwarder._flights.values()))
    assert oldest.give_up is not None
    oldest.give_up()
    a.faults = Faults()
    a.release()
    replies = await asyncio.gather(*waiting[1:])
    assert {verdict(reply) for reply in replies} == {"NOERROR AD 2"}
    waiting[0].cancel()


async def test_program_that_stops_leaves_nothing_under_way_F32(alone: Stage, a: FakeUpstream) -> None:
    await alone.ask("www.hashed.test")
    a.faults.hold = True
    replies: list[Reply] = []
    for number in range(20):
        alone.forwarder.submit(query(f"h{number}.secure.test"), stream=True, deliver=replies.append)
    await a.wait_queries(20)
    a.release()
    await wait_until(lambda: alone.judge.fetcher.under_way)
    alone.forwarder.abandon()
    assert len(replies) == 20
    assert not alone.judge.fetcher.under_way


async def test_group_that_is_closed_ends_what_waits_for_links_in_servfail(
    alone: Stage, a: FakeUpstream
) -> None:
    a.faults = Faults(only=is_link, hold=True)
    waiting = [asyncio.ensure_future(alone.ask(f"h{number}.secure.test")) for number in range(20)]
    await wait_until(lambda: alone.judge.fetcher.under_way)
    await wait_until(lambda: all(f"h{number}.secure.test. A" in asked(a) for number in range(20)))
    await alone.groups.aclose()
    assert {verdict(reply) for reply in await asyncio.gather(*waiting)} == {"SERVFAIL 0"}
    assert not alone.judge.fetcher.under_way


# not to be had


@pytest.mark.parametrize("question", [SECURE_DS, SECURE_KEYS], ids=["DS", "DNSKEY"])
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(rcode=RCode.SERVFAIL), id="SERVFAIL"),
        pytest.param(Faults(rcode=RCode.REFUSED), id="REFUSED"),
        pytest.param(Faults(garbage=True), id="garbage"),
        pytest.param(Faults(close_mid="rst"), id="reset"),
    ],
)
async def test_link_that_cannot_be_had_is_servfail_22_for_2_s_and_not_called_bogus_9520_1(
    alone: Stage, a: FakeUpstream, question: bytes, faults: Faults
) -> None:
    a.faults = faults
    a.faults.only = asking_for(question)
    reply = await alone.ask(WWW, do=True)
    what = "DS" if question == SECURE_DS else "DNSKEY"
    assert verdict(reply) == "SERVFAIL 0"
    code, text = why(reply)
    assert code == 22
    if faults.close_mid is None:  # else whatever was under way on the same connection died, too
        assert text == f"the upstream gave no answer for secure.test. {what}"
    count = len(a.queries)
    assert verdict(await alone.ask(WWW)) == "SERVFAIL 0"
    assert len(a.queries) == count  # kept …
    a.faults = Faults()
    for member in alone.members:
        member.reset()
    alone.clock.now += INDETERMINATE_S  # … for this long
    assert verdict(await alone.ask(WWW, do=True)) == "NOERROR AD 3"
    assert verdict(await alone.ask("h1.secure.test", do=True)) == "NOERROR AD 2"


async def test_silent_link_is_servfail_22_in_time_9520_1(alone: Stage, a: FakeUpstream, warp: Warp) -> None:
    await alone.ask("www.hashed.test")
    a.faults = Faults(only=asking_for(SECURE_DS), silent=True)
    began = warp.time()
    waiting = asyncio.ensure_future(alone.ask(WWW))
    await warp.pass_until(waiting.done, step_s=0.02)
    assert set(told(await waiting)) == {22}
    assert warp.time() - began <= 4.51


async def test_link_that_one_upstream_does_not_have_comes_from_the_other(
    stage: Stage, a: FakeUpstream, b: FakeUpstream
) -> None:
    a.faults = Faults(only=asking_for(SECURE_DS, SECURE_KEYS), rcode=RCode.SERVFAIL)
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    assert links(b) == ["secure.test. DNSKEY", "secure.test. DS"]


async def test_slow_upstream_is_hedged_on_every_link_and_the_answer_is_validated(
    stage: Stage, a: FakeUpstream, b: FakeUpstream, warp: Warp
) -> None:
    await stage.ask("www.hashed.test")
    a.faults = Faults(silent=True)
    waiting = asyncio.ensure_future(stage.ask(WWW, do=True))
    took = await warp.pass_until(waiting.done, step_s=0.02)
    assert verdict(await waiting) == "NOERROR AD 3"
    assert took < 1.2  # 0.4 s for the answer, 0.4 s for its links
    assert {"www.secure.test. A", "secure.test. DS", "secure.test. DNSKEY"} <= set(asked(b))


# bugs of ours cost one answer


async def test_bug_in_judging_costs_one_answer_and_is_logged(
    alone: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*args: object) -> None:
        raise ZeroDivisionError("a bug")

    await alone.ask("www.hashed.test")
    monkeypatch.setattr("secdns.dnssec.chain.Chain.check", explode)
    reply = await alone.ask(WWW)
    assert verdict(reply) == "SERVFAIL 0"
    assert "internal error" in why(reply)[1]
    monkeypatch.undo()
    assert "a bug" in caplog.text
    assert verdict(await alone.ask("h1.secure.test", do=True)) == "NOERROR AD 2"
    assert not alone.judge.fetcher.under_way


async def test_bug_after_the_verdict_costs_one_answer_and_those_who_share_its_links_nothing(
    alone: Stage, a: FakeUpstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The trial that comes first raises while the answer to a link is handed to all who wait for it."""
    await alone.ask("www.hashed.test")
    learn = alone.judge.denials.learn

    def explode_once(*args: object) -> None:
        alone.judge.denials.learn = learn  # type: ignore[method-assign]
        raise ZeroDivisionError("a bug")

    alone.judge.denials.learn = explode_once  # type: ignore[method-assign, assignment]
    a.faults = Faults(only=asking_for(SECURE_DS, SECURE_KEYS), hold=True)
    waiting = [
        asyncio.ensure_future(alone.ask(name, do=True)) for name in ("no.secure.test", WWW, "m.secure.test")
    ]
    under_way = alone.judge.fetcher.under_way
    await wait_until(lambda: len(a.queries) >= 8 and [len(f.takers) for f in under_way.values()] == [3, 3])
    a.faults = Faults()
    a.release()
    replies = await asyncio.gather(*waiting)
    assert [verdict(reply) for reply in replies] == ["SERVFAIL 0", "NOERROR AD 3", "NOERROR AD 2"]
    assert "a bug" in caplog.text


async def test_group_that_raises_leaves_no_question_that_never_lands(
    alone: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetcher = alone.judge.fetcher
    ask = Ask(from_text("secure.test"), RRType.DS)
    got: list[Response | None] = []

    def explode(*args: object) -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(alone.judge.group, "submit", explode)
        with pytest.raises(ZeroDivisionError):
            fetcher.fetch(ask, 0.0, 0.0, frozenset(), got.append)
    assert not fetcher.under_way
    now = asyncio.get_running_loop().time()
    fetcher.fetch(ask, now, now + 4, frozenset(), got.append)
    await wait_until(lambda: got)
    assert got[0] is not None


async def test_bogus_and_good_names_at_once_do_not_mix(
    stage: Stage, zones: SignedZones, other_zones: SignedZones
) -> None:
    zones.faults = [expired("h1.secure.test", RRType.A)]
    other_zones.faults = [expired("h2.secure.test", RRType.A)]
    names = [f"h{number}.secure.test" for number in range(6)]
    replies = await asyncio.gather(*(stage.ask(name, do=True) for name in names))
    assert {verdict(reply) for reply in replies} == {"NOERROR AD 2"}
