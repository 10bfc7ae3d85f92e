"""Machines in a directory: /etc and /run as files, and the programs that write resolv.conf as a few lines."""

import json
import os
import stat
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from secdns.osdns.machine import NOT_FOUND, Machine, Ran
from secdns.osdns.plan import DNSSettings, Server, read_resolv_conf

US = DNSSettings((Server("127.0.0.1"), Server("::1")))
MACHINE_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n"
LAN = "nameserver 10.9.0.1\nsearch lan.example\n"
STUB = "# Do not edit.\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan.example\n"
OURS = {"/run/secdns-system", "/var/lib/secdns-system"}


class World:
    """One machine below ``root``, with the programs it has: a name and what it does.

    ``loaded`` and ``domains`` are what systemd-resolved has read; they stay when our process dies, like
    the files.
    ``takes_all`` is an administrator who sends every name to its global servers.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[tuple[str, ...]] = []
        self.programs: dict[str, Callable[[Sequence[str], str], Ran]] = {}
        self.loaded: list[str] = []
        self.domains: list[str] = []
        self.takes_all = False
        self.interfaces: dict[str, str] = {}
        for directory in ("run", "var/lib"):
            (root / directory).mkdir(parents=True)
        self.file("/etc/machine-id", MACHINE_ID)
        self.file("/etc/nsswitch.conf", "hosts: files dns\n")

    def file(self, path: str, text: str, mode: int = 0o644) -> None:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)
        at.chmod(mode)

    def link(self, path: str, target: str) -> None:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.unlink(missing_ok=True)
        at.symlink_to(target)

    def text(self, path: str) -> str | None:
        return Machine(self.root).text(path)

    def run(self, argv: Sequence[str], stdin: str) -> Ran:
        self.commands.append(tuple(argv))
        program = self.programs.get(argv[0])
        return program(argv, stdin) if program else Ran(NOT_FOUND, err=f"{argv[0]}: not found")

    def machine(self) -> "Fake":
        return Fake(self.root, self.run)

    def state(self) -> dict[str, object]:
        """Give all that a person could see of it, but for what secdns remembers in places of its own."""
        found: dict[str, object] = {
            "loaded": list(self.loaded),
            "domains": list(self.domains),
            "interfaces": dict(self.interfaces),
        }
        for directory, names, files in os.walk(self.root):
            path = "/" + os.path.relpath(directory, self.root)
            if path in OURS:
                names.clear()
                continue
            for name in [*names, *files]:
                at = Path(directory, name)
                if str(Path(path, name)) in OURS:
                    continue
                status = at.lstat()
                if stat.S_ISLNK(status.st_mode):
                    content: object = os.readlink(at)
                else:
                    content = at.read_bytes() if stat.S_ISREG(status.st_mode) else None
                found[os.path.normpath(Path(path, name))] = (
                    stat.filemode(status.st_mode), status.st_uid, status.st_gid, content,
                )  # fmt: skip
        return found


class Fake(Machine):
    """A machine whose user may change it, and where nobody waits."""

    def may_change(self) -> bool:
        return True

    def pause(self, seconds: float) -> None:
        pass


def bare(server: str) -> str:
    """Take the port off 127.0.0.1:53 or [::1]:53; an address alone stays as it is."""
    if server.startswith("["):
        return server[1 : server.index("]")]
    return server.partition(":")[0] if server.count(":") == 1 else server


def global_server(host: str) -> list[object]:
    """What systemd-resolved 252 says of a global server: a loopback address is on interface 1."""
    address = ip_address(host)
    return [int(address.is_loopback), 2 if address.version == 4 else 10, list(address.packed)]


def data(value: object) -> Ran:
    """What busctl --json=short get-property prints."""
    return Ran(0, json.dumps({"type": "?", "data": value}) + "\n")


def with_resolved(world: World, version: int = 252, mode: str = "stub") -> None:
    """systemd-resolved, which reads its files when it is told to."""
    link = [[2, 2, [10, 9, 0, 1]]]

    def busctl(argv: Sequence[str], stdin: str) -> Ran:
        if argv[3] != "org.freedesktop.resolve1":
            return previous(argv, stdin) if previous else Ran(1, err="no such name")
        if argv[-1] == "ResolvConfMode":
            return data(mode)
        if argv[-1] == "Domains":
            return data([[0, ".", True]] if world.takes_all or world.domains else [])
        return data([*(global_server(host) for host in world.loaded), *link])

    def delegate() -> str | None:
        found = world.text("/run/systemd/dns-delegate.d/secdns.dns-delegate")
        return found if version >= 258 else None

    def systemctl(argv: Sequence[str], stdin: str) -> Ran:
        if argv[1] == "--version":
            return Ran(0, f"systemd {version} ({version}.1-1)\n+PAM +AUDIT\n")
        if argv[1:] == ("reset-failed", "systemd-resolved.service"):
            return Ran(0)
        assert argv[1:] in (
            ("try-reload-or-restart", "systemd-resolved.service"),
            ("try-restart", "systemd-resolved.service"),
        )
        world.loaded.clear()
        if argv[1] == "try-restart" or version < 256:  # a reload keeps them, as seen in 257
            world.domains.clear()
        drop_in = world.text("/run/systemd/resolved.conf.d/zz-secdns.conf")
        if "Domains=~." in (drop_in or ""):
            world.domains[:] = ["~."]
        for line in (delegate() or drop_in or "").splitlines():
            if line.startswith("DNS="):
                # the property has no ports
                world.loaded[:] = [bare(each) for each in line[4:].split()]
        return Ran(0)

    def resolvectl(argv: Sequence[str], stdin: str) -> Ran:
        if argv[1] == "flush-caches":
            return Ran(0)
        told = {"dns": "10.9.0.1 10.9.0.2", "domain": "lan.example ~corp.example"}[argv[1]]
        return Ran(0, f"Global:\nLink 2 (eth0): {told}\nLink 3 (wlan0):\n")

    previous = world.programs.get("busctl")
    world.programs |= {"busctl": busctl, "systemctl": systemctl, "resolvectl": resolvectl}


def with_network_manager(world: World, target: str = "/etc/resolv.conf", manager: str = "symlink") -> None:
    """NetworkManager, which rewrites resolv.conf when it is told to reload."""
    written = "# Generated by NetworkManager\nsearch lan.example\nnameserver 10.9.0.1\n"

    def busctl(argv: Sequence[str], stdin: str) -> Ran:
        if argv[3] != "org.freedesktop.NetworkManager":
            return previous(argv, stdin) if previous else Ran(1, err="no such name")
        if argv[-1] == "RcManager":
            return data(manager)
        if argv[-1] == "Mode":
            return data("default")
        servers = {"type": "as", "data": ["10.9.0.1"]}
        return data([{"nameservers": servers, "domains": {"type": "as", "data": ["lan.example", "~x"]}}])

    def nmcli(argv: Sequence[str], stdin: str) -> Ran:
        assert list(argv[1:]) == ["general", "reload"]
        ours = world.text("/run/NetworkManager/conf.d/90-secdns.conf")
        if ours is None:
            world.file(target, written)
            return Ran(0)
        values = dict(line.partition("=")[::2] for line in ours.splitlines())
        lines = ["# Generated by NetworkManager", f"search {values['searches'].replace(',', ' ')}"]
        lines += [f"nameserver {host}" for host in values["servers"].split(",")]
        world.file(target, "\n".join([*lines, f"options {values['options'].replace(',', ' ')}", ""]))
        return Ran(0)

    previous = world.programs.get("busctl")
    world.programs |= {"busctl": busctl, "nmcli": nmcli}
    (world.root / "run/NetworkManager").mkdir(parents=True, exist_ok=True)
    world.file(target, written)


def with_resolvconf(world: World, kind: str) -> None:
    """openresolv 3.12 or Debian's resolvconf 1.91; what they print and write was recorded from them."""
    debian = kind == "debian"
    world.interfaces["eth0.dhcp"] = LAN
    target = "/run/resolvconf/resolv.conf" if debian else "/etc/resolv.conf"

    def resolvconf(argv: Sequence[str], stdin: str) -> Ran:
        words = list(argv[1:])
        if words == ["--version"]:
            return Ran(0, "Debian resolvconf 1.91+nmu1\n" if debian else "openresolv 3.12.0\nCopyright\n")
        if words == ["-l"]:
            return Ran(0, "".join(f"# resolv.conf from {name}\n{text}\n"
                                  for name, text in world.interfaces.items()))  # fmt: skip
        if "-a" in words:
            assert words == (["-a", "lo.secdns"] if debian else ["-m", "0", "-x", "-a", "secdns"])
            world.interfaces[words[-1]] = stdin
        else:
            assert words == (["-d", "lo.secdns"] if debian else ["-f", "-d", "secdns"])
            world.interfaces.pop(words[-1], None)
        update()
        return Ran(0)

    def update() -> None:
        head = "# Dynamic resolv.conf(5) file for glibc resolver(3) generated by resolvconf(8)\n"
        ours = world.interfaces.get("lo.secdns" if debian else "secdns")
        text = ours if ours is not None else world.interfaces["eth0.dhcp"]
        if debian and ours is not None:
            text += "search lan.example\n"
        world.file(target, (head if debian else "# Generated by resolvconf\n") + text)

    world.programs["resolvconf"] = resolvconf
    if debian:
        world.link("/etc/resolv.conf", "/run/resolvconf/resolv.conf")
    update()


