"""One RRset, its RRSIGs, the keys of one zone."""

from dataclasses import replace

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import pytest
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from secdns.dns.message import Record
from secdns.dns.name import ROOT, from_text, to_text
from secdns.dnssec.algorithms import Policy
from secdns.dnssec.canonical import canonical_rdata
from secdns.dnssec.limits import KEYS_PER_RRSIG, RRSIGS_PER_RRSET, SIGNATURES, Budget, OverBudget
from secdns.dnssec.rrsig import Verified, read_key, read_signature
from secdns.dnssec.verdict import Reason
from secdns.errors import FormatError
from secdns.iana import EDE, DNSSECAlgorithm, RRClass, RRType
from tests.dnssec.signing import (
    ALGORITHMS,
    DAY,
    KSK,
    SHA1_TOO,
    WALL,
    WWW,
    ZONE,
    ZSK,
    Signer,
    a,
    check,
    colliding,
    ede,
    expired,
    is_verified,
    rdata_of,
)
from tests.dnssec.vectors import VECTORS, Vector

ECDSA = DNSSECAlgorithm.ECDSAP256SHA256
ED25519 = DNSSECAlgorithm.ED25519


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.source)
def test_examples_of_the_rfcs_verify_4035_7(vector: Vector) -> None:
    key = read_key(vector.dnskey, SHA1_TOO)
    zone = from_text(vector.zone)
    expanded = from_text("*.w.example") if "4035" in vector.source else None
    for wall in (vector.inception, vector.expiration):
        outcome = check([vector.record], [vector.rrsig], [key], wall=wall, zone=zone)
        assert isinstance(outcome, Verified)
        assert outcome.key == key
        assert outcome.expanded_from == expanded
    other = rdata_of(vector.record, vector.record.rdata[:-1] + b"\xff")
    assert ede(check([other], [vector.rrsig], [key], wall=vector.inception, zone=zone)) == EDE.DNSSEC_BOGUS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_verifies_4035_7(algorithm: int) -> None:
    signer = Signer(algorithm)
    records = a("192.0.2.1", "192.0.2.2")
    outcome = check(records, [signer.sign(records)], [signer.key])
    assert isinstance(outcome, Verified)
    assert outcome.key == signer.key
    assert outcome.expanded_from is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(("A", "192.0.2.7", "192.0.2.1"), id="two addresses"),
        pytest.param(("MX", "10 Mail.Example.TEST.", "5 b.example.test."), id="names in mixed case"),
        pytest.param(("TXT", '"b"', '"a"', '"aa"'), id="texts"),
        pytest.param(("SOA", "NS.example.test. Root.example.test. 1 2 3 4 5"), id="SOA"),
        pytest.param(("NSEC", "Next.example.test. A RRSIG NSEC"), id="NSEC, whose name keeps its case"),
    ],
)
def test_what_dnspython_signs_verifies_4034_1(algorithm: int, text: tuple[str, ...]) -> None:
    signer = Signer(algorithm)
    rrset = dns.rrset.from_text("Www.Example.TEST.", 300, "IN", text[0], *text[1:])
    rdata = signer.dnskey.rdata
    dnskey = dns.rdata.from_wire("IN", "DNSKEY", rdata, 0, len(rdata))
    assert isinstance(dnskey, DNSKEY)
    rrsig = dns.dnssec.sign(
        rrset,
        signer.private,
        dns.name.from_text("Example.Test."),
        dnskey,
        inception=WALL,
        lifetime=DAY,
        policy=dns.dnssec.allow_all_policy,
    )
    owner = from_text("Www.Example.TEST")
    records = [Record(owner, rrset.rdtype, RRClass.IN, 300, item.to_wire() or b"") for item in rrset]
    record = Record(owner, RRType.RRSIG, RRClass.IN, 300, rrsig.to_wire() or b"")
    assert is_verified(check(records, [record], [signer.key]))


