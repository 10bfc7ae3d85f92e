"""What the local API moves in a running daemon, and what it reads off it.

``Controls`` fulfils ``secdns.control.schema.Daemon``. A choice of upstream and a pause are two values of
the routing: both are made by building it anew and going over to it, as a reload does, so no query is lost.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from secdns import __version__, readings, reasons
from secdns.cache import Cache
from secdns.checkup import Checkup
from secdns.config import Config
from secdns.control import durations
from secdns.control.schema import (
    Allowed,
    CacheInfo,
    Checked,
    Clock,
    Counters,
    Explained,
    Flushed,
    LinkInfo,
    Network,
    Pause,
    Portal,
    Problem,
    Status,
    Steps,
    System,
    UpstreamInfo,
    Upstreams,
    Why,
)
from secdns.dns.message import Question
from secdns.dns.name import from_text, to_text
from secdns.endpoint import Endpoint
from secdns.errors import ControlError, FormatError
from secdns.forwarder import Forwarder
from secdns.iana import RRType
from secdns.listener import Responder
from secdns.listener.query_log import QueryLog
from secdns.network.clocks import Clocks
from secdns.network.links import Link
from secdns.network.watch import Outlook
from secdns.pausing import Pausing
from secdns.providers import PROVIDERS
from secdns.reasons import Told
from secdns.routing import Groups
from secdns.states import State
from secdns.stats import Stats
from secdns.surroundings import Surroundings
from secdns.upstream import Upstream
from secdns.wishes import Keeper, Wishes

MAX_EXPLAINING: Final = 2  # names at once: each may cost 40 questions and 48 checks of signatures
_UNCHECKED: Final = 'no signatures are checked: [dnssec] mode = "off"'

# What a clock that is certainly wrong undoes: upstreams that answer are of no use if every name is refused.
_BY_THE_CLOCK: Final = frozenset({State.SECURE, State.CHECKING, State.BLOCKED})

_LOG = logging.getLogger(__name__)


class Program(Protocol):
    """The parts of the daemon that are read and moved here."""

    config: Config
    stats: Stats
    cache: Cache
    forwarder: Forwarder
    responder: Responder

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Where it listens."""

    @property
    def links(self) -> tuple[tuple[Link, bool], ...]:
        """The links, and whether each leads to an upstream."""

    def reroute(self) -> None:
        """Build the routing anew and go over to it; what is in flight ends where it began."""


