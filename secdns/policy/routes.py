"""Send a suffix to its own upstream group (split DNS)."""

from collections.abc import Collection, Mapping

from secdns.dns.message import Question
from secdns.dns.name import ROOT, suffixes
from secdns.iana import RRType
from secdns.policy.decision import Refuse, RouteTo, Watch

Destinations = Mapping[bytes, int | Refuse]


class Routes:
    """Names that go elsewhere; of two suffixes that fit, the longer wins.

    ``routes`` maps a suffix to the number of an upstream group, or to the refusal where nobody is to be
    asked; letter case does not matter. A route covers the name itself and all below it. One for the
    root is ``DefaultRoute``'s. Of the zones in ``unsigned`` the DS is not routed: it is the parent's
    (RFC 4035 §3.1.4.1).
    """

    def __init__(self, routes: Destinations, unsigned: Collection[bytes] = ()) -> None:
        self._routes = {
            name.lower(): RouteTo(to) if isinstance(to, int) else to
            for name, to in routes.items()
            if name != ROOT
        }
        self._unsigned = frozenset(unsigned)

    def watch(self) -> Watch:
        """Give the routed suffixes."""
        return Watch(suffixes=tuple(self._routes))

    def decide(self, question: Question, now: float) -> RouteTo | Refuse | None:
        """Give the group for this name, or None when no route covers it."""
        return self.find(question.name.lower(), question.rrtype)

    def find(self, name: bytes, rrtype: int) -> RouteTo | Refuse | None:
        """Give the group for a name in lower case, or None."""
        if rrtype == RRType.DS and name in self._unsigned:
            return None
        for suffix in suffixes(name):
            if (route := self._routes.get(suffix)) is not None:
                return route
        return None


class DefaultRoute:
    """A route for the root: where all goes that nothing else decides on."""

    def __init__(self, routes: Destinations) -> None:
        to = routes.get(ROOT)
        self._route = RouteTo(to) if isinstance(to, int) else to

    def watch(self) -> Watch:
        """Give the group for every name."""
        return Watch(otherwise=self._route)

    def decide(self, question: Question, now: float) -> RouteTo | Refuse | None:
        """Give the root's group, or None when the root is not routed."""
        return self._route
