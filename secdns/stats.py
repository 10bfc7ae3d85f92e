"""Count what happened, as plain numbers that only grow."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counters since the start of the daemon; the owner adds to them directly.

    Every query ends in exactly one of ``hits``, ``local``, ``misses`` and ``drops``.
    """

    queries: int = 0  # datagrams and stream messages taken from clients
    hits: int = 0  # answered from the cache, fresh
    local: int = 0  # answered by policy or refused for its form, nothing sent
    misses: int = 0  # an upstream had to be asked
    drops: int = 0  # no reply on purpose: a response, not a message, not allowed
    plain: int = 0  # of the misses: handed to the network's own resolver, during a pause or to sign in
    stale: int = 0  # of the misses: answered with stale data (RFC 8767)
    failures: dict[str, int] = field(default_factory=dict)  # of exchanges with upstreams, by kind

    def failed(self, error: BaseException) -> None:
        """Count a failure under the name of its class, so there are never more kinds than classes."""
        kind = type(error).__name__
        self.failures[kind] = self.failures.get(kind, 0) + 1
