"""Who is measured: secdns and its peers, each configured to forward to the same upstream on loopback.

Peers run with their own defaults but for what makes the comparison fair: one thread, no validation (the
upstream's answers are made up), an upstream that is authenticated by name, caches large enough for the names
we ask.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.programs import MissingProgram, find
from tests.lab.servers import UPSTREAM_NAME, Upstream, doh_stamp

PACKAGES = {"dnscrypt-proxy": "dnscrypt-proxy, which Debian 12 does not have"}


@dataclass(frozen=True, slots=True)
class Command:
    argv: list[str]
    env: dict[str, str] | None = None


Make = Callable[[Path, Upstream, str, int], Command]
"""Directory, upstream, scheme towards it (``tls``, ``https``, ``udp``) and our port -> how to start it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One program in one configuration."""

    name: str
    program: str
    make: Make
    schemes: tuple[str, ...]
    """How it can reach an upstream, the preferred way first."""
    caches: bool = True
    note: str = ""
    version_argv: tuple[str, ...] = field(default=("--version",))

    def is_found(self) -> bool:
        try:
            find(self.program)
        except MissingProgram:
            return False
        return True

    def version(self) -> str:
        """Give the first version number that the program prints about itself."""
        if self.program == sys.executable:
            argv = [sys.executable, "-m", "secdns", "--version"]
        else:
            argv = [find(self.program), *self.version_argv]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
        return match[0] if match else "unknown"


def secdns(dnssec: str = 'mode = "off"') -> Make:
    """Give secdns with these keys in its ``[dnssec]`` table."""

    def make(directory: Path, upstream: Upstream, scheme: str, port: int) -> Command:
        config = directory / "secdns.toml"
        config.write_text(
            f'[server]\nlisten = ["127.0.0.1:{port}"]\n[dnssec]\n{dnssec}\n{upstream.config_table(scheme)}'
        )
        argv = [sys.executable, "-m", "secdns", "run", "--config", str(config)]
        return Command(argv, {**os.environ, "STATE_DIRECTORY": str(directory)})

    return make


def unbound(extra: str = "", modules: str = "iterator") -> Make:
    """Give Unbound with these lines in its ``server`` clause."""

    def make(directory: Path, upstream: Upstream, scheme: str, port: int) -> Command:
        config = directory / "unbound.conf"
        tls = scheme == "tls"
        address = f"127.0.0.1@{upstream.dot_port}#{UPSTREAM_NAME}" if tls else f"127.0.0.1@{upstream.port}"
        config.write_text(
            f"""\
server:
  directory: "{directory}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  num-threads: 1
  interface: 127.0.0.1@{port}
  module-config: "{modules}"
  do-not-query-localhost: no
  tls-cert-bundle: "{upstream.ca_file}"
  root-hints: ""
  msg-cache-size: 16m
  rrset-cache-size: 32m
{extra}
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-tls-upstream: {"yes" if tls else "no"}
  forward-addr: {address}
"""
        )
        return Command([find("unbound"), "-d", "-p", "-c", str(config)])

    return make


def _dnsmasq(directory: Path, upstream: Upstream, scheme: str, port: int) -> Command:
    options = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        f"--port={port}",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        "--no-poll",
        f"--server=127.0.0.1#{upstream.port}",
        "--cache-size=20000",
        "--dns-forward-max=1000",
        "--pid-file=",
        "--user=root" if os.geteuid() == 0 else "--user=",
    ]
    return Command([find("dnsmasq"), *options])


def _stubby(directory: Path, upstream: Upstream, scheme: str, port: int) -> Command:
    config = directory / "stubby.yml"
    config.write_text(
        f"""\
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_query_padding_blocksize: 128
edns_client_subnet_private: 1
idle_timeout: 60000
round_robin_upstreams: 0
tls_ca_file: "{upstream.ca_file}"
appdata_dir: "{directory}"
listen_addresses:
  - 127.0.0.1@{port}
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_port: {upstream.dot_port}
    tls_auth_name: "{UPSTREAM_NAME}"
"""
    )
    return Command([find("stubby"), "-C", str(config)])


def _dnsdist(directory: Path, upstream: Upstream, scheme: str, port: int) -> Command:
    config = directory / "dnsdist.conf"
    target = upstream.dot_port if scheme == "tls" else upstream.doh_port
    path = ', dohPath="/dns-query"' if scheme == "https" else ""
    config.write_text(
        f"""\
setSecurityPollSuffix("")
setLocal("127.0.0.1:{port}")
newServer({{address="127.0.0.1:{target}", tls="openssl", subjectName="{UPSTREAM_NAME}",
  caStore="{upstream.ca_file}", validateCertificates=true{path}}}):setUp()
getPool(""):setCache(newPacketCache(50000))
"""
    )
    return Command([find("dnsdist"), "--supervised", "--disable-syslog", "-C", str(config)])


def _dnscrypt_proxy(directory: Path, upstream: Upstream, scheme: str, port: int) -> Command:
    config = directory / "dnscrypt-proxy.toml"
    stamp = doh_stamp(f"127.0.0.1:{upstream.doh_port}", f"{UPSTREAM_NAME}:{upstream.doh_port}")
    config.write_text(
        f"""\
listen_addresses = ["127.0.0.1:{port}"]
server_names = ["lab"]
doh_servers = true
http3 = false
ignore_system_dns = true
bootstrap_resolvers = ["127.0.0.1:{upstream.port}"]
netprobe_timeout = 0
cache = true
cache_size = 20000
max_clients = 1000
log_level = 2

[static]
[static.lab]
stamp = "{stamp}"
"""
    )
    return Command(
        [find("dnscrypt-proxy"), "-config", str(config)],
        {**os.environ, "SSL_CERT_FILE": str(upstream.ca_file), "GOMAXPROCS": "2"},
    )


SECDNS = "secdns"
UNBOUND = "unbound"
DNSCRYPT_PROXY = "dnscrypt-proxy"

CANDIDATES = (
    Candidate(SECDNS, sys.executable, secdns(), ("tls", "https")),
    Candidate(UNBOUND, "unbound", unbound(), ("tls",), version_argv=("-V",)),
    Candidate(
        "unbound-long",
        "unbound",
        unbound("  max-reuse-tcp-queries: 1000000"),
        ("tls",),
        caches=False,
        note="like unbound, but one connection serves more than the default 200 queries",
        version_argv=("-V",),
    ),
    Candidate("dnsmasq", "dnsmasq", _dnsmasq, ("udp",), note="forwards in plain only"),
    Candidate("stubby", "stubby", _stubby, ("tls",), caches=False, note="has no cache", version_argv=("-V",)),
    Candidate("dnsdist", "dnsdist", _dnsdist, ("tls", "https"), note="a packet cache, several threads"),
    Candidate(DNSCRYPT_PROXY, "dnscrypt-proxy", _dnscrypt_proxy, ("https",), version_argv=("-version",)),
)
