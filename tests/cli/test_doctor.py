"""`secdns doctor` writes what helps, and none of what is its owner's."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from secdns import config
from secdns.__main__ import main
from secdns.cli.health import Looks, judge
from secdns.cli.report import MAX_LINE, MAX_LINES, report
from secdns.control.schema import Problem
from secdns.errors import ConfigError, ConnectError, SettingsError
from secdns.listener.holder import Holder
from secdns.osdns.plan import DNSSettings, Server
from secdns.osdns.rivals import Rival
from secdns.osdns.status import OVERRULED
from tests.cli.test_health import NOW, daemon, good_looks, reply, status

CONFIG = """
[server]
listen = ["127.0.0.1:53", "192.168.7.1:53"]
acl = ["192.168.7.0/24"]
[[upstream]]
name = "quad9"
[[upstream]]
name = "alices-vps"
url = "https://dns.alice.example/secret-id"
addresses = ["203.0.113.7", "2001:db8:77::1"]
proxy = "socks5://bob:hunter2@10.1.2.3:9050"
[[upstream]]
name = "pinned"
url = "tls://dns.pinned.example"
pin_sha256 = ["wqcVdEzCV1Ld0JMsxHr/bvvGYR1cQ0jYjBXpxv28DMw="]
[[route]]
domains = ["corpnet", "intra.megacorp.example"]
via = "udp://10.0.0.53"
[overrides]
"printer.home.arpa" = "192.168.7.9"
"nasbox" = ["192.168.7.10", "fd00:7::10"]
[dnssec]
negative_trust_anchors = ["broken.megacorp.example"]
"""
SECRETS = (
    "192.168.7", "alice", "secret-id", "203.0.113.7", "2001:db8:77", "hunter2", "10.1.2.3", "10.0.0.53",
    "pinned", "wqcVd", "corpnet", "megacorp", "printer", "nasbox", "fd00:7", "lan.example", "homenet",
    "fe80::77", "10.9.0.1", "carol", "testing CA",
)  # fmt: skip


def looks(text: str = CONFIG) -> Looks:
    """A machine on which much is wrong, and is told with names and addresses."""
    network = DNSSettings((Server("10.9.0.1"), Server("fe80::77%eth0")), ("lan.example", "homenet"))
    words = "overruled: NetworkManager left 10.9.0.1 in /etc/resolv.conf"
    return replace(
        good_looks(),
        config=config.parse(text, "/home/alice/secdns.toml"),
        status=status(
            OVERRULED, words=words, named=("10.9.0.1",), network=network, trace=("names 10.9.0.1",)
        ),
        found=["192.168.7.80"],
        rivals=[Rival("10.9.0.1", "link eth0 of systemd-resolved", "sudo resolvectl domain eth0 ''")],
        holders=[("192.168.7.1", Holder("carol", 7, "dnsmasq"))],
        upstream_name="alices-vps",
        daemon=daemon(
            upstream=replace(daemon().upstream, name="alices-vps", last_failure="10.1.2.3: refused"),
            problem=Problem(NOW, "printer: its signature has expired", None, "printer"),
        ),
        bogus=ConnectError("no connection to nasbox.homenet"),
    )


def written(seen: Looks) -> str:
    return report(seen, judge(seen), b"k" * 16)


def test_nothing_of_its_owner_is_in_it_need37() -> None:
    text = written(looks())
    assert [secret for secret in SECRETS if secret.lower() in text.lower()] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {
            "config": None,
            "config_error": ConfigError("/home/alice/x.toml:2: route[1].via: 'udp://10.0.0.53'"),
        },
        {"status": SettingsError("/home/alice/journal.json of megacorp.example is damaged")},
        {"upstream": ConnectError("cannot reach dns.alice.example at 203.0.113.7")},
        {"good": reply("www.megacorp.example")},
    ],
)
def test_nor_is_it_in_what_went_wrong_need37(wrong: dict[str, object]) -> None:
    text = written(replace(looks(), **wrong))  # type: ignore[arg-type]
    assert [secret for secret in SECRETS if secret.lower() in text.lower()] == []


def test_messages_of_the_daemon_lose_names_and_queries_and_keep_what_went_wrong_need37() -> None:
    seen = replace(looks(), domains=("vpncorp", "lan.example"))
    messages = [
        "secdns: listening on 127.0.0.1:53",
        "secdns: lan0 (10.9.0.1, fe80::77) claims lan.example and vpncorp",
        "secdns: /etc/hosts:3: 'printer' is no address",
        "secdns: printer A: NXDOMAIN in 0.1 ms",
        "secdns: upstream alices-vps answers again",
        '  File "/home/alice/venv/lib/python3.11/site-packages/secdns/daemon.py", line 12, in run',
    ]
    text = report(seen, judge(seen), b"k" * 16, messages).partition("## Messages of the daemon")[2]
    assert [secret for secret in (*SECRETS, "vpncorp") if secret.lower() in text.lower()] == []
    assert "secdns: listening on 127.0.0.1:53" in text
    assert "/site-packages/secdns/daemon.py" in text
    assert "NXDOMAIN" not in text


@pytest.mark.parametrize(("messages", "want"), [(None, "they cannot be read here"), ([], "there are none")])
def test_messages_that_are_not_there_are_told(messages: list[str] | None, want: str) -> None:
    seen = looks()
    assert want in report(seen, judge(seen), b"k" * 16, messages)


def test_it_says_at_the_top_what_is_in_it_and_what_was_hidden() -> None:
    head, _, rest = written(looks()).partition("\n## ")
    assert head.startswith("# secdns doctor, 2026-")
    assert "In it: versions" in head
    assert "Hidden: each name" in head
    assert [part.partition("\n")[0] for part in ("\n## " + rest).split("\n## ")[1:]] == [
        "Versions", "Checks", "The daemon", "The system's DNS", "Configuration", "Messages of the daemon",
    ]  # fmt: skip


def test_what_helps_is_in_it() -> None:
    text = written(looks())
    for line in (
        'upstream[1].endpoints = ["https://dns.quad9.net/dns-query", "tls://dns.quad9.net"]  (built-in)',
        "upstream[3].pin_sha256 = (1 hidden)  (line 15)",
        'dnssec.mode = "validate"  (default)',
        "cache.size_mb = 32  (default)",
        "pass     clock ",
        "FAIL     system-resolver  overruled: NetworkManager left private-ipv4-",
    ):
        assert line in text
    assert "secdns 0." in text
    assert "cryptography " in text


def test_everybodys_machine_needs_no_mask() -> None:
    text = written(replace(good_looks(), now=NOW))
    assert "https://dns.quad9.net/dns-query" in text
    assert 'server.listen = ["127.0.0.1:53", "[::1]:53"]  (default)' in text
    assert "dnssec-failed.org, whose signatures are wrong, is refused" in text


def test_it_is_bounded() -> None:
    overrides = "".join(f'"h{number}.example" = "192.0.2.1"\n' for number in range(2000))
    addresses = json.dumps([f"192.0.2.{number % 256}" for number in range(60)])
    text = written(looks(f'[overrides]\n{overrides}"many.example" = {addresses}\n'))
    assert max(map(len, text.splitlines())) <= MAX_LINE
    assert len(text.splitlines()) < 2 * MAX_LINES
    assert "more lines)" in text


def test_file_is_its_owners_alone_and_replaces_none(
    tmp_path: Path, home: Path, closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "quiet.toml"
    file.write_text(
        f'[server]\nlisten = ["127.0.0.1:{closed_port}"]\n'
        f'[[upstream]]\nname = "down"\nurl = "tls://127.0.0.1:{closed_port}"\n'
    )
    target = tmp_path / "report.txt"
    assert main(["doctor", "--config", str(file), "--output", str(target)]) == 0
    assert capsys.readouterr().out == f"wrote {target}\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.read_text().startswith("# secdns doctor, ")
    assert main(["doctor", "--config", str(file), "--output", str(target)]) == 73
    assert "is already there and was left alone" in capsys.readouterr().err
    assert main(["doctor", "--config", str(file), "--output", str(tmp_path / "none" / "x")]) == 73
