"""The rules that forgeries lean against: other zones' records, bits, parameters, compact denial."""

import dns.name
import pytest

from secdns.dns.message import Record
from secdns.dnssec.denial import Finding, Outcome, Proofs, no_ds, nodata, nxdomain, wildcard_answer
from secdns.dnssec.limits import Budget
from secdns.iana import EDE, RRType
from tests.dnssec.zone_model import Chain, Zone, hashed, name, nsec, nsec3, questions_around, unbase32, wire

ZONE = name("@")
CHAINS = [
    pytest.param(Chain(), id="NSEC"),
    pytest.param(Chain(nsec3=True), id="NSEC3"),
    pytest.param(Chain(nsec3=True, opt_out=True), id="NSEC3 opt-out"),
]
FAMILY: dict[str, dict[str, tuple[int, ...]]] = {  # a zone, the one above it, one beside it and two below it
    "test.": {"example": (RRType.NS, RRType.DS), "sibling": (RRType.NS, RRType.DS)},
    "example.test.": {
        "a": (RRType.A,),
        "child": (RRType.NS, RRType.DS),
        "open": (RRType.NS,),
        hashed(dns.name.from_text("child.example.test."), b"", 0): (RRType.NS, RRType.DS),
    },
    "sibling.test.": {"a": (RRType.A,), "b": (RRType.A,)},
    "child.example.test.": {"www": (RRType.A,), "x.y": (RRType.TXT,)},
    "open.example.test.": {"www": (RRType.A,)},
}


def family(chain: Chain) -> dict[str, Zone]:
    return {
        apex: Zone(name("@", apex), {name(label, apex): types for label, types in nodes.items()}, chain)
        for apex, nodes in FAMILY.items()
    }


def about(*records: Record) -> Proofs:
    return Proofs.read(wire(ZONE), records, Budget())


def has_proven(got: Outcome) -> bool:
    return got.finding is not Finding.NOT_PROVEN


@pytest.mark.parametrize("chain", CHAINS)
def test_records_of_other_zones_prove_nothing_D5_D6_D7_5155_3(chain: Chain) -> None:
    zones = family(chain)
    for zone in zones.values():
        for other in zones.values():
            # Only its signer tells a child's NSEC below its apex from the parent's own.
            looks_alike = not chain.nsec3 and other.apex.is_subdomain(zone.apex)
            if other is zone or looks_alike:
                continue
            for qname in questions_around(zone):
                # Taken for the zone's own, as if its key had signed them.
                proofs = Proofs.read(wire(zone.apex), other.records, Budget())
                for source in (zone.apex, qname):
                    expanded = b"\1*" + wire(source)
                    assert not has_proven(wildcard_answer(proofs, wire(qname), expanded)), qname
                assert not has_proven(nxdomain(proofs, wire(qname))), qname
                assert not has_proven(no_ds(proofs, wire(qname))), qname
                for qtype in (RRType.A, RRType.DS, RRType.ANY):
                    assert not has_proven(nodata(proofs, wire(qname), qtype)), (qname, qtype)


@pytest.mark.parametrize("chain", CHAINS)
def test_the_parent_denies_nothing_of_a_signed_child_D7_6840_1(chain: Chain) -> None:
    zones = family(chain)
    parent = zones["example.test."]
    for qname in questions_around(zones["child.example.test."]):
        if not qname.is_subdomain(name("child")):
            continue
        for records in ([one] for one in parent.records):
            proofs = Proofs.read(wire(parent.apex), [*records, *parent.match(name("child"))], Budget())
            assert not has_proven(nxdomain(proofs, wire(qname))), qname
            assert not has_proven(no_ds(proofs, wire(qname))), qname
            for qtype in (RRType.A, RRType.TXT, RRType.DS, RRType.SOA, RRType.DNSKEY):
                assert not has_proven(nodata(proofs, wire(qname), qtype)), (qname, qtype)


@pytest.mark.parametrize("chain", CHAINS)
def test_the_grandparent_denies_no_ds_D5_D7(chain: Chain) -> None:
    zones = family(chain)
    grandparent = zones["test."]
    for record in grandparent.records:
        records = [record, *grandparent.match(name("example", "test."))]
        got = no_ds(Proofs.read(wire(grandparent.apex), records, Budget()), wire(name("child")))
        assert got.finding is Finding.NOT_PROVEN


