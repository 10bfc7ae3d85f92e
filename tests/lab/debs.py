"""Single Debian packages, unpacked above a tree: for programs that conflict with one that is in it."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.lab.programs import find
from tests.lab.tree import NoTree, cache_directory

TIMEOUT_S = 60.0
"""How long a download may take: 2 s with a mirror near by."""

# A tree has these as links into /usr, and a directory in a layer would hide such a link.
_MERGED = ("bin", "lib", "sbin")


def unpack(package: str, layer: Path) -> None:
    """Put the files of a package for all architectures into a layer; none of its scripts is run.

    Raises:
        MissingProgram: dpkg-deb is not installed.
        NoTree: it cannot be downloaded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([find("dpkg-deb", "dpkg"), "--extract", _downloaded(package), scratch], check=True)
        for name in _MERGED:
            if (found := Path(scratch, name)).is_dir():
                shutil.copytree(found, Path(scratch, "usr", name), dirs_exist_ok=True)
                shutil.rmtree(found)
        shutil.copytree(scratch, layer, symlinks=True, dirs_exist_ok=True)
    layer.chmod(0o755)


def _downloaded(package: str) -> Path:
    """Give the package's file; it is kept beside the trees."""
    place = cache_directory() / "packages"
    if not (found := sorted(place.glob(f"{package}_*_all.deb"))):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            try:
                subprocess.run(
                    ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package],
                    cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                    timeout=TIMEOUT_S, check=True,
                )  # fmt: skip
            except subprocess.CalledProcessError as error:
                last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise NoTree(f"Debian's package {package}, which apt-get cannot download: {last}") from error
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NoTree(f"Debian's package {package}: {error}") from error
            found = [made.replace(place / made.name) for made in Path(scratch).glob("*_all.deb")]
    return found[-1]
