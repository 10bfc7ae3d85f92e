"""The two-octet length prefix: the same messages however the stream is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.framing import Framer, frame
from secdns.errors import FormatError
from tests.dns.wires import cpu_ms

bodies = st.lists(st.binary(min_size=12, max_size=300), max_size=6)


def feed_all(chunks: list[bytes]) -> tuple[list[bytes], bool]:
    """Give the messages of a stream fed in these chunks, and whether it turned out broken."""
    framer = Framer()
    messages: list[bytes] = []
    try:
        for chunk in [*chunks, b"", b""]:
            messages += framer.feed(chunk)
    except FormatError:
        return messages, True
    return messages, False


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(bodies, st.binary(max_size=11), st.lists(st.integers(0, 2000), max_size=12))
def test_stream_cut_anywhere_gives_the_same_messages_7766_4_P4_O7(
    messages: list[bytes], trailing: bytes, places: list[int]
) -> None:
    stream = b"".join(map(frame, messages)) + (20).to_bytes(2) + trailing
    assert feed_all([stream]) == (messages, False)
    assert feed_all([stream[i : i + 1] for i in range(len(stream))]) == (messages, False)
    assert feed_all(cut(stream, places)) == (messages, False)


@given(st.lists(st.binary(max_size=40), max_size=8).map(b"".join), st.lists(st.integers(0, 400), max_size=8))
def test_any_octets_cut_anywhere_give_the_same_messages_and_error_P4_O7(
    stream: bytes, places: list[int]
) -> None:
    want = feed_all([stream])
    assert feed_all([stream[i : i + 1] for i in range(len(stream))]) == want
    assert feed_all(cut(stream, places)) == want


@given(bodies)
def test_frames_are_the_messages_with_their_length(messages: list[bytes]) -> None:
    framer = Framer()
    assert [framer.feed(frame(message)) for message in messages] == [[message] for message in messages]
    assert framer.buffered == 0


def test_longest_message_passes() -> None:
    message = bytes(65535)
    assert Framer().feed(frame(message) * 2) == [message, message]


@pytest.mark.parametrize("size", [0, 1, 11])
def test_prefix_below_a_header_is_refused_at_once(size: int) -> None:
    with pytest.raises(FormatError, match=f"says {size} octets"):
        Framer().feed(size.to_bytes(2))


def test_messages_before_a_bad_prefix_are_given_and_then_it_is_refused() -> None:
    framer = Framer()
    assert framer.feed(frame(b"x" * 12) + b"\0\0" + frame(b"y" * 12)) == [b"x" * 12]
    for data in (b"", frame(b"z" * 12)):
        with pytest.raises(FormatError):
            framer.feed(data)


def test_buffered_counts_what_is_incomplete() -> None:
    framer = Framer()
    counts = []
    for octet in frame(b"x" * 12):
        framer.feed(bytes((octet,)))
        counts.append(framer.buffered)
    assert counts == [*range(1, 14), 0]


def test_single_octets_cost_as_little_as_whole_messages_P4_O1() -> None:
    """65,537 calls, none of which copies what is held."""
    octets = [b"\0"] * 65535

    def drip() -> None:
        framer = Framer()
        framer.feed(b"\xff\xff")
        for octet in octets:
            framer.feed(octet)

    assert cpu_ms(drip) < 100
