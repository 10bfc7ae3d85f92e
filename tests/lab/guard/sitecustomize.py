"""Loaded by the daemon under test through PYTHONPATH: the system's resolver must never be asked.

A resolver that asks itself through resolv.conf would hang or loop; any host that is not an IP literal
raises.
"""

import ipaddress
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
