"""Keys, signatures and proofs, as dnspython judges them."""

import base64
import dataclasses

import dns.dnssec
import dns.message
import dns.name
import dns.node
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import pytest
from dns.dnssectypes import DSDigest
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.NSEC import NSEC

from secdns.dns import name as names
from secdns.dns.message import Record
from secdns.iana import RRType
from secdns.testing import SignedZones, Signing, Terms, make_key
from secdns.testing.denials import Denial, bitmap, nsec3_hash, types_in
from secdns.testing.signing import REVOKE, SEP, ZONE, sign
from tests.testing.signed_lab import KINDS, ROWS, Row, ask, zones

ALGORITHMS = [5, 7, 8, 10, 13, 14, 15, 16]
ALL = dns.dnssec.allow_all_policy
Keys = dict[dns.name.Name, dns.node.Node | dns.rdataset.Rdataset]

LAB = zones()


def as_rdata(record: Record) -> dns.rdata.Rdata:
    return dns.rdata.from_wire(
        dns.rdataclass.IN, dns.rdatatype.RdataType.make(record.rrtype), record.rdata, 0, len(record.rdata)
    )


def dnskeys(zones: SignedZones, apex: str) -> dns.rrset.RRset:
    rdatas = [as_rdata(record) for record in zones.zone(apex).rrset(names.from_text(apex), RRType.DNSKEY)]
    keys = [rdata for rdata in rdatas if isinstance(rdata, DNSKEY)]
    return dns.rrset.from_rdata_list(dns.name.from_text(apex), 300, keys)


def validated(zones: SignedZones, wire: bytes) -> int:
    """Let dnspython validate every RRset with signatures in a reply, and give their number."""
    message = dns.message.from_wire(wire)
    count = 0
    for section in (message.answer, message.authority):
        for rrset in section:
            if rrset.rdtype == dns.rdatatype.RRSIG:
                continue
            try:
                signatures = message.find_rrset(
                    section, rrset.name, rrset.rdclass, dns.rdatatype.RRSIG, covers=rrset.rdtype
                )
            except KeyError:
                continue
            signer = signatures[0].signer
            keys: Keys = {signer: dnskeys(zones, signer.to_text())}
            dns.dnssec.validate(rrset, signatures, keys, now=zones.now, policy=ALL)
            assert rrset.ttl == signatures.ttl
            count += 1
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_every_signature_of_every_answer_verifies_4035(kind: Denial) -> None:
    for row in ROWS:
        if row.is_insecure:
            continue
        reply = ask(LAB, row.name(kind), row.rrtype)
        assert validated(LAB, reply.to_wire()), row


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_of_every_algorithm_verify(algorithm: int) -> None:
    zones = SignedZones(
        {"a.test": {"www": {"A": ["192.0.2.2", "192.0.2.1"]}, "*": {"MX": "5 Mail"}}},
        Signing(algorithms=(algorithm,)),
    )
    for qname, rrtype in [("www.a.test", RRType.A), ("x.a.test", RRType.MX), ("a.test", RRType.DNSKEY)]:
        assert validated(zones, ask(zones, qname, rrtype).to_wire())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("digest_type", [1, 2, 4])
def test_the_ds_and_the_tag_are_those_of_the_key_4034(algorithm: int, digest_type: int) -> None:
    key = make_key(algorithm)
    zone = names.from_text("Zone.TEST")
    dnskey = as_rdata(Record(zone, RRType.DNSKEY, 1, 0, key.rdata))
    assert isinstance(dnskey, DNSKEY)
    assert dns.dnssec.key_id(dnskey) == key.tag
    want = dns.dnssec.make_ds(dns.name.from_text("zone.test"), dnskey, DSDigest.make(digest_type), policy=ALL)
    ds = as_rdata(Record(zone, RRType.DS, 1, 0, key.ds(zone, digest_type)))
    assert isinstance(ds, DS)
    assert ds == want


def test_keys_of_unknown_algorithms_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot make keys of algorithm 12"):
        make_key(12)


def test_rsa_keys_are_made_once_per_role() -> None:
    assert make_key(8).public_key == make_key(10).public_key != make_key(8, ZONE).public_key


