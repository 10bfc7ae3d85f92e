"""The entries for a desktop's menu and for the start of a session."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from secdns.cli import COMMANDS
from secdns.tray.icons import FOLDER

ROOT = Path(__file__).parents[2] / "packaging" / "desktop"
FILES = sorted(ROOT.rglob("*.desktop"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_desktop_entry_starts_a_command_that_there_is_with_an_icon_that_there_is(path: Path) -> None:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path, "utf-8")
    entry = parser["Desktop Entry"]
    program, command = shlex.split(entry["Exec"])
    assert (program, entry["TryExec"]) == ("secdns", "secdns")
    assert command in COMMANDS
    assert (FOLDER / f"{entry['Icon']}.svg").exists()


@pytest.mark.skipif(shutil.which("desktop-file-validate") is None, reason="needs: desktop-file-utils")
def test_desktop_entries_are_valid() -> None:
    done = subprocess.run(
        ["desktop-file-validate", *FILES], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
