"""What is in the Debian package, and how it is built."""

import re
import runpy
import subprocess
from email.parser import HeaderParser
from pathlib import Path

import pytest

import secdns
from tests.lab.package.building import ROOT, Packages, build
from tests.lab.programs import find

PLACES = {
    "etc/xdg/autostart",
    "usr/bin",
    "usr/lib/secdns",
    "usr/lib/systemd/system",
    "usr/lib/sysusers.d",
    "usr/lib/tmpfiles.d",
    "usr/share/applications",
    "usr/share/bash-completion/completions",
    "usr/share/doc/secdns",
    "usr/share/fish/vendor_completions.d",
    "usr/share/icons/hicolor/scalable/apps",
    "usr/share/lintian/overrides",
    "usr/share/man/man1",
    "usr/share/man/man5",
    "usr/share/python3/runtime.d",
    "usr/share/zsh/vendor-completions",
}


@pytest.fixture(scope="session")
def control(unpacked: Path) -> dict[str, str]:
    return dict(HeaderParser().parsestr((unpacked / "DEBIAN/control").read_text()))


@pytest.fixture(scope="session")
def files(unpacked: Path) -> list[Path]:
    return [path for path in unpacked.rglob("*") if path.is_file() and "DEBIAN" not in path.parts]


def test_it_has_a_file_in_each_of_these_places_and_nowhere_else(unpacked: Path, files: list[Path]) -> None:
    names = [str(path.relative_to(unpacked)) for path in files]
    assert {place for place in PLACES if any(name.startswith(f"{place}/") for name in names)} == PLACES
    assert [name for name in names if not any(name.startswith(f"{place}/") for place in PLACES)] == []
    assert (unpacked / "DEBIAN/conffiles").read_text() == "/etc/xdg/autostart/secdns-tray.desktop\n"


def test_it_has_every_file_of_the_program_and_none_that_lies_about(unpacked: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "secdns"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    library = unpacked / "usr/lib/secdns"
    have = {str(path.relative_to(library)) for path in (library / "secdns").rglob("*") if path.is_file()}
    assert have == set(listed.stdout.splitlines())


def test_it_has_every_unit_of_the_service(unpacked: Path) -> None:
    units = {path.name for path in (ROOT / "packaging/systemd").glob("*.*") if path.suffix in SYSTEMD}
    assert {path.name for path in (unpacked / "usr/lib/systemd/system").iterdir()} == units
    for line in (unpacked / "usr/lib/systemd/system/secdns.service").read_text().splitlines():
        if line.startswith(("Wants=secdns", "OnFailure=")):
            assert {*line.partition("=")[2].split()} <= units


SYSTEMD = {".path", ".service", ".socket", ".target", ".timer"}


def test_its_compiled_modules_are_for_every_python_that_it_may_be_installed_with(
    files: list[Path], control: dict[str, str]
) -> None:
    versions = runpy.run_path(str(ROOT / "packaging/debian/libraries.py"))["VERSIONS"]
    assert f"python3 (>= 3.{versions[0]}), python3 (<< 3.{versions[-1] + 1})" in control["Depends"]
    modules: dict[str, set[str]] = {}
    for path in files:
        if path.suffix == ".so":
            name, tag = path.name.split(".", 1)
            modules.setdefault(name, set()).add(re.sub(r"^(abi3|cpython-\d+).*", r"\1", tag))
    each = {f"cpython-3{minor}" for minor in versions}
    assert {name: tags for name, tags in modules.items() if tags not in ({"abi3"}, each)} == {}
    assert "_cffi_backend" in modules


def test_two_builds_differ_in_nothing_but_the_number(packages: Packages, unpacked: Path) -> None:
    def sums(package: Path) -> set[str]:
        argv = [find("dpkg-deb", "dpkg"), "--info", str(package), "md5sums"]
        return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines())

    differ = {line.split()[1] for line in sums(packages.first) ^ sums(packages.second)}
    assert differ == {"usr/share/doc/secdns/changelog.Debian.gz"}


def test_version_is_that_of_the_program_and_the_c_library_not_newer_than_debian_12s(
    control: dict[str, str],
) -> None:
    assert control["Version"] == f"{secdns.__version__}-1"
    (libc,) = re.findall(r"libc6 \(>= 2\.(\d+)\)", control["Depends"])
    assert 17 <= int(libc) <= 36


def test_copyright_names_every_library(unpacked: Path) -> None:
    text = (unpacked / "usr/share/doc/secdns/copyright").read_text()
    for metadata in (unpacked / "usr/lib/secdns").glob("*.dist-info/METADATA"):
        told = HeaderParser().parsestr(metadata.read_text())
        assert told["Name"] == "secdns" or f"\n{told['Name']} {told['Version']}: " in text


@pytest.mark.parametrize(
    ("argv", "want"),
    [
        pytest.param(["--colour", "red"], "--colour is not known", id="unknown"),
        pytest.param(["--output"], "--output is not known, or has no value", id="no value"),
        pytest.param(["--revision", "1 2"], "1 2 is no revision of a Debian package", id="revision"),
    ],
)
def test_wrong_option_is_named(argv: list[str], want: str) -> None:
    done = build(*argv)
    assert done.returncode == 1
    assert done.stderr.startswith(f"packaging/debian/build: error: {want}")
    assert re.search("^packaging/debian/build: hint: .", done.stderr, re.M)
