"""Names that no public resolver may hear."""

import pytest

from secdns.dns.message import Message, Question
from secdns.dns.name import from_text, is_subdomain, to_text
from secdns.dns.rdata import soa_minimum
from secdns.iana import RCode, RRType
from secdns.policy import Answer, QueryPolicies
from secdns.policy.special_use import AS112_ZONES, REVERSE_ZONES, ZONES, LocalZone, SpecialUse

POLICIES = QueryPolicies()
TYPES = [RRType.A, RRType.AAAA, RRType.HTTPS, RRType.MX, RRType.PTR, RRType.TXT, RRType.NS, 65280]


def decide(name: str, rrtype: int = RRType.A) -> Answer:
    decision = POLICIES.decide(Question(from_text(name), rrtype), 0.0)
    assert isinstance(decision, Answer), f"{name} would be forwarded"
    return decision


def forwarded(name: str, rrtype: int) -> bool:
    return POLICIES.decide(Question(from_text(name), rrtype), 0.0) is None


def rdata(name: str, rrtype: int) -> list[bytes]:
    return [record.rdata for record in decide(name, rrtype).records]


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "www.localhost", "a.b.c.localhost"])
@pytest.mark.parametrize(
    ("rrtype", "want"),
    [
        pytest.param(RRType.A, [bytes([127, 0, 0, 1])], id="A"),
        pytest.param(RRType.AAAA, [bytes(15) + b"\x01"], id="AAAA"),
        pytest.param(RRType.HTTPS, [], id="HTTPS"),
        pytest.param(RRType.MX, [], id="MX"),
        pytest.param(RRType.DS, [], id="DS"),
        pytest.param(RRType.ANY, [bytes([127, 0, 0, 1]), bytes(15) + b"\x01"], id="ANY"),
    ],
)
def test_localhost_is_loopback_for_every_type_6761_1(name: str, rrtype: int, want: list[bytes]) -> None:
    assert rdata(name, rrtype) == want
    assert decide(name, rrtype).rcode == RCode.NOERROR


