"""A network that wants people to sign in, met by the whole program: T1 to T5 of need 5, with a capture.

The figures are those of ``user-needs.md``: a connectivity check is answered within 1 s, the state is
"sign-in" within 5 s of the link, "secure" within 5 s of the sign-in, and no other name is ever in plain.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from secdns.connectivity_checks import CHECKS
from secdns.control.client import Client as Control
from secdns.control.schema import Status
from secdns.dns.edns import errors_of
from secdns.dns.name import to_text
from secdns.errors import ControlError
from secdns.iana import RCode
from secdns.reasons import SIGN_IN
from secdns.states import State
from tests.lab.cafe import LOGIN, ROUTER, Cafe, How, cafe
from tests.lab.conftest import StartDaemon
from tests.lab.daemon import Daemon
from tests.lab.split import Leaving, Services
from tests.lab.wire import UPSTREAM, Asked, Client, Wire, address, wire
from tests.network.system_bus import system_bus

pytestmark = pytest.mark.real

LATE_S = 0.6  # what a busy machine may add to a bound
CHECK = "captive.apple.com"
PUBLIC = {to_text(name) for name in CHECKS()} | {"ipv4only.arpa.", f"{LOGIN}."}


@pytest.fixture(scope="module")
def laid() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture(scope="module")
def built(laid: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cafe]:
    with cafe(laid, tmp_path_factory.mktemp("cafe")) as made:
        yield made


@pytest.fixture
def network(built: Cafe) -> Cafe:
    """The café, open to everybody, with a page; the laptop is not on it."""
    built.leave()
    built.open()
    built.catch()
    built.visits.clear()
    return built


@pytest.fixture
def leaving(laid: Wire) -> Iterator[Leaving]:
    made = Leaving(laid)
    yield made
    made.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """NetworkManager, which knows the café's resolver."""
    with system_bus(tmp_path) as running:
        monkeypatch.setenv("SECDNS_LAB_LINKS", "1")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", running)
        services = Services(running, ("wlan1", [ROUTER], [], False))
        yield services
        services.close()


Start = Callable[..., tuple[Daemon, Control]]


