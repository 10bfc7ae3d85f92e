"""The TCP listener (RFC 7766) over real sockets on loopback, with a responder that echoes."""

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from secdns.cache import Missed
from secdns.listener import Acl, Limits
from secdns.listener.connection import MESSAGES_A_TURN
from secdns.listener.tcp import TCPServer

Deliver = Callable[[bytes | None], None]

# Long enough for a slow machine to do honest work in, short enough to wait for.
SHORT_S = 0.2
QUICK = Limits(first_octet_s=SHORT_S, message_s=SHORT_S, idle_s=SHORT_S, coarse_s=0.01)
NEVER_S = 60.0


def query(number: int, text: bytes = b"") -> bytes:
    """Give a message with a plausible header; ``text`` tells the responder what to do."""
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + text


def reply_to(wire: bytes, padding: int = 0) -> bytes:
    return wire[:2] + b"\x81\x80" + wire[4:] + bytes(padding)


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2) + wire


class Echo:
    """Answers a query with itself. The text after its header says how."""

    BIG = 60_000

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.done: list[int] = []
        self.released = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def cached(self, wire: bytes, now: float) -> bytes | None:
        match wire[12:]:
            case b"hit":
                return reply_to(wire)
            case b"big hit":
                return reply_to(wire, self.BIG)
            case b"cut":
                return wire[:2] + b"\x83\x80" + wire[4:]
        return None

    def submit(self, wire: bytes, *, stream: bool, deliver: Deliver, asked: Missed | None = None) -> None:
        assert stream
        if wire[12:] == b"now":
            deliver(reply_to(wire))
            return
        task = asyncio.create_task(self._answer(wire, deliver))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, wire: bytes, deliver: Deliver) -> None:
        deliver(await self._reply(wire))

    async def _reply(self, wire: bytes) -> bytes | None:
        number = int.from_bytes(wire[:2])
        self.asked.append(number)
        match wire[12:]:
            case b"drop":
                return None
            case b"big":
                return reply_to(wire, self.BIG)
            case b"hold" | b"big hold":
                await self.released.wait()
        self.done.append(number)
        return reply_to(wire, self.BIG if wire.endswith(b"big hold") else 0)


