"""What a denial may cost: records, iterations, salt, hashes."""

from collections.abc import Callable

import dns.name
import pytest

from secdns.dns.message import Record
from secdns.dnssec.denial import Finding, Proofs, no_ds, nodata, nxdomain, wildcard_answer
from secdns.dnssec.limits import (
    NSEC3_HASHES,
    NSEC3_ITERATIONS,
    NSEC3_RECORDS,
    NSEC3_SALT,
    NSEC_RECORDS,
    Budget,
    OverBudget,
)
from secdns.iana import EDE, RRType
from tests.dns.wires import cpu_ms
from tests.dnssec.zone_model import Chain, Zone, name, wire

ZONE = name("@")
APEX = wire(ZONE)


def zone_with(*texts: str, iterations: int = 0, salt: bytes = b"") -> Zone:
    chain = Chain(nsec3=True, iterations=iterations, salt=salt)
    return Zone(ZONE, {name(text): (RRType.A,) for text in texts}, chain)


def deep(count: int, text: str = "@") -> dns.name.Name:
    """Give a name ``count`` labels below another."""
    return dns.name.Name([b"x"] * count + list(name(text).labels))


@pytest.mark.parametrize("iterations", [0, 1, 50, 51, 150, 2500, 65535])
def test_too_many_iterations_are_insecure_and_not_computed_D2_9276_2_9276_3(iterations: int) -> None:
    # A record of a few iterations, told to claim more: making the real one would take seconds.
    honest = min(iterations, NSEC3_ITERATIONS.default)
    records = [
        Record(
            one.name, one.rrtype, one.rrclass, one.ttl, one.rdata[:2] + iterations.to_bytes(2) + one.rdata[4:]
        )
        for one in zone_with("a", iterations=honest).proof(name("nx"), RRType.A)
    ]
    budget = Budget()
    proofs = Proofs.read(APEX, records, budget)
    outcomes = [
        nxdomain(proofs, wire(name("nx"))),
        nodata(proofs, wire(name("nx")), RRType.A),
        no_ds(proofs, wire(name("nx"))),
        wildcard_answer(proofs, wire(name("nx")), wire(name("*"))),
    ]
    if iterations <= 50:
        assert outcomes[0].finding is Finding.PROVEN
        return
    for got in outcomes:
        assert got.finding is Finding.TOO_MANY_ITERATIONS
        assert got.reason is not None
        assert got.reason.ede is EDE.UNSUPPORTED_NSEC3_ITERATIONS
        assert str(iterations) in got.reason.text
    assert budget.hashes == NSEC3_HASHES.default


@pytest.mark.parametrize(
    ("size", "want"),
    [
        pytest.param(NSEC3_SALT.default, Finding.PROVEN, id="at the limit"),
        pytest.param(NSEC3_SALT.default + 1, Finding.TOO_MANY_ITERATIONS, id="over the limit"),
    ],
)
def test_long_salt_is_insecure_9276_2(size: int, want: Finding) -> None:
    zone = zone_with("a", salt=b"s" * size)
    proofs = Proofs.read(APEX, zone.proof(name("nx"), RRType.A), Budget())
    assert nxdomain(proofs, wire(name("nx"))).finding is want


def test_what_the_zone_cannot_prove_is_bogus_whatever_its_iterations_D7() -> None:
    proofs = Proofs.read(APEX, zone_with("a", iterations=51).records, Budget())
    assert nxdomain(proofs, wire(name("nx.test."))).finding is Finding.NOT_PROVEN
    assert wildcard_answer(proofs, wire(name("x.b")), wire(name("*.c"))).finding is Finding.NOT_PROVEN
    assert no_ds(proofs, APEX).finding is Finding.NOT_PROVEN


@pytest.mark.parametrize(
    ("chain", "most"),
    [
        pytest.param(Chain(), NSEC_RECORDS.default, id="NSEC"),
        pytest.param(Chain(nsec3=True), NSEC3_RECORDS.default, id="NSEC3"),
    ],
)
def test_more_records_than_a_denial_needs_are_over_budget_D3(chain: Chain, most: int) -> None:
    zone = Zone(ZONE, {name(f"a{number}"): (RRType.A,) for number in range(499)}, chain)
    Proofs.read(APEX, zone.records[:most], Budget())
    for count in (most + 1, 500):
        with pytest.raises(OverBudget):
            Proofs.read(APEX, zone.records[:count], Budget())


def test_hashes_are_counted_once_a_name_and_over_all_proofs_D2_D3() -> None:
    zone = zone_with("a")
    budget = Budget()
    records = zone.proof(name("nx"), RRType.A)
    proofs = Proofs.read(APEX, records, budget)
    for _ in range(3):
        assert nxdomain(proofs, wire(name("nx"))).finding is Finding.PROVEN
    assert NSEC3_HASHES.default - budget.hashes == 3  # the name, its closest encloser, the wildcard
    no_ds(Proofs.read(APEX, records, budget), wire(name("nx")))
    assert NSEC3_HASHES.default - budget.hashes == 5


@pytest.mark.parametrize(
    ("existing", "labels", "most"),
    [
        pytest.param("a", 1, 3, id="an ordinary name"),
        pytest.param("a", 24, 4, id="24 labels below the apex"),
        pytest.param("a", 120, 4, id="120 labels below the apex"),
        pytest.param("1.2.3.4.5.6.7.8.9.a.b.c", 20, 16, id="below something 12 labels deep, as in ip6.arpa"),
        pytest.param(".".join("abc" * 13), 60, 44, id="39 labels deep, and 60 more"),
        pytest.param(".".join("ab" * 50), 1, 44, id="beside the end of a name of 100 labels"),
    ],
)
def test_honest_deep_names_stay_within_the_budget_D2(existing: str, labels: int, most: int) -> None:
    zone = zone_with(existing)
    deepest = max(zone.existing, key=lambda owner: len(owner.labels))
    qname = dns.name.Name([b"x"] * labels + list(deepest.labels if existing != "a" else ZONE.labels))
    budget = Budget()
    proofs = Proofs.read(APEX, zone.proof(qname, RRType.A), budget)
    try:
        got = nxdomain(proofs, wire(qname))
    except OverBudget:
        pytest.fail(f"{NSEC3_HASHES.default} hashes were not enough")
    assert got.finding is Finding.PROVEN
    assert NSEC3_HASHES.default - budget.hashes <= most


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(nxdomain, id="NXDOMAIN"),
        pytest.param(lambda proofs, qname: nodata(proofs, qname, RRType.A), id="NODATA"),
        pytest.param(no_ds, id="DS denial"),
    ],
)
def test_hashing_for_nothing_ends_at_the_budget_on_every_path_D2(
    claim: Callable[[Proofs, bytes], object],
) -> None:
    zone = zone_with("a", "b", "c", iterations=50, salt=b"s" * NSEC3_SALT.default)
    records = [zone.by_owner[name(text)] for text in "abc"]  # nothing that encloses the name
    qname = wire(deep(120))

    def spend_all() -> None:
        budget = Budget()
        proofs = Proofs.read(APEX, records, budget)
        with pytest.raises(OverBudget):
            claim(proofs, qname)
        assert budget.hashes == 0

    assert cpu_ms(spend_all) < 20
