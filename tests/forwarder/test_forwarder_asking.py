"""What is asked of an upstream, how often, and which of its answers are believed."""

import asyncio
from collections.abc import Callable
from itertools import product

import pytest

from secdns.dns import name as names
from secdns.dns.edns import EDNS
from secdns.dns.message import TC, Message, Record, make_query
from secdns.dns.peek import question_end
from secdns.errors import TransportError
from secdns.forwarder import FAILURE_TTL_S, GIVES_WAY_S, MAX_IN_FLIGHT, PATIENCE_S
from secdns.iana import EDE, RCode, RRType
from secdns.testing import FakeUpstream, Faults
from secdns.transport import Facts, Waiter
from tests.cache.answers import a, cname, query, record, response, soa
from tests.forwarder.conftest import Play
from tests.forwarder.stage import Reply, Stage, only, questions_of, route, submit, table, told
from tests.loop import Warp, wait_until

WWW = "www.example.test"


def answering(*answer: Record, **parts: object) -> Callable[[bytes], bytes]:
    """Give what answers any query with these records."""

    def answer_to(asked: bytes) -> bytes:
        question = Message.parse(asked).question[0]
        name = names.to_text(question.name)
        made = response(*answer, name=name, rrtype=question.rrtype, **parts)  # type: ignore[arg-type]
        return asked[:2] + made[2:]

    return answer_to


# how often


async def test_500_identical_queries_at_once_are_one_query_upstream_5452_3_C1(
    stage: Stage, up: FakeUpstream
) -> None:
    up.faults.hold = True
    waiting = [
        submit(
            stage,
            query(WWW.upper() if n % 2 else WWW, id=n, do=n % 3 == 0, edns=n % 5 > 0),
            stream=n % 7 == 0,
        )
        for n in range(500)
    ]
    await up.wait_queries(1)
    up.release()
    await stage.forwarder.settle(4.0)
    assert len(up.queries) == 1
    for number, replies in enumerate(waiting):
        reply = only(replies)
        assert (reply.id, len(reply.answer)) == (number, 2)


async def test_one_query_each_for_what_differs_in_name_type_cd_or_group_and_in_nothing_else_C8(
    up: FakeUpstream, other: FakeUpstream, play: Play
) -> None:
    zones = {"example.test": {"www": {"A": "192.0.2.9"}}, "corp.test": {"www": {"A": "10.0.0.1"}}}
    async with FakeUpstream(zones) as corp:
        stage = play(table(up) + table(corp, "corp") + route(["corp.test"], "corp"))
        flags = product((False, True), repeat=4)
        for name, (cd, do, ad, edns) in product(
            ("www.example.test", "WWW.example.test", "www.corp.test", "www.CORP.test"), flags
        ):
            wire = query(name, cd=cd, do=do and edns, ad=ad, edns=edns)
            reply = await stage.ask(wire)
            hit = stage.forwarder.cached(wire, stage.clock.now)
            assert isinstance(hit, bytes)
            assert Message.parse(hit) == reply
            assert reply.answer[0].rdata[0] == (10 if "corp" in name.lower() else 192)
            assert reply.cd == cd
        seen = [*up.queries, *corp.queries]
        questions = [*questions_of(up), *questions_of(corp)]
        asked = [(question, bool(s.wire[3] & 0x10)) for question, s in zip(questions, seen, strict=True)]
        tail = b"\0\1\0\1"
        assert sorted(asked) == sorted(
            (names.from_text(name) + tail, cd)
            for name, cd in product(("www.example.test", "www.corp.test"), (False, True))
        )


async def test_upstream_is_asked_exactly_one_question_with_id_0_less_its_clients_traits_9619_2_E16(
    up: FakeUpstream, play: Play
) -> None:
    stage = play(table(up, scheme="https"))
    await stage.ask(query("wWw.Example.TEST", id=0x7777, ad=True, edns=False))
    (seen,) = up.queries
    sent = Message.parse(seen.wire)
    assert (sent.id, len(sent.question), sent.ad, sent.cd, sent.rd) == (0, 1, False, False, True)
    assert sent.question[0].name == names.from_text(WWW)
    assert len(seen.wire) % 128 == 0


