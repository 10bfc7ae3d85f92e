"""Reach an upstream through a SOCKS5 proxy (RFC 1928) or an HTTP proxy (CONNECT, RFC 9110 §9.3.6).

The proxy is told the upstream's host and port and then carries octets: TLS, its checks and all DNS
stay between us and the upstream. Nothing is ever dialled beside the proxy, and nothing looked up.

Both dialogues are spoken here on the open socket, and not by a library that opens one of its own:
the socket has our options, and not an octet is read too much or too little, so that what follows
is TLS. A proxy that drips or babbles costs no more than the deadline and ``MAX_REPLY`` octets.
"""

import asyncio
import base64
import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from secdns.errors import ConnectError, DeadlineExceeded
from secdns.proxies import Proxy
from secdns.transport.dial import Finish, T, dial, open_socket, words_for

# Between addresses of one upstream: a circuit of Tor takes about so long, and each attempt is one more.
STAGGER_S: Final = 1.0
MAX_REPLY: Final = 16 * 1024  # octets that a proxy may say before it carries ours

_SOCKS_REFUSALS: Final = {
    0x02: "its rules do not allow it",
    0x07: "it does not know the command",
    0x08: "it does not know this kind of address",
}
_SOCKS_FAILURES: Final = {
    0x01: "general failure",
    0x03: "network unreachable",
    0x04: "host unreachable",
    0x05: "connection refused",
    0x06: "ttl expired",
}
"""REP of a SOCKS reply -> words (RFC 1928 §6): what the proxy does not want, and what it cannot do."""

_HTTP_WANTS_CREDENTIALS: Final = (407, 401)  # the latter is what tinyproxy says to wrong ones
_ADDRESS_SIZES: Final = {0x01: 4, 0x04: 16}  # ATYP -> octets (RFC 1928 §5); 0x03 is a name with its length


async def dial_through(
    proxy: Proxy, hosts: Sequence[str], port: int, deadline: float, finish: Finish[T]
) -> T:
    """Do as ``dial`` does, with a proxy in between; ``hosts`` are names or IP literals.

    Raises:
        DeadlineExceeded: none worked in time; the message says how far it came.
        ConnectError: the proxy cannot be reached, refuses, or cannot reach the upstream.
        AuthenticationError, ProtocolError: as ``finish`` does.
    """
    way = _Way(proxy)
    try:
        return await dial(hosts, port, deadline, finish, through=way.connect, stagger_s=STAGGER_S)
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{way.progress(' or '.join(hosts), port)} in time") from error


