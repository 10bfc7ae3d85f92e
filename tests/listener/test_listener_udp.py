"""The UDP listener over real sockets on loopback, with a responder played by hand and with the forwarder."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secdns.cache import Cache, Missed
from secdns.dns.message import Message
from secdns.dns.peek import read_query
from secdns.dns.wire import HEADER_SIZE
from secdns.iana import RCode
from secdns.listener import Acl
from secdns.listener.udp import DATAGRAMS_A_TURN, MAX_QUERY, UDPServer
from secdns.stats import Stats
from secdns.testing import FakeUpstream
from tests.cache.answers import query
from tests.forwarder.stage import ZONES, Clock, Stage, table
from tests.loop import nothing_is_left, turns, wait_until

Deliver = Callable[[bytes | None], None]
IP_RECVERR = 11  # <linux/in.h>; Python has no name for it


def reply_to(wire: bytes, padding: int = 0) -> bytes:
    return wire[:2] + b"\x81\x80" + wire[4:] + bytes(padding)


class Played:
    """A responder that a test plays: the text after the header says what is known at once."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.waiting: list[tuple[bytes, Deliver]] = []

    def cached(self, wire: bytes, now: float) -> bytes | Missed | None:
        self.asked.append(wire)
        match wire[HEADER_SIZE:]:
            case b"hit":
                return reply_to(wire)
            case b"hit too big for a datagram":
                return reply_to(wire, 70_000)
        asked = read_query(wire)
        return None if asked is None else (asked, asked.name, now)

    def submit(self, wire: bytes, *, stream: bool, deliver: Deliver, asked: Missed | None = None) -> None:
        assert not stream
        assert (asked and asked[0]) == read_query(wire)
        match wire[HEADER_SIZE:]:
            case b"now":
                deliver(reply_to(wire))
            case b"drop":
                deliver(None)
            case _:
                self.waiting.append((wire, deliver))

    def answer(self, at: int = 0, padding: int = 0) -> None:
        wire, deliver = self.waiting.pop(at)
        deliver(reply_to(wire, padding))


class Client:
    """A socket of a client."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.connect(server)  # so that a reply from anywhere else is not let in

    def send(self, *wires: bytes) -> None:
        for wire in wires:
            self.sock.send(wire)

    async def receive(self) -> bytes:
        async with asyncio.timeout(4.0):
            return await asyncio.get_running_loop().sock_recv(self.sock, 65535)

    def received(self) -> list[bytes]:
        """Give all that has arrived."""
        found = []
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                found.append(self.sock.recv(65535))
        return found


def message(text: bytes, id: int = 1) -> bytes:
    return id.to_bytes(2) + b"\1\0" + bytes(8) + text


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    async with nothing_is_left():
        yield


@pytest.fixture
def sock(_nothing_is_left: None) -> Iterator[socket.socket]:
    """The socket that is listened on; the server closes it when it is drained."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setblocking(False)
    bound.bind(("127.0.0.1", 0))
    yield bound
    bound.close()


@pytest.fixture
async def responder() -> Played:
    return Played()


@pytest.fixture
async def server(responder: Played, sock: socket.socket) -> AsyncIterator[UDPServer]:
    served = UDPServer(responder, Cache(1 << 20), clock=Clock(), stats=Stats())
    served.listen(sock)
    yield served
    for wire, deliver in responder.waiting:
        deliver(reply_to(wire))
    await served.drain(asyncio.get_running_loop().time())


@pytest.fixture
async def join(sock: socket.socket) -> AsyncIterator[Callable[[], Client]]:
    clients: list[Client] = []

    def new() -> Client:
        clients.append(Client(sock.getsockname()))
        return clients[-1]

    yield new
    for client in clients:
        client.sock.close()


Join = Callable[[], Client]


