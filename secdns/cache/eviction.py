"""Keep entries inside a bound of octets and choose which one has to go.

S3-FIFO (Yang et al., SOSP 2023): a newcomer waits in a small queue, a tenth of the space, and
moves to the main queue only if it was asked for again; what left the small queue is remembered
by its hash for a while, so that its return counts as a second request. A flood of random names
thus washes through the small queue and never reaches the hot names. Two more rules: an entry
above 4 KiB is admitted at its second request only, and a domain (two rightmost labels) that
holds over a quarter of the space gets no second chances, so its own entries go first.
"""

from collections import deque

from secdns.cache.entry import Entry, Share

MAX_ENTRY = 16 * 1024  # octets; above, an answer is passed on and not kept
DOORKEEPER = 4 * 1024  # octets; above, an answer is kept at its second request
SMALL_PART = 10  # the small queue's part of the space, as a divisor
DOMAIN_PART = 4  # one domain's part of the space, as a divisor
MAX_HITS = 3  # more are not counted
MAX_CHANCES = 64  # second chances given in one eviction; bounds the work of one store
OVERHEAD = 480  # octets of Python objects around one entry, as measured by tests/cache
_KEY_TAIL = 5  # type, CD and group after the name in a key


class Store:
    """Entries by key, at most ``limit`` octets of them (keys and object overhead counted)."""

    __slots__ = (
        "_ghost",
        "_ghost_order",
        "_main",
        "_shares",
        "_small",
        "_small_octets",
        "entries",
        "limit",
        "octets",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.octets = 0
        self.entries: dict[bytes, Entry] = {}
        self._small: deque[bytes] = deque()
        self._main: deque[bytes] = deque()
        self._small_octets = 0
        self._ghost: set[int] = set()
        self._ghost_order: deque[int] = deque()
        self._shares: dict[bytes, Share] = {}

    def put(self, key: bytes, entry: Entry) -> bool:
        """Keep ``entry``, evicting others as needed. False: it was not admitted."""
        size = OVERHEAD + len(key) + len(entry.full.octets) + len(entry.options)
        if entry.plain is not entry.full:
            size += 112 + len(entry.plain.octets)
        old = self.entries.get(key)
        if old is not None and size <= MAX_ENTRY:
            self._replace(key, old, entry, size)
        elif old is not None or size > MAX_ENTRY:
            return False
        else:
            seen = hash(key) in self._ghost
            if size > DOORKEEPER and not seen:
                self._remember(key)
                return False
            entry.size = size
            entry.in_main = seen
            share = self._share(key)
            share.octets += size
            entry.share = share
            self.entries[key] = entry
            self.octets += size
            if seen:
                self._main.append(key)
            else:
                self._small.append(key)
                self._small_octets += size
        chances = MAX_CHANCES
        while self.octets > self.limit:
            chances = self._evict(chances)
        return True

    def _replace(self, key: bytes, old: Entry, entry: Entry, size: int) -> None:
        entry.size = size
        entry.in_main = old.in_main
        entry.hits = old.hits
        entry.share = old.share
        grown = size - old.size
        self.entries[key] = entry
        self.octets += grown
        if entry.share is not None:
            entry.share.octets += grown
        if not entry.in_main:
            self._small_octets += grown

    def _evict(self, chances: int) -> int:
        """Take one key from the head of a queue: it moves on, gets another round, or goes."""
        from_small = bool(self._small) and (self._small_octets * SMALL_PART > self.limit or not self._main)
        key = self._small.popleft() if from_small else self._main.popleft()
        entry = self.entries[key]
        share = entry.share or self._share(key)
        greedy = share.octets * DOMAIN_PART > self.limit
        if from_small:
            self._small_octets -= entry.size
        if entry.hits and not greedy and chances:
            entry.hits = 0 if from_small else entry.hits - 1
            entry.in_main = True
            self._main.append(key)
            return chances - 1
        del self.entries[key]
        self.octets -= entry.size
        share.octets -= entry.size
        if not share.octets:
            del self._shares[share.domain]
        if from_small:
            self._remember(key)
        return chances

    def _remember(self, key: bytes) -> None:
        mark = hash(key)
        if mark not in self._ghost:
            self._ghost.add(mark)
            self._ghost_order.append(mark)
            if len(self._ghost_order) > max(len(self.entries), 1024):
                self._ghost.discard(self._ghost_order.popleft())

    def _share(self, key: bytes) -> Share:
        domain = domain_of(key)
        share = self._shares.get(domain)
        if share is None:
            share = self._shares[domain] = Share(domain)
        return share


def domain_of(key: bytes) -> bytes:
    """Give the two rightmost labels of the name in a key: what one owner can usually fill at will."""
    before = last = at = 0
    while size := key[at]:
        before, last = last, at
        at += 1 + size
    return key[before : len(key) - _KEY_TAIL]
