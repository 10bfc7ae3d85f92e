"""An upstream: its transport, and what is held against it."""

import asyncio
import logging
import random
from collections.abc import Callable
from functools import cache
from typing import Final

from secdns.dns.edns import EDNS, options_from_wire, padding_for
from secdns.dns.wire import HEADER_SIZE
from secdns.endpoint import Endpoint
from secdns.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    Overloaded,
    StatusError,
    TransportError,
)
from secdns.racing import open_way
from secdns.transport import Lookup, Transport
from secdns.upstream.roundtrip import MIN_PATIENCE_S, RoundTrip

FIRST_BACKOFF_S: Final = 0.5  # after one failure, doubling (RFC 9520 §3.2)
MAX_BACKOFF_S: Final = 60.0
WINDOW_S: Final = 10.0  # in which more failures than answers …
MIN_FAILURES: Final = 10  # … of at least so many break the circuit (fault F5)
FIRST_BREAK_S: Final = 5.0  # doubling, until MAX_BACKOFF_S
BELIEVED: Final = 0.25  # of a lie is made good by one answer that validates: four to a lie keep the balance
MOST_LIES: Final = 8.0  # that are counted; then it is put into quarantine (fault F23)
QUARANTINE_S: Final = 600.0
MAX_SILENT: Final = 2  # times overtaken with nothing heard before the connection is given up
LOSER_S: Final = 0.005  # that the loser of a race is charged beyond what the race took
COMPLAIN_EVERY_S: Final = 300.0  # about one upstream (fault F3)
MISLED: Final = (ConnectError, AuthenticationError, DeadlineExceeded)
"""How it fails where nobody is at its addresses, or somebody else."""

_LOG = logging.getLogger(__name__)


