"""Generated zones: completeness and soundness of what NSEC and NSEC3 prove."""

import dns.name
from hypothesis import given
from hypothesis import strategies as st

from secdns.dnssec.denial import Finding, no_ds, nodata, nxdomain, wildcard_answer
from secdns.dnssec.limits import NSEC3_RECORDS, NSEC_RECORDS
from secdns.iana import RRType
from tests.dnssec.test_denial_worked import (
    DENIED,
    check_no_ds,
    check_nodata,
    check_nxdomain,
    check_wildcard,
    claim,
    proofs_of,
    wildcards,
)
from tests.dnssec.zone_model import Chain, Truth, Zone, name, wire

QTYPES = (RRType.A, RRType.NS, RRType.DS, RRType.CNAME, RRType.DNAME, RRType.SOA, RRType.ANY, RRType.CAA)
NODES = (
    (RRType.A,),
    (RRType.A, RRType.CAA),
    (RRType.CNAME,),
    (RRType.DNAME, RRType.A),
    (RRType.NS,),
    (RRType.NS, RRType.DS),
)

labels = st.sampled_from([b"a", b"b", b"*", b"\0", b"\xff", b"a\0", b"-"])
paths = st.lists(labels, min_size=1, max_size=4).map(tuple)
chains = st.one_of(
    st.just(Chain()),
    st.builds(
        Chain,
        nsec3=st.just(True),
        opt_out=st.booleans(),
        iterations=st.sampled_from([0, 1, 3]),
        salt=st.binary(max_size=4),
    ),
)
questions = st.lists(st.tuples(paths, st.sampled_from(QTYPES)), min_size=1, max_size=25)


@st.composite
def zones(draw: st.DrawFn) -> Zone:
    """Give a zone of up to twelve names, with no delegation at a wildcard (RFC 4592 §4.2)."""
    apex = draw(st.sampled_from(["example.test.", "test.", "."]))
    nodes = {}
    for path, types in draw(st.dictionaries(paths, st.sampled_from(NODES), max_size=12)).items():
        if path[0] != b"*" or RRType.NS not in types:
            nodes[dns.name.Name([*path, *name("@", apex).labels])] = types
    return Zone(name("@", apex), nodes, draw(chains))


def below(zone: Zone, path: tuple[bytes, ...]) -> dns.name.Name:
    return dns.name.Name([*path, *zone.apex.labels])


@given(zones(), questions)
def test_every_truth_of_any_zone_is_proven_4035_5155(
    zone: Zone, asked: list[tuple[tuple[bytes, ...], int]]
) -> None:
    for path, qtype in asked:
        qname = below(zone, path)
        truth = zone.truth(qname, qtype)
        if truth in DENIED and not hides_a_wildcard(zone, qname):
            got = claim(zone, qname, qtype, zone.proof(qname, qtype))
            assert got.finding is Finding.PROVEN, (qname, qtype)
            assert got.opt_out is (zone.chain.opt_out and qname not in zone.chained)


def hides_a_wildcard(zone: Zone, qname: dns.name.Name) -> bool:
    """Tell whether opt-out leaves out an empty non-terminal that keeps a wildcard from answering.

    Its NXDOMAIN then has no proof (RFC 5155 §7.1 lets a signer leave such names out).
    """
    if qname in zone.existing or zone.chained == zone.existing:
        return False
    encloser = zone.encloser(qname)
    provable = zone.encloser(qname, zone.chained)
    return encloser != provable and dns.name.Name([b"*", *provable.labels]) in zone.existing


@given(zones(), questions, st.data())
def test_nothing_false_of_any_zone_is_proven_D6_D7_D8_D9_D20(
    zone: Zone, asked: list[tuple[tuple[bytes, ...], int]], data: st.DataObject
) -> None:
    most = min(NSEC_RECORDS.default, NSEC3_RECORDS.default)
    records = data.draw(st.lists(st.sampled_from(zone.records), max_size=most, unique=True))
    for path, qtype in asked:
        qname = below(zone, path)
        proofs = proofs_of(zone, records)
        check_nxdomain(zone, qname, nxdomain(proofs, wire(qname)))
        check_nodata(zone, qname, qtype, nodata(proofs, wire(qname), qtype))
        check_no_ds(zone, qname, no_ds(proofs, wire(qname)))
        for source in wildcards(zone):
            check_wildcard(zone, qname, source, wildcard_answer(proofs, wire(qname), wire(source)))


@given(zones(), questions)
def test_what_an_honest_server_sends_for_one_type_is_not_bent_to_another_D8(
    zone: Zone, asked: list[tuple[tuple[bytes, ...], int]]
) -> None:
    for path, qtype in asked:
        qname = below(zone, path)
        for other in QTYPES:
            proofs = proofs_of(zone, zone.proof(qname, qtype))
            check_nodata(zone, qname, other, nodata(proofs, wire(qname), other))
            if zone.truth(qname, other) is not Truth.NXDOMAIN:
                got = nxdomain(proofs, wire(qname))
                assert got.opt_out or got.finding is Finding.NOT_PROVEN, qname
