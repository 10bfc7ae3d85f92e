"""Find the process that holds a port, in Linux's /proc.

Everything here reads under a ``proc`` directory that the caller may choose, and gives up quietly:
it only serves to make an error message better.
"""

import os
import pwd
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal, NamedTuple

PROC = Path("/proc")
LISTENING = "0A"  # TCP_LISTEN in the kernel's include/net/tcp_states.h


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a port. ``pid`` is None when we are not allowed to see the process.

    ``unit`` is the systemd service it belongs to. ``user`` is always known: the kernel's table
    of sockets shows it to everyone.
    """

    user: str
    pid: int | None = None
    command: str = ""
    unit: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of user {self.user} (which one is not visible without root)"
        return f"{self.command} (pid {self.pid}{f', unit {self.unit}' if self.unit else ''})"


class _Socket(NamedTuple):
    """One line of a table of sockets."""

    host: IPv4Address | IPv6Address
    port: int
    is_listening: bool
    uid: int
    inode: str


def find_holder(protocol: Literal["udp", "tcp"], host: str, port: int, proc: Path = PROC) -> Holder | None:
    """Give the process whose socket keeps us from binding ``host`` and ``port``.

    Besides a socket on that very address it may be one on a wildcard address, which for IPv4
    includes an IPv6 wildcard that is not restricted to IPv6. None means that no table shows one:
    no Linux, a socket that is bound but does not listen, or another view of the network.
    """
    wanted = ip_address(host.partition("%")[0])
    rivals = [
        found
        for version in ("", "6")
        for found in _sockets(proc / "net" / f"{protocol}{version}")
        if found.port == port and _nearness(found, wanted) is not None
    ]
    if not rivals:
        return None
    rival = min(rivals, key=lambda found: (not found.is_listening, _nearness(found, wanted)))
    return _owner(rival, proc)


def find_holders(port: int, proc: Path = PROC) -> list[tuple[str, Holder]]:
    """Give everybody who listens on ``port``, with the address, of UDP and TCP together, in the order found.

    One with several sockets on an address is given once.
    """
    listening: dict[tuple[str, int], _Socket] = {}
    for protocol in ("udp", "tcp"):
        for version in ("", "6"):
            for found in _sockets(proc / "net" / f"{protocol}{version}"):
                if found.port == port and (protocol == "udp" or found.is_listening):
                    listening.setdefault((str(found.host), found.uid), found)
    return [(host, _owner(found, proc)) for (host, _), found in listening.items()]


def _nearness(found: _Socket, wanted: IPv4Address | IPv6Address) -> int | None:
    """Rank how directly ``found`` collides with ``wanted``: 0 is the same address, None not at all."""
    host = found.host
    if isinstance(host, IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    if host == wanted:
        return 0
    same_family = host.version == wanted.version
    if host.is_unspecified and (same_family or host.version == 6):
        return 1 if same_family else 2
    return 1 if wanted.is_unspecified and same_family else None


def _sockets(table: Path) -> Iterator[_Socket]:
    """Read a table of the kernel, such as /proc/net/udp6; nothing if there is none."""
    try:
        lines = table.read_text("ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) < 10:
            continue
        host, _, port = fields[1].partition(":")
        yield _Socket(_address(host), int(port, 16), fields[3] == LISTENING, int(fields[7]), fields[9])


def _address(text: str) -> IPv4Address | IPv6Address:
    """Read an address as the kernel prints it: 32-bit words, each in the order of this machine."""
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    return ip_address(b"".join(words))


def _owner(found: _Socket, proc: Path) -> Holder:
    try:
        user = pwd.getpwuid(found.uid).pw_name
    except KeyError:
        user = str(found.uid)
    pids = sorted(_pids_with(f"socket:[{found.inode}]", proc), key=lambda pid: (pid == 1, pid))
    if not pids:
        return Holder(user)
    pid = pids[0]  # systemd (1) keeps a copy of the sockets it hands over: the service is meant
    return Holder(user, pid, _command(proc / str(pid)), _unit(proc / str(pid)))


def _pids_with(link: str, proc: Path) -> Iterator[int]:
    """Give the processes that have ``link`` among their open descriptors, as far as we may look."""
    for entry in os.scandir(proc):
        if not entry.name.isdigit():
            continue
        try:
            with os.scandir(f"{entry.path}/fd") as descriptors:
                if any(_target(descriptor.path) == link for descriptor in descriptors):
                    yield int(entry.name)
        except OSError:  # another user's process, or one that has just ended
            continue


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _command(process: Path) -> str:
    """Give a process the name a person knows it by."""
    name = _read(process / "comm").strip()
    arguments = _read(process / "cmdline").split("\0")
    if name.startswith("python") and any(Path(argument).name == "secdns" for argument in arguments[1:3]):
        return "secdns"  # `python -m secdns`, or a console script
    # The kernel keeps 15 octets of a name ("systemd-resolve"); the command line has the rest.
    full = Path(arguments[0]).name
    return full if name and full.startswith(name) else name or "?"


def _unit(process: Path) -> str:
    """Give the systemd service of a process, from its control group; empty if there is none."""
    services = re.findall(r"/([^/\n]+\.service)", _read(process / "cgroup"))
    return services[-1] if services else ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
