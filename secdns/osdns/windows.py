"""Windows: the servers of each interface, and a rule that sends every name to them.

Without the rule Windows asks the servers of all interfaces at once and takes the first answer. A
reboot undoes neither. An interface whose servers came by DHCP gets them by DHCP again. Written
from documentation; nobody has tried it on a real Windows yet.
"""

import json
from collections.abc import Mapping
from ipaddress import ip_address

from secdns.errors import SettingsError
from secdns.osdns.machine import Machine
from secdns.osdns.plan import DNSSettings, Plan, Run, Server, resolv_conf_ports

title = "Windows"
volatile = False

RULE = "secdns"  # the comment by which our rule is found again

# Interfaces that are up, with the servers that somebody set by hand ("" where DHCP decides).
LOOK = (
    "$base='HKLM:\\SYSTEM\\CurrentControlSet\\Services';"
    "$all=Get-NetAdapter | Where-Object Status -eq 'Up' | ForEach-Object {"
    '$v4=Get-ItemProperty "$base\\Tcpip\\Parameters\\Interfaces\\$($_.InterfaceGuid)";'
    '$v6=Get-ItemProperty "$base\\Tcpip6\\Parameters\\Interfaces\\$($_.InterfaceGuid)"'
    " -ErrorAction SilentlyContinue;"
    "[pscustomobject]@{index=$_.ifIndex;v4=[string]$v4.NameServer;v6=[string]$v6.NameServer;"
    "now=@((Get-DnsClientServerAddress -InterfaceIndex $_.ifIndex).ServerAddresses);"
    "suffix=[string](Get-DnsClient -InterfaceIndex $_.ifIndex).ConnectionSpecificSuffix}};"
    "ConvertTo-Json -Compress -InputObject @($all)"
)
_REMOVE_RULE = f"Get-DnsClientNrptRule | Where-Object Comment -eq '{RULE}' | Remove-DnsClientNrptRule -Force"
_FLUSH = Run(("ipconfig", "/flushdns"), required=False)


def current(machine: Machine) -> DNSSettings:
    """Give the servers and suffixes of all interfaces that are up."""
    servers: dict[Server, None] = {}
    search: dict[str, None] = {}
    for interface in _interfaces(machine):
        now = interface.get("now")
        servers.update(
            {Server(host): None for host in now if isinstance(host, str)} if isinstance(now, list) else {}
        )
        if suffix := str(interface.get("suffix") or ""):
            search[suffix] = None
    return DNSSettings(tuple(servers), tuple(search))


def plan(machine: Machine, settings: DNSSettings) -> Plan:
    """Set the servers of every interface and the rule; undoing sets or resets each of them."""
    resolv_conf_ports(settings, title)
    found = _interfaces(machine)
    if not found:
        raise SettingsError(
            "no network interface that is up was found: nothing was changed",
            hint="connect to a network, then try again",
        )
    servers = _list(settings.hosts)
    steps, undo = [], []
    for interface in found:
        index = int(str(interface["index"]))
        set_it = f"Set-DnsClientServerAddress -InterfaceIndex {index}"
        steps.append(_powershell(f"{set_it} -ServerAddresses {servers}"))
        undo.append(_powershell(f"{set_it} -ResetServerAddresses"))
        if by_hand := _by_hand(interface):
            undo.append(_powershell(f"{set_it} -ServerAddresses {_list(by_hand)}"))
    rule = f"Add-DnsClientNrptRule -Namespace '.' -NameServers {servers} -Comment '{RULE}'"
    return Plan(
        (*steps, _powershell(f"{_REMOVE_RULE}; {rule}"), _FLUSH),
        undo=(_powershell(_REMOVE_RULE), *undo, _FLUSH),
        check=lambda machine: _check(machine, settings),
    )


def _check(machine: Machine, settings: DNSSettings) -> str | None:
    for interface in _interfaces(machine):
        now = interface.get("now")
        if not isinstance(now, list) or not set(now) <= set(settings.hosts):
            return f"interface {interface.get('index')} still has other servers"
    return None


def _interfaces(machine: Machine) -> list[Mapping[str, object]]:
    try:
        found = json.loads(machine.run(*_powershell(LOOK).argv) or "[]")
    except ValueError:
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _by_hand(interface: Mapping[str, object]) -> tuple[str, ...]:
    """Read the registry's NameServer values, separated by commas or spaces."""
    return tuple(
        host for key in ("v4", "v6") for host in str(interface.get(key) or "").replace(",", " ").split()
    )


def _list(hosts: tuple[str, ...]) -> str:
    """Write addresses for PowerShell; that they are addresses is what keeps them from being code."""
    try:
        return ",".join(f"'{ip_address(host)}'" for host in hosts)
    except ValueError as error:
        raise SettingsError(
            f"{error.args[0].split(' does ')[0]} is not the address of a server: nothing was changed",
            hint="look at the DNS servers of each network interface",
        ) from error


def _powershell(command: str) -> Run:
    return Run(("powershell", "-NoProfile", "-NonInteractive", "-Command", command))
