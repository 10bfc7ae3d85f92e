"""Move octets under TLS on one open socket, and keep the deadlines of what was asked on it.

The TLS runs here on memory buffers, over asyncio's plain TCP transport: asyncio's own TLS
passes no session, reports a wrong certificate to its exception handler, and costs more CPU when
few queries are under way.
"""

import asyncio
import contextlib
import socket
import ssl
import sys
from abc import abstractmethod
from typing import Final, TypeVar, cast

from secdns.errors import ConnectionLost, TransportError
from secdns.transport import Facts
from secdns.transport.conversation import Conversation, Owner
from secdns.transport.tls import Identity, key_exchange

MAX_UNSENT: Final = 256 * 1024  # octets; a peer that makes us talk but never reads (fact M14)
MAX_WORDLESS: Final = 64 * 1024  # octets of TLS in a row with none for us; a record has 16 KB, a ticket 1
# Octets a turn: what one callback may have to look at (fault F33). Not less: the listener takes 64 queries
# a turn, and their answers, padded to 468 octets, must fit or a flood piles them up.
RECEIVE_SIZE: Final = 32 * 1024
TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
UNACKED_AT: Final = 24  # offset of tcpi_unacked, which counts segments, in the kernel's ``struct tcp_info``
RECORD_SIZE: Final = 16 * 1024  # plaintext of one TLS record at most (RFC 8446 §5.1)


class Connection(Conversation, asyncio.BufferedProtocol):
    """One TLS connection over TCP; a subclass says what its octets mean."""

    def __init__(self, identity: Identity, owner: Owner, peer: str) -> None:
        super().__init__(owner, peer)
        self._identity = identity
        self._transport: asyncio.Transport | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = identity.start(self._incoming, self._outgoing)
        self._buffer = memoryview(bytearray(RECEIVE_SIZE))
        self._is_open = False
        self._wordless = 0  # octets received since the last that TLS had for us

    # what a subclass says

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Take octets; call ``fail`` if they cannot be right."""

    # what a subclass uses

    @property
    def is_unattached(self) -> bool:
        """Tell whether the socket is not ours yet."""
        return self._transport is None and not self.closed.done()

    def facts(self) -> Facts:
        cipher = self._tls.cipher()
        return Facts(
            alpn=self._tls.selected_alpn_protocol(),
            tls_version=self._tls.version(),
            cipher=cipher[0] if cipher else None,
            peer=self.peer,
            resumed=bool(self._tls.session_reused),
            key_exchange=key_exchange(self._tls),
            certificate=self._tls.getpeercert(binary_form=True),
        )

    def send(self, *records: bytes) -> None:
        """Encrypt and send all that there is to say in this turn, in one write.

        Each of ``records`` becomes a TLS record of its own, or several if it is too long for one.
        """
        transport = self._transport
        if transport is None or self.error is not None:
            return
        try:
            for data in records:
                sent = self._tls.write(data)
                while sent < len(data):
                    sent += self._tls.write(data[sent:])
        except ssl.SSLError as error:
            self.fail(ConnectionLost(f"connection to {self.peer} broke: {error.reason or error}"))
            return
        self._write_out(transport)

    def is_unacknowledged(self) -> bool:
        transport = self._transport
        if transport is None or TCP_INFO is None:
            return False
        if transport.get_write_buffer_size():
            return True
        info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, TCP_INFO, UNACKED_AT + 4)
        return any(info[UNACKED_AT:])

    def heard_answer(self) -> None:
        """Note the first answer: from now on the connection is known to be good."""
        self._identity.keep(self._tls)

    def fail(self, error: TransportError) -> None:
        """End at once; what is unanswered ends with ``error``."""
        self._end(error)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End politely: say so to the peer, then close (RFC 8446 §6.1)."""
        was_open = self._is_open and self.error is None
        self.was_dropped |= was_open and not self.was_sent_away
        self._end(ConnectionLost(f"connection to {self.peer} was closed"))
        transport = self._transport
        if transport is None:
            return
        if was_open:
            with contextlib.suppress(OSError):  # it has not said goodbye yet, and we do not wait for that
                self._tls.unwrap()
            transport.write(self._outgoing.read())
        if transport.get_write_buffer_size():
            transport.abort()  # it does not even read; closing would wait for it
        else:
            transport.close()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.error is None:
            self._shake_hands()
        else:
            self._transport.abort()  # given up before it began

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        incoming = self._incoming
        incoming.write(self._buffer[:nbytes])
        if not self._is_open:
            self._shake_hands()
            if not self._is_open:
                return
        self._heard()
        self._wordless += nbytes
        read = self._tls.read
        records = []
        end: ssl.SSLError | None = None
        try:
            while incoming.pending:
                data = read(RECORD_SIZE)
                if not data:  # the peer said goodbye (RFC 8446 §6.1)
                    end = ssl.SSLZeroReturnError()
                    break
                records.append(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            end = error
        if records:
            self._wordless = 0
            self.received(records[0] if len(records) == 1 else b"".join(records))
        if end is not None:
            self._on_broken(end)
        elif self._wordless > MAX_WORDLESS:
            self.fail(ConnectionLost(f"{self.peer} floods us with TLS that says nothing"))
        elif self._outgoing.pending and self._transport is not None:
            self._write_out(self._transport)  # a key update (RFC 8446 §4.6.3)

    def eof_received(self) -> None:
        if self.error is None:
            self.was_ended_well = True
            self.was_cut_short = not self.is_drained()
        self._end(ConnectionLost(f"{self.peer} closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        words = getattr(exc, "strerror", None) or "closed"
        error = self._end(ConnectionLost(f"connection to {self.peer} was lost: {words.lower()}"))
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)
        self._owner.ended(self, error)

    # inside

    def _write_out(self, transport: asyncio.Transport) -> None:
        """Send what TLS has to say, and end a connection whose peer only makes us talk."""
        transport.write(self._outgoing.read())
        if transport.get_write_buffer_size() > MAX_UNSENT:
            self.fail(ConnectionLost(f"{self.peer} reads nothing of what it is sent"))

    def _on_broken(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLZeroReturnError):
            self.eof_received()
            if self._transport is not None:
                self._transport.close()
        elif self.error is None:
            self.fail(ConnectionLost(f"connection to {self.peer} broke: {error.reason or error}"))

    def _shake_hands(self) -> None:
        transport = self._transport
        if transport is None:
            return
        failure: TransportError | None = None
        try:
            self._tls.do_handshake()
            self._identity.check(self._tls)
            self._is_open = True
        except ssl.SSLWantReadError:
            pass
        except (OSError, ValueError) as error:
            failure = self._identity.explain(error, self.peer)
            failure.__cause__ = error
        except TransportError as error:
            failure = error
        if self._outgoing.pending:
            transport.write(self._outgoing.read())  # an alert too
        if failure is not None:
            self._identity.forget()
            self._end(failure)
            transport.close()
        elif self._is_open:
            self._open()


C = TypeVar("C", bound=Connection)


async def handshake(connection: C, opened: socket.socket) -> C:
    """Put a connection on an open socket, which it owns from now on, and wait until it is ready.

    Raises:
        ConnectError, AuthenticationError, ProtocolError: the handshake failed.
    """
    try:
        await connection.loop.create_connection(lambda: connection, sock=opened)
        await connection.ready
    except BaseException:
        connection.abort()
        if connection.is_unattached:
            opened.close()
        raise
    return connection
