"""Judge whether names on this machine really go through secdns: the list of checks, each with its cure.

Nothing here asks or waits; ``looking`` does. A check whose cause another one has told already is left
out (skipped), so that a person reads one cure and not five.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from secdns import BUILT_AT, __version__
from secdns.cli.answer import TRANSPORTS, Answer, ede_name, host_text, milliseconds
from secdns.cli.asking import NoAnswer
from secdns.cli.certificate import Certificate
from secdns.cli.checks import Outcome, Result, failed, passed, skipped
from secdns.config import Config
from secdns.control.schema import Status as DaemonStatus
from secdns.dnssec.rrsig import Signature, read_signature
from secdns.dnssec.times import ahead, shown, span
from secdns.errors import (
    AuthenticationError,
    ConfigError,
    FormatError,
    NotInForceError,
    SettingsError,
    TransportError,
)
from secdns.iana import EDE, RCode, RRType, rcode_text
from secdns.listener.holder import Holder
from secdns.listener.known import known
from secdns.listener.sockets import remedy
from secdns.osdns.plan import Server
from secdns.osdns.rivals import Rival
from secdns.osdns.status import OFF, ON, Status
from secdns.states import State

GOOD: Final = "org"
"""A signed name that every resolver knows, so that asking for it tells nothing about anybody."""

BOGUS: Final = "dnssec-failed.org"
"""A name whose signatures are kept wrong on purpose, by Comcast, since 2012.

There is no name that is bogus by itself: one has to be signed wrongly and be served. The upstream
hears it, as it hears all names; its owner hears the upstream ask, and not for whom.
"""

EXPIRES_SOON_DAYS: Final = 3  # certificates for six days exist, and are renewed halfway

_REFUSED_BY_DNSSEC: Final = range(EDE.DNSSEC_BOGUS, EDE.NSEC_MISSING + 1)
_BLOCKED: Final = frozenset({EDE.BLOCKED, EDE.CENSORED, EDE.FILTERED, EDE.PROHIBITED})
_START: Final = "start it: sudo systemctl start secdns, or sudo secdns run; its messages say what is wrong"
_HANGS: Final = "it hangs or is just starting; if it stays so: sudo systemctl restart secdns"
_CLOCK: Final = "set the clock, and have it kept right: sudo timedatectl set-ntp true"

Reply = Answer | TransportError | None
"""What came of a question; None: there was nobody to ask, or no time."""


@dataclass(frozen=True, slots=True)
class Listening:
    """One address that the daemon should listen on, and what came of asking there for the nonce.

    ``address`` is the nonce's, by which it is known to be secdns; else there is an ``error`` and perhaps a
    ``holder`` of the port. ``is_default``: nobody asked for it, so secdns may do without.
    """

    server: Server
    address: str | None = None
    error: NotInForceError | None = None
    holder: Holder | None = None
    is_default: bool = False


@dataclass(slots=True)
class Looks:
    """All that was seen, filled in as it is found. None stands for what could not be found out in time.

    ``found`` are the addresses that the system found for the nonce, ``domains`` what links claim for
    their own servers, ``daemon`` is what it says of itself over its local API. ``good``, ``unchecked`` (the
    same question with CD set) and ``bogus`` were asked of the daemon, ``upstream`` of the upstream
    itself, whose name is ``upstream_name``. ``now`` is the wall clock's time.
    """

    now: float = 0.0
    config: Config | None = None
    config_error: ConfigError | None = None
    listening: Sequence[Listening] | None = None
    daemon: DaemonStatus | None = None
    holders: Sequence[tuple[str, Holder]] | None = None
    status: Status | SettingsError | None = None
    found: Sequence[str] | None = None
    rivals: Sequence[Rival] | None = None
    domains: Sequence[str] = ()
    upstream: Reply = None
    upstream_name: str = ""
    good: Reply = None
    unchecked: Reply = None
    bogus: Reply = None

    @property
    def nonces(self) -> set[str]:
        """The addresses by which the daemon is known; empty if it does not answer."""
        return {each.address for each in self.listening or () if each.address is not None}

    @property
    def has_arrived(self) -> bool:
        """A look-up by the system's own means came to the daemon, and nobody else answered it."""
        return bool(self.found) and self.nonces.issuperset(self.found or ())

    @property
    def ours(self) -> set[str]:
        """Where the daemon should listen."""
        return {each.server.host for each in self.listening or ()}


