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
from secdns.config import NETWORK, Config, DNSSECConfig
from secdns.connectivity_checks import CHECKS
from secdns.detour import Barrier, Detour, Plain
from secdns.dns.edns import pad
from secdns.dns.name import ROOT
from secdns.endpoint import Endpoint
from secdns.errors import ConnectError, TransportError
from secdns.policy import Given, Hosts, QueryPolicies, Refuse, RouteTo, from_pairs
from secdns.policy.routes import Routes
from secdns.policy.special_use import UNSIGNED_ZONES, is_host
from secdns.providers import DEFAULT, PROVIDERS
from secdns.split import NOTHING, Members, Split
from secdns.upstream import Done, Read, Upstream, UpstreamGroup

if TYPE_CHECKING:
    from secdns.validation import ValidatingGroup

NEAR_S = 0.45  # for a resolver of the local network; with the rest half a second (need 8)
MAX_WATCHED = 16  # addresses: a look at the way to each takes the kernel some microseconds

_Key = tuple[int, Members, bool]  # epoch, members, and whether they are asked with EDNS


class Asked(Protocol):
    """Whoever can be asked: an upstream group, or one whose answers are validated."""

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``."""


class Near:
    """A group that is next door: who does not answer at once is not there.

    What a resolver of one's own network is asked here it knows by itself, so nobody has to wait until a
    dead one has cost all patience (need 8).
    """

    def __init__(self, group: UpstreamGroup) -> None:
        self.group = group

    def submit(
        self, question: bytes, cd: bool, now: float, deadline: float, read: Read[Entry], done: Done[Entry]
    ) -> Callable[[], None]:
        """As ``UpstreamGroup.submit``, with less patience."""
        return self.group.submit(question, cd, now, min(deadline, now + NEAR_S), read, done)


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

    ``first`` is the name of the upstream that is asked first by a person's wish, None for none: a
    configured one, or a built-in one. ``detour`` says who takes the default group's questions in plain,
    None for nobody; ``checks`` who takes connectivity checks, with ``learnt`` as more names that count as
    such. ``barrier`` says why the default group is not asked at all, "" if it is. All of these take
    effect with the next ``build``.
    """

    def __init__(self, state_dir: Path | None = None) -> None:
        self._state_dir = state_dir
        self._groups: dict[_Key, UpstreamGroup] = {}
        self._next = 0
        self._proof_key = secrets.token_bytes(16)
        self._epoch = 1  # of links; 0 is for what the configuration says
        self._validating: tuple[DNSSECConfig, UpstreamGroup, ValidatingGroup] | None = None
        book = None if state_dir is None else AddressBook(state_dir)
        self._bootstrap = Bootstrap(self._ask_for_address, clock=boottime, book=book)
        self.first: str | None = None
        self.detour: Plain | None = None
        self.checks: Plain | None = None
        self.learnt: frozenset[bytes] = frozenset()
        self.barrier = ""
        self.default: UpstreamGroup

    @property
    def validating(self) -> "ValidatingGroup | None":
        """The default group as the one whose answers are judged, None where none are."""
        return None if self._validating is None else self._validating[2]

    def build(self, config: Config, hosts: Hosts, split: Split = NOTHING) -> Routing:
        """Give the routing that all of these ask for; groups in use are reused.

        ``split`` says what goes to the resolvers of links; see ``forget_links``.
        """
        ends = [(u.name, end) for u in config.upstreams for end in u.endpoints]
        if self.first is not None and all(name != self.first for name, _ in ends):
            ends += [(self.first, end) for end in PROVIDERS()[self.first].auto]
        default = self.default = self._group(ends)
        default.follow(config.strategy, self.first)
        ways = {upstream.name: upstream.endpoints for upstream in config.upstreams}
        asked = self._validate(config.dnssec, default)
        groups: dict[int, Asked] = {default.number: asked}

        def number_of(members: Iterable[tuple[str, Endpoint]], epoch: int = 0) -> int:
            group = self._group(members, epoch)
            groups.setdefault(group.number, group)
            return group.number

        if split.home:
            home = self._group(split.home, self._epoch)
            groups[home.number] = Near(home)

        routes: dict[bytes, int | Refuse] = {
            domain: to if isinstance(to, Refuse) else number_of(to, self._epoch)
            for domain, to in split.routes.items()
        }
        unsigned = UNSIGNED_ZONES & routes.keys()
        for entry in config.routes:
            if entry.via == NETWORK:
                continue
            to_ask = ways[entry.via] if entry.endpoint is None else (entry.endpoint,)
            number = number_of((entry.via, end) for end in to_ask)
            routes.update(dict.fromkeys(entry.domains, number))
            unsigned -= frozenset(entry.domains)
        otherwise = default.number
        if self.barrier:
            asked = Barrier(self.barrier)
        if self.detour is not None:
            otherwise, asked = self._detour(self.detour, asked)
            groups[otherwise] = asked
            routes.pop(ROOT, None)  # what goes elsewhere by default goes this way, too
        checks_to = None
        if self.checks is not None:
            checks_to, groups[checks_to] = self._detour(self.checks, asked)
        given = Given(
            overrides=from_pairs(config.overrides),
            hosts=hosts,
            routes=routes,
            unsigned=unsigned,
            single_labels=number_of(split.home, self._epoch) if split.home else None,
            checks=frozenset() if checks_to is None else CHECKS() | self.learnt,
            checks_to=checks_to,
            proof_key=self._proof_key,
        )
        return Routing(QueryPolicies(given), groups, asked, _route(given, otherwise))

    def _detour(self, plain: Plain, otherwise: Asked) -> tuple[int, Asked]:
        """Give who asks in plain, with the number of the group: what it answers is another's word."""
        group = self._group(((end.host, end) for end in plain.resolvers), self._epoch, plain.has_edns)
        return group.number, Detour(group, plain, otherwise)

    def forget_links(self) -> None:
        """Give the groups of links other numbers from the next ``build`` on.

        The network changed: the same address may be another resolver now, which must not be
        given the answers of the one before.
        """
        self._epoch += 1

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

        The resolvers of links are left out: a VPN that ends is no change of network for the upstreams.
        Where none is known, those of the built-in upstreams: they would be asked for one.
        """
        groups = tuple(group for (epoch, _, _), group in self._groups.items() if epoch == 0)
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

    def resolvers_of_checks(self) -> tuple[Upstream, ...]:
        """Give whom connectivity checks go to."""
        plain = self.checks
        if plain is None:
            return ()
        ways = ((end.host, end) for end in plain.resolvers)
        return self._group(ways, self._epoch, plain.has_edns).members

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

    def _group(
        self, ways: Iterable[tuple[str, Endpoint]], epoch: int = 0, has_edns: bool = True
    ) -> UpstreamGroup:
        members = tuple(ways)
        group = self._groups.get((epoch, members, has_edns))
        if group is None:
            lookup, doubt = self._bootstrap.lookup, self._bootstrap.doubt
            upstreams = [Upstream(name, end, lookup, doubt, has_edns=has_edns) for name, end in members]
            group = UpstreamGroup(upstreams, self._free_number())
            self._groups[epoch, members, has_edns] = group
        return group

    def _free_number(self) -> int:
        """Give a number that no group has; that of one that is gone not again for 65,536 groups."""
        held = {group.number for group in self._groups.values()}
        while self._next in held:
            self._next = (self._next + 1) % 65536
        number = self._next
        self._next = (number + 1) % 65536
        return number

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


def _route(given: Given, default: int) -> Route | None:
    """Give the function that tells the cache which group a question belongs to."""
    if not given.routes and given.single_labels is None and given.checks_to is None and default == 0:
        return None
    table = Routes(given.routes, given.unsigned)
    root = given.routes.get(ROOT)
    below_root = root if isinstance(root, int) else default
    single_labels = below_root if given.single_labels is None else given.single_labels
    tops = tuple({_top(suffix) for suffix in given.routes if suffix != ROOT})
    checks, checks_to = given.checks, below_root if given.checks_to is None else given.checks_to

    def route(name: bytes, rrtype: int) -> int:
        if name.endswith(tops):  # not quite "is below one of them", but cheap, and false of nearly all names
            found = table.find(name, rrtype)
            if found is not None:
                return found.group if isinstance(found, RouteTo) else below_root
        if name in checks:
            return checks_to
        return single_labels if len(name) == name[0] + 2 and is_host(name, rrtype) else below_root

    return route


def _top(name: bytes) -> bytes:
    """Give the last label of a name, as a name."""
    while (rest := name[name[0] + 1 :]) > ROOT:
        name = rest
    return name
