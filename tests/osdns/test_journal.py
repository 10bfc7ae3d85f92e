"""A journal that cannot be trusted is refused, named, and left where it is; nothing is changed."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from secdns.errors import SettingsError
from secdns.osdns import journal, switch
from tests.osdns.machines import MACHINES, US, World, make

NOW = 1_795_651_200


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine with a plain file, on which secdns is on."""
    made = make("plain file", tmp_path)
    switch.turn_on(made.machine(), US, lambda: None, platform="linux", now=NOW)
    return made


def file_of(world: World) -> Path:
    return world.root / journal.place(volatile=False).lstrip("/")


def change(world: World, edit: Callable[[dict[str, object]], None]) -> None:
    document = json.loads(file_of(world).read_text())
    edit(document)
    file_of(world).write_text(json.dumps(document))


def truncate(world: World, part: float) -> None:
    octets = file_of(world).read_bytes()
    file_of(world).write_bytes(octets[: int(len(octets) * part)])


def newer(world: World) -> None:
    change(world, lambda document: document.update(version=2))


def flip(world: World) -> None:
    """One value is another: /etc/resolv.conf would be written elsewhere."""
    text = file_of(world).read_text()
    file_of(world).write_text(text.replace("/etc/resolv.conf", "/etc/resolv.cond"))


def replace_by_link(world: World) -> None:
    moved = file_of(world).rename(world.root / "elsewhere.json")
    file_of(world).symlink_to(moved)


BAD: dict[str, tuple[Callable[[World], object], str, str]] = {
    "empty": (lambda world: truncate(world, 0), "half-written", "then remove"),
    "half": (lambda world: truncate(world, 0.5), "half-written", "then remove"),
    "all but the end": (lambda world: truncate(world, 0.99), "half-written", "then remove"),
    "not JSON": (lambda world: file_of(world).write_text("hello"), "half-written", "then remove"),
    "deep": (lambda world: file_of(world).write_text("[" * 100_000), "half-written", "then remove"),
    "other JSON": (lambda world: file_of(world).write_text("[]"), "is not a journal", "then remove"),
    "one letter changed": (flip, "checksum does not fit", "then remove"),
    "a later version": (newer, "is of version 2", "of the newer version"),
    "a version that is no number": (
        lambda world: change(world, lambda document: document.update(version="x")),
        "version 'x'",
        "newer",
    ),
    "no content": (
        lambda world: change(
            world,
            lambda document: document.update(
                content={}, sha256="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
            ),
        ),
        "does not say what a journal says",
        "then remove",
    ),
    "another machine": (
        lambda world: world.file("/etc/machine-id", "ff" * 16 + "\n"),
        "of another machine",
        "remove",
    ),
    "a machine without an id": (
        lambda world: world.file("/etc/machine-id", ""),
        "of another machine",
        "remove",
    ),
    "everybody may write it": (
        lambda world: file_of(world).chmod(0o666),
        "can be written by others",
        "chmod go-w",
    ),
    "everybody may write its directory": (
        lambda world: file_of(world).parent.chmod(0o777),
        "can be written by others",
        "chmod go-w",
    ),
    "a link": (replace_by_link, "journal.json can be written by others", "chmod"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_journal_is_refused_and_nothing_is_changed_need2(name: str, world: World) -> None:
    spoil, message, hint = BAD[name]
    spoil(world)
    before, octets = world.state(), file_of(world).read_bytes()
    for attempt in (
        lambda: switch.turn_off(world.machine()),
        lambda: switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=NOW),
    ):
        with pytest.raises(SettingsError, match=message) as caught:
            attempt()
        assert "secdns-system" in str(caught.value)
        assert hint in str(caught.value.hint)
        assert "nothing was changed" in str(caught.value)
    assert world.state() == before
    assert file_of(world).read_bytes() == octets


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_journal_that_belongs_to_another_user_is_refused(world: World) -> None:
    os.chown(file_of(world), 12345, 12345)
    with pytest.raises(SettingsError, match="can be written by others than root"):
        switch.turn_off(world.machine())


@pytest.mark.parametrize("name", MACHINES)
def test_journal_comes_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    world = make(name, tmp_path)
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=NOW)
    ((path, record),) = journal.found(world.machine())
    machine = world.machine()
    journal.write(machine, record, volatile="/run/" in path)
    assert journal.read(machine, path) == record
    assert (record.written_at, record.servers, record.backends) == (NOW, US.servers, MACHINES[name][1])
    # what a reboot undoes is forgotten by a reboot, and the other way round
    assert path.startswith("/run/") == ("resolv_file" not in record.backends)


@pytest.mark.parametrize("name", [name for name in MACHINES if name != "no file"])
def test_journal_knows_what_the_network_wanted(name: str, tmp_path: Path) -> None:
    world = make(name, tmp_path)
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=NOW)
    ((_, record),) = journal.found(world.machine())
    assert "10.9.0.1" in record.original.hosts
    assert record.original.search == ("lan.example",)


def test_reboot_undoes_what_lies_in_run_need2(tmp_path: Path) -> None:
    world = make("resolved 252", tmp_path)
    before = world.state()
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=NOW)
    for path in ("/run/systemd/resolved.conf.d/zz-secdns.conf", "/run/secdns-system/journal.json"):
        (world.root / path.lstrip("/")).unlink()
    (world.root / "run/systemd/resolved.conf.d").rmdir()
    world.loaded.clear()
    world.domains.clear()
    assert switch.turn_off(world.machine()) is None
    assert world.state() == before
