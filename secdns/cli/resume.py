"""`secdns resume`: end a pause."""

from dataclasses import asdict

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit


@click.command(epilog=talking.EXIT_CODES)
@talking.options
def resume(socket: str | None, as_json: bool) -> int:
    """End a pause, or the time to sign in: questions go encrypted again."""
    got = talking.client(socket).resume()
    if as_json:
        terminal.out_json(asdict(got))
    else:
        terminal.out(f"not paused now; {got.state}: {got.sentence}")
    return Exit.OK
