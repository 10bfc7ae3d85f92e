"""Find the encrypted endpoints of a plain resolver: Discovery of Designated Resolvers (RFC 9462).

The resolver is asked, in plain, for the SVCB records of ``_dns.resolver.arpa``. Who can forge that
answer can lead anywhere, so a record is a proposal and nothing more until its endpoint has shown,
in one handshake, a certificate that is valid for the name in the record *and* holds the address of
the resolver that was asked (§4.2), and has then answered a query. It has to be one certificate:
of two handshakes, one for the name and one for the address, a forger could pass the second one on
to the real resolver. ``Endpoint.designator`` has the transports check it.

Opportunistic use without that certificate (§4.3) is not offered: on a private address, where
no public certificate can be had, anybody on the same network could be the resolver.

Nothing goes round in circles: aliases are not followed, addresses come with the records or from the
resolver itself, an address of this machine is not dialled for a resolver that is elsewhere, and
one absolute deadline holds for all of it.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from secdns.bootstrap import Bootstrap
from secdns.dns.edns import EDNS, pad
from secdns.dns.message import Message, Record, make_query
from secdns.dns.name import ROOT, from_text, to_text
from secdns.dns.svcb import ServiceBinding, parse
from secdns.endpoint import HTTP_SCHEMES, Endpoint, parse_address
from secdns.endpoint import parse as parse_url
from secdns.errors import AuthenticationError, EndpointError, FormatError, ProtocolError, TransportError
from secdns.iana import RCode, RRClass, RRType, SvcParamKey, rcode_text
from secdns.transport import Lookup, Transport, open_transport

NAME: Final = from_text("_dns.resolver.arpa")  # RFC 9462 §4
PROTOCOLS: Final = {b"dot": "tls", b"doq": "quic", b"h2": "https", b"h3": "h3"}
"""ALPN identifier -> scheme (RFC 9461 §4.1)."""
KNOWN: Final = frozenset(SvcParamKey) - {SvcParamKey.ECH}  # what a record may call mandatory
MAX_CANDIDATES: Final = 16  # public resolvers have 2 to 4; each costs a handshake
MAX_ADDRESSES: Final = 8  # of one candidate
MAX_SHOWN: Final = 80  # octets or characters of the resolver's own words in a reason

NOT_CERTIFIED: Final = " (no public authority certifies {})"
_EXPRESSION: Final = re.compile(r"\{[+#./;?&]?([^{}]*)\}")  # RFC 6570 §2.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that the resolver designates, the most preferred with the lowest ``priority``.

    ``named`` is its URL, or what the record says where that makes none; ``endpoint`` is None then.
    ``why`` says in words why it must not be used, "" that it is verified. ``first_answer_s`` is how
    long connecting, the handshake and one query took together.
    """

    priority: int
    named: str
    endpoint: Endpoint | None = None
    why: str = ""
    first_answer_s: float | None = None

    @property
    def is_verified(self) -> bool:
        """Tell whether the endpoint is the resolver's own, and answers."""
        return not self.why


async def discover(
    resolver: Endpoint, deadline: float, *, ca_file: str | None = None
) -> tuple[Candidate, ...]:
    """Give what a plain resolver designates, verified or with the reason why not; nothing if it does not.

    ``resolver`` is a ``udp://`` or ``tcp://`` endpoint at an IP literal. ``deadline`` is absolute, in
    seconds of the event loop's clock; the question to the resolver has half of the time until then.
    ``ca_file`` replaces the system's trust store. At most ``MAX_CANDIDATES`` are looked at.

    Raises:
        ProtocolError: the resolver answers that it will not or cannot, or with nonsense.
        TransportError: it does not answer.
    """
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(aclosing(open_transport(resolver, _no_lookup)))
        now = loop.time()
        response = await _designations(plain, resolver, now + (deadline - now) / 2)

        async def ask_resolver(query: bytes, until: float, sought: frozenset[str]) -> bytes:
            return await plain.exchange(query, until)

        bootstrap = Bootstrap(ask_resolver)
        stack.push_async_callback(bootstrap.aclose)
        found = _candidates(response, resolver)
        checks = (_verify(each, resolver, ca_file, bootstrap.lookup, deadline) for each in found)
        return tuple(await asyncio.gather(*checks))


async def _no_lookup(host: str, deadline: float) -> tuple[str, ...]:
    raise AssertionError(f"{host} has no address")  # the resolver is an IP literal


async def _designations(plain: Transport, resolver: Endpoint, deadline: float) -> Message:
    query = make_query(NAME, RRType.SVCB, id=secrets.randbits(16), edns=EDNS())
    try:
        response = Message.parse(await plain.exchange(query, deadline))
    except FormatError as error:
        raise ProtocolError(f"the response of {resolver.url} is not a DNS message: {error}") from error
    if response.rcode not in {RCode.NOERROR, RCode.NXDOMAIN}:
        raise ProtocolError(f"{resolver.url} answered {rcode_text(response.rcode)}")
    return response


def _candidates(response: Message, resolver: Endpoint) -> list[Candidate]:
    """Give what the records of a response propose, in order of preference.

    Raises:
        ProtocolError: one of them is malformed, so none may be used (RFC 9460 §2.2).
    """
    try:
        bindings = [parse(rdata) for rdata in _rdata(response.answer, NAME, RRType.SVCB)]
    except FormatError as error:
        raise ProtocolError(f"{resolver.url} designates nonsense: {error}") from error
    found: list[Candidate] = []
    for binding in sorted(bindings, key=lambda each: each.priority)[:MAX_CANDIDATES]:
        beside = [
            str(ip_address(rdata))
            for rrtype, size in ((RRType.AAAA, 16), (RRType.A, 4))
            for rdata in _rdata(response.additional, binding.target, rrtype)
            if len(rdata) == size
        ]
        found += _proposals(binding, binding.hints or tuple(beside))
    return found[:MAX_CANDIDATES]


