"""`secdns check`: do names on this machine really go through secdns?"""

import sys
from typing import TYPE_CHECKING

import click

from secdns.cli import options, terminal
from secdns.cli.exits import Exit

if TYPE_CHECKING:  # loaded when the command runs
    from collections.abc import Sequence

    from secdns.cli.checks import Outcome
    from secdns.cli.health import Check, Looks

EPILOG = """\b
configuration    this machine's configuration can be used
listening        secdns answers where it should
daemon           what it says of itself: its state, and what it asks in which way
port-53          who else answers on port 53 of this machine, by name
system-resolver  the system's settings name secdns, and still do
look-up          a name that is looked up as programs do it arrives at secdns
other-resolvers  nobody else is asked, on any interface
ipv6-resolvers   nor is a resolver that the router announces by IPv6
upstream         it answers, and how
certificate      whose it is, who signed it, how long it is valid
dnssec-good      a signed name is checked and found genuine
dnssec-bogus     a name whose signatures are wrong is refused
clock            this machine's clock fits the signatures that came

\b
Exit codes: 0 nothing failed, 69 something did, 64 usage.
"""


@click.command(epilog=EPILOG)
@click.option("--name", metavar="NAME", help="Ask for this signed name instead of org.")
@click.option(
    "--bogus", metavar="NAME", help="Ask for this wrongly signed name instead of dnssec-failed.org."
)
@options.config_file
@click.option("--socket", metavar="PATH", help="Check the daemon whose local API is there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, see secdns(1).")
def check(
    name: str | None, bogus: str | None, config_file: str | None, socket: str | None, as_json: bool
) -> int:
    """Tell whether names on this machine really go through secdns, and what to do if not.

    Takes five seconds at most, changes nothing and needs no root, with which it can name more programs.
    Asked for are a random name that only secdns knows, one that exists and one that is signed wrongly
    on purpose.
    """
    from secdns.cli.health import is_good, judge

    outcomes = judge(look(name, bogus, config_file, socket))
    if as_json:
        terminal.out_json({"ok": is_good(outcomes), "checks": objects(outcomes)})
    else:
        for line in lines(outcomes):
            terminal.out(line)
    return Exit.OK if is_good(outcomes) else Exit.UNAVAILABLE


def look(name: str | None, bogus: str | None, config_file: str | None, socket: str | None = None) -> "Looks":
    """See all that there is to judge.

    Raises:
        FormatError: a name cannot be read.
    """
    from secdns.cli import health, looking
    from secdns.dns.name import from_text

    names = looking.Names(from_text(name or health.GOOD), from_text(bogus or health.BOGUS))
    return looking.look_around(config_file, names, platform=sys.platform, socket=socket)


def lines(outcomes: "Sequence[tuple[Check, Outcome]]") -> list[str]:
    """Give a line for each check, one more with the cure where it failed, and the sum of it."""
    from secdns.cli.checks import Result

    marks = {Result.PASS: "pass", Result.FAIL: "FAIL", Result.SKIPPED: "skipped"}
    width = max(len(each.name) for each, _ in outcomes)
    found = []
    for each, outcome in outcomes:
        found.append(f"{marks[outcome.result]:<7}  {each.name:<{width}}  {outcome.text}")
        if outcome.hint is not None:
            found.append(f"{'':<7}  {'':<{width}}  what to do: {outcome.hint}")
    bad = [each.name for each, outcome in outcomes if outcome.result is Result.FAIL]
    left_out = sum(outcome.result is Result.SKIPPED for _, outcome in outcomes)
    rest = f" ({left_out} could not be checked)" if left_out else ""
    found.append("")
    found.append(
        f"{len(bad)} of {len(outcomes)} failed: {', '.join(bad)}{rest}."
        if bad
        else f"Nothing is wrong: names on this machine go through secdns{rest}."
    )
    return found


def objects(outcomes: "Sequence[tuple[Check, Outcome]]") -> list[dict[str, object]]:
    """Give the array that secdns(1) documents."""
    return [
        {"name": each.name, "result": outcome.result.value, "text": outcome.text, "hint": outcome.hint}
        for each, outcome in outcomes
    ]
