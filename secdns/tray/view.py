"""What the tray shows: the daemon's last answer, or why there is none."""

from dataclasses import dataclass
from enum import StrEnum

from secdns.control.schema import Status, Upstreams
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


@dataclass(frozen=True, slots=True)
class View:
    """The daemon's answer, or in ``error`` why there is none; with neither nothing was asked yet.

    ``answer`` is what came of the last click, for a short while.
    """

    status: Status | None = None
    upstreams: Upstreams | None = None
    error: ControlError | None = None
    answer: str | None = None

    @property
    def look(self) -> Look:
        """Give how it looks."""
        if self.error is not None:
            return Look.GONE
        if self.status is None:
            return Look.CHECKING
        return _LOOKS.get(self.status.state, Look.BLOCKED)
