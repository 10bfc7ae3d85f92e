"""What the configuration says about DNSSEC, and what a reload changes."""

import asyncio
import json
from pathlib import Path

import pytest

from secdns.config import Config, parse
from secdns.daemon import Daemon
from secdns.dns.message import Message
from secdns.iana import EDE, RRType
from secdns.testing import FakeUpstream, SignedZones
from secdns.testing.broken import expired, mangled, without
from tests.cache.answers import query
from tests.forwarder.stage import table
from tests.validation.conftest import Play
from tests.validation.stage import WWW, Stage, asked, dnssec, links, make_zones, verdict, why

OFF = '[dnssec]\nmode = "off"\n'
LISTEN = '[server]\nlisten = ["127.0.0.1:0"]\n'


async def test_trust_anchors_of_the_configuration_take_the_place_of_the_built_in_ones(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    built_in = play(table(a))
    code, text = why(await built_in.ask(WWW))
    assert code == EDE.DNSKEY_MISSING
    assert "no key of . fits its trust anchor: key tag 20326, 38696 wanted" in text
    assert verdict(await play(table(a) + dnssec(zones)).ask(WWW, do=True)) == "NOERROR AD 3"


@pytest.mark.parametrize("rrtype", [RRType.DS, RRType.DNSKEY])
async def test_anchor_below_the_root_is_enough_for_its_zone_and_the_rest_is_insecure(
    a: FakeUpstream, zones: SignedZones, play: Play, rrtype: RRType
) -> None:
    anchors = json.dumps(zones.trust_anchors("secure.test", rrtype))
    stage = play(table(a) + f"[dnssec]\ntrust_anchors = {anchors}\n")
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    assert verdict(await stage.ask("www.hashed.test", do=True)) == "NOERROR 2"
    assert links(a) == ["secure.test. DNSKEY"]


async def test_negative_trust_anchor_waives_exactly_its_names_7646_1(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    zones.faults = [expired("secure.test", RRType.DNSKEY), expired("www.hashed.test", RRType.A)]
    stage = play(table(a) + dnssec(zones, 'negative_trust_anchors = ["secure.test"]'))
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR 3"
    assert verdict(await stage.ask("no.secure.test", do=True)) == "NXDOMAIN 0"
    assert verdict(await stage.ask("www.hashed.test", do=True)) == "SERVFAIL 0"
    assert verdict(await stage.ask("m.hashed.test", do=True)) == "NOERROR AD 2"


async def test_sha1_is_insecure_unless_switched_on_4035_10(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    reply = await play(table(a) + dnssec(zones)).ask("www.sha1.test", do=True)
    assert (verdict(reply), why(reply)[0]) == ("NOERROR 2", EDE.UNSUPPORTED_DNSKEY_ALGORITHM)
    switched_on = play(table(a) + dnssec(zones, "sha1 = true"))
    assert verdict(await switched_on.ask("www.sha1.test", do=True)) == "NOERROR AD 2"
    zones.faults = [mangled("www.sha1.test", RRType.AAAA), mangled(None, RRType.NSEC)]
    assert verdict(await switched_on.ask("no.sha1.test", do=True)) == "SERVFAIL 0"


async def test_clock_that_is_an_hour_off_does_not_matter_but_ten_years_do_D17(
    alone: Stage, zones: SignedZones
) -> None:
    for hours in (-1, 1, -20, 20):
        alone.wall.wrong_by_s = hours * 3600
        alone.clock.now += 1000
        assert verdict(await alone.ask(WWW, do=True)) == "NOERROR AD 3", hours
    for years, ede in ((-10, EDE.SIGNATURE_NOT_YET_VALID), (10, EDE.SIGNATURE_EXPIRED)):
        alone.wall.wrong_by_s = years * 365 * 86_400
        alone.clock.now += 1000
        alone.cache.flush()
        assert why(await alone.ask(WWW))[0] == ede


# A reload


async def test_reload_that_changes_dnssec_judges_anew_what_is_in_the_cache(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    zones.faults = [mangled(WWW, RRType.A)]
    stage = play(table(a) + OFF)
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR 3"
    stage.reload(table(a) + dnssec(zones))
    assert verdict(await stage.ask(WWW, do=True)) == "SERVFAIL 0"
    waived = dnssec(zones, 'negative_trust_anchors = ["www.secure.test"]')
    stage.reload(table(a) + waived)
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR 3"
    stage.reload(table(a) + OFF)
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR 3"
    assert a.connections["tls"] == 1  # nobody has hung up for that


async def test_who_asks_after_a_reload_does_not_get_what_was_asked_by_the_old_rules(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    """The question is the same, and under way; the answer was not to be judged when it was asked."""
    zones.faults = [mangled(WWW, RRType.A)]
    stage = play(table(a) + OFF)
    await stage.ask("www.plain.test")
    a.faults.hold = True
    before = asyncio.ensure_future(stage.ask(WWW, do=True))
    await a.wait_queries(2)
    stage.reload(table(a) + dnssec(zones))
    after = asyncio.ensure_future(stage.ask(WWW, do=True))
    await a.wait_queries(3)
    a.faults.hold = False
    a.release()
    assert verdict(await before) == "NOERROR 3"
    assert verdict(await after) == "SERVFAIL 0"
    assert verdict(await stage.ask(WWW, do=True)) == "SERVFAIL 0"


async def test_what_is_known_of_zones_outlives_a_reload_that_leaves_dnssec_alone(
    a: FakeUpstream, b: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    stage = play(table(a) + dnssec(zones))
    await stage.ask(WWW)
    judge = stage.judge
    stage.reload(table(a) + dnssec(zones))
    assert stage.judge is judge
    stage.reload(table(b, "b") + dnssec(zones))
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    assert links(b) == []


async def test_what_one_upstream_broke_is_not_held_against_the_zone_when_another_is_chosen(
    a: FakeUpstream, b: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    zones.faults = [without("secure.test", RRType.DNSKEY)]
    stage = play(table(a) + dnssec(zones))
    assert verdict(await stage.ask(WWW, do=True)) == "SERVFAIL 0"
    stage.reload(table(b, "b") + dnssec(zones))
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"


async def test_proofs_held_do_not_outlive_a_change_of_dnssec(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    stage = play(table(a) + dnssec(zones))
    await stage.ask("n.secure.test")
    stage.reload(table(a) + dnssec(make_zones(), "sha1 = true"))
    await stage.ask("o.secure.test")
    assert "o.secure.test. A" in asked(a)


async def test_daemon_judges_anew_after_sighup_and_keeps_its_connection(
    a: FakeUpstream, zones: SignedZones, tmp_path: Path
) -> None:
    """The whole program: what the cache held by the old rules is not served by the new ones."""
    zones.faults = [mangled(WWW, RRType.A)]
    texts = [LISTEN + table(a) + OFF, LISTEN + table(a) + dnssec(zones)]

    def reread() -> Config:
        return parse(texts[1], "test")

    daemon = Daemon(parse(texts[0], "test"), reread=reread, hosts_file=None)

    async def ask(*, do: bool) -> Message:
        reply = await daemon.forwarder.answer(query(WWW, do=do), stream=True)
        assert reply is not None
        return Message.parse(reply)

    try:
        assert verdict(await ask(do=True)) == "NOERROR 3"
        await daemon.reload()
        assert verdict(await ask(do=True)) == "SERVFAIL 0"
        assert a.connections["tls"] == 1
        zones.faults = []
        texts[1] = LISTEN + table(a) + dnssec(zones, 'negative_trust_anchors = ["other.test"]')
        await daemon.reload()
        assert verdict(await ask(do=True)) == "NOERROR AD 3"
        held = len(a.queries)
        await daemon.reload()  # nothing has changed: nothing is asked again
        assert verdict(await ask(do=True)) == "NOERROR AD 3"
        assert len(a.queries) == held
    finally:
        await daemon.stop()
