"""`secdns pause`: let the network's own resolver answer for a while."""

from dataclasses import asdict

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit
from secdns.control import durations


@click.command(epilog=talking.EXIT_CODES)
@click.argument("time", metavar="[TIME]", type=talking.Duration(), default="5m")
@talking.options
def pause(time: int, socket: str | None, as_json: bool) -> int:
    """Hand questions to the network's own resolver, UNENCRYPTED, for TIME: 30s, 5m (the default), 1h.

    Nothing is checked and nothing is kept meanwhile. It ends by itself when the time is over, also if the
    machine sleeps or the daemon restarts, and sooner with `secdns resume`.
    """
    got = talking.client(socket).pause(time)
    if as_json:
        terminal.out_json(asdict(got))
        return Exit.OK
    length = durations.shown(got.left_s)
    terminal.out(f"paused for {length}: questions go unencrypted to {', '.join(got.resolvers)}")
    terminal.note("it ends by itself; to end it now: secdns resume")
    return Exit.OK
