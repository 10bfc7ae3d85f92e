"""The file of addresses: what is remembered how long, and that no file does harm (F30, F14)."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secdns import BUILT_AT, address_book
from secdns.address_book import AddressBook, Remembered

DAY_S = 86400
NOW = BUILT_AT + 400 * DAY_S
HOST = "dns.example"
GOOD = Remembered(("192.0.2.1", "2001:db8::1"), 60.0)


def book(tmp_path: Path, now: float = NOW) -> AddressBook:
    return AddressBook(tmp_path, wall=lambda: float(now))


def put(tmp_path: Path, content: object) -> None:
    octets = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / address_book.FILE_NAME).write_bytes(octets)


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir())


def test_what_was_written_is_read_and_has_aged(tmp_path: Path) -> None:
    older = Remembered(("192.0.2.9",), 2.0 * DAY_S)
    book(tmp_path).write({HOST: [GOOD, older]})
    got = book(tmp_path, NOW + 100).read()
    assert got == {HOST: (Remembered(GOOD.addresses, 160.0), Remembered(older.addresses, 2.0 * DAY_S + 100))}


def test_directory_is_made_and_the_file_is_for_us_alone(tmp_path: Path) -> None:
    book(tmp_path / "new" / "state").write({HOST: [GOOD]})
    written = tmp_path / "new" / "state" / address_book.FILE_NAME
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o700


def test_nothing_is_remembered_without_a_file(tmp_path: Path) -> None:
    assert book(tmp_path).read() == {}
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("later_s", "is_kept"),
    [
        pytest.param(29.9 * DAY_S, True, id="almost thirty days"),
        pytest.param(30.0 * DAY_S, False, id="thirty days"),
        pytest.param(-1800.0, True, id="a clock set back a little"),
        pytest.param(-2.0 * DAY_S, False, id="from the future"),
    ],
)
def test_addresses_hold_thirty_days_and_never_from_the_future_F30(
    tmp_path: Path, later_s: float, is_kept: bool
) -> None:
    book(tmp_path).write({HOST: [Remembered(("192.0.2.1",), 0.0)]})
    got = book(tmp_path, NOW + later_s).read()
    assert list(got) == ([HOST] if is_kept else [])
    assert all(each.age_s >= 0 for each in got.get(HOST, ()))


def test_clock_that_cannot_be_right_neither_drops_nor_writes_anything_F14(tmp_path: Path) -> None:
    book(tmp_path).write({HOST: [GOOD]})
    early = book(tmp_path, 1000.0)
    assert early.read() == {HOST: (Remembered(GOOD.addresses, 0.0),)}
    early.write({})
    assert list(book(tmp_path).read()) == [HOST]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"dns.example": [[1', id="cut short"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param([], id="no object"),
        pytest.param({HOST: {}}, id="no list"),
        pytest.param({HOST: [["192.0.2.1"]]}, id="no time"),
        pytest.param({HOST: [[]]}, id="an empty set"),
        pytest.param({HOST: [[NOW, "dns.example"]]}, id="a name as address"),
        pytest.param({HOST: [[NOW, "0.0.0.0"]]}, id="an address of nobody"),
        pytest.param({HOST: [[NOW, 17]]}, id="a number as address"),
        pytest.param({HOST: [[10**400, "192.0.2.1"]]}, id="a time beyond all"),
    ],
)
def test_damaged_file_is_put_aside_and_a_new_one_takes_its_place_F30(tmp_path: Path, content: object) -> None:
    put(tmp_path, content)
    assert book(tmp_path).read() == {}
    assert names(tmp_path) == [f"{address_book.FILE_NAME}.bad"]
    book(tmp_path).write({HOST: [GOOD]})
    assert list(book(tmp_path).read()) == [HOST]


def test_file_that_is_a_link_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, {HOST: [[int(NOW), "192.0.2.1"]]})
    (tmp_path / address_book.FILE_NAME).rename(tmp_path / "elsewhere")
    (tmp_path / address_book.FILE_NAME).symlink_to(tmp_path / "elsewhere")
    assert book(tmp_path).read() == {}
    assert names(tmp_path) == ["elsewhere", address_book.FILE_NAME]


def test_file_is_read_within_bounds(tmp_path: Path) -> None:
    many = {f"h{number}.example": [[int(NOW), "192.0.2.1"]] * 9 for number in range(200)}
    put(tmp_path, {HOST: [[int(NOW), *(f"192.0.2.{last}" for last in range(1, 200))]], **many})
    got = book(tmp_path).read()
    assert len(got) == address_book.MAX_HOSTS
    assert len(got[HOST][0].addresses) == address_book.MAX_ADDRESSES
    assert {len(sets) for host, sets in got.items() if host != HOST} == {address_book.MAX_SETS}
    put(tmp_path, b" " * address_book.MAX_FILE + b'{"dns.example": []}')
    assert book(tmp_path).read() == {}


def test_largest_book_fits_into_the_file(tmp_path: Path) -> None:
    sets = [
        Remembered(tuple(f"2001:db8:{n:x}:ffff:ffff:ffff:ffff:{m:x}" for m in range(0xF000, 0xF010)), 0.0)
        for n in (1, 2)
    ]
    hosts = {f"{number:03d}{'x' * 250}": sets for number in range(address_book.MAX_HOSTS)}
    book(tmp_path).write(hosts)
    assert book(tmp_path).read() == {host: tuple(sets) for host in hosts}


def test_disk_that_takes_nothing_is_said_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    book(tmp_path / "file" / "below").write({HOST: [GOOD]})
    assert "are not kept" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("192.0.2.1"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100) | st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_any_file_is_read_or_put_aside_P7(tmp_path: Path, content: bytes | Mapping[str, object]) -> None:
    put(tmp_path, content)
    for sets in book(tmp_path).read().values():
        assert all(each.addresses and each.age_s >= 0 for each in sets)
