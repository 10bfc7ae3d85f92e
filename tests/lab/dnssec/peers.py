"""Other validators, asked what we are asked: Unbound in front of the same upstream, and ``delv``."""

import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import dns.edns
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rrset

from tests.lab.clients import pipelined
from tests.lab.programs import ask_udp, find

PAYLOAD = 1232


Records = frozenset[tuple[str, int, bytes]]
"""(owner, type, RDATA), the owner and names within RDATA in lower case."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a resolver answered."""

    rcode: str
    ad: bool
    cd: bool
    answer: Records
    authority: Records
    errors: tuple[tuple[int, str], ...]

    @property
    def types(self) -> set[int]:
        return {rrtype for _, rrtype, _ in self.answer | self.authority}


_AD, _CD, _TC = 0x20, 0x10, 0x02


def ask(port: int, name: str, rrtype: str, *, do: bool, ad: bool, cd: bool) -> Reply:
    """Ask over UDP, and over TCP where the reply was cut."""
    query = bytearray(_query(name, rrtype, do))
    query[3] |= (_AD if ad else 0) | (_CD if cd else 0)
    wire = ask_udp(port, bytes(query), 6)
    if wire is not None and wire[2] & _TC:
        (wire,) = pipelined(port, [bytes(query)]).values()
    assert wire is not None, f"no reply for {name} {rrtype} in 6 s"
    answer, authority, errors = _sections(wire[4:])
    return Reply(
        rcode=dns.rcode.to_text(dns.rcode.Rcode(wire[3] & 15)),
        ad=bool(wire[3] & _AD),
        cd=bool(wire[3] & _CD),
        answer=answer,
        authority=authority,
        errors=errors,
    )


@lru_cache(maxsize=8)
def _query(name: str, rrtype: str, do: bool) -> bytes:
    return dns.message.make_query(name, rrtype, use_edns=0, want_dnssec=do, payload=PAYLOAD).to_wire()


@lru_cache(maxsize=64)
def _sections(after_flags: bytes) -> tuple[Records, Records, tuple[tuple[int, str], ...]]:
    """Read what comes after the flags; the same octets come again and again with other flags."""
    message = dns.message.from_wire(b"\0\0\x80\0" + after_flags)
    errors = tuple(
        (int(option.code), option.text or "")
        for option in message.options
        if isinstance(option, dns.edns.EDEOption)
    )
    return _records(message.answer), _records(message.authority), errors


def _records(section: list[dns.rrset.RRset]) -> Records:
    return frozenset(
        (rrset.name.canonicalize().to_text(), int(rrset.rdtype), rdata.to_digestable(dns.name.root))
        for rrset in section
        for rdata in rrset
    )


@dataclass(frozen=True, slots=True)
class DelvReply:
    """What delv makes of an answer: ``is_valid`` if it calls every part of it fully validated."""

    rcode: str
    is_valid: bool
    answer: Records
    text: str


_FAILED = ";; resolution failed: "
_NEGATIVE = {"ncache nxdomain": "NXDOMAIN", "ncache nxrrset": "NOERROR"}


def delv(anchor_file: Path, port: int, name: str, rrtype: str) -> DelvReply:
    """Let delv ask an upstream and judge for itself. It shows no CNAME that was made from a DNAME."""
    options = ["-a", str(anchor_file), "+root=.", "+nodnssec", "+nosplit", "-q", name, "-t", rrtype]
    done = subprocess.run(
        [find("delv"), "@127.0.0.1", "-p", str(port), *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    text = done.stdout + done.stderr
    verdicts: list[bool] = []
    answer: set[tuple[str, int, bytes]] = set()
    rcode = "NOERROR"
    for line in text.splitlines():
        if line.startswith(_FAILED):
            rcode = _NEGATIVE.get(line.removeprefix(_FAILED), "SERVFAIL")
        elif line.endswith(("fully validated", "unsigned answer", "answer not validated")):
            verdicts.append(line.endswith("fully validated"))
        elif line and not line.startswith(";"):
            owner, _, _, kind, data = line.split(maxsplit=4)
            rdata = dns.rdata.from_text("IN", kind, data)
            answer.add((owner.lower(), int(rdata.rdtype), rdata.to_digestable(dns.name.root)))
    is_valid = bool(verdicts) and all(verdicts) and rcode != "SERVFAIL"
    return DelvReply(rcode, is_valid, frozenset(answer), text)


def write_anchor_file(file: Path, key: str) -> None:
    """Write the root's DNSKEY, in presentation form, the way BIND wants it."""
    flags, protocol, algorithm, *octets = key.split()[3:]
    file.write_text(
        f'trust-anchors {{ "." static-key {flags} {protocol} {algorithm} "{"".join(octets)}"; }};\n'
    )
