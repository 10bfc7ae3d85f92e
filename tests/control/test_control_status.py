"""What the local API tells, over HTTP on a Unix socket."""

import asyncio
import json
import os
import stat
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from secdns import BUILT_AT, __version__, readings
from secdns.control.client import Client
from secdns.control.schema import Clock, System
from secdns.dns.edns import extended_error, options_to_wire
from secdns.dns.name import from_text
from secdns.errors import ControlError
from secdns.iana import EDE, RRType
from secdns.network.clocks import Clocks
from secdns.osdns.machine import Machine
from secdns.states import State
from secdns.testing import CertificateKind, FakeUpstream
from secdns.troubles import Trouble, Troubles
from tests.control.stage import running
from tests.forwarder.stage import ZONES, table


async def test_status_goes_from_checking_to_secure_with_the_first_answer(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path) as stage:
        before = await stage.api(stage.client.status)
        assert (before.state, before.upstream.name, before.upstream.health) == (
            State.CHECKING, "a", "unknown"
        )  # fmt: skip
        await stage.ask("h1.example.test")
        await stage.ask("h1.example.test")
        after = await stage.api(stage.client.status)
    assert (after.state, after.version, after.pid) == (State.SECURE, __version__, os.getpid())
    assert after.sentence == "questions go encrypted to a by DoT; signatures are not checked"
    assert (after.upstream.health, after.upstream.protocol, after.upstream.tls) == ("well", "DoT", "TLSv1.3")
    assert (after.counters.queries, after.counters.hits, after.counters.misses) == (2, 1, 1)
    assert (after.cache.entries, after.may_change, after.problem, after.pause) == (1, True, None, None)
    assert after.listen == (f"127.0.0.1:{stage.daemon.bound[0].port}",)


async def test_upstream_that_fails_is_told_in_words_with_a_remedy(up: FakeUpstream, tmp_path: Path) -> None:
    up.faults.close_mid = "rst"
    async with running(table(up), tmp_path) as stage:
        await stage.ask("h1.example.test")
        status = await stage.api(stage.client.status)
    assert status.state is State.BLOCKED
    assert status.sentence.startswith("a does not answer: a broke the connection off before it answered")
    assert status.remedy is not None
    assert status.problem is not None
    assert status.problem.name == "h1.example.test."
    assert status.counters.failures == {"ConnectionLost": 1}