@pytest.mark.parametrize("algorithm", [DNSSECAlgorithm.RSASHA1, DNSSECAlgorithm.RSASHA1_NSEC3_SHA1])
def test_sha1_signatures_count_by_policy_alone_9905_1(algorithm: int) -> None:
    signer = Signer(algorithm)
    records = a()
    refusing = read_key(signer.dnskey, Policy())
    assert refusing.verifier is None
    outcome = check(records, [signer.sign(records)], [refusing])
    assert ede(outcome) == EDE.UNSUPPORTED_DNSKEY_ALGORITHM
    assert is_verified(check(records, [signer.sign(records)], [read_key(signer.dnskey, SHA1_TOO)]))


# ---- RFC 4035 §5.3.1, line by line ----


def test_rrsig_of_another_owner_is_not_used_4035_7() -> None:
    signer = Signer()
    records = a()
    other = replace(signer.sign(records), name=from_text("ftp.example.test"))
    assert ede(check(records, [other], [signer.key])) == EDE.RRSIGS_MISSING


def test_rrsig_of_another_class_is_not_used_4035_7() -> None:
    signer = Signer()
    records = a()
    other = replace(signer.sign(records), rrclass=RRClass.CH)
    assert ede(check(records, [other], [signer.key])) == EDE.RRSIGS_MISSING


def test_rrsig_that_covers_another_type_is_not_used_4035_7() -> None:
    signer = Signer()
    records = a()
    other = signer.sign(records, covered=RRType.AAAA)
    assert ede(check(records, [other], [signer.key])) == EDE.RRSIGS_MISSING


@pytest.mark.parametrize(
    ("signer_name", "zone"),
    [
        pytest.param("example.test", "test", id="a child of the zone signed"),
        pytest.param("test", "example.test", id="the grandparent signed"),
        pytest.param(".", "example.test", id="the root signed"),
        pytest.param("evil.test", "example.test", id="a stranger signed"),
        pytest.param("www.example.test", "example.test", id="the owner signed"),
    ],
)
def test_signer_is_the_apex_of_the_zone_D5_4035_7(signer_name: str, zone: str) -> None:
    signer = Signer(zone=from_text(signer_name))
    records = a()
    outcome = check(records, [signer.sign(records)], [signer.key], zone=from_text(zone))
    assert ede(outcome) == EDE.DNSSEC_BOGUS
    assert isinstance(outcome, Reason)
    assert f"not by its zone {to_text(from_text(zone))}" in outcome.text


def test_owner_outside_the_zone_is_bogus_M5_D5() -> None:
    signer = Signer()
    records = a(owner=from_text("bank.test"))
    rrsig = signer.sign(records)
    assert ede(check(records, [rrsig], [signer.key])) == EDE.DNSSEC_BOGUS


def test_label_that_ends_in_the_zones_octets_is_outside_D5() -> None:
    signer = Signer()
    records = a(owner=from_text("x\\007example.test"))
    assert ede(check(records, [signer.sign(records)], [signer.key])) == EDE.DNSSEC_BOGUS


def test_wildcard_above_the_zone_is_bogus_M4_D4() -> None:
    attacker = Signer(zone=from_text("example.com"))
    victim = a(owner=from_text("www.victim.com"))
    rrsig = attacker.sign(victim, count=1)  # as *.com
    assert ede(check(victim, [rrsig], [attacker.key], zone=attacker.zone)) == EDE.DNSSEC_BOGUS


@pytest.mark.parametrize(
    ("owner", "count", "want"),
    [
        pytest.param("a.b.example.test", 4, None, id="as many as the owner"),
        pytest.param("a.b.example.test", 3, "*.b.example.test", id="one less"),
        pytest.param("a.b.example.test", 2, "*.example.test", id="as many as the signer"),
        pytest.param("*.example.test", 2, None, id="the wildcard itself"),
        pytest.param("*.b.example.test", 2, "*.example.test", id="a wildcard expanded from a wildcard"),
    ],
)
def test_labels_say_what_was_expanded_4035_7(owner: str, count: int, want: str | None) -> None:
    signer = Signer()
    records = a(owner=from_text(owner))
    outcome = check(records, [signer.sign(records, count=count)], [signer.key])
    assert isinstance(outcome, Verified)
    assert outcome.expanded_from == (want and from_text(want))


