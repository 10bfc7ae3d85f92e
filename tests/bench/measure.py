"""The measurements, each of one candidate that was started for it alone.

CPU time is user and system time of the candidate's process and all its threads, from the kernel's own clock
of that process; the asking program and the upstream are not in it.
"""

import math
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from tests.bench.candidates import Candidate, Command
from tests.lab.load import Performance, dnsperf
from tests.lab.programs import Process, ask_udp, free_ports, running, simple_query, stop
from tests.lab.servers import UPSTREAM_NAME, Upstream

Sample = dict[str, float]
"""Metric -> value. The unit is in the metric's name."""

ZONE = "bench.example"
_serial = count()


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    cached_names: int = 5_000
    cached_seconds: float = 4
    cached_rate: int = 5_000
    misses: int = 20_000
    miss_rate: int = 1_000
    probes: int = 800
    probe_gap_s: float = 0.004
    memory_names: int = 10_000
    validated: int = 4_000
    starts: int = 5
    idle_seconds: float = 10


QUICK = Scale(1_000, 1, 2_000, 3_000, 1_000, 150, 0.004, 2_000, 500, 2, 2)


class Unusable(Exception):
    """A measurement that would mislead: the candidate lost queries or answered wrongly."""


def cpu_s(pid: int) -> float:
    """Give the CPU time of a process, in seconds; its clock id is made as clock_getcpuclockid(3) does."""
    return time.clock_gettime(~pid << 3 | 2)


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def wakeups(pid: int) -> int:
    """Count how often any thread of the process has gone to sleep so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            total += int((task / "status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def percentile(values: list[float], share: float) -> float:
    """Give the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def unique_names(amount: int) -> list[str]:
    """Make names that nobody asked in this run."""
    serial = next(_serial)
    return [f"n{i}.r{serial}.{ZONE}" for i in range(amount)]


def names_file(directory: Path, names: list[str]) -> Path:
    file = directory / "names"
    file.write_text("".join(f"{name} A\n" for name in names))
    return file


