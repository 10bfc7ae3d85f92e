"""Addresses for the host names of upstreams, asked of *another* encrypted upstream.

Never of the system's resolver: that may be us. The exchange callable that is given here is told
which hosts have no address yet and must not use an upstream at any of them. That is the whole
rule against loops, and it holds however long the circle: when B's address is wanted to ask for
A's, the question for B excludes A and B, nobody is left, and both end at once with words. (A host
with addresses from before may be used: nobody waits for its refresh longer than 0.4 s.)

An address found here is only where to dial; the certificate says who answers (threat E4). Where
nobody who is right answers at the addresses found last, those found before them are tried as well:
whoever was asked may have been wrong. What is known is kept on disk, so that a start without any
network finds its upstreams as soon as there is one (fault F30).
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import NoReturn

from secdns.address_book import AddressBook, Remembered
from secdns.dns.edns import EDNS
from secdns.dns.message import Message, make_query
from secdns.dns.name import from_text
from secdns.errors import ConnectError, FormatError, TransportError
from secdns.iana import RCode, RRClass, RRType

# A whole query, the deadline in seconds of loop.time(), and the hosts whose upstreams must not
# be used: the one being sought and all that have no address. Gives the whole response to the
# query, its question already checked. Raises TransportError.
Exchange = Callable[[bytes, float, frozenset[str]], Awaitable[bytes]]

MIN_TTL_S = 4 * 3600.0  # providers give 5 minutes; dnscrypt-proxy keeps addresses as long
MAX_TTL_S = 86400.0  # the cache's own cap
PARTIAL_TTL_S = 60.0  # one family did not answer: ask for both again soon
LAST_GOOD_S = 30 * 86400.0  # addresses that no refresh could replace (fault F30)
RETRY_S = 30.0  # between refreshes that fail while last good addresses are served
FLIGHT_S = 5.0  # one look-up, whoever waits; a client has given up by then
GRACE_S = 0.3  # wait for the second family once the first gave addresses (need 11: use it within 1 s)
REFRESH_WAIT_S = 0.4  # wait for a refresh before last good addresses are served
MAX_HOSTS = 64  # remembered; a configuration names a handful
MAX_ADDRESSES = 8  # of one family
MAX_CHAIN = 8  # CNAMEs followed
OFFERED_IN_DOUBT = 4  # of each set: a connection is tried at 8 addresses
KEEP_S = 86400.0  # between two writes that only say that all is still so

HINT = "give `addresses` for this upstream in the configuration"


@dataclass(frozen=True, slots=True)
class _Known:
    """Addresses and when, in the clock's seconds, they were found, asked for and are to be refreshed.

    ``before`` are those that they took the place of. ``is_doubted``: they do not lead to the host.
    """

    addresses: tuple[str, ...]
    found: float
    asked: float
    refresh: float
    before: tuple[str, ...] = ()
    before_found: float = 0.0
    is_doubted: bool = False

    def offered(self, now: float) -> tuple[str, ...]:
        """Give the addresses to dial, in their order."""
        if not self.is_doubted or not self.before or now >= self.before_found + LAST_GOOD_S:
            return self.addresses
        both = (*self.addresses[:OFFERED_IN_DOUBT], *self.before[:OFFERED_IN_DOUBT])
        return tuple(dict.fromkeys(both))

    def followed_by(self, addresses: tuple[str, ...], now: float, ttl_s: float) -> "_Known":
        """Give what is known after an answer with these addresses."""
        fresh = replace(self, addresses=addresses, found=now, asked=now, refresh=now + ttl_s)
        if set(addresses) == set(self.addresses):
            return fresh  # in doubt as before: who is wrong twice is no less wrong
        if self.is_doubted and self.before:
            return replace(fresh, is_doubted=False)
        return replace(fresh, before=self.addresses, before_found=self.found, is_doubted=False)


@dataclass(frozen=True, slots=True)
class _Family:
    """What one question gave. ``why`` says why there are no addresses."""

    addresses: tuple[str, ...] = ()
    ttl_s: float = 0.0
    why: str = ""
    answered: bool = False


class Bootstrap:
    """Looks up the addresses of upstream hosts and remembers them.

    ``clock`` gives seconds that also pass while the machine sleeps; it ages what is known, and the
    running event loop's own time is taken when there is none. Deadlines are loop.time() always.
    ``book`` is where it is kept on disk, None for nowhere; it is read at once.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        clock: Callable[[], float] | None = None,
        book: AddressBook | None = None,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._book = book
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._flights: dict[str, asyncio.Task[str]] = {}
        self._writing: asyncio.Task[None] | None = None
        self._is_written = True
        self._written_at = self._now() if book else 0.0
        if book:
            self._remember(book)

    async def lookup(self, host: str, deadline: float) -> tuple[str, ...]:
        """Give the addresses of ``host``, IPv6 and IPv4 by turns (RFC 8305 §4), at least one.

        Callers that want the same host share one look-up, which goes on when one of them is
        cancelled. Addresses too old to be fresh are given when a refresh fails or takes long.

        Raises:
            ConnectError: there is no address, or none before the deadline.
        """
        host = host.rstrip(".").lower()
        now = self._now()
        usable = self._is_usable(host, now)
        if usable and now < self._known[host].refresh:
            return self._known[host].offered(now)
        flight = self._flight(host)
        if usable:
            deadline = min(deadline, asyncio.get_running_loop().time() + REFRESH_WAIT_S)
        why = await _outcome(flight, deadline)
        known = self._known.get(host)
        if known is not None and (not why or usable):
            return known.offered(self._now())
        _fail(host, why)

    def doubt(self, host: str) -> None:
        """Nobody who is right answered at the addresses of ``host``: ask again before the next use.

        That is done at most every 30 s. It may be called for a host that was never looked up.
        """
        if (known := self._known.get(host)) is not None:
            refresh = min(known.refresh, known.asked + RETRY_S)
            self._known[host] = replace(known, refresh=refresh, is_doubted=True)

    def known(self, host: str) -> tuple[str, ...]:
        """Give the addresses of ``host`` as far as they are known, asking nobody."""
        known = self._known.get(host.rstrip(".").lower())
        return known.addresses if known is not None else ()

    def reset(self) -> None:
        """The network changed: ask again before the next use, but keep what is known till then."""
        for host, known in self._known.items():
            self._known[host] = replace(known, refresh=self._now())

    async def aclose(self) -> None:
        """End every look-up under way, and wait until what is known is written."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._writing is not None:
            await asyncio.wait((self._writing,))

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()

    def _is_usable(self, host: str, now: float) -> bool:
        known = self._known.get(host)
        return known is not None and now < known.found + LAST_GOOD_S

    def _excluded(self, host: str) -> frozenset[str]:
        """Give the host itself and every other being sought that has no address meanwhile."""
        now = self._now()
        return frozenset({host, *(other for other in self._flights if not self._is_usable(other, now))})

    def _flight(self, host: str) -> asyncio.Task[str]:
        """Give the look-up under way for a host, or start one; its result says why it failed."""
        flight = self._flights.get(host)
        if flight is None:
            if len(self._flights) >= MAX_HOSTS:
                _fail(host, f"{MAX_HOSTS} other look-ups are under way")
            flight = asyncio.create_task(self._refresh(host), name=f"bootstrap {host}")
            self._flights[host] = flight
            flight.add_done_callback(lambda _: self._flights.pop(host, None))
        return flight

    async def _refresh(self, host: str) -> str:
        """Ask for both families and remember what came; give "" or the reason for nothing."""
        deadline = asyncio.get_running_loop().time() + FLIGHT_S
        families = await self._both(host, deadline)
        found = [family for family in families if family.addresses]
        now = self._now()
        if not found:
            if (known := self._known.get(host)) is not None:
                self._known[host] = replace(known, asked=now, refresh=now + RETRY_S)
            return "; ".join(dict.fromkeys(family.why for family in families))
        ttl_s = min(max(MIN_TTL_S, min(family.ttl_s for family in found)), MAX_TTL_S)
        if not all(family.answered for family in families):
            ttl_s = PARTIAL_TTL_S
        by_turns = chain.from_iterable(zip_longest(*self._with_last_good(host, families)))
        addresses = tuple(filter(None, by_turns))
        known = self._known.get(host)
        after = (known or _Known((), now, now, now)).followed_by(addresses, now, ttl_s)
        self._known[host] = after
        self._known.move_to_end(host)
        while len(self._known) > MAX_HOSTS:
            self._known.popitem(last=False)
        is_new = known is None or set(known.addresses) != set(addresses)
        if is_new or now >= self._written_at + KEEP_S:
            self._keep(now)
        return ""

    def _remember(self, book: AddressBook) -> None:
        """Take over what the book has, with the age that it has."""
        now = self._now()
        for host, (last, *older) in book.read().items():
            found = now - last.age_s
            known = _Known(last.addresses, found, asked=found, refresh=found + MIN_TTL_S)
            if older:
                known = replace(known, before=older[0].addresses, before_found=now - older[0].age_s)
            self._known[host] = known

    def _keep(self, now: float) -> None:
        """Have what is known written, once more if that is under way."""
        self._is_written = self._book is None
        self._written_at = now
        if self._book is not None and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write(self._book), name="bootstrap addresses")

    async def _write(self, book: AddressBook) -> None:
        while not self._is_written:
            self._is_written = True
            now = self._now()
            hosts = {}
            for host, known in self._known.items():
                sets = [Remembered(known.addresses, now - known.found)]
                if known.before:
                    sets.append(Remembered(known.before, now - known.before_found))
                hosts[host] = sets
            await asyncio.to_thread(book.write, hosts)

    def _with_last_good(self, host: str, families: tuple[_Family, ...]) -> list[tuple[str, ...]]:
        """Give the IPv6 and the IPv4 addresses; a family without an answer keeps those it had."""
        known = self._known.get(host)
        before = known.addresses if known else ()
        had = (tuple(a for a in before if ":" in a), tuple(a for a in before if ":" not in a))
        return [new.addresses if new.answered else old for new, old in zip(families, had, strict=True)]

    async def _both(self, host: str, deadline: float) -> tuple[_Family, ...]:
        """Ask for AAAA and A together; the second gets a short grace once the first has addresses."""
        asked = [asyncio.create_task(self._ask(host, rrtype, deadline)) for rrtype in (RRType.AAAA, RRType.A)]
        try:
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            has_addresses = any(task.done() and task.result().addresses for task in asked)
            await asyncio.wait(asked, timeout=GRACE_S if has_addresses else None)
        finally:
            for task in asked:
                task.cancel()
        return tuple(task.result() if task.done() else _Family(why="no answer in time") for task in asked)

    async def _ask(self, host: str, rrtype: RRType, deadline: float) -> _Family:
        """Ask for one family; every failure is a value."""
        try:
            name = from_text(host)
            query = make_query(name, rrtype, id=secrets.randbelow(1 << 16), edns=EDNS())
            async with asyncio.timeout_at(deadline):
                wire = await self._exchange(query, deadline, self._excluded(host))
            return _read(Message.parse(wire), name, rrtype)
        except TimeoutError:
            return _Family(why="no answer in time")
        except (TransportError, FormatError) as error:
            return _Family(why=str(error))


def _fail(host: str, why: str) -> NoReturn:
    raise ConnectError(f"no address found for the upstream host {host}: {why}", hint=HINT)


async def _outcome(flight: asyncio.Task[str], deadline: float) -> str:
    """Wait for a look-up without owning it; give its reason for having nothing, or ""."""
    done, _ = await asyncio.wait({flight}, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
    if not done:
        return "no answer in time"
    return "it was ended" if flight.cancelled() else flight.result()


def _read(response: Message, name: bytes, rrtype: RRType) -> _Family:
    """Take the addresses on the path from ``name`` over its CNAMEs, and nothing else (threat C4)."""
    if response.rcode not in {RCode.NOERROR, RCode.NXDOMAIN}:
        shown = next((known.name for known in RCode if known == response.rcode), f"RCODE {response.rcode}")
        return _Family(why=f"the answer was {shown}")
    owner = name.lower()
    ttl_s = MAX_TTL_S
    for _ in range(MAX_CHAIN):
        here = [r for r in response.answer if r.name.lower() == owner and r.rrclass == RRClass.IN]
        ttl_s = min([ttl_s, *(float(r.ttl) for r in here if r.rrtype in {rrtype, RRType.CNAME})])
        if found := [_address(r.rdata) for r in here if r.rrtype == rrtype]:
            addresses = tuple(dict.fromkeys(filter(None, found)))[:MAX_ADDRESSES]
            why = "" if addresses else "the answer holds no usable address"
            return _Family(addresses, ttl_s, why, answered=True)
        target = next((r.rdata.lower() for r in here if r.rrtype == RRType.CNAME), None)
        if target is None:
            break
        owner = target
    why = "the name does not exist" if response.rcode == RCode.NXDOMAIN else "the name has no address"
    return _Family(why=why, answered=True)


def _address(rdata: bytes) -> str | None:
    """Give an address as text, or None for one that cannot be dialled: blocked names get 0.0.0.0."""
    if len(rdata) not in {4, 16}:
        return None
    address = ip_address(rdata)
    return None if address.is_unspecified or address.is_multicast else str(address)