@pytest.mark.parametrize("chain", CHAINS)
def test_the_child_denies_no_ds_of_its_own_apex_D7_6840_3(chain: Chain) -> None:
    child = family(chain)["child.example.test."]
    proofs = Proofs.read(wire(child.apex), child.records, Budget())
    assert no_ds(proofs, wire(child.apex)).finding is Finding.NOT_PROVEN
    got = nodata(proofs, wire(child.apex), RRType.DS)
    assert got.finding is Finding.NOT_PROVEN
    assert got.reason is not None
    assert got.reason.ede is EDE.DNSSEC_BOGUS
    assert "below the zone cut" in got.reason.text


def listing(types: tuple[int, ...], kind: str, owner: str = "www") -> list[Record]:
    """Give a record for ``owner`` that lists these types, as NSEC or NSEC3."""
    if kind == "NSEC":
        return [nsec(name(owner), name(owner + "x"), (*types, RRType.NSEC, RRType.RRSIG))]
    label = hashed(name(owner), b"", 0)
    following = "v" * 31 + "u"
    return [nsec3(name(label), following, types, Chain(nsec3=True))]


@pytest.mark.parametrize("kind", ["NSEC", "NSEC3"])
@pytest.mark.parametrize(
    ("types", "qtype", "want"),
    [
        pytest.param((RRType.TXT,), RRType.A, True, id="another type"),
        pytest.param((RRType.A,), RRType.A, False, id="the type itself"),
        pytest.param((RRType.CNAME,), RRType.A, False, id="CNAME"),
        pytest.param((RRType.CNAME,), RRType.CNAME, False, id="CNAME when CNAME is asked"),
        pytest.param((RRType.TXT,), RRType.CNAME, True, id="no CNAME when CNAME is asked"),
        pytest.param(
            (RRType.DNAME, RRType.TXT), RRType.A, True, id="a DNAME redirects only what is below it"
        ),
        pytest.param((RRType.DNAME,), RRType.DNAME, False, id="DNAME when DNAME is asked"),
        pytest.param((RRType.NS,), RRType.A, False, id="a delegation"),
        pytest.param((RRType.NS,), RRType.TXT, False, id="a delegation, another type"),
        pytest.param((RRType.NS,), RRType.DS, True, id="DS at a delegation"),
        pytest.param((RRType.NS, RRType.DS), RRType.DS, False, id="DS at a signed delegation"),
        pytest.param((RRType.NS, RRType.SOA), RRType.DS, False, id="DS from the child's side"),
        pytest.param((RRType.NS, RRType.SOA), RRType.A, False, id="an apex inside the zone"),
        pytest.param((RRType.CNAME,), RRType.DS, False, id="CNAME when DS is asked"),
        pytest.param((RRType.TXT,), RRType.ANY, False, id="ANY where there is a type"),
        pytest.param((), RRType.ANY, True, id="ANY where there is none"),
    ],
)
def test_nodata_goes_by_the_bits_D7_D8_6840_1_6840_2_6840_3(
    kind: str, types: tuple[int, ...], qtype: int, want: bool
) -> None:
    got = nodata(about(*listing(types, kind)), wire(name("www")), qtype)
    assert has_proven(got) is want


@pytest.mark.parametrize("kind", ["NSEC", "NSEC3"])
@pytest.mark.parametrize(
    ("types", "want"),
    [
        pytest.param((RRType.NS,), Finding.UNSIGNED_DELEGATION, id="NS"),
        pytest.param((RRType.NS, RRType.DS), Finding.NOT_PROVEN, id="NS and DS"),
        pytest.param((RRType.NS, RRType.SOA), Finding.NOT_PROVEN, id="NS and SOA"),
        pytest.param((RRType.NS, RRType.CNAME), Finding.NOT_PROVEN, id="NS and CNAME"),
        pytest.param((RRType.CNAME,), Finding.NOT_PROVEN, id="CNAME"),
        pytest.param((RRType.A,), Finding.NO_CUT, id="A"),
        pytest.param((RRType.DNAME,), Finding.NO_CUT, id="DNAME"),
        pytest.param((), Finding.NO_CUT, id="nothing"),
    ],
)
def test_no_ds_goes_by_the_bits_D10_6840_3(kind: str, types: tuple[int, ...], want: Finding) -> None:
    assert no_ds(about(*listing(types, kind)), wire(name("www"))).finding is want


