"""Turn a configuration into who decides on a name and who is asked for it.

Upstream groups outlive a reload that leaves them alone, with their connections and their part
of the cache; everything else here is made anew and swapped in as a whole.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from secdns.address_book import AddressBook
from secdns.bootstrap import Bootstrap
from secdns.cache import Entry, Route
from secdns.clock import boottime
from secdns.config import Config, DNSSECConfig
from secdns.dns.edns import pad
from secdns.dns.name import ROOT
from secdns.endpoint import Endpoint
from secdns.errors import ConnectError, TransportError
from secdns.policy import Given, Hosts, QueryPolicies, from_pairs
from secdns.policy.routes import Routes
from secdns.providers import DEFAULT, PROVIDERS
from secdns.upstream import Done, Read, Upstream, UpstreamGroup

if TYPE_CHECKING:
    from secdns.validation import ValidatingGroup

MAX_WATCHED = 16  # addresses: a look at the way to each takes the kernel some microseconds

_Members = tuple[tuple[str, Endpoint], ...]


class Asked(Protocol):
    """Whoever can be asked: an upstream group, or one whose answers are validated."""

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``."""


@dataclass(frozen=True, slots=True)
class Routing:
    """Who decides and who is asked.

    ``groups`` maps the number of an upstream group to it; ``default`` is for names that no
    policy routes elsewhere. ``route`` gives the group's number for a name in lower case; None
    stands for "always the default's, which is 0". Only what the default group says is validated:
    a [[route]] is for names that their own network vouches for.
    """

    policies: QueryPolicies
    groups: Mapping[int, Asked]
    default: Asked
    route: Route | None


