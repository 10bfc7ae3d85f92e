"""Read off upstreams and failures what a person wants to know: health, latency, what went wrong and why."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from secdns import BUILT_AT, reasons
from secdns.control.schema import Clock, FailureInfo, Health, Problem, UpstreamInfo, Why
from secdns.dns.edns import EDNS, errors_of, options_from_wire
from secdns.dns.message import Question
from secdns.dns.name import labels, to_text
from secdns.dns.peek import read_query
from secdns.dnssec.times import shown
from secdns.errors import AuthenticationError, FormatError
from secdns.forwarder import Forwarder
from secdns.iana import EDE, RRType, rcode_text, type_text
from secdns.policy import Answer, Refuse, RouteTo
from secdns.reasons import Told
from secdns.troubles import Trouble, Troubles
from secdns.upstream import Upstream

if TYPE_CHECKING:
    from secdns.validation import ValidatingGroup

UNTIMELY_S: Final = 600.0  # that names refused for a date count against the clock …
UNTIMELY_ZONES: Final = 3  # … if they are of so many zones: one alone is the fault of its operator
TOGETHER_S: Final = 1.0  # between an upstream's failure and that of the name that was asked for
_PROTOCOLS: Final = {"tls": "DoT", "h3": "DoH (HTTP/3)", "quic": "DoQ", "udp": "plain", "tcp": "plain"}
_TYPES: Final = (
    RRType.A,
    RRType.AAAA,
    RRType.HTTPS,
    RRType.MX,
    RRType.TXT,
    RRType.SRV,
)  # that `why` looks for
_UNTIMELY: Final = (EDE.SIGNATURE_NOT_YET_VALID, EDE.SIGNATURE_EXPIRED)
# What `secdns dnssec allow` is the way around.
_DNSSEC: Final = frozenset(
    {
        EDE.DNSSEC_BOGUS,
        EDE.SIGNATURE_EXPIRED,
        EDE.SIGNATURE_NOT_YET_VALID,
        EDE.DNSKEY_MISSING,
        EDE.RRSIGS_MISSING,
        EDE.NO_ZONE_KEY_BIT_SET,
        EDE.NSEC_MISSING,
        EDE.DNSSEC_INDETERMINATE,
    }
)


def protocol(member: Upstream) -> str:
    """Give what an upstream's answers come over, for a person."""
    scheme = member.endpoint.scheme
    if scheme == "https":
        return "DoH (HTTP/3)" if member.transport.facts().alpn == "h3" else "DoH (HTTP/2)"
    return _PROTOCOLS[scheme]


def health(member: Upstream, now: float) -> Health:
    """Give how an upstream is; ``now`` is of the event loop's clock."""
    if member.failures or member.broken_until > now or member.not_before > now:
        return "failing"
    if member.quarantine_until > now or member.back_at > now:
        return "distrusted"
    return "well" if _has_answered(member) else "unknown"


def health_of_all(members: Sequence[Upstream]) -> Literal["unknown", "well", "failing"]:
    """Give how they are together: it takes one that is well."""
    if any(_has_answered(member) and not member.failures for member in members):
        return "well"
    return "failing" if any(member.failures for member in members) else "unknown"


def in_use(members: Sequence[Upstream], now: float, *, is_ordered: bool) -> Upstream:
    """Give whom the next question goes to; where names are spread, who answered last."""
    willing = [member for member in members if health(member, now) in ("well", "unknown")] or members
    return willing[0] if is_ordered else max(willing, key=lambda member: member.answered_at)


def last_failure(members: Sequence[Upstream]) -> Told | None:
    """Say why the last one that failed did."""
    failed = [member for member in members if member.last_error is not None]
    if not failed:
        return None
    last = max(failed, key=lambda member: member.failed_at)
    return _failure(last)


def info(
    member: Upstream, now: float, *, is_first: bool, is_in_use: bool, is_configured: bool
) -> UpstreamInfo:
    """Give what is known about an upstream; ``now`` is of the event loop's clock."""
    facts = member.transport.facts()
    back_in_s = max(member.back_at, member.not_before) - now
    failure = _failure(member)
    return UpstreamInfo(
        name=member.name,
        url=member.endpoint.url,
        protocol=protocol(member),
        health=health(member, now),
        is_first=is_first,
        is_in_use=is_in_use,
        is_connected=facts.is_open,
        is_configured=is_configured,
        p50_ms=_milliseconds(member.trip.percentile_s(0.5)),
        p95_ms=_milliseconds(member.trip.percentile_s(0.95)),
        last_answer_s=round(now - member.answered_at, 1) if member.answered_at else None,
        back_in_s=round(back_in_s, 1) if back_in_s > 0 else None,
        tls=facts.tls_version,
        last_failure=None if failure is None else failure.sentence,
    )


def problem(
    trouble: Trouble | None,
    members: Sequence[Upstream],
    *,
    now: float,
    boot: float,
    wall: float,
    with_name: bool,
) -> Problem | None:
    """Give the last thing that went wrong: with a name, or with an upstream.

    ``now``, ``boot`` and ``wall`` are the same moment by the event loop's clock, the cache's and the world's.
    """
    failed = [member for member in members if member.last_error is not None]
    latest = max(failed, key=lambda member: member.failed_at, default=None)
    if trouble is not None and (latest is None or boot - trouble.at <= now - latest.failed_at + TOGETHER_S):
        code, text = _error(trouble)
        told = reasons.of_error_code(code, text if with_name else "")
        name = to_text(trouble.name) if with_name else None
        sentence = f"{name or 'a name'}: {told.sentence}"
        at = round(wall - (boot - trouble.at))
        return Problem(at, sentence, _fitted(told.remedy, name), name, with_name and code in _DNSSEC)
    if latest is not None and (said := _failure(latest)) is not None:
        return Problem(round(wall - (now - latest.failed_at)), said.sentence, said.remedy)
    return None


