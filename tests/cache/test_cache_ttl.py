"""How long an answer is kept, and which TTLs clients see (RFC 2181 §5.2 and §8, RFC 2308 §5, RFC 8767 §4)."""

import pytest

from secdns.cache import Cache
from secdns.dns.message import Record
from secdns.dns.peek import age_ttls
from secdns.iana import RCode
from tests.cache.answers import (
    MB,
    WWW,
    A,
    a,
    asked,
    cname,
    entry_of,
    held,
    keep,
    negative,
    nsec,
    query,
    record,
    replied,
    response,
    rrsig,
    soa,
)

DAY = 86_400
DO = query(do=True)


@pytest.mark.parametrize(
    ("ttl", "want"),
    [
        pytest.param(0, 0, id="zero"),
        pytest.param(1, 1, id="one"),
        pytest.param(300, 300, id="usual"),
        pytest.param(DAY, DAY, id="a day"),
        pytest.param(DAY + 1, DAY, id="over a day"),
        pytest.param(2**31 - 1, DAY, id="the longest"),
        pytest.param(2**31, DAY, id="top bit"),
        pytest.param(2**32 - 1, DAY, id="all bits"),
    ],
)
@pytest.mark.parametrize("more", [(), (rrsig(),)], ids=["alone", "signed"])
def test_ttl_is_capped_at_a_day_T10_2181_2_8767_5(ttl: int, want: int, more: tuple[Record, ...]) -> None:
    entry = entry_of(response(a(ttl=ttl), *(rrsig(ttl=ttl) for _ in more)))
    assert entry.ttl_s == want
    assert {shown.ttl for shown in replied(entry, DO).answer} == {want}


@pytest.mark.parametrize(
    ("ttls", "want"),
    [
        pytest.param([300, 60], 60, id="falling"),
        pytest.param([60, 300], 60, id="rising"),
        pytest.param([2**32 - 1, 60, 2**31], 60, id="with the top bit"),
        pytest.param([2**31, 2**32 - 1], DAY, id="only over the cap"),
        pytest.param([300, 0], 0, id="with zero"),
    ],
)
def test_mixed_ttls_of_an_rrset_become_the_smallest_T10_2181_1(ttls: list[int], want: int) -> None:
    entry = entry_of(response(*(a(number=number, ttl=ttl) for number, ttl in enumerate(ttls))))
    assert entry.ttl_s == want
    assert [shown.ttl for shown in replied(entry, DO).answer] == [want] * len(ttls)


def test_an_rrset_is_one_however_its_owner_is_spelled_2181_1() -> None:
    entry = entry_of(response(a(ttl=300), a("WWW.Example.COM", number=2, ttl=60)))
    assert [shown.ttl for shown in replied(entry, DO).answer] == [60, 60]


def test_each_rrset_shows_its_own_ttl_and_the_smallest_is_the_answers_2181_1() -> None:
    entry = entry_of(response(cname(WWW, "cdn.example.net", 3600), a("cdn.example.net", ttl=60)))
    assert entry.ttl_s == 60
    assert [shown.ttl for shown in replied(entry, DO).answer] == [3600, 60]


def test_answer_lives_no_longer_than_its_signature() -> None:
    assert entry_of(response(a(ttl=300), rrsig(ttl=20))).ttl_s == 20


@pytest.mark.parametrize(
    ("ttl", "minimum", "want"),
    [
        pytest.param(300, 60, 60, id="minimum is less"),
        pytest.param(60, 300, 60, id="ttl is less"),
        pytest.param(DAY, DAY, 300, id="both over the cap"),
        pytest.param(2**31, 2**32 - 1, 300, id="top bits"),
        pytest.param(0, 300, 0, id="ttl zero"),
        pytest.param(300, 0, 0, id="minimum zero"),
    ],
)
@pytest.mark.parametrize("rcode", [RCode.NOERROR, RCode.NXDOMAIN], ids=["nodata", "nxdomain"])
def test_denial_is_kept_for_the_lesser_of_soa_ttl_and_minimum_2308_1(
    ttl: int, minimum: int, want: int, rcode: int
) -> None:
    entry = entry_of(response(authority=[soa(ttl=ttl, minimum=minimum)], rcode=rcode))
    assert entry.ttl_s == want
    assert [shown.ttl for shown in replied(entry, DO).authority] == [want]


def test_soa_of_a_denial_is_counted_down_2308_4() -> None:
    cache = Cache(MB)
    keep(cache, query(), negative(ttl=100), now=50.0)
    reply = held(cache, query(), now=70.9)
    assert reply is not None
    assert [(shown.rrtype, shown.ttl) for shown in reply.authority] == [(6, 80)]


