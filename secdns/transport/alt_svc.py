"""Read what an HTTP server offers beside the connection that it answers on (Alt-Svc, RFC 7838).

Only HTTP/3 at the same host matters here: another host would have to be looked up, and would learn
what is asked. What a draft of HTTP/3 was called (``h3-29``) is none.
"""

import re
from collections.abc import Iterator
from typing import Final

from secdns.endpoint import Endpoint
from secdns.errors import FormatError

NEVER: Final = float("inf")
MAX_ALTERNATIVES: Final = 32  # in one value; the largest operators send eight
DEFAULT_LIFETIME_S: Final = 86400.0  # RFC 7838 §3.1
MAX_LIFETIME_S: Final = 30 * 86400.0  # the longest in use; no network is the same for longer

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 §5.6.2
_QUOTED: Final = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*"'  # RFC 9110 §5.6.4, ASCII alone
_PARAMETER: Final = re.compile(rf"[ \t]*;[ \t]*({_WORD})=({_WORD}|{_QUOTED})")
_ALTERNATIVE: Final = re.compile(rf"({_WORD})=({_QUOTED})((?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|{_QUOTED}))*)")
_COMMA: Final = re.compile(r"[ \t]*(?:,[ \t]*)+")  # empty elements are no error (RFC 9110 §5.6.1.2)
_AUTHORITY: Final = re.compile(r'"([^:"\\]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})"')
_SECONDS: Final = re.compile(r'"?([0-9]+)"?')


class Offer:
    """Where a host offers HTTP/3, as far as is known. Times are seconds of any clock that only goes on.

    It begins with what the endpoint says, and comes back to that when an Alt-Svc is too old.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._host = endpoint.host
        self._known = endpoint.port if endpoint.offers_h3 else None
        self._port = self._known
        self._until = NEVER
        self._lifetime_s = NEVER
        self.said: str | None = None  # the last Alt-Svc that could be read

    def port(self, now: float) -> int | None:
        """Give the port, or None if there is no HTTP/3 to try."""
        if now >= self._until:
            self._port, self._until, self.said = self._known, NEVER, None
        return self._port

    def heard(self, value: str, now: float) -> None:
        """Take an Alt-Svc: it counts from now on, in place of what was known (RFC 7838 §3.1)."""
        if value != self.said:
            try:
                found = read_alt_svc(value, self._host)
            except FormatError:  # says nothing
                return
            self.said = value
            self._port, self._lifetime_s = (None, NEVER) if found is None else found
        self._until = now + self._lifetime_s


def read_alt_svc(value: str, host: str) -> tuple[int, float] | None:
    """Give the port at which ``host`` itself offers HTTP/3, and for how many seconds that holds.

    None means that it offers none, or no more (``clear``). Either way it takes the place of whatever
    was said before (RFC 7838 §3.1). Of several the first counts, which the server prefers.

    Raises:
        FormatError: it is malformed, so that it says nothing.
    """
    if value == "clear":
        return None
    found: tuple[int, float] | None = None
    for protocol, authority, parameters in _alternatives(value):
        lifetime_s = _lifetime(parameters)
        port = _port(authority, host) if protocol == "h3" else None
        if found is None and port is not None:
            found = port, lifetime_s
    return found


def _alternatives(value: str) -> Iterator[tuple[str, str, str]]:
    """Give the protocol, the authority in quotes and the parameters of each alternative."""
    at = 0
    for _ in range(MAX_ALTERNATIVES):
        alternative = _ALTERNATIVE.match(value, at)
        if alternative is None:
            break
        yield alternative[1], alternative[2], alternative[3]
        at = alternative.end()
        if at < len(value) and (comma := _COMMA.match(value, at)):
            at = comma.end()
        elif at < len(value):
            break
        if at == len(value):
            return
    raise FormatError(
        f"Alt-Svc has {value[at : at + 16]!r}, want alternatives with commas, {MAX_ALTERNATIVES} at most"
    )


def _lifetime(parameters: str) -> float:
    """Give the seconds that an alternative holds: of several ``ma`` the first."""
    for name, value in _PARAMETER.findall(parameters):
        if name == "ma":
            seconds = _SECONDS.fullmatch(value)
            if seconds is None:
                raise FormatError(f"Alt-Svc has the lifetime {value[:16]}, want seconds")
            return min(float(seconds[1][:16]), MAX_LIFETIME_S)
    return DEFAULT_LIFETIME_S


def _port(authority: str, host: str) -> int | None:
    """Give the port of an alternative; None if it is at another host."""
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not 1 <= int(parts[2]) <= 65535:
        raise FormatError(f"Alt-Svc has {authority[:64]}, want a colon and a port from 1 to 65535")
    other = parts[1].lower().removeprefix("[").removesuffix("]").removesuffix(".")
    return int(parts[2]) if other in ("", host) else None
