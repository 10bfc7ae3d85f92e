"""Put together what `secdns doctor` writes: what a person who helps wants to know, and nothing of its owner.

Of the configuration every key is left out of which nobody has said here how it is shown.
"""

import getpass
import json
import os
import platform
import pwd
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Final

from secdns import __version__, providers
from secdns.cli.answer import Answer
from secdns.cli.certificate import Certificate
from secdns.cli.check import lines as check_lines
from secdns.cli.checks import Outcome
from secdns.cli.health import BOGUS, GOOD, Check, Looks
from secdns.cli.masking import Mask
from secdns.config import KEYS, Config, describe
from secdns.dns import name as names
from secdns.dnssec.times import shown
from secdns.osdns.status import Status
from secdns.policy.proof import ZONE_TEXT

MAX_LINES: Final = 300  # of a section; a configuration may have thousands of overrides
MAX_LINE: Final = 500  # characters
FIRST_PERSON: Final = 1000  # UID_MIN of login.defs(5) everywhere

_QUERY: Final = re.compile(r" in \d+\.\d ms$")  # a line of the query log, which may be of another day
_QUOTED: Final = re.compile(r"'[^']*'")

_KEPT: Final = frozenset(
    {
        "upstreams.strategy", "dnssec.mode", "dnssec.sha1", "cache.size_mb", "cache.serve_stale",
        "network.strict", "log.names",
    }
)  # fmt: skip
"""Keys whose values are numbers, or words that secdns made."""

_MASKED: Final = frozenset(
    {"server.listen", "server.acl", "endpoints", "addresses", "proxy", "via", "name", "domains"}
)
"""Keys, or last words of keys, whose values are names, addresses and URLs."""


def report(
    looks: Looks,
    outcomes: Sequence[tuple[Check, Outcome]],
    key: bytes,
    messages: Sequence[str] | None = None,
) -> str:
    """Give the whole report; ``key`` makes the words that stand for names, so it has to be a new one.

    ``messages`` are the daemon's last ones, None if they cannot be read.
    """
    mask = Mask(key, public=_public(looks), words=own_words(looks))
    sections: tuple[tuple[str, Callable[[], Iterator[str]]], ...] = (
        # which program this is, on what: a bug is often known for one of them
        ("Versions", _versions),
        # what is wrong, in our own words: most reports end here
        ("Checks", lambda: map(mask.text, check_lines(outcomes))),
        # what the daemon says of itself, and has done since it started
        ("The daemon", lambda: map(mask.text, _daemon(looks))),
        # who controls DNS here, and how we know
        ("The system's DNS", lambda: map(mask.text, _system(looks))),
        # what was decided, which explains much of the rest
        ("Configuration", lambda: _configuration(looks, mask)),
        # what the daemon said of itself: the last, because it is long
        ("Messages of the daemon", lambda: _messages(messages, mask)),
    )
    found = [*_head(looks)]
    for title, make in sections:
        lines = [*make()]
        found += ["", f"## {title}", "", *(_cut(line) for line in lines[:MAX_LINES])]
        if len(lines) > MAX_LINES:
            found.append(f"({len(lines) - MAX_LINES} more lines)")
    return "\n".join(found) + "\n"


def own_words(looks: Looks) -> set[str]:
    """Give names that may have no dot and are this person's: machine, users, search list, configuration."""
    machine = socket.gethostname()
    found = {machine, machine.partition(".")[0], os.environ.get("SUDO_USER", "")}
    with suppress(KeyError, OSError):  # a user without an entry in passwd
        found.add(getpass.getuser())
    found.update(holder.user for _, holder in looks.holders or () if _is_person(holder.user))
    found.update(looks.domains)
    if looks.daemon is not None:
        problem = looks.daemon.problem
        found |= {looks.daemon.upstream.name, (problem.name if problem else None) or ""}
    if isinstance(looks.status, Status):
        found.update(looks.status.network.search)
    if looks.config is not None:
        found.update(_configured_names(looks.config))
    if isinstance(looks.upstream, Answer) and looks.upstream.facts.certificate is not None:
        certificate = Certificate(looks.upstream.facts.certificate)
        if looks.upstream_name not in providers.PROVIDERS():  # else it is known to everybody
            found |= {certificate.subject, certificate.issuer}
    return found - {"", "root", "localhost", "secdns"}


def _is_person(user: str) -> bool:
    """Tell people from the users that packages make."""
    try:
        return pwd.getpwnam(user).pw_uid >= FIRST_PERSON
    except KeyError:
        return True


def _configured_names(config: Config) -> Iterator[str]:
    for upstream in config.upstreams:
        yield upstream.name
        yield from (endpoint.host for endpoint in upstream.endpoints)
    for route in config.routes:
        yield from map(names.to_text, route.domains)
    yield from (names.to_text(owner) for owner, _ in config.overrides)
    yield from map(names.to_text, config.dnssec.negative_trust_anchors)


def _public(looks: Looks) -> set[str]:
    """Give what everybody knows: the built-in upstreams, what is asked for by default, keys of ours."""
    found = {GOOD, BOGUS, ZONE_TEXT, "network"}  # the last is a word of [[route]]
    for provider in providers.PROVIDERS().values():
        found |= {provider.id, *provider.addresses}
        for endpoint in provider.endpoints.values():
            found |= {endpoint.url, endpoint.host, *endpoint.addresses}
    for table, keys in KEYS.items():
        found |= {f"{table.strip('[]')}.{each}" for each in keys}
    return found


