"""`secdns flush`: forget answers."""

from dataclasses import asdict

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit


@click.command(epilog=talking.EXIT_CODES)
@click.argument("name", required=False)
@talking.options
def flush(name: str | None, socket: str | None, as_json: bool) -> int:
    """Forget all answers that are held, or those for NAME and all below it."""
    got = talking.client(socket).flush(name)
    if as_json:
        terminal.out_json(asdict(got))
    else:
        terminal.out(f"forgot {got.dropped} answer{'' if got.dropped == 1 else 's'}")
    return Exit.OK
