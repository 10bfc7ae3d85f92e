"""From a trust anchor to the zone that vouches: what is asked, batch by batch, and what is believed."""

import dataclasses

import pytest

from secdns.dns import name as names
from secdns.dns.message import Message, Question, Record
from secdns.dnssec.algorithms import digest
from secdns.dnssec.anchors import Anchors
from secdns.dnssec.chain import Trust
from secdns.dnssec.keys import BOGUS_MOST_S, MAX_ZONES, KeyCache, Zone
from secdns.dnssec.limits import QUERIES
from secdns.dnssec.rrsig import key_tag
from secdns.dnssec.verdict import Reason, Status
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.testing import SignedZones, Signing, ZoneData
from secdns.testing.broken import (
    aged,
    alias_instead,
    asked,
    edited,
    resigned,
    said,
    stripped,
    with_ds,
    with_extra,
)
from secdns.testing.denials import Denial
from secdns.testing.signing import Terms
from tests.dnssec.dialogue import (
    BOGUS,
    INDETERMINATE,
    INSECURE,
    SECURE,
    Dialogue,
    knows_no_lie,
    trust_anchors,
    trust_in,
)
from tests.testing.signed_lab import KINDS

T = RRType
NAME = names.from_text
WWW: ZoneData = {"www": {"A": "192.0.2.1"}, "alias": {"CNAME": "www"}, "*.wild": {"A": "192.0.2.2"}}


def make_lab(denial: Denial = "nsec") -> SignedZones:
    """Give secure.test with a signed zone far below it, plain.test unsigned, and an island below that."""
    return SignedZones(
        {
            "secure.test": WWW,
            "deep.down.secure.test": WWW,
            "plain.test": WWW,
            "plain.down.secure.test": WWW,
            "island.plain.test": WWW,
        },
        {
            ".": Signing(),
            "test": Signing(),
            "secure.test": Signing(denial=denial),
            "deep.down.secure.test": Signing(),
            "island.plain.test": Signing(algorithms=(8, 13)),
        },
    )


LAB = make_lab()


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue(LAB)


# What is asked.


def test_a_cold_name_two_cuts_down_takes_one_batch(dialogue: Dialogue) -> None:
    assert dialogue.judge("www.secure.test").status is SECURE
    assert dialogue.asked == [
        (". DNSKEY", "test. DS", "secure.test. DS", "test. DNSKEY", "secure.test. DNSKEY")
    ]
    assert dialogue.judge("alias.secure.test").status is SECURE
    assert dialogue.asked == []


def test_what_is_known_is_not_asked_again(dialogue: Dialogue) -> None:
    dialogue.judge("www.secure.test")
    assert dialogue.judge("www.deep.down.secure.test").status is SECURE
    assert dialogue.asked == [
        (
            "down.secure.test. DS",
            "deep.down.secure.test. DS",
            "down.secure.test. DNSKEY",
            "deep.down.secure.test. DNSKEY",
        )
    ]


def test_an_unsigned_name_takes_the_ds_of_all_on_the_way(dialogue: Dialogue) -> None:
    assert dialogue.judge("www.plain.test").status is INSECURE
    assert dialogue.asked == [
        (". DNSKEY", "test. DS", "plain.test. DS", "www.plain.test. DS"),
        ("test. DNSKEY",),
    ]
    assert dialogue.judge("alias.plain.test").status is INSECURE
    assert dialogue.asked == []


def test_a_denial_is_asked_of_the_zone_that_signed_it(dialogue: Dialogue) -> None:
    assert dialogue.judge("no.secure.test").status is SECURE
    assert dialogue.queries == 5
    assert dialogue.judge("no.deep.down.secure.test").status is SECURE
    assert dialogue.queries == 4


def test_the_same_link_is_not_asked_twice_for_one_answer(dialogue: Dialogue) -> None:
    links = [
        link
        for name in ("www.plain.down.secure.test", "www.island.plain.test", "alias.deep.down.secure.test")
        for batch in (dialogue.judge(name), dialogue.asked)[1]
        for link in batch
    ]
    assert len(links) == len(set(links))


