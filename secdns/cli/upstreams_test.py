"""`secdns upstreams test`: what works and what does not, for every way to reach an upstream."""

import asyncio
import secrets
import string
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from secdns.cli import options, terminal
from secdns.cli.exits import Exit

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.cli.checks import Check, Names, Outcome
    from secdns.cli.probing import Plan, Report, Way
    from secdns.endpoint import Endpoint

LABEL_LENGTH = 16  # letters of a name that nobody has

EPILOG = """\b
reachable       a connection can be made, and a name that exists is answered
encrypted       TLS version, cipher, key exchange, application protocol
certificate     whose it is, who signed it, how long it is valid
pin             the pin of its key, for pin_sha256 of the configuration
padding         responses are padded, so that their size tells nothing
signatures      DNSSEC signatures come through
root-keys       and so do the keys that they begin with
negative-proof  and the proof that a name does not exist
large-answer    an answer comes whole that is too large for a datagram
nxdomain        nobody answers for names that do not exist
idle            how long a connection may idle

\b
Exit codes: 0 every upstream has an encrypted way on which nothing failed, 4 not so, 64 usage.
"""


@click.command(name="test", epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="[UPSTREAM]...")
@click.option("--details", is_flag=True, help="Show every check, not only those that failed.")
@click.option("--idle", is_flag=True, help="See how long a connection may idle, which takes 10 seconds.")
@click.option("--name", metavar="NAME", help="Ask for this signed name, and for names below it.")
@click.option("--large", metavar="NAME", help="Ask for the TXT records of this name as the large answer.")
@options.timeout(5.0, "Wait for each answer for S seconds")
@options.ca_file
@options.addresses("the upstreams")
@options.proxy
@options.config_file
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, see secdns(1).")
def test(
    words: tuple[str, ...],
    details: bool,
    idle: bool,
    name: str | None,
    large: str | None,
    timeout_s: float,
    ca_file: str | None,
    addresses: tuple[str, ...],
    proxy: str | None,
    config_file: str | None,
    as_json: bool,
) -> int:
    """Test each way to reach an upstream, and say what to do about what fails.

    UPSTREAM is @NAME or a URL as for secdns query; without, the configured ones are tested. Of a
    built-in one every transport is. Asked for are names that exist, names that do not and a large
    answer: nothing that tells who you are.
    """
    from secdns.cli import asking, probing

    _names(name, large)  # before anything is sent
    targets = [
        (upstream, asking.adjust(endpoints, ca_file=ca_file, addresses=addresses, proxy=proxy))
        for upstream, endpoints in _targets(words, config_file, is_proxied=proxy is not None)
    ]
    plan = probing.Plan(lambda: _names(name, large), timeout_s, probing.IDLE_S if idle else None)
    reports = asyncio.run(_run(targets, plan))
    if as_json:
        terminal.out_json([_object(report) for report in reports])
    else:
        _print(reports, details=details or len(reports) == 1)
    good = {report.way.upstream for report in reports if report.is_good}
    return Exit.OK if all(upstream in good for upstream, _ in targets) else Exit.NETWORK


def _targets(
    words: Sequence[str], config_file: str | None, *, is_proxied: bool = False
) -> list[tuple[str, tuple["Endpoint", ...]]]:
    """Give each upstream by the name that a person has for it, with its endpoints."""
    from secdns.cli import asking

    if not words:
        found = {upstream.name: upstream.endpoints for upstream in asking.load_config(config_file).upstreams}
    else:
        texts = [word.removeprefix("@") for word in words]
        found = {text: asking.choose(text, config_file) for text in texts}
    return [
        (name, asking.every_transport(name, endpoints, is_proxied=is_proxied))
        for name, endpoints in found.items()
    ]


def _names(name: str | None, large: str | None) -> "Names":
    from secdns.cli.checks import make_names

    first, second = (
        "".join(secrets.choice(string.ascii_lowercase) for _ in range(LABEL_LENGTH)) for _ in range(2)
    )
    return make_names((first, second), name, large)


async def _run(targets: Sequence[tuple[str, tuple["Endpoint", ...]]], plan: "Plan") -> list["Report"]:
    """Find the ways and try them, with a line of progress for each where a person looks on."""
    from secdns.cli.probing import probe_all, ways_of

    looks_on = terminal.is_terminal(sys.stderr)
    if looks_on:
        terminal.note(f"testing {', '.join(upstream for upstream, _ in targets)} ...")
    found = await asyncio.gather(*(ways_of(name, endpoints, plan.timeout_s) for name, endpoints in targets))
    ways = [way for some in found for way in some]
    count = 0

    def tell(report: "Report") -> None:
        nonlocal count
        count += 1
        if looks_on:
            terminal.note(f"{count} of {max(count, len(ways))}: {_title(report.way)}: {_result(report)}")

    return await probe_all(ways, plan, tell)


# for a person


