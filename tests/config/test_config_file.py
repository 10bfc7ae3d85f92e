"""Reading the configuration file itself, and saying where each value comes from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from secdns import config, paths
from secdns.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secdns.toml"
    path.write_text("[cache]\nsize_mb = 64\n")
    path.chmod(0o644)
    return path


def test_load_reads_the_file_that_is_named(file: Path) -> None:
    got = config.load(file)
    assert (got.cache.size_octets, got.source) == (64 << 20, str(file))


@pytest.mark.parametrize(
    ("mode", "who"),
    [
        pytest.param(0o666, "everybody", id="world"),
        pytest.param(0o646, "everybody", id="world alone"),
        pytest.param(0o664, "its group", id="group"),
    ],
)
def test_file_that_others_may_write_is_refused_l8(file: Path, mode: int, who: str) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert str(caught.value) == f"{file}: can be written by {who} (mode {mode:04o}), want by its owner alone"
    assert caught.value.hint == f"chmod go-w {file}"


def test_link_to_a_file_that_others_may_write_is_refused_l8(file: Path, tmp_path: Path) -> None:
    file.chmod(0o666)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    with pytest.raises(ConfigError, match="can be written by everybody"):
        config.load(link)


@pytest.mark.parametrize("mode", [0o600, 0o444, 0o755])
def test_file_that_only_its_owner_may_write_is_read_l8(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert config.load(file).cache.size_octets == 64 << 20


def test_hint_quotes_a_name_with_a_space(tmp_path: Path) -> None:
    path = tmp_path / "my secdns.toml"
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.hint == f"chmod go-w '{path}'"


def test_missing_file_hints_at_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "none.toml")
    assert str(caught.value) == f"{tmp_path}/none.toml: there is no such file"
    assert caught.value.hint == "`secdns config init` writes one to start from"


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(tmp_path)


def test_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[cache]\r\nsize_mb = 8\r\n")
    assert config.load(file).cache.size_octets == 8 << 20


def test_file_that_is_not_utf_8_is_refused_with_the_line(file: Path) -> None:
    file.write_bytes(b"# one\n# caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert str(caught.value) == f"{file}:2: octet 0xe9 is not UTF-8, want a text file in UTF-8"


def test_errors_name_the_file_as_it_was_named(file: Path) -> None:
    file.write_text("\n[cache]\nsize_mb = 0\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    want = f"{file}:3: cache.size_mb: 0 is out of bounds, want a whole number from 1 to 4096"
    assert str(caught.value) == want


def test_load_without_any_file_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    assert config.load() == config.default()
    assert config.load().source == "built-in"


def test_load_finds_the_file_of_the_service(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", f"{file.parent}:/nonexistent")
    assert config.load().source == str(file)


def test_everything_comes_from_the_defaults_when_nothing_is_set() -> None:
    got = config.describe(config.default())
    assert {origin for _, _, origin in got} == {"default"}
    assert ("server.listen", '["127.0.0.1:53", "[::1]:53"]', "default") in got
    assert ("upstream[1].name", '"quad9"', "default") in got


def test_every_value_has_its_origin() -> None:
    text = """\
[[upstream]]
name = "mullvad"
transport = "dot"
[[upstream]]
url = "https://[2001:db8::1]/q"
[cache]
size_mb = 8
[[route]]
domains = ["Corp.example"]
via = "udp://10.0.0.53"
[overrides]
printer.home.arpa = "10.0.0.9"
"NAS.home.arpa." = ["10.0.0.1", "10.0.0.2"]
"""
    assert config.describe(config.parse(text, "f.toml")) == [
        ("server.listen", '["127.0.0.1:53", "[::1]:53"]', "default"),
        ("server.acl", "[]", "default"),
        ("upstreams.strategy", '"ordered"', "default"),
        ("upstream[1].name", '"mullvad"', "f.toml:2"),
        ("upstream[1].endpoints", '["tls://dns.mullvad.net"]', "built-in"),
        ("upstream[1].addresses", '["194.242.2.2", "2a07:e340::2"]', "built-in"),
        ("upstream[2].name", '"2001:db8::1"', "f.toml:5"),
        ("upstream[2].endpoints", '["https://[2001:db8::1]/q"]', "f.toml:5"),
        ("upstream[2].addresses", '["2001:db8::1"]', "f.toml:5"),
        ("dnssec.mode", '"validate"', "default"),
        ("dnssec.trust_anchors", "[]", "default"),
        ("dnssec.negative_trust_anchors", "[]", "default"),
        ("dnssec.sha1", "false", "default"),
        ("cache.size_mb", "8", "f.toml:7"),
        ("cache.serve_stale", "true", "default"),
        ("route[1].domains", '["corp.example."]', "f.toml:9"),
        ("route[1].via", '"udp://10.0.0.53"', "f.toml:10"),
        ('overrides."printer.home.arpa"', '"10.0.0.9"', "f.toml:12"),
        ('overrides."nas.home.arpa"', '["10.0.0.1", "10.0.0.2"]', "f.toml:13"),
        ("network.strict", "false", "default"),
        ("log.names", "false", "default"),
    ]


def test_find_config_file_prefers_the_first_that_is_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "config_file_candidates", lambda: (file.parent / "none" / "x.toml", file))
    assert paths.find_config_file() == file


def test_find_config_file_does_not_pass_over_one_that_cannot_be_looked_at(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    monkeypatch.setattr(paths, "config_file_candidates", lambda: (loop, file))
    assert paths.find_config_file() == loop


def test_person_has_an_own_file_before_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIGURATION_DIRECTORY", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert paths.config_file_candidates() == (paths.user_config_file(), paths.system_config_file())


def test_root_reads_the_file_of_the_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIGURATION_DIRECTORY", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert paths.config_file_candidates() == (paths.system_config_file(),)


@pytest.mark.parametrize(
    ("variable", "directory"),
    [
        pytest.param("STATE_DIRECTORY", paths.state_dir, id="state"),
        pytest.param("CACHE_DIRECTORY", paths.cache_dir, id="cache"),
        pytest.param("RUNTIME_DIRECTORY", paths.runtime_dir, id="runtime"),
    ],
)
def test_service_uses_the_directories_that_systemd_names(
    variable: str, directory: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # else platformdirs warns
    monkeypatch.setenv(variable, "/srv/a:/srv/b")
    assert directory() == Path("/srv/a")
    monkeypatch.setenv(variable, "not/absolute")
    assert directory() not in (Path("/srv/a"), Path("not/absolute"))
