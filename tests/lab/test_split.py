"""Names of the local network and of a VPN go where they live and nowhere else, proved by a capture."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from secdns.dns.edns import errors_of
from secdns.iana import EDE, RCode
from tests.lab import split
from tests.lab.conftest import StartDaemon
from tests.lab.split import COMPANY, LAN, LAPTOP, ROUTER, VPN, Leaving, Services, dnsmasq, plain
from tests.lab.wire import CAFE, HOME, Asked, Client, Wire, address, wire
from tests.network.system_bus import system_bus

pytestmark = pytest.mark.real

LATE_S = 0.6  # what a busy machine may add to a bound
TO_ROUTER, TO_COMPANY = ("wlan0", ROUTER), ("vpn0", COMPANY)
ROUTED = '[[route]]\ndomains = ["inside.test"]\nvia = "network"\n'

NAMES_OF_HOME = {
    "nas": "192.168.7.20",
    "nas.lan": "192.168.7.20",
    "printer.home.arpa": "192.168.7.21",
    "fritz.box": "192.168.7.22",
    "x.internal": "192.168.7.66",
    "db.corp": "192.168.7.66",
    "20.7.168.192.in-addr.arpa": "192.168.7.66",
    "lb._dns-sd._udp.0.7.168.192.in-addr.arpa": "192.168.7.66",
}
KNOWN_AT_HOME = (
    "--address=/nas/192.168.7.20", "--address=/home.arpa/192.168.7.21", "--address=/fritz.box/192.168.7.22",
    "--address=/nas.lan/192.168.7.20", "--address=/#/192.168.7.66",  # whatever else it is asked, it lies
)  # fmt: skip


@pytest.fixture
def laid() -> Iterator[Wire]:
    with wire() as made:
        split.join(made)
        yield made


@pytest.fixture
def home(laid: Wire, tmp_path: Path) -> Iterator[None]:
    with dnsmasq(laid, tmp_path, ROUTER, *KNOWN_AT_HOME):
        yield


@pytest.fixture
def company(laid: Wire, tmp_path: Path) -> Iterator[None]:
    known = ("--address=/corp.test/10.8.0.80", "--address=/inside.test/10.8.0.81", "--address=/#/10.8.0.66")
    with dnsmasq(laid, tmp_path, COMPANY, *known):
        yield


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bus that the daemon takes for the system's, and leave for it to learn."""
    with system_bus(tmp_path) as running:
        monkeypatch.setenv("SECDNS_LAB_LINKS", "1")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", running)
        yield running


Serve = Callable[..., Services]


@pytest.fixture
def serve(bus: str) -> Iterator[Serve]:
    made: list[Services] = []

    def make(*entries: split.Entry) -> Services:
        made.append(Services(bus, *entries))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def leaving(laid: Wire) -> Iterator[Leaving]:
    made = Leaving(laid)
    yield made
    made.close()


def told(asked: Asked) -> set[int]:
    assert asked.reply is not None
    return {code for code, _ in errors_of(asked.reply.edns)}


def ask_until(client: Client, name: str, want: str, timeout_s: float = 6.0) -> float:
    """Ask until this is the answer; give the time that took."""
    started = time.monotonic()
    while (got := address(client.ask(name))) != want:
        assert time.monotonic() - started < timeout_s, f"{name} is {got}, want {want}"
        time.sleep(0.02)
    return time.monotonic() - started


@pytest.mark.usefixtures("home", "company")
def test_each_name_goes_where_it_lives_and_nowhere_else_need8_t1_need6_t1(
    laid: Wire, leaving: Leaving, serve: Serve, secdns_daemon: StartDaemon
) -> None:
    serve(VPN, LAN)
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    leaving.take()
    company = {"corp.test": "10.8.0.80", "www.corp.test": "10.8.0.80", "a.b.CORP.test": "10.8.0.80"}
    public = {f"h{number}.example.test": f"192.0.2.{number + 1}" for number in range(20)}
    nowhere = ["x.local", "x.onion", "x.invalid", "1.2.0.192.in-addr.arpa", "_dns.resolver.arpa"]
    with Client(laid.near, daemon.port) as client:
        for name, want in {**NAMES_OF_HOME, **company, **public}.items():
            assert address(client.ask(name)) == want, name
        for number in range(100):
            assert address(client.ask(f"h{number}.lan")) == "192.168.7.66"
            assert address(client.ask(f"h{number}.corp.test")) == "10.8.0.80"
        for name in nowhere:
            assert address(client.ask(name)).startswith("RCODE")
    asked = plain(leaving.take())
    assert asked == {
        TO_ROUTER: {f"{name}." for name in NAMES_OF_HOME} | {f"h{number}.lan." for number in range(100)},
        TO_COMPANY: {f"{name.lower()}." for name in company}
        | {f"h{number}.corp.test." for number in range(100)},
    }
    assert laid.far.seen()["names"] == sorted(f"{name}." for name in public)
    assert "example" not in daemon.stderr


