"""Run one command line with click: every command but `secdns rescue`, which must do without."""

import errno
import os
import sys

import click

from secdns import errors
from secdns.cli import cli, terminal
from secdns.cli.exits import Exit

COMPLETION = "_SECDNS_COMPLETE"  # set by what `_SECDNS_COMPLETE=bash_source secdns` prints


_CONTROL = {
    "not-allowed": Exit.NOT_PERMITTED,
    "bad-request": Exit.USAGE,
    "unknown-name": Exit.USAGE,
    "internal": Exit.INTERNAL,
}


def run(args: list[str]) -> int:
    """Run one command and return its exit code; ``args`` are what follows the program's name.

    Errors of ours and of the command line become a line of `secdns: error:` and one of
    `secdns: hint:`. Ctrl-C and a reader that went away end in silence.
    """
    terminal.settle_streams()
    if COMPLETION in os.environ:  # a shell asks what could follow; click answers and exits
        cli.main(args, prog_name="secdns")
    try:
        code = _invoke(args)
        sys.stdout.flush()
        return code
    except click.UsageError as failure:
        _tell_usage(failure)
        return Exit.USAGE
    except click.ClickException as failure:
        terminal.error(_our_style(failure.format_message()))
        return Exit.USAGE
    except errors.Error as failure:
        terminal.explain(failure)
        return _exit_code(failure)
    except (click.Abort, EOFError, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except OSError as failure:
        if failure.errno != errno.EPIPE:
            raise
        _drop_output()
        return Exit.BROKEN_PIPE


def _invoke(args: list[str]) -> int:
    """Run the command. click's own main() would end the process when a pipe breaks."""
    try:
        with cli.make_context("secdns", args) as ctx:
            return int(cli.invoke(ctx) or 0)
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code


def _exit_code(failure: errors.Error) -> Exit:
    match failure:
        case errors.ConfigError():
            return Exit.CONFIG
        case errors.ControlError():
            return _CONTROL.get(failure.code, Exit.UNAVAILABLE)
        case errors.ListenError() | errors.NotInForceError():
            return Exit.UNAVAILABLE
        case errors.NotPermittedError():
            return Exit.NOT_PERMITTED
        case errors.SettingsError():
            return Exit.CANNOT_WRITE
        case errors.TransportError():
            return Exit.NETWORK
        case errors.EndpointError() | errors.FormatError():
            return Exit.USAGE
        case _:
            return Exit.INTERNAL


def _tell_usage(failure: click.UsageError) -> None:
    path = failure.ctx.command_path if failure.ctx is not None else "secdns"
    hint = getattr(failure, "hint", None) or f"see `{path} --help`"
    terminal.error(_our_style(failure.format_message()), hint)


def _our_style(message: str) -> str:
    """Lower the first letter (not of AXFR) and drop the period, which click's own messages have."""
    text = " ".join(message.split()).removesuffix(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _drop_output() -> None:
    """Let the interpreter flush into nothing at exit, rather than complain about the pipe."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, sys.stdout.fileno())
    finally:
        os.close(nothing)
