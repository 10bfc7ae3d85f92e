"""Open every address that the configuration names, UDP and TCP, or none of them.

Not set, on purpose: SO_REUSEPORT, with which another process could take a share of our queries
during a restart (L13), and SO_REUSEADDR for UDP, which on Linux lets two sockets have one port.
"""

import contextlib
import errno
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from secdns.config import ListenAddress
from secdns.errors import ListenError
from secdns.listener import Limits
from secdns.listener.holder import Holder, find_holder
from secdns.listener.inherited import Pair, normal, not_configured, pair_up
from secdns.listener.known import known

_LOG = logging.getLogger(__name__)

# Linux keeps 2,520 small queries in it, some 15 ms of answers from the cache: enough for a burst,
# and what waits longer is better dropped (F21). It gives less where net.core.rmem_max says so.
RECEIVE_BUFFER_OCTETS = 1 << 20
# Connections that wait for accept(); the kernel cuts it to net.core.somaxconn.
BACKLOG = 1024
# Port 0 is for tests and demos: the port that UDP was given may be taken for TCP.
SAME_PORT_ATTEMPTS = 32
# Descriptors kept free for upstreams (R6), and those of the process itself: standard streams,
# event loop, listeners, control socket, log, files being read.
UPSTREAM_DESCRIPTORS = 64
OWN_DESCRIPTORS = 32

# From <linux/in.h> and <linux/in6.h>; Python has no names for them. "Probe" sets DF and pays no
# heed to ICMP, which anyone may forge: our replies of at most 1232 octets fit every link, so
# there is no path MTU to learn (RFC 9715 §3.1).
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}
_PMTUDISC_PROBE = 3

Kind = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One address that is listened on: both sockets are non-blocking and have the same port.

    ``host`` is as configured; ``port`` is the real one where 0 was configured. Whoever gets a
    socket from here owns it.
    """

    host: str
    port: int
    udp: socket.socket
    tcp: socket.socket

    def __str__(self) -> str:
        return _text(self.host, self.port)

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


def open_sockets(addresses: Sequence[ListenAddress], inherited: Sequence[socket.socket] = ()) -> list[Bound]:
    """Open UDP and TCP on every address, in order; all of them or none.

    ``inherited`` are sockets that are open already and are taken where they fit; they are the
    callee's from now on. Who has some may not be allowed to open more, so then an address that comes
    from the defaults is left out.

    The one other exception is an address that comes from the defaults and that the machine does not
    have, which is ``[::1]`` where IPv6 is switched off: it is left out with a warning.

    Raises:
        ListenError: an address cannot be listened on, or one that is open already is not among
            ``addresses``. Nothing stays open. The message names the process that holds the port
            where that can be seen, the hint says what to do.
    """
    with contextlib.ExitStack() as opened:
        for sock in inherited:
            opened.callback(sock.close)
        given = pair_up(inherited)
        bound = []
        for address in addresses:
            pair_given = given.pop(normal(address.host, address.port), None)
            if pair_given is not None:
                bound.append(_take(address, pair_given))
                continue
            if inherited and address.is_default:
                continue
            try:
                pair = _open_pair(address.host, address.port)
            except _AbsentError as error:
                if not address.is_default:
                    raise
                _LOG.warning("%s; going on without it, as it is not in the configuration", error)
                continue
            opened.callback(pair.close)
            bound.append(pair)
        if given:
            raise not_configured(list(given))
        if not bound:
            wanted = ", ".join(_text(address.host, address.port) for address in addresses)
            raise ListenError(
                f"cannot listen on any address: this machine has none of {wanted or 'an empty list'}",
                hint="`ip address` shows the addresses it has",
            )
        opened.pop_all()
    return bound


def raise_descriptor_limit(connections: int = Limits().connections) -> int:
    """Raise RLIMIT_NOFILE as far as needed and allowed; give how many client connections fit.

    At most ``connections``, and fewer where the hard limit is so low that upstreams and the
    process itself would come short (R6); then a warning says so.
    """
    kept = UPSTREAM_DESCRIPTORS + OWN_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + kept
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed >= wanted:
        return connections
    # With next to nothing to share, a quarter for clients is still better than no TCP at all.
    fitting = max(allowed - kept, allowed // 4, 1)
    _LOG.warning(
        "only %d descriptors allowed (RLIMIT_NOFILE), %d wanted: at most %d TCP clients at a time",
        allowed,
        wanted,
        fitting,
    )
    return fitting


class _AbsentError(ListenError):
    """The machine does not have this address, or not its whole family."""


def _open_pair(host: str, port: int) -> Bound:
    if ip_address(host).is_unspecified:
        # A reply to a datagram must come from the address that was asked; a wildcard socket does
        # not know it, and takes the port on addresses that belong to others (libvirt, resolved).
        raise ListenError(
            f"cannot listen on {_text(host, port)}: a wildcard, where single addresses are wanted",
            hint='list the addresses, for example: listen = ["127.0.0.1:53", "192.168.1.2:53"]',
        )
    for attempt in range(SAME_PORT_ATTEMPTS):
        udp = _bind("udp", host, port)
        try:
            actual = udp.getsockname()[1]
            return Bound(host, actual, udp, _bind("tcp", host, actual))
        except ListenError as error:
            udp.close()
            taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
            if port != 0 or not taken or attempt == SAME_PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _take(address: ListenAddress, pair: Pair) -> Bound:
    """Make a pair that is open already as if it had been opened here."""
    udp, tcp = pair
    for sock, prepare in ((udp, _prepare_udp), (tcp, _prepare_tcp)):
        sock.setblocking(False)
        prepare(sock)
    return Bound(address.host, address.port, udp, tcp)


def _bind(kind: Kind, host: str, port: int) -> socket.socket:
    """Give a bound, non-blocking socket that is ready for its listener."""
    sock: socket.socket | None = None
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        prepare: Callable[[socket.socket], None] = _prepare_udp if kind == "udp" else _prepare_tcp
        prepare(sock)
        sock.bind(_sockaddr(host, port))
        if kind == "tcp":
            sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise _explain(kind, host, port, error) from error
    return sock


def _prepare_udp(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
    if sys.platform == "linux":
        level, option = _MTU_DISCOVER[sock.family]
        sock.setsockopt(level, option, _PMTUDISC_PROBE)


def _prepare_tcp(sock: socket.socket) -> None:
    # Without it a restart has to wait until the last connection has left TIME_WAIT.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _sockaddr(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Give what bind() takes, without any look-up of names; ``fe80::1%eth0`` has a scope."""
    if ":" not in host:
        return host, port
    literal, _, scope = host.partition("%")
    try:
        return literal, port, 0, socket.if_nametoindex(scope) if scope else 0
    except OSError as error:  # some Pythons leave the number out
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from error