@pytest.mark.usefixtures("home", "company")
def test_vpn_that_comes_is_used_and_one_that_ends_is_forgotten_in_time_need6_t2(
    laid: Wire, leaving: Leaving, serve: Serve, secdns_daemon: StartDaemon
) -> None:
    services = serve(LAN)
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        assert address(client.ask("h1.corp.test")).startswith("RCODE")
        assert address(client.ask("nas.lan")) == "192.168.7.20"
        services.say(VPN, LAN)
        assert ask_until(client, "www.corp.test", "10.8.0.80") < 2.0 + LATE_S
        laid.near_ip("link set vpn0 down")
        services.say(LAN)
        # an ordinary name now, of which the upstream knows nothing
        assert ask_until(client, "www.corp.test", f"RCODE {RCode.REFUSED}") < 2.0 + LATE_S
        assert address(client.ask("nas.lan")) == "192.168.7.20"
        assert address(client.ask("h1.example.test")) == "192.0.2.2"
    assert "is used now instead" not in daemon.stderr, "for the upstreams nothing changed"
    assert daemon.stderr.count("vpn0 (10.8.0.1) is asked in plain for corp.test\n") == 1


@pytest.mark.usefixtures("home", "company")
def test_name_of_a_vpn_leaves_by_no_other_link_while_it_is_down_need6(
    laid: Wire, leaving: Leaving, serve: Serve, secdns_daemon: StartDaemon
) -> None:
    serve(VPN, LAN)  # and it goes on saying so
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        assert address(client.ask("www.corp.test")) == "10.8.0.80"
        leaving.take()
        laid.near_ip("link set vpn0 down")  # now the way to its resolver would be the default route
        assert address(client.ask("secret.corp.test")) == f"RCODE {RCode.SERVFAIL}"
    assert plain(leaving.take()) == {}
    assert laid.far.seen()["names"] == []


@pytest.mark.usefixtures("home", "company", "bus")
def test_resolver_is_learnt_from_resolv_conf_where_nobody_else_tells_need8(
    laid: Wire, leaving: Leaving, secdns_daemon: StartDaemon
) -> None:
    (Path("/etc/netns") / laid.near.name / "resolv.conf").write_text(
        f"nameserver 127.0.0.1\nnameserver {ROUTER}\nsearch lan example.test\n"
    )
    daemon = secdns_daemon(laid.far.table("tls") + ROUTED, inside=laid.near)
    leaving.take()
    with Client(laid.near, daemon.port) as client:
        for name, want in {
            "nas.lan": "192.168.7.20",
            "nas": "192.168.7.20",
            "h1.example.test": "192.0.2.2",
            "x.inside.test": "192.168.7.66",
        }.items():
            assert address(client.ask(name)) == want
    assert plain(leaving.take()) == {TO_ROUTER: {"nas.lan.", "nas.", "x.inside.test."}}
    assert "the network claims example.test, a public name" in daemon.stderr


