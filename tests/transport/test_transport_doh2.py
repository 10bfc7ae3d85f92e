"""DNS over HTTPS: what a response must be, and how a connection is shared (RFC 8484, RFC 9113)."""

import asyncio
from collections.abc import Mapping
from email.utils import formatdate

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import SettingsFrame

from secdns.dns.message import Message
from secdns.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Overloaded,
    ProtocolError,
    StatusError,
    TransportError,
)
from secdns.testing import FakeUpstream
from secdns.transport.doh import MAX_ALT_SVC, MEDIA_TYPE, read_answer, read_retry_after
from secdns.transport.doh2 import MAX_QUEUED, DoH2Connection
from tests.transport.conftest import Reach
from tests.transport.support import ask, deadline_in, query_for, right_answer

NOW = 1_700_000_000.0


async def test_request_tells_nothing_about_who_asks_E16_8484_2_8484_5(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    for number in range(3):  # the first goes through h2 in full, the others past it
        await ask(transport, number)
    want = (
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", f"dns.test:{up.port('https')}"),
        (":path", "/dns-query"),
        ("accept", "application/dns-message"),
        ("content-type", "application/dns-message"),
        ("accept-encoding", "identity"),
        ("content-length", "128"),
    )
    assert up.http_requests == [want] * 3
    assert [seen.wire[:2] for seen in up.queries] == [b"\0\0"] * 3


async def test_requests_of_different_lengths_are_told_apart(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    blocks = (128, 128, 256, 256, 128, 384)
    for block in blocks:
        await transport.exchange(query_for(block=block), deadline_in())
    lengths = [dict(request)["content-length"] for request in up.http_requests]
    assert lengths == [str(block) for block in blocks]


async def test_queries_of_one_turn_leave_in_one_write(
    up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = reach(up.endpoint("https"))
    await ask(transport)
    writes: list[int] = []
    send = DoH2Connection.send

    def counted(connection: DoH2Connection, data: bytes) -> None:
        writes.append(len(data))
        send(connection, data)

    monkeypatch.setattr(DoH2Connection, "send", counted)
    await asyncio.gather(*(ask(transport, number) for number in range(50)))
    assert len(writes) == 1


@pytest.mark.parametrize("status", [204, 206, 301, 307, 308, 400, 403, 404, 413, 429, 500, 502, 503, 999])
async def test_status_that_brings_no_answer_is_a_failure_E8_E9_8484_1_8484_6(
    status: int, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.http_status = status
    up.faults.http_headers = {"location": f"https://127.0.0.1:{up.port('https')}/elsewhere"}
    if status == 204:
        up.faults.http_headers, up.faults.body = {"content-length": None}, b""
    with pytest.raises(StatusError, match=str(status)) as caught:
        await ask(reach(up.endpoint("https")))
    assert caught.value.status == status
    assert len(up.http_requests) == 1


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"content-type": "text/html"}, "content type 'text/html'"),
        ({"content-type": None}, "content type ''"),
        ({"content-type": "application/dns-json"}, "dns-json"),
        ({"content-type": "application/dns-message-not"}, "dns-message-not"),
        ({"content-encoding": "gzip"}, "content encoding 'gzip'"),
        ({"content-encoding": "br"}, "content encoding 'br'"),
        ({"content-encoding": "identity, gzip"}, "gzip"),
        ({"content-encoding": "gzip", "Content-Encoding": "identity"}, "gzip, identity"),
        ({"Content-Type": "text/html"}, "application/dns-message, text/html"),
    ],
)
async def test_response_of_the_wrong_kind_is_a_failure_E7_E9_F7(
    headers: Mapping[str, str | None], words: str, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.http_headers = headers
    with pytest.raises(ProtocolError, match=words):
        await ask(reach(up.endpoint("https")))


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "Application/DNS-Message"},
        {"content-type": "application/dns-message; charset=utf-8"},
        {"content-encoding": "identity"},
        {"content-length": None},
        {"server": "x" * 4000, "set-cookie": "a=b"},
    ],
    ids=["letter case", "parameter", "identity", "no length", "large"],
)
async def test_response_of_an_odd_but_right_kind_is_taken(
    headers: Mapping[str, str | None], up: FakeUpstream, reach: Reach
) -> None:
    up.faults.http_headers = headers
    transport = reach(up.endpoint("https"))
    for number in range(3):
        assert await ask(transport, number) == right_answer(number)
    assert "cookie" not in dict(up.http_requests[-1])


