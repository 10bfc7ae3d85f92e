"""A FakeUpstream over HTTPS, seen by a plain HTTP/2 client."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import h2.config
import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes

from secdns.dns import name
from secdns.dns.message import Message, make_query
from secdns.iana import RCode, RRType
from secdns.testing import FakeUpstream, Faults, Seen

QUERY = make_query(name.from_text("www.example.test"), RRType.A, id=0)
GOAWAY = 7  # frame type (RFC 9113 §6.8)
TEN_S = 10.0  # no test waits for this long unless it fails


@dataclass(slots=True)
class Response:
    """What came on one stream."""

    informational: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    is_ended: bool = False
    reset: int | None = None


class Client:
    """One HTTP/2 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.responses: dict[int, Response] = {}
        self.last_stream: int | None = None  # of a GOAWAY
        self.pings = 0
        self.buffer = b""
        self.is_closed = False

    def request(self, body: bytes = QUERY, headers: Mapping[str, str] | None = None) -> int:
        """Start a request and give its stream."""
        stream = self.h2.get_next_available_stream_id()
        fields = {
            ":method": "POST",
            ":scheme": "https",
            ":authority": "dns.test",
            ":path": "/dns-query",
            "content-type": "application/dns-message",
            **(headers or {}),
        }
        self.h2.send_headers(stream, list(fields.items()), end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.responses[stream] = Response()
        self.flush()
        return stream

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def read(self) -> None:
        """Take in what comes next."""
        data = await self.reader.read(65536)
        if not data:
            self.is_closed = True
            return
        self.buffer += data
        while len(self.buffer) >= 9 + (size := int.from_bytes(self.buffer[:3])):
            frame, self.buffer = self.buffer[: 9 + size], self.buffer[9 + size :]
            if frame[3] == GOAWAY:  # not for the library, it would take no answer after it
                self.last_stream = int.from_bytes(frame[9:13])
                continue
            for event in self.h2.receive_data(frame):
                self.handle(event)
        self.flush()

    def handle(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None)
        response = self.responses.get(stream or 0, Response())
        match event:
            case h2.events.InformationalResponseReceived():
                response.informational += 1
            case h2.events.ResponseReceived(headers=headers):
                response.headers = texts(headers)
            case h2.events.TrailersReceived(headers=headers):
                response.trailers = texts(headers)
            case h2.events.DataReceived(data=data, flow_controlled_length=int(size)):
                response.body += data or b""
                self.h2.acknowledge_received_data(size, stream or 0)
            case h2.events.StreamEnded():
                response.is_ended = True
            case h2.events.StreamReset(error_code=code):
                response.reset = int(code or 0)
            case h2.events.PingReceived():
                self.pings += 1
            case _:
                pass

    async def finish(self, stream: int) -> Response:
        """Read until the stream or the connection is at its end."""
        response = self.responses[stream]
        while not (response.is_ended or response.reset is not None or self.is_closed):
            await self.read()
        return response

    async def ask(self, body: bytes = QUERY, headers: Mapping[str, str] | None = None) -> Response:
        return await self.finish(self.request(body, headers))


def texts(headers: object) -> dict[str, str]:
    assert isinstance(headers, list)
    return {str(key): str(value) for key, value in headers}


@contextlib.asynccontextmanager
async def connect(up: FakeUpstream, alpn: str = "h2") -> AsyncIterator[Client]:
    context = ssl.create_default_context(cafile=up.ca_file)
    context.set_alpn_protocols([alpn])
    async with asyncio.timeout(TEN_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", up.port("https"), ssl=context, server_hostname=up.hostname
        )
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_post_is_answered_8484_4(up: FakeUpstream) -> None:
    async with connect(up) as client:
        response = await client.ask()
    assert response.headers == {
        ":status": "200",
        "content-type": "application/dns-message",
        "content-length": str(len(response.body)),
        "cache-control": "max-age=300",
    }
    assert len(Message.parse(bytes(response.body)).answer) == 2
    assert (up.queries, up.connections["https"]) == ([Seen("https", QUERY, 1)], 1)
    assert up.handshakes[0].alpn == "h2"


async def test_get_is_answered_8484_4(up: FakeUpstream) -> None:
    coded = base64.urlsafe_b64encode(QUERY).rstrip(b"=").decode()
    async with connect(up) as client:
        response = await client.ask(b"", {":method": "GET", ":path": f"/dns-query?dns={coded}"})
    assert len(Message.parse(bytes(response.body)).answer) == 2


async def test_a_denial_lives_as_long_as_its_soa_says_8484_5(up: FakeUpstream) -> None:
    async with connect(up) as client:
        response = await client.ask(make_query(name.from_text("no.example.test"), RRType.A, id=0))
    assert response.headers["cache-control"] == "max-age=60"


async def test_header_fields_are_recorded_in_order(up: FakeUpstream) -> None:
    async with connect(up) as client:
        await client.ask(headers={"user-agent": "test"})
    assert up.http_requests == [
        (
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "dns.test"),
            (":path", "/dns-query"),
            ("content-type", "application/dns-message"),
            ("user-agent", "test"),
        )
    ]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param({":path": "/"}, QUERY, "404", id="path"),
        pytest.param({":method": "PUT"}, QUERY, "405", id="method"),
        pytest.param({"content-type": "text/plain"}, QUERY, "415", id="content type"),
        pytest.param({}, QUERY[:11], "400", id="shorter than a header"),
        pytest.param({":method": "GET", ":path": "/dns-query?dns=*"}, b"", "400", id="not base64url"),
        pytest.param({":method": "GET", ":path": "/dns-query"}, b"", "400", id="no query"),
    ],
)
async def test_a_bad_request_is_refused_and_the_connection_lives(
    up: FakeUpstream, headers: Mapping[str, str], body: bytes, status: str
) -> None:
    async with connect(up) as client:
        assert (await client.ask(body, headers)).headers[":status"] == status
        assert (await client.ask()).headers[":status"] == "200"
    assert len(up.queries) == 1


