"""Broken zones, as BIND's and Unbound's validators judge them, class by class of the threats."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from secdns.dns import name as names
from secdns.dns.message import Record
from secdns.iana import RCode, RRType
from secdns.testing import Fault, SignedZones, Signing, Terms, ZoneData, make_key
from secdns.testing.broken import (
    Edit,
    aged,
    alias_instead,
    asked,
    both,
    changed,
    edited,
    expired,
    key_trap,
    mangled,
    not_yet_valid,
    padded,
    replayed,
    resigned,
    said,
    signed_by_another_key,
    stripped,
    tampered,
    unaware,
    with_ds,
    with_extra,
    with_next,
    with_types,
    without,
    without_proof,
    without_reason,
)
from secdns.testing.denials import nsec
from secdns.testing.signing import REVOKE, SEP, ZONE
from tests.testing.signed_lab import zone_data
from tests.testing.validators import BOGUS, INSECURE, SECURE, Delv, Unbound, delv, serving, unbound

T = RRType
NAME = names.from_text


@dataclass(frozen=True, slots=True)
class Case:
    """A zone of its own, what is wrong with it, a question and the verdict.

    ``fault`` takes the zones and the apex. ``want`` is the right verdict; ``by`` has those of programs that
    judge otherwise, with the reason beside it; ``slow`` is a program that gives up only after many seconds.
    """

    id: str
    fault: Callable[[SignedZones, str], Fault] | None
    qname: str
    rrtype: int
    want: str
    signing: Signing = dataclasses.field(default_factory=Signing)
    by: Mapping[str, str] = dataclasses.field(default_factory=dict)
    slow: str = ""


BELIEVED = {"delv": SECURE, "unbound": SECURE}


def cut_short(lab: SignedZones, rrset: tuple[Record, ...], signatures: tuple[Record, ...]) -> list[Record]:
    """Leave no octet of the signatures."""
    return [*rrset, *(dataclasses.replace(s, rdata=s.rdata[:-64]) for s in signatures)]


def child_proof(lab: SignedZones, apex: str) -> Fault:
    """Deny the DS of a zone with the NSEC of its own apex, which has SOA."""
    zone = lab.zone(apex)
    soa, denying = zone.rrset(NAME(apex), T.SOA), zone.rrset(NAME(apex), T.NSEC)
    return said(apex, T.DS, authority=(*soa, *denying))


def parent_proof(lab: SignedZones, apex: str) -> Fault:
    """Deny a name below a cut with the NSEC of the parent's side of it, which spans that name."""
    lie = nsec(NAME(f"signed.{apex}"), NAME(f"t.{apex}"), {T.NS, T.DS, T.RRSIG, T.NSEC}, 60)
    zone = lab.zone(apex)
    proof = (*zone.rrset(NAME(apex), T.SOA), *zone.signed([lie]))
    return said(f"www.signed.{apex}", T.A, RCode.NXDOMAIN, authority=proof)


def grandparent_denies_ds(lab: SignedZones, apex: str) -> Fault:
    """Deny a DS with an NSEC of the zone above the parent, at the parent's cut."""
    test = lab.zone("test")
    lie = nsec(NAME(apex), NAME(f"z{apex}"), {T.NS, T.RRSIG, T.NSEC}, 60)
    return said(f"signed.{apex}", T.DS, authority=(*test.rrset(test.apex, T.SOA), *test.signed([lie])))


def by_parent(*, labels: int | None = None) -> Callable[[SignedZones], Terms]:
    """Sign with the genuine key of the zone above."""

    def terms(lab: SignedZones) -> Terms:
        parent = lab.zone("test")
        return Terms(key=parent.keys[-1], signer=parent.apex, labels=labels)

    return terms


def at(rrtype: int, make: Callable[..., Fault], *args: object, qname: str = "www") -> Callable[..., Fault]:
    """Make a fault at one RRset of the case's zone."""
    return lambda lab, apex: make(f"{qname}.{apex}" if qname else apex, rrtype, *args)


