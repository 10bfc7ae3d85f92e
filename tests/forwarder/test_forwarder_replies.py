"""What a reply looks like, for every kind of query that clients send (RFC 1035, 6891, 8906)."""

import dataclasses
import struct
import time

import pytest

from secdns.dns import name as names
from secdns.dns.edns import EDNS
from secdns.dns.message import AA, AD, CD, QR, RA, RD, TC, Message, Question, make_query
from secdns.dns.peek import question_end
from secdns.iana import EDE, EDNSOption, Opcode, RCode, RRClass, RRType
from secdns.testing import FakeUpstream
from tests.cache.answers import query
from tests.forwarder.stage import Stage, told

WWW = "www.example.test"
COOKIE = (int(EDNSOption.COOKIE), bytes(8))
Z = 0x0040


def with_options(*options: tuple[int, bytes], name: str = WWW, size: int = 1232) -> bytes:
    """Give a query with EDNS options; none of them is one that the fast path takes."""
    return make_query(names.from_text(name), RRType.A, id=0x0BAD, edns=EDNS(size=size, options=options))


def header(flags: int, *counts: int, id: int = 0x1D1D) -> bytes:
    return struct.pack("!6H", id, flags, *(*counts, 0, 0, 0, 0)[:4])


async def both_ways(stage: Stage, wire: bytes) -> tuple[Message, Message]:
    """Give the reply of the miss path, then that of the hit path, which the listener takes by itself."""
    missed = await stage.ask(wire)
    hit = stage.forwarder.cached(wire, stage.clock.now)
    return missed, Message.parse(hit if isinstance(hit, bytes) else await stage.ask_octets(wire))


@pytest.mark.parametrize("rd", [False, True], ids=["rd=0", "rd=1"])
@pytest.mark.parametrize("name", [WWW, "wWw.eXample.TEST", "WWW.EXAMPLE.TEST"])
async def test_reply_echoes_id_rd_and_question_case_1035_1(name: str, rd: bool, stage: Stage) -> None:
    await stage.ask(query(WWW))  # RD=0 is answered from the cache only
    wire = query(name, id=0xABCD, rd=rd)
    for reply in await both_ways(stage, wire):
        assert reply.id == 0xABCD
        assert reply.question == (Question(names.from_text(name), RRType.A),)
        assert reply.flags == QR | RA | (RD if rd else 0)
        assert len(reply.answer) == 2


@pytest.mark.parametrize("name", [WWW, "WWW.example.TEST"])
async def test_letter_case_is_folded_for_the_cache_and_the_upstream_4343_1(
    name: str, stage: Stage, up: FakeUpstream
) -> None:
    await stage.ask(query(WWW))
    reply = await stage.ask(query(name))
    assert reply.answer[0].name.lower() == names.from_text(WWW)
    assert len(up.queries) == 1


@pytest.mark.parametrize("label", [b"\xe4", b"\xc4", "ä".encode(), "Ä".encode()])
async def test_only_ascii_letters_are_folded_4343_1(label: bytes, stage: Stage, up: FakeUpstream) -> None:
    for one in (label, bytes(octet ^ 0x20 for octet in label)):
        await stage.ask(make_query(bytes([len(one)]) + one + names.from_text("example.test"), RRType.A, id=1))
    assert len(up.queries) == 2


async def test_reply_over_udp_without_edns_is_cut_at_512_octets_1035_3(stage: Stage) -> None:
    wire = query("middle.example.test", RRType.TXT, edns=False)
    for reply in await both_ways(stage, wire):
        assert reply.flags & TC
        assert reply.answer == ()  # one RRset: all of it or nothing
    over_udp = await stage.ask_octets(wire)
    assert len(over_udp) <= 512
    over_tcp = await stage.ask(wire, stream=True)
    assert not over_tcp.flags & TC
    assert len(over_tcp.answer) == 7


