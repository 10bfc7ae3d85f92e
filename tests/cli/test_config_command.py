"""`secdns config init` writes a file with care."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from secdns.__main__ import main
from secdns.cli.config import write_new
from secdns.config import default, load


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_written_configuration_changes_nothing_and_everybody_may_read_it(
    home: Path, strict_umask: None
) -> None:
    assert main(["config", "init"]) == 0
    written = home / "secdns.toml"
    assert stat.S_IMODE(written.stat().st_mode) == 0o644
    assert load(written) == default()
    assert [path.name for path in home.iterdir()] == ["secdns.toml"]


def test_file_that_is_there_is_left_alone_l9(home: Path) -> None:
    written = home / "secdns.toml"
    written.write_text("# mine\n")
    assert main(["config", "init"]) == 73
    assert written.read_text() == "# mine\n"


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_nothing_is_written_through_a_symbolic_link_l9(tmp_path: Path, force: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "secdns.toml"
    target.write_text("# not ours\n")
    link.symlink_to(target)
    if force:
        write_new(link, "# ours\n", force=True)
        assert link.read_text() == "# ours\n"
    else:
        with pytest.raises(FileExistsError):
            write_new(link, "# ours\n", force=False)
    assert target.read_text() == "# not ours\n"


def test_dangling_link_counts_as_a_file_l9(tmp_path: Path) -> None:
    link = tmp_path / "secdns.toml"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        write_new(link, "# ours\n", force=False)
    assert not (tmp_path / "nowhere").exists()
