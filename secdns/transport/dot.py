"""Speak DNS over TLS (RFC 7858): one connection, queries pipelined, answers in any order (RFC 7766 §7).

All queries of one turn of the event loop leave in one write. The first query on a connection also asks
how long that may be quiet (RFC 7828); the others cost nothing more for it. An ID is taken again only after
its answer has come or the connection is closed (threat C3).
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from struct import Struct
from typing import Final

from secdns.dns.edns import options_from_wire, options_to_wire, padding_for
from secdns.dns.peek import reply_matches, scan
from secdns.endpoint import Endpoint
from secdns.errors import ConnectionLost, FormatError, Overloaded, ProtocolError
from secdns.iana import EDNSOption
from secdns.transport import Lookup, Waiter
from secdns.transport.connection import Connection
from secdns.transport.conversation import Owner
from secdns.transport.link import Link, Linked
from secdns.transport.reach import reach
from secdns.transport.tls import Identity

MAX_OUTSTANDING: Final = 1000  # queries without an answer on one connection, timed-out ones included
MAX_FORGOTTEN: Final = 500  # of these timed out or cancelled; then a new connection is better
MAX_DUPLICATE_AGE: Final = 4096  # queries ago; a second answer to one of these is no reason to hang up
MAX_STRAYS: Final = 256  # of these, beside as many as there were first answers since; then it is a flood
HEADER_SIZE: Final = 12
IDS: Final = 0x10000

_PREFIX: Final = Struct("!HH")  # length of the message, ID

Entry = tuple[Waiter, float, bytes]  # who waits, until when, for what query


def open(endpoint: Endpoint, lookup: Lookup) -> "DoT":
    """Give the transport; see ``secdns.transport.open_transport``."""
    return DoT(endpoint, lookup)


def _nothing() -> None:
    """An ID whose waiter has gone stays taken until its answer comes; there is nothing to undo."""


class DoT(Linked["DoTConnection", Identity]):
    """The transport of ``tls://``."""

    def __init__(self, endpoint: Endpoint, lookup: Lookup) -> None:
        super().__init__(endpoint, lookup, Identity(endpoint, "dot", alpn_required=False))

    async def exchange(self, query: bytes, deadline: float) -> bytes:
        link = self._link
        while True:
            connection = link.current
            if connection is None:
                connection = await link.wait(deadline)
            future: asyncio.Future[bytes] = connection.loop.create_future()
            if connection.ask(query, deadline, future):
                return await future

    def begin(self, query: bytes, deadline: float, waiter: Waiter) -> Callable[[], None] | None:
        connection = self._link.current
        try:
            taken = connection is not None and connection.ask(query, deadline, waiter)
        except Overloaded:
            return None
        return _nothing if taken else None

    async def _connect(self, owner: Owner, deadline: float) -> "DoTConnection":
        make = partial(DoTConnection, self._identity, self._link)
        return await reach(self._endpoint, self._lookup, deadline, make)


