"""Any octets from the upstream, cut anywhere: the same answers, and nobody is left waiting (P4, P5, O7)."""

import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import example, given
from hypothesis import strategies as st

from secdns.dns.framing import frame
from secdns.errors import ProtocolError, StatusError, TransportError
from secdns.transport.doh import Header, read_answer, read_retry_after
from tests.transport.bare import BareDoH2, BareDoT, Waiter, ask_all, forgotten, pieces, run
from tests.transport.support import query_for

COUNT = 4  # queries in flight
places = st.lists(st.integers(0, 5000), max_size=20)


def answer_to(query: bytes) -> bytes:
    return query[:2] + b"\x81\x80" + query[4:]


# DNS over TLS


async def dot_outcomes(octets: bytes, where: list[int], order: list[int]) -> list[object]:
    """Give what each waiter hears if the answers come in this order, with ``octets`` behind, cut so."""
    connection = BareDoT()
    connection._step, connection._id = 1, 99  # the same IDs however often this runs
    waiters = await ask_all(connection, COUNT)
    ids = [connection.sent[at + 2 : at + 4] for at in range(0, len(connection.sent), 130)]
    answers = [frame(ids[number] + answer_to(waiters[number].query)[2:]) for number in order]
    for piece in pieces(b"".join(answers) + octets, where):
        if connection.error is None:
            connection.received(piece)
    assert forgotten(connection, waiters) == []
    return [shown(waiter) for waiter in waiters]


def shown(waiter: Waiter) -> object:
    outcome = waiter.outcome
    return (type(outcome), str(outcome)) if isinstance(outcome, TransportError) else outcome


orders = st.lists(st.integers(0, COUNT - 1), unique=True)


@given(st.permutations(range(COUNT)), places)
def test_dot_answers_cut_anywhere_are_the_same_O7_7766_4(order: list[int], where: list[int]) -> None:
    want = [answer_to(query_for(number)) for number in range(COUNT)]
    assert run(dot_outcomes(b"", where, order)) == want
    assert run(dot_outcomes(b"", list(range(600)), order)) == want


_dot_noise = st.binary(max_size=40) | st.builds(
    lambda number, rest: frame(struct.pack("!H", number) + rest),
    st.integers(95, 110),  # IDs that are in use, were answered, or never sent
    st.binary(min_size=10, max_size=30),
)


@given(orders, st.lists(_dot_noise, max_size=6).map(b"".join), places)
def test_any_octets_on_dot_leave_nobody_waiting_for_ever_P4_O7(
    order: list[int], noise: bytes, where: list[int]
) -> None:
    assert run(dot_outcomes(noise, where, order)) == run(dot_outcomes(noise, [], order))


# DNS over HTTPS


async def doh_answers(where: list[int], sizes: list[int]) -> list[object]:
    """Give the answers to four queries as `h2` sends them, cut so, bodies in frames of these sizes."""
    connection = BareDoH2()
    waiters = await ask_all(connection, COUNT)
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    streams = [e.stream_id for e in server.receive_data(connection.sent) if isinstance(e, RequestReceived)]
    for stream, waiter in zip(streams, waiters, strict=True):
        assert stream is not None
        body = b"\0\0" + answer_to(waiter.query)[2:]
        headers = [(":status", "200"), ("content-type", "application/dns-message"), ("x", str(stream))]
        server.send_headers(stream, [*headers, ("content-length", str(len(body)))])
        for size in sizes:
            server.send_data(stream, body[:size])
            body = body[size:]
        server.send_data(stream, body, end_stream=True)
    for piece in pieces(server.data_to_send(), where):
        connection.received(piece)
    assert connection.error is None
    return [waiter.outcome for waiter in waiters]


@given(places, st.lists(st.integers(0, 200), max_size=5))
def test_doh_answers_cut_anywhere_are_the_same_O7(where: list[int], sizes: list[int]) -> None:
    want = [answer_to(query_for(number)) for number in range(COUNT)]
    assert run(doh_answers(where, sizes)) == want
    assert run(doh_answers(list(range(0, 2000, 3)), sizes)) == want


STATUSES = [b"200", b"200", b"404", b"429", b"103", b"", b"2x0", b"99", b"9" * 5000, b"\xff\xfe\xfd"]
VALUES = [b"0", b"5", b"-1", b"16", b"9" * 5000, b"soon", b"1, 2", b"identity", b"gzip", b"\xff", b""]
VALUES += [b"application/dns-message", b"text/html", b"Fri, 31 Dec 9999 23:59:59 -2359"]
NAMES = [b"content-type", b"content-length", b"content-encoding", b"age", b"retry-after", b"alt-svc", b"x"]
streams = st.sampled_from([1, 1, 1, 3, 5, 7, 2, 9, 99])


def block(fields: list[Header]) -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0  # so that every block means the same wherever it stands
    return encoder.encode(fields)[1:] if fields else b""


