"""Serve DNS over TCP (RFC 7766) and over TLS (RFC 7858): the same messages with a length prefix."""

from secdns.dns.framing import Framer, frame
from secdns.errors import FormatError
from secdns.testing.connection import Connection
from secdns.testing.core import Core


class TCPConnection(Connection):
    """Answers queries in the order in which their faults let them go."""

    def __init__(self, core: Core, scheme: str, number: int) -> None:
        super().__init__(core, scheme, number)
        self._framer = Framer()
        self._out: list[bytes] | None = None  # gathers the answers to one read; None between reads

    def data_received(self, data: bytes) -> None:
        self.acknowledge()
        try:
            queries = self._framer.feed(data)
        except FormatError:
            self.abort()
            return
        self._out = []
        for query in queries:
            self._query(query)
        out, self._out = self._out, None
        self.write(b"".join(out))

    def _query(self, query: bytes) -> None:
        seen = self.core.see(self.scheme, query, self.number)
        faults = self.core.faults.take(seen)
        if faults.silent:
            return
        octets = frame(self.core.reply(faults, seen))
        if faults.duplicate:
            octets += octets
        octets = faults.inject + octets
        cut, cut_at, drip = faults.close_mid, faults.close_mid_octets, faults.drip_s > 0

        def send() -> None:
            if not self.is_open:
                return
            if cut is not None:
                self._flush(octets[:cut_at])
                self.end(cut)
            elif drip:
                self.drip(faults, octets, self.write, lambda: self._send(b""))
            else:
                self._send(octets)

        self.when_due(faults, send)

    def _send(self, octets: bytes) -> None:
        if self._out is None:
            self.write(octets)
        else:
            self._out.append(octets)
        if self.was_last_answer():
            self._flush()
            self.close()

    def _flush(self, octets: bytes = b"") -> None:
        """Write what was gathered, then ``octets``."""
        if self._out:
            octets = b"".join(self._out) + octets
            self._out.clear()
        self.write(octets)


class TLSConnection(TCPConnection):
    """The same, inside TLS; a client need not name the protocol."""

    ALPN = ("dot",)
