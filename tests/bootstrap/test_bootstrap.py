"""Addresses for upstream hosts: shared, remembered, never in a circle, never of the system."""

import asyncio
import socket

import pytest

from secdns import bootstrap
from secdns.bootstrap import Bootstrap
from secdns.dns.message import Record
from secdns.dns.name import from_text
from secdns.errors import ConnectError, DeadlineExceeded
from secdns.iana import RCode, RRType
from tests.bootstrap.stage import HOST, V4, Clock, OtherUpstream, soon


async def test_both_families_are_asked_together_and_given_by_turns(
    seeker: Bootstrap, other: OtherUpstream
) -> None:
    other.add(HOST, RRType.A, bytes([192, 0, 2, 2]))
    got = await seeker.lookup(HOST, soon())
    assert got == ("2001:db8::1", "192.0.2.1", "192.0.2.2")
    assert sorted(other.seen) == [(HOST, RRType.A), (HOST, RRType.AAAA)]


async def test_getaddrinfo_is_never_called(seeker: Bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object) -> None:
        raise AssertionError("getaddrinfo was called")

    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    assert await seeker.lookup(HOST, soon())


async def test_letter_case_and_final_dot_name_the_same_host(seeker: Bootstrap, other: OtherUpstream) -> None:
    await seeker.lookup("DNS.Example.", soon())
    await seeker.lookup(HOST, soon())
    assert len(other.seen) == 2


async def test_waiters_for_one_host_share_one_lookup_5452_3(seeker: Bootstrap, other: OtherUpstream) -> None:
    got = await asyncio.gather(*(seeker.lookup(HOST, soon()) for _ in range(20)))
    assert set(got) == {("2001:db8::1", "192.0.2.1")}
    assert len(other.seen) == 2


async def test_lookup_goes_on_when_the_caller_that_began_it_is_cancelled(
    seeker: Bootstrap, other: OtherUpstream
) -> None:
    first = asyncio.create_task(seeker.lookup(HOST, soon()))
    second = asyncio.create_task(seeker.lookup(HOST, soon()))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ("2001:db8::1", "192.0.2.1")
    assert len(other.seen) == 2


@pytest.mark.parametrize(
    ("ttl", "age_s", "questions"),
    [
        pytest.param(60, 4 * 3600 - 1, 2, id="a short TTL counts as four hours"),
        pytest.param(60, 4 * 3600, 4, id="asked again after four hours"),
        pytest.param(5 * 3600, 5 * 3600 - 1, 2, id="a longer TTL is kept"),
        pytest.param(2**31, 86400, 4, id="at most a day"),
    ],
)
async def test_addresses_are_kept_for_their_ttl_within_bounds(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock, ttl: int, age_s: float, questions: int
) -> None:
    other.records.clear()
    other.add(HOST, RRType.A, V4, ttl=ttl)
    await seeker.lookup(HOST, soon())
    clock.now += age_s
    await seeker.lookup(HOST, soon())
    assert len(other.seen) == questions


async def test_v4_is_used_within_a_second_when_aaaa_gets_no_answer_need11_t3(
    seeker: Bootstrap, other: OtherUpstream
) -> None:
    other.silent = {RRType.AAAA}
    begin = soon(0)
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.1",)
    assert soon(0) - begin < 1.0


async def test_a_family_without_an_answer_is_not_remembered_as_absent_need11_t3(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "GRACE_S", 0.0)
    other.silent = {RRType.AAAA}
    await seeker.lookup(HOST, soon())
    other.silent = set()
    clock.now += bootstrap.PARTIAL_TTL_S
    assert await seeker.lookup(HOST, soon()) == ("2001:db8::1", "192.0.2.1")


async def test_family_without_an_answer_keeps_the_addresses_that_it_had_f30(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "GRACE_S", 0.0)
    await seeker.lookup(HOST, soon())
    other.silent = {RRType.AAAA}
    other.records[HOST, RRType.A] = [Record(from_text(HOST), RRType.A, 1, 300, bytes([192, 0, 2, 9]))]
    clock.now += 86400
    assert await seeker.lookup(HOST, soon()) == ("2001:db8::1", "192.0.2.9")


