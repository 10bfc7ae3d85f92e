"""What clients see of good answers and of unsigned ones, and what the upstream is asked."""

from itertools import product

import pytest

from secdns.dns.message import Message, Question
from secdns.dns.name import from_text
from secdns.iana import RCode, RRType
from secdns.policy import parse_hosts
from secdns.testing import FakeUpstream, SignedZones
from secdns.testing.broken import aged, asked, changed, expired
from tests.forwarder.stage import route, table, told
from tests.validation.conftest import Play
from tests.validation.stage import WWW, Stage, dnssec, types, verdict
from tests.validation.stage import asked as questions_of

GOOD = [
    pytest.param(WWW, RRType.A, "NOERROR AD 3", id="an RRset"),
    pytest.param("alias.secure.test", RRType.A, "NOERROR AD 5", id="an alias in its zone"),
    pytest.param("x.wild.secure.test", RRType.A, "NOERROR AD 2", id="a wildcard"),
    pytest.param("no.secure.test", RRType.A, "NXDOMAIN AD 0", id="NXDOMAIN by NSEC"),
    pytest.param(WWW, RRType.MX, "NOERROR AD 0", id="NODATA by NSEC"),
    pytest.param("no.hashed.test", RRType.A, "NXDOMAIN AD 0", id="NXDOMAIN by NSEC3"),
    pytest.param("no.compact.test", RRType.A, "NOERROR AD 0", id="compact denial"),
    pytest.param("secure.test", RRType.DS, "NOERROR AD 2", id="a DS"),
    pytest.param("secure.test", RRType.DNSKEY, "NOERROR AD 3", id="keys"),
    pytest.param("plain.test", RRType.DS, "NOERROR AD 0", id="no DS, proven"),
    pytest.param("www.optout.test", RRType.A, "NOERROR AD 2", id="signed data in an opt-out zone"),
]
UNSIGNED = [
    pytest.param("www.plain.test", RRType.A, "NOERROR 1", None, id="an unsigned zone"),
    pytest.param("no.plain.test", RRType.A, "NXDOMAIN 0", None, id="NXDOMAIN of an unsigned zone"),
    pytest.param("away.secure.test", RRType.A, "NOERROR 3", None, id="an alias into an unsigned zone"),
    pytest.param("www.leaf.optout.test", RRType.A, "NOERROR 1", None, id="left out by opt-out"),
    pytest.param("no.optout.test", RRType.A, "NXDOMAIN 0", None, id="NXDOMAIN by opt-out"),
    pytest.param("no.costly.test", RRType.A, "NXDOMAIN 0", 27, id="too many NSEC3 iterations 9276_2"),
    pytest.param("www.sha1.test", RRType.A, "NOERROR 2", 1, id="an algorithm that is not checked 4035_10"),
]


@pytest.mark.parametrize(("name", "rrtype", "want"), GOOD)
async def test_answer_whose_chain_holds_has_ad_4035_6_6840_8(
    alone: Stage, name: str, rrtype: RRType, want: str
) -> None:
    assert verdict(reply := await alone.ask(name, rrtype, do=True)) == want
    assert not told(reply)


@pytest.mark.parametrize(("name", "rrtype", "want", "ede"), UNSIGNED)
async def test_answer_that_is_proven_to_have_no_chain_is_given_without_ad_4035_6(
    alone: Stage, name: str, rrtype: RRType, want: str, ede: int | None
) -> None:
    assert verdict(reply := await alone.ask(name, rrtype, do=True)) == want
    assert set(told(reply)) == (set() if ede is None else {ede})


async def test_validates_over_either_transport(
    a: FakeUpstream, zones: SignedZones, play: Play, scheme: str
) -> None:
    stage = play(table(a, scheme=scheme) + dnssec(zones))
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR AD 3"
    assert verdict(await stage.ask("no.hashed.test", do=True)) == "NXDOMAIN AD 0"
    assert {seen.scheme for seen in a.queries} == {scheme}


