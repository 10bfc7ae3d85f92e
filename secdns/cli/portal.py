"""`secdns portal`: sign in to a network that lets nobody through before."""

from dataclasses import asdict

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit
from secdns.control import durations


@click.command(epilog=talking.EXIT_CODES)
@talking.options
def portal(socket: str | None, as_json: bool) -> int:
    """Let names go out UNENCRYPTED for five minutes at most, so that this network's sign-in page opens.

    It is refused while an encrypted upstream can be reached, and ends by itself when one can be. The
    network's own resolver answers meanwhile; nothing of that is checked or kept.
    """
    got = talking.client(socket).portal()
    if as_json:
        terminal.out_json(asdict(got))
        return Exit.OK
    terminal.out(f"open this in a browser, and sign in there: {got.url}")
    length = durations.shown(got.left_s or 0)
    hosts = ", ".join(got.resolvers)
    terminal.note(f"meanwhile, for {length} at most, every name is asked of {hosts}, unencrypted")
    terminal.note("it ends by itself with the first encrypted answer; to end it now: secdns resume")
    return Exit.OK