@pytest.mark.parametrize(
    ("size", "is_cut"),
    [
        pytest.param(0, True, id="0 means 512"),
        pytest.param(511, True, id="511 means 512"),
        pytest.param(512, True, id="512"),
        pytest.param(900, False, id="as much as it takes"),
        pytest.param(4096, False, id="more than we send"),
    ],
)
async def test_client_says_how_much_it_takes_and_never_gets_over_1232_6891_5(
    size: int, is_cut: bool, stage: Stage
) -> None:
    for name, octets in (("middle", 700), ("large", 2000)):
        wire = make_query(names.from_text(f"{name}.example.test"), RRType.TXT, id=7, edns=EDNS(size=size))
        reply = await stage.ask_octets(wire)
        assert len(reply) <= min(max(size, 512), 1232)
        assert bool(reply[2] << 8 & TC) == (is_cut or octets > 1232)
        edns = Message.parse(reply).edns
        assert edns is not None
        assert edns.size == 1232


@pytest.mark.parametrize("name", [WWW, "no.example.test", "localhost", "large.example.test"])
async def test_opt_comes_if_and_only_if_the_query_has_one_6891_1(name: str, stage: Stage) -> None:
    for edns in (False, True):
        for reply in await both_ways(stage, query(name, edns=edns)):
            assert (reply.edns is not None) == edns


@pytest.mark.parametrize("version", [1, 2, 255])
async def test_edns_version_above_0_is_badvers_6891_2(version: int, stage: Stage, up: FakeUpstream) -> None:
    wire = make_query(names.from_text(WWW), RRType.A, id=3, edns=EDNS(version=version))
    reply = await stage.ask(wire)
    assert reply.rcode == RCode.BADVERS
    assert reply.edns is not None
    assert reply.edns.version == 0
    assert reply.answer == ()
    assert up.queries == []


@pytest.mark.parametrize(
    "additional",
    [
        pytest.param(EDNS().to_wire() * 2, id="two OPT records"),
        pytest.param(b"\3foo" + EDNS().to_wire(), id="an owner that is not the root"),
    ],
)
async def test_odd_opt_is_formerr_6891_3_T5_T6(additional: bytes, stage: Stage, up: FakeUpstream) -> None:
    question = names.from_text(WWW) + b"\0\1\0\1"
    count = 2 if additional.startswith(b"\0") else 1
    reply = await stage.ask(header(RD, 1, 0, 0, count) + question + additional)
    assert reply.rcode == RCode.FORMERR
    assert up.queries == []


async def test_opt_is_neither_forwarded_nor_kept_6891_4_T6_7871_1(stage: Stage, up: FakeUpstream) -> None:
    subnet = (8, b"\0\1\x18\0\xc0\0\2")
    strange = (65001, b"do not pass this on")
    padding = (int(EDNSOption.PADDING), bytes(11))
    reply = await stage.ask(with_options(subnet, strange, COOKIE, padding, size=4321))
    assert reply.edns == EDNS()
    (seen,) = up.queries
    sent = Message.parse(seen.wire).edns
    assert sent is not None
    ours = {EDNSOption.PADDING, EDNSOption.TCP_KEEPALIVE}  # the second for the connection, empty (RFC 7828)
    assert {code for code, _ in sent.options} == ours
    assert not sent.option(EDNSOption.TCP_KEEPALIVE)
    assert padding not in sent.options
    assert sent.size == 1232
    assert sent.do
    assert (await stage.ask(query(WWW))).edns == EDNS()
    assert (await stage.ask(query(WWW, edns=False))).edns is None


@pytest.mark.parametrize("data", [b"", b"\0\x64"], ids=["asked for", "with a time"])
@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
async def test_tcp_keepalive_is_ignored_and_never_sent_over_udp_7828_1(
    data: bytes, stream: bool, stage: Stage
) -> None:
    reply = await stage.ask(with_options((11, data)), stream=stream)
    assert reply.rcode == RCode.NOERROR
    assert reply.edns is not None
    assert stream or reply.edns.option(11) is None


@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
async def test_plain_reply_is_never_padded_7830_2(stream: bool, stage: Stage) -> None:
    reply = await stage.ask(with_options((int(EDNSOption.PADDING), b"\xff" * 40)), stream=stream)
    assert reply.edns is not None
    assert reply.edns.option(EDNSOption.PADDING) is None


@pytest.mark.parametrize("options", [(COOKIE,), (COOKIE, COOKIE), (), ((65001, b""),) * 32])
async def test_query_with_options_finds_the_answer_that_a_plain_one_left_and_vice_versa_C8(
    options: tuple[tuple[int, bytes], ...], stage: Stage, up: FakeUpstream
) -> None:
    first = await stage.ask(with_options(*options))
    assert isinstance(stage.forwarder.cached(query(WWW), stage.clock.now), bytes)
    stage.forwarder.cache.flush()
    await stage.ask(query(WWW))
    again = await stage.ask(with_options(*options))
    assert again == first
    assert len(up.queries) == 2


