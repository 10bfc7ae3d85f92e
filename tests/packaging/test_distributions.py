"""Wheel and sdist: built once, and installed and used on every CPython from 3.11 on that is there."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

import secdns
from tests.lab.tree import cache_directory

pytestmark = pytest.mark.real

ROOT = Path(secdns.__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ANSWERS = dict.fromkeys(("udp", "tcp", "tls", "https", "h3", "quic"), "192.0.2.80\n")

# Run by the Python that it was installed for: one query over each transport. In one process, since to
# start one takes longer than all that it asks.
_ASK = f"""
import asyncio, contextlib, io, json
from secdns.__main__ import main
from secdns.testing import FakeUpstream

def query(url, *options):
    with contextlib.redirect_stdout(io.StringIO()) as told:
        code = main(["query", "--short", "www.example.test", "@" + url, *options])
    return told.getvalue() if code == 0 else f"ended with {{code}}"

async def ask():
    found = {{}}
    async with FakeUpstream({{"example.test": {{"www": {{"A": "192.0.2.80"}}}}}}) as upstream:
        for scheme in {list(ANSWERS)}:
            is_plain = scheme in ("udp", "tcp")
            options = [] if is_plain else ["--address", "127.0.0.1", "--ca-file", upstream.ca_file]
            found[scheme] = await asyncio.to_thread(query, upstream.url(scheme), *options)
    print(json.dumps(found))

asyncio.run(ask())
"""


@dataclass(frozen=True)
class Built:
    """The two files that are published."""

    sdist: Path
    wheel: Path


def under_version_control(part: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", part], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def uv(*argv: str | Path) -> None:
    """Run uv, with a cache beside the trees; a registry that cannot be reached is no fault of ours."""
    ours = {"UV_CACHE_DIR": str(cache_directory() / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
    with tempfile.TemporaryDirectory(prefix="secdns-test-") as scratch:  # it leaves locks there
        done = subprocess.run(
            [Path(sys.executable).with_name("uv"), *argv],
            env={**os.environ, **ours, "TMPDIR": scratch},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110, check=False,
        )  # fmt: skip
    if done.returncode != 0 and "Failed to fetch" in done.stderr:
        pytest.skip(f"needs: PyPI ({done.stderr.strip().splitlines()[-1]})")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist from what is under version control, and the wheel from the sdist."""
    place = tmp_path_factory.mktemp("distributions")
    for name in under_version_control("."):
        (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / "source" / name)
    uv("build", "--quiet", "--out-dir", place / "made", place / "source")
    (sdist,), (wheel,) = (place / "made").glob("*.tar.gz"), (place / "made").glob("*.whl")
    return Built(sdist, wheel)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(file.read(name).decode())


def test_wheel_has_the_program_and_its_manual_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as file:
        names = [name for name in file.namelist() if ".dist-info/" not in name]
    data = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert {name for name in names if ".data/" not in name} == set(under_version_control("secdns"))
    assert data == {"share/man/man1/secdns.1", "share/man/man5/secdns.toml.5"}


def test_sdist_has_licence_readme_and_program(built: Built) -> None:
    with tarfile.open(built.sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "packaging/man/secdns.1", "secdns/py.typed"} <= names


def test_metadata_names_the_pythons_that_it_was_tried_on(built: Built) -> None:
    found = metadata(built.wheel)
    assert found["Requires-Python"] == f">={VERSIONS[0]}"
    named = re.findall(r"Python :: (3\.\d+)", " ".join(found.get_all("Classifier", [])))
    assert named == list(VERSIONS)
    assert found["Version"] == secdns.__version__


def interpreter(version: str) -> Path:
    """Find a CPython of this version: in the search path, or where pyenv keeps them."""
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = sorted(home.glob(f"versions/{version}.*/bin"), reverse=True)
    for directory in [*map(Path, os.environ.get("PATH", "").split(os.pathsep)), *kept]:
        program = directory / f"python{version}"
        # one of pyenv's may stand for a version that is not chosen, and then it fails
        if program.is_file() and answer(program, "-c", _WHICH) == f"cpython {version}\n":
            return program
    pytest.skip(f"needs: CPython {version} (python{version})")


def answer(*argv: str | Path) -> str:
    return subprocess.run(list(argv), capture_output=True, text=True, timeout=20, check=False).stdout


_WHICH = "import sys; print(sys.implementation.name, '{}.{}'.format(*sys.version_info))"


def installed(version: str, distribution: Path, place: Path) -> Path:
    """Install a distribution with all it needs into an environment of its own; give its programs' folder."""
    uv("venv", "--quiet", "--python", interpreter(version), place / "env")
    programs = place / "env/bin"
    uv("pip", "install", "--quiet", "--python", programs / "python", distribution)
    uv("pip", "check", "--quiet", "--python", programs / "python")
    return programs


def run(*argv: str | Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        list(argv), cwd="/", env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stderr}{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_wheel_is_installed_and_asks_over_every_transport(version: str, built: Built, tmp_path: Path) -> None:
    programs = installed(version, built.wheel, tmp_path)
    assert secdns.__version__ in run(programs / "secdns", "--version")
    assert json.loads(run(programs / "python", "-Ic", _ASK)) == ANSWERS


def test_sdist_is_installed_and_shows_the_demo(built: Built, tmp_path: Path) -> None:
    programs = installed("{}.{}".format(*sys.version_info), built.sdist, tmp_path)
    told = run(programs / "secdns", "demo", "--once")
    assert told.count("NOERROR, from the upstream by DNS over") == 2
