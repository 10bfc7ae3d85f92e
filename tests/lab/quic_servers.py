"""Real servers that speak QUIC: Caddy in front of a DoH backend for DoH/3, and Knot for DoQ.

As in ``servers``, each is there inside the ``with`` block, on loopback, and asks nobody off this machine.
"""

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.programs import MissingProgram, Process, answers_udp, find, free_ports, running
from tests.lab.servers import UPSTREAM_NAME, Certificates, Upstream, config_table
from tests.lab.tree import DEBIAN_13, debian_tree, inside

KNOT_NEEDED = (3, 4)
"""The first version that speaks DoQ."""


@dataclass(frozen=True, slots=True)
class Caddy:
    """A running Caddy: the same resource over HTTP/2 and, on the UDP port of the same number, HTTP/3."""

    process: Process
    port: int
    ca_file: Path
    config: Path
    access_log: Path

    def config_table(self, scheme: str) -> str:
        """Give the ``[[upstream]]`` table of secdns's configuration for ``https`` or ``h3``."""
        return config_table(scheme, self.port, "/dns-query", self.ca_file)

    def reload(self) -> None:
        """Have it drop its configuration and start with it anew, as ``systemctl reload`` does."""
        address = f"unix/{self.config.parent / 'admin'}"
        argv = [find("caddy"), "reload", "--force", "--config", str(self.config), "--address", address]
        subprocess.run(argv, env=_home(self.config.parent), capture_output=True, timeout=20, check=True)

    def requests(self) -> Counter[str]:
        """Count the requests that it has logged so far, by protocol: ``HTTP/2.0``, ``HTTP/3.0``."""
        text = self.access_log.read_text() if self.access_log.exists() else ""
        whole, _, _ = text.rpartition("\n")  # it may be at the next line
        return Counter(json.loads(line)["request"]["proto"] for line in whole.splitlines())


@contextmanager
def caddy(
    directory: Path,
    certificates: Certificates,
    backend: Upstream,
    *,
    port: int | None = None,
    http3: bool = True,
    logs: bool = True,
) -> Iterator[Caddy]:
    """Run Caddy in front of the DoH of ``backend``; it asks it over HTTP/2.

    It has its certificate from a file and asks nobody for one, is told what to do over a socket in
    ``directory``, and keeps nothing outside of it. With ``http3`` it offers that, with Alt-Svc by itself.
    ``logs``: write a line for each request.
    """
    program = find("caddy")
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_ports(1)[0]
    config = directory / "caddy.json"
    access_log = directory / "access.log"
    tls = {"root_ca_pem_files": [str(certificates.ca_file)], "server_name": UPSTREAM_NAME}
    to_backend = {
        "handler": "reverse_proxy",
        "transport": {"protocol": "http", "versions": ["2"], "tls": tls},
        "upstreams": [{"dial": f"127.0.0.1:{backend.doh_port}"}],
    }
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "protocols": ["h1", "h2", "h3"] if http3 else ["h1", "h2"],
        "automatic_https": {"disable": True},
        "tls_connection_policies": [{}],
        "routes": [{"handle": [to_backend]}],
    }
    logging: dict[str, object] = {"default": {"level": "INFO", "exclude": ["http.log.access"]}}
    if logs:
        server["logs"] = {}
        writer = {"output": "file", "filename": str(access_log), "roll": False}
        logging["access"] = {"include": ["http.log.access"], "writer": writer, "encoder": {"format": "json"}}
    pair = {"certificate": str(certificates.chain), "key": str(certificates.key)}
    config.write_text(
        json.dumps(
            {
                "admin": {"listen": f"unix/{directory / 'admin'}", "config": {"persist": False}},
                "logging": {"logs": logging},
                "storage": {"module": "file_system", "root": str(directory / "storage")},
                "apps": {
                    "http": {"servers": {"doh": server}, "grace_period": "2s"},
                    "tls": {"certificates": {"load_files": [pair]}, "disable_ocsp_stapling": True},
                },
            }
        )
    )
    log = directory / "caddy.log"
    begin = log.stat().st_size if log.exists() else 0

    def ready() -> bool:
        time.sleep(0.01)
        return b"serving initial configuration" in log.read_bytes()[begin:]

    with running([program, "run", "--config", str(config)], log, ready, env=_home(directory)) as process:
        yield Caddy(process, port, certificates.ca_file, config, access_log)


def _home(directory: Path) -> dict[str, str]:
    """Give an environment in which Caddy keeps everything in one folder."""
    return {"HOME": str(directory), "XDG_CONFIG_HOME": str(directory), "XDG_DATA_HOME": str(directory)}


def knot_with_quic() -> Sequence[str]:
    """Give the command that runs a Knot which speaks QUIC: this machine's, or that of a tree.

    Raises:
        MissingProgram: a program to make the tree with is missing.
        NoTree: this machine's is too old, or not there, and the tree cannot be made.
    """
    try:
        own = [find("knotd")]
    except MissingProgram:
        own = []
    if own:
        shown = subprocess.run([*own, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"(\d+)\.(\d+)", shown)
        if version and (int(version[1]), int(version[2])) >= KNOT_NEEDED:
            return own
    return [*inside(debian_tree(*DEBIAN_13)), "knotd"]


@contextmanager
def knot_quic(
    directory: Path,
    certificates: Certificates,
    zone: str,
    records: str,
    *,
    ready: Callable[[int], Callable[[], bool]] | None = None,
) -> Iterator[Upstream]:
    """Run Knot with one zone, in plain, over TLS and over QUIC; its SOA and NS are added to ``records``.

    Raises:
        MissingProgram, NoTree: as ``knot_with_quic``.
    """
    argv = knot_with_quic()
    directory.mkdir(parents=True, exist_ok=True)
    port, tls_port, quic_port = free_ports(3)
    apex = "$TTL 300\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n"
    (directory / "zone").write_text(f"$ORIGIN {zone}.\n{apex}{records}")
    config = directory / "knot.conf"
    config.write_text(
        f"""\
server:
    rundir: "{directory}"
    listen: 127.0.0.1@{port}
    listen-tls: 127.0.0.1@{tls_port}
    listen-quic: 127.0.0.1@{quic_port}
    key-file: "{certificates.key}"
    cert-file: "{certificates.chain}"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{directory}"
log:
  - target: stderr
    any: warning
zone:
  - domain: "{zone}"
    storage: "{directory}"
    file: zone
"""
    )
    check = (ready or (lambda port: answers_udp(port, zone)))(port)
    with running([*argv, "-c", str(config)], directory / "knot.log", check) as process:
        yield Upstream(process, port, tls_port, 0, certificates.ca_file, config, quic_port)