async def test_nodata_of_one_family_waits_for_the_other(seeker: Bootstrap, other: OtherUpstream) -> None:
    del other.records[HOST, RRType.AAAA]
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.1",)


async def test_last_good_addresses_are_given_when_a_refresh_fails_f30(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock
) -> None:
    want = await seeker.lookup(HOST, soon())
    other.down = True
    clock.now += 20 * 86400
    assert await seeker.lookup(HOST, soon()) == want


async def test_failed_refresh_is_not_tried_again_at_once(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock
) -> None:
    await seeker.lookup(HOST, soon())
    other.down = True
    clock.now += 86400
    await seeker.lookup(HOST, soon())
    await seeker.lookup(HOST, soon())
    assert len(other.seen) == 4
    clock.now += bootstrap.RETRY_S
    await seeker.lookup(HOST, soon())
    assert len(other.seen) == 6


async def test_last_good_addresses_are_given_when_a_refresh_hangs(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "REFRESH_WAIT_S", 0.0)
    want = await seeker.lookup(HOST, soon())
    other.silent = {RRType.A, RRType.AAAA}
    clock.now += 86400
    assert await seeker.lookup(HOST, soon()) == want
    await seeker.aclose()


async def test_last_good_addresses_end_after_thirty_days_f30(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock
) -> None:
    await seeker.lookup(HOST, soon())
    other.down = True
    clock.now += 30 * 86400
    for _ in range(2):
        with pytest.raises(ConnectError):
            await seeker.lookup(HOST, soon())


async def test_network_change_asks_again_and_keeps_the_last_good_addresses(
    seeker: Bootstrap, other: OtherUpstream
) -> None:
    want = await seeker.lookup(HOST, soon())
    other.down = True
    seeker.reset()
    assert await seeker.lookup(HOST, soon()) == want
    assert len(other.seen) == 4


async def test_failure_is_not_remembered_so_a_network_that_comes_up_is_used_at_once_f30(
    seeker: Bootstrap, other: OtherUpstream
) -> None:
    other.down = True
    with pytest.raises(ConnectError):
        await seeker.lookup(HOST, soon())
    other.down = False
    assert await seeker.lookup(HOST, soon()) == ("2001:db8::1", "192.0.2.1")


@pytest.mark.parametrize(
    ("down", "rcode", "words"),
    [
        pytest.param(True, RCode.NOERROR, "network is unreachable", id="no network"),
        pytest.param(False, RCode.NOERROR, "has no address", id="NODATA"),
        pytest.param(False, RCode.NXDOMAIN, "does not exist", id="NXDOMAIN"),
        pytest.param(False, RCode.SERVFAIL, "the answer was SERVFAIL", id="SERVFAIL"),
        pytest.param(False, 11, "the answer was RCODE 11", id="an RCODE without a name here"),
    ],
)
async def test_failure_says_why_and_what_to_do(
    seeker: Bootstrap, other: OtherUpstream, down: bool, rcode: int, words: str
) -> None:
    other.records.clear()
    other.down = down
    other.rcode = rcode
    with pytest.raises(ConnectError, match=words) as raised:
        await seeker.lookup(HOST, soon())
    assert HOST in str(raised.value)
    assert raised.value.hint == "give `addresses` for this upstream in the configuration"


async def test_deadline_of_the_caller_is_kept(seeker: Bootstrap, other: OtherUpstream) -> None:
    other.silent = {RRType.A, RRType.AAAA}
    with pytest.raises(ConnectError, match="in time"):
        await seeker.lookup(HOST, soon(0.01))
    await seeker.aclose()


async def test_error_of_the_exchange_that_is_a_deadline_becomes_words(clock: Clock) -> None:
    async def exchange(query: bytes, deadline: float, excluded: frozenset[str]) -> bytes:
        raise DeadlineExceeded("no answer from quad9 in 5 s")

    with pytest.raises(ConnectError, match="no answer from quad9 in 5 s"):
        await Bootstrap(exchange, clock=clock).lookup(HOST, soon())


