"""DNS over QUIC against Knot DNS 3.4 or newer, which has limits of its own (see ``secdns.transport.doq``).

Debian 12 has an older one. A tree of Debian 13 with the package ``knot`` serves as well: its path is
taken from SECDNS_KNOT_TREE, and knotd runs in it with chroot.
"""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secdns.endpoint import Endpoint, parse
from secdns.errors import TransportError
from secdns.transport import Transport, open_transport
from tests.lab.programs import find, free_ports, running
from tests.lab.servers import UPSTREAM_NAME, make_certificates
from tests.transport.support import ask, no_lookup, right_answer

pytestmark = pytest.mark.real

NEEDED = (3, 4)
HOSTS = 250


def knotd(tree: str | None) -> list[str]:
    """Give the command that runs a knotd that speaks QUIC; without one the test is skipped.

    Raises:
        MissingProgram: there is no knotd at all.
    """
    argv = ["chroot", tree, "knotd"] if tree else [find("knotd", "knot")]
    shown = subprocess.run([*argv, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)", shown)
    if version is None or (int(version[1]), int(version[2])) < NEEDED:
        pytest.skip("needs: knot 3.4 or newer, or a Debian 13 tree that has it in SECDNS_KNOT_TREE")
    return argv


@pytest.fixture(scope="module")
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    tree = os.environ.get("SECDNS_KNOT_TREE")
    argv = knotd(tree)
    home = Path(tempfile.mkdtemp(dir=Path(tree, "tmp"))) if tree else tmp_path_factory.mktemp("knot")
    inside = Path("/tmp", home.name) if tree else home
    certificates = make_certificates(home)
    udp, quic = free_ports(2)
    hosts = "".join(f"h{number} A 192.0.2.{number % 250 + 1}\n" for number in range(HOSTS))
    (home / "zone").write_text(
        "$ORIGIN example.test.\n$TTL 300\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n"
        + hosts
    )
    (home / "knot.conf").write_text(
        f"server:\n  rundir: {inside}\n  listen: 127.0.0.1@{udp}\n  listen-quic: 127.0.0.1@{quic}\n"
        f"  key-file: {inside / certificates.key.name}\n  cert-file: {inside / certificates.chain.name}\n"
        f"database:\n  storage: {inside}\nlog:\n  - target: stderr\n    any: warning\n"
        f"zone:\n  - domain: example.test\n    storage: {inside}\n    file: zone\n"
    )
    endpoint = replace(
        parse(f"quic://{UPSTREAM_NAME}:{quic}"), addresses=("127.0.0.1",), ca_file=str(certificates.ca_file)
    )
    try:
        with running([*argv, "-c", str(inside / "knot.conf")], home / "log", lambda: is_ready(endpoint)):
            yield endpoint
    finally:
        shutil.rmtree(home)


def is_ready(endpoint: Endpoint) -> bool:
    async def answers() -> bool:
        transport = open_transport(endpoint, no_lookup)
        try:
            return await ask(transport, within_s=1.0) == right_answer()
        except TransportError:
            return False
        finally:
            await transport.aclose()

    return asyncio.run(answers())


async def test_more_queries_than_knot_allows_streams_are_answered(knot: Endpoint) -> None:
    """It allows 1,024 on a connection."""
    transport = open_transport(knot, no_lookup)
    try:
        for number in range(1200):
            assert await ask(transport, number % HOSTS) == right_answer(number % HOSTS)
        assert transport.facts().handshakes == 2
        assert transport.facts().resumed
    finally:
        await transport.aclose()


async def test_bursts_do_not_make_knot_fall_silent(knot: Endpoint) -> None:
    transport = open_transport(knot, no_lookup)
    try:
        for _ in range(5):
            assert await ask_all(transport, 100) == [right_answer(number) for number in range(100)]
    finally:
        await transport.aclose()


async def ask_all(transport: Transport, count: int) -> list[tuple[int, str]]:
    return await asyncio.gather(*(ask(transport, number) for number in range(count)))
