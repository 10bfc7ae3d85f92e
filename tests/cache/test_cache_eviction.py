"""Who has to go when the space is used up, and how it is counted (threat T9, fault F26)."""

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import pytest

from secdns.cache import Cache, Entry
from secdns.dns.name import from_text
from secdns.iana import RCode, RRType
from tests.cache.answers import (
    MB,
    TXT,
    WWW,
    A,
    a,
    asked,
    entry_of,
    held,
    keep,
    negative,
    nsec,
    query,
    record,
    response,
    rrsig,
    soa,
    stale,
    txt,
)

ADDRESS = response(a(ttl=86_400))
SIGNED = response(a(ttl=86_400), rrsig(ttl=86_400))
HUGE = response(*txt(WWW, 60_000), rrtype=TXT)
LARGE = response(*txt(WWW, 12_000), rrtype=TXT)

Flood = Iterable[tuple[bytes, bytes]]  # keys and what is answered


def key_of(name: str, rrtype: int = A) -> bytes:
    """Give the key of a name in group 0, CD clear."""
    return from_text(name) + rrtype.to_bytes(2) + b"\0\0\0"


HOT = [key_of(f"www.site{number}.org") for number in range(100)]


def ask(cache: Cache, key: bytes, answer: bytes) -> bool:
    """Ask for a key and fetch the answer if it is not held; tell whether it was."""
    if cache.find(key, 1.0) is not None:
        return True
    cache.store(key, entry_of(answer), 0.0)
    return False


def hit_rate(cache: Cache, flood: Flood, *, every: int) -> float:
    """Give the part of 100 hot names found, asked for once for every so many names of a flood."""
    hits = rounds = 0
    for number, (key, answer) in enumerate(flood):
        ask(cache, key, answer)
        if number % every == 0:
            rounds += 1
            hits += sum(ask(cache, hot, ADDRESS) for hot in HOT)
        assert cache.octets <= 2 * MB
    return hits / rounds / len(HOT)


def warm(cache: Cache) -> None:
    """Ask for the hot names, twice."""
    for key in HOT * 2:
        ask(cache, key, ADDRESS)


def random_names(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield names below one domain, each once."""
    for number in range(count):
        yield b"\x08%08x\x05flood\x07example\0\0\0\0\0\1" % number, ADDRESS


def own_domains(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield names of as many domains, each once."""
    for number in range(count):
        yield b"\x01x\x08%08x\x07example\0\0\0\0\0\1" % number, ADDRESS


def twice(flood: Flood, apart: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield each name of a flood a second time, so many names later."""
    names = iter(flood)
    while batch := list(islice(names, apart)):
        yield from batch
        yield from batch


def texts(count: int, answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names of one domain with long answers."""
    for number in range(count):
        yield key_of(f"x{number}.flood.example", TXT), answer


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda: random_names(200_000), id="200,000 names of a domain"),
        pytest.param(lambda: own_domains(100_000), id="names of as many domains"),
        pytest.param(lambda: twice(random_names(20_000), 1), id="each twice in a row"),
        pytest.param(lambda: twice(own_domains(20_000), 200), id="each again soon"),
        pytest.param(lambda: twice(own_domains(20_000), 3000), id="each again later"),
        pytest.param(lambda: texts(870, HUGE), id="50 MB of 60 KB texts"),
        pytest.param(lambda: twice(texts(2000, LARGE), 1), id="12 KB texts twice"),
        pytest.param(lambda: twice(texts(2000, LARGE), 50), id="12 KB texts again soon"),
    ],
)
def test_hot_names_outlive_a_flood_T9(flood: Callable[[], Flood]) -> None:
    cache = Cache(2 * MB)
    warm(cache)
    assert hit_rate(cache, flood(), every=1000) >= 0.95