@pytest.mark.parametrize(
    ("age", "want"),
    [
        ("100", 200),
        ("299", 1),
        ("300", 0),
        ("500", 0),
        ("99999999999999", 0),
        ("9" * 5000, 0),
        ("100, 7", 200),
        ("-5", 300),
        ("soon", 300),
    ],
)
async def test_age_is_subtracted_from_every_ttl_E15_8484_3(age: str, want: int, reach: Reach) -> None:
    zone = "$TTL 300\n$ORIGIN example.test\n@ SOA ns h 1 7200 3600 1209600 60\nh1 A 192.0.2.2\n"
    async with FakeUpstream(zone) as up:
        up.faults.http_headers = {"age": age, "cache-control": "max-age=86400"}
        response = await reach(up.endpoint("https")).exchange(query_for(1), deadline_in())
        assert [record.ttl for record in Message.parse(response).answer] == [want]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("1000000000", 300.0),
        ("9" * 5000, 300.0),
        ("-30", None),
        ("", None),
        ("soon", None),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        (formatdate(NOW + 10**9, usegmt=True), 300.0),
        ("Fri, 99 Foo 2024 99:99:99 GMT", None),
        ("\xff\xfe", None),
    ],
)
def test_retry_after_is_clamped_to_five_minutes_F6_9110_1(value: str, want: float | None) -> None:
    assert read_retry_after(value.encode("latin-1"), NOW) == want


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_reaches_the_caller_F6(status: int, up: FakeUpstream, reach: Reach) -> None:
    up.faults.http_status, up.faults.http_headers = status, {"retry-after": "30"}
    with pytest.raises(StatusError) as caught:
        await ask(reach(up.endpoint("https")))
    assert caught.value.retry_after_s == 30.0


@pytest.mark.parametrize(
    ("body", "length"),
    [
        pytest.param(b"", None, id="empty"),
        pytest.param(b"\0", None, id="one octet"),
        pytest.param(bytes(12), None, id="header alone"),
        pytest.param(bytes(65536), None, id="65536"),
        pytest.param(bytes(200_000), None, id="200000"),
        pytest.param(bytes(64), "32", id="longer than content-length"),
        pytest.param(bytes(64), "65", id="shorter than content-length"),
        pytest.param(bytes(64), "0", id="content-length of 0"),
        pytest.param(bytes(64), "-64", id="content-length below 0"),
        pytest.param(bytes(64), "many", id="content-length that is no number"),
        pytest.param(bytes(64), "9" * 5000, id="content-length of 5000 digits"),
    ],
)
async def test_body_that_is_no_answer_is_a_failure_E10(
    body: bytes, length: str | None, up: FakeUpstream, reach: Reach
) -> None:
    up.faults.body, up.faults.http_headers = body, {"content-length": length}
    transport = reach(up.endpoint("https"))
    with pytest.raises(ProtocolError):
        await ask(transport)
    up.faults.body, up.faults.http_headers = None, {}
    assert await ask(transport, 2) == right_answer(2)


async def test_body_of_65535_octets_is_taken_time_and_again(reach: Reach) -> None:
    def large(query: bytes) -> bytes:
        return query[:2] + b"\x81\x80" + query[4:] + bytes(65535 - len(query))

    async with FakeUpstream(answer=large) as up:
        transport = reach(up.endpoint("https"))
        for _ in range(5):  # together past the window of the connection if it were never opened again
            got = await asyncio.gather(*(transport.exchange(query_for(), deadline_in()) for _ in range(20)))
            assert {len(answer) for answer in got} == {65535}
        assert up.connections["https"] == 1


async def test_body_in_too_many_pieces_is_refused_M14(up: FakeUpstream, reach: Reach) -> None:
    up.faults.drip_s, up.faults.body = 0.0001, bytes(500)
    with pytest.raises(ProtocolError, match="pieces"):
        await ask(reach(up.endpoint("https")))


async def test_response_that_never_ends_is_given_up_E11(up: FakeUpstream, reach: Reach) -> None:
    up.faults.no_end_stream = True
    with pytest.raises(DeadlineExceeded):
        await ask(reach(up.endpoint("https")), within_s=0.2)


async def test_trailers_are_ignored_E11(up: FakeUpstream, reach: Reach) -> None:
    up.faults.trailers = {"checksum": "x"}
    transport = reach(up.endpoint("https"))
    for number in range(2):
        assert await ask(transport, number) == right_answer(number)


