"""Validators that are not ours, asked about a FakeUpstream: BIND's delv and Unbound as a forwarder."""

import asyncio
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from secdns.dns import name
from secdns.dns.edns import EDNS, errors_of
from secdns.dns.message import Message, make_query
from secdns.iana import RCode, RRType
from secdns.testing import FakeUpstream, SignedZones
from tests.lab.programs import answers_udp, ask_udp, find
from tests.lab.servers import validating_unbound

SECURE, INSECURE, BOGUS = "secure", "insecure", "bogus"


@contextmanager
def serving(zones: SignedZones) -> Iterator[FakeUpstream]:
    """Have an upstream answer from a thread of its own, so that a test may wait for a program."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    up = FakeUpstream(zones)
    try:
        asyncio.run_coroutine_threadsafe(up.start(), loop).result(10)
        yield up
    finally:
        asyncio.run_coroutine_threadsafe(up.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass(frozen=True, slots=True)
class Said:
    """What a validator makes of a question: a status, an RCODE and, of a refusal, the reason in words."""

    status: str
    rcode: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Delv:
    """BIND's validator as a command. It has no memory, so each question stands alone."""

    port: int
    anchors: Path

    def ask(self, qname: str, rrtype: int) -> Said:
        done = subprocess.run(
            [
                *(find("delv"), "-a", str(self.anchors), "+root=.", "@127.0.0.1", "-p", str(self.port)),
                *("-q", qname, "-t", f"TYPE{rrtype}"),
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        said = done.stdout + done.stderr
        results = re.findall(
            r"^; (?:negative response, )?(fully validated|unsigned answer)", said, re.MULTILINE
        )
        failure = re.search(r"resolution failed: (.*)", said)
        why = " ".join(said.split("\n")[:6])
        if failure and not failure[1].startswith("ncache"):
            return Said(BOGUS, RCode.SERVFAIL, why)
        status = SECURE if results and set(results) == {"fully validated"} else INSECURE
        return Said(status, RCode.NXDOMAIN if "ncache nxdomain" in said else RCode.NOERROR, why)


@dataclass(frozen=True, slots=True)
class Unbound:
    """Unbound as a validating forwarder. It has a cache: one name, one question."""

    port: int
    log: Path

    def ask(self, qname: str, rrtype: int) -> Said:
        query = make_query(name.from_text(qname), rrtype, id=1, edns=EDNS(4096, do=True))
        wire = ask_udp(self.port, query, 20)
        assert wire is not None
        reply = Message.parse(wire)
        why = "; ".join(f"EDE {code} {text}" for code, text in errors_of(reply.edns))
        if reply.rcode == RCode.SERVFAIL:
            return Said(BOGUS, reply.rcode, why)
        return Said(SECURE if reply.ad else INSECURE, reply.rcode, why)


@contextmanager
def delv(up: FakeUpstream, zones: SignedZones, directory: Path) -> Iterator[Delv]:
    """Give a delv that trusts the root of ``zones``."""
    anchors = directory / "anchors.conf"
    lines = []
    for anchor in zones.trust_anchors():
        owner, _, _, tag, algorithm, digest_type, digest = anchor.split()
        lines.append(f'"{owner}" static-ds {tag} {algorithm} {digest_type} "{digest}";')
    anchors.write_text("trust-anchors {\n" + "\n".join(lines) + "\n};\n")
    yield Delv(up.port("udp"), anchors)


@contextmanager
def unbound(up: FakeUpstream, zones: SignedZones, directory: Path) -> Iterator[Unbound]:
    """Have an Unbound running that trusts the root of ``zones`` and forwards everything to ``up``."""
    extra = """\
  local-zone: "2.0.192.in-addr.arpa." nodefault
  harden-below-nxdomain: no
  root-key-sentinel: no
"""

    def ready(port: int) -> Callable[[], bool]:
        return answers_udp(port, ".", RRType.SOA)

    with validating_unbound(
        directory, up.port("udp"), zones.trust_anchors(), extra=extra, ready=ready
    ) as port:
        yield Unbound(port, directory / "unbound.log")
