"""What one turn of the event loop costs when the upstream is hostile and much is in flight (E5, M14, F33).

The limit is 20 ms. Measured: 14 ms for the dearest row; 480 ms when each update of a window was acted on.
"""

import asyncio
import time

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import (
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from secdns.dns.framing import frame
from secdns.errors import ProtocolError
from secdns.listener.udp import DATAGRAMS_A_TURN
from secdns.transport.connection import RECEIVE_SIZE
from secdns.transport.doh2 import FRAMES_PER_ANSWER, MAX_NOISE, MAX_STREAMS
from secdns.transport.dot import MAX_STRAYS
from secdns.transport.http2 import SETTINGS_WEIGHT
from tests.transport.bare import BareDoH2, BareDoT, ask_all, forgotten, run

LIMIT_S = 0.020
SLOW_MACHINE = 3  # a guard against work that grows with streams times frames, not a benchmark
RUNS = 3  # the least of them: what the work costs, not what else the machine does

# frames that may come before the connection is ended, less those of the beginning
BEARABLE = MAX_NOISE + FRAMES_PER_ANSWER * MAX_STREAMS - 2 * SETTINGS_WEIGHT
WINDOW, STREAMS = SettingCodes.INITIAL_WINDOW_SIZE, SettingCodes.MAX_CONCURRENT_STREAMS


def many(count: int, *frames: Frame) -> bytes:
    return b"".join(one.serialize() for one in frames) * count


def responses(block: bytes, count: int) -> bytes:
    """Give the header sections of this many responses, each a little different."""
    return b"".join(
        HeadersFrame(1 + 2 * number, data=block + b"\0\1x\3%03d" % number, flags=["END_HEADERS"]).serialize()
        for number in range(count)
    )


OPEN = SettingsFrame(0, settings={STREAMS: 1000})
CLOSED = SettingsFrame(0, settings={STREAMS: 1000, WINDOW: 0})  # no body may leave
TURNS = {
    "window of all streams, as often as is borne": many(
        BEARABLE // SETTINGS_WEIGHT // 2,
        SettingsFrame(0, settings={WINDOW: 65535}),
        SettingsFrame(0, settings={WINDOW: 65534}),
    ),
    "window of all streams": many(
        600,
        SettingsFrame(0, settings={WINDOW: 65535}),
        SettingsFrame(0, settings={WINDOW: 65534}),
    ),
    "window of the connection": many(BEARABLE, WindowUpdateFrame(0, window_increment=1)),
    "windows of the streams": b"".join(
        many(1, WindowUpdateFrame(1 + 2 * (n % MAX_STREAMS), window_increment=1)) for n in range(BEARABLE)
    ),
    "PING": many(BEARABLE, PingFrame(0, opaque_data=b"12345678")),
    "PRIORITY": many(BEARABLE, PriorityFrame(1, depends_on=3)),
    "RST_STREAM of nothing": many(BEARABLE, RstStreamFrame(1, error_code=8)),
    "empty DATA": responses(b"\x88", 1) + many(BEARABLE - 1, DataFrame(1)),
    "many values, as often as is borne": many(
        14, SettingsFrame(0, settings={code: code for code in range(100, 256)})
    ),
    "many values": many(34, SettingsFrame(0, settings={code: code for code in range(100, 256)})),
    "fields of one octet": responses(b"\x88" + b"\xa1" * 400, 80),
    "fields of four octets": responses(b"\x88" + b"\0\1a\0" * 300, 26),
    "few fields each": responses(b"\x88" + b"\xa1" * 100, MAX_STREAMS),
    "text in Huffman's code": responses(b"\x88\0\1a\xff\xe1\x4d" + b"\x07" * 10_080, 3),
}


async def turn(octets: bytes, first: bytes, count: int) -> float:
    """Give the CPU seconds that ``octets`` cost while ``count`` requests are in flight."""
    connection = BareDoH2()
    connection.received(first)
    waiters = await ask_all(connection, count)
    start = time.thread_time()
    connection.received(octets[:RECEIVE_SIZE])
    took_s = time.thread_time() - start
    assert forgotten(connection, waiters) == []
    return took_s


@pytest.mark.parametrize("in_flight", [1, MAX_STREAMS])
@pytest.mark.parametrize("first", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("octets", TURNS.values(), ids=TURNS)
def test_turn_of_hostile_frames_costs_20_ms_at_most_E5_M14_F33_O1(
    octets: bytes, first: Frame, in_flight: int
) -> None:
    costs = [run(turn(octets, first.serialize(), in_flight)) for _ in range(RUNS)]
    assert min(costs) < LIMIT_S * SLOW_MACHINE


def test_flood_of_second_answers_ends_the_connection_F27_F33() -> None:
    async def flood() -> float:
        connection = BareDoT()
        answered, waiting = await ask_all(connection, 2)
        answer = frame(connection.sent[2:4] + b"\x81\x80" + answered.query[4:])
        connection.received(answer * (1 + MAX_STRAYS))
        assert (answered.done(), waiting.done()) == (True, False)
        start = time.thread_time()
        connection.received((frame(answer[2:14]) * 3000)[:RECEIVE_SIZE])
        took_s = time.thread_time() - start
        assert isinstance(waiting.outcome, ProtocolError)
        return took_s

    assert min(run(flood()) for _ in range(RUNS)) < LIMIT_S * SLOW_MACHINE


def test_server_that_gives_every_answer_twice_is_borne_F27() -> None:
    async def ask_on() -> None:
        connection = BareDoT()
        for _ in range(3 * MAX_STRAYS):
            connection.sent = b""
            (waiter,) = await ask_all(connection, 1)
            answer = frame(connection.sent[2:4] + b"\x81\x80" + waiter.query[4:])
            connection.received(answer + answer)
            assert isinstance(waiter.outcome, bytes)
        assert connection.error is None
        assert connection.strays == 3 * MAX_STRAYS
        connection.abort()
        await asyncio.sleep(0)

    run(ask_on())


def test_turn_takes_the_answers_to_all_queries_of_a_turn_F21() -> None:
    """Else a flood of queries outruns its answers: with half of it, half the throughput was left."""
    padded = len(frame(bytes(468))) + 5 + 17  # RFC 8467 §4.1; head and tail of a TLS 1.3 record
    assert DATAGRAMS_A_TURN * padded <= RECEIVE_SIZE