@pytest.mark.parametrize(
    ("rrtype", "text"),
    [
        pytest.param("NS", "Ns.Example.", id="NS"),
        pytest.param("SOA", "A.B. C.D. 1 2 3 4 5", id="SOA"),
        pytest.param("MX", "5 Mail.Example.", id="MX"),
        pytest.param("SRV", "1 2 3 Host.Example.", id="SRV"),
        pytest.param("NAPTR", '1 2 "U" "E2U" "!A!B!" Next.Example.', id="NAPTR"),
        pytest.param("RP", "Box.Example. Txt.Example.", id="RP"),
        pytest.param("PX", "5 Map822.Example. MapX400.Example.", id="PX"),
        pytest.param("KX", "5 Kx.Example.", id="KX"),
        pytest.param("DNAME", "Target.Example.", id="DNAME"),
        pytest.param("NSEC", "Next.Example. A RRSIG", id="NSEC keeps its case (RFC 6840)"),
        pytest.param("TXT", '"Text"', id="TXT"),
        pytest.param("SVCB", "1 Svc.Example. port=1", id="SVCB keeps its case"),
    ],
)
def test_rdata_is_signed_in_canonical_form_4034_1(rrtype: str, text: str) -> None:
    rdtype = dns.rdatatype.from_text(rrtype)
    rdata = dns.rdata.from_text(dns.rdataclass.IN, rdtype, text)
    wire = rdata.to_wire()
    assert wire is not None
    owner = names.from_text("Owner.Test")
    key = make_key(13)
    rrsig = sign([Record(owner, rdtype, 1, 60, wire)], key, names.from_text("TEST"), 0, 2000)
    rrset = dns.rrset.from_rdata("owner.test.", 60, rdata)
    signatures = dns.rrset.from_rdata("owner.test.", 60, as_rdata(rrsig))
    dnskey = as_rdata(Record(b"\x04test\x00", RRType.DNSKEY, 1, 0, key.rdata))
    keys: Keys = {dns.name.from_text("test."): dns.rrset.from_rdata("test.", 60, dnskey)}
    dns.dnssec.validate(rrset, signatures, keys, now=1000)


@pytest.mark.parametrize("iterations", [0, 1, 50, 150, 2500])
@pytest.mark.parametrize("salt", [b"", b"\xab\xcd", bytes(255)], ids=len)
def test_hashes_are_those_of_dnspython_5155(iterations: int, salt: bytes) -> None:
    want = dns.dnssec.nsec3_hash("WWW.example.test.", salt or None, iterations, 1)
    got = nsec3_hash(names.from_text("www.Example.test"), salt, iterations)
    assert base64.b32hexencode(got).decode() == want


@pytest.mark.parametrize(
    "types",
    [
        pytest.param(set(), id="none"),
        pytest.param({1, 2, 6, 46, 47}, id="one window"),
        pytest.param({0, 255, 256, 65535}, id="edges of windows"),
        pytest.param({1, 128, 257, 65280}, id="three windows"),
    ],
)
def test_type_bit_maps_are_read_alike_4034(types: set[int]) -> None:
    octets = bitmap(types)
    assert types_in(octets) == types
    rdata = as_rdata(Record(b"\0", RRType.NSEC, 1, 0, b"\0" + octets))
    assert isinstance(rdata, NSEC)
    found = {
        window << 8 | index << 3 | bit
        for window, octets in rdata.windows
        for index, octet in enumerate(octets)
        for bit in range(8)
        if octet & 0x80 >> bit
    }
    assert found == types


def test_a_revoked_key_has_another_tag_5011_1() -> None:
    key = make_key(15)
    revoked = dataclasses.replace(key, flags=key.flags | REVOKE)
    assert (revoked.is_revoked, revoked.is_sep, revoked.public_key) == (True, True, key.public_key)
    assert revoked.tag != key.tag


def test_keys_with_sep_sign_the_keys_and_the_others_the_rest() -> None:
    ksk, zsk = make_key(13, ZONE | SEP), make_key(13, ZONE)
    csk = make_key(15)
    zones = SignedZones({"a.test": {}}, Signing(keys=(ksk, zsk, csk)))

    def tags(rrtype: int) -> list[int]:
        answer = ask(zones, "a.test", rrtype).answer
        return [int.from_bytes(r.rdata[16:18]) for r in answer if r.rrtype == RRType.RRSIG]

    assert tags(RRType.DNSKEY) == [ksk.tag, csk.tag]
    assert tags(RRType.SOA) == [zsk.tag, csk.tag]
    assert [int.from_bytes(ds.rdata[:2]) for ds in zones.zone("a.test").ds()] == [ksk.tag, csk.tag]


def test_terms_change_what_a_signature_says_and_it_still_verifies() -> None:
    key, other = make_key(13), make_key(15)
    record = Record(names.from_text("a.b.test"), RRType.A, 1, 60, b"\xc0\0\2\1")
    terms = Terms(
        key=other,
        signer=names.from_text("b.test"),
        key_tag=7,
        labels=2,
        inception=1,
        expiration=2,
        original_ttl=9,
    )
    rrsig = sign([record], key, names.from_text("test"), 1000, 2000, terms)
    head = b"\0\1\x0f\2\0\0\0\x09\0\0\0\2\0\0\0\1\0\7" + names.from_text("b.test")
    assert rrsig.rdata.startswith(head)
    assert len(rrsig.rdata) == len(head) + 64


@pytest.mark.parametrize("row", [Row("no", RRType.A), Row("ent", RRType.A)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_signatures_are_made_once(row: Row, kind: Denial) -> None:
    first = ask(LAB, row.name(kind), row.rrtype)
    again = ask(LAB, row.name(kind), row.rrtype, cd=True)  # another query, past the memo of replies
    assert again.authority == first.authority
