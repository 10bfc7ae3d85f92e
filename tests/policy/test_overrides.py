"""Fixed answers and the syntax of the hosts file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.message import Question
from secdns.dns.name import from_text
from secdns.errors import FormatError
from secdns.iana import RCode, RRType
from secdns.policy import overrides
from secdns.policy.decision import Answer
from secdns.policy.overrides import FixedAnswers, Hosts, from_pairs, parse_hosts

DEBIAN = """\
127.0.0.1\tlocalhost
127.0.1.1\tlaptop.example laptop   # this machine

# The following lines are desirable for IPv6 capable hosts
::1     localhost ip6-localhost ip6-loopback
192.168.1.9 Printer.example printer
2001:db8::9 printer.example
"""


def decide(hosts: Hosts, name: str, rrtype: int) -> Answer:
    decision = FixedAnswers(hosts, "the hosts file").decide(Question(from_text(name), rrtype), 0.0)
    assert decision is not None
    return decision


def rdata(hosts: Hosts, name: str, rrtype: int) -> list[bytes]:
    return [record.rdata for record in decide(hosts, name, rrtype).records]


V6 = bytes.fromhex("20010db8000000000000000000000009")


@pytest.mark.parametrize(
    ("name", "rrtype", "want"),
    [
        pytest.param("printer.example", RRType.A, [bytes([192, 168, 1, 9])], id="A"),
        pytest.param("printer.example", RRType.AAAA, [V6], id="AAAA of a second line"),
        pytest.param("printer.example", RRType.ANY, [bytes([192, 168, 1, 9]), V6], id="ANY"),
        pytest.param("printer", RRType.A, [bytes([192, 168, 1, 9])], id="a later name of the line"),
        pytest.param("printer", RRType.AAAA, [], id="NODATA for the other family"),
        pytest.param("printer", RRType.HTTPS, [], id="NODATA for HTTPS"),
        pytest.param("printer", RRType.TXT, [], id="NODATA for TXT"),
        pytest.param("laptop", RRType.A, [bytes([127, 0, 1, 1])], id="a name before a comment"),
        pytest.param("9.1.168.192.in-addr.arpa", RRType.PTR, [from_text("printer.example")], id="PTR"),
        pytest.param(
            "1.1.0.127.in-addr.arpa", RRType.PTR, [from_text("laptop.example")], id="PTR first name"
        ),
        pytest.param("9.1.168.192.in-addr.arpa", RRType.A, [], id="NODATA at the reverse name"),
        pytest.param(
            "9." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa",
            RRType.PTR,
            [from_text("printer.example")],
            id="ip6",
        ),
    ],
)
def test_hosts_file_answers(name: str, rrtype: int, want: list[bytes]) -> None:
    assert rdata(parse_hosts(DEBIAN), name, rrtype) == want


@pytest.mark.parametrize("name", ["other.example", "example", "www.printer.example"])
def test_name_that_is_not_in_the_file_is_somebody_elses(name: str) -> None:
    policy = FixedAnswers(parse_hosts(DEBIAN), "the hosts file")
    assert policy.decide(Question(from_text(name), RRType.A), 0.0) is None


def test_nodata_carries_a_soa_so_that_clients_cache_it_2308_3() -> None:
    answer = decide(parse_hosts(DEBIAN), "printer", RRType.MX)
    (soa,) = answer.authority
    assert answer.rcode == RCode.NOERROR
    assert (soa.rrtype, soa.name, soa.ttl) == (RRType.SOA, from_text("printer"), overrides.NEGATIVE_TTL_S)


def test_answer_says_where_it_is_from() -> None:
    assert decide(parse_hosts(DEBIAN), "printer", RRType.A).ede == ((0, "fixed by the hosts file"),)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(
            "192.168.1.300 x.example", "'192.168.1.300' is not an IPv4 or IPv6 address", id="octet over 255"
        ),
        pytest.param(
            "localhost 127.0.0.1", "'localhost' is not an IPv4 or IPv6 address", id="columns swapped"
        ),
        pytest.param("127.1 x.example", "'127.1' is not", id="address with parts left out"),
        pytest.param("010.0.0.1 x.example", "'010.0.0.1' is not", id="octal or decimal, nobody knows"),
        pytest.param("fe80::1%lo0 x.example", "names an interface", id="link-local with an interface"),
        pytest.param("192.0.2.1", "192.0.2.1 stands without a host name", id="no name"),
        pytest.param("192.0.2.1 good.example bad..example", "empty label", id="empty label"),
        pytest.param("192.0.2.1 " + "x" * 64 + ".example", "label of 64 octets", id="label over 63 octets"),
        pytest.param("192.0.2.1 " + "x." * 128, "name of", id="name over 255 octets"),
        pytest.param("192.0.2.1 .", "the root of all names", id="the root"),
        pytest.param("192.0.2.1 dr\u00fccker.example", "not ASCII", id="not ASCII"),
    ],
)
def test_bad_line_is_skipped_whole_and_reported_with_its_number(line: str, words: str) -> None:
    hosts = parse_hosts(f"# first\n{line}\n192.0.2.7 after.example\n")
    (warning,) = hosts.warnings
    assert warning.line == 2
    assert str(warning) == f"2: {warning.text}"
    assert words in warning.text
    assert hosts.addresses == {from_text("after.example"): (bytes([192, 0, 2, 7]),)}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_is_one(ending: str) -> None:
    hosts = parse_hosts(f"192.0.2.1 a.example{ending}192.0.2.2 b.example{ending}")
    assert (len(hosts.addresses), hosts.warnings) == (2, ())


def test_byte_order_mark_spoils_nothing() -> None:
    assert parse_hosts("\u00ef\u00bb\u00bf192.0.2.1 a.example\n").warnings == ()


def test_utf8_letter_in_a_comment_ends_no_line() -> None:
    text = "# \u00c5 192.0.2.1 a.example\n".encode().decode("latin-1")
    assert parse_hosts(text) == Hosts()


def test_warnings_are_bounded_and_counted() -> None:
    hosts = parse_hosts("nonsense\n" * 1000)
    assert (len(hosts.warnings), hosts.skipped) == (overrides.MAX_WARNINGS, 1000)


def test_number_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "MAX_HOSTS_NAMES", 3)
    hosts = parse_hosts("".join(f"192.0.2.1 h{number}.example\n" for number in range(5)))
    assert (len(hosts.addresses), hosts.skipped) == (3, 2)
    assert hosts.warnings[0].text == "over 3 names"


def test_number_of_addresses_of_a_name_is_bounded() -> None:
    hosts = parse_hosts("".join(f"10.0.0.{last} many.example\n" for last in range(100)))
    assert len(hosts.addresses[from_text("many.example")]) == overrides.MAX_ADDRESSES


def test_file_that_is_too_large_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "MAX_HOSTS_CHARS", 20)
    hosts = parse_hosts("192.0.2.1 a.example\n192.0.2.2 b.example\n")
    assert list(hosts.addresses) == [from_text("a.example")]
    assert "the rest is skipped" in hosts.warnings[-1].text


def test_address_zero_blocks_a_name_and_gets_no_pointer() -> None:
    hosts = parse_hosts("0.0.0.0 ads.example\n:: ads.example\n")
    assert rdata(hosts, "ads.example", RRType.A) == [bytes(4)]
    assert hosts.pointers == {}


def test_loopback_addresses_keep_the_name_localhost_6761_1() -> None:
    assert from_pairs([(from_text("dev.example"), "127.0.0.1")]).pointers == {}


def test_pairs_of_one_name_add_up() -> None:
    name = from_text("nas.example")
    hosts = from_pairs([(name, "192.0.2.1"), (name, "2001:db8::9"), (name, "192.0.2.1")])
    assert hosts.addresses == {name: (bytes([192, 0, 2, 1]), V6)}


def test_pair_with_a_bad_address_is_an_error() -> None:
    with pytest.raises(FormatError, match="'printer' is not an IPv4 or IPv6 address"):
        from_pairs([(from_text("nas.example"), "printer")])


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=400))
def test_any_text_gives_names_or_warnings_p9(text: str) -> None:
    hosts = parse_hosts(text)
    assert len(hosts.warnings) <= overrides.MAX_WARNINGS
    assert all(len(rdata) in {4, 16} for found in hosts.addresses.values() for rdata in found)


@given(
    st.lists(st.sampled_from(["127.0.0.1", "::1", "0.0.0.0", "x", "a.b", "#", "\\", "..", "\n", " ", "%"]))
)
def test_any_mix_of_words_gives_names_or_warnings_p9(words: list[str]) -> None:
    parse_hosts(" ".join(words))
