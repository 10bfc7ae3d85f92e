"""Nothing is said to an upstream that is not who it should be (threats E1-E3, 8310.1-8310.3, 9325.1)."""

import dataclasses
import gc
import os
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import cast

import pytest
import trustme

from secdns.endpoint import parse
from secdns.errors import AuthenticationError, ConnectError, ConnectionLost, ProtocolError, TransportError
from secdns.testing import CERTIFICATE_KINDS, CertificateKind, FakeUpstream
from secdns.transport.tls import Identity, key_exchange
from tests.transport.conftest import Reach
from tests.transport.support import ENCRYPTED, ZONE, ask, right_answer

HOST = "one.two.dns.test"  # long enough for wildcards to fit and not to fit

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)
every_tls_over_tcp = pytest.mark.parametrize("scheme", ["tls", "https"])  # QUIC knows TLS 1.3 only

NAME_FITS: set[CertificateKind] = {"good", "wildcard", "name-and-ip"}
ADDRESS_FITS: set[CertificateKind] = {"ip", "name-and-ip"}
WORDS: dict[CertificateKind, str] = {
    "wrong-name": "another name",
    "expired": "has expired",
    "not-yet": "not valid yet",
    "self-signed": "self-signed",
    "no-san": "another name",
    "cn-only": "another name",
    "client-only": "not for servers",
    "ip": "another name",
    "wildcard-depth": "another name",
}


@pytest.fixture
async def up(nothing_is_left: None) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(ZONE, hostname=HOST) as upstream:
        yield upstream


async def failure_of(asking: Awaitable[object]) -> TransportError | None:
    try:
        await asking
    except TransportError as error:
        return error
    return None


@every_encrypted
@pytest.mark.parametrize("cert", [kind for kind in CERTIFICATE_KINDS if kind not in NAME_FITS])
async def test_certificate_that_does_not_fit_the_name_gets_no_query_E1_8310_1_8310_2(
    scheme: str, cert: CertificateKind, up: FakeUpstream, reach: Reach
) -> None:
    up.use_certificate(cert)
    with pytest.raises(AuthenticationError, match=WORDS.get(cert, "certificate")):
        await ask(reach(up.endpoint(scheme)))
    assert up.queries == []


@every_encrypted
@pytest.mark.parametrize("cert", sorted(NAME_FITS))
async def test_certificate_that_fits_the_name_is_taken_E1(
    scheme: str, cert: CertificateKind, up: FakeUpstream, reach: Reach
) -> None:
    up.use_certificate(cert)
    assert await ask(reach(up.endpoint(scheme))) == right_answer()


@every_encrypted
@pytest.mark.parametrize("cert", [kind for kind in CERTIFICATE_KINDS if kind not in ADDRESS_FITS])
async def test_certificate_without_the_address_gets_no_query_E2(
    scheme: str, cert: CertificateKind, up: FakeUpstream, reach: Reach
) -> None:
    up.use_certificate(cert)
    with pytest.raises(AuthenticationError):
        await ask(reach(up.endpoint(scheme, "127.0.0.1")))
    assert up.queries == []


