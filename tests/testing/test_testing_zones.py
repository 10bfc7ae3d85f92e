"""What the zones of a testing upstream answer."""

import pytest

from secdns.dns import name
from secdns.dns.edns import EDNS, errors_of
from secdns.dns.message import CD, QR, RA, RD, Message, make_query
from secdns.errors import FormatError
from secdns.iana import EDE, Opcode, RCode, RRType
from secdns.testing import DEMO_ZONES, Zones

TEXT = """
$TTL 100
$ORIGIN example.test
@       SOA   ns hostmaster 7 3600 600 86400 30   ; the negative TTL is the last number
        NS    ns
        MX    10 mail
www     A     192.0.2.1
        A     192.0.2.2
        AAAA  2001:db8::1
short 5 IN A  192.0.2.9
alias   CNAME chain
chain   CNAME www
away    CNAME www.other.test.
lost    CNAME www.elsewhere.example.
nowhere CNAME missing
loop    CNAME loop
*.wild  A     192.0.2.42
        MX    5 mail
real.wild A   192.0.2.43
below.real.wild TXT "x"
a.ent   A     192.0.2.5
txt     TXT   "one; two" three "\\"four\\" \\065"
srv     SRV   1 2 993 mail
odd     TYPE65280 \\# 3 01 02ff
$ORIGIN other.test
www     A     198.51.100.1
"""

ZONES = Zones.parse(TEXT)


def ask(qname: str, qtype: int, zones: Zones = ZONES, edns: EDNS | None = None) -> Message:
    return Message.parse(zones.answer(make_query(name.from_text(qname), qtype, id=7, edns=edns)))


def answers(reply: Message) -> list[tuple[str, int, bytes]]:
    return [(name.to_text(record.name), record.rrtype, record.rdata) for record in reply.answer]


