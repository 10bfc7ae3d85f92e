"""Knot's kdig, a client that is not ours, asks a FakeUpstream."""

import asyncio

import pytest

from secdns.testing import FakeUpstream

pytestmark = [pytest.mark.real, pytest.mark.needs("kdig", package="knot-dnsutils")]


async def kdig(up: FakeUpstream, scheme: str, *arguments: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        "kdig",
        "@127.0.0.1",
        "+time=10",
        "+retry=0",
        "+short",
        "-p",
        str(up.port(scheme)),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode().splitlines()


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        pytest.param("tls", ["+tls"], id="DoT"),
        pytest.param("https", ["+https"], id="DoH POST"),
        pytest.param("https", ["+https", "+https-get"], id="DoH GET"),
    ],
)
async def test_kdig_trusts_it_and_is_answered(up: FakeUpstream, scheme: str, options: list[str]) -> None:
    trust = [f"+tls-ca={up.ca_file}", f"+tls-hostname={up.hostname}"]
    got = await kdig(up, scheme, *options, *trust, "alias.example.test", "A")
    assert got == ["www.example.test.", "192.0.2.1", "192.0.2.2"]
    assert [seen.scheme for seen in up.queries] == [scheme]


async def test_kdig_trusts_the_pin(up: FakeUpstream) -> None:
    got = await kdig(up, "tls", "+tls", f"+tls-pin={up.pin_sha256}", "www.example.test", "A")
    assert got == ["192.0.2.1", "192.0.2.2"]


async def test_kdig_refuses_a_wrong_name(up: FakeUpstream) -> None:
    trust = [f"+tls-ca={up.ca_file}", "+tls-hostname=other.test"]
    assert "TLS" in "\n".join(await kdig(up, "tls", "+tls", *trust, "www.example.test", "A"))
    assert up.queries == []


async def test_kdig_turns_to_tcp_when_udp_is_truncated(up: FakeUpstream) -> None:
    got = await kdig(up, "udp", "large.example.test", "TXT")
    assert len([line for line in got if line.startswith('"')]) == 20
    assert [seen.scheme for seen in up.queries] == ["udp", "tcp"]
