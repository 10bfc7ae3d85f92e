"""A clock that cannot be right: said out loud, and the names that can put it right are answered (F14)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from secdns import BUILT_AT
from secdns.cache import Entry, from_response
from secdns.clock import boottime
from secdns.config import DNSSECConfig
from secdns.dns.edns import options_from_wire
from secdns.dns.name import from_text
from secdns.errors import TransportError
from secdns.iana import EDE, RCode, RRType
from secdns.testing import FakeUpstream, SignedZones
from secdns.trust import AnchorKeeper
from secdns.upstream import Upstream, UpstreamGroup
from secdns.validation import ValidatingGroup
from tests.transport.support import no_lookup

ZONES = {
    "pool.ntp.org": {"2.debian": {"A": "192.0.2.123"}},
    "example.test": {"www": {"A": "192.0.2.1"}},
}
YEAR_S = 365 * 86400


class Clock:
    """The wall clock; a test sets it."""

    def __init__(self) -> None:
        self.wall = float(BUILT_AT - 10 * YEAR_S)

    def __call__(self) -> float:
        return self.wall


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def group(clock: Clock) -> AsyncIterator[ValidatingGroup]:
    zones = SignedZones(ZONES, now=BUILT_AT + YEAR_S)
    async with FakeUpstream(zones) as upstream:
        plain = UpstreamGroup([Upstream("one", upstream.endpoint("tls"), no_lookup)])
        keeper = AnchorKeeper(DNSSECConfig("validate", trust_anchors=zones.trust_anchors()))
        yield ValidatingGroup(plain, keeper, clock=boottime, wall=clock)
        await plain.aclose()


async def ask(group: ValidatingGroup, name: str) -> Entry:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Entry] = loop.create_future()

    def done(entry: Entry | None, error: TransportError | None) -> None:
        assert entry is not None, error
        future.set_result(entry)

    question = from_text(name) + RRType.A.to_bytes(2) + b"\0\1"
    now = loop.time()
    group.submit(question, False, now, now + 4, lambda wire, member: from_response(wire), done)
    return await future


def told(entry: Entry) -> str:
    ((_, option),) = options_from_wire(entry.options)
    assert int.from_bytes(option[:2]) == EDE.SIGNATURE_NOT_YET_VALID
    return option[2:].decode()


async def test_clock_from_before_this_version_is_recognised_and_said_out_loud_F14(
    group: ValidatingGroup, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        entry = await ask(group, "www.example.test")
        assert entry.rcode == RCode.SERVFAIL
        assert told(entry) == "the clock of this machine says 2016-11-28 00:00 UTC, long ago: set it"
    assert [record.message[:45] for record in caplog.records if record.levelname == "ERROR"] == [
        "the clock says 2016-11-28 00:00 UTC, which is"
    ]


async def test_time_servers_are_answered_unchecked_while_the_clock_is_wrong_F14(
    group: ValidatingGroup, clock: Clock
) -> None:
    entry = await ask(group, "2.debian.pool.ntp.org")
    assert (entry.rcode, entry.full.answers, entry.secure) == (RCode.NOERROR, 2, False)


async def test_everything_is_checked_again_once_the_clock_is_set_F14_F15(
    group: ValidatingGroup, clock: Clock
) -> None:
    assert (await ask(group, "www.example.test")).rcode == RCode.SERVFAIL
    clock.wall = BUILT_AT + YEAR_S
    for name in ("www.example.test", "2.debian.pool.ntp.org"):
        entry = await ask(group, name)
        assert (entry.rcode, entry.secure) == (RCode.NOERROR, True)


@pytest.mark.parametrize("hours", [-6, 6])
async def test_clock_that_jumps_by_six_hours_changes_no_verdict_F15(
    hours: int, group: ValidatingGroup, clock: Clock
) -> None:
    clock.wall = BUILT_AT + YEAR_S + hours * 3600
    assert (await ask(group, "www.example.test")).secure
