"""`secdns bench`: how fast upstreams answer from here, measured by asking them."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from secdns.cli import options, terminal
from secdns.cli.exits import Exit
from secdns.errors import TransportError

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.cli.measuring import Plan, Result
    from secdns.endpoint import Endpoint

LOCAL = "udp://127.0.0.1"
LOCAL_PATIENCE_S = 0.5  # a resolver that is running answers from its cache, or at once says no

#: names that many people ask for, so that asking them tells nobody anything
NAMES = (
    "example.com",
    "wikipedia.org",
    "debian.org",
    "python.org",
    "github.com",
    "mozilla.org",
    "kernel.org",
    "archive.org",
)

EPILOG = """\b
cold  the first answer on a fresh connection, with its TCP and TLS handshakes
warm  an answer over a connection that is already there
p50   half of the answers came within this time; p95: 19 of 20 did

\b
Exit codes: 0 at least one upstream answered, 4 none did, 64 usage.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[@UPSTREAM]...")
@click.option(
    "--queries",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Warm queries per upstream.",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="Queries that wait for an answer at the same time.",
)
@click.option(
    "--cold",
    metavar="N",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="Fresh connections per upstream.",
)
@click.option("--name", "names", metavar="NAME", multiple=True, help="Ask for this name; repeatable.")
@options.timeout(5.0, "Count a query as failed after S seconds")
@options.ca_file
@options.addresses("the upstreams")
@options.proxy
@options.config_file
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, see secdns(1).")
def bench(
    words: tuple[str, ...],
    queries: int,
    concurrency: int,
    cold: int,
    names: tuple[str, ...],
    timeout_s: float,
    ca_file: str | None,
    addresses: tuple[str, ...],
    proxy: str | None,
    config_file: str | None,
    as_json: bool,
) -> int:
    """Compare how fast upstreams answer from here.

    Of a built-in UPSTREAM every transport is measured. Without any the configured ones are compared,
    as they are configured, and the local resolver if one answers at 127.0.0.1:53.
    """
    from secdns.cli import asking, measuring
    from secdns.cli.query import make_question

    found = _endpoints(words, config_file, is_proxied=proxy is not None)
    chosen = asking.adjust(found, ca_file=ca_file, addresses=addresses, proxy=proxy)
    plan = measuring.Plan(
        questions=tuple(make_question(name, "A") for name in names or NAMES),
        cold=cold,
        warm=queries,
        concurrency=concurrency,
        timeout_s=timeout_s,
    )
    results = asyncio.run(_run(chosen, plan, with_local=not words))
    if as_json:
        terminal.out_json([result.to_json() for result in results])
    else:
        _print(results)
    return Exit.OK if any(result.answered for result in results) else Exit.NETWORK


def _endpoints(
    words: Sequence[str], config_file: str | None, *, is_proxied: bool = False
) -> tuple["Endpoint", ...]:
    from secdns.cli import asking

    for word in words:
        if not word.startswith("@"):
            raise click.UsageError(f"{word!r} is not an upstream, want @{word} or see secdns bench --help")
    if not words:
        return asking.choose(None, config_file)
    names = [word[1:] for word in words]
    found: dict[Endpoint, None] = {}
    for name in names:
        chosen = asking.choose(name, config_file)
        found |= dict.fromkeys(asking.every_transport(name, chosen, is_proxied=is_proxied))
    return tuple(found)


async def _run(chosen: Sequence["Endpoint"], plan: "Plan", *, with_local: bool) -> list["Result"]:
    """Measure one endpoint after the other, so that they do not slow each other down."""
    from secdns.cli.measuring import measure

    local = await _local_resolver(plan) if with_local else None
    results = []
    for endpoint in (*chosen, *([local] if local else [])):
        if terminal.is_terminal(sys.stderr):
            terminal.note(f"asking {endpoint.url} ...")
        results.append(await measure(endpoint, plan))
    return results


async def _local_resolver(plan: "Plan") -> "Endpoint | None":
    """Give the endpoint of a resolver on this machine, or None if none answers within half a second."""
    from secdns import endpoint as endpoints
    from secdns.cli.asking import ask_one

    local = endpoints.parse(LOCAL)
    deadline = asyncio.get_running_loop().time() + LOCAL_PATIENCE_S
    try:
        await ask_one(plan.questions[0], local, deadline=deadline, dnssec=False)
    except TransportError:
        return None
    return local


def _print(results: Sequence["Result"]) -> None:
    from secdns.cli.measuring import percentile

    rows = [
        (
            result.endpoint.url,
            _shown(percentile(result.cold_s, 50)),
            _shown(percentile(result.warm_s, 50)),
            _shown(percentile(result.warm_s, 95)),
            str(result.answered),
            str(result.failures),
        )
        for result in results
    ]
    columns = ("upstream", "cold p50", "warm p50", "warm p95", "answered", "failed")
    terminal.table(columns, rows, right=(1, 2, 3, 4, 5))
    for result in results:
        if result.why is not None:
            left_out = f", {result.skipped} queries left out" if result.skipped else ""
            terminal.warn(f"{result.endpoint.url}: {result.why}{left_out}")


def _shown(seconds: float | None) -> str:
    from secdns.cli.answer import milliseconds

    return "-" if seconds is None else milliseconds(seconds)
