"""Which ways `secdns upstreams test` tries, and that it says so while a person looks on."""

import asyncio
import io
import sys
from pathlib import Path

import pytest

from secdns.__main__ import main
from secdns.cli.upstreams_test import _targets
from secdns.testing import FakeUpstream


@pytest.mark.parametrize("word", ["quad9", "@quad9"])
def test_of_a_built_in_upstream_every_transport_is_tried(word: str, home: Path) -> None:
    ((name, endpoints),) = _targets([word], None)
    assert name == "quad9"
    assert [endpoint.scheme for endpoint in endpoints] == ["https", "tls", "h3", "quic"]


def test_of_the_configuration_every_upstream_is_tried_as_it_says(home: Path) -> None:
    (home / "secdns.toml").write_text(
        '[[upstream]]\nname = "quad9"\ntransport = "dot"\naddresses = ["192.0.2.1"]\n'
        '[[upstream]]\nname = "mine"\nurl = "quic://dns.test"\n'
    )
    (quad9, built_in), mine = _targets([], None)
    assert quad9 == "quad9"
    assert [endpoint.scheme for endpoint in built_in] == ["tls", "https", "h3", "quic"]
    assert built_in[0].addresses == ("192.0.2.1",)
    assert mine[0] == "mine"
    assert [endpoint.url for endpoint in mine[1]] == ["quic://dns.test"]


def test_with_a_proxy_nothing_is_tried_that_it_cannot_carry(home: Path) -> None:
    (home / "secdns.toml").write_text(
        '[[upstream]]\nname = "quad9"\ntransport = "dot"\nproxy = "socks5://127.0.0.1:9050"\n'
    )
    ((_, configured),) = _targets([], None)
    assert [endpoint.scheme for endpoint in configured] == ["tls", "https"]
    assert all(endpoint.proxy is not None for endpoint in configured)
    ((_, optional),) = _targets(["@mullvad"], None, is_proxied=True)
    assert [endpoint.scheme for endpoint in optional] == ["https", "tls"]


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


async def test_person_who_looks_on_sees_progress(
    signed: FakeUpstream, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", shown)
    options = ["--name", "example.test", "--ca-file", signed.ca_file, "--address", "127.0.0.1"]
    urls = [signed.tls_url, signed.https_url]
    await asyncio.to_thread(main, ["upstreams", "test", "--json", *urls, *options])
    first, *lines = shown.getvalue().splitlines()
    assert first == f"testing {', '.join(urls)} ..."
    assert [line.split(": ")[0] for line in lines] == ["1 of 2", "2 of 2"]
    assert {line.split(": ")[1] for line in lines} == {f"{url} over IPv4" for url in urls}