def test_every_ttl_of_a_denial_ends_at_the_cap_2308_1() -> None:
    denial = [soa(ttl=900, minimum=900), rrsig("example.com", 6, ttl=900)]
    proof = [nsec("a.example.com", "z.example.com", 900), rrsig("a.example.com", 47, ttl=900)]
    reply = replied(entry_of(response(authority=denial + proof, rcode=RCode.NXDOMAIN)), DO)
    assert [shown.ttl for shown in reply.authority] == [300] * 4


def test_denial_behind_a_cname_lives_no_longer_than_the_cname() -> None:
    wire = response(cname(WWW, "gone.example.com", 30), authority=[soa(ttl=300)], rcode=RCode.NXDOMAIN)
    assert entry_of(wire).ttl_s == 30


@pytest.mark.parametrize("rcode", [RCode.NOERROR, RCode.NXDOMAIN], ids=["nodata", "nxdomain"])
@pytest.mark.parametrize(
    "authority",
    [
        pytest.param([], id="nothing"),
        pytest.param([record("example.com", 2, b"\2ns\0")], id="a referral"),
        pytest.param([soa("example.net")], id="SOA of another zone"),
        pytest.param([soa("ww.example.com")], id="SOA of a sibling"),
        pytest.param([soa("a.www.example.com")], id="SOA from below"),
    ],
)
def test_denial_without_its_zones_soa_is_not_kept_2308_3_C11(authority: list[Record], rcode: int) -> None:
    cache = Cache(MB)
    entry = keep(cache, query(), response(authority=authority, rcode=rcode), now=0.0)
    assert (entry.ttl_s, entry.is_failure, len(cache)) == (0, False, 0)
    assert replied(entry, DO).authority == ()


def test_soa_of_the_first_names_zone_denies_nothing_behind_a_cname_C11() -> None:
    wire = response(cname(WWW, "www.example.net"), authority=[soa("example.com")])
    assert entry_of(wire).ttl_s == 0


def test_data_under_a_name_that_does_not_exist_is_not_kept() -> None:
    """The RCODE and the records contradict each other: no TTL is right for both."""
    entry = entry_of(response(a(), rcode=RCode.NXDOMAIN))
    assert (entry.ttl_s, len(replied(entry, DO).answer)) == (0, 1)


@pytest.mark.parametrize(
    ("age", "want"),
    [pytest.param(100, 200, id="younger than its TTL"), pytest.param(500, 0, id="older than its TTL")],
)
def test_age_is_subtracted_8484_3_E15(age: int, want: int) -> None:
    assert entry_of(age_ttls(response(a(ttl=300)), age)).ttl_s == want


@pytest.mark.parametrize(
    ("now", "want"),
    [
        pytest.param(1000.0, 300, id="at once"),
        pytest.param(1000.9, 300, id="within a second"),
        pytest.param(1001.0, 299, id="after a second"),
        pytest.param(1299.9, 1, id="before the end"),
        pytest.param(1300.0, None, id="at the end"),
        pytest.param(990.0, 300, id="before it came"),
    ],
)
def test_ttl_counts_down_and_ends(now: float, want: int | None) -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a(ttl=300)), now=1000.0)
    reply = held(cache, query(), now)
    assert (reply and reply.answer[0].ttl) == want


def test_ttl_that_is_less_than_its_neighbours_stops_at_zero() -> None:
    """An answer is kept for its least TTL, so this is for replies made as the time runs out."""
    entry = entry_of(response(cname(WWW, "b.example.com", 10), a("b.example.com", ttl=20)))
    reply = replied(entry, DO, now=15.0)
    assert [shown.ttl for shown in reply.answer] == [0, 5]


def test_ttl_zero_is_passed_on_and_not_kept_T10() -> None:
    cache = Cache(MB)
    entry = keep(cache, query(), response(a(ttl=0)), now=3.0)
    assert (len(cache), entry.stored) == (0, 3.0)
    assert entry.reply(asked(query()), 3.0)[:2] == b"\x2a\x2a"


def test_types_of_one_name_are_told_apart() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a(ttl=20)), now=0.0)
    keep(cache, query(rrtype=28), negative(rrtype=28, rcode=RCode.NOERROR, ttl=40), now=0.0)
    assert held(cache, query(rrtype=A), now=30.0) is None
    assert held(cache, query(rrtype=28), now=30.0) is not None
