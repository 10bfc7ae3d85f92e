"""An upstream that strips signatures: it is marked, the names are not (F24)."""

import asyncio
import dataclasses

import pytest

from secdns.dns.message import Message
from secdns.dns.name import ROOT
from secdns.dnssec.keys import BOGUS_FIRST_S
from secdns.iana import EDE, RRType
from secdns.testing import FakeUpstream, Fault, SignedZones
from secdns.testing.broken import stripped, unaware
from secdns.validation import LAST_UNFIT_S, UNFIT_S
from tests.loop import Warp
from tests.validation.stage import WWW, Stage, asked, verdict, why

_FAULTS = {
    "no signatures": unaware(),
    "none for the keys of the root": stripped(".", RRType.DNSKEY),
}


def no_keys_of_the_root(zones: SignedZones, reply: Message) -> Message:
    """Answer as some filters do: NODATA for types that they do not know."""
    if reply.question[0].rrtype == RRType.DNSKEY:
        return dataclasses.replace(reply, answer=(), authority=())
    return unaware()(zones, reply)


@pytest.mark.parametrize("fault", [*_FAULTS.values(), no_keys_of_the_root], ids=[*_FAULTS, "no DNSKEY"])
async def test_upstream_that_strips_the_keys_of_the_root_is_marked_and_the_others_are_used_F24(
    stage: Stage,
    a: FakeUpstream,
    zones: SignedZones,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    zones.faults = [fault]
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    assert "upstream a strips DNSSEC signatures" in caplog.text
    count = len(a.queries)
    for number in range(5):
        assert verdict(await stage.ask(f"h{number}.secure.test", do=True)) == "NOERROR AD 2"
    assert len(a.queries) == count
    assert caplog.text.count("strips") == 1


async def test_names_are_not_held_responsible_F24(alone: Stage, zones: SignedZones) -> None:
    """Nothing is remembered against the root."""
    zones.faults = [unaware()]
    await alone.ask(WWW)
    keys = alone.judge.trust.keys
    assert keys.zone(ROOT, alone.clock.now) is None
    assert keys.strike(ROOT, alone.clock.now) == BOGUS_FIRST_S


async def test_mark_is_looked_at_again_after_a_minute_F24(
    stage: Stage, a: FakeUpstream, zones: SignedZones, warp: Warp
) -> None:
    zones.faults = [unaware()]
    await stage.ask(WWW)
    zones.faults = []
    await warp.advance(UNFIT_S - 1)
    await stage.ask("h1.secure.test")
    assert "h1.secure.test. A" not in asked(a)
    await warp.advance(2)
    await stage.ask("h2.secure.test")
    assert "h2.secure.test. A" in asked(a)


async def test_with_none_left_it_is_servfail_in_words_never_insecure_then_it_recovers_F24(
    stage: Stage,
    a: FakeUpstream,
    b: FakeUpstream,
    zones: SignedZones,
    other_zones: SignedZones,
    warp: Warp,
) -> None:
    zones.faults = other_zones.faults = [unaware()]
    for name in (WWW, "www.plain.test", "no.secure.test", WWW):
        reply = await stage.ask(name, ad=True, do=True)
        assert verdict(reply) == "SERVFAIL 0"
        code, text = why(reply)
        assert code == EDE.RRSIGS_MISSING
        assert text.startswith("no upstream passes on DNSSEC signatures")
        assert text.endswith("a, b")
    count = len(a.queries) + len(b.queries)
    await stage.ask("h1.secure.test")
    assert len(a.queries) + len(b.queries) == count
    zones.faults = other_zones.faults = []
    await warp.advance(LAST_UNFIT_S)
    stage.clock.now += LAST_UNFIT_S
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    assert verdict(await stage.ask("www.plain.test", do=True)) == "NOERROR 1"


async def test_lone_upstream_that_strips_is_servfail_in_words_F24(alone: Stage, zones: SignedZones) -> None:
    zones.faults = [unaware()]
    code, text = why(await alone.ask(WWW))
    assert (code, text.endswith("asked a")) == (EDE.RRSIGS_MISSING, True)


async def test_many_at_once_find_out_together_F24(
    stage: Stage, a: FakeUpstream, b: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [unaware()]
    replies = await asyncio.gather(*(stage.ask(f"h{number}.secure.test", do=True) for number in range(100)))
    assert {verdict(reply) for reply in replies} == {"NOERROR AD 2"}
    assert asked(a).count(". DNSKEY") == asked(b).count(". DNSKEY") == 1


async def test_missing_signature_of_one_answer_marks_nobody_F24(stage: Stage, zones: SignedZones) -> None:
    """The keys of the root came from the same upstream, whole."""
    zones.faults = [stripped(".", RRType.NS), stripped(".", RRType.SOA)]
    for rrtype in (RRType.NS, RRType.SOA):
        assert (await stage.ask(".", rrtype, do=True)).ad
    loop = asyncio.get_running_loop()
    assert stage.judge.unfit(loop.time()) == frozenset()
