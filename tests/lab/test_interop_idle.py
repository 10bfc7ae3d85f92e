"""How long real upstreams bear a quiet connection, told and seen (7828.2, F1)."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from secdns.dns.message import Message
from secdns.errors import ConnectionLost
from secdns.transport import Transport
from secdns.transport.conversation import IDLE_SHARE
from tests.lab import resolvers, servers
from tests.lab.direct import reach
from tests.lab.servers import Authority, Certificates, Upstream
from tests.transport.support import deadline_in, is_open, query_for

pytestmark = pytest.mark.real

PATIENCE_S = 10.0

TELLING: dict[str, tuple[Callable[..., AbstractContextManager[Upstream]], str]] = {
    "unbound": (servers.unbound, "  edns-tcp-keepalive: yes\n  edns-tcp-keepalive-timeout: {0}000\n"),
    "kresd": (resolvers.knot_resolver, "net.tcp_in_idle({0}000)\n"),
    "bind": (resolvers.bind, "  tcp-advertised-timeout {0}0;\n"),
}
"""Who tells its limit over DoT, and its setting for so many seconds. Without one Unbound does not tell."""


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
@pytest.mark.parametrize("implementation", TELLING)
async def test_upstream_says_how_long_a_connection_may_be_quiet_and_is_obeyed_7828_2(
    implementation: str, timeout_s: int, tmp_path: Path, certificates: Certificates, authority: Authority
) -> None:
    server, setting = TELLING[implementation]
    with server(tmp_path, certificates, authority.port, extra=setting.format(timeout_s)) as upstream:
        transport = reach(upstream, "tls")
        try:
            for _ in range(2):
                await ask(transport)
                assert transport.facts().idle_limit_s == timeout_s
                if timeout_s == 2:
                    assert 1.0 < await wait_for(lambda: not is_open(transport)) < 2.0
        finally:
            await transport.aclose()


async def see_a_habit(upstream: Upstream, scheme: str) -> None:
    """See a server close quiet connections after 2 s or so, and secdns close them before it does."""
    transport = reach(upstream, scheme)
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
        assert 1.5 < limit_s < 3.5
    finally:
        await transport.aclose()


async def test_dnsdist_is_seen_to_close_quiet_connections_and_does_not_get_to_it_again_F1(
    lab_dnsdist: Upstream,
) -> None:
    await see_a_habit(lab_dnsdist, "tls")  # 2 s unless configured, and it looks once a second


async def test_bind_that_tells_nothing_over_http2_is_seen_to_close_quiet_connections_F1(
    tmp_path: Path, certificates: Certificates, authority: Authority
) -> None:
    with resolvers.bind(
        tmp_path, certificates, authority.port, extra="  tcp-idle-timeout 20;\n  tcp-keepalive-timeout 20;\n"
    ) as upstream:
        await see_a_habit(upstream, "https")
