"""The pause: the network's own resolver answers everything, in plain, because a person wished so."""

import logging
from collections.abc import Callable
from typing import Final

from secdns.control import durations
from secdns.control.schema import PAUSE_S, Pause
from secdns.detour import Plain
from secdns.endpoint import Endpoint
from secdns.errors import ControlError
from secdns.period import Period
from secdns.routing import Groups

MAX_RESOLVERS: Final = 3  # of the network's own that are asked, as the C library does
MOST_TTL_S: Final = 10
WORDS: Final = "secdns is paused: the network's own resolver said this, unencrypted"

_LOG = logging.getLogger(__name__)


class Pausing:
    """Belongs to the event loop.

    ``resolvers`` gives the network's own ones, as they are now; ``remember`` keeps until when it lasts, in
    seconds since 1970, and for how long; ``reroute`` builds the routing anew; ``count`` is told of each
    question that goes out in plain.
    """

    def __init__(
        self,
        groups: Groups,
        clock: Callable[[], float],
        *,
        resolvers: Callable[[], tuple[Endpoint, ...]],
        remember: Callable[[float, float], None],
        reroute: Callable[[], None],
        count: Callable[[], None],
    ) -> None:
        self._groups = groups
        self._resolvers = resolvers
        self._remember = remember
        self._reroute = reroute
        self._count = count
        self._period = Period(clock, self._on_time)

    @property
    def is_wished(self) -> bool:
        """A pause is on, whether or not there is anybody to ask meanwhile."""
        return self._period.has_begun

    def begin(self, for_s: float, wall: float) -> None:
        """Pause for so long at most; ``wall`` is now.

        Raises:
            ControlError: nobody is known who could be asked.
        """
        resolvers = known(self._resolvers())
        for_s = min(for_s, PAUSE_S.most)
        self.restore(for_s)
        self._remember(wall + for_s, for_s)
        self._reroute()
        names = ", ".join(end.host for end in resolvers)
        _LOG.warning("paused for %s: questions go in plain to %s", durations.shown(for_s), names)

    def restore(self, left_s: float) -> None:
        """Take up a pause; if nobody is known who could be asked, that is for ``follow_links``."""
        self._period.begin(left_s)
        self._take(self._resolvers())

    def follow_links(self) -> None:
        """Look for the resolvers of the network as it is now; call it before the routing is built."""
        if not self._period.is_on():
            return
        resolvers = self._resolvers()
        if self._groups.detour is not None and not resolvers:
            self.end("this network has no resolver of its own")
        else:
            self._take(resolvers)

    def end(self, why: str) -> None:
        """End it; the routing is still to be built."""
        self._groups.detour = None
        self._period.end()
        self._remember(0.0, 0.0)
        _LOG.info("the pause is over (%s): questions go encrypted again", why)

    def info(self, until: float) -> Pause | None:
        """Give the pause, None if there is none; ``until`` is when it ends, in seconds since 1970."""
        plain, left_s = self._groups.detour, self._period.left_s
        if not self.is_wished or plain is None or left_s <= 0:
            return None
        return Pause(round(until, 3), round(left_s, 3), tuple(end.host for end in plain.resolvers))

    def close(self) -> None:
        """Set no timer off any more."""
        self._period.end()

    def _take(self, resolvers: tuple[Endpoint, ...]) -> None:
        plain = Plain(resolvers[:MAX_RESOLVERS], WORDS, MOST_TTL_S, self._period.is_on, count=self._count)
        self._groups.detour = plain if resolvers else None

    def _on_time(self) -> None:
        self.end("its time is over")
        self._reroute()


def known(resolvers: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Give the resolvers to ask in plain.

    Raises:
        ControlError: there are none.
    """
    if not resolvers:
        raise ControlError(
            "it is not known which resolver this network has, so there is nothing to hand questions to",
            hint="to go back to the system's own settings: secdns system off",
            code="not-possible",
        )
    return resolvers[:MAX_RESOLVERS]
