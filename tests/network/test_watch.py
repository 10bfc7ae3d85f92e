"""What is noticed, when, and how often it is told."""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator

import pytest

from secdns.network import netlink
from secdns.network.watch import LATE_S, QUIET_S, SILENCE_S, Change, Watch
from secdns.network.ways import Found, Way, Ways
from tests.loop import Warp
from tests.network.clocks import HandClocks
from tests.network.octets import link, recorded

WLAN = Way("192.0.2.7", "wlan0", "192.0.2.1", 2)
WIRE = Way("10.0.0.5", "eth0", "10.0.0.1", 1)
A, B = "198.51.100.1", "2001:db8:1::1"


class PlayedWays(Ways):
    """Ways that a test says."""

    def __init__(self) -> None:
        self.found: dict[str, Way | None] = {A: WLAN, B: None}
        self.looks = 0

    def find(self, addresses: Iterable[str]) -> Found:
        self.looks += 1
        return {address: self.found[address] for address in addresses}

    def close(self) -> None: ...


class Stage:
    """A watch on played ways and clocks, and what it told."""

    def __init__(self) -> None:
        self.clocks = HandClocks()
        self.ways = PlayedWays()
        self.told: list[Change] = []
        self.watch = Watch(lambda: (A, B), self.told.append, clocks=self.clocks.clocks, ways=self.ways)

    def query(self) -> list[Change]:
        """Look as a query does, and give what was told by that."""
        before = len(self.told)
        if self.clocks.boot >= self.watch.look_at:
            self.watch.look()
        return self.told[before:]

    def hear(self, octets: bytes) -> None:
        """Take a datagram as if the kernel had sent it."""
        if self.watch._news.is_in(octets):
            self.watch._look_soon()


@pytest.fixture
def stage(nothing_is_left: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Stage]]:
    """Start a watch to which the kernel tells nothing."""
    monkeypatch.setattr(netlink, "open_socket", lambda groups: None)
    made: list[Stage] = []

    def start() -> Stage:
        made.append(Stage())
        made[-1].watch.start()
        return made[-1]

    yield start
    for each in made:
        each.watch.close()


Start = Callable[[], Stage]


async def test_query_looks_at_most_once_a_second_and_tells_nothing_of_nothing_F11(stage: Start) -> None:
    on = stage()
    for _ in range(30):
        assert on.query() == []
        on.clocks.work(0.1)
    assert on.ways.looks == 1 + 3


async def test_sleep_is_told_by_the_first_query_after_it_F12(stage: Start) -> None:
    on = stage()
    on.query()
    on.clocks.pass_by(boot=8 * 3600, awake=0.1, wall=8 * 3600)
    assert on.query() == [Change("the machine slept for 8 h", is_break=True)]
    on.clocks.work(2)
    assert on.query() == []


@pytest.mark.parametrize(("hours", "way"), [(6, "forward"), (-6, "back")])
async def test_clock_that_was_set_is_told_by_the_next_query_F15(stage: Start, hours: int, way: str) -> None:
    on = stage()
    on.query()
    on.clocks.pass_by(boot=2, awake=2, wall=2 + hours * 3600)
    assert on.query() == [Change(f"the clock was set {way} by 6 h", is_break=True, is_clock=True)]


async def test_other_source_address_is_told_by_the_next_query_F13(stage: Start) -> None:
    on = stage()
    on.query()
    on.ways.found[A] = WIRE
    assert on.query() == [], "a second has not passed"
    on.clocks.work(1.1)
    assert on.query() == [Change("10.0.0.5 on eth0 is used now instead of 192.0.2.7 on wlan0", is_break=True)]


async def test_all_that_happened_at_once_is_told_at_once_F12(stage: Start) -> None:
    on = stage()
    on.ways.found[A] = WIRE
    on.clocks.pass_by(boot=3600, awake=0, wall=7200)
    (change,) = on.query()
    assert change.reason == (
        "the machine slept for 60 min; the clock was set forward by 60 min; "
        "10.0.0.5 on eth0 is used now instead of 192.0.2.7 on wlan0"
    )


