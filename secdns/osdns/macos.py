"""macOS: a service of ours in the dynamic store, which a reboot empties.

It stands beside what DHCP and VPNs put there, and takes nothing away: the match domains of a VPN
and the files in /etc/resolver go on deciding for their names. Written from documentation; nobody
has tried it on a real Mac yet.
"""

import re

from secdns.osdns.machine import Machine
from secdns.osdns.plan import DNSSettings, Plan, Run, Server, resolv_conf_ports

title = "macOS"
volatile = True

# Any UUID that no service of the machine has; made once for secdns.
KEY = "State:/Network/Service/8E2C6A54-5C7D-4B0E-9A35-5EC0D45A1B53/DNS"

_TELL = (
    Run(("dscacheutil", "-flushcache"), required=False),
    Run(("killall", "-HUP", "mDNSResponder"), required=False),
)


def current(machine: Machine) -> DNSSettings:
    """Give the first resolver of the network that is not ours, and the search list."""
    for block in _resolvers(machine):
        if "domain   :" not in block and (servers := _values(block, "nameserver")):
            return DNSSettings(
                tuple(Server(host) for host in servers if not host.startswith(("127.", "::1"))),
                _values(block, "search domain"),
            )
    return DNSSettings()


def plan(machine: Machine, settings: DNSSettings) -> Plan:
    """Add our service with a match for all domains, and remove it again."""
    resolv_conf_ports(settings, title)
    script = (
        "d.init\n"
        f"d.add ServerAddresses * {' '.join(settings.hosts)}\n"
        'd.add SupplementalMatchDomains * ""\n'
        "d.add SearchOrder # 1\n"
        f"set {KEY}\n"
        "quit\n"
    )
    return Plan(
        (Run(("scutil",), stdin=script), *_TELL),
        undo=(Run(("scutil",), stdin=f"remove {KEY}\nquit\n"), *_TELL),
        check=lambda machine: _check(machine, settings),
    )


def _check(machine: Machine, settings: DNSSettings) -> str | None:
    """Look for our servers among the resolvers: scutil ends with 0 even if it could set nothing."""
    if any(set(settings.hosts) <= set(_values(block, "nameserver")) for block in _resolvers(machine)):
        return None
    return "macOS did not take the settings: `scutil --dns` does not show them"


def _resolvers(machine: Machine) -> list[str]:
    """Split what scutil --dns prints; the second half is for look-ups bound to one interface."""
    printed = machine.run("scutil", "--dns") or ""
    return printed.partition("DNS configuration (for scoped queries)")[0].split("\nresolver #")[1:]


def _values(block: str, key: str) -> tuple[str, ...]:
    return tuple(re.findall(rf"^\s*{key}\[\d+\]\s*:\s*(\S+)", block, re.M))