async def test_machine_that_asks_somebody_else_is_told_so_and_a_change_is_seen_at_once(
    up: FakeUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "etc/resolv.conf"
    file.parent.mkdir()
    file.write_text("nameserver 192.0.2.53\n")
    async with running(table(up), tmp_path, machine=lambda: Machine(tmp_path)) as stage:
        before = (await stage.api(stage.client.status)).system
        daemon = stage.daemon
        daemon.bound[0] = replace(daemon.bound[0], port=53)  # what resolv.conf means
        file.write_text("nameserver 127.0.0.1\n")
        after = (await stage.api(stage.client.status)).system
    assert before == System(
        "off",
        "this machine does not ask secdns, but 192.0.2.53 (by /etc/resolv.conf)",
        "to have it do so: sudo secdns system on",
    )
    assert after == System("on", "this machine asks secdns (by /etc/resolv.conf)")


async def test_clock_that_cannot_be_right_is_the_state_whatever_upstreams_answer_F14(
    up: FakeUpstream, tmp_path: Path
) -> None:
    clocks = Clocks(wall=lambda: BUILT_AT - 10 * 365 * 86400.0)
    async with running(table(up), tmp_path, dnssec="", clocks=clocks) as stage:
        status = await stage.api(stage.client.status)
    assert status.clock == Clock(
        "the clock of this machine says 2016-11-28 00:00 UTC, which cannot be",
        "set it, and have it kept right: sudo timedatectl set-ntp true",
        is_certain=True,
    )
    assert (status.state, status.sentence, status.remedy) == (
        State.BLOCKED, status.clock.sentence, status.clock.remedy
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "want"),
    [
        pytest.param(("not-yet",), "is not valid yet, so it is slow", id="early"),
        pytest.param(("expired", "expired"), "has ended, so it is fast", id="late"),
        pytest.param(("expired",), None, id="one has forgotten to renew it"),
        pytest.param(("not-yet", "expired"), None, id="both ways"),
        pytest.param(("not-yet", "good"), None, id="another is well"),
    ],
)
async def test_certificates_of_all_upstreams_tell_of_a_wrong_clock(
    kinds: tuple[CertificateKind, ...], want: str | None, nothing_is_left: None, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        ups = [await stack.enter_async_context(FakeUpstream(ZONES, cert=kind)) for kind in kinds]
        tables = "".join(table(one, name) for one, name in zip(ups, "ab", strict=False))
        async with running(tables, tmp_path) as stage:
            await stage.ask("h1.example.test")
            status = await stage.api(stage.client.status)
    if want is None:
        assert status.clock is None
    else:
        assert status.clock is not None
        assert status.clock.is_certain
        assert status.sentence.endswith(want)


@pytest.mark.parametrize(
    ("names", "code", "want"),
    [
        pytest.param(("a.one", "b.two", "c.three"), EDE.SIGNATURE_NOT_YET_VALID, "slow", id="early"),
        pytest.param(("a.one", "b.two", "c.three"), EDE.SIGNATURE_EXPIRED, "fast", id="late"),
        pytest.param(("x.a.one", "y.a.one", "b.two"), EDE.SIGNATURE_EXPIRED, "", id="two zones"),
        pytest.param(("a.one", "b.two", "c.three"), EDE.DNSSEC_BOGUS, "", id="another fault"),
    ],
)
def test_signatures_of_several_zones_make_the_clock_seem_wrong(
    names: tuple[str, ...], code: EDE, want: str
) -> None:
    troubles = Troubles()
    for name in names:
        options = options_to_wire((extended_error(code),))
        troubles.add(Trouble(100.0, from_text(name), RRType.A, options))

    def clock(boot: float) -> Clock | None:
        return readings.clock((), troubles, boot=boot, wall=BUILT_AT + 1.0, is_checked=True)

    found = clock(boot=101.0)
    assert (found is not None) is bool(want)
    if found is not None:
        assert f"seems to be {want}" in found.sentence
        assert not found.is_certain
    assert clock(boot=101.0 + readings.UNTIMELY_S) is None


async def test_upstreams_are_listed_with_health_and_latency(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up) + table(other, "b"), tmp_path) as stage:
        await stage.ask("h1.example.test")
        await stage.ask("h2.example.test")  # the first waited for the connection, too
        got = await stage.api(stage.client.upstreams)
    first, second = got.upstreams
    assert (first.name, first.is_first, first.is_in_use, first.is_connected) == ("a", True, True, True)
    assert (second.name, second.is_first, second.is_in_use, second.is_connected) == ("b", False, False, False)
    assert first.p50_ms is not None
    assert first.p95_ms is not None
    assert 0 < first.p50_ms <= first.p95_ms
    assert second.p50_ms is None
    assert "quad9" in got.others


@pytest.mark.needs("curl", package="curl")
async def test_curl_speaks_to_the_socket(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--unix-socket", str(stage.path), "http://localhost/v1/status",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await curl.communicate()
    assert json.loads(out)["state"] == "checking"


async def test_socket_is_open_to_all_in_a_directory_open_to_all_and_goes_with_the_daemon(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up), tmp_path) as stage:
        assert stat.S_IMODE(stage.path.stat().st_mode) == 0o666
        assert stat.S_IMODE(stage.path.parent.stat().st_mode) == 0o755
    assert not stage.path.exists()


async def test_without_a_daemon_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no daemon runs") as caught:
        Client([tmp_path / "a.sock", tmp_path / "b.sock"]).status()
    assert caught.value.code == "not-running"


async def test_index_lists_every_path(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        status, got = await stage.http("GET", "/v1")
    assert (status, got["api"], got["version"]) == (200, 1, __version__)
    assert got["paths"]["/v1/use"] == ["POST"]
