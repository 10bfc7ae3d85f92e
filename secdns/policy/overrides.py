"""Fixed answers: the configuration's overrides and the hosts file.

A name with a fixed address is answered here for *every* type: the other address family, HTTPS
and all else is NODATA. Were other types forwarded, an upstream could answer NXDOMAIN for a name
that exists only here, and an NXDOMAIN stands for the whole name (RFC 2308 §5, RFC 8020 §2).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from secdns.dns.message import Question, Record
from secdns.dns.name import ROOT, from_text
from secdns.errors import FormatError
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.policy.decision import Answer, Watch, nothing_here

TTL_S = 60  # an edited file is seen by programs with their own cache within a minute
NEGATIVE_TTL_S = 10

MAX_HOSTS_CHARS = 32 * 1024 * 1024  # the largest public block lists in hosts syntax stay below 10 MB
MAX_HOSTS_NAMES = 500_000
MAX_ADDRESSES = 64  # of one name; more would not fit a UDP reply
MAX_WARNINGS = 20

Address = IPv4Address | IPv6Address

_BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf"  # as Latin-1; editors on Windows write it


@dataclass(frozen=True, slots=True)
class HostsWarning:
    """A line of a hosts file that was skipped, and why. Lines count from 1."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names with fixed addresses, all in lower case.

    ``addresses`` maps an owner name to the RDATA of its A (4 octets) and AAAA (16) records;
    ``pointers`` maps a reverse name to the first host name given for that address. ``warnings``
    holds the first 20 of ``skipped`` lines.
    """

    addresses: Mapping[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    pointers: Mapping[bytes, bytes] = field(default_factory=dict)
    warnings: tuple[HostsWarning, ...] = ()
    skipped: int = 0


def parse_hosts(text: str) -> Hosts:
    """Read the syntax of /etc/hosts: an address, its host name, more names, ``#`` for comments.

    A line that cannot be used is skipped and reported, and so is what is over the limits; the
    rest counts. Two lines with one name add up. Pass the file decoded as Latin-1: its octets may
    be in any charset, only the comments of an honest file hold others than ASCII.
    """
    found = _Table()
    warnings: list[HostsWarning] = []
    skipped = 0
    # not splitlines(): it also splits at U+0085, which is half of a UTF-8 letter read as Latin-1
    lines = re.split("\r\n?|\n", text[:MAX_HOSTS_CHARS].removeprefix(_BYTE_ORDER_MARK))
    for number, line in enumerate(lines, start=1):
        address, *names = line.partition("#")[0].split() or [""]
        try:
            if address:
                found.add_line(address, names)
        except FormatError as error:
            skipped += 1
            if len(warnings) < MAX_WARNINGS:
                warnings.append(HostsWarning(number, str(error)))
    if len(text) > MAX_HOSTS_CHARS:
        skipped += 1
        warnings.append(
            HostsWarning(number, f"the rest is skipped: the file is over {MAX_HOSTS_CHARS} octets")
        )
    return Hosts(found.addresses, found.pointers, tuple(warnings), skipped)


def from_pairs(pairs: Iterable[tuple[bytes, str]]) -> Hosts:
    """Take (owner name, address) pairs of the configuration; pairs with one name add up.

    Raises:
        FormatError: an address that is not one.
    """
    found = _Table()
    for name, address in pairs:
        found.add(parse_address(address), name.lower())
    return Hosts(found.addresses, found.pointers)


@lru_cache(maxsize=64)  # a block list gives every name the same address
def parse_address(text: str) -> Address:
    """Give an address from its text.

    Raises:
        FormatError: it is not one, or has a zone such as ``%eth0``, which no record can hold.
    """
    try:
        address = ip_address(text)
    except ValueError as error:
        raise FormatError(f"{text[:80]!r} is not an IPv4 or IPv6 address") from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise FormatError(f"{text[:80]!r} names an interface, a DNS record cannot")
    return address


def reverse_name(address: Address) -> bytes:
    """Give the name whose PTR record tells the host name (RFC 1035 §3.5, RFC 3596 §2.5)."""
    return from_text(address.reverse_pointer)


class FixedAnswers:
    """Answers from a table of fixed addresses; ``source`` says in the answer where they are from."""

    def __init__(self, hosts: Hosts, source: str) -> None:
        self._addresses = hosts.addresses
        self._pointers = hosts.pointers
        self._source = source

    def watch(self) -> Watch:
        """Give the names with an address and the reverse names of those addresses."""
        return Watch(names=self.names())

    def names(self) -> frozenset[bytes]:
        """Give every owner name that is answered, in lower case."""
        return frozenset(self._addresses) | frozenset(self._pointers)

    def decide(self, question: Question, now: float) -> Answer | None:
        """Give the fixed answer for this name, or None when there is none."""
        name = question.name.lower()
        addresses = self._addresses.get(name)
        pointer = self._pointers.get(name)
        if addresses is None and pointer is None:
            return None
        data = [(RRType.A if len(rdata) == 4 else RRType.AAAA, rdata) for rdata in addresses or ()]
        if pointer is not None:
            data.append((RRType.PTR, pointer))
        records = tuple(
            Record(question.name, rrtype, RRClass.IN, TTL_S, rdata)
            for rrtype, rdata in data
            if question.rrtype in {rrtype, RRType.ANY}
        )
        text = f"fixed by {self._source}"
        if not records:
            return nothing_here(name, NEGATIVE_TTL_S, RCode.NOERROR, EDE.OTHER, text)
        return Answer(RCode.NOERROR, records, (), ((EDE.OTHER, text),), text)


class _Table:
    """Names and addresses while they are being collected."""

    def __init__(self) -> None:
        self.addresses: dict[bytes, tuple[bytes, ...]] = {}
        self.pointers: dict[bytes, bytes] = {}
        self._alone: dict[bytes, tuple[bytes, ...]] = {}  # one tuple for all names at 0.0.0.0

    def add_line(self, address: str, names: list[str]) -> None:
        """Add one line of a hosts file, all of it or nothing."""
        parsed = parse_address(address)
        if not names:
            raise FormatError(f"{address} stands without a host name")
        for name in [from_text(name).lower() for name in names]:
            self.add(parsed, name)

    def add(self, address: Address, name: bytes) -> None:
        if name == ROOT:
            raise FormatError("the root of all names cannot have an address")
        rdata = address.packed
        have = self.addresses.get(name)
        if have is None:
            if len(self.addresses) >= MAX_HOSTS_NAMES:
                raise FormatError(f"over {MAX_HOSTS_NAMES} names")
            self.addresses[name] = self._alone.setdefault(rdata, (rdata,))
        elif rdata not in have:
            if len(have) >= MAX_ADDRESSES:
                raise FormatError(f"over {MAX_ADDRESSES} addresses for one name")
            self.addresses[name] = (*have, rdata)
        # 0.0.0.0 blocks names and has none itself; 127.0.0.1 and ::1 are localhost's (RFC 6761 §6.3)
        if not address.is_unspecified and address not in _LOCALHOST:
            self.pointers.setdefault(reverse_name(address), name)


_LOCALHOST = frozenset({IPv4Address("127.0.0.1"), IPv6Address("::1")})