@pytest.mark.parametrize("denial", KINDS)
def test_an_empty_non_terminal_on_the_way_is_no_cut_D20(denial: Denial) -> None:
    dialogue = Dialogue(make_lab(denial))
    assert dialogue.judge("www.deep.down.secure.test").status is SECURE
    assert dialogue.judge("www.plain.down.secure.test").status is INSECURE
    assert dialogue.trust.keys.is_no_cut(NAME("down.secure.test"), dialogue.now)
    assert knows_no_lie(dialogue)


@pytest.mark.parametrize("denial", ["nsec", "nsec3", "compact"])
def test_nxdomain_for_a_ds_on_the_way_is_no_end(denial: Denial) -> None:
    """Some servers say so of empty non-terminals; what counts is the proof."""
    dialogue = Dialogue(make_lab(denial))

    def deny(question: Question, message: Message) -> Message:
        is_it = question == Question(NAME("down.secure.test"), T.DS)
        return dataclasses.replace(message, flags=message.flags | RCode.NXDOMAIN) if is_it else message

    dialogue.change = deny
    assert dialogue.judge("www.deep.down.secure.test").status is SECURE
    assert knows_no_lie(dialogue)


# Long ways.


def reverse(prefix: int) -> str:
    """Give the name of one address, cut down to some nibbles from the left."""
    nibbles = "20010db8" + "0" * 23 + "1"
    return ".".join(reversed(nibbles[:prefix])) + ".ip6.arpa"


def arpa(*cuts: int, signed: bool, denial: Denial = "nsec") -> SignedZones:
    """Give ip6.arpa with a zone after each number of nibbles, the last one signed or not."""
    zones: dict[str, ZoneData] = {"ip6.arpa": {}}
    zones.update((reverse(cut), {}) for cut in cuts)
    nibbles = reverse(32).removesuffix("." + reverse(cuts[-1]))
    zones[reverse(cuts[-1])] = {nibbles: {"PTR": "host.secure.test."}}
    signing = {zone: Signing(denial=denial) for zone in (".", "arpa", *zones)}
    if not signed:
        del signing[reverse(cuts[-1])]
    return SignedZones(zones, signing)


@pytest.mark.parametrize("denial", KINDS)
@pytest.mark.parametrize("cuts", [(1,), (3, 8), (3, 8, 12), (8, 16, 31), (31,), (20, 24, 28)])
def test_the_address_of_an_unsigned_network_fits_into_forty_questions_R1(
    cuts: tuple[int, ...], denial: Denial
) -> None:
    dialogue = Dialogue(arpa(*cuts, signed=False, denial=denial))
    assert dialogue.judge(reverse(32), T.PTR).status is INSECURE
    assert dialogue.queries <= QUERIES.default


@pytest.mark.parametrize("denial", KINDS)
@pytest.mark.parametrize("cuts", [(1,), (3, 8), (3, 8, 12), (8, 16, 31), (31,), (20, 24, 28)])
def test_the_address_of_a_signed_network_fits_into_forty_questions_R1(
    cuts: tuple[int, ...], denial: Denial
) -> None:
    dialogue = Dialogue(arpa(*cuts, signed=True, denial=denial))
    assert dialogue.judge(reverse(32), T.PTR).status is SECURE
    assert dialogue.queries <= QUERIES.default
    assert knows_no_lie(dialogue)


def test_whoever_answers_for_the_last_name_leaves_no_cut_before_it_R1() -> None:
    dialogue = Dialogue(arpa(8, signed=True))
    dialogue.judge(reverse(8), T.SOA)
    assert dialogue.judge(reverse(32), T.PTR).status is SECURE
    assert dialogue.queries == 5  # of the 23 names between


def test_an_unsigned_name_deep_in_a_signed_zone_is_bogus_at_once_R1() -> None:
    dialogue = Dialogue(arpa(8, signed=True))
    dialogue.judge(reverse(8), T.SOA)
    verdict = dialogue.judge(reverse(32), T.PTR, stripped(reverse(32), T.PTR))
    assert verdict.status is BOGUS
    assert dialogue.queries == 5


# Where trust begins.


