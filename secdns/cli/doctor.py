"""`secdns doctor`: a report that can be pasted into a bug report."""

import secrets
from pathlib import Path

import click

from secdns.cli import options, terminal
from secdns.cli.exits import Exit

KEY_OCTETS = 16  # nobody tries all names with all keys


@click.command()
@click.option("--output", metavar="FILE", help="Write it to this new file, readable by you alone.")
@click.option("--name", metavar="NAME", help="Ask for this signed name instead of org.")
@click.option(
    "--bogus", metavar="NAME", help="Ask for this wrongly signed name instead of dnssec-failed.org."
)
@options.config_file
def doctor(output: str | None, name: str | None, bogus: str | None, config_file: str | None) -> int:
    """Write what a person who helps you wants to know, without names and addresses of yours.

    It has versions, the outcome of `secdns check`, who controls DNS, the configuration, and the last
    messages of the daemon. At its top it says what is in it and what was hidden. It is sent to nobody.
    """
    from secdns.cli.check import look
    from secdns.cli.health import judge
    from secdns.cli.looking import recent_messages
    from secdns.cli.report import report, write_new

    looks = look(name, bogus, config_file)
    text = report(looks, judge(looks), secrets.token_bytes(KEY_OCTETS), recent_messages())
    if output is None:
        for line in text.splitlines():
            terminal.out(line)
        return Exit.OK
    try:
        write_new(Path(output), text)
    except FileExistsError:
        terminal.error(f"{output} is already there and was left alone", hint="name a new file")
        return Exit.CANNOT_WRITE
    except OSError as failure:
        terminal.error(f"cannot write {output}: {failure.strerror}")
        return Exit.CANNOT_WRITE
    terminal.out(f"wrote {output}")
    terminal.note("read it, then send it along with what you saw and what you wanted")
    return Exit.OK
