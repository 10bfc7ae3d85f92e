"""What fails validation: asked twice, refused with words, remembered for a while, cheap the second time."""

import asyncio
import logging
import re
from collections.abc import Sequence
from itertools import pairwise

import pytest

from secdns.dns.message import Record
from secdns.dns.name import from_text
from secdns.dnssec.keys import BOGUS_FIRST_S, BOGUS_MOST_S
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.testing import Fault, SignedZones
from secdns.testing.broken import (
    alias_instead,
    asked,
    expired,
    key_trap,
    mangled,
    not_yet_valid,
    padded,
    replayed,
    said,
    signed_by_another_key,
    stripped,
    tampered,
    with_ds,
    without,
    without_proof,
    without_reason,
)
from secdns.testing.upstream import FakeUpstream
from secdns.upstream.member import FIRST_BACKOFF_S, MAX_BACKOFF_S, QUARANTINE_S
from tests.forwarder.stage import table, told
from tests.loop import Warp
from tests.validation.conftest import Play
from tests.validation.stage import WWW, Stage, dnssec, verdict, why
from tests.validation.stage import asked as questions_of

SECURE = "secure.test"
NO = "no.secure.test"

# a fault, who suffers from it, the EDE, and what the text has to name beside the upstreams
AT_THE_NAME = [
    pytest.param(mangled(WWW, RRType.A), WWW, 6, r"www\.secure\.test.*key \d+ of secure\.test", id="forged"),
    pytest.param(tampered(WWW, RRType.A), WWW, 6, r"www\.secure\.test.*key \d+", id="data changed"),
    pytest.param(expired(WWW, RRType.A), WWW, 7, r"key \d+ of secure\.test\. expired 2 days", id="expired"),
    pytest.param(not_yet_valid(WWW, RRType.A), WWW, 8, r"key \d+ of secure.* in 2 days", id="not yet valid"),
    pytest.param(stripped(WWW, RRType.A), WWW, 10, r"no signature.* secure\.test\. is signed", id="stripped"),
    pytest.param(without_proof(), NO, 12, r"no proof from secure\.test", id="no proof D12"),
    pytest.param(
        said(NO, RRType.A, RCode.NXDOMAIN), NO, 12, r"no NSEC or NSEC3", id="NXDOMAIN without a word D12"
    ),
    pytest.param(
        replayed("m.secure.test", RRType.A, "x.wild.secure.test"), "m.secure.test", 6, "", id="swap"
    ),
    pytest.param(padded(250), NO, 6, "over 16 denial records", id="padded D3"),
]
AT_THE_ZONE = [
    pytest.param(without(SECURE, RRType.DNSKEY), 9, r"secure\.test.* no DNSKEY", id="no keys"),
    pytest.param(
        with_ds(SECURE, key_tag=1), 9, r"no key of secure\.test.*key tag 1 wanted, \d+, \d+ there", id="DS"
    ),
    pytest.param(signed_by_another_key(SECURE), 9, r"key \d+ of secure\.test", id="keys by another D11"),
    pytest.param(
        expired(SECURE, RRType.DNSKEY), 7, r"secure\.test\. DNSKEY by key \d+ of", id="keys expired"
    ),
    pytest.param(
        without_reason(SECURE, RRType.DS),
        12,
        r"no proof from test\. that secure\.test\. has no DS",
        id="DS denied",
    ),
    pytest.param(key_trap(SECURE, WWW, RRType.A, keys=300, signatures=2), 6, "302 DNSKEY", id="key trap D1"),
]


@pytest.mark.parametrize(("fault", "name", "ede", "text"), AT_THE_NAME)
async def test_bogus_answer_is_asked_once_more_elsewhere_then_refused_with_words_F23_4035_4_8914_2(
    stage: Stage,
    a: FakeUpstream,
    b: FakeUpstream,
    zones: SignedZones,
    other_zones: SignedZones,
    fault: Fault,
    name: str,
    ede: int,
    text: str,
) -> None:
    zones.faults = other_zones.faults = [fault]
    reply = await stage.ask(name, do=True)
    assert verdict(reply) == "SERVFAIL 0"
    assert not reply.authority
    assert why(reply)[0] == ede
    assert re.search(text, why(reply)[1])
    assert why(reply)[1].endswith("; asked a and b")
    for up in (a, b):
        assert questions_of(up).count(f"{name}. A") == 1
    # The records are at fault, not the zone: its other names go on.
    assert verdict(await stage.ask("h1.secure.test", do=True)) == "NOERROR AD 2"


