"""What the benchmark says: a plain table, JSON, and the design's budgets beside what was measured."""

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.candidates import DNSCRYPT_PROXY, SECDNS, UNBOUND

Results = dict[str, dict[str, dict[str, float]]]
"""Section -> candidate -> metric -> median over the rounds."""

COLUMNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    # section: (metric, heading, format)
    "cached": (
        ("cpu_us", "CPU µs/query", ".2f"),
        ("cpu_us_at_rate", "at fixed rate", ".2f"),
        ("queries_per_s", "queries/s", ",.0f"),
    ),
    "miss-tls": (
        ("cpu_us", "CPU µs/miss", ".1f"),
        ("cpu_us_at_rate", "at fixed rate", ".1f"),
        ("queries_per_s", "misses/s", ",.0f"),
        ("latency_ms_at_rate", "mean ms", ".2f"),
    ),
    "latency-tls": (
        ("p50_direct_ms", "p50 direct", ".3f"),
        ("p50_via_ms", "p50 via", ".3f"),
        ("p50_added_ms", "p50 added", ".3f"),
        ("p99_direct_ms", "p99 direct", ".3f"),
        ("p99_via_ms", "p99 via", ".3f"),
        ("p99_added_ms", "p99 added", ".3f"),
    ),
    "memory": (
        ("idle_mb", "idle MB", ".1f"),
        ("full_mb", "full cache MB", ".1f"),
        ("octets_per_answer", "octets/answer", ",.0f"),
        ("idle_wakeups_per_s", "idle wake-ups/s", ".1f"),
    ),
    "startup": (
        ("ready_ms", "ready ms", ".1f"),
        ("ready_worst_ms", "worst ms", ".1f"),
        ("first_forwarded_ms", "first forwarded ms", ".1f"),
    ),
}
for _section in ("validated-p256", "validated-rsa2048"):
    COLUMNS[_section] = (("cpu_us", "CPU µs/name", ".1f"), ("queries_per_s", "names/s", ",.0f"))
for _scheme in ("https", "h3", "quic"):
    COLUMNS[f"miss-{_scheme}"] = COLUMNS["miss-tls"]
    COLUMNS[f"latency-{_scheme}"] = COLUMNS["latency-tls"]

