"""The shape of a reply: header, question, OPT record and DNSSEC records as the client wants them."""

from itertools import product

import pytest

from secdns.cache import Cache, Entry, from_message, from_response, shorten
from secdns.dns.edns import EDNS, errors_of, extended_error, options_to_wire
from secdns.dns.message import AD, CD, QR, RA, RD, TC, Message, Question, Record, make_query
from secdns.dns.name import from_text
from secdns.dns.peek import scan
from secdns.iana import EDE, RCode, RRType
from tests.cache.answers import (
    MB,
    TXT,
    WWW,
    A,
    a,
    asked,
    cname,
    entry_of,
    failure,
    held,
    keep,
    negative,
    nsec,
    query,
    record,
    replied,
    response,
    rrsig,
    soa,
    txt,
)
from tests.dns import wires
from tests.dns.wires import pointer

CDN = "cdn.example.net"
BITS = list(product((False, True), repeat=3))
OPTS = [(False, False), (True, False), (True, True)]  # EDNS and DO: there is no DO without EDNS


@pytest.mark.parametrize("secure", [False, True], ids=["insecure", "secure"])
@pytest.mark.parametrize(("edns", "do"), OPTS, ids=["no EDNS", "EDNS", "DO"])
@pytest.mark.parametrize(("rd", "ad", "cd"), BITS)
@pytest.mark.parametrize("name", [WWW, "wWw.EXAMPLE.com"], ids=["lower", "mixed"])
def test_reply_has_the_bits_of_its_query_1035_1_6891_1_4035_3_6840_8_C8(
    name: str, rd: bool, ad: bool, cd: bool, edns: bool, do: bool, secure: bool
) -> None:
    entry = entry_of(response(a(), rrsig()))
    entry.secure = secure
    wire = query(name, id=0xBEEF, rd=rd, ad=ad, cd=cd, edns=edns, do=do)
    reply = entry.reply(asked(wire), 0.0)
    got = Message.parse(reply)
    has_ad = secure and not cd and (ad or do)
    assert got.flags == QR | RA | (RD if rd else 0) | (CD if cd else 0) | (AD if has_ad else 0)
    assert got.edns == (EDNS(do=do) if edns else None)
    assert (got.id, reply[12 : len(from_text(WWW)) + 16]) == (0xBEEF, wire[12 : len(from_text(WWW)) + 16])
    assert [one.rrtype for one in got.answer] == ([A, RRType.RRSIG] if do else [A])


def test_key_depends_on_name_type_cd_and_group_only_C8() -> None:
    for group, route in ((0, None), (0, lambda name, rrtype: 0), (0x1234, lambda name, rrtype: 0x1234)):
        cache = Cache(MB, route=route)
        keys: dict[bytes, set[bool]] = {}
        for (rd, ad, cd), (edns, do), name in product(BITS, OPTS, (WWW, WWW.upper())):
            wire = query(name, rd=rd, ad=ad, cd=cd, edns=edns, do=do)
            keys.setdefault(cache.key(asked(wire)), set()).add(cd)
        lower = from_text(WWW)
        tail = group.to_bytes(2) + A.to_bytes(2)
        assert keys == {lower + b"\0" + tail: {False}, lower + b"\1" + tail: {True}}


@pytest.mark.parametrize(
    ("filled_by", "read_by"),
    list(product([(ad, edns) for ad in (False, True) for edns in OPTS], repeat=2)),
    ids=lambda bits: "+".join(
        name for name, on in zip(("AD", "EDNS", "DO"), (bits[0], *bits[1]), strict=True) if on
    ),
)
def test_one_entry_serves_every_client_C8(
    filled_by: tuple[bool, tuple[bool, bool]], read_by: tuple[bool, tuple[bool, bool]]
) -> None:
    cache = Cache(MB)
    first = query(ad=filled_by[0], edns=filled_by[1][0], do=filled_by[1][1])
    keep(cache, first, response(a(), rrsig()), now=0.0)
    reply = held(cache, query(ad=read_by[0], edns=read_by[1][0], do=read_by[1][1]), now=0.0)
    assert reply is not None
    assert len(reply.answer) == (2 if read_by[1][1] else 1)


def test_answer_for_cd_never_serves_a_client_without_it_C8_D13() -> None:
    cache = Cache(MB)
    keep(cache, query(cd=True), response(a()), now=0.0)
    keep(cache, query("gone.example.com", cd=True), negative("gone.example.com"), now=0.0)
    for name in (WWW, "gone.example.com"):
        assert held(cache, query(name, cd=False), now=0.0) is None
        assert held(cache, query(name, cd=True), now=0.0) is not None


