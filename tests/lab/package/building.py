"""Build the Debian package, as its maintainer does."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.programs import find

ROOT = Path(__file__).parents[3]
CONFIGURATION = {"/etc/secdns", "/etc/secdns/secdns.toml"}
BACKUPS = {"/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-"}
"""What those who add and remove users leave: the files as they were before the last change."""


@dataclass(frozen=True)
class Packages:
    """Two packages of the same program: the second is what an upgrade goes to."""

    first: Path
    second: Path


def build(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run packaging/debian/build and wait for its end; it is not checked.

    Raises:
        MissingProgram: dpkg-deb is not installed.
    """
    find("dpkg-deb", "dpkg")
    return subprocess.run(
        [ROOT / "packaging/debian/build", *argv], capture_output=True, text=True, timeout=300, check=False
    )


ANSWERS = dict.fromkeys(("udp", "tls", "https", "h3", "quic"), "192.0.2.80\n")
"""What ``smoke`` gives where all libraries of the package work with the Python that is there."""

_SMOKE = f"""
import asyncio, json, sys
sys.path.insert(0, "/usr/lib/secdns")
from secdns.testing import FakeUpstream

async def query(upstream, scheme):
    argv = ["secdns", "query", "--short", "--timeout", "60", "www.example.test", "@" + upstream.url(scheme)]
    if scheme != "udp":
        argv += ["--address", "127.0.0.1", "--ca-file", upstream.ca_file]
    process = await asyncio.create_subprocess_exec(*argv, stdout=-1, stderr=asyncio.subprocess.STDOUT)
    return (await process.communicate())[0].decode()

async def main():
    async with FakeUpstream({{"example.test": {{"www": {{"A": "192.0.2.80"}}}}}}) as upstream:
        print(json.dumps({{scheme: await query(upstream, scheme) for scheme in {list(ANSWERS)}}}))

asyncio.run(main())
"""


def smoke(do: Callable[..., str]) -> dict[str, str]:
    """Ask over every transport where the package is installed; ``do`` runs a command there."""
    told: dict[str, str] = json.loads(do("python3", "-IBc", _SMOKE))
    return told
