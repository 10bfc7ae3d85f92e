"""The very same package with the Python of Debian 13."""

import subprocess
from pathlib import Path

import pytest

from tests.lab.package.building import ANSWERS, smoke
from tests.lab.programs import find
from tests.lab.tree import DEBIAN_13, debian_tree

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first one makes the tree

# The tree stays as it is; what is above it is in memory, and goes with the process.
_OVER_THE_TREE = """
mount -t tmpfs -o mode=755 changes "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" tree "$1/root"
place=$1
shift 2
exec chroot "$place/root" "$@"
"""


def test_every_transport_works_with_python_3_13(unpacked: Path, tmp_path: Path) -> None:
    tree = debian_tree(*DEBIAN_13)

    def do(*argv: str) -> str:
        above = [find("unshare", "util-linux"), "--mount", "sh", "-ec", _OVER_THE_TREE, "sh"]
        done = subprocess.run(
            [*above, str(tmp_path), f"{unpacked}:{tree}", *argv],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert do("python3", "--version").startswith("Python 3.13.")
    assert smoke(do) == ANSWERS
