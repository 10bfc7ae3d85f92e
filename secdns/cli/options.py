"""The options that several commands have, each said once."""

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


ca_file = click.option(
    "--ca-file",
    metavar="F",
    type=click.Path(exists=True, dir_okay=False),
    help="Trust the authorities in this PEM file instead of the system's.",
)
config_file = click.option("--config", "config_file", metavar="FILE", help="Read this configuration.")
proxy = click.option(
    "--proxy",
    metavar="URL",
    help="Go through this SOCKS5 or HTTP proxy, such as socks5://127.0.0.1:9050.",
)
trust_anchors = click.option(
    "--trust-anchor",
    "anchors",
    metavar="RECORD",
    multiple=True,
    help='Begin at this DS or DNSKEY, such as ". IN DS 38696 8 2 …", instead of the configured ones.',
)


def addresses(what: str = "UPSTREAM") -> Callable[[F], F]:
    """Give ``--address``; ``what`` is reached there."""
    return click.option(
        "--address", "addresses", metavar="IP", multiple=True, help=f"Reach {what} at this address."
    )


def timeout(default_s: float, what: str = "Give up after S seconds in all") -> Callable[[F], F]:
    """Give ``--timeout``; ``what`` says what happens then."""
    return click.option(
        "--timeout",
        "timeout_s",
        metavar="S",
        type=click.FloatRange(0.1, 60),
        default=default_s,
        help=f"{what} ({default_s:g}).",
    )