@dataclass(frozen=True, slots=True)
class Check:
    """One claim about this machine."""

    name: str
    judge: Callable[[Looks], Outcome]


def judge(looks: Looks) -> list[tuple[Check, Outcome]]:
    """Make every check."""
    return [(check, check.judge(looks)) for check in CHECKS]


# of the daemon


def _configuration(looks: Looks) -> Outcome:
    if looks.config_error is not None:
        first, *_ = str(looks.config_error).splitlines()
        return failed(first, looks.config_error.hint or "secdns config check tells more")
    if looks.config is None:
        return _too_slow()
    if not looks.config.lines:
        return passed("there is none, the defaults hold")
    return passed(f"{looks.config.source} can be used")


def _listening(looks: Looks) -> Outcome:
    if looks.listening is None:
        return _too_slow()
    for each in looks.listening:
        if each.error is None or (each.is_default and looks.nonces):
            continue
        server, holder = each.server, each.holder
        if holder is None:
            return failed(str(each.error), _START)
        if holder.command == "secdns":
            return failed(f"{each.error}, though it is there ({holder})", _HANGS)
        return failed(
            f"{server} is taken by {_title(holder)}, and secdns does not answer there",
            remedy(server.host, server.port, holder),
        )
    where = [str(each.server) for each in looks.listening if each.address is not None]
    return passed(f"secdns answers at {' and '.join(where)}")


def _daemon(looks: Looks) -> Outcome:
    daemon = looks.daemon
    if daemon is None:
        return skipped("it says nothing over its local API")
    if daemon.version != __version__:
        return failed(
            f"version {daemon.version} runs, this is {__version__}", "sudo systemctl restart secdns"
        )
    if daemon.state not in (State.SECURE, State.CHECKING, State.VPN):
        remedy = "sudo secdns resume" if daemon.state is State.PAUSED else daemon.remedy
        return failed(daemon.sentence, remedy or "secdns status tells more")
    in_use = ", ".join(filter(None, (daemon.upstream.name, daemon.upstream.protocol, daemon.upstream.tls)))
    return passed(f"{daemon.sentence} (in use: {in_use})")


def _others_on_the_port(looks: Looks) -> Outcome:
    if looks.holders is None:
        return _too_slow()
    # as an ordinary user one sees of our own daemon no more than its user
    answering = {each.server.host for each in looks.listening or () if each.address is not None}
    others: dict[str, list[str]] = {}
    for host, holder in looks.holders:
        if host not in answering and holder.command != "secdns":
            others.setdefault(_title(holder), []).append(host)
    if not others:
        return passed("nobody else answers on port 53 of this machine")
    found = (f"{title} on {', '.join(dict.fromkeys(hosts))}" for title, hosts in others.items())
    return passed(f"also there: {'; '.join(found)}")


# of the way to it


def _system_resolver(looks: Looks) -> Outcome:
    status = looks.status
    if status is None:
        return _too_slow()
    if isinstance(status, SettingsError):
        return failed(str(status), status.hint or "sudo secdns rescue puts the old settings back")
    if status.state == ON:
        return passed(status.words)
    if status.state == OFF and not _is_off(looks):
        return passed(
            "it leads to secdns, which somebody has set by hand: secdns system on has not been used"
        )
    return failed(status.words, status.remedy or "sudo secdns system on")


def _is_off(looks: Looks) -> bool:
    """Tell whether nobody has told the system to ask secdns, by `system on` or by hand."""
    status = looks.status
    if not isinstance(status, Status) or status.state != OFF:
        return False
    return not looks.has_arrived and looks.ours.isdisjoint(status.named)


def _look_up(looks: Looks) -> Outcome:
    if not looks.nonces:
        return skipped("secdns does not answer")
    hint = "secdns system status shows how this machine looks names up; sudo secdns system on changes it"
    if looks.found is None:
        return failed("looking up a name that only secdns knows took too long", hint)
    if not looks.found:
        return failed(
            "the system could not find a name that only secdns knows, so it asks another resolver", hint
        )
    if not looks.has_arrived:
        others = ", ".join(looks.found)
        return failed(f"another resolver answered a name that only secdns knows ({others})", hint)
    return passed("a name that was looked up as programs do it has arrived at secdns")


