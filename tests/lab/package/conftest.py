"""The Debian package, built once for all tests here, and the one after it."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.package.building import Packages, build
from tests.lab.programs import find


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Processes that share the run share the packages: who comes second waits for the first."""
    top = tmp_path_factory.getbasetemp()
    output = (top.parent if "PYTEST_XDIST_WORKER" in os.environ else top) / "packages"
    output.mkdir(exist_ok=True)
    made = [output / "first", output / "second"]
    with (output / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for revision, note in enumerate(made, start=1):
            if not note.exists():
                done = build("--output", str(output), "--revision", str(revision), "--compression", "none")
                assert done.returncode == 0, done.stderr
                note.write_text(done.stdout.strip())
    return Packages(*(Path(note.read_text()) for note in made))


@pytest.fixture(scope="session")
def unpacked(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the package: its files, and DEBIAN with what dpkg reads of it."""
    directory = tmp_path_factory.mktemp("unpacked") / "root"
    subprocess.run(
        [find("dpkg-deb", "dpkg"), "--raw-extract", packages.first, directory], timeout=60, check=True
    )
    directory.chmod(0o755)
    return directory
