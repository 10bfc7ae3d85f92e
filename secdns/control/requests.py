"""Turn a request into what is done: the table of the API, and who may do what.

GET changes nothing; whatever changes something is a POST of JSON, which no form of a web page and no
image can send (threat L3). Who is let in at all is decided before, in ``doors``.
"""

import json
import logging
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from secdns import __version__
from secdns.control import durations, metrics
from secdns.control.schema import (
    ALLOW_S,
    CODES,
    PAUSE_S,
    ROOT,
    VERSION,
    Daemon,
    Steps,
    error_to_json,
    to_json,
)
from secdns.errors import ControlError
from secdns.limit import Limit

MAX_FIELDS: Final = 8  # of a query part or an object
MAX_TEXT: Final = 1025  # characters of one value: the longest owner name as text
JSON_TYPE: Final = "application/json"

_LOG = logging.getLogger(__name__)

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes
    media_type: str = JSON_TYPE


Stream = Literal["events", "log"]


@dataclass(frozen=True, slots=True)
class _Way:
    """What one method on one path does. ``changes`` means that it is not for everybody."""

    do: Callable[[Daemon, Fields, bool], object]
    changes: bool
    fields: tuple[str, ...] = ()


def respond(
    request: Request, daemon: Daemon, may_change: bool
) -> Steps[Reply | Stream | Coroutine[None, None, Reply]]:
    """Do what is asked, in steps, and give the reply, or the stream that is wanted. Raises nothing.

    What has to wait for others gives a coroutine that gives the reply, and raises nothing.
    """
    try:
        made = _respond(request, daemon, may_change)
        if isinstance(made, Generator):
            made = Reply(200, _dump((yield from made)))
    except ControlError as error:
        return refusal(error)
    except Exception:  # a bug of ours must cost one answer, not the program
        _LOG.exception("cannot do what the local API was asked for")
        return refusal(ControlError("internal error, see the daemon's log"))
    return _reply_when(made) if isinstance(made, Coroutine) else made


async def _reply_when(work: Coroutine[None, None, object]) -> Reply:
    try:
        return Reply(200, _dump(to_json(await work)))
    except ControlError as error:
        return refusal(error)
    except Exception:  # as above
        _LOG.exception("cannot do what the local API was asked for")
        return refusal(ControlError("internal error, see the daemon's log"))


def refusal(error: ControlError) -> Reply:
    """Give the reply for an error."""
    return Reply(CODES.get(error.code, 500), _dump(error_to_json(error)))


def _respond(
    request: Request, daemon: Daemon, may_change: bool
) -> Reply | Stream | Steps[object] | Coroutine[None, None, object]:
    target = urlsplit(request.target)
    path = unquote(target.path).rstrip("/") or "/"
    ways = WAYS.get(path)
    if ways is None:
        raise _unknown_path(path)
    way = ways.get(request.method)
    if way is None:
        raise ControlError(
            f"{path} wants {' or '.join(ways)}, not {request.method[:16]}", code="wrong-method"
        )
    if way.changes and not may_change:
        raise ControlError(
            "only root, the user that the daemon runs as and members of the group secdns may do this",
            hint="sudo usermod -aG secdns $USER, then log in again",
            code="not-allowed",
        )
    given = _query_part(target.query) if request.method == "GET" else _body(request)
    for name in given:
        if name not in way.fields:
            wanted = ", ".join(way.fields) or "none"
            raise _bad(f"unknown key {name[:40]!r} for {path}, known: {wanted}")
    made = way.do(daemon, given, may_change)
    if isinstance(made, Reply | Generator | Coroutine) or made in ("events", "log"):
        return made
    return Reply(200, _dump(made))


def _unknown_path(path: str) -> ControlError:
    version = path.split("/")[1]
    if version[:1] == "v" and version[1:].isdecimal() and version != f"v{VERSION}":
        return ControlError(
            f"version {version[:12]} of the API is not spoken here, want v{VERSION}", code="unknown-version"
        )
    return ControlError(f"there is no {path[:60]}", hint=f"{ROOT} lists what there is", code="unknown-path")


def _query_part(text: str) -> Fields:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, strict_parsing=bool(text))
    except ValueError as error:
        raise _bad(f"the query part cannot be read: {error}") from None
    return dict(pairs)


