"""What tests do to the running event loop: move its clock, wait for it, and see what is left in it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

PATIENCE_S: Final = 4.0  # of the real clock; no test waits for this long unless it fails


class Warp:
    """The clock of the running loop, which ``advance`` moves; the sockets under it stay real.

    What is due falls due at once and in order, so a test of 4.4 s of patience takes no time, and
    says on its own at which moment it looks.
    """

    def __init__(self, patches: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self._ahead_s = 0.0
        patches.setattr(loop, "time", self.time)

    def time(self) -> float:
        """Give the loop's seconds."""
        return self._real() + self._ahead_s

    def real_time(self) -> float:
        """Give the seconds of the clock that nobody moves."""
        return self._real()

    async def advance(self, seconds: float) -> None:
        """Let time pass and give everything that is due its turn."""
        self._ahead_s += seconds
        await turns()


async def turns(count: int = 5) -> None:
    """Give the loop some turns: callbacks of callbacks have run then, and sockets were looked at."""
    for _ in range(count):
        await asyncio.sleep(0)


async def wait_until(predicate: Callable[[], object]) -> None:
    """Let the event loop work until something holds that nothing tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not predicate():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@asynccontextmanager
async def nothing_is_left() -> AsyncIterator[None]:
    """See to the invariants of faults.md: no unhandled exception, no task, no descriptor more than before."""
    loop = asyncio.get_running_loop()
    unhandled: list[object] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    tasks = len(asyncio.all_tasks())
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    await turns()  # asyncio closes sockets in the turn after
    assert unhandled == []
    assert len(asyncio.all_tasks()) <= tasks
    assert len(os.listdir("/proc/self/fd")) <= descriptors
