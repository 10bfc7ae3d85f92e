"""The lab itself: servers and clients of others get right answers from each other, without secdns.

What fails here is the lab's fault; what passes here and fails in ``test_interop.py`` is ours.
"""

import pytest

from tests.lab.clients import CLIENTS, answer_octets, over_tcp, run_client
from tests.lab.conftest import IMPLEMENTATIONS
from tests.lab.servers import UPSTREAM_NAME, Authority, Upstream
from tests.lab.zones import ITEMS, Item

pytestmark = pytest.mark.real


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_unbound_gives_what_the_zones_say(item: Item, lab_unbound: Upstream, authority: Authority) -> None:
    for client in CLIENTS:
        options = [over_tcp(client)] if item.large else []
        reply = run_client(client, lab_unbound.port, item.name, item.rrtype, *options)
        assert reply.rcode == item.rcode, client
        if item.rdata is not None:
            assert reply.rdata == tuple(sorted(item.rdata)), client
    if item.rdata is None:
        want = answer_octets(authority.port, item.name, item.rrtype)
        assert answer_octets(lab_unbound.port, item.name, item.rrtype) == want
        assert want[1]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("scheme", ["tls", "https"])
def test_upstream_answers_kdig_over_tls_and_https(
    scheme: str, implementation: str, request: pytest.FixtureRequest
) -> None:
    upstream: Upstream = request.getfixturevalue(f"lab_{implementation}")
    trust = [f"+tls-ca={upstream.ca_file}", f"+tls-hostname={UPSTREAM_NAME}"]
    if scheme == "tls":
        port, options = upstream.dot_port, [*trust]
    else:
        port, options = upstream.doh_port, [f"+https={UPSTREAM_NAME}/dns-query", *trust]
    reply = run_client("kdig", port, "chain1.example.test", "A", *options)
    assert reply.rcode == "NOERROR"
    assert "192.0.2.1" in reply.rdata


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_questions_about_other_names_stay_on_this_machine(
    implementation: str, request: pytest.FixtureRequest
) -> None:
    upstream: Upstream = request.getfixturevalue(f"lab_{implementation}")
    assert run_client("dig", upstream.port, "www.elsewhere.invalid.", "A").rcode == "NXDOMAIN"
    assert run_client("dig", upstream.port, "www.example.com.", "A").rcode == "NXDOMAIN"
