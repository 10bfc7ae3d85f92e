"""resolvconf, in both kinds: Roy Marples's openresolv and Debian's own. Their state is below /run.

openresolv is told of an exclusive interface, which hides all others. Debian's has no such thing;
its interface-order(5) puts lo first, and it writes no server after a loopback address.
"""

from secdns.errors import SettingsError
from secdns.osdns.machine import Machine
from secdns.osdns.plan import (
    RESOLV_CONF,
    DNSSettings,
    Plan,
    Run,
    read_resolv_conf,
    resolv_conf_ports,
)

title = "resolvconf"
volatile = True

OPENRESOLV_NAME = "secdns"
DEBIAN_NAME = "lo.secdns"

_EXCLUSIVE = "/run/resolvconf/exclusive"


def current(machine: Machine) -> DNSSettings:
    """Give what all interfaces but ours want."""
    listed = machine.run("resolvconf", "-l") or ""
    others = []
    for part in ("\n" + listed).split("\n# resolv.conf from ")[1:]:
        name, _, text = part.partition("\n")
        if name.strip() not in (OPENRESOLV_NAME, DEBIAN_NAME):
            others.append(read_resolv_conf(text))
    servers = dict.fromkeys(server for other in others for server in other.servers)
    search = dict.fromkeys(name for other in others for name in other.search)
    return DNSSettings(tuple(servers), tuple(search))


def plan(machine: Machine, settings: DNSSettings) -> Plan:
    """Register an interface of ours, and remove it again."""
    resolv_conf_ports(settings, title)
    version = machine.run("resolvconf", "--version") or ""
    if "openresolv" in version:
        search = settings.search or current(machine).search  # exclusive hides the others' too
        add = Run(("resolvconf", "-m", "0", "-x", "-a", OPENRESOLV_NAME), stdin=_text(settings.hosts, search))
        undo = [Run(("resolvconf", "-f", "-d", OPENRESOLV_NAME))]
        if machine.snapshot(_EXCLUSIVE).kind == "absent":  # it makes that for us, and leaves it empty
            undo.append(Run(("rmdir", _EXCLUSIVE), required=False))
    elif "Debian" in version:
        add = Run(("resolvconf", "-a", DEBIAN_NAME), stdin=_text(settings.hosts[:1], ()))
        undo = [Run(("resolvconf", "-d", DEBIAN_NAME))]
    else:
        raise SettingsError(
            f"resolvconf says it is {version.split(chr(10))[0] or 'nothing'!r}, "
            "want openresolv or Debian's: nothing was changed",
            hint=f"let nobody write {RESOLV_CONF}, or install openresolv",
        )
    watched = machine.follow(RESOLV_CONF) or RESOLV_CONF
    return Plan((add,), undo=tuple(undo), watched=(watched,), check=lambda machine: _check(machine, settings))


def _text(hosts: tuple[str, ...], search: tuple[str, ...]) -> str:
    lines = [f"nameserver {host}" for host in hosts]
    if search:
        lines.append(f"search {' '.join(search)}")
    return "\n".join([*lines, "options edns0 trust-ad"]) + "\n"


def _check(machine: Machine, settings: DNSSettings) -> str | None:
    hosts = [server.host for server in read_resolv_conf(machine.text(RESOLV_CONF) or "").servers]
    if hosts and set(hosts) <= set(settings.hosts):
        return None
    return f"resolvconf left {', '.join(hosts) or 'no server'} in {RESOLV_CONF}"
