"""Nothing from the network moves the cursor or forges a line (threat L5)."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.cli import terminal
from secdns.errors import ConfigError, ProtocolError


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("www.example.com", "www.example.com", id="plain"),
        pytest.param("a\nsecdns: error: b", r"a\010secdns: error: b", id="line feed"),
        pytest.param("\x1b]0;owned\x07", r"\027]0;owned\007", id="sets the title"),
        pytest.param("\x9b2J", r"\194\1552J", id="C1 clears the screen"),
        pytest.param("abc\u202ecba", r"abc\226\128\174cba", id="right to left"),
        pytest.param("a\u200bb", r"a\226\128\139b", id="zero width"),
        pytest.param("\ud800", r"\237\160\128", id="lone surrogate"),
        pytest.param("bücher — ok", "bücher — ok", id="printable beyond ASCII"),
    ],
)
def test_escape_makes_unprintable_octets_ddd_l5(text: str, want: str) -> None:
    assert terminal.escape(text) == want


@given(st.text())
def test_an_escaped_text_is_one_printable_line_l5(text: str) -> None:
    assert terminal.escape(text).isprintable()


@given(st.lists(st.text(), min_size=2, max_size=2))
def test_a_table_has_one_line_per_row_l5(row: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        printed = io.StringIO()
        patch.setattr(sys, "stdout", printed)
        terminal.table(("a", "b"), [row])
    assert len(printed.getvalue().splitlines()) == 2


def test_error_from_a_peer_stays_on_one_line_l5(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.explain(ProtocolError("certificate for a\nsecdns: hint: rm -rf /"))
    assert capsys.readouterr().err == "secdns: error: certificate for a\\010secdns: hint: rm -rf /\n"


def test_each_fault_of_a_configuration_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.explain(ConfigError("f:1: a\nf:2: b", hint="look"))
    assert capsys.readouterr().err == "secdns: error: f:1: a\nsecdns: error: f:2: b\nsecdns: hint: look\n"


def test_a_long_message_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.error("x" * 100_000)
    assert len(capsys.readouterr().err) < 1100


class Terminal(io.StringIO):
    """A terminal that remembers what it was told."""

    def isatty(self) -> bool:
        return True


def test_what_a_person_copies_is_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    terminal.table(
        ("name", "operator"), [["cleanbrowsing-security", "a foundation of some length"]], whole=(0,)
    )
    assert "cleanbrowsing-security" in screen.getvalue()
    assert "a foundation of some length" not in screen.getvalue()
