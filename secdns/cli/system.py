"""`secdns system`: make secdns the resolver of this machine, and give the old one back."""

import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secdns.cli import options, terminal
from secdns.cli.exits import Exit
from secdns.errors import NotInForceError, NotPermittedError, SettingsError

WAIT_S = 1.0  # between two looks for a network
AGAIN_S = (2.0, 5.0, 15.0)  # before the service's second, third and fourth try
DEFEND_AGAIN_S = (1.0, 2.0, 4.0)  # the same against another program, which does not give up either
# Documentation addresses (RFC 5737, RFC 3849): a way to them is a way to everywhere. Nothing is sent.
ELSEWHERE = ("192.0.2.1", "2001:db8::1")

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.osdns.machine import Machine
    from secdns.osdns.plan import DNSSettings
    from secdns.osdns.status import Status
    from secdns.osdns.switch import Prospect


@click.group(invoke_without_command=True)
@click.pass_context
def system(ctx: click.Context) -> int | None:
    """Make secdns this machine's resolver, or give the old one back."""
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return Exit.USAGE


@system.command()
@options.config_file
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and change nothing.")
@click.option(
    "--if-wanted",
    is_flag=True,
    help="Only if it was turned on and not off since; wait for a network. The service's start does this.",
)
@click.option(
    "--if-overruled",
    is_flag=True,
    help="Only if another program has changed it since; stand aside if it keeps on. The service does this.",
)
def on(config_file: str | None, dry_run: bool, if_wanted: bool, if_overruled: bool) -> int:
    """Let every program on this machine look names up through secdns.

    secdns has to run already. What is there now is written down first; then the settings are
    changed, and if names do not go through secdns then, all of it is taken back at once.

    It stays so until `secdns system off`: where secdns runs as a service, every start of it
    sets it again.
    """
    machine = this_machine()
    if if_wanted:
        return turn_on_again(machine, config_file)
    if if_overruled:
        return defend(machine, config_file)
    return _turn_on(machine, config_file, dry_run=dry_run)


def turn_on_again(machine: "Machine", config_file: str | None) -> int:
    """Turn on what was on before the service stopped, as soon as there is a network.

    It is tried a few times: right after the start of a machine, others are still at work on DNS.
    """
    from secdns.osdns import contest

    for pause_s in (*AGAIN_S, None):
        if not is_wanted_with_a_network(machine):
            break
        if aside := contest.load(machine).aside:
            terminal.warn(contest.in_words(aside), contest.REMEDY)
            break
        try:
            return _turn_on(machine, config_file, if_wanted=True)
        except SettingsError as error:
            if pause_s is None or isinstance(error, NotPermittedError):
                raise
            terminal.explain(error, goes_on=True)
            machine.pause(pause_s)
    return Exit.OK


def defend(machine: "Machine", config_file: str | None) -> int:
    """Set it again if another program has changed it, a few times; then say who it is and stand aside."""
    from secdns.osdns import contest, defence, proof
    from secdns.osdns.contest import Move

    pauses, has_tried = iter(DEFEND_AGAIN_S), False
    while is_wanted_with_a_network(machine):
        try:
            settings = wanted_settings(config_file)
            if not has_tried and not defence.is_overruled(machine, settings, sys.platform):
                break
            _be_interrupted_by_more()
            has_failed, has_tried = has_tried, True
            done = defence.defend(
                machine,
                settings,
                lambda found=settings: proof.why_not(found.servers, proof.look_up),  # type: ignore[misc]
                platform=sys.platform,
                now=int(time.time()),
                has_failed=has_failed,
            )
        except SettingsError as error:
            pause_s = next(pauses, None)
            if pause_s is None or isinstance(error, NotPermittedError):
                raise
            terminal.explain(error, goes_on=True)
            machine.pause(pause_s)
            continue
        if done.move is Move.AGAIN:
            terminal.warn(f"{done.words}: secdns was set again ({done.count} of {contest.TIMES} times)")
            has_tried = False
        elif done.move is Move.ASIDE:
            terminal.warn(contest.in_words(done.words), contest.REMEDY)
            break
        else:
            break
    return Exit.OK


def _turn_on(
    machine: "Machine", config_file: str | None, *, dry_run: bool = False, if_wanted: bool = False
) -> int:
    from secdns.osdns import contest, journal, proof, switch, wish

    settings = wanted_settings(config_file)
    earlier = next((record for _, record in journal.found(machine)), None)
    prospect = switch.prospect(machine, settings, sys.platform, earlier)
    if earlier is not None and switch.why_not_in_force(machine, earlier, prospect) is None:
        terminal.note("secdns is this machine's resolver already; looking whether names arrive")
    else:
        _announce(prospect, settings, dry_run=dry_run)
    if dry_run:
        return Exit.OK
    _insist_on_root(machine, "on" if config_file is None else f"on --config {config_file}")
    _be_interrupted_by_more()
    switch.turn_on(
        machine,
        settings,
        lambda: proof.why_not(settings.servers, proof.look_up),
        platform=sys.platform,
        now=int(time.time()),
        if_wanted=if_wanted,
    )
    if if_wanted and (not wish.is_there(machine) or contest.load(machine).aside):
        return Exit.OK
    terminal.out("on: a name that was looked up as programs do it has arrived at secdns")
    try:
        wish.note(machine)
    except (OSError, SettingsError) as error:
        terminal.warn(f"no later start of the service sets it again: {error}")
    terminal.note(
        "to give the old settings back: sudo secdns system off; if all else fails: sudo secdns rescue"
    )
    return Exit.OK


