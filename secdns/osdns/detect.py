"""Tell who controls DNS on this machine. Pure: what it wants to know it asks of ``env``.

The order matters and each step has a machine behind it that did it otherwise. systemd-resolved is
asked first, by D-Bus, which starts it if it may be started: only then is /etc/resolv.conf what
programs will see. A header that names a program proves little, people copy files; what counts is
whom the file and nsswitch.conf lead to.
"""

import json
import re
from dataclasses import dataclass
from typing import Protocol

RESOLV_CONF = "/etc/resolv.conf"
NSSWITCH = "/etc/nsswitch.conf"
STUBS = frozenset({"127.0.0.53", "127.0.0.54"})  # where systemd-resolved listens

# Whose directory a resolv.conf that is a link leads into.
_LINKS = (
    ("/run/systemd/resolve/", "systemd-resolved"),
    ("/usr/lib/systemd/resolv.conf", "systemd-resolved"),
    ("/lib/systemd/resolv.conf", "systemd-resolved"),
    ("/run/NetworkManager/", "NetworkManager"),
    ("/var/run/NetworkManager/", "NetworkManager"),
    ("/run/resolvconf/", "resolvconf"),
    ("/etc/resolvconf/run/", "resolvconf"),
    ("/run/secdns-system/", "secdns"),
)

_RESOLVED = ("org.freedesktop.resolve1", "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager")
_NETWORK_MANAGER = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager/DnsManager",
    "org.freedesktop.NetworkManager.DnsManager",
)


class Environment(Protocol):
    """What can be asked of a machine."""

    def text(self, path: str) -> str | None:
        """Give what a file says, links followed, or None if there is none."""

    def link(self, path: str) -> str | None:
        """Give where a symbolic link points, or None if it is none."""

    def run(self, *argv: str) -> str | None:
        """Give what a command prints, or None if it fails or is not there."""


@dataclass(frozen=True, slots=True)
class Detection:
    """Who has to be told, in this order, and how we know.

    ``backends`` are names in ``BACKENDS``. Two are named where programs go two ways. None means that
    we do not know how, and then ``problem`` and ``remedy`` say why. ``trace`` has a sentence for each step.
    """

    backends: tuple[str, ...]
    trace: tuple[str, ...]
    problem: str = ""
    remedy: str = ""


def detect(env: Environment, platform: str = "linux") -> Detection:
    """Tell which back-ends are to be used on a machine of this ``platform`` (``sys.platform``)."""
    if platform == "darwin":
        return Detection(("macos",), ("macOS keeps DNS in its dynamic store",))
    if platform == "win32":
        return Detection(("windows",), ("Windows keeps DNS with each interface",))
    trace: list[str] = []
    resolved = _resolved_answers(env, trace)
    servers = _servers(env, trace)
    if resolved and servers and STUBS.issuperset(servers):
        trace.append(f"{RESOLV_CONF} leads to systemd-resolved, so it has to be told and nobody else")
        return Detection(("resolved",), tuple(trace))
    first = ("resolved",) if resolved else ()
    if resolved:
        trace.append(_why_resolved_as_well(env))
    for name, is_in_charge in (("networkmanager", _network_manager), ("resolvconf", _resolvconf)):
        if is_in_charge(env, trace):
            return Detection((*first, name), tuple(trace))
    return _file(env, first, trace)


def property_of(env: Environment, where: tuple[str, str, str], name: str) -> object:
    """Read a D-Bus property with busctl(1); None if there is nobody to answer."""
    service, path, interface = where
    printed = env.run("busctl", "--json=short", "get-property", service, path, interface, name)
    try:
        document = json.loads(printed or "")
    except ValueError:
        return None
    return document.get("data") if isinstance(document, dict) else None


def resolved_property(env: Environment, name: str) -> object:
    """Read a property of systemd-resolved."""
    return property_of(env, _RESOLVED, name)


def network_manager_property(env: Environment, name: str) -> object:
    """Read a property of NetworkManager's DNS manager."""
    return property_of(env, _NETWORK_MANAGER, name)


