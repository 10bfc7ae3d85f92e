"""macOS and Windows: every command that is run, and what such a command prints.

What the commands print was written down from documentation, not from a machine.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from secdns.errors import SettingsError
from secdns.osdns import macos, switch, windows
from secdns.osdns.machine import Ran
from secdns.osdns.plan import DNSSettings, Server
from tests.osdns.machines import US, World

SCUTIL = """DNS configuration

resolver #1
  search domain[0] : lan.example
  nameserver[0] : 192.168.1.1
  if_index : 4 (en0)
  flags    : Request A records
  reach    : 0x00020002 (Reachable,Directly Reachable Address)
{ours}
resolver #3
  domain   : local
  options  : mdns
  timeout  : 5
  order    : 300000

DNS configuration (for scoped queries)

resolver #1
  search domain[0] : lan.example
  nameserver[0] : 10.0.0.1
  if_index : 4 (en0)
"""
OURS = """
resolver #2
  nameserver[0] : 127.0.0.1
  nameserver[1] : ::1
  order   : 1
"""
SET = (
    "d.init\nd.add ServerAddresses * 127.0.0.1 ::1\nd.add SupplementalMatchDomains * \"\"\n"
    f"d.add SearchOrder # 1\nset {macos.KEY}\nquit\n"
)  # fmt: skip
REMOVE = f"remove {macos.KEY}\nquit\n"


class Mac(World):
    """A Mac that does what scutil says; ``obeys`` False is one that only says it did."""

    def __init__(self, root: Path, obeys: bool = True) -> None:
        super().__init__(root)
        self.told: list[tuple[str, str]] = []
        self.is_set = False
        self.programs = dict.fromkeys(("dscacheutil", "killall"), lambda argv, stdin: self.tell(argv, stdin))

        def scutil(argv: Sequence[str], stdin: str) -> Ran:
            if list(argv) == ["scutil", "--dns"]:
                return Ran(0, SCUTIL.format(ours=OURS if self.is_set else ""))
            self.is_set = obeys and stdin == SET
            return self.tell(argv, stdin)

        self.programs["scutil"] = scutil

    def tell(self, argv: Sequence[str], stdin: str) -> Ran:
        self.told.append((" ".join(argv), stdin))
        return Ran(0)


def test_macos_adds_a_service_and_removes_it(tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    assert switch.turn_on(mac.machine(), US, lambda: None, platform="darwin", now=0)
    flush = [("dscacheutil -flushcache", ""), ("killall -HUP mDNSResponder", "")]
    assert mac.told == [("scutil", SET), *flush]
    assert switch.turn_off(mac.machine()) == []
    assert mac.told[3:] == [("scutil", REMOVE), *flush]
    assert not mac.is_set


def test_macos_that_takes_no_notice_is_found_out_and_undone(tmp_path: Path) -> None:
    mac = Mac(tmp_path, obeys=False)
    with pytest.raises(SettingsError, match="scutil --dns` does not show them; everything is as it was"):
        switch.turn_on(mac.machine(), US, lambda: None, platform="darwin", now=0)
    assert ("scutil", REMOVE) in mac.told


@pytest.mark.parametrize("is_set", [False, True])
def test_macos_network_settings_are_read_beside_ours(is_set: bool, tmp_path: Path) -> None:
    mac = Mac(tmp_path)
    mac.is_set = is_set
    assert macos.current(mac.machine()) == DNSSettings((Server("192.168.1.1"),), ("lan.example",))


class Windows(World):
    """A PC with an interface whose servers come by DHCP and one where somebody set them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.told: list[str] = []
        self.wireless = {"index": 12, "v4": "", "v6": "", "now": ["192.168.1.1"], "suffix": "lan.example"}
        self.cable = {
            "index": 7,
            "v4": "10.0.0.1,10.0.0.2",
            "v6": "fd00::1",
            "now": ["10.0.0.1"],
            "suffix": "",
        }
        self.programs["powershell"] = self.powershell
        self.programs["ipconfig"] = lambda argv, stdin: Ran(0)

    def powershell(self, argv: Sequence[str], stdin: str) -> Ran:
        assert list(argv[1:4]) == ["-NoProfile", "-NonInteractive", "-Command"]
        command = argv[4]
        if command == windows.LOOK:
            return Ran(0, json.dumps([self.wireless, self.cable]))
        self.told.append(command)
        if "-ServerAddresses '127.0.0.1','::1'" in command:
            which = self.wireless if "InterfaceIndex 12" in command else self.cable
            which["now"] = ["127.0.0.1", "::1"]
        return Ran(0)


REMOVE_RULE = "Get-DnsClientNrptRule | Where-Object Comment -eq 'secdns' | Remove-DnsClientNrptRule -Force"


def test_windows_sets_every_interface_and_gives_dhcp_back_as_dhcp_need2(tmp_path: Path) -> None:
    pc = Windows(tmp_path)
    assert switch.turn_on(pc.machine(), US, lambda: None, platform="win32", now=0)
    assert pc.told == [
        "Set-DnsClientServerAddress -InterfaceIndex 12 -ServerAddresses '127.0.0.1','::1'",
        "Set-DnsClientServerAddress -InterfaceIndex 7 -ServerAddresses '127.0.0.1','::1'",
        f"{REMOVE_RULE}; "
        "Add-DnsClientNrptRule -Namespace '.' -NameServers '127.0.0.1','::1' -Comment 'secdns'",
    ]
    pc.told.clear()
    assert switch.turn_off(pc.machine()) == []
    assert pc.told == [
        REMOVE_RULE,
        "Set-DnsClientServerAddress -InterfaceIndex 12 -ResetServerAddresses",
        "Set-DnsClientServerAddress -InterfaceIndex 7 -ResetServerAddresses",
        "Set-DnsClientServerAddress -InterfaceIndex 7 -ServerAddresses '10.0.0.1','10.0.0.2','fd00::1'",
    ]


def test_windows_network_settings_are_those_of_all_interfaces(tmp_path: Path) -> None:
    want = DNSSettings((Server("192.168.1.1"), Server("10.0.0.1")), ("lan.example",))
    assert windows.current(Windows(tmp_path).machine()) == want


def test_windows_without_a_network_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(SettingsError, match="no network interface that is up"):
        switch.turn_on(world.machine(), US, lambda: None, platform="win32", now=0)


@pytest.mark.parametrize("evil", ["'; Remove-Item C:\\ '", "10.0.0.1'"])
def test_windows_registry_cannot_smuggle_a_command(evil: str, tmp_path: Path) -> None:
    pc = Windows(tmp_path)
    pc.cable["v4"] = evil
    with pytest.raises(SettingsError, match="is not the address of a server: nothing was changed"):
        switch.turn_on(pc.machine(), US, lambda: None, platform="win32", now=0)
    assert pc.told == []
