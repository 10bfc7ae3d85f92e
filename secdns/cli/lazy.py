"""A click group whose commands are imported when they are invoked, and not before."""

import difflib
import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """A group of the commands in ``modules``: name -> (module, one line of help), in the order of the help.

    A command is an attribute of its module with the command's own name.
    """

    def __init__(self, *, modules: Mapping[str, tuple[str, str]], **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]  # click's own, passed on as they are
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return None
        command = getattr(importlib.import_module(self._modules[cmd_name][0]), cmd_name)
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
        close = difflib.get_close_matches(name, self._modules, n=1)
        nearest = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(self._modules)}"
        raise click.UsageError(f"no command {name!r}{nearest}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self._modules:
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._modules.items()])
