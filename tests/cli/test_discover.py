"""Whom `upstreams discover` asks without being told, and that what it offers can be used as it stands."""

from pathlib import Path

import pytest

from secdns import config
from secdns.cli import resolv_conf
from secdns.cli.discover import _name, upstream_table
from secdns.cli.resolv_conf import network_resolvers
from secdns.endpoint import Endpoint
from secdns.testing import Authority


def resolvers(tmp_path: Path, text: str | None, behind: str | None = None) -> tuple[tuple[str, ...], str]:
    for name, content in (("resolv.conf", text), ("behind.conf", behind)):
        if content is not None:
            (tmp_path / name).write_text(content)
    addresses, notes = network_resolvers(tmp_path / "resolv.conf", tmp_path / "behind.conf")
    return addresses, "; ".join(notes)


def test_nameservers_are_asked_in_their_order(tmp_path: Path) -> None:
    text = "# nameserver 192.0.2.9\nsearch corp.test\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 # x\n"
    assert resolvers(tmp_path, text) == (("192.0.2.1", "2001:db8::1"), "")


@pytest.mark.parametrize("stub", ["127.0.0.53", "127.0.0.54"])
def test_behind_the_stub_of_systemd_are_those_that_it_asks(tmp_path: Path, stub: str) -> None:
    got = resolvers(tmp_path, f"nameserver {stub}\n", "nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    assert got == (("192.0.2.1", "192.0.2.2"), "")


@pytest.mark.parametrize("own", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"])
def test_this_machine_is_left_out_with_words_F30(tmp_path: Path, own: str) -> None:
    addresses, notes = resolvers(tmp_path, f"nameserver {own}\nnameserver 192.0.2.1\n")
    assert addresses == ("192.0.2.1",)
    assert "this machine itself" in notes


@pytest.mark.parametrize("wrong", ["fe80::1%eth0", "0.0.0.0", "dns.test", "\xff"])
def test_address_that_nobody_can_be_asked_at_is_left_out_with_words(tmp_path: Path, wrong: str) -> None:
    addresses, notes = resolvers(tmp_path, f"nameserver {wrong}\nnameserver 192.0.2.1\n")
    assert addresses == ("192.0.2.1",)
    assert notes.startswith("left out: ")


def test_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert resolvers(tmp_path, None) == (
        (),
        f"{tmp_path}/resolv.conf cannot be read: No such file or directory",
    )
    addresses, notes = resolvers(tmp_path, "nameserver 127.0.0.53\n")
    assert (addresses, "behind.conf cannot be read" in notes) == ((), True)


def test_number_of_resolvers_is_bounded(tmp_path: Path) -> None:
    text = "".join(f"nameserver 192.0.2.{last}\n" for last in range(1, 200)) * 100
    assert len(resolvers(tmp_path, text)[0]) == resolv_conf.MAX_RESOLVERS


@pytest.mark.parametrize("scheme", ["tls", "quic", "https", "h3"])
def test_table_that_is_offered_is_a_configuration(scheme: str, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca file.pem"
    ca_file.write_bytes(Authority().certificate_pem)
    path = "/dns-query" if scheme in ("https", "h3") else ""
    host = f"{'a' * 60}.{'b' * 60}.test"  # longer than a name in the configuration may be
    wanted = Endpoint(scheme, host, 8443, path, ("192.0.2.1", "2001:db8::1"), str(ca_file))
    taken: set[str] = set()
    tables = [upstream_table(wanted, _name(wanted, taken)) for _ in range(2)]
    read = config.parse("\n".join(line for table in tables for line in table), "offered")
    assert [upstream.endpoints for upstream in read.upstreams] == [(wanted,), (wanted,)]