@pytest.mark.parametrize("text", [b"hit", b"now", b"later"])
async def test_reply_goes_to_who_asked(text: bytes, server: UDPServer, responder: Played, join: Join) -> None:
    client, bystander = join(), join()
    client.send(message(text, 7))
    await wait_until(lambda: responder.asked)
    if responder.waiting:
        responder.answer()
    assert await client.receive() == reply_to(message(text, 7))
    assert bystander.received() == []
    assert server.in_flight == 0


async def test_same_id_from_many_clients_gets_each_its_own_answer_1035_4(
    server: UDPServer, responder: Played, join: Join
) -> None:
    clients = [join() for _ in range(100)]
    for number, client in enumerate(clients):
        client.send(message(b"%d" % number, 0x1111))
    await wait_until(lambda: len(responder.waiting) == 100)
    assert server.in_flight == 100
    while responder.waiting:
        responder.answer(-1)
    for number, client in enumerate(clients):
        assert await client.receive() == reply_to(message(b"%d" % number, 0x1111))
        assert client.received() == []


async def test_reply_waits_for_others_of_its_turn_and_for_nothing_later(
    server: UDPServer, responder: Played, join: Join
) -> None:
    client = join()
    wires = [message(b"%d" % number, number) for number in range(4)]
    client.send(*wires)
    await wait_until(lambda: len(responder.waiting) == 4)
    responder.answer()
    responder.answer()
    assert client.received() == []
    assert [await client.receive() for _ in range(2)] == [reply_to(wire) for wire in wires[:2]]
    assert server.in_flight == 2
    responder.answer()
    responder.answer()
    assert client.received() == [reply_to(wire) for wire in wires[2:]]  # there is nothing left to wait for


async def test_drop_is_silence_T7(server: UDPServer, responder: Played, join: Join) -> None:
    client = join()
    client.send(message(b"drop"), message(b"hit", 2))
    assert (await client.receive())[:2] == b"\0\2"
    assert client.received() == []
    assert server.in_flight == 0


async def test_finished_reply_is_sent_again_with_the_next_ones_id_and_for_its_second_alone(
    responder: Played, sock: socket.socket, join: Join
) -> None:
    clock = Clock()
    cache = Cache(1 << 20)
    server = UDPServer(responder, cache, clock=clock)
    server.listen(sock)
    client = join()
    client.send(message(b"hit"))
    await client.receive()
    cache.tick(clock.now)
    cache.hot[message(b"hit")[2:]] = b"finished"
    client.send(message(b"hit", 0xBEEF))
    assert await client.receive() == b"\xbe\xeffinished"
    clock.now += 1
    client.send(message(b"hit", 3))
    assert await client.receive() == reply_to(message(b"hit", 3))
    await server.drain(0)


async def test_64_datagrams_a_turn_then_others_have_theirs(
    server: UDPServer, responder: Played, join: Join
) -> None:
    client = join()
    client.send(*(message(b"drop", number) for number in range(3 * DATAGRAMS_A_TURN)))
    seen = 0
    for _ in range(20):
        await asyncio.sleep(0)
        assert len(responder.asked) - seen <= DATAGRAMS_A_TURN
        seen = len(responder.asked)
    assert seen == 3 * DATAGRAMS_A_TURN


async def test_datagram_longer_than_a_query_can_be_is_cut_T5(
    server: UDPServer, responder: Played, join: Join
) -> None:
    join().send(message(b"x" * 60_000))
    await wait_until(lambda: responder.asked)
    assert len(responder.asked[0]) == MAX_QUERY


@pytest.mark.parametrize("text", [b"", b"\0", b"\0" * 11])
async def test_scraps_are_handed_on_as_they_are(
    text: bytes, server: UDPServer, responder: Played, join: Join
) -> None:
    join().send(text)
    await wait_until(lambda: responder.asked)
    assert responder.asked == [text]


