"""Whom everybody forwards to, and the loopback of our own on which that happens."""

import ctypes
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.bench.measure import ZONE
from tests.lab import servers
from tests.lab.programs import MissingProgram, find
from tests.lab.quic_servers import caddy, knot_quic, knot_with_quic
from tests.lab.servers import Upstream
from tests.lab.tree import NoTree

_CLONE_NEWNET = 0x40000000


def leave_the_network() -> bool:
    """Go on in a network namespace that has loopback and nothing else; False: we may not."""
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
            return False
        subprocess.run([find("ip"), "link", "set", "lo", "up"], check=True)
    except (MissingProgram, OSError, AttributeError):
        return False
    return True


def why_missing(scheme: str) -> str | None:
    """Say what an upstream for this scheme needs that is not there; None if nothing is missing."""
    try:
        if scheme == "h3":
            find("caddy")
        elif scheme == "quic":
            knot_with_quic()
    except MissingProgram as missing:
        return str(missing)
    except NoTree as problem:
        return f"needs: {problem}"
    return None


@contextmanager
def upstreams(directory: Path, schemes: Sequence[str]) -> Iterator[dict[str, Upstream]]:
    """Have the upstream of each scheme running: each makes up an answer for every name below ``ZONE``.

    dnsdist for DoT, DoH/2 and plain DNS, Caddy in front of its DoH for DoH/3, Knot for DoQ.
    """
    certificates = servers.make_certificates(directory / "certificates")
    with ExitStack() as stack:
        dnsdist = stack.enter_context(servers.dnsdist(directory / "dnsdist", certificates))
        found = {"tls": dnsdist, "https": dnsdist, "udp": dnsdist}
        if "h3" in schemes:
            proxy = stack.enter_context(caddy(directory / "caddy", certificates, dnsdist, logs=False))
            found["h3"] = replace(dnsdist, doh_port=proxy.port)
        if "quic" in schemes:
            records = "* A 192.0.2.53\n"
            found["quic"] = stack.enter_context(knot_quic(directory / "knot", certificates, ZONE, records))
        yield found
