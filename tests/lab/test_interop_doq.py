"""DNS over QUIC against Knot DNS 3.4 or newer, which has limits of its own (see ``secdns.transport.doq``).

Debian 12 has an older one: then it comes from a tree of Debian 13, which the first run makes.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secdns.endpoint import Endpoint, parse
from secdns.transport import Transport, open_transport
from tests.lab.clients import run_client
from tests.lab.conftest import StartDaemon
from tests.lab.quic_servers import knot_quic
from tests.lab.servers import UPSTREAM_NAME, Certificates, Upstream
from tests.lab.tree import TIMEOUT_S
from tests.transport.support import ask, no_lookup, right_answer

pytestmark = [pytest.mark.real, pytest.mark.timeout(120 + TIMEOUT_S)]

HOSTS = 250


@pytest.fixture(scope="module")
def knot(lab_directory: Path, certificates: Certificates) -> Iterator[Upstream]:
    hosts = "".join(f"h{number} A 192.0.2.{number % 250 + 1}\n" for number in range(HOSTS))
    with knot_quic(lab_directory / "knot-quic", certificates, "example.test", hosts) as started:
        yield started


@pytest.fixture
def endpoint(knot: Upstream) -> Endpoint:
    url = f"quic://{UPSTREAM_NAME}:{knot.doq_port}"
    return replace(parse(url), addresses=("127.0.0.1",), ca_file=str(knot.ca_file))


async def test_more_queries_than_knot_allows_streams_are_answered(endpoint: Endpoint) -> None:
    """It allows 1,024 on a connection."""
    transport = open_transport(endpoint, no_lookup)
    try:
        for number in range(1200):
            assert await ask(transport, number % HOSTS) == right_answer(number % HOSTS)
        assert transport.facts().handshakes == 2
        assert transport.facts().resumed
    finally:
        await transport.aclose()


async def test_bursts_do_not_make_knot_fall_silent(endpoint: Endpoint) -> None:
    transport = open_transport(endpoint, no_lookup)
    try:
        for _ in range(5):
            assert await ask_all(transport, 100) == [right_answer(number) for number in range(100)]
    finally:
        await transport.aclose()


def test_daemon_answers_through_knot(knot: Upstream, secdns_daemon: StartDaemon) -> None:
    daemon = secdns_daemon(knot.config_table("quic"))
    for client in ("dig", "kdig", "drill"):
        assert run_client(client, daemon.port, "h7.example.test", "A").rdata == ("192.0.2.8",)
    assert run_client("dig", daemon.port, "gone.example.test", "A").rcode == "NXDOMAIN"


async def ask_all(transport: Transport, count: int) -> list[tuple[int, str]]:
    return await asyncio.gather(*(ask(transport, number) for number in range(count)))
