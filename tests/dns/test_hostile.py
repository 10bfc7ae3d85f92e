"""The dearest octets of at most 64 KB that we know: what reading them costs (O1, O2, F33).

M1 to M3 are the inputs that cost other parsers up to 20 s; the others were looked for by us.
"""

import tracemalloc
from collections.abc import Callable, Iterable, Sequence

import pytest

from secdns.cache import from_plain_response, from_response, shorten
from secdns.dns.intake import read_any_query
from secdns.dns.message import Message
from secdns.dns.peek import Query, age_ttls, question_end, read_query, scan
from secdns.iana import RRType
from tests.dns.test_wire import bomb, chain
from tests.dns.wires import IN, WWW, cpu_ms, head, pointer, record, refused

LIMIT_MS = 20  # any one callback of the event loop (design.md, Budgets)
DEEP = b"\1a" * 127 + b"\0"  # a name of 127 labels, all of them at 12 and after it
LOOPBACK = b"\x7f\0\0\1"
STRANGER = record(b"\1z\0", RRType.A, LOOPBACK)
Section = Sequence[bytes]


def above(labels: int) -> bytes:
    """Give a pointer to the deep QNAME without this many labels."""
    return pointer(12 + 2 * (labels % 126))


def reply(
    *answer: bytes, name: bytes = DEEP, rrtype: int = RRType.A, authority: Section = (), extra: Section = ()
) -> bytes:
    question = name + rrtype.to_bytes(2) + IN
    counts = head(1, len(answer), len(authority), len(extra))
    return b"".join((counts, question, *answer, *authority, *extra))


def links(count: int, at: int) -> list[bytes]:
    """Give a chain of CNAMEs from the deep QNAME on, each one label away, from this offset on."""
    chained = []
    owner = pointer(12)
    for number in range(count):
        link = record(owner, RRType.CNAME, b"\1" + bytes((98 + number,)) + pointer(14))
        owner = pointer(at + len(owner) + 10)
        at += len(link)
        chained.append(link)
    return chained


def rrsig(owner: bytes, signer: bytes, *, covered: int = RRType.NSEC, ttl: int = 60) -> bytes:
    return record(owner, RRType.RRSIG, covered.to_bytes(2) + bytes(16) + signer + b"signature", ttl=ttl)


def soa(number: int) -> bytes:
    return record(above(number), RRType.SOA, above(1) + above(2) + bytes(20), ttl=number)


def minfo(owner: bytes, number: int) -> bytes:
    return record(owner, RRType.MINFO, above(number) + pointer(12), ttl=number)


def dnames() -> bytes:
    """Give DNAMEs at every name above QNAME, then the chain that has to be compared with all of them."""
    made = [record(above(1 + number % 125), RRType.DNAME, above(7 * number)) for number in range(900)]
    return reply(*made, *links(12, len(reply(*made))))


def mixed(numbers: Iterable[int]) -> list[bytes]:
    return [
        part
        for number in numbers
        for part in (
            record(above(number % 100), RRType.NSEC, above(1) + bytes(20)),
            rrsig(above(number % 100), above(1), ttl=number),
            soa(number),
        )
    ]