async def test_cd_is_passed_on_and_has_its_own_answer_4035_3_C8(stage: Stage, up: FakeUpstream) -> None:
    assert (await stage.ask(query(WWW, cd=True))).cd
    assert not (await stage.ask(query(WWW))).cd
    assert [Message.parse(seen.wire).cd for seen in up.queries] == [True, False]


async def test_ad_of_the_upstream_is_never_passed_on_4035_2(stage: Stage, up: FakeUpstream) -> None:
    up.answer = answering(a(WWW), flags=0x81A0)
    for wire in (query(WWW, ad=True), query(WWW, do=True)):
        assert not (await stage.ask(wire)).ad


# what is believed


@pytest.mark.parametrize("scheme", ["tls", "https"])
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(wrong_id=True), id="wrong ID"),
        pytest.param(Faults(wrong_question=True), id="wrong question"),
        pytest.param(Faults(garbage=True), id="garbage"),
    ],
)
async def test_answer_to_something_else_never_reaches_a_client_nor_the_cache_C3_F27(
    faults: Faults, scheme: str, up: FakeUpstream, play: Play
) -> None:
    stage = play(table(up, scheme=scheme))
    up.faults = faults
    reply = await stage.ask(query(WWW))
    assert (reply.rcode, reply.answer) == (RCode.SERVFAIL, ())
    assert told(reply)
    assert len(up.queries) <= 2
    stage.clock.now += FAILURE_TTL_S + 1
    up.faults = Faults()
    await up.stop()  # a fresh start: nothing of it may come from a connection that lied
    await up.start()
    stage.group.reset()
    assert len((await stage.ask(query(WWW))).answer) == 2


@pytest.mark.parametrize("scheme", ["tls", "https"])
async def test_wrong_answer_of_one_upstream_is_the_right_one_of_the_next_C3_F7_F27(
    scheme: str, up: FakeUpstream, other: FakeUpstream, play: Play
) -> None:
    stage = play(table(up, "a", scheme) + table(other, "b", scheme))
    for faults in (Faults(wrong_id=True), Faults(wrong_question=True), Faults(garbage=True)):
        up.faults = faults
        stage.group.reset()
        stage.cache.flush()
        assert len((await stage.ask(query(WWW))).answer) == 2


async def test_answer_that_comes_twice_reaches_its_own_query_alone_F27(
    stage: Stage, up: FakeUpstream
) -> None:
    up.faults.duplicate = True
    for number in range(20):
        reply = await stage.ask(query(f"h{number}.example.test"))
        assert reply.answer[0].rdata == bytes((192, 0, 2, number + 1))
    assert up.connections["tls"] == 1


async def test_answer_after_the_time_is_up_reaches_nobody_F27(
    stage: Stage, up: FakeUpstream, warp: Warp
) -> None:
    up.faults = Faults(hold=True, times=1)
    replies = submit(stage, query("h1.example.test"))
    await up.wait_queries(1)
    await warp.advance(4.5)
    assert only(replies).rcode == RCode.SERVFAIL
    up.release()
    for number in (2, 3):
        assert (await stage.ask(query(f"h{number}.example.test"))).answer[0].rdata[-1] == number + 1
    assert len(replies) == 1


async def test_answers_in_another_order_reach_who_asked_1035_4_C3(stage: Stage, up: FakeUpstream) -> None:
    up.faults.hold = True
    waiting = [submit(stage, query(f"h{number}.example.test", id=9)) for number in range(50)]
    await up.wait_queries(50)
    up.release(last_first=True)
    await stage.forwarder.settle(4.0)
    assert [only(replies).answer[0].rdata[-1] for replies in waiting] == [n + 1 for n in range(50)]


