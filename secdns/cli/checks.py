"""Judge an upstream by what it answers: the list of checks, each passed, failed or left out.

Nothing here asks or waits; ``probing`` does. The names that are asked for are those of one signed
top-level domain, of the root, and of one large record set, so that no test domain of anybody's
learns who tests which upstream.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from secdns.cli.answer import host_text, milliseconds
from secdns.cli.certificate import Certificate
from secdns.cli.records import type_to_text
from secdns.dns import name as names
from secdns.dns.message import Message, Question
from secdns.endpoint import Endpoint
from secdns.errors import FormatError
from secdns.iana import EDNSOption, RCode, RRType, rcode_text
from secdns.transport import Facts

SIGNED: Final = "org"
"""The zone that is asked for, and for names that do not exist in it.

A top-level domain, because every resolver knows it and asking for it tells nothing about anybody; a
signed one, so that its absence of a name can be proven. ``invalid`` will not do (RFC 6761 §6.4):
resolvers make up its NXDOMAIN themselves, without proof, and those who rewrite NXDOMAIN do so for
names that people mistype.
"""
LARGE: Final = (("org", RRType.DNSKEY), ("microsoft.com", RRType.TXT), (".", RRType.DNSKEY))
"""Record sets that are often over ``LARGE_OCTETS`` with their signatures; the first that is counts."""

LARGE_OCTETS: Final = 1232  # what fits a datagram (RFC 9715 §3.1)
PADDING_BLOCK: Final = 468  # octets, of responses (RFC 8467 §4.1)
MIN_IDLE_S: Final = 1.0  # "on the order of a few seconds" is wanted (RFC 7766 §6.2.3)

_SIGNATURES_HINT: Final = (
    "DNSSEC cannot be checked through it: let it pass signatures on if it is your own, else take one "
    "whose dnssec is yes in `secdns upstreams`"
)


class Result(Enum):
    """What came of a check."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result, what was seen in words, and what to do about it where something can be done."""

    result: Result
    text: str
    hint: str | None = None


class Ask(NamedTuple):
    """A question to put; ``dnssec`` asks for signatures and for no judgement (DO and CD)."""

    question: Question
    dnssec: bool


@dataclass(frozen=True, slots=True)
class Names:
    """What is asked for, in wire form; ``absent`` and ``mistyped`` are below ``signed``, and nobody's."""

    signed: bytes
    absent: bytes
    mistyped: bytes
    large: tuple[tuple[bytes, int], ...]


Asks = Callable[[Names], tuple[Ask, ...]]


