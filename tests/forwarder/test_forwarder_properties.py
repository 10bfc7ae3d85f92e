"""Any octets from a client or an upstream end in a reply, a drop or clear words, and in nothing else."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secdns.dns import name as names
from secdns.dns.edns import EDNS
from secdns.dns.intake import read_any_query
from secdns.dns.message import QR, TC, Message, make_query
from secdns.dns.peek import read_query, reply_matches, scan
from secdns.dns.wire import HEADER_SIZE
from secdns.errors import FormatError
from secdns.iana import RCode, RRType
from secdns.testing import FakeUpstream
from tests.cache.answers import a, cname, nsec, query, response, rrsig, soa
from tests.forwarder.conftest import Play
from tests.forwarder.stage import Stage, table

Mutation = Callable[[bytes], bytes]

# The forwarder and its upstream live through all examples of a property, as they do in the daemon.
one_stage = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

WWW = "www.example.test"
GOOD_QUERIES = (
    query(WWW),
    query(WWW, edns=False),
    query("no.example.test", RRType.MX, do=True, cd=True, ad=True),
    query("localhost", rd=False),
    make_query(names.from_text("a.b.c.test"), 1, id=1, edns=EDNS(options=((10, bytes(8)), (12, bytes(4))))),
)
HEADS = st.builds(
    lambda id, flags, counts: b"".join(part.to_bytes(2) for part in (id, flags, *counts)),
    st.integers(0, 0xFFFF),
    st.sampled_from((0x0100, 0x0000, 0x0130, 0x8180, 0x2800)) | st.integers(0, 0xFFFF),
    st.tuples(*[st.integers(0, 2) | st.integers(0, 0xFFFF)] * 4),
)


def _put(at: float, octets: bytes) -> Mutation:
    return lambda wire: wire[: int(at * len(wire))] + octets + wire[int(at * len(wire)) + len(octets) :]


def _insert(at: float, octets: bytes) -> Mutation:
    return lambda wire: wire[: int(at * len(wire))] + octets + wire[int(at * len(wire)) :]


def _cut(at: float) -> Mutation:
    return lambda wire: wire[: int(at * len(wire))]


def _flip(at: float, bit: int) -> Mutation:
    return lambda wire: _put(at, bytes([wire[min(int(at * len(wire)), len(wire) - 1)] ^ 1 << bit]))(wire)


PLACES = st.floats(0, 1, exclude_max=True)
MUTATIONS = st.lists(
    st.builds(_flip, PLACES, st.integers(0, 7))
    | st.builds(_put, PLACES, st.binary(min_size=1, max_size=4))
    | st.builds(_insert, PLACES, st.binary(min_size=1, max_size=12))
    | st.builds(_cut, PLACES),
    min_size=1,
    max_size=4,
)


def mutate(wire: bytes, mutations: list[Mutation]) -> bytes:
    for mutation in mutations:
        if wire:
            wire = mutation(wire)
    return wire


async def check_octets(stage: Stage, wire: bytes, stream: bool) -> None:
    """Ask, by the way the listener takes, and see that one well-formed reply or silence is the end of it."""
    held = stage.forwarder.cached(wire, stage.clock.now)
    assert not isinstance(held, bytes)
    replies: list[bytes | None] = []
    stage.forwarder.submit(wire, stream=stream, deliver=replies.append, asked=held)
    await stage.forwarder.settle(4.0)
    (reply,) = replies
    if len(wire) < HEADER_SIZE or wire[2] & 0x80:
        assert reply is None
        return
    assert reply is not None
    message = Message.parse(reply)
    assert reply[:2] == wire[:2]
    assert (reply[2] ^ wire[2]) & 0xF9 == 0x80  # QR is set; opcode and RD are the client's
    assert len(reply) <= (65535 if stream else 1232)
    if message.question:
        size = len(message.question[0].name) + 4
        assert reply[HEADER_SIZE : HEADER_SIZE + size] == wire[HEADER_SIZE : HEADER_SIZE + size]
    else:
        assert len(reply) <= HEADER_SIZE + 11


@one_stage
@given(wire=st.binary(max_size=100) | st.tuples(HEADS, st.binary(max_size=300)).map(b"".join), stream=...)
async def test_any_octets_give_one_reply_or_silence_T3_T5_T7_8906(
    wire: bytes, stream: bool, stage: Stage
) -> None:
    stage.cache.flush()
    await check_octets(stage, wire, stream)


@one_stage
@given(wire=st.sampled_from(GOOD_QUERIES), mutations=MUTATIONS, stream=...)
async def test_any_octets_like_a_query_give_one_reply_or_silence_T3_T5_T7_8906(
    wire: bytes, mutations: list[Mutation], stream: bool, stage: Stage
) -> None:
    stage.cache.flush()
    wire = mutate(wire, mutations)
    await check_octets(stage, wire, stream)
    fast = read_query(wire)
    if fast is not None:
        assert read_any_query(wire) == fast


GOOD_RESPONSES = (
    response(a(WWW), a(WWW, 2), name=WWW),
    response(a(WWW), rrsig(WWW, signer="example.test"), name=WWW),
    response(cname(WWW, "b.example.net"), a("b.example.net"), a("evil.example"), name=WWW),
    response(name=WWW, rcode=RCode.NXDOMAIN, authority=[soa("example.test"), nsec(WWW, "z.example.test")]),
    response(name=WWW, authority=[soa("example.test"), rrsig("example.test", RRType.SOA, "example.test")]),
    response(name=WWW, rcode=RCode.SERVFAIL, edns=EDNS(options=((15, b"\0\6bogus"),))),
)


def may_be_believed(asked: bytes, given: bytes) -> bool:
    """Tell whether octets are an answer at all, the way RFC 5452 §9.1 and RFC 1035 §4.1 put it."""
    try:
        found = scan(given)
    except FormatError:
        return False
    return given[:2] == asked[:2] and reply_matches(asked, given) and not found.flags & TC


def records_of(wire: bytes) -> set[tuple[bytes, int, int, bytes]]:
    """Give the records of a message; letter case is left out, for names may point into the question."""
    message = Message.parse(wire)
    records = (*message.answer, *message.authority)
    return {(record.name.lower(), record.rrtype, record.rrclass, record.rdata.lower()) for record in records}


@pytest.fixture(params=["tls", "https"])
async def liar(
    request: pytest.FixtureRequest, up: FakeUpstream, play: Play, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    """A forwarder on an upstream that may be dialled as often as it lies."""
    monkeypatch.setattr("secdns.transport.link.MIN_INTERVAL_S", 0.0)
    return play(table(up, scheme=request.param))


@settings(one_stage, max_examples=one_stage.max_examples // 2)
@given(good=st.sampled_from(GOOD_RESPONSES), mutations=MUTATIONS, keeps_id=...)
async def test_response_wrong_in_any_way_reaches_neither_client_nor_cache_C3_C5_F27_T4_T12(
    good: bytes, mutations: list[Mutation], keeps_id: bool, up: FakeUpstream, liar: Stage
) -> None:
    stage = liar
    stage.cache.flush()
    stage.group.reset()
    believed: list[bytes] = []

    def answer(asked: bytes) -> bytes:
        wrong = mutate(asked[:2] + good[2:], mutations)
        wrong = asked[:2] + wrong[2:] if keeps_id else wrong
        if may_be_believed(asked, wrong):
            believed.append(wrong)
        return wrong

    up.answer = answer
    asked = query(WWW, do=True)
    wire = await stage.ask_octets(asked, stream=True)
    assert reply_matches(asked, wire)
    reply = scan(wire)
    assert reply.flags & QR
    held = stage.forwarder.cached(asked, stage.clock.now)
    if not believed:
        assert reply.flags & 15 == RCode.SERVFAIL
        assert (reply.answer, reply.authority) == ([], [])
        assert not isinstance(held, bytes) or held[3] & 15 == RCode.SERVFAIL
    else:
        assert all(place.ttl <= 86_400 for place in (*reply.answer, *reply.authority))
        with contextlib.suppress(FormatError):  # what we need not understand is passed on as it is (T12)
            assert records_of(wire) <= records_of(believed[-1])