def _other_resolvers(looks: Looks) -> Outcome:
    return _rivals(looks, is_ipv6=False, none="nobody else is asked for names of the internet")


def _ipv6_resolvers(looks: Looks) -> Outcome:
    network = looks.status.network.hosts if isinstance(looks.status, Status) else ()
    offered = [host for host in network if ":" in host and host not in looks.ours]
    none = "this network offers none"
    if offered:
        none = f"this network offers {', '.join(offered)}, asked for its own names at most"
    return _rivals(looks, is_ipv6=True, none=none)


def _rivals(looks: Looks, *, is_ipv6: bool, none: str) -> Outcome:
    if looks.rivals is None:
        return _too_slow()
    if _is_off(looks):
        return skipped("the system does not ask secdns at all")
    found = [rival for rival in looks.rivals if rival.is_ipv6 is is_ipv6]
    if not found:
        return passed(none)
    told = "; ".join(f"{rival.host} ({rival.where})" for rival in found)
    return failed(f"besides secdns programs ask {told}", found[0].remedy)


# of the way from it


def _upstream(looks: Looks) -> Outcome:
    reply = looks.upstream
    if looks.config is None:
        return skipped("no configuration says which")
    if reply is None:
        return _too_slow()
    if isinstance(reply, TransportError):
        last = _failures(reply)[-1]
        why = f": {last.brief}" if last is not reply else ""
        return failed(f"{reply}{why}", reply.hint or "secdns upstreams test tries every way to it")
    if reply.response.rcode != RCode.NOERROR:
        answered = f"{looks.upstream_name} answers {rcode_text(reply.response.rcode)} to a name that exists"
        return failed(answered, "secdns upstreams test tells more; take another upstream")
    way = TRANSPORTS.get(reply.endpoint.scheme, reply.endpoint.scheme)
    if not reply.endpoint.is_encrypted:
        return failed(
            f"{looks.upstream_name} is asked over {way}: everybody on the way can read and change it",
            "reach it by tls://, https:// or quic:// if it offers that, or take another",
        )
    version = reply.facts.tls_version or "TLS version unknown"
    return passed(f"{looks.upstream_name} answers in {milliseconds(reply.elapsed_s)}, {way}, {version}")


def _certificate(looks: Looks) -> Outcome:
    reply = looks.upstream
    for failure in _failures(reply) if isinstance(reply, TransportError) else ():
        if isinstance(failure, AuthenticationError):
            return failed(str(failure), failure.hint or "secdns upstreams test tells more")
    if not isinstance(reply, Answer):
        return skipped("the upstream was not reached")
    if reply.facts.certificate is None:
        return skipped("plain DNS has none" if not reply.endpoint.is_encrypted else "it showed none")
    certificate = Certificate(reply.facts.certificate)
    days = certificate.days_left(looks.now)
    text = f"{certificate.subject}, from {certificate.issuer}, until {certificate.last_day} ({days} days)"
    if days < EXPIRES_SOON_DAYS:
        return failed(text, "it ends soon: tell who runs the upstream, and have a second one in [[upstream]]")
    return passed(text)


def _failures(error: TransportError) -> Sequence[TransportError]:
    """Give what went wrong with each upstream that was tried, at least one."""
    return [each for _, each in error.failed] if isinstance(error, NoAnswer) else [error]


# of what it lets through


def _dnssec_good(looks: Looks) -> Outcome:
    reply = looks.good
    left_out = _cannot_judge(looks)
    if left_out is not None:
        return left_out
    if reply is None:
        return _too_slow()
    if isinstance(reply, TransportError):
        return failed(
            f"secdns gave no answer in time ({reply}), so it waits for an upstream",
            "secdns upstreams test tries every way to each; secdns use takes another",
        )
    asked = host_text(reply.question.name)
    if reply.response.rcode != RCode.NOERROR:
        return failed(
            f"{asked}, which is signed, is answered {_answer_text(reply)}", f"secdns explain {asked} says why"
        )
    if not reply.response.ad:
        return failed(
            f"{asked}, which is signed, came without the mark that it was checked (AD)",
            "is it, or all, taken out of the check? secdns config show tells (negative_trust_anchors)",
        )
    return passed(f"{asked} was checked and is genuine")


