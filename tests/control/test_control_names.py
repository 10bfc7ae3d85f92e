"""What the local API knows of names: why one fails, letting one through, forgetting, the query log."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from secdns.control.schema import Why
from secdns.errors import ControlError
from secdns.iana import EDE, RCode, RRType
from secdns.testing import FakeUpstream, SignedZones
from secdns.testing.broken import expired
from secdns.troubles import MAX_TROUBLES
from tests.control.stage import UNCHECKED, Stage, address, running
from tests.forwarder.stage import route, table
from tests.loop import wait_until
from tests.validation.stage import WWW, dnssec, make_zones


@pytest.fixture
def zones() -> SignedZones:
    """Signed zones, of which the signature of one name has expired."""
    made = make_zones()
    made.faults = [expired(WWW, RRType.A)]
    return made


@pytest.fixture
async def signed(nothing_is_left: None, zones: SignedZones) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(zones) as upstream:
        yield upstream


async def why(stage: Stage, name: str) -> Why:
    return await stage.api(stage.client.why, name)


async def test_why_tells_what_failed_in_a_sentence_with_a_remedy_need7(
    signed: FakeUpstream, zones: SignedZones, tmp_path: Path
) -> None:
    async with running(table(signed), tmp_path, dnssec=dnssec(zones)) as stage:
        assert (await stage.ask(WWW)).rcode == RCode.SERVFAIL
        got = await why(stage, "WWW.Secure.TEST")
        (failure,) = got.failures
        assert (failure.code, failure.rrtype, failure.can_allow) == (EDE.SIGNATURE_EXPIRED, "A", True)
        assert got.sentence.startswith(f"{WWW}.: its signatures have expired (")
        assert "asked a" in failure.detail
        assert got.remedy is not None
        assert got.remedy.startswith("the operator of that zone has to sign it anew")
        problem = (await stage.api(stage.client.status)).problem
        assert problem is not None
        assert (problem.name, problem.can_allow) == (f"{WWW}.", True)
        assert (await why(stage, "h1.secure.test")).failures == ()


async def test_name_that_is_allowed_is_answered_unchecked_until_the_time_is_over_7646_2(
    signed: FakeUpstream, zones: SignedZones, tmp_path: Path
) -> None:
    async with running(table(signed), tmp_path, dnssec=dnssec(zones)) as stage:
        assert (await stage.ask(WWW)).rcode == RCode.SERVFAIL
        allowed = await stage.api(stage.client.allow, WWW, 3600)
        assert (allowed.name, allowed.for_s) == (f"{WWW}.", 3600)
        assert address(await stage.ask(WWW)) == "192.0.2.1"
        waived_s = (await why(stage, WWW)).waived_s
        assert waived_s is not None
        assert 3590 < waived_s <= 3600
        assert (await why(stage, "m.secure.test")).waived_s is None
        await stage.daemon.reload()
        assert address(await stage.ask(WWW)) == "192.0.2.1"
        validating = stage.daemon._groups.validating
        assert validating is not None
        validating.keeper._waived_for_now[b"\3www\6secure\4test\0"] -= 3600
        await stage.api(stage.client.allow, "else.test", 60)  # so that the anchors are put together anew
        await stage.api(stage.client.flush)
        assert (await stage.ask(WWW)).rcode == RCode.SERVFAIL


async def test_root_cannot_be_allowed_and_nothing_where_nothing_is_checked(
    signed: FakeUpstream, zones: SignedZones, tmp_path: Path
) -> None:
    async with running(table(signed), tmp_path, dnssec=dnssec(zones)) as stage:
        with pytest.raises(ControlError, match="the root is every name"):
            await stage.api(stage.client.allow, ".", 60)
    async with running(table(signed), tmp_path, dnssec=UNCHECKED) as stage:
        with pytest.raises(ControlError, match="no signatures are checked"):
            await stage.api(stage.client.allow, WWW, 60)


async def test_why_tells_who_decides_and_what_is_held(
    up: FakeUpstream, other: FakeUpstream, tmp_path: Path
) -> None:
    toml = table(up) + route(["corp.test"], other.udp_url) + '[overrides]\n"nas.home.arpa" = "10.0.0.9"\n'
    async with running(toml, tmp_path) as stage:
        await stage.ask("h1.example.test")
        assert (await why(stage, "h1.example.test")).held == ("A (NOERROR)",)
        assert "[overrides]" in ((await why(stage, "nas.home.arpa")).decision or "")
        assert "[[route]]" in ((await why(stage, "www.corp.test")).decision or "")
        nothing = await why(stage, "h2.example.test")
        assert (nothing.failures, nothing.decision, nothing.held) == ((), None, ())
        assert nothing.sentence.startswith("nothing is held against h2.example.test.")


async def test_failures_are_kept_in_bounds_and_forgotten_with_the_cache_R11(
    up: FakeUpstream, tmp_path: Path
) -> None:
    up.faults.rcode = 2
    async with running(table(up), tmp_path) as stage:
        for number in range(MAX_TROUBLES + 20):
            await stage.ask(f"x{number}.example.test")
        troubles = stage.daemon.forwarder.troubles
        assert len(troubles._held) == MAX_TROUBLES
        assert (await why(stage, "x1.example.test")).failures == ()
        assert len((await why(stage, "x270.example.test")).failures) == 1
        await stage.api(stage.client.flush)
        assert (await why(stage, "x270.example.test")).failures == ()


async def test_flush_drops_one_name_or_all(up: FakeUpstream, tmp_path: Path) -> None:
    async with running(table(up), tmp_path) as stage:
        for number in range(3):
            await stage.ask(f"h{number}.example.test")
        assert (await stage.api(stage.client.flush, "h1.example.test")).dropped == 1
        await stage.ask("h0.example.test")
        await stage.ask("h1.example.test")
        assert len(up.queries) == 4
        assert (await stage.api(stage.client.flush)).dropped >= 3
        await stage.ask("h0.example.test")
        assert len(up.queries) == 5


async def test_log_tells_names_only_where_that_is_switched_on_need21(
    up: FakeUpstream, tmp_path: Path
) -> None:
    async with running(table(up) + "[log]\nnames = true\n", tmp_path) as stage:
        await stage.ask("h1.example.test")
        (line,) = await stage.api(stage.client.log)
        assert line.startswith("h1.example.test. A: NOERROR in ")
        reader, writer = await asyncio.open_unix_connection(stage.path)
        writer.write(b"GET /v1/log?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert "h1.example.test." in await next_line(reader)
        await stage.ask("h2.example.test")
        assert "h2.example.test." in await next_line(reader)
        writer.close()
    async with running(table(up), tmp_path) as stage:
        await stage.ask("h1.example.test")
        with pytest.raises(ControlError, match="names are not logged"):
            await stage.api(stage.client.log)


async def next_line(reader: asyncio.StreamReader) -> str:
    while True:
        line = await reader.readline()
        assert line
        if line.startswith(b"data: "):
            return str(json.loads(line[6:])["line"])


async def test_explain_asks_anew_and_shows_every_step_need7(
    signed: FakeUpstream, zones: SignedZones, tmp_path: Path
) -> None:
    async with running(table(signed), tmp_path, dnssec=dnssec(zones)) as stage:
        good = await stage.api(stage.client.explain, "m.secure.test")
        assert (good.name, good.rrtype, good.status, good.remedy) == ("m.secure.test.", "A", "secure", None)
        assert [step.title for step in good.steps][-1] == "m.secure.test. A"
        bad = await stage.api(stage.client.explain, WWW)
        assert bad.status == "bogus"
        assert bad.steps[-1].reason is not None
        assert "expired" in bad.steps[-1].reason
        with pytest.raises(ControlError, match="'NONSENSE' is no type"):
            await stage.api(stage.client.explain, WWW, "NONSENSE")
        signed.faults.close_mid = "rst"
        with pytest.raises(ControlError, match="no upstream gives a usable answer"):
            await stage.api(stage.client.explain, "h1.secure.test")


async def test_who_leaves_while_a_name_is_explained_leaves_nothing_behind(
    signed: FakeUpstream, zones: SignedZones, tmp_path: Path
) -> None:
    async with running(table(signed), tmp_path, dnssec=dnssec(zones)) as stage:
        await stage.http("GET", "/v1")
        signed.faults.hold = True
        _, writer = await asyncio.open_unix_connection(stage.path)
        writer.write(b"GET /v1/explain?name=m.secure.test HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await signed.wait_queries(1)
        assert stage.daemon.controls._explaining == 1
        writer.close()
        await wait_until(lambda: stage.daemon.controls._explaining == 0)
        signed.release()
