"""What breaks around secdns, with real servers: rows F19–F22, F25, F31 and F32 of the fault table."""

import re
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab import servers
from tests.lab.clients import Reply, run_client
from tests.lab.conftest import StartDaemon
from tests.lab.daemon import Daemon
from tests.lab.load import Steady, dnsperf
from tests.lab.programs import ask_udp, free_ports, simple_query
from tests.lab.servers import Authority, Certificates, Upstream, unbound_counter

pytestmark = pytest.mark.real

PATIENCE_S = 4.5
"""A client gets some answer within this time, whatever the upstreams do."""

CACHED = "www.example.test"


def timed_ask(daemon: Daemon, name: str) -> tuple[Reply, float]:
    """Ask with dig; give its reply and the time it waited, in seconds, by its own clock."""
    reply = run_client("dig", daemon.port, name, "A", timeout_s=8)
    waited = re.search(r"Query time: (\d+) msec", reply.text)
    assert waited, reply.text
    return reply, int(waited[1]) / 1000


def ask_until(daemon: Daemon, name: str, want: bytes | None, timeout_s: float) -> float:
    """Ask the same question until an answer holds ``want``; give the time that took, in seconds."""
    started = time.monotonic()
    while (took_s := time.monotonic() - started) < timeout_s:
        response = ask_udp(daemon.port, simple_query(name), timeout_s=0.5)
        if response is not None and response[3] & 0x0F == 0 and (want is None or want in response):
            return time.monotonic() - started
        time.sleep(0.02)
    raise AssertionError(f"no right answer for {name} within {took_s:.1f} s:\n{daemon.stderr}")


def settled_counter(upstream: Upstream) -> int:
    """Give the number of queries it was asked, once what is still on its way has arrived."""
    deadline = time.monotonic() + 2 * PATIENCE_S
    before = unbound_counter(upstream)
    while True:
        time.sleep(0.3)
        if (asked := unbound_counter(upstream)) == before:
            return asked
        assert time.monotonic() < deadline, "the flood does not end"
        before = asked


def fixed_port() -> str:
    """Give a ``[server]`` table with a port that stays the same over a reload."""
    return f'[server]\nlisten = ["127.0.0.1:{free_ports(1)[0]}"]\n'


@contextmanager
def descriptors_come_back(daemon: Daemon, slack: int = 2) -> Iterator[None]:
    before = daemon.descriptors()
    yield
    deadline = time.monotonic() + 12
    while daemon.descriptors() > before + slack:
        assert time.monotonic() < deadline, f"{daemon.descriptors()} descriptors, {before} before"
        time.sleep(0.05)