_fields = st.builds(
    lambda status, others: [(b":status", status), *others],
    st.sampled_from(STATUSES),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4),
)
_flags = st.lists(st.sampled_from(["END_HEADERS", "END_HEADERS", "END_STREAM"]), max_size=3)
_size32 = st.sampled_from([0, 1, 7, 100, 65535, 2**31 - 1, 2**31])
_frames = st.one_of(
    st.builds(
        lambda s, f, fl: HeadersFrame(s, data=block(f), flags=fl).serialize(), streams, _fields, _flags
    ),
    st.builds(
        lambda s, f: HeadersFrame(s, data=block(f), flags=["END_HEADERS", "END_STREAM"]).serialize(),
        streams,
        _fields,
    ),
    st.builds(lambda s, d: ContinuationFrame(s, data=d, flags=["END_HEADERS"]).serialize(), streams,
              st.binary(max_size=9)),
    st.builds(lambda s, d, e: DataFrame(s, data=d, flags=["END_STREAM"] * e).serialize(), streams,
              st.binary(max_size=60), st.integers(0, 1)),
    st.builds(lambda s, c: RstStreamFrame(s, error_code=c).serialize(), streams, st.integers(0, 14)),
    st.builds(
        lambda code, value: SettingsFrame(0, settings={code: value}).serialize(), st.integers(1, 9), _size32
    ),
    st.builds(lambda ack: PingFrame(0, opaque_data=b"12345678", flags=["ACK"] * ack).serialize(),
              st.integers(0, 1)),
    st.builds(lambda s: GoAwayFrame(0, last_stream_id=s, error_code=0).serialize(), streams),
    st.builds(
        lambda s, n: WindowUpdateFrame(s, window_increment=n).serialize(),
        streams | st.just(0),
        st.sampled_from([1, 100, 65535, 2**31 - 1]),
    ),
    st.builds(lambda s, d: PushPromiseFrame(s, promised_stream_id=2, data=d).serialize(), streams,
              st.binary(max_size=9)),
    st.binary(max_size=30),
)  # fmt: skip


async def doh_after(octets: bytes, where: list[int]) -> list[object]:
    connection = BareDoH2()
    waiters = await ask_all(connection, COUNT)
    for piece in pieces(octets, where):
        if connection.error is None:
            connection.received(piece)
    assert forgotten(connection, waiters) == []
    return [shown(waiter) for waiter in waiters]


@given(st.lists(_frames, max_size=12).map(b"".join), places)
@example(
    HeadersFrame(1, data=block([(b":status", b"9" * 5000)]), flags=["END_HEADERS", "END_STREAM"]).serialize(),
    [],
)
def test_any_frames_leave_nobody_waiting_for_ever_P5_E5_O7(octets: bytes, where: list[int]) -> None:
    assert [type(outcome) for outcome in run(doh_after(octets, where))] == [
        type(outcome) for outcome in run(doh_after(octets, []))
    ]


_any_fields = st.lists(
    st.tuples(
        st.sampled_from([b":status", *NAMES]), st.sampled_from(STATUSES + VALUES) | st.binary(max_size=80)
    ),
    max_size=8,
)


@given(_any_fields, st.binary(max_size=200) | st.just(b"\0\0" + answer_to(query_for())[2:]))
def test_any_response_is_an_answer_or_a_transport_error_P5(fields: list[Header], body: bytes) -> None:
    query = query_for()
    try:
        answer, _ = read_answer(query, fields, body, "192.0.2.1")
    except (ProtocolError, StatusError):
        return
    assert answer[:2] == query[:2]


_day = ["Fri,", "Mon", "31", "30", "00", "Dec", "Feb", "9999", "1970", "0000", "-1"]
_time = ["23:59:59", "99:99", "12", "GMT", "EST", "-0000", "+9999", "-2359", "(", ")", ";", ",", "."]
_date_words = st.sampled_from(_day + _time)


@given(st.lists(_date_words, max_size=9).map(" ".join) | st.text(max_size=40), st.floats(0, 2**33))
@example("Fri, 31 Dec 9999 23:59:59 -0000", 0.0)
@example("Mon, 01 Jan 0001 00:00:00 -0000", 0.0)
def test_any_retry_after_is_0_to_300_seconds_or_nothing_9110_1(text: str, now: float) -> None:
    got = read_retry_after(text.encode("utf-8", "replace"), now)
    assert got is None or 0.0 <= got <= 300.0


@pytest.mark.parametrize("size", [1, 2, 3, 11])
def test_dot_with_a_prefix_that_is_cut_waits_for_the_rest_O7(size: int) -> None:
    async def feed() -> list[object]:
        connection = BareDoT()
        (waiter,) = await ask_all(connection, 1)
        octets = frame(connection.sent[2:4] + answer_to(waiter.query)[2:])
        connection.received(octets[:size])
        assert not waiter.done()
        connection.received(octets[size:])
        return [waiter.outcome]

    assert run(feed()) == [answer_to(query_for(0))]