def test_an_anchor_elsewhere_begins_there_and_vouches_for_nothing_else() -> None:
    dialogue = Dialogue(LAB, trust_anchors(*LAB.trust_anchors("secure.test")))
    assert dialogue.judge("www.secure.test").status is SECURE
    assert dialogue.asked == [("secure.test. DNSKEY",)]
    verdict = dialogue.judge("www.plain.test")
    assert (verdict.status, dialogue.asked) == (INSECURE, [])
    assert verdict.reason == Reason(None, "no trust anchor covers it")


def test_an_anchor_may_be_a_key_and_be_the_entry_point_alone() -> None:
    anchors = LAB.trust_anchors("secure.test", T.DNSKEY)
    assert len(anchors) == 1 < len(LAB.zone("secure.test").keys)
    dialogue = Dialogue(LAB, trust_anchors(*anchors))
    assert dialogue.judge("www.secure.test").status is SECURE
    assert dialogue.asked == [("secure.test. DNSKEY",)]


@pytest.mark.parametrize("rrtype", [T.DS, T.DNSKEY])
def test_one_good_anchor_among_several_is_enough_6840_11(rrtype: int) -> None:
    stranger = SignedZones({"secure.test": WWW}).trust_anchors("secure.test", rrtype)
    unsupported = LAB.trust_anchors("secure.test")[0].replace(" 13 ", " 200 ")
    trust = trust_anchors(*stranger, unsupported, *LAB.trust_anchors("secure.test", rrtype))
    assert Dialogue(LAB, trust).judge("www.secure.test").status is SECURE


def test_the_closest_anchor_wins_over_what_stands_above_it() -> None:
    """An island under an unsigned zone is secure, its neighbours are not."""
    trust = trust_anchors(*LAB.trust_anchors(), *LAB.trust_anchors("island.plain.test"))
    dialogue = Dialogue(LAB, trust)
    for _ in range(2):  # with plain.test known to be insecure, too
        assert dialogue.judge("www.island.plain.test").status is SECURE
        assert dialogue.judge("www.plain.test").status is INSECURE
        assert dialogue.judge("island.plain.test", T.DS).status is INSECURE


def test_a_wrong_anchor_is_not_made_good_by_one_further_up() -> None:
    stranger = SignedZones({"secure.test": WWW})
    trust = trust_anchors(*LAB.trust_anchors(), *stranger.trust_anchors("secure.test"))
    dialogue = Dialogue(LAB, trust)
    assert dialogue.judge("www.secure.test").status is BOGUS
    assert dialogue.judge("no.test").status is SECURE


@pytest.mark.parametrize("signer", ["test", "."])
def test_a_signer_above_the_closest_anchor_is_no_way_down_D5(signer: str) -> None:
    dialogue = Dialogue(LAB, trust_anchors(*LAB.trust_anchors("secure.test")))
    terms = Terms(key=LAB.zone(signer).keys[-1], signer=NAME(signer))
    verdict = dialogue.judge("www.secure.test", T.A, resigned("www.secure.test", T.A, terms))
    assert verdict.status is BOGUS


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((" DS", " 13 ", " 200 "), id="DS algorithm"),
        pytest.param((" DS", " 2 ", " 200 "), id="DS digest"),
        pytest.param((" DNSKEY", " 13 ", " 200 "), id="DNSKEY algorithm"),
        pytest.param((" DNSKEY", " 13 ", " 12 "), id="GOST_9906_1"),
    ],
)
def test_anchors_that_cannot_be_used_make_insecure_not_bogus_4035_10(change: tuple[str, str, str]) -> None:
    kind, old, new = change
    texts = LAB.trust_anchors(".", T.DS if kind == " DS" else T.DNSKEY)
    dialogue = Dialogue(LAB, trust_anchors(*(text.replace(old, new) for text in texts)))
    verdict = dialogue.judge("www.secure.test")
    assert verdict.status is INSECURE
    assert verdict.reason is not None
    assert verdict.reason.ede in (EDE.UNSUPPORTED_DNSKEY_ALGORITHM, EDE.UNSUPPORTED_DS_DIGEST_TYPE)
    assert dialogue.trail[0].status is INSECURE


