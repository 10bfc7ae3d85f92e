"""Let something last for a while and end by itself, by a clock that counts sleep."""

import asyncio
from collections.abc import Callable


class Period:
    """A time that runs or does not. Belongs to the event loop.

    ``clock`` gives the cache's seconds. ``is_over`` is called once when the time is over, not by ``end``.
    """

    def __init__(self, clock: Callable[[], float], is_over: Callable[[], None]) -> None:
        self._clock = clock
        self._is_over = is_over
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        self._timer: asyncio.Handle | None = None

    @property
    def has_begun(self) -> bool:
        """It was begun, and nobody has been told yet that it is over."""
        return bool(self._until)

    @property
    def left_s(self) -> float:
        """Give the seconds that are left, 0 if it does not run."""
        return max(self._until - self._clock(), 0.0)

    def begin(self, for_s: float) -> None:
        """Begin, or begin anew."""
        self.end()
        self._until = self._clock() + for_s
        self._timer = self._loop.call_later(for_s, self._on_time)

    def end(self) -> None:
        """End it, whether it runs or not."""
        self._until = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_on(self) -> bool:
        """Tell whether it runs; ask before each thing that is only right while it does."""
        if self._clock() < self._until:
            return True
        if self._timer is not None and self._until:
            self._timer.cancel()
            self._timer = self._loop.call_soon(self._on_time)  # a timer stands still while the machine sleeps
        return False

    def _on_time(self) -> None:
        if self._until:
            self.end()
            self._is_over()
