"""Say in one sentence what is wrong and in another what helps: the one place for it.

Transport errors, Extended DNS Errors and the state of the network come in, words for a person go out;
what an upstream or a zone wrote is cleaned here first.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from secdns.errors import (
    AuthenticationError,
    ConnectError,
    ConnectionLost,
    DeadlineExceeded,
    Overloaded,
    ProtocolError,
    StatusError,
    TransportError,
)
from secdns.iana import EDE

MAX_WORDS: Final = 300  # characters of what somebody else wrote
SIGN_IN: Final = "sign-in needed: this network lets nobody through before"


class Told(NamedTuple):
    """One sentence, and what a person can do; None where there is nothing to do."""

    sentence: str
    remedy: str | None = None


_BROKEN_OR_CHANGED: Final = (
    "either the answer was changed on the way or the zone is broken; if another upstream "
    "says the same, it is the zone: `secdns explain NAME @UPSTREAM`"
)
_STRIPPED: Final = (
    "somebody on the way removes signatures, or the zone's servers are broken; "
    "try another upstream: `secdns explain NAME @UPSTREAM`"
)
_OTHER_UPSTREAM: Final = "try another upstream: `secdns upstreams test`, then `secdns use NAME`"
_SET_CLOCK: Final = "set it, and have it kept right: sudo timedatectl set-ntp true"
_LOOK_AT_NETWORK: Final = "look whether this machine is on a network, and whether that has a sign-in page"

# Code -> what is wrong, as the end of a sentence that begins with "NAME: ", and what helps.
_ERRORS: Final[dict[int, Told]] = {
    EDE.UNSUPPORTED_DNSKEY_ALGORITHM: Told("it is signed in a way that cannot be checked"),
    EDE.UNSUPPORTED_DS_DIGEST_TYPE: Told("it is signed in a way that cannot be checked"),
    EDE.STALE_ANSWER: Told("an older answer was given, nobody has a fresh one", _OTHER_UPSTREAM),
    EDE.FORGED_ANSWER: Told("somebody put another answer in its place", _OTHER_UPSTREAM),
    EDE.DNSSEC_INDETERMINATE: Told(
        "it could not be told whether the answer is genuine",
        "ask again in a moment; if it stays, try another upstream: `secdns explain NAME @UPSTREAM`",
    ),
    EDE.DNSSEC_BOGUS: Told("its signatures do not fit", _BROKEN_OR_CHANGED),
    EDE.SIGNATURE_EXPIRED: Told(
        "its signatures have expired",
        "the operator of that zone has to sign it anew, nobody else can; "
        "if many names say so, the clock of this machine is fast",
    ),
    EDE.SIGNATURE_NOT_YET_VALID: Told(
        "its signatures are not valid yet",
        "look at the clock of this machine first: it may be slow; else the zone's operator is at fault",
    ),
    EDE.DNSKEY_MISSING: Told(
        "its key is not the one that the zone above vouches for",
        "the zone and the zone above it contradict each other, most often after a change of "
        "keys or of the DNS provider; its operator has to put that right",
    ),
    EDE.RRSIGS_MISSING: Told("its signatures are missing", _STRIPPED),
    EDE.NO_ZONE_KEY_BIT_SET: Told("its key may not sign a zone", _BROKEN_OR_CHANGED),
    EDE.NSEC_MISSING: Told("the proof that there is no such record is missing", _STRIPPED),
    EDE.CACHED_ERROR: Told("it failed a moment ago and is not asked again yet", "try again in a moment"),
    EDE.NOT_READY: Told("the resolver is starting or stopping", "try again in a moment"),
    EDE.BLOCKED: Told("it is blocked by the configuration of secdns"),
    EDE.CENSORED: Told("the upstream must not answer for it, by an order from outside", _OTHER_UPSTREAM),
    EDE.FILTERED: Told("the upstream filters it, as its operator says it does", _OTHER_UPSTREAM),
    EDE.PROHIBITED: Told("the upstream does not serve this machine", _OTHER_UPSTREAM),
    EDE.STALE_NXDOMAIN_ANSWER: Told("an older denial was given, nobody has a fresh one", _OTHER_UPSTREAM),
    EDE.NOT_AUTHORITATIVE: Told("it was asked for in a way that is not served"),
    EDE.NOT_SUPPORTED: Told("what was asked for is not served"),
    EDE.NO_REACHABLE_AUTHORITY: Told(
        "nobody who knows it answered in time", "its own servers may be down; try again in a moment"
    ),
    EDE.NETWORK_ERROR: Told("no upstream could be asked", _LOOK_AT_NETWORK),
    EDE.INVALID_DATA: Told("the answer could not be read", _OTHER_UPSTREAM),
    EDE.UNSUPPORTED_NSEC3_ITERATIONS: Told("its denials cost too much to check"),
}
_SIGN_IN: Final = Told(
    SIGN_IN, "open its page: `secdns portal`; it lets names out in plain for five minutes at most"
)
_UNKNOWN: Final = Told("it could not be answered", "try again in a moment")

# The first class that fits. A sentence that begins with the upstream's name.
_FAILURES: Final[tuple[tuple[type[TransportError], Told], ...]] = (
    (
        AuthenticationError,
        Told(
            "is not who it should be: its certificate does not fit, so it was told nothing",
            "a sign-in page or a filter on this network may stand in its place; choose another network",
        ),
    ),
    (ConnectError, Told("cannot be reached from this network", _LOOK_AT_NETWORK)),
    (ConnectionLost, Told("broke the connection off before it answered", _OTHER_UPSTREAM)),
    (DeadlineExceeded, Told("does not answer in time", _OTHER_UPSTREAM)),
    (ProtocolError, Told("answers in a way that cannot be used", _OTHER_UPSTREAM)),
    (StatusError, Told("refuses to answer", _OTHER_UPSTREAM)),
    (Overloaded, Told("is asked more than it takes", "try again in a moment")),
    (TransportError, Told("does not answer", _OTHER_UPSTREAM)),
)


def clean(text: str) -> str:
    """Make what somebody else wrote harmless: no control, format or bidirectional character, not long."""
    return "".join(char for char in text[:MAX_WORDS] if char.isprintable())


def of_error_code(code: int, text: str = "") -> Told:
    """Say what an Extended DNS Error means (RFC 8914); ``text`` is its own, which may say it better."""
    if text == SIGN_IN and code == EDE.NETWORK_ERROR:  # what others wrote never stands alone
        return _SIGN_IN
    told = _ERRORS.get(code, _UNKNOWN)
    words = clean(text)
    if not words:
        return told
    return Told(words if told is _UNKNOWN else f"{told.sentence} ({words})", told.remedy)


def remedy_of(code: int | None) -> str:
    """Say what helps against an answer that was refused for this Extended DNS Error."""
    told = _ERRORS.get(EDE.DNSSEC_BOGUS if code is None else code)
    return (told and told.remedy) or _BROKEN_OR_CHANGED


def of_failure(upstream: str, error: TransportError) -> Told:
    """Say why an upstream gave no answer."""
    told = next(told for kind, told in _FAILURES if isinstance(error, kind))
    words = clean(error.brief)
    sentence = f"{upstream} {told.sentence}" + (f" ({words})" if words else "")
    return Told(sentence, error.hint or told.remedy)


def when_secure(upstream: str, protocol: str, dnssec: bool) -> Told:
    """Say that all is well."""
    checked = "signatures are checked here" if dnssec else "signatures are not checked"
    return Told(f"questions go encrypted to {upstream} by {protocol}; {checked}")


def when_checking(upstream: str) -> Told:
    """Say that nothing is known yet."""
    return Told(f"nothing was asked on this network yet; {upstream} will be")


def when_paused(left: str, resolvers: Sequence[str]) -> Told:
    """Say that a pause is on."""
    return Told(
        f"paused for another {left}: questions go unencrypted to {', '.join(resolvers)}, "
        "and nothing is checked",
        "it ends by itself; to end it now: `secdns resume`",
    )


def when_signed_out(page: str | None) -> Told:
    """Say that nothing gets through before somebody signs in; ``page`` is the host that wants it."""
    where = f" at {clean(page)}" if page else ""
    sentence = f"this network wants you to sign in{where}; no upstream can be reached before"
    return Told(sentence, _SIGN_IN.remedy)


def when_signing_in(left: str, resolvers: Sequence[str], plain: int) -> Told:
    """Say that names go out in plain so that somebody can sign in; ``plain`` is how many did."""
    return Told(
        f"signing in: for another {left} at most questions go unencrypted to {', '.join(resolvers)}, "
        f"{plain} did so far",
        "it ends by itself with the first encrypted answer; to end it now: `secdns resume`",
    )


def when_vpn(vpn: str, rest: Told) -> Told:
    """Say that a VPN wants every name; ``rest`` is how things are besides."""
    return Told(
        f"the VPN {clean(vpn)} wants to be asked for every name, and the system may ask it as well; "
        f"here {rest.sentence}",
        "to let it have DNS for as long as it is up: `secdns system off`",
    )


def when_offline(gone: str) -> Told:
    """Say that there is no network; ``gone`` says so, too."""
    return Told(gone, _LOOK_AT_NETWORK)


def when_clock_is_wrong(says: str) -> Told:
    """Say that the clock shows a time before this version was made."""
    return Told(f"the clock of this machine says {says}, which cannot be", _SET_CLOCK)


def when_certificates_are_untimely(is_early: bool) -> Told:
    """Say that no upstream's certificate fits the clock."""
    flaw = "is not valid yet, so it is slow" if is_early else "has ended, so it is fast"
    return Told(f"the clock of this machine is wrong: by it every upstream's certificate {flaw}", _SET_CLOCK)


def when_signatures_are_untimely(is_early: bool) -> Told:
    """Say that names of several zones were refused for times of their signatures."""
    flaw, way = ("are not valid yet", "slow") if is_early else ("have expired", "fast")
    sentence = f"the clock of this machine seems to be {way}: by it the signatures of several zones {flaw}"
    return Told(sentence, _SET_CLOCK)


def when_failing(upstreams: Sequence[str], last: Told | None) -> Told:
    """Say that no upstream answers; ``last`` is about the last one that failed."""
    who = f"{upstreams[0]} does not answer" if len(upstreams) == 1 else "no upstream answers"
    if last is None:
        return Told(who, _LOOK_AT_NETWORK)
    return Told(f"{who}: {last.sentence}", last.remedy)
