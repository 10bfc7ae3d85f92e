"""`secdns config`: write, check and show the configuration."""

import json
import os
from importlib import resources
from pathlib import Path

import click

from secdns import paths
from secdns.cli import terminal
from secdns.cli.exits import Exit

TEMPLATE = "secdns.toml"


@click.group(invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> int | None:
    """Write, check or show the configuration."""
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return Exit.USAGE


@config.command()
@click.argument("path", required=False, metavar="[PATH]")
@click.option("--force", is_flag=True, help="Replace a file that is already there.")
def init(path: str | None, force: bool) -> int:
    """Write a configuration that explains every key, with nothing changed from the defaults."""
    target = Path(path) if path else paths.config_file_candidates()[0]
    text = (resources.files("secdns.cli") / TEMPLATE).read_text("utf-8")
    try:
        if not target.parent.exists():
            target.parent.mkdir(parents=True)
        write_new(target, text, force=force)
    except FileExistsError:
        terminal.error(
            f"{target} is already there and was left alone",
            hint=f"to replace it: secdns config init --force {target}",
        )
        return Exit.CANNOT_WRITE
    except OSError as failure:
        terminal.error(f"cannot write {target}: {failure.strerror}")
        return Exit.CANNOT_WRITE
    terminal.out(f"wrote {target}")
    terminal.note(f"edit it, then: secdns config check {target}")
    return 0


def write_new(target: Path, text: str, *, force: bool) -> None:
    """Write a file that everybody may read; ``force`` replaces an old one in one step.

    Nothing is written through a symbolic link.

    Raises:
        FileExistsError: something is there and ``force`` is not given.
        OSError: it cannot be written.
    """
    made = target.with_name(f".{target.name}.{os.getpid()}") if force else target
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.chmod(made, 0o644)  # whatever the umask: the daemon may run as another user
            os.fsync(file.fileno())
        if force:
            made.replace(target)
    except OSError:
        made.unlink(missing_ok=True)
        raise


@config.command()
@click.argument("path", required=False, metavar="[FILE]")
def check(path: str | None) -> int:
    """Tell whether a configuration can be used, without using it."""
    from secdns import config as configuration

    loaded = configuration.load(Path(path) if path else None)
    if loaded.lines or loaded is not configuration.default():
        terminal.out(f"{loaded.source}: can be used")
    else:
        terminal.out("there is no configuration file, the defaults hold")
    return 0


@config.command()
@click.argument("path", required=False, metavar="[FILE]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, see secdns(1).")
def show(path: str | None, as_json: bool) -> int:
    """Print every value that is in effect and where it comes from."""
    from secdns import config as configuration

    loaded = configuration.load(Path(path) if path else None)
    rows = configuration.describe(loaded)
    if as_json:
        terminal.out_json(
            [{"key": key, "value": json.loads(value), "origin": origin} for key, value, origin in rows]
        )
    else:
        terminal.table(("key", "value", "origin"), rows)
    return 0
