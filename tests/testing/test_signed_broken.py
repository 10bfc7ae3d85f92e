"""What the faults of signed zones make, looked at without a validator."""

import dataclasses

import dns.rdata
import pytest
from cryptography.exceptions import InvalidSignature
from dns.dnssecalgs import get_algorithm_cls_from_dnskey
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from secdns.iana import RRType
from secdns.testing import Fault, SignedZones, Signing, make_key
from secdns.testing.broken import (
    aged,
    edited,
    expired,
    key_trap,
    padded,
    stripped,
    tampered,
    with_types,
    without,
    without_proof,
)
from secdns.testing.denials import Denial
from secdns.testing.keytrap import same_tag_keys
from secdns.testing.signing import REVOKE, key_tag
from tests.testing.signed_lab import KINDS, ask, of_type, zone_data

T = RRType


def lab_with(*faults: Fault, signing: Signing | None = None) -> SignedZones:
    lab = SignedZones({"a.test": zone_data("a.test")}, signing or Signing())
    lab.faults = faults
    return lab


def test_faults_can_be_turned_at_any_time_and_off_again() -> None:
    lab = lab_with()
    good = ask(lab, "www.a.test", T.A)
    lab.faults = [stripped("www.a.test", T.A)]
    assert of_type(ask(lab, "www.a.test", T.A).answer, T.RRSIG) == []
    assert len(lab.faults) == 1
    lab.faults = []
    assert ask(lab, "www.a.test", T.A) == good


def test_faults_compose_in_order() -> None:
    lab = lab_with(tampered("www.a.test", T.A), stripped("www.a.test", T.A), without("a.test", T.SOA))
    reply = ask(lab, "www.a.test", T.A)
    assert [record.rdata for record in reply.answer] == [b"\xc0\0\2\0", b"\xc0\0\2\3"]


@pytest.mark.parametrize("do", [False, True])
def test_a_fault_leaves_a_reply_without_what_it_spoils_alone(do: bool) -> None:
    good = ask(lab := lab_with(), "www.a.test", T.A, do=do)
    lab.faults = [without_proof(), padded(3), with_types(add=[T.TXT]), aged(0), expired("x.a.test", T.A)]
    assert ask(lab, "www.a.test", T.A, do=do) == good


def test_a_key_trap_has_as_many_keys_and_signatures_as_wanted_D1() -> None:
    lab = lab_with(key_trap("a.test", "www.a.test", T.A, keys=300, signatures=300))
    keys = of_type(ask(lab, "a.test", T.DNSKEY).answer, T.DNSKEY)
    signatures = of_type(ask(lab, "www.a.test", T.A).answer, T.RRSIG)
    assert (len({key.rdata for key in keys}), len({s.rdata for s in signatures})) == (302, 300)
    assert sum(key_tag(key.rdata) == 12345 for key in keys) >= 300
    assert {int.from_bytes(s.rdata[16:18]) for s in signatures} == {12345}


@pytest.mark.parametrize("algorithm", [8, 10, 15])
def test_keys_of_one_tag_are_keys(algorithm: int) -> None:
    keys = same_tag_keys(20, 0xBEEF, algorithm)
    assert {key.tag for key in keys} == {0xBEEF}
    for key in keys:
        rdata = dns.rdata.from_wire("IN", "DNSKEY", key.rdata, 0, len(key.rdata))
        assert isinstance(rdata, DNSKEY)
        with pytest.raises(InvalidSignature):
            get_algorithm_cls_from_dnskey(rdata).public_cls.from_dnskey(rdata).verify(key.sign(b""), b"data")


def test_keys_of_one_tag_cannot_be_had_of_p256() -> None:
    with pytest.raises(ValueError, match="cannot choose keys of algorithm 13"):
        same_tag_keys(1, 1, 13)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_made_of_as_many_valid_records_as_wanted_D3(kind: Denial) -> None:
    lab = lab_with(padded(250), signing=Signing(denial=kind))
    authority = ask(lab, "no.a.test", T.A).authority
    proofs = [record for record in authority if record.rrtype in (T.NSEC, T.NSEC3)]
    assert 250 < len(proofs) == len(of_type(authority, T.RRSIG)) - 1


def test_an_edited_wildcard_is_signed_as_a_wildcard() -> None:
    lab = lab_with(edited("x.wild.a.test", T.A, lambda rdatas: [b"\x0a\0\0\1"]))
    address, rrsig = ask(lab, "x.wild.a.test", T.A).answer
    assert (address.rdata, rrsig.rdata[3]) == (b"\x0a\0\0\1", 3)


def test_a_root_in_the_middle_of_a_roll_has_both_keys_5011_1() -> None:
    old, new = make_key(8), make_key(13)
    retired = dataclasses.replace(old, flags=old.flags | REVOKE)
    before = SignedZones({}, {".": Signing(keys=(old, new))})
    after = SignedZones({}, {".": Signing(keys=(retired, new))})
    assert [text.split()[3] for text in before.trust_anchors()] == [str(old.tag), str(new.tag)]
    assert [text.split()[3] for text in after.trust_anchors()] == [str(new.tag)]
    signers = [int.from_bytes(s.rdata[16:18]) for s in of_type(ask(after, ".", T.DNSKEY).answer, T.RRSIG)]
    assert signers == [retired.tag, new.tag]  # a revoked key signs its own revocation (RFC 5011 §2.1)