@pytest.mark.parametrize(
    ("owner", "count"),
    [
        pytest.param("a.b.example.test", 5, id="more than the owner"),
        pytest.param("a.b.example.test", 255, id="255"),
        pytest.param("a.b.example.test", 1, id="fewer than the signer"),
        pytest.param("a.b.example.test", 0, id="none"),
        pytest.param("*.example.test", 3, id="the star counted"),
        pytest.param("*.example.test", 1, id="wildcard with fewer than the signer"),
    ],
)
def test_labels_are_within_signer_and_owner_D4_4035_7(owner: str, count: int) -> None:
    signer = Signer()
    records = a(owner=from_text(owner))
    outcome = check(records, [signer.sign(records, count=count)], [signer.key])
    assert ede(outcome) == EDE.DNSSEC_BOGUS
    assert isinstance(outcome, Reason)
    assert f"counts {count} labels" in outcome.text


@pytest.mark.parametrize("rrtype", [RRType.NSEC, RRType.NSEC3])
def test_denials_are_never_wildcard_expansions_D9(rrtype: int) -> None:
    signer = Signer()
    records = [Record(from_text("a.b.example.test"), rrtype, RRClass.IN, 300, ZONE + b"\0\1\x40")]
    assert ede(check(records, [signer.sign(records, count=3)], [signer.key])) == EDE.DNSSEC_BOGUS
    assert is_verified(check(records, [signer.sign(records)], [signer.key]))


@pytest.mark.parametrize("rrtype", [0, 41, 46, 128, 249, 250, 251, 252, 253, 254, 255, 65535])
def test_types_that_are_no_data_are_never_verified_D15(rrtype: int) -> None:
    signer = Signer()
    records = [Record(WWW, rrtype, RRClass.IN, 300, b"1234")]
    assert ede(check(records, [signer.sign(records)], [signer.key])) == EDE.DNSSEC_BOGUS


@pytest.mark.parametrize("rrtype", [1, 24, 25, 43, 47, 127, 256, 257, 65280, 65534])
def test_types_that_are_data_are_verified_D15(rrtype: int) -> None:
    signer = Signer()
    records = [Record(WWW, rrtype, RRClass.IN, 300, bytes(20))]
    assert is_verified(check(records, [signer.sign(records)], [signer.key]))


def test_ds_signed_by_the_child_is_bogus_D7() -> None:
    child = Signer()
    records = [Record(ZONE, RRType.DS, RRClass.IN, 300, bytes(36))]
    assert ede(check(records, [child.sign(records)], [child.key])) == EDE.DNSSEC_BOGUS
    parent = Signer(zone=from_text("test"))
    assert is_verified(check(records, [parent.sign(records)], [parent.key], zone=parent.zone))


def test_the_root_signs_the_root() -> None:
    signer = Signer(zone=ROOT)
    records = [Record(ROOT, RRType.NS, RRClass.IN, 300, from_text("a.root-servers.net"))]
    assert is_verified(check(records, [signer.sign(records)], [signer.key], zone=ROOT))


@pytest.mark.parametrize(
    ("flags", "protocol", "want"),
    [
        pytest.param(ZSK, 3, None, id="zone signing key"),
        pytest.param(KSK, 3, None, id="key signing key"),
        pytest.param(0x0000, 3, EDE.NO_ZONE_KEY_BIT_SET, id="no zone key"),
        pytest.param(0x0001, 3, EDE.NO_ZONE_KEY_BIT_SET, id="only a secure entry point"),
        pytest.param(ZSK | 0x80, 3, EDE.DNSSEC_BOGUS, id="revoked"),
        pytest.param(KSK | 0x80, 3, EDE.DNSSEC_BOGUS, id="revoked entry point"),
        pytest.param(ZSK, 2, EDE.DNSKEY_MISSING, id="protocol 2"),
        pytest.param(ZSK, 255, EDE.DNSKEY_MISSING, id="protocol 255"),
        pytest.param(0xFE00 | ZSK, 3, None, id="unknown flags are ignored"),
    ],
)
def test_key_is_a_zone_key_of_protocol_3_not_revoked_4035_7_M8(
    flags: int, protocol: int, want: EDE | None
) -> None:
    signer = Signer(flags=flags, protocol=protocol)
    records = a()
    budget = Budget()
    assert ede(check(records, [signer.sign(records)], [signer.key], budget=budget)) == want
    assert budget.signatures == SIGNATURES.default - (want is None)


