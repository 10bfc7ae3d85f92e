"""`secdns why`: why a name failed a moment ago."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from secdns.cli import talking, terminal
from secdns.cli.exits import Exit
from secdns.control import durations

if TYPE_CHECKING:
    from secdns.control.schema import Why


@click.command(epilog=talking.EXIT_CODES)
@click.argument("name")
@talking.options
def why(name: str, socket: str | None, as_json: bool) -> int:
    """Tell why NAME failed lately, who decides on it, and what the daemon holds of it.

    Failures are remembered in memory alone, the last 256. To look the name up and check it anew:
    secdns explain NAME
    """
    got = talking.client(socket).why(name)
    if as_json:
        terminal.out_json(asdict(got))
    else:
        _draw(got)
    return Exit.OK


def _draw(got: "Why") -> None:
    terminal.out(got.sentence)
    if got.remedy:
        terminal.out(got.remedy)
    if any(failure.can_allow for failure in got.failures) and got.waived_s is None:
        terminal.out(f"to let it through: secdns dnssec allow {got.name} --for 1h")
    if got.waived_s is not None:
        length = durations.shown(got.waived_s) if got.waived_s else "as long as the configuration says so"
        terminal.out(f"its signatures are not checked for {length}")
    if got.held and got.failures:
        terminal.out(f"answers are held for {', '.join(got.held)}")
    for failure in got.failures:
        terminal.out(f"  {talking.ago(failure.at)}, {failure.rrtype}: {failure.sentence}")