@pytest.mark.parametrize(
    ("options", "rcode"),
    [pytest.param(32, RCode.NOERROR, id="32"), pytest.param(33, RCode.FORMERR, id="33"),
     pytest.param(16_000, RCode.FORMERR, id="16000")],
)  # fmt: skip
async def test_over_32_options_are_formerr_and_cost_nothing_T5(
    options: int, rcode: RCode, stage: Stage
) -> None:
    octets = b"\xfe\0\0\0" * options
    opt = b"\0\0\x29\x04\xd0\0\0\0\0" + (len(octets) & 0xFFFF).to_bytes(2) + octets
    wire = header(RD, 1, 0, 0, 1) + names.from_text(WWW) + b"\0\1\0\1" + opt
    await stage.ask(query(WWW))
    costs_s = []
    for _ in range(3):  # the least is what it costs; the rest is what the machine was busy with
        began = time.process_time()
        reply = await stage.ask(wire, stream=True)
        costs_s.append(time.process_time() - began)
        assert reply.rcode == rcode
    assert min(costs_s) < 0.02


QUESTION = names.from_text(WWW) + b"\0\1\0\1"


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(header(RD), id="no question and no record"),
        pytest.param(header(RD, 0, 0, 0, 1) + EDNS().to_wire(), id="no question, OPT without cookie"),
        pytest.param(header(RD, 2) + QUESTION * 2, id="two questions 9619_1"),
        pytest.param(header(RD, 2) + QUESTION, id="two promised, one there"),
        pytest.param(header(RD, 65535) + QUESTION, id="65535 questions"),
        pytest.param(header(RD, 1, 65535), id="65535 answers in 12 octets"),
        pytest.param(header(RD, 1), id="one promised, none there"),
        pytest.param(header(RD, 1, 1) + QUESTION, id="an answer promised"),
        pytest.param(header(RD, 1) + QUESTION + b"\0", id="an octet too many"),
        pytest.param(header(RD, 1) + QUESTION[:-1], id="an octet too few"),
        pytest.param(header(RD, 1) + b"\xc0\x0c\0\1\0\1", id="a pointer to itself"),
        pytest.param(header(RD, 1) + b"\x40" + QUESTION, id="an unknown kind of label"),
        pytest.param(header(RD, 1) + b"\x3fx" * 128 + b"\0\0\1\0\1", id="a name too long"),
    ],
)
async def test_lying_counts_and_broken_questions_are_formerr_9619_1_T3(
    wire: bytes, stage: Stage, up: FakeUpstream
) -> None:
    reply = await stage.ask(wire)
    assert reply.rcode == RCode.FORMERR
    assert reply.flags & (QR | AA | TC) == QR
    assert reply.answer == ()
    assert up.queries == []


async def test_no_question_but_a_cookie_is_answered_9619_T3(stage: Stage) -> None:
    reply = await stage.ask(header(0, 0, 0, 0, 1) + EDNS(options=(COOKIE,)).to_wire())
    assert reply.rcode == RCode.NOERROR
    assert reply.question == ()


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(header(QR | RD | RA, 1) + QUESTION, id="a response"),
        pytest.param(header(QR | RD | RA | RCode.FORMERR), id="an error"),
        pytest.param(header(QR | Opcode.NOTIFY << 11, 1) + QUESTION, id="a response to NOTIFY"),
        pytest.param(b"", id="nothing"),
        pytest.param(header(RD, 1)[:11], id="less than a header"),
    ],
)
async def test_responses_and_scraps_are_dropped_in_silence_T7(wire: bytes, stage: Stage) -> None:
    assert await stage.forwarder.answer(wire, stream=False) is None
    assert stage.forwarder.stats.drops == 1


async def test_our_own_replies_sent_to_us_end_there_T7(stage: Stage) -> None:
    asked = [query(WWW), header(RD, 2), header(Opcode.UPDATE << 11), query("localhost")]
    for wire in asked:
        reply = await stage.ask_octets(wire)
        assert await stage.forwarder.answer(reply, stream=False) is None