def test_key_matches_in_tag_algorithm_and_zone_4035_7() -> None:
    signer = Signer()
    records = a()
    rrsig = signer.sign(records)
    key = signer.key
    for other in (
        replace(key, tag=key.tag ^ 1),
        replace(key, algorithm=DNSSECAlgorithm.ECDSAP384SHA384),
        replace(key, zone=from_text("test")),
    ):
        assert ede(check(records, [rrsig], [other])) == EDE.DNSKEY_MISSING
    assert ede(check(records, [rrsig], [])) == EDE.DNSKEY_MISSING


# ---- time ----


@pytest.mark.parametrize(
    ("wall", "want"),
    [
        pytest.param(WALL, None, id="at inception"),
        pytest.param(WALL + 10 * DAY, None, id="at expiration"),
        pytest.param(WALL - DAY, None, id="a day early is forgiven"),
        pytest.param(WALL - DAY - 1, EDE.SIGNATURE_NOT_YET_VALID, id="over a day early"),
        pytest.param(WALL + 11 * DAY, None, id="a day late is forgiven"),
        pytest.param(WALL + 11 * DAY + 1, EDE.SIGNATURE_EXPIRED, id="over a day late"),
        pytest.param(WALL - 3650 * DAY, EDE.SIGNATURE_NOT_YET_VALID, id="ten years early"),
        pytest.param(WALL + 3650 * DAY, EDE.SIGNATURE_EXPIRED, id="ten years late"),
    ],
)
def test_signature_holds_from_inception_to_expiration_D17_4035_7(wall: int, want: EDE | None) -> None:
    signer = Signer()
    records = a()
    rrsig = signer.sign(records, inception=WALL, expiration=WALL + 10 * DAY)
    budget = Budget()
    assert ede(check(records, [rrsig], [signer.key], wall=wall, budget=budget)) == want
    assert budget.signatures == SIGNATURES.default - (want is None)


@pytest.mark.parametrize(
    ("inception", "expiration", "wall", "want"),
    [
        pytest.param(2**32 - DAY, 2**32 + DAY, 2**32 - 5, None, id="before the wrap of 2106"),
        pytest.param(2**32 - DAY, 2**32 + DAY, 2**32, None, id="at the wrap"),
        pytest.param(2**32 - DAY, 2**32 + DAY, 2**32 + 5, None, id="after the wrap"),
        pytest.param(
            2**32 - DAY, 2**32 + DAY, 2**32 + 3 * DAY, EDE.SIGNATURE_EXPIRED, id="expired after the wrap"
        ),
        pytest.param(WALL, WALL + 2**31 - 1, WALL + 5, None, id="valid for 2**31 - 1"),
        pytest.param(WALL, WALL + 2**31, WALL + 5, EDE.DNSSEC_BOGUS, id="valid for 2**31"),
        pytest.param(WALL, WALL + 2**32, WALL + 5, None, id="2**32 is no time at all"),
        pytest.param(WALL, WALL - 1, WALL, EDE.DNSSEC_BOGUS, id="expires before it is valid"),
        pytest.param(WALL + 1 - 2**31, WALL - 1, WALL, None, id="inception 2**31 - 1 ago"),
        pytest.param(WALL - 2**31, WALL - 1, WALL, EDE.SIGNATURE_NOT_YET_VALID, id="inception 2**31 ago"),
        pytest.param(WALL, WALL, WALL + 2**31, EDE.SIGNATURE_NOT_YET_VALID, id="exactly 2**31 away"),
        pytest.param(WALL, WALL + 9, WALL + 9 + 2**31, EDE.SIGNATURE_NOT_YET_VALID, id="2**31 past the end"),
    ],
)
def test_times_compare_by_serial_arithmetic_M6(
    inception: int, expiration: int, wall: int, want: EDE | None
) -> None:
    signer = Signer()
    records = a()
    rrsig = signer.sign(records, inception=inception, expiration=expiration)
    assert ede(check(records, [rrsig], [signer.key], wall=wall)) == want


