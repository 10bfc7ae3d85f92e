"""The rules of tests/conftest.py."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("host", ["localhost", "dns.quad9.net", b"example.test"])
def test_system_resolver_is_refused_for_the_whole_run_F30(host: str | bytes) -> None:
    with pytest.raises(AssertionError, match="system's resolver was asked"):
        socket.getaddrinfo(host, 53)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_ip_literal_still_passes(host: str | None) -> None:
    assert socket.getaddrinfo(host, 53)


async def test_event_loop_is_refused_too() -> None:
    with pytest.raises(AssertionError, match="system's resolver was asked"):
        await asyncio.get_running_loop().getaddrinfo("example.test", 53)


NEEDY = """
import pytest

@pytest.mark.needs("no-such-program", package="no-such-package")
def test_needs_it() -> None:
    raise AssertionError("ran")
"""


@pytest.mark.parametrize(
    ("ci", "processes", "want"), [("", "0", "1 skipped"), ("", "1", "1 skipped"), ("true", "1", "1 error")]
)
def test_missing_package_is_a_skip_with_a_reason_but_a_failure_in_ci(
    tmp_path: Path, ci: str, processes: str, want: str
) -> None:
    (tmp_path / "test_needy.py").write_text(NEEDY)
    argv = [sys.executable, "-m", "pytest", "-n", processes, "-ra"]
    argv += ["-p", "tests.conftest", "-c", os.devnull, str(tmp_path)]
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, "CI": ci}, capture_output=True, text=True, timeout=100, check=False
    )
    assert want in done.stdout
    assert "needs: no-such-package (no-such-program not found)" in done.stdout
