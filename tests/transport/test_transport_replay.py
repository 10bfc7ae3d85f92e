"""What an upstream is sent, and how often, when its connections die (F4, F5, R9, 7766.5, 9520.4)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from secdns.cache import Cache
from secdns.dns.edns import EDNS
from secdns.dns.message import Message, make_query
from secdns.dns.name import from_text
from secdns.endpoint import parse
from secdns.errors import ConnectionLost
from secdns.forwarder import Forwarder
from secdns.iana import EDNSOption, RRClass, RRType
from secdns.policy import Given, QueryPolicies
from secdns.routing import Routing
from secdns.testing import FakeUpstream
from secdns.upstream import Upstream, UpstreamGroup
from tests.transport.support import ALL, ENCRYPTED, deadline_in, no_lookup, query_for

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)
COUNTED = b"\0\1\0\1"  # type A, class IN


@pytest.fixture
async def made(nothing_is_left: None) -> AsyncIterator[list[Upstream]]:
    upstreams: list[Upstream] = []
    yield upstreams
    for upstream in upstreams:
        await upstream.transport.aclose()


def upstream_of(up: FakeUpstream, scheme: str, made: list[Upstream]) -> Upstream:
    made.append(Upstream("fake", up.endpoint(scheme), no_lookup))
    return made[-1]


FAULTS: dict[str, dict[str, object]] = {
    "RST": {"close_mid": "rst"},
    "FIN": {"close_mid": "fin"},
    "GOAWAY for all": {"goaway": "zero"},
    "GOAWAY for this one": {"goaway": "refuse"},
    "REFUSED_STREAM": {"refuse_streams": True},
}
SPOKEN = [
    pytest.param(scheme, fault, id=f"{scheme}: {name}")
    for name, fault in FAULTS.items()
    for scheme in (ENCRYPTED if "close_mid" in fault else ("https", "h3"))
]


@pytest.mark.parametrize(("scheme", "fault"), SPOKEN)
async def test_query_is_replayed_once_and_answered_F1_F4_F5_9113_1_7766_5(
    scheme: str, fault: dict[str, object], up: FakeUpstream, made: list[Upstream]
) -> None:
    upstream = upstream_of(up, scheme, made)
    for name, value in {**fault, "times": 1}.items():
        setattr(up.faults, name, value)
    answer = Message.parse(await upstream.exchange(query_for(), deadline_in()))
    assert len(answer.answer) == 1
    assert len(up.queries) == 2
    assert upstream.failures == 0


@pytest.mark.parametrize(("scheme", "fault"), SPOKEN)
async def test_query_is_sent_twice_at_most_R9_9520_4(
    scheme: str, fault: dict[str, object], up: FakeUpstream, made: list[Upstream]
) -> None:
    upstream = upstream_of(up, scheme, made)
    for name, value in fault.items():
        setattr(up.faults, name, value)
    with pytest.raises(ConnectionLost):
        await upstream.exchange(query_for(), deadline_in())
    assert len(up.queries) == 2
    assert up.connections[scheme] <= 2
    assert upstream.failures == 1


NAMES = [from_text("a" * 9 + ".b" * size) for size in (0, 1, 30, 58, 59, 60, 120)]


@every_encrypted
async def test_every_query_is_padded_to_128_and_holds_nothing_of_the_clients_E16_8467_1_4035_1_9715_1(
    scheme: str, up: FakeUpstream, made: list[Upstream]
) -> None:
    upstream = upstream_of(up, scheme, made)
    names = [*NAMES, b"\0", b"\1a" * 127 + b"\0"]
    for name in names:
        await upstream.exchange(upstream.query(name + COUNTED, cd=False), deadline_in())
    for seen, name in zip(up.queries, names, strict=True):
        message = Message.parse(seen.wire)
        assert len(seen.wire) % 128 == 0
        assert [(q.name, q.rrtype, q.rrclass) for q in message.question] == [(name, RRType.A, RRClass.IN)]
        assert message.flags == 0x0100  # RD alone: 4035.2, 9619.2
        edns = message.edns
        assert edns is not None
        others = [code for code, _ in edns.options if code != EDNSOption.PADDING]
        is_first_of_dot = scheme == "tls" and seen is up.queries[0]
        assert (edns.size, edns.do) == (1232, True)
        assert others == ([EDNSOption.TCP_KEEPALIVE] if is_first_of_dot else [])  # RFC 7828 §3.2.1
        assert set(edns.option(EDNSOption.PADDING) or b"\1") == {0}


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_query_in_plain_is_not_padded_7830_2_7828_1(scheme: str) -> None:
    query = Upstream("lan", parse(f"{scheme}://127.0.0.1"), no_lookup).query(b"\1a\0" + COUNTED, cd=True)
    message = Message.parse(query)
    assert message.edns == EDNS()
    assert message.cd


@pytest.mark.parametrize("scheme", ALL)
async def test_500_queries_alike_are_one_to_the_upstream_C1_5452_3_7871_1_6891_4(
    scheme: str, up: FakeUpstream, made: list[Upstream]
) -> None:
    """Whatever IDs, letter case and options the clients have: ECS and cookies stay here."""
    group = UpstreamGroup([upstream_of(up, scheme, made)])
    routing = Routing(QueryPolicies(Given()), {0: group}, group, None)
    forwarder = Forwarder(Cache(1 << 20), routing)
    subnet = EDNS(options=((EDNSOption.ECS, b"\0\1\x18\0\x7f\0\0"), (EDNSOption.COOKIE, bytes(8))))
    name = from_text("h1.example.test")
    asked = [
        make_query(name.upper() if id % 2 else name, RRType.A, id=id, edns=subnet if id % 3 else None)
        for id in range(500)
    ]
    got = await asyncio.gather(*(forwarder.answer(query, stream=False) for query in asked))
    for query, reply in zip(asked, got, strict=True):
        assert reply is not None
        assert reply[:2] == query[:2]
        assert Message.parse(reply).question == Message.parse(query).question
        assert len(Message.parse(reply).answer) == 1
    assert len(up.queries) == 1
    sent = Message.parse(up.queries[0].wire).edns
    assert sent is not None
    own = {EDNSOption.PADDING, EDNSOption.TCP_KEEPALIVE}
    assert [code for code, _ in sent.options if code not in own] == []
