"""`secdns use`: choose the upstream while the daemon runs."""

from dataclasses import asdict

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit


@click.command(epilog=talking.EXIT_CODES)
@click.argument("name", required=False)
@click.option("--configured", is_flag=True, help="Go back to the order of the configuration.")
@talking.options
def use(name: str | None, configured: bool, socket: str | None, as_json: bool) -> int:
    """Ask the upstream NAME first from now on, also after a restart.

    It is one of the configuration or a built-in one; the configured ones help when it fails.
    `secdns upstreams` lists the built-in ones.
    """
    if (name is None) is not configured:
        raise click.UsageError("want the NAME of an upstream, or --configured")
    got = talking.client(socket).use(name)
    if as_json:
        terminal.out_json(asdict(got))
    elif name is None:
        terminal.out(f"upstreams are asked in the order of the configuration: {got.upstream.name} first")
    else:
        terminal.out(f"{name} is asked first from now on")
    return Exit.OK