def sha1_right(rdatas: Sequence[bytes]) -> list[bytes]:
    """Make the digest of every DS wrong but the SHA-1 one."""
    return [rdata if rdata[3] == 1 else rdata[:4] + bytes(len(rdata) - 4) for rdata in rdatas]


def no_flags(rdatas: Sequence[bytes]) -> list[bytes]:
    return [rdata[:1] + b"\0" + rdata[2:] for rdata in rdatas]


def mixed_parameters(lab: SignedZones, apex: str) -> Fault:
    """Give the record of one closest encloser another salt, of the same length."""
    chain = lab.zone(apex).chain
    assert chain is not None
    (encloser,) = chain.nodata(NAME(f"ent.{apex}"))
    return edited(
        names.to_text(encloser.name), T.NSEC3, lambda rdatas: [r[:5] + b"\xff\xff" + r[7:] for r in rdatas]
    )


def ask_without_proof(qname: str, number: int | None = None) -> Callable[[SignedZones, str], Fault]:
    return lambda lab, apex: asked(f"{qname}.{apex}", T.A, without_proof(number))


def ask_with_edited_nsec3(qname: str, edit: Edit) -> Callable[[SignedZones, str], Fault]:
    return lambda lab, apex: asked(f"{qname}.{apex}", T.A, edited(None, T.NSEC3, edit))


WILD = "x.wild"
NSEC3 = Signing(denial="nsec3", salt=b"\x01\x02")
OPT_OUT = Signing(denial="opt-out")
COMPACT = Signing(denial="compact")
KSK, ZSK = make_key(13, ZONE | SEP), make_key(13, ZONE)
REVOKED = dataclasses.replace(KSK, flags=KSK.flags | REVOKE)