@pytest.mark.parametrize("times", [1, 2], ids=["each once", "each twice"])
def test_hot_name_outlives_a_flood_of_its_own_domain_T9_F21(times: int) -> None:
    """Whoever floods a domain with random names must not make its real ones cold."""
    cache = Cache(2 * MB)
    www = b"\x03www\x05flood\x07example\0\0\0\0\0\1"
    ask(cache, www, ADDRESS)
    flood = random_names(30_000) if times == 1 else twice(random_names(30_000), 1)
    hits = [ask(cache, www, ADDRESS)]
    for number, (key, answer) in enumerate(flood):
        ask(cache, key, answer)
        if number % 500 == 0:
            hits.append(ask(cache, www, ADDRESS))
    assert all(hits)


def test_names_get_hot_in_the_midst_of_a_flood_T9() -> None:
    cache = Cache(2 * MB)
    hit_rate(cache, random_names(20_000), every=1000)
    assert hit_rate(cache, own_domains(20_000), every=1000) >= 0.95


@pytest.mark.parametrize(
    ("records", "is_kept"),
    [pytest.param(50, True, id="under 16 KiB"), pytest.param(70, False, id="over 16 KiB")],
)
def test_answer_over_16_kib_is_passed_on_and_not_kept_T9(records: int, is_kept: bool) -> None:
    cache = Cache(MB)
    for _ in range(3):
        entry = keep(cache, query(rrtype=TXT), response(*txt(WWW, 256 * records), rrtype=TXT), now=0.0)
    assert (len(entry.reply(asked(query(rrtype=TXT)), 0.0)) > 10_000, len(cache)) == (True, is_kept)


def test_answer_over_4_kib_is_kept_at_its_second_request_T9() -> None:
    cache = Cache(MB)
    wire = query(rrtype=TXT)
    keep(cache, wire, response(*txt(WWW, 5000), rrtype=TXT), now=0.0)
    assert len(cache) == 0
    keep(cache, wire, response(*txt(WWW, 5000), rrtype=TXT), now=0.0)
    assert len(cache) == 1
    keep(cache, wire, response(*txt(WWW, 9000), rrtype=TXT), now=0.0)  # it has been let in for good
    assert len(cache) == 1


def test_answer_that_grew_over_16_kib_does_not_leave_the_old_one_behind_8767_6() -> None:
    cache = Cache(MB)
    wire = query(rrtype=TXT)
    keep(cache, wire, response(*txt(WWW, 100), rrtype=TXT), now=0.0)
    keep(cache, wire, response(*txt(WWW, 20_000), rrtype=TXT), now=400.0)
    assert held(cache, wire, 401.0) is None
    assert stale(cache, wire, 401.0) is None


def octets_of(cache: Cache, domain: bytes) -> int:
    """Give the octets of a domain's entries."""
    return sum(entry.size for key, entry in cache._store.entries.items() if domain in key)


@pytest.mark.parametrize("apart", [1, 150, 1500], ids=["in a row", "soon", "later"])
def test_a_domain_gets_a_quarter_of_what_others_use_T9(apart: int) -> None:
    cache = Cache(MB)
    others = [key for key, _ in own_domains(3000)]
    for key in (*others, *others):
        ask(cache, key, ADDRESS)
    for key, answer in twice(twice(random_names(10_000), 1), apart):
        ask(cache, key, answer)
    assert octets_of(cache, b"\x05flood") <= 0.26 * MB
    assert octets_of(cache, b"\x01x\x08") >= 0.7 * MB


def test_a_domain_may_use_what_nobody_else_does_and_gives_it_back_T9() -> None:
    cache = Cache(MB)
    for key, answer in twice(random_names(10_000), 1):
        ask(cache, key, answer)
    assert octets_of(cache, b"\x05flood") > 0.9 * MB
    others = [key for key, _ in own_domains(1000)]
    for key in others * 3:
        ask(cache, key, ADDRESS)
    assert sum(cache.find(key, 1.0) is not None for key in others) >= 950


def denial(number: int) -> tuple[bytes, bytes]:
    name = f"gone{number}.example{number}.com"
    zone = f"example{number}.com"
    proof = [nsec(zone, f"z.{zone}"), rrsig(zone, RRType.NSEC, zone)]
    wire = response(name=name, rcode=RCode.NXDOMAIN, authority=[soa(zone), rrsig(zone, 6, zone), *proof])
    return key_of(name), wire


