"""What a client gets when upstreams fail: words in time, and the last good answer (RFC 8767, 9520)."""

import asyncio
from typing import Any

import pytest

from secdns.cache import MAX_STALE
from secdns.cache.entry import STALE_TTL
from secdns.dns.message import Message
from secdns.forwarder import FAILURE_TTL_S, PATIENCE_S, STALE_AFTER_S
from secdns.iana import EDE, RCode, RRType
from secdns.testing import FakeUpstream, Faults
from tests.cache.answers import query
from tests.forwarder.conftest import Play
from tests.forwarder.stage import UNREACHED, Stage, only, submit, table, told
from tests.loop import Warp, wait_until

WWW = "www.example.test"
DEADLINE_S = 4.5  # glibc asks again after 5 s
TTL_S = 300

# Each is a way of giving no answer, and whether time has to pass before that is known.
FAULTS: dict[str, tuple[dict[str, Any], bool]] = {
    "silent": ({"silent": True}, True),
    "accepts and says nothing": ({"stall_connections": True}, True),
    "drips": ({"drip_s": 1.0}, True),
    "accepts and closes": ({"drop_connections": True}, False),
    "resets": ({"close_mid": "rst"}, False),
    "closes in the middle": ({"close_mid": "fin", "close_mid_octets": 20}, False),
    "SERVFAIL": ({"rcode": RCode.SERVFAIL}, False),
    "REFUSED": ({"rcode": RCode.REFUSED}, False),
    "wrong question": ({"wrong_question": True}, False),
    "garbage": ({"garbage": True}, False),
}
HTTP_FAULTS: dict[str, tuple[dict[str, Any], bool]] = {
    "500": ({"http_status": 500}, False),
    "redirect": ({"http_status": 302, "http_headers": {"location": "https://192.0.2.1/"}}, False),
    "web page": ({"http_headers": {"content-type": "text/html"}, "body": b"<html>"}, False),
    "gzip": ({"http_headers": {"content-encoding": "gzip"}}, False),
    "GOAWAY zero": ({"goaway": "zero"}, False),
    "REFUSED_STREAM": ({"refuse_streams": True}, False),
    "INTERNAL_ERROR": ({"refuse_streams": True, "reset_code": 2}, False),
    "never ends": ({"no_end_stream": True}, True),
}
EVERY = [
    pytest.param(scheme, *fault, id=f"{scheme} {name}")
    for scheme, faults in (
        ("tls", FAULTS),
        ("https", FAULTS | HTTP_FAULTS),
        ("quic", FAULTS),
        ("h3", FAULTS | HTTP_FAULTS),
    )
    for name, fault in faults.items()
]


async def broken(stage: Stage, up: FakeUpstream, how: str | dict[str, Any] = "SERVFAIL") -> None:
    """Keep a good answer for WWW, let its time pass, and break the upstream."""
    await stage.ask(query(WWW))
    stage.clock.now += TTL_S
    up.faults = Faults(**(FAULTS[how][0] if isinstance(how, str) else how))


@pytest.mark.parametrize(("scheme", "faults", "takes_time"), EVERY)
async def test_one_upstream_that_fails_is_servfail_with_its_name_and_reason_in_time_F5_F7_F8_F25_F28(
    scheme: str, faults: dict[str, Any], takes_time: bool, up: FakeUpstream, play: Play, warp: Warp
) -> None:
    stage = play(table(up, "mine", scheme))
    up.faults = Faults(**faults)
    replies = submit(stage, query(WWW))
    took_s = await warp.pass_until(lambda: replies, step_s=0.02 if takes_time else 0.002)
    assert took_s < DEADLINE_S
    reply = only(replies)
    assert reply.rcode in (RCode.SERVFAIL, faults.get("rcode"))
    assert reply.answer == ()
    ((code, text),) = told(reply).items()
    if "rcode" in faults:
        assert text == f"the upstream answered {RCode(faults['rcode']).name}"
    else:
        assert code in UNREACHED
        assert text.startswith("mine: ")
        assert (code == EDE.NO_REACHABLE_AUTHORITY) == takes_time
    assert len(up.queries) <= 2  # 9520_4