def _body(request: Request) -> Fields:
    """Read the object in a request's body."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON_TYPE:
        raise ControlError(
            f"content-type {media_type[:40]!r}, want {JSON_TYPE}",
            hint="with curl: --json '{…}'",
            code="wrong-type",
        )
    try:
        value = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise _bad("the body is not JSON") from None
    if not isinstance(value, dict) or len(value) > MAX_FIELDS:
        raise _bad(f"the body is no JSON object of at most {MAX_FIELDS} keys")
    return value


def _bad(text: str, hint: str | None = None) -> ControlError:
    return ControlError(text, hint=hint, code="bad-request")


# What is done.


def _index(daemon: Daemon, given: Fields, may_change: bool) -> object:
    paths = {path: list(ways) for path, ways in WAYS.items()}
    return {"api": VERSION, "version": __version__, "paths": paths}


def _status(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return to_json(daemon.status(may_change=may_change))


def _upstreams(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return to_json(daemon.upstreams())


def _use(daemon: Daemon, given: Fields, may_change: bool) -> object:
    if "upstream" not in given:
        raise _bad("upstream is missing: the name of one, or null for the configuration's order")
    daemon.use(_text(given, "upstream"))
    return _status(daemon, given, may_change)


def _pause(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return to_json(daemon.pause(_seconds(given, PAUSE_S)))


def _resume(daemon: Daemon, given: Fields, may_change: bool) -> object:
    daemon.resume()
    return _status(daemon, given, may_change)


def _portal(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return daemon.portal()


def _network(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return to_json(daemon.network(may_change=may_change))


def _flush(daemon: Daemon, given: Fields, may_change: bool) -> Steps[object]:
    flushed = yield from daemon.flush(_text(given, "name"))
    return to_json(flushed)


def _why(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return to_json(daemon.why(_name(given)))


def _explain(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return daemon.explain(_name(given), _text(given, "type") or "A")


def _check(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return daemon.check(_text(given, "name"), _text(given, "bogus"))


def _allow(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return to_json(daemon.allow(_name(given), _seconds(given, ALLOW_S)))


def _metrics(daemon: Daemon, given: Fields, may_change: bool) -> object:
    text = metrics.render(daemon.status(may_change=False), daemon.upstreams())
    return Reply(200, text.encode(), metrics.MEDIA_TYPE)


def _events(daemon: Daemon, given: Fields, may_change: bool) -> object:
    return "events"


def _log(daemon: Daemon, given: Fields, may_change: bool) -> object:
    if given.get("follow") in ("1", "true"):
        daemon.log()  # says so where there is none
        return "log"
    return {"lines": list(daemon.log())}


# Path and method -> what it does. The order is that of the index.
WAYS: Final[dict[str, dict[str, _Way]]] = {
    ROOT: {"GET": _Way(_index, changes=False)},
    f"{ROOT}/status": {"GET": _Way(_status, changes=False)},
    f"{ROOT}/upstreams": {"GET": _Way(_upstreams, changes=False)},
    f"{ROOT}/use": {"POST": _Way(_use, changes=True, fields=("upstream",))},
    f"{ROOT}/pause": {"POST": _Way(_pause, changes=True, fields=("for", "for_s"))},
    f"{ROOT}/resume": {"POST": _Way(_resume, changes=True)},
    f"{ROOT}/portal": {"POST": _Way(_portal, changes=True)},
    f"{ROOT}/network": {"GET": _Way(_network, changes=False)},
    f"{ROOT}/flush": {"POST": _Way(_flush, changes=True, fields=("name",))},
    # What others asked for is not everybody's business, and this tells of failures only they have met.
    f"{ROOT}/why": {"GET": _Way(_why, changes=True, fields=("name",))},
    # It costs more than a question over DNS does, so it is not for everybody either.
    f"{ROOT}/explain": {"GET": _Way(_explain, changes=True, fields=("name", "type"))},
    # It starts a process and asks upstreams; a POST, so that nothing that only looks around sets it off.
    f"{ROOT}/check": {"POST": _Way(_check, changes=True, fields=("name", "bogus"))},
    f"{ROOT}/dnssec/allow": {"POST": _Way(_allow, changes=True, fields=("name", "for", "for_s"))},
    f"{ROOT}/metrics": {"GET": _Way(_metrics, changes=False)},
    f"{ROOT}/events": {"GET": _Way(_events, changes=False)},
    f"{ROOT}/log": {"GET": _Way(_log, changes=True, fields=("follow",))},
}


def _text(given: Fields, key: str) -> str | None:
    """Give a text, None if there is none.

    Raises:
        ControlError: it is something else, or empty, or too long.
    """
    value = given.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise _bad(f"{key} is no text of 1 to {MAX_TEXT} characters")
    return value


def _name(given: Fields) -> str:
    name = _text(given, "name")
    if name is None:
        raise _bad("name is missing")
    return name


def _seconds(given: Fields, limit: Limit[int]) -> int:
    """Give how long something is to last, from ``for`` ("5m") or ``for_s`` (300)."""
    value: object = given.get("for_s", limit.default)
    text = _text(given, "for")
    if text is not None:
        try:
            value = durations.parse(text)
        except ValueError as error:
            raise _bad(f"for: {error}") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad("for_s is no whole number of seconds")
    if not limit.least <= value <= limit.most:
        raise _bad(f"{durations.shown(value)} is out of bounds, want at most {durations.shown(limit.most)}")
    return value


def _dump(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