@pytest.fixture
def start(
    laid: Wire,
    network: Cafe,
    manager: Services,
    secdns_daemon: StartDaemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Start:
    """Start secdns on the laptop, which is on no network yet."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    def started(more: str = "") -> tuple[Daemon, Control]:
        daemon = secdns_daemon(laid.far.table("https") + more, inside=laid.near)
        return daemon, Control([tmp_path / "control.sock"])

    return started


def until(control: Control, state: State, timeout_s: float) -> tuple[float, Status]:
    """Wait for a state; give the time that took."""
    began = time.monotonic()
    while (status := control.status()).state is not state:
        took_s = time.monotonic() - began
        assert took_s < timeout_s, f"{status.state} after {took_s:.1f} s, want {state}: {status.sentence}"
        time.sleep(0.02)
    return time.monotonic() - began, status


def told(asked: Asked) -> str:
    assert asked.reply is not None
    return "; ".join(text for _, text in errors_of(asked.reply.edns))


def in_plain(leaving: Leaving) -> set[str]:
    """Give the names that left in plain since the last time; all of them for the café's own resolver."""
    sent = {each for each in leaving.take() if each.port == 53}
    assert {each.to for each in sent} <= {ROUTER}
    return {each.name for each in sent}


@pytest.mark.parametrize("how", ["reject", "drop"])
def test_person_signs_in_and_no_other_name_goes_out_in_plain_need5_t1_t2_t3_t5(
    how: How, laid: Wire, network: Cafe, start: Start, leaving: Leaving
) -> None:
    network.close(how)
    daemon, control = start()
    with Client(laid.near, daemon.port) as client:
        until(control, State.OFFLINE, 2)
        network.join()
        joined = time.monotonic()
        early = client.ask(CHECK)  # nothing is known yet
        assert (address(early), early.took_s < 1 + LATE_S) == (ROUTER, True)
        _, status = until(control, State.SIGN_IN, 5 + LATE_S)
        signed_out_s = time.monotonic() - joined
        assert status.sentence.startswith(f"this network wants you to sign in at {LOGIN};")
        assert status.portal is not None
        assert (status.portal.url, status.portal.left_s) == (f"http://{LOGIN}/", None)
        for name in (CHECK, LOGIN):  # T1
            check = client.ask(name)
            assert (address(check), check.took_s < 1 + LATE_S) == (ROUTER, True)
            assert "unencrypted" in told(check)
            assert check.reply is not None
            assert (check.reply.answer[0].ttl <= 5, check.reply.flags & 0x20) == (True, 0)
        for name in ("bank.example.test", f"www.{CHECK}", "neverssl.com"):  # T2
            other = client.ask(name)
            assert (address(other), told(other)) == (f"RCODE {RCode.SERVFAIL}", SIGN_IN)
            assert other.took_s < LATE_S
        assert in_plain(leaving) <= PUBLIC
        network.open()  # T3
        secure_s, _ = until(control, State.SECURE, 5 + LATE_S)
        leaving.take()
        assert address(client.ask("h7.example.test")) == "192.0.2.8"
        assert address(client.ask(CHECK)) != ROUTER, "an answer of the portal's was kept"
        assert {(each.to, each.port == 53) for each in leaving.take()} == {(UPSTREAM, False)}
        assert control.network().portal is None
    print(
        f"{how}: sign-in after {signed_out_s:.2f} s, secure after {secure_s:.2f} s, "
        f"the first check was answered in {early.took_s * 1000:.0f} ms"
    )


def run(laid: Wire, runtime: Path, *argv: str) -> str:
    """Run a command of secdns on the laptop; give what it prints."""
    socket = str(runtime / "control.sock")
    done = laid.near.run(sys.executable, "-m", "secdns", *argv, "--socket", socket)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_consent_lets_names_out_visibly_and_ends_with_the_first_handshake_need5(
    laid: Wire, network: Cafe, start: Start, leaving: Leaving, tmp_path: Path
) -> None:
    network.close("reject")
    daemon, control = start()
    with Client(laid.near, daemon.port) as client:
        network.join()
        until(control, State.SIGN_IN, 6)
        leaving.take()
        portal = json.loads(run(laid, tmp_path, "portal", "--json"))
        assert (portal["url"], portal["resolvers"]) == (f"http://{LOGIN}/", [ROUTER])
        assert 297 < portal["left_s"] <= 300
        for count in (1, 2):
            page = client.ask("assets.cafe.example")
            assert (address(page), page.reply and page.reply.answer[0].ttl) == (ROUTER, 10)
            status = control.status()
            assert (status.state, status.portal and status.portal.plain) == (State.SIGN_IN, count)
        assert "192.168.7.1, 2 did so far" in status.sentence
        assert in_plain(leaving) == {"assets.cafe.example."}
        network.open()
        until(control, State.SECURE, 5)
        leaving.take()
        assert address(client.ask("h8.example.test")) == "192.0.2.9"
        assert address(client.ask("assets.cafe.example")).startswith("RCODE")
        assert in_plain(leaving) == set()
        with pytest.raises(ControlError, match="no sign-in page in the way here: far works") as caught:
            control.portal()
        assert caught.value.code == "not-possible"
        assert control.status().portal is None
        network.close("reject")  # the time that somebody paid for is over
        assert address(client.ask("h9.example.test")).startswith("RCODE")
        until(control, State.SIGN_IN, 5)
        assert run(laid, tmp_path, "portal").startswith(
            f"open this in a browser, and sign in there: http://{LOGIN}/\n"
        )
    assert "example" not in daemon.stderr.replace(LOGIN, "")


def test_faked_page_changes_nothing_while_an_upstream_works_need5_t4(
    laid: Wire, network: Cafe, start: Start, leaving: Leaving
) -> None:
    daemon, control = start()
    with Client(laid.near, daemon.port) as client:
        network.join()
        until(control, State.SECURE, 5)
        leaving.take()
        network.visits.clear()  # a link that was slow to come up may have been reason enough for one
        for number in range(20):
            assert address(client.ask(f"h{number}.example.test")) == f"192.0.2.{number + 1}"
            assert control.status().state is State.SECURE
        assert address(client.ask(CHECK)) != ROUTER
        with pytest.raises(ControlError, match="far works"):
            control.portal()
        assert in_plain(leaving) == set()
    assert network.visits == [], "nobody looks for a page where an upstream works"


def test_network_that_leads_to_its_page_by_dns_alone_is_found_out(
    laid: Wire, network: Cafe, start: Start, leaving: Leaving
) -> None:
    network.swallow()
    network.close("drop")
    daemon, control = start()
    with Client(laid.near, daemon.port) as client:
        network.join()
        took_s, status = until(control, State.SIGN_IN, 5 + LATE_S)
        assert status.portal is not None
        assert status.portal.url == "http://neverssl.com/"
        assert address(client.ask(CHECK)) == ROUTER
        assert address(client.ask("neverssl.com")).startswith("RCODE")
        control.portal()
        assert address(client.ask("neverssl.com")) == ROUTER
    assert in_plain(leaving) <= PUBLIC | {"neverssl.com."}
    print(f"by DNS alone: sign-in after {took_s:.2f} s")


def test_strict_lets_nothing_out_and_looks_for_no_page_need5(
    laid: Wire, network: Cafe, start: Start, leaving: Leaving
) -> None:
    network.close("reject")
    daemon, control = start("[network]\nstrict = true\n")
    with Client(laid.near, daemon.port) as client:
        network.join()
        until(control, State.BLOCKED, 5)
        for name in (CHECK, "bank.example.test"):
            assert address(client.ask(name)) == f"RCODE {RCode.SERVFAIL}"
        with pytest.raises(ControlError, match="strict = true lets nothing out"):
            control.portal()
        assert control.status().state is State.BLOCKED
    assert in_plain(leaving) == set()
    assert network.visits == []
