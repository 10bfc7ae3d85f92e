"""Signed zones, as BIND's and Unbound's validators judge them: no test here shares code with ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from secdns.iana import RCode, RRType
from secdns.testing import FakeUpstream, SignedZones, Signing
from secdns.testing.denials import Denial
from tests.testing.signed_lab import KINDS, ROWS, Row, zones
from tests.testing.validators import BOGUS, INSECURE, SECURE, Delv, Unbound, delv, serving, unbound

pytestmark = [
    pytest.mark.real,
    pytest.mark.needs("delv", package="bind9-dnsutils"),
    pytest.mark.needs("unbound", package="unbound"),
]

LAB = zones()


@pytest.fixture(scope="module")
def up() -> Iterator[FakeUpstream]:
    with serving(LAB) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def bind(up: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delv]:
    with delv(up, LAB, tmp_path_factory.mktemp("delv")) as program:
        yield program


@pytest.fixture(scope="module")
def other(up: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    with unbound(up, LAB, tmp_path_factory.mktemp("unbound")) as program:
        yield program


rows = pytest.mark.parametrize("row", ROWS, ids=str)
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@rows
def test_unbound_agrees_with_every_answer_4035_6(other: Unbound, row: Row, kind: Denial) -> None:
    is_insecure = row.is_insecure or row.is_weak(kind) or row.rcode == RCode.YXDOMAIN  # Unbound gives no AD
    got = other.ask(row.name(kind), row.rrtype)
    assert (got.status, got.rcode) == (INSECURE if is_insecure else SECURE, row.rcode_with_do(kind)), got.why


@kinds
@rows
def test_bind_agrees_with_every_answer_4035_6(bind: Delv, row: Row, kind: Denial) -> None:
    if row.rcode == RCode.YXDOMAIN:
        pytest.skip("delv asks for ever when it sees YXDOMAIN")
    got = bind.ask(row.name(kind), row.rrtype)
    if row.is_weak(kind):  # BIND calls some of these secure
        assert got.status != BOGUS, got.why
    else:
        assert got.status == (INSECURE if row.is_insecure else SECURE), got.why
    assert got.rcode == row.rcode_with_do(kind)


@pytest.mark.parametrize(
    "signing",
    [
        pytest.param(Signing(algorithms=(5,)), id="RSASHA1"),
        pytest.param(Signing(algorithms=(7,), denial="nsec3"), id="RSASHA1-NSEC3-SHA1"),
        pytest.param(Signing(algorithms=(8,)), id="RSASHA256"),
        pytest.param(Signing(algorithms=(10,)), id="RSASHA512"),
        pytest.param(Signing(algorithms=(13,)), id="ECDSAP256SHA256"),
        pytest.param(Signing(algorithms=(14,)), id="ECDSAP384SHA384"),
        pytest.param(Signing(algorithms=(15,)), id="ED25519"),
        pytest.param(Signing(algorithms=(16,)), id="ED448"),
        pytest.param(Signing(algorithms=(8, 13)), id="two algorithms"),
        pytest.param(Signing(is_split=False), id="one key"),
        pytest.param(Signing(digests=(4,)), id="SHA-384 DS"),
        pytest.param(Signing(digests=(1, 2, 4)), id="three digests"),
        pytest.param(Signing(denial="nsec3", salt=bytes(16), iterations=50), id="50 iterations"),
        pytest.param(Signing(denial="compact"), id="compact from the root down"),
        pytest.param(Signing(denial="opt-out"), id="opt-out from the root down"),
    ],
)
def test_both_agree_with_every_way_to_sign(signing: Signing, tmp_path: Path) -> None:
    lab = SignedZones({"test": {}, "a.test": {"www": {"A": "192.0.2.1"}}, "b.test": {}}, signing)
    with serving(lab) as up, delv(up, lab, tmp_path) as bind, unbound(up, lab, tmp_path) as other:
        for program in (bind, other):
            got = program.ask("www.a.test", RRType.A)
            assert (got.status, got.rcode) == (SECURE, RCode.NOERROR), got.why
            got = program.ask("no.b.test", RRType.A)
            want = RCode.NOERROR if signing.denial == "compact" else RCode.NXDOMAIN
            assert (got.status == BOGUS, got.rcode) == (False, want), got.why
