"""Say what a server of DNS over HTTPS makes of a request, whichever HTTP carries it (RFC 8484)."""

import base64
import binascii
from collections.abc import Mapping

from secdns.dns.message import Message
from secdns.dns.wire import HEADER_SIZE, MAX_MESSAGE
from secdns.errors import FormatError
from secdns.testing.faults import Faults

PATH = "/dns-query"
MEDIA_TYPE = "application/dns-message"  # RFC 8484 §6


def query_of(headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Give the query of a request, or the HTTP status that refuses it (RFC 8484 §4.1)."""
    path, _, parameters = headers.get(":path", "").partition("?")
    query = body
    if path != PATH:
        return 404, b""
    match headers.get(":method"):
        case "POST" if headers.get("content-type") != MEDIA_TYPE:
            return 415, b""
        case "POST":
            pass
        case "GET":
            coded = parameters.removeprefix("dns=")
            try:
                query = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                return 400, b""
        case _:
            return 405, b""
    if len(query) > MAX_MESSAGE:
        return 413, b""
    return (200, query) if len(query) >= HEADER_SIZE else (400, b"")


def response_headers(faults: Faults, reply: bytes, body: bytes) -> list[tuple[str, str]]:
    headers: dict[str, str | None] = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "cache-control": f"max-age={_lifetime_s(reply)}",
        **faults.http_headers,
    }
    given = [(name, value) for name, value in headers.items() if value is not None]
    return [(":status", str(faults.http_status)), *given]


def _lifetime_s(reply: bytes) -> int:
    """Give the smallest TTL in the answer, or in the authority section of a denial (RFC 8484 §5.1)."""
    try:
        message = Message.parse(reply)
    except FormatError:
        return 0
    return min((record.ttl for record in message.answer or message.authority), default=0)
