"""Text scripts: what a person types, and what must appear.

    # a comment
    $ secdns query www.example.test @{tls} --ca-file {ca}
    www.example.test  A  192.0.2.1   (300 s)
    answered by {tls} in [..] ms, DNS over TLS, TLSv1.3
    ! secdns: warning: a line on standard error
    ? 1

A line without a mark is one of standard output, ``!`` one of standard error and ``?`` the exit code,
which is 0 where none is given. ``[..]`` stands for anything within a line, ``...`` alone for any lines.
Names in braces are those of the `world` fixture. Commands run in this process, in a thread of their
own, while the testing upstream answers in the event loop.
"""

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from secdns.__main__ import main

SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a script with what it must print."""

    line: int
    command: str
    out: tuple[str, ...]
    err: tuple[str, ...]
    code: int


def steps(path: Path) -> Iterator[Step]:
    """Give the steps of a script."""
    text = path.read_text("utf-8")
    for block in re.split(r"^(?=\$ )", text, flags=re.M):
        if not block.startswith("$ "):
            continue
        first, *rest = [line for line in block.splitlines() if line and not line.startswith("#")]
        yield Step(
            line=text[: text.index(block)].count("\n") + 1,
            command=first[2:],
            out=tuple(line for line in rest if line[:2] not in ("! ", "? ")),
            err=tuple(line[2:] for line in rest if line.startswith("! ")),
            code=next((int(line[2:]) for line in rest if line.startswith("? ")), 0),
        )


def pattern(lines: tuple[str, ...]) -> str:
    """Give the regular expression for lines with wildcards."""
    parts = []
    for line in lines:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r".*?".join(re.escape(part) for part in line.split("[..]")) + r"\n")
    return "".join(parts)


def fill(text: str, world: dict[str, str]) -> str:
    """Put the names of the world in place of their braces."""
    return re.sub(r"\{(\w+)\}", lambda found: world[found[1]], text)


def without_empty_lines(text: str) -> str:
    """Drop empty lines, which scripts use to look tidy."""
    return "".join(line for line in text.splitlines(keepends=True) if line.strip())


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
async def test_script(path: Path, world: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for step in steps(path):
        words = shlex.split(fill(step.command, world))
        assert words[0] == "secdns"
        code = await asyncio.to_thread(main, words[1:])
        captured = capsys.readouterr()
        where = f"{path.name}:{step.line}: {step.command}\n{captured.out}{captured.err}"
        for want, got in ((step.out, captured.out), (step.err, captured.err)):
            filled = tuple(fill(line, world) for line in want)
            assert re.fullmatch(pattern(filled), without_empty_lines(got)), where
        assert code == step.code, where
