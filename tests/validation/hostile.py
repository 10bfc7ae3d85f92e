"""Zones whose answers cost a validator dear, and an upstream that serves them beside the loop under test."""

import asyncio
import json
import sys
import threading
from types import TracebackType
from typing import Final, Self

from secdns.dns.message import Message
from secdns.dns.name import from_text, is_subdomain
from secdns.iana import DNSSECAlgorithm, RRType
from secdns.testing import FakeUpstream, Fault, SignedZones, Signing, ZoneData
from secdns.testing.broken import both, key_trap, padded
from tests.forwarder.stage import table
from tests.validation.stage import dnssec

NAMES: Final[dict[str, dict[str, str]]] = {f"x{number}": {"A": "192.0.2.1"} for number in range(12)}
ZONES: Final[dict[str, ZoneData]] = {
    "calm.test": {f"h{number}": {"A": f"192.0.2.{number + 1}"} for number in range(100)},
    "trap.test": dict(NAMES),
    "rsa.test": dict(NAMES),
    "keys.test": dict(NAMES),
    "padded.test": dict(NAMES),
    "padded3.test": dict(NAMES),
    **{f"i{iterations}.test": dict(NAMES) for iterations in (0, 1, 50, 51, 150, 2500)},
}
DEEP: Final = ".".join("x" * 120)  # labels, of which each might be the closest encloser


def make_hostile_zones() -> SignedZones:
    """Give the zones; the hostile ones have names x0 to x11 with an A record each."""
    signing = {zone: Signing() for zone in (".", "test", *ZONES)}
    signing["padded3.test"] = Signing(denial="nsec3")
    for iterations in (0, 1, 50, 51, 150, 2500):
        signing[f"i{iterations}.test"] = Signing(denial="nsec3", iterations=iterations)
    zones = SignedZones(ZONES, signing)
    rsa = DNSSECAlgorithm.RSASHA256
    zones.faults = [
        _below("trap.test", key_trap("trap.test", None, RRType.A, keys=14, signatures=300)),
        _below("rsa.test", key_trap("rsa.test", None, RRType.A, keys=14, signatures=150, algorithm=rsa)),
        _below("keys.test", key_trap("keys.test", None, RRType.A, keys=300, signatures=300)),
        both(_below("padded.test", padded(250)), _below("padded3.test", padded(250))),
    ]
    return zones


def _below(zone: str, spoil: Fault) -> Fault:
    """Let a fault hold for a zone only."""
    apex = from_text(zone)

    def fault(zones: SignedZones, reply: Message) -> Message:
        return spoil(zones, reply) if is_subdomain(reply.question[0].name.lower(), apex) else reply

    return fault


class Aside:
    """A FakeUpstream in a thread of its own, so that what it costs is not counted as ours."""

    def __init__(self, zones: SignedZones) -> None:
        self.zones = zones
        self.up: FakeUpstream
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with FakeUpstream(self.zones) as self.up:
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


async def _serve_until_stdin_ends() -> None:
    """Be an upstream in a process of its own: one line says where, the end of standard input ends it."""
    zones = make_hostile_zones()
    async with FakeUpstream(zones) as up:
        where = {"toml": table(up) + dnssec(zones)}
        print(json.dumps(where), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve_until_stdin_ends())
