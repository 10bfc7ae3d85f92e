"""Homebrew's formula, winget's manifests and the container: as far as they can be checked on this machine."""

import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import secdns
from secdns import config

ROOT = Path(secdns.__file__).parents[1]
PACKAGING = ROOT / "packaging"
SDIST, URL, HOMEPAGE = b"an sdist", "https://secdns.example/secdns-0.1.0.tar.gz", "https://secdns.example"
RESOURCES = [
    {"name": name, "url": f"https://pypi.example/{name}.tar.gz", "sha256": "ab" * 32}
    for name in ("h2", "rich")
]


@pytest.mark.parametrize(
    "path",
    [
        "homebrew/formula.py",
        "winget/manifests.py",
        "windows/secdns.spec",
        "container/Containerfile",
    ],
)
def test_what_was_not_tried_says_so(path: str) -> None:
    assert re.search(
        r"[Nn]ot (tried )?on a real|^# Tried: .*\n.*Not tried: ", (PACKAGING / path).read_text(), re.M
    )


# Homebrew


@pytest.fixture
def formula() -> str:
    made = runpy.run_path(str(PACKAGING / "homebrew/formula.py"))["formula"]
    text: str = made(SDIST, URL, HOMEPAGE, RESOURCES)
    return text


def test_formula_names_the_sdist_and_all_that_it_needs(formula: str) -> None:
    assert f'  url "{URL}"\n  sha256 "{hashlib.sha256(SDIST).hexdigest()}"\n' in formula
    assert re.findall(r'^  resource "(.*)" do\n    url "(.*)"\n    sha256 "(.*)"\n  end$', formula, re.M) == [
        tuple(resource.values()) for resource in RESOURCES
    ]
    assert 'run [opt_bin/"secdns", "run"]' in formula
    assert "{" not in re.sub(r"#\{\w+\}", "", formula)


def test_ruby_reads_the_formula(formula: str) -> None:
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("needs: ruby (package ruby)")
    done = subprocess.run(
        [ruby, "-wc"], input=formula, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Syntax OK\n", "")


def test_what_the_formula_has_from_homebrew_is_needed() -> None:
    values = runpy.run_path(str(PACKAGING / "homebrew/formula.py"))
    for name in values["BY_HOMEBREW"]:
        assert name == "pycparser" or f'depends_on "{name}"' in values["FORMULA"]  # cffi has that


# winget


def write_manifests(archive: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    argv: list[str | Path] = [sys.executable, PACKAGING / "winget/manifests.py"]
    argv += [archive, "https://secdns.example/x.zip", directory]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


def test_manifests_are_three_of_one_package_with_the_archive_s_digest(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("secdns/secdns.exe", b"MZ")
    assert write_manifests(tmp_path / "x.zip", tmp_path / "made").returncode == 0
    found = {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}
    assert set(found) == {
        "secdns.secdns.yaml",
        "secdns.secdns.installer.yaml",
        "secdns.secdns.locale.en-US.yaml",
    }
    for text in found.values():
        assert "\nPackageIdentifier: secdns.secdns\n" in text
        assert f"\nPackageVersion: {secdns.__version__}\n" in text
        assert re.search(
            r"\nManifestType: (version|installer|defaultLocale)\nManifestVersion: 1\.10\.0\n$", text
        )
    installer = found["secdns.secdns.installer.yaml"]
    digest = hashlib.sha256((tmp_path / "x.zip").read_bytes()).hexdigest().upper()
    assert f"\n  InstallerSha256: {digest}\n" in installer
    assert "\n- RelativeFilePath: secdns\\secdns.exe\n" in installer


def test_archive_without_the_program_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("secdns.exe", b"MZ")
    done = write_manifests(tmp_path / "x.zip", tmp_path / "made")
    assert done.returncode == 65
    assert done.stderr == f"packaging/winget/manifests.py: error: {tmp_path}/x.zip has no secdns/secdns.exe\n"
    assert not (tmp_path / "made").exists()


# Container


def test_all_that_the_container_is_made_of_is_there() -> None:
    text = (PACKAGING / "container/Containerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M) for name in line.split()]
    assert {"pyproject.toml", "secdns", "packaging/container/start"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert "\nUSER secdns\n" in text


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """The environment of the container, where secdns says what it was started with."""
    for name, line in (("hostname", "echo 10.88.0.2 fd00::2"), ("secdns", 'echo "secdns $*"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CONFIGURATION_DIRECTORY": str(tmp_path)}


def start(environment: dict[str, str], *argv: str) -> str:
    done = subprocess.run(
        [PACKAGING / "container/start", *argv],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout


def test_container_listens_at_each_address_that_it_has(programs: dict[str, str], tmp_path: Path) -> None:
    assert start(programs, "run") == "secdns run\n"
    made = config.load(tmp_path / "secdns.toml")
    assert [(each.host, each.port) for each in made.server.listen] == [
        ("127.0.0.1", 5300), ("10.88.0.2", 5300), ("fd00::2", 5300),
    ]  # fmt: skip


def test_container_runs_any_other_command_as_it_is(programs: dict[str, str], tmp_path: Path) -> None:
    assert start(programs, "query", "example.com") == "secdns query example.com\n"
    assert not (tmp_path / "secdns.toml").exists()