CHAIN = links(12, len(reply()))
HOSTILE = {
    "M1: chain of 16 pointers, 300 times": chain(16),
    "M1: chain of 8,000 pointers": chain(8000),
    "M2: 4,000 A": reply(*[record(pointer(12), RRType.A, LOOPBACK)] * 4000, name=WWW),
    "M2: 3,200 names": reply(*(record(b"\4%04d" % n + pointer(12), 1, b"") for n in range(3200)), name=WWW),
    "M2: 16,000 options": reply(name=WWW, extra=[record(b"\0", RRType.OPT, b"\xfd\xe9\0\0" * 15_990)]),
    "M3: 230 names of 121 labels": bomb().to_wire(),
    "1,000 A of as many TTLs": reply(
        *(record(pointer(12), RRType.A, LOOPBACK, ttl=ttl) for ttl in range(1000))
    ),
    "31 options of 2,000 octets": reply(
        extra=[record(b"\0", RRType.OPT, (b"\0\x0f\x07\xd0\0\1" + b"\xff" * 1998) * 31)]
    ),
    "240 names of 127 labels": reply(*(record(b"\1" + bytes((n,)) + DEEP[2:], 1, b"") for n in range(240))),
    "999 spellings of the owner": reply(
        *(
            record(bytes((3, *(c ^ 0x20 * (n >> k & 1) for k, c in enumerate(b"www")))) + pointer(16), 1, b"")
            for n in range(999)
        ),
        name=WWW,
    ),
    "1,000 NAPTR": reply(*[record(pointer(12), RRType.NAPTR, bytes(7) + pointer(12))] * 1000),
    "900 DNAME and 12 CNAME": dnames(),
    "950 SOA": reply(authority=[soa(number) for number in range(950)]),
    "475 SOA between strangers": reply(authority=[r for n in range(475) for r in (soa(n), STRANGER)]),
    "950 signers behind 12 CNAME": reply(
        *CHAIN, authority=[rrsig(pointer(12), above(number)) for number in range(950)]
    ),
    "700 signers of 100 labels more": reply(
        *CHAIN,
        authority=[rrsig(pointer(12), (b"\1" + bytes((33 + n % 90,))) * 20 + above(n)) for n in range(700)],
    ),
    "NSEC, signature and SOA by turns": reply(CHAIN[0], authority=mixed(range(320))),
    "490 MINFO between strangers": reply(
        *(r for n in range(490) for r in (minfo(pointer(12), n), minfo(b"\1z\0", n))), rrtype=RRType.MINFO
    ),
    "A, signature and stranger by turns": reply(
        *(
            part
            for n in range(330)
            for part in (
                record(pointer(12), RRType.A, LOOPBACK, ttl=n),
                rrsig(pointer(12), above(1), covered=RRType.A, ttl=n),
                STRANGER,
            )
        )
    ),
    "a question without an end": head(1, 0, 0, 0) + b"\1a" * 32_000,
    "1,000 questions": head(1000, 0, 0, 0) + b"\0\0\1\0\1" * 1000,
    "65,535 of everything": head(65535, 65535, 65535, 65535) + bytes(60_000),
}


def as_the_forwarder_does(wire: bytes) -> object:
    """Read a response as the miss path does, then make the reply of 1,232 octets."""
    end = question_end(wire)
    entry = from_plain_response(wire, end) or from_response(wire)
    query = Query(b"\0\0", wire[12:end], b"", 1, True, False, False, True, True, 1232)
    return shorten(entry.reply(query, entry.stored), query.limit)


def as_the_listener_does(wire: bytes) -> object:
    query = wire[:2] + b"\1\0" + wire[4:]
    return read_query(query) or read_any_query(query)


READERS: dict[str, Callable[[bytes], object]] = {
    "parse": Message.parse,
    "scan": scan,
    "entry": from_response,
    "forwarder": as_the_forwarder_does,
    "listener": as_the_listener_does,
    "age": lambda wire: age_ttls(wire, 5),
    "cut": lambda wire: Message.parse(wire).to_wire_within(1232),
    "round trip": lambda wire: Message.parse(wire).to_wire(),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("wire", HOSTILE.values(), ids=HOSTILE)
def test_dearest_octets_cost_20_ms_at_most_M1_M2_M3_T1_T5_T8_O1_F33(
    wire: bytes, reader: Callable[[bytes], object]
) -> None:
    """Measured: 10 ms for the dearest, M3 read and written; 8 ms for the dearest response."""
    assert len(wire) <= 65535
    assert cpu_ms(lambda: refused(reader, wire)) < LIMIT_MS


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("wire", HOSTILE.values(), ids=HOSTILE)
def test_dearest_octets_take_16_times_their_size_and_1_mib_at_most_O2(
    wire: bytes, reader: Callable[[bytes], object]
) -> None:
    tracemalloc.start()
    try:
        refused(reader, wire)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 16 * len(wire) + 2**20


def test_hostile_octets_are_not_refused_at_the_first_look() -> None:
    """A refusal at once would measure nothing."""
    refusals = {name for name, wire in HOSTILE.items() if refused(Message.parse, wire)}
    assert refusals == {
        "M1: chain of 8,000 pointers",
        "M2: 4,000 A",
        "M2: 3,200 names",
        "M2: 16,000 options",
        "a question without an end",
        "65,535 of everything",
    }
