"""What holds for every transport alike, whatever its protocol."""

import asyncio
import dataclasses
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from secdns.endpoint import Endpoint
from secdns.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    EndpointError,
    ProtocolError,
    TransportError,
)
from secdns.testing import FakeUpstream
from secdns.transport import Transport, open_transport
from secdns.transport.tls import pin_of
from tests.fixtures import warp
from tests.loop import Warp
from tests.transport.conftest import Reach
from tests.transport.support import (
    ALL,
    ENCRYPTED,
    PATIENCE_S,
    STREAMS,
    ask,
    deadline_in,
    no_lookup,
    query_for,
    right_answer,
)

__all__ = ["warp"]  # a fixture

every_scheme = pytest.mark.parametrize("scheme", ALL)
every_stream = pytest.mark.parametrize("scheme", STREAMS)
every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)


async def outcome(transport: Transport, number: int = 1, *, within_s: float = 4.0) -> object:
    """Give the answer, or the class of the error."""
    try:
        return await ask(transport, number, within_s=within_s)
    except TransportError as error:
        return type(error)


@every_scheme
async def test_answer_comes_with_the_querys_id(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    assert await ask(reach(up.endpoint(scheme)), 7) == right_answer(7)


@every_scheme
async def test_query_goes_out_octet_for_octet_but_for_the_id(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    for number in (6, 7):  # over TLS the first has a question of the transport's own besides (RFC 7828)
        await ask(transport, number)
    assert up.queries[1].wire[2:] == query_for(7)[2:]
    assert scheme == "tls" or up.queries[0].wire[2:] == query_for(6)[2:]


@every_scheme
async def test_concurrent_exchanges_get_each_its_own_answer(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    got = await asyncio.gather(*(ask(transport, number) for number in range(200)))
    assert got == [right_answer(number) for number in range(200)]


@every_encrypted
@pytest.mark.usefixtures("one_will_do")
async def test_concurrent_exchanges_share_one_connection(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    for _ in range(2):
        await asyncio.gather(*(ask(transport, number) for number in range(50)))
    assert up.connections[scheme] == 1


@every_encrypted
async def test_answers_in_another_order_reach_who_asked_C3(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.hold = True
    asked = [asyncio.ensure_future(ask(transport, number)) for number in range(20)]
    await up.wait_queries(20)
    up.release(last_first=True)
    assert await asyncio.gather(*asked) == [right_answer(number) for number in range(20)]


@every_stream
async def test_answer_to_another_question_is_refused_C3_F27(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.wrong_question = True
    assert await outcome(transport) is ProtocolError
    up.faults.wrong_question = False
    assert await ask(transport, 2) == right_answer(2)


@every_stream
async def test_answer_with_another_id_is_refused_C3_F27(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.wrong_id = True
    assert await outcome(transport) is ProtocolError
    up.faults.wrong_id = False
    assert await ask(transport, 2) == right_answer(2)


@every_stream
async def test_one_wrong_answer_among_many_reaches_nobody_C3(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport, 0)
    up.faults.wrong_question, up.faults.times = True, 1
    got = await asyncio.gather(*(outcome(transport, number) for number in range(20)))
    assert ProtocolError in got
    assert [answer for number, answer in enumerate(got) if answer not in (
        right_answer(number), ProtocolError, ConnectionLost)] == []  # fmt: skip


@every_scheme
async def test_answer_that_comes_twice_does_no_harm_F27(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.duplicate = True
    for number in range(5):
        assert await ask(transport, number) == right_answer(number)


@every_stream
async def test_octets_that_are_no_message_are_refused(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    up.faults.garbage = True
    assert await outcome(reach(up.endpoint(scheme))) is ProtocolError


@every_scheme
async def test_silent_upstream_is_given_up_at_the_deadline_R8(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    up.faults.silent = True
    asking = asyncio.ensure_future(outcome(reach(up.endpoint(scheme)), within_s=0.3))
    assert 0.29 <= await warp.pass_until(asking.done) < 0.32
    assert await asking is DeadlineExceeded


@every_stream
async def test_stalled_connection_is_given_up_at_the_deadline_R8(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.stall_connections = up.faults.silent = True
    assert await outcome(reach(up.endpoint(scheme)), within_s=0.2) is DeadlineExceeded


@every_scheme
async def test_deadline_in_the_past_fails_at_once(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    up.faults.silent = True  # else its answer may be there before anybody looks at the clock
    assert await outcome(transport, within_s=-1.0) is DeadlineExceeded


@every_encrypted
async def test_deadlines_are_kept_in_any_order(
    scheme: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    transport = reach(up.endpoint(scheme))
    await warp.passing(ask(transport))
    up.faults.silent = True
    late, soon, never = (asyncio.ensure_future(outcome(transport, within_s=s)) for s in (0.7, 0.55, 3.0))
    soon_s = await warp.pass_until(soon.done)
    late_s = soon_s + await warp.pass_until(late.done)
    assert 0.54 <= soon_s < 0.57
    assert 0.69 <= late_s < 0.72
    assert await warp.pass_until(never.done) < 0.02
    assert (await soon, await late) == (DeadlineExceeded, DeadlineExceeded)
    assert await never is ConnectionLost  # two misses in a row with nothing received: given up (R8)


@every_stream
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_connection_that_dies_mid_query_is_lost_F1(
    scheme: str, how: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.close_mid = "fin" if how == "fin" else "rst"
    assert await outcome(transport) is ConnectionLost
    up.faults.close_mid = None
    assert await ask(transport, 2) == right_answer(2)  # the replay: no back-off yet


@every_stream
async def test_answer_that_breaks_off_is_lost_F1(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    up.faults.close_mid, up.faults.close_mid_octets = "fin", 20
    assert await outcome(reach(up.endpoint(scheme))) is ConnectionLost


@every_scheme
async def test_upstream_that_closes_after_each_answer_works_F28(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.close_after = 1
    transport = reach(up.endpoint(scheme))
    got = []
    for number in range(5):
        answer = await outcome(transport, number)
        got.append(await ask(transport, number) if answer is ConnectionLost else answer)  # as Upstream does
    assert got == [right_answer(number) for number in range(5)]


@every_encrypted
async def test_upstream_that_answers_once_a_connection_is_asked_once_a_connection_F28(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.close_after = 1
    transport = reach(up.endpoint(scheme))
    first = await asyncio.gather(*(outcome(transport, number) for number in range(5)))
    assert ConnectionLost in first  # that taught us
    got = await asyncio.gather(*(ask(transport, number) for number in range(5)))
    assert got == [right_answer(number) for number in range(5)]


@every_scheme
async def test_cancelled_exchange_leaves_the_others_alone(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.hold = True
    asked = [asyncio.ensure_future(ask(transport, number)) for number in range(10)]
    await up.wait_queries(10)
    for task in asked[::2]:
        task.cancel()
    up.release()
    got = await asyncio.gather(*asked, return_exceptions=True)
    assert got[1::2] == [right_answer(number) for number in range(1, 10, 2)]
    assert all(isinstance(result, asyncio.CancelledError) for result in got[::2])


@every_scheme
async def test_cancelling_while_connecting_leaks_nothing(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    up.faults.stall_connections = up.faults.silent = True
    transport = reach(up.endpoint(scheme))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(transport), 0.05)


@every_scheme
async def test_reset_ends_what_waits_and_the_next_exchange_works_F12(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    up.faults.silent = True
    waiting = asyncio.ensure_future(outcome(transport, 2))
    await up.wait_queries(2)
    transport.reset()
    assert await waiting is ConnectionLost
    up.faults.silent = False
    assert await ask(transport, 3) == right_answer(3)


@every_scheme
async def test_aclose_ends_what_waits_and_may_be_called_twice(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    up.faults.silent = True
    waiting = asyncio.ensure_future(outcome(transport))
    await up.wait_queries(1)
    await transport.aclose()
    assert await waiting is ConnectionLost
    await transport.aclose()
    assert await outcome(transport) is ConnectionLost


@every_stream
async def test_closed_port_is_a_connect_error(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    endpoint = up.endpoint(scheme)
    await up.stop()
    with pytest.raises(ConnectError, match="refused"):
        await ask(reach(endpoint))


@every_stream
async def test_second_address_is_tried_when_the_first_fails_F35(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    endpoint = dataclasses.replace(up.endpoint(scheme), addresses=("127.0.0.9", "127.0.0.1"))
    assert await ask(reach(endpoint)) == right_answer()


@pytest.fixture
def silent_address(scheme: str, up: FakeUpstream, nothing_is_left: None) -> Iterator[str]:
    """An address that takes what is sent to the upstream's port there, and gives nothing back."""
    at = ("127.0.0.9", up.port(scheme))
    with ExitStack() as stack:
        full, deaf = (socket.socket(type=kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
        for sock in (full, deaf):
            stack.enter_context(sock).bind(at)
        full.listen(0)
        stack.enter_context(socket.create_connection(at))  # of the next not even the SYN is taken
        yield at[0]


@every_encrypted
async def test_silent_address_costs_a_quarter_of_a_second_F35(
    scheme: str, silent_address: str, up: FakeUpstream, reach: Reach, warp: Warp
) -> None:
    endpoint = dataclasses.replace(up.endpoint(scheme), addresses=(silent_address, "127.0.0.1"))
    asking = asyncio.ensure_future(ask(reach(endpoint)))
    assert 0.24 <= await warp.pass_until(asking.done) < 0.75
    assert await asking == right_answer()


@every_encrypted
async def test_host_name_without_addresses_is_looked_up_E4(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    hosts: list[str] = []

    async def lookup(host: str, deadline: float) -> tuple[str, ...]:
        hosts.append(host)
        return ("127.0.0.1",)

    transport = reach(dataclasses.replace(up.endpoint(scheme), addresses=()), lookup)
    assert await ask(transport) == right_answer()
    assert hosts == ["dns.test"]


@every_encrypted
async def test_lookup_that_finds_nothing_is_a_connect_error(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    async def lookup(host: str, deadline: float) -> tuple[str, ...]:
        return ()

    assert (
        await outcome(reach(dataclasses.replace(up.endpoint(scheme), addresses=()), lookup)) is ConnectError
    )


@every_encrypted
async def test_facts_tell_what_was_agreed(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    assert transport.facts().handshakes == 0
    for number in range(3):
        await ask(transport, number)
    facts = transport.facts()
    assert (facts.alpn, facts.tls_version, facts.peer) == (
        {"tls": "dot", "https": "h2", "quic": "doq", "h3": "h3"}[scheme],
        "TLSv1.3",
        "127.0.0.1",
    )
    assert (facts.handshakes, facts.exchanges, facts.resumed) == (1, 3, False)
    assert facts.handshake_s is not None
    assert 0.0 < facts.handshake_s < PATIENCE_S
    assert facts.certificate is not None
    assert pin_of(facts.certificate) == up.pin_sha256
    assert facts.is_open
    await transport.aclose()
    assert not transport.facts().is_open


@every_encrypted
async def test_padded_queries_keep_their_length_on_the_way_E16(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    for number in (1, 22, 222):
        await ask(transport, number)
    assert {len(seen.wire) for seen in up.queries} == {128}


def test_scheme_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(EndpointError, match="gopher"):
        open_transport(Endpoint("gopher", "192.0.2.1", 70), no_lookup)


@pytest.mark.parametrize(
    ("url", "absent"),
    [
        ("tls://192.0.2.1", {"h2", "hpack", "cryptography", "httpx", "dns", "aioquic"}),
        ("https://192.0.2.1", {"cryptography", "httpx", "dns", "aioquic"}),
        ("quic://192.0.2.1", {"h2", "hpack", "httpx", "dns"}),
        ("h3://192.0.2.1", {"h2", "hpack", "httpx", "dns"}),
        ("udp://192.0.2.1", {"h2", "hpack", "cryptography", "httpx", "dns", "aioquic"}),
    ],
)
def test_transport_loads_only_what_its_scheme_needs(url: str, absent: set[str]) -> None:
    code = (
        "import sys; from secdns.endpoint import parse; from secdns.transport import open_transport; "
        f"open_transport(parse({url!r}), None); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) & absent == set()


class Note:
    """A waiter that asks again from within the failure, as Upstream does when a connection died."""

    def __init__(self, transport: Transport, again: bool) -> None:
        self.transport = transport
        self.again = again
        self.errors: list[TransportError] = []
        self.outcome: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def done(self) -> bool:
        return self.outcome.done()

    def set_result(self, response: bytes, /) -> None:
        self.outcome.set_result(response)

    def set_exception(self, error: TransportError, /) -> None:
        self.errors.append(error)
        if self.again:
            self.again = False
            if self.transport.begin(query_for(), deadline_in(), self) is not None:
                return
        self.outcome.set_result(None)


@every_encrypted
async def test_begin_without_a_connection_does_nothing(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    assert transport.begin(query_for(), deadline_in(), Note(transport, again=False)) is None
    assert up.connections[scheme] == 0


@every_encrypted
async def test_begin_answers_the_waiter_on_the_open_connection(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    note = Note(transport, again=False)
    assert transport.begin(query_for(), deadline_in(), note) is not None
    assert (await note.outcome or b"")[:2] == query_for()[:2]


@pytest.mark.parametrize(
    ("scheme", "fault"),
    [
        ("tls", "close_mid"),
        ("tls", "wrong_question"),
        ("https", "close_mid"),
        ("https", "goaway"),
        ("quic", "close_mid"),
        ("h3", "close_mid"),
        ("h3", "goaway"),
    ],
)
async def test_waiter_that_asks_again_at_once_is_not_sent_back_to_a_dying_connection(
    scheme: str, fault: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    setattr(up.faults, fault, {"close_mid": "rst", "goaway": "zero", "wrong_question": True}[fault])
    note = Note(transport, again=True)
    assert transport.begin(query_for(), deadline_in(), note) is not None
    await note.outcome
    assert len(note.errors) == 1  # begin() had no connection to offer then; exchange() opens one


@every_encrypted
async def test_waiter_that_asks_again_when_its_time_is_up_keeps_its_new_deadline(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    up.faults.silent, up.faults.times = True, 1
    note = Note(transport, again=True)
    assert transport.begin(query_for(), deadline_in(0.05), note) is not None
    assert await note.outcome is not None
    assert [type(error) for error in note.errors] == [DeadlineExceeded]


@every_encrypted
async def test_connect_opens_the_connection_that_queries_use(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await asyncio.gather(*(transport.connect(deadline_in()) for _ in range(10)))
    assert (up.connections[scheme], up.queries) == (1, [])
    note = Note(transport, again=False)
    assert transport.begin(query_for(), deadline_in(), note) is not None
    assert (await note.outcome or b"")[:2] == query_for()[:2]
    await transport.connect(deadline_in())
    assert up.connections[scheme] == 1


@every_encrypted
async def test_connect_says_why_it_failed(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    up.use_certificate("wrong-name")
    with pytest.raises(AuthenticationError):
        await reach(up.endpoint(scheme)).connect(deadline_in())


@pytest.mark.parametrize("scheme", sorted({*ALL} - {*ENCRYPTED}))
async def test_connect_opens_nothing_where_each_query_has_a_socket(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    await reach(up.endpoint(scheme)).connect(deadline_in())
    assert up.connections[scheme] == 0
