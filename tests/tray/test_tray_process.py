"""`secdns tray` as a process: what it loads, and what it says where it cannot run."""

import os
import subprocess
import sys
from pathlib import Path

PROBE = """
import sys
import secdns.tray.app
print(*sorted({name.split(".")[1] for name in sys.modules if name.startswith("secdns.")}))
"""
WITHOUT = """
import sys
sys.modules["dbus_fast"] = None
from secdns.__main__ import main
sys.exit(main(["tray"]))
"""


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, env=os.environ | env, check=False,
    )  # fmt: skip


def test_tray_loads_no_dns() -> None:
    done = run(PROBE)
    assert (done.stderr, done.stdout.split()) == (
        "", ["control", "errors", "iana", "limit", "paths", "states", "tray"]
    )  # fmt: skip


def test_without_the_extra_it_says_what_to_install() -> None:
    done = run(WITHOUT)
    assert done.returncode == 69
    assert "secdns: error: the tray needs dbus-fast" in done.stderr
    assert f"secdns: hint: {sys.executable} -m pip install dbus-fast" in done.stderr


def test_without_a_session_it_says_so(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "secdns", "tray", "--socket", str(tmp_path / "none")]
    env = os.environ | {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("secdns: error: no desktop session is to be found")