@pytest.mark.parametrize(
    "name", ["1.0.0.127.in-addr.arpa", "1." + "0." * 31 + "ip6.arpa"], ids=["127.0.0.1", "::1"]
)
def test_loopback_addresses_are_named_localhost_6303_1(name: str) -> None:
    assert rdata(name, RRType.PTR) == [from_text("localhost")]
    assert decide(name, RRType.A).rcode == RCode.NOERROR


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("www.invalid", id="6761.2"),
        pytest.param("invalid", id="6761.2 itself"),
        pytest.param("example.onion", id="7686.1"),
        pytest.param("onion", id="7686.1 itself"),
        pytest.param("wallet.alt", id="9476.1"),
        pytest.param("printer.local", id="6762.1"),
        pytest.param("_ipp._tcp.local", id="6762.1 service"),
        pytest.param("printer.home.arpa", id="8375.1"),
        pytest.param("a.b.default.service.arpa", id="9665.1"),
        pytest.param("db.internal", id="internal"),
        pytest.param("router.lan", id="lan"),
        pytest.param("nas.home", id="home"),
        pytest.param("wiki.intranet", id="intranet"),
        pytest.param("mail.corp", id="corp"),
        pytest.param("x.private", id="private"),
        pytest.param("localhost.localdomain", id="localdomain"),
        pytest.param("fritz.box", id="fritz.box"),
        pytest.param("nas.fritz.box", id="below fritz.box"),
        pytest.param("x.ipv4only.arpa", id="below ipv4only.arpa"),
    ],
)
@pytest.mark.parametrize("rrtype", TYPES)
def test_private_name_does_not_exist_and_is_not_sent_need8_t1(name: str, rrtype: int) -> None:
    answer = decide(name, rrtype)
    assert answer.rcode == RCode.NXDOMAIN
    assert answer.records == ()


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("1.2.3.10.in-addr.arpa", id="10.0.0.0/8"),
        pytest.param("1.2.16.172.in-addr.arpa", id="172.16.0.0/12 first"),
        pytest.param("1.2.31.172.in-addr.arpa", id="172.16.0.0/12 last"),
        pytest.param("1.2.168.192.in-addr.arpa", id="192.168.0.0/16"),
        pytest.param("1.2.3.0.in-addr.arpa", id="0.0.0.0/8"),
        pytest.param("2.0.0.127.in-addr.arpa", id="127.0.0.0/8"),
        pytest.param("1.2.254.169.in-addr.arpa", id="169.254.0.0/16"),
        pytest.param("1.2.0.192.in-addr.arpa", id="192.0.2.0/24"),
        pytest.param("1.100.51.198.in-addr.arpa", id="198.51.100.0/24"),
        pytest.param("1.113.0.203.in-addr.arpa", id="203.0.113.0/24"),
        pytest.param("1.2.64.100.in-addr.arpa", id="100.64.0.0/10 first"),
        pytest.param("1.2.127.100.in-addr.arpa", id="100.64.0.0/10 last"),
        pytest.param("1." + "0." * 29 + "c.f.ip6.arpa", id="fc00::/8"),
        pytest.param("1." + "0." * 29 + "d.f.ip6.arpa", id="fd00::/8"),
        pytest.param("1." + "0." * 28 + "8.e.f.ip6.arpa", id="fe80::/10 first"),
        pytest.param("1." + "0." * 28 + "b.e.f.ip6.arpa", id="fe80::/10 last"),
        pytest.param("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", id="2001:db8::/32"),
        pytest.param("b._dns-sd._udp.0.1.168.192.in-addr.arpa", id="service browsing of the LAN"),
        pytest.param("lb._dns-sd._udp.0.0.0.10.in-addr.arpa", id="legacy service browsing"),
    ],
)
def test_private_address_has_no_name_and_is_not_asked_for_6303_1(address: str) -> None:
    assert decide(address, RRType.PTR).rcode == RCode.NXDOMAIN


@pytest.mark.parametrize(
    "name", ["255.255.255.255.in-addr.arpa", "0." * 32 + "ip6.arpa"], ids=["255.255.255.255", "::"]
)
def test_reverse_zone_of_one_address_is_empty_6303_1(name: str) -> None:
    answer = decide(name, RRType.PTR)
    assert (answer.rcode, answer.records) == (RCode.NOERROR, ())


@pytest.mark.parametrize(
    "zone", [zone for zone in ZONES if zone.at_apex == RCode.NOERROR], ids=lambda zone: to_text(zone.apex)
)
def test_apex_of_a_zone_served_here_exists_and_has_a_soa_6303_1(zone: LocalZone) -> None:
    answer = SpecialUse().decide(Question(zone.apex, RRType.SOA), 0.0)
    assert isinstance(answer, Answer)
    assert [record.rrtype for record in answer.records] == [RRType.SOA]


def test_reverse_zones_are_as_many_as_the_registry_lists_6303_1() -> None:
    assert len(set(REVERSE_ZONES)) == len(REVERSE_ZONES) == 19 + 6 + 64 + 2 + 1 + 1 + 4 + 1


@pytest.mark.parametrize("name", ["home.arpa", "service.arpa", *AS112_ZONES])
def test_ds_of_a_zone_delegated_in_public_is_the_parents_8375_1(name: str) -> None:
    assert forwarded(name, RRType.DS)
    assert not forwarded(f"x.{name}", RRType.DS)


@pytest.mark.parametrize("name", ["resolver.arpa", "_dns.resolver.arpa", "_443._https.resolver.arpa"])
@pytest.mark.parametrize("rrtype", [RRType.SVCB, RRType.A, RRType.DS])
def test_resolver_arpa_is_nodata_and_not_forwarded_9462_2(name: str, rrtype: int) -> None:
    answer = decide(name, rrtype)
    assert (answer.rcode, answer.records) == (RCode.NOERROR, ())


