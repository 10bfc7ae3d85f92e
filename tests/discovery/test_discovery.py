"""The encrypted side of a plain resolver is offered only when its certificate says that it is (RFC 9462)."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns import discovery
from secdns.discovery import Candidate
from secdns.dns.message import QR, Message, Record
from secdns.dns.name import from_text
from secdns.endpoint import Endpoint, parse
from secdns.errors import ConnectError, DeadlineExceeded, ProtocolError
from secdns.iana import RCode, RRType
from secdns.testing import CertificateKind, FakeUpstream, Faults
from tests.discovery.designating import NAME, designate, svcb
from tests.loop import Warp, wait_until

PATIENCE_S = 30.0
HINT = 'ipv4hint="127.0.0.1"'
PATH = 'key7="/dns-query{?dns}"'


async def look(up: FakeUpstream, patience_s: float = PATIENCE_S) -> tuple[Candidate, ...]:
    deadline = asyncio.get_running_loop().time() + patience_s
    return await discovery.discover(parse(up.udp_url), deadline, ca_file=up.ca_file)


def record(
    up: FakeUpstream, scheme: str, more: str = HINT, *, priority: int = 1, target: str = "dns.test."
) -> str:
    alpn = {"tls": "dot", "quic": "doq", "https": "h2", "h3": "h3"}[scheme]
    path = PATH if scheme in ("https", "h3") else ""
    return f'{priority} {target} alpn="{alpn}" port="{up.port(scheme)}" {more} {path}'


def seen(up: FakeUpstream, scheme: str) -> list[int]:
    """Give the types that were asked for over a scheme."""
    return [Message.parse(each.wire).question[0].rrtype for each in up.queries if each.scheme == scheme]


@pytest.mark.parametrize("scheme", ["tls", "quic", "https", "h3"])
async def test_endpoint_with_both_in_its_certificate_is_verified_and_answers_9462_1(
    scheme: str, up: FakeUpstream
) -> None:
    designate(up, record(up, scheme))
    (got,) = await look(up)
    assert (got.why, got.is_verified, got.named) == ("", True, up.url(scheme))
    assert got.endpoint == up.endpoint(scheme)  # which is what a configuration would say
    assert got.first_answer_s is not None
    assert seen(up, scheme) == [RRType.NS]


@pytest.mark.parametrize("scheme", ["tls", "quic", "https", "h3"])
@pytest.mark.parametrize(
    ("cert", "words"),
    [
        pytest.param("good", "does not hold the address 127.0.0.1", id="no address"),
        pytest.param("ip", "another name", id="no name"),
        pytest.param("ip-as-name", "another name", id="address as a name"),
        pytest.param("expired", "expired", id="expired"),
        pytest.param("unknown-ca", "certificate", id="unknown authority"),
    ],
)
async def test_endpoint_whose_certificate_does_not_prove_it_gets_no_query_9462_1_E14(
    scheme: str, cert: CertificateKind, words: str, up: FakeUpstream
) -> None:
    up.use_certificate(cert)
    designate(up, record(up, scheme))
    (got,) = await look(up)
    assert not got.is_verified
    assert got.why.startswith("unverified: ")
    assert words in got.why
    assert "no public authority certifies" in got.why
    assert seen(up, scheme) == []


async def test_resolver_at_another_address_of_the_same_host_is_not_covered_9462_1(up: FakeUpstream) -> None:
    """The certificate has to hold the address that was asked, not the one that was dialled."""
    designate(up, record(up, "tls"))
    resolver = parse(f"udp://127.0.0.2:{up.port('udp')}")
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        other.bind((resolver.host, resolver.port))

        def answer() -> None:
            query, client = other.recvfrom(4096)
            other.sendto(up.answer(query), client)

        loop.add_reader(other, answer)
        (got,) = await discovery.discover(resolver, loop.time() + PATIENCE_S, ca_file=up.ca_file)
        loop.remove_reader(other)
    assert "does not hold the address 127.0.0.2" in got.why
    assert seen(up, "tls") == []


async def test_candidates_stand_in_order_of_their_priority_9460(up: FakeUpstream) -> None:
    designate(
        up,
        record(up, "https", priority=3),
        record(up, "tls", priority=1),
        f'2 dns.test. alpn="h3,h2" port="{up.port("https")}" {HINT} {PATH}',
    )
    got = await look(up)
    assert [(each.priority, each.named) for each in got] == [
        (1, up.url("tls")),
        (2, up.url("h3")),
        (2, up.url("https")),
        (3, up.url("https")),
    ]


@pytest.mark.parametrize("where", ["hint", "additional", "resolver"])
async def test_address_comes_from_the_record_beside_it_or_the_resolver_itself(
    where: str, up: FakeUpstream
) -> None:
    host = from_text("dns.test")
    beside = [Record(host, RRType.A, 1, 300, bytes([127, 0, 0, 1]))] if where == "additional" else []
    designate(up, record(up, "tls", HINT if where == "hint" else ""), additional=beside)
    (got,) = await look(up)
    assert got.why == ""
    assert got.endpoint is not None
    assert got.endpoint.addresses == ("127.0.0.1",)
    followed = {RRType.A, RRType.AAAA} if where == "resolver" else set()
    assert set(seen(up, "udp")) == {RRType.SVCB} | followed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("0 dns.test.", "alias", id="an alias"),
        pytest.param('1 . alpn="dot"', "names no host", id="the owner as target"),
        pytest.param(
            '1 dns.test. mandatory="key99" alpn="dot" key99="x"', "key99", id="mandatory and unknown"
        ),
        pytest.param("1 dns.test.", "names no protocol", id="no protocol"),
        pytest.param('1 dns.test. alpn="http/1.1,\\001"', "only http/1.1, \x01", id="no protocol of ours"),
        pytest.param('1 dns.test. alpn="h2"', "no path", id="HTTPS without a path"),
        pytest.param('1 dns.test. alpn="h2" key7="/dns-query"', "not one for DNS", id="path without dns"),
        pytest.param(
            '1 dns.test. alpn="h2" key7="/q{?name}"', "not one for DNS", id="path with another variable"
        ),
        pytest.param(
            '1 dns.test. alpn="h2" key7=".evil.test/{?dns}"',
            "not one for DNS",
            id="path that adds to the host",
        ),
        pytest.param('1 dns.test. alpn="h2" key7="/a b{?dns}"', "path", id="path with a space"),
        pytest.param('1 dns.test. alpn="h2" key7="/#{?dns}"', "fragment", id="path with a fragment"),
        pytest.param('1 127.0.0.1. alpn="dot"', "is an address", id="an address as name"),
        pytest.param('1 a\\032b.test. alpn="dot"', "in its host", id="a name that no host has"),
        pytest.param('1 dns.test. alpn="dot" port="0"', "port", id="port 0"),
        pytest.param('1 nowhere.test. alpn="dot"', "does not exist", id="a name without an address"),
        pytest.param(
            '1 dns.test. alpn="dot" ipv4hint="0.0.0.0"', "nobody can be reached", id="address of nobody"
        ),
    ],
)
async def test_record_that_cannot_be_used_is_shown_with_the_reason(
    text: str, words: str, up: FakeUpstream
) -> None:
    designate(up, text, record(up, "tls", priority=9))
    got = await look(up)
    assert [each.is_verified for each in got] == [False, True]
    assert words in got[0].why
    assert up.connections["tls"] == 1


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/dns-query{?dns}", "/dns-query"),
        ("/{+x}dns-query{?dns,x}", "/dns-query"),
        ("/q{?a,dns:30}", "/q"),
        ("/q?a=b{&dns*}", "/q?a=b"),
        ("/{dns}", "/"),
    ],
)
async def test_path_is_the_template_with_nothing_set_8484_9461_5(
    template: str, path: str, up: FakeUpstream
) -> None:
    designate(up, f'1 dns.test. alpn="h2" port="{up.port("https")}" {HINT} key7="{template}"')
    (got,) = await look(up)
    assert got.named == f"https://dns.test:{up.port('https')}{path}"


async def test_loopback_is_not_dialled_for_a_resolver_elsewhere(
    up: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "open_transport", lambda *_: pytest.fail("dialled"))
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.53"):
        endpoint = Endpoint("tls", "dns.test", 853, addresses=(address,))
        candidate = Candidate(1, endpoint.url, endpoint)
        got = await discovery._verify(candidate, parse("udp://192.0.2.1"), None, _nowhere, 1e9)
        assert "nobody can be reached" in got.why


async def _nowhere(host: str, deadline: float) -> tuple[str, ...]:
    return ()


@pytest.mark.parametrize("rcode", [RCode.NOERROR, RCode.NXDOMAIN])
async def test_resolver_without_designations_offers_nothing_9462_4(rcode: int, up: FakeUpstream) -> None:
    designate(up, rcode=rcode)
    assert await look(up) == ()


async def test_records_of_another_name_are_ignored_c4(up: FakeUpstream) -> None:
    designate(up, record(up, "tls"), owner=from_text("_dns.dns.test"))
    assert await look(up) == ()


@pytest.mark.parametrize("rcode", [RCode.REFUSED, RCode.SERVFAIL, RCode.NOTIMP])
async def test_resolver_that_refuses_is_said_to(rcode: int, up: FakeUpstream) -> None:
    designate(up, rcode=rcode)
    with pytest.raises(ProtocolError, match=RCode(rcode).name):
        await look(up)


async def test_one_malformed_record_makes_all_unusable_9460_2_2(up: FakeUpstream) -> None:
    designate(up, record(up, "tls"), svcb('1 dns.test. alpn="dot"') + b"\0\1\0\0")
    with pytest.raises(ProtocolError, match="nonsense"):
        await look(up)
    assert up.connections["tls"] == 0


async def test_silent_resolver_is_given_half_of_the_time(up: FakeUpstream, warp: Warp) -> None:
    up.faults.silent = True
    searching = asyncio.create_task(look(up, 30.0))
    await wait_until(lambda: up.queries)
    await warp.advance(14.9)
    assert not searching.done()
    await warp.advance(0.2)
    with pytest.raises(DeadlineExceeded):
        await searching


async def test_nobody_at_the_address_is_said_at_once(up: FakeUpstream) -> None:
    url = up.udp_url
    await up.stop()
    with pytest.raises(ConnectError, match="nobody answers"):
        await discovery.discover(parse(url), asyncio.get_running_loop().time() + PATIENCE_S)


async def test_silent_endpoint_costs_no_more_than_the_deadline(up: FakeUpstream) -> None:
    designate(up, record(up, "tls"), record(up, "https"))
    up.faults.stall_connections = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    got = await look(up, 1.0)
    assert loop.time() - began < 3.0
    assert [each.is_verified for each in got] == [False, False]
    assert all("in time" in each.why for each in got)


async def test_endpoint_that_answers_with_a_failure_is_not_verified(up: FakeUpstream) -> None:
    async with FakeUpstream({"dns.test": {}}, cert="name-and-ip") as other:
        designate(other, record(other, "tls"))
        (got,) = await look(other)
    assert got.why == "it answered REFUSED"


async def test_number_of_candidates_is_bounded(up: FakeUpstream) -> None:
    designate(up, *(f'{number} h{number}.test. alpn="dot,doq" port="0"' for number in range(1, 100)))
    got = await look(up)
    assert len(got) == discovery.MAX_CANDIDATES
    assert up.connections["tls"] == 0


async def test_cancelled_search_leaves_nothing_behind(up: FakeUpstream) -> None:
    designate(up, *(record(up, scheme) for scheme in ("tls", "quic", "https", "h3")))
    up.faults = Faults(only=lambda seen: seen.scheme != "udp", silent=True)
    searching = asyncio.create_task(look(up))
    await wait_until(lambda: up.connections["tls"])
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching


@given(st.lists(st.binary(max_size=60), max_size=4), st.binary(max_size=60))
def test_any_records_become_candidates_or_a_protocol_error_P1(tails: list[bytes], raw: bytes) -> None:
    rdata = [svcb('1 dns.test. alpn="h2"') + tail for tail in tails] + ([raw] if raw else [])
    answer = tuple(Record(NAME, RRType.SVCB, 1, 60, each) for each in rdata)
    try:
        got = discovery._candidates(Message(0, QR, (), answer), parse("udp://192.0.2.1"))
    except ProtocolError:
        return
    assert len(got) >= len(rdata)
    assert all(each.endpoint is not None or each.why for each in got)
