"""`secdns demo`: the whole program at work on one machine, without internet."""

import asyncio

import click

from secdns.errors import ListenError

DEFAULT_PORT = 5300  # not 5353, which mDNS holds on a desktop; if it is taken another one is used


@click.command()
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="Listen on this port of 127.0.0.1.")
@click.option("--once", is_flag=True, help="Ask for a few names, show what happens, and exit.")
def demo(port: int | None, once: bool) -> int:
    """Show secdns at work, with an upstream of its own and no internet.

    An upstream with DNS over TLS, DNS over HTTPS and a few zones is started on this machine, and
    the same daemon as `secdns run` in front of it. Every query is shown as it comes.
    """
    from secdns.cli import stage

    try:
        return asyncio.run(stage.play(port or DEFAULT_PORT, once=once))
    except ListenError:
        if port is not None:
            raise
    return asyncio.run(stage.play(0, once=once))  # 0: any free port
