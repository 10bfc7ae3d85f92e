"""DNS over TLS and over HTTPS through a SOCKS5 or HTTP proxy, and never beside it."""

import asyncio
import dataclasses
import logging
import socket
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

import pytest

from secdns.dns.message import Message
from secdns.endpoint import Endpoint, parse
from secdns.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineExceeded,
    EndpointError,
    TransportError,
)
from secdns.proxies import Proxy
from secdns.testing import FakeUpstream
from secdns.transport import open_transport
from secdns.transport.connection import Connection
from secdns.transport.proxy import MAX_REPLY, dial_through
from secdns.upstream import Upstream
from tests.fixtures import warp
from tests.loop import Warp
from tests.transport.conftest import Reach
from tests.transport.proxying import ADDRESS, KINDS, GoodProxy, Listener, ScriptedProxy
from tests.transport.support import ask, deadline_in, no_lookup, query_for, right_answer, wait_until

__all__ = ["warp"]  # a fixture

SCHEMES = ("tls", "https")
SECRET = (b"n/me", b"s3cr:t@h\xc3\xb6me")
Start = Callable[..., Awaitable[GoodProxy]]
StartScript = Callable[[str, Iterable[bytes]], Awaitable[ScriptedProxy]]

every_way = pytest.mark.parametrize(
    ("kind", "scheme"), [(kind, scheme) for kind in KINDS for scheme in SCHEMES]
)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
async def stack(nothing_is_left: None) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
async def good(stack: AsyncExitStack) -> Start:
    async def start(
        kind: str, credentials: tuple[bytes, bytes] | None = None, *, drips: bool = False
    ) -> GoodProxy:
        proxy = GoodProxy(kind, credentials, drips=drips)
        await stack.enter_async_context(proxy.running())
        return proxy

    return start


@pytest.fixture
async def scripted(stack: AsyncExitStack) -> StartScript:
    async def start(kind: str, lines: Iterable[bytes]) -> ScriptedProxy:
        proxy = ScriptedProxy(kind, lines)
        await stack.enter_async_context(proxy.running())
        return proxy

    return start


def through(proxy: Listener | Proxy, endpoint: Endpoint, *addresses: str) -> Endpoint:
    """Give the endpoint with this proxy, and with these addresses only."""
    where = proxy.proxy if isinstance(proxy, Listener) else proxy
    return dataclasses.replace(endpoint, proxy=where, addresses=addresses)


async def failure_of(endpoint: Endpoint, reach: Reach, *, within_s: float = 4.0) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await ask(reach(endpoint), within_s=within_s)
    return caught.value


# what holds for every transport holds here


@every_way
async def test_name_goes_to_the_proxy_and_nothing_is_looked_up(
    kind: str, scheme: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind)
    transport = reach(through(proxy, up.endpoint(scheme)))  # its look-up fails the test
    assert await ask(transport, 7) == right_answer(7)
    assert proxy.asked == [("dns.test", up.port(scheme))]
    (seen,) = up.queries
    assert Message.parse(seen.wire).question == Message.parse(query_for(7)).question


@every_way
async def test_concurrent_exchanges_share_one_connection_through_the_proxy(
    kind: str, scheme: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind)
    transport = reach(through(proxy, up.endpoint(scheme)))
    got = await asyncio.gather(*(ask(transport, number) for number in range(200)))
    assert got == [right_answer(number) for number in range(200)]
    assert (proxy.connections, up.connections[scheme]) == (1, 1)


@every_way
async def test_certificate_is_checked_end_to_end_E1(
    kind: str, scheme: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind)
    up.use_certificate("wrong-name")
    error = await failure_of(through(proxy, up.endpoint(scheme)), reach)
    assert isinstance(error, AuthenticationError)
    assert up.queries == []


@every_way
async def test_connection_that_died_is_opened_anew_through_the_proxy(
    kind: str, scheme: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind)
    transport = reach(through(proxy, up.endpoint(scheme)))
    await ask(transport)
    up.drop_connections(reset=True)
    await wait_until(lambda: transport.begin(query_for(), deadline_in(), Ignored()) is None)
    assert await ask(transport, 2) == right_answer(2)
    assert proxy.connections == 2


