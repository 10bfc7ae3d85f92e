"""What an Alt-Svc makes of a connection over HTTP/2 (RFC 7838)."""

import asyncio
import subprocess
import sys

import pytest

from secdns.errors import AuthenticationError, ConnectionLost, TransportError
from secdns.racing import ALONE_S
from secdns.testing import FakeUpstream
from secdns.transport import Transport
from tests.loop import Warp, turns, wait_until
from tests.racing.conftest import Way
from tests.racing.support import ask_well, schemes, time_of, trusting_both
from tests.transport.support import ask, right_answer


def offer(up: FakeUpstream, at: FakeUpstream | None = None, *, host: str = "", more: str = "") -> None:
    """Have the answers of ``up`` offer the HTTP/3 of itself or of ``at``."""
    value = f'h3="{host}:{(at or up).port("h3")}"{more}'
    up.faults.http_headers = {"alt-svc": value}


async def upgraded(up: FakeUpstream, transport: Transport, at: FakeUpstream | None = None) -> None:
    """Ask over HTTP/2 once, and return when queries go over HTTP/3."""
    await ask_well(transport)
    await wait_until(lambda: any(one.scheme == "h3" for one in (at or up).handshakes))
    await turns()
    await ask_well(transport, 2)
    assert (schemes(up)[0], schemes(at or up)[-1]) == ("https", "h3")


async def test_offer_is_taken_beside_the_open_connection_7838_2(up: FakeUpstream, way: Way) -> None:
    offer(up)
    transport = way(up)
    await upgraded(up, transport)
    for number in range(3, 8):
        await ask_well(transport, number)
    assert schemes(up) == ["https"] + ["h3"] * 6
    assert (up.connections["https"], up.connections["h3"]) == (1, 1)
    await wait_until(lambda: up.open_connections == 1)  # HTTP/2 has nothing left to do
    facts = transport.facts()
    assert (facts.alpn, facts.handshakes, facts.exchanges) == ("h3", 2, 7)
    assert facts.alt_svc == f'h3=":{up.port("h3")}"'


async def test_nobody_waits_while_http_3_is_tried_F10(up: FakeUpstream, way: Way, warp: Warp) -> None:
    offer(up)
    up.faults.drop_datagrams = True
    transport = way(up)
    for number in range(20):
        assert await ask(transport, number) == right_answer(number)  # the clock stands still
    await wait_until(lambda: up.dropped_datagrams)
    await warp.advance(6.0)
    await ask_well(transport)
    lost = up.dropped_datagrams
    for _ in range(10):
        await warp.advance(50.0)
        await ask_well(transport)
    assert (up.dropped_datagrams, set(schemes(up))) == (lost, {"https"})  # it is left alone
    up.faults.drop_datagrams = False
    await warp.advance(ALONE_S)
    await time_of(warp, transport)
    assert schemes(up)[-1] == "h3"


async def test_what_is_asked_over_http_2_is_answered_there_while_http_3_takes_over(
    up: FakeUpstream, way: Way
) -> None:
    transport = way(up)
    await ask_well(transport)
    up.faults.hold, up.faults.only = True, lambda seen: seen.wire[12:].startswith(b"\x03h10")
    slow = asyncio.ensure_future(ask(transport, 10))
    await up.wait_queries(2)
    offer(up)
    up.faults.only, up.faults.hold = None, False
    await upgraded(up, transport)
    up.release()
    assert await slow == right_answer(10)
    await wait_until(lambda: up.open_connections == 1)


async def test_offer_of_another_port_is_dialled_there_and_asked_as_the_origin_7838_2(
    up: FakeUpstream, other: FakeUpstream, way: Way
) -> None:
    offer(up, other)
    with trusting_both(up, other):
        await upgraded(up, way(up), other)
    assert up.connections["h3"] == 0
    assert {dict(fields)[":authority"] for fields in other.http_requests} == {f"dns.test:{up.port('https')}"}
    assert [one.server_name for one in other.handshakes] == ["dns.test"]


async def test_host_of_an_offer_may_be_named_if_it_is_the_same(up: FakeUpstream, way: Way) -> None:
    offer(up, host="DNS.test")
    await upgraded(up, way(up))