@pytest.mark.parametrize(
    ("make", "count"),
    [
        pytest.param(lambda n: (key_of(f"w{n}.example.com"), ADDRESS), 3000, id="one domain"),
        pytest.param(lambda n: (key_of(f"www.example{n}.com"), ADDRESS), 3000, id="own domains"),
        pytest.param(lambda n: (key_of(f"www.example{n}.com"), SIGNED), 3000, id="signed"),
        pytest.param(
            lambda n: (key_of(f"w{n}.com"), response(*(a(number=i) for i in range(8)))),
            4000,
            id="8 addresses",
        ),
        pytest.param(
            lambda n: (
                key_of(f"w{n}.com", 16),
                response(*(record(WWW, TXT, b"\1" + bytes((i % 250,))) for i in range(200)), rrtype=TXT),
            ),
            150,
            id="200 tiny records",
        ),
        pytest.param(
            lambda n: (key_of(f"w{n}.example.com"), negative(f"w{n}.example.com")), 2500, id="nxdomain"
        ),
        pytest.param(denial, 2500, id="signed nxdomain"),
    ],
)
@pytest.mark.parametrize("limit", [16 * MB, MB // 2], ids=["filling", "overflowing"])
def test_octets_are_counted_to_a_fifth_F26(
    make: Callable[[int], tuple[bytes, bytes]], count: int, limit: int
) -> None:
    made = [make(number) for number in range(count)]

    def fill(cache: Cache, count: int) -> None:
        for key, answer in made[:count]:
            cache.store(bytes(bytearray(key)), entry_of(answer), 1000.0 + count / 7)  # a key of its own

    fill(Cache(limit), 10)  # what is made once for all entries
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        cache = Cache(limit)
        empty = tracemalloc.get_traced_memory()[0] - before
        fill(cache, count)
        gc.collect()
        real = tracemalloc.get_traced_memory()[0] - before - empty
    finally:
        tracemalloc.stop()
    assert cache.octets <= limit
    assert 0.8 * real <= cache.octets <= 1.2 * real
    assert empty <= limit / 100 + 100_000


def test_one_address_takes_at_most_a_kilobyte() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a(), rrsig()), now=0.0)
    assert cache.octets <= 1024


@pytest.mark.parametrize("limit", [0, 100, 600, 5000])
def test_tiny_space_is_never_exceeded(limit: int) -> None:
    cache = Cache(limit)
    for key, answer in islice(twice(random_names(200), 3), 400):
        ask(cache, key, answer)
        assert cache.octets <= limit


def test_answer_that_grows_makes_others_go() -> None:
    cache = Cache(10_000)
    for key, answer in random_names(15):
        ask(cache, key, answer)
    before = len(cache)
    keep(
        cache, query(name="0000000e.flood.example", rrtype=A), response(*txt(WWW, 3000), rrtype=TXT), now=0.0
    )
    assert (len(cache) < before, cache.octets <= 10_000) == (True, True)


def test_space_that_was_cut_is_kept_to_from_the_next_answer_on() -> None:
    cache = Cache(MB)
    for key, answer in random_names(1000):
        ask(cache, key, answer)
    cache.resize(100_000)
    keep(cache, query(), ADDRESS, now=0.0)
    assert cache.octets <= 100_000


def test_octets_are_the_sum_of_what_is_held() -> None:
    cache = Cache(100_000)
    for key, answer in twice(random_names(1000), 3):
        ask(cache, key, answer)
    entries = list(cache._store.entries.values())
    assert cache.octets == sum(entry.size for entry in entries)
    in_main = [entry for entry in entries if entry.in_main]
    assert sum({id(entry.share): entry.share.octets for entry in in_main}.values()) == sum(
        entry.size for entry in in_main
    )
    assert in_main


def test_entries_of_a_flood_are_let_go() -> None:
    """Nothing but the store holds on to an entry."""

    def alive() -> int:
        gc.collect()
        return sum(isinstance(thing, Entry) for thing in gc.get_objects())

    before = alive()
    cache = Cache(100_000)
    for key, answer in random_names(2000):
        ask(cache, key, answer)
    assert alive() - before == len(cache)
