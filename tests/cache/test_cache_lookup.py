"""Find, keep, serve past its time, forget: the cache as the forwarder uses it."""

import pytest

from secdns.cache import FLUSH_STEP, MAX_STALE, Cache, Entry, from_message
from secdns.dns.message import Message, Question
from secdns.dns.name import ROOT, from_text
from secdns.iana import RCode, RRType
from tests.cache.answers import (
    AAAA,
    MB,
    TXT,
    WWW,
    A,
    a,
    asked,
    cname,
    failure,
    held,
    keep,
    negative,
    query,
    record,
    response,
    revived,
    soa,
    stale,
    txt,
)

NODATA = RCode.NOERROR
AAAA_RECORD = record(WWW, AAAA, bytes(16))


def number_of(message: Message | None) -> int | None:
    """Give which address a reply has."""
    return None if message is None else int.from_bytes(message.answer[0].rdata[2:])


def test_nodata_holds_for_its_type_only_2308_2() -> None:
    cache = Cache(MB)
    keep(cache, query(rrtype=AAAA), negative(rrtype=AAAA, rcode=NODATA), now=0.0)
    assert held(cache, query(rrtype=AAAA), now=1.0) is not None
    assert held(cache, query(), now=1.0) is None


def test_nxdomain_holds_for_every_type_and_not_below_2308_2_C10() -> None:
    cache = Cache(MB)
    keep(cache, query(rrtype=AAAA), negative(rrtype=AAAA), now=0.0)
    for rrtype in (A, AAAA, RRType.HTTPS, 0, 65535):
        reply = held(cache, query(rrtype=rrtype), now=1.0)
        assert reply is not None
        assert (reply.rcode, reply.question[0].rrtype) == (RCode.NXDOMAIN, rrtype)
    assert held(cache, query(f"a.{WWW}"), now=1.0) is None
    assert held(cache, query("example.com"), now=1.0) is None


def test_nxdomain_behind_a_cname_is_about_the_last_name_and_holds_for_the_type() -> None:
    cache = Cache(MB)
    wire = response(cname(WWW, "b.example.com"), authority=[soa()], rcode=RCode.NXDOMAIN)
    keep(cache, query(), wire, now=0.0)
    assert held(cache, query(), now=1.0) is not None
    assert held(cache, query(rrtype=AAAA), now=1.0) is None


@pytest.mark.parametrize("rrtype", [0, 1, 255, 256, 65535])
def test_nodata_for_an_odd_type_says_nothing_about_others(rrtype: int) -> None:
    """Type 0 above all: it must not be what NXDOMAIN stands under."""
    cache = Cache(MB)
    keep(cache, query(rrtype=rrtype), negative(rrtype=rrtype, rcode=NODATA), now=0.0)
    for other in {0, 1, 28, 255, 256, 65535} - {rrtype}:
        assert held(cache, query(rrtype=other), now=1.0) is None


def test_answer_to_any_serves_no_other_type_8482_2() -> None:
    cache = Cache(MB)
    hinfo = record(WWW, RRType.HINFO, b"\7RFC8482\0")
    made = Message(question=(Question(from_text(WWW), RRType.ANY),), answer=(hinfo,))
    keep(cache, query(rrtype=RRType.ANY), from_message(made, ttl_s=60), now=0.0)
    assert held(cache, query(), now=1.0) is None
    assert held(cache, query(rrtype=RRType.HINFO), now=1.0) is None


def test_fresh_answer_takes_the_place_of_nxdomain_8767_6() -> None:
    cache = Cache(MB)
    keep(cache, query(), negative(), now=0.0)
    keep(cache, query(rrtype=AAAA), response(AAAA_RECORD, rrtype=AAAA), now=1.0)
    assert held(cache, query(), now=2.0) is None
    assert held(cache, query(rrtype=AAAA), now=2.0) is not None
    assert stale(cache, query(), now=2.0) is None


def test_fresh_nxdomain_takes_the_place_of_an_answer_8767_6() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a(ttl=10)), now=0.0)
    keep(cache, query(), negative(), now=20.0)
    reply = held(cache, query(), now=21.0)
    assert reply is not None
    assert reply.rcode == RCode.NXDOMAIN


