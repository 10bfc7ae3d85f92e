"""What a validating group forgets when the network changes, and what if the clock was set (F14, F15)."""

from secdns.dns.name import ROOT
from secdns.dnssec.keys import BOGUS_FIRST_S
from secdns.dnssec.verdict import Status
from secdns.testing import FakeUpstream, SignedZones
from secdns.testing.broken import unaware
from tests.validation.stage import WWW, Stage, verdict


async def test_upstream_that_stripped_signatures_is_tried_again_on_another_network_F24(
    stage: Stage, a: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [unaware()]
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    zones.faults = []
    count = len(a.queries)
    assert verdict(await stage.ask("h1.secure.test", do=True)) == "NOERROR AD 2"
    assert len(a.queries) == count
    stage.groups.network_changed()
    assert verdict(await stage.ask("h2.secure.test", do=True)) == "NOERROR AD 2"
    assert len(a.queries) > count


async def test_keys_outlive_a_change_of_network_and_not_a_clock_that_was_set_F15(
    stage: Stage, a: FakeUpstream
) -> None:
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    stage.groups.network_changed()
    known = stage.judge.trust.keys.zone(ROOT, stage.clock.now)
    assert known is not None
    assert known.status is Status.SECURE
    stage.groups.network_changed(is_clock=True)
    assert stage.judge.trust.keys.zone(ROOT, stage.clock.now) is None
    count = len(a.queries)
    assert verdict(await stage.ask("h1.secure.test", do=True)) == "NOERROR AD 2"
    assert len(a.queries) > count + 2, "the chain is fetched and judged anew"


async def test_strikes_of_before_do_not_count_on_another_network_F11(stage: Stage) -> None:
    keys = stage.judge.trust.keys
    assert [keys.strike(ROOT, 0.0), keys.strike(ROOT, 0.0)] == [BOGUS_FIRST_S, 2 * BOGUS_FIRST_S]
    stage.groups.network_changed()
    assert keys.strike(ROOT, 0.0) == BOGUS_FIRST_S


async def test_name_refused_because_of_a_wrong_clock_is_judged_again_when_it_is_set_F14(
    stage: Stage, a: FakeUpstream
) -> None:
    stage.wall.wrong_by_s = -30 * 86_400.0
    assert verdict(await stage.ask(WWW, do=True)).startswith("SERVFAIL")
    stage.wall.wrong_by_s = 0.0
    stage.groups.network_changed(is_clock=True)
    stage.cache.forgive()
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
