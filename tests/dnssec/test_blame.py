"""What a failure is held against: the records, or the zone and with it all its names."""

import pytest

from secdns.dns.message import Question
from secdns.dns.name import from_text
from secdns.dnssec.limits import SIGNATURES, Budget
from secdns.dnssec.validator import validate
from secdns.dnssec.verdict import Status
from secdns.iana import EDE, RRType
from secdns.testing import Fault, SignedZones, Signing, ZoneData
from secdns.testing.broken import edited, expired, key_trap, mangled, said, stripped, with_ds, without
from tests.dnssec.dialogue import Dialogue, trust_in

ZONES: dict[str, ZoneData] = {
    "test": {"@": {"TXT": "top"}},
    "secure.test": {"www": {"A": "192.0.2.1"}, "m": {"A": "192.0.2.2"}},
}
WWW = "www.secure.test"
SECURE = "secure.test"


@pytest.fixture
def zones() -> SignedZones:
    return SignedZones(ZONES, Signing())


@pytest.mark.parametrize(
    ("fault", "ede"),
    [
        pytest.param(stripped(WWW, RRType.A), EDE.RRSIGS_MISSING, id="unsigned"),
        pytest.param(mangled(WWW, RRType.A), EDE.DNSSEC_BOGUS, id="forged"),
        pytest.param(expired(WWW, RRType.A), EDE.SIGNATURE_EXPIRED, id="expired"),
        pytest.param(said(WWW, RRType.A, 3), EDE.NSEC_MISSING, id="denied"),
    ],
)
def test_record_that_fails_says_nothing_about_its_zone_4035_4(
    zones: SignedZones, fault: Fault, ede: EDE
) -> None:
    """An upstream that blocks one name without a signature has not broken the others."""
    zones.faults = [fault]
    verdict = Dialogue(zones).judge(WWW)
    assert (verdict.status, verdict.zone) == (Status.BOGUS, None)
    assert verdict.reason is not None
    assert verdict.reason.ede == ede


@pytest.mark.parametrize(
    ("fault", "ede"),
    [
        pytest.param(without(SECURE, RRType.DNSKEY), EDE.DNSKEY_MISSING, id="no keys"),
        pytest.param(stripped(SECURE, RRType.DNSKEY), EDE.RRSIGS_MISSING, id="unsigned keys"),
        pytest.param(with_ds(SECURE, key_tag=1), EDE.DNSKEY_MISSING, id="DS"),
        pytest.param(key_trap(SECURE, WWW, 1, keys=60, signatures=1), EDE.DNSSEC_BOGUS, id="keys D1"),
    ],
)
def test_chain_that_breaks_at_a_zone_is_held_against_it_9520_6(
    zones: SignedZones, fault: Fault, ede: EDE
) -> None:
    zones.faults = [fault]
    verdict = Dialogue(zones).judge(WWW)
    assert (verdict.status, verdict.zone) == (Status.BOGUS, from_text(SECURE))
    assert verdict.reason is not None
    assert verdict.reason.ede == ede
    assert SECURE in verdict.reason.text


def test_too_many_ds_are_held_against_their_zone_D1(zones: SignedZones) -> None:
    zones.faults = [edited(SECURE, RRType.DS, lambda rdatas: [bytes([n]) + rdatas[0][1:] for n in range(9)])]
    verdict = Dialogue(zones).judge(WWW)
    assert (verdict.status, verdict.zone) == (Status.BOGUS, from_text(SECURE))


def test_what_another_validation_has_learnt_meanwhile_is_not_checked_again_C1(zones: SignedZones) -> None:
    """Two ask the same at the same time; the first has checked the links when the second goes on."""
    talk = Dialogue(zones, trust_in(zones))
    trials = []
    for name in (WWW, "m.secure.test"):
        question = Question(from_text(name), RRType.A)
        message = talk.honest(question)
        assert message is not None
        budget = Budget()
        steps = validate(question, message, talk.trust, talk.wall, talk.now, budget)
        trials.append((steps, next(steps), budget))
    spent = []
    for steps, batch, budget in trials:
        with pytest.raises(StopIteration) as end:
            steps.send(tuple(talk.honest(Question(ask.name, ask.rrtype)) for ask in batch))
        assert end.value.value.status is Status.SECURE
        spent.append(SIGNATURES.default - budget.signatures)
    assert spent == [6, 1]


def test_forgiven_chain_is_looked_at_again_and_what_was_proven_stays(zones: SignedZones) -> None:
    zones.faults = [without(SECURE, RRType.DNSKEY)]
    talk = Dialogue(zones)
    verdict = talk.judge(WWW)
    assert verdict.zone is not None
    assert verdict.reason is not None
    keys = talk.trust.keys
    assert keys.refuse(verdict.zone, verdict.reason, talk.now) == 5
    keys.forgive()
    zones.faults = []
    assert talk.judge(WWW).status is Status.SECURE
    assert talk.asked == [("secure.test. DS", "secure.test. DNSKEY")]
    assert keys.strike(verdict.zone, talk.now) == 5