def asks_resolved_first(nsswitch: str) -> bool:
    """Tell whether look-ups go to systemd-resolved whatever resolv.conf says, by nsswitch.conf(5)."""
    hosts = re.search(r"^hosts:(.*)$", nsswitch, re.M)
    words = re.sub(r"\[[^\]]*\]", "", hosts[1]).split() if hosts else []
    return "resolve" in words and ("dns" not in words or words.index("resolve") < words.index("dns"))


def link_owner(target: str) -> str | None:
    """Tell whose file a link in the place of resolv.conf names; None for somebody unknown."""
    absolute = target if target.startswith("/") else _beside_resolv_conf(target)
    return next((owner for start, owner in _LINKS if absolute.startswith(start)), None)


def _beside_resolv_conf(target: str) -> str:
    """Make a relative target absolute, without looking at the disk."""
    parts = ["etc"]
    for part in target.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _resolved_answers(env: Environment, trace: list[str]) -> bool:
    mode = resolved_property(env, "ResolvConfMode")
    if mode is None and resolved_property(env, "DNS") is None:  # before 252 it has no such mode
        trace.append("systemd-resolved does not answer on D-Bus")
        return False
    trace.append(f"systemd-resolved answers on D-Bus (resolv.conf mode: {mode or 'unknown'})")
    return True


def _servers(env: Environment, trace: list[str]) -> list[str]:
    text = env.text(RESOLV_CONF) or ""
    found = re.findall(r"^nameserver[ \t]+(\S+)", text, re.M)
    target = env.link(RESOLV_CONF)
    shape = f"is a link to {target} and" if target is not None else ""
    trace.append(f"{RESOLV_CONF} {shape} names {', '.join(found) or 'no server'}".replace("  ", " "))
    return found


def _why_resolved_as_well(env: Environment) -> str:
    if asks_resolved_first(env.text(NSSWITCH) or ""):
        return "nsswitch.conf sends look-ups to systemd-resolved, programs that read resolv.conf go past it"
    return "programs ask systemd-resolved by D-Bus, and all others go past it"


def _network_manager(env: Environment, trace: list[str]) -> bool:
    manager = network_manager_property(env, "RcManager")
    if manager is None:
        trace.append("NetworkManager does not answer on D-Bus")
        return False
    if manager in ("unmanaged", "immutable", "resolvconf", "netconfig"):
        trace.append(f"NetworkManager runs but does not write resolv.conf (rc-manager: {manager})")
        return False
    owner = link_owner(env.link(RESOLV_CONF) or "/run/NetworkManager/")
    if owner != "NetworkManager":
        trace.append(f"NetworkManager runs but leaves resolv.conf to {owner or 'whoever linked it'}")
        return False
    mode = network_manager_property(env, "Mode")
    if mode == "systemd-resolved":  # it writes no file then: resolv.conf is somebody's own
        trace.append("NetworkManager runs and leaves DNS to systemd-resolved")
        return False
    trace.append(f"NetworkManager writes resolv.conf (rc-manager: {manager}, mode: {mode})")
    return True


def _resolvconf(env: Environment, trace: list[str]) -> bool:
    version = env.run("resolvconf", "--version")
    if version is None:
        trace.append("there is no resolvconf")
        return False
    if "systemd" in version:
        trace.append("resolvconf is systemd-resolved under another name")
        return False
    text = env.text(RESOLV_CONF) or ""
    target = env.link(RESOLV_CONF)
    if "generated by resolvconf" not in text.lower() and (
        target is None or link_owner(target) != "resolvconf"
    ):
        trace.append("resolvconf is installed but did not write resolv.conf")
        return False
    trace.append(f"resolv.conf is written by {version.splitlines()[0] if version else 'resolvconf'}")
    return True


def _file(env: Environment, first: tuple[str, ...], trace: list[str]) -> Detection:
    target = env.link(RESOLV_CONF)
    if target is not None and env.text(RESOLV_CONF) is not None and link_owner(target) is None:
        trace.append(f"nobody that we know writes {target}")
        return Detection(
            (),
            tuple(trace),
            problem=f"{RESOLV_CONF} is a link to {target}, whose program secdns does not know",
            remedy="tell that program to use 127.0.0.1, or take the file from it, then try again: "
            f"sudo cp --remove-destination {target} {RESOLV_CONF}",
        )
    trace.append("nobody else writes resolv.conf, so the file itself is changed")
    return Detection((*first, "resolv_file"), tuple(trace))
