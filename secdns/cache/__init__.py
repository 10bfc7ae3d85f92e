"""Keep answers and give them again (RFC 1035 §7.4, RFC 2308, RFC 8767, RFC 9520).

An answer stands under QNAME in lower case, QTYPE, CD and upstream group; a reply is shaped by
the client's ID, question octets, RD, AD, CD, EDNS and DO. Times are seconds of a monotonic
clock that counts sleep. Pure: every method takes ``now``.

Two levels. ``hot`` maps the octets of a whole query (less its ID) to the octets of a finished
reply (less its ID) and lives for one second, so nobody ages TTLs twice in it. Below it,
``reply`` finds the entry and shapes the reply. Generations make a reload one increment: an
entry of an older generation is not served until ``revive`` says that it still holds.
"""

from collections.abc import Callable, Generator, Iterable, Sequence

from secdns.cache.entry import Entry, shorten
from secdns.cache.eviction import MAX_HITS, Store
from secdns.cache.response import from_message, from_plain_response, from_response
from secdns.dns.name import is_subdomain
from secdns.dns.peek import Query, read_query
from secdns.dns.wire import skip_plain_name
from secdns.iana import RCode

__all__ = [
    "FLUSH_STEP",
    "MAX_STALE",
    "Cache",
    "Entry",
    "Missed",
    "Route",
    "from_message",
    "from_plain_response",
    "from_response",
    "shorten",
]

MAX_STALE = 86_400  # seconds an answer may be used past its time (RFC 8767 §5 says 1 to 3 days)
STALE_RETRY = 30  # seconds before a name whose refresh failed is asked again (RFC 8767 §5)
FLUSH_STEP = 1000  # entries looked at or freed in one go: 3 ms where each is to be dropped
MAX_HOT = 4 * 1024 * 1024  # octets of finished replies kept for the current second

Missed = tuple[Query, bytes, float]  # what is asked, its key, and when nothing fresh stood under that
Route = Callable[[bytes, int], int]  # a name in lower case and a type -> the upstream group that answers

_NXDOMAIN = int(RCode.NXDOMAIN)
_RETIRED = -1  # the generation of what is never served again and waits for its eviction


