"""`secdns status`: whether the daemon runs, whether it is encrypted, and by whom."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit
from secdns.control import durations

if TYPE_CHECKING:
    from secdns.control.schema import Status, UpstreamInfo

EPILOG = """\b
Exit codes: 0 questions are answered, 4 there is no network, no upstream answers or somebody has to sign in
first, 64 usage, 69 no daemon runs.
"""


@click.command(epilog=EPILOG)
@talking.options
def status(socket: str | None, as_json: bool) -> int:
    """Tell whether secdns runs, whether it is encrypted, who is asked and what went wrong last."""
    got = talking.client(socket).status()
    if as_json:
        terminal.out_json(asdict(got))
    else:
        terminal.out(f"{got.state}: {got.sentence}")
        if got.remedy:
            terminal.out(f"  {got.remedy}")
        rows = list(_rows(got))
        width = max(len(title) for title, _ in rows)
        for title, text in rows:
            terminal.out(f"{title:{width}}  {text}")
    return Exit.NETWORK if got.state in ("offline", "blocked", "sign-in") else Exit.OK


def _rows(got: "Status") -> Iterator[tuple[str, str]]:
    counters = got.counters
    chosen = ", chosen with `secdns use`" if got.chosen else ""
    if got.system is not None:
        yield "system", got.system.sentence
        if got.system.remedy:
            yield "", got.system.remedy
    yield "upstream", _upstream(got.upstream) + chosen
    yield (
        "answers",
        f"{counters.hits} from the cache, {counters.local} made here, {counters.misses} by asking"
        + (f", {counters.stale} of them past their time" if counters.stale else ""),
    )
    if counters.plain:
        yield "in plain", f"{counters.plain} questions, to sign in, to check the network or during a pause"
    if got.portal is not None:
        yield "sign-in page", got.portal.url
    megabytes = got.cache.octets / (1 << 20), got.cache.limit_octets / (1 << 20)
    yield "cache", f"{got.cache.entries} answers, {megabytes[0]:.1f} of {megabytes[1]:g} MB"
    if got.problem is not None:
        yield "last problem", f"{talking.ago(got.problem.at)}: {got.problem.sentence}"
        if got.problem.remedy:
            yield "", got.problem.remedy
        if got.problem.can_allow and got.problem.name:
            yield "", f"to let it through: secdns dnssec allow {got.problem.name} --for 1h"
    yield "listens at", ", ".join(got.listen)
    yield (
        "runs for",
        f"{durations.shown(got.uptime_s)}, version {got.version}, configuration {got.configuration}",
    )


def _upstream(info: "UpstreamInfo") -> str:
    words = [info.name, info.protocol]
    if info.tls:
        words.append(info.tls)
    if info.p50_ms is not None and info.p95_ms is not None:
        words.append(f"half of its answers within {info.p50_ms:g} ms, 19 of 20 within {info.p95_ms:g} ms")
    return ", ".join(words)
