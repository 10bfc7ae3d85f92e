"""Many queries on one connection to a real server: in what order it answers, how many it takes at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from secdns.dns.message import Message
from secdns.errors import DeadlineExceeded
from secdns.testing import FakeUpstream, Faults
from secdns.transport import Transport
from tests.lab import resolvers, servers
from tests.lab.conftest import TLS_UPSTREAMS
from tests.lab.direct import reach
from tests.lab.programs import answers_udp
from tests.lab.servers import Certificates, Upstream
from tests.transport.support import ZONE, ask, deadline_in, query_for, right_answer, wait_until

pytestmark = pytest.mark.real

MANY = 100
AT_ONCE = {"tls-bind": 23, "https-bind": 23, "tls-dnsdist": 1}
"""How many queries of one connection a server has in hand at a time at least, if that is less than ``MANY``.

BIND 9.18 takes 23 over DoT and reads no more until one of them is answered; how many it takes over HTTP/2
depends on their octets. dnsdist 1.7 works on one after another.
"""
ONE_BY_ONE = ("tls-dnsdist",)
BURST = 350  # a connection over HTTP/2 takes 100, and 256 wait (threat R7)

SERVERS: dict[str, Callable[..., AbstractContextManager[Upstream]]] = {
    "unbound": lambda *args, **kwargs: servers.unbound(*args, stubs=["example.test"], **kwargs),
    "dnsdist": lambda directory, certificates, port, **kwargs: servers.dnsdist(
        directory, certificates, backend_port=port, **kwargs
    ),
    "kresd": resolvers.knot_resolver,
    "bind": resolvers.bind,
}

every_upstream = pytest.mark.parametrize("which", TLS_UPSTREAMS)


@pytest.fixture
async def origin() -> AsyncIterator[FakeUpstream]:
    """Whom the server asks, over UDP."""
    async with FakeUpstream(ZONE) as up:
        yield up


@pytest.fixture
async def transport(
    which: str, origin: FakeUpstream, certificates: Certificates, tmp_path: Path
) -> AsyncIterator[Transport]:
    """Reach a server in front of ``origin``, over a connection that is open."""
    scheme, _, implementation = which.partition("-")
    port = origin.endpoint("udp").port

    def ready(own: int) -> Callable[[], bool]:
        return answers_udp(own, "h299.example.test", 1)

    with ExitStack() as stack:
        server = SERVERS[implementation](tmp_path, certificates, port, ready=ready)
        upstream = await asyncio.to_thread(stack.enter_context, server)  # its origin is in our thread
        made = reach(upstream, scheme)
        try:
            assert await ask(made, 298) == right_answer(298)
            yield made
        finally:
            await made.aclose()


@every_upstream
async def test_slow_name_holds_up_others_only_where_the_server_works_one_by_one(
    which: str, transport: Transport, origin: FakeUpstream
) -> None:
    seen = len(origin.queries)
    origin.faults = Faults(hold=True, only=lambda query: b"\2h7\7example" in query.wire.lower())
    slow = asyncio.ensure_future(ask(transport, 7))
    await origin.wait_queries(seen + 1)
    if which in ONE_BY_ONE:
        with pytest.raises(DeadlineExceeded):
            await ask(transport, 8, within_s=0.3)
    else:
        assert await ask(transport, 8) == right_answer(8)
    assert not slow.done()
    origin.faults = Faults()
    origin.release()
    assert await slow == right_answer(7)
    assert transport.facts().handshakes == 1


@every_upstream
async def test_hundred_outstanding_queries_are_all_answered_in_any_order(
    which: str, transport: Transport, origin: FakeUpstream
) -> None:
    seen = len(origin.queries)
    origin.faults = Faults(hold=True)
    asked = [asyncio.ensure_future(ask(transport, number)) for number in range(MANY)]

    def in_hand() -> int:  # servers ask more than once, and change the case of letters
        return len({Message.parse(query.wire).question[0].name.lower() for query in origin.queries[seen:]})

    await wait_until(lambda: in_hand() >= AT_ONCE.get(which, MANY))
    origin.faults = Faults()
    origin.release(last_first=True)
    assert await asyncio.gather(*asked) == [right_answer(number) for number in range(MANY)]
    assert transport.facts().handshakes == 1


@every_upstream
async def test_burst_is_answered_on_one_connection(which: str, request: pytest.FixtureRequest) -> None:
    scheme, _, implementation = which.partition("-")
    transport = reach(request.getfixturevalue(f"lab_{implementation}"), scheme)
    try:
        queries = [query_for(number) for number in range(BURST)]
        deadline = deadline_in(10)
        await transport.exchange(queries[0], deadline)  # from now on the server's own settings hold
        responses = await asyncio.gather(*(transport.exchange(query, deadline) for query in queries))
        for query, response in zip(queries, responses, strict=True):
            assert Message.parse(response).question == Message.parse(query).question
        assert transport.facts().handshakes == 1
    finally:
        await transport.aclose()
