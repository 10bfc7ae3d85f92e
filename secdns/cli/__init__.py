"""The command line of secdns.

`COMMANDS` lists every command in the order of the help page. A command's module is imported when
the command is invoked and not before, so that `secdns --version` stays as light as it looks.
Each command is a click command named like its module and returns an exit code.
"""

import click

from secdns import __version__
from secdns.cli.exits import Exit
from secdns.cli.lazy import LazyGroup

__all__ = ["COMMANDS", "cli"]

#: name: (module, one line of help); in the order in which a newcomer meets them
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("secdns.cli.demo", "Show secdns at work, with an upstream of its own and no internet."),
    "run": ("secdns.cli.run", "Answer this machine's DNS queries through encrypted upstreams."),
    "status": ("secdns.cli.status", "Tell whether it runs, is encrypted, and by whom."),
    "use": ("secdns.cli.use", "Choose the upstream while it runs."),
    "pause": ("secdns.cli.pause", "Let the network's own resolver answer for a while, unencrypted."),
    "portal": ("secdns.cli.portal", "Get to the page of a network that wants you to sign in first."),
    "resume": ("secdns.cli.resume", "End a pause, or the time to sign in."),
    "why": ("secdns.cli.why", "Tell why a name failed a moment ago."),
    "dnssec": ("secdns.cli.dnssec", "Let a name through whose signatures do not fit, for a while."),
    "flush": ("secdns.cli.flush", "Forget answers that are held."),
    "log": ("secdns.cli.log", "Show what is asked, if you switched that on."),
    "tray": ("secdns.cli.tray", "Show how secdns is as an icon in the panel, with a menu."),
    "query": ("secdns.cli.query", "Ask one question over an encrypted or plain transport."),
    "explain": ("secdns.cli.explain", "Show why a name is genuine, unsigned or refused (DNSSEC)."),
    "upstreams": ("secdns.cli.upstreams", "List the built-in upstreams and who runs them."),
    "bench": ("secdns.cli.bench", "Compare how fast upstreams answer from here."),
    "system": ("secdns.cli.system", "Make secdns this machine's resolver, or give the old one back."),
    "check": ("secdns.cli.check", "Tell whether names really go through secdns, and what to do if not."),
    "doctor": ("secdns.cli.doctor", "Write a report for who helps you, without names of yours."),
    "rescue": ("secdns.cli.rescue", "Put this machine's own DNS back, whatever else is broken."),
    "config": ("secdns.cli.config", "Write, check or show the configuration."),
}


@click.group(
    cls=LazyGroup,
    modules=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    epilog="A command tells more about itself with --help. Start with: secdns demo",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> int | None:
    """Resolve names for this machine over encrypted DNS."""
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return Exit.USAGE
