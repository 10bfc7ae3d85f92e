"""Records sorted into RRsets: what does not belong is passed over, and nothing behind it."""

from dataclasses import replace

import pytest

from secdns.dns.message import Record
from secdns.dnssec.rrsets import RRsets
from secdns.iana import RRClass, RRType
from tests.dnssec.signing import WWW, Signer, a

RECORDS = a("192.0.2.1", "192.0.2.2")
RRSIG = Signer().sign(RECORDS)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(RECORDS[0], rrclass=RRClass.CH), id="another class"),
        pytest.param(replace(RRSIG, rrclass=RRClass.CH), id="an RRSIG of another class"),
        pytest.param(Record(WWW, RRType.RRSIG, RRClass.IN, 300, b"short"), id="an RRSIG that cannot be read"),
    ],
)
def test_what_does_not_count_hides_nothing_behind_it(other: Record) -> None:
    signed = RRsets([other, *RECORDS, other, RRSIG]).find(WWW, RRType.A)
    assert signed is not None
    assert signed.records == RECORDS
    assert signed.covering == [RRSIG]


def test_signatures_alone_are_no_rrset() -> None:
    found = RRsets([RRSIG])
    assert found.find(WWW, RRType.A) is None
    assert list(found.of_types(RRType.A)) == []
    assert [signed.covering for signed in found.at(WWW).values()] == [[RRSIG]]
