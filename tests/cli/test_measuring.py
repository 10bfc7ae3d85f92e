"""What `bench` does to an upstream is bounded, whatever the upstream does."""

import asyncio
import json
from pathlib import Path

import pytest

from secdns.__main__ import main
from secdns.cli.bench import _endpoints
from secdns.cli.measuring import GIVE_UP_AFTER, Plan, measure, percentile
from secdns.dns.message import Question
from secdns.dns.name import from_text
from secdns.testing import FakeUpstream, Faults

PLAN = Plan((Question(from_text("www.example.test"), 1),), cold=2, warm=40, concurrency=4, timeout_s=5.0)


@pytest.mark.parametrize(
    ("values", "percent", "want"),
    [
        pytest.param([], 50, None, id="none"),
        pytest.param([7.0], 95, 7.0, id="one"),
        pytest.param([3.0, 1.0, 2.0], 50, 2.0, id="middle of three"),
        pytest.param([1.0, 2.0, 3.0, 4.0], 50, 2.0, id="lower middle of four"),
        pytest.param([float(n) for n in range(1, 101)], 95, 95.0, id="95 of 100"),
    ],
)
def test_percentile_is_the_smallest_that_covers(
    values: list[float], percent: int, want: float | None
) -> None:
    assert percentile(values, percent) == want


@pytest.mark.parametrize("scheme", ["tls", "https", "quic", "h3", "udp"])
async def test_warm_queries_share_one_connection_and_cold_ones_have_their_own(
    upstream: FakeUpstream, scheme: str
) -> None:
    result = await measure(upstream.endpoint(scheme), PLAN)
    assert (len(result.cold_s), len(result.warm_s), result.failures, result.skipped) == (2, 40, 0, 0)
    if scheme != "udp":
        assert upstream.connections[scheme] == 3


def test_of_a_built_in_upstream_every_transport_is_measured(home: Path) -> None:
    found = _endpoints(["@quad9", "@quad9", "@tls://192.0.2.1"], None)
    assert [endpoint.scheme for endpoint in found] == ["https", "tls", "h3", "quic", "tls"]


def test_configured_upstreams_are_measured_as_they_are_configured(home: Path) -> None:
    (home / "secdns.toml").write_text(
        '[[upstream]]\nname = "quad9"\ntransport = "doq"\n[[upstream]]\nurl = "h3://dns.test"\n'
    )
    assert [endpoint.scheme for endpoint in _endpoints([], None)] == ["quic", "h3"]


async def test_upstream_that_stops_answering_is_left_alone(upstream: FakeUpstream) -> None:
    answer = upstream.answer
    failing = Faults(rcode=2)

    def first_three_only(query: bytes) -> bytes:
        if len(upstream.queries) >= 3:
            upstream.faults = failing
        return answer(query)

    upstream.answer = first_three_only
    result = await measure(upstream.endpoint("tls"), PLAN)
    assert result.why == "answered SERVFAIL"
    assert GIVE_UP_AFTER <= result.failures <= GIVE_UP_AFTER + PLAN.concurrency
    assert len(upstream.queries) + result.skipped == PLAN.cold + 1 + PLAN.warm


async def test_local_resolver_is_compared_with_the_configured_upstreams(
    upstream: FakeUpstream, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "secdns.toml").write_text(
        f'[[upstream]]\nurl = "{upstream.tls_url}"\n'
        f'addresses = ["127.0.0.1"]\nca_file = "{upstream.ca_file}"\n'
    )
    monkeypatch.setattr("secdns.cli.bench.LOCAL", upstream.udp_url)
    code = await asyncio.to_thread(main, ["bench", "--json", "--queries", "3", "--name", "www.example.test"])
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["upstream"] for each in found] == [upstream.tls_url, upstream.udp_url]


async def test_local_resolver_that_is_not_there_is_left_out(
    upstream: FakeUpstream,
    home: Path,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "secdns.toml").write_text(
        f'[[upstream]]\nurl = "{upstream.tls_url}"\n'
        f'addresses = ["127.0.0.1"]\nca_file = "{upstream.ca_file}"\n'
    )
    monkeypatch.setattr("secdns.cli.bench.LOCAL", f"tcp://127.0.0.1:{closed_port}")
    code = await asyncio.to_thread(main, ["bench", "--json", "--queries", "3", "--name", "www.example.test"])
    assert code == 0
    assert [each["upstream"] for each in json.loads(capsys.readouterr().out)] == [upstream.tls_url]