def _rdata(records: Iterable[Record], name: bytes, rrtype: int) -> Iterator[bytes]:
    """Give what the records of this name and type hold, and of no other (threat C4)."""
    for record in records:
        if (record.rrtype, record.rrclass) == (rrtype, RRClass.IN) and record.name.lower() == name.lower():
            yield record.rdata


def _proposals(binding: ServiceBinding, addresses: tuple[str, ...]) -> Iterator[Candidate]:
    """Give a candidate for each protocol of a record that we speak, or the one reason for none."""
    spoken = list(dict.fromkeys(alpn for alpn in binding.alpn if alpn in PROTOCOLS))
    target = to_text(binding.target)
    why = ""
    if binding.priority == 0:  # RFC 9462 §3 lets it lead to other records, which would be forged as easily
        why = "it is an alias, and aliases are not followed"
    elif binding.target == ROOT:  # RFC 9462 §4
        why = "it names no host whose certificate could be checked"
    elif unknown := [key for key in binding.mandatory if key not in KNOWN]:
        why = f"it must not be used without its parameter key{unknown[0]}, which is not known here"
    elif not spoken:
        offered = b", ".join(binding.alpn)[:MAX_SHOWN].decode("ascii", "backslashreplace")
        why = (
            f"it speaks no protocol that is known here, only {offered}" if offered else "it names no protocol"
        )
    if why:
        yield Candidate(binding.priority, target, why=why)
        return
    for alpn in spoken:
        try:
            endpoint = _endpoint(binding, PROTOCOLS[alpn])
        except EndpointError as error:
            yield Candidate(binding.priority, f"{target} {alpn.decode()}", why=str(error))
        else:
            yield Candidate(binding.priority, endpoint.url, replace(endpoint, addresses=addresses))


def _endpoint(binding: ServiceBinding, scheme: str) -> Endpoint:
    """Give the endpoint that a record describes, without addresses.

    Raises:
        EndpointError: it cannot be used.
    """
    port = "" if binding.port is None else f":{binding.port}"
    path = _path(binding.dohpath) if scheme in HTTP_SCHEMES else ""
    endpoint = parse_url(f"{scheme}://{to_text(binding.target).removesuffix('.')}{port}{path}")
    if endpoint.is_ip:
        raise EndpointError(f"its name {endpoint.host} is an address")
    return endpoint


def _path(template: str | None) -> str:
    """Give the path for queries by POST: the template with nothing set (RFC 8484 §4.1).

    Raises:
        EndpointError: there is none, or it is no template for DNS over HTTPS (RFC 9461 §5).
    """
    if template is None:
        raise EndpointError("it has no path for DNS over HTTPS")
    variables = (each for found in _EXPRESSION.findall(template) for each in found.split(","))
    path = _EXPRESSION.sub("", template)  # what is not set leaves nothing behind (RFC 6570 §3.2.1)
    if not path.startswith("/") or all(each.partition(":")[0].rstrip("*") != "dns" for each in variables):
        raise EndpointError(f"its path {template[:MAX_SHOWN]!r} is not one for DNS over HTTPS")
    return path


async def _verify(
    candidate: Candidate, resolver: Endpoint, ca_file: str | None, lookup: Lookup, deadline: float
) -> Candidate:
    """Give the candidate with its addresses, and with the time it took to answer or the reason why not."""
    endpoint = candidate.endpoint
    if endpoint is None:
        return candidate
    loop = asyncio.get_running_loop()
    try:
        found = endpoint.addresses or await lookup(endpoint.host, deadline)
        endpoint = replace(endpoint, addresses=_dialable(found, resolver.host), ca_file=ca_file)
        candidate = replace(candidate, endpoint=endpoint)
        if not endpoint.addresses:
            return replace(candidate, why=f"nobody can be reached at {', '.join(found[:MAX_ADDRESSES])}")
        designated = replace(endpoint, designator=resolver.host)
        async with aclosing(open_transport(designated, lookup)) as transport:
            query = pad(make_query(ROOT, RRType.NS, id=secrets.randbits(16), edns=EDNS()))
            began = loop.time()
            rcode = Message.parse(await transport.exchange(query, deadline)).rcode
            took_s = loop.time() - began
    except AuthenticationError as error:
        private = "" if ip_address(resolver.host).is_global else NOT_CERTIFIED.format(resolver.host)
        return replace(candidate, why=f"unverified: {error}{private}")
    except TransportError as error:
        return replace(candidate, why=str(error))
    except FormatError as error:
        return replace(candidate, why=f"its response is not a DNS message: {error}")
    if rcode != RCode.NOERROR:
        return replace(candidate, why=f"it answered {rcode_text(rcode)}")
    return replace(candidate, first_answer_s=took_s)


def _dialable(addresses: Iterable[str], resolver: str) -> tuple[str, ...]:
    """Leave out what nobody can have as address, and this machine unless the resolver is on it."""
    found = []
    for address in addresses:
        with contextlib.suppress(EndpointError):
            if not is_here(address) or is_here(resolver):
                found.append(parse_address(address))
    return tuple(dict.fromkeys(found))[:MAX_ADDRESSES]


def is_here(address: str) -> bool:
    """Tell whether an IP literal is this machine's loopback, written as IPv4 inside IPv6 or not."""
    parsed = ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
