"""Remember authenticated keys, and the authenticated absence of a chain (RFC 4035 §4.7).

What stands here was checked against a trust anchor, so it does not matter who was asked. The
exception is a chain that is broken: it is remembered for a few seconds, so that a storm of names
below it costs nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from secdns.dns.name import suffixes
from secdns.dnssec.rrsig import Key
from secdns.dnssec.verdict import MAX_TTL, Reason, Status

MAX_ZONES = 4096  # a household asks for some hundreds of zones a day; one takes about a kilobyte
NO_CUT_MOST_S = 3600  # a zone may begin there any time, and would look forged (RFC 2308 §5: 1 to 3 h)
BOGUS_FIRST_S = 5  # a broken chain is looked at again after this, doubling
BOGUS_MOST_S = 60  # … up to this (RFC 9520 §3.2)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Zone:
    """What is known of a zone.

    SECURE: ``keys`` are those that may sign in it. INSECURE: it is delegated without a chain that
    we can check, and so is all below it. BOGUS and INDETERMINATE: there should be one. For all
    but SECURE ``reason`` says why.
    """

    name: bytes
    status: Status
    keys: tuple[Key, ...] = ()
    reason: Reason | None = None


class KeyCache:
    """What is known of zones and of names that are no zone cut, each for its TTL.

    Times are seconds of the cache's clock. At most 4,096 of each kind; the longest unused goes.
    """

    def __init__(self) -> None:
        self._zones: _Bounded[Zone] = _Bounded()
        self._no_cuts: _Bounded[None] = _Bounded()
        self._strikes: _Bounded[int] = _Bounded()

    def zone(self, name: bytes, now: float) -> Zone | None:
        """Give what is known of the zone whose apex is ``name``, or None."""
        held = self._zones.find(name, now)
        return held[0] if held else None

    def is_no_cut(self, name: bytes, now: float) -> bool:
        """Tell whether ``name`` is known to be no zone's apex."""
        return self._no_cuts.find(name, now) is not None

    def learn(self, zone: Zone, ttl_s: int, now: float) -> None:
        """Remember a SECURE or INSECURE zone."""
        self._zones.put(zone.name, zone, now + min(ttl_s, MAX_TTL))

    def learn_no_cut(self, name: bytes, ttl_s: int, now: float) -> None:
        """Remember that ``name`` is no zone's apex."""
        self._no_cuts.put(name, None, now + min(ttl_s, NO_CUT_MOST_S))

    def refuse(self, name: bytes, reason: Reason, now: float) -> int:
        """Remember that the chain breaks at the zone ``name``; give for how many seconds.

        For the caller who has asked elsewhere too and found no better answer.
        """
        pause_s = self.strike(name, now)
        self._zones.put(name, Zone(name, Status.BOGUS, reason=reason), now + pause_s)
        return pause_s

    def forgive(self) -> None:
        """Forget which chains are broken, for the caller who asks somebody else from now on."""
        self._zones.drop(lambda zone: zone.status is Status.BOGUS)
        self._strikes.drop(lambda strikes: True)

    def strike(self, what: bytes, now: float) -> int:
        """Count a failure of ``what``, any octets; give for how many seconds to leave it alone."""
        held = self._strikes.find(what, now)
        strikes = held[0] if held else 0
        pause_s = min(BOGUS_FIRST_S << strikes, BOGUS_MOST_S)
        self._strikes.put(what, min(strikes + 1, 4), now + pause_s + BOGUS_MOST_S)
        return pause_s


class _Bounded(Generic[T]):
    """At most MAX_ZONES values with an end each, the longest unused dropped first."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[T, float]] = {}

    def find(self, name: bytes, now: float) -> tuple[T, float] | None:
        held = self._held.get(name)
        if held is None:
            return None
        del self._held[name]
        if now >= held[1]:
            return None
        self._held[name] = held
        return held

    def drop(self, is_unwanted: Callable[[T], bool]) -> None:
        self._held = {name: held for name, held in self._held.items() if not is_unwanted(held[0])}

    def put(self, name: bytes, value: T, expires: float) -> None:
        self._held.pop(name, None)
        if len(self._held) >= MAX_ZONES:
            del self._held[next(iter(self._held))]
        self._held[name] = (value, expires)


def between(ancestor: bytes, name: bytes) -> Iterator[bytes]:
    """Yield the names below ``ancestor`` on the way down to ``name``, which comes last."""
    return reversed([suffix for suffix in suffixes(name) if len(suffix) > len(ancestor)])
