"""secdns between other people's clients and upstreams gives the zones' own answers."""

import re
import subprocess
import time
from collections.abc import Callable

import dns.flags
import dns.message
import dns.query
import pytest

from tests.lab.clients import CLIENTS, answer_octets, over_tcp, pipelined, run_client
from tests.lab.conftest import UPSTREAMS, StartDaemon
from tests.lab.daemon import Daemon
from tests.lab.programs import find, simple_query
from tests.lab.servers import Authority, Upstream, unbound_counter
from tests.lab.zones import ITEMS, MANY, Item

pytestmark = pytest.mark.real

SharedDaemons = Callable[[str], Daemon]
UpstreamTable = Callable[[str], str]

COUNTED = tuple(which for which in UPSTREAMS if not which.endswith(("-kresd", "-bind")))
"""Upstreams behind which Unbound counts every query; the others have a cache of their own in between."""


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
@pytest.mark.parametrize("which", UPSTREAMS)
def test_client_gets_the_right_answer(
    which: str, item: Item, shared_daemons: SharedDaemons, authority: Authority
) -> None:
    daemon = shared_daemons(which)
    for client in CLIENTS:
        options = [over_tcp(client)] if item.large else []
        reply = run_client(client, daemon.port, item.name, item.rrtype, *options)
        assert reply.rcode == item.rcode, (client, reply.text)
        if item.rdata is not None:
            assert reply.rdata == tuple(sorted(item.rdata)), (client, reply.text)
    if item.rdata is None:
        want = answer_octets(authority.port, item.name, item.rrtype)
        assert answer_octets(daemon.port, item.name, item.rrtype) == want
        assert answer_octets(daemon.port, item.name, item.rrtype, tcp=False) == want


@pytest.mark.parametrize("which", UPSTREAMS)
def test_ttls_never_exceed_the_zones_own(which: str, shared_daemons: SharedDaemons) -> None:
    reply = run_client("dig", shared_daemons(which).port, "chain1.example.test", "A")
    limits = {"chain1.example.test.": 300, "chain2.example.test.": 200, "chain3.example.test.": 100}
    assert len(reply.answer) == 4
    for record in reply.answer:
        assert record.ttl_s <= limits.get(record.owner, 3600), record


@pytest.mark.parametrize("item", [item for item in ITEMS if item.large], ids=lambda item: item.id)
@pytest.mark.parametrize("which", UPSTREAMS)
def test_large_answer_is_truncated_over_udp_and_whole_over_tcp(
    which: str, item: Item, shared_daemons: SharedDaemons
) -> None:
    port = shared_daemons(which).port
    cut = run_client("dig", port, item.name, item.rrtype, "+ignore", "+bufsize=4096")
    assert "tc" in cut.flags
    received = int(cut.text.split("MSG SIZE  rcvd: ")[1].split()[0])
    assert received <= 1232
    for client in ("dig", "kdig"):
        whole = run_client(client, port, item.name, item.rrtype)  # both come back over TCP by themselves
        assert "tc" not in whole.flags, client
        assert whole.rdata == item.rdata, client


def test_udp_reply_keeps_to_512_octets_without_edns(shared_daemons: SharedDaemons) -> None:
    query = dns.message.make_query("many.example.test", "A", use_edns=False)
    response = dns.query.udp(query, "127.0.0.1", port=shared_daemons(UPSTREAMS[0]).port, timeout=5)
    assert len(response.to_wire(max_size=65535)) <= 512
    assert response.flags & dns.flags.TC
    assert response.edns == -1


@pytest.mark.parametrize("which", UPSTREAMS)
def test_kdig_keeps_one_tcp_connection_open(which: str, shared_daemons: SharedDaemons) -> None:
    names = ["www.example.test", "many.example.test", "day.example.test", "gone.example.test"]
    argv = [find("kdig"), "@127.0.0.1", "-p", str(shared_daemons(which).port), "+tcp", "+keepopen"]
    done = subprocess.run([*argv, *names], capture_output=True, text=True, timeout=20, check=False)
    assert re.findall(r"status: (\w+)", done.stdout) == ["NOERROR", "NOERROR", "NOERROR", "NXDOMAIN"]
    assert done.stdout.count("198.51.100.") == MANY


@pytest.mark.parametrize("which", UPSTREAMS)
def test_pipelined_tcp_queries_are_all_answered(
    which: str, secdns_daemon: StartDaemon, upstream_table: UpstreamTable
) -> None:
    wires = [simple_query(f"p{i}.wild.example.test", id=i) for i in range(200)]
    daemon = secdns_daemon(upstream_table(which))  # a fresh one, so that all wait for a connection
    started = time.monotonic()
    responses = pipelined(daemon.port, wires)
    assert time.monotonic() - started < 2, "dnsdist 1.7 reads one query of a TLS record"
    assert sorted(responses) == list(range(200))
    for i, wire in enumerate(wires):
        assert responses[i][12 : len(wire)] == wire[12:]
        assert responses[i][3] & 0x0F == 0


