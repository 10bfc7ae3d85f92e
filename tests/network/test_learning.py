"""What is learnt of the links from services on a real bus, and from files where there is none."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Variant

from secdns.dns.name import from_text
from secdns.network import bus as buses
from secdns.network import learning
from secdns.network.learning import MANAGER, NETWORK_MANAGER, PORTAL, RESOLVED, Learner
from secdns.network.links import Link
from tests.network.system_bus import network_manager, resolved, service, system_bus, until

LAN = ("192.168.7.1", 53)
LO = 1  # the only link that each machine has; its settings count as global


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with system_bus(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def names_of_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let links exist that this machine does not have."""
    known = {2: "wlan0", 3: "tun0"}
    monkeypatch.setattr(learning, "_name_of", lambda index: known.get(index, ""))


class Learning:
    """A learner and what it was told."""

    def __init__(self, **where: Any) -> None:
        self.changes = 0
        self.learner = Learner(self._changed, **{"files": (), **where})

    def _changed(self) -> None:
        self.changes += 1

    @property
    def found(self) -> dict[str, Link]:
        return {link.name: link for link in self.learner.links}


Learn = Callable[..., Learning]


@pytest.fixture
async def learn() -> AsyncIterator[Learn]:
    made: list[Learning] = []

    def make(**where: Any) -> Learning:
        made.append(Learning(**where))
        return made[-1]

    yield make
    for each in made:
        await each.learner.aclose()


def devices(tmp_path: Path, *tunnels: str) -> Path:
    """Give a /sys/class/net where these links are tunnels."""
    for name in tunnels:
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "tun_flags").write_text("0x1002\n")
    return tmp_path / "net"


async def test_links_are_learnt_from_resolved_need6(address: str, tmp_path: Path, learn: Learn) -> None:
    says = resolved(
        [(0, "127.0.0.1"), (LO, "192.168.7.9"), (2, "192.168.7.1"), (2, "fe80::1"), (3, "10.8.0.1")],
        [(0, ".", True), (2, "home.example", False), (3, "corp.example", True), (3, ".", True)],
    )
    async with service(address, RESOLVED, says):
        on = learn(bus_address=address, devices=devices(tmp_path, "tun0"))
        await on.learner.learn()
        assert on.found == {
            "wlan0": Link("wlan0", (LAN, ("fe80::1%wlan0", 53)), (from_text("home.example"),)),
            "tun0": Link(
                "tun0", (("10.8.0.1", 53),), (from_text("corp.example"),), is_vpn=True, wants_all=True
            ),
        }
        assert on.changes == 1
        await on.learner.learn()
        assert on.changes == 1, "nothing changed"


async def test_ports_are_learnt_from_a_newer_resolved(address: str, learn: Learn) -> None:
    async with service(address, RESOLVED, resolved([(2, "192.168.7.1")], [], with_ports=True)):
        on = learn(bus_address=address)
        await on.learner.learn()
        assert on.found["wlan0"].resolvers == (("192.168.7.1", 5353),)


async def test_links_are_learnt_from_networkmanager_need6(address: str, learn: Learn) -> None:
    says = network_manager(
        ("tun0", ["10.8.0.1"], ["~corp.example"], True),
        ("wlan0", ["192.168.7.1", "127.0.0.1"], ["lan", "~."], False),
    )
    async with service(address, NETWORK_MANAGER, says):
        on = learn(bus_address=address)
        await on.learner.learn()
        assert on.learner.links == (
            Link("tun0", (("10.8.0.1", 53),), (from_text("corp.example"),), is_vpn=True),
            Link("wlan0", (LAN,), (from_text("lan"),), wants_all=True),
        )


async def test_networkmanager_adds_what_resolved_does_not_know(address: str, learn: Learn) -> None:
    says = network_manager(
        ("tun0", ["10.8.0.9"], ["other.example"], True), ("wlan0", ["192.168.7.1"], [], False)
    )
    async with (
        service(address, RESOLVED, resolved([(3, "10.8.0.1")], [(2, "lan", False)])),
        service(address, NETWORK_MANAGER, says),
    ):
        on = learn(bus_address=address)
        await on.learner.learn()
        assert on.learner.links == (
            Link("tun0", (("10.8.0.1", 53),), is_vpn=True),
            Link("wlan0", (LAN,)),
        )


@pytest.mark.parametrize("where", [RESOLVED, NETWORK_MANAGER], ids=["resolved", "NetworkManager"])
async def test_signal_that_a_property_changed_is_followed(
    where: tuple[str, str, str], address: str, learn: Learn
) -> None:
    def says(host: str) -> dict[str, Variant]:
        if where is RESOLVED:
            return resolved([(2, host)], [])
        return network_manager(("wlan0", [host], [], False))

    async with service(address, where, says("192.168.7.1")) as told:
        on = learn(bus_address=address)
        await on.learner.learn()
        assert on.found["wlan0"].resolvers == (LAN,)
        told.properties = says("10.0.0.1")
        told.tell("DNS")
        await until(lambda: on.found["wlan0"].resolvers == (("10.0.0.1", 53),))
        assert on.changes == 2


