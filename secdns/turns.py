"""Share the event loop between validations, so that none of them, and nobody else, waits for long."""

import asyncio
from collections import deque
from collections.abc import Callable

AT_ONCE = 4  # steps in one turn of the event loop; a step checks at most 8 signatures, about a millisecond


class Turns:
    """Runs the steps of all validations, few in one turn of the event loop.

    One read may bring a hundred answers, and one answer may be what a hundred validations wait for.
    Who goes on comes before who begins: what it learns the others need not ask for. But one of
    those begins in every turn, however many there are who only keep us busy.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._beginning: deque[Callable[[], None]] = deque()
        self._going_on: deque[Callable[[], None]] = deque()
        self._is_due = False
        self._taken = 0  # steps taken since the loop had a turn, as far as is known

    def begin(self, step: Callable[[], None]) -> None:
        """Run the first step of a validation: now if there is time for it in this turn, else later."""
        self._take(self._beginning, step)

    def go_on(self, step: Callable[[], None]) -> None:
        """Run a later step of one, likewise."""
        self._take(self._going_on, step)

    def rest(self, step: Callable[[], None]) -> None:
        """Run a later step of one in a later turn."""
        self._put_off(self._going_on, step)

    def _take(self, steps: deque[Callable[[], None]], step: Callable[[], None]) -> None:
        if self._is_due or self._taken >= AT_ONCE:
            self._put_off(steps, step)
        else:
            self._taken += 1
            step()

    def _put_off(self, steps: deque[Callable[[], None]], step: Callable[[], None]) -> None:
        steps.append(step)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._taken = 0
        going_on = min(len(self._going_on), AT_ONCE - bool(self._beginning))
        beginning = min(len(self._beginning), AT_ONCE - going_on)
        steps = [self._going_on.popleft() for _ in range(going_on)]
        steps += [self._beginning.popleft() for _ in range(beginning)]
        self._is_due = bool(self._going_on or self._beginning)
        if self._is_due:
            self._loop.call_soon(self._next)
        for step in steps:
            self._taken += 1
            step()
