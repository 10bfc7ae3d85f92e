"""secdns behind other people's proxies, in front of a real upstream."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab import servers
from tests.lab.clients import run_client
from tests.lab.conftest import StartDaemon
from tests.lab.netns import ETC, Namespace
from tests.lab.programs import find, free_ports
from tests.lab.proxies import CREDENTIALS, KINDS, proxy
from tests.lab.servers import UPSTREAM_NAME, Certificates, Upstream, unbound_counter
from tests.lab.test_getaddrinfo import ready_inside

pytestmark = pytest.mark.real

every_way = pytest.mark.parametrize(
    ("kind", "scheme"), [(kind, scheme) for kind in KINDS for scheme in ("tls", "https")]
)
every_kind = pytest.mark.parametrize("kind", KINDS)


def ports(upstream: Upstream) -> tuple[int, int]:
    return upstream.dot_port, upstream.doh_port


def without_addresses(table: str) -> str:
    return "".join(line for line in table.splitlines(keepends=True) if not line.startswith("addresses"))


def secdns(*words: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    argv = [*prefix, sys.executable, "-m", "secdns", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


@every_way
def test_answers_come_through_the_proxy(
    kind: str, scheme: str, tmp_path: Path, lab_unbound: Upstream, secdns_daemon: StartDaemon
) -> None:
    with proxy(kind, tmp_path / "proxy", ports(lab_unbound), credentials=CREDENTIALS) as through:
        table = lab_unbound.config_table(scheme) + f'proxy = "{through.url(CREDENTIALS)}"\n'
        daemon = secdns_daemon(table)
        for name, want in (("www.example.test", "192.0.2.1"), ("p7.wild.example.test", "192.0.2.77")):
            assert run_client("dig", daemon.port, name, "A").rdata == (want,)
        large = run_client("dig", daemon.port, "many.example.test", "A")
        assert len(large.rdata) == 128
        port = lab_unbound.dot_port if scheme == "tls" else lab_unbound.doh_port
        assert set(through.asked()) == {f"127.0.0.1:{port}"}
        assert CREDENTIALS[1] not in daemon.stderr


@every_kind
def test_dead_proxy_costs_servfail_and_nothing_goes_beside_it_until_it_is_back(
    kind: str, tmp_path: Path, lab_unbound: Upstream, secdns_daemon: StartDaemon
) -> None:
    (port,) = free_ports(1)
    table = lab_unbound.config_table("tls") + f'proxy = "{kind}://user:s3cret@127.0.0.1:{port}"\n'
    daemon = secdns_daemon(table)
    before = unbound_counter(lab_unbound)
    refused = run_client("dig", daemon.port, "day.example.test", "A")
    assert refused.rcode == "SERVFAIL"
    assert f"cannot reach the proxy {kind}://***@127.0.0.1:{port}" in daemon.stderr + refused.text
    assert "s3cret" not in daemon.stderr + refused.text
    assert unbound_counter(lab_unbound) == before
    with proxy(kind, tmp_path / "proxy", ports(lab_unbound), port=port) as through:
        for attempt in range(40):  # the back-off after a few failures lasts for seconds
            reply = run_client("dig", daemon.port, f"p{attempt}.wild.example.test", "A")
            if reply.rcode == "NOERROR":
                break
        assert reply.rdata == ("192.0.2.77",)
        assert through.asked()


@every_kind
@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param(None, "wants credentials", id="none"),
        pytest.param(("user", "wr0ng"), "does not accept the user name and password", id="wrong"),
        pytest.param(CREDENTIALS, None, id="right"),
    ],
)
def test_credentials_decide_and_are_never_told(
    kind: str, given: tuple[str, str] | None, want: str | None, tmp_path: Path, lab_unbound: Upstream
) -> None:
    with proxy(kind, tmp_path / "proxy", ports(lab_unbound), credentials=CREDENTIALS) as through:
        config = tmp_path / "secdns.toml"
        config.write_text(lab_unbound.config_table("tls") + f'proxy = "{through.url(given)}"\n')
        config.chmod(0o600)
        name = f"lab-{lab_unbound.dot_port}"
        got = secdns("query", "www.example.test", f"@{name}", "--json", "--config", str(config))
        shown = secdns("config", "show", str(config)).stdout
    if want is None:
        assert json.loads(got.stdout)["answer"][0]["data"] == "192.0.2.1"
    else:
        assert (got.returncode, want in got.stderr) == (4, True), got.stderr
    assert f"{kind}://{'***@' if given else ''}{through.place}" in shown
    for word in ("s3cret", "wr0ng", "user:"):
        assert word not in got.stdout + shown
        assert word not in got.stderr.replace("USER:PASSWORD", "")


def test_port_that_the_proxy_forbids_is_told(tmp_path: Path, lab_unbound: Upstream) -> None:
    with proxy("http", tmp_path / "proxy", [lab_unbound.doh_port]) as through:
        config = tmp_path / "secdns.toml"
        config.write_text(lab_unbound.config_table("tls") + f'proxy = "{through.url()}"\n')
        config.chmod(0o600)
        got = secdns("query", "www.example.test", "--config", str(config))
    assert got.returncode == 4
    assert f"refuses to connect to 127.0.0.1 port {lab_unbound.dot_port}: HTTP status 403" in got.stderr


@every_kind
def test_upstream_that_the_proxy_cannot_reach_is_told(
    kind: str, tmp_path: Path, lab_unbound: Upstream
) -> None:
    (dead,) = free_ports(1)
    with proxy(kind, tmp_path / "proxy", [dead]) as through:
        config = tmp_path / "secdns.toml"
        table = lab_unbound.config_table("tls").replace(f":{lab_unbound.dot_port}", f":{dead}")
        config.write_text(table + f'proxy = "{through.url()}"\n')
        config.chmod(0o600)
        got = secdns("query", "www.example.test", "--config", str(config))
    assert got.returncode == 4
    assert f"the proxy {through.url()} cannot reach 127.0.0.1 port {dead}: " in got.stderr


@every_way
def test_only_the_proxy_finds_the_address_of_the_upstream(
    kind: str,
    scheme: str,
    tmp_path: Path,
    certificates: Certificates,
    lab_namespace: Namespace,
    secdns_daemon: StartDaemon,
) -> None:
    """The namespace has no resolver; the name stands in its hosts file, which secdns must not need."""
    (ETC / lab_namespace.name / "hosts").write_text(f"127.0.0.1 {UPSTREAM_NAME}\n")
    ready = ready_inside(lab_namespace)
    prefix = lab_namespace.prefix
    with (
        servers.nsd(tmp_path / "nsd", ready=ready, prefix=prefix) as authority,
        servers.unbound(
            tmp_path / "unbound", certificates, authority.port, ready=ready, prefix=prefix
        ) as upstream,
        proxy(kind, tmp_path / "proxy", ports(upstream), inside=lab_namespace) as through,
    ):
        table = without_addresses(upstream.config_table(scheme)) + f'proxy = "{through.url()}"\n'
        daemon = secdns_daemon(table, inside=lab_namespace)
        dig = lab_namespace.run(
            find("dig"), "@127.0.0.1", "-p", str(daemon.port), "+short", "www.example.test"
        )
        assert dig.stdout == "192.0.2.1\n"
        port = upstream.dot_port if scheme == "tls" else upstream.doh_port
        assert set(through.asked()) == {f"{UPSTREAM_NAME}:{port}"}
