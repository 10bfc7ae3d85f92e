"""The command line of secdns.

`COMMANDS` lists every command in the order of the help page. A command's module is imported when
the command is invoked and not before, so that `secdns --version` stays as light as it looks.
Each command is a click command named like its module and returns an exit code.
"""

import difflib
import importlib

import click

from secdns import __version__
from secdns.cli.exits import Exit

__all__ = ["COMMANDS", "cli"]

#: name: (module, one line of help); in the order in which a newcomer meets them
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("secdns.cli.demo", "Show secdns at work, with an upstream of its own and no internet."),
    "run": ("secdns.cli.run", "Answer this machine's DNS queries through encrypted upstreams."),
    "query": ("secdns.cli.query", "Ask one question over an encrypted or plain transport."),
    "explain": ("secdns.cli.explain", "Show why a name is genuine, unsigned or refused (DNSSEC)."),
    "upstreams": ("secdns.cli.upstreams", "List the built-in upstreams and who runs them."),
    "bench": ("secdns.cli.bench", "Compare how fast upstreams answer from here."),
    "config": ("secdns.cli.config", "Write, check or show the configuration."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is not None:
            return name, command, args[1:]
        if ctx.resilient_parsing:
            return None, None, args[1:]
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        nearest = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(COMMANDS)}"
        raise click.UsageError(f"no command {name!r}{nearest}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
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