@pytest.mark.parametrize(
    ("ttl", "rrsig_ttl", "original_ttl", "left_s", "want"),
    [
        pytest.param(20, 30, 30, 40, 20, id="of the RRset"),
        pytest.param(30, 20, 30, 40, 20, id="of the RRSIG"),
        pytest.param(86400, 86400, 30, 86400, 30, id="original"),
        pytest.param(30, 30, 30, 20, 20, id="time left"),
        pytest.param(30, 30, 30, 0, 0, id="at expiration"),
        pytest.param(30, 30, 30, -60, 0, id="past expiration, within the skew"),
    ],
)
def test_ttl_is_the_least_of_four_4035_8_M7(
    ttl: int, rrsig_ttl: int, original_ttl: int, left_s: int, want: int
) -> None:
    signer = Signer()
    records = a("192.0.2.1", "192.0.2.2", ttl=ttl)
    rrsig = signer.sign(records, expiration=WALL + left_s, original_ttl=original_ttl, ttl=rrsig_ttl)
    outcome = check(records, [rrsig], [signer.key])
    assert isinstance(outcome, Verified)
    assert outcome.ttl_s == want


def test_ttl_is_the_least_of_the_records_4035_8() -> None:
    signer = Signer()
    records = a("192.0.2.1") + a("192.0.2.2", ttl=7)
    outcome = check(records, [signer.sign(records, original_ttl=300)], [signer.key])
    assert isinstance(outcome, Verified)
    assert outcome.ttl_s == 7


# ---- several signatures, several keys ----


def broken(rrsig: Record) -> Record:
    """Give the RRSIG with the last bit of its signature flipped."""
    return rdata_of(rrsig, rrsig.rdata[:-1] + bytes([rrsig.rdata[-1] ^ 1]))


def test_a_good_signature_after_bad_ones_wins() -> None:
    signer = Signer(ED25519)
    other = Signer(ECDSA, number=1)
    records = a()
    rrsigs = [
        broken(signer.sign(records)),
        signer.sign(records, expiration=WALL - 2 * DAY, inception=WALL - 9 * DAY),
        other.sign(records),
        signer.sign(records),
    ]
    assert is_verified(check(records, rrsigs, [signer.key]))


def test_tries_for_one_rrset_are_bounded_D1() -> None:
    signer = Signer(ED25519)
    records = a()
    bad = [broken(signer.sign(records, original_ttl=number)) for number in range(9)]
    good = signer.sign(records)
    budget = Budget()
    most = RRSIGS_PER_RRSET.default
    assert ede(check(records, [*bad, good], [signer.key], budget=budget)) == EDE.DNSSEC_BOGUS
    assert budget.signatures == SIGNATURES.default - most
    assert is_verified(check(records, [*bad[: most - 1], good], [signer.key]))


def test_tries_for_one_signature_are_bounded_D1() -> None:
    signer = Signer(ED25519)
    records = a()
    key = signer.key
    others = colliding(key, 4)
    assert all(other.verifier for other in others)
    budget = Budget()
    most = KEYS_PER_RRSIG.default
    assert ede(check(records, [signer.sign(records)], [*others, key], budget=budget)) == EDE.DNSSEC_BOGUS
    assert budget.signatures == SIGNATURES.default - most
    assert is_verified(check(records, [signer.sign(records)], [*others[: most - 1], key]))


def test_a_key_that_cannot_be_read_takes_a_place_but_no_budget_D1() -> None:
    signer = Signer(ECDSA)
    records = a()
    key = signer.key
    others = [other for other in colliding(key, 8) if other.verifier is None]
    assert len(others) >= KEYS_PER_RRSIG.default
    budget = Budget()
    outcome = check(records, [signer.sign(records)], [*others, key], budget=budget)
    assert ede(outcome) == EDE.UNSUPPORTED_DNSKEY_ALGORITHM
    assert budget.signatures == SIGNATURES.default