@pytest.mark.usefixtures("home", "company")
def test_route_via_network_goes_to_the_link_that_claims_the_name_need6(
    laid: Wire, leaving: Leaving, serve: Serve, secdns_daemon: StartDaemon
) -> None:
    services = serve(LAN, ("vpn0", [COMPANY], ["~inside.test"], True))
    daemon = secdns_daemon(laid.far.table("tls") + ROUTED, inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        assert address(client.ask("www.inside.test")) == "10.8.0.81"
        services.say()
        assert ask_until(client, "www.inside.test", f"RCODE {RCode.REFUSED}") < 2.0 + LATE_S
        refused = client.ask("other.inside.test")
        assert refused.reply is not None
        assert errors_of(refused.reply.edns) == ((EDE.NETWORK_ERROR, "no resolver of this network is known"),)
    assert laid.far.seen()["names"] == []


@pytest.mark.usefixtures("home", "company")
def test_strict_sends_nothing_in_plain_and_says_why_E3(
    laid: Wire, leaving: Leaving, serve: Serve, secdns_daemon: StartDaemon
) -> None:
    serve(VPN, LAN)
    strict = "[network]\nstrict = true\n"
    daemon = secdns_daemon(laid.far.table("tls") + ROUTED + strict, inside=laid.near)
    leaving.take()
    with Client(laid.near, daemon.port) as client:
        for name in ("nas", "nas.lan", "20.7.168.192.in-addr.arpa"):
            asked = client.ask(name)
            assert address(asked).startswith("RCODE")
            assert told(asked) == {EDE.OTHER}
        asked = client.ask("www.inside.test")
        assert (address(asked), told(asked)) == (f"RCODE {RCode.REFUSED}", {EDE.PROHIBITED})
    assert plain(leaving.take()) == {}
    assert laid.far.seen()["names"] == []


@pytest.mark.usefixtures("company")
def test_answers_of_one_network_are_not_given_on_another_with_the_same_resolver_address_C4(
    laid: Wire, serve: Serve, secdns_daemon: StartDaemon, tmp_path: Path
) -> None:
    serve(LAN)
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        with dnsmasq(laid, tmp_path, ROUTER, "--address=/nas.lan/192.168.7.20"):
            assert address(client.ask("nas.lan")) == "192.168.7.20"
            assert address(client.ask("h1.example.test")) == "192.0.2.2"
        with dnsmasq(laid, tmp_path, ROUTER, "--address=/nas.lan/192.168.7.99"):
            assert address(client.ask("nas.lan")) == "192.168.7.20", "from the cache"
            laid.leave(HOME)
            laid.join(CAFE)
            assert ask_until(client, "nas.lan", "192.168.7.99") < 2.0 + LATE_S
        assert address(client.ask("h1.example.test")) == "192.0.2.2", "which is still in the cache"
    assert laid.far.seen()["names"] == ["h1.example.test."]


@pytest.mark.usefixtures("home")
def test_local_names_are_answered_where_nothing_leads_to_the_upstream(
    laid: Wire, serve: Serve, secdns_daemon: StartDaemon
) -> None:
    serve(LAN)
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        laid.near_ip("route delete default")
        assert told(client.ask("h1.example.test")) == {EDE.NETWORK_ERROR}
        assert told(client.ask("h2.example.test")) == {EDE.NETWORK_ERROR}, "at once by now"
        assert address(client.ask("nas.lan")) == "192.168.7.20"


def test_router_that_asks_us_in_turn_makes_no_storm_need6_t3(
    laid: Wire, leaving: Leaving, serve: Serve, secdns_daemon: StartDaemon, tmp_path: Path
) -> None:
    serve(LAN)
    server = f'[server]\nlisten = ["127.0.0.1:5300", "{LAPTOP}:5300"]\nacl = ["{ROUTER}/32"]\n'
    daemon = secdns_daemon(server + laid.far.table("tls"), inside=laid.near)
    with (
        dnsmasq(laid, tmp_path, ROUTER, f"--server={LAPTOP}#5300"),
        Client(laid.near, daemon.port) as client,
    ):
        leaving.take()
        asked = client.ask("nas.lan")
        assert address(asked) == f"RCODE {RCode.SERVFAIL}"
        assert asked.took_s < 1.0 + LATE_S
        assert {sent.name for sent in leaving.take() if sent.port == 53} == {"nas.lan."}
        assert address(client.ask("h1.example.test")) == "192.0.2.2"
    assert "nas.lan." not in laid.far.seen()["names"]


def test_dead_resolver_of_the_network_costs_half_a_second_need8_t1(
    laid: Wire, leaving: Leaving, serve: Serve, secdns_daemon: StartDaemon
) -> None:
    serve(LAN)
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with laid.far_side.datagram_socket() as silent, Client(laid.near, daemon.port) as client:
        silent.bind((ROUTER, 53))
        asked = client.ask("nas.lan")
        assert (address(asked), told(asked)) == (f"RCODE {RCode.SERVFAIL}", {EDE.NO_REACHABLE_AUTHORITY})
        assert asked.took_s < 0.5 + LATE_S
        assert {sent.name for sent in leaving.take() if sent.port == 53} == {"nas.lan."}
        packets = 0
        silent.setblocking(False)
        with suppress(BlockingIOError):
            while silent.recv(512):
                packets += 1
        assert packets == 3, "one that is lost on the way is sent again in time"
    assert laid.far.seen()["names"] == []


def test_kernel_shows_a_tunnel_as_it_is_looked_for_need6(laid: Wire) -> None:
    made = laid.near.run("ip", "tuntap", "add", "tun9", "mode", "tun")
    if made.returncode:
        pytest.skip(f"no tunnel devices here: {made.stderr.strip()}")
    script = (
        "import asyncio; from secdns.network.learning import Learner\n"
        "async def main(): print([Learner(print)._is_vpn(x) for x in ('wlan0', 'vpn0', 'tun9', 'gone')])\n"
        "asyncio.run(main())"
    )
    done = laid.near.run(sys.executable, "-c", script)
    assert (done.stdout, done.stderr) == ("[False, False, True, False]\n", "")