@pytest.mark.parametrize("owner", ["a", "b.a"])
@pytest.mark.parametrize("above", [RRType.NS, RRType.DNAME])
def test_a_record_of_what_is_above_covers_nothing_below_D7_6840_1(owner: str, above: int) -> None:
    span = nsec(name(owner), name("c"), (above, RRType.NSEC, RRType.RRSIG))
    below = name("x." + owner)
    apex = nsec(ZONE, name("a"), (RRType.SOA, RRType.NS))
    assert not has_proven(nxdomain(about(span, apex), wire(below)))
    assert not has_proven(nodata(about(span, apex), wire(below), RRType.A))
    assert not has_proven(no_ds(about(span, apex), wire(below)))
    assert not has_proven(wildcard_answer(about(span, apex), wire(below), wire(name("*." + owner))))
    assert has_proven(nxdomain(about(span, apex), wire(name("bb"))))


def test_an_opt_out_span_proves_an_unsigned_delegation_and_no_more_5155_2_6840_4() -> None:
    zone = Zone(ZONE, {name("signed"): (RRType.NS, RRType.DS)}, Chain(nsec3=True, opt_out=True))
    proofs = Proofs.read(wire(ZONE), zone.records, Budget())
    got = no_ds(proofs, wire(name("nx")))
    assert (got.finding, got.opt_out) == (Finding.UNSIGNED_DELEGATION, True)
    got = nxdomain(proofs, wire(name("nx")))
    assert (got.finding, got.opt_out) == (Finding.PROVEN, True)
    got = nodata(proofs, wire(name("nx")), RRType.A)
    assert (got.finding, got.opt_out) == (Finding.PROVEN, True)
    got = wildcard_answer(proofs, wire(name("nx")), wire(name("*")))
    assert (got.finding, got.opt_out) == (Finding.PROVEN, True)
    assert no_ds(proofs, wire(name("signed"))).finding is Finding.NOT_PROVEN


def test_a_covering_nsec3_without_opt_out_is_no_unsigned_delegation_D10() -> None:
    zone = Zone(ZONE, {name("a"): (RRType.A,)}, Chain(nsec3=True))
    proofs = Proofs.read(wire(ZONE), zone.records, Budget())
    assert no_ds(proofs, wire(name("nx"))).finding is Finding.NO_CUT


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Chain(nsec3=True, iterations=1), id="iterations"),
        pytest.param(Chain(nsec3=True, salt=b"\1"), id="salt"),
        pytest.param(Chain(nsec3=True, iterations=2500), id="too many iterations"),
    ],
)
def test_nsec3_of_two_parameters_prove_nothing_together_5155_3(other: Chain) -> None:
    nodes = {name("a"): (RRType.A,)}
    one, two = Zone(ZONE, nodes, Chain(nsec3=True)), Zone(ZONE, nodes, other)
    proof = one.proof(name("nx"), RRType.A)
    assert has_proven(nxdomain(about(*proof), wire(name("nx"))))
    got = nxdomain(about(*proof, two.records[0]), wire(name("nx")))
    assert got.finding is Finding.NOT_PROVEN
    assert got.reason is not None
    assert "differ in iterations or salt" in got.reason.text