class Groups:
    """The upstream groups in use, each with a number that stays while the group is unchanged.

    The number is the cache partition: an answer of a group that is gone is never served again
    (threat C4), one of a group that a reload left alone is. ``state_dir`` is where trust anchors
    and addresses of upstreams are remembered, None for nowhere. Times are the event loop's.
    """

    def __init__(self, state_dir: Path | None = None) -> None:
        self._state_dir = state_dir
        self._groups: dict[_Members, UpstreamGroup] = {}
        self._next = 0
        self._proof_key = secrets.token_bytes(16)
        self._validating: tuple[DNSSECConfig, UpstreamGroup, ValidatingGroup] | None = None
        book = None if state_dir is None else AddressBook(state_dir)
        self._bootstrap = Bootstrap(self._ask_for_address, clock=boottime, book=book)

    def build(self, config: Config, hosts: Hosts) -> Routing:
        """Give the routing that ``config`` and the hosts file ask for; groups in use are reused."""
        default = self._group((u.name, end) for u in config.upstreams for end in u.endpoints)
        default.follow(config.strategy)
        ways = {upstream.name: upstream.endpoints for upstream in config.upstreams}
        routes: dict[bytes, int] = {}
        asked = self._validate(config.dnssec, default)
        groups: dict[int, Asked] = {default.number: asked}
        for entry in config.routes:
            ends = ways[entry.via] if entry.endpoint is None else (entry.endpoint,)
            group = self._group((entry.via, end) for end in ends)
            groups.setdefault(group.number, group)
            routes.update(dict.fromkeys(entry.domains, group.number))
        policies = QueryPolicies(
            Given(from_pairs(config.overrides), hosts, routes, proof_key=self._proof_key)
        )
        return Routing(policies, groups, asked, _route(routes, default.number))

    def _validate(self, config: DNSSECConfig, group: UpstreamGroup) -> Asked:
        """Give ``group`` with its answers validated, if that is wanted; known keys outlive a reload."""
        if config.mode == "off":
            self._validating = None
            return group
        held = self._validating
        if held is not None and held[:2] == (config, group):
            return held[2]
        from secdns.trust import AnchorKeeper  # what these need costs 8 MB
        from secdns.validation import ValidatingGroup

        if held is not None and held[0] == config:
            keeper, trust = held[2].keeper, held[2].trust
            trust.keys.forgive()  # a chain may have been broken by those who were asked
        else:
            keeper, trust = AnchorKeeper(config, self._state_dir), None
        validating = ValidatingGroup(group, keeper, trust=trust, clock=boottime, wall=time.time)
        self._validating = (config, group, validating)
        return validating

    def addresses(self) -> list[str]:
        """Give addresses of the upstreams, as far as they are known: the first of each family, 16 at most.

        Where none is known, those of the built-in upstreams: they would be asked for one.
        """
        groups = tuple(self._groups.values())
        found = self._addresses_of(groups) or self._addresses_of((self._built_in(),))
        return found[:MAX_WATCHED]

    def _addresses_of(self, groups: Iterable[UpstreamGroup]) -> list[str]:
        found: dict[str, None] = {}
        for group in groups:
            for member in group.members:
                end = member.endpoint
                if end.proxy is not None:
                    known: tuple[str, ...] = (end.proxy.host,)
                else:
                    known = end.addresses or ((end.host,) if end.is_ip else self._bootstrap.known(end.host))
                families = {":" in address: address for address in reversed(known)}
                found.update(dict.fromkeys(families.values()))
        return list(found)

    def network_changed(self, *, is_clock: bool = False) -> None:
        """Drop every connection, ticket and grudge: they belong to another network, or another time.

        ``is_clock`` says that the wall clock was set: what was judged by it is judged again.
        """
        for group in self._groups.values():
            group.reset()
        self._bootstrap.reset()
        if self._validating is not None:
            self._validating[2].network_changed(is_clock=is_clock)

    def forgive(self) -> None:
        """Try everybody anew; connections, if there are any, are as good as before."""
        for group in self._groups.values():
            group.forgive()

    async def keep_only(self, routing: Routing) -> None:
        """Close every group that ``routing`` does not use."""
        unused = [members for members, group in self._groups.items() if group.number not in routing.groups]
        closed = [self._groups.pop(members) for members in unused]
        await asyncio.gather(*(group.aclose() for group in closed))

    async def aclose(self) -> None:
        """Close all groups; exchanges under way fail."""
        await self._bootstrap.aclose()
        closed = list(self._groups.values())
        self._groups.clear()
        await asyncio.gather(*(group.aclose() for group in closed))

    def _group(self, ways: Iterable[tuple[str, Endpoint]]) -> UpstreamGroup:
        members = tuple(ways)
        group = self._groups.get(members)
        if group is None:
            lookup, doubt = self._bootstrap.lookup, self._bootstrap.doubt
            upstreams = [Upstream(name, end, lookup, doubt) for name, end in members]
            group = UpstreamGroup(upstreams, self._next)
            self._next = (self._next + 1) % 65536
            self._groups[members] = group
        return group

    async def _ask_for_address(self, query: bytes, deadline: float, sought: frozenset[str]) -> bytes:
        """Ask an encrypted upstream whose own address is known (bootstrap).

        The configured ones come first. Where none can help, the built-in defaults are asked,
        whose addresses come with the program: they learn the name of an upstream, nothing else.
        """
        known = [
            member
            for group in tuple(self._groups.values())
            for member in group.members
            if _can_bootstrap(member.endpoint) and member.endpoint.host not in sought
        ]
        last: TransportError = ConnectError("there is no upstream to ask for the address")
        loop = asyncio.get_running_loop()
        for member in known or self._built_in().members:
            now = loop.time()
            if now >= deadline:
                break
            try:
                response = await member.exchange(pad(query), now + (deadline - now) / 2)
            except TransportError as error:
                last = error
            else:
                member.answered(loop.time())
                return response
        raise last

    def _built_in(self) -> UpstreamGroup:
        """Give the defaults; dialled at addresses of their own, they may even be what is sought."""
        catalogue = PROVIDERS()
        return self._group(
            (name, end) for name in DEFAULT for end in catalogue[name].auto if _can_bootstrap(end)
        )


def _can_bootstrap(endpoint: Endpoint) -> bool:
    needs_none = endpoint.is_ip or bool(endpoint.addresses) or endpoint.proxy is not None
    return needs_none and endpoint.is_encrypted


def _route(routes: Mapping[bytes, int], default: int) -> Route | None:
    """Give the function that tells the cache which group a name belongs to."""
    if not routes and default == 0:
        return None
    below_root = routes.get(ROOT, default)
    table = Routes(routes)

    def route(name: bytes) -> int:
        found = table.find(name)
        return below_root if found is None else found.group

    return route
