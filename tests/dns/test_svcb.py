"""SVCB and HTTPS records: what is in them, and which are refused (RFC 9460, RFC 9461)."""

import contextlib

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from secdns.dns.message import Message, Record
from secdns.dns.name import ROOT, from_text
from secdns.dns.svcb import ServiceBinding, parse
from secdns.errors import FormatError
from secdns.iana import RRType
from tests.dns.wires import cpu_ms, pointer, record, response

TARGET = from_text("dns.example")


def rdata(text: str) -> bytes:
    """Give the RDATA of a record in presentation form, as dnspython writes it."""
    made = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SVCB, text)
    return made.to_wire() or b""


def param(key: int, value: bytes) -> bytes:
    return key.to_bytes(2) + len(value).to_bytes(2) + value


def binding(*params: bytes, priority: int = 1, target: bytes = TARGET) -> bytes:
    return priority.to_bytes(2) + target + b"".join(params)


def test_every_known_parameter_is_read_9460_7_9461_5() -> None:
    got = parse(
        rdata(
            '16 dns.example. mandatory="alpn,port" alpn="h2,h3,dot" no-default-alpn port="8443"'
            ' ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::1" key7="/dns-query{?dns}" key9999="abc"'
        )
    )
    assert (got.priority, got.target, got.port) == (16, TARGET, 8443)
    assert got.mandatory == (1, 3)
    assert got.alpn == (b"h2", b"h3", b"dot")
    assert not got.has_default_alpn
    assert got.hints == ("2001:db8::1", "192.0.2.1", "192.0.2.2")
    assert got.dohpath == "/dns-query{?dns}"
    assert got.params[9999] == b"abc"


def test_record_without_parameters_says_nothing() -> None:
    got = parse(binding())
    assert got == ServiceBinding(1, TARGET, {})
    assert (got.mandatory, got.alpn, got.port, got.hints, got.dohpath) == ((), (), None, (), None)
    assert got.has_default_alpn


def test_alias_and_the_owner_as_target_are_read() -> None:
    assert parse(binding(priority=0)).priority == 0
    assert parse(binding(target=ROOT)).target == ROOT


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0\1", id="no target"),
        pytest.param(b"\0\1\3dns", id="target without an end"),
        pytest.param(b"\0\1" + pointer(12), id="compressed target"),
        pytest.param(binding(b"\0"), id="half a key"),
        pytest.param(binding(b"\0\3\0"), id="half a length"),
        pytest.param(binding(b"\0\3\0\2\x20"), id="value that crosses the end"),
        pytest.param(binding(param(3, b"\0\1"), param(3, b"\0\1")), id="a key twice"),
        pytest.param(binding(param(3, b"\0\1"), param(1, b"\2h2")), id="keys that descend"),
        pytest.param(binding(param(0, b"")), id="mandatory, empty"),
        pytest.param(binding(param(0, b"\0")), id="mandatory, half a key"),
        pytest.param(binding(param(0, b"\0\0")), id="mandatory lists itself"),
        pytest.param(binding(param(0, b"\0\3")), id="mandatory key that is missing"),
        pytest.param(binding(param(0, b"\0\3\0\3"), param(3, b"\0\1")), id="mandatory key twice"),
        pytest.param(
            binding(param(0, b"\0\3\0\1"), param(1, b"\2h2"), param(3, b"\0\1")),
            id="mandatory that descends",
        ),
        pytest.param(binding(param(1, b"")), id="alpn, empty"),
        pytest.param(binding(param(1, b"\0")), id="alpn with an empty protocol"),
        pytest.param(binding(param(1, b"\3h2")), id="alpn that crosses the end"),
        pytest.param(binding(param(2, b"")), id="no-default-alpn without alpn"),
        pytest.param(binding(param(1, b"\2h2"), param(2, b"\0")), id="no-default-alpn with a value"),
        pytest.param(binding(param(3, b"\0")), id="port of one octet"),
        pytest.param(binding(param(3, b"\0\0\1")), id="port of three octets"),
        pytest.param(binding(param(4, b"")), id="ipv4hint, empty"),
        pytest.param(binding(param(4, bytes(5))), id="ipv4hint of five octets"),
        pytest.param(binding(param(6, b"")), id="ipv6hint, empty"),
        pytest.param(binding(param(6, bytes(20))), id="ipv6hint of twenty octets"),
        pytest.param(binding(param(7, b"/\xff{?dns}")), id="dohpath that is not UTF-8"),
    ],
)
def test_malformed_record_is_refused_9460_2_2(octets: bytes) -> None:
    with pytest.raises(FormatError):
        parse(octets)