def _print(reports: Sequence["Report"], *, details: bool) -> None:
    columns = ("result", "upstream", "transport", "family", "address", "handshake", "query", "what failed")
    terminal.table(columns, [_row(report) for report in reports], right=(5, 6), whole=(0,))
    for report in reports if details else ():
        if report.seen is not None:
            _print_details(report)
    for hint, failing in _failures(reports).items():
        terminal.out()
        names = dict.fromkeys(check.name for found in failing.values() for check, _ in found)
        terminal.out(f"{', '.join(names)} failed")
        for title, found in failing.items():
            terminal.out(f"  {title}: {'; '.join(outcome.text for _, outcome in found)}")
        terminal.out(f"  what to do: {hint}")
    terminal.out()
    for line in _summary(reports):
        terminal.out(line)


def _print_details(report: "Report") -> None:
    terminal.out()
    terminal.out(_title(report.way))
    rows = [
        (outcome.result.value.replace("fail", "FAIL"), check.name, outcome.text)
        for check, outcome in report.outcomes
    ]
    terminal.table(("", "check", "what was seen"), rows, whole=(0, 1))


def _failures(reports: Sequence["Report"]) -> dict[str, dict[str, list[tuple["Check", "Outcome"]]]]:
    """Give what failed by what to do about it and by way, in the order of the checks."""
    from secdns.cli.checks import CHECKS

    found: dict[str, dict[str, list[tuple[Check, Outcome]]]] = {}
    for at in range(len(CHECKS)):
        for report in reports:
            check, outcome = report.outcomes[at]
            if outcome.hint is not None:
                found.setdefault(outcome.hint, {}).setdefault(_title(report.way), []).append((check, outcome))
    return found


def _row(report: "Report") -> tuple[str, ...]:
    from secdns.cli.answer import milliseconds

    way, facts = report.way, None if report.seen is None else report.seen.facts
    handshake_s = None if facts is None else facts.handshake_s
    address = facts.peer if facts is not None and facts.peer else next(iter(way.endpoint.addresses), "-")
    return (
        _result(report),
        way.upstream,
        way.transport,
        way.family or ("proxy" if way.endpoint.proxy else "-"),
        address,
        "-" if handshake_s is None else milliseconds(handshake_s),
        "-" if report.query_s is None else milliseconds(report.query_s),
        _what_failed(report),
    )


def _result(report: "Report") -> str:
    """Say in a word or three how a way is."""
    from secdns.cli.checks import Result

    if report.is_good:
        return "good"
    if report.works:
        return "works, with flaws"
    return "FAILS" if report.has(Result.FAIL) else "skipped"


def _what_failed(report: "Report") -> str:
    failed = [check.name for check, outcome in report.outcomes if outcome.hint is not None]
    if failed:
        return ", ".join(failed)
    return "nothing" if report.works else report.outcomes[0][1].text


def _title(way: "Way") -> str:
    """Give how a person knows a way: the URL says its transport itself."""
    by = way.upstream if "://" in way.upstream else f"{way.upstream} by {way.transport}"
    if way.endpoint.proxy is not None:
        return f"{by} through its proxy"
    return by if way.family is None else f"{by} over {way.family}"


def _summary(reports: Sequence["Report"]) -> list[str]:
    lines = []
    for upstream in dict.fromkeys(report.way.upstream for report in reports):
        own = [report for report in reports if report.way.upstream == upstream]
        good = dict.fromkeys(report.way.transport for report in own if report.is_good)
        works = dict.fromkeys(report.way.transport for report in own if report.works)
        if good:
            lines.append(f"{upstream}: nothing is wrong with {', '.join(good)}.")
        elif works:
            lines.append(f"{upstream}: {', '.join(works)} can be used, but see above.")
        else:
            lines.append(f"{upstream}: no encrypted way to it works.")
    return lines


# for a program


def _object(report: "Report") -> dict[str, object]:
    """Give the object that secdns(1) documents."""
    way, seen = report.way, report.seen
    facts = None if seen is None else seen.facts
    certificate = None if seen is None else seen.certificate
    return {
        "upstream": way.upstream,
        "url": way.endpoint.url,
        "transport": way.transport,
        "family": way.family,
        "addresses": list(way.endpoint.addresses),
        "peer": facts and facts.peer,
        "proxy": way.endpoint.proxy and way.endpoint.proxy.url,
        "encrypted": way.endpoint.is_encrypted,
        "works": report.works,
        "good": report.is_good,
        "handshake_ms": facts and _milliseconds(facts.handshake_s),
        "query_ms": _milliseconds(report.query_s),
        "alpn": facts and facts.alpn,
        "tls": facts and facts.tls_version,
        "cipher": facts and facts.cipher,
        "key_exchange": facts and facts.key_exchange,
        "idle_limit_s": facts and facts.idle_limit_s,
        "certificate": certificate
        and {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "not_after": certificate.not_after.isoformat(),
            "days_left": certificate.days_left(seen.now if seen else 0.0),
            "pin_sha256": certificate.pin_sha256,
        },
        "checks": [
            {"name": c.name, "result": outcome.result.value, "text": outcome.text, "hint": outcome.hint}
            for c, outcome in report.outcomes
        ],
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