@pytest.mark.parametrize("flags", [(False, True), (True, False)])
def test_one_opt_out_span_in_a_proof_is_enough_to_keep_ad_clear_5155_2(flags: tuple[bool, bool]) -> None:
    nodes = {name("a"): (RRType.A,)}
    plain, flagged = (Zone(ZONE, nodes, Chain(nsec3=True, opt_out=flag)) for flag in (False, True))
    records = {
        owner: (flagged if flag else plain).by_owner[owner]
        for owner, flag in zip((ZONE, name("a")), flags, strict=True)
    }
    marked = {records[owner].name for owner, flag in zip(records, flags, strict=True) if flag}
    seen = set()
    for parent in (ZONE, name("a")):
        for number in range(8):
            qname = dns.name.Name([b"nx%d" % number, *parent.labels])
            wildcard = dns.name.Name([b"*", *parent.labels])
            spans = [plain.cover(absent)[0].name in marked for absent in (qname, wildcard)]
            got = nxdomain(about(*records.values()), wire(qname))
            assert (got.finding, got.opt_out) == (Finding.PROVEN, any(spans)), qname
            seen.add(tuple(spans))
    assert {(True, False), (False, True)} <= seen


@pytest.mark.parametrize("chain", CHAINS)
def test_a_name_that_a_record_shows_to_exist_is_no_nxdomain_whatever_else_came_4592(chain: Chain) -> None:
    # The zone before and after it got the names: an old record denies what a new one shows.
    before = Zone(ZONE, {name("z"): (RRType.A,)}, chain)
    after = Zone(ZONE, {name(text): (RRType.A,) for text in ("z", "b", "a.c")}, chain)
    for qname in (name("b"), name("c")):
        old = before.proof(qname, RRType.A)
        assert has_proven(nxdomain(about(*old), wire(qname)))
        new = after.match(qname) or after.cover(qname)
        for records in ([*new, *old], [*old, *new]):
            got = nxdomain(about(*records), wire(qname))
            assert got.finding is Finding.NOT_PROVEN
            assert got.reason is not None
            assert got.reason.text.endswith("says that it exists")


def narrow(of: dns.name.Name, types: tuple[int, ...] | None, chain: Chain) -> Record:
    """Give an NSEC3 made on the fly: at a name's hash, or just around it if ``types`` is None."""
    middle = int.from_bytes(unbase32(hashed(of, chain.salt, chain.iterations)))
    start = middle if types is not None else middle - 1
    return nsec3(name(base32(start)), base32(middle + 1), types or (), chain)


def base32(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuv"
    return "".join(digits[number >> 5 * place & 31] for place in reversed(range(32)))


def test_nsec3_that_span_one_hash_each_prove_as_much_7129() -> None:
    chain = Chain(nsec3=True, salt=b"\xab")
    apex = narrow(ZONE, (RRType.SOA, RRType.NS), chain)
    wildcard, qname = name("*"), name("deep.er.nx")
    around = [narrow(name("nx"), None, chain), narrow(wildcard, None, chain)]
    got = nxdomain(about(apex, *around), wire(qname))
    assert (got.finding, len(got.used)) == (Finding.PROVEN, 3)
    empty_wildcard = narrow(wildcard, (RRType.TXT,), chain)
    assert has_proven(nodata(about(apex, around[0], empty_wildcard), wire(qname), RRType.A))
    assert has_proven(wildcard_answer(about(around[0]), wire(qname), wire(wildcard)))
    assert has_proven(nodata(about(narrow(qname, (RRType.TXT,), chain)), wire(qname), RRType.A))
    for missing in (apex, *around):
        rest = [record for record in (apex, *around) if record != missing]
        assert not has_proven(nxdomain(about(*rest), wire(qname)))


def test_nsec_and_nsec3_do_not_complete_each_other() -> None:
    nodes = {name("a"): (RRType.A,), name("b"): (RRType.A,)}
    chained, ringed = Zone(ZONE, nodes, Chain()), Zone(ZONE, nodes, Chain(nsec3=True))
    qname = name("x.a")
    half = chained.cover(qname)
    other_half = ringed.cover(name("*.a"))
    assert not has_proven(nxdomain(about(*other_half), wire(qname)))
    whole = about(*chained.proof(qname, RRType.A), *other_half)
    assert has_proven(nxdomain(whole, wire(qname)))
    apart = [record for record in half if record.name != wire(name("a"))]
    assert not has_proven(nxdomain(about(*apart, *other_half), wire(qname)))


def test_an_unreadable_record_is_named_in_the_reason() -> None:
    outside = nsec(name("a"), name("b.test."), (RRType.NSEC, RRType.RRSIG))
    got = nxdomain(about(outside), wire(name("b")))
    assert got.reason is not None
    assert got.reason.ede is EDE.NSEC_MISSING
    assert "b.test., outside example.test." in got.reason.text


def test_no_records_at_all_prove_nothing_D12() -> None:
    for got in (
        nxdomain(about(), wire(name("a"))),
        nodata(about(), wire(name("a")), RRType.A),
        nodata(about(), wire(name("a")), 65280),
        no_ds(about(), wire(name("a"))),
        wildcard_answer(about(), wire(name("a")), wire(name("*"))),
    ):
        assert got.finding is Finding.NOT_PROVEN
        assert got.reason is not None
        assert got.reason.ede is EDE.NSEC_MISSING
        assert "a.example.test." in got.reason.text


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("*.b", id="beside the name"),
        pytest.param("*.x.a", id="a label too deep"),
        pytest.param("a", id="no wildcard"),
        pytest.param("*.test.", id="above the zone"),
        pytest.param("*.", id="of the root"),
    ],
)
def test_only_a_wildcard_above_the_name_answers_for_it_D9(source: str) -> None:
    for chain in (Chain(), Chain(nsec3=True)):
        zone = Zone(ZONE, {name("m"): (RRType.A,)}, chain)
        got = wildcard_answer(about(*zone.records), wire(name("x.a")), wire(name(source)))
        assert got.finding is Finding.NOT_PROVEN
        assert has_proven(wildcard_answer(about(*zone.records), wire(name("x.a")), wire(name("*"))))