async def test_second_address_family_breaks_nothing(stage: Start) -> None:
    on = stage()
    on.ways.found[B] = Way("2001:db8::7", "wlan0", "fe80::1", 2)
    on.clocks.work(2)
    assert on.query() == [Change("2001:db8::7 on wlan0 leads to an upstream now", is_break=False)]


async def test_query_after_silence_forgives_without_a_word(stage: Start) -> None:
    on = stage()
    on.query()
    on.clocks.work(SILENCE_S)
    assert on.query() == []
    on.clocks.work(SILENCE_S + 0.1)
    assert on.query() == [Change("")]
    on.clocks.work(2)
    assert on.query() == []


async def test_no_way_at_all_is_gone_since_it_was_seen_F11(stage: Start) -> None:
    on = stage()
    assert on.watch.gone == ""
    on.ways.found[A] = None
    on.clocks.work(2)
    assert on.query() == [Change("the network is gone, it was 192.0.2.7 on wlan0", is_break=True)]
    assert on.watch.gone != ""
    assert on.watch.gone_since == on.clocks.boot
    on.clocks.work(5)
    assert on.query() == []
    assert on.watch.gone_since == on.clocks.boot - 5
    on.ways.found[A] = WLAN
    on.clocks.work(2)
    assert on.query() == [Change("the network is back, it is 192.0.2.7 on wlan0", is_break=True)]
    assert on.watch.gone == ""


async def test_machine_that_starts_without_a_network_does_not_wait_for_one(
    nothing_is_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink, "open_socket", lambda groups: None)
    on = Stage()
    on.ways.found[A] = None
    on.watch.start()
    assert (on.watch.gone != "", on.watch.gone_since) == (True, -math.inf)
    on.watch.close()


async def test_burst_of_news_is_looked_at_once_when_it_is_over_F11(stage: Start, warp: Warp) -> None:
    on = stage()
    for number in range(3):
        on.hear(link(flaps=number))
        await warp.advance(QUIET_S / 2)
    on.ways.found[A] = WIRE
    assert on.told == []
    await warp.advance(QUIET_S)
    assert len(on.told) == 1
    assert on.ways.looks == 2


async def test_burst_without_end_is_looked_at_after_a_second_F11(stage: Start, warp: Warp) -> None:
    on = stage()
    on.ways.found[A] = WIRE
    took_s = 0.0
    while not on.told:
        on.hear(link(flaps=int(took_s * 100)))
        await warp.advance(0.1)
        took_s += 0.1
    assert took_s < LATE_S + 0.11


async def test_query_in_the_middle_of_a_burst_does_not_wait_for_its_end_F11(stage: Start, warp: Warp) -> None:
    on = stage()
    on.query()
    on.ways.found[A] = WIRE
    on.hear(link())
    assert len(on.query()) == 1
    await warp.advance(LATE_S)
    assert len(on.told) == 1, "told once, by whoever saw it first"


async def test_news_while_there_is_no_network_is_looked_at_without_delay_F11(
    stage: Start, warp: Warp
) -> None:
    on = stage()
    on.ways.found[A] = None
    on.clocks.work(2)
    on.query()
    on.ways.found[A] = WLAN
    on.hear(recorded("default route"))
    assert on.told[-1].reason.startswith("the network is back")


async def test_news_that_does_not_touch_the_way_is_not_told_need22(stage: Start, warp: Warp) -> None:
    on = stage()
    on.hear(link(9, name="veth1234"))
    on.hear(recorded("route to the network"))
    await warp.advance(LATE_S)
    assert on.told == []


async def test_nothing_wakes_up_while_nothing_happens(stage: Start, warp: Warp) -> None:
    on = stage()
    on.query()
    await warp.advance(3600)
    assert on.ways.looks == 2
    assert asyncio.get_running_loop()._scheduled == []  # type: ignore[attr-defined]
