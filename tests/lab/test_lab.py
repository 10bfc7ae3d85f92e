"""The lab itself: servers and clients of others get right answers from each other, without secdns.

What fails here is the lab's fault; what passes here and fails in ``test_interop.py`` is ours.
"""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.clients import CLIENTS, answer_octets, over_tcp, run_client
from tests.lab.conftest import IMPLEMENTATIONS
from tests.lab.netns import ETC, PREFIX, RUN, Namespace, namespace
from tests.lab.programs import find
from tests.lab.servers import UPSTREAM_NAME, Authority, Upstream
from tests.lab.zones import ITEMS, Item

pytestmark = pytest.mark.real


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_unbound_gives_what_the_zones_say(item: Item, lab_unbound: Upstream, authority: Authority) -> None:
    for client in CLIENTS:
        options = [over_tcp(client)] if item.large else []
        reply = run_client(client, lab_unbound.port, item.name, item.rrtype, *options)
        assert reply.rcode == item.rcode, client
        if item.rdata is not None:
            assert reply.rdata == tuple(sorted(item.rdata)), client
    if item.rdata is None:
        want = answer_octets(authority.port, item.name, item.rrtype)
        assert answer_octets(lab_unbound.port, item.name, item.rrtype) == want
        assert want[1]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("scheme", ["tls", "https"])
def test_upstream_answers_kdig_over_tls_and_https(
    scheme: str, implementation: str, request: pytest.FixtureRequest
) -> None:
    upstream: Upstream = request.getfixturevalue(f"lab_{implementation}")
    trust = [f"+tls-ca={upstream.ca_file}", f"+tls-hostname={UPSTREAM_NAME}"]
    if scheme == "tls":
        port, options = upstream.dot_port, [*trust]
    else:
        port, options = upstream.doh_port, [f"+https={UPSTREAM_NAME}/dns-query", *trust]
    reply = run_client("kdig", port, "chain1.example.test", "A", *options)
    assert reply.rcode == "NOERROR"
    assert "192.0.2.1" in reply.rdata


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_questions_about_other_names_stay_on_this_machine(
    implementation: str, request: pytest.FixtureRequest
) -> None:
    upstream: Upstream = request.getfixturevalue(f"lab_{implementation}")
    assert run_client("dig", upstream.port, "www.elsewhere.invalid.", "A").rcode == "NXDOMAIN"
    assert run_client("dig", upstream.port, "www.example.com.", "A").rcode == "NXDOMAIN"


STARTER = """
import sys
from pathlib import Path
from tests.lab.daemon import Daemon
daemon = Daemon(Path(sys.argv[1]))
daemon.wait_ready()
print(daemon.pid, flush=True)
sys.stdin.read()
"""


def test_daemon_ends_with_the_run_that_started_it_however_that_ends(tmp_path: Path) -> None:
    config = tmp_path / "secdns.toml"
    config.write_text('[server]\nlisten = ["127.0.0.1:0"]\n')
    argv = [sys.executable, "-c", STARTER, str(config)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as starter:
        assert starter.stdout is not None
        process = os.pidfd_open(int(starter.stdout.readline()))
        starter.kill()
    assert select.select([process], [], [], 20.0)[0] == [process]
    os.close(process)


def test_namespace_that_a_killed_run_left_is_cleared_away(lab_namespace: Namespace) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    left = f"{PREFIX}{ended.pid}-far"
    subprocess.run([find("ip"), "netns", "add", left], check=True)
    (ETC / left).mkdir()
    with namespace(suffix="-next"):
        assert (RUN / lab_namespace.name).exists()
        assert not (RUN / left).exists()
        assert not (ETC / left).exists()
