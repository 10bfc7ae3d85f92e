"""Say what DNS over HTTPS wants of a request and a response, whichever HTTP carries them (RFC 8484)."""

import http
import time
from collections.abc import Iterable
from typing import Final

from secdns.dns.peek import age_ttls, reply_matches
from secdns.endpoint import Endpoint
from secdns.errors import FormatError, ProtocolError, StatusError

MEDIA_TYPE: Final = b"application/dns-message"
MAX_BODY: Final = 65535  # octets of a DNS message (threat E10)
MAX_RETRY_AFTER_S: Final = 300.0
MAX_ALT_SVC: Final = 1024  # octets; a longer one is as good as none, half of one would say something else

_NO_ANSWER: Final = frozenset({204, 205, 206})  # 2xx without a whole body (threat E9)
_MAX_SECONDS: Final = 2**31 - 1

Header = tuple[bytes, bytes]


def request_headers(endpoint: Endpoint) -> list[Header]:
    """Give the header section of every query but for its length: nothing in it tells who asks."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", endpoint.authority.encode()),
        (b":path", endpoint.path.encode()),
        (b"accept", MEDIA_TYPE),
        (b"content-type", MEDIA_TYPE),
        (b"accept-encoding", b"identity"),
    ]


def read_answer(query: bytes, headers: Iterable[Header], body: bytes, peer: str) -> tuple[bytes, str | None]:
    """Give the DNS message of a whole response, with the query's ID, and the Alt-Svc that came along.

    What an HTTP cache kept is made as much older as it says (RFC 8484 §5.1).

    Raises:
        StatusError: HTTP said no.
        ProtocolError: it is no DNS message, or not the answer to the query.
    """
    status, age_s = 0, None
    content_type, encoding, retry_after = b"", b"", b""
    alt_svc: bytes | None = None
    for name, value in headers:
        if name == b":status":
            status = int(value) if len(value) == 3 and value.isdigit() else 0  # RFC 9110 §15
        elif name == b"content-type":
            content_type = value if not content_type else content_type + b", " + value
        elif name == b"content-encoding":
            encoding = value if not encoding else encoding + b", " + value
        elif name == b"age" and age_s is None:  # of several the first counts (RFC 9111 §5.1)
            age_s = _seconds(value.partition(b",")[0])
        elif name == b"retry-after":
            retry_after = value
        elif name == b"alt-svc":
            if alt_svc is None:
                alt_svc = value
            elif len(alt_svc) <= MAX_ALT_SVC:
                alt_svc += b", " + value  # RFC 9110 §5.3
    if not 200 <= status < 300 or status in _NO_ANSWER:
        raise StatusError(
            f"{peer} answered with HTTP status {status}{_phrase(status)}",
            status=status,
            retry_after_s=read_retry_after(retry_after, time.time()),
        )
    if content_type != MEDIA_TYPE and not _is_media_type(content_type):
        raise ProtocolError(
            f"{peer} answered with content type {_shown(content_type)}, want {_shown(MEDIA_TYPE)}"
        )
    if encoding and encoding.strip().lower() != b"identity":
        raise ProtocolError(f"{peer} answered with content encoding {_shown(encoding)}, want none")
    if body[:2] != b"\0\0" or not reply_matches(query, body):
        raise ProtocolError(f"{peer} answered another question")
    if age_s:
        try:
            body = age_ttls(body, age_s)
        except FormatError as error:
            raise ProtocolError(f"{peer} sent a malformed message: {error}") from error
    if alt_svc is None or len(alt_svc) > MAX_ALT_SVC:
        return query[:2] + body[2:], None
    return query[:2] + body[2:], alt_svc.decode("ascii", "replace")


def read_retry_after(value: bytes, now: float) -> float | None:
    """Give the seconds that a Retry-After asks for, from 0 to 300 (RFC 9110 §10.2.3).

    It holds seconds or an HTTP-date; ``now`` is wall-clock time. None means that it says nothing
    that can be understood.
    """
    text = value.strip()
    if text.isdigit():
        return min(float(_seconds(text)), MAX_RETRY_AFTER_S)
    if not text:
        return None
    from email.utils import parsedate_to_datetime  # slow to import, seldom needed

    try:
        at = parsedate_to_datetime(text[:64].decode("ascii")).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(at - now, 0.0), MAX_RETRY_AFTER_S)


def _is_media_type(content_type: bytes) -> bool:
    """Tell whether a Content-Type, which is one, names a DNS message; parameters do not matter."""
    media_type, _, parameters = content_type.partition(b";")
    return media_type.strip().lower() == MEDIA_TYPE and b"," not in parameters


def _seconds(value: bytes) -> int:
    """Give a delta-seconds, at most 2**31 - 1 (RFC 9111 §1.2.2); 0 for what is not one."""
    text = value.strip()
    if not text.isdigit():
        return 0
    return int(text) if len(text) < 10 else _MAX_SECONDS


def _phrase(status: int) -> str:
    try:
        return f" ({http.HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def _shown(value: bytes) -> str:
    return repr(value[:64].decode("ascii", "replace"))
