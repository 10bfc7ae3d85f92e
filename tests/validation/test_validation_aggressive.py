"""Denials that follow from proofs already validated: nobody is asked, and no more is said than is proven."""

import pytest

from secdns.dns.message import Message
from secdns.dns.name import from_text
from secdns.iana import RRType
from secdns.testing import FakeUpstream, SignedZones
from secdns.testing.broken import asked as only_asked
from secdns.testing.broken import expired, with_extra
from tests.forwarder.stage import route, table, told
from tests.validation.conftest import Play
from tests.validation.stage import WWW, Stage, asked, dnssec, types, verdict

# what is asked first, and what follows from it
FOLLOWS = [
    pytest.param("n.secure.test", RRType.A, "o.secure.test", RRType.MX, "NXDOMAIN AD 0", id="NXDOMAIN, NSEC"),
    pytest.param(
        "n.secure.test", RRType.A, "x.y.n.secure.test", RRType.A, "NXDOMAIN AD 0", id="below 8020_1"
    ),
    pytest.param(WWW, RRType.MX, WWW, RRType.TXT, "NOERROR AD 0", id="NODATA, NSEC"),
    pytest.param("m.hashed.test", RRType.MX, "m.hashed.test", RRType.TXT, "NOERROR AD 0", id="NODATA, NSEC3"),
    pytest.param(
        "n.hashed.test", RRType.A, "r.hashed.test", RRType.TXT, "NXDOMAIN AD 0", id="NXDOMAIN, NSEC3"
    ),
    pytest.param(
        "n.hashed.test", RRType.A, "x.y.n.hashed.test", RRType.A, "NXDOMAIN AD 0", id="below, NSEC3 8020_1"
    ),
]


@pytest.mark.parametrize(("first", "first_type", "then", "then_type", "want"), FOLLOWS)
async def test_denial_that_follows_costs_no_question_upstream_8198_1_8020_1(
    alone: Stage, a: FakeUpstream, first: str, first_type: RRType, then: str, then_type: RRType, want: str
) -> None:
    await alone.ask(first, first_type)
    count = len(a.queries)
    for name in (then, then.upper()):
        reply = await alone.ask(name, then_type, do=True)
        assert verdict(reply) == want
        assert reply.question[0].name == from_text(name)
    assert len(a.queries) == count
    assert alone.judge.synthesized == 1  # the second time it is in the cache


@pytest.mark.parametrize("zone", ["secure.test", "hashed.test"])
async def test_synthesised_denial_carries_its_proofs_for_do_1_only_8198_3_4035_5(
    alone: Stage, zone: str
) -> None:
    await alone.ask(f"n.{zone}")
    proof = "NSEC" if zone == "secure.test" else "NSEC3"
    for name in (f"x.n.{zone}", f"y.n.{zone}"):
        assert types((await alone.ask(name, ad=True)).authority) == {"SOA"}
        reply = await alone.ask(name, do=True)
        assert types(reply.authority) == {"SOA", proof, "RRSIG"}
        covered = {record.rdata[:2] for record in reply.authority if record.rrtype == RRType.RRSIG}
        assert covered == {RRType.SOA.to_bytes(2), RRType[proof].to_bytes(2)}


async def test_ttl_of_a_synthesised_denial_counts_down_from_when_its_proof_came_8198_2(
    alone: Stage, a: FakeUpstream
) -> None:
    first = await alone.ask("n.secure.test", do=True)
    ttl_s = min(record.ttl for record in first.authority)
    assert ttl_s > 40
    alone.clock.now += 40
    reply = await alone.ask("o.secure.test", do=True)
    assert max(record.ttl for record in reply.authority) == ttl_s - 40
    alone.clock.now += ttl_s - 41
    assert max(record.ttl for record in (await alone.ask("o.secure.test", do=True)).authority) == 1
    count = len(a.queries)
    alone.clock.now += 1
    await alone.ask("o.secure.test", do=True)
    assert len(a.queries) > count


async def test_ad_is_shaped_for_each_client_of_a_synthesised_denial_6840_8(alone: Stage) -> None:
    await alone.ask("n.secure.test")
    assert not (await alone.ask("o.secure.test")).ad
    assert (await alone.ask("o.secure.test", ad=True)).ad
    assert (await alone.ask("o.secure.test", do=True)).ad