@pytest.mark.parametrize(
    "fresh",
    [
        pytest.param(response(a(number=2)), id="answer"),
        pytest.param(response(a(number=2, ttl=0)), id="answer with TTL 0"),
        pytest.param(negative(rcode=NODATA), id="nodata"),
        pytest.param(negative(), id="nxdomain"),
        pytest.param(response(), id="nodata without SOA"),
        pytest.param(response(rcode=RCode.NXDOMAIN), id="nxdomain without SOA"),
        pytest.param(response(*(a(number=number) for number in range(999))), id="answer too long to keep"),
    ],
)
@pytest.mark.parametrize(
    "old", [response(a(ttl=10)), negative(ttl=10)], ids=["over an answer", "over an nxdomain"]
)
def test_stale_answer_is_gone_once_there_is_a_fresh_one_8767_6(old: bytes, fresh: bytes) -> None:
    cache = Cache(MB)
    was = keep(cache, query(), old, now=0.0)
    now = keep(cache, query(), fresh, now=20.0)
    assert stale(cache, query(), now=20.0 + now.ttl_s) is not was
    assert revived(cache, query(), now=5.0) is not was


@pytest.mark.parametrize(
    ("now", "is_served"),
    [
        pytest.param(10.0, True, id="just over"),
        pytest.param(10.0 + MAX_STALE - 1, True, id="before the ceiling"),
        pytest.param(10.0 + MAX_STALE, False, id="at the ceiling"),
    ],
)
@pytest.mark.parametrize("wire", [response(a(ttl=10)), negative(ttl=10)], ids=["answer", "nxdomain"])
def test_stale_answer_is_served_for_a_day_at_most_8767_3_C6(wire: bytes, now: float, is_served: bool) -> None:
    cache = Cache(MB)
    entry = keep(cache, query(), wire, now=0.0)
    assert held(cache, query(), now) is None
    assert stale(cache, query(), now) is (entry if is_served else None)


def test_failures_prolong_nothing_C6() -> None:
    cache = Cache(MB)
    entry = keep(cache, query(), response(a(ttl=10)), now=0.0)
    for now in range(20, MAX_STALE, 3000):
        keep(cache, query(), failure(), float(now))
        assert stale(cache, query(), float(now)) is entry
    assert stale(cache, query(), 10.0 + MAX_STALE) is None


def test_failure_is_kept_5_seconds_9520_1_9520_2_9520_3() -> None:
    cache = Cache(MB)
    keep(cache, query(), failure(), now=0.0)
    reply = held(cache, query(), now=4.9)
    assert reply is not None
    assert reply.rcode == RCode.SERVFAIL
    assert held(cache, query(), now=5.0) is None
    assert stale(cache, query(), now=5.0) is None


def test_failure_holds_for_its_type_only() -> None:
    cache = Cache(MB)
    keep(cache, query(), failure(), now=0.0)
    assert held(cache, query(rrtype=AAAA), now=1.0) is None


@pytest.mark.parametrize("wire", [response(a(ttl=10)), negative(ttl=10)], ids=["answer", "nxdomain"])
def test_failure_never_replaces_a_stale_answer_and_puts_off_the_next_try_8767_4_D18(wire: bytes) -> None:
    cache = Cache(MB)
    entry = keep(cache, query(), wire, now=0.0)
    keep(cache, query(), failure(), now=20.0)
    assert held(cache, query(), now=21.0) is None
    assert stale(cache, query(), now=21.0) is entry
    assert entry.retry_at == 50.0


@pytest.mark.parametrize(
    ("serve_stale", "now"),
    [
        pytest.param(False, 20.0, id="switched off"),
        pytest.param(True, 10.0 + MAX_STALE, id="past the ceiling"),
    ],
)
def test_failure_is_kept_where_nothing_stale_may_be_served(serve_stale: bool, now: float) -> None:
    cache = Cache(MB, serve_stale=serve_stale)
    keep(cache, query(), response(a(ttl=10)), now=0.0)
    assert stale(cache, query(), now) is None
    keep(cache, query(), failure(), now)
    reply = held(cache, query(), now + 1)
    assert reply is not None
    assert reply.rcode == RCode.SERVFAIL


def test_of_two_stale_answers_the_newer_is_served() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a(ttl=10)), now=0.0)
    denial = keep(cache, query(rrtype=AAAA), negative(rrtype=AAAA, ttl=10), now=20.0)
    assert stale(cache, query(), now=40.0) is denial


def test_stale_denial_is_found_behind_a_failure() -> None:
    cache = Cache(MB)
    keep(cache, query(), failure(), now=0.0)
    denial = keep(cache, query(rrtype=AAAA), negative(rrtype=AAAA, ttl=10), now=1.0)
    assert stale(cache, query(), now=20.0) is denial


def test_reload_serves_nothing_before_it_is_revived() -> None:
    cache = Cache(MB)
    entry = keep(cache, query(), response(a()), now=0.0)
    cache.renew()
    assert isinstance(cache.reply(query(), 1.0), tuple)
    assert revived(cache, query(), now=1.0) is entry
    assert held(cache, query(), now=1.0) is not None


def test_what_has_expired_is_not_revived_and_still_stale_after_a_reload() -> None:
    cache = Cache(MB)
    entry = keep(cache, query(), response(a(ttl=10)), now=0.0)
    cache.renew()
    assert revived(cache, query(), now=10.0) is None
    assert stale(cache, query(), now=10.0) is entry