@pytest.mark.parametrize("opcode", [1, Opcode.STATUS, 3, Opcode.NOTIFY, Opcode.UPDATE, 6, 15])
@pytest.mark.parametrize("tail", [b"", QUESTION], ids=["without question", "with question"])
async def test_unknown_opcode_is_notimp_even_without_a_question_8906_T7(
    opcode: int, tail: bytes, stage: Stage, up: FakeUpstream
) -> None:
    reply = await stage.ask(header(opcode << 11 | RD, 1 if tail else 0) + tail)
    assert (reply.rcode, reply.opcode) == (RCode.NOTIMP, opcode)
    assert up.queries == []


@pytest.mark.parametrize("bit", [AA, TC, RA, Z, AD, CD], ids=["AA", "TC", "RA", "Z", "AD", "CD"])
async def test_any_header_bit_in_a_query_is_put_up_with_8906(bit: int, stage: Stage) -> None:
    wire = bytearray(query(WWW))
    wire[2:4] = (RD | bit).to_bytes(2)
    reply = await stage.ask(bytes(wire))
    assert len(reply.answer) == 2
    assert reply.flags == QR | RD | RA | (bit & CD)


@pytest.mark.parametrize("flags", [0x4000, 0x0001, 0x7FFF, 0x8000, 0xFFFF])
async def test_any_edns_flag_is_put_up_with_and_only_do_comes_back_8906(flags: int, stage: Stage) -> None:
    opt = b"\0\0\x29\x04\xd0\0\0" + flags.to_bytes(2) + b"\0\0"
    reply = await stage.ask_octets(header(RD, 1, 0, 0, 1) + QUESTION + opt)
    assert len(Message.parse(reply).answer) == 2
    assert reply[-4:-2] == (flags & 0x8000).to_bytes(2)


@pytest.mark.parametrize("rrtype", [65300, RRType.HTTPS, 0, 65535])
async def test_unknown_type_passes_octet_for_octet_3597_1_8906_T12(rrtype: int, stage: Stage) -> None:
    reply = await stage.ask(query("odd.example.test", rrtype))
    assert reply.rcode == RCode.NOERROR
    want = {65300: [b"\x00\xff\x00\x41\xc0"], RRType.HTTPS: [b"\x00\x01\x00"]}.get(rrtype, [])
    assert [record.rdata for record in reply.answer] == want


@pytest.mark.parametrize("rrclass", [0, RRClass.CH, 4, 254, 255])
async def test_other_classes_are_refused_and_not_forwarded_3597_3(
    rrclass: int, stage: Stage, up: FakeUpstream
) -> None:
    await stage.ask(query(WWW))
    wire = header(RD, 1) + QUESTION[:-2] + rrclass.to_bytes(2)
    reply = await stage.ask(wire)
    assert (reply.rcode, reply.answer) == (RCode.REFUSED, ())
    assert reply.question[0].rrclass == rrclass
    assert len(up.queries) == 1


async def test_any_gets_one_synthetic_record_and_leaves_nothing_behind_8482_1_8482_2_D16(
    stage: Stage, up: FakeUpstream
) -> None:
    await stage.ask(query(WWW))
    for _ in range(2):
        reply = await stage.ask(query(WWW, RRType.ANY))
        assert [(record.rrtype, record.rdata) for record in reply.answer] == [
            (RRType.HINFO, b"\x07RFC8482\x00")
        ]
    assert (await stage.ask(query(WWW))).answer[0].rrtype == RRType.A
    assert [seen.wire[question_end(seen.wire) - 3] for seen in up.queries] == [RRType.A]
    assert (await stage.ask(query(WWW, RRType.HINFO))).answer == ()


@pytest.mark.parametrize(
    ("rrtype", "rcode"),
    [(RRType.OPT, RCode.FORMERR), (RRType.NXNAME, RCode.FORMERR), (RRType.AXFR, RCode.REFUSED),
     (RRType.IXFR, RCode.REFUSED), (RRType.TSIG, RCode.REFUSED), (RRType.TKEY, RCode.REFUSED),
     (RRType.MAILA, RCode.REFUSED), (RRType.MAILB, RCode.REFUSED)],
)  # fmt: skip
async def test_types_that_are_no_data_are_not_forwarded(
    rrtype: RRType, rcode: RCode, stage: Stage, up: FakeUpstream
) -> None:
    reply = await stage.ask(query(WWW, rrtype))
    assert reply.rcode == rcode
    assert up.queries == []


