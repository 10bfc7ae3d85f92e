"""The whole exception tree of secdns.

An exception is for a caller that cannot go on. NXDOMAIN, NODATA and bogus are values, not
exceptions. Messages are lower case, without a final period, and give the value seen and the
value wanted; ``hint`` is the one thing a person can do about it.

    Error
    ├── FormatError            octets are not a DNS message, a name or a record
    ├── EndpointError          an upstream's URL cannot be used
    ├── ConfigError            the configuration cannot be used: file, line, key
    ├── ListenError            an address cannot be listened on
    ├── SettingsError          the system's DNS settings cannot be read, changed or put back
    │   ├── NotPermittedError  only root may do that
    │   └── NotInForceError    they were changed, and names do not go through secdns
    ├── ControlError           the daemon cannot be commanded: not there, or it refuses
    └── TransportError         an exchange with an upstream gave no answer
        ├── ConnectError       no connection: refused, unreachable, no address
        ├── AuthenticationError  the certificate, the name or the pin does not fit
        ├── ConnectionLost     an open connection died before it answered; safe to replay
        ├── DeadlineExceeded   the answer did not come in time
        ├── ProtocolError      the upstream broke its protocol or answered another question
        ├── StatusError        HTTP said no: status, Retry-After
        └── Overloaded         our own queue to this upstream is full
"""

from typing import Literal

from secdns.iana import EDE


class Error(Exception):
    """Anything secdns raises on purpose.

    ``ede`` is the Extended DNS Error that tells a client about it (RFC 8914).
    """

    ede: EDE = EDE.OTHER

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class FormatError(Error, ValueError):
    """Octets that are not a DNS message, a name or a record."""

    ede = EDE.INVALID_DATA


class EndpointError(Error, ValueError):
    """An upstream's URL that cannot be used."""


class ConfigError(Error, ValueError):
    """A configuration that cannot be used; the message starts with ``file:line: key``."""


class ListenError(Error):
    """An address that cannot be listened on."""


class SettingsError(Error):
    """The system's DNS settings cannot be read, changed or put back; names the file or command."""


class NotPermittedError(SettingsError):
    """Only root may do that."""


class NotInForceError(SettingsError):
    """Names do not go through secdns: it does not answer, or the system does not ask it."""


class ControlError(Error):
    """The daemon cannot be commanded: it is not there, or it refuses.

    ``code`` is one of ``secdns.control.schema.CODES``, or "not-running".
    """

    def __init__(self, message: str, *, hint: str | None = None, code: str = "internal") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class TransportError(Error):
    """An exchange with an upstream that gave no answer.

    ``retry_after_s`` is how long the upstream asked to be left alone, in seconds, or None. ``brief``
    is the message without what whoever knows the upstream knows already, for where there is little room.
    """

    ede = EDE.NETWORK_ERROR

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after_s: float | None = None,
        brief: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.brief = brief or message


class ConnectError(TransportError):
    """No connection: refused, unreachable, or no address to try."""


class AuthenticationError(TransportError):
    """The certificate, its name or its pin does not fit; nothing was sent (RFC 8310 §5).

    ``untimely`` says that it is a date that does not fit: "early" for a certificate that is not valid yet by
    this machine's clock, "late" for one that has ended.
    """

    untimely: Literal["", "early", "late"] = ""


class ConnectionLost(TransportError):
    """An open connection died before it answered; the query may be sent again."""


class DeadlineExceeded(TransportError):
    """The answer did not come before the deadline."""

    ede = EDE.NO_REACHABLE_AUTHORITY


class ProtocolError(TransportError):
    """The upstream broke its protocol, or answered another question."""

    ede = EDE.INVALID_DATA


class StatusError(TransportError):
    """HTTP said no; ``status`` is its code."""

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status


class Overloaded(TransportError):
    """Our own queue to this upstream is full."""
