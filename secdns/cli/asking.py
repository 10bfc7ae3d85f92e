"""Ask upstreams without a daemon: choose them from what a person wrote, then exchange.

Shared by the commands that hold no state: `query`, `bench` and `demo`. With them ``https://`` is HTTP/2
always: one question gains nothing from a race, and who measures has to know what. ``h3://`` is there too.
"""

import asyncio
import difflib
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secdns import endpoint as endpoints
from secdns import proxies
from secdns.cli.answer import Answer
from secdns.cli.lookup import Lookup
from secdns.dns.edns import EDNS, pad
from secdns.dns.message import Message, Question, make_query
from secdns.endpoint import Endpoint
from secdns.errors import ConfigError, EndpointError, FormatError, ProtocolError, TransportError
from secdns.iana import RCode
from secdns.transport import Transport, open_transport

if TYPE_CHECKING:
    from secdns.config import Config
    from secdns.dnssec.chain import Trust
    from secdns.judging import Judged

WAYS = "@tls://HOST, @https://HOST/dns-query, @udp://IP, @tcp://IP, @IP or @IP:PORT"
OFFLINE_HINT = "is this machine online? To see secdns at work without internet: secdns demo"


class NoAnswer(TransportError):
    """None of the endpoints answered; ``failed`` has each with what went wrong, at least one."""

    def __init__(self, failed: Sequence[tuple[Endpoint, TransportError]]) -> None:
        endpoint, last = failed[-1]
        if len(failed) > 1:
            super().__init__(f"none of {len(failed)} upstreams answered", hint=last.hint or OFFLINE_HINT)
        else:
            super().__init__(f"no answer from {endpoint.url}: {last}", hint=last.hint)
        self.failed = tuple(failed)


def load_config(config_file: str | None) -> "Config":
    """Give the configuration in ``config_file``, else the one that `secdns run` would use.

    Raises:
        ConfigError: it cannot be used.
    """
    from secdns import config

    return config.load(Path(config_file) if config_file else None)


def choose(text: str | None, config_file: str | None) -> tuple[Endpoint, ...]:
    """Give the endpoints to try, in order, for what stands behind ``@``; None means the configured ones.

    ``text`` is a URL, a DNS stamp, an IP address with or without port (plain DNS over UDP), the name of an
    upstream in the configuration, or that of a built-in one.

    Raises:
        click.UsageError: it is none of these.
        ConfigError: the configuration is needed and cannot be used.
    """
    if text is None:
        return tuple(e for upstream in load_config(config_file).upstreams for e in upstream.endpoints)
    if "://" in text:
        return (_parse_url(text),)
    plain = _plain(text)
    if plain is not None:
        return (plain,)
    return _named(text, config_file)


def every_transport(
    name: str, chosen: tuple[Endpoint, ...], *, is_proxied: bool = False
) -> tuple[Endpoint, ...]:
    """Add to the endpoints of an upstream what else the built-in one of this name offers, if it is one.

    Where one of them has a proxy, or with ``is_proxied`` is to have one, all go through a proxy, and
    what cannot is left out.
    """
    from secdns.providers import PROVIDERS

    provider = PROVIDERS().get(name)
    if provider is None:
        return chosen
    proxy = next((e.proxy for e in chosen if e.proxy is not None), None)
    have = {e.scheme for e in chosen}
    more = [provider.endpoints[one] for one in provider.transports]
    if proxy is not None or is_proxied:
        more = [replace(e, proxy=proxy) for e in more if e.scheme in endpoints.PROXY_SCHEMES]
    return (*chosen, *(e for e in more if e.scheme not in have))


def adjust(
    chosen: tuple[Endpoint, ...],
    *,
    ca_file: str | None = None,
    addresses: Sequence[str] = (),
    proxy: str | None = None,
    tcp: bool = False,
) -> tuple[Endpoint, ...]:
    """Give the endpoints with what the options add.

    Raises:
        click.UsageError: an option that has no meaning for such an upstream.
    """
    if tcp and any(e.is_encrypted for e in chosen):
        raise click.UsageError("--tcp is for plain upstreams, an encrypted one chooses its own transport")
    try:
        dialled = tuple(endpoints.parse_address(address) for address in addresses)
    except EndpointError as failure:
        raise click.UsageError(f"--address: {failure}") from failure
    try:
        through = None if proxy is None else proxies.parse(proxy)
        for e in chosen if through else ():
            endpoints.check_proxied(e)
    except EndpointError as failure:
        raise click.UsageError(f"--proxy: {failure}") from failure
    changed = []
    for e in chosen:
        changed.append(
            replace(
                e,
                scheme="tcp" if tcp else e.scheme,
                ca_file=ca_file or e.ca_file,
                addresses=dialled or e.addresses,
                proxy=through or e.proxy,
            )
        )
    return tuple(changed)


def trust(config_file: str | None, anchors: Sequence[str] = ()) -> "Trust":
    """Give where trust begins: at ``anchors`` in presentation form, else as the configuration says.

    Raises:
        ConfigError: the configuration cannot be used.
        FormatError: an anchor cannot be read.
    """
    from secdns.trust import AnchorKeeper

    configured = load_config(config_file).dnssec
    return AnchorKeeper(replace(configured, trust_anchors=tuple(anchors)) if anchors else configured).trust()


