"""The certificates of a FakeUpstream, judged by Python's own TLS client."""

import asyncio
import ssl

import pytest

from secdns.testing import CertificateKind, FakeUpstream, Seen
from tests.testing.clients import QUERY, V4, addresses, connect, trusting


@pytest.mark.parametrize(
    ("cert", "hostname", "host", "why"),
    [
        pytest.param("good", "dns.test", "dns.test", None, id="good"),
        pytest.param("ip", "dns.test", "127.0.0.1", None, id="address"),
        pytest.param("good", "127.0.0.1", "127.0.0.1", None, id="good for an address"),
        pytest.param("name-and-ip", "dns.test", "dns.test", None, id="name of both"),
        pytest.param("name-and-ip", "dns.test", "127.0.0.1", None, id="address of both"),
        pytest.param("wildcard", "one.dns.test", "one.dns.test", None, id="wildcard"),
        pytest.param("good", "dns.test", "127.0.0.1", "IP address mismatch", id="address not in it"),
        pytest.param("ip-as-name", "dns.test", "127.0.0.1", "IP address mismatch", id="address as a name"),
        pytest.param("ip", "dns.test", "dns.test", "Hostname mismatch", id="name not in it"),
        pytest.param("wrong-name", "dns.test", "dns.test", "Hostname mismatch", id="wrong name"),
        pytest.param(
            "wildcard-depth", "a.b.dns.test", "a.b.dns.test", "Hostname mismatch", id="wildcard depth"
        ),
        pytest.param("no-san", "dns.test", "dns.test", "Hostname mismatch", id="no names"),
        pytest.param("cn-only", "dns.test", "dns.test", "Hostname mismatch", id="common name only"),
        pytest.param("expired", "dns.test", "dns.test", "expired", id="expired"),
        pytest.param("not-yet", "dns.test", "dns.test", "not yet valid", id="not yet valid"),
        pytest.param("self-signed", "dns.test", "dns.test", "self[- ]signed", id="self-signed"),
        pytest.param(
            "unknown-ca", "dns.test", "dns.test", "signature failure|unable to get", id="unknown CA"
        ),
        pytest.param("client-only", "dns.test", "dns.test", "purpose", id="for clients only"),
    ],
)
async def test_a_certificate_is_as_good_as_its_kind_E1(
    cert: CertificateKind, hostname: str, host: str, why: str | None
) -> None:
    async with FakeUpstream(cert=cert, hostname=hostname) as up:
        if why is None:
            async with connect(up, host=host) as client:
                assert await client.ask()
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match=why):
                async with connect(up, host=host):
                    pass
        assert up.queries == ([Seen("tls", QUERY, 1)] if why is None else [])


async def test_another_certificate_holds_for_the_next_connection_F3(up: FakeUpstream) -> None:
    async with connect(up) as client:
        up.use_certificate("expired")
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            async with connect(up):
                pass
        assert addresses(await client.ask()) == V4


async def test_strict_verification_likes_a_good_certificate(up: FakeUpstream) -> None:
    context = trusting(up)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", up.port("tls"), ssl=context, server_hostname="dns.test"
    )
    writer.close()
    await writer.wait_closed()
    assert reader.at_eof()


async def test_an_old_tls_is_all_it_speaks_if_told_so_E3(up: FakeUpstream) -> None:
    up.faults.tls_maximum = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):  # asyncio hangs up before its alert is out
        async with connect(up):
            pass
    up.faults.tls_maximum = ssl.TLSVersion.TLSv1_2
    async with connect(up) as client:
        await client.ask()
    assert (up.handshakes[-1].version, up.failed_handshakes) == ("TLSv1.2", 1)
