"""`secdns log`: what is asked, for who switched that on."""

import json

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit


@click.command(epilog=talking.EXIT_CODES)
@click.option("--follow", is_flag=True, help="Go on with each query as it is answered, until Ctrl-C.")
@talking.options
def log(follow: bool, socket: str | None, as_json: bool) -> int:
    """Show the last 200 queries with their outcome, if [log] names = true.

    They are kept in memory alone. With --json and --follow each line is an object of its own.
    """
    client = talking.client(socket)
    if not follow:
        lines = client.log()
        if as_json:
            terminal.out_json({"lines": list(lines)})
        for line in () if as_json else lines:
            terminal.out(line)
        return Exit.OK
    for _, query in client.events("log?follow=1"):
        if as_json:
            terminal.out(json.dumps(query))
        elif isinstance(query, dict):
            terminal.out(str(query.get("line")))
    return Exit.OK
