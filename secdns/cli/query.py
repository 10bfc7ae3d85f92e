"""`secdns query`: one question, asked without a daemon."""

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from secdns.cli import options, terminal
from secdns.errors import FormatError, TransportError

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.dns.message import Question
    from secdns.endpoint import Endpoint

UPSTREAM_FORMS = """\b
UPSTREAM is one of
  @tls://dns.example          DNS over TLS
  @https://dns.example/path   DNS over HTTPS (HTTP/2)
  @h3://dns.example/path      DNS over HTTPS (HTTP/3)
  @quic://dns.example         DNS over QUIC
  @sdns://AgcA...             a DNS stamp, which says one of these
  @127.0.0.1  @[::1]:5300     plain DNS, over UDP and where needed TCP
  @quad9                      a built-in upstream, see: secdns upstreams
  @home                       an upstream of your configuration, by its name
and without one the upstreams of the configuration are tried in their order."""

EPILOG = f"""{UPSTREAM_FORMS}

\b
--json prints one object; keys are added, never changed:
  name, type       what was asked
  status           NOERROR, NXDOMAIN, SERVFAIL, ...
  flags            array of qr aa tc rd ra ad cd
  answer           array of {{name, type, class, ttl_s, data}}
  authority        array of the same
  ede              array of {{code, name, text}}: Extended DNS Errors
  verdict          with --dnssec our own, {{status, reason, ede}}; else null
  upstream         URL of what answered
  transport        its scheme: https, tls, udp, tcp
  encrypted        true or false
  tls, cipher, alpn, peer   strings, or null where there is none
  elapsed_ms       number, with the handshake
  size_octets      number
  failed           array of {{upstream, error}}: tried before

\b
Exit codes: 0 answer, 1 NXDOMAIN or NODATA, 2 SERVFAIL or another failure,
3 bogus (with --dnssec), 4 no upstream answered, 64 usage, 78 configuration.
"""


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="NAME [TYPE] [@UPSTREAM]")
@click.option(
    "-x", "address", metavar="ADDR", help="Ask for the name of an IP address (PTR) instead of NAME."
)
@click.option("--json", "form", flag_value="json", help="Print one JSON object, described below.")
@click.option("--short", "form", flag_value="short", help="Print the data of the records and nothing else.")
@click.option("--dig", "form", flag_value="dig", help="Print the whole message as dig does.")
@click.option("--dnssec", is_flag=True, help="Ask for signatures (the DO bit), check them, give a verdict.")
@options.trust_anchors
@click.option("--tcp", is_flag=True, help="Use TCP for a plain upstream.")
@options.timeout(5.0)
@options.ca_file
@options.addresses()
@options.proxy
@options.config_file
def query(
    words: tuple[str, ...],
    address: str | None,
    form: str | None,
    dnssec: bool,
    anchors: tuple[str, ...],
    tcp: bool,
    timeout_s: float,
    ca_file: str | None,
    addresses: tuple[str, ...],
    proxy: str | None,
    config_file: str | None,
) -> int:
    """Ask for the records of one type at NAME (TYPE is A unless given)."""
    from secdns.cli import answer, asking

    name_text, type_text, upstream = sort_words(words, address)
    question = make_question(name_text, type_text)
    if upstream is None and (ca_file or addresses):
        raise click.UsageError("--ca-file and --address need an UPSTREAM that they belong to")
    candidates = asking.adjust(
        asking.choose(upstream, config_file), ca_file=ca_file, addresses=addresses, proxy=proxy, tcp=tcp
    )
    try:
        trust = asking.trust(config_file, anchors) if dnssec else None
        got = asyncio.run(asking.ask(question, candidates, dnssec=dnssec, timeout_s=timeout_s, trust=trust))
    except asking.NoAnswer as failure:
        if len(failure.failed) > 1:
            _tell_failed(failure.failed)
        raise
    _tell_failed(got.failed)
    match form:
        case "json":
            answer.as_json(got)
        case "short":
            answer.short(got)
        case "dig":
            answer.like_dig(got)
        case _:
            answer.for_person(got, dnssec=dnssec)
    return got.exit_code


def _tell_failed(failed: Sequence[tuple["Endpoint", TransportError]]) -> None:
    for endpoint, failure in failed:
        terminal.warn(f"no answer from {endpoint.url}: {failure}")


def sort_words(words: Sequence[str], address: str | None) -> tuple[str, str, str | None]:
    """Tell NAME, TYPE and UPSTREAM apart: the last begins with ``@`` and may stand anywhere.

    Raises:
        click.UsageError: one too many, one too few, or ``-x`` with a NAME.
    """
    upstreams = [word[1:] for word in words if word.startswith("@")]
    others = [word for word in words if not word.startswith("@")]
    if len(upstreams) > 1:
        raise click.UsageError(f"one UPSTREAM is wanted, not {len(upstreams)}; to compare them: secdns bench")
    if upstreams == [""]:
        raise click.UsageError("@ stands alone, want @UPSTREAM such as @quad9 or @127.0.0.1")
    upstream = upstreams[0] if upstreams else None
    if address is not None:
        if others:
            raise click.UsageError(
                f"-x asks for the PTR record of an address, want no NAME or TYPE ({others[0]!r})"
            )
        return _reverse_name(address), "PTR", upstream
    if not 1 <= len(others) <= 2:
        raise click.UsageError(f"NAME and at most one TYPE are wanted, not {len(others)} words")
    return others[0], others[1] if len(others) == 2 else "A", upstream


def make_question(name_text: str, type_text: str) -> "Question":
    """Give the question for what a person wrote.

    Raises:
        FormatError: not a name.
        click.BadParameter: not a type.
    """
    from secdns.cli.records import type_from_text
    from secdns.dns import name
    from secdns.dns.message import Question

    if "://" in name_text:
        raise FormatError(
            f"{name_text!r} is a URL, want a name",
            hint=f"secdns query {name_text.split('/')[2].split(':')[0]}",
        )
    if _is_address(name_text):
        raise FormatError(
            f"{name_text!r} is an address, want a name",
            hint=f"for the name of an address: secdns query -x {name_text}",
        )
    if not name_text.isascii():
        raise FormatError(
            f"{name_text!r} is not ASCII, names are asked for as they are on the wire",
            hint=_ascii_hint(name_text),
        )
    return Question(name.from_text(name_text), type_from_text(type_text))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _reverse_name(address: str) -> str:
    try:
        return ipaddress.ip_address(address).reverse_pointer
    except ValueError as failure:
        raise click.UsageError(f"-x: {address!r} is not an IP address") from failure


def _ascii_hint(text: str) -> str:
    """Offer the ASCII form where IDNA 2003, which Python brings, and IDNA 2008 agree on it."""
    differs = "\u00df\u03c2\u200c\u200d"  # sharp s, final sigma and the joiners (UTS 46 §7)
    if any(char in differs for char in text):
        return "write the form that starts with xn--"
    try:
        return f"the ASCII form may be {text.encode('idna').decode('ascii')}"
    except UnicodeError:
        return "write the form that starts with xn--"
