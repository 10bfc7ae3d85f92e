"""A transport of secdns straight to a real server, without the daemon in between."""

from dataclasses import replace

from secdns.endpoint import parse
from secdns.transport import Transport, open_transport
from tests.lab.servers import UPSTREAM_NAME, Upstream
from tests.transport.support import no_lookup


def reach(upstream: Upstream, scheme: str) -> Transport:
    """Open a transport over ``tls`` or ``https``; who opens it closes it."""
    port, path = (upstream.dot_port, "") if scheme == "tls" else (upstream.doh_port, "/dns-query")
    endpoint = parse(f"{scheme}://{UPSTREAM_NAME}:{port}{path}")
    return open_transport(
        replace(endpoint, addresses=("127.0.0.1",), ca_file=str(upstream.ca_file)), no_lookup
    )
