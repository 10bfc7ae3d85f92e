"""A bound and how far it may be moved."""

from typing import Generic, NamedTuple, TypeVar

N = TypeVar("N", int, float)


class Limit(NamedTuple, Generic[N]):
    """A bound: what holds when nothing is said, the least and the most."""

    default: N
    least: N
    most: N