TITLES = {
    "cached": "Cached answer over UDP: CPU of the server, and the most it can do",
    "miss-tls": "Forwarded miss over DoT: CPU of the forwarder",
    "miss-https": "Forwarded miss over DoH/2: CPU of the forwarder",
    "miss-h3": "Forwarded miss over DoH/3, to Caddy: CPU of the forwarder",
    "miss-quic": "Forwarded miss over DoQ, to Knot: CPU of the forwarder",
    "validated-p256": "Cold name in a signed zone over DoT, P-256: CPU of the validator",
    "validated-rsa2048": "Cold name in a signed zone over DoT, RSA-2048: CPU of the validator",
    "latency-tls": "Latency added to a warm DoT upstream, in ms",
    "latency-https": "Latency added to a warm DoH/2 upstream, in ms",
    "latency-h3": "Latency added to a warm DoH/3 upstream, which is asked directly over DoH/2, in ms",
    "latency-quic": "Latency added to a warm DoQ upstream, which is asked directly over DoT, in ms",
    "memory": "Resident memory, and wake-ups when idle",
    "startup": "Time from exec to the first answer",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the numbers come from."""

    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    system: str
    python: str


def machine() -> Machine:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    cpu = next((line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if "model name" in line), "?")
    total_kib = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return Machine(
        cpu, os.cpu_count() or 1, total_kib // 1024, platform.release(), system, platform.python_version()
    )


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget of the design and what was measured; ``value`` is None when it was not, ``why`` says why."""

    what: str
    limit: float
    reach: float | None
    unit: str
    value: float | None
    why: str = "left out of this run"

    @property
    def verdict(self) -> str:
        if self.value is None:
            return f"not measured: {self.why}"
        if self.value > self.limit:
            return "NOT MET"
        return "met, and the reach too" if self.reach is not None and self.value <= self.reach else "met"


def budgets(results: Results) -> list[Budget]:
    """Set the design's budgets beside the results."""

    def one(section: str, metric: str, candidate: str = SECDNS) -> float | None:
        return results.get(section, {}).get(candidate, {}).get(metric)

    def ratio(section: str, other: str) -> float | None:
        ours, theirs = one(section, "cpu_us"), one(section, "cpu_us", other)
        return None if ours is None or theirs is None else ours / theirs

    rows = [
        Budget("cached answer, CPU ÷ Unbound's", 1.3, 1.0, "", ratio("cached", UNBOUND)),
        Budget("DoT miss without validation, CPU ÷ Unbound's", 0.9, 0.7, "", ratio("miss-tls", UNBOUND)),
        Budget(
            "DoH/2 miss, CPU ÷ dnscrypt-proxy's",
            1.5,
            1.0,
            "",
            ratio("miss-https", DNSCRYPT_PROXY),
            "no dnscrypt-proxy in this run",
        ),
        Budget(
            "cold validated name over DoT, P-256, CPU ÷ Unbound's",
            2.5,
            1.5,
            "",
            ratio("validated-p256", UNBOUND),
        ),
        Budget(
            "cold validated name over DoT, RSA-2048, CPU ÷ Unbound's",
            2.5,
            1.5,
            "",
            ratio("validated-rsa2048", UNBOUND),
        ),
    ]
    for scheme, title in (("tls", "DoT"), ("https", "DoH/2"), ("h3", "DoH/3"), ("quic", "DoQ")):
        rows += [
            Budget(f"latency added, {title}, p50", 1.0, 0.4, "ms", one(f"latency-{scheme}", "p50_added_ms")),
            Budget(f"latency added, {title}, p99", 5.0, None, "ms", one(f"latency-{scheme}", "p99_added_ms")),
        ]
    return [
        *rows,
        Budget("ready to answer after start", 400, 250, "ms", one("startup", "ready_ms")),
        Budget("resident memory, 10,000 answers cached", 45, 36, "MB", one("memory", "full_mb")),
        Budget("a cached answer, by growth", 1000, 500, "octets", one("memory", "octets_per_answer")),
        Budget("idle wake-ups a second", 1, 0, "", one("memory", "idle_wakeups_per_s")),
    ]


def table(rows: list[list[str]]) -> str:
    """Align columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(widths[i + 1]) for i, cell in enumerate(row[1:]))])
        for row in rows
    )


def text(results: Results, versions: dict[str, str], remarks: list[str]) -> str:
    """Give everything as plain text."""
    parts = []
    for section, found in results.items():
        columns = COLUMNS[section]
        rows = [["", *(heading for _, heading, _ in columns)]]
        for candidate, metrics in found.items():
            cells = [format(metrics[metric], style) for metric, _, style in columns]
            rows.append([f"{candidate} {versions.get(candidate, '')}".strip(), *cells])
        parts.append(f"{TITLES[section]}\n{table(rows)}")
    rows = [["Budgets of the design", "budget", "reach", "measured", "verdict"]]
    for budget in budgets(results):
        value = "–" if budget.value is None else f"{budget.value:.2f} {budget.unit}".strip()
        reach = "–" if budget.reach is None else f"≤ {budget.reach:g}"
        rows.append([budget.what, f"≤ {budget.limit:g} {budget.unit}".strip(), reach, value, budget.verdict])
    parts.append(table(rows))
    if remarks:
        parts.append("\n".join(f"- {remark}" for remark in remarks))
    return "\n\n".join(parts)


def as_json(results: Results) -> list[dict[str, object]]:
    """Give the budgets as plain values."""
    return [{**asdict(budget), "verdict": budget.verdict} for budget in budgets(results)]