def _head(looks: Looks) -> Iterator[str]:
    yield f"# secdns doctor, {shown(int(looks.now))}"
    yield ""
    yield "In it: versions, what secdns check says, who controls DNS, the configuration, and what the"
    yield "daemon said of late. Not in it: what was asked, passwords, pins, trust anchors, quoted words."
    yield "Hidden: each name, each address that is not of a built-in upstream, and each path of your own"
    yield "stands as a word such as name-1a2b3c4d: the same word for the same thing here, another in the"
    yield "next report. Which built-in upstream you use can be seen. Read it before you send it."


def _versions() -> Iterator[str]:
    yield f"secdns {__version__}"
    yield f"{platform.python_implementation()} {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    yield f"{platform.system()} {platform.release()} {platform.machine()}, {_distribution()}"
    yield f"user: {'root' if hasattr(os, 'geteuid') and os.geteuid() == 0 else 'not root'}"
    yield ", ".join(f"{library} {_version(library)}" for library in _libraries()) or "no libraries are known"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return sys.platform


def _libraries() -> list[str]:
    """Give what secdns needs, by the names of the package index."""
    try:
        wanted = metadata.requires("secdns") or []
    except metadata.PackageNotFoundError:
        return []
    mine = (each for each in wanted if "extra ==" not in each)
    return sorted({each.partition(";")[0].split("[")[0].split(">")[0].split("=")[0].strip() for each in mine})


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _daemon(looks: Looks) -> Iterator[str]:
    """Give what it says over its local API, but for names."""
    daemon = looks.daemon
    if daemon is None:
        yield "it says nothing over its local API"
        return
    yield f"version {daemon.version}, runs for {int(daemon.uptime_s)} s, {daemon.state}: {daemon.sentence}"
    upstream = daemon.upstream
    yield f"in use: {upstream.name}, {upstream.protocol}, {upstream.tls or 'TLS version unknown'}"
    yield f"median of its answers: {upstream.p50_ms} ms, last failure: {upstream.last_failure}"
    yield f"counters: {asdict(daemon.counters)}"
    yield f"cache: {asdict(daemon.cache)}"
    if daemon.problem is not None:
        yield f"last problem, {shown(int(daemon.problem.at))}: {daemon.problem.sentence}"


def _system(looks: Looks) -> Iterator[str]:
    status = looks.status
    if not isinstance(status, Status):
        yield str(status or "could not be found out in time")
        return
    yield status.words
    yield f"told are: {', '.join(status.controllers) or 'nobody'}"
    yield f"resolv.conf names: {', '.join(status.named) or 'nobody'}"
    yield f"the network names: {', '.join(map(str, status.network.servers)) or 'no server'}"
    yield f"search list: {' '.join(status.network.search) or 'none'}"
    yield f"journal: {status.journal or 'none'}"
    yield from (f"- {sentence}" for sentence in status.trace)
    for host, holder in looks.holders or ():
        yield f"on port 53 of {host}: {holder}"


def _messages(messages: Sequence[str] | None, mask: Mask) -> Iterator[str]:
    """Give what the daemon said, without what it was asked and without what it quotes."""
    if messages is None:
        yield "they cannot be read here; as root, and where secdns is a service of systemd, they can"
    elif not messages:
        yield "there are none"
    for line in messages or ():
        if not _QUERY.search(line):
            yield _QUOTED.sub("'...'", mask.text(line))


def _configuration(looks: Looks, mask: Mask) -> Iterator[str]:
    if looks.config is None:
        yield mask.text(str(looks.config_error))
        return
    for key, value, origin in describe(looks.config):
        where = origin.rpartition(":")[2] if ":" in origin else origin
        source = (
            f"line {where}" if where.isdigit() else origin if origin in ("default", "built-in") else "file"
        )
        yield f"{_key(key, mask)} = {_value(key, value, mask)}  ({source})"


def _key(key: str, mask: Mask) -> str:
    """Mask the name that a key of [overrides] is."""
    table, _, rest = key.partition(".")
    return f"{table}.{mask.word(rest.strip(chr(34)))}" if table == "overrides" else key


def _value(key: str, value: str, mask: Mask) -> str:
    last = key.rpartition(".")[2]
    if key in _KEPT or value in ("[]", '""', "true", "false"):
        return value
    if key.startswith("overrides.") or key in _MASKED or last in _MASKED:
        return json.dumps(_masked(json.loads(value), mask, is_name=last in ("name", "domains", "via")))
    decoded = json.loads(value)
    return f"({len(decoded)} hidden)" if isinstance(decoded, list) else "(hidden)"


def _masked(value: object, mask: Mask, *, is_name: bool) -> object:
    if isinstance(value, list):
        return [_masked(each, mask, is_name=is_name) for each in value]
    text = str(value)
    return mask.word(text) if is_name and "://" not in text else mask.text(text)


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"


def write_new(target: Path, text: str) -> None:
    """Write a file that is its owner's alone.

    Raises:
        OSError: something is there already, or it cannot be written.
    """
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