async def test_service_that_comes_and_goes_is_noticed(address: str, learn: Learn) -> None:
    on = learn(bus_address=address)
    await on.learner.learn()
    assert on.learner.links == ()
    async with service(address, RESOLVED, resolved([(2, "192.168.7.1")], [])):
        await until(lambda: "wlan0" in on.found)
    await until(lambda: on.learner.links == ())


async def test_service_that_is_restarted_costs_a_vpn_nothing_need6(
    address: str, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "GRACE_S", 60.0)
    says = resolved([(3, "10.8.0.1")], [(3, "corp.example", True)])
    on = learn(bus_address=address)
    async with service(address, RESOLVED, says):
        await on.learner.learn()
        before = on.learner.links
        assert before
    await on.learner.learn()
    assert (on.learner.links, on.changes) == (before, 1)
    async with service(address, RESOLVED, resolved([(3, "10.8.0.2")], [])):
        await until(lambda: on.found["tun0"].resolvers == (("10.8.0.2", 53),))
        assert on.changes == 2
    monkeypatch.setattr(learning, "GRACE_S", 0.0)
    await until(lambda: on.learner.links == ())


async def test_bus_that_is_gone_is_noticed_and_opened_again(tmp_path: Path, learn: Learn) -> None:
    on = learn(bus_address=f"unix:path={tmp_path}/bus")
    for host in ("192.168.7.1", "192.168.7.2"):
        with system_bus(tmp_path) as address:
            async with service(address, RESOLVED, resolved([(2, host)], [])):
                await on.learner.learn()
                assert on.found["wlan0"].resolvers == ((host, 53),)
        await until(lambda: on.learner.links == ())


async def test_service_that_hangs_costs_its_time_and_no_more(
    address: str, learn: Learn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(buses, "CALL_S", 0.2)
    says = network_manager(("wlan0", ["192.168.7.1"], [], False))
    async with (
        service(address, RESOLVED, resolved([(2, "10.0.0.1")], [])) as hangs,
        service(address, NETWORK_MANAGER, says),
    ):
        hangs.is_silent = True
        on = learn(bus_address=address)
        for _ in range(3):
            await on.learner.learn()
        assert on.found["wlan0"].resolvers == (LAN,)
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


async def test_machine_without_a_bus_costs_nothing_and_complains_of_nothing(
    tmp_path: Path, learn: Learn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buses, "_load", lambda: pytest.fail("the library was loaded"))
    on = learn(bus_address=f"unix:path={tmp_path}/none")
    await on.learner.learn()
    assert on.learner.links == ()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("resolved_says", "manager_says"),
    [
        (
            {"DNS": Variant("s", "192.168.7.1"), "Domains": Variant("i", 7)},
            {"Configuration": Variant("b", True)},
        ),
        ({"DNS": Variant("a(iiay)", [])}, {"Configuration": Variant("aa{sv}", [{}])}),
        (
            {"DNS": Variant("a(iay)", [[2, b"\xc0\xa8\x07\x01"]]), "Domains": Variant("a(is)", [[2, "lan"]])},
            {"Configuration": Variant("aa{sv}", [{"interface": Variant("s", "../..")}])},
        ),
        ({}, {}),
    ],
    ids=["other types", "empty", "other shapes", "nothing"],
)
async def test_service_of_another_kind_is_not_believed(
    resolved_says: dict[str, Variant], manager_says: dict[str, Variant], address: str, learn: Learn
) -> None:
    async with (
        service(address, RESOLVED, resolved_says),
        service(address, NETWORK_MANAGER, manager_says),
    ):
        on = learn(bus_address=address)
        await on.learner.learn()
        assert on.learner.links == ()


async def test_files_are_read_in_order_and_those_that_lead_to_us_passed_over(
    tmp_path: Path, learn: Learn
) -> None:
    stub, dangling, real = (tmp_path / name for name in ("stub", "dangling", "real"))
    stub.write_text("nameserver 127.0.0.53\nnameserver ::1\nsearch lan\n")
    dangling.symlink_to(tmp_path / "nowhere")
    real.write_text("nameserver 192.168.7.1\nsearch lan home.example\n")
    on = learn(bus_address=f"unix:path={tmp_path}/none", files=(stub, dangling, tmp_path, real))
    await on.learner.learn()
    assert on.learner.links == (Link("", (LAN,), (from_text("lan"), from_text("home.example"))),)