@pytest.mark.parametrize("rrtype", [T.DS, T.DNSKEY])
def test_no_anchor_that_verifies_is_bogus_and_says_so(rrtype: int) -> None:
    other = SignedZones({})
    dialogue = Dialogue(LAB, trust_anchors(*other.trust_anchors(".", rrtype)))
    verdict = dialogue.judge("www.secure.test")
    assert (verdict.status, verdict.zone) == (BOGUS, names.ROOT)
    assert verdict.reason is not None
    assert verdict.reason.ede is EDE.DNSKEY_MISSING
    (wanted,) = [key.tag for key in other.zone().keys if key.is_sep]
    assert f"no key of . fits its trust anchor: key tag {wanted} wanted" in verdict.reason.text
    assert str(LAB.zone().keys[0].tag) in verdict.reason.text


UNREADABLE = b"\1\1\3\x0d" + bytes(64)  # a key for P-256 that is no point of it


@pytest.mark.parametrize(
    ("beside", "want"),
    [pytest.param(False, INSECURE, id="alone"), pytest.param(True, SECURE, id="beside a good one")],
)
def test_a_ds_of_a_key_that_cannot_be_used_makes_insecure_alone_only_4035_10(
    dialogue: Dialogue, beside: bool, want: Status
) -> None:
    octets = digest(2, NAME("secure.test"), UNREADABLE)
    assert octets is not None
    ds = key_tag(UNREADABLE).to_bytes(2) + b"\x0d\2" + octets
    faults = (
        edited("secure.test", T.DNSKEY, lambda rdatas: [*rdatas, UNREADABLE]),
        edited("secure.test", T.DS, lambda rdatas: [*rdatas, ds] if beside else [ds]),
    )
    verdict = dialogue.judge("www.secure.test", T.A, *faults)
    assert verdict.status is want
    if verdict.reason is not None:
        assert verdict.reason.ede is EDE.UNSUPPORTED_DNSKEY_ALGORITHM
        assert "cannot be used here" in verdict.reason.text


def test_the_keys_of_an_anchor_are_handed_on_when_they_were_seen_5011_1(dialogue: Dialogue) -> None:
    verdict = dialogue.judge("www.secure.test")
    assert verdict.anchor_keys is not None
    assert verdict.anchor_keys.zone == names.ROOT
    assert {key.rdata for key in verdict.anchor_keys.keys} == {key.rdata for key in LAB.zone().keys}
    assert dialogue.judge("www.plain.test").anchor_keys is None


def test_below_an_anchor_a_key_has_to_fit_its_ds(dialogue: Dialogue) -> None:
    verdict = dialogue.judge("www.secure.test", T.A, with_ds("secure.test", digest=bytes(32)))
    assert verdict.reason is not None
    assert "no key of secure.test. fits its DS:" in verdict.reason.text


def test_an_island_says_trust_anchor_too() -> None:
    stranger = SignedZones({"secure.test": WWW})
    verdict = Dialogue(LAB, trust_anchors(*stranger.trust_anchors("secure.test"))).judge("www.secure.test")
    assert verdict.reason is not None
    assert "no key of secure.test. fits its trust anchor" in verdict.reason.text


def test_with_every_anchor_revoked_all_is_bogus_5011_1() -> None:
    dialogue = Dialogue(LAB, Trust(Anchors({names.ROOT: ()})))
    verdict = dialogue.judge("www.secure.test")
    assert verdict.status is BOGUS
    assert verdict.reason is not None
    assert "none that is trusted any more" in verdict.reason.text


def test_a_signature_of_a_stranger_makes_no_unsigned_name_bogus_4035_7(dialogue: Dialogue) -> None:
    question = Question(NAME("www.plain.test"), T.A)
    honest = dialogue.honest(question)
    strange = dialogue.honest(Question(NAME("www.secure.test"), T.A)).answer
    rrsigs = [dataclasses.replace(one, name=question.name) for one in strange if one.rrtype == T.RRSIG]
    message = dataclasses.replace(honest, answer=(*honest.answer, *rrsigs))
    assert dialogue.judge_message(question, message).status is INSECURE