async def test_records_of_strangers_reach_neither_client_nor_cache_C4_C5(
    stage: Stage, up: FakeUpstream
) -> None:
    bank = "www.bank.test"
    up.answer = answering(
        a(WWW), a(bank, 666), cname("www.bank.example", WWW),
        authority=[record("bank.test", RRType.NS, names.from_text("ns.evil.test"))],
        additional=[a(bank, 666), a("ns.evil.test", 666)],
    )  # fmt: skip
    reply = await stage.ask(query(WWW, do=True))
    assert reply.answer == (a(WWW),)
    assert (reply.authority, reply.additional) == ((), ())
    assert not isinstance(stage.forwarder.cached(query(bank), stage.clock.now), bytes)


async def test_chain_is_followed_in_order_and_the_rest_dropped_C5(stage: Stage, up: FakeUpstream) -> None:
    chain = (
        cname(WWW, "one.example.test"),
        cname("one.example.test", "two.example.net"),
        a("two.example.net"),
    )
    up.answer = answering(chain[0], a("two.example.org", 666), *chain[1:], a("three.example.net", 666))
    assert (await stage.ask(query(WWW))).answer == chain


@pytest.mark.parametrize("rcode", [RCode.NOERROR, RCode.NXDOMAIN])
async def test_denial_without_soa_is_passed_on_and_not_kept_C11_2308_3(
    rcode: RCode, stage: Stage, up: FakeUpstream
) -> None:
    up.answer = answering(rcode=rcode)
    for count in (1, 2):
        reply = await stage.ask(query(WWW))
        assert (reply.rcode, reply.answer) == (rcode, ())
        assert len(up.queries) == count
    up.answer = answering(rcode=rcode, authority=[soa("other.test")])  # says nothing about this name
    assert (await stage.ask(query(WWW))).authority == ()
    await stage.ask(query(WWW))
    assert len(up.queries) == 4


@pytest.mark.parametrize(
    ("ttl", "minimum", "kept"), [(60, 300, 60), (300, 40, 40), (3600, 3600, 300), (0, 300, 0)]
)
async def test_denial_is_kept_for_ttl_or_minimum_of_its_soa_at_most_300_s_2308_1_2308_4(
    ttl: int, minimum: int, kept: int, stage: Stage, up: FakeUpstream
) -> None:
    up.answer = answering(rcode=RCode.NXDOMAIN, authority=[soa("example.test", ttl, minimum)])
    first = await stage.ask(query(WWW))
    assert first.authority[0].ttl == kept
    if kept:
        stage.clock.now += kept - 1
        later = await stage.ask(query(WWW, RRType.MX))  # 2308_2: the name, whatever the type
        assert (later.rcode, later.authority[0].ttl) == (RCode.NXDOMAIN, 1)
        assert len(up.queries) == 1
    stage.clock.now += 1
    await stage.ask(query(WWW))
    assert len(up.queries) == 2


async def test_nodata_holds_for_its_type_only_2308_2(stage: Stage, up: FakeUpstream) -> None:
    for rrtype, count in ((RRType.MX, 1), (RRType.MX, 1), (RRType.SRV, 2), (RRType.A, 3)):
        await stage.ask(query(WWW, rrtype))
        assert len(up.queries) == count


@pytest.mark.parametrize(("age", "want"), [("0", 300), ("100", 200), ("299", 1), ("500", 0)])
async def test_what_an_http_cache_kept_is_that_much_older_8484_3_E15(
    age: str, want: int, up: FakeUpstream, play: Play
) -> None:
    stage = play(table(up, scheme="https"))
    up.faults.http_headers = {"age": age}
    assert {record.ttl for record in (await stage.ask(query(WWW))).answer} == {want}
    stage.clock.now += want
    await stage.ask(query(WWW))
    assert len(up.queries) == 2


async def test_truncated_answer_on_a_stream_is_a_failure_and_not_kept_T11_2181_4(
    stage: Stage, up: FakeUpstream
) -> None:
    up.answer = answering(a(WWW), flags=0x8180 | TC)
    reply = await stage.ask(query(WWW))
    assert (reply.rcode, reply.answer, reply.flags & TC) == (RCode.SERVFAIL, (), 0)
    assert "truncated" in told(reply)[EDE.NETWORK_ERROR]