@pytest.mark.parametrize(("scheme", "faults", "takes_time"), EVERY)
async def test_whatever_one_upstream_does_another_answers_F1_F2_F4_F5_F7_F8(
    scheme: str, faults: dict[str, Any], takes_time: bool, up: FakeUpstream, other: FakeUpstream,
    play: Play, warp: Warp,
) -> None:  # fmt: skip
    stage = play(table(up, "a", scheme) + table(other, "b", scheme))
    up.faults = Faults(**faults)
    replies = submit(stage, query(WWW))
    assert await warp.pass_until(lambda: replies, step_s=0.01 if takes_time else 0.002) < 1.0
    assert len(only(replies).answer) == 2
    assert told(only(replies)) == {}
    assert len(up.queries) <= 2
    assert len(other.queries) == 1


async def test_every_upstreams_reason_is_told_in_their_order_F25_8914_2(
    up: FakeUpstream, other: FakeUpstream, play: Play
) -> None:
    stage = play(table(up, "first") + table(other, "second", "https"))
    await up.stop()
    other.faults.http_status = 503
    reply = await stage.ask(query(WWW, edns=True))
    assert reply.rcode == RCode.SERVFAIL
    text = told(reply)[EDE.NETWORK_ERROR]
    assert text.index("first: cannot connect to 127.0.0.1") < text.index("second: 127.0.0.1 answered with")
    await up.start()


async def test_upstreams_own_error_is_told_without_what_a_terminal_would_obey_8914_3(
    stage: Stage, up: FakeUpstream
) -> None:
    def answer(asked: bytes) -> bytes:
        ede = b"\0\x0f\0\x14\0\x06" + "bad\x1b[2J\u202esigs".encode() + b"\xff\xff"
        end = asked.index(b"\0\0\1\0\1", 12) + 5
        opt = b"\0\0\x29\4\xd0\0\0\0\0" + len(ede).to_bytes(2) + ede
        return asked[:2] + b"\x81\x82\0\1\0\0\0\0\0\1" + asked[12:end] + opt

    def fit(asked: bytes) -> bytes:
        wire = answer(asked)
        size = len(wire) - wire.index(b"\0\x0f\0\x14") - 4
        return wire.replace(b"\0\x0f\0\x14", b"\0\x0f" + size.to_bytes(2))

    up.answer = fit
    reply = await stage.ask(query(WWW))
    assert reply.rcode == RCode.SERVFAIL
    assert told(reply)[6].startswith("the upstream answered SERVFAIL: bad[2Jsigs")
    assert "\x1b" not in told(reply)[6]
    assert "\u202e" not in told(reply)[6]


@pytest.mark.parametrize("rcode", [RCode.FORMERR, RCode.NOTIMP])
async def test_upstreams_complaint_about_our_query_is_no_word_about_the_clients(
    rcode: RCode, stage: Stage, up: FakeUpstream
) -> None:
    up.faults.rcode = rcode
    reply = await stage.ask(query(WWW))
    assert reply.rcode == RCode.SERVFAIL
    assert told(reply)[EDE.OTHER] == f"the upstream answered {rcode.name}"


# failures are kept