def test_the_query_runs_out_of_budget_D1() -> None:
    signer = Signer(ED25519)
    records = a()
    bad = [broken(signer.sign(records, original_ttl=number)) for number in range(4)]
    budget = Budget()
    for _ in range(SIGNATURES.default // 4):
        assert ede(check(records, bad, [signer.key], budget=budget)) == EDE.DNSSEC_BOGUS
    with pytest.raises(OverBudget):
        check(records, bad, [signer.key], budget=budget)


def test_rrsigs_refused_without_cryptography_cost_nothing_up_to_a_bound() -> None:
    signer = Signer(ED25519)
    records = a()
    good = signer.sign(records)
    budget = Budget()
    assert is_verified(check(records, [expired(signer)] * 31 + [good], [signer.key], budget=budget))
    assert budget.signatures == SIGNATURES.default - 1
    assert ede(check(records, [expired(signer)] * 32 + [good], [signer.key])) == EDE.SIGNATURE_EXPIRED


# ---- what is told ----


def early(signer: Signer) -> Record:
    """Give an RRSIG that will be valid in three hours."""
    return signer.sign(a(), inception=WALL + 3 * 3600, expiration=WALL + 10 * 3600)


def reasons() -> dict[str, tuple[list[Record], EDE, str]]:
    """Give RRSIGs, and what they come to, in the order of what helps most."""
    records = a()
    zsk, other, no_zone = Signer(), Signer(number=1), Signer(flags=0)
    parent = Signer(zone=from_text("test"))
    tag, other_tag = zsk.key.tag, other.key.tag
    bad = broken(zsk.sign(records))
    return {
        "expired": (
            [bad, other.sign(records), expired(zsk)],
            EDE.SIGNATURE_EXPIRED,
            f"the signature of www.example.test. A by key {tag} of example.test. "
            "expired 6 days ago, on 2026-09-15 14:13 UTC",
        ),
        "not yet valid": (
            [bad, other.sign(records), early(zsk)],
            EDE.SIGNATURE_NOT_YET_VALID,
            f"the signature of www.example.test. A by key {tag} of example.test. "
            "is valid only in 3 hours, from 2026-09-21 17:13 UTC",
        ),
        "no key": (
            [bad, other.sign(records)],
            EDE.DNSKEY_MISSING,
            f"www.example.test. A is signed by key {other_tag} of example.test., "
            "which the zone does not have",
        ),
        "no match": (
            [parent.sign(records), no_zone.sign(records), bad],
            EDE.DNSSEC_BOGUS,
            f"the signature of www.example.test. A by key {tag} of example.test. does not match",
        ),
        "no zone key": (
            [no_zone.sign(records)],
            EDE.NO_ZONE_KEY_BIT_SET,
            f"www.example.test. A is signed by key {no_zone.key.tag} of example.test., which is no zone key",
        ),
        "another signer": (
            [parent.sign(records)],
            EDE.DNSSEC_BOGUS,
            f"www.example.test. A is signed by key {parent.key.tag} of test., not by its zone example.test.",
        ),
        "none": (
            [],
            EDE.RRSIGS_MISSING,
            "www.example.test. A has no signature, but its zone example.test. is signed",
        ),
    }


@pytest.mark.parametrize("case", reasons())
def test_reason_is_the_one_that_helps_most(case: str) -> None:
    rrsigs, code, text = reasons()[case]
    keys = [Signer().key, Signer(flags=0).key]
    assert check(a(), rrsigs, keys) == Reason(code, text)
    assert check(a(), rrsigs[::-1], keys) == Reason(code, text)


def failing() -> dict[str, tuple[Record, str]]:
    """Give RRSIGs that fail in ways of their own, and how the reason ends."""
    nsec = [Record(from_text("a.b.example.test"), RRType.NSEC, RRClass.IN, 300, ZONE + b"\0\1\x40")]
    revoked, unusable = Signer(flags=ZSK | 0x80), Signer(DNSSECAlgorithm.RSASHA1)
    return {
        "backwards": (Signer().sign(a(), expiration=WALL - 2 * DAY), "expires before it is valid"),
        "labels": (Signer().sign(a(), count=1), "counts 1 labels"),
        "wildcard": (Signer().sign(nsec, count=3), "is that of a wildcard"),
        "revoked": (revoked.sign(a()), f"key {revoked.key.tag} of example.test., which is revoked"),
        "unusable": (unusable.sign(a()), "which cannot be used: algorithm 5"),
    }


@pytest.mark.parametrize("case", failing())
def test_reason_says_what_is_wrong_with_the_signature(case: str) -> None:
    rrsig, text = failing()[case]
    records = [Record(rrsig.name, read_signature(rrsig).covered, RRClass.IN, 300, ZONE + b"\0\1\x40")]
    keys = [Signer().key, Signer(flags=ZSK | 0x80).key, read_key(Signer(DNSSECAlgorithm.RSASHA1).dnskey)]
    outcome = check(records, [rrsig], keys)
    assert isinstance(outcome, Reason)
    assert outcome.text.endswith(text)


def test_of_signatures_that_fail_alike_the_first_is_told() -> None:
    signer = Signer()
    other = signer.sign(a(), inception=WALL - 20 * DAY, expiration=WALL - 8 * DAY)
    for rrsigs, days in (([expired(signer), other], 6), ([other, expired(signer)], 8)):
        outcome = check(a(), rrsigs, [signer.key])
        assert isinstance(outcome, Reason)
        assert f"expired {days} days ago" in outcome.text


def test_reason_is_that_of_the_key_that_comes_closest() -> None:
    signer = Signer(ED25519)
    records = a()
    readable = colliding(signer.key, 1)[0]
    unreadable = replace(readable, verifier=None)
    for keys in ([readable, unreadable], [unreadable, readable]):
        assert ede(check(records, [signer.sign(records)], keys)) == EDE.DNSSEC_BOGUS


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(a()[0], name=from_text("ftp.example.test")), id="owner"),
        pytest.param(replace(a()[0], rrclass=RRClass.CH), id="class"),
        pytest.param(replace(a()[0], rrtype=RRType.AAAA), id="type"),
    ],
)
def test_records_of_two_rrsets_are_bogus_4035_7(other: Record) -> None:
    signer = Signer()
    records = [*a(), other]
    assert ede(check(records, [signer.sign(records)], [signer.key])) == EDE.DNSSEC_BOGUS