class OwnUpstream:
    """An Unbound of one test's own, which it takes away and brings back on the same ports."""

    def __init__(self, scheme: str, start: Callable[[], AbstractContextManager[Upstream]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self.upstream = self._stack.enter_context(start())
        self.table = self.upstream.config_table(scheme)

    def take_away(self) -> None:
        self._stack.close()

    def bring_back(self) -> None:
        self.upstream = self._stack.enter_context(self._start())


@pytest.fixture(params=["tls", "https"])
def own_upstream(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates, authority: Authority
) -> Iterator[OwnUpstream]:
    ports = free_ports(3)

    def start() -> AbstractContextManager[Upstream]:
        return servers.unbound(tmp_path / "unbound", certificates, authority.port, ports=ports)

    own = OwnUpstream(request.param, start)
    yield own
    own.take_away()


def test_upstream_gone_gives_servfail_with_words_in_time_and_it_comes_back_F25(
    own_upstream: OwnUpstream, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(own_upstream.table)
    assert run_client("dig", daemon.port, CACHED, "A").rdata == ("192.0.2.1",)
    own_upstream.take_away()
    for name in ("day.example.test", "mixed.example.test"):
        reply, took_s = timed_ask(daemon, name)
        assert reply.rcode == "SERVFAIL"
        assert took_s < PATIENCE_S
        assert {code for code, _ in reply.errors} & {22, 23}, reply.text
    assert run_client("dig", daemon.port, CACHED, "A").rdata == ("192.0.2.1",), "cached answers go on"
    own_upstream.bring_back()
    assert ask_until(daemon, "printer.corp.test", socket.inet_aton("10.1.2.4"), 10) < 6
    ask_until(daemon, "day.example.test", socket.inet_aton("192.0.2.7"), 10)


def test_silent_upstream_gives_servfail_with_words_in_time_F2_F25(
    own_upstream: OwnUpstream, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(own_upstream.table)
    assert run_client("dig", daemon.port, CACHED, "A").rdata == ("192.0.2.1",)
    own_upstream.upstream.process.popen.send_signal(signal.SIGSTOP)
    try:
        for name in ("day.example.test", "mixed.example.test"):
            reply, took_s = timed_ask(daemon, name)
            assert reply.rcode == "SERVFAIL"
            assert took_s < PATIENCE_S
            assert {code for code, _ in reply.errors} & {22, 23}, reply.text
    finally:
        own_upstream.upstream.process.popen.send_signal(signal.SIGCONT)
    assert ask_until(daemon, "printer.corp.test", socket.inet_aton("10.1.2.4"), 10) < 6


def test_expired_answer_is_served_stale_while_the_upstream_is_gone_8767(
    own_upstream: OwnUpstream, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(own_upstream.table)
    assert run_client("dig", daemon.port, "short.example.test", "A").rdata == ("192.0.2.5",)
    own_upstream.take_away()
    deadline = time.monotonic() + 10  # its TTL is 5 s; until then fresh answers come, TTL counting down
    while True:
        reply, took_s = timed_ask(daemon, "short.example.test")
        assert (reply.rcode, reply.rdata) == ("NOERROR", ("192.0.2.5",)), reply.text
        assert took_s < 1.9
        if 3 in {code for code, _ in reply.errors}:
            break
        assert reply.answer[0].ttl_s <= 5
        assert time.monotonic() < deadline, "never stale"
        time.sleep(0.2)
    assert reply.answer[0].ttl_s == 30


def test_second_upstream_serves_when_the_first_is_gone(
    own_upstream: OwnUpstream, lab_dnsdist: Upstream, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(own_upstream.table + lab_dnsdist.config_table("tls"))
    assert run_client("dig", daemon.port, CACHED, "A").rdata == ("192.0.2.1",)
    own_upstream.take_away()
    for name, want in (("day.example.test", "192.0.2.7"), ("mixed.example.test", "192.0.2.2")):
        reply, took_s = timed_ask(daemon, name)
        assert reply.rdata == (want,), reply.text
        assert took_s < 2


def test_broken_file_is_refused_on_reload_and_the_old_one_serves(
    secdns_daemon: StartDaemon, lab_unbound: Upstream, authority: Authority
) -> None:
    good = fixed_port() + lab_unbound.config_table("tls")
    daemon = secdns_daemon(good)
    for broken in ("[server\n", "[server]\nlissten = []\n", '[[upstream]]\nurl = "carrier-pigeon://x"\n'):
        seen = len(daemon.lines)
        daemon.rewrite(broken)
        daemon.reload()
        told = daemon.wait_for_line("the old configuration stays", 5, since=seen).string
        assert daemon.config.name in told
        assert run_client("dig", daemon.port, "day.example.test", "A").rdata == ("192.0.2.7",)
    assert run_client("dig", daemon.port, "www.corp.test", "A").rdata == ("10.1.2.3",)
    daemon.rewrite(good + '[overrides]\n"new.example.test" = "192.0.2.99"\n')
    daemon.reload()
    ask_until(daemon, "new.example.test", socket.inet_aton("192.0.2.99"), 5)


def test_no_query_is_lost_while_the_configuration_is_reloaded_F22(
    secdns_daemon: StartDaemon, lab_unbound: Upstream
) -> None:
    text = fixed_port() + lab_unbound.config_table("tls")
    daemon = secdns_daemon(text)
    hot = [f"hot{i}.wild.example.test" for i in range(4)]
    names = [name for i in range(20_000) for name in (*hot, f"cold{i}.wild.example.test")]
    with descriptors_come_back(daemon), Steady(daemon.port, names, rate=200) as load:
        for i in range(20):
            if i % 5 == 4:
                daemon.rewrite("broken = [\n")
            else:
                daemon.rewrite(f'{text}[overrides]\n"round.example.test" = "192.0.2.{i}"\n')
            daemon.reload()
            if i % 5 != 4:
                ask_until(daemon, "round.example.test", socket.inet_aton(f"192.0.2.{i}"), 3)
            time.sleep(0.25)
    assert load.lost == 0
    assert set(load.rcodes) == {0}
    assert sum(load.rcodes.values()) == load.sent


def test_flood_of_random_names_neither_kills_nor_evicts_F21(
    secdns_daemon: StartDaemon, lab_unbound: Upstream, tmp_path: Path
) -> None:
    daemon = secdns_daemon("[cache]\nsize_mb = 8\n" + lab_unbound.config_table("tls"))
    ask_until(daemon, CACHED, None, 5)
    flood = tmp_path / "flood"
    flood.write_text("".join(f"f{i}.wild.example.test A\n" for i in range(300_000)))
    for i in range(40):  # make it hot
        assert ask_udp(daemon.port, simple_query(CACHED, id=i), timeout_s=1)
    before_kib = daemon.resident_kib()
    counted = 0
    with Steady(daemon.port, [CACHED], rate=50) as load:
        result = dnsperf(daemon.port, flood, seconds=8, outstanding=2000, clients=20, timeout_s=1)
        counted = result.sent
    assert counted > 5_000
    assert ask_until(daemon, CACHED, None, 5) < 2
    asked = settled_counter(lab_unbound)
    assert run_client("dig", daemon.port, CACHED, "A").rdata == ("192.0.2.1",)
    assert unbound_counter(lab_unbound) == asked, "the hot name was pushed out"
    assert load.rcodes.get(0, 0) >= 0.9 * load.sent, load
    assert daemon.resident_kib() < before_kib + 64 * 1024


def test_sigterm_under_load_drains_and_ends_with_0_F32(
    secdns_daemon: StartDaemon, lab_unbound: Upstream
) -> None:
    daemon = secdns_daemon(lab_unbound.config_table("tls"))
    names = [f"t{i}.wild.example.test" for i in range(50_000)]
    with Steady(daemon.port, names, rate=500) as load:
        deadline = time.monotonic() + 5
        while load.rcodes.get(0, 0) < 500:
            assert time.monotonic() < deadline, load
            time.sleep(0.05)
        daemon.stop()  # asserts: in time, status 0, no traceback


def test_vanished_clients_leave_nothing_behind_F31(secdns_daemon: StartDaemon, lab_unbound: Upstream) -> None:
    daemon = secdns_daemon(lab_unbound.config_table("https"))
    ask_until(daemon, CACHED, None, 5)
    with descriptors_come_back(daemon):
        for i in range(200):
            wire = simple_query(f"gone{i}.wild.example.test")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(wire, ("127.0.0.1", daemon.port))
            with socket.create_connection(("127.0.0.1", daemon.port)) as stream:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.sendall(len(wire).to_bytes(2) + wire)  # and away, with RST
        ask_until(daemon, "gone199.wild.example.test", socket.inet_aton("192.0.2.77"), 5)
    asked = unbound_counter(lab_unbound)
    assert run_client("dig", daemon.port, "gone150.wild.example.test", "A").rdata == ("192.0.2.77",)
    assert unbound_counter(lab_unbound) == asked, "the answer for a client that went away is kept"


def test_out_of_descriptors_udp_and_cache_go_on_F19(
    secdns_daemon: StartDaemon, lab_unbound: Upstream
) -> None:
    daemon = secdns_daemon(lab_unbound.config_table("tls"), limits="--nofile=64:64")
    ask_until(daemon, CACHED, None, 5)
    with ExitStack() as stack:
        for _ in range(128):
            stream = stack.enter_context(socket.socket())
            stream.settimeout(1)
            stream.connect(("127.0.0.1", daemon.port))
        cpu_s, started = daemon.cpu_s(), time.monotonic()
        for i in range(100):
            assert ask_udp(daemon.port, simple_query(CACHED, id=i), timeout_s=1), i
            time.sleep(0.01)
        assert ask_udp(daemon.port, simple_query("emfile.wild.example.test"), timeout_s=5)
        assert (daemon.cpu_s() - cpu_s) / (time.monotonic() - started) < 0.5, "it spins"
    deadline = time.monotonic() + 10
    while run_client("dig", daemon.port, CACHED, "A", "+tcp", timeout_s=2).rcode != "NOERROR":
        assert time.monotonic() < deadline, "TCP did not recover"


def test_ten_thousand_tcp_clients_are_shed_and_udp_stays_quick_F20(
    secdns_daemon: StartDaemon, lab_unbound: Upstream
) -> None:
    clients = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < clients + 500:
        clients = hard - 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, clients + 500), hard))
    try:
        daemon = secdns_daemon(lab_unbound.config_table("tls"))
        ask_until(daemon, CACHED, None, 5)
        before_kib = daemon.resident_kib()
        with ExitStack() as stack:
            for _ in range(clients):
                stream = stack.enter_context(socket.socket())
                stream.setblocking(False)
                stream.connect_ex(("127.0.0.1", daemon.port))
            took_s = []
            for i in range(300):
                started = time.monotonic()
                assert ask_udp(daemon.port, simple_query(CACHED, id=i), timeout_s=2), i
                took_s.append(time.monotonic() - started)
            assert daemon.descriptors() < 256 + 64
            assert daemon.resident_kib() < before_kib + 64 * 1024
            assert sorted(took_s)[-15] < 0.05
        deadline = time.monotonic() + 15
        while run_client("dig", daemon.port, CACHED, "A", "+tcp", timeout_s=2).rcode != "NOERROR":
            assert time.monotonic() < deadline, "TCP did not recover"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