@pytest.mark.parametrize("which", COUNTED)
def test_second_answer_comes_from_the_cache(
    which: str, shared_daemons: SharedDaemons, lab_unbound: Upstream
) -> None:
    port = shared_daemons(which).port
    name = f"cached-{which}.wild.example.test"
    before = unbound_counter(lab_unbound)
    assert run_client("dig", port, name, "A").rdata == ("192.0.2.77",)
    assert unbound_counter(lab_unbound) == before + 1
    for client in CLIENTS:
        assert run_client(client, port, name, "A").rdata == ("192.0.2.77",)
        assert run_client(client, port, name.upper(), "A", over_tcp(client)).rdata == ("192.0.2.77",)
    assert unbound_counter(lab_unbound) == before + 1


def test_negative_answer_is_cached_with_its_soa(shared_daemons: SharedDaemons, lab_unbound: Upstream) -> None:
    port = shared_daemons(UPSTREAMS[0]).port
    first = run_client("dig", port, "never.example.test", "A")
    for _ in range(3):  # what an earlier test left on its way may be counted meanwhile
        counted = unbound_counter(lab_unbound)
        second = run_client("dig", port, "never.example.test", "A")
        if unbound_counter(lab_unbound) == counted:
            break
    else:
        pytest.fail("the upstream is asked again each time")
    assert (first.rcode, second.rcode) == ("NXDOMAIN", "NXDOMAIN")
    assert "ns.example.test. hostmaster.example.test. 1 7200 3600 1209600 300" in second.text


def test_ttl_0_is_asked_again(shared_daemons: SharedDaemons, lab_unbound: Upstream) -> None:
    port = shared_daemons(UPSTREAMS[0]).port
    before = unbound_counter(lab_unbound)
    for _ in range(2):
        assert run_client("dig", port, "zero.example.test", "A").rdata == ("192.0.2.6",)
    assert unbound_counter(lab_unbound) == before + 2


def test_the_names_own_letter_case_comes_back_1035_1(shared_daemons: SharedDaemons) -> None:
    port = shared_daemons(UPSTREAMS[0]).port
    for name in ("wWw.ExAmPlE.tEsT", "WWW.example.TEST"):
        assert f";{name}." in run_client("dig", port, name, "A").text


def test_query_with_cookie_and_client_subnet_still_gets_its_answer(shared_daemons: SharedDaemons) -> None:
    port = shared_daemons(UPSTREAMS[0]).port
    for options in (
        ["+cookie"],
        ["+subnet=192.0.2.0/24"],
        ["+padding=64"],
        ["+nsid"],
        ["+noedns"],
        ["+dnssec"],
    ):
        reply = run_client("dig", port, "www.example.test", "A", *options)
        assert reply.rdata == ("192.0.2.1",), options


def test_route_goes_to_its_own_plain_server_C4(
    secdns_daemon: StartDaemon, lab_unbound: Upstream, authority: Authority
) -> None:
    for scheme in ("udp", "tcp"):
        route = f'[[route]]\ndomains = ["corp.test"]\nvia = "{scheme}://127.0.0.1:{authority.port}"\n'
        daemon = secdns_daemon(lab_unbound.config_table("tls") + route)
        before = unbound_counter(lab_unbound)
        assert run_client("dig", daemon.port, "www.corp.test", "A").rdata == ("10.1.2.3",)
        assert run_client("dig", daemon.port, "gone.corp.test", "A").rcode == "NXDOMAIN"
        assert unbound_counter(lab_unbound) == before, "the private name reached the encrypted upstream"
        assert run_client("dig", daemon.port, "www.example.test", "A").rdata == ("192.0.2.1",)
        assert unbound_counter(lab_unbound) == before + 1


def test_route_answer_too_large_for_udp_is_fetched_over_tcp(
    secdns_daemon: StartDaemon, lab_unbound: Upstream, authority: Authority
) -> None:
    route = f'[[route]]\ndomains = ["example.test"]\nvia = "udp://127.0.0.1:{authority.port}"\n'
    daemon = secdns_daemon(lab_unbound.config_table("tls") + route)
    reply = run_client("dig", daemon.port, "many.example.test", "A")
    assert len(reply.answer) == MANY


def test_override_wins_over_the_upstream(secdns_daemon: StartDaemon, lab_unbound: Upstream) -> None:
    overrides = '[overrides]\n"www.example.test" = "192.0.2.200"\n'
    daemon = secdns_daemon(lab_unbound.config_table("tls") + overrides)
    assert run_client("dig", daemon.port, "www.example.test", "A").rdata == ("192.0.2.200",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("localhost", id="6761.1"),
        pytest.param("x.invalid", id="6761.2"),
        pytest.param("x.onion", id="7686.1"),
        pytest.param("x.alt", id="9476.1"),
        pytest.param("x.local", id="6762.1"),
        pytest.param("x.home.arpa", id="8375.1"),
        pytest.param("4.3.2.10.in-addr.arpa", id="6303.1"),
        pytest.param("x.service.arpa", id="9665.1"),
        pytest.param("x.internal", id="internal"),
    ],
)
def test_special_use_name_never_reaches_the_upstream(
    name: str, shared_daemons: SharedDaemons, lab_unbound: Upstream
) -> None:
    daemon = shared_daemons(UPSTREAMS[0])
    before = unbound_counter(lab_unbound)
    reply = run_client("dig", daemon.port, name, "A")
    assert reply.rcode == ("NOERROR" if name == "localhost" else "NXDOMAIN")
    assert unbound_counter(lab_unbound) == before
