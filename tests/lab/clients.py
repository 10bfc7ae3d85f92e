"""What other people's clients say: ``dig``, ``kdig`` and ``drill``, their output read into one shape."""

import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import dns.message
import dns.query
import dns.rdatatype

from tests.lab.programs import find

CLIENTS = ("dig", "kdig", "drill")

_RCODE = re.compile(r"(?:status|rcode): ([A-Z][A-Z0-9]*)")
_FLAGS = re.compile(r";; [Ff]lags: ([a-z ]*)")
_EDE = re.compile(r"EDE: (\d+)\b(.*)")
_RECORD = re.compile(r"^(?P<owner>\S+)\s+(?P<ttl>\d+)\s+IN\s+(?P<rrtype>\S+)\s*(?P<rdata>.*)$")


@dataclass(frozen=True, slots=True)
class Record:
    owner: str
    ttl_s: int
    rrtype: str
    rdata: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client printed. ``rcode`` is None when it got no reply at all."""

    rcode: str | None
    flags: frozenset[str]
    answer: tuple[Record, ...]
    errors: tuple[tuple[int, str], ...]
    text: str

    @property
    def rdata(self) -> tuple[str, ...]:
        return tuple(sorted(record.rdata for record in self.answer))


def read_reply(text: str) -> Reply:
    """Read the output of dig, kdig or drill."""
    rcode = _RCODE.search(text)
    flags = _FLAGS.search(text)
    answer: list[Record] = []
    section = False
    for line in text.splitlines():
        if line.startswith(";;"):
            section = "ANSWER SECTION" in line
        elif section and (match := _RECORD.match(line)):
            answer.append(
                Record(match["owner"], int(match["ttl"]), match["rrtype"], " ".join(match["rdata"].split()))
            )
    return Reply(
        rcode=rcode[1] if rcode else None,
        flags=frozenset(flags[1].split()) if flags else frozenset(),
        answer=tuple(answer),
        errors=tuple((int(code), text.strip(" :()")) for code, text in _EDE.findall(text)),
        text=text,
    )


def run_client(
    client: str,
    port: int,
    name: str,
    rrtype: str = "A",
    *options: str,
    timeout_s: float = 6.0,
    prefix: Sequence[str] = (),
) -> Reply:
    """Ask one question with one of ``CLIENTS``; ``options`` are the client's own."""
    if client == "drill":
        argv = ["-p", str(port), "-Q", *options] if "-Q" in options else ["-p", str(port), *options]
        argv += [name, "@127.0.0.1", rrtype]
    else:
        limits = [f"+timeout={timeout_s:.0f}" if client == "kdig" else f"+time={timeout_s:.0f}"]
        limits.append("+retry=0" if client == "kdig" else "+tries=1")
        argv = ["@127.0.0.1", "-p", str(port), *limits, *options, name, rrtype]
    done = subprocess.run(
        [*prefix, find(client), *argv], capture_output=True, text=True, timeout=timeout_s * 2 + 5, check=False
    )
    return read_reply(done.stdout + done.stderr)


def over_tcp(client: str) -> str:
    """Give the client's option for asking over TCP."""
    return "-t" if client == "drill" else "+tcp"


Octets = tuple[int, list[tuple[int, bytes]]]
"""An RCODE, and an answer section as sorted (type, RDATA)."""


def answer_octets(port: int, name: str, rrtype: str, *, tcp: bool = True) -> Octets:
    """Ask with dnspython; give what came back as octets."""
    query = dns.message.make_query(name, rrtype, use_edns=0, payload=1232)
    if tcp:
        response = dns.query.tcp(query, "127.0.0.1", port=port, timeout=5)
    else:
        response = dns.query.udp(query, "127.0.0.1", port=port, timeout=5)
    octets = [
        (int(rrset.rdtype), bytes(rdata.to_wire() or b"")) for rrset in response.answer for rdata in rrset
    ]
    return int(response.rcode()), sorted(octets)


def pipelined(port: int, wires: Sequence[bytes], timeout_s: float = 10.0) -> dict[int, bytes]:
    """Send every query over one TCP connection before reading; give the responses by ID."""
    responses: dict[int, bytes] = {}
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as sock:
        sock.sendall(b"".join(len(wire).to_bytes(2) + wire for wire in wires))
        with sock.makefile("rb") as stream:
            while len(responses) < len(wires):
                size = stream.read(2)
                if len(size) < 2:
                    break
                response = stream.read(int.from_bytes(size))
                responses[int.from_bytes(response[:2])] = response
    return responses
