"""Turn a verdict and the steps that led to it into sentences for somebody who never heard of RRSIG.

Whose fault is it, and what can be done? Both depend on where the chain broke and how, never on
the words of whoever sent the answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secdns.dns.message import Question
from secdns.dns.name import ROOT, labels, to_text
from secdns.dnssec.anchors import DS
from secdns.dnssec.chain import Link
from secdns.dnssec.rrsig import Key, Signature
from secdns.dnssec.times import ahead, shown
from secdns.dnssec.verdict import Reason, Status, Verdict
from secdns.iana import EDE, DNSSECAlgorithm, RRType, type_text
from secdns.reasons import remedy_of


@dataclass(frozen=True, slots=True)
class Step:
    """One step from the root to the name: what was checked, what it is worth, and the details."""

    title: str
    status: Status
    details: tuple[str, ...]
    reason: str | None = None
    depth: int = 0  # labels of the zone whose keys checked it: how far down the tree


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a verdict means. ``remedy`` is what a person can do, None where nothing need be done."""

    status: Status
    summary: str
    remedy: str | None
    steps: tuple[Step, ...]


def explain(question: Question, verdict: Verdict, trail: Sequence[Link], wall: int) -> Explanation:
    """Say what ``verdict`` means, and show the steps of ``trail`` in their order."""
    name = to_text(question.name)
    summary, remedy = _meaning(name, verdict)
    return Explanation(verdict.status, summary, remedy, tuple(_step(link, wall) for link in trail))


# What it means.


def _meaning(name: str, verdict: Verdict) -> tuple[str, str | None]:
    reason = verdict.reason
    match verdict.status:
        case Status.SECURE:
            return (
                f"the answer for {name} is genuine: every signature from the trust anchor down to it is good",
                None,
            )
        case Status.INSECURE:
            why = reason.text if reason else f"{name} is not signed"
            return f"the answer for {name} cannot be checked: {why}", (
                "nothing is wrong; only the owner of the zone can have it signed. "
                "Until then the answer is as trustworthy as the upstream that gave it"
            )
        case Status.INDETERMINATE:
            why = reason.text if reason else "what is needed to check it could not be had"
            return f"it cannot be told whether the answer for {name} is genuine: {why}", (
                "ask again in a moment; if it stays, try another upstream: `secdns explain NAME @UPSTREAM`"
            )
        case _:
            reason = reason or Reason(EDE.DNSSEC_BOGUS, "it fails validation")
            return f"the answer for {name} is refused: {reason.text}", remedy_of(reason.ede)


# The steps.


def _step(link: Link, wall: int) -> Step:
    reason = link.reason.text if link.reason else None
    return Step(_title(link), link.status, tuple(_details(link, wall)), reason, len(labels(link.zone)))


def _title(link: Link) -> str:
    owner = to_text(link.owner)
    zone = to_text(link.zone)
    match link.rrtype:
        case RRType.DNSKEY:
            return f"the keys of {owner}"
        case RRType.DS if link.ds:
            return f"{zone} vouches for {owner}"
        case RRType.DS:
            return f"{zone} about {owner}"
        case 0:
            return f"{zone} denies {owner}"
        case rrtype:
            return f"{owner} {type_text(rrtype)}"


def _details(link: Link, wall: int) -> Iterator[str]:
    if link.rrtype == RRType.DS:
        yield from (_ds(ds) for ds in link.ds)
    if link.rrtype == RRType.DNSKEY:
        yield from (_key(key, link.ds) for key in link.keys)
    for signature in link.signatures:
        mark = "good " if link.by is not None and link.by.signature is signature else ""
        yield f"{mark}{_signature(signature, wall)}"
    if link.by is not None and link.by.expanded_from is not None:
        yield f"made from the wildcard {to_text(link.by.expanded_from)}"


def _ds(ds: DS) -> str:
    return f"DS: key {ds.key_tag}, {_algorithm(ds.algorithm)}, digest type {ds.digest_type}"


def _key(key: Key, anchors: Sequence[DS]) -> str:
    role = "entry point" if key.is_secure_entry_point else "zone key" if key.is_zone_key else "no zone key"
    fits = ", fits the DS" if any(ds.key_tag == key.tag for ds in anchors) else ""
    if fits and key.zone == ROOT:
        fits = ", fits the trust anchor"
    revoked = ", revoked" if key.is_revoked else ""
    return f"key {key.tag}: {_algorithm(key.algorithm)}, {role}{fits}{revoked}"


def _signature(signature: Signature, wall: int) -> str:
    begin = shown(wall + ahead(signature.inception, wall))
    end = shown(wall + ahead(signature.expiration, wall))
    return f"signature by key {signature.key_tag} of {to_text(signature.signer)}, {begin} to {end}"


def _algorithm(number: int) -> str:
    try:
        return DNSSECAlgorithm(number).name
    except ValueError:
        return f"algorithm {number}"