@pytest.mark.parametrize("name", [WWW, "no.secure.test"])
async def test_ad_goes_to_whom_set_ad_or_do_and_never_with_cd_6840_7_6840_8_4035_3(
    alone: Stage, name: str
) -> None:
    for _ in range(2):  # from the upstream, then from the cache
        for ad, cd, do in product((False, True), repeat=3):
            reply = await alone.ask(name, ad=ad, cd=cd, do=do)
            assert reply.ad == ((ad or do) and not cd), (ad, cd, do)
            assert reply.cd == cd


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
async def test_do_0_gets_no_dnssec_records_whatever_filled_the_cache_4035_5(
    alone: Stage, a: FakeUpstream, first: bool, second: bool
) -> None:
    for name in (WWW, "no.secure.test", "no.hashed.test", "x.wild.secure.test"):
        for do in (first, second):
            reply = await alone.ask(name, do=do)
            signed = (types(reply.answer) | types(reply.authority)) & {"RRSIG", "NSEC", "NSEC3"}
            assert bool(signed) == do
        assert questions_of(a).count(f"{name}. A") == 1


@pytest.mark.parametrize("rrtype", [RRType.RRSIG, RRType.NSEC, RRType.DNSKEY, RRType.DS])
async def test_do_0_gets_dnssec_records_that_are_asked_for_by_type_4035_5(
    alone: Stage, rrtype: RRType
) -> None:
    reply = await alone.ask("secure.test", rrtype, ad=True)
    assert types(reply.answer) == {rrtype.name}
    assert reply.ad == (rrtype != RRType.RRSIG)  # signatures are not signed themselves


async def test_upstream_is_asked_with_do_and_cd_and_without_ad_4035_1_6840_9_4035_2(
    alone: Stage, a: FakeUpstream
) -> None:
    await alone.ask(WWW, ad=True)
    await alone.ask("no.hashed.test", do=True)
    assert len(a.queries) >= 8
    for seen in a.queries:
        sent = Message.parse(seen.wire)
        assert sent.edns is not None
        assert (sent.edns.do, sent.cd, sent.ad, sent.rd) == (True, True, False, True)
        assert sent.edns.size >= 1220
        assert len(seen.wire) % 128 == 0


async def test_ad_of_the_upstream_is_not_believed_4035_2(alone: Stage, zones: SignedZones) -> None:
    zones.ad = True
    assert verdict(await alone.ask("www.plain.test", do=True)) == "NOERROR 1"


