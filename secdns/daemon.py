"""Put the program together, reload it and take it down: the composition root.

The order at start is the order of what can fail: configuration, sockets, then everything that
cannot. A reload builds the new routing beside the old one and swaps it in one assignment; what
is in flight ends on the upstreams it began with.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from secdns.cache import Cache
from secdns.checking import Look
from secdns.checkup import Checkup
from secdns.config import Config
from secdns.connectivity_checks import CHECKS
from secdns.control.peers import rights
from secdns.control.schema import System
from secdns.control.server import Server
from secdns.controls import Controls
from secdns.endpoint import Endpoint
from secdns.errors import ConfigError, ControlError
from secdns.forwarder import PATIENCE_S, Forwarder
from secdns.listener import Limits, Responder, acl_for
from secdns.listener.query_log import QueryLog
from secdns.listener.sockets import Bound, open_sockets, raise_descriptor_limit
from secdns.listener.tcp import TCPServer
from secdns.listener.udp import UDPServer
from secdns.network.clocks import Clocks
from secdns.network.learning import Learner
from secdns.network.links import Link, best_first
from secdns.network.watch import Change, Watch
from secdns.policy import Hosts, parse_hosts
from secdns.routing import Groups, Routing
from secdns.split import NOTHING, Split, split
from secdns.stats import Stats
from secdns.surroundings import Surroundings
from secdns.wishes import Keeper

if TYPE_CHECKING:  # loaded when somebody asks
    from secdns.osdns.asked import Asked
    from secdns.osdns.machine import Machine

DRAIN_S = 1.5  # after SIGTERM for what is in flight; with the rest it ends inside 2 s (F32)
FAREWELL_S = 0.1  # then what is left gets SERVFAIL, and this long to leave
LEARN_S = 0.3  # for the links' resolvers, before the first query is answered
MAX_SAID = 64  # sentences about links that are remembered as said
HOSTS_FILE = Path("/etc/hosts")

_LOG = logging.getLogger(__name__)


class Daemon:
    """The running program: listeners, forwarder, upstreams. Belongs to one event loop.

    ``reread`` gives the configuration anew when it is reloaded, or raises ConfigError; None means
    that it stays. ``state_dir`` is where what must survive a restart is kept, None for nowhere.
    ``clocks`` tell the time, and by their differences that the machine slept. ``learner`` makes what
    learns the resolvers of links; None means that none is ever asked. ``resolvers`` gives the network's
    own resolvers; None: those that were learnt. ``look`` looks for a sign-in page; None means that nothing
    is found out about the network unasked. ``machine`` gives the one whose settings say whether its programs
    ask us; None: that is told to nobody. ``check`` is the command `secdns check`.
    """

    def __init__(
        self,
        config: Config,
        *,
        reread: Callable[[], Config] | None = None,
        hosts_file: Path | None = HOSTS_FILE,
        state_dir: Path | None = None,
        clocks: Clocks | None = None,
        learner: Callable[[Callable[[], None]], Learner] | None = None,
        resolvers: Callable[[], tuple[Endpoint, ...]] | None = None,
        look: Look | None = None,
        machine: Callable[[], "Machine"] | None = None,
        check: Sequence[str] = (),
    ) -> None:
        clocks = clocks or Clocks()
        self.config = config
        self.stats = Stats()
        self.bound: list[Bound] = []
        self._reread = reread
        self._hosts_file = hosts_file
        self._groups = Groups(state_dir)
        self._hosts = read_hosts(hosts_file)
        self._split = split(config, ())
        self._said: set[str] = set()
        self._told: tuple[str, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._machine = machine
        self._asked: Asked | None = None
        self.learner = None if learner is None else learner(self._links_changed)
        heard = None if self.learner is None else self.learner.hear
        self.watch = Watch(self._groups.addresses, self._network_changed, clocks=clocks, heard=heard)
        resolvers = resolvers or self._home
        self.surroundings = Surroundings(
            self,
            self._groups,
            self.watch,
            clocks=clocks,
            resolvers=resolvers,
            look=look,
            is_strict=config.strict,
        )
        if self.learner is not None:
            self.learner.resumed = self.watch.look_now
        self.controls = Controls(
            self,
            self._groups,
            self.watch,
            Keeper(state_dir),
            self.surroundings,
            clocks=clocks,
            resolvers=resolvers,
            system=self._look_at_system,
            checkup=Checkup(check, lambda: None if self._server is None else self._server.path),
        )
        self.controls.restore()
        routing = self._groups.build(config, self._hosts, self._split)
        self.cache = Cache(
            config.cache.size_octets, serve_stale=config.cache.serve_stale, route=routing.route
        )
        self.forwarder = Forwarder(
            self.cache, routing, stats=self.stats, clock=clocks.boot, outlook=self.watch
        )
        self.forwarder.landed = self.surroundings.landed
        self._server: Server | None = None
        self.responder = responder = self._responder(config)
        self.udp = UDPServer(responder, self.cache, clock=clocks.boot, stats=self.stats)
        limits = Limits(connections=raise_descriptor_limit())
        self.tcp = TCPServer(responder, clock=clocks.boot, limits=limits, stats=self.stats)

    def listen(self, inherited: Sequence[socket.socket] = ()) -> None:
        """Open every listen address and begin to serve; ``inherited`` as for ``open_sockets``.

        Raises:
            ListenError: one of them cannot be opened; none is.
        """
        acl = self.config.server.acl
        acls = {address.host: acl_for(address.host, acl) for address in self.config.server.listen}
        self.bound = open_sockets(self.config.server.listen, inherited)
        for bound in self.bound:
            self.udp.listen(bound.udp, acls[bound.host])
            self.tcp.listen(bound.tcp, acls[bound.host])
        self.watch.start()
        self.surroundings.start()
        self._links_changed()  # now it is known which of them leads to the upstreams

    async def learn(self) -> None:
        """Learn the resolvers of the links, if that does not take long; else it goes on beside the rest."""
        if self.learner is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.learner.learn(), LEARN_S)

    def open_control(self, path: Path) -> None:
        """Open the local API there. Without it all else works, so what goes wrong is a warning."""
        server = Server(self.controls, rights())
        try:
            server.open(path)
        except ControlError as error:
            _LOG.warning("there is no local API, `secdns status` and the like do not work: %s", error)
        else:
            self._server = server

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Where it listens, for a person."""
        return tuple(str(bound) for bound in self.bound)

    @property
    def links(self) -> tuple[tuple[Link, bool], ...]:
        """The links, and whether each leads to an upstream."""
        used = self.watch.links
        return tuple((link, link.name in used) for link in best_first(self._known_links(), used))

    def _known_links(self) -> tuple[Link, ...]:
        return () if self.learner is None else self.learner.links

    def _network_changed(self, change: Change) -> None:
        """Begin anew: what was found out about upstreams may be wrong now."""
        if change.reason:
            _LOG.info("%s", change.reason)
        if change.is_break:
            self._groups.network_changed(is_clock=change.is_clock)
        else:
            self._groups.forgive()
        if change.is_break and self.learner is not None:
            self.surroundings.forget_links()
        if change.reason:
            self.cache.forgive()
            self.forwarder.network_changed()
        if change.is_break:
            self.surroundings.network_changed()
        if change.is_break and self.learner is not None:
            self._groups.forget_links()
            self._start(self._begin_anew_with_links(self.learner))
        elif change.is_break:
            self.controls.follow_links()
            self.reroute()

    async def _begin_anew_with_links(self, learner: Learner) -> None:
        """Go over to the links as they are now; until that is known the names of a VPN stay with it."""
        await learner.learn()
        self._split = NOTHING  # so that it counts as another, even if it is the same
        self._links_changed()

    def _links_changed(self) -> None:
        """Go over to what the links' resolvers are to be asked for, if that is something else now."""
        found = self._find_split(self.config)
        is_same, self._split = found == self._split, found
        is_hinted = self.learner is not None and self.learner.says_portal
        self.surroundings.follow_links(self._known_links(), is_hinted=is_hinted)
        if not is_same:
            self._say(found)
            self.controls.follow_links()
            self.reroute()
        self.surroundings.settle()

    def _say(self, found: Split) -> None:
        """Tell who is asked in plain for what, when that is new, and what was claimed and not given, once."""
        words = found.in_words()
        for sentence in words:
            if sentence not in self._told:
                _LOG.info("%s", sentence)
        self._told = words
        if len(self._said) > MAX_SAID:
            self._said.clear()
        for note in found.notes:
            if note not in self._said:
                self._said.add(note)
                _LOG.info("%s", note)

    def reroute(self) -> None:
        """Build the routing anew and go over to it; what is in flight ends on the upstreams it began with."""
        routing = self._groups.build(self.config, self._hosts, self._split)
        self._go_over(routing)
        self.cache.renew()
        self._start(self._retire(routing))
        self.surroundings.rerouted()

    def recover(self) -> None:
        """Hold nothing of before against anybody: the way to the upstreams is open now."""
        self._groups.forgive()
        self.cache.forgive()
        self.forwarder.network_changed()

    def refuse(self, words: str) -> None:
        """Give up the questions that are being asked of the upstreams by default, and say why."""
        self.forwarder.refuse(words)

    def reconsider(self) -> None:
        """Ask the resolvers of this network for what is theirs, also where another is being asked."""
        self.forwarder.reconsider(CHECKS())

    def count_plain(self) -> None:
        """Take note of a question that went out in plain."""
        self.stats.plain += 1

    def _home(self) -> tuple[Endpoint, ...]:
        """Give the resolvers of the network that this machine is on, as far as they are known."""
        return tuple(end for _, end in self._split.own)

    def _look_at_system(self) -> System | None:
        """Tell whether programs of this machine ask us, for whoever wants to know how things are."""
        if self._asked is None and self._machine is not None:
            from secdns.osdns.asked import Asked  # nobody may ever want to know

            learner = self.learner
            self._asked = Asked(
                self._machine(),
                lambda: [(bound.host, bound.port) for bound in self.bound],
                lambda: None if learner is None else learner.resolved,
                lambda: None if learner is None else learner.hear(),
                platform=sys.platform,
            )
        return None if self._asked is None else self._asked.look()

    def _find_split(self, config: Config) -> Split:
        return split(config, best_first(self._known_links(), self.watch.links))

    def _go_over(self, routing: Routing) -> None:
        self.forwarder.routing = routing
        self.cache.route = routing.route

    async def _retire(self, routing: Routing) -> None:
        """Close what ``routing`` does not use, when all that was being asked has ended."""
        await self.forwarder.settle(PATIENCE_S)
        if self.forwarder.routing is routing:  # else a later change waits for what began meanwhile
            await self._groups.keep_only(routing)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("a change of network was not followed", exc_info=error)

    async def reload(self) -> None:
        """Read the configuration and the hosts file again and go over to them.

        A file with an error changes nothing. Listen addresses and ACL stay as they were at
        start. Answers of upstream groups that did not change are kept, and no query is lost.
        """
        try:
            config = self._reread() if self._reread else self.config
        except ConfigError as error:
            _LOG.error("the old configuration stays in force: %s", error)
            return
        if config.server != self.config.server:
            _LOG.warning("[server] has changed; listen and acl take effect at the next start")
        self._hosts = read_hosts(self._hosts_file)
        self._split = self._find_split(config)
        self.controls.reconfigure(config)
        routing = self._groups.build(config, self._hosts, self._split)
        if config.log_names != self.config.log_names:
            self.responder = self.udp.responder = self.tcp.responder = self._responder(config)
        judged_by = self.config.dnssec
        self.config = replace(config, server=self.config.server)
        self._go_over(routing)
        self.cache.serve_stale = config.cache.serve_stale
        self.cache.resize(config.cache.size_octets)
        if config.dnssec != judged_by:  # what was judged by other rules is judged anew
            self.cache.flush()
        else:
            self.cache.renew()
        self.surroundings.rerouted()
        await self._retire(routing)
        _LOG.info("configuration reloaded")

    def _responder(self, config: Config) -> Responder:
        return QueryLog(self.forwarder) if config.log_names else self.forwarder

    async def stop(self) -> None:
        """Stop listening, let what is in flight be answered for a moment, close everything."""
        if self._server is not None:
            await self._server.aclose()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + DRAIN_S
        giving_up = loop.call_at(give_up_at, self.forwarder.abandon)
        deadline = give_up_at + FAREWELL_S
        await asyncio.gather(self.udp.drain(deadline), self.tcp.drain(deadline))
        giving_up.cancel()
        self.forwarder.abandon()
        self.watch.close()
        if self.learner is not None:
            await self.learner.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.surroundings.aclose()
        await self.controls.aclose()
        await self._groups.aclose()


def read_hosts(path: Path | None) -> Hosts:
    """Give what the hosts file says; one that cannot be read says nothing."""
    if path is None:
        return Hosts()
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        _LOG.warning("%s is left out: %s", path, error.strerror)
        return Hosts()
    hosts = parse_hosts(text)
    for warning in hosts.warnings:
        _LOG.warning("%s:%s", path, warning)
    return hosts
