"""What a back-end is, and what it gives: a plan in steps, each of which can be undone.

A back-end decides and does nothing. It looks at the machine and says which files it would write
and which commands it would run, forwards and backwards. One place (``switch``) saves what is
there, carries the plan out and takes it back, so that no back-end can forget to.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from secdns.errors import SettingsError
from secdns.osdns.machine import Machine

MARKER = "# Written by secdns."
"""How every file of ours begins; one that no longer does is somebody else's and is left alone."""

RESOLV_CONF = "/etc/resolv.conf"
DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Server:
    """A resolver's address: an IP literal, with a zone (``%eth0``) perhaps, and a port."""

    host: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        if self.port == DNS_PORT:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class DNSSettings:
    """Whom the machine asks, and what is appended to short names, in order of preference."""

    servers: tuple[Server, ...] = ()
    search: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Give the servers where no port can be said."""
        return tuple(server.host for server in self.servers)


@dataclass(frozen=True, slots=True)
class Write:
    """Put a file of ours at ``path``, whatever is there now; ``text`` begins with ``MARKER``."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"write {self.path}"


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command and wait for it.

    A failure is none if the command complains with ``excuse`` in it: there was nothing to do. One of a
    command that is not ``required`` is passed over.
    """

    argv: tuple[str, ...]
    stdin: str = ""
    excuse: str = ""
    required: bool = True

    def __str__(self) -> str:
        return f"run {' '.join(self.argv)}"


Step = Write | Run


@dataclass(frozen=True, slots=True)
class Plan:
    """What one back-end would do.

    ``steps`` go forwards. Backwards, every file that a step wrote is put back first and ``undo``
    runs then. ``watched`` are files that another program writes on our behalf: they are put back
    if that program is gone and still says what we made it say. ``check`` tells whether the
    settings are in force, with the reason if not; it is asked after the last step.
    """

    steps: tuple[Step, ...]
    undo: tuple[Run, ...] = ()
    watched: tuple[str, ...] = ()
    check: Callable[[Machine], str | None] = field(default=lambda machine: None)


class Backend(Protocol):
    """One way to tell an operating system whom to ask. A module is one.

    ``title`` is what a person calls it. ``volatile``: a reboot undoes all that it does.
    """

    title: str
    volatile: bool

    def current(self, machine: Machine) -> DNSSettings:
        """Give what the network or the administrator wants, even while ours is in force."""

    def plan(self, machine: Machine, settings: DNSSettings) -> Plan:
        """Say how ``settings`` would be put in force. Changes nothing.

        Raises:
            SettingsError: it cannot be done here; the message names the file, the hint the remedy.
        """


def resolv_conf(settings: DNSSettings) -> str:
    """Give the text of a resolv.conf of ours.

    edns0 and trust-ad (resolv.conf(5)): programs learn with the AD bit that an answer was checked.
    """
    lines = [
        f"{MARKER} `secdns system off` puts back what was here before.",
        *(f"nameserver {host}" for host in settings.hosts),
        *([f"search {' '.join(settings.search)}"] if settings.search else []),
        "options edns0 trust-ad",
    ]
    return "\n".join(lines) + "\n"


def read_resolv_conf(text: str) -> DNSSettings:
    """Read nameserver, search and domain as glibc does: the last of search and domain counts."""
    servers: list[Server] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        key, *values = line.split() or [""]
        if key == "nameserver" and values:
            servers.append(Server(values[0]))
        elif key in ("search", "domain"):
            search = tuple(values)
    return DNSSettings(tuple(servers), search)


def resolv_conf_ports(settings: DNSSettings, title: str) -> None:
    """Insist on port 53: resolv.conf and those who write it know no other.

    Raises:
        SettingsError: a server has another port.
    """
    for server in settings.servers:
        if server.port != DNS_PORT:
            raise SettingsError(
                f"secdns listens on port {server.port}, {title} knows port {DNS_PORT} only: "
                "nothing was changed",
                hint='let it listen there: listen = ["127.0.0.1:53"] under [server] in the configuration',
            )


def is_ours(text: str | None) -> bool:
    """Tell whether a file with this text was written by us."""
    return text is not None and text.startswith(MARKER)
