"""Another upstream, a clock and a host to look up, for whoever tests the bootstrap."""

import asyncio
from dataclasses import dataclass, field

from secdns.dns.message import QR, RA, Message, Record
from secdns.dns.name import from_text, to_text
from secdns.errors import ConnectError
from secdns.iana import RCode, RRType

HOST = "dns.example"
V4 = bytes([192, 0, 2, 1])
V6 = bytes.fromhex("20010db8000000000000000000000001")
LONG = 30.0


@dataclass
class OtherUpstream:
    """Another upstream as its exchange callable: zone data in, responses out, knobs on top."""

    records: dict[tuple[str, int], list[Record]] = field(default_factory=dict)
    rcode: int = RCode.NOERROR
    silent: set[int] = field(default_factory=set)  # types that never get an answer
    down: bool = False
    seen: list[tuple[str, int]] = field(default_factory=list)
    excluded: list[frozenset[str]] = field(default_factory=list)

    def add(self, host: str, rrtype: int, rdata: bytes, *, asked: str = "", ttl: int = 300) -> None:
        """Put a record into the answer to a question for ``asked``, else for ``host`` itself."""
        record = Record(from_text(host), rrtype, 1, ttl, rdata)
        kinds = (RRType.A, RRType.AAAA) if rrtype == RRType.CNAME else (rrtype,)
        for kind in kinds:
            self.records.setdefault((asked or host, kind), []).append(record)

    async def exchange(self, query: bytes, deadline: float, excluded: frozenset[str]) -> bytes:
        message = Message.parse(query)
        (question,) = message.question
        host = to_text(question.name).rstrip(".")
        self.seen.append((host, question.rrtype))
        self.excluded.append(excluded)
        if self.down:
            raise ConnectError("network is unreachable")
        if question.rrtype in self.silent:
            await asyncio.Event().wait()
        answer = tuple(self.records.get((host, question.rrtype), ()))
        return Message(message.id, QR | RA | self.rcode, message.question, answer).to_wire()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def soon(seconds: float = LONG) -> float:
    """Give a deadline."""
    return asyncio.get_running_loop().time() + seconds