async def test_who_sets_cd_is_answered_by_the_upstream_not_by_what_follows_D13(
    alone: Stage, a: FakeUpstream
) -> None:
    await alone.ask("n.secure.test")
    await alone.ask("o.secure.test", cd=True)
    assert "o.secure.test. A" in asked(a)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param("n.optout.test", "x.n.optout.test", id="opt-out 8198_1"),
        pytest.param("n.costly.test", "x.n.costly.test", id="too many iterations"),
        pytest.param("n.plain.test", "x.n.plain.test", id="an unsigned zone C10"),
        pytest.param("n.secure.test", "n.hashed.test", id="another zone"),
    ],
)
async def test_nothing_follows_from_what_is_not_a_secure_proof_of_that_zone_8198_1_C10(
    alone: Stage, a: FakeUpstream, first: str, then: str
) -> None:
    await alone.ask(first)
    await alone.ask(then)
    assert f"{then}. A" in asked(a)
    assert alone.judge.synthesized == 0


async def test_names_that_exist_are_never_denied_by_what_follows_8198_1(alone: Stage) -> None:
    for name in ("a", "n", "z", "x.www", "x.m"):
        await alone.ask(f"{name}.secure.test")
    for name, want in ((WWW, 3), ("m.secure.test", 2), ("x.wild.secure.test", 2), ("h7.secure.test", 2)):
        assert verdict(await alone.ask(name, do=True)) == f"NOERROR AD {want}"


async def test_wildcard_is_not_denied_to_names_that_it_answers_for_8198_1(alone: Stage) -> None:
    """NODATA of one expansion denies the type to the others, and no other type."""
    assert verdict(await alone.ask("a.wild.secure.test", RRType.MX, do=True)) == "NOERROR AD 0"
    assert verdict(await alone.ask("b.wild.secure.test", do=True)) == "NOERROR AD 2"


async def test_riders_of_a_denial_deny_nothing_C13(alone: Stage, a: FakeUpstream, zones: SignedZones) -> None:
    """A NODATA that brings a signed NSEC it does not rest on: what that would deny is asked for."""
    zones.faults = [only_asked(WWW, RRType.MX, with_extra("secure.test", "m.secure.test", RRType.NSEC))]
    reply = await alone.ask(WWW, RRType.MX, do=True)
    assert (verdict(reply), len(reply.authority)) == ("NOERROR AD 0", 4)
    assert verdict(await alone.ask("n.secure.test", do=True)) == "NXDOMAIN AD 0"
    assert "n.secure.test. A" in asked(a)


async def test_denial_with_a_broken_proof_denies_nothing_C13(
    alone: Stage, a: FakeUpstream, zones: SignedZones
) -> None:
    zones.faults = [only_asked("n.secure.test", RRType.A, expired(None, RRType.NSEC))]
    assert verdict(await alone.ask("n.secure.test", do=True)) == "SERVFAIL 0"
    assert verdict(await alone.ask("o.secure.test", do=True)) == "NXDOMAIN AD 0"
    assert "o.secure.test. A" in asked(a)


async def test_denial_of_the_public_zone_does_not_reach_into_a_route_C10_C4(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    async with FakeUpstream({"n.secure.test": {"x": {"A": "10.0.0.1"}}}) as corp:
        stage = play(table(a) + route(["x.n.secure.test"], corp.url("udp")) + dnssec(zones))
        assert verdict(await stage.ask("n.secure.test", do=True)) == "NXDOMAIN AD 0"
        assert verdict(await stage.ask("x.n.secure.test", do=True)) == "NOERROR 1"


async def test_denial_with_ad_is_not_made_under_a_negative_trust_anchor_7646_1(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    """Its names are not checked, so nothing that was checked may be said of them."""
    stage = play(table(a) + dnssec(zones, 'negative_trust_anchors = ["n.secure.test"]'))
    assert verdict(await stage.ask("o.secure.test", do=True)) == "NXDOMAIN AD 0"  # its NSEC covers both
    assert verdict(await stage.ask("n.secure.test", do=True)) == "NXDOMAIN 0"
    assert "n.secure.test. A" in asked(a)


async def test_flood_of_random_names_below_a_signed_zone_is_one_question_8198_1(
    alone: Stage, a: FakeUpstream
) -> None:
    for number in range(200):
        assert verdict(await alone.ask(f"n{number:03d}.secure.test", ad=True)) == "NXDOMAIN AD 0"
    assert len([question for question in asked(a) if question.startswith("n")]) == 1


async def test_synthesised_denial_has_no_ede_and_the_shape_of_the_upstreams_own(alone: Stage) -> None:
    first = await alone.ask("n.secure.test", do=True)
    then = await alone.ask("o.secure.test", do=True)
    assert told(then) == {}
    assert (then.flags, then.edns) == (first.flags, first.edns)
    assert {record_key(then, index) for index in range(len(then.authority))} == {
        record_key(first, index) for index in range(len(first.authority))
    }


def record_key(message: Message, index: int) -> tuple[bytes, int, bytes]:
    record = message.authority[index]
    return record.name, record.rrtype, record.rdata
