"""The service definitions in packaging/: as far as they can be checked without the systems they are for."""

import configparser
import plistlib
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from secdns.cli.exits import Exit
from secdns.osdns import wish
from secdns.osdns.plan import RESOLV_CONF
from secdns.systemd import BEATS
from tests.lab.programs import find

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = sorted(
    [
        *PACKAGING.glob("systemd/*.service"),
        *PACKAGING.glob("systemd/*.socket"),
        *PACKAGING.glob("systemd/*.path"),
    ]
)


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(PACKAGING / "systemd" / name)
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as packaging/systemd/install writes them, for a program that is there."""
    program = tmp_path / "program"
    program.mkdir()
    done = subprocess.run(
        [PACKAGING / "systemd/install", "/usr/bin/env"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DESTDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return tmp_path / "etc/systemd/system"


def test_install_writes_every_unit_for_the_program_that_was_named(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir()) == sorted(path.name for path in UNITS)
    for path in installed.iterdir():
        assert "/usr/bin/secdns" not in path.read_text()
    assert "ExecStart=/usr/bin/env run\n" in (installed / "secdns.service").read_text()
    assert "ExecStopPost=+/usr/bin/env rescue --for-now\n" in (installed / "secdns.service").read_text()


def test_install_refuses_a_program_that_others_than_root_can_change(tmp_path: Path) -> None:
    program = tmp_path / "secdns"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    done = subprocess.run(
        [PACKAGING / "systemd/install", str(program)],
        env={"PATH": "/usr/bin:/bin", "DESTDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "packaging/systemd/install: error: " in done.stderr
    assert not (tmp_path / "etc").exists()


def test_systemd_understands_the_units(installed: Path) -> None:
    program = find("systemd-analyze", "systemd")
    argv = [program, "verify", "--man=no", *map(str, sorted(installed.iterdir()))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if "secdns" in line]
    assert (done.returncode, ours) == (0, [])


def test_sandbox_is_at_most_2_0() -> None:
    program = find("systemd-analyze", "systemd")
    argv = [
        program,
        "security",
        "--offline=true",
        "--threshold=20",
        str(PACKAGING / "systemd/secdns.service"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-200:]
    told = re.search(r"Overall exposure level for secdns.service: (\d\.\d)", done.stdout)
    assert told is not None
    assert f"`systemd-analyze security secdns` says {told[1]}" in (PACKAGING.parent / "README.md").read_text()


def test_daemon_may_bind_port_53_and_with_the_socket_unit_nothing() -> None:
    service = unit("secdns.service")["Service"]
    assert service["User"] == "secdns"
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    drop_in = unit("secdns-socket.conf")["Service"]
    assert (drop_in["CapabilityBoundingSet"], drop_in["AmbientCapabilities"]) == ("", "")
    families = set(service["RestrictAddressFamilies"].split())
    assert families == {"AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"}


def test_whatever_happens_names_resolve_again_within_15_s_need2() -> None:
    """A hang that is noticed late, that not even SIGABRT ends, and a start of a slow machine."""
    service, manager = unit("secdns.service")["Service"], unit("secdns.service")["Unit"]
    hang_s = float(service["WatchdogSec"]) + float(service["TimeoutAbortSec"])
    assert hang_s + 2 <= 15
    assert service["Restart"] == "always"
    assert service["RestartSec"] == "200ms"
    assert int(manager["StartLimitBurst"]) * (0.2 + 2) <= 15
    assert manager["OnFailure"] == "secdns-restore.service"
    assert BEATS >= 2


def test_units_and_program_agree() -> None:
    service = unit("secdns.service")["Service"]
    assert int(service["RestartPreventExitStatus"]) == Exit.CONFIG
    assert wish.UNIT == "secdns.service"
    assert unit("secdns-system.service")["Unit"]["ConditionPathExists"] == wish.place()
    for name, key in (("secdns-overruled", "ExecStart"), ("secdns-overruled-again", "ExecCondition")):
        assert f"test -e {wish.place()}" in unit(f"{name}.service")["Service"][key]


def test_settings_are_never_waited_for_by_those_who_change_them() -> None:
    """systemd would have the end of secdns wait for a restart of resolved, and that one for the end."""
    for path in UNITS:
        assert "resolved" not in unit(path.name)["Unit"].get("After", "")


def test_whatever_changes_the_settings_is_noticed_and_the_start_waits_for_nobody() -> None:
    text = (PACKAGING / "systemd/secdns-overruled.path").read_text()
    assert re.findall(r"^PathChanged=(.*)$", text, re.M) == [RESOLV_CONF, "/run/systemd/resolve/resolv.conf"]
    manager = unit("secdns-overruled.path")["Unit"]
    assert manager["PartOf"] == manager["After"] == wish.UNIT
    assert manager["DefaultDependencies"] == "no"  # else before basic.target, and that before secdns.service
    assert "Wants=secdns-overruled.path\n" in (PACKAGING / "systemd/secdns.service").read_text()


def test_launchd_reads_the_property_list() -> None:
    with (PACKAGING / "launchd/org.secdns.daemon.plist").open("rb") as file:
        found = plistlib.load(file)
    assert found["Label"] == "org.secdns.daemon"
    assert found["ProgramArguments"][-1] == "run"
    assert found["KeepAlive"] is found["RunAtLoad"] is True


def test_windows_service_is_well_formed() -> None:
    root = ET.parse(PACKAGING / "windows/secdns-service.xml").getroot()
    assert root.tag == "service"
    assert [root.findtext(name) for name in ("id", "arguments")] == ["secdns", "run"]
    assert [each.get("action") for each in root.findall("onfailure")] == ["restart"] * 3


@pytest.mark.parametrize("name", ["launchd/org.secdns.daemon.plist", "windows/secdns-service.xml"])
def test_what_was_not_tried_says_so(name: str) -> None:
    assert "Not tried on a real" in (PACKAGING / name).read_text()
