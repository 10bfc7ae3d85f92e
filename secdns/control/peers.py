"""Find out who is at the other end of a Unix socket, and what they may do.

The kernel says it (``SO_PEERCRED``), as of the moment when they connected. Nothing is asked of the
system's user database: that may want the network, and so us.
"""

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GROUP: Final = "secdns"
GROUP_FILE: Final = Path("/etc/group")
MAX_GROUPS: Final = 1024  # of one user; who has more is not found in the group by them
MAX_GROUP_FILE: Final = 1 << 20

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: struct ucred
_SO_PEERGROUPS: Final = 59  # Linux 4.13, include/uapi/asm-generic/socket.h


@dataclass(frozen=True, slots=True)
class Peer:
    """Whoever connected: user and groups."""

    uid: int
    groups: frozenset[int]


def peer_of(sock: socket.socket) -> Peer | None:
    """Give who is at the other end; None where the system does not tell, and then they may only read."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or sock.family != getattr(socket, "AF_UNIX", None):
        return None
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    except OSError:
        return None
    _, uid, gid = _CREDENTIALS.unpack(octets)
    return Peer(uid, frozenset({gid, *_groups_of(sock)}))


def _groups_of(sock: socket.socket) -> tuple[int, ...]:
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * MAX_GROUPS)
    except OSError:
        return ()
    return struct.unpack(f"{len(octets) // 4}I", octets)


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may change things: root, ``owner``, and members of ``group`` if there is such a group."""

    owner: int
    group: int | None

    def may_change(self, peer: Peer | None) -> bool:
        """Tell whether ``peer`` may do more than read how things are."""
        if peer is None:
            return False
        return peer.uid in (0, self.owner) or (self.group is not None and self.group in peer.groups)


def rights(group_file: Path = GROUP_FILE) -> Rights:
    """Give the rights over a daemon that runs as whoever this process runs as."""
    return Rights(os.geteuid() if hasattr(os, "geteuid") else -1, _group_number(group_file))


def _group_number(file: Path) -> int | None:
    """Give the number of the group in a file like group(5); no group where the file has none."""
    try:
        with file.open("rb") as opened:
            lines = opened.read(MAX_GROUP_FILE).splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(b":")
        number = rest.split(b":")[1:2]
        if name == GROUP.encode() and number and number[0].isdigit() and len(number[0]) <= 10:
            return int(number[0]) or None  # group 0 is root's
    return None
