"""Names: text and wire form, ancestry, canonical order."""

import dns.name
import pytest
from hypothesis import given

from secdns.dns.name import (
    ROOT,
    canonical_key,
    from_text,
    is_subdomain,
    labels,
    parent,
    suffixes,
    to_text,
)
from secdns.errors import FormatError
from tests.dns import wires


@given(wires.names | wires.longest_names)
def test_any_octets_survive_text_T2(name: bytes) -> None:
    text = to_text(name)
    assert from_text(text) == name
    assert text.isascii()
    assert text.isprintable()


@given(wires.names | wires.longest_names)
def test_text_means_the_same_to_dnspython(name: bytes) -> None:
    assert dns.name.from_text(to_text(name)).to_wire() == name


@pytest.mark.parametrize(
    ("wire", "want"),
    [
        pytest.param(b"\0", ".", id="root"),
        pytest.param(b"\3www\7example\3com\0", "www.example.com.", id="letters"),
        pytest.param(b"\4\0www\4evil\0", "\\000www.evil.", id="NUL"),
        pytest.param(b"\3a.b\0", "a\\.b.", id="a dot inside a label"),
        pytest.param(b"\1\\\0", "\\\\.", id="backslash"),
        pytest.param(b"\1\n\0", "\\010.", id="newline"),
        pytest.param(b"\1\x1b\0", "\\027.", id="escape"),
        pytest.param(b"\2\x7f\xff\0", "\\127\\255.", id="DEL and 0xFF"),
        pytest.param(b"\1 \0", "\\032.", id="space"),
        pytest.param(b"\5_test\0", "_test.", id="underscore"),
        pytest.param(b'\3";@\0', '\\"\\;\\@.', id="special in zone files"),
    ],
)
def test_octets_are_shown_as_printable_ascii_T2(wire: bytes, want: str) -> None:
    assert to_text(wire) == want
    assert from_text(want) == wire


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("example.com", b"\7example\3com\0", id="without the final dot"),
        pytest.param("eXample.COM.", b"\7eXample\3COM\0", id="letter case stays"),
        pytest.param(".", ROOT, id="root"),
        pytest.param("", ROOT, id="nothing at all"),
        pytest.param("\\119ww", b"\3www\0", id="an escaped letter is that letter"),
        pytest.param("\\www", b"\3www\0", id="a backslash before a letter"),
        pytest.param("x" * 63, b"\x3f" + b"x" * 63 + b"\0", id="label of 63"),
        pytest.param("a." * 127, b"\1a" * 127 + b"\0", id="name of 255"),
    ],
)
def test_text_is_read_1035_2(text: str, want: bytes) -> None:
    assert from_text(text) == want


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a..b", id="empty label"),
        pytest.param(".a", id="leading dot"),
        pytest.param("..", id="only dots"),
        pytest.param("a.b..", id="two final dots"),
        pytest.param("x" * 64, id="label of 64"),
        pytest.param("a." * 127 + "a", id="name of 257"),
        pytest.param("\\256", id="escape over 255"),
        pytest.param("\\1", id="escape of one digit"),
        pytest.param("\\12x", id="escape of two digits"),
        pytest.param("a\\", id="backslash at the end"),
        pytest.param("\\²34", id="a digit that is not ASCII"),
        pytest.param("münchen", id="not ASCII"),
        pytest.param("\udc80", id="lone surrogate"),
    ],
)
def test_bad_text_is_refused_1035_2(text: str) -> None:
    with pytest.raises(FormatError):
        from_text(text)


# The list of RFC 4034 §6.1, already in order.
ORDER = [
    "example",
    "a.example",
    "yljkjljk.a.example",
    "Z.a.example",
    "zABC.a.EXAMPLE",
    "z.example",
    "\\001.z.example",
    "*.z.example",
    "\\200.z.example",
]


def test_canonical_order_is_that_of_the_rfc_4034_1() -> None:
    names = [from_text(text) for text in ORDER]
    assert sorted(sorted(names), key=canonical_key) == names


@given(wires.names, wires.names)
def test_canonical_order_agrees_with_dnspython_4034_1(one: bytes, other: bytes) -> None:
    ours = (canonical_key(one) > canonical_key(other)) - (canonical_key(one) < canonical_key(other))
    theirs = dns.name.from_wire(one, 0)[0].fullcompare(dns.name.from_wire(other, 0)[0])[1]
    assert ours == (theirs > 0) - (theirs < 0)


@pytest.mark.parametrize(
    ("name", "ancestor", "want"),
    [
        pytest.param("example.com", "example.com", True, id="the name itself"),
        pytest.param("www.example.com", "example.com", True, id="a child"),
        pytest.param("a.b.c.example.com", "example.com", True, id="far below"),
        pytest.param("WWW.Example.com", "eXAMPLE.COM", True, id="letter case aside"),
        pytest.param("www.example.com", ".", True, id="below the root"),
        pytest.param(".", ".", True, id="the root itself"),
        pytest.param(".", "com", False, id="the root is below nothing"),
        pytest.param("example.com", "www.example.com", False, id="an ancestor"),
        pytest.param("notexample.com", "example.com", False, id="same letters, no label boundary"),
        pytest.param("example.com.evil", "example.com", False, id="at the front"),
        pytest.param("a\\.example.com", "example.com", False, id="a dot inside a label"),
        pytest.param("x\\007example.com", "example.com", False, id="length octet inside a label"),
        pytest.param("\\000www.evil.com", "www.evil.com", False, id="NUL in front"),
    ],
)
def test_subdomain_ends_at_a_label_boundary_T2(name: str, ancestor: str, want: bool) -> None:
    assert is_subdomain(from_text(name), from_text(ancestor)) is want


@given(wires.names, wires.names)
def test_subdomain_agrees_with_the_suffixes(name: bytes, ancestor: bytes) -> None:
    below = ancestor.lower() in [suffix.lower() for suffix in suffixes(name)]
    assert is_subdomain(name, ancestor) is below


@given(wires.names)
def test_every_suffix_is_an_ancestor(name: bytes) -> None:
    ancestors = list(suffixes(name))
    assert ancestors[0] == name
    assert ancestors[-1] == ROOT
    assert len(ancestors) == len(labels(name)) + 1
    assert all(is_subdomain(name, ancestor) for ancestor in ancestors)
    assert [parent(above) for above in ancestors[:-1]] == ancestors[1:]


@given(wires.names | wires.longest_names)
def test_lower_folds_ascii_only_and_keeps_the_structure_4343_1(name: bytes) -> None:
    assert labels(name.lower()) == tuple(label.lower() for label in labels(name))


def test_root_has_no_parent() -> None:
    with pytest.raises(ValueError, match="root"):
        parent(ROOT)