def test_a_proof_from_above_judges_no_name_of_a_zone_known_to_be_unsigned(dialogue: Dialogue) -> None:
    dialogue.judge("www.plain.test")
    name = "no.plain.test"
    verdict = dialogue.judge(name, T.A, asked(name, T.A, with_extra("test", "plain.test", T.NSEC)))
    assert verdict.status is INSECURE


# Where it is waived.


def test_a_waiver_covers_its_name_and_below_and_nothing_else_7646_1() -> None:
    dialogue = Dialogue(LAB, trust_in(LAB, "deep.down.secure.test"))
    fault = stripped(None, T.A)
    for name in ("www.deep.down.secure.test", "deep.down.secure.test"):
        verdict = dialogue.judge(name, T.A, fault)
        assert (verdict.status, dialogue.asked) == (INSECURE, [])
    assert dialogue.judge("www.deep.down.secure.test", T.A, fault).reason == Reason(
        None, "deep.down.secure.test. is not checked: the configuration says so"
    )
    for name in ("www.secure.test", "x.wild.secure.test"):
        assert dialogue.judge(name, T.A, fault).status is BOGUS


def test_a_waiver_ends_7646_1() -> None:
    trust = trust_in(LAB)
    dialogue = Dialogue(LAB)
    anchors = trust.anchors.waive(NAME("secure.test"), dialogue.now, 3600)
    dialogue.trust = dataclasses.replace(trust, anchors=anchors)
    fault = stripped("www.secure.test", T.A)
    assert dialogue.judge("www.secure.test", T.A, fault).status is INSECURE
    dialogue.now += 3600
    assert dialogue.judge("www.secure.test", T.A, fault).status is BOGUS


def test_an_anchor_below_a_waiver_is_believed_7646_1() -> None:
    trust = trust_anchors(
        *LAB.trust_anchors(), *LAB.trust_anchors("deep.down.secure.test"), waived=["secure.test"]
    )
    dialogue = Dialogue(LAB, trust)
    fault = stripped(None, T.A)
    assert dialogue.judge("www.secure.test", T.A, fault).status is INSECURE
    assert dialogue.judge("www.deep.down.secure.test", T.A, fault).status is BOGUS
    assert dialogue.judge("www.deep.down.secure.test").status is SECURE


def test_a_waived_alias_keeps_its_target_checked_7646_1() -> None:
    lab = SignedZones({"a.test": {"x": {"CNAME": "www.b.test."}}, "b.test": WWW})
    dialogue = Dialogue(lab, trust_in(lab, "a.test"))
    assert dialogue.judge("x.a.test").status is INSECURE
    assert dialogue.judge("x.a.test", T.A, stripped("www.b.test", T.A)).status is BOGUS


def test_a_waived_denial_needs_no_proof_and_keeps_its_soa_7646_1() -> None:
    dialogue = Dialogue(LAB, trust_in(LAB, "secure.test"))
    verdict = dialogue.judge("no.secure.test", T.A, stripped())
    assert (verdict.status, verdict.denied) == (INSECURE, None)
    assert [record.rrtype for record in verdict.message.authority] == [T.SOA]


# What is missing.


@pytest.mark.parametrize("reply", [None, RCode.SERVFAIL, RCode.REFUSED])
@pytest.mark.parametrize(
    "link", [". DNSKEY", "test. DS", "test. DNSKEY", "secure.test. DS", "secure.test. DNSKEY"]
)
def test_a_link_that_cannot_be_had_leaves_it_open_and_is_not_remembered(
    dialogue: Dialogue, link: str, reply: int | None
) -> None:
    name, _, kind = link.partition(" ")
    wanted = Question(NAME(name), RRType[kind])

    def fail(question: Question, message: Message) -> Message | None:
        if question != wanted:
            return message
        return None if reply is None else Message(flags=0x8180 | reply, question=(question,))

    dialogue.change = fail
    verdict = dialogue.judge("www.secure.test")
    assert (verdict.status, verdict.zone) == (INDETERMINATE, NAME(name))
    assert verdict.reason is not None
    assert verdict.reason.text == f"the upstream gave no answer for {name} {kind}"
    step = next(step for step in dialogue.trail if step.status is INDETERMINATE)
    assert (step.owner, step.rrtype) == (wanted.name, wanted.rrtype)
    dialogue.change = lambda question, message: message
    assert dialogue.judge("www.secure.test").status is SECURE


