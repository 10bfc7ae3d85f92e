"""Learn the links from the system, and learn them anew when something happens.

The sources, in order; each is for what those before it do not know:

    systemd-resolved   each link with its domains, also while secdns is its global resolver
    NetworkManager     likewise, link by link, and which of them is a VPN; besides, whether its own
                       connectivity check was led to a sign-in page

and only where neither knows a resolver:

    what was saved     when the system's DNS was set to secdns: servers and search list of before
    resolv.conf        resolved's and NetworkManager's own copies without a stub, then the system's

Nothing happens while nothing happens: there is no timer but after news of the kernel's or the bus's.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from secdns.network import links
from secdns.network.bus import Bus
from secdns.network.links import Link

QUIET_S: Final = 0.1  # news comes in bursts: servers first, then domains …
LATE_S: Final = 0.5  # … but a burst is not waited for longer than this
GRACE_S: Final = 1.5  # for a service that does not answer any more, before what it said is forgotten
SETTLED_S: Final = (
    2.0  # longer than that; a DHCP client writes resolv.conf when the address is there, and nobody tells then
)

RESOLVED: Final = (
    "org.freedesktop.resolve1",
    "/org/freedesktop/resolve1",
    "org.freedesktop.resolve1.Manager",
)
NETWORK_MANAGER: Final = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager/DnsManager",
    "org.freedesktop.NetworkManager.DnsManager",
)
MANAGER: Final = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
)
PORTAL: Final = 2  # NM_CONNECTIVITY_PORTAL, of its property Connectivity
FILES: Final[tuple[Path, ...]] = (
    Path("/run/systemd/resolve/resolv.conf"),
    Path("/run/NetworkManager/no-stub-resolv.conf"),
    Path("/etc/resolv.conf"),
)
DEVICES: Final = Path("/sys/class/net")

Saved = Callable[[], tuple[Sequence[str], Sequence[str]]]  # servers (IP literals) and search list

_NO_HEADER: Final = "65534"  # linux/if_arp.h ARPHRD_NONE: packets without a link layer, so tunnels
_LOG = logging.getLogger(__name__)


class Learner:
    """Knows the links. Belongs to the event loop that runs when it is made.

    ``changed`` is called when they are not what they were; ``resumed``, which may be replaced, when the
    machine wakes up, as far as systemd-logind tells. ``saved`` gives what the journal of the
    system's settings knows, two empty lists for nothing. The other arguments are where to look.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        saved: Saved | None = None,
        bus_address: str = "",
        files: Sequence[Path] | None = None,
        devices: Path = DEVICES,
    ) -> None:
        self.links: tuple[Link, ...] = ()
        self.says_portal = False
        self.resumed: Callable[[], object] = bool
        self._changed = changed
        self._saved = saved
        self._files = FILES if files is None else files
        self._devices = devices
        watched = (RESOLVED[:2], NETWORK_MANAGER[:2], MANAGER[:2])
        self._bus = Bus(watched, self.hear, resumed=self._on_resume, address=bus_address)
        self._said: dict[tuple[str, str, str], Mapping[str, object]] = {}
        self._silent_since: dict[tuple[str, str, str], float] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._last_timer: asyncio.TimerHandle | None = None
        self._late_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._portal = False  # what NetworkManager says by now
        self._is_stale = False
        self._is_closed = False

    @property
    def resolved(self) -> Mapping[str, object] | None:
        """What systemd-resolved says of itself: another object when that is news; None if it is not there."""
        return self._said.get(RESOLVED)

    def hear(self) -> None:
        """Take news of any kind: look when the burst is over, and once more when all has settled."""
        if self._is_closed:
            return
        now = self._loop.time()
        if self._timer is None:
            self._late_at = now + LATE_S
        else:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(now + QUIET_S, self._late_at), self._on_quiet)
        if self._last_timer is not None:
            self._last_timer.cancel()
        self._last_timer = self._loop.call_at(now + SETTLED_S, self._on_settled)

    async def learn(self) -> None:
        """Look now; returns when ``links`` is what the system says."""
        self._look()
        while self._task is not None:
            await asyncio.wait([self._task])

    async def aclose(self) -> None:
        """Stop."""
        self._is_closed = True
        for timer in (self._timer, self._last_timer):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._bus.aclose()

    def _on_resume(self) -> None:
        self.resumed()
        self.hear()

    def _on_quiet(self) -> None:
        self._timer = None
        self._look()

    def _on_settled(self) -> None:
        self._last_timer = None
        self._look()

    def _look(self) -> None:
        self._is_stale = True
        if self._task is None and not self._is_closed:
            self._task = self._loop.create_task(self._keep_looking())
            self._task.add_done_callback(self._looked)

    def _looked(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("cannot learn the resolvers of the links", exc_info=error)

    async def _keep_looking(self) -> None:
        """Look until nothing was heard meanwhile: an older picture never replaces a newer one."""
        while self._is_stale:
            self._is_stale = False
            found, said = await self._find(), self.says_portal
            self.says_portal = self._portal
            if found != self.links or self.says_portal is not said:
                self.links = found
                self._changed()

    async def _find(self) -> tuple[Link, ...]:
        resolved = await self._ask(RESOLVED)
        manager = await self._ask(NETWORK_MANAGER)
        self._portal = bool(manager) and (await self._ask(MANAGER)).get("Connectivity") == PORTAL
        found = links.merge(
            links.from_resolved(resolved, _name_of, self._is_vpn),
            links.from_network_manager(manager.get("Configuration"), self._is_vpn),
        )
        if found := _usable(found):
            return found
        return await asyncio.to_thread(self._find_in_files)

    async def _ask(self, where: tuple[str, str, str]) -> Mapping[str, object]:
        """Give what a service says, or said a moment ago: its restart must not cost a VPN its names."""
        said = await self._bus.properties(*where)
        now = self._loop.time()
        if said is not None:
            self._said[where] = said
            self._silent_since.pop(where, None)
            return said
        if now - self._silent_since.setdefault(where, now) < GRACE_S:
            return self._said.get(where, {})
        self._said.pop(where, None)
        return {}

    def _find_in_files(self) -> tuple[Link, ...]:
        if self._saved is not None and (found := _usable(links.from_lists(*self._saved()))):
            return found
        for file in self._files:
            try:
                with file.open(encoding="latin-1") as opened:
                    text = opened.read(links.FILE_OCTETS.default)
            except OSError:
                continue
            if found := _usable(links.from_resolv_conf(text)):
                return found
        return ()

    def _is_vpn(self, name: str) -> bool:
        """Tell whether an interface is a tunnel that was made here: it has no device behind it.

        A modem for mobile data has no link layer either, but it is a device; a PPP link may be the
        line to the provider, so only NetworkManager's word makes it a VPN.
        """
        device = self._devices / name
        if (device / "device").exists():
            return False
        if (device / "tun_flags").exists():
            return True
        try:
            return (device / "type").read_text().strip() == _NO_HEADER
        except OSError:
            return False


def _usable(found: Sequence[Link]) -> tuple[Link, ...]:
    """Leave this machine out; give nothing unless a resolver is known then."""
    others = links.without(found, is_ours)
    return others if any(link.resolvers for link in others) else ()


def is_ours(host: str) -> bool:
    """Tell whether an address is one of this machine: what is sent there would come from there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, links.DNS_PORT))  # sends nothing
            return str(probe.getsockname()[0]).partition("%")[0] == host.partition("%")[0]
    except OSError:
        return False


def _name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError):
        return ""
