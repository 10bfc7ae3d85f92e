"""HTTP/2 from a hostile server, and the shortcuts that must not change what is said (E5, M13, M14)."""

import asyncio
import contextlib
import struct
import time

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from secdns.errors import ConnectionLost, ProtocolError, TransportError
from secdns.testing import FakeUpstream
from secdns.transport.doh import Header
from secdns.transport.doh2 import DoH2Connection
from secdns.transport.http2 import MAX_FRAME, MAX_HEADER_LIST, STREAM_WINDOW, Client, FrameCounter
from tests.transport.conftest import Reach
from tests.transport.support import ask, right_answer

CALLBACK_LIMIT_S = 0.020  # any one callback on hostile input (design.md, Budgets)
SLOW_MACHINE = 5  # this is a guard against quadratic work, not a benchmark
STREAM = 3  # of the second query; the first has been answered


def headers(block: bytes, *flags: str, stream: int = STREAM) -> bytes:
    return HeadersFrame(stream, data=block, flags=flags).serialize()


def junk(count: int, *frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames) * count


HEADER_BOMB = (
    b"\x40\x01a\x7f\x81\x1f" + b"b" * 4000 + b"\xbe" * 12_000
)  # one field of 4,000 octets, 12,000 times

HOSTILE = {
    "PING flood": junk(20_000, PingFrame(0, opaque_data=b"12345678")),
    "SETTINGS flood": junk(20_000, SettingsFrame(0)),
    "SETTINGS of many values": junk(500, SettingsFrame(0, settings={n: n for n in range(100, 200)})),
    "PRIORITY flood": junk(20_000, PriorityFrame(STREAM, depends_on=1)),
    "empty DATA flood": headers(Encoder().encode([(":status", "200")]), "END_HEADERS")
    + junk(20_000, DataFrame(STREAM)),
    "DATA of padding only": headers(Encoder().encode([(":status", "200")]), "END_HEADERS")
    + junk(5000, DataFrame(STREAM, pad_length=200, flags=["PADDED"])),
    "RST flood on a stream that is over": junk(20_000, RstStreamFrame(1, error_code=8)),
    "WINDOW_UPDATE flood": junk(20_000, WindowUpdateFrame(0, window_increment=1)),
    "1xx flood": b"".join(
        headers(Encoder().encode([(":status", "103")]), "END_HEADERS") for _ in range(2000)
    ),
    "unknown frames": (b"\0\0\0\xbb\0\0\0\0\0") * 20_000,
    "CONTINUATION flood": headers(b"") + junk(20_000, ContinuationFrame(STREAM)),
    "header bomb": headers(HEADER_BOMB, "END_HEADERS"),
    "not HPACK": headers(b"\xff\xff\xff\xff\xff\xff\xff\xff", "END_HEADERS"),
    "HPACK integer without end": headers(b"\x7f" + b"\xff" * 10_000, "END_HEADERS"),
    "pushed stream": PushPromiseFrame(
        STREAM, promised_stream_id=2, data=Encoder().encode([(":method", "GET")]), flags=["END_HEADERS"]
    ).serialize(),
    "stream that nobody opened": headers(Encoder().encode([(":status", "200")]), "END_HEADERS", stream=99),
    "stream of the server": headers(Encoder().encode([(":status", "200")]), "END_HEADERS", stream=2),
    "DATA before HEADERS": DataFrame(STREAM, data=b"x").serialize(),
    "window past 2**31": junk(2, WindowUpdateFrame(0, window_increment=2**31 - 1)),
    "frame too large": b"\xff\xff\xff\0\0\0\0\0\x03" + bytes(30_000),
    "invalid setting": SettingsFrame(0, settings={SettingCodes.MAX_FRAME_SIZE: 1}).serialize(),
    "HTTP/1.1": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "upper case": headers(b"\x88\x40\x01A\x01b", "END_HEADERS"),
    "pseudo-header after header": headers(b"\x40\x01a\x01b\x88", "END_HEADERS"),
    "connection header": headers(b"\x88\x40\x0aconnection\x05close", "END_HEADERS"),
    "status twice": headers(b"\x88\x88", "END_HEADERS"),
    "GOAWAY flood": junk(5000, GoAwayFrame(0, last_stream_id=STREAM)),
}