@dataclass(frozen=True, slots=True)
class Idle:
    """How an idle connection fared: open for ``seconds`` at least, and whether it ended then.

    ``was_silent`` says that it looked open but was not.
    """

    seconds: float
    ended: bool
    was_silent: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check may look at. ``response`` is the answer to its question and has ``size_octets``.

    ``elapsed_s`` is what that took. ``now`` is the wall clock's time.
    """

    endpoint: Endpoint
    facts: Facts
    certificate: Certificate | None = None
    response: Message | None = None
    size_octets: int = 0
    elapsed_s: float = 0.0
    idle: Idle | None = None
    now: float = 0.0

    @property
    def rcode(self) -> int:
        """The RCODE of the response."""
        return RCode.SERVFAIL if self.response is None else self.response.rcode

    @property
    def is_signed(self) -> bool:
        """Tell whether a signature came with the response."""
        return self._has(RRType.RRSIG)

    @property
    def is_proven(self) -> bool:
        """Tell whether a proof came that there is nothing, with its signature."""
        return self.is_signed and (self._has(RRType.NSEC) or self._has(RRType.NSEC3))

    def _has(self, rrtype: int) -> bool:
        response = self.response
        return response is not None and any(
            record.rrtype == rrtype for record in (*response.answer, *response.authority)
        )


@dataclass(frozen=True, slots=True)
class Check:
    """One property of an upstream.

    ``asks`` are the questions it wants answered, one after the other until ``judge`` has an opinion;
    without any it looks at the connection. ``waits`` wants the connection to idle first.
    """

    name: str
    judge: Callable[[Seen], Outcome]
    asks: Asks | None = None
    waits: bool = False


def passed(text: str) -> Outcome:
    """Give the outcome of a check that found what it should."""
    return Outcome(Result.PASS, text)


def failed(text: str, hint: str) -> Outcome:
    """Give the outcome of a check that found something wrong, and what to do about it."""
    return Outcome(Result.FAIL, text, hint)


def skipped(text: str) -> Outcome:
    """Give the outcome of a check that could not or need not be made."""
    return Outcome(Result.SKIPPED, text)


# of the connection


def _reachable(seen: Seen) -> Outcome:
    if seen.rcode != RCode.NOERROR:
        return failed(
            f"it answers {rcode_text(seen.rcode)} to a name that exists",
            "it may serve its own customers only, or be in trouble: take another upstream",
        )
    query = f"query {milliseconds(seen.elapsed_s)}"
    handshake_s = seen.facts.handshake_s
    return passed(query if handshake_s is None else f"handshake {milliseconds(handshake_s)}, {query}")


def _encrypted(seen: Seen) -> Outcome:
    facts = seen.facts
    if not seen.endpoint.is_encrypted:
        return failed(
            "plain DNS: everybody on the way can read and change it",
            "reach it by tls://, https:// or quic:// if it offers that",
        )
    return passed(
        f"{facts.tls_version or 'TLS version unknown'}, {facts.cipher or 'cipher unknown'}, "
        f"key exchange {facts.key_exchange or 'unknown'}, ALPN {facts.alpn or 'none'}"
    )


def _certificate(seen: Seen) -> Outcome:
    if seen.certificate is None:
        return skipped("plain DNS has none" if not seen.endpoint.is_encrypted else "it showed none")
    subject, issuer = seen.certificate.subject, seen.certificate.issuer
    days = seen.certificate.days_left(seen.now)
    return passed(f"{subject}, from {issuer}, until {seen.certificate.last_day} ({days} days)")


def _pin(seen: Seen) -> Outcome:
    if seen.certificate is None:
        return skipped("there is no key to pin")
    pin = seen.certificate.pin_sha256
    if pin in seen.endpoint.pin_sha256:
        return passed(f"{pin} is configured")
    return skipped(f'not pinned; to pin it: pin_sha256 = ["{pin}"]')


def _padding(seen: Seen) -> Outcome:
    if not seen.endpoint.is_encrypted:
        return skipped("plain DNS needs none")
    if _padding_octets(seen) is None:
        return failed(
            "responses are not padded: their size tells an observer what was asked",
            "see whether it can pad if it is your own, else take one that does where that matters to you",
        )
    if seen.size_octets % PADDING_BLOCK == 0:
        return passed(f"responses are padded to a multiple of {PADDING_BLOCK} octets")
    return passed(f"responses are padded, this one to {seen.size_octets} octets (RFC 8467: {PADDING_BLOCK})")


def _idle(seen: Seen) -> Outcome:
    if not seen.endpoint.is_encrypted:
        return skipped("plain DNS keeps no connection")
    if seen.facts.idle_limit_s:
        return passed(f"it says that a connection may idle for {seen.facts.idle_limit_s:g} s")
    if seen.idle is None:
        return skipped("takes 10 s, only with --idle")
    seconds = seen.idle.seconds
    if seen.idle.was_silent:
        return failed(
            f"a connection that idled for {seconds:.1f} s is dead, and nothing said so",
            "something on the way forgets connections, such as a router; each pause may cost seconds",
        )
    if not seen.idle.ended:
        return passed(f"a connection may idle for {seconds:.0f} s and more; secdns itself closes it then")
    if seconds < MIN_IDLE_S:
        return failed(
            f"it closes a connection that idles for {seconds:.1f} s",
            "each pause costs a new handshake: take another upstream, or raise the time-out of your own",
        )
    return passed(f"it closes a connection that idles for {seconds:.1f} s")


# of the answers


def _signatures(seen: Seen) -> Outcome:
    if seen.is_signed:
        return passed(f"signatures come with {_asked(seen)}")
    return failed(f"no signatures came with {_asked(seen)}{_but(seen)}", _SIGNATURES_HINT)


def _root_keys(seen: Seen) -> Outcome:
    response = seen.response
    keys = () if response is None else [r for r in response.answer if r.rrtype == RRType.DNSKEY]
    if keys and seen.is_signed:
        return passed(f"{len(keys)} keys of the root, with their signature")
    return failed(f"the signed keys of the root did not come{_but(seen)}", _SIGNATURES_HINT)


def _negative_proof(seen: Seen) -> Outcome:
    if seen.response is not None and seen.response.answer:
        return failed("a name that does not exist has an answer", _REWRITE_HINT)
    if seen.is_proven:
        return passed("a signed proof comes with a name that does not exist")
    return failed(f"no signed proof came that a name does not exist{_but(seen)}", _SIGNATURES_HINT)


def _large(seen: Seen) -> Outcome:
    response = seen.response
    if response is None or response.rcode != RCode.NOERROR:
        return skipped(f"{_asked(seen)} is not there to ask for{_but(seen)}")
    if response.truncated:
        return failed(
            f"{_asked(seen)} came truncated, over a transport that can carry all of it",
            "names with large answers will not work, signed ones first: take another upstream",
        )
    octets = seen.size_octets - (_padding_octets(seen) or 0)
    if octets <= LARGE_OCTETS:
        return skipped(f"{_asked(seen)} has {octets} octets today, over {LARGE_OCTETS} are wanted")
    return passed(f"{octets} octets ({_asked(seen)}) came whole")


_REWRITE_HINT: Final = (
    "somebody answers for names that do not exist, the upstream or who is in between: take another upstream"
)


def _nxdomain(seen: Seen) -> Outcome:
    if seen.response is not None and seen.response.answer:
        return failed("a name that does not exist is answered with records of somebody else's", _REWRITE_HINT)
    if seen.rcode in (RCode.NXDOMAIN, RCode.NOERROR):
        return passed(f"a name that does not exist is answered as such ({rcode_text(seen.rcode)})")
    return failed(
        f"a name that does not exist is answered {rcode_text(seen.rcode)}",
        "programs will wait and ask again for every name that is mistyped: take another upstream",
    )


def opening(what: Names) -> Ask:
    """Give the question that every connection begins with."""
    return Ask(Question(what.signed, RRType.SOA), dnssec=False)


def _one(name: Callable[[Names], bytes], rrtype: int, *, dnssec: bool) -> Asks:
    return lambda what: (Ask(Question(name(what), rrtype), dnssec),)


CHECKS: Final = (
    # whether it answers at all, and how fast: without that there is nothing to look at
    Check("reachable", _reachable, lambda what: (opening(what),)),
    # who can read along
    Check("encrypted", _encrypted),
    # who is at the other end, and for how long still
    Check("certificate", _certificate),
    # what a person needs who wants to trust this key alone
    Check("pin", _pin),
    # what an observer learns from sizes; the same response as that of "reachable"
    Check("padding", _padding, lambda what: (opening(what),)),
    # what secdns needs to check signatures: they, the keys they begin with, the proofs of absence
    Check("signatures", _signatures, _one(lambda what: what.signed, RRType.SOA, dnssec=True)),
    Check("root-keys", _root_keys, _one(lambda what: names.ROOT, RRType.DNSKEY, dnssec=True)),
    Check("negative-proof", _negative_proof, _one(lambda what: what.absent, RRType.A, dnssec=True)),
    # where middleboxes and bad servers cut
    Check("large-answer", _large, lambda what: tuple(Ask(Question(*each), True) for each in what.large)),
    # without DO: those who rewrite leave alone whoever asks for proofs
    Check("nxdomain", _nxdomain, _one(lambda what: what.mistyped, RRType.A, dnssec=False)),
    # last, because it waits
    Check("idle", _idle, waits=True),
)
"""Every check in the order in which they are made, on one connection."""


def make_names(labels: tuple[str, str], signed: str | None = None, large: str | None = None) -> Names:
    """Give what to ask for; ``labels`` are two that nobody has. None means the names of everybody.

    Raises:
        FormatError: a name cannot be read.
    """
    zone = names.from_text(signed or SIGNED)
    absent, mistyped = (bytes([len(label)]) + label.encode() + zone for label in labels)
    if len(absent) > names.MAX_NAME:
        raise FormatError(f"{names.to_text(zone)} is too long to have names below it")
    wanted = LARGE if large is None else ((large, RRType.TXT),)
    return Names(zone, absent, mistyped, tuple((names.from_text(one), rrtype) for one, rrtype in wanted))


def _padding_octets(seen: Seen) -> int | None:
    """Give the octets that padding takes in the response, its header included; None without."""
    edns = None if seen.response is None else seen.response.edns
    padding = None if edns is None else edns.option(EDNSOption.PADDING)
    return None if padding is None else 4 + len(padding)


def _asked(seen: Seen) -> str:
    if seen.response is None or not seen.response.question:
        return "the answer"
    asked = seen.response.question[0]
    return f"{host_text(asked.name)} {type_to_text(asked.rrtype)}"


def _but(seen: Seen) -> str:
    """Add the RCODE where it explains something."""
    return "" if seen.rcode in (RCode.NOERROR, RCode.NXDOMAIN) else f" (it answers {rcode_text(seen.rcode)})"
