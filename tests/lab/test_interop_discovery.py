"""Unbound designates its own DoT and DoH, and is found, checked and used as it is offered (RFC 9462)."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.lab import servers
from tests.lab.clients import run_client
from tests.lab.conftest import StartDaemon
from tests.lab.programs import free_ports
from tests.lab.servers import UPSTREAM_NAME, Authority, Certificates

pytestmark = pytest.mark.real


def discover(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "secdns", "upstreams", "discover", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_what_unbound_designates_is_verified_and_serves_as_it_is_offered_9462_1(
    tmp_path: Path, certificates: Certificates, authority: Authority, secdns_daemon: StartDaemon
) -> None:
    ports = free_ports(3)
    port, dot_port, doh_port = ports
    records = (
        f"2 {UPSTREAM_NAME}. alpn=dot port={dot_port} ipv4hint=127.0.0.1",
        f'1 {UPSTREAM_NAME}. alpn=h2 port={doh_port} ipv4hint=127.0.0.1 key7="/dns-query{{?dns}}"',
        f"3 other.lab.test. alpn=dot port={dot_port} ipv4hint=127.0.0.1",
    )
    extra = '  local-zone: "resolver.arpa." static\n' + "".join(
        f"  local-data: '_dns.resolver.arpa. 300 IN SVCB {record}'\n" for record in records
    )
    with servers.unbound(tmp_path / "unbound", certificates, authority.port, ports=ports, extra=extra):
        words = (f"127.0.0.1:{port}", "--ca-file", str(certificates.ca_file), "--timeout", "20")
        (told,) = json.loads(discover("--json", *words).stdout)
        verdicts = [(each["url"], each["verified"], each["reason"] or "") for each in told["offers"]]
        assert verdicts[:2] == [
            (f"https://{UPSTREAM_NAME}:{doh_port}/dns-query", True, ""),
            (f"tls://{UPSTREAM_NAME}:{dot_port}", True, ""),
        ]
        assert verdicts[2][:2] == (f"tls://other.lab.test:{dot_port}", False)
        assert "another name" in verdicts[2][2]

        done = discover(*words)
        assert done.returncode == 0, done.stderr
        offered = done.stdout[done.stdout.index("[[upstream]]") :]
        assert len(tomllib.loads(offered)["upstream"]) == 2
        daemon = secdns_daemon(offered)
        assert run_client("dig", daemon.port, "www.example.test", "A").rdata == ("192.0.2.1",)
        own = discover(f"127.0.0.1:{daemon.port}")
        assert (own.returncode, own.stdout) == (1, f"127.0.0.1:{daemon.port} offers no encrypted DNS.\n")