async def test_client_that_is_gone_is_no_trouble_to_anyone_F31(
    server: UDPServer, responder: Played, sock: socket.socket, join: Join
) -> None:
    gone, client = join(), join()
    if os.uname().sysname == "Linux":  # the kernel tells of ICMP errors; without this it may
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    gone.send(message(b"one"), message(b"two"))
    await wait_until(lambda: len(responder.waiting) == 2)
    gone.sock.close()
    responder.answer()
    await turns()
    responder.answer()
    await turns()
    client.send(message(b"hit"))
    assert await client.receive() == reply_to(message(b"hit"))
    assert server.in_flight == 0
    assert server._stats.queries == 3  # an error is no query


@pytest.mark.parametrize("text", [b"hit too big for a datagram", b"later"])
async def test_reply_that_cannot_be_sent_is_lost_and_nothing_else(
    text: bytes, server: UDPServer, responder: Played, join: Join
) -> None:
    client = join()
    client.send(message(text))
    await wait_until(lambda: responder.asked)
    if responder.waiting:
        responder.answer(padding=70_000)
    client.send(message(b"hit", 2))
    assert await client.receive() == reply_to(message(b"hit", 2))
    assert server.in_flight == 0


async def test_over_the_bound_datagrams_are_dropped_but_hits_go_on_R2(
    server: UDPServer, responder: Played, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secdns.listener.udp.MAX_IN_FLIGHT", 10)
    client = join()
    client.send(*(message(b"later %d" % number) for number in range(15)), message(b"hit"))
    assert await client.receive() == reply_to(message(b"hit"))
    assert (server.in_flight, server._stats.drops, server._stats.queries) == (10, 5, 16)
    for _ in range(10):
        responder.answer()
    assert len([await client.receive() for _ in range(10)]) == 10
    client.send(message(b"later"))
    await wait_until(lambda: responder.waiting)


@pytest.mark.parametrize("is_known", [True, False])
async def test_who_may_not_ask_is_dropped_before_anything_is_looked_at_R4(
    is_known: bool, responder: Played, sock: socket.socket, join: Join
) -> None:
    acl = Acl([ip_network("192.0.2.0/24")])
    acl._verdicts["127.0.0.1"] = is_known  # a test has no other address to come from
    stats = Stats()
    server = UDPServer(responder, Cache(1 << 20), clock=Clock(), stats=stats)
    server.listen(sock, acl)
    client = join()
    client.send(message(b"hit"))
    await wait_until(lambda: stats.queries)
    assert (stats.drops, len(responder.asked)) == ((0, 1) if is_known else (1, 0))
    await server.drain(0)


# the end


async def test_drain_lets_what_is_in_flight_be_answered_and_reads_no_more_F32(
    server: UDPServer, responder: Played, sock: socket.socket, join: Join
) -> None:
    client = join()
    client.send(message(b"later"))
    await wait_until(lambda: responder.waiting)
    draining = asyncio.create_task(server.drain(asyncio.get_running_loop().time() + 4.0))
    await turns()
    client.send(message(b"hit", 2))
    await turns()
    assert not draining.done()
    responder.answer()
    await draining
    assert await client.receive() == reply_to(message(b"later"))
    assert len(responder.asked) == 1
    assert sock.fileno() == -1


async def test_drain_ends_at_its_deadline_and_what_comes_later_goes_nowhere_F32(
    server: UDPServer, responder: Played, sock: socket.socket, join: Join
) -> None:
    client = join()
    client.send(message(b"later"))
    await wait_until(lambda: responder.waiting)
    await server.drain(asyncio.get_running_loop().time())
    assert sock.fileno() == -1
    responder.answer()
    assert server.in_flight == 0
    assert client.received() == []


async def test_unlistened_socket_still_answers_what_is_in_flight(
    server: UDPServer, responder: Played, sock: socket.socket, join: Join
) -> None:
    client = join()
    client.send(message(b"later"))
    await wait_until(lambda: responder.waiting)
    server.unlisten(sock)
    client.send(message(b"hit", 2))
    await turns()
    responder.answer()
    assert await client.receive() == reply_to(message(b"later"))
    assert len(responder.asked) == 1


# with the forwarder


@pytest.fixture
async def stage(_nothing_is_left: None) -> AsyncIterator[Stage]:
    async with FakeUpstream(ZONES) as up:
        made = Stage(table(up))
        yield made
        await made.close()


@pytest.fixture
async def real(stage: Stage, sock: socket.socket) -> AsyncIterator[UDPServer]:
    served = UDPServer(stage.forwarder, stage.cache, clock=stage.clock, stats=stage.forwarder.stats)
    served.listen(sock)
    yield served
    await served.drain(asyncio.get_running_loop().time())


async def test_miss_then_hit_then_hot_are_the_same_but_for_the_id(
    real: UDPServer, stage: Stage, join: Join
) -> None:
    client = join()
    replies = []
    for number in range(5):
        client.send(query("www.example.test", id=number))
        replies.append(await client.receive())
    assert {reply[2:] for reply in replies} == {replies[0][2:]}
    assert [int.from_bytes(reply[:2]) for reply in replies] == list(range(5))
    stats = stage.forwarder.stats
    assert (stats.queries, stats.hits, stats.misses, stats.local, stats.drops) == (5, 4, 1, 0, 0)
    assert query("www.example.test")[2:] in stage.cache.hot


async def test_reply_over_the_clients_limit_is_cut_1035_3_6891_5(
    real: UDPServer, stage: Stage, join: Join
) -> None:
    client = join()
    for _ in range(2):
        client.send(query("middle.example.test", 16, edns=False))
        reply = await client.receive()
        assert len(reply) <= 512
        assert Message.parse(reply).flags & 0x0200


async def test_datagram_from_our_own_address_makes_one_packet_and_no_loop_T7(
    real: UDPServer, stage: Stage, sock: socket.socket
) -> None:
    own = sock.getsockname()
    for wire in (query("localhost"), query("www.example.test"), b"\0\1\x28\0" + bytes(8)):
        sock.sendto(wire, own)
    stats = stage.forwarder.stats
    await wait_until(lambda: stats.drops == 3)  # our replies, which came to ourselves
    await turns(20)
    assert stats.queries == 6


QUERIES = [query("h1.example.test"), query("localhost")]
HOSTILE = st.lists(
    st.binary(max_size=80)
    | st.builds(
        lambda head, body: bytes(2) + head + body, st.binary(min_size=2, max_size=10), st.binary(max_size=60)
    )
    | st.builds(
        lambda at, octet, wire: wire[:at] + bytes([octet]) + wire[at + 1 :],
        st.integers(2, 40), st.integers(0, 255), st.sampled_from(QUERIES),
    ),
    min_size=1,
    max_size=20,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True, deadline=None,
          database=None, max_examples=100)  # fmt: skip
@given(datagrams=HOSTILE)
async def test_any_datagrams_leave_the_listener_at_work_T3_T5_T7_8906(
    datagrams: list[bytes], real: UDPServer, stage: Stage, sock: socket.socket
) -> None:
    client = Client(sock.getsockname())
    try:
        client.send(*datagrams)
        client.send(query("localhost", id=0xFFFF))
        replies = [await client.receive()]
        while replies[-1][:2] != b"\xff\xff":
            replies.append(await client.receive())
        assert Message.parse(replies[-1]).rcode == RCode.NOERROR
        await stage.forwarder.settle(4.0)
        await wait_until(lambda: real.in_flight == 0)
        replies += client.received()
        may_answer = [wire for wire in datagrams if len(wire) >= HEADER_SIZE and not wire[2] & 0x80]
        assert len(replies) == len(may_answer) + 1
        assert all(reply[2] & 0x80 and len(reply) <= 1232 for reply in replies)
    finally:
        client.sock.close()
        stage.cache.flush()
