"""Fixtures: the real servers, once for the session, and secdns as a daemon, as often as a test wants."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import resolvers, servers
from tests.lab.daemon import Daemon, complete
from tests.lab.netns import Namespace, namespace
from tests.lab.quic_servers import Caddy, caddy
from tests.lab.servers import Authority, Certificates, Upstream

IMPLEMENTATIONS = ("unbound", "dnsdist", "kresd", "bind")
TLS_UPSTREAMS = tuple(f"{scheme}-{name}" for name in IMPLEMENTATIONS for scheme in ("tls", "https"))
UPSTREAMS = (*TLS_UPSTREAMS, "h3-caddy")
"""Every encrypted upstream of the lab: scheme and implementation."""


@pytest.fixture(scope="session")
def lab_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def certificates(lab_directory: Path) -> Certificates:
    return servers.make_certificates(lab_directory / "certificates")


@pytest.fixture(scope="session")
def authority(lab_directory: Path) -> Iterator[Authority]:
    """NSD, serving every zone of ``tests/lab/zones.py``."""
    with servers.nsd(lab_directory / "nsd") as started:
        yield started


@pytest.fixture(scope="session")
def lab_unbound(lab_directory: Path, certificates: Certificates, authority: Authority) -> Iterator[Upstream]:
    """Unbound, recursive, with DoT and DoH."""
    with servers.unbound(lab_directory / "unbound", certificates, authority.port) as started:
        yield started


@pytest.fixture(scope="session")
def lab_dnsdist(lab_directory: Path, certificates: Certificates, lab_unbound: Upstream) -> Iterator[Upstream]:
    """dnsdist, with DoT and DoH, in front of Unbound."""
    with servers.dnsdist(lab_directory / "dnsdist", certificates, backend_port=lab_unbound.port) as started:
        yield started


@pytest.fixture(scope="session")
def lab_kresd(lab_directory: Path, certificates: Certificates, authority: Authority) -> Iterator[Upstream]:
    """Knot Resolver, with DoT and DoH, in front of the authority."""
    with resolvers.knot_resolver(lab_directory / "kresd", certificates, authority.port) as started:
        yield started


@pytest.fixture(scope="session")
def lab_bind(lab_directory: Path, certificates: Certificates, authority: Authority) -> Iterator[Upstream]:
    """BIND, with DoT and DoH, in front of the authority."""
    with resolvers.bind(lab_directory / "bind", certificates, authority.port) as started:
        yield started


@pytest.fixture(scope="session")
def lab_caddy(lab_directory: Path, certificates: Certificates, lab_unbound: Upstream) -> Iterator[Caddy]:
    """Caddy, with DoH over HTTP/2 and HTTP/3, in front of Unbound."""
    with caddy(lab_directory / "caddy", certificates, lab_unbound) as started:
        yield started


@pytest.fixture
def upstream_table(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Give the ``[[upstream]]`` table of one of ``UPSTREAMS``."""

    def table(which: str) -> str:
        scheme, _, implementation = which.partition("-")
        upstream: Upstream | Caddy = request.getfixturevalue(f"lab_{implementation}")
        return upstream.config_table(scheme)

    return table


StartDaemon = Callable[..., Daemon]


@pytest.fixture
def secdns_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Start secdns with this configuration text; it listens on ``.port`` when the call returns.

    At the end each daemon that still runs must end in time with 0 and without a traceback.
    """
    started: list[Daemon] = []

    def start(config_text: str, *, inside: Namespace | None = None, limits: str | None = None) -> Daemon:
        config = tmp_path / f"secdns-{len(started)}.toml"
        config.write_text(complete(config_text))
        prefix = list(inside.prefix) if inside else []
        if limits:
            prefix = [*prefix, "prlimit", limits]
        daemon = Daemon(config, prefix)
        started.append(daemon)
        daemon.wait_ready()
        return daemon

    yield start
    try:
        for daemon in started:
            if not daemon.stopped:
                daemon.stop()
    finally:
        for daemon in started:
            daemon.kill()


@pytest.fixture(scope="session")
def shared_daemons(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Daemon]]:
    """Give the daemon that forwards to one of ``UPSTREAMS``; one each for the whole session."""
    started: dict[str, Daemon] = {}

    def get(which: str) -> Daemon:
        if which not in started:
            scheme, _, implementation = which.partition("-")
            upstream: Upstream | Caddy = request.getfixturevalue(f"lab_{implementation}")
            config = tmp_path_factory.mktemp(which) / "secdns.toml"
            config.write_text(complete(upstream.config_table(scheme)))
            daemon = Daemon(config)
            try:
                daemon.wait_ready()
            except AssertionError:
                daemon.kill()
                raise
            started[which] = daemon
        return started[which]

    yield get
    try:
        for daemon in started.values():
            daemon.stop()
    finally:
        for daemon in started.values():
            daemon.kill()


@pytest.fixture
def lab_namespace() -> Iterator[Namespace]:
    """A network namespace whose resolv.conf names 127.0.0.1 and nothing else."""
    with namespace() as made:
        yield made
