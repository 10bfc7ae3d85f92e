"""A clock that shows a time before this version was made: certificates then have no age (F14)."""

import time

import pytest

from secdns import BUILT_AT
from secdns.errors import AuthenticationError
from secdns.testing import CertificateKind, FakeUpstream
from secdns.transport import open_transport
from tests.transport.support import ZONE, ask, no_lookup

YEARS_S = 365 * 86400


@pytest.mark.parametrize("scheme", ["tls", "https", "quic", "h3"])
@pytest.mark.parametrize("kind", ["expired", "not-yet"])
async def test_age_of_a_certificate_counts_only_with_a_clock_that_can_be_right_F14(
    kind: CertificateKind, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeUpstream({**ZONE}, cert=kind) as upstream:
        transport = open_transport(upstream.endpoint(scheme), no_lookup)
        try:
            with pytest.raises(AuthenticationError):
                await ask(transport)
            monkeypatch.setattr(time, "time", lambda: BUILT_AT - 10 * YEARS_S)
            transport.reset()
            await ask(transport)
            monkeypatch.undo()  # the clock is set, and everything counts again
            transport.reset()
            with pytest.raises(AuthenticationError):
                await ask(transport)
        finally:
            await transport.aclose()


@pytest.mark.parametrize("scheme", ["tls", "quic"])
@pytest.mark.parametrize("kind", ["wrong-name", "self-signed", "unknown-ca", "client-only"])
async def test_everything_else_about_a_certificate_counts_with_any_clock_F14_E1(
    kind: CertificateKind, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: BUILT_AT - 10 * YEARS_S)
    async with FakeUpstream({**ZONE}, cert=kind) as upstream:
        transport = open_transport(upstream.endpoint(scheme), no_lookup)
        try:
            with pytest.raises(AuthenticationError):
                await ask(transport)
        finally:
            await transport.aclose()
