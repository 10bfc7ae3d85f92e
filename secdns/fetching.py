"""Fetch the links of chains of trust, each once for all who want it at the same time.

Five hundred names below a zone that nobody knew a moment ago want the same DS and the same keys.
They share one question, but not their patience: whoever came later may wait longer, and whoever
has to go leaves the others waiting.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from secdns.dns.message import Message
from secdns.dnssec.verdict import Ask
from secdns.errors import FormatError, TransportError
from secdns.iana import RCode, RRClass
from secdns.upstream import Upstream, UpstreamGroup

LATE_S = 0.05  # an answer that is missing this shortly before the deadline is missing because of it

_ANSWERS = frozenset({RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN})
Avoid = frozenset[Upstream]


@dataclass(frozen=True, slots=True)
class Response:
    """A response that can be read, and whose it is."""

    wire: bytes
    message: Message
    member: Upstream

    @property
    def is_failure(self) -> bool:
        """Its RCODE is no answer."""
        return self.message.rcode not in _ANSWERS


Take = Callable[[Response | None], None]  # what is called with the answer; None: there is none


def read_response(wire: bytes, member: Upstream) -> Response:
    """Give a response as an upstream group wants it.

    Raises:
        FormatError: malformed or truncated.
    """
    message = Message.parse(wire)
    if message.truncated:
        raise FormatError("truncated answer on a stream")
    return Response(wire, message, member)


class Fetcher:
    """Asks an upstream group for links. Belongs to the event loop."""

    def __init__(self, group: UpstreamGroup) -> None:
        self.group = group
        self.loop = asyncio.get_running_loop()
        self.under_way: dict[tuple[Ask, Avoid], _Fetch] = {}

    def fetch(self, ask: Ask, now: float, deadline: float, avoid: Avoid, take: Take) -> Callable[[], None]:
        """Call ``take`` once with the answer, perhaps at once.

        The members in ``avoid`` are not asked. Somebody with a later deadline may be waiting for the
        same: who cannot wait beyond his own has to leave then. Times are the event loop's.

        Gives what to call to leave. It may be too late for that: ``take`` may still be called.
        """
        key = (ask, avoid)
        fetch = self.under_way.get(key)
        if fetch is not None:
            fetch.takers[take] = deadline
        else:
            fetch = _Fetch(self, key, take, deadline)
            self.under_way[key] = fetch
            fetch.begin(now)
        return lambda: fetch.leave(take)


class _Fetch:
    """One link on its way. ``takers`` are those who wait for it, each with his deadline."""

    __slots__ = ("_deadline", "_fetcher", "_give_up", "_key", "takers")

    def __init__(self, fetcher: Fetcher, key: tuple[Ask, Avoid], take: Take, deadline: float) -> None:
        self._fetcher = fetcher
        self._key = key
        self._deadline = deadline
        self._give_up: Callable[[], None] | None = None
        self.takers = {take: deadline}

    def begin(self, now: float) -> None:
        """Ask, with the patience of whoever has most."""
        ask, avoid = self._key
        self._deadline = max(self.takers.values())
        question = ask.name + ask.rrtype.to_bytes(2) + RRClass.IN.to_bytes(2)
        submit = self._fetcher.group.submit
        try:
            self._give_up = submit(question, True, now, self._deadline, read_response, self._landed, avoid)
        except BaseException:  # a bug; who wants the same later must not wait for what will never land
            self._fetcher.under_way.pop(self._key, None)
            raise

    def leave(self, take: Take) -> None:
        """Wait no more; with nobody left it is given up."""
        if self.takers.pop(take, None) is not None and not self.takers:
            self._fetcher.under_way.pop(self._key, None)
            if self._give_up is not None:
                self._give_up()

    def _landed(self, response: Response | None, error: TransportError | None) -> None:
        self._give_up = None
        takers = list(self.takers)
        now = self._fetcher.loop.time()
        if response is None and now > self._deadline - LATE_S:
            takers = [take for take, until in self.takers.items() if until <= now + LATE_S]
        for take in takers:
            del self.takers[take]
        if self.takers:  # those came later and have time left
            self.begin(now)
        else:
            del self._fetcher.under_way[self._key]
        for take in takers:
            take(response)