def test_a_chain_that_breaks_names_the_zone_where_it_does(dialogue: Dialogue) -> None:
    for name in ("test", "secure.test"):
        verdict = Dialogue(LAB).judge("www.secure.test", T.A, stripped(name, T.DNSKEY))
        assert (verdict.status, verdict.zone) == (BOGUS, NAME(name))
        verdict = Dialogue(LAB).judge("www.secure.test", T.A, with_ds(name, key_tag=1))
        assert (verdict.status, verdict.zone) == (BOGUS, NAME(name))


def test_a_broken_link_is_not_remembered_by_itself(dialogue: Dialogue) -> None:
    assert dialogue.judge("www.secure.test", T.A, stripped("secure.test", T.DNSKEY)).status is BOGUS
    assert dialogue.judge("www.secure.test").status is SECURE


@pytest.mark.parametrize("link", [T.DS, T.DNSKEY])
def test_an_alias_for_a_link_is_never_no_ds_D14(dialogue: Dialogue, link: int) -> None:
    fault = alias_instead("secure.test", link, "www.plain.test")
    for more in ((), (stripped("www.secure.test", T.A),)):
        assert dialogue.judge("www.secure.test", T.A, fault, *more).status is BOGUS


def test_where_an_alias_stands_no_zone_begins_D14(dialogue: Dialogue) -> None:
    owner = NAME("x.alias.secure.test")
    forged = Record(owner, T.A, RRClass.IN, 300, b"\x0a\0\0\1")
    verdict = dialogue.judge("x.alias.secure.test", T.A, said("x.alias.secure.test", T.A, answer=(forged,)))
    assert verdict.status is BOGUS
    assert dialogue.trust.keys.is_no_cut(NAME("alias.secure.test"), dialogue.now)


# What is remembered, and for how long.


def test_keys_are_known_for_as_long_as_their_ttls_allow_4035_8(dialogue: Dialogue) -> None:
    fault = asked("secure.test", T.DS, aged(240))  # 60 of 300 seconds are left
    assert dialogue.judge("www.secure.test", T.A, fault).status is SECURE
    dialogue.now += 59
    dialogue.judge("www.secure.test")
    assert dialogue.asked == []
    dialogue.now += 1
    dialogue.judge("www.secure.test")
    assert dialogue.asked == [("secure.test. DS", "secure.test. DNSKEY")]


def test_keys_with_a_ttl_of_0_serve_one_answer(dialogue: Dialogue) -> None:
    fault = aged(10**6)
    for _ in range(2):
        assert dialogue.judge("www.secure.test", T.A, fault).status is SECURE
        assert dialogue.queries == 5


def test_an_insecure_zone_is_known_for_the_ttl_of_its_proof(dialogue: Dialogue) -> None:
    dialogue.judge("www.plain.test")
    dialogue.now += 59
    dialogue.judge("www.plain.test")
    assert dialogue.asked == []
    dialogue.now += 1
    dialogue.judge("www.plain.test")
    assert dialogue.asked[0][0] == "plain.test. DS"


def test_no_cut_is_known_for_an_hour_at_most() -> None:
    keys = KeyCache()
    name = NAME("down.secure.test")
    keys.learn_no_cut(name, 10, 0.0)
    assert (keys.is_no_cut(name, 9.9), keys.is_no_cut(name, 10.0)) == (True, False)
    keys.learn_no_cut(name, 86_400, 0.0)
    assert (keys.is_no_cut(name, 3599), keys.is_no_cut(name, 3600)) == (True, False)