@pytest.mark.parametrize(("fault", "ede", "text"), AT_THE_ZONE)
async def test_broken_zone_is_refused_and_cheap_the_second_time_F23_9520_6(
    stage: Stage,
    a: FakeUpstream,
    b: FakeUpstream,
    zones: SignedZones,
    other_zones: SignedZones,
    fault: Fault,
    ede: int,
    text: str,
) -> None:
    zones.faults = other_zones.faults = [fault]
    reply = await stage.ask(WWW, do=True)
    assert (verdict(reply), why(reply)[0]) == ("SERVFAIL 0", ede)
    assert re.search(text, why(reply)[1])
    assert why(reply)[1].endswith("; asked a and b")
    before = len(a.queries) + len(b.queries)
    for number in range(20):
        reply = await stage.ask(f"h{number}.secure.test", do=True)
        assert (verdict(reply), why(reply)[0]) == ("SERVFAIL 0", ede)
    assert len(a.queries) + len(b.queries) - before <= 20  # the names themselves, once each
    await stage.ask(WWW, do=True)
    assert len(a.queries) + len(b.queries) - before <= 20
    assert verdict(await stage.ask("www.hashed.test", do=True)) == "NOERROR AD 2"


async def test_with_one_upstream_bogus_is_refused_at_once_F23(
    alone: Stage, a: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [expired(WWW, RRType.A)]
    reply = await alone.ask(WWW)
    assert why(reply)[0] == EDE.SIGNATURE_EXPIRED
    assert why(reply)[1].endswith("; asked a")
    assert questions_of(a).count(f"{WWW}. A") == 1


async def test_long_words_keep_the_names_of_the_upstreams_F23(
    zones: SignedZones, a: FakeUpstream, play: Play
) -> None:
    zones.faults = [not_yet_valid(WWW, RRType.A)]
    stage = play(table(a, "a" * 60) + dnssec(zones))
    assert why(await stage.ask(WWW))[1].endswith(f" ...; asked {'a' * 60}")


# The liar


LIES = [
    pytest.param(mangled(WWW, RRType.A), id="forged"),
    pytest.param(tampered(WWW, RRType.A), id="data changed"),
    pytest.param(stripped(WWW, RRType.A), id="stripped"),
    pytest.param(said(WWW, RRType.A, RCode.NXDOMAIN), id="denied"),
    pytest.param(without(SECURE, RRType.DNSKEY), id="no keys"),
    pytest.param(without_reason(SECURE, RRType.DS), id="DS denied"),
]


@pytest.mark.parametrize("lie", LIES)
async def test_honest_upstream_serves_and_the_liar_is_scored_down_F23(
    stage: Stage, a: FakeUpstream, b: FakeUpstream, zones: SignedZones, lie: Fault
) -> None:
    zones.faults = [lie]
    reply = await stage.ask(WWW, do=True)
    assert verdict(reply) == "NOERROR AD 3"
    assert not told(reply)
    liar, honest = stage.members
    assert liar.back_at > asyncio.get_running_loop().time()
    assert (liar.lies, honest.lies) == (1.0, 0.0)
    count = len(a.queries)
    assert verdict(await stage.ask("www.hashed.test", do=True)) == "NOERROR AD 2"
    assert len(a.queries) == count  # others are preferred for a while


async def test_upstream_that_goes_on_lying_is_left_alone_longer_and_longer_and_put_into_quarantine_F23(
    stage: Stage, zones: SignedZones, warp: Warp, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answers in between say nothing for it as long as over a fifth of them are bogus."""
    zones.faults = [mangled(None, RRType.A)]
    liar = stage.members[0]
    pauses = []
    for number in range(12):
        now = warp.time()
        assert verdict(await stage.ask(f"h{number}.secure.test", do=True)) == "NOERROR AD 2"
        pauses.append(liar.back_at - now)
        await warp.advance(liar.back_at - now)
        await stage.ask(f"h{number}.secure.test", RRType.AAAA, do=True)  # it does not lie about that
    begins = next(index for index, pause in enumerate(pauses) if pause > 1.2 * MAX_BACKOFF_S)
    for index, pause in enumerate(pauses[:begins]):
        least = FIRST_BACKOFF_S * 2 ** (0.75 * index)
        assert 0.79 * least <= pause <= 1.2 * MAX_BACKOFF_S
    assert pauses[begins:] == [pytest.approx(QUARANTINE_S)] * (len(pauses) - begins)
    [alert] = [record for record in caplog.records if record.levelno == logging.ERROR][:1]
    assert "upstream a gives answers that fail validation" in alert.getMessage()


async def test_one_broken_answer_among_many_good_ones_is_forgiven_F23(
    stage: Stage, zones: SignedZones
) -> None:
    zones.faults = [mangled(WWW, RRType.A)]
    liar, honest = stage.members
    await stage.ask(WWW)
    honest.back_at = asyncio.get_running_loop().time() + 60
    liar.back_at = 0.0
    for number in range(4):
        await stage.ask(f"h{number}.secure.test")
    assert liar.lies == 0.0


async def test_liar_still_serves_while_the_other_is_down_F23(
    stage: Stage, b: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [mangled(WWW, RRType.A)]
    await stage.ask(WWW)
    await b.stop()
    assert verdict(await stage.ask("h1.secure.test", do=True)) == "NOERROR AD 2"


async def test_what_the_first_upstream_said_stands_if_the_other_gives_no_answer_F23(
    stage: Stage, b: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [expired(WWW, RRType.A)]
    b.faults.rcode = RCode.SERVFAIL
    code, text = why(await stage.ask(WWW))
    assert code == EDE.SIGNATURE_EXPIRED
    assert text.endswith("; asked a")


async def test_what_the_first_upstream_said_stands_if_the_other_has_no_keys_to_give_F23(
    stage: Stage, b: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [without(SECURE, RRType.DNSKEY)]
    b.faults.only = lambda seen: b"\6secure\4test\0\0\x30" in seen.wire
    b.faults.rcode = RCode.SERVFAIL
    code, text = why(await stage.ask(WWW))
    assert code == EDE.DNSKEY_MISSING
    assert text.endswith("; asked a")


# For how long


async def test_bogus_name_is_refused_for_5_s_doubling_to_60_s_9520_6(
    alone: Stage, a: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [expired(WWW, RRType.A)]
    await _looks_again(alone, a, WWW)


async def test_broken_zone_is_refused_for_5_s_doubling_to_60_s_9520_6(
    alone: Stage, a: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [expired(SECURE, RRType.DNSKEY)]
    await _looks_again(alone, a, WWW)


async def _looks_again(stage: Stage, up: FakeUpstream, name: str) -> None:
    """See when a name is asked for again, if a client wants it all the time."""
    times = []
    for _ in range(190):
        before = len(up.queries)
        assert verdict(await stage.ask(name)) == "SERVFAIL 0"
        if len(up.queries) > before:
            times.append(stage.clock.now)
        stage.clock.now += 1
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == [BOGUS_FIRST_S, 10, 20, 40, BOGUS_MOST_S]


async def test_zone_that_was_mended_is_good_after_the_pause(alone: Stage, zones: SignedZones) -> None:
    zones.faults = [expired(SECURE, RRType.DNSKEY)]
    await alone.ask(WWW)
    zones.faults = []
    assert verdict(await alone.ask(WWW)) == "SERVFAIL 0"
    alone.clock.now += BOGUS_FIRST_S
    assert verdict(await alone.ask(WWW, do=True)) == "NOERROR AD 3"


# Stale, CD, dead ends


@pytest.mark.parametrize("fault", [expired(WWW, RRType.A), stripped(WWW), without(SECURE, RRType.DNSKEY)])
async def test_bogus_refresh_gives_the_stale_answer_without_ad_and_does_not_replace_it_D18(
    alone: Stage, zones: SignedZones, fault: Fault
) -> None:
    first = await alone.ask(WWW, do=True)
    assert first.ad
    alone.clock.now += 1000  # past the TTL of the answer and of the keys
    zones.faults = [fault]
    for _ in range(3):
        reply = await alone.ask(WWW, do=True)
        assert verdict(reply) == "NOERROR 3"
        assert [record.rdata for record in reply.answer] == [record.rdata for record in first.answer]
        assert {record.ttl for record in reply.answer} == {30}
        assert set(told(reply)) == {EDE.STALE_ANSWER}
        alone.clock.now += 31
    zones.faults = []
    alone.clock.now += 120
    assert verdict(await alone.ask(WWW, do=True)) == "NOERROR AD 3"


async def test_bogus_data_goes_to_whom_set_cd_and_to_nobody_else_D13_4035_3(
    alone: Stage, zones: SignedZones
) -> None:
    zones.faults = [tampered(WWW, RRType.A)]
    for _ in range(2):
        reply = await alone.ask(WWW, cd=True, do=True)
        assert (verdict(reply), reply.cd) == ("NOERROR 3", True)
        assert verdict(await alone.ask(WWW, do=True)) == "SERVFAIL 0"


async def test_denial_that_only_cd_has_asked_for_denies_nothing_else_D13(
    alone: Stage, a: FakeUpstream, zones: SignedZones
) -> None:
    await alone.ask(NO, cd=True, do=True)
    await alone.ask("also.secure.test", do=True)
    assert "also.secure.test. A" in questions_of(a)
    assert alone.judge.synthesized == 0


@pytest.mark.parametrize("rrtype", [RRType.DS, RRType.DNSKEY])
async def test_alias_in_the_place_of_a_link_ends_at_once_D14(
    alone: Stage, zones: SignedZones, rrtype: RRType
) -> None:
    zones.faults = [alias_instead(SECURE, rrtype, "www.plain.test")]
    began = asyncio.get_running_loop().time()
    assert verdict(await alone.ask(WWW)) == "SERVFAIL 0"
    assert asyncio.get_running_loop().time() - began < 1.0


@pytest.mark.parametrize("rrtype", [RRType.DS, RRType.DNSKEY])
async def test_alias_to_the_very_name_in_the_place_of_a_link_ends_at_once_D14(
    alone: Stage, zones: SignedZones, rrtype: RRType
) -> None:
    zones.faults = [alias_instead(SECURE, rrtype, SECURE)]
    assert verdict(await alone.ask(WWW)) == "SERVFAIL 0"


async def test_aliases_in_a_circle_are_refused_D14_R1(alone: Stage, zones: SignedZones) -> None:
    """The upstream says so with SERVFAIL; nobody runs around in it."""
    zone = zones.zone(SECURE)
    links = [("x.secure.test", "y.secure.test"), ("y.secure.test", "x.secure.test")]
    answer = [record for owner, target in links for record in zone.signed([_alias(owner, target)])]
    zones.faults = [said("x.secure.test", RRType.A, answer=answer)]
    reply = await alone.ask("x.secure.test", do=True)
    assert len(reply.answer) <= 4
    assert reply.rcode in (RCode.NOERROR, RCode.SERVFAIL)


def _alias(owner: str, target: str) -> Record:
    return Record(from_text(owner), RRType.CNAME, RRClass.IN, 300, from_text(target))


@pytest.mark.parametrize("octets", [b"", b"\0", b"\xff" * 40], ids=["empty", "one", "noise"])
async def test_records_with_malformed_rdata_end_in_servfail_not_in_an_exception(
    alone: Stage, zones: SignedZones, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def spoil(rdatas: Sequence[bytes]) -> list[bytes]:
        return [octets]

    for name, rrtype in ((SECURE, RRType.DNSKEY), (SECURE, RRType.DS), (None, RRType.NSEC)):
        zones.faults = [tampered(name, rrtype, spoil)]
        assert verdict(await alone.ask(NO, do=True)) == "SERVFAIL 0"
        alone.clock.now += 200
    assert "internal" not in caplog.text
    assert "cannot judge" not in caplog.text


async def test_message_with_an_answer_to_another_name_is_bogus_not_nodata(
    alone: Stage, zones: SignedZones
) -> None:
    other = zones.zone(SECURE).rrset(from_text("m.secure.test"), RRType.A)
    zones.faults = [asked(WWW, RRType.A, said(WWW, RRType.A, answer=other))]
    assert verdict(await alone.ask(WWW, do=True)) == "SERVFAIL 0"
