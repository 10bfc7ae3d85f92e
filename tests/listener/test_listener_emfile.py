"""Running out of descriptors, in a process of its own so that only the server runs out (F19)."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A TCP listener and an echo for datagrams on the same port and loop, with 40 descriptors in all.
# The reply carries the CPU time of the process in µs and the number of connections shed so far.
SERVER = """
import asyncio, resource, sys, time
from secdns.config import ListenAddress
from secdns.listener import Limits
from secdns.listener.sockets import open_sockets
from secdns.listener.tcp import TCPServer

class Clock:
    def cached(self, query, now):
        return query + int(time.process_time() * 1e6).to_bytes(8) + server.counters.shed.to_bytes(4)

    async def answer(self, query, *, stream):
        return self.cached(query, 0)

def datagram():
    query, client = bound.udp.recvfrom(512)
    bound.udp.sendto(responder.cached(query, 0), client)

async def main():
    global bound, server, responder
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    [bound] = open_sockets([ListenAddress("127.0.0.1", 0, False)])
    responder = Clock()
    limits = Limits(connections=10_000, idle_s=1.0, first_octet_s=1.0, coarse_s=0.01)
    server = TCPServer(responder, clock=time.monotonic, limits=limits)
    server.listen(bound.tcp)
    loop = asyncio.get_running_loop()
    loop.add_reader(bound.udp, datagram)
    print(bound.port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    loop.remove_reader(bound.udp)
    await server.drain(loop.time() + 1)
    bound.close()

asyncio.run(main(), debug=False)
"""

QUERY = bytes(12)


@pytest.fixture
def port() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        _, complaints = process.communicate()
    [complaint] = complaints.splitlines()  # said once, and no traceback beside it
    assert complaint.startswith("tcp: no descriptors left")
    assert process.returncode == 0


def ask(sock: socket.socket) -> tuple[float, int]:
    """Ask over TCP or UDP; give the server's CPU time in seconds and how many it has shed."""
    if sock.type == socket.SOCK_DGRAM:
        sock.send(QUERY)
        reply = sock.recv(512)
    else:
        sock.sendall(len(QUERY).to_bytes(2) + QUERY)
        reply = sock.recv(512)[2:]
    assert reply[: len(QUERY)] == QUERY
    return int.from_bytes(reply[12:20]) / 1e6, int.from_bytes(reply[20:24])


def is_closed(sock: socket.socket) -> bool:
    """Wait until the server closes ``sock``."""
    with contextlib.suppress(ConnectionResetError):
        return sock.recv(1) == b""
    return True


def test_running_out_of_descriptors_sheds_clients_and_nothing_else_F19_M16(port: int) -> None:
    with contextlib.ExitStack() as stack:

        def connect(kind: int = socket.SOCK_STREAM) -> socket.socket:
            sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
            sock.settimeout(10)
            sock.connect(("127.0.0.1", port))
            return sock

        early, datagrams = connect(), connect(socket.SOCK_DGRAM)
        ask(early)
        crowd = [connect() for _ in range(200)]
        assert is_closed(crowd[-1])  # and with it everyone before it has been looked at
        _, shed = ask(datagrams)
        assert 150 < shed < 200
        ask(early)
        before, _ = ask(datagrams)
        assert is_closed(crowd[0])  # it was let in, and stays for a second
        after, shed_later = ask(datagrams)
        assert after - before < 0.25
        assert shed_later == shed
        for sock in crowd:
            assert is_closed(sock)
        ask(connect())