async def test_what_was_saved_goes_before_the_files(tmp_path: Path, learn: Learn) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 10.0.0.1\n")
    saved: tuple[list[str], list[str]] = (["127.0.0.1", "192.168.7.1"], ["lan"])
    on = learn(bus_address=f"unix:path={tmp_path}/none", files=(file,), saved=lambda: saved)
    await on.learner.learn()
    assert on.learner.links == (Link("", (LAN,), (from_text("lan"),)),)
    saved = ([], [])
    await on.learner.learn()
    assert on.learner.links == (Link("", (("10.0.0.1", 53),)),)


async def test_file_that_a_dhcp_client_writes_after_the_news_is_read_as_well(
    tmp_path: Path, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "SETTLED_S", 1.5)
    file = tmp_path / "resolv.conf"
    on = learn(bus_address=f"unix:path={tmp_path}/none", files=(file,))
    looks = 0
    find = on.learner._find

    async def counted() -> tuple[Link, ...]:
        nonlocal looks
        looks += 1
        return await find()

    monkeypatch.setattr(on.learner, "_find", counted)
    on.learner.hear()
    await until(lambda: looks == 1 and on.learner._task is None)
    file.write_text("nameserver 192.168.7.1\n")
    await until(lambda: on.learner.links != ())
    assert looks == 2


async def test_burst_of_news_is_one_look(
    tmp_path: Path, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "SETTLED_S", 0.4)
    on = learn(bus_address=f"unix:path={tmp_path}/none")
    looks: list[float] = []

    async def counted() -> tuple[Link, ...]:
        looks.append(asyncio.get_running_loop().time())
        return ()

    monkeypatch.setattr(on.learner, "_find", counted)
    for _ in range(50):
        on.learner.hear()
    await until(lambda: len(looks) == 2)
    assert on.changes == 0


def test_own_addresses_are_known_and_others_are_not() -> None:
    assert learning.is_ours("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 53))
        except OSError:
            return  # no way out of here, so no address of ours but loopback
        assert learning.is_ours(probe.getsockname()[0])
        assert not learning.is_ours("192.0.2.1")


def device(tmp_path: Path, **files: str) -> Path:
    link = tmp_path / "net" / "x0"
    link.mkdir(parents=True)
    for name, text in files.items():
        (link / name).write_text(text)
    return tmp_path / "net"


@pytest.mark.parametrize(
    ("files", "want"),
    [
        pytest.param({"type": "1\n", "device": ""}, False, id="ethernet"),
        pytest.param({"type": "1\n"}, False, id="veth or bridge"),
        pytest.param({"type": "65534\n"}, True, id="wireguard"),
        pytest.param({"type": "65534\n", "tun_flags": "0x1001\n"}, True, id="tun"),
        pytest.param({"type": "1\n", "tun_flags": "0x1002\n"}, True, id="tap"),
        pytest.param({"type": "65534\n", "device": ""}, False, id="modem"),
        pytest.param({"type": "512\n"}, False, id="ppp, the line to the provider perhaps"),
        pytest.param({}, False, id="gone"),
    ],
)
async def test_tunnel_is_told_from_a_link_of_the_machine(
    files: dict[str, str], want: bool, tmp_path: Path, learn: Learn
) -> None:
    on = learn(devices=device(tmp_path, **files))
    assert on.learner._is_vpn("x0") is want


MANAGER_OBJECT = MANAGER[1:]
WOKE_UP = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep")


def has_changed(learning_: Learning, times: int) -> bool:
    return learning_.changes == times


async def test_sign_in_page_that_networkmanager_met_is_heard_of_and_forgotten(
    address: str, tmp_path: Path, learn: Learn
) -> None:
    says = network_manager(("wlan0", ["192.168.7.1"], [], False))
    async with service(address, NETWORK_MANAGER, says) as told:
        learning_ = learn(bus_address=address, devices=devices(tmp_path))
        await learning_.learner.learn()
        assert (learning_.learner.says_portal, learning_.changes) == (False, 1)
        for connectivity, changes in ((PORTAL, 2), (4, 3)):
            told.others[MANAGER_OBJECT] = {"Connectivity": Variant("u", connectivity)}
            told.tell("Connectivity", MANAGER[1])
            await until(partial(has_changed, learning_, changes))
            assert learning_.learner.says_portal is (connectivity == PORTAL)
        assert set(learning_.found) == {"wlan0"}


async def test_waking_up_is_heard_of_from_logind(address: str, tmp_path: Path, learn: Learn) -> None:
    woken: list[bool] = []
    says = network_manager(("wlan0", ["192.168.7.1"], [], False))
    async with (
        service(address, NETWORK_MANAGER, says),
        service(address, ("org.freedesktop.login1", "/", "none"), {}) as logind,
    ):
        learning_ = learn(bus_address=address, devices=devices(tmp_path))
        learning_.learner.resumed = lambda: woken.append(True)
        await learning_.learner.learn()
        logind.signal(WOKE_UP, "b", [True])  # it goes to sleep
        logind.signal(WOKE_UP, "b", [False])
        await until(lambda: bool(woken))
    assert woken == [True]
