"""Write what is asked into the log: the one place where names are logged, and only for who wants it."""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from secdns.cache import Missed
from secdns.dns import name
from secdns.dns.message import Message
from secdns.errors import FormatError
from secdns.iana import rcode_text, type_text
from secdns.listener import Responder

MAX_LINES: Final = 200  # of the last queries, for who asks what there was a moment ago

_LOG = logging.getLogger(__name__)


class QueryLog:
    """A responder that passes everything on and logs a line for each reply.

    Nothing is answered inline, not even from the cache: every query has to be seen. ``lines`` are the
    last ones, kept in memory; each of ``followers`` is called with those to come.
    """

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self.lines: deque[str] = deque(maxlen=MAX_LINES)
        self.followers: list[Callable[[str], None]] = []

    def cached(self, query: bytes, now: float) -> bytes | Missed | None:
        """Leave it to ``submit``, where the answer is found in the same cache."""
        return None

    def submit(
        self,
        query: bytes,
        *,
        stream: bool,
        deliver: Callable[[bytes | None], None],
        asked: Missed | None = None,
    ) -> None:
        """Answer as the responder does, and log name, type, outcome and how long it took."""
        started = time.perf_counter()

        def tell(reply: bytes | None) -> None:
            if reply is not None:
                line = f"{_summary(reply)} in {(time.perf_counter() - started) * 1000:.1f} ms"
                _LOG.info("%s", line)
                self.lines.append(line)
                for follower in tuple(self.followers):
                    follower(line)
            deliver(reply)

        self._responder.submit(query, stream=stream, deliver=tell, asked=asked)


def _summary(reply: bytes) -> str:
    """Give question and RCODE of a reply, in printable ASCII."""
    try:
        message = Message.parse(reply)
    except FormatError:  # not worth an exception: the client was answered
        return "a query that cannot be read"
    rcode = rcode_text(message.rcode)
    if not message.question:
        return f"a query without a question: {rcode}"
    asked = message.question[0]
    return f"{name.to_text(asked.name)} {type_text(asked.rrtype)}: {rcode}"
