"""Which records of a response reach clients and cache (threats C4, C5, C11; RFC 2181 §10.1)."""

from itertools import pairwise

import pytest

from secdns.cache import Cache, Entry, from_response
from secdns.dns.edns import EDNS
from secdns.dns.message import TC, Record
from secdns.dns.name import from_text, to_text
from secdns.errors import FormatError
from secdns.iana import RCode, RRType
from tests.cache.answers import (
    AAAA,
    MB,
    RESPONSE,
    TXT,
    WWW,
    A,
    a,
    cname,
    dname,
    entry_of,
    failure,
    held,
    keep,
    nsec,
    query,
    record,
    replied,
    response,
    rrsig,
    soa,
)
from tests.dns import wires
from tests.dns.wires import head, pointer

DO = query(do=True)
CDN = "cdn.example.net"
EVIL = "www.bank.example"

Shown = list[tuple[str, int]]


def shown(records: tuple[Record, ...]) -> Shown:
    """Give owner and type of each record."""
    return [(to_text(one.name).rstrip("."), one.rrtype) for one in records]


def chain(links: int, *, rrtype: int = RRType.CNAME) -> list[Record]:
    """Give CNAME records from the usual name on, and the address at their end."""
    names = [WWW, *(f"n{number}.example.net" for number in range(links))]
    records = [cname(owner, target) for owner, target in pairwise(names)]
    return [*records, a(names[-1])]


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        pytest.param([a(), a(number=2)], [(WWW, A), (WWW, A)], id="RRset"),
        pytest.param([a(), rrsig()], [(WWW, A), (WWW, RRType.RRSIG)], id="signed RRset"),
        pytest.param([rrsig(), a()], [(WWW, RRType.RRSIG), (WWW, A)], id="signature first"),
        pytest.param([cname(WWW, CDN), a(CDN)], [(WWW, 5), (CDN, A)], id="CNAME"),
        pytest.param(
            [cname(WWW, CDN), rrsig(WWW, 5), a(CDN), rrsig(CDN, A)],
            [(WWW, 5), (WWW, 46), (CDN, A), (CDN, 46)],
            id="signed CNAME",
        ),
        pytest.param([cname("WWW.example.COM", "CDN.example.net"), a(CDN)], None, id="CNAME in another case"),
        pytest.param([a(), a(EVIL)], [(WWW, A)], id="stranger behind"),
        pytest.param([a(EVIL), a()], [(WWW, A)], id="stranger before"),
        pytest.param([a(), a(EVIL), a(number=2)], [(WWW, A), (WWW, A)], id="stranger between"),
        pytest.param([a(), rrsig(EVIL)], [(WWW, A)], id="strange signature"),
        pytest.param([a(), record(WWW, AAAA, bytes(16))], [(WWW, A)], id="type nobody asked for"),
        pytest.param([cname(WWW, CDN), a(EVIL), a(CDN)], [(WWW, 5), (CDN, A)], id="stranger in a chain"),
        pytest.param(
            [cname(WWW, CDN), a(CDN), cname(CDN, EVIL), a(EVIL)], [(WWW, 5), (CDN, A)], id="past the end"
        ),
        pytest.param([cname(EVIL, CDN), a(CDN)], [], id="chain of a stranger"),
        pytest.param([a("example.com"), a("a.www.example.com")], [], id="above and below"),
        pytest.param([cname(WWW, CDN)], [(WWW, 5)], id="chain without an end"),
    ],
)
def test_only_records_on_the_path_are_kept_C4_C5(answer: list[Record], want: Shown | None) -> None:
    got = replied(entry_of(response(*answer)), DO)
    assert shown(got.answer) == (shown(tuple(answer)) if want is None else want)


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        pytest.param([cname(WWW, CDN), a()], [(WWW, 5)], id="CNAME first"),
        pytest.param([a(), cname(WWW, CDN), a(CDN)], [(WWW, A)], id="address first"),
        pytest.param([cname(WWW, CDN), cname(WWW, EVIL), a(EVIL)], [(WWW, 5)], id="two CNAMEs"),
        pytest.param([cname(WWW, WWW), a()], [(WWW, A)], id="CNAME to itself"),
        pytest.param([cname(WWW, CDN), cname(CDN, WWW), a()], [(WWW, 5)], id="loop"),
    ],
)
def test_cname_has_no_other_data_beside_it_2181_3(answer: list[Record], want: Shown) -> None:
    assert shown(replied(entry_of(response(*answer)), DO).answer) == want


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        pytest.param(
            [dname("example.com", "example.net"), cname(WWW, "www.example.net"), a("www.example.net")],
            [("example.com", 39), (WWW, 5), ("www.example.net", A)],
            id="DNAME and the CNAME made from it",
        ),
        pytest.param(
            [dname("example.com", "net"), rrsig("example.com", 39), cname(WWW, "www.net"), a("www.net")],
            [("example.com", 39), ("example.com", 46), (WWW, 5), ("www.net", A)],
            id="signed DNAME",
        ),
        pytest.param(
            [dname("example.com", "example.net"), cname(WWW, CDN), a(CDN)],
            [(WWW, 5), (CDN, A)],
            id="DNAME that leads elsewhere",
        ),
        pytest.param([a(), dname("example.com", "evil.example")], [(WWW, A)], id="DNAME behind the data"),
        pytest.param([dname("com", "evil.example"), a()], [(WWW, A)], id="DNAME nothing follows from"),
        pytest.param([dname("bank.example", "evil.example"), a()], [(WWW, A)], id="DNAME of a stranger"),
        pytest.param([dname(WWW, "evil.example"), a()], [(WWW, A)], id="DNAME at the name itself"),
        pytest.param([dname("example.com", "evil.example"), rrsig("example.com", 39)], [], id="DNAME alone"),
    ],
)
def test_dname_is_kept_with_the_cname_made_from_it_only_C5(answer: list[Record], want: Shown) -> None:
    assert shown(replied(entry_of(response(*answer)), DO).answer) == want


