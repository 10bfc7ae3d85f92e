"""DNS over HTTPS with HTTP/3: what is said, and servers that break it (RFC 8484, RFC 9114, M11, M14)."""

import asyncio
from collections.abc import Awaitable, Mapping

import pytest

from secdns.dns.message import Message
from secdns.errors import ConnectionLost, DeadlineExceeded, ProtocolError, StatusError, TransportError
from secdns.testing import FakeUpstream
from secdns.testing.faults import H3Oddity
from secdns.transport import http3
from secdns.transport.http3 import Fields, H3Error, Response, ServerStreams, frame, read_varint, varint
from tests.dns.wires import cpu_ms
from tests.transport.conftest import Reach
from tests.transport.support import ask, deadline_in, query_for, right_answer, wait_until


async def failure_of(asking: Awaitable[object]) -> type[TransportError] | None:
    try:
        await asking
    except TransportError as error:
        return type(error)
    return None


async def test_request_says_nothing_about_who_asks_8484_2_8484_5_E16(up: FakeUpstream, reach: Reach) -> None:
    await ask(reach(up.endpoint("h3")))
    assert up.http_requests == [
        (
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", f"dns.test:{up.port('h3')}"),
            (":path", "/dns-query"),
            ("accept", "application/dns-message"),
            ("content-type", "application/dns-message"),
            ("accept-encoding", "identity"),
            ("content-length", "128"),
        )
    ]
    assert up.queries[0].wire[:2] == b"\0\0"


@pytest.mark.parametrize("status", [204, 301, 302, 404, 429, 500, 503])
async def test_status_other_than_success_is_no_answer_8484_1_8484_6_E8(
    status: int, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("h3"))
    up.faults.http_status, up.faults.http_headers = status, {"location": "https://elsewhere.test/"}
    with pytest.raises(StatusError, match=str(status)):
        await ask(transport)
    up.faults.http_status = 200
    assert await ask(transport, 2) == right_answer(2)
    assert up.connections["h3"] == 1


async def test_retry_after_is_told_F6(up: FakeUpstream, reach: Reach) -> None:
    up.faults.http_status, up.faults.http_headers = 429, {"retry-after": "7"}
    with pytest.raises(StatusError) as caught:
        await ask(reach(up.endpoint("h3")))
    assert caught.value.retry_after_s == 7.0


async def test_age_makes_the_answer_older_8484_3(up: FakeUpstream, reach: Reach) -> None:
    up.faults.http_headers = {"age": "60"}
    response = await reach(up.endpoint("h3")).exchange(query_for(), deadline_in())
    fresh = Message.parse(up.answer(query_for())).answer[0].ttl
    assert Message.parse(response).answer[0].ttl == fresh - 60


@pytest.mark.parametrize(
    "headers",
    [{"content-type": "text/html"}, {"content-type": None}, {"content-encoding": "gzip"}],
    ids=["other type", "no type", "encoded"],
)
async def test_body_that_is_no_dns_message_is_refused_8484_1(
    headers: Mapping[str, str | None], up: FakeUpstream, reach: Reach
) -> None:
    up.faults.http_headers = headers
    with pytest.raises(ProtocolError):
        await ask(reach(up.endpoint("h3")))


async def test_alt_svc_is_remembered(up: FakeUpstream, reach: Reach) -> None:
    up.faults.http_headers = {"alt-svc": 'h3=":443"'}
    transport = reach(up.endpoint("h3"))
    await ask(transport)
    assert transport.facts().alt_svc == 'h3=":443"'


async def test_interim_responses_and_trailers_do_no_harm(up: FakeUpstream, reach: Reach) -> None:
    up.faults.informational, up.faults.trailers = 3, {"x": "y"}
    assert await ask(reach(up.endpoint("h3"))) == right_answer()


async def test_too_many_interim_responses_end_the_connection_M14(up: FakeUpstream, reach: Reach) -> None:
    up.faults.informational = 20
    with pytest.raises(ProtocolError, match="sections"):
        await ask(reach(up.endpoint("h3")))


async def test_goaway_graceful_lets_the_answer_come_and_moves_on_F4_9114_1(
    up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("h3"))
    await ask(transport)
    up.faults.goaway, up.faults.times = "graceful", 1
    assert await ask(transport, 2) == right_answer(2)
    assert await ask(transport, 3) == right_answer(3)
    assert up.connections["h3"] == 2


@pytest.mark.parametrize("how", ["refuse", "zero"])
async def test_goaway_that_leaves_a_query_out_gives_it_back_F4_9114_1(
    how: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("h3"))
    await ask(transport)
    up.faults.goaway, up.faults.times = "refuse" if how == "refuse" else "zero", 1
    with pytest.raises(ConnectionLost, match="goes away"):
        await ask(transport, 2)
    assert await ask(transport, 2) == right_answer(2)


