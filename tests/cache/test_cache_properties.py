"""What holds for every response and every query."""

from dataclasses import replace

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.cache import Cache, Entry, from_plain_response, from_response, shorten
from secdns.cache.entry import Body
from secdns.dns.edns import EDNS, extended_error, options_to_wire
from secdns.dns.intake import read_any_query
from secdns.dns.message import CD, QR, RA, RD, Message, Record, make_query, rrsets
from secdns.dns.name import from_text
from secdns.dns.peek import Query, question_end, read_query, reply_matches, scan
from secdns.errors import FormatError
from secdns.iana import EDE, RCode, RRType
from tests.cache import generated
from tests.cache.answers import (
    MB,
    TXT,
    WWW,
    A,
    a,
    asked,
    cname,
    entry_of,
    keep,
    negative,
    query,
    response,
    rrsig,
    soa,
    txt,
)
from tests.dns import wires
from tests.dns.wires import cpu_ms


def told(entry: Entry) -> tuple[object, ...]:
    """Give everything that two entries of one response must have in common."""
    bodies = [
        (body.octets, body.answers, body.authorities, list(body.ttl_offsets))
        for body in (entry.full, entry.plain)
    ]
    return entry.rcode, entry.ttl_s, entry.is_failure, entry.is_local, entry.secure, entry.options, bodies


def question_of(wire: bytes) -> tuple[bytes, int, int] | None:
    """Give the one question a response answers, None if it would not get past the transport."""
    try:
        end = question_end(wire)
    except FormatError:
        return None
    fits = wire[4:6] == b"\0\1" and wire[2] & 0xF8 == 0x80 and wire[end - 2 : end] == b"\0\1"
    return (wire[12:end], int.from_bytes(wire[end - 4 : end - 2]), end) if fits else None


@given(generated.wires | generated.broken())
def test_plain_road_gives_what_the_long_one_gives(wire: bytes) -> None:
    question = question_of(wire)
    if question is None or question[1] == RRType.OPT:
        return
    assert reply_matches(b"\0\7\1\0\0\1\0\0\0\0\0\0" + question[0], wire)
    entry = from_plain_response(wire, question[2])
    if entry is not None:
        assert told(entry) == told(from_response(wire))


@given(generated.plain_messages())
def test_commonest_response_takes_the_plain_road(message: Message) -> None:
    """One RRset at QNAME, signatures, one TTL; anything else in the message is another matter."""
    names = {message.question[0].name, *(one.name for one in message.answer)}
    types = [one.rrtype for one in message.answer]
    ttls = {one.ttl for one in message.answer}
    signatures = types.count(RRType.RRSIG)
    is_common = (
        len(names) == len(ttls) == 1
        and types == [A] * (len(types) - signatures) + [RRType.RRSIG] * signatures
        and max(ttls) <= 86_400
        and message.rcode == 0
        and message.question[0].name != b"\0"  # nobody writes a pointer for one octet
    )
    wire = message.to_wire()
    assert (from_plain_response(wire, question_end(wire)) is not None) == is_common


@given(wires.hostile | generated.broken() | generated.wires)
def test_any_octets_give_an_entry_or_a_clear_error_T3_T4(wire: bytes) -> None:
    try:
        entry = from_response(wire)
    except FormatError:
        return
    end = question_end(wire)
    asked_for = Query(
        wire[:2], wire[12:end], wire[12 : end - 4].lower(), 1, True, False, False, True, False, 1232
    )
    for do in (False, True):
        reply = entry.reply(asked_for._replace(do=do), 5.0)
        found = scan(reply)
        assert len(found.answer) == (entry.full if do else entry.plain).answers
        assert scan(shorten(reply, 512)).question_end == end
        scan(entry.stale_reply(asked_for._replace(do=do)))


bits = st.fixed_dictionaries({key: st.booleans() for key in ("rd", "ad", "cd", "edns", "do")})


def ask_for(wire: bytes, bits: dict[str, bool]) -> bytes:
    """Give a client's query for the question of a response."""
    question = Message.parse(wire).question[0]
    opt = EDNS(do=bits["do"]) if bits["edns"] else None
    return make_query(
        question.name, question.rrtype, id=9, rd=bits["rd"], ad=bits["ad"], cd=bits["cd"], edns=opt
    )


