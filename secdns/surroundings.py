"""Know how the network that we are on treats us, and act on it.

``secdns.network.state`` decides; here its events come together and its acts are done:

    events   the watch (links, ways, sleep), questions that failed or were answered, checks of ours, the
             system's own connectivity check, VPNs
    acts     what is asked of whom (``Groups.checks`` and ``Groups.barrier``), what is forgiven, the next
             check, the end of the consent to sign in

All that is learnt here belongs to one network and goes with it. While all is well there is no timer.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from secdns import reasons
from secdns.checking import BY_NAME, PATIENT_S, Look, find_page, reach
from secdns.consent import Consent
from secdns.control.schema import Portal
from secdns.detour import Plain
from secdns.dns.name import to_text
from secdns.endpoint import Endpoint
from secdns.errors import ControlError
from secdns.network.clocks import Clocks
from secdns.network.links import Link
from secdns.network.portal import Page
from secdns.network.state import CHECK_CONSENT_S, Act, Event, Situation
from secdns.network.watch import Outlook
from secdns.pausing import MAX_RESOLVERS
from secdns.readings import health_of_all
from secdns.routing import Groups
from secdns.states import State
from secdns.upstream import UpstreamGroup

MOST_TTL_S: Final = 5  # of a connectivity check: what it says may be wrong a moment later (need 5)
LINKS_S: Final = 0.5  # for the resolvers of a new network, where the system is slow to tell them
MAX_CHECKS: Final = 2  # before somebody is told that the network does not hold still
WORDS: Final = "a connectivity check: the network's own resolver said this, unencrypted"

_DOUBTS: Final = frozenset({Event.LEFT, Event.JOINED, Event.FAILED, Event.UNREACHABLE})
_LOG = logging.getLogger(__name__)


class Program(Protocol):
    """What is moved in the daemon."""

    def reroute(self) -> None:
        """Build the routing anew and go over to it."""

    def recover(self) -> None:
        """Hold nothing of before against anybody."""

    def refuse(self, words: str) -> None:
        """Give up the questions that are being asked of upstreams by default, and say why."""

    def reconsider(self) -> None:
        """Ask the resolvers of this network for what is theirs, also where another is being asked."""

    def count_plain(self) -> None:
        """Take note of a question that went out in plain."""


class Surroundings:
    """Belongs to the event loop. Without ``look`` nothing is tried unasked, and no page is looked for."""

    def __init__(
        self,
        program: Program,
        groups: Groups,
        outlook: Outlook,
        *,
        clocks: Clocks,
        resolvers: Callable[[], tuple[Endpoint, ...]],
        look: Look | None,
        is_strict: bool,
    ) -> None:
        self.situation = Situation(is_strict=is_strict)
        self.plain = 0  # questions in plain since we are on this network
        self.vpn = ""  # the link of a VPN that wants every name
        self.page: Page | None = None
        self.consent = Consent(
            groups,
            clocks.boot,
            resolvers=self._own,
            reroute=program.reroute,
            count=self.count,
            counted=lambda: self.plain,
        )
        self._program = program
        self._groups = groups
        self._outlook = outlook
        self._learnt_resolvers = resolvers
        self._resolvers: tuple[Endpoint, ...] = ()
        self._has_links = asyncio.Event()
        self._look = look
        self._default: UpstreamGroup | None = None  # what the situation is about, None before the start
        self._doubted_at = 0.0  # what upstreams answered before counts no more; the event loop's seconds
        self._is_doubtful = False  # the situation is to be found out anew when the routing is built
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        """Give how things are in one word; who wants to sign in knows of a page that we did not find."""
        state = self.situation.state
        return State.SIGN_IN if self.consent.is_on and state in (State.BLOCKED, State.VPN) else state

    @property
    def host(self) -> str | None:
        """Give the host that wants people to sign in, as far as that was said."""
        name = None if self.page is None else self.page.name
        return None if name is None else to_text(name).removesuffix(".")

    def start(self) -> None:
        """Begin; the routing is built, and it is known what way leads to the upstreams."""
        self._resolvers = self._learnt_resolvers()
        self._has_links.set()
        self.network_changed()

    async def aclose(self) -> None:
        """Stop."""
        self.consent.close()
        self._look = None
        await self._stop()

    # what happens

    def network_changed(self) -> None:
        """Begin anew: it is another network, or there is none."""
        self._begin_anew()
        self.plain = 0

    def forget_links(self) -> None:
        """Ask no resolver of the network before; call it before ``network_changed``."""
        self._resolvers = ()
        self._has_links.clear()
        self._outlook.is_new = self._look is not None  # else nobody would see to it that it ends in time

    def follow_links(self, links: Sequence[Link], *, is_hinted: bool) -> None:
        """Take note of the links; ``is_hinted``: the system's own check says that somebody has to sign in."""
        self._resolvers = self._learnt_resolvers()
        self._has_links.set()
        self.consent.follow_links()
        self.vpn = next((link.name for link in links if link.is_vpn and link.wants_all), "")
        if bool(self.vpn) is not self.situation.has_vpn:
            self.feed(Event.VPN_CAME if self.vpn else Event.VPN_WENT)
        if is_hinted is not self.situation.is_hinted:
            self.feed(Event.HINTED if is_hinted else Event.UNHINTED)
        self._set_up()

    def settle(self) -> None:
        """Take note that the routing follows the links by now, or that they will not be known soon."""
        if self._outlook.is_new:
            self._outlook.is_new = False
            self._program.reconsider()

    def reconfigure(self, *, is_strict: bool) -> None:
        """Take note of another configuration; its routing is still to be built."""
        if is_strict is not self.situation.is_strict:
            self.situation = Situation(is_strict=is_strict, has_vpn=self.situation.has_vpn)
            self.page = None
            if is_strict:
                self.consent.end("the configuration is strict now")
            self._is_doubtful = True
        self._set_up()

    def rerouted(self) -> None:
        """Take note that the routing was built; with other upstreams nothing is known of them."""
        if self._default is not None and (self._is_doubtful or self._default is not self._groups.default):
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._is_doubtful = False
        self._default = self._groups.default
        self.feed(Event.LEFT if self._outlook.gone else Event.JOINED)
        if health_of_all(self._default.members) == "well":
            self.feed(Event.ANSWERED)

    def landed(self, is_answer: bool) -> None:
        """Take note of what came of a question; called for each that an upstream had to be asked."""
        is_well = self.situation.upstreams == "well"
        if is_answer and is_well:
            return
        members = self._groups.default.members
        if not is_well and any(member.answered_at > self._doubted_at for member in members):
            self.feed(Event.ANSWERED)  # whoever was forgiven meanwhile has proved nothing by that
        elif not is_answer and health_of_all(members) == "failing":
            self.feed(Event.FAILED)

    def count(self) -> None:
        """Take note of a question that went out in plain."""
        self.plain += 1
        self._program.count_plain()

    # what is done

    def feed(self, event: Event) -> None:
        """Go over to what follows from ``event``."""
        before = self.situation.state
        if event in _DOUBTS:
            self._doubted_at = asyncio.get_running_loop().time()
        self.situation, acts = self.situation.after(event)
        is_other = False
        if Act.FORGET in acts:
            self.page = None
            why = "an encrypted upstream answers" if Act.RECOVER in acts else "the network changed"
            is_other = self.consent.end(why)
        if Act.RECOVER in acts:
            self._program.recover()
        if Act.CHECK in acts:
            self._check_now(is_new=event is Event.JOINED)
        elif event in (Event.LEFT, Event.ANSWERED):
            self._cancel_timer()
        if self.situation.state is not before:
            self._tell(before)
        if self._set_up() or is_other:
            self._program.reroute()

    async def find_out(self) -> None:
        """Find out whether an upstream can be reached, for somebody who says that there is a page."""
        for _ in range(MAX_CHECKS):
            if self.situation.is_strict or self._outlook.gone:
                return
            await self._check()
            if self.situation.upstreams in ("well", "unreachable"):
                return

    def allow(self) -> None:
        """Let everything out in plain for a while, so that somebody can sign in; ``find_out`` comes first.

        Raises:
            ControlError: an encrypted upstream works, or that is not allowed, or nobody could be asked.
        """
        if self.situation.is_strict:
            raise ControlError(
                "[network] strict = true lets nothing out in plain, not even to sign in",
                hint="to allow it: strict = false",
                code="not-possible",
            )
        if self._outlook.gone:
            raise ControlError(
                self._outlook.gone, hint="join a network first, then try again", code="not-possible"
            )
        if self.situation.upstreams == "well":
            name = max(self._groups.default.members, key=lambda member: member.answered_at).name
            raise ControlError(
                f"there is no sign-in page in the way here: {name} works, encrypted",
                hint="if one page does not open: `secdns why NAME`",
                code="not-possible",
            )
        if self.situation.upstreams != "unreachable":
            raise ControlError(
                "the network is just changing", hint="try again in a moment", code="not-possible"
            )
        self.consent.give()
        self._set_timer()

    def portal_info(self, wall: float) -> Portal:
        """Give what a person is to know of the page."""
        url = None if self.page is None else self.page.url
        if url is None and self.page is None:
            url = BY_NAME
        return self.consent.info(url, wall)

    def _own(self) -> tuple[Endpoint, ...]:
        return self._resolvers

    def _set_up(self) -> bool:
        """Say who is asked for what; tell whether the routing has to be built anew for that."""
        checks = None
        if self._look is not None and self._resolvers and self.situation.lets_checks_through:
            checks = Plain(
                self._resolvers[:MAX_RESOLVERS],
                WORDS,
                MOST_TTL_S,
                self._lets_checks_through,
                has_edns=False,
                count=self.count,
            )
        name = None if self.page is None else self.page.name
        wanted = (
            checks,
            frozenset[bytes]() if name is None else frozenset({name}),
            reasons.SIGN_IN if self.situation.state is State.SIGN_IN else "",
        )
        groups = self._groups
        if wanted == (groups.checks, groups.learnt, groups.barrier):
            return False
        if wanted[2] and not groups.barrier:
            self._program.refuse(wanted[2])
        groups.checks, groups.learnt, groups.barrier = wanted
        return True

    def _lets_checks_through(self) -> bool:
        return self.situation.lets_checks_through

    def _tell(self, before: State) -> None:
        if self.situation.state is State.SIGN_IN:
            where = f" at {self.host}" if self.host else ""
            _LOG.warning(
                "this network wants people to sign in%s, and no upstream can be reached before", where
            )
        elif before is State.SIGN_IN and self.situation.state is State.SECURE:
            _LOG.info("nobody has to sign in any more: an encrypted upstream answers")

    # checks

    def _check_now(self, *, is_new: bool) -> None:
        """Check soon; one under way is as good, unless it began on another network."""
        self._cancel_timer()
        if self._look is None:
            return
        if is_new and self._task is not None:
            self._task.cancel()
            self._task = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._find_out())
            self._task.add_done_callback(self._checked)

    async def _check(self) -> None:
        """Check now, and wait for the outcome."""
        self._check_now(is_new=False)
        if self._task is not None:
            await asyncio.wait([self._task])

    def _checked(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("cannot find out what network this is", exc_info=error)
        if self._task is task:
            self._task = None
            self._set_timer()

    async def _find_out(self) -> None:
        """Try the upstreams; look for a page beside that when it takes long.

        The links come first: nobody should hear of a sign-in page before their checks find the resolver.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_links.wait(), LINKS_S)
        self.settle()
        loop = asyncio.get_running_loop()
        members, known = self._groups.default.members, self.situation.upstreams
        is_anew = known == "unreachable"
        reaching = loop.create_task(reach(members, is_asked=known != "unknown", is_anew=is_anew))
        finding: asyncio.Task[Page | None] | None = None
        try:
            await asyncio.wait([reaching], timeout=PATIENT_S)
            if not (reaching.done() and reaching.result()):
                finding = self._begin_to_find()
            if await reaching:
                self.feed(Event.ANSWERED)
                return
            if known == "well" and health_of_all(members) == "failing":
                self.feed(Event.FAILED)
                finding = self._begin_to_find()  # only now may we look
            if finding is not None:
                self._found(await finding)
            self.feed(Event.UNREACHABLE)
        finally:
            for task in (reaching, finding):
                if task is not None and not task.done():
                    task.cancel()
                    await asyncio.wait([task])

    def _found(self, page: Page | None) -> None:
        """Take note of a page, or that there is none."""
        if page is not None and self.situation.may_look:
            self.page = page
        self.feed(Event.NO_PORTAL if page is None else Event.PORTAL)
        if self.situation.portal != "there":
            self.page = None
            if self._set_up():
                self._program.reroute()

    def _begin_to_find(self) -> "asyncio.Task[Page | None] | None":
        if self._look is None or not self.situation.may_look:
            return None
        resolvers = self._groups.resolvers_of_checks()
        return asyncio.get_running_loop().create_task(find_page(self._look, resolvers))

    def _set_timer(self) -> None:
        self._cancel_timer()
        after_s = self.situation.check_again_s
        if after_s is not None and self._look is not None:
            if self.consent.is_on:
                after_s = CHECK_CONSENT_S
            self._timer = asyncio.get_running_loop().call_later(after_s, self._on_time)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        self._check_now(is_new=False)

    async def _stop(self) -> None:
        self._cancel_timer()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
