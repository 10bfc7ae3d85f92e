"""Give the counters as text for Prometheus (exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator
from typing import Final

from secdns.control.schema import Status, Upstreams
from secdns.states import State

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_LABEL: Final = 200  # characters

Sample = tuple[dict[str, str], float]


def render(status: Status, upstreams: Upstreams) -> str:
    """Give all metrics, each with its help; no name of a query is among them."""
    return "".join(_lines(status, upstreams))


def _lines(status: Status, upstreams: Upstreams) -> Iterator[str]:
    counters = status.counters
    yield from _metric("secdns_info", "gauge", "Which version runs.", [({"version": status.version}, 1)])
    yield from _metric("secdns_uptime_seconds", "gauge", "Seconds since the start.", [({}, status.uptime_s)])
    states = [({"state": state.value}, float(state is status.state)) for state in State]
    yield from _metric("secdns_state", "gauge", "1 for the state that holds, 0 for the others.", states)
    yield from _metric("secdns_queries_total", "counter", "Queries of clients.", [({}, counters.queries)])
    answers: list[Sample] = [
        ({"from": "cache"}, counters.hits),
        ({"from": "policy"}, counters.local),
        ({"from": "upstream"}, counters.misses),
    ]
    yield from _metric("secdns_answers_total", "counter", "Answers, by where they came from.", answers)
    yield from _metric("secdns_dropped_total", "counter", "Left without an answer.", [({}, counters.drops)])
    plain: list[Sample] = [({}, float(counters.plain))]
    yield from _metric("secdns_plain_total", "counter", "Asked in plain to sign in or in a pause.", plain)
    yield from _metric("secdns_stale_total", "counter", "Answered past their time.", [({}, counters.stale)])
    failures: list[Sample] = [({"kind": kind}, count) for kind, count in sorted(counters.failures.items())]
    yield from _metric("secdns_failures_total", "counter", "Questions that no upstream answered.", failures)
    yield from _metric("secdns_cache_entries", "gauge", "Answers held.", [({}, status.cache.entries)])
    yield from _metric("secdns_cache_bytes", "gauge", "Octets they take.", [({}, status.cache.octets)])
    yield from _metric("secdns_cache_limit_bytes", "gauge", "At most.", [({}, status.cache.limit_octets)])
    healthy: list[Sample] = []
    latency: list[Sample] = []
    for one in upstreams.upstreams:
        label = {"upstream": one.name, "url": one.url}
        healthy.append((label, float(one.health != "failing")))
        for quantile, value in (("0.5", one.p50_ms), ("0.95", one.p95_ms)):
            if value is not None:
                latency.append(({**label, "quantile": quantile}, value / 1000))
    yield from _metric("secdns_upstream_up", "gauge", "0 while it fails.", healthy)
    yield from _metric("secdns_upstream_latency_seconds", "gauge", "Of the last answers.", latency)


def _metric(name: str, kind: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        inner = ",".join(f'{key}="{label(text)}"' for key, text in labels.items())
        yield f"{name}{{{inner}}} {value:.15g}\n" if inner else f"{name} {value:.15g}\n"


def label(text: str) -> str:
    r"""Make ``text`` harmless as the value of a label (threat L5).

    What is not printable ASCII, a quote or a backslash becomes ``\DDD`` of its octets as in RFC 1035
    §5.1; the backslash itself is doubled, as the format wants.
    """
    return "".join(
        char
        if char.isascii() and char.isprintable() and char not in '"\\'
        else "".join(f"\\\\{octet:03d}" for octet in char.encode("utf-8", "surrogatepass"))
        for char in text[:MAX_LABEL]
    )
