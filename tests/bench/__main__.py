"""Measure secdns and its peers side by side, on loopback, in one run.

    .venv/bin/python -m tests.bench [--rounds 3] [--json FILE] [--only SECTION …] [--quick]

Needs the Debian packages that ``tests/run`` installs; who is not found is left out and named. As root it runs
in a network namespace of its own, so that nobody can reach outside, whatever he is configured to do.
Every candidate forwards to the same upstream: a dnsdist that makes up an answer for every name, over DoT,
DoH and plain DNS; for DoH/3 a Caddy in front of it, for DoQ a Knot with a wildcard. Each measurement starts
its candidate afresh; rounds go through the candidates forwards and backwards by turns, and the table gives
medians. It takes about six minutes a round. Let nothing else run meanwhile: the one who asks, the upstream
and the candidate already share the machine's cores.

Compare within a table only: the numbers depend on the machine, the ratios much less.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import measure, report, validated
from tests.bench.candidates import CANDIDATES, IN_TREE, SECDNS, Candidate
from tests.bench.measure import QUICK, Sample, Scale, Unusable
from tests.bench.upstreams import leave_the_network, upstreams, why_missing
from tests.lab.programs import MissingProgram, NotReady, find
from tests.lab.servers import Upstream

Measure = Callable[[Candidate, Path, Upstream, str, Scale], Sample]

BUSY = 0.5
"""A load average above this at the start gets a warning."""


SchemeOf = Callable[[Candidate], str | None]


def _over(scheme: str) -> SchemeOf:
    return lambda candidate: scheme if scheme in candidate.schemes else None


def _cached(candidate: Candidate) -> str | None:
    return candidate.schemes[0] if candidate.caches else None


def _memory(candidate: Candidate) -> str | None:
    if not candidate.caches:
        return None
    return "https" if candidate.name == SECDNS else candidate.schemes[0]  # the budget is for DoH/2


def _startup(candidate: Candidate) -> str | None:
    return candidate.schemes[0] if candidate.name != "unbound-long" else None


SCHEMES = ("tls", "https", "h3", "quic")

SECTIONS: dict[str, tuple[Measure, SchemeOf]] = {
    "cached": (measure.cached, _cached),
    **{f"miss-{scheme}": (measure.missed, _over(scheme)) for scheme in SCHEMES},
    **{f"latency-{scheme}": (measure.latency, _over(scheme)) for scheme in SCHEMES},
    "memory": (measure.memory, _memory),
    "startup": (measure.startup, _startup),
}
"""Section -> how it is measured, and over which scheme a candidate takes part (None: it does not)."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure_all(
    candidates: Sequence[Candidate], sections: Sequence[str], rounds: int, scale: Scale, directory: Path
) -> tuple[dict[str, dict[str, list[Sample]]], list[str]]:
    """Run every section for every candidate, ``rounds`` times; give the samples, and what went wrong."""
    samples: dict[str, dict[str, list[Sample]]] = {section: {} for section in sections}
    remarks: list[str] = []
    schemes = {section.partition("-")[2] for section in sections}
    with upstreams(directory / "upstreams", [*schemes]) as by_scheme:
        for number in range(rounds):
            for section in sections:
                how, scheme_of = SECTIONS[section]
                for candidate in candidates if number % 2 == 0 else reversed(candidates):
                    scheme = scheme_of(candidate)
                    if scheme is None:
                        continue
                    place = directory / f"{section}-{candidate.name}-{number}"
                    load = measure.load_average()
                    say(f"round {number + 1}/{rounds}: {section}: {candidate.name} (load {load:.2f})")
                    try:
                        sample = how(candidate, place, by_scheme[scheme], scheme, scale)
                    except (Unusable, NotReady, OSError) as problem:
                        remarks.append(f"{section}, {candidate.name}, round {number + 1}: {problem}")
                        say(f"  {problem}")
                        continue
                    samples[section].setdefault(candidate.name, []).append(sample)
    return samples, remarks


def medians(samples: dict[str, dict[str, list[Sample]]], order: Sequence[Candidate]) -> report.Results:
    return {
        section: {
            candidate.name: {
                metric: statistics.median(sample[metric] for sample in found[candidate.name])
                for metric in found[candidate.name][0]
            }
            for candidate in order
            if candidate.name in found
        }
        for section, found in samples.items()
        if found
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write samples, medians and budgets there")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(all_sections := [*SECTIONS, *validated.ALGORITHMS]),
        metavar="SECTION",
        help="/".join(all_sections),
    )
    parser.add_argument("--candidates", nargs="+", metavar="NAME", help="leave the others out")
    parser.add_argument(
        "--quick", action="store_true", help="small amounts: to see that it works, not to believe"
    )
    options = parser.parse_args(argv)

    remarks: list[str] = []
    try:
        for program in ("dnsdist", "dnsperf"):
            find(program)
    except MissingProgram as missing:
        say(f"tests.bench: error: {missing}\ntests.bench: hint: tests/run installs it, as root")
        return 69
    sections = options.only or all_sections
    present = []
    for candidate in CANDIDATES:
        if options.candidates and candidate.name not in options.candidates:
            continue
        if reason := candidate.why_missing():
            remarks.append(f"{candidate.name}: {reason}")
        else:
            present.append(candidate)
    for scheme in SCHEMES:
        concerned = [section for section in sections if section.endswith(f"-{scheme}")]
        if concerned and (reason := why_missing(scheme)):
            remarks.append(f"{', '.join(concerned)}: {reason}")
            sections = [section for section in sections if section not in concerned]
    if not leave_the_network():  # only now: a tree is fetched from the network
        remarks.append(f"not in a network namespace, so without {', '.join(IN_TREE)}: that needs root")
        present = [candidate for candidate in present if candidate.program not in IN_TREE]
    if (load := measure.load_average()) > BUSY:
        remarks.append(f"the load average was {load:.2f} at the start: something else was running")
    remarks += [f"{candidate.name}: {candidate.note}" for candidate in present if candidate.note]

    versions = {candidate.name: candidate.version() for candidate in present}
    begun = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="secdns-bench-") as directory:
        scale = QUICK if options.quick else Scale()
        plain = [section for section in sections if section in SECTIONS]
        samples, problems = measure_all(present, plain, options.rounds, scale, Path(directory))
        remarks += problems
        for section in sections:
            if section in validated.ALGORITHMS:
                samples[section], problems = validated.measure_section(
                    section, options.rounds, scale, Path(directory) / section, say
                )
                remarks += problems
    results = medians(samples, present)
    where = report.machine()
    print(
        f"{begun:%Y-%m-%d}, {where.cores} × {where.cpu}, {where.system}, Linux {where.kernel}, "
        f"Python {where.python}; medians of {options.rounds}\n"
    )
    print(report.text(results, versions, remarks))
    if options.json:
        document = {
            "date": begun.isoformat(timespec="seconds"),
            "machine": asdict(where),
            "versions": versions,
            "rounds": options.rounds,
            "quick": options.quick,
            "load_average_at_start": load,
            "load_average_at_end": os.getloadavg()[0],
            "medians": results,
            "budgets": report.as_json(results),
            "samples": samples,
            "remarks": remarks,
        }
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