def test_answer_of_one_group_never_serves_another_C4() -> None:
    groups = {from_text(WWW): 1}
    cache = Cache(MB, route=lambda name, rrtype: groups[name])
    keep(cache, query(), response(a()), now=0.0)
    groups[from_text(WWW)] = 2
    assert held(cache, query(), now=0.0) is None
    groups[from_text(WWW)] = 1
    assert held(cache, query(), now=0.0) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(b"\x08\0www.com\0", b"\3www\3com\0", id="NUL and a dot in a label"),
        pytest.param(b"\1\xc4\0", b"\1\xe4\0", id="Latin-1 letters"),
        pytest.param(b"\1[\0", b"\1{\0", id="neighbours of the letters"),
        pytest.param(b"\2ab\0", b"\1a\1b\0", id="label boundary"),
    ],
)
def test_only_the_case_of_ascii_letters_is_folded_T2_4343_1(one: bytes, other: bytes) -> None:
    cache = Cache(MB)
    keys = {cache.key(asked(make_query(name, A, id=1))) for name in (one, other)}
    assert len(keys) == 2


CHAIN = [cname(WWW, CDN), rrsig(WWW, 5), a(CDN), rrsig(CDN, A)]
PROOF = [soa(), rrsig("example.com", 6), nsec("v.example.com", "x.example.com"), rrsig("v.example.com", 47)]


@pytest.mark.parametrize(
    ("rrtype", "answer", "authority", "want"),
    [
        pytest.param(A, [a(), a(number=2), rrsig()], [], [1, 1], id="tail"),
        pytest.param(A, [rrsig(), a()], [], [1], id="head"),
        pytest.param(A, [a(), rrsig(), a(number=2)], [], [1, 1], id="middle"),
        pytest.param(A, CHAIN, [], [5, 1], id="chain"),
        pytest.param(A, [a(), rrsig()], PROOF[2:], [1], id="wildcard"),
        pytest.param(A, CHAIN, PROOF[2:], [5, 1], id="chain and proof"),
        pytest.param(A, [], PROOF, [6], id="denial"),
        pytest.param(A, [], [PROOF[2], PROOF[3], *PROOF[:2]], [6], id="denial, SOA last"),
        pytest.param(A, [], [soa(), *PROOF[2:]], [6], id="denial, SOA unsigned"),
        pytest.param(
            A, [cname(WWW, "b.example.com"), rrsig(WWW, 5)], PROOF, [5, 6], id="denial behind a CNAME"
        ),
        pytest.param(RRType.RRSIG, [rrsig(), rrsig(covers=28)], [], [46, 46], id="RRSIG asked for"),
        pytest.param(
            RRType.NSEC, [nsec(WWW, "x.example.com"), rrsig(WWW, 47)], [], [47], id="NSEC asked for"
        ),
        pytest.param(RRType.DNSKEY, [record(WWW, 48, bytes(36)), rrsig(WWW, 48)], [], [48], id="DNSKEY"),
        pytest.param(RRType.DS, [record(WWW, 43, bytes(36)), rrsig(WWW, 43)], [], [43], id="DS"),
    ],
)
def test_dnssec_records_are_for_do_or_by_type_4035_5(
    rrtype: int, answer: list[Record], authority: list[Record], want: list[int]
) -> None:
    entry = entry_of(response(*answer, rrtype=rrtype, authority=authority))
    full = replied(entry, query(rrtype=rrtype, do=True))
    plain = replied(entry, query(rrtype=rrtype))
    assert [one.rrtype for one in (*full.answer, *full.authority)] == [
        one.rrtype for one in (*answer, *authority)
    ]
    assert [one.rrtype for one in (*plain.answer, *plain.authority)] == want
    full_records = {(one.name.lower(), one.rdata.lower()) for one in (*full.answer, *full.authority)}
    assert all(
        (one.name.lower(), one.rdata.lower()) in full_records for one in (*plain.answer, *plain.authority)
    )


def test_failure_says_why_to_who_can_read_it_8914_2() -> None:
    entry = Entry(
        RCode.SERVFAIL,
        ttl_s=5,
        options=options_to_wire((extended_error(EDE.NETWORK_ERROR, "no route"),)),
        is_failure=True,
    )
    with_edns, without = replied(entry, query(do=True)), replied(entry, query(edns=False))
    assert (with_edns.rcode, errors_of(with_edns.edns)) == (2, ((23, "no route"),))
    assert with_edns.edns is not None
    assert with_edns.edns.do
    assert (without.rcode, without.edns) == (2, None)


@pytest.mark.parametrize("rcode", [16, 23, 32, 4095])
def test_extended_rcode_is_servfail_where_there_is_no_room_for_it(rcode: int) -> None:
    """The four bits of BADVERS that fit the header say NOERROR, which would be a NODATA."""
    entry = failure(rcode)
    assert replied(entry, query()).rcode == rcode
    assert replied(entry, query(edns=False)).rcode == RCode.SERVFAIL