CASES = (
    Case("nothing", None, "www", T.A, SECURE),
    # signatures
    Case("stripped_D12", at(T.A, stripped), "www", T.A, BOGUS),
    Case("unaware_D12", lambda lab, apex: asked(f"www.{apex}", T.A, unaware()), "www", T.A, BOGUS),
    Case("expired_4035_7", at(T.A, expired), "www", T.A, BOGUS),
    Case("not-yet-valid_4035_7", at(T.A, not_yet_valid), "www", T.A, BOGUS),
    Case("mangled", at(T.A, mangled), "www", T.A, BOGUS),
    Case("tampered", at(T.A, tampered), "www", T.A, BOGUS),
    Case("key-tag_4035_7", at(T.A, resigned, Terms(key_tag=1)), "www", T.A, BOGUS),
    Case("more-labels_D4", at(T.A, resigned, Terms(labels=9)), "www", T.A, BOGUS),
    Case(
        "fewer-labels-than-signer_D4",
        lambda lab, apex: resigned(f"www.{apex}", T.A, Terms(labels=1)),
        "www",
        T.A,
        BOGUS,
    ),
    Case(  # both believe a signer above the zone
        "grandparent-signs_D5",
        lambda lab, apex: resigned(f"www.{apex}", T.A, by_parent()),
        "www",
        T.A,
        BOGUS,
        by=BELIEVED,
    ),
    Case(
        "wildcard-of-the-grandparent_D4",
        lambda lab, apex: resigned(f"www.{apex}", T.A, by_parent(labels=1)),
        "www",
        T.A,
        BOGUS,
    ),
    Case(
        "sibling-signs_D5",
        lambda lab, apex: resigned(
            f"www.{apex}", T.A, Terms(key=lab.zone("nothing.test").keys[-1], signer=NAME("nothing.test"))
        ),
        "www",
        T.A,
        BOGUS,
    ),
    Case("signature-of-no-octets", at(T.A, changed, cut_short), "www", T.A, BOGUS),
    Case("covers-a-meta-type_D15", at(T.A, resigned, Terms(covered=T.ANY)), "www", T.A, BOGUS),
    Case("original-ttl-below", at(T.A, resigned, Terms(original_ttl=30)), "www", T.A, SECURE),
    Case("ttl-ran-down", lambda lab, apex: asked(f"www.{apex}", T.A, aged(100)), "www", T.A, SECURE),
    Case("expired-zone", None, "www", T.A, BOGUS, Signing(inception_s=-30 * 86400, expiration_s=-5 * 86400)),
    # keys
    Case("keys-signed-by-another_D11", lambda lab, apex: signed_by_another_key(apex), "www", T.A, BOGUS),
    Case("keys-stripped", at(T.DNSKEY, stripped, qname=""), "www", T.A, BOGUS),
    Case("keys-gone", lambda lab, apex: without_reason(apex, T.DNSKEY), "www", T.A, BOGUS),
    Case(  # Unbound looks at REVOKE in trust anchors only
        "revoked-key-in-ds_4035_7",
        None,
        "www",
        T.A,
        BOGUS,
        Signing(keys=(REVOKED, ZSK)),
        by={"unbound": SECURE},
    ),
    Case("one-key-revoked_5011_1", None, "www", T.A, SECURE, Signing(keys=(REVOKED, make_key(13), ZSK))),
    Case(
        "key-trap_D1",
        lambda lab, apex: key_trap(apex, f"www.{apex}", T.A, keys=40, signatures=40),
        "www",
        T.A,
        BOGUS,
    ),
    Case(
        "alias-for-keys_D14",
        lambda lab, apex: alias_instead(apex, T.DNSKEY, f"www.{apex}"),
        "www",
        T.A,
        BOGUS,
        slow="delv",
    ),
    # DS
    Case("other-digest", lambda lab, apex: with_ds(apex, digest=bytes(32)), "www", T.A, BOGUS),
    Case(
        "other-digest-beside",
        lambda lab, apex: with_ds(apex, digest=bytes(32), keep=True),
        "www",
        T.A,
        SECURE,
    ),
    Case(
        "only-sha1-right_4509_1",
        lambda lab, apex: edited(apex, T.DS, sha1_right),
        "www",
        T.A,
        BOGUS,
        Signing(digests=(1, 2)),
        by={"unbound": SECURE},  # the SHA-1 one is as good to it
    ),
    Case("unknown-algorithm_D10", lambda lab, apex: with_ds(apex, algorithm=200), "www", T.A, INSECURE),
    Case("unknown-digest_D10", lambda lab, apex: with_ds(apex, digest_type=200), "www", T.A, INSECURE),
    Case(
        "unknown-beside-known_D10",
        lambda lab, apex: with_ds(apex, algorithm=200, keep=True),
        "www",
        T.A,
        SECURE,
    ),
    Case(
        "unknown-beside-wrong_D10",
        lambda lab, apex: both(with_ds(apex, digest=bytes(32)), with_ds(apex, algorithm=200, keep=True)),
        "www",
        T.A,
        BOGUS,
    ),
    Case("ds-gone-without-proof_D10", lambda lab, apex: without_reason(apex, T.DS), "www", T.A, BOGUS),
    Case("ds-stripped_D10", at(T.DS, stripped, qname=""), "www", T.A, BOGUS),
    Case("ds-denied-by-the-child_D7", child_proof, "www", T.A, BOGUS),
    Case("ds-denied-by-the-grandparent_D7", grandparent_denies_ds, "www.signed", T.A, BOGUS),
    Case(
        "alias-for-ds_D14",
        lambda lab, apex: alias_instead(apex, T.DS, "www.nothing.test"),
        "www",
        T.A,
        BOGUS,
    ),
    # proofs
    Case(
        "nxdomain-without-proof_D12",
        ask_without_proof("no"),
        "no",
        T.A,
        BOGUS,
    ),
    Case("nxdomain-proof-stripped_D12", at(T.NSEC, stripped, qname="moved"), "no", T.A, BOGUS),
    Case(
        "nxdomain-wildcard-not-denied_D9",
        ask_without_proof("zzz", 1),
        "zzz",
        T.A,
        BOGUS,
    ),
    *(
        Case(
            f"nsec3-nxdomain-without-{number}_D9",
            ask_without_proof("no.no.ent", number),
            "no.no.ent",
            T.A,
            BOGUS,
            NSEC3,
        )
        for number in range(3)
    ),
    Case(
        "wildcard-without-proof_D9",
        ask_without_proof(WILD),
        WILD,
        T.A,
        BOGUS,
    ),
    Case(
        "wildcard-without-nsec3_D9",
        ask_without_proof(WILD),
        WILD,
        T.A,
        BOGUS,
        NSEC3,
    ),
    Case(
        "wildcard-over-a-name_D9",
        lambda lab, apex: replayed(f"real.wild.{apex}", T.A, f"x.wild.{apex}"),
        "real.wild",
        T.A,
        BOGUS,
    ),
    Case(
        "alias-bit-in-nodata_D8",
        lambda lab, apex: asked(f"www.{apex}", T.TXT, with_types(add=[T.CNAME])),
        "www",
        T.TXT,
        BOGUS,
    ),
    Case(
        "alias-bit-in-nsec3_D8",
        lambda lab, apex: asked(f"www.{apex}", T.TXT, with_types(add=[T.CNAME])),
        "www",
        T.TXT,
        BOGUS,
        NSEC3,
    ),
    Case(
        "type-bit-in-nodata_4035",
        lambda lab, apex: asked(f"www.{apex}", T.TXT, with_types(add=[T.TXT])),
        "www",
        T.TXT,
        BOGUS,
    ),
    Case(
        "next-name-outside-the-zone_D6",
        lambda lab, apex: asked(f"zzz.{apex}", T.A, with_next(None, "zzzz.test")),
        "zzz",
        T.A,
        BOGUS,
        by={"unbound": SECURE},  # the release at hand does not look at that
    ),
    Case(
        "expanded-nsec_D9",
        lambda lab, apex: asked(f"no.{apex}", T.A, resigned(None, T.NSEC, Terms(labels=2))),
        "no",
        T.A,
        BOGUS,
        by={"unbound": SECURE},  # nor at that
    ),
    *(
        Case(
            f"nsec3-{what}",
            ask_with_edited_nsec3("no", edit),
            "no",
            T.A,
            BOGUS,
            NSEC3,
            by={"delv": SECURE} if "flags" in what else {},  # BIND does not ignore such
        )
        for what, edit in (
            ("unknown-hash_5155_1", lambda rdatas: [b"\x02" + rdata[1:] for rdata in rdatas]),
            ("unknown-flags_5155_1", lambda rdatas: [rdata[:1] + b"\x02" + rdata[2:] for rdata in rdatas]),
        )
    ),
    Case("nsec3-mixed-parameters_5155_3", mixed_parameters, "no.no.ent", T.A, BOGUS, NSEC3),
    Case(
        "covering-nsec3-without-opt-out_D10",
        lambda lab, apex: asked(f"unsigned.{apex}", T.DS, edited(None, T.NSEC3, no_flags)),
        "www.unsigned",
        T.A,
        BOGUS,
        OPT_OUT,
    ),
    Case("parent-denies-child-data_D7", parent_proof, "www.signed", T.A, BOGUS),
    Case(
        "no-ns-bit-is-no-delegation_6840_3",
        lambda lab, apex: asked(f"unsigned.{apex}", T.DS, with_types(remove=[T.NS])),
        "www.unsigned",
        T.A,
        BOGUS,
    ),
    Case(
        "insecure-delegation-not-proven_D10",
        lambda lab, apex: asked(f"unsigned.{apex}", T.DS, without_proof()),
        "www.unsigned",
        T.A,
        BOGUS,
    ),
    Case(
        "opt-out-cut-not-proven_D10",
        lambda lab, apex: asked(f"unsigned.{apex}", T.DS, without_proof()),
        "www.unsigned",
        T.A,
        BOGUS,
        OPT_OUT,
    ),
    Case(
        "compact-without-proof",
        ask_without_proof("no"),
        "no",
        T.A,
        BOGUS,
        COMPACT,
    ),
    Case(
        "no-soa-but-a-proof",
        lambda lab, apex: asked(f"no.{apex}", T.A, without(apex, T.SOA)),
        "no",
        T.A,
        SECURE,
    ),
    Case(
        "extra-records",
        lambda lab, apex: asked(f"www.{apex}", T.A, with_extra(apex, f"UPPER.{apex}", T.MX)),
        "www",
        T.A,
        SECURE,
    ),
    Case("padded_D3", lambda lab, apex: asked(f"no.{apex}", T.A, padded(20)), "no", T.A, SECURE, NSEC3),
    *(
        Case(
            f"{iterations}-iterations_D2",
            None,
            "no",
            T.A,
            INSECURE if iterations > 50 else SECURE,
            Signing(denial="nsec3", iterations=iterations),
            by=BELIEVED if iterations in (51, 150) else {},  # their limit is 150
        )
        for iterations in (0, 1, 50, 51, 150, 2500)
    ),
    # redirection
    Case("dname-stripped_D20", at(T.DNAME, stripped, qname="moved"), "leaf.moved", T.A, BOGUS),
    Case(
        "cname-not-from-the-dname_D20",
        lambda lab, apex: asked(
            f"leaf.moved.{apex}",
            T.A,
            edited(f"leaf.moved.{apex}", T.CNAME, lambda rdatas: [NAME(f"www.{apex}")]),
        ),
        "leaf.moved",
        T.A,
        BOGUS,
        by=BELIEVED,  # both make the CNAME themselves and ask for its target anew
    ),
    Case("alias-stripped", at(T.CNAME, stripped, qname="alias"), "alias", T.A, BOGUS, slow="delv"),
    Case("end-of-the-chain-stripped", at(T.A, stripped), "alias", T.A, BOGUS),
)  # fmt: skip
IDS = [case.id for case in CASES]


