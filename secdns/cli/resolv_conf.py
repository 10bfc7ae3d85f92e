"""The resolvers that this machine's network gave it, as resolv.conf(5) has them."""

from pathlib import Path
from typing import Final

from secdns.discovery import is_here
from secdns.endpoint import parse_address
from secdns.errors import EndpointError

FILE: Final = Path("/etc/resolv.conf")
BEHIND_STUB: Final = Path("/run/systemd/resolve/resolv.conf")
"""Where systemd-resolved writes whom it asks, while the other file leads to itself."""

STUBS: Final = frozenset({"127.0.0.53", "127.0.0.54"})  # systemd-resolved's own addresses
MAX_OCTETS: Final = 1 << 16
MAX_RESOLVERS: Final = 8  # the C library asks 3


def network_resolvers(
    file: Path = FILE, behind_stub: Path = BEHIND_STUB
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the addresses of the network's resolvers, and in words what was left out and why.

    Addresses of this machine are left out: whoever listens there, perhaps secdns, asks others.
    """
    notes: list[str] = []
    written = _nameservers(file, notes)
    if STUBS.intersection(written):
        written = [server for server in written if server not in STUBS] + _nameservers(behind_stub, notes)
    addresses: list[str] = []
    for server in dict.fromkeys(written):
        try:
            address = parse_address(server)
        except EndpointError as error:
            notes.append(f"left out: {error}")
            continue
        if is_here(address):
            notes.append(f"left out: {address} is this machine itself")
        else:
            addresses.append(address)
    return tuple(addresses[:MAX_RESOLVERS]), tuple(notes)


def _nameservers(file: Path, notes: list[str]) -> list[str]:
    """Give what stands behind ``nameserver`` in a file; one that cannot be read has nothing."""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_OCTETS).decode("ascii", "replace")
    except OSError as error:
        notes.append(f"{file} cannot be read: {error.strerror}")
        return []
    words = (line.split() for line in text.splitlines())
    return [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
