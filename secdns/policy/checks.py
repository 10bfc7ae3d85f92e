"""Send single names to their own upstream group: the connectivity checks of systems and browsers."""

from collections.abc import Collection

from secdns.dns.message import Question
from secdns.policy.decision import RouteTo, Watch


class ConnectivityChecks:
    """Names that go to the network's own resolvers while it may want people to sign in.

    ``names`` are in lower case and exact: what is below them goes where all else goes. ``group`` is None
    while nobody is to be asked.
    """

    def __init__(self, names: Collection[bytes], group: int | None) -> None:
        self._names = frozenset(names) if group is not None else frozenset[bytes]()
        self._route = None if group is None else RouteTo(group)

    def watch(self) -> Watch:
        """Give the names."""
        return Watch(names=self._names)

    def decide(self, question: Question, now: float) -> RouteTo | None:
        """Give the group for one of the names, or None."""
        return self._route if question.name.lower() in self._names else None
