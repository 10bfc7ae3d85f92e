"""What is wrong with a configuration is told with file, line, key, value seen and value wanted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns import config
from secdns.errors import ConfigError


def errors_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "f.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("a =", "f.toml:1: not valid TOML: invalid value at the end of the file", id="no value"),
        pytest.param("\n[cache\n", "f.toml:2: not valid TOML: expected ']'", id="open bracket"),
        pytest.param("a = 1\r\na = 2\r\n", "f.toml:2: not valid TOML: cannot overwrite a value", id="twice"),
        pytest.param(
            'a = "x\n',
            'f.toml:1: not valid TOML: a quote is not closed before the end of the line, at `a = "x`',
            id="open string",
        ),
        pytest.param(
            "\na = yes # or no\n",
            "f.toml:2: not valid TOML: invalid value, at `a = yes # or no` (column 5)",
            id="yes",
        ),
        pytest.param(
            f"a = {'x' * 99}",
            f"f.toml:1: not valid TOML: invalid value, at `a = {'x' * 36}…` (column 5)",
            id="long line",
        ),
        pytest.param("a = " + "9" * 5000, "f.toml: not valid TOML: ", id="number without end"),
        pytest.param(
            "a = " + "[" * 100_000, "f.toml: tables or lists are nested too deep", id="nested without end"
        ),
        pytest.param(
            "[overrides]\n" + ".".join("a" * 2000) + ' = "192.0.2.1"',
            "f.toml: tables or lists are nested too deep",
            id="name of 2000 labels",
        ),
        pytest.param("#" * (1 << 20) + "#", "f.toml: more than 1048576 octets", id="too large"),
    ],
)
def test_text_that_is_not_toml_is_refused_with_its_line(text: str, want: str) -> None:
    assert errors_of(text).startswith(want)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "[server]\nlisen = []",
            "2: server.lisen: unknown key, want one of listen, acl, did you mean listen?",
            id="key",
        ),
        pytest.param("\n[servr]\nx = 1", "2: servr: unknown table, want one of [server], ", id="table"),
        pytest.param("[servr]", ", did you mean server?", id="nearest table"),
        pytest.param(
            'listen = ["127.0.0.1:53"]',
            "1: listen: unknown key here, it belongs into [server]",
            id="key without table",
        ),
        pytest.param(
            "[cache]\nlisten = []",
            "2: cache.listen: unknown key here, it belongs into [server]",
            id="key in another table",
        ),
        pytest.param(
            "liste = 1",
            "1: liste: unknown key, want keys inside one of the tables [server]",
            id="typing error without table",
        ),
        pytest.param("[cache]\n'a b' = 1", '2: cache."a b": unknown key', id="key with a space"),
        pytest.param("server = 1", "1: server: is 1, want the table [server]", id="value for a table"),
        pytest.param("[[server]]", "1: server: is a list, want the table [server]", id="list for a table"),
        pytest.param(
            '[upstream]\nname = "quad9"',
            "1: upstream: is one table, want [[upstream]] with two brackets",
            id="table for a list",
        ),
        pytest.param("overrides = 1", "1: overrides: is 1, want the table [overrides]", id="overrides"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_valid_one(text: str, want: str) -> None:
    assert want in errors_of(text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            "[cache]\nsize_mb = 0",
            "2: cache.size_mb: 0 is out of bounds, want a whole number from 1 to 4096",
            id="too small",
        ),
        pytest.param("[cache]\nsize_mb = 4097", "2: cache.size_mb: 4097 is out of bounds", id="too large"),
        pytest.param(
            '[cache]\nsize_mb = "32"',
            '2: cache.size_mb: "32" is a string in quotes, want a whole number',
            id="string",
        ),
        pytest.param(
            "[cache]\nsize_mb = true",
            "2: cache.size_mb: true is true or false, want a whole number",
            id="truth value",
        ),
        pytest.param(
            "[cache]\nsize_mb = 1.5", "2: cache.size_mb: 1.5 is a float, want a whole number", id="fraction"
        ),
        pytest.param(
            "[cache]\nserve_stale = 1",
            "2: cache.serve_stale: 1 is a whole number, want true or false",
            id="number",
        ),
        pytest.param(
            "[cache]\nserve_stale = 1979-05-27", "1979-05-27 is a date, want true or false", id="date"
        ),
        pytest.param(
            '[server]\nlisten = "127.0.0.1:53"',
            'want a list, such as ["127.0.0.1:53"]',
            id="list without brackets",
        ),
        pytest.param(
            "[server]\nlisten = [\n 53\n]",
            "3: server.listen[1]: 53 is a whole number, want a string in quotes",
            id="in a list",
        ),
        pytest.param(
            '[upstreams]\nstrategy = "orderd"',
            '"orderd" is unknown, want "ordered" or "fastest" or "spread", did you mean ordered?',
            id="word",
        ),
        pytest.param('[cache]\nsize_mb = "' + "x" * 500 + '"', "x" * 68 + "…", id="long value is cut"),
    ],
)
def test_value_of_the_wrong_kind_is_refused(text: str, want: str) -> None:
    got = errors_of(text)
    assert want in got
    assert len(got) < 300


@pytest.mark.parametrize(
    ("listen", "want"),
    [
        pytest.param("127.0.0.1", "is not address:port", id="no port"),
        pytest.param(":53", "no IP address before the port", id="no address"),
        pytest.param("localhost:53", "no IP address before the port", id="host name"),
        pytest.param("::1:53", "is not address:port", id="no brackets"),
        pytest.param("[127.0.0.1]:53", "wrong brackets", id="IPv4 in brackets"),
        pytest.param("127.0.0.1:65536", "want 0 to 65535", id="port 65536"),
        pytest.param("[fe80::1%eth0]:53", "without zone", id="zone"),
        pytest.param("[::ffff:127.0.0.1]:53", "cannot be listened on", id="IPv4-mapped"),
        pytest.param("224.0.0.251:5353", "cannot be listened on", id="multicast"),
        pytest.param("192.168.1.2:53", "can be reached by other machines, want server.acl", id="no acl r4"),
        pytest.param(
            "0.0.0.0:53", "can be reached by other machines, want server.acl", id="unspecified, no acl r4"
        ),
    ],
)
def test_listen_address_is_refused(listen: str, want: str) -> None:
    assert want in errors_of(f"[server]\nlisten = [{json.dumps(listen)}]")


def test_missing_acl_hints_at_the_key_to_write_r4() -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse('[server]\nlisten = ["0.0.0.0:53"]', "f.toml")
    assert caught.value.hint == 'name the clients in [server], for example: acl = ["192.168.1.0/24"]'


@pytest.mark.parametrize(
    ("listen", "want"),
    [
        pytest.param(["127.0.0.1:53", "127.0.0.1:53"], "3: server.listen[2]: ", id="same"),
        pytest.param(["[::1]:53", "[0::1]:53"], "3: server.listen[2]: ", id="same in another spelling"),
        pytest.param(
            ["127.0.0.1:53", "0.0.0.0:53"], "3: server.listen[2]: ", id="covered by the unspecified"
        ),
        pytest.param(["[::]:53", "[::1]:53"], "3: server.listen[2]: ", id="covers the next"),
    ],
)
def test_listen_address_twice_is_refused(listen: list[str], want: str) -> None:
    rows = ",\n".join(json.dumps(one) for one in listen)
    got = errors_of(f'[server]\nlisten = [{rows}]\nacl = ["10.0.0.0/8"]')
    assert want in got
    assert "is taken by another entry" in got


def test_same_port_in_two_families_is_no_duplicate() -> None:
    text = '[server]\nlisten = ["0.0.0.0:53", "[::]:53"]\nacl = ["10.0.0.0/8"]'
    assert len(config.parse(text, "f.toml").server.listen) == 2


def test_empty_listen_list_is_refused() -> None:
    assert "server.listen: the list has 0 entries, want 1 to 64" in errors_of("[server]\nlisten = []")


@pytest.mark.parametrize(
    ("network", "want"),
    [
        pytest.param("192.168.1.5/24", "did you mean 192.168.1.0/24?", id="host bits"),
        pytest.param("home", "is not a network, want one like", id="word"),
    ],
)
def test_acl_entry_is_refused(network: str, want: str) -> None:
    assert want in errors_of(f'[server]\nacl = ["{network}"]')


def test_all_problems_of_a_file_are_told_in_its_order() -> None:
    text = '[cache]\nsize_mb = 0\n[server]\nlisten = ["x"]\nfoo = 1\n[[upstream]]\nname = "qad9"\n'
    got = [line.split(": ")[:2] for line in errors_of(text).splitlines()]
    assert got == [
        ["f.toml:2", "cache.size_mb"],
        ["f.toml:4", "server.listen[1]"],
        ["f.toml:5", "server.foo"],
        ["f.toml:7", "upstream[1].name"],
    ]


def test_message_shows_twenty_problems_and_counts_the_rest() -> None:
    got = errors_of("".join(f"x{number} = 1\n" for number in range(50))).splitlines()
    assert len(got) == 21
    assert got[-1] == "and 30 more"


WORDS = st.sampled_from(
    [key for keys in config.KEYS.values() for key in keys]
    + [table.strip("[]") for table in config.KEYS]
    + ["x", ""]
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["quad9", "127.0.0.1:53", "udp://10.0.0.1", "tls://x.example", "network", ".", "/", "auto"]
    ),
)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


def as_toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f")
        case list():
            return "[" + ", ".join(map(as_toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{as_toml(key)} = {as_toml(inner)}" for key, inner in value.items()) + "}"
        case _:
            return str(value)


DOCUMENTS = st.dictionaries(WORDS, VALUES, max_size=4).map(
    lambda values: "".join(f"{as_toml(key)} = {as_toml(value)}\n" for key, value in values.items())
)


@given(st.one_of(st.text(), st.text(alphabet="a.=[]{}\"'#\\\n ,1-"), DOCUMENTS))
def test_any_text_gives_a_config_or_a_config_error_p8(text: str) -> None:
    try:
        got = config.parse(text, "f.toml")
    except ConfigError as error:
        lines = str(error).splitlines()
    else:
        lines = [origin for _, _, origin in config.describe(got)]
    assert all(line.startswith(("f.toml", "and ", "default", "built-in")) for line in lines)