V4 = [b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"]


@pytest.mark.parametrize(
    ("qname", "qtype", "want"),
    [
        pytest.param("www.example.test", RRType.A, V4, id="A"),
        pytest.param("www.example.test", RRType.AAAA, [b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"], id="AAAA"),
        pytest.param(
            "example.test", RRType.MX, [b"\0\x0a\x04mail\x07example\x04test\0"], id="MX at the apex"
        ),
        pytest.param("example.test", RRType.NS, [b"\x02ns\x07example\x04test\0"], id="NS"),
        pytest.param("txt.example.test", RRType.TXT, [b'\x08one; two\x05three\x08"four" A'], id="TXT"),
        pytest.param(
            "srv.example.test", RRType.SRV, [b"\0\1\0\2\x03\xe1\x04mail\x07example\x04test\0"], id="SRV"
        ),
        pytest.param("odd.example.test", 65280, [b"\x01\x02\xff"], id="a type nobody knows, RFC 3597"),
    ],
)
def test_a_record_is_answered_as_written(qname: str, qtype: int, want: list[bytes]) -> None:
    reply = ask(qname, qtype)
    assert [record.rdata for record in reply.answer] == want
    assert (reply.rcode, reply.authority) == (RCode.NOERROR, ())


def test_soa_is_answered_as_written() -> None:
    (soa,) = ask("example.test", RRType.SOA).answer
    want = b"\x02ns\x07example\x04test\0\x0ahostmaster\x07example\x04test\0"
    assert soa.rdata == want + b"".join(n.to_bytes(4) for n in (7, 3600, 600, 86400, 30))


def test_a_reply_is_a_resolvers_and_keeps_id_and_question() -> None:
    query = make_query(name.from_text("WWW.Example.test"), RRType.A, id=0x1234, cd=True)
    reply = Message.parse(ZONES.answer(query))
    assert (reply.id, reply.flags) == (0x1234, QR | RD | RA | CD)
    assert reply.question == Message.parse(query).question


def test_ttl_comes_from_the_record_else_from_the_text() -> None:
    assert ask("short.example.test", RRType.A).answer[0].ttl == 5
    assert ask("www.example.test", RRType.A).answer[0].ttl == 100


def test_aliases_are_followed_to_the_end() -> None:
    assert answers(ask("alias.example.test", RRType.A)) == [
        ("alias.example.test.", RRType.CNAME, name.from_text("chain.example.test")),
        ("chain.example.test.", RRType.CNAME, name.from_text("www.example.test")),
        ("www.example.test.", RRType.A, V4[0]),
        ("www.example.test.", RRType.A, V4[1]),
    ]


def test_an_alias_is_followed_into_another_zone() -> None:
    assert answers(ask("away.example.test", RRType.A))[-1] == (
        "www.other.test.",
        RRType.A,
        b"\xc6\x33\x64\x01",
    )


def test_a_question_for_the_alias_itself_is_not_followed() -> None:
    assert len(ask("alias.example.test", RRType.CNAME).answer) == 1


def test_an_alias_out_of_all_zones_ends_there() -> None:
    reply = ask("lost.example.test", RRType.A)
    assert (reply.rcode, len(reply.answer), reply.authority) == (RCode.NOERROR, 1, ())


def test_an_alias_to_nothing_is_nxdomain_with_the_alias() -> None:
    reply = ask("nowhere.example.test", RRType.A)
    assert (reply.rcode, len(reply.answer), len(reply.authority)) == (RCode.NXDOMAIN, 1, 1)


def test_an_alias_without_the_type_at_its_end_is_nodata_with_the_alias() -> None:
    reply = ask("alias.example.test", RRType.MX)
    assert (reply.rcode, len(reply.answer), len(reply.authority)) == (RCode.NOERROR, 2, 1)


def test_an_alias_loop_is_servfail() -> None:
    assert ask("loop.example.test", RRType.A).rcode == RCode.SERVFAIL


@pytest.mark.parametrize(
    ("qname", "qtype", "rcode"),
    [
        pytest.param("no.example.test", RRType.A, RCode.NXDOMAIN, id="no such name"),
        pytest.param("x.www.example.test", RRType.A, RCode.NXDOMAIN, id="below a name that exists"),
        pytest.param("www.example.test", RRType.TXT, RCode.NOERROR, id="no such type"),
        pytest.param("ent.example.test", RRType.A, RCode.NOERROR, id="empty non-terminal"),
        pytest.param("x.ent.example.test", RRType.A, RCode.NXDOMAIN, id="below an empty non-terminal"),
        pytest.param("x.wild.example.test", RRType.TXT, RCode.NOERROR, id="wildcard without the type"),
    ],
)
def test_a_no_comes_with_the_soa_and_its_negative_ttl_2308_2(qname: str, qtype: int, rcode: int) -> None:
    reply = ask(qname, qtype)
    assert (reply.rcode, reply.answer) == (rcode, ())
    assert [(r.name, r.rrtype, r.ttl) for r in reply.authority] == [
        (name.from_text("example.test"), RRType.SOA, 30)
    ]


@pytest.mark.parametrize(
    ("qname", "want"),
    [
        pytest.param("x.wild.example.test", [b"\xc0\x00\x02\x2a"], id="one label"),
        pytest.param("x.y.wild.example.test", [b"\xc0\x00\x02\x2a"], id="two labels"),
        pytest.param("*.wild.example.test", [b"\xc0\x00\x02\x2a"], id="the asterisk itself"),
        pytest.param("real.wild.example.test", [b"\xc0\x00\x02\x2b"], id="a name that exists wins"),
        pytest.param("x.real.wild.example.test", [], id="the closest encloser has no wildcard"),
    ],
)
def test_wildcards_expand_under_their_closest_encloser_4592(qname: str, want: list[bytes]) -> None:
    reply = ask(qname, RRType.A)
    assert [record.rdata for record in reply.answer] == want
    assert {name.to_text(record.name) for record in reply.answer} <= {qname + "."}


def test_a_name_in_no_zone_is_refused_with_a_reason() -> None:
    reply = ask("www.elsewhere.example", RRType.A, edns=EDNS())
    assert reply.rcode == RCode.REFUSED
    assert [code for code, _ in errors_of(reply.edns)] == [EDE.NOT_AUTHORITATIVE]


def test_opt_comes_only_to_who_sent_one() -> None:
    assert ask("www.example.test", RRType.A).edns is None
    asked = ask("www.example.test", RRType.A, edns=EDNS(do=True)).edns
    assert asked == EDNS(1232, do=True)


def test_any_gives_all_there_is() -> None:
    assert {record.rrtype for record in ask("www.example.test", RRType.ANY).answer} == {RRType.A, RRType.AAAA}


def test_a_zone_without_soa_is_given_one() -> None:
    reply = ask("no.other.test", RRType.A)
    assert [(r.name, r.ttl) for r in reply.authority] == [(name.from_text("other.test"), 60)]


def test_the_root_can_be_a_zone() -> None:
    reply = ask("anything.example", RRType.A, Zones({".": {}}))
    assert (reply.rcode, reply.authority[0].name) == (RCode.NXDOMAIN, name.ROOT)


def test_zones_from_a_mapping_answer_like_zones_from_text() -> None:
    zones = Zones({"example.test": {"www": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": "2001:db8::1"}}})
    assert answers(ask("www.example.test", RRType.A, zones)) == answers(ask("www.example.test", RRType.A))


def test_a_large_rrset_is_answered_whole() -> None:
    zones = Zones({"example.test": {"many": {"A": [f"10.0.{n >> 8}.{n & 255}" for n in range(900)]}}})
    assert len(ask("many.example.test", RRType.A, zones).answer) == 900


def test_a_text_over_255_octets_is_cut_into_strings() -> None:
    (record,) = ask("t.example.test", RRType.TXT, Zones({"example.test": {"t": {"TXT": "x" * 300}}})).answer
    assert record.rdata == b"\xff" + b"x" * 255 + b"\x2d" + b"x" * 45


QUERY = make_query(name.from_text("www.example.test"), RRType.A, id=0x1234)


@pytest.mark.parametrize(
    ("wire", "want"),
    [
        pytest.param(QUERY[:-1], RCode.FORMERR, id="cut short"),
        pytest.param(QUERY[:4] + b"\0\2" + QUERY[6:] + QUERY[12:], RCode.FORMERR, id="two questions"),
        pytest.param(QUERY[:2] + b"\x81" + QUERY[3:], RCode.FORMERR, id="a response"),
        pytest.param(QUERY[:2] + bytes([Opcode.STATUS << 3]) + QUERY[3:], RCode.NOTIMP, id="opcode"),
        pytest.param(QUERY[:-2] + b"\0\3", RCode.REFUSED, id="class CH"),
    ],
)
def test_a_bad_query_is_refused_with_its_id(wire: bytes, want: int) -> None:
    reply = Message.parse(ZONES.answer(wire))
    assert (reply.id, reply.is_response, reply.rcode) == (0x1234, True, want)


def test_an_unknown_edns_version_is_badvers() -> None:
    assert ask("www.example.test", RRType.A, edns=EDNS(version=1)).rcode == RCode.BADVERS


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("www A 192.0.2", "line 2: type 1 cannot be '192.0.2'", id="address"),
        pytest.param("www MX mail", "line 2: type 15 has 2 fields, not 1", id="too few fields"),
        pytest.param("www NOPE x", "line 2: no record type 'NOPE'", id="type"),
        pytest.param("www", "line 2: 'www' has no type", id="owner alone"),
        pytest.param('www TXT "open', "line 2: cannot read", id="open quote"),
        pytest.param(
            r"www TYPE65280 \# 2 00", "line 2: generic rdata says 2 octets and has 1", id="generic size"
        ),
        pytest.param("www MX 70000 mail", "line 2: type 15 cannot be", id="number too large"),
        pytest.param("www.elsewhere.test. A 192.0.2.1", "line 2: .* is not in the zone", id="out of zone"),
        pytest.param("www 4294967296 A 192.0.2.1", "line 2: a TTL is", id="TTL"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, why: str) -> None:
    with pytest.raises(FormatError, match=why):
        Zones.parse(f"$ORIGIN example.test\n{line}\n")


def test_a_record_outside_any_zone_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"line 1: a record before the first \$ORIGIN"):
        Zones.parse("www A 192.0.2.1")


@pytest.mark.parametrize(
    ("qname", "qtype", "count"),
    [
        pytest.param("www.example.test", RRType.A, 1, id="address"),
        pytest.param("www.example.test", RRType.HTTPS, 1, id="HTTPS"),
        pytest.param("chain.example.test", RRType.AAAA, 3, id="alias chain"),
        pytest.param("example.test", RRType.MX, 2, id="mail"),
        pytest.param("a.b.any.example.test", RRType.A, 1, id="wildcard"),
        pytest.param("large.example.test", RRType.TXT, 30, id="large"),
        pytest.param("80.2.0.192.in-addr.arpa", RRType.PTR, 1, id="reverse"),
        pytest.param("dangling.example.test", RRType.A, 1, id="alias to nothing"),
    ],
)
def test_the_demo_zones_answer(qname: str, qtype: int, count: int) -> None:
    assert len(ask(qname, qtype, Zones.parse(DEMO_ZONES)).answer) == count
