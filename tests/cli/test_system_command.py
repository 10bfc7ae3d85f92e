"""`secdns system`, on machines in a directory, with a real daemon that they are to ask."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from secdns import config as configuration
from secdns.__main__ import main
from secdns.cli.rescue import rescue
from secdns.cli.system import is_wanted_with_a_network, wanted_settings
from secdns.config import ListenAddress
from secdns.network.ways import Way
from secdns.osdns import proof, switch, wish
from secdns.osdns.machine import Machine
from secdns.osdns.plan import Server
from tests.fixtures import listening
from tests.osdns.machines import US, Fake, World, asked, make
from tests.osdns.test_journal import BAD
from tests.osdns.test_switch import REFUSED

__all__ = ["listening"]  # a fixture for this file

Use = Callable[..., World]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have the commands work on this machine; look-ups go where its settings say."""

    def start(name: str, kind: type[Machine] = Fake) -> World:
        (tmp_path / "machine").mkdir()
        world = make(name, tmp_path / "machine")
        monkeypatch.setattr("secdns.cli.system.this_machine", lambda: kind(world.root, world.run))
        monkeypatch.setattr("sys.platform", "linux")
        return world

    return start


@pytest.fixture
def config(tmp_path: Path, listening: Server) -> str:
    """A configuration that says where the daemon listens."""
    file = tmp_path / "secdns.toml"
    file.write_text(f'[server]\nlisten = ["{listening.host}:{listening.port}"]\n')
    return str(file)


def look_up_of(world: World, server: Server) -> Callable[[str], list[str]]:
    """Look names up as that machine would."""
    return lambda name: [proof.ask(server, name)] if "127.0.0.1" in asked(world) else []


async def run(*args: str) -> int:
    return await asyncio.to_thread(main, list(args))


