"""Sockets that a service manager opened for us: which of our addresses each is for."""

import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address

from secdns.errors import ListenError

_KINDS = {socket.SOCK_DGRAM: "udp", socket.SOCK_STREAM: "tcp"}
_HINT = (
    "let ListenDatagram= and ListenStream= of secdns.socket be the addresses of server.listen, "
    "or do without it: sudo systemctl disable --now secdns.socket"
)

Address = tuple[str, int]
Pair = tuple[socket.socket, socket.socket]


def pair_up(sockets: Sequence[socket.socket]) -> dict[Address, Pair]:
    """Give for each address the socket for UDP and that for TCP. Closes nothing.

    Raises:
        ListenError: one is of another kind, or has no partner.
    """
    found: dict[Address, dict[str, socket.socket]] = {}
    for sock in sockets:
        kind = _KINDS.get(sock.type, "") if sock.family in (socket.AF_INET, socket.AF_INET6) else ""
        if not kind:
            raise ListenError("one of the sockets handed over is neither UDP nor TCP", hint=_HINT)
        if kind == "tcp" and not _listens(sock):
            raise ListenError("one of the sockets handed over is a connection (Accept=yes)", hint=_HINT)
        found.setdefault(_address(sock), {})[kind] = sock
    pairs = {}
    for (host, port), kinds in found.items():
        if len(kinds) != len(_KINDS):
            raise ListenError(
                f"handed over is {host} port {port} for {next(iter(kinds))} alone, and both are wanted",
                hint=_HINT,
            )
        pairs[host, port] = (kinds["udp"], kinds["tcp"])
    return pairs


def not_configured(addresses: Sequence[Address]) -> ListenError:
    """Give the error for sockets whose addresses are not in the configuration: nobody would serve them."""
    listed = ", ".join(f"{host} port {port}" for host, port in addresses)
    return ListenError(f"handed over is {listed}, which server.listen does not have", hint=_HINT)


def normal(host: str, port: int) -> Address:
    """Give an address in the one form in which two can be compared."""
    literal, _, scope = host.partition("%")
    text = str(ip_address(literal))
    return (f"{text}%{scope}" if scope else text, port)


def _address(sock: socket.socket) -> Address:
    host, port, *rest = sock.getsockname()
    if rest and rest[1]:  # Python shows the scope as part of the host, or does not
        host = f"{host.partition('%')[0]}%{socket.if_indextoname(rest[1])}"
    return normal(host, port)


def _listens(sock: socket.socket) -> bool:
    """Tell whether a TCP socket waits for clients; where that cannot be told, believe it."""
    if sys.platform != "linux":
        return True
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
