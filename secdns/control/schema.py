"""What the local API takes and gives, as values; its version; and what it needs of the daemon.

Keys are added within a version, never changed or taken away: a reader passes over keys that it does not
know, and takes a state that it does not know for trouble. Times at which something happened are seconds
since 1970, lengths of time are seconds (``_s``) or milliseconds (``_ms``).
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Final, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from secdns.errors import ControlError
from secdns.limit import Limit
from secdns.states import State

VERSION: Final = 1
ROOT: Final = f"/v{VERSION}"

# Longer is `secdns system off`; a pause ends by itself, and one that is forgotten should end the same day.
PAUSE_S: Final = Limit(300, 1, 86_400)
# A repair takes hours or days (RFC 7646 §2: "on the order of days").
ALLOW_S: Final = Limit(3600, 1, 7 * 86_400)

Health = Literal["unknown", "well", "failing", "distrusted"]


T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps, between which others get a turn."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that went wrong, as one sentence, and what helps.

    ``name`` is told only to who may change things; ``can_allow`` says that `allow` lets it through.
    """

    at: float
    sentence: str
    remedy: str | None = None
    name: str | None = None
    can_allow: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: until when, and whom it hands the questions to."""

    until: float
    left_s: float
    resolvers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Portal:
    """The sign-in page of the network: where a browser gets to it, and whether names go out in plain for it.

    ``until`` and ``left_s`` are None while none do; ``plain`` is how many questions have since that began.
    """

    url: str
    until: float | None
    left_s: float | None
    resolvers: tuple[str, ...]
    plain: int


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """One link, with the resolvers and domains that the system knows of it.

    ``wants_all``: it is set up to be asked for every name. ``is_used``: it leads to an upstream.
    """

    name: str
    resolvers: tuple[str, ...]
    domains: tuple[str, ...]
    is_vpn: bool
    wants_all: bool
    is_used: bool


@dataclass(frozen=True, slots=True)
class Network:
    """The network that the machine is on. ``sentence`` says ``state`` in words, as in the status.

    ``resolvers`` are its own, which are asked in plain for what ``plain`` counts: connectivity checks, and
    all that goes out during a pause or to sign in. ``vpn`` is the link that wants every name.
    """

    state: State
    sentence: str
    remedy: str | None
    is_strict: bool
    links: tuple[LinkInfo, ...]
    resolvers: tuple[str, ...]
    portal: Portal | None
    vpn: str | None
    plain: int


@dataclass(frozen=True, slots=True)
class UpstreamInfo:
    """One upstream, in the order of preference.

    ``protocol`` is what its answers come over at the moment: DoH (HTTP/2), DoH (HTTP/3), DoT, DoQ or plain;
    ``p50_ms`` and ``p95_ms`` are of its last answers, None while there were too few. ``back_in_s`` is for how
    long others are preferred.
    """

    name: str
    url: str
    protocol: str
    health: Health
    is_first: bool
    is_in_use: bool
    is_connected: bool
    is_configured: bool
    p50_ms: float | None = None
    p95_ms: float | None = None
    last_answer_s: float | None = None
    back_in_s: float | None = None
    tls: str | None = None
    last_failure: str | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """What happened since the start; see ``secdns.stats``."""

    queries: int
    hits: int
    local: int
    misses: int
    drops: int
    stale: int
    failures: Mapping[str, int]
    plain: int = 0


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What is held."""

    entries: int
    octets: int
    limit_octets: int


