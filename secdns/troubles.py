"""Remember the last failures that clients were told of: in memory alone, and only so many."""

from collections import deque
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

MAX_TROUBLES: Final = 256  # some 100 kB; names are somebody's business, so no more than help to find a cause


@dataclass(frozen=True, slots=True)
class Trouble:
    """One failure. ``at`` is in the cache's seconds; ``name`` in wire form and lower case.

    ``options`` are the EDNS options of the reply, encoded: the Extended DNS Error is among them.
    """

    at: float
    name: bytes
    rrtype: int
    options: bytes


class Troubles:
    """The last failures, the newest last."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: deque[Trouble] = deque(maxlen=MAX_TROUBLES)

    def add(self, trouble: Trouble) -> None:
        """Remember one; the oldest gives way."""
        self._held.append(trouble)

    @property
    def last(self) -> Trouble | None:
        """The newest."""
        return self._held[-1] if self._held else None

    def since(self, at: float) -> tuple[Trouble, ...]:
        """Give those from then on, the newest first."""
        return tuple(takewhile(lambda trouble: trouble.at >= at, reversed(self._held)))

    def of(self, name: bytes) -> tuple[Trouble, ...]:
        """Give those of ``name`` (in lower case), the newest first."""
        return tuple(trouble for trouble in reversed(self._held) if trouble.name == name)

    def forget(self) -> None:
        """Forget all."""
        self._held.clear()