def test_a_refused_zone_is_left_alone_for_5_s_doubling_to_60_s_9520_1() -> None:
    keys = KeyCache()
    name, reason = NAME("broken.test"), Reason(EDE.DNSSEC_BOGUS, "it is broken")
    now, pauses = 0.0, []
    for _ in range(6):
        pauses.append(keys.refuse(name, reason, now))
        assert keys.zone(name, now + pauses[-1] - 0.1) == Zone(name, Status.BOGUS, reason=reason)
        now += pauses[-1]
        assert keys.zone(name, now) is None
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert keys.refuse(name, reason, now + 2 * BOGUS_MOST_S) == 5  # a quiet time, and it begins anew


def test_a_refused_zone_costs_nothing_and_its_neighbours_are_well_9520_3(dialogue: Dialogue) -> None:
    dialogue.judge("no.test")
    dialogue.trust.keys.refuse(NAME("secure.test"), Reason(EDE.DNSSEC_BOGUS, "it is broken"), dialogue.now)
    for name in ("www.secure.test", "no.secure.test"):
        verdict = dialogue.judge(name)
        assert (verdict.status, dialogue.asked, verdict.zone) == (BOGUS, [], NAME("secure.test"))
    assert dialogue.judge("www.plain.test").status is INSECURE
    dialogue.now += 5
    assert dialogue.judge("www.secure.test").status is SECURE


def test_the_cache_is_bounded_and_the_longest_unused_goes() -> None:
    keys = KeyCache()
    first, second = (Zone(NAME(x), Status.INSECURE, reason=Reason(None, "")) for x in ("first", "second"))
    keys.learn(first, 60, 0.0)
    keys.learn(second, 60, 0.0)
    for number in range(MAX_ZONES - 1):
        keys.zone(first.name, 0.0)
        keys.learn(Zone(b"\x04%04d\0" % number, Status.INSECURE), 60, 0.0)
    assert keys.zone(first.name, 0.0) == first
    assert keys.zone(second.name, 0.0) is None


def test_a_zone_learnt_again_takes_no_other_ones_place_in_a_full_cache() -> None:
    assert MAX_ZONES == 4096
    keys = KeyCache()
    zones = [Zone(b"\x04%04d\0" % number, Status.INSECURE) for number in range(MAX_ZONES)]
    for zone in [*zones, zones[1]]:
        keys.learn(zone, 60, 0.0)
    assert keys.zone(zones[0].name, 0.0) == zones[0]
    keys.learn(Zone(NAME("another"), Status.INSECURE), 60, 0.0)
    assert keys.zone(zones[1].name, 0.0) == zones[1]


def test_a_new_key_is_seen_when_the_old_set_has_run_out(dialogue: Dialogue) -> None:
    dialogue.judge("www.secure.test")
    dialogue.zones = make_lab()
    dialogue.trust = dataclasses.replace(dialogue.trust, anchors=trust_in(dialogue.zones).anchors)
    assert dialogue.judge("www.secure.test").status is BOGUS
    dialogue.now += 300
    assert dialogue.judge("www.secure.test").status is SECURE


@pytest.mark.parametrize("limit", [T.DS, T.DNSKEY])
def test_too_many_keys_or_ds_records_are_refused_D1(dialogue: Dialogue, limit: int) -> None:
    more = [b"\0\1\x0d\2" + number.to_bytes(32) for number in range(20)]
    fault = edited("secure.test", limit, lambda rdatas: [*rdatas, *more])
    verdict = dialogue.judge("www.secure.test", T.A, fault)
    assert verdict.status is BOGUS
    assert verdict.reason is not None
    assert "are taken" in verdict.reason.text


# What it looks like to somebody who looks.


def test_the_trail_leads_from_the_anchor_to_the_name(dialogue: Dialogue) -> None:
    dialogue.judge("www.secure.test")
    steps = [(names.to_text(link.owner), link.rrtype, names.to_text(link.zone)) for link in dialogue.trail]
    assert steps == [
        (".", T.DNSKEY, "."),
        ("test.", T.DS, "."),
        ("test.", T.DNSKEY, "test."),
        ("secure.test.", T.DS, "test."),
        ("secure.test.", T.DNSKEY, "secure.test."),
        ("www.secure.test.", T.A, "secure.test."),
    ]
    assert {link.status for link in dialogue.trail} == {SECURE}
    assert all(link.by is not None for link in dialogue.trail)
