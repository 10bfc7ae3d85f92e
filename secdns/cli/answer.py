"""Show what came back for one question: for a person, like dig, bare values, or as JSON."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secdns import __version__
from secdns.cli import terminal
from secdns.cli.exits import Exit
from secdns.cli.records import class_to_text, data_to_text, type_to_text
from secdns.dns import edns, name
from secdns.dns.message import Message, Question, Record
from secdns.endpoint import Endpoint
from secdns.errors import TransportError
from secdns.iana import RCode, RRType, rcode_text
from secdns.transport import Facts

if TYPE_CHECKING:  # loaded where an answer is judged
    from secdns.judging import Judged

#: the names of the registry (RFC 8914 §5.2 and what was added since), by code
EDE_NAMES = (
    "Other Error",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
    "Signature Expired before Valid",
    "Too Early",
    "Unsupported NSEC3 Iterations Value",
    "Unable to Conform to Policy",
    "Synthesized",
    "Invalid Query Type",
)

#: transports as a person calls them, by the scheme of the URL
TRANSPORTS = {
    "https": "DNS over HTTPS",
    "h3": "DNS over HTTPS (HTTP/3)",
    "tls": "DNS over TLS",
    "quic": "DNS over QUIC",
    "udp": "plain DNS over UDP",
    "tcp": "plain DNS over TCP",
}

_FAILURES = {
    RCode.FORMERR: "the upstream did not understand the query",
    RCode.SERVFAIL: "the upstream could not get an answer",
    RCode.NOTIMP: "the upstream does not support this kind of query",
    RCode.REFUSED: "the upstream refuses to answer",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One question, its response and the way it came.

    ``failed`` are the endpoints that were tried before, each with what went wrong. ``judged`` is
    our own verdict, where one was wanted and could be given.
    """

    question: Question
    response: Message
    size_octets: int
    endpoint: Endpoint
    facts: Facts
    elapsed_s: float
    failed: tuple[tuple[Endpoint, TransportError], ...] = ()
    judged: "Judged | None" = None

    @property
    def exit_code(self) -> Exit:
        """The exit code that tells this outcome."""
        if self.judged is not None and self.judged.verdict.status.value == "bogus":
            return Exit.BOGUS
        if self.response.rcode == RCode.NXDOMAIN:
            return Exit.NO_RECORDS
        if self.response.rcode != RCode.NOERROR:
            return Exit.FAILURE
        return Exit.OK if self.wanted else Exit.NO_RECORDS

    @property
    def wanted(self) -> tuple[Record, ...]:
        """The records of the type that was asked for."""
        asked = self.question.rrtype
        return tuple(r for r in self.response.answer if asked in (r.rrtype, RRType.ANY))

    @property
    def ede(self) -> tuple[tuple[int, str], ...]:
        """The Extended DNS Errors as (code, text)."""
        return edns.errors_of(self.response.edns)


def for_person(answer: Answer, *, dnssec: bool) -> None:
    """Print the records, the outcome in words, and who answered how."""
    rows = [
        (host_text(r.name), type_to_text(r.rrtype), f"{data_to_text(r)}   ({r.ttl} s)")
        for r in answer.response.answer
    ]
    widths = [max((len(row[at]) for row in rows), default=0) for at in (0, 1)]
    for owner, rrtype, data in rows:
        terminal.out(f"{owner.ljust(widths[0])}  {rrtype.ljust(widths[1])}  {data}")
    for line in _outcome(answer):
        terminal.out(line)
    for code, text in answer.ede:
        terminal.out(f"extended error {code}, {ede_name(code)}" + (f": {text}" if text else ""))
    if dnssec:
        terminal.out(_dnssec_sentence(answer))
    terminal.out(f"answered by {answer.endpoint.url} in {milliseconds(answer.elapsed_s)}, {way(answer)}")


def short(answer: Answer) -> None:
    """Print the data of the records that were asked for, one a line."""
    for record in answer.wanted:
        terminal.out(data_to_text(record))


def as_json(answer: Answer) -> None:
    """Print the object that secdns(1) documents under JSON; keys are added, never changed."""
    response = answer.response
    terminal.out_json(
        {
            "name": name.to_text(answer.question.name),
            "type": type_to_text(answer.question.rrtype),
            "status": rcode_text(response.rcode),
            "flags": flag_names(response),
            "answer": [_record_object(r) for r in response.answer],
            "authority": [_record_object(r) for r in response.authority],
            "ede": [{"code": code, "name": ede_name(code), "text": text} for code, text in answer.ede],
            "verdict": _verdict_object(answer),
            "upstream": answer.endpoint.url,
            "transport": answer.endpoint.scheme,
            "encrypted": answer.endpoint.is_encrypted,
            "tls": answer.facts.tls_version,
            "cipher": answer.facts.cipher,
            "alpn": answer.facts.alpn,
            "peer": answer.facts.peer,
            "elapsed_ms": round(answer.elapsed_s * 1000, 3),
            "size_octets": answer.size_octets,
            "failed": [{"upstream": e.url, "error": str(why)} for e, why in answer.failed],
        }
    )