async def test_with_mode_off_cd_is_clear_upstream_and_ad_never_set_6840_9(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    zones.ad = True
    stage = play(table(a) + '[dnssec]\nmode = "off"\n')
    assert verdict(await stage.ask(WWW, ad=True, do=True)) == "NOERROR 3"
    assert verdict(await stage.ask("no.secure.test", ad=True)) == "NXDOMAIN 0"
    sent = [Message.parse(seen.wire) for seen in a.queries]
    assert [(message.cd, message.ad) for message in sent] == [(False, False)] * 2


async def test_records_beside_the_answer_change_nothing_4035_6(alone: Stage, zones: SignedZones) -> None:
    chaff = zones.zone("plain.test").rrset(from_text("www.plain.test"), RRType.A)

    def with_chaff(zones: SignedZones, reply: Message) -> Message:
        return Message(
            reply.id,
            reply.flags,
            reply.question,
            (*reply.answer, *chaff),
            (*reply.authority, *chaff),
            chaff,
            edns=reply.edns,
        )

    zones.faults = [with_chaff]
    for name, want in ((WWW, "NOERROR AD 3"), ("no.secure.test", "NXDOMAIN AD 0")):
        reply = await alone.ask(name, do=True)
        assert verdict(reply) == want
        assert not [r for r in (*reply.answer, *reply.authority) if r.name == from_text("www.plain.test")]


# TTLs


async def test_answer_is_kept_no_longer_than_its_signature_allows_4035_8(
    alone: Stage, a: FakeUpstream, zones: SignedZones
) -> None:
    """Not past the end of the signature, which has 40 s to go."""
    zones.faults = [expired(WWW, RRType.A, ago_s=-40)]
    reply = await alone.ask(WWW, do=True)
    assert 35 <= reply.answer[0].ttl <= 40
    assert {record.ttl for record in reply.answer} == {reply.answer[0].ttl}
    alone.clock.now += 34
    assert verdict(await alone.ask(WWW, do=True)) == "NOERROR AD 3"
    assert questions_of(a).count(f"{WWW}. A") == 1
    alone.clock.now += 7
    await alone.ask(WWW, do=True)
    assert questions_of(a).count(f"{WWW}. A") == 2


async def test_ttl_over_the_original_one_is_cut_to_it_4035_8(alone: Stage, zones: SignedZones) -> None:
    original_ttl = zones.zone("secure.test").rrset(from_text(WWW), RRType.A)[0].ttl
    zones.faults = [asked(WWW, RRType.A, aged(-50_000))]
    assert {record.ttl for record in (await alone.ask(WWW, do=True)).answer} == {original_ttl}


async def test_ttl_of_the_signature_alone_counts_too_4035_8(alone: Stage, zones: SignedZones) -> None:
    def shorter(zones: SignedZones, rrset: tuple, signatures: tuple) -> tuple:  # type: ignore[type-arg]
        return (*rrset, *(s.__class__(s.name, s.rrtype, s.rrclass, 7, s.rdata) for s in signatures))

    zones.faults = [changed(WWW, RRType.A, shorter)]
    assert max(record.ttl for record in (await alone.ask(WWW, do=True)).answer) == 7


# What is not the default upstreams' word


async def test_what_is_made_here_has_no_ad_L11(a: FakeUpstream, zones: SignedZones, play: Play) -> None:
    stage = play(table(a) + dnssec(zones) + '[overrides]\n"www.secure.test" = "10.9.8.7"\n')
    for name in (WWW, "localhost", "printer.local", "x.onion", "1.0.0.10.in-addr.arpa"):
        reply = await stage.ask(name, ad=True, do=True)
        assert not reply.ad, name
    assert (await stage.ask(WWW, do=True)).answer[0].rdata == bytes([10, 9, 8, 7])
    assert not a.queries


async def test_hosts_file_beats_a_signed_name_without_ad_L11(a: FakeUpstream, zones: SignedZones) -> None:
    stage = Stage(table(a) + dnssec(zones), parse_hosts(f"10.0.0.9 {WWW}\n"))
    assert verdict(await stage.ask(WWW, do=True)) == "NOERROR 1"
    await stage.close()


async def test_any_is_answered_minimally_and_leaves_typed_answers_alone_D16(
    alone: Stage, a: FakeUpstream
) -> None:
    for _ in range(2):
        reply = await alone.ask(WWW, RRType.ANY, do=True)
        assert (types(reply.answer), reply.ad) == ({"HINFO"}, False)
        assert verdict(await alone.ask(WWW, do=True)) == "NOERROR AD 3"
    assert questions_of(a).count(f"{WWW}. A") == 1


async def test_nxname_is_formerr_with_ede_30_9824_2(alone: Stage, a: FakeUpstream) -> None:
    reply = await alone.ask("www.compact.test", RRType.NXNAME)
    assert (reply.rcode, set(told(reply))) == (RCode.FORMERR, {30})
    assert not a.queries


async def test_route_is_not_validated_and_keeps_its_own_partition_C4(
    a: FakeUpstream, zones: SignedZones, play: Play
) -> None:
    """The network vouches for the names of a route: its unsigned answer for a signed name is good."""
    inside = {"secure.test": {"www": {"A": "10.0.0.1"}}, "test": {"other": {"A": "10.0.0.2"}}}
    async with FakeUpstream(inside) as corp:
        stage = play(table(a) + route(["secure.test"], corp.url("udp")) + dnssec(zones))
        reply = await stage.ask(WWW, do=True)
        assert (verdict(reply), reply.answer[0].rdata[0]) == ("NOERROR 1", 10)
        assert verdict(await stage.ask("no.secure.test", do=True)) == "NXDOMAIN 0"
        assert verdict(await stage.ask("www.hashed.test", do=True)) == "NOERROR AD 2"
        (sent, *_) = [Message.parse(seen.wire) for seen in corp.queries]
        assert sent.question == (Question(from_text(WWW), RRType.A),)
        assert not sent.cd
        assert not [question for question in questions_of(a) if "secure" in question]


async def test_name_that_compact_denial_denies_does_not_exist_for_clients_without_do_9824_3(
    alone: Stage,
) -> None:
    for name, plain in (("no.compact.test", RCode.NXDOMAIN), ("www.compact.test", RCode.NOERROR)):
        for _ in range(2):  # asked, then from the cache
            assert (await alone.ask(name, RRType.MX, do=True)).rcode == RCode.NOERROR
            assert (await alone.ask(name, RRType.MX)).rcode == plain
