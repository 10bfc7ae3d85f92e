"""The invariants of every fault test."""

from tests.fixtures import nothing_is_left, warp

__all__ = ["nothing_is_left", "warp"]  # fixtures for this folder
