"""README keeps its promises: it names every command and key, and what it shows to type works."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from secdns import config
from secdns.cli import COMMANDS, cli
from secdns.config import KEYS
from secdns.testing import Authority

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Give the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def section(title: str) -> str:
    """Give the text under a heading of the second level."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command and subcommand that does something, with its full name; the longer names first."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                sub = command.get_command(context, inner)
                assert sub is not None
                yield f"{name} {inner}", sub
        if command.params or not isinstance(command, click.Group):
            yield name, command


def options(command: click.Command) -> set[str]:
    """Give the options of a command, without --help."""
    return {opt for param in command.params if isinstance(param, click.Option) for opt in param.opts}


@pytest.mark.parametrize(("name", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_readme_has_every_command_with_every_option(name: str, command: click.Command) -> None:
    row = re.search(rf"^\| `secdns {name}\b.*$", section("Every command"), re.M)
    assert row is not None
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row[0])) == options(command)


@pytest.mark.parametrize(("table", "keys"), [pytest.param(*each, id=each[0]) for each in KEYS.items()])
def test_readme_has_every_key(table: str, keys: tuple[str, ...]) -> None:
    rows = re.findall(
        rf"^\| `{re.escape(table)}`(?: `(\w+)`)? \|", section("Every key of the configuration"), re.M
    )
    assert rows == (list(keys) or [""])


@pytest.mark.parametrize(
    "line",
    [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if re.match(r"(packaging/)?secdns ", line)
    ],
)
def test_command_that_readme_shows_can_be_typed(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    known = dict(commands())
    name = next(name for name in known if words[: len(name.split())] == name.split())
    known[name].make_context(name, words[len(name.split()) :])  # raises for what it does not know


@pytest.mark.parametrize("text", blocks("toml"))
def test_configuration_that_readme_shows_can_be_used(text: str, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(Authority().certificate_pem)
    config.parse(text.replace("/etc/ssl/my-ca.pem", str(ca_file)), "README.md")


def test_program_that_readme_shows_prints_what_readme_says() -> None:
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.stdout) == ("", "192.0.2.80 over tls\nSERVFAIL\n")
    for line in done.stdout.splitlines():
        assert f"`{line}`" in README


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"(?<![\w./])(?:packaging|tests|secdns)/[\w./-]+", README)))
)
def test_file_that_readme_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_defaults_that_readme_gives_are_those_in_force() -> None:
    told = dict(
        re.findall(
            r"^\| `\[+(\w+\]+` `\w+)` \| `([^`]+)` \|", section("Every key of the configuration"), re.M
        )
    )
    told = {key.replace("]` `", ".").replace("]", ""): value for key, value in told.items()}
    for key, value, _ in config.describe(config.default()):
        if not key.startswith("upstream["):
            assert told[key] == value
