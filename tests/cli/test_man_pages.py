"""The manual pages know every command, option, exit code and key."""

import json
import re
import subprocess
from pathlib import Path

import click
import pytest

from secdns.cli import COMMANDS, cli
from secdns.cli.exits import Exit
from secdns.config import KEYS
from tests.lab.programs import find

MAN = Path(__file__).parents[2] / "packaging" / "man"
PAGES = ("secdns.1", "secdns.toml.5")


def plain(page: str) -> str:
    """Give a page's source with its macros taken off, words separated by single spaces."""
    words = []
    for line in (MAN / page).read_text("utf-8").splitlines():
        words += [word for word in line.split() if not re.fullmatch(r"\.?[A-Z][a-z]", word)]
    return " ".join(words).replace("Fl Fl ", "--")


def commands() -> list[tuple[str, click.Command]]:
    """List every command and subcommand with its full name."""
    context = click.Context(cli)
    found = []
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                sub = command.get_command(context, inner)
                assert sub is not None
                found.append((f"{name} {inner}", sub))
    return found


@pytest.mark.parametrize(("name", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_manual_has_every_command_with_its_options(name: str, command: click.Command) -> None:
    source = (MAN / "secdns.1").read_text("utf-8")
    start = re.search(rf"^\.Ss {re.escape(name)}$", source, re.M)
    if isinstance(command, click.Group) and not command.params:  # its subcommands have the sections
        assert start is None
        return
    assert start is not None
    section = re.split(r"^\.S[sh] ", source[start.end() :], maxsplit=1, flags=re.M)[0]
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            macro = "Fl Fl " + option[2:] if option.startswith("--") else "Fl " + option[1:]
            assert re.search(rf"^\.It .*{macro}\b", section, re.M), option


@pytest.mark.parametrize("code", list(Exit), ids=lambda code: code.name)
def test_manual_has_every_exit_code(code: Exit) -> None:
    assert re.search(rf"^\.It {code.value}$", (MAN / "secdns.1").read_text("utf-8"), re.M)


@pytest.mark.parametrize(("table", "keys"), [pytest.param(*each, id=each[0]) for each in KEYS.items()])
def test_manual_has_every_key(table: str, keys: tuple[str, ...]) -> None:
    source = (MAN / "secdns.toml.5").read_text("utf-8")
    section = source.partition(f".Ss {table}\\&\n")[2].partition("\n.S")[0]
    assert section
    assert re.findall(r"^\.It Cm (\w+)", section, re.M) == list(keys)


@pytest.mark.needs("groff", package="groff-base")
@pytest.mark.parametrize("page", PAGES)
def test_manual_page_is_well_formed(page: str) -> None:
    done = subprocess.run(
        [find("groff"), "-mandoc", "-Tascii", "-ww", "-z", MAN / page],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_manual_has_every_key_of_the_json_object() -> None:
    help_text = cli.get_command(click.Context(cli), "query")
    assert help_text is not None
    for key in json_keys():
        assert re.search(rf"\b{key}\b", plain("secdns.1")), key
        assert key in str(help_text.epilog), key


def json_keys() -> list[str]:
    """Give the keys of the object that `query --json` prints, from the script that shows it."""
    script = (Path(__file__).parent / "scripts" / "query-forms.txt").read_text("utf-8")
    document = script.partition("$ secdns query --json alias")[2].partition("\n$ ")[0].partition("\n")[2]
    filled = document.replace("[..]", "null").replace('"TLS_null"', "null").strip()
    found = json.loads(filled)
    assert isinstance(found, dict)
    return list(found)