async def test_truncated_answer_over_udp_is_asked_for_over_tcp_T11(up: FakeUpstream, play: Play) -> None:
    stage = play(table(up) + route(["example.test"], up.udp_url))
    up.faults.truncate = True
    reply = await stage.ask(query(WWW))
    assert (len(reply.answer), reply.flags & TC) == (2, 0)
    assert [seen.scheme for seen in up.queries] == ["udp", "tcp"]


@pytest.mark.parametrize("rcode", [RCode.BADVERS, 17, 19, 22], ids=str)
async def test_extended_rcode_is_a_failure_whatever_its_lower_bits_say(
    rcode: int, up: FakeUpstream, other: FakeUpstream, play: Play
) -> None:
    """BADVERS (16) has the lower bits of NOERROR, BADMODE (19) those of NXDOMAIN."""
    stage = play(table(up) + table(other, "b"))
    up.faults.rcode = rcode
    assert len((await stage.ask(query(WWW))).answer) == 2
    other.faults.rcode = rcode
    reply = await stage.ask(query("h1.example.test"))
    assert reply.rcode in (RCode.SERVFAIL, rcode)
    assert any("upstream answered" in text for text in told(reply).values())


# in need


async def test_2000_questions_in_flight_then_the_oldest_gives_way_and_hits_go_on_R2(
    up: FakeUpstream, other: FakeUpstream, play: Play, warp: Warp
) -> None:
    stage = play(table(up) + table(other, "b"))  # one connection takes 1000
    await stage.ask(query(WWW))
    up.faults.silent = other.faults.silent = True
    waiting = [submit(stage, query(f"n{number}.example.test")) for number in range(MAX_IN_FLIGHT)]
    turned_away = only(submit(stage, query("late.example.test")))
    assert turned_away.rcode == RCode.SERVFAIL
    assert "questions" in told(turned_away)[EDE.OTHER]
    assert not any(waiting)
    assert len(only(submit(stage, query(WWW))).answer) == 2
    await warp.advance(GIVES_WAY_S)
    for number in range(100):
        assert not submit(stage, query(f"new{number}.example.test"))
        assert len(only(submit(stage, query(WWW))).answer) == 2
        gave_way = only(waiting[number])
        assert "gave way" in told(gave_way)[EDE.OTHER]
    assert not any(waiting[100:])
    stage.forwarder.abandon()
    assert all(waiting)


