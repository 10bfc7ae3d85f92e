"""The signed tree, who serves and resolves it, and secdns in front; each once for the session."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import servers
from tests.lab.daemon import Daemon, complete
from tests.lab.dnssec import peers
from tests.lab.dnssec.tree import Tree, build
from tests.lab.programs import answers_udp
from tests.lab.servers import Authority, Certificates, Upstream

LAME = "lame.test"
"""A zone whose master file is missing: its server answers SERVFAIL."""

SCHEMES = ("tls", "https")


@dataclass(frozen=True, slots=True)
class Lab:
    """``secdns`` has a daemon for each of ``SCHEMES``, the first trusts a DS, the second a DNSKEY."""

    tree: Tree
    authority: Authority
    upstream: Upstream
    unbound_port: int
    anchor_file: Path
    secdns: dict[str, Daemon]


@pytest.fixture(scope="session")
def signed_tree(lab_directory: Path) -> Tree:
    """Every zone, signed with fresh keys."""
    return build(lab_directory / "dnssec", int(time.time()))


def answers_for_test(port: int) -> servers.Check:
    """Make the readiness check for a server of the signed tree, which has no ``example.test``."""
    return answers_udp(port, "test")


@pytest.fixture(scope="session")
def lab(lab_directory: Path, certificates: Certificates, signed_tree: Tree) -> Iterator[Lab]:
    """Knot serves the tree, Unbound resolves it, and three validators stand in front of that."""
    directory = lab_directory / "dnssec"
    files = {**signed_tree.files, LAME: directory / "not-there.zone"}
    with ExitStack() as stack:
        authority = stack.enter_context(servers.knot(directory / "knot", files, answers_for_test))
        upstream = stack.enter_context(
            servers.unbound(
                directory / "upstream",
                certificates,
                authority.port,
                stubs=list(files),
                ready=answers_for_test,
            )
        )
        unbound_port = stack.enter_context(
            servers.validating_unbound(
                directory / "unbound",
                upstream.port,
                [signed_tree.anchor_ds],
                extra="  minimal-responses: yes\n",
                ready=answers_for_test,
            )
        )
        anchor_file = directory / "anchor.conf"
        peers.write_anchor_file(anchor_file, signed_tree.anchor_key)
        daemons: dict[str, Daemon] = {}
        for scheme, anchor in zip(SCHEMES, (signed_tree.anchor_ds, signed_tree.anchor_key), strict=True):
            config = directory / scheme / "secdns.toml"
            config.parent.mkdir()
            table = upstream.config_table(scheme)
            config.write_text(complete(f'{table}[dnssec]\ntrust_anchors = ["{anchor}"]\n'))
            daemons[scheme] = Daemon(config)
            stack.callback(daemons[scheme].kill)
            daemons[scheme].wait_ready()
        yield Lab(signed_tree, authority, upstream, unbound_port, anchor_file, daemons)
        for daemon in daemons.values():
            daemon.stop()
