"""Keep entries inside a bound of octets and choose which one has to go.

S3-FIFO (Yang et al., SOSP 2023): a newcomer waits in a small queue, a tenth of the space, and
moves to the main queue only if it was asked for again; what left the small queue is remembered
by its hash for a while, so that its return counts as a second request. A flood of random names
thus washes through the small queue and never reaches the hot names. Two more rules: an entry
above 4 KiB is admitted at its second request only, and one domain (two rightmost labels) gets at
most a seventh of the space in the main queue, which makes a quarter with the small one: it may fill
what nobody else uses, but what others asked for twice stays, and so do its own hot names.
"""

from array import array
from collections import deque

from secdns.cache.entry import Entry, Share

MAX_ENTRY = 16 * 1024  # octets; above, an answer is passed on and not kept
DOORKEEPER = 4 * 1024  # octets; above, an answer is kept at its second request
SMALL_PART = 10  # the small queue's part of the space, as a divisor
DOMAIN_PART = 7  # one domain's part of the space in the main queue, as a divisor
MAX_HITS = 3  # requests counted of one entry, each good for a second chance in the main queue
MAX_CHANCES = 64  # second chances given in one eviction; bounds the work of one store
OVERHEAD = 440  # octets of Python objects around one entry, as measured by tests/cache
SECOND_BODY = 90  # … and around the records for clients without DO, where they differ
DOMAINS = 1024  # domains are told apart by this many hash buckets
MIN_GHOSTS, MAX_GHOSTS = 1024, 1 << 20  # what was evicted is remembered in this many hash buckets
_GHOST_PART = 512  # octets of space for each of them


class Store:
    """Entries by key, at most ``limit`` octets of them (keys and object overhead counted).

    Hashes of keys decide what shares a bucket; Python salts them anew in every process, so
    nobody outside can aim at one (PYTHONHASHSEED).
    """

    __slots__ = (
        "_ghosts",
        "_has_ghosts",
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
        self._ghosts = array("H", bytes(2 * min(max(limit // _GHOST_PART, MIN_GHOSTS), MAX_GHOSTS)))
        self._has_ghosts = False  # a cache that was never full has none to look for
        self._shares = tuple(Share() for _ in range(DOMAINS))

    def put(self, key: bytes, entry: Entry) -> bool:
        """Keep ``entry``, evicting others as needed. False: it was not admitted."""
        full = entry.full
        size = OVERHEAD + len(key) + len(entry.options) + full.size
        if entry.plain is not full:
            size += SECOND_BODY + entry.plain.size
        if size > MAX_ENTRY:
            return False
        entry.size = size
        old = self.entries.get(key)
        if old is not None:
            self._replace(key, old, entry)
        else:
            seen = self._has_ghosts and self._is_ghost(key)
            if size > DOORKEEPER and not seen:
                self._add_ghost(key)
                return False
            self.entries[key] = entry
            self.octets += size
            if not (seen and self._join_main(key, entry)):
                entry.in_main = False
                self._small.append(key)
                self._small_octets += size
        chances = MAX_CHANCES
        while self.octets > self.limit:
            chances = self._evict(chances)
        return True

    def _replace(self, key: bytes, old: Entry, entry: Entry) -> None:
        entry.in_main = old.in_main
        entry.hits = old.hits
        grown = entry.size - old.size
        self.entries[key] = entry
        self.octets += grown
        if entry.in_main:
            entry.share = old.share
            entry.share.octets += grown
        else:
            self._small_octets += grown

    def _join_main(self, key: bytes, entry: Entry) -> bool:
        """Move an entry to the main queue, unless its domain has its part there already."""
        share = self._shares[hash(domain_of(key)) % DOMAINS]
        if share.octets * DOMAIN_PART > self.limit:
            return False
        entry.in_main = True
        entry.share = share
        share.octets += entry.size
        self._main.append(key)
        return True

    def _evict(self, chances: int) -> int:
        """Take one key from the head of a queue: it moves on, gets another round, or goes."""
        from_small = bool(self._small) and (self._small_octets * SMALL_PART > self.limit or not self._main)
        key = self._small.popleft() if from_small else self._main.popleft()
        entry = self.entries[key]
        if from_small:
            self._small_octets -= entry.size
            if entry.hits and chances and self._join_main(key, entry):
                entry.hits = 0
                return chances - 1
        elif entry.hits and chances:
            entry.hits -= 1
            self._main.append(key)
            return chances - 1
        else:
            entry.share.octets -= entry.size
        del self.entries[key]
        self.octets -= entry.size
        if from_small:
            self._add_ghost(key)
        return chances

    def _is_ghost(self, key: bytes) -> bool:
        mark = hash(key)
        return self._ghosts[mark % len(self._ghosts)] == (mark >> 40 & 0xFFFF | 1)

    def _add_ghost(self, key: bytes) -> None:
        mark = hash(key)
        self._ghosts[mark % len(self._ghosts)] = mark >> 40 & 0xFFFF | 1
        self._has_ghosts = True


def domain_of(key: bytes) -> bytes:
    """Give the two rightmost labels of the name in a key: what one owner can usually fill at will."""
    before = last = at = 0
    while size := key[at]:
        before, last = last, at
        at += 1 + size
    return key[before : at + 1]