def test_compressed_target_stays_compressed_and_is_refused_9460_2_2() -> None:
    wire = response(record(pointer(12), RRType.SVCB, b"\0\1" + pointer(12)))
    with pytest.raises(FormatError):
        parse(Message.parse(wire).answer[0].rdata)


LABELS = st.lists(st.binary(min_size=1, max_size=20), max_size=5)
KEYS: dict[int, st.SearchStrategy[bytes]] = {
    1: st.lists(st.binary(min_size=1, max_size=10), min_size=1, max_size=4).map(
        lambda ids: b"".join(bytes([len(each)]) + each for each in ids)
    ),
    3: st.binary(min_size=2, max_size=2),
    4: st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=4).map(b"".join),
    5: st.binary(min_size=1, max_size=20),
    6: st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=4).map(b"".join),
    7: st.text(max_size=20).map(str.encode),
    300: st.binary(max_size=20),
}


@st.composite
def bindings(draw: st.DrawFn) -> ServiceBinding:
    """Make a record that keeps every rule."""
    present = draw(st.lists(st.sampled_from(sorted(KEYS)), unique=True))
    params = {key: draw(KEYS[key]) for key in present}
    if 1 in params and draw(st.booleans()):
        params[2] = b""
    if draw(st.booleans()) and params:
        wanted = draw(st.lists(st.sampled_from(sorted(params)), min_size=1, unique=True))
        params[0] = b"".join(key.to_bytes(2) for key in sorted(wanted))
    target = b"".join(bytes([len(label)]) + label for label in draw(LABELS)) + b"\0"
    return ServiceBinding(draw(st.integers(0, 65535)), target, dict(sorted(params.items())))


def octets_of(made: ServiceBinding) -> bytes:
    params = (param(key, value) for key, value in made.params.items())
    return binding(*params, priority=made.priority, target=made.target)


@given(bindings())
def test_record_that_keeps_the_rules_is_read_as_it_was_written(made: ServiceBinding) -> None:
    got = parse(octets_of(made))
    assert got == made
    assert b"".join(bytes([len(each)]) + each for each in got.alpn) == made.params.get(1, b"")
    assert b"".join(key.to_bytes(2) for key in got.mandatory) == made.params.get(0, b"")
    assert len(got.hints) == len(made.params.get(4, b"")) // 4 + len(made.params.get(6, b"")) // 16


def is_read_by_dnspython(octets: bytes) -> bool:
    try:
        dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.SVCB, octets, 0, len(octets))
    except (dns.exception.DNSException, ValueError):
        return False
    return True


@given(bindings(), st.data())
def test_what_dnspython_refuses_is_refused(made: ServiceBinding, data: st.DataObject) -> None:
    octets = bytearray(octets_of(made))
    for _ in range(data.draw(st.integers(0, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    del octets[data.draw(st.integers(1, len(octets))) :]
    try:
        got = parse(bytes(octets))
    except FormatError:
        return
    assume(got.priority > 0)  # of an alias it refuses parameters, which are to be ignored (RFC 9460 §2.4.2)
    assume(got.params.keys() <= {0, 1, 2, 3, 4, 6, 7, 300})  # it looks into ech and ohttp as well
    assert is_read_by_dnspython(bytes(octets))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: binding() + tail))
def test_any_octets_are_a_record_or_a_format_error_P1(octets: bytes) -> None:
    try:
        got = parse(octets)
    except FormatError:
        return
    assert octets_of(got) == octets
    assert (got.hints, got.dohpath, got.port, got.alpn, got.mandatory) is not None


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(binding(*(param(key, b"") for key in range(8, 16_000))), id="as many keys as fit"),
        pytest.param(binding(param(1, b"\1a" * 32_000)), id="as many protocols as fit"),
        pytest.param(
            binding(param(0, b"".join(key.to_bytes(2) for key in range(1, 32_000)))),
            id="mandatory",
        ),
    ],
)
def test_largest_record_costs_less_than_a_turn_of_the_loop_F33(octets: bytes) -> None:
    def read() -> None:
        with contextlib.suppress(FormatError):
            parse(octets)

    assert cpu_ms(read) < 20


def test_https_and_svcb_pass_through_a_message_unchanged_9460_1() -> None:
    octets = binding(param(1, b"\2h2"))
    answer = tuple(Record(TARGET, rrtype, 1, 60, octets) for rrtype in (RRType.SVCB, RRType.HTTPS))
    assert Message.parse(Message(0, 0x8000, (), answer).to_wire()).answer == answer