@pytest.mark.parametrize(
    ("wire", "ede"),
    [
        pytest.param(response(a(), rrsig()), EDE.STALE_ANSWER, id="answer"),
        pytest.param(negative(rcode=RCode.NOERROR), EDE.STALE_ANSWER, id="nodata"),
        pytest.param(negative(), EDE.STALE_NXDOMAIN_ANSWER, id="nxdomain"),
    ],
)
def test_stale_reply_has_ttl_30_no_ad_and_says_so_8767_2_8914_2(wire: bytes, ede: int) -> None:
    entry = entry_of(wire)
    entry.secure = True
    got = Message.parse(entry.stale_reply(asked(query(ad=True, do=True))))
    assert got.flags & ~15 == QR | RA | RD
    assert got.rcode == entry.rcode
    assert {one.ttl for one in (*got.answer, *got.authority)} == {30}
    assert [code for code, _ in errors_of(got.edns)] == [ede]
    plain = Message.parse(entry.stale_reply(asked(query(edns=False))))
    assert (plain.edns, RRType.RRSIG in {one.rrtype for one in plain.answer}) == (None, False)


def test_answer_made_here_has_its_records_and_words_and_no_ad() -> None:
    question = Question(from_text("printer.home.arpa"), A)
    blocked = EDNS(options=(extended_error(EDE.BLOCKED, "blocked"),))
    made = Message(
        flags=RCode.NXDOMAIN,
        question=(question,),
        answer=(a("printer.home.arpa"),),
        authority=(soa(),),
        edns=blocked,
    )
    entry = from_message(made, ttl_s=60)
    got = replied(entry, query("printer.home.arpa", ad=True))
    assert (got.answer, got.authority, got.rcode) == (made.answer, made.authority, RCode.NXDOMAIN)
    assert (errors_of(got.edns), got.flags & AD) == (((15, "blocked"),), 0)
    assert (entry.is_local, entry.ttl_s) == (True, 60)


def test_compressed_names_follow_the_case_of_the_question_1035_1() -> None:
    reply = replied(entry_of(response(a())), query("wWw.eXample.com"))
    assert reply.answer[0].name == from_text("wWw.eXample.com")


def reply_of(size: int, *, edns: bool = True, ede: bool = False) -> bytes:
    """Give a reply with two RRsets; the second has about ``size`` octets."""
    entry = from_response(response(cname(WWW, CDN), *txt(CDN, size), rrtype=TXT))
    entry.options = options_to_wire((extended_error(EDE.OTHER, "x" * 100),)) if ede else b""
    return entry.reply(asked(query(rrtype=TXT, edns=edns)), 0.0)


@pytest.mark.parametrize("edns", [False, True], ids=["no EDNS", "EDNS"])
@pytest.mark.parametrize("limit", [512, 1232])
def test_long_reply_is_cut_at_an_rrset_boundary_with_tc_1035_3(limit: int, edns: bool) -> None:
    short = shorten(reply_of(3000, edns=edns), limit)
    got = Message.parse(short)
    assert len(short) <= limit
    assert (got.truncated, [one.rrtype for one in got.answer]) == (True, [RRType.CNAME])
    assert (got.edns is not None) == edns


@pytest.mark.parametrize("limit", [512, 1232])
def test_reply_within_the_limit_is_left_alone(limit: int) -> None:
    reply = reply_of(0)
    assert shorten(reply, limit) is reply


def test_words_go_before_data_8914_4() -> None:
    reply = reply_of(500, ede=True)
    short = shorten(reply, len(reply) - 50)
    got = Message.parse(short)
    assert (got.truncated, got.edns, len(got.answer)) == (False, EDNS(), 3)


def test_reply_with_one_huge_rrset_is_cut_to_its_question_1035_3() -> None:
    entry = entry_of(response(*txt(WWW, 2000), rrtype=TXT))
    short = Message.parse(shorten(entry.reply(asked(query(rrtype=TXT)), 0.0), 1232))
    assert (short.truncated, short.answer, short.edns) == (True, (), EDNS())


def test_authority_goes_before_the_answer() -> None:
    entry = entry_of(response(*txt(WWW, 700), rrtype=TXT, authority=[soa(), rrsig("example.com", 6)]))
    reply = entry.reply(asked(query(rrtype=TXT, do=True)), 0.0)
    short = Message.parse(shorten(reply, len(reply) - 1))
    assert (short.truncated, len(short.answer), [one.rrtype for one in short.authority]) == (True, 3, [6])


def test_reply_with_malformed_rdata_can_be_cut_T12() -> None:
    """Else a record that nobody needs would leave the client without any reply."""
    mx = RRType.MX.to_bytes(2) + wires.IN
    wire = wires.response(*[wires.record(pointer(12), RRType.MX, b"")] * 80, question=from_text(WWW) + mx)
    short = shorten(entry_of(wire).reply(asked(query(rrtype=RRType.MX)), 0.0), 512)
    assert scan(short).flags & TC
