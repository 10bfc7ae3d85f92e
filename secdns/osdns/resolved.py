"""systemd-resolved: a drop-in, or from version 258 on a delegate, below /run, so a reboot undoes it.

The stub at 127.0.0.53 and /etc/resolv.conf stay as they are: resolved goes on sending the names of
a VPN's or the LAN's routing domains to their own servers, and asks us for all others.
"""

import re

from secdns.osdns.detect import resolved_property
from secdns.osdns.machine import Machine
from secdns.osdns.plan import MARKER, DNSSettings, Plan, Run, Server, Write

title = "systemd-resolved"
volatile = True

DROP_IN = "/run/systemd/resolved.conf.d/zz-secdns.conf"
DELEGATE = "/run/systemd/dns-delegate.d/secdns.dns-delegate"
DELEGATES_SINCE = 258

# A list in a drop-in adds to what files before it in the alphabet say, in /etc, /run and /usr
# together; the empty line in front forgets that. Without "~." each query also goes to the
# network's servers. Our own answers are checked already: resolved need not, and cannot without
# asking for keys that a [[route]] does not have.
_DROP_IN = """{marker}
[Resolve]
DNS=
DNS={servers}
Domains=
Domains=~.
FallbackDNS=
DNSSEC=no
DNSOverTLS=no
"""
_DELEGATE = """{marker}
[Delegate]
DNS={servers}
Domains=~.
DefaultRoute=yes
"""

# Reloads where resolved can (256) and restarts where not, which takes 0.1 s and loses no link's
# settings; does nothing where it does not run.
_TELL = Run(("systemctl", "try-reload-or-restart", "systemd-resolved.service"))
# systemd refuses a sixth restart within ten seconds, and then resolved is dead; this starts the count anew.
_ALLOW = Run(("systemctl", "reset-failed", "systemd-resolved.service"), required=False)
_FORGET = Run(("resolvectl", "flush-caches"), required=False)

_READ_ANEW = (_ALLOW, _TELL, _FORGET)

# A reload adds a domain and forgets none whose file is gone: 257 of Debian 13 keeps "~." without a server.
_RESTART = Run(("systemctl", "try-restart", "systemd-resolved.service"))
_BEGIN_ANEW = (_ALLOW, _RESTART, _FORGET)

# The interface of a global server: none, or for a loopback address the loopback interface.
_GLOBAL = (0, 1)


def current(machine: Machine) -> DNSSettings:
    """Give the servers and domains of the links; ours are global and not among them."""
    servers = (Server(text.partition("#")[0]) for text in _of_links(machine, "dns"))
    search = (text for text in _of_links(machine, "domain") if not text.startswith("~"))
    return DNSSettings(tuple(dict.fromkeys(servers)), tuple(dict.fromkeys(search)))


def plan(machine: Machine, settings: DNSSettings) -> Plan:
    """Write one file and have it read; any port will do."""
    servers = " ".join(str(server) for server in settings.servers)
    if _version(machine) >= DELEGATES_SINCE and not _takes_all(machine):
        delegate = Write(DELEGATE, _DELEGATE.format(marker=MARKER, servers=servers))
        return Plan((delegate, *_READ_ANEW), undo=_READ_ANEW)
    drop_in = Write(DROP_IN, _DROP_IN.format(marker=MARKER, servers=servers))
    return Plan(
        (drop_in, *_READ_ANEW),
        undo=_BEGIN_ANEW,
        check=lambda machine: _check(machine, settings),
    )


def _takes_all(machine: Machine) -> bool:
    """Tell whether the global servers are asked for every name; a delegate would share that with them."""
    domains = resolved_property(machine, "Domains")
    return isinstance(domains, list) and any(
        isinstance(entry, list) and entry[:2] == [0, "."] for entry in domains
    )


def _check(machine: Machine, settings: DNSSettings) -> str | None:
    """Tell what keeps our drop-in from being all that counts: a file after it in the alphabet."""
    servers = _global_servers(machine)
    if servers is None or servers == set(settings.hosts):
        return None
    others = ", ".join(sorted(servers - set(settings.hosts)))
    if not others:
        return f"systemd-resolved did not take {DROP_IN}"
    return f"systemd-resolved also asks {others}: a file after zz-secdns.conf in resolved.conf.d says so"


def _global_servers(machine: Machine) -> set[str] | None:
    """Give the global servers; None if that cannot be told. Those of a link have its interface."""
    entries = resolved_property(machine, "DNS")
    if not isinstance(entries, list):
        return None
    found = set()
    for entry in entries:
        if isinstance(entry, list) and len(entry) == 3 and entry[0] in _GLOBAL and isinstance(entry[2], list):
            found.add(_address(entry[2]))
    return found


def _address(octets: list[int]) -> str:
    from ipaddress import ip_address

    return str(ip_address(bytes(octets)))


def _of_links(machine: Machine, what: str) -> list[str]:
    """Read what `resolvectl dns` or `resolvectl domain` prints for links: "Link 2 (eth0): 10.0.2.3"."""
    lines = (machine.run("resolvectl", what) or "").splitlines()
    return [word for line in lines if line.startswith("Link ") for word in line.partition("): ")[2].split()]


def _version(machine: Machine) -> int:
    found = re.match(r"systemd (\d+)", machine.run("systemctl", "--version") or "")
    return int(found[1]) if found else 0