async def test_what_gave_way_or_was_turned_away_may_be_asked_again_at_once_R2(
    stage: Stage, up: FakeUpstream, warp: Warp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.forwarder.MAX_IN_FLIGHT", 1)
    up.faults.hold = True
    first = submit(stage, query("h1.example.test"))
    turned_away = submit(stage, query("h2.example.test"))
    await up.wait_queries(1)
    await warp.advance(GIVES_WAY_S)
    second = submit(stage, query("h2.example.test"))
    assert only(first).rcode == only(turned_away).rcode == RCode.SERVFAIL
    await up.wait_queries(2)
    up.release()
    await wait_until(lambda: second)
    assert only(second).answer[0].rdata[-1] == 3
    up.faults.hold = False
    assert (await stage.ask(query("h1.example.test"))).answer[0].rdata[-1] == 2


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize(("scheme", "connections"), [("https", 1), ("quic", 9), ("h3", 9)])
async def test_upstream_that_takes_few_streams_answers_all_the_same_F28_R7(
    streams: int, scheme: str, connections: int, up: FakeUpstream, play: Play, warp: Warp
) -> None:
    """Over QUIC what waits for a stream for too long is left to another connection."""
    up.faults.max_concurrent_streams = streams
    stage = play(table(up, scheme=scheme))
    waiting = [submit(stage, query(f"h{number}.example.test")) for number in range(100)]
    assert await warp.pass_until(lambda: all(waiting)) < 4.0
    assert [len(only(replies).answer) for replies in waiting] == [1] * 100
    assert up.connections[scheme] <= connections


async def test_client_that_cannot_be_reached_costs_the_others_nothing_F31(
    stage: Stage, up: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(reply: Reply) -> None:
        raise BrokenPipeError

    up.faults.hold = True
    stage.forwarder.submit(query(WWW), stream=True, deliver=gone)
    behind = submit(stage, query(WWW, id=2))
    await up.wait_queries(1)
    up.release()
    await stage.forwarder.settle(4.0)
    assert len(only(behind).answer) == 2
    assert isinstance(stage.forwarder.cached(query(WWW), stage.clock.now), bytes)
    assert [entry.getMessage() for entry in caplog.records] == ["cannot deliver a reply"]
    assert "example" not in caplog.text


async def test_client_that_gives_up_leaves_its_answer_to_the_cache_F31(
    stage: Stage, up: FakeUpstream
) -> None:
    up.faults.hold = True
    asking = asyncio.create_task(stage.forwarder.answer(query(WWW), stream=True))
    await up.wait_queries(1)
    asking.cancel()
    up.release()
    await stage.forwarder.settle(4.0)
    assert isinstance(stage.forwarder.cached(query(WWW), stage.clock.now), bytes)


class Broken:
    """A transport with a bug: whatever is asked of it raises what it should not."""

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        raise ZeroDivisionError

    async def connect(self, deadline: float) -> None:
        raise ZeroDivisionError

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        raise ZeroDivisionError

    def reset(self) -> None: ...
    def forgive(self) -> None: ...

    def hang_up(self) -> None: ...

    def facts(self) -> Facts:
        return Facts()

    async def aclose(self) -> None: ...


class BrokenLater(Broken):
    """The same, but only after a turn."""

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        return None


@pytest.mark.parametrize("broken", [Broken(), BrokenLater()], ids=["at once", "later"])
async def test_bug_of_ours_costs_one_answer_and_leaves_no_question_stuck(
    broken: Broken, stage: Stage, up: FakeUpstream
) -> None:
    member = stage.group.members[0]
    sound, member.transport = member.transport, broken
    async with asyncio.timeout(PATIENCE_S):
        reply = await stage.ask(query(WWW))
    assert reply.rcode == RCode.SERVFAIL
    assert "internal error" in told(reply)[EDE.OTHER if type(broken) is Broken else EDE.NETWORK_ERROR]
    member.transport = sound
    stage.clock.now += FAILURE_TTL_S
    async with asyncio.timeout(PATIENCE_S):
        assert len((await stage.ask(query(WWW))).answer) == 2


async def test_every_query_is_counted_once(stage: Stage, up: FakeUpstream) -> None:
    stats = stage.forwarder.stats
    await stage.ask(query(WWW))
    await stage.ask(query(WWW))
    await stage.ask(query("localhost"))
    await stage.ask(make_query(names.from_text(WWW), 1, id=1, edns=EDNS(version=1)))
    await stage.forwarder.answer(await stage.ask_octets(query(WWW)), stream=True)
    assert (stats.hits, stats.local, stats.misses, stats.drops) == (2, 2, 1, 1)
    up.faults.wrong_question = True
    await stage.ask(query("h1.example.test"))
    assert stats.misses == 2
    assert stats.failures == {"ProtocolError": 1}  # the kind, not the class of all kinds
    assert TransportError.__name__ not in stats.failures


async def test_question_end_of_what_is_sent_is_where_the_answer_is_read(
    stage: Stage, up: FakeUpstream
) -> None:
    """The longest name there is: no offset in the question is over a byte in our own arithmetic."""
    longest = (b"\x3f" + b"n" * 63) * 3 + b"\x30" + b"n" * 48 + names.from_text("example.test")
    assert len(longest) == 255
    up.answer = lambda asked: (
        asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12 : question_end(asked)]
        + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7"
    )  # fmt: skip
    reply = await stage.ask(make_query(longest, RRType.A, id=5))
    assert reply.answer[0].rdata == b"\xc0\0\2\7"
    assert len(up.queries[0].wire) % 128 == 0
