"""DNS over HTTPS with HTTP/3 against Caddy, which passes the requests on to Unbound over HTTP/2.

``test_interop.py`` asks it too, through the whole daemon: what is here is about the connection.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from secdns.dns import name
from secdns.dns.edns import EDNS
from secdns.dns.message import Message, make_query
from secdns.endpoint import parse
from secdns.iana import RRType
from secdns.transport import Transport, open_transport
from tests.lab.clients import run_client
from tests.lab.conftest import StartDaemon
from tests.lab.daemon import Daemon
from tests.lab.load import Steady
from tests.lab.programs import free_ports
from tests.lab.quic_servers import Caddy, caddy
from tests.lab.servers import UPSTREAM_NAME, Certificates, Upstream
from tests.lab.zones import BIG_STRING, BIG_STRINGS, MANY
from tests.loop import turns
from tests.transport.support import deadline_in, no_lookup

pytestmark = pytest.mark.real

IDLE_LIMIT_S = 30.0
"""How long Caddy lets a connection idle."""

Reach = Callable[[str], Transport]


@pytest.fixture
async def reach(lab_caddy: Caddy) -> AsyncIterator[Reach]:
    """Open the transport of a scheme towards Caddy; it is closed at the end."""
    opened: list[Transport] = []

    def open_one(scheme: str) -> Transport:
        endpoint = parse(f"{scheme}://{UPSTREAM_NAME}:{lab_caddy.port}/dns-query")
        endpoint = replace(endpoint, addresses=("127.0.0.1",), ca_file=str(lab_caddy.ca_file))
        opened.append(open_transport(endpoint, no_lookup))
        return opened[-1]

    yield open_one
    for transport in opened:
        await transport.aclose()


async def ask(transport: Transport, host: str, rrtype: int = RRType.A, id: int = 1) -> Message:
    owner = name.from_text(f"{host}.example.test")
    query = make_query(owner, rrtype, id=id, edns=EDNS())
    response = Message.parse(await transport.exchange(query, deadline_in()))
    assert response.id == id
    assert response.question[0].name == owner
    return response


async def test_64_at_once_are_answered_on_one_connection(reach: Reach) -> None:
    transport = reach("h3")
    for _ in range(3):
        got = await asyncio.gather(*(ask(transport, f"at{i}.wild", id=i) for i in range(64)))
        assert [response.answer[0].rdata for response in got] == [bytes([192, 0, 2, 77])] * 64
    facts = transport.facts()
    assert (facts.alpn, facts.tls_version, facts.handshakes, facts.exchanges) == ("h3", "TLSv1.3", 1, 192)


async def test_large_answers_come_whole(reach: Reach) -> None:
    transport = reach("h3")
    assert len((await ask(transport, "many")).answer) == MANY
    (big,) = (await ask(transport, "big", RRType.TXT)).answer
    assert big.rdata == (bytes([len(BIG_STRING)]) + BIG_STRING.encode()) * BIG_STRINGS
    assert transport.facts().handshakes == 1


async def test_idle_connection_is_closed_before_caddy_would_and_the_next_resumes(
    reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = reach("h3")
    await ask(transport, "www")
    assert transport.facts().idle_limit_s == IDLE_LIMIT_S
    await ask(transport, "www")
    assert (transport.facts().handshakes, transport.facts().resumed) == (1, False)
    loop = asyncio.get_running_loop()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + 0.9 * IDLE_LIMIT_S)
    await turns()
    await ask(transport, "www")
    assert (transport.facts().handshakes, transport.facts().resumed) == (2, True)


async def test_caddy_offers_http_3_over_http_2(reach: Reach, lab_caddy: Caddy) -> None:
    transport = reach("https")
    await ask(transport, "www")
    facts = transport.facts()
    assert facts.alpn == "h2"
    assert facts.alt_svc is not None
    assert f'h3=":{lab_caddy.port}"' in facts.alt_svc


def test_daemon_goes_over_to_the_http_3_that_caddy_offers(
    tmp_path: Path, certificates: Certificates, lab_unbound: Upstream, secdns_daemon: StartDaemon
) -> None:
    with caddy(tmp_path / "caddy", certificates, lab_unbound) as proxy:
        daemon = secdns_daemon(proxy.config_table("https"))
        with asked_all_the_time(daemon) as steady:
            answered(steady, 1)
            deadline = time.monotonic() + 10
            while proxy.requests()["HTTP/3.0"] < 100:
                assert time.monotonic() < deadline, proxy.requests()
                time.sleep(0.05)
        assert proxy.requests()["HTTP/2.0"] > 0


def test_what_caddy_cannot_get_is_told_with_its_status(
    tmp_path: Path, certificates: Certificates, lab_unbound: Upstream, secdns_daemon: StartDaemon
) -> None:
    (nobody,) = free_ports(1)
    with caddy(tmp_path / "caddy", certificates, replace(lab_unbound, doh_port=nobody)) as proxy:
        daemon = secdns_daemon(proxy.config_table("h3"))
        reply = run_client("dig", daemon.port, "www.example.test", "A")
    assert reply.rcode == "SERVFAIL"
    assert any("502" in words for _, words in reply.errors), reply.text


class OwnCaddy:
    """A Caddy of one test's own, which it takes away and brings back on the same port."""

    def __init__(self, start: Callable[[], AbstractContextManager[Caddy]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self.caddy = self._stack.enter_context(start())

    def take_away(self) -> None:
        self._stack.close()

    def bring_back(self) -> None:
        self.caddy = self._stack.enter_context(self._start())


@pytest.fixture
def own_caddy(
    scheme: str, tmp_path: Path, certificates: Certificates, lab_unbound: Upstream
) -> Iterator[OwnCaddy]:
    (port,) = free_ports(1)
    offers = scheme == "h3"  # else secdns would go over to it from https://
    own = OwnCaddy(lambda: caddy(tmp_path / "caddy", certificates, lab_unbound, port=port, http3=offers))
    yield own
    own.take_away()


@contextmanager
def asked_all_the_time(daemon: Daemon) -> Iterator[Steady]:
    """Ask 200 names a second that nobody asked before, and see to it that each gets its answer."""
    names = [f"s{time.monotonic_ns()}-{i}.wild.example.test" for i in range(20_000)]
    with Steady(daemon.port, names) as steady:
        yield steady
    assert (steady.lost, steady.rcodes) == (0, {0: steady.sent})


def answered(steady: Steady, more: int, timeout_s: float = 10.0) -> None:
    """Wait until so many more queries were answered."""
    want = sum(steady.rcodes.values()) + more
    deadline = time.monotonic() + timeout_s
    while sum(steady.rcodes.values()) < want:
        assert time.monotonic() < deadline, steady.rcodes
        time.sleep(0.01)


@pytest.mark.parametrize(("scheme", "protocol"), [("h3", "HTTP/3.0"), ("https", "HTTP/2.0")])
def test_reload_of_caddy_costs_no_answer_F4(
    scheme: str, protocol: str, own_caddy: OwnCaddy, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(own_caddy.caddy.config_table(scheme))
    with asked_all_the_time(daemon) as steady:
        for _ in range(5):
            answered(steady, 40)
            own_caddy.caddy.reload()
        answered(steady, 40)
    assert own_caddy.caddy.requests()[protocol] > 200


@pytest.mark.parametrize(("scheme", "protocol"), [("h3", "HTTP/3.0"), ("https", "HTTP/2.0")])
def test_end_of_caddy_costs_no_answer_where_another_upstream_is_left_F4(
    scheme: str, protocol: str, own_caddy: OwnCaddy, secdns_daemon: StartDaemon, lab_unbound: Upstream
) -> None:
    daemon = secdns_daemon(own_caddy.caddy.config_table(scheme) + lab_unbound.config_table("tls"))
    with asked_all_the_time(daemon) as steady:
        answered(steady, 40)
        seen = own_caddy.caddy.requests()[protocol]
        own_caddy.take_away()
        answered(steady, 200)
        own_caddy.bring_back()
        answered(steady, 40)
    assert seen > 0