class Client:
    """One connection to the server under test."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def connect(self) -> "Client":
        await self._loop.sock_connect(self.sock, ("127.0.0.1", self._port))
        return self

    async def send(self, *wires: bytes) -> None:
        await self.write(b"".join(framed(wire) for wire in wires))

    async def write(self, octets: bytes) -> None:
        await self._loop.sock_sendall(self.sock, octets)

    async def receive(self) -> bytes:
        """Give the next message; EOFError if there is none any more."""
        while len(self._buffer) < 2 or len(self._buffer) < 2 + int.from_bytes(self._buffer[:2]):
            octets = await self._loop.sock_recv(self.sock, 70_000)
            if not octets:
                raise EOFError
            self._buffer += octets
        end = 2 + int.from_bytes(self._buffer[:2])
        wire, self._buffer = self._buffer[2:end], self._buffer[end:]
        return wire

    async def ask(self, wire: bytes) -> bytes:
        await self.send(wire)
        return await self.receive()

    async def ended(self) -> None:
        """Wait until the server has closed or reset the connection; nothing may come before."""
        with contextlib.suppress(ConnectionError):
            got = await self._loop.sock_recv(self.sock, 70_000)
            assert got == b""

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Bench:
    """A server under test, the responder behind it and the clients in front of it."""

    def __init__(self, limits: Limits | None, acl: Acl | None) -> None:
        self.responder = Echo()
        self.server = TCPServer(self.responder, clock=time.monotonic, limits=limits)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.server.listen(self.listener, acl)
        self.clients: list[Client] = []

    async def client(self, *, receive_buffer: int | None = None) -> Client:
        client = Client(self.port, receive_buffer=receive_buffer)
        self.clients.append(client)
        return await client.connect()

    async def until(self, claim: Callable[[], bool]) -> None:
        """Let the loop turn until ``claim`` holds; the time limit of the test is the bound."""
        while not claim():  # noqa: ASYNC110 - the server's state has no event to wait for
            await asyncio.sleep(0)


Serve = Callable[..., Bench]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Give a function that starts a server. Afterwards nothing of it may be left (faults.md §2)."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    tasks_before, descriptors_before = asyncio.all_tasks(), descriptors()
    benches: list[Bench] = []

    def start(limits: Limits | None = None, acl: Acl | None = None) -> Bench:
        benches.append(Bench(limits, acl))
        return benches[-1]

    yield start
    for bench in benches:
        bench.responder.released.set()
        await bench.server.drain(loop.time() + 5)
        assert (bench.server.connections, bench.server.in_flight) == (0, 0)
        for client in bench.clients:
            client.sock.close()
    assert complaints == []
    assert asyncio.all_tasks() - tasks_before - {asyncio.current_task()} == set()
    assert descriptors() == descriptors_before
    assert timers() == 0


def timers() -> int:
    """Count what the event loop is set to wake up for."""
    return sum(not handle.cancelled() for handle in vars(asyncio.get_running_loop())["_scheduled"])


# Framing and order.


@pytest.mark.parametrize("size", [1, 2, 3, 7, 13, 29])
async def test_any_segmentation_is_tolerated_7766_4(serve: Serve, size: int) -> None:
    bench = serve()
    client = await bench.client()
    wires = [query(number, b"x" * number) for number in range(5)]
    octets = b"".join(framed(wire) for wire in wires)
    for at in range(0, len(octets), size):
        await client.write(octets[at : at + size])
        await asyncio.sleep(0)  # so that the server reads each piece by itself
    assert [await client.receive() for _ in wires] == [reply_to(wire) for wire in wires]


async def test_slow_query_does_not_block_those_behind_it_7766_2(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    await client.send(query(1, b"hold"), query(2), query(3, b"hit"))
    assert {await client.receive(), await client.receive()} == {
        reply_to(query(2)),
        reply_to(query(3, b"hit")),
    }
    bench.responder.released.set()
    assert await client.receive() == reply_to(query(1, b"hold"))


async def test_length_and_message_come_in_one_segment_7766_3(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    await client.send(query(1))
    got = await asyncio.get_running_loop().sock_recv(client.sock, 70_000)
    assert got == framed(reply_to(query(1)))


async def test_cached_reply_needs_no_task(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    assert await client.ask(query(7, b"hit")) == reply_to(query(7, b"hit"))
    assert (bench.responder.asked, bench.server.stats.hits) == ([], 1)


async def test_reply_that_is_there_at_once_needs_no_task(serve: Serve) -> None:
    bench = serve(Limits(pipelined=1))
    client = await bench.client()
    wires = [query(number, b"now") for number in range(5)]
    await client.send(*wires)
    assert [await client.receive() for _ in wires] == [reply_to(wire) for wire in wires]


async def test_reply_cut_for_a_datagram_is_not_sent_over_a_stream(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    assert await client.ask(query(7, b"cut")) == reply_to(query(7, b"cut"))
    assert bench.responder.asked == [7]


async def test_silence_for_one_query_leaves_the_connection_open_T7(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    assert await (await bench.client()).ask(query(1)) == reply_to(query(1))
    await client.send(query(2, b"drop"), query(3))
    assert await client.receive() == reply_to(query(3))


async def test_flood_of_tiny_messages_is_answered_in_order_and_in_turns_F33(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    wires = [query(number, b"hit") for number in range(3000)]
    sending = asyncio.ensure_future(client.send(*wires))
    assert [await client.receive() for _ in wires] == [reply_to(wire) for wire in wires]
    await sending


async def test_largest_reply_arrives_whole(serve: Serve) -> None:
    bench = serve()
    client = await bench.client(receive_buffer=4096)
    assert await client.ask(query(1, b"big")) == reply_to(query(1, b"big"), Echo.BIG)
    assert await client.ask(query(2, b"big hit")) == reply_to(query(2, b"big hit"), Echo.BIG)


async def test_client_that_closes_its_sending_half_still_gets_its_replies(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    await client.send(query(1, b"hold"), query(2))
    client.sock.shutdown(socket.SHUT_WR)
    assert await client.receive() == reply_to(query(2))
    bench.responder.released.set()
    assert await client.receive() == reply_to(query(1, b"hold"))
    await client.ended()


@pytest.mark.parametrize("size", [0, 1, 11])
async def test_prefix_below_a_header_closes_the_connection_R5(serve: Serve, size: int) -> None:
    bench = serve()
    client, other = await bench.client(), await bench.client()
    await client.write(size.to_bytes(2) + bytes(size))
    await client.ended()
    assert bench.server.counters.malformed == 1
    assert await other.ask(query(1)) == reply_to(query(1))


async def test_flood_of_one_client_is_worked_on_in_turns_F33(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    wires = [query(number, b"hit") for number in range(1000)]  # the server reads all of it at once
    await client.send(*wires)
    turns = []
    while bench.server.stats.hits < len(wires):
        before = bench.server.stats.hits
        await asyncio.sleep(0)
        turns.append(bench.server.stats.hits - before)
    assert 0 < max(turns) <= 2 * MESSAGES_A_TURN
    assert [await client.receive() for _ in wires] == [reply_to(wire) for wire in wires]


# Limits on time.


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00", id="half a prefix"),
        pytest.param(b"\x00\x20", id="a prefix"),
        pytest.param(framed(query(1))[:-1], id="all but one octet"),
        pytest.param(framed(query(1, b"drop")), id="a query without reply"),
        pytest.param(framed(query(1, b"drop")) + b"\x00", id="a query and half a prefix"),
    ],
)
async def test_client_that_falls_silent_is_closed_R5_7766_5(serve: Serve, octets: bytes) -> None:
    bench = serve(QUICK)
    client = await bench.client()
    await client.write(octets)
    start = time.monotonic()
    await client.ended()
    assert time.monotonic() - start > SHORT_S / 2
    assert bench.server.counters.timed_out == 1


async def test_idle_connection_is_closed_after_its_last_reply_7766_5(serve: Serve) -> None:
    bench = serve(Limits(idle_s=SHORT_S, first_octet_s=NEVER_S, message_s=NEVER_S, coarse_s=0.01))
    client = await bench.client()
    assert await client.ask(query(1)) == reply_to(query(1))
    await client.ended()
    assert bench.server.counters.timed_out == 1


async def test_octet_now_and_then_does_not_stretch_the_limit_of_a_message_R5(serve: Serve) -> None:
    bench = serve(QUICK)
    client = await bench.client()
    ended = asyncio.ensure_future(client.ended())
    await client.write(b"\xff\xff")
    with contextlib.suppress(ConnectionError):
        while not ended.done():
            await client.write(b"\x00")
            await asyncio.sleep(0)
    await ended
    assert bench.server.counters.timed_out == 1


async def test_connection_that_waits_for_us_is_not_idle(serve: Serve) -> None:
    bench = serve(QUICK)
    waiting, silent = await bench.client(), await bench.client()
    await waiting.send(query(1, b"hold"))
    await bench.until(lambda: bench.responder.asked == [1])
    for _ in range(2):  # each lasts as long as the limit
        await silent.ended()
        silent = await bench.client()
    bench.responder.released.set()
    assert await waiting.receive() == reply_to(query(1, b"hold"))


async def test_time_in_which_we_do_not_read_is_not_the_clients(serve: Serve) -> None:
    bench = serve(Limits(pipelined=1, message_s=SHORT_S, coarse_s=0.01))
    client, clock = await bench.client(), await bench.client()
    wire = framed(query(2))
    await client.write(framed(query(1, b"hold")) + wire[:5])
    await bench.until(lambda: bench.server.in_flight == 1)
    await clock.write(b"\x00")
    await clock.ended()
    bench.responder.released.set()
    assert await client.receive() == reply_to(query(1, b"hold"))
    await client.write(wire[5:])
    assert await client.receive() == reply_to(query(2))


async def test_no_timer_without_connections(serve: Serve) -> None:
    bench = serve()
    assert timers() == 0
    clients = [await bench.client() for _ in range(5)]
    await bench.until(lambda: bench.server.connections == 5)
    assert timers() == 1
    for client in clients:
        client.sock.close()
    await bench.until(lambda: bench.server.connections == 0)
    assert timers() == 0


# Limits on numbers.


async def test_no_more_than_the_cap_is_in_flight_R5(serve: Serve) -> None:
    bench = serve(Limits(pipelined=4))
    client, other = await bench.client(), await bench.client()
    wires = [query(number, b"hold") for number in range(100)]
    await client.send(*wires)
    await bench.until(lambda: bench.server.in_flight == 4)
    for number in range(100, 150):  # gives the server every chance to take on more
        assert await other.ask(query(number, b"hit")) == reply_to(query(number, b"hit"))
    assert bench.responder.asked == [0, 1, 2, 3]
    bench.responder.released.set()
    assert sorted([await client.receive() for _ in wires]) == [reply_to(wire) for wire in wires]


async def test_full_table_turns_new_clients_away_while_nobody_is_quiet_R6(serve: Serve) -> None:
    bench = serve(Limits(connections=3, quiet_s=NEVER_S))
    kept = [await bench.client() for _ in range(3)]
    await (await bench.client()).ended()
    assert bench.server.counters.turned_away == 1
    for number, client in enumerate(kept):
        assert await client.ask(query(number)) == reply_to(query(number))
    kept[0].sock.close()
    await bench.until(lambda: bench.server.connections == 2)
    assert await (await bench.client()).ask(query(9)) == reply_to(query(9))


async def test_full_table_closes_the_longest_idle_R6(serve: Serve) -> None:
    bench = serve(Limits(connections=3, quiet_s=0.0))
    busy, used, idle = [await bench.client() for _ in range(3)]
    await busy.send(query(1, b"hold"))
    await bench.until(lambda: bench.responder.asked == [1])
    for client in (idle, used):
        assert await client.ask(query(2)) == reply_to(query(2))
    assert await (await bench.client()).ask(query(3)) == reply_to(query(3))
    await idle.ended()
    assert await used.ask(query(4)) == reply_to(query(4))
    bench.responder.released.set()
    assert await busy.receive() == reply_to(query(1, b"hold"))
    assert (bench.server.counters.evicted, bench.server.counters.turned_away) == (1, 0)


async def test_storm_of_connections_is_held_to_the_cap_F20(serve: Serve) -> None:
    bench = serve(Limits(quiet_s=NEVER_S))
    early = await bench.client()
    assert await early.ask(query(1)) == reply_to(query(1))
    storm = [await bench.client() for _ in range(500)]
    await bench.until(lambda: bench.server.counters.accepted + bench.server.counters.turned_away == 501)
    assert bench.server.connections == 256
    kept, gone = storm[:255], storm[255:]
    await asyncio.gather(*(client.ended() for client in gone))
    replies = await asyncio.gather(early.ask(query(2)), *(client.ask(query(3)) for client in kept))
    assert replies == [reply_to(query(2))] + [reply_to(query(3))] * 255


async def test_slow_loris_costs_others_nothing_R5(serve: Serve) -> None:
    bench = serve(Limits(first_octet_s=1.0, message_s=1.0, idle_s=NEVER_S, quiet_s=0.0, coarse_s=0.01))
    loris = [await bench.client() for _ in range(300)]
    good = await bench.client()

    async def drip(client: Client) -> None:
        with contextlib.suppress(ConnectionError):
            for octet in b"\x02\x00\x00":
                await client.write(bytes([octet]))
                await asyncio.sleep(0)
        await client.ended()

    dripping = [asyncio.ensure_future(drip(client)) for client in loris]
    number = 0
    while not all(task.done() for task in dripping):
        number = (number + 1) % 0x10000
        assert await good.ask(query(number, b"hit")) == reply_to(query(number, b"hit"))
        assert bench.server.connections <= 256
    await asyncio.gather(*dripping)
    assert bench.server.connections == 1


@pytest.mark.parametrize(
    ("text", "counter"),
    [
        pytest.param(b"big hold", "overrun", id="many replies at once"),
        pytest.param(b"big hit", "timed_out", id="one reply after the other"),
    ],
)
async def test_client_that_never_reads_is_cut_off_R5(serve: Serve, text: bytes, counter: str) -> None:
    bench = serve(Limits(idle_s=SHORT_S, coarse_s=0.01, pipelined=1000))
    client = await bench.client(receive_buffer=4096)
    wires = [query(number, text) for number in range(400)]
    sending = asyncio.ensure_future(client.send(*wires))
    if counter == "overrun":
        await bench.until(lambda: bench.server.in_flight == len(wires))
        bench.responder.released.set()
    await bench.until(lambda: getattr(bench.server.counters, counter) == 1)
    with contextlib.suppress(ConnectionError):
        await sending
    received = 0
    with contextlib.suppress(ConnectionResetError):  # what the server still had is gone
        while True:
            await client.receive()
            received += 1
    assert received < len(wires)
    assert await (await bench.client()).ask(query(1, b"hit")) == reply_to(query(1, b"hit"))


async def test_client_that_never_reads_costs_no_time_R5(serve: Serve) -> None:
    bench = serve(Limits(idle_s=NEVER_S, first_octet_s=SHORT_S, coarse_s=0.01))
    client, silent = await bench.client(receive_buffer=4096), await bench.client()
    sending = asyncio.ensure_future(client.send(*(query(number, b"big hit") for number in range(400))))
    assert await (await bench.client()).ask(query(1)) == reply_to(query(1))
    start = time.process_time()
    await silent.ended()
    assert time.process_time() - start < SHORT_S / 2
    assert bench.server.stats.hits < 400
    sending.cancel()
    await asyncio.wait([sending])
    client.reset()


async def test_access_list_decides_before_anything_is_read_R4(serve: Serve) -> None:
    class Nobody(Acl):
        def allows(self, host: str) -> bool:
            assert host == "127.0.0.1"
            return False

    bench = serve(acl=Nobody(()))
    await (await bench.client()).ended()
    assert (bench.server.counters.refused, bench.server.counters.accepted) == (1, 0)


# Clients and responders that misbehave, and the end.


@pytest.mark.parametrize("leave", [Client.reset, lambda client: client.sock.close()], ids=["reset", "close"])
async def test_answer_is_awaited_although_the_client_has_left_F31(
    serve: Serve, leave: Callable[[Client], None]
) -> None:
    bench = serve()
    client = await bench.client()
    await client.send(*(query(number, b"hold") for number in range(20)))
    await bench.until(lambda: bench.server.in_flight == 20)
    leave(client)
    assert await (await bench.client()).ask(query(99, b"hit")) == reply_to(query(99, b"hit"))
    bench.responder.released.set()
    await bench.until(lambda: bench.server.in_flight == 0)
    assert sorted(bench.responder.done) == list(range(20))
    await bench.until(lambda: bench.server.connections == 1)


async def drain(bench: Bench, after_s: float) -> None:
    await bench.server.drain(asyncio.get_running_loop().time() + after_s)


async def test_drain_answers_what_is_in_flight_and_takes_on_nothing_new_F32(serve: Serve) -> None:
    bench = serve()
    busy, idle = await bench.client(), await bench.client()
    await busy.send(query(1, b"hold"))
    await bench.until(lambda: bench.server.in_flight == 1 and bench.server.connections == 2)
    draining = asyncio.ensure_future(drain(bench, NEVER_S))
    await idle.ended()
    with pytest.raises(ConnectionRefusedError):
        await bench.client()
    bench.responder.released.set()
    assert await busy.receive() == reply_to(query(1, b"hold"))
    await busy.ended()
    await draining


async def test_drain_cuts_off_at_its_deadline_F32(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    await client.send(query(1, b"hold"))
    await bench.until(lambda: bench.server.in_flight == 1)
    await drain(bench, 0.05)
    await client.ended()
    assert (bench.server.in_flight, bench.responder.done) == (1, [])
    bench.responder.released.set()
    await bench.until(lambda: bench.server.in_flight == 0)  # and its reply goes nowhere


async def test_drain_cuts_off_a_client_that_does_not_read_F32(serve: Serve) -> None:
    bench = serve()
    client = await bench.client(receive_buffer=4096)
    await client.send(*(query(number, b"big hit") for number in range(200)))
    await bench.until(lambda: bench.server.stats.hits > 10)
    await drain(bench, 0.05)
    assert bench.server.connections == 0


async def test_one_listener_can_be_closed_while_its_clients_are_served_on_F22(serve: Serve) -> None:
    bench = serve()
    client = await bench.client()
    assert await client.ask(query(1)) == reply_to(query(1))
    bench.server.unlisten(bench.listener)
    with pytest.raises(ConnectionRefusedError):
        await bench.client()
    assert await client.ask(query(2)) == reply_to(query(2))
