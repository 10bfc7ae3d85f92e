"""`secdns upstreams discover`: the encrypted side of a plain resolver, offered and not taken."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from secdns.cli import options, terminal
from secdns.cli.exits import Exit
from secdns.errors import ProtocolError, TransportError

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.discovery import Candidate
    from secdns.endpoint import Endpoint

WORDS = {"tls": "dot", "quic": "doq", "https": "doh", "h3": "doh3"}

EPILOG = """\b
verified      its certificate holds its name and the address of the resolver, and it answered
first answer  connecting, the handshake and one query together

\b
Nothing is changed: what is offered is printed as it has to stand in the configuration.
Exit codes: 0 something is verified, 1 nothing is, 2 no resolver gave more than a refusal,
4 no resolver answered, 64 usage.
"""


class Found(NamedTuple):
    """What one resolver designates; ``error`` says why it was not even told."""

    resolver: "Endpoint"
    candidates: "Sequence[Candidate]" = ()
    error: TransportError | None = None

    @property
    def code(self) -> Exit:
        """What a program is told."""
        if self.error is not None:
            return Exit.FAILURE if isinstance(self.error, ProtocolError) else Exit.NETWORK
        return Exit.OK if any(each.is_verified for each in self.candidates) else Exit.NO_RECORDS


@click.command(epilog=EPILOG)
@click.argument("address", required=False, metavar="[ADDRESS]")
@options.timeout(5.0)
@options.ca_file
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, see secdns(1).")
def discover(address: str | None, timeout_s: float, ca_file: str | None, as_json: bool) -> int:
    """Ask plain resolvers for their encrypted side (RFC 9462), and check it.

    ADDRESS is an IP address, with or without port. Without one the resolvers of this network are
    asked, which are those of /etc/resolv.conf.
    """
    resolvers = _given(address) if address else _of_network()
    if not resolvers:
        terminal.error(
            "this network has no resolver that could be asked",
            hint="name one: secdns upstreams discover 192.0.2.1",
        )
        return Exit.NETWORK
    results = asyncio.run(_ask(resolvers, timeout_s, ca_file))
    if as_json:
        terminal.out_json([_object(result) for result in results])
    else:
        for result in results:
            _print(result)
        _offer(results)
    return min(result.code for result in results)


def _given(address: str) -> "tuple[Endpoint, ...]":
    from secdns.cli import asking

    chosen = asking.choose(address, None)
    if any(endpoint.is_encrypted for endpoint in chosen):
        raise click.UsageError(f"{address!r} is encrypted already, want the address of a plain resolver")
    return chosen


def _of_network() -> "tuple[Endpoint, ...]":
    from secdns.cli import asking
    from secdns.cli.resolv_conf import network_resolvers

    addresses, notes = network_resolvers()
    for note in notes:
        terminal.note(note)
    return tuple(endpoint for address in addresses for endpoint in asking.choose(address, None))


async def _ask(resolvers: "Sequence[Endpoint]", timeout_s: float, ca_file: str | None) -> list[Found]:
    from secdns import discovery

    deadline = asyncio.get_running_loop().time() + timeout_s

    async def ask(resolver: "Endpoint") -> Found:
        if terminal.is_terminal(sys.stderr):
            terminal.note(f"asking {resolver.url} ...")
        try:
            return Found(resolver, await discovery.discover(resolver, deadline, ca_file=ca_file))
        except TransportError as error:
            return Found(resolver, error=error)

    return list(await asyncio.gather(*(ask(resolver) for resolver in resolvers)))


def _print(result: Found) -> None:
    """Print what one resolver says of itself."""
    from secdns.cli.answer import milliseconds

    asked = result.resolver.authority
    if result.error is not None:
        terminal.error(f"{asked}: {result.error}", hint=result.error.hint)
        return
    if not result.candidates:
        terminal.out(f"{asked} offers no encrypted DNS.")
        return
    terminal.out(f"{asked} offers:")
    rows = [
        (
            str(each.priority),
            each.named,
            " ".join(each.endpoint.addresses) if each.endpoint else "",
            "-" if each.first_answer_s is None else milliseconds(each.first_answer_s),
            each.why or "verified",
        )
        for each in result.candidates
    ]
    terminal.table(("priority", "url", "address", "first answer", "verdict"), rows, right=(0, 3), whole=(1,))


def _offer(results: Sequence[Found]) -> None:
    """Print the tables of the configuration that would use what is verified."""
    verified = dict.fromkeys(
        each.endpoint
        for result in results
        for each in result.candidates
        if each.is_verified and each.endpoint
    )
    if not verified:
        return
    terminal.note(
        "to use them, put these into the configuration, in order of preference (nothing was changed):"
    )
    names: set[str] = set()
    for endpoint in verified:
        terminal.out()
        for line in upstream_table(endpoint, _name(endpoint, names)):
            terminal.out(line)


def upstream_table(endpoint: "Endpoint", name: str) -> list[str]:
    """Give the lines of the configuration for an endpoint."""
    lines = [
        "[[upstream]]",
        f"name = {json.dumps(name)}",
        f"url = {json.dumps(endpoint.url)}",
        f"addresses = {json.dumps(list(endpoint.addresses))}",
    ]
    return [*lines, f"ca_file = {json.dumps(endpoint.ca_file)}"] if endpoint.ca_file else lines


def _name(endpoint: "Endpoint", taken: set[str]) -> str:
    """Give a name that the configuration takes and that none of ``taken`` is, and take it."""
    word = WORDS[endpoint.scheme]
    for number in range(1, len(taken) + 2):
        name = f"{word}{number if number > 1 else ''}-{endpoint.host}"[:63]
        if name not in taken:
            break
    taken.add(name)
    return name


def _object(result: Found) -> dict[str, object]:
    return {
        "resolver": result.resolver.authority,
        "error": None if result.error is None else str(result.error),
        "offers": [
            {
                "priority": each.priority,
                "url": each.named,
                "addresses": list(each.endpoint.addresses) if each.endpoint else [],
                "verified": each.is_verified,
                "reason": each.why or None,
                "first_answer_ms": None
                if each.first_answer_s is None
                else round(each.first_answer_s * 1000, 3),
            }
            for each in result.candidates
        ],
    }
