"""Loaded by the daemon under test through PYTHONPATH: the system's resolver must never be asked.

A resolver that asks itself through resolv.conf would hang or loop; any host that is not an IP literal
raises.
"""

import ipaddress
import os
import socket
from typing import Any

_real = socket.getaddrinfo


def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    if host is not None:
        text = host.decode() if isinstance(host, bytes) else str(host)
        try:
            ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            raise AssertionError(f"the system's resolver was asked for {text!r}") from None
    return _real(host, *args, **kwargs)


socket.getaddrinfo = getaddrinfo


# Nor may names go to the resolvers of the machine that the tests run on. Who tests that has a machine of
# its own, a network namespace, and says so.
if not os.environ.get("SECDNS_LAB_LINKS"):
    from secdns.network import bus, learning, portal

    learning.FILES = ()  # type: ignore[misc]
    portal.TARGET = ("127.0.0.1", 1)  # type: ignore[misc]
    bus.SOCKET = "/nonexistent"  # type: ignore[misc]
