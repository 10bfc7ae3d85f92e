"""Send a suffix to its own upstream group (split DNS)."""

from collections.abc import Mapping

from secdns.dns.message import Question
from secdns.dns.name import ROOT, suffixes
from secdns.policy.decision import RouteTo, Watch


class Routes:
    """The routes of the configuration; of two that fit, the longer suffix wins.

    ``routes`` maps a suffix to the number of an upstream group; letter case does not matter. A
    route covers the name itself and all below it. One for the root is ``DefaultRoute``'s.
    """

    def __init__(self, routes: Mapping[bytes, int]) -> None:
        self._routes = {name.lower(): RouteTo(group) for name, group in routes.items() if name != ROOT}

    def watch(self) -> Watch:
        """Give the routed suffixes."""
        return Watch(suffixes=tuple(self._routes))

    def decide(self, question: Question, now: float) -> RouteTo | None:
        """Give the group for this name, or None when no route covers it."""
        return self.find(question.name.lower())

    def find(self, name: bytes) -> RouteTo | None:
        """Give the group for a name in lower case, or None."""
        for suffix in suffixes(name):
            if (route := self._routes.get(suffix)) is not None:
                return route
        return None


class DefaultRoute:
    """A route for the root: where all goes that nothing else decides on."""

    def __init__(self, routes: Mapping[bytes, int]) -> None:
        self._route = RouteTo(routes[ROOT]) if ROOT in routes else None

    def watch(self) -> Watch:
        """Give the group for every name."""
        return Watch(otherwise=self._route)

    def decide(self, question: Question, now: float) -> RouteTo | None:
        """Give the root's group, or None when the root is not routed."""
        return self._route