@every_way
async def test_cancelling_a_connect_leaves_nothing(
    kind: str, scheme: str, up: FakeUpstream, reach: Reach, scripted: StartScript
) -> None:
    proxy = await scripted(kind, [])
    transport = reach(through(proxy, up.endpoint(scheme)))
    asking = asyncio.ensure_future(ask(transport))
    await wait_until(lambda: proxy.connections == 1)
    transport.reset()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@every_kind
async def test_proxy_that_drips_its_answer_is_understood(
    kind: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind, SECRET, drips=True)
    assert await ask(reach(through(proxy, up.endpoint("tls")))) == right_answer()


@every_kind
async def test_credentials_are_given_to_the_proxy(
    kind: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind, SECRET)
    assert await ask(reach(through(proxy, up.endpoint("https")))) == right_answer()


@every_kind
async def test_credentials_that_nobody_asks_for_do_no_harm(
    kind: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind)
    where = dataclasses.replace(proxy.proxy, credentials=SECRET)
    assert await ask(reach(through(where, up.endpoint("tls")))) == right_answer()


async def test_http_proxy_is_told_the_target_and_nothing_about_us_E16(
    up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good("http")
    await ask(reach(through(proxy, up.endpoint("tls"))))
    target = f"dns.test:{up.port('tls')}"
    assert proxy.heads == [f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()]


# addresses


@every_kind
@pytest.mark.parametrize("address", ["127.0.0.1", "2001:db8::1"])
async def test_address_of_the_endpoint_goes_to_the_proxy_in_place_of_the_name(
    kind: str, address: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind)
    assert await ask(reach(through(proxy, up.endpoint("tls"), address))) == right_answer()
    assert proxy.asked == [(address, up.port("tls"))]


@every_kind
async def test_next_address_is_tried_when_the_proxy_cannot_reach_the_first(
    kind: str, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind)
    proxy.unreachable = {"192.0.2.1"}
    assert await ask(reach(through(proxy, up.endpoint("tls"), "192.0.2.1", ADDRESS))) == right_answer()
    assert [host for host, _ in proxy.asked] == ["192.0.2.1", ADDRESS]


async def test_proxy_on_ipv6_is_reached(up: FakeUpstream, reach: Reach) -> None:
    with socket.socket(socket.AF_INET6) as bound:
        bound.bind(("::1", 0))
        proxy = Proxy("socks5", "::1", bound.getsockname()[1])
        error = await failure_of(through(proxy, up.endpoint("tls")), reach)
    assert f"cannot reach the proxy socks5://[::1]:{proxy.port}: connection refused" in str(error)


# nothing goes beside the proxy


@every_way
async def test_dead_proxy_is_told_and_nothing_is_dialled_beside_it(
    kind: str, scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    with socket.socket() as deaf:
        deaf.bind((ADDRESS, 0))
        proxy = Proxy(kind, ADDRESS, deaf.getsockname()[1])
        for addresses in ((), (ADDRESS,)):
            error = await failure_of(through(proxy, up.endpoint(scheme), *addresses), reach)
            assert isinstance(error, ConnectError)
            assert str(error) == f"cannot reach the proxy {proxy.url}: connection refused"
    assert up.connections[scheme] == 0
    assert up.queries == []


@pytest.mark.parametrize("scheme", ["quic", "h3", "udp", "tcp"])
def test_what_no_proxy_carries_is_never_opened(scheme: str) -> None:
    where = dataclasses.replace(parse(f"{scheme}://192.0.2.1"), proxy=Proxy("socks5", ADDRESS, 1080))
    with pytest.raises(EndpointError, match=f"{scheme}:// cannot go through a proxy, want https://"):
        open_transport(where, no_lookup)


# proxies that refuse, cannot, or are none

HTTP_OK = b"HTTP/1.1 200 OK\r\n"
WANTS = "wants credentials"
CANNOT = "cannot reach dns.test port 853: "
REFUSES = "refuses to connect to dns.test port 853: "


@pytest.mark.parametrize(
    ("kind", "lines", "want"),
    [
        pytest.param("socks5", [b"HTTP/1.1 400 no\r\n"], "does not speak SOCKS5: version 72", id="http"),
        pytest.param("socks5", [b"\4\0"], "does not speak SOCKS5: version 4, want 5", id="SOCKS4"),
        pytest.param("socks5", [b""], "closed the connection in place of an answer", id="closes at once"),
        pytest.param("socks5", [b"\5\0", b""], "closed the connection", id="closes midway"),
        pytest.param("socks5", [b"\5\xff"], WANTS, id="no method"),
        pytest.param("socks5", [b"\5\1"], "chose the method 1, which it was not offered", id="GSSAPI"),
        pytest.param("socks5", [b"\5\2"], "chose the method 2, which it was not offered", id="not offered"),
        pytest.param("socks5", [b"\5\0", b"\0\0"], "does not speak SOCKS5: version 0", id="version midway"),
        pytest.param("socks5", [b"\5\0", b"\5\1"], CANNOT + "general failure", id="1"),
        pytest.param("socks5", [b"\5\0", b"\5\2"], REFUSES + "its rules", id="2"),
        pytest.param("socks5", [b"\5\0", b"\5\3"], CANNOT + "network unr", id="3"),
        pytest.param("socks5", [b"\5\0", b"\5\4"], CANNOT + "host unr", id="4"),
        pytest.param("socks5", [b"\5\0", b"\5\5"], CANNOT + "connection ref", id="5"),
        pytest.param("socks5", [b"\5\0", b"\5\6"], CANNOT + "ttl expired", id="6"),
        pytest.param("socks5", [b"\5\0", b"\5\7"], "does not know the command", id="7"),
        pytest.param("socks5", [b"\5\0", b"\5\x08"], "does not know this kind of address", id="8"),
        pytest.param("socks5", [b"\5\0", b"\5\xf0"], REFUSES + "SOCKS reply 240", id="unassigned"),
        pytest.param("socks5", [b"\5\0", b"\5\0\0\2"], "address of type 2, want 1", id="address"),
        pytest.param("http", [b"HTTP/1.1 407 no\r\n\r\n"], WANTS, id="407"),
        pytest.param("http", [b"HTTP/1.0 401 no\r\n\r\n"], WANTS, id="401, tinyproxy"),
        pytest.param(
            "http",
            [b"HTTP/1.1 403 \x1b[31mred\r\n\r\n"],
            REFUSES + "HTTP status 403, forbidden",
            id="403",
        ),
        pytest.param("http", [b"HTTP/1.1 302 x\r\nLocation: /\r\n\r\n"], "refuses", id="302"),
        pytest.param("http", [b"HTTP/1.0 500 x\r\n\r\n"], CANNOT + "HTTP status 500", id="500"),
        pytest.param("http", [b"HTTP/1.1 502 x\r\n\r\n"], "HTTP status 502, bad gateway", id="502"),
        pytest.param("http", [b"HTTP/1.1 599 x\r\n\r\n"], CANNOT + "HTTP status 599", id="599"),
        pytest.param("http", [b"SSH-2.0-x\r\n\r\n"], "does not answer as HTTP does", id="ssh"),
        pytest.param("http", [b"\x15\3\1\0\2\2\x28\r\n\r\n"], "does not answer as HTTP does", id="tls"),
        pytest.param("http", [b""], "closed the connection in place of an answer", id="http closes"),
        pytest.param("http", [HTTP_OK], "in time", id="never ends its head"),
        pytest.param("http", [HTTP_OK + b"\r\nmore"], "says something of its own", id="talks"),
        pytest.param("http", [b"x" * (1 << 20)], "answer", id="1 MiB of a line"),
        pytest.param("http", [HTTP_OK + b"a: b\r\n" * (1 << 18)], "answer", id="1 MiB of a head"),
        pytest.param("http", [b"HTTP/1.1 100 x\r\n\r\n" * (1 << 16)], "says more than 16384", id="1xx"),
        pytest.param("http", [], "in time", id="silent http"),
        pytest.param("socks5", [], "in time", id="silent"),
        pytest.param("socks5", [b"\5"], "in time", id="one octet"),
    ],
)  # fmt: skip
async def test_proxy_that_gives_no_connection_is_told_in_words(
    kind: str, lines: list[bytes], want: str, reach: Reach, scripted: StartScript
) -> None:
    proxy = await scripted(kind, lines)
    within_s = 0.3 if "in time" in want else 4.0
    error = await failure_of(through(proxy, parse("tls://dns.test")), reach, within_s=within_s)
    if "in time" in want:  # who asked does not wait longer, whoever made him wait
        assert isinstance(error, DeadlineExceeded)
    else:
        assert isinstance(error, ConnectError)
        assert str(error).startswith(f"the proxy {proxy.proxy.url} ")
        assert want in str(error)
    assert str(error).isprintable()
    assert proxy.connections == 1


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        pytest.param(None, "no connection to the proxy {proxy} in time", id="not reached"),
        pytest.param([], "the proxy {proxy} gave no connection to dns.test port 853 in time", id="silent"),
        pytest.param(
            [b"\5\0", b"\5\0\0\1" + bytes(6)],
            "no connection to dns.test port 853 through the proxy {proxy} in time",
            id="no handshake",
        ),
    ],
)
async def test_deadline_covers_the_dialogue_and_says_how_far_it_came(
    lines: list[bytes] | None, want: str, scripted: StartScript, warp: Warp
) -> None:
    async def finish(opened: socket.socket, address: str) -> Connection:
        opened.close()
        await asyncio.Event().wait()
        raise AssertionError(address)

    proxy = (await scripted("socks5", lines or [])).proxy
    deadline = deadline_in(0 if lines is None else 0.3)
    with pytest.raises(DeadlineExceeded) as caught:
        await warp.passing(dial_through(proxy, ["dns.test"], 853, deadline, finish))
    assert str(caught.value) == want.format(proxy=proxy.url)


