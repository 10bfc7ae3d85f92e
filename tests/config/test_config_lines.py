"""The line of every key of a TOML text."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.config.lines import Path, line_of, locate


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("\n# c\na = 1", {("a",): 3}, id="comment and empty line"),
        pytest.param("a = 1\r\nb = 2\r\n", {("a",): 1, ("b",): 2}, id="CR LF"),
        pytest.param("[a]\nb = 1 # [c]\nd = 2", {("a",): 1, ("a", "b"): 2, ("a", "d"): 3}, id="table"),
        pytest.param(
            "[ a . 'b.c' ]\nd=1", {("a",): 1, ("a", "b.c"): 1, ("a", "b.c", "d"): 2}, id="dotted header"
        ),
        pytest.param(
            'a."b\\u002ec" = 1\na.d = 2',
            {("a",): 1, ("a", "b.c"): 1, ("a", "d"): 2},
            id="dotted and quoted key",
        ),
        pytest.param(
            "[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 3",
            {
                ("a",): 1,
                ("a", 0): 1,
                ("a", 0, "b"): 2,
                ("a", 1): 3,
                ("a", 1, "b"): 4,
                ("a", 1, "c"): 5,
                ("a", 1, "c", "d"): 6,
            },
            id="array of tables",
        ),
        pytest.param(
            "[[a]]\n[[a.b]]\n[[a.b]]\n[[a]]\n[[a.b]]",
            {
                ("a",): 1,
                ("a", 0): 1,
                ("a", 0, "b"): 2,
                ("a", 0, "b", 0): 2,
                ("a", 0, "b", 1): 3,
                ("a", 1): 4,
                ("a", 1, "b"): 5,
                ("a", 1, "b", 0): 5,
            },
            id="nested arrays of tables",
        ),
        pytest.param(
            "a = [ # \"\n  \"]\", # ]\n  '''\n]''',\n  5,\n]\nb = 1",
            {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 2): 5, ("b",): 7},
            id="array over several lines",
        ),
        pytest.param(
            'a = { b = [1, 2], "c d" = { e = "}" } }\nf = 1',
            {
                ("a",): 1,
                ("a", "b"): 1,
                ("a", "b", 0): 1,
                ("a", "b", 1): 1,
                ("a", "c d"): 1,
                ("a", "c d", "e"): 1,
                ("f",): 2,
            },
            id="inline table",
        ),
        pytest.param(
            'a = """\n\\"""[x]\n""\\\n"""""\nb = 1', {("a",): 1, ("b",): 5}, id="string over several lines"
        ),
        pytest.param("a = ''''x'''''\nb = 1", {("a",): 1, ("b",): 2}, id="quotes at both ends of a literal"),
        pytest.param(
            'a = "\\\\"\nb = "#"\nc = 1', {("a",): 1, ("b",): 2, ("c",): 3}, id="backslash before the quote"
        ),
        pytest.param("a = 1979-05-27 07:32:00Z # c\nb = 1e5", {("a",): 1, ("b",): 2}, id="date with a space"),
    ],
)
def test_line_of_every_key(text: str, want: dict[Path, int]) -> None:
    tomllib.loads(text)
    assert locate(text) == want


def test_missing_key_has_the_line_of_what_is_around_it() -> None:
    lines = locate("\n[a]\nb = 1")
    assert [line_of(lines, path) for path in [("a", "b"), ("a", "c"), ("a", "c", 0), ("d",), ()]] == [
        3,
        2,
        2,
        1,
        1,
    ]


def paths_of(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


KEY = st.sampled_from(["a", "b-c", "'d.e'", '"f\\"]#"', "a.b", "a . 'x'", "0"])
VALUE = st.sampled_from(
    [
        "1",
        "true",
        '"x"',
        "'#'",
        '"""\n]"""',
        "'''\n'''",
        "[]",
        "[\n1,\n]",
        "[[1], {a=1}]",
        "{}",
        "{ a = 1, b.c = '}' }",
        "1.5",
    ]
)
LINE = st.one_of(
    st.builds("{} = {}".format, KEY, VALUE),
    st.builds("[{}]".format, KEY),
    st.builds("[[{}]] # x".format, KEY),
    st.sampled_from(["", "# [a]", "  "]),
)


@given(st.lists(LINE, max_size=8).map("\n".join))
def test_whatever_tomllib_reads_has_a_line_for_every_path_p8(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = locate(text)
    assert set(lines) == set(paths_of(document))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
