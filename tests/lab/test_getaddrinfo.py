"""glibc's own getaddrinfo, on a machine whose only resolver is secdns on 127.0.0.1, port 53."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import servers
from tests.lab.conftest import StartDaemon
from tests.lab.daemon import Daemon
from tests.lab.netns import Namespace
from tests.lab.programs import find
from tests.lab.servers import Certificates

pytestmark = pytest.mark.real

ASK = """
import socket, sys
try:
    found = socket.getaddrinfo(sys.argv[1], None, type=socket.SOCK_STREAM)
except socket.gaierror as error:
    print("gaierror", error.errno == socket.EAI_NONAME)
else:
    print(*sorted({entry[4][0] for entry in found}))
"""


def ready_inside(namespace: Namespace) -> Callable[[int], Callable[[], bool]]:
    """Make readiness checks that ask inside the namespace, where our own sockets do not reach."""

    def make(port: int) -> Callable[[], bool]:
        argv = [find("dig"), "@127.0.0.1", "-p", str(port), "+time=1", "+tries=1", "example.test", "SOA"]

        def ready() -> bool:
            return "status: NOERROR" in namespace.run(*argv).stdout

        return ready

    return make


@pytest.mark.parametrize("scheme", ["tls", "https"])
def test_getaddrinfo_is_answered_by_secdns_on_port_53(
    scheme: str,
    tmp_path: Path,
    certificates: Certificates,
    lab_namespace: Namespace,
    secdns_daemon: StartDaemon,
) -> None:
    ready = ready_inside(lab_namespace)
    prefix = lab_namespace.prefix

    def lookup(name: str) -> str:
        return lab_namespace.run(sys.executable, "-I", "-c", ASK, name).stdout.strip()

    with (
        servers.nsd(tmp_path / "nsd", ready=ready, prefix=prefix) as authority,
        servers.unbound(
            tmp_path / "unbound", certificates, authority.port, ready=ready, prefix=prefix
        ) as upstream,
    ):
        config = '[server]\nlisten = ["127.0.0.1:53"]\n' + upstream.config_table(scheme)
        daemon: Daemon = secdns_daemon(config, inside=lab_namespace)
        assert daemon.port == 53
        assert lookup("www.example.test") == "192.0.2.1 2001:db8::1"
        assert lookup("alias.example.test") == "192.0.2.1 2001:db8::1"
        assert lookup("far.example.test") == "10.1.2.3"
        assert len(lookup("many.example.test").split()) == 128
        assert lookup("gone.example.test") == "gaierror True"
        getent = lab_namespace.run("getent", "--no-addrconfig", "ahostsv4", "chain1.example.test")
        assert getent.stdout.split()[0] == "192.0.2.1"
        daemon.stop()
        assert lookup("www.example.test").startswith("gaierror"), "somebody else answered"


def test_port_53_taken_is_told_with_its_holder(
    lab_namespace: Namespace, tmp_path: Path, certificates: Certificates
) -> None:
    ready = ready_inside(lab_namespace)
    with servers.nsd(tmp_path / "nsd", ready=ready, prefix=lab_namespace.prefix) as authority:
        config = tmp_path / "secdns.toml"
        config.write_text(
            f'[server]\nlisten = ["127.0.0.1:{authority.port}"]\n[[upstream]]\nname = "quad9"\n'
        )
        done = subprocess.run(
            [*lab_namespace.prefix, sys.executable, "-m", "secdns", "run", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode != 0
        assert f"secdns: error: cannot listen on 127.0.0.1:{authority.port}" in done.stderr
        assert "nsd" in done.stderr
        assert "secdns: hint:" in done.stderr
        assert "Traceback" not in done.stderr


def test_resolv_conf_that_leads_to_secdns_never_makes_it_ask_itself_F30(
    lab_namespace: Namespace, secdns_daemon: StartDaemon
) -> None:
    """Nor does it look for the encrypted side of itself. No network: the built-in upstreams are away."""
    daemon = secdns_daemon(
        '[server]\nlisten = ["127.0.0.1:53"]\n[log]\nnames = true\n'
        '[[upstream]]\nurl = "tls://upstream.lab.test"\n',
        inside=lab_namespace,
    )
    descriptors, resident_kib = daemon.descriptors(), daemon.resident_kib()
    names = [f"h{number}.example.test." for number in range(5)]
    for name in names:
        asked = lab_namespace.run(find("dig"), "@127.0.0.1", "+time=5", "+tries=1", name, "A").stdout
        assert "status: SERVFAIL" in asked
        words = r"upstream\.lab\.test|no upstream answers|no network that leads to an upstream"
        assert re.search(words, asked), asked
    logged = re.findall(r"^secdns: (\S+) (\S+): \w+ in [\d.]+ ms$", daemon.stderr, re.M)
    assert logged == [(name, "A") for name in names]
    assert daemon.descriptors() <= descriptors + 2
    assert daemon.resident_kib() < resident_kib + 32 * 1024

    found = lab_namespace.run(sys.executable, "-m", "secdns", "upstreams", "discover")
    assert found.returncode == 4
    assert "left out: 127.0.0.1 is this machine itself" in found.stderr
    assert "has no resolver that could be asked" in found.stderr
