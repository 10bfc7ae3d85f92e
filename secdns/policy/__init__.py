"""Decide on a question before it leaves, and on a response before it is kept. Pure.

``QueryPolicies`` asks the policies of ``QUERY_ORDER`` one after the other; the first opinion wins
and None means: forward it to the default upstreams. It runs on every cache miss, and its answers
are cached like any other, so nothing here is on the hit path.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from secdns.dns.message import Question
from secdns.policy.checks import ConnectivityChecks
from secdns.policy.decision import (
    Answer,
    Decision,
    QueryPolicy,
    Refuse,
    ResponsePolicy,
    RouteTo,
    Watch,
    WatchingPolicy,
)
from secdns.policy.overrides import FixedAnswers, Hosts, HostsWarning, from_pairs, parse_hosts
from secdns.policy.proof import Proof
from secdns.policy.routes import DefaultRoute, Destinations, Routes
from secdns.policy.special_use import (
    Canary,
    DesignatedResolver,
    Localhost,
    QueryTypes,
    SingleLabels,
    SpecialUse,
)

__all__ = [
    "QUERY_ORDER",
    "Answer",
    "Decision",
    "Given",
    "Hosts",
    "HostsWarning",
    "QueryPolicies",
    "QueryPolicy",
    "Refuse",
    "ResponsePolicy",
    "RouteTo",
    "Watch",
    "WatchingPolicy",
    "from_pairs",
    "parse_hosts",
]


END_SIZE = 5
"""Octets at the end of a name that tell nearly every ordinary one: the root and four letters."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the policies are made from: the configuration's words and the hosts file's.

    ``routes`` maps a suffix to the number of its upstream group, or to a refusal; of the zones in
    ``unsigned`` the DS is asked of the default group all the same. ``single_labels`` is the group for
    short host names, None if nobody is to be asked.
    ``checks`` are single names that go to the group ``checks_to``, None if they go where all else goes.
    ``proof_key`` are secret octets, at most 64, of a process that programs may look names up through; none
    where there is no such thing.
    """

    overrides: Hosts = field(default_factory=Hosts)
    hosts: Hosts = field(default_factory=Hosts)
    routes: Destinations = field(default_factory=dict)
    unsigned: frozenset[bytes] = frozenset()
    single_labels: int | None = None
    checks: frozenset[bytes] = frozenset()
    checks_to: int | None = None
    proof_key: bytes = b""


def _overrides(given: Given) -> FixedAnswers:
    return FixedAnswers(given.overrides, "[overrides] in the configuration")


def _hosts(given: Given) -> FixedAnswers:
    return FixedAnswers(given.hosts, "the hosts file")


def _special_use(given: Given) -> SpecialUse:
    fixed = (given.overrides.addresses, given.overrides.pointers, given.hosts.addresses, given.hosts.pointers)
    return SpecialUse(name for table in fixed for name in table)


QUERY_ORDER: tuple[Callable[[Given], WatchingPolicy], ...] = (
    # A type that nobody may answer; its name does not matter.
    lambda given: QueryTypes(),
    # The person's own words beat everything, even what a standard says of the name.
    _overrides,
    # Before the hosts file: one that sends localhost elsewhere is broken or an attack.
    lambda given: Localhost(),
    # Before routes: it asks about us, and whoever else answers it takes the client away from us.
    lambda given: DesignatedResolver(),
    # Before routes: the file names single machines, a route whole zones.
    _hosts,
    # Before a route for all of internal: it is about ourselves.
    lambda given: Proof(given.proof_key),
    # Before the special names: a LAN, VPN or Tor resolver knows what a public one must not be asked.
    lambda given: Routes(given.routes, given.unsigned),
    # From here on a name would go to a public resolver; these may not.
    _special_use,
    # After routes and special names: the configuration's words and the standards' come first.
    lambda given: ConnectivityChecks(given.checks, given.checks_to),
    lambda given: Canary(),
    # After all that know single names: it judges by shape alone.
    lambda given: SingleLabels(given.single_labels),
    # Last: a route for the root changes who is asked, not what may be asked.
    lambda given: DefaultRoute(given.routes),
)


class QueryPolicies:
    """All query policies as one.

    For an ordinary name this is three look-ups, a fifth of a microsecond; the policies are asked only
    about what one of them watches.
    """

    def __init__(self, given: Given | None = None) -> None:
        given = given or Given()
        self._policies = tuple(make(given) for make in QUERY_ORDER)
        watches = [policy.watch() for policy in self._policies]
        self._names = frozenset(name for watch in watches for name in watch.names)
        suffixes = [suffix for watch in watches for suffix in watch.suffixes]
        self._tops = frozenset(suffix for suffix in suffixes if _is_single(suffix))
        self._seconds = frozenset(_last_two(suffix) for suffix in suffixes if not _is_single(suffix))
        ends = self._tops | self._seconds
        self._end_at = -min([END_SIZE, *map(len, ends)])
        self._ends = frozenset(end[self._end_at :] for end in ends)
        self._rrtypes = frozenset(rrtype for watch in watches for rrtype in watch.rrtypes)
        self._single_labels = any(watch.single_labels for watch in watches)
        self._otherwise = next((watch.otherwise for watch in watches if watch.otherwise is not None), None)

    def may_decide(self, name: bytes, rrtype: int) -> bool:
        """Tell whether ``decide`` could have an opinion; ``name`` is in lower case.

        False for the ordinary name, at the cost of three look-ups.
        """
        return (
            (name[self._end_at :] in self._ends and self._is_below(name))
            or name in self._names
            or rrtype in self._rrtypes
            or (self._single_labels and len(name) == name[0] + 2)
            or self._otherwise is not None
        )

    def _is_below(self, name: bytes) -> bool:
        """Tell whether a suffix that is watched covers the name, by the last two labels of both."""
        second = top = at = 0
        while size := name[at]:
            second = top
            top = at
            at += size + 1
        return name[second:] in self._seconds or name[top:] in self._tops

    def decide(self, question: Question, now: float) -> Decision | None:
        """Give the first opinion, or None: forward to the default upstreams."""
        if self.may_decide(question.name.lower(), question.rrtype):
            for policy in self._policies:
                decision = policy.decide(question, now)
                if decision is not None:
                    return decision
        return self._otherwise


def _is_single(name: bytes) -> bool:
    return len(name) == name[0] + 2


def _last_two(name: bytes) -> bytes:
    while True:
        rest = name[name[0] + 1 :]
        if _is_single(rest):
            return name
        name = rest