async def test_octets_that_are_no_message_become_words(clock: Clock) -> None:
    async def exchange(query: bytes, deadline: float, excluded: frozenset[str]) -> bytes:
        return b"\xff" * 40

    with pytest.raises(ConnectError):
        await Bootstrap(exchange, clock=clock).lookup(HOST, soon())


async def test_lookup_excludes_the_host_that_it_seeks(seeker: Bootstrap, other: OtherUpstream) -> None:
    await seeker.lookup(HOST, soon())
    assert other.excluded == [frozenset({HOST})] * 2


async def test_circle_of_two_hosts_without_addresses_ends_at_once_e4() -> None:
    seekers: list[Bootstrap] = []
    hosts = ("a.example", "b.example")

    async def exchange(query: bytes, deadline: float, excluded: frozenset[str]) -> bytes:
        for host in hosts:
            if host not in excluded:
                await seekers[0].lookup(host, deadline)
        raise ConnectError("no upstream is left to ask")

    seekers.append(Bootstrap(exchange))
    begin = soon(0)
    with pytest.raises(ConnectError, match="no upstream is left to ask"):
        await seekers[0].lookup("a.example", soon())
    assert soon(0) - begin < 1.0


async def test_addresses_behind_a_cname_are_found(seeker: Bootstrap, other: OtherUpstream) -> None:
    other.records.clear()
    other.add(HOST, RRType.CNAME, from_text("Real.example"))
    other.add("real.example", RRType.A, V4, asked=HOST)
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.1",)


async def test_records_off_the_path_of_the_question_are_ignored_c4(
    seeker: Bootstrap, other: OtherUpstream
) -> None:
    other.records.clear()
    other.add("other.example", RRType.A, bytes([203, 0, 113, 66]), asked=HOST)
    other.add(HOST, RRType.A, V4)
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.1",)


async def test_circular_cname_ends(seeker: Bootstrap, other: OtherUpstream) -> None:
    other.records.clear()
    other.add(HOST, RRType.CNAME, from_text("real.example"))
    other.add("real.example", RRType.CNAME, from_text(HOST), asked=HOST)
    with pytest.raises(ConnectError, match="has no address"):
        await seeker.lookup(HOST, soon())


@pytest.mark.parametrize(
    "rdata",
    [
        pytest.param(bytes(4), id="0.0.0.0 of a blocked name"),
        pytest.param(bytes([224, 0, 0, 1]), id="multicast"),
        pytest.param(b"\x01", id="wrong length"),
    ],
)
async def test_address_that_cannot_be_dialled_is_not_given(
    seeker: Bootstrap, other: OtherUpstream, rdata: bytes
) -> None:
    other.records.clear()
    other.add(HOST, RRType.A, rdata)
    with pytest.raises(ConnectError, match="no usable address"):
        await seeker.lookup(HOST, soon())


async def test_number_of_addresses_is_bounded(seeker: Bootstrap, other: OtherUpstream) -> None:
    other.records.clear()
    for last in range(200):
        other.add(HOST, RRType.A, bytes([192, 0, 2, last]))
    assert len(await seeker.lookup(HOST, soon())) == bootstrap.MAX_ADDRESSES


async def test_number_of_hosts_is_bounded(seeker: Bootstrap, other: OtherUpstream) -> None:
    hosts = [f"h{number}.example" for number in range(bootstrap.MAX_HOSTS + 1)]
    for host in hosts:
        other.add(host, RRType.A, V4)
        await seeker.lookup(host, soon())
    asked = len(other.seen)
    await seeker.lookup(hosts[-1], soon())
    assert len(other.seen) == asked
    await seeker.lookup(hosts[0], soon())
    assert len(other.seen) == asked + 2


async def test_closing_ends_every_lookup(seeker: Bootstrap, other: OtherUpstream) -> None:
    other.silent = {RRType.A, RRType.AAAA}
    waiter = asyncio.create_task(seeker.lookup(HOST, soon()))
    await asyncio.sleep(0)
    await seeker.aclose()
    with pytest.raises(ConnectError, match="it was ended"):
        await waiter
