"""The look for a sign-in page, against servers that answer as portals do, and as nobody should."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from string import ascii_letters, digits

import pytest

from secdns.dns.name import from_text
from secdns.network import portal
from secdns.network.portal import OCTETS, Page, look, read

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]  # may be a coroutine function
TIMEOUT_S = 0.4


def redirect(where: str, status: int = 302) -> bytes:
    head = f"HTTP/1.1 {status} Found\r\nServer: portal\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n"
    return head.encode("latin-1")


def page(body: str, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} OK\r\nContent-Type: text/html\r\n\r\n{body}".encode("latin-1")


LOGIN = Page("http://login.hotel.example/", from_text("login.hotel.example"))
NEAR = Page("http://192.168.1.1:8080/?u=1")
HERE = Page("http://192.0.2.1/login")
SAYS_NOTHING = Page()


@pytest.mark.parametrize(
    ("octets", "want"),
    [
        pytest.param(redirect("http://login.hotel.example/"), LOGIN, id="redirect"),
        pytest.param(
            redirect("http://LOGIN.Hotel.Example/"),
            Page("http://LOGIN.Hotel.Example/", from_text("login.hotel.example")),
            id="letter case",
        ),
        pytest.param(redirect("http://login.hotel.example/", 307), LOGIN, id="307"),
        pytest.param(
            b"HTTP/1.0 302 x\r\nlocation:http://login.hotel.example/\r\n\r\n", LOGIN, id="as it may"
        ),
        pytest.param(redirect("http://192.168.1.1:8080/?u=1"), NEAR, id="to an address"),
        pytest.param(redirect("/login"), HERE, id="relative"),
        pytest.param(redirect("https://[fd00::1]/"), Page("https://[fd00::1]/"), id="IPv6"),
        pytest.param(
            page("<META HTTP-EQUIV='refresh' CONTENT='0; URL=http://login.hotel.example/'>"),
            LOGIN,
            id="meta refresh",
        ),
        pytest.param(
            page('<html><meta charset=x><meta content="0;url=/login" http-equiv=refresh>'),
            HERE,
            id="meta refresh, the other way round",
        ),
        pytest.param(
            page('<meta http-equiv="refresh" content="0; url=/login?a=1&amp;b=2">', 511),
            Page("http://192.0.2.1/login?a=1&b=2"),
            id="511, with an entity",
        ),
        pytest.param(page("<h1>Sign in</h1>"), SAYS_NOTHING, id="a page alone"),
        pytest.param(page("<meta name=url=http://x.example/>"), SAYS_NOTHING, id="another meta"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", SAYS_NOTHING, id="204"),
        pytest.param(b"SSH-2.0-dropbear\r\n", SAYS_NOTHING, id="no HTTP at all"),
        pytest.param(b"\x00\xff" * 9000, SAYS_NOTHING, id="garbage"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://login.hot", SAYS_NOTHING, id="half a line"),
        pytest.param(b"HTTP/1.1 302 Found\r\nX: " + b"a" * 9000, SAYS_NOTHING, id="a head without an end"),
        pytest.param(redirect("http://login.hotel.example/", 200), SAYS_NOTHING, id="no redirect"),
    ],
)
def test_answer_says_where_the_page_is(octets: bytes, want: Page) -> None:
    assert read(octets) == want


@pytest.mark.parametrize(
    "where",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://portal.example/",
        "http://user:secret@bank.example/",
        "http://bank.example@portal.example/",
        "http://bank.example\\@portal.example/",
        "http://portal.example/\x1b]0;gone\x07",
        "http://portal.example/\u00e9",
        "http://p\u00f6rtal.example/",
        'http://portal.example/"><script>',
        "http://portal.example/ --help",
        "http://portal.example:99999/",
        "http://portal.example:x/",
        "http://[::1/",
        "http://portal.example/" + "a" * 2000,
        "http://%77ww.example/",
        "http://portal.example|id/",
    ],
)
def test_address_that_could_do_anything_is_not_shown_l4(where: str) -> None:
    assert read(redirect(where)) == SAYS_NOTHING
    url = read(page(f"<meta http-equiv=refresh content='0;url={where}'>")).url  # it may end at a quote
    assert url is None or set(url) <= set(ascii_letters + digits + ":/.")


@pytest.mark.parametrize("where", ["", "//", "http://", "http:///", "?", "#x"])
def test_address_without_a_host_leads_to_where_we_asked(where: str) -> None:
    found = read(redirect(where))
    assert found.url is not None
    assert (found.url.startswith("http://192.0.2.1/"), found.name) == (True, None)


@pytest.mark.parametrize(
    "host", ["a..example", "x" * 64 + ".example", ".".join(["x" * 60] * 5), "127.1", "0x7f.1", "2130706433"]
)
def test_host_that_is_no_name_is_not_looked_up(host: str) -> None:
    assert read(redirect(f"http://{host}/")).name is None


@asynccontextmanager
async def serving(
    answer: Answer,
) -> AsyncIterator[tuple[str, int]]:
    """Run a server on loopback."""
    tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            done = answer(reader, writer)
            if asyncio.iscoroutine(done):
                await done
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield host, port
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def test_portal_is_found_with_one_request_that_says_nothing_of_us() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.write(redirect("http://login.hotel.example/"))
        heard.put_nowait(await reader.read())  # it hangs up by itself

    async with serving(answer) as target:
        assert await look(target) == LOGIN
        head = (b"GET / HTTP/1.1", b"Host: 192.0.2.1", b"User-Agent: secdns", b"Accept: */*")
        assert await heard.get() == b"\r\n".join((*head, b"Connection: close", b"", b""))
        assert await heard.get() == b""


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\n")
    while True:
        writer.write(b"X-Filler: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for octet in redirect("http://login.hotel.example/"):
        writer.write(bytes([octet]))
        await asyncio.sleep(0.05)  # what is slow here is the point


async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP")
    await writer.drain()
    writer.transport.abort()


@pytest.mark.parametrize("answer", [endless, endless_head, trickle, rude])
async def test_hostile_answer_is_a_portal_all_the_same_within_bounds(
    answer: Answer,
) -> None:
    async with serving(answer) as target:
        for _ in range(3):  # a busy machine may be late once
            began = time.monotonic()
            assert await look(target, TIMEOUT_S) == SAYS_NOTHING
            took_s = time.monotonic() - began
            if took_s < TIMEOUT_S + 0.5:
                break
        assert took_s < TIMEOUT_S + 0.5


async def test_no_more_is_read_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def note(octets: bytes) -> Page:
        seen.append(len(octets))
        return SAYS_NOTHING

    monkeypatch.setattr(portal, "read", note)
    async with serving(endless) as target:
        await look(target)
    assert seen == [OCTETS.default]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the connection and end it."""


@pytest.mark.parametrize("answer", [silent, closing])
async def test_who_takes_a_connection_and_says_nothing_is_no_portal(
    answer: Answer,
) -> None:
    async with serving(answer) as target:
        assert await look(target, TIMEOUT_S) is None


async def test_nobody_there_is_no_portal() -> None:
    async with serving(silent) as target:
        pass
    assert await look(target, TIMEOUT_S) is None


def test_patterns_take_no_time_on_what_was_made_to_take_it() -> None:
    began = time.process_time()
    for piece in (b"<meta ", b"<meta http-equiv=", b"<meta http-equiv=refresh url=", b"<meta" + b" " * 2000):
        read(b"HTTP/1.1 200 OK\r\n\r\n" + piece * (OCTETS.default // len(piece)))
    assert time.process_time() - began < 0.5
