"""By which way a request came, and what has to be right about it before anything else is looked at.

There is no CORS header, and a request that says it comes from a web page is refused (threat L3), as is one
for another host (L2): a name that leads to loopback must not lead here. No browser speaks to Unix sockets;
to a port it does, so a request there needs the key besides.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from secdns.control.key import HOST, Key
from secdns.errors import ControlError

HOSTS: Final = frozenset({"localhost", "secdns"})


class Door(Protocol):
    """One way to the local API. ``is_for_owners``: who comes in may change things."""

    is_for_owners: bool

    def admit(self, headers: Mapping[str, str]) -> str:
        """Let a request in; give the proof that has to go back, "" for none.

        Raises:
            ControlError: it does not come in.
        """


class UnixDoor:
    """A Unix socket: who is there the kernel says."""

    is_for_owners = False

    def admit(self, headers: Mapping[str, str]) -> str:
        _check(headers, headers.get("host", "").lower().partition(":")[0] in HOSTS)
        return ""


class LoopbackDoor:
    """A port of loopback: who has the key is as good as who may read its file."""

    is_for_owners = True

    def __init__(self, key: Key) -> None:
        self._key = key
        self._hosts = frozenset(f"{host}:{key.port}" for host in (HOST, "localhost"))

    def admit(self, headers: Mapping[str, str]) -> str:
        _check(headers, headers.get("host", "").lower() in self._hosts)
        proof = self._key.admits(headers.get("authorization", ""))
        if proof is None:
            raise ControlError(
                "the key is missing or wrong",
                hint="who may read the daemon's control.key may ask: Authorization: Bearer SECRET",
                code="no-key",
            )
        return proof


def _check(headers: Mapping[str, str], is_here: bool) -> None:
    if not is_here:
        host = headers.get("host", "")
        raise ControlError(f"host {host[:60]!r} is not served here, want localhost", code="wrong-host")
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise ControlError("a web page may not ask here", code="not-allowed")
