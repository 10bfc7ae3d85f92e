"""NetworkManager where it writes resolv.conf itself: a global DNS setting below /run.

A reboot undoes it. Not the D-Bus property of the same name, which is kept in /var and survives
one; and not ``dns=none``, with which resolv.conf would be left to us.
"""

from secdns.errors import SettingsError
from secdns.osdns.detect import network_manager_property
from secdns.osdns.machine import Machine
from secdns.osdns.plan import (
    MARKER,
    RESOLV_CONF,
    DNSSettings,
    Plan,
    Run,
    Server,
    Write,
    read_resolv_conf,
    resolv_conf_ports,
)

title = "NetworkManager"
volatile = True

FILE = "/run/NetworkManager/conf.d/90-secdns.conf"

# Everything that it can read again; it rewrites resolv.conf at once.
_TELL = Run(("nmcli", "general", "reload"))


def current(machine: Machine) -> DNSSettings:
    """Give the servers and domains of the connections; a global setting is not among them."""
    servers: dict[str, None] = {}
    search: dict[str, None] = {}
    entries = network_manager_property(machine, "Configuration")
    for entry in entries if isinstance(entries, list) else ():
        for key, into in (("nameservers", servers), ("domains", search)):
            into.update(dict.fromkeys(_values(entry, key)))
    hosts = [Server(host) for host in servers]
    return DNSSettings(tuple(hosts), tuple(name for name in search if not name.startswith("~")))


def plan(machine: Machine, settings: DNSSettings) -> Plan:
    """Write one file and have it read. The network's search list has to be in it to survive."""
    resolv_conf_ports(settings, title)
    search = settings.search or current(machine).search
    lines = [
        MARKER,
        "[global-dns]",
        *([f"searches={','.join(search)}"] if search else []),
        "options=edns0,trust-ad",
        "",
        "[global-dns-domain-*]",
        f"servers={','.join(settings.hosts)}",
    ]
    return Plan(
        (Write(FILE, "\n".join(lines) + "\n"), _TELL),
        # not running (the exit code does not tell): it reads the files when it starts
        undo=(Run(_TELL.argv, excuse="NetworkManager is not running"),),
        watched=(_written_file(machine),),
        check=lambda machine: _check(machine, settings),
    )


def _written_file(machine: Machine) -> str:
    found, target = machine.follow(RESOLV_CONF), machine.link(RESOLV_CONF)
    if found is None and target is not None:
        raise SettingsError(
            f"{RESOLV_CONF} is a link to {target}, which is not there: nothing was changed",
            hint="let NetworkManager write it: sudo systemctl restart NetworkManager",
        )
    return found or RESOLV_CONF


def _check(machine: Machine, settings: DNSSettings) -> str | None:
    servers = read_resolv_conf(machine.text(RESOLV_CONF) or "").servers
    hosts = [server.host for server in servers]
    if hosts == list(settings.hosts)[:3]:  # glibc takes three, so NetworkManager writes no more
        return None
    return f"NetworkManager left {', '.join(hosts) or 'no server'} in {RESOLV_CONF}"


def _values(entry: object, key: str) -> list[str]:
    """Read one value of a{sv} as busctl prints it: {"domains": {"type": "as", "data": ["lan"]}}."""
    value = entry.get(key) if isinstance(entry, dict) else None
    data = value.get("data") if isinstance(value, dict) else None
    return [each for each in data if isinstance(each, str)] if isinstance(data, list) else []
