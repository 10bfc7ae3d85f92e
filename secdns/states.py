"""Name in one word each how things can be: for whoever finds it out, acts on it, tells it or shows it."""

from enum import StrEnum


class State(StrEnum):
    """How things are."""

    CHECKING = "checking"  # nothing has answered or failed since the start or since the network changed
    SECURE = "secure"  # an encrypted upstream answers
    SIGN_IN = "sign-in"  # no upstream can be reached before somebody signs in to this network
    BLOCKED = "blocked"  # there is a network, and no upstream answers
    OFFLINE = "offline"  # there is no network that leads to an upstream
    VPN = "vpn"  # a VPN wants to be asked for every name
    PAUSED = "paused"  # on request: the network's own resolver answers, in plain, for a while