def plain(world: World) -> None:
    world.file("/etc/resolv.conf", "# by hand\n" + LAN + "options timeout:1\n", 0o640)


def plain_link(world: World) -> None:
    world.file("/run/NetworkManager/resolv.conf", LAN)
    world.link("/etc/resolv.conf", "../run/NetworkManager/resolv.conf")


def absent(world: World) -> None:
    """No resolv.conf: the C library asks 127.0.0.1 then (resolv.conf(5))."""


def resolved_stub(world: World, version: int = 252) -> None:
    world.file("/run/systemd/resolve/stub-resolv.conf", STUB)
    world.link("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
    with_resolved(world, version)


def resolved_foreign(world: World) -> None:
    plain(world)
    with_resolved(world, mode="foreign")


def resolved_with_network_manager(world: World) -> None:
    with_network_manager(world)
    with_resolved(world, mode="foreign")


def network_manager_link(world: World) -> None:
    with_network_manager(world, "/run/NetworkManager/resolv.conf")
    world.link("/etc/resolv.conf", "/run/NetworkManager/resolv.conf")


MACHINES: dict[str, tuple[Callable[[World], None], tuple[str, ...]]] = {
    "plain file": (plain, ("resolv_file",)),
    "plain link": (plain_link, ("resolv_file",)),
    "no file": (absent, ("resolv_file",)),
    "resolved 252": (resolved_stub, ("resolved",)),
    "resolved 257": (lambda world: resolved_stub(world, 257), ("resolved",)),
    "resolved 262": (lambda world: resolved_stub(world, 262), ("resolved",)),
    "resolved beside a file": (resolved_foreign, ("resolved", "resolv_file")),
    "resolved beside NetworkManager": (resolved_with_network_manager, ("resolved", "networkmanager")),
    "NetworkManager": (with_network_manager, ("networkmanager",)),
    "NetworkManager, link": (network_manager_link, ("networkmanager",)),
    "openresolv": (lambda world: with_resolvconf(world, "openresolv"), ("resolvconf",)),
    "Debian's resolvconf": (lambda world: with_resolvconf(world, "debian"), ("resolvconf",)),
}
"""Machine: how to make it, and who must be told there."""


def make(name: str, root: Path) -> World:
    world = World(root)
    MACHINES[name][0](world)
    return world


def asked(world: World) -> list[str]:
    """Give whom a program would ask: through systemd-resolved if resolv.conf leads there."""
    named = [server.host for server in read_resolv_conf(world.text("/etc/resolv.conf") or "").servers]
    return world.loaded or ["10.9.0.1"] if named == ["127.0.0.53"] else named