def like_dig(answer: Answer) -> None:
    """Print the whole message in the manner of BIND's dig."""
    response, question = answer.response, answer.question
    counts = (response.question, response.answer, response.authority)
    sizes = ", ".join(
        f"{word}: {len(part)}" for word, part in zip(("QUERY", "ANSWER", "AUTHORITY"), counts, strict=True)
    )
    extra = len(response.additional) + (response.edns is not None)
    out = terminal.out
    asked = f"{name.to_text(question.name)} {type_to_text(question.rrtype)}"
    out(f"; <<>> secdns {__version__} <<>> {asked} @{answer.endpoint.url}")
    out(f";; ->>HEADER<<- opcode: QUERY, status: {rcode_text(response.rcode)}, id: {response.id}")
    out(f";; flags: {' '.join(flag_names(response))}; {sizes}, ADDITIONAL: {extra}")
    out()
    _dig_edns(answer)
    out(";; QUESTION SECTION:")
    for q in response.question:
        out(_dig_columns(f";{name.to_text(q.name)}", "", class_to_text(q.rrclass), type_to_text(q.rrtype)))
    out()
    for title, records in (
        ("ANSWER", response.answer),
        ("AUTHORITY", response.authority),
        ("ADDITIONAL", response.additional),
    ):
        if records:
            out(f";; {title} SECTION:")
            for record in records:
                out(_zone_line(record))
            out()
    out(f";; Query time: {round(answer.elapsed_s * 1000)} msec")
    peer = answer.facts.peer or answer.endpoint.host
    out(
        f";; SERVER: {peer}#{answer.endpoint.port}({answer.endpoint.host}) ({answer.endpoint.scheme.upper()})"
    )
    out(f";; WHEN: {time.strftime('%a %b %d %H:%M:%S %Z %Y')}")
    out(f";; MSG SIZE  rcvd: {answer.size_octets}")


def host_text(owner: bytes) -> str:
    """Give a name as people write it: without the final dot, but for the root."""
    text = name.to_text(owner)
    return text if text == "." else text[:-1]


def ede_name(code: int) -> str:
    """Give the registry's name of an Extended DNS Error."""
    return EDE_NAMES[code] if code < len(EDE_NAMES) else f"code {code}"


def flag_names(response: Message) -> list[str]:
    """Give the header's flags in the order in which they stand."""
    flags = {
        "qr": response.is_response,
        "aa": response.aa,
        "tc": response.truncated,
        "rd": response.rd,
        "ra": response.ra,
        "ad": response.ad,
        "cd": response.cd,
    }
    return [flag for flag, is_set in flags.items() if is_set]


def milliseconds(seconds: float) -> str:
    """Give a duration with as many digits as it deserves."""
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def way(answer: Answer) -> str:
    """Tell how the answer travelled: transport and TLS version, or that it was in plain."""
    words = [TRANSPORTS[answer.endpoint.scheme]]
    if answer.endpoint.is_encrypted:
        words.append(answer.facts.tls_version or "TLS version unknown")
    else:
        words.append("not encrypted")
    return ", ".join(words)


def _outcome(answer: Answer) -> list[str]:
    """Say in words what the records alone do not say."""
    response = answer.response
    asked = host_text(answer.question.name)
    target = host_text(_chain_end(answer))
    if response.rcode == RCode.NXDOMAIN:
        lines = [f"{target} does not exist (NXDOMAIN)"]
    elif response.rcode != RCode.NOERROR:
        why = _FAILURES.get(RCode(response.rcode)) if response.rcode in set(RCode) else None
        lines = [
            f"no answer for {asked}: {why or 'the upstream reports an error'} ({rcode_text(response.rcode)})"
        ]
    elif not answer.wanted:
        lines = [f"{target} has no record of type {type_to_text(answer.question.rrtype)} (NODATA)"]
    else:
        lines = []
    if response.truncated:
        lines.append("this answer is incomplete: it was cut to fit a datagram; try --tcp")
    return lines


def _chain_end(answer: Answer) -> bytes:
    """Follow the CNAMEs from QNAME to the name that the outcome is about."""
    aliases = {r.name.lower(): r.rdata for r in answer.response.answer if r.rrtype == RRType.CNAME}
    at = answer.question.name
    while answer.question.rrtype != RRType.CNAME and at.lower() in aliases:
        at = aliases.pop(at.lower())  # each is followed once, so a loop ends
    return at


def _dnssec_sentence(answer: Answer) -> str:
    said = (
        "the upstream says so too (AD)"
        if answer.response.ad
        else "the upstream does not vouch for it (no AD)"
    )
    if answer.judged is None:
        return f"DNSSEC: this answer cannot be judged; {said}"
    verdict = answer.judged.verdict
    why = f": {verdict.reason.text}" if verdict.reason is not None else ", every signature is good"
    return f"DNSSEC: {verdict.status.value}{why}; {said}"


def _verdict_object(answer: Answer) -> dict[str, object] | None:
    if answer.judged is None:
        return None
    verdict = answer.judged.verdict
    reason = verdict.reason
    return {
        "status": verdict.status.value,
        "reason": None if reason is None else reason.text,
        "ede": None if reason is None or reason.ede is None else int(reason.ede),
    }


def _record_object(record: Record) -> dict[str, object]:
    return {
        "name": name.to_text(record.name),
        "type": type_to_text(record.rrtype),
        "class": class_to_text(record.rrclass),
        "ttl_s": record.ttl,
        "data": data_to_text(record),
    }


def _dig_edns(answer: Answer) -> None:
    opt = answer.response.edns
    if opt is None:
        return
    terminal.out(";; OPT PSEUDOSECTION:")
    terminal.out(f"; EDNS: version: {opt.version}, flags:{' do' if opt.do else ''}; udp: {opt.size}")
    for code, text in answer.ede:
        terminal.out(f"; EDE: {code} ({ede_name(code)})" + (f": ({text})" if text else ""))


def _zone_line(r: Record) -> str:
    owner, kind = name.to_text(r.name), type_to_text(r.rrtype)
    return _dig_columns(owner, str(r.ttl), class_to_text(r.rrclass), kind, data_to_text(r))


def _dig_columns(owner: str, *rest: str) -> str:
    """Set the parts of a record as dig does, with columns instead of tabs."""
    line = owner.ljust(23)
    for cell in rest:
        line = f"{line} {cell.ljust(7)}"
    return line.rstrip()
