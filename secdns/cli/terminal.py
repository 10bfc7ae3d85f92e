"""Say things to a person: the only door from secdns to a terminal.

Results go to standard output, everything about them to standard error. Each line passes `escape`,
so that no name, certificate or Extended DNS Error from the network can move the cursor, set a
title, turn the text around or forge a second line, whichever command prints it. Tables are drawn
by rich where standard output is a terminal and are plain aligned text where it is not.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple, TextIO

from secdns.errors import ConfigError, Error

MESSAGE_LIMIT = 1025  # characters: the longest owner name as text, and more than any message of ours


def escape(text: str) -> str:
    r"""Make ``text`` harmless on one line of a terminal.

    Every character that is not printable (controls, line breaks, bidirectional and zero-width
    marks, unassigned ones) becomes the ``\DDD`` of its UTF-8 octets, as in RFC 1035 §5.1.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else _ddd(char) for char in text)


def out(line: str = "") -> None:
    """Print one line of a result."""
    _write(sys.stdout, line)


def out_json(value: object) -> None:
    """Print ``value`` as one JSON document, ASCII only."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def note(text: str) -> None:
    """Tell something about a result on standard error."""
    _write(sys.stderr, _short(text))


def error(text: str, hint: str | None = None) -> None:
    """Tell what went wrong, and below it the one thing that helps."""
    _write(sys.stderr, f"secdns: error: {_short(text)}")
    if hint:
        _write(sys.stderr, f"secdns: hint: {_short(hint)}")


def warn(text: str, hint: str | None = None) -> None:
    """Tell what is not as it should be although the command goes on."""
    _write(sys.stderr, f"secdns: warning: {_short(text)}")
    if hint:
        _write(sys.stderr, f"secdns: hint: {_short(hint)}")


def explain(failure: Error, *, goes_on: bool = False) -> None:
    """Tell a person about an exception of ours; a configuration may have several faults, one a line.

    ``goes_on`` makes it a warning.
    """
    say = warn if goes_on else error
    *first, last = str(failure).splitlines() if isinstance(failure, ConfigError) else [str(failure)]
    for line in first:
        say(line)
    say(last, failure.hint)


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person looks at ``stream`` and it can draw."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") != "dumb"
    except ValueError:  # closed by whoever started us
        return False


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> None:
    """Print a table; columns are meant by their numbers.

    Those of ``right`` are set flush right. Those of ``whole`` hold what a person copies: they are
    not folded however narrow the terminal is.
    """
    cells = [[escape(cell) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _rich_table(columns, cells, right, whole)
    else:
        _plain_table(columns, cells, right)


class Branch(NamedTuple):
    """One line of a tree, how deep it hangs, and the lines that belong to it.

    ``mood`` is one of "secure", "insecure", "bogus" and "indeterminate".
    """

    depth: int
    title: str
    details: Sequence[str]
    mood: str


_MOODS = {"secure": "green", "insecure": "yellow", "bogus": "bold red", "indeterminate": "magenta"}


def tree(branches: Sequence[Branch]) -> None:
    """Print branches below one another, each as far to the right as it is deep."""
    if is_terminal(sys.stdout):
        _rich_tree(branches)
        return
    for branch in branches:
        out("  " * branch.depth + branch.title)
        for line in branch.details:
            out("  " * branch.depth + "    " + line)


def settle_streams() -> None:
    """Keep a locale without some character from turning a message into a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _ddd(char: str) -> str:
    return "".join(f"\\{octet:03d}" for octet in char.encode("utf-8", "surrogatepass"))


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "…"


def _write(stream: TextIO, line: str) -> None:
    stream.write(escape(line) + "\n")
    stream.flush()


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    for row in (columns, *rows):
        cells = (
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        out("  ".join(cells).rstrip())


def _rich_tree(branches: Sequence[Branch]) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    root = Tree("", hide_root=True)
    open_nodes: list[tuple[int, Tree]] = [(-1, root)]
    for branch in branches:
        while open_nodes[-1][0] >= branch.depth:
            open_nodes.pop()
        node = open_nodes[-1][1].add(Text(escape(branch.title), style=_MOODS.get(branch.mood, "")))
        for line in branch.details:
            node.add(Text(escape(line), style="dim"))
        open_nodes.append((branch.depth, node))
    Console().print(root)


def _rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int], whole: Sequence[int]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for at, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if at in right else "left"
        drawn.add_column(Text(column), justify=justify, overflow="fold", no_wrap=at in whole)
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)
