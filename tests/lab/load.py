"""Load on a UDP port: steady queries whose every loss is counted, and floods that expect losses."""

import re
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.programs import find, simple_query


@dataclass(slots=True)
class Steady:
    """A client that asks at a fixed rate and keeps count; a context manager.

    Each query has its own ID until all 65536 were used, so a reply is matched to its query.
    """

    port: int
    names: list[str]
    rate: float = 200.0
    sent: int = 0
    rcodes: dict[int, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _sock: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    _waiting: set[int] = field(default_factory=set)
    _all_back: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Steady":
        self._sock.connect(("127.0.0.1", self.port))
        self._sock.settimeout(0.2)
        for target in (self._send, self._receive):
            thread = threading.Thread(target=target, daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def _send(self) -> None:
        begin = time.monotonic()
        while not self._stop.wait(max(0.0, begin + self.sent / self.rate - time.monotonic())):
            id = self.sent % 65536
            self._waiting.add(id)
            with suppress(ConnectionRefusedError):  # it counts as lost
                self._sock.send(simple_query(self.names[self.sent % len(self.names)], id=id))
            self.sent += 1

    def _receive(self) -> None:
        while not (self._stop.is_set() and (not self._waiting or self._all_back.is_set())):
            try:
                response = self._sock.recv(65535)
            except (TimeoutError, ConnectionRefusedError):
                continue
            self._waiting.discard(int.from_bytes(response[:2]))
            rcode = response[3] & 0x0F
            self.rcodes[rcode] = self.rcodes.get(rcode, 0) + 1

    def __exit__(self, *exc_info: object) -> None:
        """Stop asking, then wait for what is still on its way, as long as a client's patience: 5 s."""
        self._stop.set()
        self._threads[0].join()
        self._threads[1].join(5.0)
        self._all_back.set()
        self._threads[1].join()
        self._sock.close()

    @property
    def lost(self) -> int:
        return len(self._waiting)


@dataclass(frozen=True, slots=True)
class Performance:
    """What dnsperf counted."""

    sent: int
    completed: int
    lost: int
    seconds: float
    rate: float
    latency_s: float
    rcodes: dict[str, int]


def dnsperf(
    port: int,
    names: Path,
    *,
    seconds: float | None = None,
    passes: int | None = None,
    rate: int | None = None,
    outstanding: int = 100,
    clients: int = 1,
    timeout_s: int = 5,
) -> Performance:
    """Run dnsperf over a file of ``NAME TYPE`` lines and read what it counted."""
    argv = [find("dnsperf"), "-s", "127.0.0.1", "-p", str(port), "-d", str(names)]
    argv += ["-q", str(outstanding), "-c", str(clients), "-T", "1", "-t", str(timeout_s), "-W"]
    if seconds is not None:
        argv += ["-l", f"{seconds:.0f}"]
    if passes is not None:
        argv += ["-n", str(passes)]
    if rate is not None:
        argv += ["-Q", str(rate)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=(seconds or 120) + 60, check=True)

    def number(label: str) -> float:
        match = re.search(rf"{label}:\s+([\d.]+)", done.stdout)
        if match is None:
            raise ValueError(f"dnsperf did not print {label!r}:\n{done.stdout}{done.stderr}")
        return float(match[1])

    codes = re.search(r"Response codes:\s+(.*)", done.stdout)
    return Performance(
        sent=int(number("Queries sent")),
        completed=int(number("Queries completed")),
        lost=int(number("Queries lost")),
        seconds=number(r"Run time \(s\)"),
        rate=number("Queries per second"),
        latency_s=number(r"Average Latency \(s\)"),
        rcodes={code: int(count) for code, count in re.findall(r"([A-Z]+) (\d+)", codes[1])} if codes else {},
    )