async def test_refused_stream_is_safe_to_ask_again_9114_1(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("h3"))
    up.faults.refuse_streams, up.faults.times = True, 1
    with pytest.raises(ConnectionLost, match="refused"):
        await ask(transport)
    assert await ask(transport) == right_answer()
    assert up.connections["h3"] == 1


async def test_answer_counts_though_the_server_wants_no_more_of_the_request_9114_1(
    up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("h3"))
    up.faults.stop_sending = True
    assert await ask(transport) == right_answer()
    assert await ask(transport, 2) == right_answer(2)
    assert up.connections["h3"] == 1


async def test_cancelled_query_is_called_off(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("h3"))
    await ask(transport)
    up.faults.hold = True
    task = asyncio.ensure_future(ask(transport, 2))
    await up.wait_queries(2)
    task.cancel()
    await wait_until(lambda: up.cancelled != [])
    assert up.cancelled == [("h3", http3.REQUEST_CANCELLED)]


async def test_response_that_never_ends_misses_its_deadline(up: FakeUpstream, reach: Reach) -> None:
    up.faults.no_end_stream = True
    with pytest.raises(DeadlineExceeded):
        await ask(reach(up.endpoint("h3")), within_s=0.2)


async def test_body_over_65535_octets_is_refused_E10(up: FakeUpstream, reach: Reach) -> None:
    up.faults.body = bytes(65536)
    with pytest.raises(ProtocolError, match="over 65535"):
        await ask(reach(up.endpoint("h3")))


@pytest.mark.parametrize(
    ("oddity", "code"),
    [
        ("insert", http3.ENCODER_STREAM_ERROR),
        ("bomb", http3.EXCESSIVE_LOAD),
        ("long-section", http3.EXCESSIVE_LOAD),
        ("push", http3.ID_ERROR),
        ("data-first", http3.FRAME_UNEXPECTED),
        ("cut", http3.FRAME_ERROR),
        ("two-controls", http3.STREAM_CREATION_ERROR),
        ("close-control", http3.CLOSED_CRITICAL_STREAM),
        ("both-ways", http3.STREAM_CREATION_ERROR),
        ("pieces", http3.EXCESSIVE_LOAD),
    ],
)
async def test_broken_http_ends_the_connection_and_the_next_works_M11_9113_2_E6(
    oddity: H3Oddity, code: int, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("h3"))
    await ask(transport)
    up.faults.h3_oddity = oddity
    assert await failure_of(ask(transport, 2)) in (ProtocolError, ConnectionLost)
    await wait_until(lambda: up.goodbyes != [])
    assert up.goodbyes == [("h3", code)]
    up.faults.h3_oddity = None
    assert await ask(transport, 3) == right_answer(3)


async def test_server_without_another_stream_gets_a_new_connection(up: FakeUpstream, reach: Reach) -> None:
    up.faults.stream_credit = 100
    transport = reach(up.endpoint("h3"))
    for number in range(150):
        assert await ask(transport, number) == right_answer(number)
    assert up.connections["h3"] == 2


# the frames by themselves

ENOUGH = 65535


def section(*headers: tuple[bytes, bytes]) -> bytes:
    return frame(http3.HEADERS, Fields().encode([*headers]))


OK = section((b":status", b"200"))


@pytest.mark.parametrize("value", [0, 63, 64, 16383, 16384, 2**30 - 1, 2**30, 2**62 - 1])
def test_integers_are_read_as_they_were_written(value: int) -> None:
    octets = varint(value)
    assert read_varint(octets, 0) == (value, len(octets))
    assert [read_varint(octets[:cut], 0)[1] for cut in range(len(octets))] == [-1] * len(octets)