async def test_wrong_certificate_at_the_other_port_gets_no_query_E1(
    up: FakeUpstream, other: FakeUpstream, way: Way
) -> None:
    other.use_certificate("wrong-name")
    offer(up, other)
    with trusting_both(up, other):
        transport = way(up)
        await ask_well(transport)
        await wait_until(lambda: other.failed_handshakes)
        for number in range(5):
            await ask_well(transport, number)
        assert (other.queries, set(schemes(up))) == ([], {"https"})
        await up.stop()
        await wait_until(lambda: up.open_connections == 0)
        await turns(20)
        with pytest.raises(AuthenticationError):  # which says more than that nobody answers
            await ask_well(transport)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param('h3="elsewhere.test:{port}"', id="another host"),
        pytest.param('h3-29=":{port}"', id="a draft"),
        pytest.param('h3=":{port}', id="malformed"),
        pytest.param('h3=":{port}"; ma=0', id="no lifetime"),
        pytest.param("clear", id="clear"),
        pytest.param('h2=":1"' + "," * 1010 + 'h3=":{port}"', id="too long"),
        pytest.param('h3=":{port}"' + "," * 40_000, id="as long as HTTP lets it"),
    ],
)
async def test_other_offers_are_none_7838_3(value: str, up: FakeUpstream, way: Way) -> None:
    up.faults.http_headers = {"alt-svc": value.format(port=up.port("h3"))}
    transport = way(up)
    for number in range(5):
        try:
            await ask_well(transport, number)
        except TransportError:  # so long that HTTP/2 will not have it
            assert len(value) > 10_000
    await turns(20)
    assert (up.connections["h3"], set(schemes(up))) == (0, {"https"})


async def test_clear_sends_new_queries_back_to_http_2_7838_3(up: FakeUpstream, way: Way) -> None:
    offer(up)
    transport = way(up)
    await upgraded(up, transport)
    up.faults.http_headers = {"alt-svc": "clear"}
    for number in range(3, 6):
        await ask_well(transport, number)
    assert schemes(up)[-3:] == ["h3", "https", "https"]
    await wait_until(lambda: up.open_connections == 1)
    up.drop_connections()
    await ask_well(transport)
    assert (schemes(up)[-1], up.connections["h3"]) == ("https", 1)


@pytest.mark.parametrize(("pause_s", "want"), [(50.0, "h3"), (70.0, "https")])
async def test_offer_holds_as_long_as_it_says_7838_3_1(
    pause_s: float, want: str, up: FakeUpstream, way: Way, warp: Warp
) -> None:
    offer(up, more="; ma=60")
    transport = way(up)
    await ask_well(transport)
    await warp.pass_until(lambda: len(up.handshakes) == 2)
    up.faults.http_headers = {}
    await time_of(warp, transport)
    await warp.advance(pause_s)
    await time_of(warp, transport)
    assert schemes(up) == ["https", "h3", want]


async def test_reset_forgets_the_offer_7838_2_2(up: FakeUpstream, way: Way) -> None:
    offer(up)
    transport = way(up)
    await upgraded(up, transport)
    up.faults.http_headers = {}
    transport.reset()
    assert transport.facts().alt_svc is None
    await ask_well(transport)
    await turns()
    assert (schemes(up)[-1], up.connections["h3"]) == ("https", 1)


async def test_reset_and_close_end_what_is_tried_in_the_background(
    up: FakeUpstream, way: Way, warp: Warp
) -> None:
    """No task, no socket: a fixture looks."""
    offer(up)
    up.faults.drop_datagrams = True
    transport = way(up)
    for end in (1, 2, 3):
        await ask_well(transport)
        await wait_until(lambda before=up.dropped_datagrams: up.dropped_datagrams > before)  # type: ignore[misc]
        if end < 3:
            transport.reset()
    await transport.aclose()
    with pytest.raises(ConnectionLost):
        await ask(transport)


def test_aioquic_is_not_loaded_before_it_is_wanted() -> None:
    code = """
import asyncio, sys
from dataclasses import replace
from secdns.racing import open_way
from secdns.testing import FakeUpstream
from tests.transport.support import ZONE, ask

async def main():
    async with FakeUpstream(ZONE) as up:
        endpoint = up.endpoint("https")
        offered = open_way(replace(endpoint, offers_h3=True), None)
        for header in ({}, {"alt-svc": "clear"}, {"alt-svc": 'h3="elsewhere.test:443"'}):
            up.faults.http_headers = header
            way = open_way(endpoint, None)
            await ask(way)
            await ask(way, 2)
            await way.aclose()
        print("aioquic" in sys.modules)
        await ask(offered)
        print("aioquic" in sys.modules)
        await offered.aclose()

asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
