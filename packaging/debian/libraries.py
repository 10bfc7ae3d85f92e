"""Copy the libraries of secdns out of .venv, so that they run with any Python of Debian from OLDEST on.

    libraries.py DIRECTORY    copies them there, and prints the version of libc6 that they need

These are what pyproject.toml names, and what that needs in turn, for any of VERSIONS. A compiled module is
taken as it is if it is for the stable ABI, left out if there is the same in Python beside it, and else
fetched for each of VERSIONS: the name of its file tells Python which one is its own.
"""

import base64
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

OLDEST = 11  # Debian 12; of Python 3
VERSIONS = range(OLDEST, 16)  # Debian 13 has 3.13, Ubuntu 24.04 3.12
OLDEST_LIBC = 36  # Debian 12; of glibc 2
WHEELS = Path("build/debian/wheels")

_BUILD_WITH = f"build with the oldest, Python 3.{OLDEST}"

_STABLE = re.compile(r"cp3(\d+)-abi3-|py3-none-")
_LIBC = re.compile(r"manylinux_2_(\d+)_")
_OF_ONE_VERSION = re.compile(r"^(.+)\.cpython-3\d+-.+\.so$")
_NOT_RUN = {".c", ".h", ".pxd", ".pyc", ".pyx"}


def fail(error: str, hint: str) -> NoReturn:
    """End with words."""
    print(f"packaging/debian/libraries.py: error: {error}", file=sys.stderr)
    print(f"packaging/debian/libraries.py: hint: {hint}", file=sys.stderr)
    sys.exit(1)


def needed() -> list[metadata.Distribution]:
    """Give every library that secdns needs, directly or not, sorted by name."""
    found: dict[str, metadata.Distribution] = {}
    left = ["secdns"]
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            fail(f".venv has no {name}, which some Python needs", _BUILD_WITH)
        requirements = map(Requirement, found[name].requires or ())
        left += [canonicalize_name(each.name) for each in requirements if _is_for_any_version(each)]
    del found["secdns"]
    return [found[name] for name in sorted(found)]


def _is_for_any_version(requirement: Requirement) -> bool:
    if requirement.marker is None:
        return True
    return any(
        requirement.marker.evaluate(
            {"extra": "", "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}
        )
        for minor in VERSIONS
    )


def tags(library: metadata.Distribution) -> list[str]:
    """Give what its wheel was for."""
    return re.findall(r"^Tag: (\S+)$", library.read_text("WHEEL") or "", re.M)


def copy(library: metadata.Distribution, to: Path) -> None:
    """Copy what is run or read of a library, octet for octet what its wheel had."""
    files = [each for each in library.files or () if ".." not in each.parts and each.suffix not in _NOT_RUN]
    paths = {str(each) for each in files}
    own = _is_stable(library)
    versioned: list[str] = []
    for each in files:
        stem = _OF_ONE_VERSION.match(str(each))
        if stem and f"{stem[1]}.py" in paths:
            continue
        if stem:
            versioned.append(stem[1])
            continue
        if each.suffix == ".so" and not own:
            fail(f"{each} is for one version of Python only", _BUILD_WITH)
        if each.parts[0].endswith(".dist-info") and each.name != "METADATA":  # copyright.py has the licences
            continue
        octets = each.read_binary()
        if each.hash is not None and each.hash.value != _digest(octets, each.hash.mode):
            fail(f"{each} in .venv was changed", "make it anew: rm -r .venv && packaging/venv")
        at = to / each
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(octets)
    for minor in VERSIONS if versioned else ():
        _copy_compiled(wheel(library, minor), set(versioned), to)


def _is_stable(library: metadata.Distribution) -> bool:
    minors = [int(match[1] or 0) for match in map(_STABLE.match, tags(library)) if match]
    return bool(minors) and min(minors) <= OLDEST


def _digest(octets: bytes, mode: str) -> str:
    return base64.urlsafe_b64encode(hashlib.new(mode, octets).digest()).rstrip(b"=").decode()


def wheel(library: metadata.Distribution, minor: int) -> Path:
    """Give the wheel of the very same version for another Python, which is fetched once."""
    name = re.sub(r"[-_.]+", "_", library.metadata["Name"])
    pattern = f"{name}-{library.version}-cp3{minor}-cp3{minor}-*.whl"
    if not any(WHEELS.glob(pattern)):
        WHEELS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WHEELS) as place:  # nothing is there that is not whole
            _download(f"{name}=={library.version}", minor, tags(library), place)
            for path in Path(place).iterdir():
                path.rename(WHEELS / path.name)
    return next(WHEELS.glob(pattern))


def _download(what: str, minor: int, fits: list[str], to: str) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--only-binary=:all:", "--implementation=cp", f"--python-version=3.{minor}"]
    argv += [f"--abi=cp3{minor}", *sorted({f"--platform={tag.split('-')[2]}" for tag in fits})]
    done = subprocess.run(  # noqa: S603  our own pip
        [*argv, f"--dest={to}", what], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        fail(f"no {what} for Python 3.{minor}: {' '.join(done.stderr.split())}", "check the network")


def _copy_compiled(archive: Path, stems: set[str], to: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            stem = _OF_ONE_VERSION.match(name)
            if stem and stem[1] in stems:
                file.extract(name, to)


def libc(libraries: list[metadata.Distribution]) -> str:
    """Give the oldest glibc that all of them run with; a wheel with several tags fits each of them."""
    needs = [17]  # manylinux2014
    for library in libraries:
        if minors := [int(match[1]) for match in map(_LIBC.search, tags(library)) if match]:
            needs.append(min(minors))
    if max(needs) > OLDEST_LIBC:
        fail(f"a library needs glibc 2.{max(needs)}", f"Debian 12 has 2.{OLDEST_LIBC}; take an older wheel")
    return f"2.{max(needs)}"


def copy_own_metadata(to: Path) -> None:
    """Copy what secdns says of itself: `secdns doctor` lists the versions of its libraries by that."""
    import secdns

    own = metadata.distribution("secdns")
    if own.version != secdns.__version__:
        fail(f".venv was made for secdns {own.version}", "bring it up to date: rm .venv/.stamp")
    at = to / f"secdns-{own.version}.dist-info"
    at.mkdir()
    head, _, _ = (own.read_text("METADATA") or "").partition("\n\n")  # below it is README, of some time ago
    (at / "METADATA").write_text(f"{head}\n")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    found = needed()
    for one in found:
        copy(one, target)
    copy_own_metadata(target)
    print(libc(found))