class Cache:
    """Answers by question, at most ``size_octets`` of them.

    ``route`` gives the upstream group of a question, 0 to 65535; None means that all are in group 0.
    """

    __slots__ = (
        "_floor",
        "_hot_octets",
        "_second",
        "_store",
        "generation",
        "hot",
        "route",
        "serve_stale",
    )

    def __init__(self, size_octets: int, *, serve_stale: bool = True, route: Route | None = None) -> None:
        self._store = Store(size_octets)
        self.serve_stale = serve_stale
        self.route = route
        self.hot: dict[bytes, bytes] = {}
        self.generation = 0
        self._floor = 0
        self._second = -1
        self._hot_octets = 0

    @property
    def octets(self) -> int:
        """Octets accounted for, object overhead included."""
        return self._store.octets

    def __len__(self) -> int:
        return len(self._store.entries)

    def tick(self, now: float) -> None:
        """Forget the finished replies if the second is over; call before every use of ``hot``."""
        second = int(now)
        if second != self._second:
            self._second = second
            if self.hot:
                self.hot.clear()
                self._hot_octets = 0

    def reply(self, wire: bytes, now: float) -> bytes | Missed | None:
        """Give the reply to a plain query from a fresh entry, and remember it in ``hot``.

        Where no fresh one is held, give what was looked for, for whoever takes it from here. None:
        the octets need ``read_any_query``, or the reply is over the client's limit.
        """
        query = read_query(wire)
        if query is None:
            return None
        key = self.key(query)
        entry = self.find(key, now)
        if entry is None:
            return query, key, now
        reply = entry.reply(query, now)
        if len(reply) > query.limit:
            return None
        second = self._second
        if second <= now < second + 1 <= entry.expires and self._hot_octets < MAX_HOT:
            self.hot[wire[2:]] = reply[2:]
            self._hot_octets += 160 + len(wire) + len(reply)
        return reply

    def key(self, query: Query) -> bytes:
        """Give the key that the answer to ``query`` stands under: name, CD, group and type."""
        name = query.name
        group = 0 if self.route is None else self.route(name, query.rrtype)
        if group:
            return b"%b%c%c%c%b" % (name, query.cd, group >> 8, group & 255, query.question[-4:-2])
        return name + (b"\1\0\0" if query.cd else b"\0\0\0") + query.question[-4:-2]

    def find(self, key: bytes, now: float) -> Entry | None:
        """Give the entry under ``key`` if it is fresh, or None."""
        entries = self._store.entries
        entry = entries.get(key)
        if entry is None or now >= entry.expires or entry.generation != self.generation:
            entry = entries.get(key[:-2])
            if entry is None or now >= entry.expires or entry.generation != self.generation:
                return None
        if entry.hits < MAX_HITS:
            entry.hits += 1
        return entry

    def older(self, key: bytes) -> Sequence[Entry]:
        """Give what is held under ``key`` of an upstream's, past its time or of an older generation.

        The newest comes first. Answers made here are left out: policy makes them anew.
        """
        entries = self._store.entries
        typed = entries.get(key)
        absent = entries.get(key[:-2])
        if typed is None and absent is None:
            return ()
        held = [entry for entry in (typed, absent) if entry is not None]
        if typed is not None and absent is not None and absent.stored > typed.stored:
            held.reverse()
        return [entry for entry in held if not entry.is_local and entry.generation >= self._floor]

    def revive(self, older: Iterable[Entry], now: float) -> Entry | None:
        """Give the first of ``older`` that is in its time, and make it current.

        For the caller who has just found that no policy has an opinion on the question.
        """
        for entry in older:
            if now < entry.expires:
                entry.generation = self.generation
                return entry
        return None

    def stale(self, older: Iterable[Entry], now: float) -> Entry | None:
        """Give the first of ``older`` that may be served past its time (RFC 8767 §4), or None."""
        if self.serve_stale:
            for entry in older:
                if not entry.is_failure and now < entry.expires + MAX_STALE:
                    return entry
        return None

    def store(self, key: bytes, entry: Entry, now: float) -> None:
        """Keep ``entry`` under ``key`` for its TTL; with TTL 0 only note its time.

        An answer takes the place of whatever is held, even if it is not kept itself (RFC 8767
        §4). A failure never takes the place of an answer that may still be served stale: that
        answer is marked not to be refreshed for 30 s instead (RFC 8767 §5).
        """
        entry.stored = now
        entry.expires = now + entry.ttl_s
        entry.generation = self.generation
        if entry.is_failure:
            if (held := self.stale(self.older(key), now)) is not None:
                held.retry_at = now + STALE_RETRY
            elif entry.ttl_s > 0:
                self._store.put(key, entry)
            return
        absent = _absent(key)
        if entry.rcode == _NXDOMAIN and not entry.full.answers:
            self._retire(key)
            key = absent
        elif absent in self._store.entries:  # the name exists after all
            self._retire(absent)
        if entry.ttl_s <= 0 or not self._store.put(key, entry):
            self._retire(key)

    def _retire(self, key: bytes) -> None:
        """Never serve again what is held under ``key``."""
        entry = self._store.entries.get(key)
        if entry is not None:
            entry.generation = _RETIRED

    def renew(self) -> None:
        """Begin a new generation: nothing is served before policy has looked at it again."""
        self.generation += 1
        self._clear_hot()

    def flush(self, name: bytes | None = None) -> int:
        """Forget all answers, or those for ``name`` and below it; give how many were dropped."""
        steps = self.flushing(name)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                dropped: int = end.value
                return dropped

    def flushing(self, name: bytes | None = None) -> Generator[None, None, int]:
        """Do the same in steps of some milliseconds each, however much is held."""
        entries = self._store.entries
        if name is None:
            dropped = len(entries)
            self._store = Store(self._store.limit)
            self.renew()
            self._floor = self.generation
            while entries:
                for _ in range(min(FLUSH_STEP, len(entries))):
                    entries.popitem()
                yield
            return dropped
        dropped = 0
        name = name.lower()
        for count, key in enumerate(list(entries), 1):
            if count % FLUSH_STEP == 0:
                yield
            if name not in key:  # cheap, and true of nearly all
                continue
            entry = entries.get(key)
            if entry is None or entry.generation < self._floor:
                continue
            if is_subdomain(key[: skip_plain_name(key, 0)], name):
                entry.generation = _RETIRED
                dropped += 1
        self._clear_hot()
        return dropped

    def forgive(self) -> None:
        """Forget failures, and that a refresh of what is stale has failed: ask again at once."""
        for entry in self._store.entries.values():
            if entry.is_failure:
                entry.generation = _RETIRED
            entry.retry_at = 0.0
        self._clear_hot()

    def resize(self, size_octets: int) -> None:
        """Change the bound; takes effect with the next answer that is stored."""
        self._store.limit = size_octets

    def _clear_hot(self) -> None:
        if self.hot:
            self.hot.clear()
            self._hot_octets = 0


def _absent(key: bytes) -> bytes:
    """Give the key of an NXDOMAIN: without the type, for it holds for every type (RFC 2308 §5).

    No type can be confused with it, whatever its number: the key is shorter.
    """
    return key[:-2]
