"""How long real upstreams bear a quiet connection over TLS, told and seen (7828.2, F1)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from secdns.dns.message import Message
from secdns.endpoint import parse
from secdns.errors import ConnectionLost
from secdns.transport import Transport, open_transport
from secdns.transport.conversation import IDLE_SHARE
from tests.lab import servers
from tests.lab.servers import UPSTREAM_NAME, Authority, Certificates, Upstream
from tests.transport.support import deadline_in, is_open, no_lookup, query_for

pytestmark = pytest.mark.real

PATIENCE_S = 10.0


def reach(upstream: Upstream) -> Transport:
    endpoint = parse(f"tls://{UPSTREAM_NAME}:{upstream.dot_port}")
    return open_transport(
        replace(endpoint, addresses=("127.0.0.1",), ca_file=str(upstream.ca_file)), no_lookup
    )


async def ask(transport: Transport) -> None:
    """Ask, and once more if the connection died under the query, as ``Upstream`` does."""
    try:
        reply = await transport.exchange(query_for(), deadline_in())
    except ConnectionLost:
        reply = await transport.exchange(query_for(), deadline_in())
    assert Message.parse(reply).question == Message.parse(query_for()).question


async def wait_for(predicate: Callable[[], bool]) -> float:
    """Wait until something holds, and give the seconds that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not predicate():
        assert loop.time() < began + PATIENCE_S
        await asyncio.sleep(0.02)
    return loop.time() - began


@pytest.mark.parametrize("timeout_s", [2, 40])
async def test_unbound_says_how_long_a_connection_may_be_quiet_and_is_obeyed_7828_2(
    timeout_s: int, tmp_path: Path, certificates: Certificates, authority: Authority
) -> None:
    extra = f"  edns-tcp-keepalive: yes\n  edns-tcp-keepalive-timeout: {timeout_s * 1000}\n"
    with servers.unbound(tmp_path, certificates, authority.port, extra=extra) as upstream:
        transport = reach(upstream)
        try:
            for _ in range(2):
                await ask(transport)
                assert transport.facts().idle_limit_s == timeout_s
                if timeout_s == 2:
                    assert 1.0 < await wait_for(lambda: not is_open(transport)) < 2.0
        finally:
            await transport.aclose()


async def test_dnsdist_is_seen_to_close_quiet_connections_and_does_not_get_to_it_again_F1(
    lab_dnsdist: Upstream,
) -> None:
    transport = reach(lab_dnsdist)
    try:
        limit_s = None
        for _ in range(4):
            await ask(transport)
            took_s = await wait_for(lambda: not is_open(transport))
            if limit_s is not None:
                assert took_s == pytest.approx(IDLE_SHARE * limit_s, abs=0.3)
                break
            await asyncio.sleep(0.05)  # until the socket is closed
            limit_s = transport.facts().idle_limit_s
        assert limit_s is not None
        assert 1.5 < limit_s < 3.5  # 2 s unless configured, and it looks once a second
    finally:
        await transport.aclose()
