"""The consent to sign in: the network's own resolver answers everything, in plain, so that a page can open.

A person gives it, and only where no encrypted upstream can be reached. It lasts five minutes at most and
ends with the first answer of an encrypted upstream, with the network, and with the daemon.
"""

import logging
from collections.abc import Callable
from typing import Final

from secdns.control import durations
from secdns.control.schema import Portal
from secdns.detour import Plain
from secdns.endpoint import Endpoint
from secdns.network.portal import NOWHERE
from secdns.pausing import MAX_RESOLVERS, known
from secdns.period import Period
from secdns.routing import Groups

CONSENT_S: Final = 300.0  # need 5
MOST_TTL_S: Final = 10
WORDS: Final = "signing in to this network: its own resolver said this, unencrypted"

_LOG = logging.getLogger(__name__)


class Consent:
    """Belongs to the event loop.

    ``reroute`` builds the routing anew; ``count`` is told of each question, and ``counted`` gives how many
    went out in plain altogether, connectivity checks included.
    """

    def __init__(
        self,
        groups: Groups,
        clock: Callable[[], float],
        *,
        resolvers: Callable[[], tuple[Endpoint, ...]],
        reroute: Callable[[], None],
        count: Callable[[], None],
        counted: Callable[[], int],
    ) -> None:
        self._groups = groups
        self._resolvers = resolvers
        self._reroute = reroute
        self._count = count
        self._counted = counted
        self._before = 0  # had gone out when it was given
        self._period = Period(clock, self._on_time)

    @property
    def is_on(self) -> bool:
        """Names go out in plain."""
        return self._period.is_on()

    def give(self) -> None:
        """Let everything out in plain from now on, or for longer.

        Raises:
            ControlError: nobody is known who could be asked.
        """
        resolvers = known(self._resolvers())
        if not self._period.is_on():
            self._before = self._counted()
        self._period.begin(CONSENT_S)
        self._take(resolvers)
        self._reroute()
        hosts = ", ".join(end.host for end in resolvers)
        length = durations.shown(CONSENT_S)
        _LOG.warning("to sign in, questions go in plain to %s for %s at most", hosts, length)

    def follow_links(self) -> None:
        """Look for the resolvers of the network as it is now; the routing is still to be built."""
        if self._period.is_on() and (resolvers := self._resolvers()):
            self._take(resolvers)

    def end(self, why: str) -> bool:
        """End it, and tell whether it was on: then the routing is still to be built."""
        if not self._period.has_begun:
            return False
        self._period.end()
        self._groups.detour = None
        _LOG.info("no questions go in plain any more (%s); %d did", why, self._plain())
        return True

    def info(self, url: str | None, wall: float) -> Portal:
        """Give what a person is to know; ``url`` is what was learnt, ``wall`` is now, since 1970."""
        plain, left_s = self._groups.detour, self._period.left_s
        if not self._period.has_begun or plain is None or left_s <= 0:
            return Portal(url or NOWHERE, None, None, (), 0)
        hosts = tuple(end.host for end in plain.resolvers)
        return Portal(url or NOWHERE, round(wall + left_s, 3), round(left_s, 3), hosts, self._plain())

    def close(self) -> None:
        """Set no timer off any more."""
        self._period.end()

    def _take(self, resolvers: tuple[Endpoint, ...]) -> None:
        self._groups.detour = Plain(
            resolvers[:MAX_RESOLVERS],
            WORDS,
            MOST_TTL_S,
            self._period.is_on,
            has_edns=False,
            count=self._count,
        )

    def _plain(self) -> int:
        return self._counted() - self._before

    def _on_time(self) -> None:
        self._groups.detour = None
        _LOG.warning("no questions go in plain any more: the time to sign in is over; %d did", self._plain())
        self._reroute()
