"""Find resolvers that programs of this machine ask besides secdns, on every interface.

Looks only. What resolv.conf names second or third is asked as soon as the first is slow; a link of
systemd-resolved takes names for its own servers where its domains, or nobody's, say "all names".
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from secdns.osdns.detect import RESOLV_CONF, STUBS
from secdns.osdns.machine import Machine
from secdns.osdns.plan import read_resolv_conf
from secdns.osdns.resolved import DELEGATE

ALL_NAMES: Final = "~."
GLIBC_SERVERS: Final = 3  # of resolv.conf, which it reads no further (MAXNS in <resolv.h>)

DOCKER: Final = "127.0.0.11"
"""Where Docker answers inside a container; packets to it are diverted, so nobody is seen to listen there."""

_LINE: Final = re.compile(r"(Global|Link \d+ \((?P<link>[^)]*)\)): *(?P<words>.*)")


@dataclass(frozen=True, slots=True)
class Rival:
    """A resolver that is asked besides secdns: its address, and who says that it is asked.

    ``remedy`` is what a person can do about it.
    """

    host: str
    where: str
    remedy: str

    @property
    def is_ipv6(self) -> bool:
        """Such resolvers come with the router's advertisements, often beside ours for IPv4."""
        return ":" in self.host


def find(machine: Machine, ours: Collection[str]) -> tuple[Rival, ...]:
    """Give every resolver but ``ours`` (addresses) that is asked; the first place that names it counts."""
    dns = _by_link(machine.run("resolvectl", "dns"))
    domains = _by_link(machine.run("resolvectl", "domain"))
    found: dict[str, Rival] = {}
    for rival in (*_of_file(machine, has_resolved=bool(dns)), *_of_resolved(machine, dns, domains)):
        if rival.host not in ours:
            found.setdefault(rival.host, rival)
    return tuple(found.values())


def domains(machine: Machine) -> tuple[str, ...]:
    """Give the domains that links of systemd-resolved claim for their own servers, or append to names."""
    claimed = _by_link(machine.run("resolvectl", "domain")).values()
    return tuple(dict.fromkeys(text.removeprefix("~") for texts in claimed for text in texts))


def _of_file(machine: Machine, *, has_resolved: bool) -> Iterator[Rival]:
    servers = read_resolv_conf(machine.text(RESOLV_CONF) or "").servers
    for server in servers[:GLIBC_SERVERS]:
        if server.host == DOCKER:
            yield Rival(
                DOCKER,
                f"{RESOLV_CONF} (Docker's own resolver, this is a container)",
                "start the container with --dns and the address that secdns has for it",
            )
        elif not (has_resolved and server.host in STUBS):
            yield Rival(
                server.host,
                RESOLV_CONF,
                "let secdns be the only one there: sudo secdns system on",
            )


def _of_resolved(
    machine: Machine, dns: dict[str, list[str]], domains: dict[str, list[str]]
) -> Iterator[Rival]:
    takes_all = ALL_NAMES in domains.get("", ()) or machine.text(DELEGATE) is not None
    for link, servers in dns.items():
        if not link:
            remedy = (
                "remove it from /etc/systemd/resolved.conf and resolved.conf.d, then: sudo secdns system on"
            )
            yield from (Rival(_bare(text), "systemd-resolved, for all links", remedy) for text in servers)
        elif ALL_NAMES in domains.get(link, ()):
            remedy = (
                f"the link asks for all names, as a VPN does: end it, or sudo resolvectl domain {link} '' "
                "if only its own names are to go there"
            )
            yield from (Rival(_bare(text), f"link {link} of systemd-resolved", remedy) for text in servers)
        elif not takes_all:
            remedy = "let systemd-resolved send all names to secdns: sudo secdns system on"
            yield from (Rival(_bare(text), f"link {link} of systemd-resolved", remedy) for text in servers)


def _by_link(printed: str | None) -> dict[str, list[str]]:
    """Read what `resolvectl dns` or `resolvectl domain` prints; the empty name is for all links."""
    found: dict[str, list[str]] = {}
    for line in (printed or "").splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is not None:
            found[match["link"] or ""] = match["words"].split()
    return found


def _bare(text: str) -> str:
    """Take port, interface and TLS name off: 192.0.2.1:53#name, [2001:db8::1]:53, fe80::1%2."""
    address = text.partition("#")[0].partition("%")[0]
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