async def test_many_streams_of_one_connection_are_answered(up: FakeUpstream) -> None:
    async with connect(up) as client:
        streams = [client.request() for _ in range(50)]
        responses = [await client.finish(stream) for stream in streams]
    assert {len(Message.parse(bytes(response.body)).answer) for response in responses} == {2}
    assert (up.connections["https"], len(up.queries)) == (1, 50)


async def test_octets_that_are_not_http2_end_the_connection(up: FakeUpstream) -> None:
    async with connect(up) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: dns.test\r\n\r\n")
        await client.reader.read()
        assert client.reader.at_eof() is True
    assert up.queries == []


# faults


async def test_a_body_over_the_flow_control_window_arrives_whole_E10(up: FakeUpstream) -> None:
    up.faults.body = b"x" * 200_000
    async with connect(up) as client:
        assert (await client.ask()).body == up.faults.body


async def test_status_and_header_fields_can_be_replaced_added_and_left_out_E9(up: FakeUpstream) -> None:
    up.faults = Faults(
        http_status=503,
        http_headers={"content-type": "text/html", "retry-after": "30", "cache-control": None},
        body=b"<html>",
    )
    async with connect(up) as client:
        response = await client.ask()
    assert (response.headers, bytes(response.body)) == (
        {":status": "503", "content-type": "text/html", "content-length": "6", "retry-after": "30"},
        b"<html>",
    )


@pytest.mark.parametrize(
    ("faults", "want"),
    [
        pytest.param(Faults(refuse_streams=True), ErrorCodes.REFUSED_STREAM, id="refused"),
        pytest.param(
            Faults(refuse_streams=True, reset_code=2), ErrorCodes.INTERNAL_ERROR, id="internal error"
        ),
    ],
)
async def test_a_stream_can_be_reset_F5(up: FakeUpstream, faults: Faults, want: int) -> None:
    faults.times = 1
    up.faults = faults
    async with connect(up) as client:
        assert (await client.ask()).reset == want
        assert (await client.ask()).headers[":status"] == "200"


@pytest.mark.parametrize(
    ("goaway", "last_stream", "answered"),
    [
        pytest.param("graceful", 3, [True, True], id="this one is still answered"),
        pytest.param("refuse", 1, [True, False], id="only the earlier one is answered"),
        pytest.param("zero", 0, [False, False], id="none is answered"),
    ],
)
async def test_goaway_says_what_is_answered_and_the_connection_ends_F4(
    up: FakeUpstream, goaway: Literal["graceful", "refuse", "zero"], last_stream: int, answered: list[bool]
) -> None:
    async with connect(up) as client:
        up.faults = Faults(hold=True)
        first = client.request()
        await up.wait_queries(1)
        up.faults = Faults(goaway=goaway)
        second = client.request()
        await up.wait_queries(2)
        up.release()
        responses = [await client.finish(stream) for stream in (first, second)]
        while not client.is_closed:
            await client.read()
    assert [response.is_ended for response in responses] == answered
    assert client.last_stream == last_stream


