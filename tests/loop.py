"""What tests do to the running event loop: move its clock, wait for it, and see what is left in it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

PATIENCE_S: Final = 20.0  # of the real clock; no test waits for this long unless it fails
LEAVE_S: Final = 2.0  # of the real clock; what is open after it was left open


class Warp:
    """The clock of the running loop, which stands still but for ``advance``; the sockets stay real.

    What is due falls due at once and in order, so a test of 4.4 s of patience takes no time, and
    one that looks just before a moment is not late on a busy machine. Nothing sleeps while the
    clock stands still: wait with ``wait_until``, or ``pass_until`` where time has to pass.
    """

    def __init__(self, patches: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time()
        patches.setattr(loop, "time", self.time)

    def time(self) -> float:
        """Give the loop's seconds."""
        return self._now

    async def advance(self, seconds: float) -> None:
        """Let time pass and give everything that is due its turn."""
        self._now += seconds
        await turns()

    def jump(self, seconds: float) -> None:
        """Let time pass and give nothing its turn: what the test does next comes as near as can be."""
        self._now += seconds

    async def rest(self, seconds: float, *, step_s: float = 0.05) -> None:
        """Let time pass in steps, so that what falls due has consequences before the next thing does."""
        end_at = self._now + seconds
        while self._now < end_at:
            await self.advance(min(step_s, end_at - self._now))

    async def pass_until(self, predicate: Callable[[], object], *, step_s: float = 0.002) -> float:
        """Let time pass in steps until something holds that nothing tells of; give the seconds that took.

        Each step leaves the kernel a millisecond of its own time for what is on the wire.
        """
        began, give_up_at = self._now, time.monotonic() + PATIENCE_S
        while not predicate():
            assert time.monotonic() < give_up_at
            await self.advance(step_s)
            next_at = time.monotonic() + 0.001
            while not predicate() and time.monotonic() < next_at:  # noqa: ASYNC110
                await asyncio.sleep(0)
        return self._now - began

    async def passing(self, work: Awaitable[T]) -> T:
        """Give what comes of something that takes time, which passes meanwhile."""
        doing = asyncio.ensure_future(work)
        await self.pass_until(doing.done)
        return await doing


async def turns(count: int = 5) -> None:
    """Give the loop some turns: callbacks of callbacks have run then, and sockets were looked at."""
    for _ in range(count):
        await asyncio.sleep(0)


async def wait_until(predicate: Callable[[], object]) -> None:
    """Let the event loop work until something holds that nothing tells of."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not predicate():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0)


@asynccontextmanager
async def nothing_is_left() -> AsyncIterator[None]:
    """See to the invariants of faults.md: no unhandled exception, no task, no descriptor more than before."""
    loop = asyncio.get_running_loop()
    unhandled: list[object] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    tasks = len(asyncio.all_tasks())
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    await turns()  # asyncio closes sockets in the turn after, and the pipes of a process when it has ended
    give_up_at = time.monotonic() + LEAVE_S
    while len(os.listdir("/proc/self/fd")) > descriptors and time.monotonic() < give_up_at:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert unhandled == []
    assert len(asyncio.all_tasks()) <= tasks
    assert len(os.listdir("/proc/self/fd")) <= descriptors
