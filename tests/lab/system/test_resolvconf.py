"""`secdns system` on booted machines where resolvconf puts resolv.conf together, in both of its kinds."""

from collections.abc import Iterator

import pytest

from tests.lab.booted import booted
from tests.lab.system.machines import BY_NETWORK, BY_UPSTREAM, FEED, RESOLVCONFS, System, prepare

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first one makes the tree

BOOT_S = 15.0
OUR_NAME = {"openresolv": "secdns", "resolvconf": "lo.secdns"}


@pytest.fixture(scope="module", params=RESOLVCONFS)
def booted_one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    place = tmp_path_factory.mktemp(request.param)
    bind = prepare(place / "layer", request.param)
    with booted(place / "layer", bind=bind) as guest:
        made = System(guest)
        made.wait_for(BY_NETWORK, BOOT_S)
        made.install()
        yield made


@pytest.fixture
def system(booted_one: System) -> Iterator[System]:
    """The machine, where secdns runs and is off, and so it is at the end."""
    yield booted_one
    booted_one.secdns("rescue")


def test_on_leads_names_to_secdns_and_off_leaves_all_as_it_was_need2_need9(system: System) -> None:
    before = system.snapshot()
    told = system.secdns("system", "on")
    assert told == "on: a name that was looked up as programs do it has arrived at secdns\n"
    assert "options edns0 trust-ad" in system.do("cat", "/etc/resolv.conf").splitlines()
    assert "search lan.example" in system.do("cat", "/etc/resolv.conf").splitlines()
    assert system.look_up() == BY_UPSTREAM
    system.do("sh", "-c", FEED)  # a DHCP client, with the next lease
    assert system.look_up() == BY_UPSTREAM
    assert "(by resolvconf)" in system.secdns("system", "status")
    assert system.secdns("system", "off") == "off: the system's DNS settings are as they were before secdns\n"
    assert system.look_up() == BY_NETWORK
    assert system.snapshot() == before


def test_entry_that_is_removed_is_set_again_need6(system: System) -> None:
    system.secdns("system", "on")  # and at once, while systemd still looks at what that changed:
    kind = "openresolv" if "openresolv" in system.do("resolvconf", "--version") else "resolvconf"
    system.do("resolvconf", "-d", OUR_NAME[kind])
    system.wait_until_told("resolvconf rewrote /etc/resolv.conf: secdns was set again (1 of 3 times)")
    assert system.look_up() == BY_UPSTREAM
    system.secdns("system", "off")
    assert system.look_up() == BY_NETWORK


def test_rescue_after_a_kill_leaves_all_as_it_was_need2(system: System) -> None:
    before = system.snapshot()
    system.secdns("system", "on")
    system.do("systemctl", "kill", "--signal=KILL", "secdns")
    system.do("secdns", "rescue")
    assert system.look_up() == BY_NETWORK
    assert system.snapshot() == before
