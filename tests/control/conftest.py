"""A daemon on loopback, with its local API on a socket of its own."""

from tests.fixtures import nothing_is_left, other, served, up

__all__ = ["nothing_is_left", "other", "served", "up"]  # fixtures for this folder