@pytest.mark.parametrize(
    ("rrtype", "want"),
    [
        pytest.param(RRType.A, [bytes([192, 0, 0, 170]), bytes([192, 0, 0, 171])], id="A is fixed"),
        pytest.param(RRType.AAAA, [], id="no NAT64 known"),
        pytest.param(RRType.HTTPS, [], id="nothing else"),
    ],
)
def test_ipv4only_arpa_is_not_asked_of_the_upstream_8880_1(rrtype: int, want: list[bytes]) -> None:
    assert rdata("ipv4only.arpa", rrtype) == want
    assert decide("ipv4only.arpa", rrtype).rcode == RCode.NOERROR


@pytest.mark.parametrize("rrtype", [RRType.A, RRType.AAAA, RRType.HTTPS])
def test_firefox_canary_does_not_exist_need15_t1(rrtype: int) -> None:
    answer = decide("use-application-dns.net", rrtype)
    assert (answer.rcode, answer.records) == (RCode.NXDOMAIN, ())


@pytest.mark.parametrize("rrtype", [RRType.A, RRType.AAAA, RRType.HTTPS, RRType.SVCB, RRType.TXT, RRType.ANY])
@pytest.mark.parametrize("name", ["nas", "wpad", "DESKTOP-4711", "com"])
def test_host_type_of_a_single_label_is_nodata_here_need8_t1(name: str, rrtype: int) -> None:
    answer = decide(name, rrtype)
    assert (answer.rcode, answer.records) == (RCode.NOERROR, ())


@pytest.mark.parametrize(
    "rrtype", [RRType.NS, RRType.SOA, RRType.DS, RRType.DNSKEY, RRType.NSEC, RRType.RRSIG, RRType.CAA]
)
@pytest.mark.parametrize("name", ["com", "."])
def test_zone_type_of_a_top_level_domain_is_forwarded(name: str, rrtype: int) -> None:
    assert forwarded(name, rrtype)


@pytest.mark.parametrize("name", ["www.test", "test.test"])
def test_test_names_are_forwarded(name: str) -> None:
    assert forwarded(name, RRType.A)


@pytest.mark.parametrize(
    ("name", "ttl_s"),
    [
        pytest.param("x.onion", 300, id="never changes"),
        pytest.param("nas.lan", 10, id="the LAN may come to know it"),
        pytest.param("1.1.168.192.in-addr.arpa", 10, id="a LAN address"),
        pytest.param("nas", 10, id="a single label"),
    ],
)
def test_negative_answer_is_cached_as_long_as_its_soa_says_2308_1(name: str, ttl_s: int) -> None:
    (soa,) = decide(name).authority
    assert (soa.rrtype, soa.ttl, soa_minimum(soa.rdata)) == (RRType.SOA, ttl_s, ttl_s)
    assert is_subdomain(from_text(name), soa.name)


@pytest.mark.parametrize(
    "name",
    [
        "x.onion",
        "x.local",
        "nas.lan",
        "x.home.arpa",
        "1.0.0.10.in-addr.arpa",
        "nas",
        "use-application-dns.net",
    ],
)
def test_negative_answer_says_why_in_one_plain_sentence_8914_2(name: str) -> None:
    answer = decide(name)
    ((code, text),) = answer.ede
    assert code == 0
    assert text == answer.reason
    assert 20 < len(text) <= 128
    assert not text.endswith(".")
    assert text.isascii()


def test_every_local_answer_survives_the_wire() -> None:
    for zone in ZONES:
        for name in (zone.apex, b"\x01x" + zone.apex):
            answer = POLICIES.decide(Question(name, RRType.A), 0.0)
            assert isinstance(answer, Answer)
            asked = (Question(name, RRType.A),)
            message = Message(1, 0x8180 | answer.rcode, asked, answer.records, answer.authority)
            assert Message.parse(message.to_wire()) == message
