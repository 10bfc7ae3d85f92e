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
from secdns.config import Config
from secdns.control import durations
from secdns.control.schema import (
    PAUSE_S,
    Allowed,
    CacheInfo,
    Counters,
    Explained,
    Flushed,
    Pause,
    Problem,
    Status,
    Steps,
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
from secdns.network.watch import Outlook
from secdns.providers import PROVIDERS
from secdns.reasons import Told
from secdns.routing import Groups
from secdns.states import State
from secdns.stats import Stats
from secdns.upstream import Upstream
from secdns.wishes import Keeper, Wishes

MAX_RESOLVERS: Final = 3  # of the network's own that a pause asks, as the C library does

MAX_EXPLAINING: Final = 2  # names at once: each may cost 40 questions and 48 checks of signatures
_UNCHECKED: Final = 'no signatures are checked: [dnssec] mode = "off"'

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

    def reroute(self) -> None:
        """Build the routing anew and go over to it; what is in flight ends where it began."""


class Controls:
    """Belongs to the event loop. ``resolvers`` gives the network's own resolvers, as they are now."""

    def __init__(
        self,
        program: Program,
        groups: Groups,
        outlook: Outlook,
        keeper: Keeper,
        *,
        clocks: Clocks,
        resolvers: Callable[[], tuple[Endpoint, ...]],
    ) -> None:
        self._program = program
        self._groups = groups
        self._outlook = outlook
        self._keeper = keeper
        self._clocks = clocks
        self._resolvers = resolvers
        self._loop = asyncio.get_running_loop()
        self._wishes = Wishes()
        self._explaining = 0
        self._pause_until = 0.0  # the cache's seconds, which count sleep
        self._timer: asyncio.Handle | None = None
        self._began = clocks.boot()

    def restore(self) -> None:
        """Take up what was wished before the restart; call it before the first routing is built."""
        self._groups.is_detour_on = self._is_pause_on
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
            self._begin_pause(left_s, self._resolvers())  # if they are not known yet, with ``follow_links``
            self._wishes = wishes

    def reconfigure(self, config: Config) -> None:
        """Take note of another configuration; call it before its routing is built."""
        first = self._groups.first
        if first is not None and not _is_known(first, config):
            self._groups.first = None
            self._remember(upstream=None)
        if config.strict and self._pause_until:
            self._end_pause("the configuration is strict now")

    def follow_links(self) -> None:
        """Look for the resolvers of the network as it is now; call it before the routing is built."""
        if not self._is_pause_on():
            return
        resolvers = self._resolvers()
        if self._groups.detour and not resolvers:
            self._end_pause("this network has no resolver of its own")
        else:
            self._groups.detour = resolvers[:MAX_RESOLVERS]

    async def aclose(self) -> None:
        """Set no timer off any more, and see that all is written."""
        if self._timer is not None:
            self._timer.cancel()
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
        resolvers = self._resolvers()
        if not resolvers:
            raise ControlError(
                "it is not known which resolver this network has, so there is nothing to hand questions to",
                hint="to go back to the system's own settings: secdns system off",
                code="not-possible",
            )
        for_s = min(for_s, PAUSE_S.most)
        self._begin_pause(for_s, resolvers)
        self._remember(paused_until=self._clocks.wall() + for_s, paused_for_s=float(for_s))
        self._program.reroute()
        names = ", ".join(end.host for end in resolvers)
        _LOG.warning("paused for %s: questions go in plain to %s", durations.shown(for_s), names)
        pause = self._pause()
        assert pause is not None  # noqa: S101  it has just begun
        return pause

    def resume(self) -> None:
        """End the pause, if there is one."""
        if self._pause_until:
            self._end_pause("on request")
            self._program.reroute()

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
            ),
            cache=CacheInfo(len(cache), cache.octets, program.config.cache.size_octets),
            pause=pause,
            problem=self._problem(members, now, may_change),
            network=self._outlook.gone or None,
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
        if self._outlook.gone:
            return State.OFFLINE, reasons.when_offline(self._outlook.gone)
        match readings.health_of_all(members):
            case "well":
                protocol = readings.protocol(used)
                is_checked = self._groups.validating is not None
                return State.SECURE, reasons.when_secure(used.name, protocol, is_checked)
            case "failing":
                last = readings.last_failure(members)
                return State.BLOCKED, reasons.when_failing([member.name for member in members], last)
            case _:
                return State.CHECKING, reasons.when_checking(members[0].name)

    def _info(
        self, member: Upstream, members: tuple[Upstream, ...], used: Upstream, now: float
    ) -> UpstreamInfo:
        names = {upstream.name for upstream in self._program.config.upstreams}
        return readings.info(
            member,
            now,
            is_first=member is members[0],
            is_in_use=member is used and not self._groups.detour,
            is_configured=member.name in names,
        )

    def _used(self, members: tuple[Upstream, ...], now: float) -> Upstream:
        is_ordered = self._groups.first is not None or self._program.config.strategy == "ordered"
        return readings.in_use(members, now, is_ordered=is_ordered)

    def _problem(self, members: tuple[Upstream, ...], now: float, may_change: bool) -> Problem | None:
        boot, wall = self._clocks.boot(), self._clocks.wall()
        trouble = self._program.forwarder.troubles.last
        return readings.problem(trouble, members, now=now, boot=boot, wall=wall, with_name=may_change)

    # the pause

    def _is_pause_on(self) -> bool:
        if self._clocks.boot() < self._pause_until:
            return True
        if self._timer is not None and self._pause_until:
            self._timer.cancel()
            self._timer = self._loop.call_soon(self._on_time)  # a timer stands still while the machine sleeps
        return False

    def _begin_pause(self, for_s: float, resolvers: tuple[Endpoint, ...]) -> None:
        self._groups.detour = resolvers[:MAX_RESOLVERS]
        self._pause_until = self._clocks.boot() + for_s
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(for_s, self._on_time)

    def _end_pause(self, why: str) -> None:
        self._groups.detour = ()
        self._pause_until = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._remember(paused_until=0.0, paused_for_s=0.0)
        _LOG.info("the pause is over (%s): questions go encrypted again", why)

    def _on_time(self) -> None:
        if self._pause_until:
            self._end_pause("its time is over")
            self._program.reroute()

    def _pause(self) -> Pause | None:
        left_s = self._pause_until - self._clocks.boot()
        if not self._groups.detour or left_s <= 0:
            return None
        hosts = tuple(end.host for end in self._groups.detour)
        return Pause(round(self._wishes.paused_until, 3), round(left_s, 3), hosts)

    # what is remembered

    def _remember(self, **changes: object) -> None:
        self._wishes = replace(self._wishes, **changes)  # type: ignore[arg-type]  # its own fields
        self._keeper.keep(self._wishes)


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
