"""The hashes of a DNS stamp are looked for in the chain that was validated, or nothing is said."""

import asyncio
import dataclasses
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from secdns.endpoint import Endpoint, parse
from secdns.errors import AuthenticationError, TransportError
from secdns.testing import Authority, FakeUpstream
from secdns.transport.tls import Identity
from tests.endpoint.stamps import DOH, DOQ, DOT, stamp
from tests.transport.conftest import Reach
from tests.transport.support import ENCRYPTED, ZONE, ask, right_answer

PROTOCOLS = {"https": DOH, "h3": DOH, "tls": DOT, "quic": DOQ}
WRONG = hashlib.sha256(b"a certificate of somebody else").digest()

every_encrypted = pytest.mark.parametrize("scheme", ENCRYPTED)


def tbs_hash(pem: bytes) -> bytes:
    return hashlib.sha256(x509.load_pem_x509_certificate(pem).tbs_certificate_bytes).digest()


def authority_hash(up: FakeUpstream) -> bytes:
    return tbs_hash(Path(up.ca_file).read_bytes())


async def leaf_hash(up: FakeUpstream) -> bytes:
    address = ("127.0.0.1", up.port("tls"))
    return tbs_hash((await asyncio.to_thread(ssl.get_server_certificate, address)).encode())


def stamped(up: FakeUpstream, scheme: str, *hashes: bytes) -> Endpoint:
    """Give the endpoint of an upstream as its stamp has it, with the authority to trust."""
    text = stamp(
        PROTOCOLS[scheme], f"{up.hostname}:{up.port(scheme)}", address=up.addresses[0], hashes=hashes
    )
    # A stamp for DoH does not say which HTTP; whoever goes over to HTTP/3 takes the hashes along.
    return dataclasses.replace(parse(text), scheme=scheme, ca_file=up.ca_file)


@every_encrypted
async def test_stamp_without_hashes_is_taken(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    assert stamped(up, scheme) == up.endpoint(scheme)
    assert await ask(reach(stamped(up, scheme))) == right_answer()


@every_encrypted
async def test_hash_of_the_leaf_is_enough_E1(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    assert await ask(reach(stamped(up, scheme, await leaf_hash(up)))) == right_answer()


@every_encrypted
async def test_hash_of_the_authority_is_enough_E1(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    transport = reach(stamped(up, scheme, authority_hash(up)))
    assert await ask(transport) == right_answer()
    up.use_certificate("good")  # another leaf of the same authority
    up.drop_connections()
    while transport.facts().handshakes < 2:
        await _fails_or_answers(ask(transport, 2))
    assert await ask(transport, 3) == right_answer(3)


@every_encrypted
async def test_any_one_hash_is_enough(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    assert await ask(reach(stamped(up, scheme, WRONG, authority_hash(up)))) == right_answer()


@every_encrypted
async def test_wrong_hash_gets_no_query_E1(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    with pytest.raises(AuthenticationError, match=f"none has a hash of its stamp, {WRONG.hex()}") as caught:
        await ask(reach(stamped(up, scheme, WRONG)))
    assert caught.value.hint is not None
    assert up.queries == []


@every_encrypted
async def test_hash_of_a_certificate_that_was_replaced_gets_no_query_E1(
    scheme: str, up: FakeUpstream, reach: Reach
) -> None:
    transport = reach(stamped(up, scheme, await leaf_hash(up)))
    assert await ask(transport) == right_answer()
    up.use_certificate("good")
    up.drop_connections()
    error: TransportError | None = None
    while not isinstance(error, AuthenticationError):  # it may not have heard of the end yet
        error = await _fails_or_answers(ask(transport, 2))
    assert len(up.queries) == 1


@every_encrypted
async def test_hash_and_pin_must_both_fit_E1(scheme: str, up: FakeUpstream, reach: Reach) -> None:
    fits = stamped(up, scheme, authority_hash(up))
    assert await ask(reach(dataclasses.replace(fits, pin_sha256=(up.pin_sha256,)))) == right_answer()
    misfits = stamped(up, scheme, WRONG)
    for wrong in (
        dataclasses.replace(fits, pin_sha256=("A" * 43 + "=",)),
        dataclasses.replace(misfits, pin_sha256=(up.pin_sha256,)),
    ):
        with pytest.raises(AuthenticationError):
            await ask(reach(wrong))
    assert len(up.queries) == 1


@every_encrypted
async def test_hash_does_not_excuse_a_wrong_certificate_E1(scheme: str, reach: Reach) -> None:
    async with FakeUpstream(ZONE, cert="wrong-name") as up:
        with pytest.raises(AuthenticationError, match="another name"):
            await ask(reach(stamped(up, scheme, await leaf_hash(up), authority_hash(up))))
        assert up.queries == []


@every_encrypted
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_resumed_connection_stands_for_the_chain_that_did_fit_E1(
    scheme: str, version: str, up: FakeUpstream, reach: Reach
) -> None:
    """A resumption shows no chain, and a ticket comes from a connection whose chain was looked at."""
    up.faults.tls_maximum = ssl.TLSVersion[version]
    transport = reach(stamped(up, scheme, authority_hash(up)))
    await ask(transport)
    up.drop_connections()
    while transport.facts().handshakes < 2:
        await _fails_or_answers(ask(transport))
    assert transport.facts().resumed
    assert await ask(transport) == right_answer()


async def _fails_or_answers(asking: Awaitable[object]) -> TransportError | None:
    try:
        await asking
    except TransportError as error:
        return error
    return None


# chains that the testing upstream does not have


@pytest.fixture
def chain(tmp_path: Path) -> "Chain":
    return Chain(tmp_path)


class Chain:
    """A leaf under an intermediate authority, presented together with a stranger's certificate."""

    def __init__(self, directory: Path) -> None:
        root = trustme.CA()
        middle = root.create_child_ca()
        leaf = middle.issue_cert("dns.test")
        self.root, self.middle = (tbs_hash(one.cert_pem.bytes()) for one in (root, middle))
        self.leaf = tbs_hash(leaf.cert_chain_pems[0].bytes())
        stranger = Authority().certificate_pem
        self.stranger = tbs_hash(stranger)
        presented = directory / "chain.pem"
        pems = [one.bytes() for one in (leaf.private_key_pem, *leaf.cert_chain_pems)]
        presented.write_bytes(b"".join([*pems, stranger]))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(presented)
        self.ca_file = directory / "root.pem"
        root.cert_pem.write_to_path(self.ca_file)

    def presented(self, want: bytes) -> None:
        """Shake hands with this chain, and check that ``want`` is in it."""
        where = dataclasses.replace(parse(stamp(DOT, "dns.test", hashes=[want])), ca_file=str(self.ca_file))
        identity = Identity(where, "dot", alpn_required=False)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = identity.start(to_client, to_server)
        server = self.context.wrap_bio(to_server, to_client, server_side=True)
        steps: list[Callable[[], None]] = [client.do_handshake, server.do_handshake]
        while steps:
            step = steps.pop(0)
            try:
                step()
            except ssl.SSLWantReadError:
                steps.append(step)
        identity.check(client)


@pytest.mark.parametrize("which", ["leaf", "middle", "root"])
def test_hash_of_any_certificate_of_the_chain_is_enough_E1(which: str, chain: Chain) -> None:
    chain.presented(getattr(chain, which))


def test_certificate_that_is_only_sent_along_counts_for_nothing_E1(chain: Chain) -> None:
    with pytest.raises(AuthenticationError, match="of the 3 certificates in its chain none"):
        chain.presented(chain.stranger)