@pytest.mark.parametrize("links", [1, 12])
def test_chain_of_at_most_12_links_is_followed(links: int) -> None:
    assert len(replied(entry_of(response(*chain(links))), query()).answer) == links + 1


@pytest.mark.parametrize("links", [13, 300])
def test_chain_of_over_12_links_is_refused(links: int) -> None:
    with pytest.raises(FormatError, match="over 12 CNAME links"):
        from_response(response(*chain(links)))


@pytest.mark.parametrize(
    "rrtype", [RRType.CNAME, RRType.DNAME, RRType.RRSIG], ids=["CNAME", "DNAME", "RRSIG"]
)
def test_links_are_data_to_who_asks_for_them(rrtype: RRType) -> None:
    data = {5: cname(WWW, CDN), 39: dname(WWW, CDN), 46: rrsig()}[rrtype]
    entry = entry_of(response(data, a(CDN), rrtype=rrtype))
    assert (shown(replied(entry, query(rrtype=rrtype)).answer), entry.ttl_s) == ([(WWW, rrtype)], 300)


SOA = ("example.com", RRType.SOA)
SIGNED_SOA = [soa(), rrsig("example.com", 6)]


@pytest.mark.parametrize(
    ("authority", "want"),
    [
        pytest.param([soa()], [SOA], id="SOA"),
        pytest.param([soa(), record("example.com", 2, b"\2ns\0")], [SOA], id="NS behind"),
        pytest.param([record("example.com", 2, b"\2ns\0"), soa()], [SOA], id="NS before"),
        pytest.param([soa("example.net"), soa()], [SOA], id="SOA of another zone"),
        pytest.param(
            [soa("www.bank.example"), rrsig("bank.example", 6, "bank.example"), soa()], [SOA], id="both"
        ),
        pytest.param(
            [*SIGNED_SOA, nsec("vvv.example.com", "x.example.com"), rrsig("vvv.example.com", 47)],
            [SOA, ("example.com", 46), ("vvv.example.com", 47), ("vvv.example.com", 46)],
            id="proof",
        ),
        pytest.param(
            [
                *SIGNED_SOA,
                nsec("a.bank.example", "z.bank.example"),
                rrsig("a.bank.example", 47, "bank.example"),
            ],
            [SOA, ("example.com", 46)],
            id="proof of another zone",
        ),
        pytest.param(
            [*SIGNED_SOA, nsec("a.bank.example", "z.bank.example"), rrsig("a.bank.example", 47)],
            [SOA, ("example.com", 46)],
            id="proof of another zone with our signer",
        ),
        pytest.param([soa(), nsec("a.example.com", "z.example.com")], [SOA], id="proof without signature"),
        pytest.param([soa(), record("a.example.com", 46, b"\0\1")], [SOA], id="cut signature"),
        pytest.param([soa(), a(EVIL), a()], [SOA], id="addresses"),
    ],
)
def test_authority_has_the_soa_and_proofs_of_the_zone_only_C4_C11_C13(
    authority: list[Record], want: Shown
) -> None:
    entry = entry_of(response(authority=authority, rcode=RCode.NXDOMAIN))
    assert (shown(replied(entry, DO).authority), entry.ttl_s) == (want, 300)