class Controls:
    """Belongs to the event loop.

    ``resolvers`` gives the network's own resolvers, ``system`` whether this machine asks us, as it is now.
    """

    def __init__(
        self,
        program: Program,
        groups: Groups,
        outlook: Outlook,
        keeper: Keeper,
        surroundings: Surroundings,
        *,
        clocks: Clocks,
        resolvers: Callable[[], tuple[Endpoint, ...]],
        system: Callable[[], System | None],
        checkup: Checkup,
    ) -> None:
        self._program = program
        self._groups = groups
        self._outlook = outlook
        self._keeper = keeper
        self._surroundings = surroundings
        self._clocks = clocks
        self._resolvers = resolvers
        self._system = system
        self._checkup = checkup
        self._loop = asyncio.get_running_loop()
        self._wishes = Wishes()
        self._explaining = 0
        self._began = clocks.boot()
        self._pausing = Pausing(
            groups,
            clocks.boot,
            resolvers=resolvers,
            remember=lambda until, for_s: self._remember(paused_until=until, paused_for_s=for_s),
            reroute=program.reroute,
            count=surroundings.count,
        )

    def restore(self) -> None:
        """Take up what was wished before the restart; call it before the first routing is built."""
        wishes = self._keeper.load()
        name = wishes.upstream
        if name is not None and not _is_known(name, self._program.config):
            _LOG.warning(
                "upstream %r was chosen and is not there any more; the configuration's order holds", name
            )
            name = None
        self._groups.first = name
        self._wishes = Wishes(name)
        left_s = wishes.left_s(self._clocks.wall())
        if left_s > 0 and not self._program.config.strict:
            self._pausing.restore(left_s)
            self._wishes = wishes

    def reconfigure(self, config: Config) -> None:
        """Take note of another configuration; call it before its routing is built."""
        first = self._groups.first
        if first is not None and not _is_known(first, config):
            self._groups.first = None
            self._remember(upstream=None)
        if config.strict and self._pausing.is_wished:
            self._pausing.end("the configuration is strict now")
        self._surroundings.reconfigure(is_strict=config.strict)

    def follow_links(self) -> None:
        """Look for the resolvers of the network as it is now; call it before the routing is built."""
        self._pausing.follow_links()

    async def aclose(self) -> None:
        """Set no timer off any more, and see that all is written."""
        self._pausing.close()
        await self._checkup.aclose()
        await self._keeper.aclose()

    # what changes

    def use(self, name: str | None) -> None:
        """Ask this upstream first from now on."""
        if name is not None and not _is_known(name, self._program.config):
            known = ", ".join(upstream.name for upstream in self._program.config.upstreams)
            raise ControlError(
                f"there is no upstream {reasons.clean(name)[:60]!r}, configured: {known}",
                hint="`secdns upstreams` lists the built-in ones, which may be used as well",
                code="unknown-name",
            )
        self._groups.first = name
        self._remember(upstream=name)
        self._program.reroute()
        _LOG.info("asking %s", f"{name} first" if name else "in the order of the configuration")

    def pause(self, for_s: int) -> Pause:
        """Hand questions to the network's own resolver."""
        if self._program.config.strict:
            raise ControlError(
                "[network] strict = true allows no pause",
                hint="to allow it: strict = false",
                code="not-possible",
            )
        self._surroundings.consent.end("a pause was wished")
        self._pausing.begin(for_s, self._clocks.wall())
        pause = self._pause()
        assert pause is not None  # noqa: S101  it has just begun
        return pause

    def resume(self) -> None:
        """End the pause, or the time to sign in, if there is one."""
        if self._pausing.is_wished:
            self._pausing.end("on request")
            self._program.reroute()
        if self._surroundings.consent.end("on request"):
            self._program.reroute()

    async def portal(self) -> Portal:
        """Let everything out in plain for some minutes, so that a person can sign in."""
        await self._surroundings.find_out()
        if self._pausing.is_wished:  # by now
            raise ControlError(
                "a pause is on: questions go unencrypted to the network's own resolver already",
                hint="to get to the sign-in page, open http://neverssl.com/ in a browser",
                code="not-possible",
            )
        self._surroundings.allow()
        return self._surroundings.portal_info(self._clocks.wall())

    def flush(self, name: str | None) -> Steps[Flushed]:
        """Forget answers, with what follows from them."""
        wire = None if name is None else _name(name)
        if wire is None:
            self._program.forwarder.troubles.forget()
        if self._groups.validating is not None:
            self._groups.validating.forget()
        dropped = yield from self._program.cache.flushing(wire)
        return Flushed(dropped)

    def allow(self, name: str, for_s: int) -> Allowed:
        """Do not check signatures of ``name`` and below for so long."""
        wire = _name(name)
        validating = self._groups.validating
        if validating is None:
            raise ControlError(_UNCHECKED, code="not-possible")
        if wire == b"\0":
            hint = '[dnssec] mode = "off" checks none at all'
            raise ControlError("the root is every name there is", hint=hint, code="bad-request")
        try:
            validating.waive(wire, for_s)
        except ValueError as error:
            raise ControlError(str(error), hint="wait until one is over", code="not-possible") from error
        self._program.cache.flush(wire)
        text = to_text(wire)
        _LOG.warning("signatures of one name and all below it are not checked for %s", durations.shown(for_s))
        return Allowed(text, self._clocks.wall() + for_s, for_s)

    # what is read

    def status(self, *, may_change: bool) -> Status:
        """Tell how things are."""
        program, now = self._program, self._loop.time()
        members = self._groups.default.members
        used = self._used(members, now)
        pause = self._pause()
        state, told = self._state(members, used, pause)
        clock = self._clock(members)
        if clock is not None and clock.is_certain and state in _BY_THE_CLOCK:
            state, told = State.BLOCKED, Told(clock.sentence, clock.remedy)
        stats, cache = program.stats, program.cache
        return Status(
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(self._clocks.boot() - self._began, 3),
            state=state,
            sentence=told.sentence,
            remedy=told.remedy,
            upstream=self._info(used, members, used, now),
            chosen=self._groups.first,
            strategy=program.config.strategy,
            dnssec=program.config.dnssec.mode,
            listen=program.listen_addresses,
            configuration=program.config.source,
            may_change=may_change,
            is_strict=program.config.strict,
            counters=Counters(
                stats.queries,
                stats.hits,
                stats.local,
                stats.misses,
                stats.drops,
                stats.stale,
                dict(stats.failures),
                stats.plain,
            ),
            cache=CacheInfo(len(cache), cache.octets, program.config.cache.size_octets),
            pause=pause,
            problem=self._problem(members, now, may_change),
            network=self._outlook.gone or None,
            portal=self._portal(),
            system=self._system(),
            clock=clock,
        )

    def network(self, *, may_change: bool) -> Network:
        """Tell what network this is."""
        status, around = self.status(may_change=may_change), self._surroundings
        return Network(
            state=status.state,
            sentence=status.sentence,
            remedy=status.remedy,
            is_strict=status.is_strict,
            links=tuple(_link(link, is_used) for link, is_used in self._program.links),
            resolvers=tuple(end.host for end in self._resolvers()),
            portal=status.portal,
            vpn=around.vpn or None,
            plain=around.plain,
        )

    def upstreams(self) -> Upstreams:
        """List whom names go to by default."""
        now, members = self._loop.time(), self._groups.default.members
        used = self._used(members, now)
        infos = tuple(self._info(member, members, used, now) for member in members)
        names = {member.name for member in members}
        return Upstreams(infos, tuple(name for name in PROVIDERS() if name not in names))

    def why(self, name: str) -> Why:
        """Tell what is known about ``name``."""
        return readings.why(
            _name(name),
            self._program.forwarder,
            self._groups.validating,
            boot=self._clocks.boot(),
            wall=self._clocks.wall(),
            gone=self._outlook.gone,
        )

    async def explain(self, name: str, rrtype: str) -> Explained:
        """Ask for ``name`` and check it anew."""
        question = Question(_name(name), _rrtype(rrtype))
        validating = self._groups.validating
        if validating is None:
            raise ControlError(_UNCHECKED, code="not-possible")
        if self._explaining >= MAX_EXPLAINING:
            raise ControlError("others are being explained already", code="too-many")
        from secdns.explaining import explain  # seldom wanted

        self._explaining += 1
        try:
            return await explain(question, validating)
        finally:
            self._explaining -= 1

    async def check(self, name: str | None, bogus: str | None) -> Checked:
        """Look whether names on this machine really go through secdns."""
        return await self._checkup.run(name, bogus)

    def log(self) -> tuple[str, ...]:
        """Give the last lines of the query log."""
        return tuple(self._query_log().lines)

    def follow_log(self, tell: Callable[[str], None]) -> Callable[[], None]:
        """Call ``tell`` with each line from now on."""
        log = self._query_log()
        log.followers.append(tell)
        return lambda: log.followers.remove(tell)

    def _query_log(self) -> QueryLog:
        responder = self._program.responder
        if not isinstance(responder, QueryLog):
            raise ControlError(
                "names are not logged",
                hint="to log them: [log] names = true, then reload",
                code="not-possible",
            )
        return responder

    def _state(
        self, members: tuple[Upstream, ...], used: Upstream, pause: Pause | None
    ) -> tuple[State, Told]:
        """Give the state and say it in words."""
        if pause is not None:
            left = durations.shown(pause.left_s)
            return State.PAUSED, reasons.when_paused(left, pause.resolvers)
        state, portal = self._surroundings.state, self._portal()
        if state is State.SIGN_IN and portal is not None:
            return state, _of_portal(portal, self._surroundings.host)
        if state is State.VPN:
            rest = self._of_upstreams(members, used)
            return state, reasons.when_vpn(self._surroundings.vpn, rest)
        if state is State.OFFLINE:
            return state, reasons.when_offline(self._outlook.gone)
        return state, self._of_upstreams(members, used)

    def _of_upstreams(self, members: tuple[Upstream, ...], used: Upstream) -> Told:
        """Say in words how the upstreams are."""
        match self._surroundings.situation.upstreams:
            case "well":
                is_checked = self._groups.validating is not None
                return reasons.when_secure(used.name, readings.protocol(used), is_checked)
            case "unknown":
                return reasons.when_checking(members[0].name)
            case _:
                last = readings.last_failure(members)
                return reasons.when_failing([member.name for member in members], last)

    def _portal(self) -> Portal | None:
        """Give the sign-in page, None where nobody has to sign in as far as we know."""
        if self._surroundings.state is not State.SIGN_IN:
            return None
        return self._surroundings.portal_info(self._clocks.wall())

    def _info(
        self, member: Upstream, members: tuple[Upstream, ...], used: Upstream, now: float
    ) -> UpstreamInfo:
        names = {upstream.name for upstream in self._program.config.upstreams}
        return readings.info(
            member,
            now,
            is_first=member is members[0],
            is_in_use=member is used and self._groups.detour is None,
            is_configured=member.name in names,
        )

    def _used(self, members: tuple[Upstream, ...], now: float) -> Upstream:
        is_ordered = self._groups.first is not None or self._program.config.strategy == "ordered"
        return readings.in_use(members, now, is_ordered=is_ordered)

    def _clock(self, members: tuple[Upstream, ...]) -> Clock | None:
        boot, wall = self._clocks.boot(), self._clocks.wall()
        troubles, is_checked = self._program.forwarder.troubles, self._groups.validating is not None
        return readings.clock(members, troubles, boot=boot, wall=wall, is_checked=is_checked)

    def _problem(self, members: tuple[Upstream, ...], now: float, may_change: bool) -> Problem | None:
        boot, wall = self._clocks.boot(), self._clocks.wall()
        trouble = self._program.forwarder.troubles.last
        return readings.problem(trouble, members, now=now, boot=boot, wall=wall, with_name=may_change)

    def _pause(self) -> Pause | None:
        return self._pausing.info(self._wishes.paused_until)

    # what is remembered

    def _remember(self, **changes: object) -> None:
        self._wishes = replace(self._wishes, **changes)  # type: ignore[arg-type]  # its own fields
        self._keeper.keep(self._wishes)


def _link(link: Link, is_used: bool) -> LinkInfo:
    hosts = tuple(host for host, _ in link.resolvers)
    domains = tuple(to_text(domain) for domain in link.domains)
    return LinkInfo(link.name, hosts, domains, link.is_vpn, link.wants_all, is_used)


def _of_portal(portal: Portal, host: str | None) -> Told:
    if portal.left_s is None:
        return reasons.when_signed_out(host)
    return reasons.when_signing_in(durations.shown(portal.left_s), portal.resolvers, portal.plain)


def _is_known(name: str, config: Config) -> bool:
    return name in PROVIDERS() or any(name == upstream.name for upstream in config.upstreams)


def _name(text: str) -> bytes:
    """Read the name that somebody gave.

    Raises:
        ControlError: it is none.
    """
    try:
        return from_text(text).lower()
    except FormatError as error:
        raise ControlError(f"{reasons.clean(text)[:60]!r} is no name: {error}", code="bad-request") from error


def _rrtype(text: str) -> int:
    """Read the type that somebody gave.

    Raises:
        ControlError: it is none that has a name.
    """
    known = RRType.__members__.get(text.upper())
    if known is None:
        raise ControlError(f"{reasons.clean(text)[:20]!r} is no type of record", code="bad-request")
    return known