async def test_the_limit_of_streams_is_announced_F28(up: FakeUpstream) -> None:
    up.faults.max_concurrent_streams = 1
    async with connect(up) as client:
        early = [client.request() for _ in range(3)]  # the announcement has not come yet
        for stream in early:
            assert (await client.finish(stream)).headers[":status"] == "200"
        assert client.h2.remote_settings.max_concurrent_streams == 1
        assert (await client.ask()).headers[":status"] == "200"


async def test_a_body_can_drip_E10(up: FakeUpstream) -> None:
    up.faults.drip_s = 0.0001
    async with connect(up) as client:
        assert len(Message.parse(bytes((await client.ask()).body)).answer) == 2


async def test_an_end_that_never_comes_E11(up: FakeUpstream) -> None:
    up.faults = Faults(no_end_stream=True, times=1)
    async with connect(up) as client:
        endless = client.request()
        await client.ask()
    response = client.responses[endless]
    assert (len(Message.parse(bytes(response.body)).answer), response.is_ended) == (2, False)


async def test_informational_responses_and_trailers_E11(up: FakeUpstream) -> None:
    up.faults = Faults(informational=3, trailers={"x-more": "1"})
    async with connect(up) as client:
        response = await client.ask()
    assert (response.informational, response.trailers, response.is_ended) == (3, {"x-more": "1"}, True)


async def test_raw_frames_can_be_put_ahead_of_the_answer_E5(up: FakeUpstream) -> None:
    up.faults.inject = (b"\0\0\x08\x06\0\0\0\0\0" + b"pingpong") * 5
    async with connect(up) as client:
        assert (await client.ask()).headers[":status"] == "200"
        assert client.pings == 5


async def test_held_answers_leave_when_released(up: FakeUpstream) -> None:
    up.faults.hold = True
    async with connect(up) as client:
        first, second = client.request(), client.request()
        await up.wait_queries(2)
        up.release(last_first=True)
        assert (await client.finish(second)).headers[":status"] == "200"
        assert (await client.finish(first)).headers[":status"] == "200"


async def test_a_held_answer_to_a_stream_that_was_reset_goes_nowhere(up: FakeUpstream) -> None:
    up.faults = Faults(hold=True, times=1)
    async with connect(up) as client:
        gone = client.request()
        await up.wait_queries(1)
        client.h2.reset_stream(gone)
        await client.ask()
        up.release()
        assert (await client.ask()).headers[":status"] == "200"


async def test_silence_and_wrong_answers_are_those_of_any_transport_F27(up: FakeUpstream) -> None:
    up.faults = Faults(silent=True, times=1)
    async with connect(up) as client:
        silent = client.request()
        assert (await client.ask()).headers[":status"] == "200"
        assert client.responses[silent] == Response()
        up.faults = Faults(rcode=RCode.SERVFAIL)
        assert Message.parse(bytes((await client.ask()).body)).rcode == RCode.SERVFAIL


async def test_a_connection_can_end_after_some_answers_F28(up: FakeUpstream) -> None:
    up.faults.close_after = 2
    async with connect(up) as client:
        streams = [client.request() for _ in range(3)]
        responses = [await client.finish(stream) for stream in streams]
    assert [response.is_ended for response in responses] == [True, True, False]


@pytest.mark.parametrize("octets", [0, 5])
async def test_a_connection_can_end_before_or_within_an_answer(up: FakeUpstream, octets: int) -> None:
    up.faults = Faults(close_mid="fin", close_mid_octets=octets)
    async with connect(up) as client:
        response = await client.ask()
    assert (len(response.body), response.is_ended, client.is_closed) == (octets, False, True)


async def test_a_connection_can_be_reset_F1(up: FakeUpstream) -> None:
    up.faults.close_mid = "rst"
    async with connect(up) as client:
        with pytest.raises(ConnectionResetError):
            await client.ask()


@pytest.mark.parametrize(
    ("alpn", "want"),
    [
        pytest.param((), None, id="none"),
        pytest.param(("http/1.1",), None, id="another"),
    ],
)
async def test_the_protocol_can_be_missing_from_alpn_E3(
    up: FakeUpstream, alpn: tuple[str, ...], want: str | None
) -> None:
    up.faults.alpn = alpn
    async with connect(up) as client:
        tls = client.writer.get_extra_info("ssl_object")
        assert tls.selected_alpn_protocol() == want
