"""Real servers on ephemeral loopback ports: NSD for the zones, Unbound and dnsdist as encrypted upstreams.

Each function is a context manager: the server answers when the block starts and is gone when it ends. None of
them asks anybody off this machine: the lab has a root zone of its own.
"""

import base64
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.lab.programs import Process, answers_udp, find, free_ports, running
from tests.lab.zones import BROKEN_ZONE, ZONES

UPSTREAM_NAME = "upstream.lab.test"
"""The host name in the certificates of every encrypted upstream of the lab."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a TLS server and its clients need, as PEM files."""

    ca_file: Path
    chain: Path
    key: Path


def make_certificates(directory: Path) -> Certificates:
    """Make a CA and one server certificate, for ``UPSTREAM_NAME`` and 127.0.0.1, in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    ca = trustme.CA()
    leaf = ca.issue_cert(UPSTREAM_NAME, "127.0.0.1")
    files = Certificates(directory / "ca.pem", directory / "chain.pem", directory / "key.pem")
    ca.cert_pem.write_to_path(files.ca_file)
    leaf.private_key_pem.write_to_path(files.key)
    files.chain.unlink(missing_ok=True)
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(files.chain, append=True)
    return files


@dataclass(frozen=True, slots=True)
class Authority:
    """The authoritative server."""

    process: Process
    port: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """A resolver that answers in plain, over DoT and over DoH, each on a port of its own."""

    process: Process
    port: int
    dot_port: int
    doh_port: int
    ca_file: Path
    config: Path
    doq_port: int = 0

    def config_table(self, scheme: str) -> str:
        """Give the ``[[upstream]]`` table of secdns's configuration for one of its schemes."""
        port, path = {
            "tls": (self.dot_port, ""),
            "https": (self.doh_port, "/dns-query"),
            "h3": (self.doh_port, "/dns-query"),
            "quic": (self.doq_port, ""),
        }[scheme]
        return config_table(scheme, port, path, self.ca_file)


def config_table(scheme: str, port: int, path: str, ca_file: Path) -> str:
    """Give the ``[[upstream]]`` table of secdns's configuration for an upstream of the lab."""
    return (
        f'[[upstream]]\nname = "lab-{port}"\nurl = "{scheme}://{UPSTREAM_NAME}:{port}{path}"\n'
        f'addresses = ["127.0.0.1"]\nca_file = "{ca_file}"\n'
    )


Check = Callable[[], bool]
Ready = Callable[[int], Check]
"""Makes the readiness check for a plain port; a namespace needs another one than ours."""


@contextmanager
def nsd(directory: Path, *, ready: Ready = answers_udp, prefix: Sequence[str] = ()) -> Iterator[Authority]:
    """Run NSD with every zone of the lab."""
    program = find("nsd")
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    stanzas = []
    for name, text in ZONES.items():
        file = directory / f"{name.strip('.') or 'root'}.zone"
        file.write_text(text)
        stanzas.append(f'zone:\n  name: "{name}"\n  zonefile: "{file}"\n')
    stanzas.append(f'zone:\n  name: "{BROKEN_ZONE}"\n  zonefile: "{directory}/not-there.zone"\n')
    config = directory / "nsd.conf"
    config.write_text(
        f"""\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{directory}"
  database: ""
  pidfile: ""
  xfrdfile: ""
  zonelistfile: "{directory}/zone.list"
  server-count: 1
  ipv4-edns-size: 1232
  rrl-ratelimit: 0
  minimal-responses: yes
remote-control:
  control-enable: no
"""
        + "".join(stanzas)
    )
    argv = [program, "-d", "-c", str(config)]
    with running(argv, directory / "nsd.log", ready(port), prefix=prefix) as process:
        yield Authority(process, port)


@contextmanager
def knot(directory: Path, files: Mapping[str, Path], ready: Ready) -> Iterator[Authority]:
    """Run Knot with these zones, name -> master file, as they are: it checks and signs nothing.

    NSD 4.6 would leave out the NSEC3 that covers an empty non-terminal which opt-out leaves out of the
    chain, and lower the letters of names within RDATA that are signed as they stand (SVCB).
    """
    program = find("knotd")
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    config = directory / "knot.conf"
    config.write_text(
        f"""\
server:
    listen: 127.0.0.1@{port}
    rundir: "{directory}"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{directory}"
log:
  - target: stderr
    any: warning
template:
  - id: default
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
zone:
"""
        + "".join(f'  - domain: "{name}"\n    file: "{file}"\n' for name, file in files.items())
    )
    with running([program, "-c", str(config)], directory / "knot.log", ready(port)) as process:
        yield Authority(process, port)


def unbound_server(directory: Path, port: int) -> str:
    """Give how the ``server`` clause of an Unbound begins that runs on loopback alone, for ``test.``."""
    return f"""\
server:
  directory: "{directory}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  do-daemonize: no
  do-ip6: no
  num-threads: 1
  interface: 127.0.0.1@{port}
  do-not-query-localhost: no
  local-zone: "test." nodefault
  qname-minimisation: no
  edns-buffer-size: 1232
  trust-anchor-signaling: no"""