@dataclass(frozen=True, slots=True)
class System:
    """Whether programs of this machine ask the daemon: "on", "off", "overruled" or "unknown", and in words.

    "overruled": they were told to, and another program has them ask others, instead or as well.
    """

    state: str
    sentence: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """What is wrong with the machine's clock, and what helps. ``is_certain``: it is the clock's fault."""

    sentence: str
    remedy: str | None
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How the daemon is. ``sentence`` says ``state`` in words, ``remedy`` what a person can do about it.

    ``upstream`` is whom the next question goes to, or who answered last where names are spread.
    ``chosen`` is what `use` was given, None while the configuration's order holds. ``dnssec`` is
    "validate" or "off". ``system`` is None where it is not looked at, ``clock`` where
    nothing is known to be wrong with it.
    """

    version: str
    pid: int
    uptime_s: float
    state: State
    sentence: str
    remedy: str | None
    upstream: UpstreamInfo
    chosen: str | None
    strategy: str
    dnssec: str
    listen: tuple[str, ...]
    configuration: str
    may_change: bool
    is_strict: bool
    counters: Counters
    cache: CacheInfo
    pause: Pause | None = None
    problem: Problem | None = None
    network: str | None = None
    portal: Portal | None = None
    system: System | None = None
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class Upstreams:
    """All upstreams that names go to by default, and the built-in ones that `use` takes besides."""

    upstreams: tuple[UpstreamInfo, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailureInfo:
    """One failure that a client was told of: its Extended DNS Error, the text of that in ``detail``."""

    at: float
    rrtype: str
    code: int
    sentence: str
    remedy: str | None
    detail: str
    can_allow: bool


@dataclass(frozen=True, slots=True)
class Why:
    """What is known about a name: what was refused or failed lately, and who decides on it.

    ``decision`` says that a policy or a route of the configuration decides; ``waived_s`` for how long
    signatures are not checked, 0 for good; ``held`` are the types that a fresh answer is held for.
    """

    name: str
    sentence: str
    remedy: str | None
    failures: tuple[FailureInfo, ...]
    decision: str | None
    waived_s: float | None
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was checked, what it is worth, why it is not worth more, and how deep it is."""

    title: str
    status: str
    reason: str | None
    details: tuple[str, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Explained:
    """What an answer was worth when it was asked for and checked anew.

    ``status`` is secure, insecure, bogus or indeterminate; ``steps`` lead from the trust anchor to the name.
    """

    name: str
    rrtype: str
    status: str
    summary: str
    remedy: str | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One claim about this machine: ``result`` is pass, fail or skipped, ``hint`` the cure if it failed."""

    name: str
    result: str
    text: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What `secdns check` found; ``ok`` that nothing failed."""

    ok: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Flushed:
    """How many answers were dropped."""

    dropped: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """Signatures of ``name`` and all below are not checked until then."""

    name: str
    until: float
    for_s: float


class Daemon(Protocol):
    """What the server commands. Each takes some milliseconds at most, ``flush`` that for each step.

    What cannot be done raises ControlError with a code of ``CODES``, and nothing is changed then.
    """

    def status(self, *, may_change: bool) -> Status:
        """Tell how things are."""

    def upstreams(self) -> Upstreams:
        """List whom names go to."""

    def use(self, name: str | None) -> None:
        """Ask this upstream first from now on; None: go back to the configuration's order."""

    def pause(self, for_s: int) -> Pause:
        """Hand questions to the network's own resolver for so long."""

    def resume(self) -> None:
        """End the pause, or the time to sign in, if there is one."""

    async def portal(self) -> Portal:
        """Let everything out in plain for some minutes, so that a person can sign in; takes 3 s at most."""

    def network(self, *, may_change: bool) -> Network:
        """Tell what network this is."""

    def flush(self, name: str | None) -> Steps[Flushed]:
        """Forget answers: all, or those for ``name`` and below it."""

    def why(self, name: str) -> Why:
        """Tell what is known about ``name``."""

    async def explain(self, name: str, rrtype: str) -> Explained:
        """Ask for ``name`` and check it anew, link by link; takes some seconds at most."""

    async def check(self, name: str | None, bogus: str | None) -> Checked:
        """Look whether names on this machine really go through secdns; takes some seconds at most."""

    def allow(self, name: str, for_s: int) -> Allowed:
        """Do not check signatures of ``name`` and below for so long (RFC 7646)."""

    def log(self) -> tuple[str, ...]:
        """Give the last lines of the query log, the oldest first."""

    def follow_log(self, tell: Callable[[str], None]) -> Callable[[], None]:
        """Call ``tell`` with each line from now on; give what to call to end that."""


# code of an error -> status of HTTP (RFC 9110 §15)
CODES: Final[dict[str, int]] = {
    "bad-request": 400,
    "no-key": 401,
    "not-allowed": 403,
    "unknown-path": 404,
    "unknown-version": 404,
    "unknown-name": 404,
    "wrong-method": 405,
    "too-slow": 408,
    "not-possible": 409,
    "too-large": 413,
    "wrong-type": 415,
    "wrong-host": 421,
    "head-too-large": 431,
    "internal": 500,
    "too-many": 503,
}


def to_json(value: Any) -> Any:
    """Give an answer as what ``json`` writes."""
    return asdict(value)


def error_to_json(error: ControlError) -> dict[str, object]:
    """Give an error as what ``json`` writes."""
    return {"error": {"code": error.code, "message": str(error), "hint": error.hint}}


def from_json(kind: type[T], value: object) -> T:
    """Read an answer; keys that this version does not know are passed over.

    Raises:
        ControlError: it is not what this version understands.
    """
    try:
        made: T = _read(kind, value)
    except (KeyError, TypeError, ValueError) as error:
        raise ControlError(
            f"the daemon's answer cannot be read: {error}", hint="restart the daemon after an update"
        ) from error
    return made


def _read(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(value, dict):
            raise TypeError(f"{value!r} where an object was wanted")
        hints = get_type_hints(kind)
        known = {field.name: field.name for field in fields(kind) if field.name in value}
        return kind(**{name: _read(hints[name], value[name]) for name in known})
    arguments = get_args(kind)
    if type(None) in arguments:
        rest = next(one for one in arguments if one is not type(None))
        return None if value is None else _read(rest, value)
    if get_origin(kind) is tuple:
        return tuple(_read(arguments[0], one) for one in value)
    if kind is State:
        return State(value) if value in State.__members__.values() else State.BLOCKED
    wanted = {int: int, float: (int, float), str: str, bool: bool}.get(kind)
    if wanted is not None and not isinstance(value, wanted):  # type: ignore[arg-type]
        raise TypeError(f"{value!r} where {kind.__name__} was wanted")
    return value
