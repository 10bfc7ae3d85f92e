"""The Debian package, built once for all tests here, and the one after it."""

import subprocess
from pathlib import Path

import pytest

from tests.lab.package.building import Packages, build
from tests.lab.programs import find


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    made = []
    output = tmp_path_factory.mktemp("packages")
    for revision in ("1", "2"):
        done = build("--output", str(output), "--revision", revision, "--compression", "none")
        assert done.returncode == 0, done.stderr
        made.append(Path(done.stdout.strip()))
    return Packages(*made)


@pytest.fixture(scope="session")
def unpacked(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the package: its files, and DEBIAN with what dpkg reads of it."""
    directory = tmp_path_factory.mktemp("unpacked") / "root"
    subprocess.run(
        [find("dpkg-deb", "dpkg"), "--raw-extract", packages.first, directory], timeout=60, check=True
    )
    directory.chmod(0o755)
    return directory