def apex_of(case: Case) -> str:
    return case.id.replace("_", "-").lower() + ".test"


def make_lab() -> SignedZones:
    """Give one hierarchy with a zone for each case, every fault in its place."""
    data: dict[str, ZoneData] = {}
    signing = {".": Signing(), "test": Signing()}
    for case in CASES:
        apex = apex_of(case)
        data[apex] = zone_data(apex)
        data[f"signed.{apex}"] = data[f"unsigned.{apex}"] = {"www": {"A": "192.0.2.1"}}
        signing[apex] = case.signing
        signing[f"signed.{apex}"] = Signing()
    lab = SignedZones(data, signing)
    lab.faults = [case.fault(lab, apex_of(case)) for case in CASES if case.fault]
    return lab


LAB = make_lab()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Delv, Unbound]]:
    directory: Path = tmp_path_factory.mktemp("programs")
    with serving(LAB) as up, delv(up, LAB, directory) as bind, unbound(up, LAB, directory) as other:
        yield bind, other


@pytest.mark.real
@pytest.mark.needs("delv", package="bind9-dnsutils")
@pytest.mark.needs("unbound", package="unbound")
@pytest.mark.parametrize("program", ["delv", "unbound"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_real_validators_judge_faults(programs: tuple[Delv, Unbound], case: Case, program: str) -> None:
    if case.slow == program:
        pytest.skip(f"{program} gives up only after many seconds")
    got = programs[program == "unbound"].ask(f"{case.qname}.{apex_of(case)}", case.rrtype)
    assert got.status == case.by.get(program, case.want), got.why