def test_response_cut_anywhere_is_the_same() -> None:
    octets = OK + frame(0x21, b"grease") + frame(http3.DATA, b"first ") + frame(http3.DATA, b"second")
    for size in range(1, len(octets) + 1):
        response = Response(0, Fields())
        for at in range(0, len(octets), size):
            response.feed(octets[at : at + size], at + size >= len(octets), ENOUGH)
        assert (response.headers, bytes(response.body)) == ([(b":status", b"200")], b"first second")


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param(b"", http3.MESSAGE_ERROR, id="nothing"),
        pytest.param(section((b"a", b"b")), http3.MESSAGE_ERROR, id="no status"),
        pytest.param(section((b":status", b"20")), http3.MESSAGE_ERROR, id="short status"),
        pytest.param(section((b":status", b"200"), (b":status", b"200")), http3.MESSAGE_ERROR, id="two"),
        pytest.param(section((b":status", b"103")), http3.MESSAGE_ERROR, id="interim only"),
        pytest.param(OK + b"\0", http3.FRAME_ERROR, id="half a frame header"),
        pytest.param(OK + frame(http3.SETTINGS, b""), http3.FRAME_UNEXPECTED, id="SETTINGS"),
        pytest.param(OK + frame(0x6, b""), http3.FRAME_UNEXPECTED, id="frame of HTTP/2"),
        pytest.param(OK + OK + OK, http3.FRAME_UNEXPECTED, id="after the trailers"),
        pytest.param(frame(http3.HEADERS, b"\xff" * 9), http3.DECOMPRESSION_FAILED, id="not QPACK"),
        pytest.param(frame(http3.HEADERS, b"\2\0\x80"), http3.DECOMPRESSION_FAILED, id="dynamic table"),
        pytest.param(OK + frame(0x21, b"") * 70, http3.EXCESSIVE_LOAD, id="empty frames"),
    ],
)
def test_response_that_breaks_http3_is_refused(octets: bytes, code: int) -> None:
    with pytest.raises(H3Error) as caught:
        Response(0, Fields()).feed(octets, True, ENOUGH)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param(b"\0" + frame(http3.GOAWAY, b"\0"), http3.MISSING_SETTINGS, id="no settings"),
        pytest.param(b"\0" + frame(http3.SETTINGS, b"") * 2, http3.FRAME_UNEXPECTED, id="twice"),
        pytest.param(b"\0" + frame(http3.SETTINGS, b"\1"), http3.FRAME_ERROR, id="half a setting"),
        pytest.param(b"\0" + frame(http3.SETTINGS, b"\1\0\1\0"), http3.SETTINGS_ERROR, id="one twice"),
        pytest.param(b"\0" + frame(http3.SETTINGS, b"\2\0"), http3.SETTINGS_ERROR, id="of HTTP/2"),
        pytest.param(b"\0\4\x7f\xff" + bytes(9), http3.EXCESSIVE_LOAD, id="long settings"),
        pytest.param(
            b"\0" + frame(http3.SETTINGS, b"") + frame(http3.GOAWAY, b"\1"), http3.ID_ERROR, id="not ours"
        ),
        pytest.param(
            b"\0" + frame(http3.SETTINGS, b"") + frame(http3.GOAWAY, b"\0") + frame(http3.GOAWAY, b"\4"),
            http3.ID_ERROR,
            id="GOAWAY that comes back",
        ),
        pytest.param(
            b"\0" + frame(http3.SETTINGS, b"") + frame(0x21, b"") * 300, http3.EXCESSIVE_LOAD, id="flood"
        ),
        pytest.param(b"\0" + frame(http3.SETTINGS, b"") + frame(0, b""), http3.FRAME_UNEXPECTED, id="DATA"),
        pytest.param(b"\1\0", http3.ID_ERROR, id="push stream"),
    ],
)
def test_control_stream_that_breaks_http3_is_refused_by_the_octet_too(octets: bytes, code: int) -> None:
    for size in (len(octets), 1):
        with pytest.raises(H3Error) as caught:
            feed_control(octets, size)
        assert caught.value.code == code


def feed_control(octets: bytes, size: int) -> None:
    """Feed a control stream in pieces of this size."""
    streams = ServerStreams(Fields())
    for at in range(0, len(octets), size):
        streams.feed(3, octets[at : at + size], False)


def test_streams_of_unknown_types_are_passed_over() -> None:
    streams = ServerStreams(Fields())
    for stream in range(3, 4000, 4):
        streams.feed(stream, b"\x21" + bytes(20), True)
    assert len(streams._kinds) == 0


def test_many_header_fields_are_refused_before_they_cost_much_M11() -> None:
    """20 ms are the limit of a turn; 8 KiB of references to the static table are 8,000 fields."""
    bomb = frame(http3.HEADERS, b"\0\0\xd9" + b"\xdd" * 8000)

    def read() -> None:
        with pytest.raises(H3Error, match="8001 header fields"):
            Response(0, Fields()).feed(bomb, True, ENOUGH)

    assert cpu_ms(read) < 3 * 20


def test_fields_of_one_turn_are_counted_together_M11() -> None:
    fields = Fields()
    sections = [
        frame(http3.HEADERS, Fields().encode([(b":status", b"200"), *[(b"x", b"%d" % n)] * 200]))
        for n in range(20)
    ]
    for one in sections[: http3.MAX_TURN_FIELDS // 201]:
        Response(0, fields).feed(one, False, ENOUGH)
    with pytest.raises(H3Error, match="at once"):
        Response(0, fields).feed(sections[-1], False, ENOUGH)