@contextmanager
def validating_unbound(
    directory: Path,
    upstream_port: int,
    anchors: Sequence[str],
    *,
    extra: str = "",
    ready: Ready = answers_udp,
) -> Iterator[int]:
    """Run Unbound as a validating forwarder, which is what secdns is; give its port.

    It says in ``unbound.log`` why an answer is bogus. ``extra`` are lines for its ``server`` clause.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    config = directory / "unbound.conf"
    trusted = "".join(f'  trust-anchor: "{anchor}"\n' for anchor in anchors)
    config.write_text(
        f"""\
{unbound_server(directory, port)}
  module-config: "validator iterator"
  aggressive-nsec: no
  val-log-level: 2
  ede: yes
{extra}{trusted}\
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream_port}
"""
    )
    argv = [find("unbound"), "-d", "-p", "-c", str(config)]
    with running(argv, directory / "unbound.log", ready(port)):
        yield port


@contextmanager
def unbound(
    directory: Path,
    certificates: Certificates,
    authority_port: int,
    *,
    stubs: Sequence[str] = (*ZONES, BROKEN_ZONE),
    ports: Sequence[int] | None = None,
    extra: str = "",
    ready: Ready = answers_udp,
    prefix: Sequence[str] = (),
) -> Iterator[Upstream]:
    """Run Unbound as a recursive resolver over the lab's zones, in plain, over DoT and over DoH.

    It validates nothing. ``stubs`` are the zones that it asks the authority for; ``ports`` are those of plain
    DNS, DoT and DoH, so that one that was taken away can come back where it was. ``extra`` are lines for its
    ``server`` clause.
    """
    program = find("unbound")
    directory.mkdir(parents=True, exist_ok=True)
    port, dot_port, doh_port = ports or free_ports(3)
    config = directory / "unbound.conf"
    config.write_text(
        f"""\
{unbound_server(directory, port)}
  interface: 127.0.0.1@{dot_port}
  interface: 127.0.0.1@{doh_port}
  tls-port: {dot_port}
  https-port: {doh_port}
  tls-service-pem: "{certificates.chain}"
  tls-service-key: "{certificates.key}"
  module-config: "iterator"
  minimal-responses: yes
  root-hints: ""
  cache-max-negative-ttl: 5
{extra}\
remote-control:
  control-enable: yes
  control-interface: "{directory}/control"
  control-use-cert: no
"""
        + "".join(
            f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{authority_port}\n  stub-prime: no\n'
            for zone in stubs
        )
    )
    argv = [program, "-d", "-p", "-c", str(config)]
    with running(argv, directory / "unbound.log", ready(port), prefix=prefix) as process:
        yield Upstream(process, port, dot_port, doh_port, certificates.ca_file, config)


def unbound_counter(upstream: Upstream, counter: str = "total.num.queries") -> int:
    """Read one of Unbound's own counters."""
    done = subprocess.run(
        [find("unbound-control"), "-c", str(upstream.config), "stats_noreset"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    values = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return int(float(values[counter]))


@contextmanager
def dnsdist(
    directory: Path,
    certificates: Certificates,
    *,
    backend_port: int | None = None,
    ports: Sequence[int] | None = None,
    ready: Ready = answers_udp,
    prefix: Sequence[str] = (),
) -> Iterator[Upstream]:
    """Run dnsdist in plain, over DoT and over DoH, in front of ``backend_port``.

    Without a backend it makes up 192.0.2.53 for every name itself, as fast as an upstream can be. What is no
    address does not exist: dnscrypt-proxy uses an upstream only if that is so for a name it makes up.
    """
    program = find("dnsdist")
    directory.mkdir(parents=True, exist_ok=True)
    port, dot_port, doh_port = ports or free_ports(3)
    config = directory / "dnsdist.conf"
    tls = f'"{certificates.chain}", "{certificates.key}"'
    answers = (
        'addAction(AllRule(), SpoofAction({"192.0.2.53"}, {ttl=3600}))\n'
        "addAction(AllRule(), RCodeAction(DNSRCode.NXDOMAIN))"
        if backend_port is None
        else f'newServer({{address="127.0.0.1:{backend_port}"}}):setUp()'
    )
    config.write_text(
        f"""\
setSecurityPollSuffix("")
setLocal("127.0.0.1:{port}")
addTLSLocal("127.0.0.1:{dot_port}", {tls})
addDOHLocal("127.0.0.1:{doh_port}", {tls}, "/dns-query")
{answers}
"""
    )
    argv = [program, "--supervised", "--disable-syslog", "-C", str(config)]
    check = ready(port) if backend_port else answers_udp(port, "ready.example.test", 1)
    with running(argv, directory / "dnsdist.log", check, prefix=prefix) as process:
        yield Upstream(process, port, dot_port, doh_port, certificates.ca_file, config)


def doh_stamp(address: str, host: str, path: str = "/dns-query") -> str:
    """Give the ``sdns://`` stamp of a DoH upstream without certificate hashes, as dnscrypt-proxy wants it."""

    def lp(text: str) -> bytes:
        return bytes([len(text)]) + text.encode()

    raw = b"\x02" + (0).to_bytes(8, "little") + lp(address) + b"\x00" + lp(host) + lp(path)
    return "sdns://" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
