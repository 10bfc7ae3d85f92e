"""The host name of an upstream is looked up through an encrypted upstream, for one command."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from secdns.cli import lookup
from secdns.errors import ConnectError
from secdns.testing import FakeUpstream


@pytest.fixture
async def directory() -> AsyncIterator[FakeUpstream]:
    """An upstream that knows where dns.other is."""
    async with FakeUpstream({"dns.other": {"@": {"A": "192.0.2.53", "AAAA": "2001:db8::53"}}}) as up:
        yield up


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_host_is_looked_up_through_the_upstream_given(directory: FakeUpstream) -> None:
    async with AsyncExitStack() as stack:
        got = await lookup.Lookup(stack, [directory.endpoint("tls")])("dns.other", soon())
    assert got == ("2001:db8::53", "192.0.2.53")
    assert {seen.scheme for seen in directory.queries} == {"tls"}
    assert directory.connections["tls"] == 1


async def test_next_upstream_is_asked_when_one_is_down(directory: FakeUpstream, closed_port: int) -> None:
    down = directory.endpoint("tls").__class__("tls", "192.0.2.1", closed_port, addresses=("127.0.0.1",))
    async with AsyncExitStack() as stack:
        got = await lookup.Lookup(stack, [down, directory.endpoint("https")])("dns.other", soon())
    assert got == ("2001:db8::53", "192.0.2.53")


async def test_upstream_is_not_asked_for_its_own_address_need11(directory: FakeUpstream) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(ConnectError, match="no other upstream"):
            await lookup.Lookup(stack, [directory.endpoint("tls")])("dns.test", soon())
    assert directory.queries == []


def test_built_in_endpoints_are_encrypted_and_bring_their_addresses() -> None:
    got = lookup.built_in()
    assert len(got) >= 2
    assert all(endpoint.is_encrypted and endpoint.addresses for endpoint in got)