def test_unknown_type_is_told_by_number() -> None:
    records = [Record(WWW, 65280, RRClass.IN, 300, b"")]
    outcome = check(records, [], [])
    assert isinstance(outcome, Reason)
    assert outcome.text.startswith("www.example.test. TYPE65280 ")


# ---- reading ----


@pytest.mark.parametrize("size", [0, 17, 18, 19])
def test_short_rrsig_is_refused(size: int) -> None:
    with pytest.raises(FormatError):
        read_signature(Record(WWW, RRType.RRSIG, RRClass.IN, 300, bytes(size)))


def test_compressed_signer_is_refused_4034_3() -> None:
    with pytest.raises(FormatError):
        read_signature(Record(WWW, RRType.RRSIG, RRClass.IN, 300, bytes(18) + b"\xc0\x0c" + bytes(64)))


def test_rdata_without_its_name_is_bogus() -> None:
    signer = Signer(ED25519)
    records = [Record(WWW, RRType.NXT, RRClass.IN, 300, b"\x3fshort")]
    assert ede(check(records, [signer.sign(records)], [signer.key])) == EDE.DNSSEC_BOGUS


def test_flags_are_read_4034_2_5011_3() -> None:
    key = replace(Signer().key, flags=0x0181)
    assert (key.is_zone_key, key.is_revoked, key.is_secure_entry_point) == (True, True, True)
    key = replace(key, flags=0xFE7E)
    assert (key.is_zone_key, key.is_revoked, key.is_secure_entry_point) == (False, False, False)
    assert canonical_rdata(RRType.DNSKEY, key.rdata) == key.rdata
