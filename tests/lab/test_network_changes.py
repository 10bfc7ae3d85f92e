"""What happens when the network goes, comes, or becomes another one: rows F11 and F13, needs 1 and 22.

The whole program, on a laptop in a network namespace whose wire a test pulls.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from secdns.dns.edns import errors_of
from secdns.iana import EDE, RCode
from tests.lab.conftest import StartDaemon
from tests.lab.daemon import Daemon
from tests.lab.wire import CAFE, HOME, Asked, Client, Wire, address, wire

pytestmark = pytest.mark.real

LATE_S = 0.6  # what a busy machine may add to a bound of the table
MAX_GROWTH_KIB = 16 * 1024


@pytest.fixture
def laid() -> Iterator[Wire]:
    with wire() as made:
        yield made


@contextmanager
def calm(laid: Wire, daemon: Daemon) -> Iterator[None]:
    """See to the invariants of every fault test; ``secdns_daemon`` sees to the first."""
    before_kib, before = daemon.resident_kib(), daemon.descriptors()
    yield
    deadline = time.monotonic() + 12
    while daemon.descriptors() > before + 2:
        assert time.monotonic() < deadline, f"{daemon.descriptors()} descriptors, {before} before"
        time.sleep(0.05)
    assert daemon.resident_kib() < before_kib + MAX_GROWTH_KIB
    assert laid.far.seen()["strangers"] == [], "a packet left that was not for the upstream"


def told(asked: Asked) -> set[int]:
    assert asked.reply is not None
    return {code for code, _ in errors_of(asked.reply.edns)}


def ask_until_fresh(client: Client, number: int, timeout_s: float = 8.0) -> float:
    """Ask for one new name after the other until there is an answer; give the time that took."""
    started = time.monotonic()
    while time.monotonic() - started < timeout_s:
        if address(client.ask(f"h{number}.example.test")) == f"192.0.2.{number % 200 + 1}":
            return time.monotonic() - started
        number += 1
        time.sleep(0.01)
    raise AssertionError(f"nothing fresh within {timeout_s} s")


PULLED = {
    "the link is switched off": (
        ["near link set wlan0 down"],
        ["near link set wlan0 up", f"near route add default via {HOME.router} dev wlan0"],
    ),
    "the wire is pulled out": (["far link set port0 down"], ["far link set port0 up"]),
    "the address is lost": (
        [f"near address delete {HOME.address}/24 dev wlan0"],
        [
            f"near address add {HOME.address}/24 dev wlan0",
            f"near route add default via {HOME.router} dev wlan0",
        ],
    ),
}


def do(laid: Wire, commands: list[str]) -> None:
    for command in commands:
        side, _, rest = command.partition(" ")
        (laid.near_ip if side == "near" else laid.far_ip)(rest)


@pytest.mark.parametrize(
    ("scheme", "how"),
    [
        *(("tls", how) for how in PULLED),
        ("https", "the wire is pulled out"),
        ("quic", "the wire is pulled out"),
    ],
)
def test_network_gone_is_told_in_time_and_the_first_answer_is_there_when_it_is_back_F11(
    scheme: str, how: str, laid: Wire, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(laid.far.table(scheme), inside=laid.near)
    pull, plug = PULLED[how]
    with Client(laid.near, daemon.port) as client:
        assert address(client.ask("h0.example.test")) == "192.0.2.1"
        assert address(client.ask("short.example.test")) == "192.0.2.201"
        with calm(laid, daemon):
            time.sleep(1.1)  # the TTL of the short one: from now on it is stale
            do(laid, pull)
            new, old, held = (client.send(f"{name}.example.test") for name in ("h1", "short", "h0"))
            client.listen(6)
            assert address(new) == f"RCODE {RCode.SERVFAIL}"
            assert new.took_s < 2.0 + LATE_S
            assert told(new) == {EDE.NETWORK_ERROR}, new.reply
            assert (address(old), told(old)) == ("192.0.2.201", {EDE.STALE_ANSWER})
            assert old.took_s < 1.9
            assert old.reply is not None
            assert old.reply.answer[0].ttl == 30
            assert (address(held), told(held)) == ("192.0.2.1", set())
            daemon.wait_for_line(f"the network is gone, it was {HOME.address} on wlan0", 2)
            for number in range(2, 5):  # by now everybody knows
                new = client.ask(f"h{number}.example.test")
                assert (address(new), told(new)) == (f"RCODE {RCode.SERVFAIL}", {EDE.NETWORK_ERROR})
                assert new.took_s < LATE_S
            old = client.ask("short.example.test")
            assert (address(old), told(old)) == ("192.0.2.201", {EDE.STALE_ANSWER})
            assert old.took_s < LATE_S
            do(laid, plug)
            assert ask_until_fresh(client, 10) < 1.0 + LATE_S
            daemon.wait_for_line(f"the network is back, it is {HOME.address} on wlan0", 2)
            old = client.ask("short.example.test")
            assert (address(old), told(old)) == ("192.0.2.201", set()), "fresh, without waiting for a retry"
        assert daemon.stderr.count("the network is") == 2
        assert "example" not in daemon.stderr


def test_kernel_tells_of_a_change_while_nobody_asks_F11(laid: Wire, secdns_daemon: StartDaemon) -> None:
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    pull, plug = PULLED["the wire is pulled out"]
    with Client(laid.near, daemon.port) as client:
        ask_until_fresh(client, 0)
    for commands, words in ((pull, "the network is gone"), (plug, "the network is back")):
        do(laid, commands)
        daemon.wait_for_line(words, 3)


@pytest.mark.parametrize("scheme", ["tls", "https", "quic", "h3"])
def test_other_network_drops_connections_and_tickets_and_fails_nobody_F13_need1_t1(
    scheme: str, laid: Wire, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(laid.far.table(scheme), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        ask_until_fresh(client, 0)
        with calm(laid, daemon):
            numbers = iter(range(100, 1000))

            def flow(seconds: float) -> None:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    client.send(f"h{next(numbers)}.example.test")
                    client.listen(0.02)
                    time.sleep(0.02)

            flow(0.3)
            laid.leave(HOME)
            flow(0.5)
            laid.join(CAFE)
            joined_at = time.monotonic()
            flow(1.5)
            client.listen(5)
            assert client.waiting == {}
            wrong = [asked for asked in client.answered if address(asked).startswith("RCODE")]
            assert wrong == []
            first = min(a.sent_at + a.took_s for a in client.answered if a.sent_at + a.took_s > joined_at)
            assert first - joined_at < 2.0
            assert max(asked.took_s for asked in client.answered) < 2.0 + LATE_S
            seen = laid.far.seen()
            assert seen["resumed"] == [False, False], "a ticket would tell that we are the same"
            daemon.wait_for_line(f"{CAFE.address} on wlan0", 1)


@pytest.mark.parametrize("scheme", ["tls", "quic"])
def test_connection_that_only_idled_is_resumed_so_tickets_do_work_here(
    scheme: str, laid: Wire, secdns_daemon: StartDaemon
) -> None:
    """The counterpart of the test above: without a change the ticket is used."""
    daemon = secdns_daemon(laid.far.table(scheme), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        ask_until_fresh(client, 0)
        descriptors = daemon.descriptors()
        deadline = time.monotonic() + 15
        while daemon.descriptors() >= descriptors:
            assert time.monotonic() < deadline, "an idle connection stays open"
            time.sleep(0.1)
        assert address(client.ask("h1.example.test")) == "192.0.2.2"
        assert laid.far.seen()["resumed"] == [False, True]


def test_containers_and_spare_links_leave_connections_alone_need22(
    laid: Wire, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        ask_until_fresh(client, 0)
        for command in (
            "link add docker0 type bridge",
            "address add 172.17.0.1/16 dev docker0",
            "link set docker0 up",
            "link add veth0 type veth peer name veth1",
            "link set veth0 master docker0",
            "link set veth0 up",
            "link set veth1 up",
            "link add spare type veth peer name other",
            "link set other up",
            "address add 10.9.9.9/24 dev spare",
            "link set spare up",
            "route add default via 10.9.9.1 dev spare metric 900",
            f"address change {HOME.address}/24 dev wlan0 valid_lft 3600 preferred_lft 1800",
            "link delete veth0",
            "link set spare down",
        ):
            laid.near_ip(command)
            assert address(client.ask("h1.example.test")) == "192.0.2.2"
        time.sleep(1.1)  # a burst has been looked at by then
        assert address(client.ask("h2.example.test")) == "192.0.2.3"
        assert laid.far.seen()["resumed"] == [False], "one handshake in all"
    assert "wlan0" not in daemon.stderr


def test_start_without_a_network_says_so_at_once_and_answers_when_it_comes_F30_need2_t4(
    laid: Wire, secdns_daemon: StartDaemon
) -> None:
    laid.leave(HOME)
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        asked = client.ask("h0.example.test")
        assert (address(asked), told(asked)) == (f"RCODE {RCode.SERVFAIL}", {EDE.NETWORK_ERROR})
        assert asked.took_s < LATE_S
        laid.join(HOME)
        assert ask_until_fresh(client, 1) < 1.0 + LATE_S


def test_second_change_on_the_heels_of_the_first_fails_no_query_F13(
    laid: Wire, secdns_daemon: StartDaemon
) -> None:
    daemon = secdns_daemon(laid.far.table("tls"), inside=laid.near)
    with Client(laid.near, daemon.port) as client:
        ask_until_fresh(client, 0)
        number = 100
        for _ in range(4):
            for old, new in ((HOME, CAFE), (CAFE, HOME)):
                client.send(f"h{number}.example.test")
                laid.join(new)
                client.send(f"h{number + 1}.example.test")
                laid.leave(old)
                client.send(f"h{number + 2}.example.test")
                number += 3
                client.listen(0.05)
        client.listen(6)
        assert client.waiting == {}
        assert [address(asked) for asked in client.answered if address(asked).startswith("RCODE")] == []
