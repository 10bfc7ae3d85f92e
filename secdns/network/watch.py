"""Notice that the network changed, that the machine slept or that the clock was set.

The kernel is listened to where it tells (Linux), and a query looks for itself, at most once a second:
nothing here has a timer while nothing happens. Both compare with the same picture, so one change is
told once, whoever sees it first.
"""

import asyncio
import errno
import logging
import math
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from secdns.network import netlink
from secdns.network.clocks import Clocks, Comparison, duration_text
from secdns.network.ways import Found, Ways, compare

LOOK_EVERY_S: Final = 1.0  # of a query, at most
QUIET_S: Final = 0.2  # what the kernel tells comes in bursts: an address, its routes, the resolver …
LATE_S: Final = 1.0  # … but a burst is not waited for longer than this
SILENCE_S: Final = 30.0  # without a query: what failed before proves nothing now
MAX_DATAGRAMS: Final = 16  # of the kernel's in one turn
DATAGRAM_SIZE: Final = 1 << 16

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened.

    ``reason`` is a sentence for the log, "" if it is not worth one. ``is_break``: no connection, ticket or
    grudge of before is worth anything; else only the grudges are not. ``is_clock``: the wall clock was set,
    so what was judged by it is to be judged again.
    """

    reason: str
    is_break: bool = False
    is_clock: bool = False


class Outlook:
    """What a query has to know of the network; this one is of somebody who does not look.

    ``look_at`` is when, in the cache's seconds, the next query has to ``look`` first. ``gone`` says why
    no upstream can be reached at all, "" if one may be, and ``gone_since`` since when. ``is_new``: there is
    another network, whose resolvers will be known in a moment; who learns them says so here.
    """

    look_at = math.inf
    gone = ""
    gone_since = -math.inf
    is_new = False

    def look(self) -> None:
        """Look whether anything changed; a query is about to leave."""


class Watch(Outlook):
    """Looks after the ways to ``addresses`` and calls ``changed``. Belongs to the event loop.

    ``addresses`` gives the IP literals of the upstreams as they are at the moment. ``heard`` is called
    for whatever the kernel tells of links, addresses and routes, whether it concerns them or not.
    """

    def __init__(
        self,
        addresses: Callable[[], Iterable[str]],
        changed: Callable[[Change], None],
        *,
        clocks: Clocks | None = None,
        ways: Ways | None = None,
        heard: Callable[[], None] | None = None,
    ) -> None:
        self._addresses = addresses
        self._heard = heard
        self._changed = changed
        self._clocks = clocks or Clocks()
        self._ways = ways
        self._comparison = Comparison(self._clocks)
        self._news = netlink.News()
        self._socket: socket.socket | None = None
        self._found: Found = {}
        self._asked_at = 0.0  # when a query last looked
        self._timer: asyncio.TimerHandle | None = None
        self._late_at = 0.0

    def start(self) -> None:
        """Look around, and listen to the kernel from now on."""
        self._loop = asyncio.get_running_loop()
        if self._ways is None:
            self._ways = Ways()
        self._socket = netlink.open_socket(netlink.GROUPS)
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._on_readable)
        self._asked_at = self._clocks.boot()
        self.look_at = 0.0
        self._found = self._find()
        self._note_gone(-math.inf)  # it never was there
        if self.gone:
            _LOG.info("%s yet", self.gone)

    def close(self) -> None:
        """Stop."""
        self.look_at = math.inf
        self.gone = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stop_listening()
        if self._ways is not None:
            self._ways.close()

    @property
    def links(self) -> list[str]:
        """The names of the links that lead to upstreams, as far as they are known."""
        return list(dict.fromkeys(way.link for way in self._found.values() if way is not None and way.link))

    def look(self) -> None:
        now = self._clocks.boot()
        is_first = now - self._asked_at > SILENCE_S
        self._asked_at = now
        self.look_at = now + LOOK_EVERY_S
        if not self._look(now) and is_first:
            self._changed(Change(""))

    def look_now(self) -> None:
        """Look, although nobody asks: something may have happened."""
        if self._ways is not None:
            self._look(self._clocks.boot())

    def _look(self, now: float) -> bool:
        """Tell ``changed`` of what is not as it was; tell whether there was anything."""
        slept_s, jumped_s = self._comparison.since_last()
        before = self._found
        self._found = self._find()
        difference = compare(before, self._found)
        self._note_gone(now)
        reasons = []
        if slept_s:
            reasons.append(f"the machine slept for {duration_text(slept_s)}")
        if jumped_s:
            way = "forward" if jumped_s > 0 else "back"
            reasons.append(f"the clock was set {way} by {duration_text(abs(jumped_s))}")
        if difference is not None:
            reasons.append(difference.reason)
        if not reasons:
            return False
        is_break = bool(slept_s or jumped_s) or (difference is not None and difference.is_break)
        self._changed(Change("; ".join(reasons), is_break, bool(jumped_s)))
        return True

    def _find(self) -> Found:
        return {} if self._ways is None else self._ways.find(self._addresses())

    def _note_gone(self, now: float) -> None:
        is_gone = bool(self._found) and not any(self._found.values())
        if is_gone and not self.gone:
            self.gone = "there is no network that leads to an upstream"
            self.gone_since = now
        elif not is_gone:
            self.gone = ""

    # what the kernel tells

    def _on_readable(self) -> None:
        """Read what the kernel tells, and look soon if it may concern us."""
        is_news = False
        for _ in range(MAX_DATAGRAMS):
            opened = self._socket
            if opened is None:
                break
            try:
                octets, sender = opened.recvfrom(DATAGRAM_SIZE)
            except BlockingIOError:
                break
            except OSError as error:
                is_news = True
                if error.errno != errno.ENOBUFS:  # that it told more than we could take is news, too
                    _LOG.warning("the kernel tells nothing of the network any more: %s", error.strerror)
                    self._stop_listening()
            else:
                is_news |= sender[0] == 0 and self._news.is_in(octets)
        if is_news:
            self._look_soon()
            if self._heard is not None:
                self._heard()

    def _look_soon(self) -> None:
        """Look when the burst is over, or with the next query; at once if there is nothing to lose."""
        self.look_at = 0.0
        now = self._loop.time()
        if self._timer is None:
            self._late_at = now + LATE_S
        else:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(now + QUIET_S, self._late_at), self._on_quiet)
        if self.gone:
            self._look(self._clocks.boot())

    def _on_quiet(self) -> None:
        self._timer = None
        self._look(self._clocks.boot())

    def _stop_listening(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            self._loop.remove_reader(opened)
            opened.close()