async def test_recursion_not_desired_is_answered_from_the_cache_alone_C9(
    stage: Stage, up: FakeUpstream
) -> None:
    refused = await stage.ask(query(WWW, rd=False))
    assert refused.rcode == RCode.REFUSED
    assert EDE.NOT_AUTHORITATIVE in told(refused)
    assert up.queries == []
    await stage.ask(query(WWW))
    assert len((await stage.ask(query(WWW, rd=False))).answer) == 2
    stage.clock.now += 301  # past its time: stale answers are for those who may ask upstream
    assert (await stage.ask(query(WWW, rd=False))).rcode == RCode.REFUSED
    assert len(up.queries) == 1


@pytest.mark.parametrize("rd", [False, True])
@pytest.mark.parametrize("name", ["localhost", "x.localhost", "printer.home.arpa", "nas"])
async def test_local_answers_need_no_recursion_and_no_upstream(
    name: str, rd: bool, stage: Stage, up: FakeUpstream
) -> None:
    for reply in await both_ways(stage, query(name, rd=rd)):
        assert reply.rcode in (RCode.NOERROR, RCode.NXDOMAIN)
    assert up.queries == []


async def test_ede_is_shed_before_data_when_a_reply_is_cut_8914_4(stage: Stage) -> None:
    asked = query("x." * 100 + "localhost", RRType.MX, do=True)
    reply = await stage.ask(asked)
    for size in (512, 600, 1232):
        edns = EDNS(size=size)
        small = make_query(reply.question[0].name, RRType.MX, id=1, edns=edns)
        assert len(await stage.ask_octets(small)) <= size


async def test_compression_bomb_passes_in_no_time_T8(stage: Stage, up: FakeUpstream) -> None:
    bomb = b"".join(  # 230 names of 121 labels that share nothing, in uncompressed RDATA of type 65300
        b"\xc0\x0c\xff\x14\0\1\0\0\1\x2c\0\xf3" + b"".join(b"\1" + bytes([n]) for _ in range(121)) + b"\0"
        for n in range(230)
    )

    def answer(asked: bytes) -> bytes:
        end = question_end(asked)
        return asked[:2] + b"\x81\x80\0\1\0\xe6\0\0\0\0" + asked[12:end] + bomb

    up.answer = answer
    costs_s = []
    for number in range(3):
        wire = query(f"h{number}.example.test", 65300, do=True)
        began = time.process_time()
        reply = await stage.ask_octets(wire, stream=True)
        costs_s.append(time.process_time() - began)  # the testing upstream is in it
        assert reply[6:8] == b"\0\xe6"
        assert bomb in reply
    assert min(costs_s) < 0.05


async def test_replies_of_one_question_go_to_who_asked_each_with_its_own_shape_1035_4(
    stage: Stage, up: FakeUpstream
) -> None:
    """The same ID and question from different clients, who differ in all that shapes a reply."""
    up.faults.hold = True
    shapes = [
        dataclasses.asdict(shape)
        for shape in (
            Shape(), Shape(edns=False), Shape(do=True), Shape(ad=True), Shape(name="WWW.example.test"),
            Shape(id=2), Shape(id=2, name="www.EXAMPLE.test"),
        )
    ]  # fmt: skip
    replies: dict[int, bytes | None] = {}
    for number, shape in enumerate(shapes):

        def deliver(reply: bytes | None, number: int = number) -> None:
            assert number not in replies
            replies[number] = reply

        stage.forwarder.submit(query(**shape), stream=False, deliver=deliver)
    await up.wait_queries(1)
    up.release()
    await stage.forwarder.settle(4.0)
    assert len(up.queries) == 1
    for number, shape in enumerate(shapes):
        reply = Message.parse(replies[number] or b"")
        asked = Message.parse(query(**shape))
        assert (reply.id, reply.question) == (asked.id, asked.question)
        assert (reply.edns is not None) == (asked.edns is not None)
        assert len(reply.answer) == 2


@dataclasses.dataclass(frozen=True)
class Shape:
    """What may differ between two queries for the same."""

    name: str = WWW
    id: int = 1
    edns: bool = True
    do: bool = False
    ad: bool = False