@every_encrypted
async def test_certificate_with_the_address_is_taken_and_no_name_is_sent_E2(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.use_certificate("ip")
    assert await ask(reach(up.endpoint(scheme, "127.0.0.1"))) == right_answer()
    assert [handshake.server_name for handshake in up.handshakes] == [None]


@every_encrypted
async def test_certificate_of_another_address_gets_no_query_E2(scheme: str, reach: Reach) -> None:
    async with FakeUpstream(ZONE, cert="ip") as up:
        endpoint = up.endpoint(scheme, "192.0.2.7")
        with pytest.raises(AuthenticationError, match="another address"):
            await ask(reach(endpoint))
        assert up.queries == []


@every_encrypted
@pytest.mark.parametrize(
    ("cert", "designator"),
    [
        pytest.param("good", "127.0.0.1", id="no address"),
        pytest.param("ip", "127.0.0.1", id="no name"),
        pytest.param("ip-as-name", "127.0.0.1", id="address as a name"),
        pytest.param("name-and-ip", "127.0.0.2", id="another address"),
        pytest.param("name-and-ip", "::1", id="address of the other family"),
    ],
)
async def test_designated_endpoint_needs_name_and_designator_in_one_certificate_9462_1_E14(
    scheme: str, cert: CertificateKind, designator: str, up: FakeUpstream, reach: Reach
) -> None:
    up.use_certificate(cert)
    with pytest.raises(AuthenticationError):
        await ask(reach(dataclasses.replace(up.endpoint(scheme), designator=designator)))
    assert up.queries == []


@every_encrypted
async def test_designated_endpoint_whose_certificate_has_both_is_asked_9462_1(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.use_certificate("name-and-ip")
    endpoint = dataclasses.replace(up.endpoint(scheme), designator="127.0.0.1")
    assert await ask(reach(endpoint)) == right_answer()
    assert [handshake.server_name for handshake in up.handshakes] == [HOST]


@every_encrypted
async def test_host_name_is_sent_as_sni(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    await ask(reach(up.endpoint(scheme)))
    assert [handshake.server_name for handshake in up.handshakes] == [HOST]


@every_encrypted
async def test_ca_file_replaces_the_systems_trust_store(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    with pytest.raises(AuthenticationError, match="unknown"):
        await ask(reach(dataclasses.replace(up.endpoint(scheme), ca_file=None)))
    assert up.queries == []


@every_encrypted
@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["absent", "not PEM"])
async def test_ca_file_that_cannot_be_read_is_said(
    scheme: str, content: str | None, up: FakeUpstream, reach: Reach, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConnectError, match=r"ca\.pem"):
        await ask(reach(dataclasses.replace(up.endpoint(scheme), ca_file=str(path))))


@every_encrypted
async def test_any_one_pin_is_enough(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    pins = ("A" * 43 + "=", up.pin_sha256)
    assert await ask(reach(dataclasses.replace(up.endpoint(scheme), pin_sha256=pins))) == right_answer()


@every_encrypted
async def test_wrong_pin_gets_no_query_E1(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    with pytest.raises(AuthenticationError, match="pin"):
        await ask(reach(dataclasses.replace(up.endpoint(scheme), pin_sha256=("A" * 43 + "=",))))
    assert up.queries == []


@every_encrypted
async def test_pin_does_not_excuse_a_wrong_certificate_E1(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    up.use_certificate("self-signed")
    with pytest.raises(AuthenticationError):
        await ask(reach(dataclasses.replace(up.endpoint(scheme), pin_sha256=(up.pin_sha256,))))
    assert up.queries == []


class Grouped:
    """Stands for the `SSLObject` of Python 3.15, whose ``group`` needs an OpenSSL that can tell."""

    def __init__(self, name: str | None, session: object) -> None:
        self.name = name
        self.session = session

    def group(self) -> str:
        if self.name is None:
            raise NotImplementedError
        return self.name


@pytest.mark.parametrize(
    ("tls", "want"),
    [
        pytest.param(Grouped("X25519MLKEM768", object()), "X25519MLKEM768", id="can tell"),
        pytest.param(Grouped(None, object()), None, id="old OpenSSL"),
        pytest.param(Grouped("x25519", None), None, id="no session"),
        pytest.param(object(), None, id="old Python"),
    ],
)
def test_key_exchange_group_is_told_where_the_runtime_can(tls: object, want: str | None) -> None:
    assert key_exchange(cast(ssl.SSLObject, tls)) == want


@every_tls_over_tcp
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
async def test_tls_below_1_2_gets_no_query_E3_9325_1(
    scheme: str, version: str, up: FakeUpstream, reach: Reach
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        up.faults.tls_maximum = ssl.TLSVersion[version]
    with pytest.raises(ConnectError, match="TLS"):
        await ask(reach(up.endpoint(scheme)))
    assert up.queries == []


@every_tls_over_tcp
async def test_tls_1_2_is_spoken_E3(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    up.faults.tls_maximum = ssl.TLSVersion.TLSv1_2
    transport = reach(up.endpoint(scheme))
    assert await ask(transport) == right_answer()
    assert transport.facts().tls_version == "TLSv1.2"


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_old_cipher_suite_is_not_agreed_on_E3_9325_1(suite: str) -> None:
    """Neither CBC nor DHE, whose group a hostile server makes so large that its handshake takes 280 ms."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key_type = trustme.KeyType.ECDSA if "ECDSA" in suite else trustme.KeyType.RSA
    trustme.CA().issue_cert("dns.test", key_type=key_type).configure_cert(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)
    to_server = ssl.MemoryBIO()
    client = Identity(parse("tls://dns.test"), "dot", alpn_required=False).start(ssl.MemoryBIO(), to_server)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        context.wrap_bio(to_server, ssl.MemoryBIO(), server_side=True).do_handshake()


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)], ids=["none", "http/1.1"])
async def test_doh_without_h2_gets_no_query_E3(alpn: tuple[str, ...], up: FakeUpstream, reach: Reach) -> None:
    up.faults.alpn = alpn
    with pytest.raises(ProtocolError, match="ALPN 'h2'"):
        await ask(reach(up.endpoint("https")))
    assert up.queries == []


async def test_dot_without_alpn_is_spoken_E3(up: FakeUpstream, reach: Reach) -> None:
    up.faults.alpn = ()
    assert await ask(reach(up.endpoint("tls"))) == right_answer()


@every_encrypted
async def test_port_that_speaks_no_tls_is_said(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    endpoint = dataclasses.replace(up.endpoint(scheme), port=up.port("tcp"))
    with pytest.raises(TransportError):
        await ask(reach(endpoint), within_s=0.5)
    assert [seen for seen in up.queries if b"example" in seen.wire] == []


@every_encrypted
async def test_second_connection_resumes_the_session(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    up.drop_connections()
    while transport.facts().handshakes < 2:
        await failure_of(ask(transport))  # it may not have heard of the end yet
    assert [handshake.resumed for handshake in up.handshakes] == [False, True]
    assert transport.facts().resumed


@every_encrypted
async def test_resumed_connection_must_still_have_the_pin_E1(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(dataclasses.replace(up.endpoint(scheme), pin_sha256=(up.pin_sha256,)))
    await ask(transport)
    up.drop_connections()
    while transport.facts().handshakes < 2:
        await failure_of(ask(transport))  # it may not have heard of the end yet
    assert transport.facts().resumed
    assert await ask(transport) == right_answer()


@every_encrypted
async def test_ticket_is_not_used_past_the_expiry_of_its_certificate_F3(
    scheme: str, up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumption shows no certificate, so an expired one would go unnoticed."""
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 200 * 365 * 86400)
    up.drop_connections()
    while transport.facts().handshakes < 2:
        await failure_of(ask(transport))
    assert [handshake.resumed for handshake in up.handshakes] == [False, False]


@every_encrypted
async def test_sslkeylogfile_is_not_heeded_E17(
    scheme: str, up: FakeUpstream, reach: Reach, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert await ask(reach(up.endpoint(scheme))) == right_answer()
    assert os.listdir(tmp_path) == []


@every_encrypted
@pytest.mark.parametrize("uid", [0, 1000], ids=["root", "user"])
async def test_authorities_in_the_environment_are_for_users_only_E17(
    scheme: str, uid: int, up: FakeUpstream, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    gc.collect()  # no context of an earlier test that trusts the system is left
    monkeypatch.setenv("SSL_CERT_FILE", up.ca_file)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    failure = await failure_of(ask(reach(dataclasses.replace(up.endpoint(scheme), ca_file=None))))
    assert isinstance(failure, AuthenticationError if uid == 0 else type(None))
    assert len(up.queries) == (0 if uid == 0 else 1)


@every_encrypted
async def test_reset_drops_the_ticket_E13(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    transport.reset()
    await ask(transport)
    assert [handshake.resumed for handshake in up.handshakes] == [False, False]


@every_encrypted
async def test_certificate_that_expires_fails_the_next_handshake_F3(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(up.endpoint(scheme))
    await ask(transport)
    up.use_certificate("expired")
    assert await ask(transport, 2) == right_answer(2)  # the open connection may finish
    up.drop_connections()
    error: TransportError | None = ConnectionLost("not asked yet")
    while isinstance(error, ConnectionLost):  # it may not have heard of the end yet
        error = await failure_of(ask(transport))
    assert isinstance(error, AuthenticationError)
    assert "expired" in str(error)


async def test_ipv6_literal_is_dialled_as_it_is(reach: Reach) -> None:
    with pytest.raises(ConnectError, match="::1"):
        await ask(reach(parse("tls://[::1]:9")))
