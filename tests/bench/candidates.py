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
from tests.lab.tree import DEBIAN_13, NoTree, debian_tree, inside

IN_TREE = ("dnscrypt-proxy",)
"""What Debian 12 does not have: it runs in a tree of Debian 13."""


@dataclass(frozen=True, slots=True)
class Command:
    argv: list[str]
    env: dict[str, str] | None = None


Make = Callable[[Path, Upstream, str, int], Command]
"""Directory, upstream, scheme towards it (of secdns, or ``udp``) and our port -> how to start it."""


def command_of(program: str) -> list[str]:
    """Give how to start a program: this machine's, or that of the tree.

    Raises:
        MissingProgram: it is not installed.
        NoTree: nor can the tree be made that has it.
    """
    try:
        return [find(program)]
    except MissingProgram:
        if program not in IN_TREE:
            raise
    return [*inside(debian_tree(*DEBIAN_13)), program]


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

    def why_missing(self) -> str | None:
        """Say what it needs that is not there; None if nothing is missing."""
        try:
            command_of(self.program)
        except MissingProgram as missing:
            return str(missing)
        except NoTree as problem:
            return f"needs: {problem}"
        return None

    def version(self) -> str:
        """Give the first version number that the program prints about itself."""
        if self.program == sys.executable:
            argv = [sys.executable, "-m", "secdns", "--version"]
        else:
            argv = [*command_of(self.program), *self.version_argv]
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


_ACTIVATE = """\
import os, socket, sys
datagram, stream = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
for number, sock in enumerate((datagram, stream), 3):
    sock.bind(("127.0.0.1", int(sys.argv[1])))
    if sock is stream:
        sock.listen()
    os.dup2(sock.fileno(), number)
    os.set_inheritable(number, True)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Opens a port over UDP and TCP and hands it on as systemd does (sd_listen_fds(3))."""


def _dnscrypt_proxy(directory: Path, upstream: Upstream, scheme: str, port: int) -> Command:
    """Give dnscrypt-proxy with one static upstream: it fetches no list and probes nobody else.

    It gets its sockets from us, as Debian's own unit has it. Those that it opens itself hold 8 KB: of the
    first 100 queries of dnsperf it would lose 91, and dnsperf would go on with 9 at a time.
    """
    config = directory / "dnscrypt-proxy.toml"
    stamp = doh_stamp(f"127.0.0.1:{upstream.doh_port}", f"{UPSTREAM_NAME}:{upstream.doh_port}")
    config.write_text(
        f"""\
listen_addresses = []
server_names = ["lab"]
doh_servers = true
http3 = {"true" if scheme == "h3" else "false"}
ignore_system_dns = true
bootstrap_resolvers = ["127.0.0.1:{upstream.port}"]
netprobe_timeout = 0
cert_refresh_delay = 10000
cache = true
cache_size = 20000
max_clients = 1000
log_level = 1

[static]
[static.lab]
stamp = "{stamp}"
"""
    )
    activate = [sys.executable, "-c", _ACTIVATE, str(port)]
    return Command(
        [*activate, *command_of("dnscrypt-proxy"), "-config", str(config)],
        {**os.environ, "SSL_CERT_FILE": str(upstream.ca_file), "GOMAXPROCS": "2"},
    )


SECDNS = "secdns"
UNBOUND = "unbound"
DNSCRYPT_PROXY = "dnscrypt-proxy"

CANDIDATES = (
    Candidate(SECDNS, sys.executable, secdns(), ("tls", "https", "h3", "quic")),
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
    Candidate(
        DNSCRYPT_PROXY,
        "dnscrypt-proxy",
        _dnscrypt_proxy,
        ("https", "h3"),
        note="in a tree of Debian 13: the way into it is part of its start-up",
        version_argv=("-version",),
    ),
)
