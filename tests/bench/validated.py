"""Names that have to be validated: a zone two cuts below the root, signed with P-256 or with RSA-2048.

Real signers and servers: BIND's signer makes the zones, Knot serves them, the upstream is an Unbound that
validates nothing. secdns and a validating Unbound forward to it over DoT with the same anchor. Every name
is asked once; the upstream has all of them in its cache before, the candidate has the keys of the zone.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.name

from tests.bench.candidates import SECDNS, UNBOUND, Candidate, secdns, unbound
from tests.bench.measure import Sample, Scale, Unusable, checked, names_file, per_query_us, started
from tests.lab import servers
from tests.lab.dnssec.signers import Signing, sign
from tests.lab.dnssec.tree import ds_text, entry_points
from tests.lab.load import dnsperf
from tests.lab.programs import NotReady, answers_udp, ask_udp, simple_query
from tests.lab.servers import Certificates, Upstream

ALGORITHMS = {"validated-p256": 13, "validated-rsa2048": 8}
"""Section -> DNSSEC algorithm."""

ZONE = "cold.test"
WARM_UP = 100  # names asked first: then keys, connection and code are warm


@contextmanager
def signed_upstream(
    directory: Path, certificates: Certificates, algorithm: int, names: int
) -> Iterator[tuple[Upstream, str]]:
    """Have an upstream with so many names below ``ZONE``; give it and the trust anchor."""
    now = int(time.time())
    hosts = "".join(f"n{i} A 192.0.2.{i % 250 + 1}\n" for i in range(names))
    below = ""
    files: dict[str, Path] = {}
    ds = ""
    directory.mkdir(parents=True)
    for zone, content in ((ZONE, hosts), ("test", ""), (".", "")):
        apex = "" if zone == "." else f".{zone}"
        soa = f"@ SOA ns{apex}. hostmaster{apex}. 1 7200 3600 1209600 300\n@ NS ns{apex}.\n"
        text = f"$TTL 3600\n{soa}ns{apex}. A 127.0.0.1\n{content}{below}"
        label = zone.strip(".") or "root"
        signed = sign(directory / f"signing-{label}", zone, text, Signing("bind", algorithm), now)
        files[zone] = directory / f"{label}.zone"
        signed.to_file(str(files[zone]), relativize=False)
        (key,) = entry_points(signed)
        ds = ds_text(dns.name.from_text(zone), key, 2)
        below = f"{zone}. NS ns.{zone}.\nns.{zone}. A 127.0.0.1\n{zone}. DS {ds}\n"
    with (
        servers.knot(directory / "knot", files, _ready) as authority,
        servers.unbound(
            directory / "unbound", certificates, authority.port, stubs=[*files], ready=_ready
        ) as upstream,
    ):
        yield upstream, f". IN DS {ds}"


def _ready(port: int) -> Callable[[], bool]:
    return answers_udp(port, ZONE)


def candidates(anchor: str) -> tuple[Candidate, ...]:
    """Give the programs that validate, with this trust anchor."""
    clause = f'  trust-anchor: "{anchor}"\n  local-zone: "test." nodefault\n'
    validating = unbound(clause, modules="validator iterator")
    return (
        Candidate(SECDNS, sys.executable, secdns(f"trust_anchors = ['{anchor}']"), ("tls",)),
        Candidate(UNBOUND, "unbound", validating, ("tls",), version_argv=("-V",)),
    )


def validated(candidate: Candidate, directory: Path, upstream: Upstream, scale: Scale) -> Sample:
    """Measure names that are new to the candidate, 100 outstanding; it has to set AD for them."""
    names = [f"n{i}.{ZONE}" for i in range(scale.validated + WARM_UP)]
    with started(candidate, directory, upstream, "tls", probe=names[0]) as (process, port):
        _assert_validates(port, names[0])
        checked(dnsperf(port, names_file(directory, names[:WARM_UP]), passes=1, outstanding=20), "warming up")
        file = names_file(directory, names[WARM_UP:])
        cpu_us, result = per_query_us(
            process.pid, lambda: dnsperf(port, file, passes=1, outstanding=100), "validated names"
        )
    return {"cpu_us": cpu_us, "queries_per_s": result.rate}


def _assert_validates(port: int, name: str) -> None:
    wire = bytearray(simple_query(name))
    wire[3] |= 0x20  # AD: tell me (RFC 6840 §5.7)
    response = ask_udp(port, bytes(wire), timeout_s=5)
    if response is None or not response[3] & 0x20:
        raise Unusable("validated: the answer does not come with AD")


def measure_section(
    section: str,
    rounds: int,
    scale: Scale,
    directory: Path,
    say: Callable[[str], None],
) -> tuple[dict[str, list[Sample]], list[str]]:
    """Measure every candidate ``rounds`` times; give the samples, and what went wrong."""
    samples: dict[str, list[Sample]] = {}
    remarks: list[str] = []
    certificates = servers.make_certificates(directory / "certificates")
    names = scale.validated + WARM_UP
    with signed_upstream(directory / "upstream", certificates, ALGORITHMS[section], names) as (
        upstream,
        anchor,
    ):
        everything = names_file(directory, [f"n{i}.{ZONE}" for i in range(names)])
        dnsperf(upstream.port, everything, passes=1, outstanding=50)
        for number in range(rounds):
            here = candidates(anchor)
            for candidate in here if number % 2 == 0 else reversed(here):
                say(f"round {number + 1}/{rounds}: {section}: {candidate.name}")
                place = directory / f"{candidate.name}-{number}"
                try:
                    sample = validated(candidate, place, upstream, scale)
                except (Unusable, NotReady, OSError) as problem:
                    remarks.append(f"{section}, {candidate.name}, round {number + 1}: {problem}")
                    say(f"  {problem}")
                else:
                    samples.setdefault(candidate.name, []).append(sample)
    return samples, remarks