async def test_few_informational_responses_are_ignored_E11(up: FakeUpstream, reach: Reach) -> None:
    up.faults.informational = 8
    assert await ask(reach(up.endpoint("https"))) == right_answer()


async def test_many_informational_responses_are_refused_M14_E5(up: FakeUpstream, reach: Reach) -> None:
    up.faults.informational = 9
    with pytest.raises(ProtocolError, match="informational"):
        await ask(reach(up.endpoint("https")))


async def test_refused_stream_may_be_sent_again_F5_9113_1(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    up.faults.refuse_streams, up.faults.times = True, 1
    with pytest.raises(ConnectionLost):
        await ask(transport)
    assert await ask(transport) == right_answer()
    assert up.connections["https"] == 1


@pytest.mark.parametrize("code", [1, 2, 8, 11, 13, 0x4242])
async def test_reset_stream_is_a_failure_F5(code: int, up: FakeUpstream, reach: Reach) -> None:
    up.faults.refuse_streams, up.faults.reset_code = True, code
    with pytest.raises(ProtocolError):
        await ask(reach(up.endpoint("https")))


async def test_flood_of_resets_ends_in_quiet_not_in_a_storm_E5(up: FakeUpstream, reach: Reach) -> None:
    up.faults.refuse_streams = True
    transport = reach(up.endpoint("https"))
    kinds = set()
    for _ in range(150):
        try:
            await ask(transport)
        except TransportError as error:
            kinds.add(type(error))
    assert len(up.queries) == 101
    assert up.connections["https"] == 1
    assert kinds == {ConnectionLost, ProtocolError}


async def test_goaway_lets_earlier_streams_finish_F4_9113_1(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    up.faults.delay_s = 0.05
    earlier = [asyncio.ensure_future(ask(transport, number)) for number in range(5)]
    await up.wait_queries(5)
    up.faults.delay_s, up.faults.goaway, up.faults.times = 0.0, "refuse", 1
    with pytest.raises(ConnectionLost):
        await ask(transport, 7)
    assert await ask(transport, 8) == right_answer(8)  # on a new connection
    assert await asyncio.gather(*earlier) == [right_answer(number) for number in range(5)]
    assert up.connections["https"] == 2


async def test_graceful_goaway_costs_nobody_anything_F4(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    up.faults.goaway = "graceful"
    for number in range(4):
        assert await ask(transport, number) == right_answer(number)


async def test_goaway_with_last_stream_0_gives_all_back_F4(up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint("https"))
    up.faults.silent = True
    waiting = [asyncio.ensure_future(ask(transport, number)) for number in range(5)]
    await up.wait_queries(5)
    up.faults.silent, up.faults.goaway, up.faults.times = False, "zero", 1
    got = await asyncio.gather(*waiting, ask(transport, 6), return_exceptions=True)
    assert {type(result) for result in got} == {ConnectionLost}
    assert await ask(transport, 7) == right_answer(7)


async def test_max_concurrent_streams_may_change_while_running_R7_F28(up: FakeUpstream, reach: Reach) -> None:
    """The server lowers it, raises it and lets nothing through for a while."""
    transport = reach(up.endpoint("https"))
    await ask(transport)
    for limit in (1, 5, 2):
        up.faults.inject, up.faults.times = max_streams(limit), 1
        await ask(transport)
        before = len(up.queries)
        up.faults.inject, up.faults.times, up.faults.hold = b"", None, True
        waiting = [asyncio.ensure_future(ask(transport, number)) for number in range(12)]
        while (asked := len(up.queries) - before) < 12:
            want = min(asked + limit, 12)
            await up.wait_queries(before + want)
            assert len(up.queries) == before + want  # what leaves together arrives together
            up.release()
        up.faults.hold = False
        assert await asyncio.gather(*waiting) == [right_answer(number) for number in range(12)]
    assert up.connections["https"] == 1


async def test_max_concurrent_streams_of_zero_ends_at_the_deadline_R7_R8(
    up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint("https"))
    up.faults.inject, up.faults.times = max_streams(0), 1
    await ask(transport)
    with pytest.raises(DeadlineExceeded):
        await ask(transport, within_s=0.1)
    assert len(up.queries) == 1
    waiting = asyncio.ensure_future(ask(transport, 2))
    await asyncio.sleep(0)
    up.drop_connections()  # the limit was that connection's
    with pytest.raises(ConnectionLost):
        await waiting
    assert await ask(transport, 2) == right_answer(2)


@pytest.mark.parametrize("window", [0, 1, 127])
async def test_body_beyond_the_servers_window_is_not_sent_and_ends_at_the_deadline_R8(
    window: int, up: FakeUpstream, reach: Reach
) -> None:
    """The body of a query has 128 octets."""
    transport = reach(up.endpoint("https"))
    smaller = SettingsFrame(0, settings={SettingCodes.INITIAL_WINDOW_SIZE: window}).serialize()
    up.faults.inject, up.faults.times = smaller, 1
    up.faults.hold = True
    waiting = [asyncio.ensure_future(ask(transport, number)) for number in (1, 2)]
    await up.wait_queries(2)
    up.faults.hold = False
    up.release()
    assert await asyncio.gather(*waiting) == [right_answer(1), right_answer(2)]
    with pytest.raises(DeadlineExceeded):
        await ask(transport, 3, within_s=0.1)
    assert len(up.queries) == 2


def max_streams(limit: int) -> bytes:
    return SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: limit}).serialize()


async def test_queue_is_bounded_R7(up: FakeUpstream, reach: Reach) -> None:
    up.faults.max_concurrent_streams = 1
    transport = reach(up.endpoint("https"))
    await ask(transport)
    up.faults.hold = True
    waiting = [asyncio.ensure_future(ask(transport, number % 250)) for number in range(1 + MAX_QUEUED)]
    await up.wait_queries(2)
    with pytest.raises(Overloaded):
        await ask(transport)
    up.faults.hold = False
    up.release()
    got = await asyncio.gather(*waiting)
    assert got == [right_answer(number % 250) for number in range(1 + MAX_QUEUED)]


async def test_cancelled_request_frees_its_stream_and_its_place(up: FakeUpstream, reach: Reach) -> None:
    up.faults.max_concurrent_streams = 1
    transport = reach(up.endpoint("https"))
    await ask(transport)
    up.faults.silent, up.faults.times = True, 1
    waiting = [asyncio.ensure_future(ask(transport, number)) for number in range(4)]
    await up.wait_queries(2)
    for task in waiting[:2]:
        task.cancel()
    assert await asyncio.gather(*waiting[2:]) == [right_answer(2), right_answer(3)]
    assert await asyncio.gather(*waiting[:2], return_exceptions=True)
    assert up.connections["https"] == 1


async def test_timed_out_request_in_the_queue_frees_its_place(up: FakeUpstream, reach: Reach) -> None:
    up.faults.max_concurrent_streams = 1
    transport = reach(up.endpoint("https"))
    await ask(transport)
    up.faults.hold = True
    first = asyncio.ensure_future(ask(transport, 1))
    await up.wait_queries(2)
    with pytest.raises(DeadlineExceeded):
        await ask(transport, 2, within_s=0.05)
    up.faults.hold = False
    up.release()
    assert await first == right_answer(1)
    assert await ask(transport, 3) == right_answer(3)
    assert len(up.queries) == 3


async def test_alt_svc_is_kept_for_whoever_wants_it(up: FakeUpstream, reach: Reach) -> None:
    up.faults.http_headers = {"alt-svc": 'h3=":443"; ma=86400'}
    transport = reach(up.endpoint("https"))
    await ask(transport)
    assert transport.facts().alt_svc == 'h3=":443"; ma=86400'
    transport.reset()
    await ask(transport, 2)
    up.faults.http_headers = {"alt-svc": "x" * (MAX_ALT_SVC + 1)}  # half of it would say something else
    await ask(transport, 3)
    assert transport.facts().alt_svc == 'h3=":443"; ma=86400'
    transport.reset()
    assert transport.facts().alt_svc is None  # what holds on one network need not hold on the next


async def test_alt_svc_in_several_fields_is_one_list_9110_5_3() -> None:
    query = query_for()
    fields = [(b":status", b"200"), (b"content-type", MEDIA_TYPE)]
    offers = [(b"alt-svc", b'h3=":1"'), (b"alt-svc", b'h2=":2"')]
    reply = b"\0\0\x81\x80" + query[4:]
    assert read_answer(query, [*fields, *offers], reply, "")[1] == 'h3=":1", h2=":2"'
