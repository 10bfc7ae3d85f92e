"""The commands that talk to the daemon are light: they hold no DNS engine (the design's fifth rule)."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "aioquic", "asyncio", "cryptography", "dns", "h2", "hpack", "httpx", "rich", "ssl",
    "secdns.cache", "secdns.config", "secdns.dns", "secdns.dnssec", "secdns.forwarder", "secdns.transport",
}  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "status", "status --json", "use quad9", "pause 5m", "resume", "flush", "why example.test", "log",
        "dnssec allow example.test --for 1h",
    ],
)  # fmt: skip
def test_command_loads_no_engine_and_no_http_library(command: str, tmp_path: Path) -> None:
    words = [*command.split(), "--socket", str(tmp_path / "nobody.sock")]
    program = f"import sys; from secdns.__main__ import main; main({words!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "no daemon runs" in done.stderr
    assert HEAVY & set(done.stdout.split()) == set()
