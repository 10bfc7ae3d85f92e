"""Tell whether programs of this machine ask us, from files and from what systemd-resolved says of itself.

It costs some looks at the disk and no command, so whoever shows how things are can ask again and again, and
nothing is told from memory: what a file says holds as long as the file is the same. It proves nothing, as
``proof`` does; it is how the machine is set. Linux and its like: elsewhere that is not known.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from secdns.control.schema import System
from secdns.errors import SettingsError
from secdns.osdns import contest, journal
from secdns.osdns.detect import NSSWITCH, STUBS, asks_resolved_first, link_owner
from secdns.osdns.machine import Machine
from secdns.osdns.plan import DNS_PORT, RESOLV_CONF, Server, read_resolv_conf
from secdns.osdns.resolved import DELEGATE, DROP_IN
from secdns.osdns.rivals import GLIBC_SERVERS

ON: Final = "on"  # they ask us, and nobody else
OFF: Final = "off"  # they do not, and nobody said that they shall
OVERRULED: Final = (
    "overruled"  # they were told to, and ask others all the same, or secdns stands aside for one
)
UNKNOWN: Final = "unknown"

MAX_NAMED: Final = 3  # resolvers that a sentence names

_TURN_ON: Final = "to have it do so: sudo secdns system on"
_AGAIN: Final = "to put it in force again: sudo secdns system on; to end it: sudo secdns system off"

Listening = Collection[tuple[str, int]]  # IP literals and ports
Properties = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the machine is set.

    ``link`` is where resolv.conf points if it is a link. ``resolved`` are the properties of
    systemd-resolved's manager, None if it does not answer. ``is_turned_on`` says that there is a journal of
    ours. ``aside`` is why secdns stands aside for another program, "" if it does not.
    """

    resolv_conf: str
    link: str | None
    nsswitch: str
    delegate: str | None
    resolved: Properties | None
    is_turned_on: bool
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """One way that names go: by whose word, and to which resolvers."""

    by: str
    servers: tuple[Server, ...]


class Asked:
    """Looks at ``machine``. ``listening`` gives where we listen, ``resolved`` what systemd-resolved says.

    ``heard`` is called when a file has changed: what resolved says may be something else then.
    """

    def __init__(
        self,
        machine: Machine,
        listening: Callable[[], Listening],
        resolved: Callable[[], Properties | None],
        heard: Callable[[], None],
        *,
        platform: str,
    ) -> None:
        self._machine = machine
        self._listening = listening
        self._resolved = resolved
        self._heard = heard
        self._is_known = platform not in ("win32", "darwin")
        self._marks: tuple[object, ...] | None = None
        self._seen: tuple[Properties | None, tuple[tuple[str, int], ...]] | None = None
        self._found = System(UNKNOWN, "whether this machine asks secdns is not known")

    def look(self) -> System:
        """Give how it is now."""
        if not self._is_known:
            return self._found
        marks = tuple(self._machine.mark(path) for path in _PATHS)
        seen = (self._resolved(), tuple(self._listening()))
        if marks != self._marks or self._seen is None or seen[0] is not self._seen[0] or seen != self._seen:
            if self._marks is not None and marks != self._marks:
                self._heard()
            self._marks, self._seen = marks, seen
            try:
                self._found = judge(read(self._machine, seen[0]), seen[1])
            except OSError as error:
                self._found = System(UNKNOWN, f"whom this machine asks cannot be read: {error.strerror}")
        return self._found


# the drop-in is not read: what counts is what resolved has made of it
_PATHS: Final = (
    RESOLV_CONF,
    NSSWITCH,
    DELEGATE,
    DROP_IN,
    journal.place(True),
    journal.place(False),
    contest.place(),
)


def read(machine: Machine, resolved: Properties | None) -> Settings:
    """Read the machine's settings."""
    try:
        is_turned_on = any(True for _ in journal.found(machine))
    except (OSError, SettingsError):  # one that we cannot use is there all the same
        is_turned_on = True
    return Settings(
        resolv_conf=machine.text(RESOLV_CONF) or "",
        link=machine.link(RESOLV_CONF),
        nsswitch=machine.text(NSSWITCH) or "",
        delegate=machine.text(DELEGATE),
        resolved=resolved,
        is_turned_on=is_turned_on,
        aside=contest.load(machine).aside,
    )