def entry_or_none(wire: bytes) -> Entry | None:
    """Give the entry of a response, None if it is refused."""
    try:
        return entry_of(wire)
    except FormatError:
        return None


@given(generated.wires, bits, st.booleans(), st.floats(0, 100_000))
def test_another_implementation_reads_the_reply_O4(
    wire: bytes, bits: dict[str, bool], secure: bool, now: float
) -> None:
    entry = entry_or_none(wire)
    if entry is None:
        return
    entry.secure = secure
    sent = ask_for(wire, bits)
    reply = entry.reply(asked(sent), now)
    theirs = dns.message.from_wire(reply, one_rr_per_rrset=True)
    assert theirs.question == dns.message.from_wire(sent).question
    has_edns = bits["edns"]
    want = QR | RA | (RD if bits["rd"] else 0) | (CD if bits["cd"] else 0)
    is_ad = secure and not bits["cd"] and (bits["ad"] or (has_edns and bits["do"]))
    assert theirs.flags & ~15 == want | (dns.flags.AD if is_ad else 0)
    assert theirs.rcode() == (entry.rcode if has_edns or entry.rcode < 16 else RCode.SERVFAIL)
    assert (theirs.edns, bool(theirs.ednsflags & dns.flags.DO)) == (
        0 if has_edns else -1,
        has_edns and bits["do"],
    )
    ours = Message.parse(reply)
    assert ours.additional == ()
    dnssec = {one.rrtype for one in (*ours.answer, *ours.authority)} & {46, 47, 50}
    assert not dnssec - {ours.question[0].rrtype} or (has_edns and bits["do"])
    assert all(one.ttl <= 86_400 for one in (*ours.answer, *ours.authority))


@given(generated.wires, bits, st.floats(0, 100_000))
def test_aged_reply_is_the_first_one_with_its_ttls_rewritten(
    wire: bytes, bits: dict[str, bool], now: float
) -> None:
    entry = entry_or_none(wire)
    if entry is None:
        return
    sent = asked(ask_for(wire, bits))
    first = Message.parse(entry.reply(sent, 0.0))
    aged = replace(
        first,
        answer=tuple(replace(one, ttl=max(one.ttl - int(now), 0)) for one in first.answer),
        authority=tuple(replace(one, ttl=max(one.ttl - int(now), 0)) for one in first.authority),
    )
    assert Message.parse(entry.reply(sent, now)) == aged


@given(generated.wires, bits)
def test_records_come_from_the_response_in_its_order(wire: bytes, bits: dict[str, bool]) -> None:
    entry = entry_or_none(wire)
    if entry is None:
        return
    source = Message.parse(wire)
    reply = Message.parse(entry.reply(asked(ask_for(wire, bits)), 0.0))
    for given_records, got_records in ((source.answer, reply.answer), (source.authority, reply.authority)):
        left = iter([(one.name.lower(), one.rrtype, one.rdata.lower()) for one in given_records])
        assert all((one.name.lower(), one.rrtype, one.rdata.lower()) in left for one in got_records)


@given(generated.wires, bits, st.sampled_from([512, 600, 1232]))
def test_short_reply_is_the_head_of_the_long_one_1035_3(
    wire: bytes, bits: dict[str, bool], limit: int
) -> None:
    entry = entry_or_none(wire)
    if entry is None:
        return
    reply = entry.reply(asked(ask_for(wire, bits)), 0.0)
    short = shorten(reply, limit)
    whole, cut = Message.parse(reply), Message.parse(short)
    assert len(short) <= max(limit, min(len(reply), limit))
    records = (*whole.answer, *whole.authority)
    kept = (*cut.answer, *cut.authority)
    assert kept == records[: len(kept)]
    assert cut.truncated == (len(kept) < len(records))
    assert (cut.edns is None) == (whole.edns is None)
    ends = [0]
    for section in (whole.answer, whole.authority):
        for rrset in rrsets(section):
            ends.append(ends[-1] + len(rrset.records))
    assert len(kept) in ends