def test_wildcard_proof_stays_with_a_positive_answer() -> None:
    proof = [nsec("v.example.com", "x.example.com"), rrsig("v.example.com", 47)]
    got = replied(entry_of(response(a(), rrsig(), authority=proof)), DO)
    assert shown(got.authority) == [("v.example.com", 47), ("v.example.com", 46)]


def test_proof_of_a_zone_in_the_middle_of_the_chain_stays() -> None:
    proof = [nsec("v.example.com", "x.example.com"), rrsig("v.example.com", 47)]
    got = replied(entry_of(response(cname(WWW, CDN), a(CDN), authority=proof)), DO)
    assert len(got.authority) == 2


@pytest.mark.parametrize(
    "answer", [[a()], [cname(WWW, CDN), a(CDN)], [a(EVIL)]], ids=["plain", "chain", "stranger"]
)
def test_additional_section_is_dropped_C4_6891_4(answer: list[Record]) -> None:
    wire = response(*answer, additional=[a("ns.example.com"), a(EVIL)], edns=EDNS(options=((3, b"id"),)))
    got = replied(entry_of(wire), DO)
    assert (got.additional, got.edns) == ((), EDNS(do=True))


def test_class_other_than_in_is_dropped_C8() -> None:
    wire = response(Record(from_text(WWW), A, 3, 300, b"\1\2\3\4"), a(number=2))
    assert [one.rrclass for one in replied(entry_of(wire), DO).answer] == [1]


def test_a_strangers_address_is_not_found_in_the_cache_C4() -> None:
    cache = Cache(MB)
    keep(cache, query(), response(a(), a(EVIL)), now=0.0)
    assert held(cache, query(EVIL), now=0.0) is None


def test_truncated_response_is_refused_T11_2181_4() -> None:
    for answer in ([], [a()], [cname(WWW, CDN)]):
        with pytest.raises(FormatError, match="truncated"):
            entry_of(response(*answer, flags=RESPONSE | TC))


@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 9, 16, 23, 33])
def test_failure_carries_no_records_4035_4(rcode: int) -> None:
    entry = entry_of(response(a(), authority=[soa()], rcode=rcode))
    assert (entry.rcode, entry.is_failure, entry.ttl_s) == (rcode, True, 0)
    assert replied(entry, DO).answer + replied(entry, DO).authority == ()


def test_name_that_grew_too_long_by_a_dname_is_an_answer() -> None:
    entry = entry_of(response(dname("example.com", "long.example"), rcode=RCode.YXDOMAIN))
    assert (entry.rcode, entry.is_failure) == (RCode.YXDOMAIN, False)


def test_malformed_rdata_nobody_needs_reaches_the_client_T12() -> None:
    data = record(WWW, RRType.HTTPS, b"\0\0", 60)
    got = replied(entry_of(response(data, rrtype=RRType.HTTPS)), query(rrtype=RRType.HTTPS))
    assert got.answer == (data,)


@pytest.mark.parametrize("rdata", [b"", b"\2ns\0", soa().rdata[:-1], soa().rdata + b"\0", b"\xc0\xff" * 12])
def test_malformed_rdata_that_is_needed_is_refused_T12(rdata: bytes) -> None:
    question = from_text(WWW) + b"\0\1\0\1"
    denial = head(1, 0, 1, 0, flags=RESPONSE | RCode.NXDOMAIN) + question
    with pytest.raises(FormatError):
        from_response(denial + wires.record(pointer(16), RRType.SOA, rdata))


def test_unknown_type_keeps_its_octets_3597_1_3597_2() -> None:
    data = record(WWW, 65280, b"\xc0\x0c\3www\xc0\x10", 60)
    for answer in ([data], [a(EVIL), data], [cname(WWW, CDN), record(CDN, 65280, b"\xc0\x0c", 60)]):
        got = replied(entry_of(response(*answer, rrtype=65280)), query(rrtype=65280))
        assert got.answer[-1].rdata == answer[-1].rdata


def test_root_and_single_label_names_have_answers() -> None:
    for name in (".", "com"):
        entry = entry_of(response(record(name, TXT, b"\1x"), name=name, rrtype=TXT))
        assert len(replied(entry, query(name, TXT)).answer) == 1


def test_failure_has_no_body() -> None:
    entry: Entry = failure()
    assert replied(entry, query()).answer == ()