async def test_on_says_what_it_changes_proves_it_and_off_gives_back(
    use: Use,
    config: str,
    listening: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = use("resolved 252")
    monkeypatch.setattr(proof, "look_up", look_up_of(world, listening))
    before = world.state()
    assert await run("system", "on", "--config", config) == 0
    said = capsys.readouterr()
    assert said.out == "on: a name that was looked up as programs do it has arrived at secdns\n"
    assert f"systemd-resolved will be told to ask 127.0.0.1:{listening.port}:" in said.err
    assert "write /run/systemd/resolved.conf.d/zz-secdns.conf" in said.err
    assert "run systemctl try-reload-or-restart systemd-resolved.service" in said.err
    assert "or the next start of the machine" in said.err
    assert await run("system", "on", "--config", config) == 0
    assert "resolver already" in capsys.readouterr().err
    assert await run("system", "status") == 0
    assert capsys.readouterr().out.startswith(
        "on: names are looked up through secdns (by systemd-resolved)\n"
    )
    assert await run("system", "off") == 0
    assert capsys.readouterr().out == "off: the system's DNS settings are as they were before secdns\n"
    assert world.state() == before
    assert await run("system", "off") == 0
    assert "has changed nothing here" in capsys.readouterr().out


async def test_service_turns_on_what_was_on_before_and_nothing_else(
    use: Use,
    config: str,
    listening: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = use("resolved 252")
    monkeypatch.setattr(proof, "look_up", look_up_of(world, listening))
    monkeypatch.setattr("secdns.cli.system.ELSEWHERE", ("127.0.0.1",))
    before = world.state()
    assert await run("system", "on", "--if-wanted", "--config", config) == 0
    assert (capsys.readouterr().out, world.state()) == ("", before)
    assert await run("system", "on", "--config", config) == 0
    on = world.state()
    switch.turn_off(world.machine(), for_now=True)
    assert world.state() == before
    capsys.readouterr()
    assert await run("system", "status") == 0
    assert "every start of the service turns it on" in capsys.readouterr().out
    assert await run("system", "on", "--if-wanted", "--config", config) == 0
    assert world.state() == on
    assert await run("system", "off") == 0
    assert await run("system", "on", "--if-wanted", "--config", config) == 0
    assert world.state() == before


async def test_service_waits_for_a_network_as_long_as_it_is_wanted(
    use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = use("resolved 252")
    ways = iter([None, None, Way("192.0.2.7")])
    monkeypatch.setattr("secdns.cli.system.ELSEWHERE", ("192.0.2.1",))
    monkeypatch.setattr("secdns.network.ways.by_socket", lambda address: next(ways))
    wish.note(world.machine())
    assert is_wanted_with_a_network(world.machine()) is True
    assert list(ways) == []
    monkeypatch.setattr("secdns.network.ways.by_socket", lambda address: wish.forget(world.machine()))
    assert is_wanted_with_a_network(world.machine()) is False


async def test_service_tries_again_and_then_says_why_not(
    use: Use, config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = use("resolved 252")
    before = world.state()
    monkeypatch.setattr(proof, "look_up", lambda name: [])
    monkeypatch.setattr(proof, "SETTLE_S", 0.0)
    monkeypatch.setattr("secdns.cli.system.ELSEWHERE", ("127.0.0.1",))
    wish.note(world.machine())
    assert await run("system", "on", "--if-wanted", "--config", config) == 69
    told = capsys.readouterr().err
    assert told.count("secdns: warning: names do not go through secdns") == 3
    assert told.count("secdns: error: names do not go through secdns") == 1
    assert world.state() == before


async def test_program_that_keeps_rewriting_is_overruled_three_times_and_then_named(
    use: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = use("openresolv")
    theirs = "# Generated by dhcpcd from eth0.dhcp\nnameserver 10.9.0.7\n"

    def rewritten_once_it_is_proven(servers: object, look_up: object) -> None:
        world.file("/etc/resolv.conf", theirs)

    monkeypatch.setattr("secdns.cli.system.wanted_settings", lambda file: US)
    monkeypatch.setattr(proof, "why_not", rewritten_once_it_is_proven)
    monkeypatch.setattr("secdns.cli.system.ELSEWHERE", ("127.0.0.1",))
    assert await run("system", "on") == 0
    capsys.readouterr()
    assert await run("system", "on", "--if-overruled") == 0
    told = capsys.readouterr().err
    for count in (1, 2, 3):
        assert f"dhcpcd rewrote /etc/resolv.conf: secdns was set again ({count} of 3 times)" in told
    assert "it controls DNS now, and secdns stands aside\n" in told
    assert "secdns: hint: let it leave DNS alone" in told
    assert world.text("/etc/resolv.conf") == theirs
    assert await run("system", "status") == 0
    said = capsys.readouterr().out
    assert said.startswith("aside: dhcpcd rewrote /etc/resolv.conf, each time secdns was set again;")
    assert "the next start of the machine turns it on again" in said
    on = world.state()
    assert await run("system", "on", "--if-wanted") == 0
    assert "secdns stands aside" in capsys.readouterr().err
    assert world.state() == on


async def test_failure_to_set_it_again_is_tried_a_few_times_and_told(
    use: Use,
    closed_port: int,
    config: str,
    listening: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = use("resolved 252")
    monkeypatch.setattr(proof, "look_up", look_up_of(world, listening))
    monkeypatch.setattr("secdns.cli.system.ELSEWHERE", ("127.0.0.1",))
    assert await run("system", "on", "--config", config) == 0
    assert await run("system", "on", "--if-overruled", "--config", config) == 0  # nothing is wrong
    capsys.readouterr()
    before = world.state()
    file = tmp_path / "closed.toml"
    file.write_text(f'[server]\nlisten = ["127.0.0.1:{closed_port}"]\n')
    assert await run("system", "on", "--if-overruled", "--config", str(file)) == 69
    told = capsys.readouterr().err
    assert told.count("secdns: warning: secdns does not answer") == 3
    assert told.count("secdns: error: secdns does not answer") == 1
    assert world.state() == before


@pytest.mark.parametrize("name", REFUSED)
async def test_resolv_conf_that_cannot_be_replaced_ends_on_with_73(
    name: str, use: Use, config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.cli.system.wanted_settings", lambda file: US)
    world = use("plain file")
    spoil, message, remedy = REFUSED[name]
    spoil(world)
    before = world.state()
    assert await run("system", "on") == 73
    told = capsys.readouterr().err
    assert message in told
    assert "nothing was changed\nsecdns: hint: " in told
    assert remedy in told
    assert world.state() == before


@pytest.mark.parametrize("name", BAD)
async def test_journal_that_cannot_be_used_ends_every_command_with_73(
    name: str, use: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.cli.system.wanted_settings", lambda file: US)
    monkeypatch.setattr(proof, "why_not", lambda servers, look_up: None)
    world = use("plain file")
    monkeypatch.setattr("secdns.osdns.rescue.Machine", lambda: world.machine())
    assert await run("system", "on") == 0
    spoil, message, remedy = BAD[name]
    spoil(world)
    before = world.state()
    capsys.readouterr()
    for command in (["system", "on"], ["system", "off"], ["system", "status"], ["rescue"]):
        assert await run(*command) == 73
        told = capsys.readouterr().err
        assert message in told
        assert "/var/lib/secdns-system" in told
        assert "nothing was changed\nsecdns: hint: " in told
        assert remedy in told
    assert world.state() == before


async def test_wish_that_cannot_be_kept_is_said_and_no_failure(
    use: Use,
    config: str,
    listening: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = use("resolved 252")
    monkeypatch.setattr(proof, "look_up", look_up_of(world, listening))

    def full(machine: Machine) -> None:
        raise OSError(28, "No space left on device", wish.place())

    monkeypatch.setattr(wish, "note", full)
    assert await run("system", "on", "--config", config) == 0
    assert "no later start of the service sets it again: " in capsys.readouterr().err


async def test_dry_run_changes_nothing(use: Use, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    world = use("resolved 262")
    before = world.state()
    assert await run("system", "on", "--dry-run", "--config", config) == 0
    said = capsys.readouterr()
    assert "would be told" in said.err
    assert "write /run/systemd/dns-delegate.d/secdns.dns-delegate" in said.err
    assert world.state() == before


async def test_path_that_leads_elsewhere_is_taken_back_with_69(
    use: Use, config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = use("resolved 252")
    before = world.state()
    monkeypatch.setattr(proof, "look_up", lambda name: [])
    monkeypatch.setattr(proof, "SETTLE_S", 0.0)
    assert await run("system", "on", "--config", config) == 69
    told = capsys.readouterr().err
    assert "secdns: error: names do not go through secdns: the system could not find a name" in told
    assert "everything is as it was before" in told
    assert world.state() == before


async def test_silent_daemon_changes_nothing_and_ends_with_69(
    use: Use, closed_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = use("resolved 252")
    before = world.state()
    file = tmp_path / "closed.toml"
    file.write_text(f'[server]\nlisten = ["127.0.0.1:{closed_port}"]\n')
    assert await run("system", "on", "--config", str(file)) == 69
    told = capsys.readouterr().err
    assert f"secdns does not answer at 127.0.0.1 port {closed_port}: Connection refused: nothing" in told
    assert "secdns: hint: start it first: sudo systemctl start secdns" in told
    assert world.state() == before
    assert not (world.root / "run/secdns-system").exists()


async def test_ordinary_user_is_told_the_command_and_77(
    use: Use, config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ordinary(Fake):
        def may_change(self) -> bool:
            return False

    world = use("resolved 252", Ordinary)
    before = world.state()
    monkeypatch.setattr(sys, "argv", ["/opt/secdns/bin/secdns"])
    assert await run("system", "on", "--config", config) == 77
    assert (
        f"secdns: hint: sudo /opt/secdns/bin/secdns system on --config {config}\n" in capsys.readouterr().err
    )
    assert await run("system", "off") == 77
    assert "secdns: hint: sudo /opt/secdns/bin/secdns system off\n" in capsys.readouterr().err
    assert world.state() == before


async def test_port_that_resolv_conf_cannot_name_ends_with_73(
    use: Use, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use("plain file")
    assert await run("system", "on", "--config", config) == 73
    assert 'secdns: hint: let it listen there: listen = ["127.0.0.1:53"]' in capsys.readouterr().err


async def test_status_as_json_has_the_keys_that_the_manual_has(
    use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use("resolved 252")
    assert await run("system", "status", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "state": "off",
        "words": "off: names are looked up as systemd-resolved has it, without secdns",
        "remedy": None,
        "controllers": ["systemd-resolved"],
        "named": ["127.0.0.53"],
        "network": {"servers": ["10.9.0.1", "10.9.0.2"], "search": ["lan.example"]},
        "journal": None,
        "since_s": None,
        "wanted": False,
        "trace": found["trace"],
    }
    manual = (Path(__file__).parents[2] / "packaging/man/secdns.1").read_text("utf-8")
    section = manual.partition(".Nm Cm system status Fl Fl json\n")[2].partition(".Pp\n")[0]
    for key in found:
        assert key in section


async def test_default_address_that_does_not_answer_is_left_out(
    use: Use, listening: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``[::1]`` on a machine without IPv6: nobody asked for it."""
    default = configuration.default()
    listen = tuple(ListenAddress(host, listening.port, True) for host in ("127.0.0.9", "127.0.0.1"))
    changed = replace(default, server=replace(default.server, listen=listen))
    monkeypatch.setattr(configuration, "default", lambda: changed)
    monkeypatch.setattr("secdns.paths.system_config_file", lambda: Path("/nonexistent"))
    got = await asyncio.to_thread(wanted_settings, None)
    assert got.servers == (listening,)


def test_rescue_as_a_click_command_is_the_same(
    use: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = use("plain file")
    monkeypatch.setattr("secdns.osdns.rescue.Machine", lambda: world.machine())
    assert rescue.callback is not None
    assert rescue.callback(for_now=False) == 0
    assert main(["rescue"]) == 0
    assert capsys.readouterr().out.count("there is no journal") == 2
