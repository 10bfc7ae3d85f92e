"""Two more real resolvers for upstreams: Knot Resolver and BIND, each in plain, over DoT and over DoH.

As in ``servers``, each is there inside the ``with`` block, on loopback, and asks ``asked_port`` alone, never
a root server. Neither has a trust anchor, a bus or a channel for commands from afar. Like Unbound there, they
validate nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab.programs import answers_udp, find, free_ports, running
from tests.lab.servers import Certificates, Ready, Upstream

OWN_ERRANDS = ("ta_update", "ta_signal_query", "priming", "detect_time_skew", "detect_time_jump", "watchdog")
"""Modules that Knot Resolver loads unasked: they ask questions of their own, or watch the machine."""


@contextmanager
def knot_resolver(
    directory: Path,
    certificates: Certificates,
    asked_port: int,
    *,
    extra: str = "",
    ready: Ready = answers_udp,
    prefix: Sequence[str] = (),
) -> Iterator[Upstream]:
    """Run Knot Resolver as a forwarder to ``asked_port``. ``extra`` are lines of its configuration.

    With ``policy.STUB`` in the place of ``FORWARD`` it would ask for no signatures, whoever wants them.
    """
    program = find("kresd")
    directory.mkdir(parents=True, exist_ok=True)
    port, dot_port, doh_port = free_ports(3)
    config = directory / "kresd.conf"
    unload = "".join(f"modules.unload('{module}')\n" for module in OWN_ERRANDS)
    config.write_text(
        f"""\
{unload}\
trust_anchors.remove('.')
net.ipv6 = false
net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
net.listen('127.0.0.1', {dot_port}, {{ kind = 'tls' }})
net.listen('127.0.0.1', {doh_port}, {{ kind = 'doh2' }})
net.tls('{certificates.chain}', '{certificates.key}')
cache.open(10 * MB, 'lmdb://{directory}/cache')
policy.add(policy.all(policy.FORWARD('127.0.0.1@{asked_port}')))
{extra}"""
    )
    argv = [program, "-n", "-c", str(config), str(directory)]
    with running(argv, directory / "kresd.log", ready(port), prefix=prefix) as process:
        yield Upstream(process, port, dot_port, doh_port, certificates.ca_file, config)


@contextmanager
def bind(
    directory: Path,
    certificates: Certificates,
    asked_port: int,
    *,
    extra: str = "",
    ready: Ready = answers_udp,
    prefix: Sequence[str] = (),
) -> Iterator[Upstream]:
    """Run BIND as a forwarder to ``asked_port``. ``extra`` are lines for its ``options`` clause."""
    program = find("named")
    directory.mkdir(parents=True, exist_ok=True)
    port, dot_port, doh_port = free_ports(3)
    config = directory / "named.conf"
    config.write_text(
        f"""\
tls lab {{
  cert-file "{certificates.chain}";
  key-file "{certificates.key}";
}};
options {{
  directory "{directory}";
  managed-keys-directory "{directory}";
  pid-file none;
  session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on port {dot_port} tls lab {{ 127.0.0.1; }};
  listen-on port {doh_port} tls lab http default {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  forward only;
  forwarders {{ 127.0.0.1 port {asked_port}; }};
  dnssec-validation no;
  empty-zones-enable no;
  edns-udp-size 1232;
  max-records-per-type 0;
  notify no;
{extra}}};
controls {{ }};
"""
    )
    argv = [program, "-g", "-n", "1", "-c", str(config)]
    with running(argv, directory / "named.log", ready(port), prefix=prefix) as process:
        yield Upstream(process, port, dot_port, doh_port, certificates.ca_file, config)