def test_answer_made_here_ends_with_its_generation() -> None:
    cache = Cache(MB)
    made = Message(question=(Question(from_text(WWW), A),), answer=(a(),))
    keep(cache, query(), from_message(made, ttl_s=60), now=0.0)
    keep(cache, query("b.example"), Entry(RCode.NXDOMAIN, ttl_s=60, is_local=True), now=0.0)
    for name in (WWW, "b.example"):
        assert held(cache, query(name), now=1.0) is not None
    cache.renew()
    for name in (WWW, "b.example"):
        assert held(cache, query(name), now=1.0) is None
        assert revived(cache, query(name), now=1.0) is None
        assert stale(cache, query(name), now=100.0) is None


def test_flush_forgets_everything_for_good() -> None:
    cache = Cache(MB)
    for name in (WWW, "b.example"):
        keep(cache, query(name), response(a(name), name=name), now=0.0)
    assert (cache.flush(), len(cache), cache.octets) == (2, 0, 0)
    assert held(cache, query(), now=1.0) is None
    assert stale(cache, query(), now=1.0) is None
    keep(cache, query(), response(a()), now=2.0)
    assert held(cache, query(), now=3.0) is not None


@pytest.mark.parametrize(
    ("flushed", "gone"),
    [
        pytest.param("example.com", {"example.com", WWW, "gone.example.com"}, id="zone"),
        pytest.param("EXAMPLE.com", {"example.com", WWW, "gone.example.com"}, id="another case"),
        pytest.param(WWW, {WWW}, id="name"),
        pytest.param("gone.example.com", {"gone.example.com"}, id="name that does not exist"),
        pytest.param("ample.com", set(), id="half a label"),
        pytest.param("a.example.com", set(), id="nothing held"),
        pytest.param(".", {"example.com", "badexample.com", WWW, "gone.example.com", "com"}, id="root"),
    ],
)
def test_flush_of_a_name_forgets_it_and_what_is_below(flushed: str, gone: set[str]) -> None:
    cache = Cache(MB)
    names = {"example.com", "badexample.com", WWW, "com"}
    for name in names:
        keep(cache, query(name), response(a(name), name=name), now=0.0)
    keep(cache, query("gone.example.com"), negative("gone.example.com"), now=0.0)
    assert cache.flush(from_text(flushed)) == len(gone)
    assert cache.flush(from_text(flushed)) == 0
    for name in names | {"gone.example.com"}:
        assert (held(cache, query(name), now=1.0) is None) == (name in gone)
        assert not (name in gone and stale(cache, query(name), now=1.0))


def test_flush_of_a_name_does_not_stop_new_answers() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a()), now=0.0)
    cache.flush(from_text(WWW))
    keep(cache, query(), response(a(number=2)), now=1.0)
    assert number_of(held(cache, query(), now=2.0)) == 2


def test_flush_of_a_name_wakes_nothing_that_a_flush_has_forgotten() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a()), now=0.0)
    cache.flush()
    assert cache.flush(ROOT) == 0
    assert stale(cache, query(), now=1.0) is None


def hot(cache: Cache, wire: bytes) -> bytes | None:
    """Give the finished reply to a query, as the listener looks for it."""
    tail = cache.hot.get(wire[2:])
    return None if tail is None else wire[:2] + tail


@pytest.mark.parametrize("edns", [False, True])
def test_finished_reply_is_the_same_for_every_id(edns: bool) -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a()), now=10.0)
    cache.tick(10.2)
    assert hot(cache, query(edns=edns)) is None
    cache.reply(query(edns=edns), 10.2)
    other = query(id=0x7777, edns=edns)
    assert hot(cache, other) == cache.reply(other, 10.2)


@pytest.mark.parametrize(
    "other",
    [query(do=True), query(ad=True), query(cd=True), query(rd=False), query(WWW.upper()), query(rrtype=AAAA)],
    ids=["DO", "AD", "CD", "RD", "case", "type"],
)
def test_finished_reply_is_for_the_same_octets_only_C8(other: bytes) -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a()), now=10.0)
    cache.tick(10.2)
    cache.reply(query(), 10.2)
    assert hot(cache, other) is None


def test_finished_replies_last_for_one_second_of_the_clock() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a()), now=10.0)
    cache.tick(10.2)
    cache.reply(query(), 10.2)
    cache.tick(10.9)
    assert hot(cache, query()) is not None
    cache.tick(11.0)
    assert hot(cache, query()) is None