def _explain(kind: Kind, host: str, port: int, error: OSError) -> ListenError:
    """Turn the kernel's word into ours."""
    start = f"cannot listen on {_text(host, port)} ({kind})"
    match error.errno:
        case errno.EADDRINUSE:
            holder = find_holder(kind, host, port)
            by = f" by {_named(holder)}" if holder else ""
            return ListenError(f"{start}: address in use{by}", hint=remedy(host, port, holder))
        case errno.EACCES | errno.EPERM:
            return ListenError(f"{start}: permission denied", hint=_privilege_hint(port))
        case errno.EAFNOSUPPORT | errno.EADDRNOTAVAIL | errno.ENODEV | errno.ENXIO:
            return _AbsentError(
                f"{start}: this machine has no such address",
                hint="`ip address` shows the addresses it has",
            )
        case _:
            return ListenError(f"{start}: {error.strerror or error}")


def remedy(host: str, port: int, holder: Holder | None) -> str:
    """Say what a person can do about a port that is taken."""
    free = 5301 if port == 5300 else 5300
    spare = f'"[::1]:{free}"' if ":" in host else f'"127.0.0.2:{port}"'
    elsewhere = f"or listen elsewhere: `secdns run --port {free}`, or listen = [{spare}] in the configuration"
    if holder is None:
        return f"`sudo ss -lntup` may show what holds it; {elsewhere}"
    if holder.pid == os.getpid():
        return "the configuration lists this address twice; list it once"
    if holder.pid is None:
        return f"`sudo ss -lntup` shows which; {elsewhere}"
    program = known(holder)
    remedy = program.remedy if program else None
    # A unit of another name does more than this: nobody wants to stop lxd for its dnsmasq.
    if remedy is None and holder.unit.startswith(holder.command):
        remedy = f"stop it with `sudo systemctl disable --now {holder.unit}`"
    return f"{remedy or f'stop {holder.command}'}, {elsewhere}"


def _named(holder: Holder) -> str:
    """Name a holder; one of the usual ones by the name that a person knows, where its command is another."""
    program = known(holder)
    if program is None or program.title == holder.command:
        return str(holder)
    return f"{program.title}, {holder}"


def _privilege_hint(port: int) -> str:
    if port >= 1024:
        return "a security module such as SELinux or AppArmor may forbid it"
    return (
        "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE: "
        "start it with sudo or as a service, or take a high port: `secdns run --port 5300`"
    )


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
