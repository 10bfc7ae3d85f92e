"""What `upstreams test` finds out about an upstream, good and bad in every way that it looks for."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from secdns import proxies
from secdns.cli.checks import CHECKS, Outcome, Result, make_names
from secdns.cli.probing import AT_ONCE, Plan, Report, Way, probe, probe_all, ways_of
from secdns.dns.message import TC, Message, Record
from secdns.endpoint import Endpoint, parse
from secdns.errors import FormatError
from secdns.iana import RCode, RRClass, RRType
from secdns.testing import FakeUpstream, Faults, Seen, SignedZones
from secdns.testing.signed import Signing

ENCRYPTED = ("tls", "https", "quic", "h3")
LABELS = ("absent", "mistyped")
PLAN = Plan(lambda: make_names(LABELS, "example.test", "large.example.test"), timeout_s=8.0)
QUERIES = 6  # one for each check that asks but padding, which looks at an answer that came already
Spoil = Callable[[SignedZones, Message], Message]


def way_to(up: FakeUpstream, scheme: str = "tls") -> Way:
    return Way("fake", up.endpoint(scheme), "IPv4")


def outcome_of(report: Report, name: str) -> Outcome:
    return next(outcome for check, outcome in report.outcomes if check.name == name)


def results(report: Report) -> dict[str, str]:
    return {check.name: outcome.result.value for check, outcome in report.outcomes}


def failures(report: Report) -> set[str]:
    return {check.name for check, outcome in report.outcomes if outcome.result is Result.FAIL}


@pytest.mark.parametrize("scheme", ENCRYPTED)
async def test_nothing_is_wrong_with_an_upstream_that_does_all_of_it(scheme: str, zones: SignedZones) -> None:
    async with FakeUpstream(zones, padding=True) as up:
        report = await probe(way_to(up, scheme), PLAN)
        assert results(report) == {
            "reachable": "pass",
            "encrypted": "pass",
            "certificate": "pass",
            "pin": "skipped",  # none is configured
            "padding": "pass",
            "signatures": "pass",
            "root-keys": "pass",
            "negative-proof": "pass",
            "large-answer": "pass",
            "nxdomain": "pass",
            "idle": "pass" if scheme in ("quic", "h3") else "skipped",  # QUIC says it in the handshake
        }
        assert report.works
        assert report.is_good
        assert len(up.queries) == QUERIES
        assert len({seen.connection for seen in up.queries}) == 1
        assert up.pin_sha256 in outcome_of(report, "pin").text


async def test_pin_that_is_configured_passes(upstream: FakeUpstream) -> None:
    way = way_to(upstream)
    pinned = replace(way, endpoint=replace(way.endpoint, pin_sha256=(upstream.pin_sha256,)))
    assert outcome_of(await probe(pinned, PLAN), "pin").result is Result.PASS


def without(*types: int) -> Spoil:
    """Make a fault that leaves records of some types out."""

    def spoil(zones: SignedZones, reply: Message) -> Message:
        def kept(records: Sequence[Record]) -> tuple[Record, ...]:
            return tuple(record for record in records if record.rrtype not in types)

        return dataclasses.replace(reply, answer=kept(reply.answer), authority=kept(reply.authority))

    return spoil


def rewritten(zones: SignedZones, reply: Message) -> Message:
    """Answer for names that do not exist, as some providers do, but not to who asks for proofs."""
    if reply.rcode != RCode.NXDOMAIN or (reply.edns is not None and reply.edns.do):
        return reply
    advertising = Record(reply.question[0].name, RRType.A, RRClass.IN, 60, b"\xc0\x00\x02\x01")
    return dataclasses.replace(reply, flags=reply.flags & ~15, answer=(advertising,), authority=())


def rewritten_for_all(zones: SignedZones, reply: Message) -> Message:
    """Answer for names that do not exist, whoever asks."""
    plain = rewritten(zones, dataclasses.replace(reply, edns=None))
    return dataclasses.replace(plain, edns=reply.edns)


def failing_for_absent(zones: SignedZones, reply: Message) -> Message:
    if reply.rcode != RCode.NXDOMAIN:
        return reply
    return dataclasses.replace(reply, flags=reply.flags & ~15 | RCode.SERVFAIL, authority=())


def cut(zones: SignedZones, reply: Message) -> Message:
    """Cut what fits no datagram, over a stream too."""
    if len(reply.to_wire()) <= 1232:
        return reply
    return dataclasses.replace(reply, flags=reply.flags | TC, answer=())


@pytest.mark.parametrize(
    ("spoil", "names", "words"),
    [
        pytest.param(
            without(RRType.RRSIG),
            {"signatures", "root-keys", "negative-proof"},
            "no signatures",
            id="no RRSIG",
        ),
        pytest.param(without(RRType.DNSKEY), {"root-keys"}, "keys of the root", id="no DNSKEY"),
        pytest.param(without(RRType.NSEC, RRType.NSEC3), {"negative-proof"}, "no signed proof", id="no NSEC"),
        pytest.param(rewritten, {"nxdomain"}, "somebody else's", id="NXDOMAIN rewritten"),
        pytest.param(rewritten_for_all, {"negative-proof", "nxdomain"}, "has an answer", id="and for DO too"),
        pytest.param(failing_for_absent, {"negative-proof", "nxdomain"}, "SERVFAIL", id="NXDOMAIN fails"),
        pytest.param(cut, {"large-answer"}, "truncated", id="large answers cut"),
    ],
)
async def test_what_is_wrong_with_the_answers_fails_its_check_with_what_to_do(
    spoil: Spoil, names: set[str], words: str, zones: SignedZones
) -> None:
    zones.faults = [spoil]
    async with FakeUpstream(zones, padding=True) as up:
        report = await probe(way_to(up), PLAN)
    assert failures(report) == names
    assert report.works
    assert not report.is_good
    first = next(outcome for _, outcome in report.outcomes if outcome.result is Result.FAIL)
    assert words in first.text
    assert first.hint


async def test_unpadded_answers_fail(zones: SignedZones) -> None:
    async with FakeUpstream(zones) as up:
        assert failures(await probe(way_to(up), PLAN)) == {"padding"}


@pytest.mark.parametrize(
    ("denial", "result"), [("nsec", "pass"), ("nsec3", "pass"), ("opt-out", "pass"), ("compact", "pass")]
)
async def test_every_kind_of_proof_counts(denial: str, result: str) -> None:
    signing = Signing(denial=denial)  # type: ignore[arg-type]  # pytest's parameters are plain text
    async with FakeUpstream(SignedZones({"example.test": {"www": {"A": "192.0.2.1"}}}, signing)) as up:
        found = results(await probe(way_to(up), PLAN))
    assert (found["negative-proof"], found["nxdomain"]) == (result, "pass")


async def test_answer_that_is_not_large_today_is_no_failure(zones: SignedZones) -> None:
    async with FakeUpstream(zones, padding=True) as up:
        plan = Plan(lambda: make_names(LABELS, "example.test", "text.example.test"), timeout_s=8.0)
        outcome = outcome_of(await probe(way_to(up), plan), "large-answer")
    assert outcome.result is Result.SKIPPED
    assert "1232 are wanted" in outcome.text


async def test_upstream_that_refuses_does_not_work(upstream: FakeUpstream) -> None:
    upstream.faults = Faults(rcode=RCode.REFUSED)
    report = await probe(way_to(upstream), PLAN)
    assert not report.works
    assert "REFUSED" in outcome_of(report, "reachable").text


async def test_plain_upstream_is_no_encrypted_way(upstream: FakeUpstream) -> None:
    report = await probe(way_to(upstream, "udp"), PLAN)
    assert not report.works
    assert outcome_of(report, "encrypted").result is Result.FAIL
    assert outcome_of(report, "certificate").result is Result.SKIPPED


async def test_port_that_refuses_is_not_reachable_and_nothing_else_is_tried(closed_port: int) -> None:
    endpoint = parse(f"tls://127.0.0.1:{closed_port}")
    report = await probe(Way("down", endpoint, "IPv4"), PLAN)
    assert failures(report) == {"reachable"}
    assert {outcome.result for _, outcome in report.outcomes[1:]} == {Result.SKIPPED}
    hint = outcome_of(report, "reachable").hint
    assert hint is not None
    assert "853" in hint


async def test_upstream_that_falls_silent_is_given_up_after_two_deadlines(zones: SignedZones) -> None:
    def after_the_first(seen: Seen) -> bool:
        return len(up.queries) > 1

    async with FakeUpstream(zones, padding=True) as up:
        up.faults = Faults(silent=True, only=after_the_first)
        report = await probe(way_to(up), replace(PLAN, timeout_s=1.0))
    assert failures(report) == {"signatures", "root-keys"}
    assert outcome_of(report, "nxdomain") == Outcome(Result.SKIPPED, "it fell silent before")


async def test_connection_that_ends_between_two_checks_is_opened_again(zones: SignedZones) -> None:
    async with FakeUpstream(zones, padding=True, faults=Faults(close_mid="fin", times=1)) as up:
        assert (await probe(way_to(up), PLAN)).is_good
        assert up.connections["tls"] == 2


@pytest.mark.parametrize(
    ("faults", "result", "words"),
    [
        pytest.param(Faults(), Result.PASS, "and more", id="lives on"),
        pytest.param(Faults(close_after=QUERIES), Result.FAIL, "closes a connection", id="is closed at once"),
    ],
)
async def test_idle_connection_is_watched(
    faults: Faults, result: Result, words: str, zones: SignedZones
) -> None:
    async with FakeUpstream(zones, padding=True, faults=faults) as up:
        outcome = outcome_of(await probe(way_to(up), replace(PLAN, idle_s=0.3)), "idle")
    assert outcome.result is result
    assert words in outcome.text


async def test_idle_connection_that_died_without_a_word_is_found_out(zones: SignedZones) -> None:
    def after_the_checks(seen: Seen) -> bool:
        return len(up.queries) > QUERIES

    async with FakeUpstream(zones, padding=True) as up:
        up.faults = Faults(silent=True, only=after_the_checks)
        outcome = outcome_of(await probe(way_to(up), replace(PLAN, idle_s=0.3, timeout_s=2.0)), "idle")
    assert outcome.result is Result.FAIL
    assert "nothing said so" in outcome.text


@pytest.mark.parametrize("offer", ["h3", "other", None])
async def test_http3_is_tried_where_http2_offers_it_on_the_same_host(
    offer: str | None, zones: SignedZones
) -> None:
    async with FakeUpstream(zones, padding=True) as up:
        port = up.port("h3")
        headers = {"h3": f'h3=":{port}"; ma=60', "other": f'h3="elsewhere.test:{port}"'}
        up.faults.http_headers = {} if offer is None else {"alt-svc": headers[offer]}
        reports = await probe_all([way_to(up, "https")], PLAN)
    assert [report.way.transport for report in reports] == ["doh", "doh3"][: 2 if offer == "h3" else 1]
    assert all(report.is_good for report in reports)


async def test_only_a_few_ways_are_tried_at_once(zones: SignedZones) -> None:
    async with FakeUpstream(zones, padding=True, faults=Faults(hold=True)) as up:
        trying = asyncio.create_task(probe_all([way_to(up)] * (2 * AT_ONCE), PLAN))
        await up.wait_queries(AT_ONCE)
        for _ in range(100):
            await asyncio.sleep(0)
        assert up.connections["tls"] == AT_ONCE
        up.faults = Faults()
        up.release()
        assert len(await trying) == 2 * AT_ONCE


async def test_each_address_family_is_a_way_of_its_own() -> None:
    both = replace(parse("tls://dns.test"), addresses=("192.0.2.1", "2001:db8::1", "192.0.2.2"))
    alone = parse("quic://[2001:db8::2]")
    ways = await ways_of("fake", [both, alone], 1.0)
    assert [(way.transport, way.family, way.endpoint.addresses) for way in ways] == [
        ("dot", "IPv4", ("192.0.2.1", "192.0.2.2")),
        ("dot", "IPv6", ("2001:db8::1",)),
        ("doq", "IPv6", ("2001:db8::2",)),
    ]


async def test_through_a_proxy_nothing_is_looked_up_and_no_route_is_missed(closed_port: int) -> None:
    proxy = proxies.parse(f"socks5://127.0.0.1:{closed_port}")
    (way,) = await ways_of("fake", [replace(parse("tls://dns.test"), proxy=proxy)], 1.0)
    assert (way.family, way.endpoint.addresses) == (None, ())
    report = await probe(way, PLAN)
    assert failures(report) == {"reachable"}
    assert outcome_of(report, "reachable").hint


async def test_ipv6_that_this_machine_lacks_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(address: str, kind: object) -> object:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr("secdns.cli.probing.open_socket", no_socket)
    report = await probe(Way("fake", parse("tls://[2001:db8::1]"), "IPv6"), PLAN)
    assert {outcome.text for _, outcome in report.outcomes} == {"this machine has no IPv6"}
    assert not report.works


async def test_host_that_cannot_be_found_is_said(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    def only_closed() -> tuple[Endpoint, ...]:
        return (parse(f"tls://127.0.0.1:{closed_port}"),)

    monkeypatch.setattr("secdns.cli.lookup.built_in", only_closed)
    (way,) = await ways_of("fake", [parse("tls://dns.test")], 4.0)
    report = await probe(way, PLAN)
    assert failures(report) == {"reachable"}
    assert "no address found" in outcome_of(report, "reachable").text


def test_names_that_nobody_has_are_below_the_signed_one() -> None:
    names = make_names(LABELS)
    assert (names.signed, names.absent, names.mistyped) == (
        b"\3org\0",
        b"\6absent\3org\0",
        b"\x08mistyped\3org\0",
    )
    assert make_names(LABELS, ".").absent == b"\6absent\0"
    with pytest.raises(FormatError, match="too long"):
        make_names(LABELS, ".".join(["a" * 61] * 4))


def test_every_check_has_a_name_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
