"""Addresses outlive a restart, and a wrong answer does not take the place of a right one (F30)."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from secdns import bootstrap
from secdns.address_book import AddressBook, Remembered
from secdns.bootstrap import Bootstrap
from secdns.dns.message import Record
from secdns.dns.name import from_text
from secdns.errors import ConnectError
from secdns.iana import RRType
from tests.bootstrap.stage import HOST, V4, Clock, OtherUpstream, soon

FOUND = ("2001:db8::1", "192.0.2.1")
DAY_S = 86400.0


class Counted(AddressBook):
    """A book that counts how often it is written, and by which thread."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        super().__init__(directory, wall=lambda: clock.now + 2e9)
        self.threads: list[int] = []

    def write(self, hosts: Mapping[str, Sequence[Remembered]]) -> None:
        self.threads.append(threading.get_ident())
        super().write(hosts)


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> Counted:
    return Counted(tmp_path, clock)


def begin(other: OtherUpstream, clock: Clock, book: AddressBook) -> Bootstrap:
    return Bootstrap(other.exchange, clock=clock, book=book)


async def find(other: OtherUpstream, clock: Clock, book: AddressBook) -> None:
    """Look the host up, end, and begin to count anew."""
    first = begin(other, clock, book)
    await first.lookup(HOST, soon())
    await first.aclose()
    other.seen.clear()


def become(other: OtherUpstream, last: int) -> None:
    """Have the host move to another address, of IPv4 alone."""
    other.records.clear()
    other.records[HOST, RRType.A] = [Record(from_text(HOST), RRType.A, 1, 300, bytes([192, 0, 2, last]))]


async def test_addresses_of_before_a_restart_are_used_at_once_F30(
    other: OtherUpstream, clock: Clock, book: Counted
) -> None:
    await find(other, clock, book)
    other.down = True
    clock.now += 3600
    seeker = begin(other, clock, book)
    assert await seeker.lookup(HOST, soon()) == FOUND
    assert other.seen == []


async def test_older_ones_are_asked_for_again_and_used_meanwhile_F30(
    other: OtherUpstream, clock: Clock, book: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "REFRESH_WAIT_S", 0.0)
    await find(other, clock, book)
    other.silent = {RRType.A, RRType.AAAA}
    clock.now += 20 * DAY_S
    seeker = begin(other, clock, book)
    assert await seeker.lookup(HOST, soon()) == FOUND
    await asyncio.sleep(0)
    assert len(other.seen) == 2
    await seeker.aclose()


async def test_remembered_ones_end_after_thirty_days_of_both_lives_F30(
    other: OtherUpstream, clock: Clock, book: Counted
) -> None:
    await find(other, clock, book)
    other.down = True
    clock.now += 29 * DAY_S
    seeker = begin(other, clock, book)
    assert await seeker.lookup(HOST, soon()) == FOUND
    clock.now += DAY_S
    with pytest.raises(ConnectError):
        await seeker.lookup(HOST, soon())


async def test_network_change_asks_again_and_falls_back_to_the_remembered_F30(
    other: OtherUpstream, clock: Clock, book: Counted
) -> None:
    await find(other, clock, book)
    other.down = True
    seeker = begin(other, clock, book)
    seeker.reset()
    assert await seeker.lookup(HOST, soon()) == FOUND
    assert len(other.seen) == 2


async def test_file_is_written_in_a_thread_and_only_when_something_changed(
    other: OtherUpstream, clock: Clock, book: Counted
) -> None:
    seeker = begin(other, clock, book)
    for hours in (0, 5, 5):
        clock.now += hours * 3600
        await seeker.lookup(HOST, soon())
    await seeker.aclose()
    assert len(book.threads) == 1
    assert threading.get_ident() not in book.threads
    become(other, 7)
    clock.now += 5 * 3600
    await seeker.lookup(HOST, soon())
    await seeker.aclose()
    assert len(book.threads) == 2


async def test_file_is_written_once_a_day_so_that_what_is_still_so_does_not_age(
    other: OtherUpstream, clock: Clock, book: Counted
) -> None:
    seeker = begin(other, clock, book)
    for _ in range(10):
        await seeker.lookup(HOST, soon())
        await seeker.aclose()
        clock.now += 5 * DAY_S
    assert len(book.threads) == 10
    assert await begin(other, clock, book).lookup(HOST, soon()) == FOUND


async def test_changes_while_a_write_is_under_way_are_one_more_write(
    other: OtherUpstream, clock: Clock, book: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    write = book.write

    def slow(hosts: Mapping[str, Sequence[Remembered]]) -> None:
        assert may_go_on.wait(10)
        write(hosts)

    monkeypatch.setattr(book, "write", slow)
    hosts = [f"h{number}.example" for number in range(5)]
    seeker = begin(other, clock, book)
    for host in hosts:
        other.add(host, RRType.A, V4)
        await seeker.lookup(host, soon())
    may_go_on.set()
    await seeker.aclose()
    assert len(book.threads) == 2
    assert sorted(book.read()) == hosts


# doubt


async def test_addresses_in_doubt_are_asked_for_again(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock
) -> None:
    await seeker.lookup(HOST, soon())
    become(other, 9)
    clock.now += bootstrap.RETRY_S
    seeker.doubt(HOST)
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.9",)


async def test_doubt_does_not_ask_more_often_than_every_half_minute(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock
) -> None:
    await seeker.lookup(HOST, soon())
    for _ in range(29):
        clock.now += 1
        seeker.doubt(HOST)
        await seeker.lookup(HOST, soon())
    assert len(other.seen) == 2
    other.down = True
    for _ in range(61):
        clock.now += 1
        seeker.doubt(HOST)
        await seeker.lookup(HOST, soon())
    assert len(other.seen) == 2 + 3 * 2


async def test_doubt_of_a_host_never_looked_up_is_nothing(seeker: Bootstrap, other: OtherUpstream) -> None:
    seeker.doubt(HOST)
    assert await seeker.lookup(HOST, soon()) == FOUND


async def test_addresses_before_a_poisoned_answer_are_tried_once_it_is_in_doubt_F30(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock
) -> None:
    await seeker.lookup(HOST, soon())
    for last in (66, 66, 67):  # the same lie twice, then another
        become(other, last)
        clock.now += 5 * 3600
        assert (await seeker.lookup(HOST, soon()))[0] == f"192.0.2.{last}"
        seeker.doubt(HOST)
        assert await seeker.lookup(HOST, soon()) == (f"192.0.2.{last}", *FOUND)


async def test_addresses_before_are_not_used_without_doubt_nor_after_thirty_days(
    seeker: Bootstrap, other: OtherUpstream, clock: Clock
) -> None:
    await seeker.lookup(HOST, soon())
    become(other, 9)
    clock.now += 5 * 3600
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.9",)
    seeker.doubt(HOST)
    clock.now += 30 * DAY_S
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.9",)


async def test_addresses_before_a_poisoned_answer_outlive_a_restart_F30(
    other: OtherUpstream, clock: Clock, book: Counted
) -> None:
    await find(other, clock, book)
    become(other, 66)
    clock.now += 5 * 3600
    await find(other, clock, book)
    await find(other, clock, book)
    seeker = begin(other, clock, book)
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.66",)
    seeker.doubt(HOST)
    assert await seeker.lookup(HOST, soon()) == ("192.0.2.66", *FOUND)