def judge(settings: Settings, listening: Listening) -> System:
    """Say whether programs ask whoever listens there. Pure."""
    ways = list(_ways(settings))
    if not ways:
        return System(UNKNOWN, "systemd-resolved does not say whom this machine asks")
    asked = dict.fromkeys((server, way.by) for way in ways for server in way.servers)
    others = {server: by for server, by in asked if not _is_ours(server, listening)}
    if not others:
        return System(ON, f"this machine asks secdns (by {' and '.join(dict.fromkeys(w.by for w in ways))})")
    hosts = [str(server) for server in others]
    named = ", ".join(hosts[:MAX_NAMED]) + (" and others" if hosts[MAX_NAMED:] else "")
    by = " and ".join(dict.fromkeys(others.values()))
    if len(others) < len({server for server, _ in asked}):
        return System(OVERRULED, f"besides secdns this machine asks {named} (by {by})", _AGAIN)
    if settings.is_turned_on:
        return System(
            OVERRULED, f"another program has taken over DNS: this machine asks {named} (by {by})", _AGAIN
        )
    if settings.aside:
        return System(OVERRULED, contest.in_words(settings.aside), contest.REMEDY)
    return System(OFF, f"this machine does not ask secdns, but {named} (by {by})", _TURN_ON)


def _ways(settings: Settings) -> Iterator[Way]:
    """Yield each way that names go; none if that is not known."""
    named = read_resolv_conf(settings.resolv_conf).servers[:GLIBC_SERVERS] or (Server("127.0.0.1"),)
    is_stub = STUBS.issuperset(server.host for server in named)
    if settings.resolved is not None and (is_stub or asks_resolved_first(settings.nsswitch)):
        yield Way("systemd-resolved", tuple(_of_resolved(settings.resolved, settings.delegate)))
    if not is_stub:
        owner = None if settings.link is None else link_owner(settings.link)
        by = RESOLV_CONF if owner in (None, "secdns") else f"{RESOLV_CONF} of {owner}"
        yield Way(by, tuple(server for server in named if server.host not in STUBS))


def _of_resolved(properties: Properties, delegate: str | None) -> Iterator[Server]:
    """Yield whom resolved asks for a name of the internet.

    Those who claim all names (``~.``) are asked for it, and where nobody does, everybody.
    """
    servers: dict[int, list[Server]] = {}
    for index, *rest in _rows(properties.get("DNSEx") or properties.get("DNS")):
        if (server := _server(rest)) is not None:
            servers.setdefault(_scope(index), []).append(server)
    claiming = [_scope(index) for index, name, *_ in _rows(properties.get("Domains")) if name == "."]
    delegated = [] if delegate is None else re.findall(r"^DNS=(.*)$", delegate, re.M)
    for text in " ".join(delegated).split():  # as ``Server`` writes it: our file, or one like it
        host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
        yield Server(host.strip("[]"), int(port) if port.isdecimal() else DNS_PORT)
    for index, found in servers.items():
        if index in claiming or not (claiming or delegated):
            yield from found


def _rows(value: object) -> Iterator[Sequence[object]]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, list | tuple) and len(entry) >= 3:
            yield entry


def _scope(index: object) -> int:
    """Give the link; 0 for the global servers, which have the index of loopback if they are on it."""
    return index if isinstance(index, int) and index > 1 else 0


def _server(rest: Sequence[object]) -> Server | None:
    """Read family, octets and perhaps a port."""
    octets = rest[1]
    if not isinstance(octets, bytes) or len(octets) not in (4, 16):
        return None
    port = rest[2] if len(rest) > 2 and isinstance(rest[2], int) else 0
    return Server(str(ip_address(octets)), port or DNS_PORT)


def _is_ours(server: Server, listening: Listening) -> bool:
    for host, port in listening:
        if port != server.port:
            continue
        if host == server.host:
            return True
        try:
            ours, theirs = ip_address(host), ip_address(server.host.partition("%")[0])
        except ValueError:
            continue
        if ours == theirs or (ours.is_unspecified and theirs.is_loopback and ours.version == theirs.version):
            return True
    return False