def _dnssec_bogus(looks: Looks) -> Outcome:
    reply = looks.bogus
    left_out = _cannot_judge(looks)
    if left_out is not None:
        return left_out
    if reply is None:
        return _too_slow()
    if isinstance(reply, TransportError):
        return skipped(f"no answer: {reply}")
    asked = host_text(reply.question.name)
    codes = {code for code, _ in reply.ede}
    rcode = reply.response.rcode
    if rcode == RCode.SERVFAIL and codes.intersection(_REFUSED_BY_DNSSEC):
        return passed(f"{asked}, whose signatures are wrong, is refused")
    if rcode == RCode.NOERROR and reply.response.answer and not codes & _BLOCKED:
        return failed(
            f"{asked}, whose signatures are wrong, is answered all the same",
            "is it, or all, taken out of the check? secdns config show tells (negative_trust_anchors)",
        )
    return skipped(f"{asked} is answered {_answer_text(reply)}; --bogus NAME takes another")


def _cannot_judge(looks: Looks) -> Outcome | None:
    if looks.config is not None and looks.config.dnssec.mode == "off":
        return skipped("switched off in the configuration (dnssec.mode)")
    return None if looks.nonces else skipped("secdns does not answer")


def _clock(looks: Looks) -> Outcome:
    now = int(looks.now)
    told = shown(now)
    if now < BUILT_AT:
        return failed(f"it says {told}, but this secdns was made on {shown(BUILT_AT)}", _CLOCK)
    signatures = _signatures(looks.unchecked)
    for signature in signatures:
        early, late = ahead(signature.inception, now), ahead(now, signature.expiration)
        if early > 0:
            return failed(f"it says {told}, {span(early)} before a signature was made: it is slow", _CLOCK)
        if late > 0:
            return failed(f"it says {told}, {span(late)} after a signature has ended: it is fast", _CLOCK)
    if not signatures:
        return skipped(f"it says {told}; no signature came to compare it with")
    return passed(f"it says {told}, which fits the signatures that came")


def _signatures(reply: Reply) -> list[Signature]:
    found = []
    for record in reply.response.answer if isinstance(reply, Answer) else ():
        if record.rrtype == RRType.RRSIG:
            try:
                found.append(read_signature(record))
            except FormatError:
                continue
    return found


CHECKS: Final = (
    # what the rest relies on: where secdns should be, and whom it should ask
    Check("configuration", _configuration),
    # without it nothing below can be: the first cure to read
    Check("listening", _listening),
    # what it does with names: it may be there and be paused, or be older than what is installed
    Check("daemon", _daemon),
    # who else there is, by name: a person who reads on knows whom the lines below are about
    Check("port-53", _others_on_the_port),
    # what is set, by whom, and whether it is still as it was set
    Check("system-resolver", _system_resolver),
    # what really happens, whatever is set: the one proof that counts
    Check("look-up", _look_up),
    # it may arrive and still not be the only one: each interface can have resolvers of its own
    Check("other-resolvers", _other_resolvers),
    # a router announces these beside DHCP, and few people know of them
    Check("ipv6-resolvers", _ipv6_resolvers),
    # the far side, asked by this command itself: what it says holds also while the daemon is down
    Check("upstream", _upstream),
    Check("certificate", _certificate),
    # a genuine name first: if that fails, a refusal of the bogus one would prove nothing
    Check("dnssec-good", _dnssec_good),
    Check("dnssec-bogus", _dnssec_bogus),
    # last: it explains failures of certificates and signatures
    Check("clock", _clock),
)
"""Every check, in the order in which a name travels."""


def is_good(outcomes: Sequence[tuple[Check, Outcome]]) -> bool:
    """Tell whether nothing failed."""
    return all(outcome.result is not Result.FAIL for _, outcome in outcomes)


def _too_slow() -> Outcome:
    return failed("it took too long to find out", "try again; if it stays so, secdns doctor may show why")


def _title(holder: Holder) -> str:
    program = known(holder)
    return str(holder) if program is None else program.title


def _answer_text(answer: Answer) -> str:
    """Give the RCODE, and what the Extended DNS Errors add to it."""
    why = "; ".join(text or ede_name(code) for code, text in answer.ede)
    return rcode_text(answer.response.rcode) + (f" ({why})" if why else "")