@contextmanager
def started(
    candidate: Candidate, directory: Path, upstream: Upstream, scheme: str, *, probe: str | None = None
) -> Iterator[tuple[Process, int]]:
    """Have the candidate running, with a warm connection to its upstream; give its process and port.

    ``probe`` is a name that the upstream knows, where it does not know every name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    command = candidate.make(directory, upstream, scheme, port)

    def ready() -> bool:
        name = probe or unique_names(1)[0]
        response = ask_udp(port, simple_query(name), timeout_s=0.5)
        return response is not None and response[3] & 0x0F == 0 and response[7] > 0

    with running(command.argv, directory / "log", ready, env=command.env) as process:
        yield process, port


def checked(result: Performance, what: str) -> Performance:
    """Give ``result``.

    Raises:
        Unusable: it lost queries, or answers are not NOERROR.
    """
    good = result.rcodes.get("NOERROR", 0)
    if result.lost > 0.001 * result.sent or good < 0.999 * result.completed:
        raise Unusable(f"{what}: {result.lost} of {result.sent} lost, {good} of {result.completed} good")
    return result


def per_query_us(pid: int, run: Callable[[], Performance], what: str) -> tuple[float, Performance]:
    """Give the CPU time of the process for each query of a run, in µs, and the run.

    Raises:
        Unusable: as ``checked``.
    """
    before = cpu_s(pid)
    result = checked(run(), what)
    return (cpu_s(pid) - before) / result.completed * 1e6, result


def cached(candidate: Candidate, directory: Path, upstream: Upstream, scheme: str, scale: Scale) -> Sample:
    """Measure answers from the cache: as fast as it can, and at a fixed rate."""
    with started(candidate, directory, upstream, scheme) as (process, port):
        file = names_file(directory, unique_names(scale.cached_names))
        checked(dnsperf(port, file, passes=1, rate=3_000, outstanding=50), "filling the cache")
        dnsperf(port, file, passes=1)  # what else it wants to do the second time (a hot list, a JIT)
        fast_us, fast = per_query_us(
            process.pid,
            lambda: dnsperf(port, file, seconds=scale.cached_seconds, outstanding=100, clients=4),
            "cached, at most",
        )
        slow_us, _ = per_query_us(
            process.pid,
            lambda: dnsperf(port, file, seconds=scale.cached_seconds, rate=scale.cached_rate, clients=4),
            "cached, at a fixed rate",
        )
    return {"cpu_us": fast_us, "cpu_us_at_rate": slow_us, "queries_per_s": fast.rate}


def missed(candidate: Candidate, directory: Path, upstream: Upstream, scheme: str, scale: Scale) -> Sample:
    """Measure forwarded misses: every name is new; 100 outstanding, and at a fixed rate."""
    with started(candidate, directory, upstream, scheme) as (process, port):
        dnsperf(port, names_file(directory, unique_names(500)), passes=1, outstanding=50)
        file = names_file(directory, unique_names(scale.misses))
        fast_us, fast = per_query_us(
            process.pid, lambda: dnsperf(port, file, passes=1, outstanding=100), "misses, at most"
        )
        file = names_file(directory, unique_names(scale.misses // 4))
        slow_us, slow = per_query_us(
            process.pid,
            lambda: dnsperf(port, file, passes=1, rate=scale.miss_rate),
            "misses, at a fixed rate",
        )
    return {
        "cpu_us": fast_us,
        "cpu_us_at_rate": slow_us,
        "queries_per_s": fast.rate,
        "latency_ms_at_rate": slow.latency_s * 1e3,
    }


class DirectTLS:
    """A warm DoT connection to the upstream itself: the round trip that nobody can beat."""

    def __init__(self, upstream: Upstream) -> None:
        context = ssl.create_default_context(cafile=str(upstream.ca_file))
        raw = socket.create_connection(("127.0.0.1", upstream.dot_port), timeout=5)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = context.wrap_socket(raw, server_hostname=UPSTREAM_NAME)

    def ask(self, wire: bytes) -> bytes:
        self._sock.sendall(len(wire).to_bytes(2) + wire)
        return self._take(int.from_bytes(self._take(2)))

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._sock.recv(size - len(data))
            if not chunk:
                raise ConnectionError("the upstream closed")
            data += chunk
        return data

    def close(self) -> None:
        self._sock.close()


class DirectHTTPS:
    """A warm DoH/2 connection to the upstream itself."""

    def __init__(self, upstream: Upstream) -> None:
        context = ssl.create_default_context(cafile=str(upstream.ca_file))
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", upstream.doh_port), timeout=5)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = context.wrap_socket(raw, server_hostname=UPSTREAM_NAME)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._h2.initiate_connection()
        self._authority = f"{UPSTREAM_NAME}:{upstream.doh_port}"

    def ask(self, wire: bytes) -> bytes:
        stream = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", self._authority),
            (":path", "/dns-query"),
            ("content-type", "application/dns-message"),
            ("accept", "application/dns-message"),
            ("content-length", str(len(wire))),
        ]
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, wire, end_stream=True)
        body = b""
        while True:
            self._sock.sendall(self._h2.data_to_send())
            chunk = self._sock.recv(65536)
            if not chunk:
                raise ConnectionError("the upstream closed")
            for event in self._h2.receive_data(chunk):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self._sock.sendall(self._h2.data_to_send())
                    return body

    def close(self) -> None:
        self._sock.close()


def latency(candidate: Candidate, directory: Path, upstream: Upstream, scheme: str, scale: Scale) -> Sample:
    """Measure what the candidate adds to the upstream's own round trip, at a low rate, every name new.

    Both are asked by turns in one loop, so that whatever else the machine does hits both. What is reached
    over QUIC is asked directly over TLS: another client in Python would hide what ours takes.
    """
    direct_ms: list[float] = []
    via_ms: list[float] = []
    with (
        started(candidate, directory, upstream, scheme) as (_, port),
        closing((DirectHTTPS if scheme in ("https", "h3") else DirectTLS)(upstream)) as direct,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(5)
        sock.connect(("127.0.0.1", port))
        warm_up = scale.probes // 10
        for name in unique_names(scale.probes + warm_up):
            wire = simple_query(name)
            begin = time.perf_counter()
            direct.ask(wire)
            direct_ms.append((time.perf_counter() - begin) * 1e3)
            time.sleep(scale.probe_gap_s)
            begin = time.perf_counter()
            sock.send(wire)
            if sock.recv(65535)[:2] != wire[:2]:
                raise Unusable("latency: a reply with another ID")
            via_ms.append((time.perf_counter() - begin) * 1e3)
            time.sleep(scale.probe_gap_s)
    sample: Sample = {}
    for share in (0.5, 0.99):
        own = percentile(direct_ms[warm_up:], share)
        via = percentile(via_ms[warm_up:], share)
        label = f"p{share * 100:.0f}"
        sample |= {f"{label}_direct_ms": own, f"{label}_via_ms": via, f"{label}_added_ms": via - own}
    return sample


def memory(candidate: Candidate, directory: Path, upstream: Upstream, scheme: str, scale: Scale) -> Sample:
    """Measure resident memory after the first answer and with a full cache; then wake-ups when idle."""
    with started(candidate, directory, upstream, scheme) as (process, port):
        idle_kib = resident_kib(process.pid)
        file = names_file(directory, unique_names(scale.memory_names))
        checked(dnsperf(port, file, passes=1, rate=3_000, outstanding=50), "filling the cache")
        full_kib = resident_kib(process.pid)
        time.sleep(1)
        before = wakeups(process.pid)
        time.sleep(scale.idle_seconds)
        idle = (wakeups(process.pid) - before) / scale.idle_seconds
    return {
        "idle_mb": idle_kib / 1024,
        "full_mb": full_kib / 1024,
        "octets_per_answer": (full_kib - idle_kib) * 1024 / scale.memory_names,
        "idle_wakeups_per_s": idle,
    }


def _first_reply_s(command: Command, directory: Path, port: int, name: str) -> float:
    wire = simple_query(name)
    with (directory / "log").open("ab") as log, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.05)
        sock.connect(("127.0.0.1", port))
        begin = time.perf_counter()
        popen = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=command.env,
            start_new_session=True,
        )
        try:
            while time.perf_counter() - begin < 15:
                try:
                    sock.send(wire)
                    if sock.recv(65535)[3] & 0x0F == 0:
                        return time.perf_counter() - begin
                except TimeoutError:
                    pass
                except ConnectionRefusedError:
                    time.sleep(0.0005)
            raise Unusable(f"no answer within 15 s of its start: {command.argv}")
        finally:
            stop(Process(popen, directory / "log"))


def startup(candidate: Candidate, directory: Path, upstream: Upstream, scheme: str, scale: Scale) -> Sample:
    """Measure the time from exec to the first reply: to a local name, and to one that is forwarded."""
    directory.mkdir(parents=True, exist_ok=True)
    local_ms: list[float] = []
    forwarded_ms: list[float] = []
    for i in range(scale.starts + 1):
        for name, found in (("localhost", local_ms), (unique_names(1)[0], forwarded_ms)):
            (port,) = free_ports(1)
            command = candidate.make(directory, upstream, scheme, port)
            took_s = _first_reply_s(command, directory, port, name)
            if i:  # the first one only warms the disk cache
                found.append(took_s * 1e3)
    return {
        "ready_ms": percentile(local_ms, 0.5),
        "ready_worst_ms": max(local_ms),
        "first_forwarded_ms": percentile(forwarded_ms, 0.5),
    }


def load_average() -> float:
    return os.getloadavg()[0]