async def test_proxy_that_says_too_much_is_not_read_to_the_end(reach: Reach, scripted: StartScript) -> None:
    """What the kernel's buffers take is not ours to count; a flood of 64 MiB does not fit them."""
    proxy = await scripted("http", [HTTP_OK + b"a: b\r\n" * (1 << 20), b"x" * (64 << 20)])
    error = await failure_of(through(proxy, parse("tls://dns.test")), reach)
    assert isinstance(error, ConnectError)
    assert MAX_REPLY <= proxy.said + 4096 < 32 << 20


# credentials


def everything_said(error: BaseException) -> str:
    hint = getattr(error, "hint", "")
    return f"{error!r} {hint} {''.join(traceback.format_exception(error))}"


@every_kind
@pytest.mark.parametrize("has_wrong", [True, False], ids=["wrong", "none"])
async def test_proxy_that_wants_other_credentials_is_told_in_words(
    kind: str, has_wrong: bool, up: FakeUpstream, reach: Reach, good: Start
) -> None:
    proxy = await good(kind, (b"right", b"one"))
    where = dataclasses.replace(proxy.proxy, credentials=SECRET if has_wrong else None)
    error = await failure_of(through(where, up.endpoint("tls")), reach)
    wanted = "does not accept the user name and password" if has_wrong else WANTS
    assert wanted in everything_said(error)
    assert (f"{kind}://USER:PASSWORD@" in everything_said(error)) is not has_wrong
    assert up.connections["tls"] == 0


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("socks5", [b"\5\2", b"\1\1"]),
        ("socks5", [b"\5\2", b"\1\0", b"\5\2"]),
        ("socks5", [b"\5\7"]),
        ("socks5", [b""]),
        ("http", [b"HTTP/1.1 407 no\r\n\r\n"]),
        ("http", [b"nonsense\r\n\r\n"]),
        ("http", [b"HTTP/1.1 502 no\r\n\r\n"]),
        ("http", []),
    ],
)
async def test_credentials_are_in_no_error_and_no_log(
    kind: str,
    lines: list[bytes],
    scripted: StartScript,
    stack: AsyncExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = await scripted(kind, lines)
    where = through(dataclasses.replace(proxy.proxy, credentials=SECRET), parse("tls://dns.test"))
    upstream = Upstream("mine", where, no_lookup)
    stack.push_async_callback(upstream.transport.aclose)
    with pytest.raises(TransportError) as caught:
        await upstream.exchange(query_for(), deadline_in(0.3))
    assert "upstream mine failed" in caplog.text
    for text in (everything_said(caught.value), caplog.text, repr(where), repr(where.proxy), str(where)):
        for word in ("n/me", "n%2Fme", "s3cr", "bi9tZTpz"):
            assert word not in text


def test_proxy_code_is_loaded_only_where_there_is_a_proxy() -> None:
    code = (
        "import sys; from secdns.endpoint import parse; from secdns.transport import open_transport; "
        "open_transport(parse('https://192.0.2.1'), None); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"secdns.transport.proxy", "h11"} & set(loaded.stdout.split())


class Ignored:
    """A waiter that wants nothing."""

    def done(self) -> bool:
        return True

    def set_result(self, response: bytes, /) -> None: ...

    def set_exception(self, error: TransportError, /) -> None: ...
