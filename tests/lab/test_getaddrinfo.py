"""glibc's own getaddrinfo, on a machine whose only resolver is secdns on 127.0.0.1, port 53."""

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
