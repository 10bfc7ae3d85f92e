"""`secdns dnssec`: exceptions from the check of signatures."""

from dataclasses import asdict

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit
from secdns.control import durations


@click.group(invoke_without_command=True)
@click.pass_context
def dnssec(ctx: click.Context) -> int | None:
    """Let a name through whose signatures do not fit, for a while."""
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return Exit.USAGE


@dnssec.command(epilog=talking.EXIT_CODES)
@click.argument("name")
@click.option(
    "--for",
    "for_s",
    metavar="TIME",
    type=talking.Duration(),
    default="1h",
    help="For so long (1h), at most 7d.",
)
@talking.options
def allow(name: str, for_s: int, socket: str | None, as_json: bool) -> int:
    """Do not check signatures of NAME and all below it for a while (RFC 7646).

    It ends by itself, and with the daemon. For longer there is negative_trust_anchors in the
    configuration.
    """
    got = talking.client(socket).allow(name, for_s)
    if as_json:
        terminal.out_json(asdict(got))
    else:
        length = durations.shown(got.for_s)
        terminal.out(f"signatures of {got.name} and all below it are not checked for {length}")
    return Exit.OK