class Upstream:
    """One way to reach one resolver: its transport and its health.

    ``name`` is what a person calls it. Times are seconds of the event loop's clock. ``doubt`` is told
    the host when it may not be where ``lookup`` said. Without ``has_edns`` queries have no OPT record.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        lookup: Lookup,
        doubt: Callable[[str], None] | None = None,
        *,
        has_edns: bool = True,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.transport: Transport = open_way(endpoint, lookup)
        self._doubt = doubt
        self.is_encrypted = endpoint.scheme not in {"udp", "tcp"}
        self._has_edns = has_edns
        self.trip = RoundTrip()
        self.failures = 0  # in a row
        self.back_at = 0.0  # before this time others are preferred
        self.not_before = 0.0  # before this time it wants no query at all (Retry-After)
        self.broken_until = 0.0  # before this time the circuit is broken: too much failed
        self.quarantine_until = 0.0  # before this time it is asked only if nobody else is left
        self.lies = 0.0  # bogus answers where another upstream's was good, less what made up for them
        self.answered_at = 0.0
        self._distrusted_until = 0.0
        self._window_at = 0.0  # when the count began …
        self._window_answers = 0  # … of these …
        self._window_failures = 0  # … and of these
        self._breaks = 0  # in a row
        self._silent = 0
        self._silent_at = 0.0  # when that was last counted …
        self._exchanges = 0  # … and how many answers there had been
        self._complain_at = 0.0
        self.resets = 0
        self.reset_at = 0.0
        self.last_error: TransportError | None = None
        self.failed_at = 0.0

    def query(self, question: bytes, cd: bool) -> bytes:
        """Give the query to send: ID 0, RD, an OPT of our own, nothing of the client's but the question.

        Encrypted upstreams get DO, so that one answer serves every client, and padding to a
        multiple of 128 octets (RFC 8467 §4.1). A resolver of the local network gets neither.
        """
        if not self._has_edns:
            return (b"\0\0\1\x10" if cd else b"\0\0\1\0") + b"\0\1\0\0\0\0\0\0" + question
        head = b"\0\0\1\x10\0\1\0\0\0\0\0\1" if cd else b"\0\0\1\0\0\1\0\0\0\0\0\1"
        return head + question + _opt(len(question), self.is_encrypted)

    async def exchange(self, query: bytes, deadline: float, *, is_retry: bool = False) -> bytes:
        """Give the response; a connection that died first is replaced and asked once more.

        ``is_retry`` says that this is that second time. Connections that were dropped because the
        network changed do not count: it may change several times within a second. Whether the
        response can be used is for the caller to find out, who says ``answered`` then.

        Raises:
            TransportError: no usable connection or no answer.
        """
        began = asyncio.get_running_loop().time()
        try:
            while True:
                resets = self.resets
                try:
                    return await self.transport.exchange(query, deadline)
                except ConnectionLost:
                    if self.resets == resets:
                        if is_retry:
                            raise
                        is_retry = True
        except TransportError as error:
            self.failed(error, began)
            raise

    def answered(self, now: float) -> None:
        """Take an answer into account: whatever was held against the upstream is over."""
        self._silent = 0
        self.answered_at = now
        self._window_answers += 1
        if self.back_at:
            if self.failures:
                _LOG.info("upstream %s answers again", self.name)
                self.failures = 0
            still = max(self.not_before, self._distrusted_until, self.broken_until)
            self.back_at = still if still > now else 0.0

    def lied(self, now: float) -> None:
        """Hold an answer that failed validation against it, where another upstream had a good one.

        Others are preferred for a while that grows as long as over a fifth of its answers are such,
        and in the end for ten minutes at a time (fault F23). It is still asked when they fail.
        """
        pause_s = _spread() * min(FIRST_BACKOFF_S * 2.0 ** min(self.lies, 7.0), MAX_BACKOFF_S)
        self.lies = min(self.lies + 1.0, MOST_LIES)
        if self.lies == MOST_LIES and now >= self.quarantine_until:
            pause_s = QUARANTINE_S
            self.quarantine_until = now + QUARANTINE_S
            _LOG.error(
                "upstream %s gives answers that fail validation where others' are good, over and over: it is "
                "asked for the next %d minutes only if no other is left",
                self.name,
                QUARANTINE_S // 60,
            )
        else:
            level = logging.WARNING if self.lies == 1.0 else logging.DEBUG
            _LOG.log(level, "upstream %s gave an answer that fails validation, another's is good", self.name)
        self._distrusted_until = max(self._distrusted_until, now + pause_s)
        self.back_at = max(self.back_at, self._distrusted_until)

    def believed(self) -> None:
        """Take into account that an answer of its was validated."""
        if self.lies:
            self.lies = max(self.lies - BELIEVED, 0.0)

    def failed(self, error: TransportError, since: float) -> None:
        """Take a failure into account: others are preferred for a while that grows.

        ``since`` is when the query was sent. What fails all queries of the moment counts once, and
        one that was not answered in time does not count while others are: that name is slow. An
        upstream that answers some and fails more is left alone as well (the circuit is broken).
        """
        if isinstance(error, Overloaded):  # our own queue, not its fault
            return
        if since < self.reset_at:  # that was another network
            return
        if isinstance(error, DeadlineExceeded) and self.answered_at >= since:
            return
        if self._doubt is not None and isinstance(error, MISLED):
            self._doubt(self.endpoint.host)
        now = asyncio.get_running_loop().time()
        self.last_error, self.failed_at = error, now
        if isinstance(error, StatusError) and error.retry_after_s:
            self.not_before = max(self.not_before, now + error.retry_after_s * (_spread() + 0.2))
        if now >= self.back_at:
            self.failures += 1
            backoff_s = FIRST_BACKOFF_S * 2.0 ** min(self.failures - 1, 7)
            self.back_at = now + _spread() * min(backoff_s, MAX_BACKOFF_S)
            self._complain(error, now)
        self._count_failure(now)
        self.back_at = max(self.back_at, self.not_before, self.broken_until)

    def overtaken(self, since: float, now: float) -> None:
        """Note that another upstream answered first; total silence since then makes this one suspect.

        It is charged the time that it has had and 5 ms: of a race begun together that is the
        winner's time and 5 ms, a cheap way to learn who is slower without waiting for it. Else a
        slow name costs an upstream nothing. A connection on which nothing at all arrived while
        others answered, twice in a row, is half open and is dropped. However many queries fall into
        one silence, it counts once, and a short one does not: it may be about to connect.
        """
        self.trip.took(now - since + LOSER_S, now)
        if since <= self.answered_at or since < self._silent_at or now - since < MIN_PATIENCE_S:
            return
        self._silent_at = now
        exchanges = self.transport.facts().exchanges
        if exchanges != self._exchanges:  # answers that came too late to be wanted are a sign of life
            self._silent = 0
            self._exchanges = exchanges
        self._silent += 1
        if self._silent >= MAX_SILENT:
            self._silent = 0
            self.failed(DeadlineExceeded(f"silent {MAX_SILENT} times in a row while others answered"), since)
            self.transport.hang_up()

    def forgive(self) -> None:
        """Forget failures, but not that it wants to be left alone or that it lied."""
        self.transport.forgive()
        self.failures = 0
        self._window_failures = 0
        self._breaks = 0
        self.broken_until = 0.0
        self.back_at = max(self.not_before, self._distrusted_until)

    def reset(self) -> None:
        """Forget connections and everything held against it: the network changed."""
        self.resets += 1
        self.reset_at = asyncio.get_running_loop().time()
        self.transport.reset()
        self.trip.forget()
        self.not_before = 0.0
        self.quarantine_until = 0.0
        self.lies = 0.0
        self._distrusted_until = 0.0
        self._silent = 0
        self.forgive()

    def _count_failure(self, now: float) -> None:
        """Break the circuit if more than half of the queries of these ten seconds failed (fault F5)."""
        if now - self._window_at > WINDOW_S:
            if now > self.broken_until + WINDOW_S:
                self._breaks = 0
            self._window_at = now
            self._window_answers = self._window_failures = 0
        self._window_failures += 1
        failures = self._window_failures
        if failures >= MIN_FAILURES and failures > self._window_answers and now >= self.broken_until:
            break_s = min(FIRST_BREAK_S * 2.0 ** min(self._breaks, 4), MAX_BACKOFF_S)
            self._breaks += 1
            self.broken_until = now + _spread() * break_s
            self._window_at = 0.0
            _LOG.debug("upstream %s failed %d queries, left alone for %.0f s", self.name, failures, break_s)

    def _complain(self, error: TransportError, now: float) -> None:
        level = logging.DEBUG
        if self.failures == 1 and now >= self._complain_at:
            level = logging.WARNING
            self._complain_at = now + COMPLAIN_EVERY_S
        _LOG.log(level, "upstream %s failed: %s", self.name, error)


def _spread() -> float:
    """Give a factor that keeps all who failed together from coming back together."""
    return random.uniform(0.8, 1.2)  # noqa: S311  spreads retries, guards nothing


@cache
def _opt(question_size: int, is_encrypted: bool) -> bytes:
    """Give the OPT record for a query whose question has this many octets; at most 510 differ."""
    if not is_encrypted:
        return EDNS().to_wire()
    bare = EDNS(do=True).to_wire()
    padding = padding_for(HEADER_SIZE + question_size + len(bare))
    return EDNS(do=True, options=options_from_wire(padding)).to_wire()