@pytest.mark.parametrize("octets", [pytest.param(octets, id=name) for name, octets in HOSTILE.items()])
async def test_hostile_frames_end_the_connection_and_cost_little_E5_M13_M14_F33(
    octets: bytes, up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = reach(up.endpoint("https"))
    await ask(transport)
    slowest = 0.0
    update = DoH2Connection.buffer_updated

    def timed(connection: DoH2Connection, nbytes: int) -> None:
        nonlocal slowest
        start = time.thread_time()
        update(connection, nbytes)
        slowest = max(slowest, time.thread_time() - start)

    monkeypatch.setattr(DoH2Connection, "buffer_updated", timed)
    up.faults.inject, up.faults.times = octets, 1
    with pytest.raises((ProtocolError, ConnectionLost)):
        await ask(transport, 2, within_s=3)
    assert slowest < CALLBACK_LIMIT_S * SLOW_MACHINE
    with contextlib.suppress(ProtocolError, ConnectionLost):
        await ask(transport, 3)  # the flood may have cost a stream first and the connection only now
    assert await ask(transport, 4) == right_answer(4)
    assert up.connections["https"] == 2


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(junk(100, PingFrame(0, opaque_data=b"12345678")), id="PING"),
        pytest.param(junk(20, SettingsFrame(0)), id="SETTINGS"),
        pytest.param(b"\0\0\0\xbb\0\0\0\0\0" * 20, id="unknown frames"),
        pytest.param(junk(5, RstStreamFrame(1, error_code=0)), id="RST on a stream that is over"),
        pytest.param(
            SettingsFrame(0, settings={SettingCodes.HEADER_TABLE_SIZE: 0}).serialize(), id="no table"
        ),
        pytest.param(
            SettingsFrame(0, settings={SettingCodes.HEADER_TABLE_SIZE: 64}).serialize(), id="small table"
        ),
        pytest.param(
            SettingsFrame(0, settings={SettingCodes.INITIAL_WINDOW_SIZE: 50}).serialize(), id="window"
        ),
    ],
)
async def test_unusual_but_legal_frames_do_no_harm(octets: bytes, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    await ask(transport)
    up.faults.inject, up.faults.times = octets, 1
    assert await ask(transport, 2) == right_answer(2)
    assert up.connections["https"] == 1


async def test_hostile_octets_never_leave_anyone_waiting_E5(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    await ask(transport)
    up.faults.hold = True
    waiting = [asyncio.ensure_future(ask(transport, number)) for number in range(10)]
    await up.wait_queries(11)
    up.faults.hold, up.faults.inject, up.faults.times = False, b"\xff" * 100, 1
    got = await asyncio.gather(*waiting, ask(transport, 11), return_exceptions=True)
    assert all(isinstance(result, TransportError) for result in got)


# The shortcuts of http2.Client, seen by h2 as a server


def server() -> H2Connection:
    return H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))


def shake(client: Client, peer: H2Connection) -> None:
    peer.initiate_connection()
    peer.receive_data(client.data_to_send())
    client.receive_data(peer.data_to_send())
    peer.receive_data(client.data_to_send())


def requests_in(events: list[Event]) -> list[tuple[dict[str, str], bytes]]:
    """Give the headers and the body of every request that is complete."""
    heads: dict[int | None, dict[str, str]] = {}
    bodies: dict[int | None, bytes] = {}
    whole = []
    for event in events:
        if isinstance(event, RequestReceived):
            heads[event.stream_id] = {str(key): str(value) for key, value in event.headers or ()}
        elif isinstance(event, DataReceived):
            bodies[event.stream_id] = bodies.get(event.stream_id, b"") + (event.data or b"")
        elif isinstance(event, StreamEnded):
            whole.append((heads[event.stream_id], bodies.get(event.stream_id, b"")))
    return whole


def test_preface_forbids_push_and_bounds_what_may_come_9113_2_E5() -> None:
    octets = Client().data_to_send()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert octets.startswith(preface)
    settings, length = Frame.parse_frame_header(memoryview(octets[24:33]))
    settings.parse_body(memoryview(octets[33 : 33 + length]))
    assert isinstance(settings, SettingsFrame)
    assert settings.settings == {
        SettingCodes.HEADER_TABLE_SIZE: 4096,
        SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        SettingCodes.MAX_FRAME_SIZE: MAX_FRAME,
        SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
        SettingCodes.ENABLE_CONNECT_PROTOCOL: 0,
    }


BASE: list[Header] = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"dns.test"),
    (b":path", b"/dns-query"),
    (b"accept", b"application/dns-message"),
]

step = st.one_of(
    st.integers(0, 300), st.sampled_from(["turn", "no table", "small table", "large table", "reset"])
)


@given(st.lists(step, max_size=30))
def test_server_reads_every_request_as_it_was_meant(steps: list[int | str]) -> None:
    """Whatever lengths, table sizes, resets and turns come in between."""
    client, peer = Client(), server()
    shake(client, peer)
    tables = {"no table": 0, "small table": 100, "large table": 8192}
    stream, asked, got = 1, [], []

    def turn() -> None:
        got.extend(requests_in(peer.receive_data(client.data_to_send())))
        client.receive_data(peer.data_to_send())
        got.extend(requests_in(peer.receive_data(client.data_to_send())))

    for what in steps:
        if isinstance(what, int):
            assert client.request(stream, BASE, bytes(what)) == what
            asked.append(bytes(what))
            stream += 2
        elif what == "turn":
            turn()
        elif what == "reset":
            client.request(stream, BASE, b"x")
            client.reset_stream(stream, 8)
            asked.append(b"x")
            stream += 2
        else:
            turn()
            peer.update_settings({SettingCodes.HEADER_TABLE_SIZE: tables[what]})
            client.receive_data(peer.data_to_send())
    turn()
    want_head = {key.decode(): value.decode() for key, value in BASE}
    assert got == [({**want_head, "content-length": str(len(body))}, body) for body in asked]


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from([b"a", b"b", b"date"]), st.sampled_from([b"1", b"2", b"3" * 40])),
            max_size=4,
        ),
        max_size=30,
    )
)
def test_remembered_header_blocks_mean_what_they_say(lists: list[list[Header]]) -> None:
    encoder, client = Encoder(), Client()
    encoder.header_table_size = 150  # so that entries are evicted
    for fields in lists:
        fields = [(b":status", b"200"), *fields]
        got = client.decoder.decode(encoder.encode(fields), raw=True)
        assert [tuple(field) for field in got] == fields


@given(st.lists(st.integers(0, 300), max_size=20), st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_counted_however_the_octets_are_cut(sizes: list[int], cuts: list[int]) -> None:
    octets = b"".join(
        struct.pack("!HBBBL", 0, 0, 0, 0, 1)[:1] + size.to_bytes(2) + bytes(6 + size) for size in sizes
    )
    counter = FrameCounter()
    at = total = turn = 0
    while at < len(octets):
        cut = cuts[turn % len(cuts)]
        total += counter.count(octets[at : at + cut])
        at += cut
        turn += 1
    assert total == len(sizes)
