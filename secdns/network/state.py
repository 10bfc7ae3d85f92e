"""Decide what kind of network we are on, and what follows from that. Pure.

A ``Situation`` is all that is known; an event makes another one of it and says what is to be done. Two
things make a network one that wants people to sign in, and neither is enough: a check of ours just now
reached no encrypted upstream, and something answers where nobody should. So whoever fakes a sign-in page
gains nothing while an upstream works; and whoever cuts the upstreams off as well gains that names are
refused, not that they go out in plain.

    CHECKING ──ANSWERED──▶ SECURE ──FAILED──▶ BLOCKED ──UNREACHABLE and PORTAL──▶ SIGN_IN
        ▲                    ▲                   │                                   │
        │                    └─────ANSWERED──────┴──────────────ANSWERED─────────────┘
      JOINED, from anywhere; LEFT, from anywhere, is OFFLINE; while VPN_CAME holds, all but that is VPN
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Literal

from secdns.states import State

CHECK_PORTAL_S: Final = 3.0  # need 5: secure within 5 s after somebody signed in; a check takes up to 2 s
CHECK_CONSENT_S: Final = 1.0  # … and while names go out in plain it ends sooner
MAX_MISSED: Final = 1  # looks in a row
CHECK_BLOCKED_S: Final = (10.0, 20.0, 40.0, 60.0)  # Portmaster's 10 s and 60 s, with steps between


class Event(Enum):
    """Something happened."""

    LEFT = auto()  # no way leads to an upstream any more
    JOINED = auto()  # there is a way, or another one, or the machine slept: nothing of before holds
    ANSWERED = auto()  # an encrypted upstream answered, or finished a handshake
    FAILED = auto()  # a question was answered by no upstream
    UNREACHABLE = auto()  # nor could any be reached when we tried
    PORTAL = auto()  # something answers where nobody should
    NO_PORTAL = auto()  # nothing does
    HINTED = auto()  # the system's own check says that there is a sign-in page
    UNHINTED = auto()  # it says so no more
    VPN_CAME = auto()  # a VPN wants to be asked for every name
    VPN_WENT = auto()  # no more


class Act(Enum):
    """Something to do."""

    CHECK = auto()  # try to reach the upstreams, and look for a sign-in page if that takes long or fails
    FORGET = auto()  # what was learnt of the sign-in page, and the consent given for it
    RECOVER = auto()  # hold nothing of before against anybody: the way is open now


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of the network that we are on.

    ``upstreams``: "failing" is what questions say, "unreachable" what a check of ours found. ``checks`` is
    how many in a row found that, ``missed`` how many in a row saw nothing of a page that was there:
    a busy one may be late once. ``is_hinted`` is the word of the system's own check. ``is_strict``: the
    owner wants no help with sign-in pages.
    """

    is_gone: bool = False
    upstreams: Literal["unknown", "well", "failing", "unreachable"] = "unknown"
    portal: Literal["unknown", "none", "there"] = "unknown"
    checks: int = 0
    missed: int = 0
    is_hinted: bool = False
    has_vpn: bool = False
    is_strict: bool = False

    @property
    def state(self) -> State:
        """Give all of it in one word."""
        if self.is_gone:
            return State.OFFLINE
        if self.has_vpn:
            return State.VPN
        if self.upstreams == "well":
            return State.SECURE
        if self.upstreams == "unknown":
            return State.CHECKING
        if self.upstreams == "unreachable" and self.has_portal:
            return State.SIGN_IN
        return State.BLOCKED

    @property
    def has_portal(self) -> bool:
        """There is a sign-in page, as far as anybody knows."""
        return not self.is_strict and (self.portal == "there" or self.is_hinted)

    @property
    def may_look(self) -> bool:
        """A sign-in page may be looked for. A VPN's traffic is no business of the network it goes through."""
        return not (self.is_strict or self.is_gone or self.has_vpn or self.upstreams == "well")

    @property
    def lets_checks_through(self) -> bool:
        """The systems' own connectivity checks go to the network's resolvers, so that their windows open."""
        if not self.may_look:
            return False
        return self.state in (State.CHECKING, State.SIGN_IN) or self.portal == "unknown"

    @property
    def check_again_s(self) -> float | None:
        """Give in how many seconds to check again, None for not before something happens."""
        if self.is_gone or self.upstreams != "unreachable":
            return None
        if self.state is State.SIGN_IN:
            return CHECK_PORTAL_S
        return CHECK_BLOCKED_S[min(self.checks, len(CHECK_BLOCKED_S)) - 1]

    def after(self, event: Event) -> tuple["Situation", frozenset[Act]]:
        """Give what is known after ``event``, and what to do."""
        match event:
            case Event.LEFT:
                return self._anew(is_gone=True), _FORGET
            case Event.JOINED:
                return self._anew(is_gone=False), _BEGIN
            case Event.ANSWERED:
                if self.is_gone or self.upstreams == "well":
                    return self, _NOTHING
                well = replace(self, upstreams="well", portal="unknown", checks=0, missed=0)
                return well, _FORGET if self.upstreams == "unknown" else _OPEN
            case Event.FAILED:
                if self.is_gone or self.upstreams in ("failing", "unreachable"):
                    return self, _NOTHING
                return replace(self, upstreams="failing"), _CHECK
            case Event.UNREACHABLE:
                if self.is_gone or self.upstreams == "well":
                    return self, _NOTHING
                return replace(self, upstreams="unreachable", checks=self.checks + 1), _NOTHING
            case Event.PORTAL | Event.NO_PORTAL:
                return self._after_look(is_there=event is Event.PORTAL), _NOTHING
            case Event.HINTED | Event.UNHINTED:
                is_hinted = event is Event.HINTED
                news = is_hinted and not self.is_hinted and self.may_look
                return replace(self, is_hinted=is_hinted), _CHECK if news else _NOTHING
            case Event.VPN_CAME:
                return replace(self, has_vpn=True, portal="unknown", missed=0), _FORGET
            case Event.VPN_WENT:
                return replace(self, has_vpn=False), _NOTHING if self.upstreams == "well" else _CHECK

    def _after_look(self, *, is_there: bool) -> "Situation":
        if not self.may_look:
            return self
        if is_there:
            return replace(self, portal="there", missed=0)
        if self.portal == "there" and self.missed < MAX_MISSED:
            return replace(self, missed=self.missed + 1)
        return replace(self, portal="none", missed=0)

    def _anew(self, *, is_gone: bool) -> "Situation":
        return Situation(is_gone=is_gone, has_vpn=self.has_vpn, is_strict=self.is_strict)


_NOTHING: Final[frozenset[Act]] = frozenset()
_CHECK: Final = frozenset({Act.CHECK})
_FORGET: Final = frozenset({Act.FORGET})
_BEGIN: Final = frozenset({Act.FORGET, Act.CHECK})
_OPEN: Final = frozenset({Act.FORGET, Act.RECOVER})
