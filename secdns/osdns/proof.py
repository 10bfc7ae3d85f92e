"""Prove that what a program looks up arrives at secdns, and no other resolver sees it.

See ``secdns.policy.proof`` for the names. Nothing here leaves the machine, unless the system's
resolver leads elsewhere: that one then hears a random label below ``secdns.internal``.
"""

import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from secdns.dns.message import Message, make_query
from secdns.dns.name import from_text
from secdns.errors import FormatError, NotInForceError
from secdns.iana import RRType
from secdns.osdns.plan import Server
from secdns.policy.proof import ZONE_TEXT

DIRECT_S = 2.0  # loopback, and an answer that needs no upstream
ATTEMPTS = 3  # a datagram to a daemon that has just been started
LOOK_UP_S = 10.0  # glibc gives up after 5 s for each server
SETTLE_S = 5.0  # systemd-resolved restarts, NetworkManager writes its file
PAUSE_S = 0.2

LookUp = Callable[[str], list[str]]


def fresh_name() -> str:
    """Make a name that nobody has asked for before; the final dot keeps the search list away."""
    return f"{secrets.token_hex(8)}.{ZONE_TEXT}."


def ask(server: Server, name: str, timeout_s: float = DIRECT_S) -> str:
    """Ask the resolver at ``server`` for the address of ``name`` and give it.

    Raises:
        NotInForceError: nobody answers there, or somebody who is not secdns.
    """
    identity = secrets.randbelow(1 << 16)
    query = make_query(from_text(name), RRType.A, id=identity)
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    where = f"{server.host} port {server.port}"
    for _ in range(ATTEMPTS):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(timeout_s / ATTEMPTS)
                sock.connect((server.host, server.port))
                sock.send(query)
                reply = Message.parse(sock.recv(65535))
        except TimeoutError:
            continue
        except FormatError as error:
            raise NotInForceError(f"what answers at {where} is not secdns: {error}") from error
        except OSError as error:
            raise NotInForceError(f"secdns does not answer at {where}: {error.strerror or error}") from error
        found = [record.rdata for record in reply.answer if record.rrtype == RRType.A]
        if reply.id != identity or len(found) != 1 or found[0][:1] != b"\x7f":
            raise NotInForceError(f"another program than secdns answers at {where}, or an older secdns")
        return str(ip_address(found[0]))
    raise NotInForceError(f"secdns does not answer at {where} within {timeout_s:g} s")


def look_up(name: str, timeout_s: float = LOOK_UP_S) -> list[str]:
    """Look a name up as every program does, with getaddrinfo; nothing found is an empty list.

    In a thread, because the C library cannot be told how long to wait.
    """
    found: list[str] = []

    def work() -> None:
        try:
            entries = socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except OSError:
            return
        found.extend(sorted({str(entry[4][0]) for entry in entries}))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return list(found)


def why_not(
    servers: Sequence[Server],
    look_up: LookUp,
    *,
    settle_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Look names up until one arrives at secdns; None then, else the reason after ``settle_s`` (5).

    Every try has a fresh name, so that no cache on the way answers it.
    """
    give_up_at = clock() + (SETTLE_S if settle_s is None else settle_s)
    while True:
        name = fresh_name()
        try:
            wanted = {ask(server, name) for server in servers}
        except NotInForceError as error:
            return str(error)
        found = look_up(name)
        if found and set(found) <= wanted:
            return None
        if clock() >= give_up_at:
            break
        sleep(PAUSE_S)
    if found:
        return f"another resolver answered a name that only secdns knows ({', '.join(found)})"
    return "the system could not find a name that only secdns knows, so it asks another resolver"
