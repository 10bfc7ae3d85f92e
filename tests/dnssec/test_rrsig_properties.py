"""What holds for any bit, any order, any junk and any octets around one RRset."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.message import Record
from secdns.dns.name import from_text
from secdns.dnssec.limits import KEYS_PER_RRSIG, RRSIGS_PER_RRSET, SIGNATURES, Budget
from secdns.dnssec.rrsig import Key, Verified, key_tag, read_key, read_signature, verify
from secdns.errors import FormatError
from secdns.iana import DNSSECAlgorithm, RRClass, RRType
from tests.dns import wires
from tests.dnssec.signing import (
    SHA1_TOO,
    WALL,
    WWW,
    ZONE,
    Signer,
    a,
    check,
    colliding,
    expired,
    is_verified,
    rdata_of,
)

ECDSA = DNSSECAlgorithm.ECDSAP256SHA256
ED25519 = DNSSECAlgorithm.ED25519


def flips(octets: bytes) -> list[bytes]:
    """Give the octets with one bit flipped, for every bit."""
    return [
        octets[:at] + bytes([octets[at] ^ 1 << bit]) + octets[at + 1 :]
        for at in range(len(octets))
        for bit in range(8)
    ]


def readable(record: Record) -> list[Record]:
    """Give the record if it is an RRSIG."""
    try:
        read_signature(record)
    except FormatError:
        return []
    return [record]


FLIPPED = [
    DNSSECAlgorithm.RSASHA256,
    DNSSECAlgorithm.ECDSAP256SHA256,
    DNSSECAlgorithm.ED25519,
    DNSSECAlgorithm.ED448,
]


@pytest.mark.parametrize("algorithm", FLIPPED)
def test_any_bit_of_the_rrsig_counts_4035_7(algorithm: int) -> None:
    signer = Signer(algorithm)
    records = a()
    rrsig = signer.sign(records)
    key = signer.key
    signer_name = range(18, 18 + len(ZONE))
    for at, rdata in enumerate(flips(rrsig.rdata)):
        octet = at // 8
        if octet in signer_name and rdata.lower() == rrsig.rdata.lower():
            continue  # only the case of a letter
        # Whatever key the flipped fields ask for is there, under every tag and algorithm.
        head = readable(rdata_of(rrsig, rdata))
        keys = [key]
        for record in head:
            said = read_signature(record)
            keys.append(replace(key, tag=said.key_tag, algorithm=said.algorithm, zone=said.signer))
        assert not is_verified(check(records, head, keys)), (octet, at % 8)


@pytest.mark.parametrize("algorithm", FLIPPED)
def test_any_bit_of_the_public_key_counts_4035_7(algorithm: int) -> None:
    signer = Signer(algorithm)
    records = a()
    rrsig = signer.sign(records)
    key = signer.key
    for public_key in flips(key.public_key):
        rdata = key.rdata[:4] + public_key
        other = read_key(rdata_of(signer.dnskey, rdata))
        assert not is_verified(check(records, [rrsig], [other]))
        assert not is_verified(check(records, [rrsig], [replace(other, tag=key.tag)]))


def test_any_bit_of_the_records_counts_4035_7() -> None:
    signer = Signer(ED25519)
    records = a("192.0.2.1", "192.0.2.2")
    rrsig = signer.sign(records)
    signature = read_signature(rrsig)

    def outcome(changed: list[Record], owner: bytes = WWW) -> bool:
        first = changed[0]
        followed = replace(
            signature, owner=owner.lower(), covered=first.rrtype, rrclass=first.rrclass
        )  # as if the RRSIG had moved along
        return any(
            is_verified(verify(owner, first.rrtype, changed, [one], ZONE, [signer.key], WALL, Budget()))
            for one in (signature, followed)
        )

    assert outcome(records)
    for rdata in flips(records[0].rdata):
        assert not outcome([rdata_of(records[0], rdata), records[1]])
    for bit in range(16):
        for change in (
            [replace(record, rrtype=record.rrtype ^ 1 << bit) for record in records],
            [replace(record, rrclass=record.rrclass ^ 1 << bit) for record in records],
            [records[0], replace(records[1], rrtype=records[1].rrtype ^ 1 << bit)],
            [records[0], replace(records[1], rrclass=records[1].rrclass ^ 1 << bit)],
        ):
            assert not outcome(change)
    for owner in flips(WWW[: -len(ZONE)]):
        # A flipped length octet may leave no name; those never come out of a parser.
        if owner.lower() != WWW[: -len(ZONE)] and owner[0] == 3:
            assert not outcome([replace(record, name=owner + ZONE) for record in records], owner + ZONE)
    assert not outcome([records[0]])
    assert not outcome([*records, *a("192.0.2.3")])


letters = st.sampled_from([bytes.lower, bytes.upper, bytes.swapcase, bytes.title])


@given(
    st.permutations(["Mail.Example.Test", "b.example.test", "mail2.EXAMPLE.test", "example.test"]),
    st.lists(st.integers(0, 3), max_size=4),
    letters,
    letters,
    letters,
)
def test_order_repetition_and_letter_case_do_not_matter_4034_1(
    names: list[str],
    repeated: list[int],
    owner_case: Callable[[bytes], bytes],
    rdata_case: Callable[[bytes], bytes],
    signer_case: Callable[[bytes], bytes],
) -> None:
    signer = Signer(ED25519)
    records = [Record(WWW, RRType.MX, RRClass.IN, 300, b"\0\1" + from_text(name)) for name in names]
    records += [records[at] for at in repeated]
    rrsig = signer.sign(records, lower=lambda rdata: rdata[:2] + rdata[2:].lower())
    told = check(records, [rrsig], [signer.key])
    assert isinstance(told, Verified)
    shown = [
        replace(record, name=owner_case(WWW), rdata=record.rdata[:2] + rdata_case(record.rdata[2:]))
        for record in reversed(records)
    ]
    moved = replace(rrsig, name=owner_case(WWW))
    moved = rdata_of(moved, rrsig.rdata[:18] + signer_case(ZONE) + rrsig.rdata[18 + len(ZONE) :])
    key = read_key(replace(signer.dnskey, name=signer_case(ZONE)))
    assert check(shown, [moved], [key]) == told


JUNK_SIGNER = Signer(ED25519)
JUNK_RECORDS = a()
JUNK_GOOD = JUNK_SIGNER.sign(JUNK_RECORDS)
JUNK_KEYS = [*colliding(JUNK_SIGNER.key, 3), Signer(ED25519, number=1).key, Signer(ECDSA).key]
JUNK_RRSIGS = st.one_of(
    st.binary(min_size=20, max_size=120),
    st.sampled_from(flips(JUNK_GOOD.rdata)),
    st.just(expired(JUNK_SIGNER).rdata),
).map(lambda rdata: rdata_of(JUNK_GOOD, rdata))


@given(
    st.lists(JUNK_RRSIGS, max_size=8),
    st.lists(JUNK_RRSIGS, max_size=8),
    st.lists(st.sampled_from(JUNK_KEYS), max_size=4),
    st.lists(st.sampled_from(JUNK_KEYS), max_size=4),
)
def test_junk_changes_nothing_or_gives_a_reason_within_budget_D1(
    before: list[Record], after: list[Record], keys_before: list[Key], keys_after: list[Key]
) -> None:
    rrsigs = [one for rrsig in [*before, JUNK_GOOD, *after] for one in readable(rrsig)]
    keys = [*keys_before, JUNK_SIGNER.key, *keys_after]
    budget = Budget()
    outcome = check(JUNK_RECORDS, rrsigs, keys, budget=budget)
    spent = SIGNATURES.default - budget.signatures
    assert spent <= RRSIGS_PER_RRSET.default * KEYS_PER_RRSIG.default
    if isinstance(outcome, Verified):
        assert outcome == check(JUNK_RECORDS, [JUNK_GOOD], [JUNK_SIGNER.key])
    else:
        assert outcome.text


@given(st.binary(max_size=120), wires.names)
def test_any_octets_are_an_rrsig_or_a_format_error(rdata: bytes, owner: bytes) -> None:
    try:
        signature = read_signature(Record(owner, RRType.RRSIG, RRClass.IN, 300, rdata))
    except FormatError:
        return
    assert signature.head + signature.signature == rdata[:18] + rdata[18:].lower()[
        : len(signature.signer)
    ] + (signature.signature)
    signature = replace(signature, covered=RRType.A, owner=WWW, signer=ZONE)
    key = replace(Signer(ED25519).key, tag=signature.key_tag, algorithm=signature.algorithm)
    assert not is_verified(check(a(), [signature], [key]))


@given(st.binary(max_size=300), wires.names)
def test_any_octets_are_a_dnskey_or_a_format_error(rdata: bytes, owner: bytes) -> None:
    try:
        key = read_key(Record(owner, RRType.DNSKEY, RRClass.IN, 300, rdata), SHA1_TOO)
    except FormatError:
        assert len(rdata) < 4
        return
    assert key.tag == key_tag(rdata)
    assert key.flags.to_bytes(2) + bytes([key.protocol, key.algorithm]) + key.public_key == rdata
    rrsig = Signer(ED25519).sign(a())
    signature = replace(read_signature(rrsig), key_tag=key.tag, algorithm=key.algorithm)
    assert not is_verified(check(a(), [signature], [replace(key, zone=ZONE)]))
