"""The demo's signed zones on an upstream of its own: ``python -m tests.lab.demo_upstream``.

It writes one line of JSON when it serves, with its URL, its CA and its trust anchors, and ends with
its standard input.
"""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from secdns.testing import FakeUpstream, signed_demo_zones
from tests.lab.netns import Namespace

GOOD = "example.test"
BOGUS = "broken.example.test"


@dataclass(frozen=True, slots=True)
class DemoUpstream:
    """One that runs. ``process`` is ours to end; it is waited for by whoever started it."""

    url: str
    ca_file: str
    anchors: list[str]
    process: "subprocess.Popen[str]"

    def config(self, more: str = "") -> str:
        """Give a configuration with nothing but this upstream, listening on port 53."""
        dnssec = f"[dnssec]\ntrust_anchors = {json.dumps(self.anchors)}\n{more}\n"
        upstream = (
            f'[[upstream]]\nname = "demo"\nurl = "{self.url}"\naddresses = ["127.0.0.1"]\n'
            f'ca_file = "{self.ca_file}"\n'
        )
        return '[server]\nlisten = ["127.0.0.1:53"]\n' + dnssec + upstream

    def stop(self) -> None:
        """End it, and wait for that."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(20)


@contextmanager
def demo_upstream(inside: Namespace, directory: Path) -> Iterator[DemoUpstream]:
    """Run one in a namespace; its CA is copied into ``directory``, where it outlives it."""
    with subprocess.Popen(
        [*inside.prefix, sys.executable, "-m", "tests.lab.demo_upstream"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        ca_file = shutil.copy(hello["ca_file"], directory / "demo-ca.pem")
        started = DemoUpstream(hello["url"], str(ca_file), hello["anchors"], process)
        try:
            yield started
        finally:
            started.stop()


async def main() -> None:
    zones = signed_demo_zones()
    async with FakeUpstream(zones, padding=True) as up:
        hello = {"url": up.tls_url, "ca_file": up.ca_file, "anchors": list(zones.trust_anchors())}
        print(json.dumps(hello), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