def filled() -> Cache:
    """Give a cache with every kind of entry."""
    cache = Cache(MB, route=lambda name, rrtype: len(name))
    words = options_to_wire((extended_error(EDE.NETWORK_ERROR, "no route"),))
    entries = {
        WWW: entry_of(response(a(), rrsig())),
        "example.com": entry_of(response(cname("example.com", WWW), a(), name="example.com")),
        "long.example.com": entry_of(
            response(*txt("long.example.com", 900), name="long.example.com", rrtype=TXT)
        ),
        "gone.example.com": entry_of(negative("gone.example.com")),
        "failed.example.com": Entry(RCode.SERVFAIL, ttl_s=200, options=words, is_failure=True),
        "odd.example.com": Entry(23, ttl_s=200, is_failure=True),
    }
    for secure, (name, entry) in zip([True, False] * 3, entries.items(), strict=True):
        entry.secure = secure
        keep(cache, query(name, TXT if name.startswith("long") else A), entry, now=10.0)
    return cache


FILLED = filled()


@st.composite
def near_queries(draw: st.DrawFn) -> bytes:
    """Draw queries for what is held, most of them plain, some with an option, a tail or a broken octet."""
    name = draw(
        st.sampled_from(
            [
                WWW,
                "example.com",
                "long.example.com",
                "gone.example.com",
                "failed.example.com",
                "odd.example.com",
                "no.example.com",
            ]
        )
    )
    opt = draw(
        st.none()
        | st.builds(
            EDNS,
            st.sampled_from([0, 512, 1232, 4096]),
            st.just(0),
            st.sampled_from([0, 0, 0, 1]),
            st.booleans(),
            st.sampled_from([(), (), (), ((10, bytes(8)),), ((12, bytes(9)),)]),
        )
    )
    wire = make_query(
        from_text(draw(st.sampled_from([name, name.upper()]))),
        draw(st.sampled_from([A, A, TXT, 28])),
        id=draw(generated.octets16),
        rd=draw(st.booleans()),
        ad=draw(st.booleans()),
        cd=draw(st.sampled_from([False, False, False, True])),
        edns=opt,
    )
    if draw(st.integers(0, 9)):
        return wire
    at = draw(st.integers(2, len(wire) - 1))
    return wire[:at] + draw(st.binary(max_size=2)) + wire[at + draw(st.integers(0, 2)) :]


@given(near_queries(), st.floats(5, 250))
def test_fast_reply_is_the_slow_one_C8(wire: bytes, now: float) -> None:
    FILLED.tick(now)
    fast = FILLED.reply(wire, now)
    slow = read_any_query(wire)
    if fast is None and read_query(wire) is None:
        return
    assert isinstance(slow, Query)
    key = FILLED.key(slow)
    entry = FILLED.find(key, now)
    if entry is None:
        assert fast == (slow, key, now)
        return
    reply = entry.reply(slow, now)
    if fast is None:
        assert len(reply) > slow.limit
        return
    assert fast == shorten(reply, slow.limit)
    hot = FILLED.hot.get(wire[2:])
    assert hot is None or wire[:2] + hot == fast


DEEP = ".".join(["a"] * 120)
HOSTILE: dict[str, list[Record]] = {
    "addresses": [a(number=number) for number in range(990)],
    "deep names": [a(f"{number}.{DEEP}") for number in range(900)],
    "deep chain": [cname(f"{number}.{DEEP}", DEEP) for number in range(110)],
    "strangers": [a(WWW if number % 2 else f"x{number}.example.net", number) for number in range(900)],
    "spellings": [a(WWW if number % 2 else WWW.upper(), number, ttl=number) for number in range(900)],
    "signatures": [rrsig(WWW if number % 2 else f"{number}.{DEEP}", 1, ".") for number in range(600)],
}


@pytest.mark.parametrize("records", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("section", ["answer", "authority"])
def test_hostile_response_costs_at_most_20_ms_T1_T8_O1(records: list[Record], section: str) -> None:
    if section == "answer":
        wire = response(*records)
    else:
        wire = response(name=f"x.{DEEP}", authority=[soa(DEEP), *records, soa("a.a.a")])
    assert cpu_ms(lambda: entry_or_none(wire)) < 20


def test_body_knows_its_counts() -> None:
    body = Body(b"", 300, 513, ())
    assert (body.answers, body.authorities, body.counts) == (300, 513, b"\0\1\1\x2c\2\1")
