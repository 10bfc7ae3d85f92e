"""Read SVCB and HTTPS records: where a service is, and what its client should know (RFC 9460).

A record whose RDATA breaks a rule is malformed, and then the whole RRset is not to be used
(RFC 9460 §2.2); one that contradicts itself counts as such. What a known key says is read when
it is asked for; ``parse`` has made sure that it can be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from secdns.dns.wire import skip_plain_name
from secdns.errors import FormatError
from secdns.iana import SvcParamKey

PRIORITY_SIZE = 2
_IPV4_SIZE, _IPV6_SIZE = 4, 16


@dataclass(frozen=True, slots=True)
class ServiceBinding:
    """One SVCB or HTTPS record.

    ``priority`` 0 is AliasMode: ``target`` is where else to ask, and ``params`` count for nothing
    (RFC 9460 §2.4.2). In ServiceMode the lowest is preferred. ``target`` is a name in wire form; the
    root stands for the owner of the record. ``params`` maps each key that is there to its octets.
    """

    priority: int
    target: bytes
    params: dict[int, bytes]

    @property
    def mandatory(self) -> tuple[int, ...]:
        """The keys that a client must understand to use the record, beside those of its scheme (§8)."""
        return _keys(self.params.get(SvcParamKey.MANDATORY, b""))

    @property
    def alpn(self) -> tuple[bytes, ...]:
        """The protocols of the endpoint, beside those that the scheme has by default (§7.1)."""
        return _protocols(self.params.get(SvcParamKey.ALPN, b""))

    @property
    def has_default_alpn(self) -> bool:
        """Tell whether the scheme's default protocols are spoken too (§7.1); ``dns`` has none."""
        return SvcParamKey.NO_DEFAULT_ALPN not in self.params

    @property
    def port(self) -> int | None:
        """The port, None for the protocol's own (§7.2)."""
        octets = self.params.get(SvcParamKey.PORT)
        return None if octets is None else int.from_bytes(octets)

    @property
    def hints(self) -> tuple[str, ...]:
        """Addresses of ``target``, IPv6 first, to dial before its own are known (§7.3)."""
        v6 = self.params.get(SvcParamKey.IPV6HINT, b"")
        v4 = self.params.get(SvcParamKey.IPV4HINT, b"")
        return (
            *(str(IPv6Address(v6[at : at + _IPV6_SIZE])) for at in range(0, len(v6), _IPV6_SIZE)),
            *(str(IPv4Address(v4[at : at + _IPV4_SIZE])) for at in range(0, len(v4), _IPV4_SIZE)),
        )

    @property
    def dohpath(self) -> str | None:
        """The URI template of DNS over HTTPS, relative to the endpoint (RFC 9461 §5)."""
        octets = self.params.get(SvcParamKey.DOHPATH)
        return None if octets is None else octets.decode()


def parse(rdata: bytes) -> ServiceBinding:
    """Read the RDATA of an SVCB or HTTPS record (RFC 9460 §2.2).

    Parameters with keys that are not known here are kept as octets.

    Raises:
        FormatError: it is malformed.
    """
    if len(rdata) <= PRIORITY_SIZE:
        raise FormatError(f"service binding of {len(rdata)} octets, at least 3 were wanted")
    at = skip_plain_name(rdata, PRIORITY_SIZE)
    target = rdata[PRIORITY_SIZE:at]
    params: dict[int, bytes] = {}
    last = -1
    while at < len(rdata):
        key, size = int.from_bytes(rdata[at : at + 2]), int.from_bytes(rdata[at + 2 : at + 4])
        value = rdata[at + 4 : at + 4 + size]
        if len(rdata) < at + 4 + size:
            raise FormatError("service parameter runs past the end of its record")
        if key <= last:
            raise FormatError(f"service parameter {key} after {last}, ascending keys were wanted")
        if (check := _CHECKS.get(key)) is not None:
            check(value)
        params[key] = value
        last = key
        at += 4 + size
    binding = ServiceBinding(int.from_bytes(rdata[:PRIORITY_SIZE]), target, params)
    if missing := [key for key in binding.mandatory if key not in params]:
        raise FormatError(f"service parameter {missing[0]} is mandatory and is not there")
    if SvcParamKey.NO_DEFAULT_ALPN in params and SvcParamKey.ALPN not in params:
        raise FormatError("no-default-alpn without alpn leaves no protocol")  # not self-consistent (§2.4.3)
    return binding


def _keys(value: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2))


def _protocols(value: bytes) -> tuple[bytes, ...]:
    """Give the protocol identifiers of a list.

    Raises:
        FormatError: one is empty or crosses the end.
    """
    found = []
    at = 0
    while at < len(value):
        end = at + 1 + value[at]
        if end == at + 1 or end > len(value):
            raise FormatError(f"protocol identifier of {value[at]} octets in a list of {len(value)}")
        found.append(value[at + 1 : end])
        at = end
    return tuple(found)


def _check_mandatory(value: bytes) -> None:
    keys = _keys(value)
    if not value or len(value) % 2 or list(keys) != sorted(set(keys)):
        raise FormatError("mandatory is not an ascending list of keys")
    if SvcParamKey.MANDATORY in keys:
        raise FormatError("mandatory lists itself")


def _check_alpn(value: bytes) -> None:
    if not _protocols(value):
        raise FormatError("alpn is empty")


def _check_size(name: str, wanted: int) -> Callable[[bytes], None]:
    def check(value: bytes) -> None:
        if len(value) != wanted:
            raise FormatError(f"{name} of {len(value)} octets, {wanted} were wanted")

    return check


def _check_addresses(name: str, each: int) -> Callable[[bytes], None]:
    def check(value: bytes) -> None:
        if not value or len(value) % each:
            raise FormatError(f"{name} of {len(value)} octets, a multiple of {each} was wanted")

    return check


def _check_text(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError:
        raise FormatError("dohpath is not UTF-8") from None


_CHECKS: dict[int, Callable[[bytes], None]] = {
    SvcParamKey.MANDATORY: _check_mandatory,
    SvcParamKey.ALPN: _check_alpn,
    SvcParamKey.NO_DEFAULT_ALPN: _check_size("no-default-alpn", 0),
    SvcParamKey.PORT: _check_size("port", 2),
    SvcParamKey.IPV4HINT: _check_addresses("ipv4hint", _IPV4_SIZE),
    SvcParamKey.IPV6HINT: _check_addresses("ipv6hint", _IPV6_SIZE),
    SvcParamKey.DOHPATH: _check_text,
}