def clock(
    members: Sequence[Upstream], troubles: Troubles, *, boot: float, wall: float, is_checked: bool
) -> Clock | None:
    """Tell whether the clock is wrong, as far as that shows; ``is_checked``: signatures are."""
    if wall < BUILT_AT:
        return _clock(reasons.when_clock_is_wrong(shown(int(wall))), is_certain=True)
    failing = [member.last_error for member in members if member.failures and member.last_error is not None]
    untimely = {error.untimely for error in failing if isinstance(error, AuthenticationError)}
    is_all = len(failing) == len(members) and all(isinstance(error, AuthenticationError) for error in failing)
    # One upstream alone may have forgotten to renew its certificate; nobody has one that begins tomorrow.
    if is_all and (untimely == {"early"} or (untimely == {"late"} and len(members) > 1)):
        return _clock(reasons.when_certificates_are_untimely("early" in untimely), is_certain=True)
    for code in _UNTIMELY if is_checked else ():
        zones = {
            labels(trouble.name)[-2:]
            for trouble in troubles.since(boot - UNTIMELY_S)
            if _error(trouble)[0] == code
        }
        if len(zones) >= UNTIMELY_ZONES:
            told = reasons.when_signatures_are_untimely(code == EDE.SIGNATURE_NOT_YET_VALID)
            return _clock(told, is_certain=False)
    return None


def _clock(told: Told, *, is_certain: bool) -> Clock:
    return Clock(told.sentence, told.remedy, is_certain)


def why(
    name: bytes,
    forwarder: Forwarder,
    validating: "ValidatingGroup | None",
    *,
    boot: float,
    wall: float,
    gone: str,
) -> Why:
    """Tell what is known about ``name``, in wire form and lower case; ``gone`` as in ``Outlook``."""
    text = to_text(name)
    failures = tuple(_told(trouble, text, boot, wall) for trouble in forwarder.troubles.of(name))
    decision = _decision(name, forwarder, boot)
    held = _held(name, forwarder, boot)
    if decision is not None:
        sentence, remedy = f"{text}: {decision}", None
    elif failures:
        sentence, remedy = f"{text}: {failures[0].sentence}", failures[0].remedy
    elif gone:
        sentence, remedy = reasons.when_offline(gone)
    elif held:
        sentence, remedy = f"{text} was answered: {', '.join(held)}", None
    else:
        sentence = f"nothing is held against {text}: it did not fail lately, or was not asked for"
        remedy = f"to look it up now: `secdns explain {text}`"
    return Why(text, sentence, remedy, failures, decision, _waived_s(name, validating, boot), held)


def _waived_s(name: bytes, validating: "ValidatingGroup | None", boot: float) -> float | None:
    """Give for how long a name's signatures are not checked; 0 for good, None if they are."""
    if validating is None:
        return None
    anchors = validating.trust.anchors
    zone = anchors.covers(name, boot)
    if zone is None:
        return None
    until = anchors.waived[zone]
    return 0.0 if until is None else round(until - boot, 1)


def _decision(name: bytes, forwarder: Forwarder, boot: float) -> str | None:
    """Say what the configuration or a standard decides on a name."""
    match forwarder.routing.policies.decide(Question(name, RRType.A), boot):
        case Answer(reason=reason, ede=ede):
            return reason or (ede[0][1] if ede else "it is answered here")
        case Refuse(text=text):
            return text
        case RouteTo():
            return "a [[route]] of the configuration sends it to an upstream of its own"
        case _:
            return None


def _held(name: bytes, forwarder: Forwarder, boot: float) -> tuple[str, ...]:
    """Give the types that a fresh answer is held for, with what it is worth."""
    found = []
    for rrtype in _TYPES:
        query = read_query(bytes(2) + b"\1\0\0\1" + bytes(6) + name + rrtype.to_bytes(2) + b"\0\1")
        if query is None:
            continue
        key = forwarder.cache.key(query)
        entry = forwarder.cache.find(key, boot)
        if entry is None:  # one of before a reload, that will be looked at again before it is given
            entry = next((one for one in forwarder.cache.older(key) if boot < one.expires), None)
        if entry is not None and not entry.is_failure:
            signed = ", signed" if entry.secure else ""
            found.append(f"{type_text(rrtype)} ({rcode_text(entry.rcode)}{signed})")
    return tuple(found)


def _told(trouble: Trouble, name: str, boot: float, wall: float) -> FailureInfo:
    code, text = _error(trouble)
    told = reasons.of_error_code(code, text)
    at = round(wall - (boot - trouble.at))
    remedy = _fitted(told.remedy, name)
    is_dnssec = code in _DNSSEC
    return FailureInfo(at, type_text(trouble.rrtype), code, told.sentence, remedy, text, is_dnssec)


def _error(trouble: Trouble) -> tuple[int, str]:
    """Give code and text of the Extended DNS Error that the client got."""
    try:
        found = errors_of(EDNS(options=options_from_wire(trouble.options)))
    except FormatError:
        found = ()
    return found[0] if found else (int(EDE.OTHER), "")


def _fitted(remedy: str | None, name: str | None) -> str | None:
    """Put the name where a remedy says NAME of one."""
    return remedy if remedy is None or name is None else remedy.replace("explain NAME", f"explain {name}")


def _failure(member: Upstream) -> Told | None:
    error = member.last_error
    return None if error is None else reasons.of_failure(member.name, error)


def _has_answered(member: Upstream) -> bool:
    return member.answered_at > member.reset_at


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