@pytest.mark.parametrize("ticked", [9.5, 11.5], ids=["earlier", "later"])
def test_reply_of_another_second_is_not_remembered(ticked: float) -> None:
    """Whoever asks without a tick must not leave TTLs of another second behind."""
    cache = Cache(MB)
    keep(cache, query(), response(a()), now=5.0)
    cache.tick(ticked)
    assert isinstance(cache.reply(query(), 10.5), bytes)
    assert cache.hot == {}


@pytest.mark.parametrize(
    ("stored", "is_hot"),
    [pytest.param(9.5, False, id="in this second"), pytest.param(10.0, True, id="at its end")],
)
def test_reply_that_expires_within_the_second_is_not_remembered_C6(stored: float, is_hot: bool) -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a(ttl=1)), now=stored)
    cache.tick(10.2)
    assert isinstance(cache.reply(query(), 10.2), bytes)
    assert bool(cache.hot) == is_hot


def test_finished_replies_end_with_a_reload_and_with_a_flush() -> None:
    cache = Cache(MB)
    for end in (cache.renew, cache.flush, lambda: cache.flush(from_text(WWW))):
        keep(cache, query(), response(a()), now=10.0)
        cache.tick(10.2)
        cache.reply(query(), 10.2)
        assert cache.hot
        end()
        assert cache.hot == {}


def test_finished_replies_are_bounded() -> None:
    cache = Cache(MB)
    answer = response(*txt(WWW, 512), rrtype=TXT)
    keep(cache, query(rrtype=TXT), answer, now=10.0)
    cache.tick(10.2)
    plain = query(rrtype=TXT)
    for size in range(512, 40_000):  # every payload size a client may claim is a query of its own
        wire = plain[:-8] + size.to_bytes(2) + plain[-6:]
        cache.reply(wire, 10.2)
    octets = sum(len(one) + len(reply) for one, reply in cache.hot.items())
    assert (len(cache.hot) > 1000, octets < 4 * MB) == (True, True)


def test_reply_over_the_clients_limit_is_left_to_others_and_not_remembered_1035_3() -> None:
    cache = Cache(MB)
    keep(cache, query(rrtype=TXT), response(*txt(WWW, 1000), rrtype=TXT), now=10.0)
    cache.tick(10.2)
    assert cache.reply(query(rrtype=TXT, edns=False), 10.2) is None
    assert cache.hot == {}
    assert isinstance(cache.reply(query(rrtype=TXT), 10.2), bytes)


@pytest.mark.parametrize(
    "wire",
    [b"", b"\0" * 12, query()[:-1], response(a()), query() + b"\0"],
    ids=["empty", "header", "cut", "response", "tail"],
)
def test_octets_that_are_no_plain_query_are_left_to_others(wire: bytes) -> None:
    assert Cache(MB).reply(wire, 0.0) is None


def test_miss_gives_what_is_asked_and_where_and_when_that_was_looked_for() -> None:
    cache = Cache(MB)
    assert cache.reply(query(), 1.5) == (asked(query()), cache.key(asked(query())), 1.5)


def test_forgiveness_forgets_failures_and_retries_what_is_stale_at_once_F11() -> None:
    cache = Cache(MB)
    keep(cache, query("good.test"), response(a("good.test"), name="good.test"), now=0.0)
    keep(cache, query("bad.test"), failure(ttl_s=60), now=0.0)
    old = keep(cache, query("old.test"), response(a("old.test", ttl=1), name="old.test"), now=0.0)
    keep(cache, query("old.test"), failure(), now=2.0)
    assert held(cache, query("bad.test"), now=3.0) is not None
    assert old.retry_at > 3.0
    cache.forgive()
    assert not cache.hot
    assert held(cache, query("bad.test"), now=3.0) is None
    assert number_of(held(cache, query("good.test"), now=3.0)) == 1
    assert stale(cache, query("old.test"), now=3.0) is old
    assert old.retry_at <= 3.0


@pytest.mark.parametrize("flushed", [None, "test"])
def test_flush_of_much_goes_in_steps_between_which_others_get_their_answers(flushed: str | None) -> None:
    cache = Cache(1 << 24)
    count = 2 * FLUSH_STEP + 1
    for number in range(count):
        name = from_text(f"h{number}.d{number % 89}.test")
        cache.store(name + b"\0\0\0\0\1", Entry(RCode.NOERROR, ttl_s=300), 1.0)
    assert len(cache) == count
    steps = cache.flushing(None if flushed is None else from_text(flushed))
    taken = 0
    for _ in steps:
        taken += 1
        cache.store(b"\4late\0\0\0\0\0\1", Entry(RCode.NOERROR, ttl_s=300), 1.0)
    assert taken >= 2
    assert cache.find(b"\4late\0\0\0\0\0\1", 2.0) is not None
    assert cache.find(from_text("h1.d1.test") + b"\0\0\0\0\1", 2.0) is None
