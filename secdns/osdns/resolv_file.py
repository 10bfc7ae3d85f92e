"""/etc/resolv.conf itself, where nobody else writes it: the last resort, and the one that stays.

A reboot does not undo it, so its journal survives a reboot as well. A DHCP client may write the
file anew at any time.
"""

from pathlib import PurePosixPath

from secdns.errors import SettingsError
from secdns.osdns.detect import link_owner
from secdns.osdns.machine import Machine, Snapshot
from secdns.osdns.plan import (
    RESOLV_CONF,
    DNSSettings,
    Plan,
    Write,
    is_ours,
    read_resolv_conf,
    resolv_conf,
    resolv_conf_ports,
)

title = "the file /etc/resolv.conf"
volatile = False

_UNCHANGED = "nothing was changed"


def current(machine: Machine) -> DNSSettings:
    """Give what the file says; nothing while it is ours."""
    text = machine.text(RESOLV_CONF)
    return DNSSettings() if is_ours(text) else read_resolv_conf(text or "")


def plan(machine: Machine, settings: DNSSettings) -> Plan:
    """Put a file of ours in the place of what is there, be it a file, a link or nothing."""
    resolv_conf_ports(settings, title)
    _insist(machine, machine.snapshot(RESOLV_CONF))
    search = settings.search or current(machine).search
    text = resolv_conf(DNSSettings(settings.servers[:3], search))  # glibc takes three servers
    return Plan((Write(RESOLV_CONF, text),))


def _insist(machine: Machine, there: Snapshot) -> None:
    """Refuse what cannot be replaced, or not without breaking somebody else's arrangement."""
    if machine.is_mount_point(RESOLV_CONF):
        raise SettingsError(
            f"{RESOLV_CONF} is mounted over, by a container or a network namespace: {_UNCHANGED}",
            hint="set 127.0.0.1 where that is started (docker: --dns 127.0.0.1; "
            "ip netns: /etc/netns/NAME/resolv.conf)",
        )
    if there.kind == "other":
        raise SettingsError(
            f"{RESOLV_CONF} is neither a file nor a link: {_UNCHANGED}",
            hint=f"move it away, then try again: sudo mv {RESOLV_CONF} {RESOLV_CONF}.old",
        )
    if there.kind == "link" and machine.follow(RESOLV_CONF) is None:
        raise SettingsError(
            f"{RESOLV_CONF} is a link to {there.target}, which is not there: {_UNCHANGED}",
            hint=_cure_of_dangling(there.target),
        )
    for path in (RESOLV_CONF, str(PurePosixPath(RESOLV_CONF).parent)):
        if machine.is_immutable(path):
            raise SettingsError(
                f"{path} is immutable, somebody has protected it with chattr: {_UNCHANGED}",
                hint=f"find out who did and why, then: sudo chattr -i {path}",
            )


def _cure_of_dangling(target: str) -> str:
    owner = link_owner(target)
    if owner in ("systemd-resolved", "NetworkManager"):
        return (
            f"start what writes it: sudo systemctl restart {owner}; or remove the link: sudo rm {RESOLV_CONF}"
        )
    return f"start the program that writes it, or remove the link: sudo rm {RESOLV_CONF}"
