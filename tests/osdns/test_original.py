"""What the network's own resolvers were stays known while secdns is the system's."""

from pathlib import Path

import pytest

from secdns.osdns import journal, switch
from secdns.osdns.original import original
from secdns.osdns.plan import read_resolv_conf
from tests.osdns.machines import US, make


def test_resolvers_of_before_are_known_while_secdns_is_on_need8(tmp_path: Path) -> None:
    world = make("plain file", tmp_path)
    before = read_resolv_conf((tmp_path / "etc/resolv.conf").read_text())
    assert before.servers
    assert original(world.machine()) == ((), ())
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=1_795_651_200)
    assert original(world.machine()) == (before.hosts, before.search)
    switch.turn_off(world.machine())
    assert original(world.machine()) == ((), ())


def test_journal_that_cannot_be_trusted_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = make("plain file", tmp_path)
    switch.turn_on(world.machine(), US, lambda: None, platform="linux", now=1_795_651_200)
    (tmp_path / journal.place(volatile=False).lstrip("/")).write_text("{")
    assert original(world.machine()) == ((), ())
    (record,) = caplog.records
    assert "cannot be read" in record.getMessage()