class DoTConnection(Connection):
    """One connection: messages with a two-octet length prefix (RFC 1035 §4.2.2)."""

    def __init__(self, identity: Identity, link: "Link[DoTConnection]", peer: str) -> None:
        super().__init__(identity, link, peer)
        self._link = link
        self._outstanding: dict[int, Entry] = {}
        self._unsent: list[bytes] = []
        self._partial = b""
        self._asks_keepalive = -1  # ID of the query whose answer may say how long we may be quiet, or -1
        # A walk through all 65,536 IDs from a random start in steps of a random odd number
        self._id = secrets.randbelow(IDS)
        self._step = secrets.randbelow(IDS) | 1
        self.strays = 0  # answers that nobody asked for
        self._excess = 0  # of these, beyond the answers that were asked for

    def ask(self, query: bytes, deadline: float, waiter: Waiter) -> bool:
        """Send a query at the end of this turn for ``waiter``, who may lose interest at any time.

        False means that the connection takes no query any more: ask another.

        Raises:
            Overloaded: too many queries are unanswered.
        """
        if not self.accepting:
            return False
        outstanding = self._outstanding
        if len(outstanding) >= MAX_OUTSTANDING:
            self._refuse_or_retire()
            return False
        number = (self._id + self._step) & 0xFFFF
        while number in outstanding:
            number = (number + self._step) & 0xFFFF
        self._id = number
        outstanding[number] = (waiter, deadline, query)
        if not self.asked:
            self._asks_keepalive = number
            query = with_keepalive(query)
        self.asked += 1
        unsent = self._unsent
        if not unsent:
            self.loop.call_soon(self._flush)
        unsent.append(_PREFIX.pack(len(query), number) + query[2:])
        if deadline < self._alarm_at:
            self.watch(deadline)
        if self._doubt_timer is None:
            self.doubt()
        if self._link.quota is not None and self.asked >= self._link.quota:
            self.retire()
        return True

    def _refuse_or_retire(self) -> None:
        forgotten = sum(1 for future, _, _ in self._outstanding.values() if future.done())
        if forgotten < MAX_FORGOTTEN:
            raise Overloaded(f"{len(self._outstanding)} queries to {self.peer} are unanswered already")
        self.retire()

    def _is_duplicate(self, number: int) -> bool:
        """Tell whether an answer that nobody waits for is a second one, to a query not long ago."""
        self.strays += 1
        self._excess += 1
        ago = (self._id - number) * pow(self._step, -1, IDS) % IDS
        return ago < min(self.asked, MAX_DUPLICATE_AGE) and self._excess <= MAX_STRAYS

    def _on_stray(self) -> None:
        """Hang up on an answer with an ID that was never sent: what comes next cannot be trusted.

        A flood of second answers ends the same way: it would keep us busy for as long as it lasts.
        """
        words = f"{self.peer} answered with an ID that was not asked"
        waiting = [future for future, _, _ in self._outstanding.values() if not future.done()]
        # if only one waits, there is no doubt whose answer that was meant to be
        self.fail(ProtocolError(words) if len(waiting) == 1 else ConnectionLost(words))

    def _on_scrap(self, size: int) -> None:
        self.fail(ProtocolError(f"{self.peer} sent a message of {size} octets, a header has 12"))

    def _flush(self) -> None:
        # One query in a TLS record: of several, dnsdist 1.7 reads the first and leaves the others
        # until more arrives, which may be never.
        self.send(*self._unsent)
        self._unsent.clear()

    def received(self, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
        if self._asks_keepalive >= 0:
            self._look_for_keepalive(data)
        take = self._outstanding.pop
        unpack = _PREFIX.unpack_from
        answered = 0
        at = 0
        end = len(data)
        while end - at >= 4:
            size, number = unpack(data, at)
            stop = at + 2 + size
            if stop > end and size >= HEADER_SIZE:
                break
            if size < HEADER_SIZE:  # a peer that says 0 would spin us for ever
                self._on_scrap(size)
                return
            entry = take(number, None)
            if entry is not None:
                future, _, query = entry
                answer = query[:2] + data[at + 4 : stop]
                answered += 1
                if future.done():
                    pass  # too late, or nobody waits any more; the ID is free again
                elif reply_matches(query, answer):
                    future.set_result(answer)
                else:
                    self.fail(ConnectionLost(f"{self.peer} mixed up its answers"))
                    future.set_exception(ProtocolError(f"{self.peer} answered another question"))
                    return
            elif not self._is_duplicate(number):
                self._on_stray()
                return
            at = stop
        if end - at in (2, 3) and (size := data[at] << 8 | data[at + 1]) < HEADER_SIZE:
            self._on_scrap(size)  # an empty message may be all that ever comes
            return
        self._partial = data[at:] if at < end else b""
        if answered:
            if not self.answered:
                self.heard_answer()
                self._link.answers()
            self.answered += answered
            self._used_at = self._heard_at
            self._excess = max(self._excess - answered, 0)
        if not self.accepting and self.is_drained():
            self.close()

    def _look_for_keepalive(self, data: bytes) -> None:
        """Obey the answer to the query that asked for it, if that is among these messages."""
        at = 0
        while len(data) - at >= 4:
            size, number = _PREFIX.unpack_from(data, at)
            stop = at + 2 + size
            if number == self._asks_keepalive and stop <= len(data):
                self._asks_keepalive = -1
                limit_s = keepalive_in(data[at + 2 : stop])
                if limit_s is not None and reply_matches(self._outstanding[number][2], data[at + 2 : stop]):
                    self.told(limit_s)
                return
            at = stop

    def unanswered(self) -> Iterable[tuple[int, Waiter, float]]:
        for number, (future, deadline, _) in self._outstanding.items():
            yield number, future, deadline


def with_keepalive(query: bytes) -> bytes:
    """Give the query with an empty edns-tcp-keepalive option, padded as it was (RFC 7828 §3.2.1).

    A query that is not well formed or has no OPT record comes back as it is.
    """
    try:
        opt = scan(query).opt
        options = () if opt is None else options_from_wire(query[opt.fields + 10 : opt.end])
    except FormatError:
        return query
    if opt is None:
        return query
    others = tuple(option for option in options if option[0] != EDNSOption.PADDING)
    rdata = options_to_wire((*others, (EDNSOption.TCP_KEEPALIVE, b"")))
    head, tail = query[: opt.fields + 8], query[opt.end :]
    if len(others) < len(options):
        rdata += padding_for(len(head) + 2 + len(rdata) + len(tail))
    return head + len(rdata).to_bytes(2) + rdata + tail


def keepalive_in(answer: bytes) -> float | None:
    """Give the seconds of an answer's edns-tcp-keepalive option (RFC 7828 §3.1), or None if it has none."""
    try:
        opt = scan(answer).opt
        options = () if opt is None else options_from_wire(answer[opt.fields + 10 : opt.end])
    except FormatError:
        return None  # for whoever reads it to find out
    timeout = next((data for code, data in options if code == EDNSOption.TCP_KEEPALIVE), b"")
    return int.from_bytes(timeout) / 10 if len(timeout) == 2 else None
