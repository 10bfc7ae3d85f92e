"""Upstreams that end with the test."""

from tests.fixtures import nothing_is_left

__all__ = ["nothing_is_left"]  # fixtures for this folder
