"""Does a look-up arrive here? Asked of a real listener, with a look-up that goes where a test wants."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from secdns.dns.message import Message, Record
from secdns.errors import NotInForceError
from secdns.iana import RCode, RRClass, RRType
from secdns.osdns import proof
from secdns.osdns.plan import Server
from tests.fixtures import listening

__all__ = ["listening"]  # a fixture for this file


@pytest.fixture
def stranger() -> Iterator[Callable[[Callable[[bytes], bytes]], Server]]:
    """Another program on a port of loopback, which answers one datagram as told."""
    sockets: list[socket.socket] = []
    pool = ThreadPoolExecutor()

    def start(answer: Callable[[bytes], bytes]) -> Server:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        sockets.append(sock)

        def serve() -> None:
            query, client = sock.recvfrom(65535)
            sock.sendto(answer(query), client)

        pool.submit(serve)
        return Server("127.0.0.1", sock.getsockname()[1])

    yield start
    pool.shutdown()
    for sock in sockets:
        sock.close()


def reply(query: bytes, rcode: int = RCode.NOERROR, address: bytes | None = None) -> bytes:
    asked = Message.parse(query)
    (question,) = asked.question
    records = (Record(question.name, RRType.A, RRClass.IN, 1, address),) if address else ()
    return Message(asked.id, 0x8180 | rcode, asked.question, records, (), ()).to_wire()


async def why_not(server: Server, look_up: Callable[[str], list[str]], settle_s: float = 0.0) -> str | None:
    return await asyncio.to_thread(
        proof.why_not, [server], look_up, settle_s=settle_s, sleep=lambda seconds: None
    )


async def test_look_up_that_arrives_is_proven_need9(listening: Server) -> None:
    assert await why_not(listening, lambda name: [proof.ask(listening, name)]) is None


async def test_each_try_has_a_fresh_name_below_ours(listening: Server) -> None:
    seen: list[str] = []

    def look_up(name: str) -> list[str]:
        seen.append(name)
        return [proof.ask(listening, name)] if len(seen) == 3 else []

    assert await why_not(listening, look_up, settle_s=60) is None
    assert len(set(seen)) == 3
    assert all(name.endswith(".secdns.internal.") for name in seen)


async def test_look_up_that_finds_nothing_went_elsewhere(listening: Server) -> None:
    reason = await why_not(listening, lambda name: [])
    assert reason == "the system could not find a name that only secdns knows, so it asks another resolver"


@pytest.mark.parametrize("answer", [["127.1.2.3"], ["192.0.2.1"]])
async def test_look_up_that_is_answered_otherwise_went_elsewhere(
    listening: Server, answer: list[str]
) -> None:
    reason = await why_not(listening, lambda name: answer)
    assert reason == f"another resolver answered a name that only secdns knows ({answer[0]})"


async def test_one_of_two_answers_from_elsewhere_is_not_enough(listening: Server) -> None:
    reason = await why_not(listening, lambda name: [proof.ask(listening, name), "192.0.2.1"])
    assert reason is not None
    assert "another resolver" in reason


async def test_daemon_that_goes_away_meanwhile_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        gone = Server("127.0.0.1", bound.getsockname()[1])
    reason = await why_not(gone, lambda name: ["127.1.2.3"])
    assert reason == f"secdns does not answer at 127.0.0.1 port {gone.port}: Connection refused"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(
            lambda query: reply(query, RCode.NXDOMAIN), "another program than secdns", id="NXDOMAIN"
        ),
        pytest.param(lambda query: reply(query, RCode.REFUSED), "another program than secdns", id="REFUSED"),
        pytest.param(
            lambda query: reply(query, address=bytes((192, 0, 2, 1))),
            "another program",
            id="a portal's address",
        ),
        pytest.param(lambda query: b"hello", "is not secdns", id="not DNS"),
        pytest.param(
            lambda query: bytes((query[0] ^ 255, 0)) + reply(query, address=bytes((127, 1, 2, 3)))[2:],
            "another program",
            id="ID",
        ),
    ],
)
def test_another_program_on_the_port_is_not_taken_for_us(
    answer: Callable[[bytes], bytes],
    message: str,
    stranger: Callable[..., Server],
) -> None:
    with pytest.raises(NotInForceError, match=message):
        proof.ask(stranger(answer), proof.fresh_name())


def test_silence_is_told_with_its_time() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = Server("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(NotInForceError, match=r"does not answer at .* within 0\.3 s"):
            proof.ask(server, proof.fresh_name(), timeout_s=0.3)
        assert len([silent.recv(512) for _ in range(proof.ATTEMPTS)]) == 3