@pytest.mark.parametrize(
    "faults", [{"rcode": RCode.SERVFAIL}, {"wrong_question": True}, {"close_mid": "rst"}]
)
async def test_failure_is_kept_5_seconds_and_asks_nothing_meanwhile_9520_1_9520_2_9520_3_2308_5(
    faults: dict[str, Any], stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    up.faults = Faults(**faults)
    asking = asyncio.create_task(stage.ask(query(WWW)))
    await warp.pass_until(asking.done)  # two connects have time between them
    first = await asking
    asked = len(up.queries)
    up.faults = Faults()
    for later_s in (0.0, 1.0, 3.9):
        stage.clock.now += later_s
        assert (await stage.ask(query(WWW))) == first
        assert len(up.queries) == asked
    stage.clock.now += 0.2
    await warp.advance(5.0)  # nor is the connection tried before
    assert 1 <= FAILURE_TTL_S <= 300
    assert (await stage.ask(query(WWW))).rcode == RCode.NOERROR


async def test_failure_holds_for_its_own_question_alone_9520_3(stage: Stage, up: FakeUpstream) -> None:
    up.faults = Faults(rcode=RCode.SERVFAIL, times=1)
    assert (await stage.ask(query(WWW))).rcode == RCode.SERVFAIL
    assert (await stage.ask(query(WWW, RRType.AAAA))).rcode == RCode.NOERROR
    assert (await stage.ask(query("h1.example.test"))).rcode == RCode.NOERROR
    assert (await stage.ask(query(WWW))).rcode == RCode.SERVFAIL


async def test_failed_validation_upstream_is_kept_like_any_failure_9520_6(
    stage: Stage, up: FakeUpstream
) -> None:
    up.faults = Faults(rcode=RCode.SERVFAIL)
    for _ in range(10):
        assert (await stage.ask(query(WWW))).rcode == RCode.SERVFAIL
        stage.clock.now += 0.4
    assert len(up.queries) == 1
    assert (await stage.ask(query(WWW, cd=True))).rcode == RCode.SERVFAIL
    assert len(up.queries) == 2  # CD=1 is another question: it may have an answer


async def test_storm_of_names_at_a_dead_upstream_makes_a_probe_now_and_then_F25_R9_9520_5(
    stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    up.faults.drop_connections = True
    count = 0
    for _ in range(100):  # ten seconds at a hundred queries a second
        waiting = [submit(stage, query(f"n{count + n}.example.test")) for n in range(10)]
        count += 10
        await warp.pass_until(lambda: all(waiting))  # noqa: B023
        await warp.advance(0.1)
        assert {only(replies).rcode for replies in waiting} == {RCode.SERVFAIL}
    assert up.connections["tls"] <= 10


# stale answers


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED", "wrong question", "resets", "garbage"])
@pytest.mark.parametrize("name", [WWW, "no.example.test"])
async def test_stale_answer_is_given_as_soon_as_the_refresh_has_failed_8767_1_8767_2_8914_2(
    name: str, how: str, stage: Stage, up: FakeUpstream
) -> None:
    good = await stage.ask(query(name))
    stage.clock.now += TTL_S
    up.faults = Faults(**FAULTS[how][0])
    reply = await stage.ask(query(name))
    assert reply.rcode == good.rcode
    assert [r.rdata for r in (*reply.answer, *reply.authority)] == [
        r.rdata for r in (*good.answer, *good.authority)
    ]
    assert {r.ttl for r in (*reply.answer, *reply.authority)} == {STALE_TTL} == {30}
    is_denial = good.rcode == RCode.NXDOMAIN
    assert set(told(reply)) == {EDE.STALE_NXDOMAIN_ANSWER if is_denial else EDE.STALE_ANSWER}
    assert not reply.ad
    assert stage.forwarder.stats.stale == 1


async def test_stale_answer_is_given_when_the_refresh_takes_over_0_8_s_8767_1_F25(
    stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    await broken(stage, up, {"hold": True})
    began = warp.time()
    replies = submit(stage, query(WWW))
    await up.wait_queries(2)
    await warp.advance(STALE_AFTER_S - 0.1 - (warp.time() - began))
    assert not replies  # it is tried to refresh first
    await warp.advance(0.15)
    assert EDE.STALE_ANSWER in told(only(replies))
    up.release()  # the refresh goes on, and counts
    await wait_until(lambda: isinstance(stage.forwarder.cached(query(WWW), stage.clock.now), bytes))
    fresh = await stage.ask(query(WWW))
    assert (told(fresh), fresh.answer[0].ttl) == ({}, TTL_S)  # 8767_6
    assert len(replies) == 1


async def test_refresh_that_is_quick_leaves_no_stale_answer_8767_1_8767_6(
    stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    await broken(stage, up, {})
    up.answer = lambda asked: Message(
        int.from_bytes(asked[:2]), 0x8183, Message.parse(asked).question
    ).to_wire()
    reply = await stage.ask(query(WWW))
    assert (reply.rcode, told(reply)) == (RCode.NXDOMAIN, {})
    await warp.advance(STALE_AFTER_S)
    up.faults = Faults(rcode=RCode.SERVFAIL)
    assert (await stage.ask(query(WWW))).rcode == RCode.SERVFAIL  # NXDOMAIN has replaced what was held
    assert stage.forwarder.stats.stale == 0


async def test_failed_name_is_asked_again_after_30_s_and_stale_meanwhile_8767_4(
    stage: Stage, up: FakeUpstream
) -> None:
    await broken(stage, up)
    asked = len(up.queries)
    for later_s, count in ((0.0, 1), (0.0, 1), (29.0, 1), (1.5, 2), (1.0, 2), (30.0, 3)):
        stage.clock.now += later_s
        assert EDE.STALE_ANSWER in told(await stage.ask(query(WWW)))
        assert len(up.queries) - asked == count
    up.faults = Faults()
    stage.clock.now += 30
    assert told(await stage.ask(query(WWW))) == {}


@pytest.mark.parametrize(("age_s", "is_stale"), [(MAX_STALE - 1, True), (MAX_STALE, False)])
async def test_stale_answer_is_a_day_old_at_most_whatever_fails_8767_3_C6(
    age_s: int, is_stale: bool, stage: Stage, up: FakeUpstream
) -> None:
    await broken(stage, up)
    await stage.ask(query(WWW))
    stage.clock.now += age_s
    reply = await stage.ask(query(WWW))
    assert (reply.rcode == RCode.NOERROR) == is_stale


@pytest.mark.parametrize("ttl", [0x8000_0000, 0xFFFF_FFFF, 0x7FFF_FFFF, 100_000])
async def test_huge_ttl_is_a_day_8767_5_2181_2(ttl: int, stage: Stage, up: FakeUpstream) -> None:
    plain = up.answer
    up.answer = lambda asked: plain(asked).replace(TTL_S.to_bytes(4), ttl.to_bytes(4))
    assert {record.ttl for record in (await stage.ask(query(WWW))).answer} == {86_400}
    stage.clock.now += 86_400
    await stage.ask(query(WWW))
    assert len(up.queries) == 2


async def test_no_stale_answers_where_they_are_switched_off(stage: Stage, up: FakeUpstream) -> None:
    stage.cache.serve_stale = False
    await broken(stage, up)
    assert (await stage.ask(query(WWW))).rcode == RCode.SERVFAIL


async def test_everyone_who_waits_gets_the_stale_answer_in_his_own_shape_8767_1(
    stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    await broken(stage, up, {"silent": True})
    first = submit(stage, query(WWW, id=1))
    await up.wait_queries(2)
    await warp.advance(0.5)
    second = submit(stage, query("WWW.example.test", id=2, edns=False))
    await warp.advance(0.4)
    assert first
    assert not second
    await warp.advance(0.5)
    assert len(up.queries) == 2
    assert EDE.STALE_ANSWER in told(only(first))
    assert only(second).edns is None
    assert {record.ttl for record in only(second).answer} == {30}


async def test_no_timer_and_no_question_outlives_its_query(
    stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    await broken(stage, up, {"silent": True})
    replies = submit(stage, query(WWW))
    await up.wait_queries(2)
    await warp.advance(PATIENCE_S + 0.1)
    assert len(replies) == 1
    async with asyncio.timeout(1):
        await stage.forwarder.settle(1.0)  # nothing to wait for


# the end


async def test_abandoned_questions_are_servfail_with_words_F32(stage: Stage, up: FakeUpstream) -> None:
    up.faults.hold = True
    waiting = [submit(stage, query(f"h{number}.example.test")) for number in range(20)]
    stage.forwarder.abandon()
    for replies in waiting:
        assert only(replies).rcode == RCode.SERVFAIL
        assert told(only(replies)) == {EDE.NOT_READY: "the program is stopping"}


async def test_settle_waits_for_what_is_asked_now_and_no_longer_than_told(
    stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    up.faults.hold = True
    replies = submit(stage, query(WWW))
    settling = asyncio.create_task(stage.forwarder.settle(1.0))
    await up.wait_queries(1)
    await warp.advance(0.9)
    assert not settling.done()
    await warp.advance(0.2)
    await settling
    assert not replies
    settling = asyncio.create_task(stage.forwarder.settle(1.0))
    await warp.advance(0.0)
    up.release()
    await settling
    assert len(only(replies).answer) == 2