# Compact denial.


@pytest.mark.parametrize("kind", ["NSEC", "NSEC3"])
def test_nxname_is_nodata_for_a_name_that_does_not_exist_9824_1(kind: str) -> None:
    if kind == "NSEC":
        record = nsec(name("nx"), name("\\000.nx"), (RRType.RRSIG, RRType.NSEC, RRType.NXNAME))
    else:
        (record,) = listing((RRType.RRSIG, RRType.NXNAME), kind, "nx")
    asked = wire(name("nx"))
    for qtype in (RRType.A, RRType.DS, RRType.ANY, 65280):
        got = nodata(about(record), asked, qtype)
        assert (got.finding, got.nxname) == (Finding.PROVEN, True)
    got = nxdomain(about(record), asked)
    assert (got.finding, got.nxname) == (Finding.PROVEN, True)
    got = no_ds(about(record), asked)
    assert (got.finding, got.nxname) == (Finding.NO_CUT, True)
    assert nodata(about(record), asked, RRType.NXNAME).finding is Finding.NOT_PROVEN
    for below in ("x.nx", "\\000.nx", "nx0"):
        assert not has_proven(nxdomain(about(record), wire(name(below))))
        assert not has_proven(nodata(about(record), wire(name(below)), RRType.A))


def test_compact_nodata_of_a_name_that_exists_is_no_nxdomain_9824_1() -> None:
    asked = wire(name("a"))
    for types in ((RRType.TXT,), ()):  # with a type, and an empty non-terminal
        record = nsec(name("a"), name("\\000.a"), (*types, RRType.RRSIG, RRType.NSEC))
        got = nodata(about(record), asked, RRType.A)
        assert (got.finding, got.nxname) == (Finding.PROVEN, False)
        assert nxdomain(about(record), asked).finding is Finding.NOT_PROVEN


def test_nxname_beside_a_type_does_not_make_a_name_vanish_9824() -> None:
    record = nsec(name("a"), name("\\000.a"), (RRType.TXT, RRType.RRSIG, RRType.NSEC, RRType.NXNAME))
    assert nxdomain(about(record), wire(name("a"))).finding is Finding.NOT_PROVEN
    assert nodata(about(record), wire(name("a")), RRType.TXT).finding is Finding.NOT_PROVEN


@pytest.mark.parametrize("kind", ["NSEC", "NSEC3"])
def test_a_ds_that_is_there_is_told_and_not_called_a_missing_proof(kind: str) -> None:
    got = no_ds(about(*listing((RRType.NS, RRType.DS), kind)), wire(name("www")))
    assert got.reason is not None
    assert got.reason.ede is EDE.DNSSEC_BOGUS
    assert got.reason.text.endswith(f"its {kind} lists DS")