class _Way:
    """A proxy, and how far the best attempt came."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._is_reached = False
        self._is_open = False

    def progress(self, host: str, port: int) -> str:
        """Say what is missing."""
        if not self._is_reached:
            return f"no connection to the proxy {self._proxy.url}"
        if not self._is_open:
            return f"the proxy {self._proxy.url} gave no connection to {host} port {port}"
        return f"no connection to {host} port {port} through the proxy {self._proxy.url}"

    async def connect(self, host: str, port: int) -> socket.socket:
        """Give a socket whose octets go to ``host`` and ``port``. May be cancelled.

        Raises:
            ConnectError: there is no such socket.
        """
        proxy = self._proxy
        opened: socket.socket | None = None
        try:
            try:
                opened = open_socket(proxy.host, socket.SOCK_STREAM)
                await asyncio.get_running_loop().sock_connect(opened, (proxy.host, proxy.port))
            except OSError as error:
                words = f"cannot reach the proxy {proxy.url}: {words_for(error)}"
                raise ConnectError(words, hint="does the proxy run?") from error
            self._is_reached = True
            await _DIALOGUES[proxy.scheme](_Talk(opened, proxy), host, port)
        except BaseException:
            if opened is not None:
                opened.close()
            raise
        self._is_open = True
        return opened


class _Talk:
    """What is said to a proxy and heard from it, before it carries anything."""

    def __init__(self, opened: socket.socket, proxy: Proxy) -> None:
        self._socket = opened
        self._left = MAX_REPLY
        self.proxy = proxy

    async def say(self, octets: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, octets)
        except OSError as error:
            raise self.broken(f"hung up: {words_for(error)}") from error

    async def hear(self, most: int) -> bytes:
        """Give what comes next: an octet at least, ``most`` at most."""
        if not self._left:
            raise self.broken(f"says more than {MAX_REPLY} octets, want an answer")
        try:
            octets = await asyncio.get_running_loop().sock_recv(self._socket, min(most, self._left))
        except OSError as error:
            raise self.broken(f"hung up: {words_for(error)}") from error
        if not octets:
            raise self.broken("closed the connection in place of an answer")
        self._left -= len(octets)
        return octets

    async def hear_all(self, size: int) -> bytes:
        """Give exactly this many octets."""
        heard = b""
        while len(heard) < size:
            heard += await self.hear(size - len(heard))
        return heard

    def broken(self, what: str) -> ConnectError:
        return ConnectError(f"the proxy {self.proxy.url} {what}")

    def refuses(self, host: str, port: int, why: str) -> ConnectError:
        return self.broken(f"refuses to connect to {host} port {port}: {why}")

    def cannot(self, host: str, port: int, why: str) -> ConnectError:
        return self.broken(f"cannot reach {host} port {port}: {why}")

    def wants_credentials(self) -> ConnectError:
        """Say that it let us not in."""
        if self.proxy.credentials is not None:
            return self.broken("does not accept the user name and password")
        error = self.broken("wants credentials")
        error.hint = f"write them into its URL: {self.proxy.scheme}://USER:PASSWORD@…"
        return error


async def _socks5(talk: _Talk, host: str, port: int) -> None:
    await _greet(talk)
    await talk.say(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2))
    version, code = await talk.hear_all(2)
    _check_version(talk, version)
    if code in _SOCKS_FAILURES:  # some proxies end here: nothing more is waited for
        raise talk.cannot(host, port, _SOCKS_FAILURES[code])
    if code != 0:
        raise talk.refuses(host, port, _SOCKS_REFUSALS.get(code, f"SOCKS reply {code}"))
    _, kind = await talk.hear_all(2)
    size = (await talk.hear_all(1))[0] if kind == 0x03 else _ADDRESS_SIZES.get(kind)
    if size is None:
        raise talk.broken(f"broke SOCKS5: address of type {kind}, want 1, 3 or 4")
    await talk.hear_all(size + 2)  # from where it connects, which is nothing to us


async def _greet(talk: _Talk) -> None:
    """Agree on a method, and log in if it is that one (RFC 1928 §3, RFC 1929 §2)."""
    credentials = talk.proxy.credentials
    await talk.say(b"\x05\x01\x00" if credentials is None else b"\x05\x02\x00\x02")
    version, method = await talk.hear_all(2)
    _check_version(talk, version)
    if method == 0x00:
        return
    if method == 0x02 and credentials is not None:
        user, password = credentials
        await talk.say(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        _, status = await talk.hear_all(2)
        if status == 0:
            return
    elif method != 0xFF:
        raise talk.broken(f"broke SOCKS5: chose the method {method}, which it was not offered")
    raise talk.wants_credentials()


def _check_version(talk: _Talk, version: int) -> None:
    if version != 0x05:
        raise talk.broken(f"does not speak SOCKS5: version {version}, want 5")


def _socks_address(host: str) -> bytes:
    """Give ATYP and address (RFC 1928 §5)."""
    if ":" in host:
        return b"\x04" + socket.inet_pton(socket.AF_INET6, host)
    try:
        return b"\x01" + socket.inet_pton(socket.AF_INET, host)
    except OSError:  # a name, of 253 octets at most
        return b"\x03" + bytes([len(host)]) + host.encode("ascii")


async def _connect_method(talk: _Talk, host: str, port: int) -> None:
    import h11  # for this kind of proxy only

    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = [("Host", target)]  # and no User-Agent: nothing tells who we are (threat E16)
    if talk.proxy.credentials is not None:  # RFC 7617 §2
        words = base64.b64encode(b":".join(talk.proxy.credentials)).decode()
        headers.append(("Proxy-Authorization", f"Basic {words}"))
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_REPLY)
    request = http.send(h11.Request(method="CONNECT", target=target, headers=headers))
    await talk.say((request or b"") + (http.send(h11.EndOfMessage()) or b""))
    while True:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError as error:
            raise talk.broken("does not answer as HTTP does") from error
        if event is h11.NEED_DATA:
            http.receive_data(await talk.hear(MAX_REPLY))
        elif isinstance(event, h11.Response):  # and not a 1xx, after which another comes
            break
    status = event.status_code
    if status in _HTTP_WANTS_CREDENTIALS:
        raise talk.wants_credentials()
    if status >= 500:
        raise talk.cannot(host, port, _status_words(status))
    if status >= 300:
        raise talk.refuses(host, port, _status_words(status))
    if http.trailing_data[0]:  # a TLS server never speaks first
        raise talk.broken("says something of its own after its answer, want silence")


def _status_words(status: int) -> str:
    try:
        return f"HTTP status {status}, {HTTPStatus(status).phrase.lower()}"
    except ValueError:
        return f"HTTP status {status}"


_DIALOGUES: Final = {"socks5": _socks5, "http": _connect_method}