def build_query(question: Question, endpoint: Endpoint, *, dnssec: bool = False, cd: bool = False) -> bytes:
    """Give a query in wire form; one that travels encrypted is padded (RFC 8467 §4.1)."""
    wire = make_query(
        question.name, question.rrtype, id=secrets.randbits(16), ad=dnssec, cd=cd, edns=EDNS(do=dnssec)
    )
    return pad(wire) if endpoint.is_encrypted else wire


async def ask(
    question: Question,
    candidates: Sequence[Endpoint],
    *,
    dnssec: bool,
    timeout_s: float,
    trust: "Trust | None" = None,
    cd: bool = False,
) -> Answer:
    """Put one question to the first endpoint that answers.

    Each endpoint has an equal part of what is left of ``timeout_s``, so that a silent one leaves
    time for the next.

    Raises:
        NoAnswer: none answered.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    failed: list[tuple[Endpoint, TransportError]] = []
    for left, endpoint in zip(range(len(candidates), 0, -1), candidates, strict=True):
        now = loop.time()
        try:
            deadline = now + (end - now) / left
            answer = await ask_one(question, endpoint, deadline=deadline, dnssec=dnssec, trust=trust, cd=cd)
        except TransportError as failure:
            failed.append((endpoint, failure))
        else:
            return replace(answer, failed=tuple(failed))
    raise NoAnswer(failed)


async def ask_one(
    question: Question,
    endpoint: Endpoint,
    *,
    deadline: float,
    dnssec: bool,
    trust: "Trust | None" = None,
    cd: bool = False,
) -> Answer:
    """Put one question to one endpoint over a connection of its own.

    With ``trust`` the answer is judged too, over the same connection. ``cd`` asks for it unjudged
    by the upstream (RFC 4035 §3.2.2).

    Raises:
        TransportError: no answer before ``deadline``, in seconds of the event loop's clock.
    """
    async with AsyncExitStack() as stack, aclosing(open_transport(endpoint, Lookup(stack))) as transport:
        started = time.perf_counter()
        wire = await transport.exchange(build_query(question, endpoint, dnssec=dnssec, cd=cd), deadline)
        elapsed_s = time.perf_counter() - started
        try:
            response = Message.parse(wire)
        except FormatError as failure:
            raise ProtocolError(f"the response is not a DNS message: {failure}") from failure
        judged = (
            None if trust is None else await _judge(question, response, transport, endpoint, trust, deadline)
        )
        return Answer(question, response, len(wire), endpoint, transport.facts(), elapsed_s, judged=judged)


async def _judge(
    question: Question,
    response: Message,
    transport: Transport,
    endpoint: Endpoint,
    trust: "Trust",
    deadline: float,
) -> "Judged | None":
    """Judge a response; None if it holds nothing that can be judged.

    An upstream that validates hides a bogus answer behind SERVFAIL, so that is asked for again
    with CD set.
    """
    from secdns.judging import judge

    async def link(wanted: Question) -> Message | None:
        try:
            wire = await transport.exchange(build_query(wanted, endpoint, dnssec=True, cd=True), deadline)
            return Message.parse(wire)
        except (TransportError, FormatError):
            return None

    judgeable: Message | None = response
    if response.rcode == RCode.SERVFAIL:
        judgeable = await link(question)
    if judgeable is None or judgeable.rcode not in (RCode.NOERROR, RCode.NXDOMAIN, RCode.YXDOMAIN):
        return None
    return await judge(question, judgeable, link, trust)


def _parse_url(text: str) -> Endpoint:
    chosen = endpoints.parse(text)
    if not chosen.is_encrypted and not chosen.is_ip:
        raise EndpointError(
            f"{text!r} names a host, a plain upstream needs an IP address",
            hint=f"for DNS over TLS write @tls://{chosen.host}",
        )
    return chosen


def _plain(text: str) -> Endpoint | None:
    """Read ``IP``, ``IP:PORT`` or ``[IPv6]:PORT`` as plain DNS over UDP; None if it is no address."""
    if endpoints.is_ip_literal(text):
        return endpoints.parse(f"udp://[{text}]" if ":" in text else f"udp://{text}")
    host = text.rpartition(":")[0].removeprefix("[").removesuffix("]")
    if endpoints.is_ip_literal(host) or endpoints.is_ip_literal(text.strip("[]")):
        return endpoints.parse(f"udp://{text}")
    return None


def _named(text: str, config_file: str | None) -> tuple[Endpoint, ...]:
    """Find an upstream by its name in the configuration, then among the built-in ones.

    A configuration that was not asked for and is broken is no reason not to ask a built-in one.
    """
    from secdns.providers import PROVIDERS

    known = PROVIDERS()
    try:
        configured = {upstream.name: upstream.endpoints for upstream in load_config(config_file).upstreams}
    except ConfigError:
        if config_file is not None or text not in known:
            raise
        configured = {}
    if text in configured:
        return configured[text]
    if text in known:
        return known[text].auto
    near = difflib.get_close_matches(text, [*configured, *known], n=1)
    if near:
        hint = f"did you mean @{near[0]}?"
    elif "." in text:
        hint = f"a URL says how to reach it: @tls://{text} or @https://{text}/dns-query"
    else:
        hint = f"want {WAYS} or a name of secdns upstreams"
    raise EndpointError(f"there is no upstream {text!r}", hint=hint)
