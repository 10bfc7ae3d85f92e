"""What the tray shows: the daemon's last answer, or why there is none."""

from dataclasses import dataclass
from enum import StrEnum

from secdns.control.schema import Checked, Status, Upstreams
from secdns.errors import ControlError


class Look(StrEnum):
    """How things look: each has an icon that differs from all others in shape and in colour.

    The value is the name of its icon, without ``secdns-``.
    """

    SECURE = "secure"
    CHECKING = "checking"
    PAUSED = "paused"
    BLOCKED = "blocked"
    OFFLINE = "offline"
    SIGN_IN = "sign-in"
    VPN = "vpn"
    UNUSED = "unused"  # the daemon is well, and this machine asks somebody else
    GONE = "gone"  # the daemon is not there, or does not answer


# A state of the API -> how it looks. One that is not here is trouble: never "all is well".
_LOOKS = {
    "checking": Look.CHECKING,
    "secure": Look.SECURE,
    "paused": Look.PAUSED,
    "offline": Look.OFFLINE,
    "blocked": Look.BLOCKED,
    "sign-in": Look.SIGN_IN,
    "vpn": Look.VPN,
}


# States of the API's ``system`` in which names go elsewhere, whatever the daemon itself can do.
_ELSEWHERE = frozenset({"off", "overruled"})
# What is worth more to a person than that.
_FIRST = frozenset({Look.OFFLINE, Look.SIGN_IN})


@dataclass(frozen=True, slots=True)
class View:
    """The daemon's answer, or in ``error`` why there is none; with neither nothing was asked yet.

    ``answer`` is what came of the last click, for a short while; ``checked`` what the last check found and
    ``checked_at`` the time of day, a while longer. ``is_checking``: one is under way.
    """

    status: Status | None = None
    upstreams: Upstreams | None = None
    error: ControlError | None = None
    answer: str | None = None
    checked: Checked | None = None
    checked_at: str = ""
    is_checking: bool = False

    @property
    def look(self) -> Look:
        """Give how it looks."""
        if self.error is not None:
            return Look.GONE
        if self.status is None:
            return Look.CHECKING
        look = _LOOKS.get(self.status.state, Look.BLOCKED)
        return Look.UNUSED if self.is_elsewhere and look not in _FIRST else look

    @property
    def is_elsewhere(self) -> bool:
        """Tell whether this machine asks somebody else than the daemon, or somebody else as well."""
        system = None if self.status is None else self.status.system
        return system is not None and system.state in _ELSEWHERE