@system.command()
def off() -> int:
    """Put the settings back that were there before `secdns system on`."""
    from secdns.osdns import switch

    machine = this_machine()
    _insist_on_root(machine, "off")
    left = switch.turn_off(machine)
    if left is None:
        terminal.out("off: secdns has changed nothing here, or it has been put back already")
        return Exit.OK
    terminal.out("off: the system's DNS settings are as they were before secdns")
    for sentence in left:
        terminal.warn(sentence)
    return Exit.OK


@system.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, see secdns(1).")
def status(as_json: bool) -> int:
    """Tell who controls DNS on this machine."""
    from secdns.osdns import proof
    from secdns.osdns.status import look

    found = look(
        this_machine(),
        sys.platform,
        lambda server: proof.ask(server, proof.fresh_name()),
    )
    if as_json:
        terminal.out_json(_object(found))
    else:
        _tell(found)
    return Exit.OK


def is_wanted_with_a_network(machine: "Machine") -> bool:
    """Wait until there is a network and give True; False as soon as nobody wants secdns on.

    Without a network systemd-resolved asks nobody, secdns neither, and nothing can be proven.
    """
    from secdns.network.ways import by_socket
    from secdns.osdns import wish

    while wish.is_there(machine):
        if any(by_socket(address) is not None for address in ELSEWHERE):
            return True
        machine.pause(WAIT_S)
    return False


def this_machine() -> "Machine":
    """Give the machine that is changed."""
    from secdns.osdns.machine import Machine

    return Machine()


def wanted_settings(config_file: str | None) -> "DNSSettings":
    """Give where the daemon of this machine listens and answers; loopback addresses if it has any.

    The machine's own configuration says so, also to a person who has another. An address that
    nobody asked for, ``[::1]`` by default, is left out if the daemon does without it.

    Raises:
        ConfigError: the configuration cannot be used.
        NotInForceError: secdns does not answer where it should.
    """
    from secdns import config, paths
    from secdns.listener import is_loopback
    from secdns.osdns import proof
    from secdns.osdns.plan import DNSSettings, Server

    path = Path(config_file) if config_file else paths.system_config_file()
    loaded = config.load(path) if config_file or path.exists() else config.default()
    listen = [each for each in loaded.server.listen if is_loopback(each.host)] or loaded.server.listen
    answering = []
    failures = []
    for address in listen:
        server = Server(address.host, address.port)
        try:
            proof.ask(server, proof.fresh_name())
        except NotInForceError as error:
            if not address.is_default:
                raise _with_hint(error) from error
            failures.append(error)
        else:
            answering.append(server)
    if not answering:
        raise _with_hint(failures[0]) from failures[0]
    return DNSSettings(tuple(answering))


def _with_hint(error: NotInForceError) -> NotInForceError:
    hint = "start it first: sudo systemctl start secdns, or sudo secdns run; its messages say what is wrong"
    return NotInForceError(f"{error}: nothing was changed", hint=hint)


def _be_interrupted_by_more() -> None:
    """Let a closed terminal and a service manager interrupt like Ctrl-C does: all is taken back then."""
    with contextlib.suppress(ValueError):  # not in the main thread, which is where signals arrive
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, signal.default_int_handler)


def _insist_on_root(machine: "Machine", command: str) -> None:
    if not machine.may_change():
        from secdns.osdns.rescue import own_command

        raise NotPermittedError(
            "only root may change the system's DNS settings: nothing was changed",
            hint=f"sudo {own_command()} system {command}",
        )


def _announce(prospect: "Prospect", settings: "DNSSettings", *, dry_run: bool) -> None:
    """Say who controls DNS and what will be done to it."""
    for sentence in prospect.detection.trace:
        terminal.note(f"  {sentence}")
    titles = " and ".join(backend.title for backend in prospect.backends)
    servers = " and ".join(str(server) for server in settings.servers)
    would = "would" if dry_run else "will"
    terminal.note(f"{titles} {would} be told to ask {servers}:")
    for sentence in prospect.words():
        terminal.note(f"  {sentence}")
    lasts = (
        "until you take it back, or the next start of the machine; its service, if any, sets it again"
        if prospect.volatile
        else "until you take it back, also after a restart of the machine"
    )
    terminal.note(f"this lasts {lasts}")


def _tell(found: "Status") -> None:
    from secdns.osdns.status import ASIDE

    terminal.out(found.words)
    named = ", ".join(found.named) or "nobody"
    terminal.out(f"  /etc/resolv.conf names {named}")
    network = ", ".join(str(server) for server in found.network.servers) or "no server"
    search = f", search {' '.join(found.network.search)}" if found.network.search else ""
    terminal.out(f"  the network itself names {network}{search}")
    if found.journal is not None:
        terminal.out(f"  what was there before is in {found.journal}")
    if found.state == ASIDE:
        terminal.out("  the next start of the machine turns it on again, until `secdns system off`")
    elif found.wanted:
        terminal.out("  every start of the service turns it on, until `secdns system off`")
    for sentence in found.trace:
        terminal.out(f"  {sentence}")
    if found.remedy:
        terminal.note(f"secdns: hint: {found.remedy}")


def _object(found: "Status") -> dict[str, object]:
    return {
        "state": found.state,
        "words": found.words,
        "remedy": found.remedy or None,
        "controllers": list(found.controllers),
        "named": list(found.named),
        "network": {
            "servers": [str(server) for server in found.network.servers],
            "search": list(found.network.search),
        },
        "journal": found.journal,
        "since_s": found.since_s,
        "wanted": found.wanted,
        "trace": list(found.trace),
    }
